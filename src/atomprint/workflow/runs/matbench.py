"""Matbench: the official five folds, a table beside published figures, and a file in Matbench's own format."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
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
from atomprint.workflow.runs.published import ELSEWHERE, PUBLISHED, Published
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
    """A line of the table beside published figures.

    Parameters
    ----------
    model, given : str
        Who, and what the model was given.
    figure, spread : float
        Mean and standard deviation over the five folds; that of this run with one degree of freedom removed.
    first : float or None
        Figure of fold 1 alone; None where it is not known.
    row : ResultRow or None
        What a study knows besides.
    source : Published or None
        What is known of a published figure.
    """

    model: str
    given: str
    figure: float
    spread: float | None
    first: float | None
    row: ResultRow | None = None
    source: Published | None = None

    @property
    def folds(self) -> tuple[float, ...]:
        """Figures of the five folds, where all are known."""
        if self.row is None:
            return () if self.source is None else self.source.folds
        metric = _metric(self.row.evaluation.kind)
        known = [fold.metrics[metric].value for fold in self.row.evaluation.folds]
        return tuple(value for value in known if value is not None)


def _metric(kind: str) -> str:
    return "balanced_accuracy" if kind == "classification" else "mae"


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
    metric = _metric(study.problem.kind)
    given = "composition" if study.problem.dataset.structures is None else "structure"
    lines = [
        Line(one.model, one.given, one.figure, one.std, one.folds[0] if one.folds else None, source=one)
        for one in PUBLISHED[task]
    ]
    for row in study.rows:
        found = row.evaluation.cross_validation[metric]
        if found.mean.value is not None:
            features, model = study.titles_of(row.features, row.model)
            title = f"{model} on {row.features}" if features else model
            seen = "nothing" if row.role == "baseline" else given
            first = row.evaluation.folds[0].metrics[metric].value
            lines.append(Line(title, seen, found.mean.value, found.std.value, first, row))
    return sorted(lines, key=lambda line: -line.figure if metric == "balanced_accuracy" else line.figure)


_TUNED = (
    "What the recipes of atomprint try was decided on training samples of fold 1, which are the test samples of the "
    "other folds: only the figure of fold 1 is of samples that had no part in it."
)
_TUNED_ON_FIRST = {
    "matbench_mp_e_form": "Width, dropout and learning rate of its networks were compared on the test samples of fold "
    "1, and all else on its training samples, which are the test samples of the other folds: no fold is untouched."
}


def standing(study: Study, task: str, *, shipped: bool = True) -> list[str]:
    """Return in words how a study stands beside published figures, and how far that can be trusted.

    Parameters
    ----------
    study : Study
        From :func:`run_benchmark`.
    task : str
        Its task.
    shipped : bool
        Whether the recipe is one that comes with atomprint, so that it is known on which samples it was decided.

    Returns
    -------
    list of str
        Sentences: which are better, which cannot be told apart from it (the difference is no larger than its spread
        over the folds: that of the differences by fold or, where these are not known, the larger one of both), the
        figure of fold 1, and what was decided on which samples.
    """
    lines = comparison(study, task)
    own = next((line for line in lines if line.row is not None and line.row.role == "result"), None)
    said = [] if own is None else list(_standing(own, [line for line in lines if line.source is not None]))
    if shipped:
        said.append(_TUNED_ON_FIRST.get(task, _TUNED))
    return [*said, *([ELSEWHERE[task]] if task in ELSEWHERE else [])]


def _standing(own: Line, others: list[Line]) -> Iterator[str]:
    place = 1 + sum(_gain(own, other) < 0 for other in others)
    said = f"Mean of five folds {own.figure:.4f}" + ("" if own.spread is None else f" ± {own.spread:.4f}")
    first = "" if own.first is None else f", fold 1 alone {own.first:.4f}"
    yield f"{said}{first}: place {place} of {len(others) + 1} in this table."
    ahead = [other for other in others if _gain(own, other) < 0 and not _alike(own, other)]
    alike = [other for other in others if _alike(own, other)]
    if ahead:
        yield f"Ahead of it by more than the spread over the folds: {_listed(ahead)}."
    if alike:
        yield f"Not to be told apart from it, as the difference is within the spread over the folds: {_listed(alike)}."
    on_first = [other for other in others if other.first is not None and own.first is not None]
    better = [other for other in on_first if _gain(own, other, first=True) < 0]
    if better and {id(other) for other in better} != {id(other) for other in ahead}:
        yield f"Better on fold 1 alone: {', '.join(f'{other.model} ({other.first:.4f})' for other in better)}."


def _gain(own: Line, other: Line, *, first: bool = False) -> float:
    """Return by how much a figure is better than another."""
    assert own.row is not None
    sign = 1.0 if own.row.evaluation.kind == "classification" else -1.0
    if first and own.first is not None and other.first is not None:
        return sign * (own.first - other.first)
    return sign * (own.figure - other.figure)


def _alike(own: Line, other: Line) -> bool:
    """Return whether the difference of two figures is within its spread over the folds."""
    if len(own.folds) > 1 and len(own.folds) == len(other.folds):
        by_fold = np.subtract(own.folds, other.folds)
        return bool(abs(by_fold.mean()) <= by_fold.std(ddof=1))
    return abs(own.figure - other.figure) <= max(own.spread or 0.0, other.spread or 0.0)


def _listed(lines: Iterable[Line]) -> str:
    return ", ".join(f"{line.model} ({line.given}, {line.figure:.4f})" for line in lines)


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
