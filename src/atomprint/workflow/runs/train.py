"""One training run: from a recipe to a report and a saved model."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from threadpoolctl import threadpool_limits

from atomprint.datasets import Dataset
from atomprint.learn.evaluation.evaluate import fit_estimator
from atomprint.learn.models.make import MODELS, ModelSpec, make_model
from atomprint.learn.models.search import Search
from atomprint.learn.splits.split import make_split
from atomprint.learn.study.run import Study, count_steps, run_study, takes_kernel
from atomprint.learn.task.blocks import SelectBlocks, check_known
from atomprint.learn.task.features import Features
from atomprint.learn.task.problem import Problem
from atomprint.report import Report, versions
from atomprint.util.files import write_atomically
from atomprint.util.memory import peak_memory
from atomprint.util.progress import Progress, Steps, silent
from atomprint.util.validation import check_choice, check_n_jobs
from atomprint.workflow.recipes.data import load_data
from atomprint.workflow.recipes.defaults import settle
from atomprint.workflow.recipes.features import (
    FeatureSet,
    compute_features,
    drop_failures,
    feature_sets,
    joined_parts,
    named_classes,
)
from atomprint.workflow.recipes.recipe import Recipe
from atomprint.workflow.saved.model import TrainedModel
from atomprint.workflow.saved.pipeline import assemble

MODEL_FILE = "model.atomprint"


@dataclass(frozen=True, eq=False)
class Run:
    """What a training run gives.

    Parameters
    ----------
    recipe : Recipe
        The recipe as it was carried out: with what was left to the data filled in.
    study : Study
        All results.
    model : TrainedModel
        The best model, fitted to all samples, the test part included.
    report : Report
        The report.
    timings : mapping of str to float
        Seconds that each step took.
    reasons : tuple of str
        Why what was left to the data is as it is, in sentences.
    peak_memory : float or None
        The most memory that the process had at once, in GB (10⁹ bytes); None where that is not known.
    """

    recipe: Recipe
    study: Study
    model: TrainedModel
    report: Report
    timings: Mapping[str, float]
    reasons: tuple[str, ...] = ()
    peak_memory: float | None = None

    def write(self, folder: str | Path | None = None) -> dict[str, Path]:
        """Write everything to a folder; each file is complete before it gets its name.

        Parameters
        ----------
        folder : path, optional
            Default: the ``output`` of the recipe.

        Returns
        -------
        dict of str to Path
            ``report.html``, ``results.json``, ``predictions.csv``, ``model.atomprint``, ``recipe.toml``, ``run.json`` …
        """
        folder = Path(self.recipe.output if folder is None else folder)
        folder.mkdir(parents=True, exist_ok=True)
        files = self.report.write(folder)
        files[MODEL_FILE] = folder / MODEL_FILE
        named = [{"type": key, **entry} for key, entry in self.recipe.models.items()]
        self.model.save(files[MODEL_FILE], trusted=named_classes([self.recipe.features, named]))
        record = {
            "seed": self.recipe.seed,
            "reasons": list(self.reasons),
            "versions": versions(),
            "seconds": {name: round(seconds, 3) for name, seconds in self.timings.items()},
            "peak_memory_gb": self.peak_memory,
            "rows": [row.to_dict() for row in self.study.rows],
            "failures": [
                {"row": f.row, "id": f.id, "step": f.step, "reason": f.reason}
                for f in self.study.problem.dataset.failures
            ],
        }
        for name, text in (
            ("recipe.toml", self.recipe.to_toml(self.reasons)),
            ("run.json", json.dumps(record, indent=1, ensure_ascii=False) + "\n"),
        ):
            files[name] = folder / name
            write_atomically(files[name], text)
        return files


def train(recipe: Recipe, progress: Progress = silent) -> Run:
    """Carry out a recipe.

    Parameters
    ----------
    recipe : Recipe
        What to do. Features and models that it does not have are chosen by the form of the data.
    progress : Progress
        Called as each step begins.

    Returns
    -------
    Run
        Nothing is written yet: call its ``write``.

    Raises
    ------
    ValueError, TypeError
        If the recipe does not fit the data; the message names the entry.
    ImportError
        If something needs a package that is not installed; the message says how to install it.
    """
    clock = _Clock()
    n_jobs = check_n_jobs(recipe.n_jobs)
    progress("Reading data", 0, None)
    dataset = load_data(recipe.data, recipe.seed)
    target = _target(recipe, dataset)
    clock.lap("data")

    recipe, why = settle(recipe, dataset, target)
    reasons = tuple(sentence for sentences in why.values() for sentence in sentences)
    kind = dataset.targets[target].kind
    possible, _ = _models(recipe, kind, [False, True], 1)  # a wrong entry is told before the work
    sets, resolved = feature_sets(recipe.features, dataset, dataset.targets[target].level, n_jobs)
    _check_blocks(possible, sets)
    problem, features, transformers = _describe(recipe, dataset, target, sets, progress)
    clock.lap("features")

    split = make_split(
        problem,
        recipe.split.method,
        test_size=recipe.split.test_size,
        n_folds=recipe.split.n_folds,
        group_by=recipe.split.group_by,
        seed=recipe.seed,
    )
    # Fits share the threads; further ones in the linear algebra would only wait for each other.
    shared = n_jobs > 1 and len(split.folds) + bool(len(split.test)) > 1
    models, titles = _models(recipe, problem.kind, [given.pairwise for given in features], 1 if shared else n_jobs)
    settings = recipe.evaluation
    assert settings.n_repeats is not None  # settled
    assert settings.learning_curve is not None
    pairs = [(given, model) for given in features for model in models.values() if takes_kernel(model) == given.pairwise]
    tell = Steps(progress, count_steps(len(features), len(pairs), split, curve=settings.learning_curve) + 1)
    with threadpool_limits(1 if shared else None, user_api="blas"):
        study = run_study(
            problem,
            features,
            models,
            split,
            titles=titles,
            n_repeats=settings.n_repeats,
            curve=settings.learning_curve,
            level=settings.level,
            shap=settings.shap,
            n_choose=settings.n_choose,
            n_jobs=n_jobs if shared else 1,
            progress=tell.part(),
        )
    clock.lap("models")

    trial, name = study.best()
    index = next(i for i, given in enumerate(sets) if given.key == trial.features.key)
    tell(f"{titles[name]} on all {len(problem)} samples")
    recipe = replace(recipe, features=resolved, data=replace(recipe.data, target=target))
    model = _final_model(recipe, study, models[name], transformers[index])
    clock.lap("final model")
    progress("Done", tell.total, tell.total)
    peak = peak_memory()
    return Run(recipe, study, model, _report(recipe, study, clock, reasons, peak), clock.seconds, reasons, peak)


class _Clock:
    """Seconds between laps."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = perf_counter()

    def lap(self, name: str) -> None:
        now = perf_counter()
        self.seconds[name] = now - self._last
        self._last = now


def _target(recipe: Recipe, dataset: Dataset) -> str:
    """Return the name of the target."""
    if recipe.data.target is not None:
        return check_choice("data.target", recipe.data.target, tuple(dataset.targets))
    if len(dataset.targets) != 1:
        raise ValueError(f"data.target must be one of {', '.join(dataset.targets)}: {dataset.name!r} has several")
    return next(iter(dataset.targets))


def _describe(
    recipe: Recipe, dataset: Dataset, target: str, sets: list[FeatureSet], progress: Progress
) -> tuple[Problem, list[Features], list[BaseEstimator]]:
    """Return the problem and the features of its samples; structures that cannot be described are left out if asked."""
    problem = Problem.of(dataset, target)
    computed = []
    try:
        for number, given in enumerate(sets):
            progress(f"Features: {given.title}", number, len(sets))
            computed.append(compute_features(given, problem))
    except (ValueError, TypeError):
        if recipe.data.on_error == "raise":
            raise
        smaller, failures = drop_failures(dataset, sets, progress)
        if not failures:
            raise
        return _describe(recipe, smaller, target, sets, progress)
    return problem, [features for features, _ in computed], [transformer for _, transformer in computed]


def _models(
    recipe: Recipe, kind: str, pairwise: Collection[bool], n_jobs: int
) -> tuple[dict[str, BaseEstimator], dict[str, str]]:
    """Return the models that a recipe asks for, and their titles; for features, for kernels, or one of each."""
    models, titles = {}, {}
    for key, entry in recipe.models.items():
        parameters = dict(entry)
        name = parameters.pop("type", key)
        spec = MODELS.get(name)
        title = parameters.pop("title", name.rpartition(".")[2] if spec is None else spec.title)
        space = parameters.pop("space", None)
        if space is not None and recipe.search.method == "none":
            raise ValueError(f'models.{key}.space needs a search: set method = "grid" or "random" in [search]')
        for kernel in sorted(set(pairwise)):
            if kernel and spec is not None and not spec.pairwise:
                continue
            suffix = " on a kernel" if kernel and False in pairwise else ""
            try:
                models[key + suffix] = make_model(
                    name,
                    kind,
                    random_state=recipe.seed,
                    n_jobs=n_jobs,
                    search=_search(recipe, space, spec),
                    pairwise=kernel,
                    **parameters,
                )
            except (ValueError, TypeError) as error:
                if kernel and False in pairwise:
                    continue  # an estimator by its import path, which takes no kernel
                raise type(error)(f"models.{key}: {error}") from error
            titles[key + suffix] = title + suffix
    if not models:
        raise ValueError(f"models: none of {', '.join(recipe.models)} takes the similarities of a kernel: add svm")
    return models, titles


def _check_blocks(models: Mapping[str, BaseEstimator], sets: Collection[FeatureSet]) -> None:
    """Raise if a model is to see a block that some of the features do not have."""
    for key, model in models.items():
        for step in model.get_params().values():
            for given in sets if isinstance(step, SelectBlocks) else ():
                try:
                    check_known(step.names, joined_parts(given.transformer))
                except ValueError as error:
                    raise ValueError(f"models.{key} on features.{given.key}: {error}") from None


def _search(recipe: Recipe, space: Mapping[str, Any] | None, spec: ModelSpec | None) -> Search | None:
    """Return the search of a model: none where there is nothing to choose, or the model chooses it itself."""
    given = recipe.search
    if given.method == "none" or (space is None and (spec is None or not spec.space)):
        return None
    return Search(
        given.method,
        space=space,
        n_iter=given.n_iter,
        n_folds=given.n_folds,
        scoring=given.scoring,
        seed=recipe.seed,
    )


def _final_model(recipe: Recipe, study: Study, estimator: BaseEstimator, transformer: BaseEstimator) -> TrainedModel:
    """Fit the best model to all samples and put it behind its descriptor."""
    problem, (trial, name) = study.problem, study.best()
    everything = np.arange(len(problem))
    fitted = trial.evaluations[name].estimator
    if fitted is None or not np.array_equal(study.split.train, everything):
        label, n_jobs = f"{name}, all samples", check_n_jobs(recipe.n_jobs)
        fitted = fit_estimator(estimator, trial.features, problem, study.split, everything, label, n_jobs)
    found = study.chosen
    metrics = {"cross_validation": {k: v.to_dict() for k, v in found.cross_validation.items()}} if found.folds else {}
    if found.test is not None:
        metrics["test"] = found.test.metrics.to_dict()
    return TrainedModel.of(
        assemble(transformer, fitted, problem.target.level),
        problem,
        table=None if trial.features.pairwise else trial.features.values,
        uncertainty=study.uncertainty,
        metrics=metrics,
        recipe=recipe.to_toml(),
        seed=recipe.seed,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        notes=study.caveats(),
    )


def _report(recipe: Recipe, study: Study, clock: _Clock, reasons: Sequence[str], peak: float | None) -> Report:
    return Report(
        title=recipe.title or study.problem.title,
        lead="Made by atomprint train.",
        studies=[study],
        settings={
            "command": "atomprint train",
            "seed": recipe.seed,
            "threads": check_n_jobs(recipe.n_jobs),
            **{f"seconds for {name}": round(seconds, 1) for name, seconds in clock.seconds.items()},
            "peak memory (GB)": "not known" if peak is None else round(peak, 2),
        },
        recipe=recipe.to_toml(),
        reasons=reasons,
        saved_model=f"The saved model was fitted anew to all {len(study.problem):,} samples"
        + (", those of the test part included." if len(study.split.test) else "."),
    )
