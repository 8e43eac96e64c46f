"""Whether more data would help: errors against the number of training samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator
from threadpoolctl import threadpool_limits

from atomprint.learn.evaluation.evaluate import (
    FitError,
    check_samples,
    cores_for_each,
    fit_estimator,
    made_from,
    predict,
)
from atomprint.learn.splits.split import Split
from atomprint.learn.task.features import Features
from atomprint.learn.task.metrics import METRICS, Metric, Spread, compute_metrics, primary_metric, spread
from atomprint.learn.task.problem import Problem
from atomprint.util.progress import Progress, silent
from atomprint.util.store import NOTHING_KEPT, Kept, Store
from atomprint.util.types import Indices, JsonObject
from atomprint.util.validation import check_choice, check_integer, check_n_jobs, check_real


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """A figure of merit against the number of samples of the fit.

    Parameters
    ----------
    sizes : sequence of int
        Numbers of samples, ascending: mean over the folds.
    train : sequence of Spread
        The figure on the samples of the fit themselves, over the folds.
    test : sequence of Spread
        The figure on the held-out samples, the same for all sizes, over the folds. A size at which the model cannot be
        fitted has the reason instead of a value.
    metric : str
        Name of the figure in :data:`~atomprint.learn.task.metrics.METRICS`.
    model, features : str
        Keys of what was fitted, as in the study.
    description : str
        How it was made, in words.
    """

    sizes: Sequence[int]
    train: Sequence[Spread]
    test: Sequence[Spread]
    metric: str
    model: str
    features: str
    description: str

    def to_dict(self) -> JsonObject:
        """Return plain numbers and words, for JSON."""
        return {
            "metric": self.metric,
            "model": self.model,
            "features": self.features,
            "description": self.description,
            "points": [
                {"size": size, "train": train.to_dict(), "test": test.to_dict()}
                for size, train, test in zip(self.sizes, self.train, self.test, strict=True)
            ],
        }


def learning_curve(
    estimator: BaseEstimator,
    features: Features,
    problem: Problem,
    split: Split,
    *,
    fractions: Sequence[float] = (0.1, 0.25, 0.5, 1.0),
    max_folds: int = 3,
    metric: str | None = None,
    n_jobs: int = 1,
    progress: Progress = silent,
    name: str = "",
    store: Store = NOTHING_KEPT,
) -> LearningCurve:
    """Fit a model to growing parts of the samples of each fold, and test it on the same held-out samples.

    Smaller subsets are parts of the larger ones. They are drawn at random, with the same share of each class for
    classification; atoms of one structure come together.

    Parameters
    ----------
    estimator : estimator
        The model; hyperparameters that it chooses are chosen anew for each size.
    features : Features
        Features of all samples.
    problem : Problem
        The samples.
    split : Split
        Whose folds are used, or the training and the test part if there are none.
    fractions : sequence of float
        Sizes, as shares of the samples of the fit; above 0, at most 1.
    max_folds : int
        How many of the folds are used: the first ones.
    metric : str, optional
        Name of the figure. Default: the first of this kind of problem.
    n_jobs : int
        Number of threads, which share the fits; -1 means all cores. Results do not depend on it.
    progress : Progress
        Called after each fit.
    name : str
        Name of the model.
    store : Store
        Where results of fits are kept.

    Returns
    -------
    LearningCurve
    """
    check_samples(features, problem)
    metric = primary_metric(problem.kind) if metric is None else check_choice("metric", metric, METRICS[problem.kind])
    shares = sorted({check_real("fractions", fraction, above=0) for fraction in fractions})
    if not shares or shares[-1] > 1:
        raise ValueError(f"fractions must be shares above 0 and at most 1, got {tuple(fractions)}")
    pairs = split.folds[: check_integer("max_folds", max_folds, 1)] or ((split.train, split.test),)
    rng = np.random.default_rng(split.seed)
    tasks = []
    for fit, held_out in pairs:
        ordered = _nested_order(problem, fit, rng)
        tasks += [
            (share, ordered[: _size(problem, ordered, round(share * len(ordered)))], held_out) for share in shares
        ]
    n_threads = check_n_jobs(n_jobs)
    cores = cores_for_each(n_threads, len(tasks))
    results = Parallel(n_jobs=n_threads, prefer="threads", return_as="generator")(
        delayed(_point)(estimator, features, problem, split, np.sort(rows), held_out, metric, name, cores, store)
        for _, rows, held_out in tasks
    )
    found: dict[float, list[tuple[int, Metric, Metric]]] = {share: [] for share in shares}
    for done, ((share, rows, _), (train, test)) in enumerate(zip(tasks, results, strict=True), 1):
        found[share].append((len(rows), train, test))
        progress(f"learning curve, {len(rows)} samples", done, len(tasks))
    where = f"the first {len(pairs)} of {len(split.folds)} folds" if split.folds else "the test part"
    return LearningCurve(
        [round(float(np.mean([size for size, *_ in points]))) for points in found.values()],
        [spread([train for _, train, _ in points]) for points in found.values()],
        [spread([test for *_, test in points]) for points in found.values()],
        metric,
        name,
        features.key,
        f"each size is a random part of the next larger one; tested on {where}",
    )


def _nested_order(problem: Problem, rows: Indices, rng: np.random.Generator) -> Indices:
    """Return samples in an order whose beginnings are random subsets: whole structures, classes in proportion."""
    structures, which = np.unique(problem.structures[rows], return_inverse=True)
    place = rng.permutation(len(structures)).astype(np.float64)
    if problem.kind == "classification":
        first = np.zeros(len(structures), dtype=np.intp)
        first[which[::-1]] = problem.y[rows[::-1]].astype(np.intp)  # of its first atom, for atoms
        for label in np.unique(first):
            members = np.flatnonzero(first == label)
            order = members[np.argsort(place[members])]
            place[order] = np.arange(len(members)) / len(members)  # so that each class is there from the beginning
    return np.asarray(rows[np.lexsort((rows, which, place[which]))])


def draw_samples(problem: Problem, rows: Indices, n: int, seed: int) -> Indices:
    """Return n of some samples drawn at random, in ascending order: whole structures, classes in proportion."""
    if len(rows) <= n:
        return np.sort(rows)
    ordered = _nested_order(problem, rows, np.random.default_rng(seed))
    return np.sort(ordered[: _size(problem, ordered, n)])


def _size(problem: Problem, ordered: Indices, n: int) -> int:
    """Return how many samples are about n, without tearing structures apart."""
    size = min(len(ordered), max(2, n))
    structures = problem.structures[ordered]
    while size < len(ordered) and structures[size] == structures[size - 1]:
        size += 1
    return size


def _point(
    estimator: BaseEstimator,
    features: Features,
    problem: Problem,
    split: Split,
    rows: Indices,
    held_out: Indices,
    metric: str,
    name: str,
    n_threads: int,
    store: Store,
) -> tuple[Metric, Metric]:
    label = f"{name or 'model'}, learning curve"

    def make() -> Kept:
        with threadpool_limits(n_threads, user_api="openmp"):  # a setting of this very thread
            model = fit_estimator(estimator, features, problem, split, rows, label)
            kept: Kept = {}
            for part, judged in (("train", rows), ("test", held_out)):
                guess, probabilities, *_ = predict(model, features, problem, rows, judged, label)
                kept |= {part: guess, f"{part}_probabilities": probabilities}
        return kept

    try:
        kept = store.result("curve", made_from(estimator, features, problem, split, [(rows, held_out)]), make)
    except FitError as error:  # few samples can be too few for a model
        return Metric(None, str(error)), Metric(None, str(error))
    classes = problem.target.classes
    train, test = (
        compute_metrics(problem.kind, problem.y[judged], kept[part], kept[f"{part}_probabilities"], classes)[metric]
        for part, judged in (("train", rows), ("test", held_out))
    )
    return train, test
