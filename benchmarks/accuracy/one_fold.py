"""One or a few official folds of a recipe for Matbench, seed by seed, for machines on which all five take too long.

    python benchmarks/accuracy/one_fold.py matbench_mp_e_form --data FILE --seeds 3 --output run \
        --set models.resnet.n_seeds=1

Features are those of the recipe; its model is fitted to the training samples of a fold with one seed after another,
and the error of the average of all so far is printed, with seconds of processor time; of an ensemble, the error of each
member, too. Predictions of each seed are kept in OUTPUT, where a run that was stopped goes on. Of classes these are
probabilities of the second one, and balanced accuracies are those at the thresholds of the model.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from time import process_time

import numpy as np
import numpy.typing as npt
from sklearn.metrics import balanced_accuracy_score, mean_absolute_error

from atomprint.learn.estimators.decision import decide
from atomprint.learn.estimators.ensemble_base import Ensemble
from atomprint.learn.splits.split import SplitSettings
from atomprint.learn.task.blocks import with_blocks
from atomprint.learn.task.features import Features
from atomprint.util.memory import peak_memory
from atomprint.workflow import Recipe
from atomprint.workflow.recipes.plan import Plan
from atomprint.workflow.runs.describe import compute_features


def plan_of(task: str, data: str, changes: list[str]) -> Plan:
    """Return what is to be done with the official folds."""
    changes = [*changes, f"data.path={json.dumps(data)}"]
    recipe = Recipe.read(task, changes) if task.endswith(".toml") else Recipe.shipped(task, changes)
    return Plan.of(replace(recipe, split=SplitSettings("official", test_size=0)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", help="a task of Matbench, or a file with a recipe for one")
    parser.add_argument("--data", required=True, help="a copy of the task's file")
    parser.add_argument("--fold", type=int, nargs="+", default=[1], dest="folds", help="1 to 5")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], dest="changes", help="as for atomprint train")
    parser.add_argument("--output", type=Path, required=True, help="folder for predictions")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    before = process_time()
    plan = plan_of(given.task, given.data, given.changes)
    (described,) = plan.features
    features, _ = compute_features(described, plan.problem)
    print(f"features: {process_time() - before:.0f} s", flush=True)
    for fold in given.folds:
        measure(given, plan, features, fold)


def measure(given: argparse.Namespace, plan: Plan, features: Features, fold: int) -> None:
    """Print the error for the test samples of a fold, of one seed after another."""
    train, test = plan.split.folds[fold - 1]
    y, regression = plan.problem.y, plan.problem.kind == "regression"
    total, thresholds = 0.0, np.array([0.5, 0.5])

    def figure(guess: npt.NDArray[np.float64]) -> str:
        if regression:
            return f"mean absolute error {mean_absolute_error(y[test], guess):.4f}"
        found = decide(np.stack([1 - guess, guess], axis=1), thresholds)
        return f"balanced accuracy {balanced_accuracy_score(y[test], found):.4f}"

    for seed in range(given.seeds):
        path = given.output / f"fold_{fold}_seed_{seed}.npz"
        before = process_time()
        if not path.exists():
            (model,) = plan_of(given.task, given.data, [*given.changes, f"seed={seed}"]).models.values()
            model = with_blocks(model, features.blocks).fit(features.values[train], y[train])
            X = features.values[test]
            kept = {"all": model.predict(X) if regression else model.predict_proba(X)[:, 1]}
            if isinstance(model, Ensemble):
                _, guesses = model.member_predictions(X)
                kept |= dict(zip(model.members_, guesses if regression else guesses[..., 1], strict=True))
                kept["thresholds"] = getattr(model, "thresholds_", thresholds)
                print(f"fold {fold}: {model.in_words()}", flush=True)
            np.savez(path, **kept)
        found = dict(np.load(path))
        thresholds = found.pop("thresholds", thresholds)
        total = total + found.pop("all")
        for name, guess in found.items():
            print(f"fold {fold}, seed {seed}, {name} alone: {figure(guess)}")
        spent = f"{process_time() - before:.0f} s, {peak_memory() or 0:.1f} GB"
        print(f"fold {fold}, {seed + 1} seeds: {figure(total / (seed + 1))} ({spent})", flush=True)


if __name__ == "__main__":
    main()
