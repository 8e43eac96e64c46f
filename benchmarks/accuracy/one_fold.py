"""One official fold of a recipe for Matbench, seed by seed, for machines on which all five take too long.

    python benchmarks/accuracy/one_fold.py matbench_mp_e_form --data FILE --seeds 3 --output run \
        --set models.resnet.n_seeds=1

Features are those of the recipe; its model is fitted to the training samples of the fold with one seed after another,
and the error of the average of all so far is printed, with seconds of processor time. Predictions of each seed are kept
in OUTPUT, where a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from time import process_time

import numpy as np
from sklearn.metrics import balanced_accuracy_score, mean_absolute_error

from atomprint.learn.splits.split import SplitSettings
from atomprint.learn.task.blocks import with_blocks
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
    parser.add_argument("--fold", type=int, default=1)
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
    train, test = plan.split.folds[given.fold - 1]
    y, total = plan.problem.y, 0.0
    for seed in range(given.seeds):
        path = given.output / f"fold_{given.fold}_seed_{seed}.npy"
        before = process_time()
        if not path.exists():
            (model,) = plan_of(given.task, given.data, [*given.changes, f"seed={seed}"]).models.values()
            model = with_blocks(model, features.blocks).fit(features.values[train], y[train])
            X = features.values[test]
            regression = plan.problem.kind == "regression"
            np.save(path, model.predict(X) if regression else model.predict_proba(X)[:, 1])
        total = total + np.load(path)
        mean = total / (seed + 1)
        if plan.problem.kind == "regression":
            figure = f"mean absolute error {mean_absolute_error(y[test], mean):.4f}"
        else:
            figure = f"balanced accuracy {balanced_accuracy_score(y[test], mean > 0.5):.4f} at 0.5"
        spent = f"{process_time() - before:.0f} s, {peak_memory() or 0:.1f} GB"
        print(f"fold {given.fold}, {seed + 1} seeds: {figure} ({spent})", flush=True)


if __name__ == "__main__":
    main()
