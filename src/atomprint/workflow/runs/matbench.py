"""Matbench: the official five folds, a table beside published figures, and a file in Matbench's own format."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn import metrics as sk

from atomprint.learn.evaluation.nested_choice import CHOSEN
from atomprint.learn.splits.split import SplitSettings
from atomprint.learn.study.result_table import ResultRow
from atomprint.learn.study.study import Study
from atomprint.util.files import write_atomically
from atomprint.util.plain import plain
from atomprint.util.progress import Progress, silent
from atomprint.util.validation import check_choice
from atomprint.workflow.recipes.data import DataSection
from atomprint.workflow.recipes.recipe import Recipe
from atomprint.workflow.runs.published import PUBLISHED
from atomprint.workflow.runs.train import Run, train

_FORMAT_VERSION = "0.6"  # of Matbench, whose files these are


def benchmark_recipe(task: str, overrides: Iterable[str] = ()) -> Recipe:
    """Return the recipe that comes with atomprint for a task of Matbench; overrides as for :meth:`Recipe.read`."""
    check_choice("task", task, tuple(PUBLISHED))
    return Recipe.shipped(task, overrides)


def run_benchmark(
    task: str,
    *,
    recipe: Recipe | None = None,
    path: str | None = None,
    progress: Progress = silent,
    keep: Path | None = None,
) -> Run:
    """Test models on the official five folds of a task of Matbench.

    Parameters
    ----------
    task : str
        Such as ``"matbench_perovskites"``.
    recipe : Recipe, optional
        Features and models; its data and split give way to those of the task. Default: the recipe that comes with
        atomprint for this task.
    path : str, optional
        A copy of the task's file. Default: it is downloaded, once.
    progress : Progress
        Called as each step begins.
    keep : Path, optional
        As for :func:`~atomprint.workflow.runs.train.train`.

    Returns
    -------
    Run
        As :func:`~atomprint.workflow.runs.train.train` gives it; see :func:`comparison` and :func:`write_submission`.
    """
    recipe = benchmark_recipe(task) if recipe is None else recipe
    check_choice("task", task, tuple(PUBLISHED))
    recipe = replace(
        recipe,
        data=DataSection(name=task, path=path, on_error="raise"),
        split=SplitSettings(method="official", test_size=0),
    )
    return train(recipe, progress, keep)


class Line(NamedTuple):
    """A line of the table beside published figures; ``row`` has what a study knows besides, None if published."""

    model: str
    given: str
    figure: float
    row: ResultRow | None


def comparison(study: Study, task: str) -> list[Line]:
    """Return published figures and those of a study, best first.

    Parameters
    ----------
    study : Study
        From :func:`run_benchmark`.
    task : str
        Its task.

    Returns
    -------
    list of Line
        Figures are the mean over the folds of the mean absolute error, or of the balanced accuracy. Of several
        features and models of the study only the choice within each training part is to be compared with what was
        published; the role of the others is "candidate".
    """
    metric = "balanced_accuracy" if study.problem.kind == "classification" else "mae"
    given = "composition" if study.problem.dataset.structures is None else "structure"
    lines = [Line(*row, None) for row in PUBLISHED[task]]
    for row in study.rows:
        mean = row.evaluation.cross_validation[metric].mean.value
        if mean is not None:
            features, model = study.titles_of(row.features, row.model)
            title = f"{model} on {row.features}" if features else model
            lines.append(Line(title, "nothing" if row.role == "baseline" else given, mean, row))
    return sorted(lines, key=lambda line: -line.figure if metric == "balanced_accuracy" else line.figure)


def write_submission(path: str | Path, study: Study, task: str) -> None:
    """Write the predictions to judge a study by in the format of Matbench's ``results.json.gz`` before compression.

    Where there are several features and models, they are those of what was chosen within the training samples of each
    fold; the file names it beside the predictions of the fold.

    Parameters
    ----------
    path : path
        File to write, JSON.
    study : Study
        From :func:`run_benchmark`.
    task : str
        Its task.
    """
    ids, (trial, model) = study.problem.ids, study.best()
    to_plain: Callable[[Any], Any] = bool if study.problem.kind == "classification" else float
    keys = (CHOSEN, CHOSEN) if study.nested else (trial.features.key, model)
    parameters = {**dict(zip(("features", "model"), keys, strict=True)), "software": "atomprint"}
    results = {
        f"fold_{number}": {
            "data": {ids[i]: to_plain(value) for i, value in zip(fold.indices, fold.y_pred, strict=True)},
            "parameters": _frozen({**parameters, **plain(fold.chosen)}),
            "scores": _scores(study, fold.indices, fold.y_pred),
        }
        for number, fold in enumerate(study.chosen.folds)
    }
    document = {
        "@module": "matbench.bench",
        "@class": "MatbenchBenchmark",
        "version": _FORMAT_VERSION,
        "tasks": {
            task: {
                "@module": "matbench.task",
                "@class": "MatbenchTask",
                "benchmark_name": "matbench_v0.1",
                "dataset_name": task,
                "results": results,
            }
        },
        "user_metadata": _frozen(parameters),
        "benchmark_name": "matbench_v0.1",
        "datestamp": datetime.now(UTC).strftime("%Y.%m.%d %H:%M.%S"),
    }
    # Matbench reads a file only if the hash of its sorted contents is right.
    document["hash"] = hashlib.sha256(json.dumps(_frozen(document)).encode()).hexdigest()
    write_atomically(path, json.dumps(document))


def _scores(study: Study, indices: npt.NDArray[np.intp], y_pred: npt.NDArray[Any]) -> dict[str, float]:
    """Return the figures that Matbench computes, by its names."""
    truth = study.problem.y[indices]
    scores: Mapping[str, Callable[..., Any]] = {
        "mae": sk.mean_absolute_error,
        "rmse": sk.root_mean_squared_error,
        "mape": _relative_error,
        "max_error": sk.max_error,
    }
    if study.problem.kind == "classification":
        scores = {
            "accuracy": sk.accuracy_score,
            "balanced_accuracy": sk.balanced_accuracy_score,
            "f1": sk.f1_score,
            "rocauc": sk.roc_auc_score,  # of the labels
        }
    return {name: float(score(truth, y_pred)) for name, score in scores.items()}


def _relative_error(truth: npt.NDArray[np.float64], y_pred: npt.NDArray[np.float64]) -> float:
    """Return the mean relative error of targets above 1e-5, as Matbench does."""
    large = np.abs(truth) > 1e-5
    return float(np.mean(np.abs((truth[large] - y_pred[large]) / truth[large]))) if large.any() else 0.0


def _frozen(value: Any) -> Any:
    """Return tables with sorted keys, as Matbench hashes them."""
    if isinstance(value, Mapping):
        return {key: _frozen(value[key]) for key in sorted(value)}
    return value
