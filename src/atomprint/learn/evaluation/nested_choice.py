"""Which features and which model: chosen within each training part, never by the samples that judge the choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator
from threadpoolctl import threadpool_limits

from atomprint.learn.evaluation.curve import draw_samples
from atomprint.learn.evaluation.evaluate import Evaluation, cores_for_each, fit_estimator, joined, made_from, predict
from atomprint.learn.splits.split import Split, inner_folds
from atomprint.learn.task.features import Features
from atomprint.learn.task.metrics import METRICS, Metric, compute_metrics, primary_metric
from atomprint.learn.task.problem import Problem
from atomprint.util.progress import Progress, silent
from atomprint.util.store import NOTHING_KEPT, Kept, Store
from atomprint.util.types import FloatArray, Indices, JsonObject
from atomprint.util.validation import check_integer, check_n_jobs

CHOSEN = "chosen"
"""Key of the choice in place of features and model, where each fold has its own."""

CHOSEN_TITLE = "Chosen within each training part"

N_INNER = 5  # inner folds: a part of 20 % is held out
ENOUGH = 500  # held-out samples to compare candidates on; with fewer in one inner fold, several are used


class Candidate(NamedTuple):
    """Features and a model for them."""

    features: Features
    name: str
    estimator: BaseEstimator


@dataclass(frozen=True, eq=False)
class Choice:
    """What was chosen for each part, and by which figures.

    Parameters
    ----------
    candidates : tuple of (str, str)
        Keys of features and model of each candidate.
    metric : str
        Name of the figure in :data:`~atomprint.learn.task.metrics.METRICS` that they were compared by.
    kind : {"regression", "classification"}
        Kind of the problem.
    parts : tuple of str
        Names of the parts of the split, each predicted by what was chosen within the samples fitted for it.
    figures : sequence of sequence of Metric
        For each part the figure of each candidate in the inner validation.
    description : str
        How the choice was made, in words.
    seconds : float
        Time of all fits and predictions of the inner validation, added up.
    """

    candidates: tuple[tuple[str, str], ...]
    metric: str
    kind: str
    parts: tuple[str, ...]
    figures: Sequence[Sequence[Metric]]
    description: str
    seconds: float

    @property
    def winners(self) -> tuple[tuple[str, str], ...]:
        """Keys of features and model chosen for each part."""
        return tuple(self.candidates[k] for k in self._scores().argmax(axis=1))

    @property
    def best(self) -> tuple[str, str]:
        """Keys of features and model chosen most often; of several, those with the best mean inner figure."""
        return self.candidates[self._most_often(range(len(self.candidates)))]

    def best_model(self, features: str) -> str:
        """Return the key of the model preferred most often among those with some features."""
        own = [k for k, (key, _) in enumerate(self.candidates) if key == features]
        return self.candidates[self._most_often(own)][1]

    def assemble(self, evaluations: Mapping[tuple[str, str], Evaluation]) -> Evaluation:
        """Return the result of choosing: for each fold the predictions of the candidate chosen for it.

        Parameters
        ----------
        evaluations : mapping of (str, str) to Evaluation
            Result of each candidate on the split of the choice.

        Returns
        -------
        Evaluation
            With the keys "features" and "model" in the ``chosen`` of each fold. For a split without folds, the
            evaluation of the candidate that was chosen.
        """
        best = evaluations[self.best]
        if not best.folds:
            return best
        folds = []
        for k, (features, model) in enumerate(self.winners):
            fold = evaluations[features, model].folds[k]
            folds.append(replace(fold, chosen={"features": features, "model": model, **fold.chosen}))
        return replace(best, folds=tuple(folds), fold_estimators=())

    def to_dict(self) -> JsonObject:
        """Return plain types, for JSON."""
        return {
            "description": self.description,
            "metric": self.metric,
            "seconds": self.seconds,
            "most_often": dict(zip(("features", "model"), self.best, strict=True)),
            "parts": [
                {
                    "name": name,
                    "features": features,
                    "model": model,
                    "inner_figures": [
                        {"features": f, "model": m, self.metric: figure.to_dict()}
                        for (f, m), figure in zip(self.candidates, figures, strict=True)
                    ],
                }
                for name, (features, model), figures in zip(self.parts, self.winners, self.figures, strict=True)
            ],
        }

    def _scores(self) -> FloatArray:
        """Return the figures with shape (n_parts, n_candidates), larger ones better."""
        sign = 1.0 if METRICS[self.kind][self.metric].larger_is_better else -1.0
        return np.array([[-np.inf if m.value is None else sign * m.value for m in row] for row in self.figures])

    def _most_often(self, among: Sequence[int]) -> int:
        scores = self._scores()[:, list(among)]
        wins = np.bincount(scores.argmax(axis=1), minlength=len(among))
        return among[max(range(len(among)), key=lambda k: (wins[k], scores[:, k].mean()))]


def choose(
    candidates: Sequence[Candidate],
    problem: Problem,
    split: Split,
    *,
    metric: str | None = None,
    n_choose: int = 5000,
    n_jobs: int = 1,
    progress: Progress = silent,
    store: Store = NOTHING_KEPT,
) -> Choice:
    """Compare candidates within the samples that are fitted for each part of a split.

    What is held out in the comparison is an inner fold of the same kind as the parts of the split. The samples of a
    part, which later judge the choice made for it, take no part in it: this is nested cross-validation [1]_ [2]_.

    Parameters
    ----------
    candidates : sequence of Candidate
        Features and models.
    problem : Problem
        The samples.
    split : Split
        With folds, or with a test part.
    metric : str, optional
        The figure that they are compared by. Default: the first of this kind of problem.
    n_choose : int
        The most samples of a training part that are used, drawn with the seed: comparing candidates takes fewer samples
        than fitting the final model. One in five is held out; of few samples each is, in turn.
    n_jobs : int
        Number of threads; -1 means all cores. Results do not depend on it.
    progress : Progress
        Called before each candidate in each part.
    store : Store
        Where results of comparisons are kept.

    Returns
    -------
    Choice

    Raises
    ------
    FitError
        If a model fails; the message names features, model and part.
    ValueError
        If the samples of a part cannot be divided once more.

    References
    ----------
    .. [1] M. Stone, "Cross-validatory choice and assessment of statistical predictions", J. R. Stat. Soc. B 36, 111
       (1974).
    .. [2] S. Varma, R. Simon, "Bias in error estimation when using cross-validation for model selection", BMC
       Bioinformatics 7, 91 (2006).
    """
    n_choose = check_integer("n_choose", n_choose, 10)
    metric = primary_metric(problem.kind) if metric is None else metric
    parts = [(name, _inner_parts(problem, split, name, fit, n_choose)) for name, fit, _ in split.parts()]
    tasks = [(name, inner, candidate) for name, inner in parts for candidate in candidates]
    n_threads = check_n_jobs(n_jobs)
    cores = cores_for_each(n_threads, len(tasks))
    results = Parallel(n_jobs=n_threads, prefer="threads", return_as="generator")(
        delayed(_compare)(candidate, problem, split, inner, metric, f"choice for {name}", cores, store)
        for name, inner, candidate in tasks
    )
    found, seconds = [], 0.0
    for done, (name, _, candidate) in enumerate(tasks):
        progress(f"choosing for {name}: {candidate.features.title}, {candidate.name}", done, len(tasks))
        figure, time = next(results)
        found.append(figure)
        seconds += time
    n = len(candidates)
    return Choice(
        tuple((candidate.features.key, candidate.name) for candidate in candidates),
        metric,
        problem.kind,
        tuple(name for name, _ in parts),
        [found[k * n : (k + 1) * n] for k in range(len(parts))],
        _described(parts, metric, problem.kind),
        seconds,
    )


def _inner_parts(
    problem: Problem, split: Split, name: str, fit: Indices, n_choose: int
) -> list[tuple[Indices, Indices]]:
    """Return samples to fit and to compare on, all of them from those that are fitted for a part."""
    rows = draw_samples(problem, fit, n_choose, split.seed)
    try:
        folds = inner_folds(problem, rows, split, N_INNER)
    except ValueError as error:
        raise ValueError(
            f"{name}: features and models cannot be compared within its {len(fit)} training samples ({error}): give "
            "one set of features and one model, or both folds and a test part"
        ) from error
    used: list[tuple[Indices, Indices]] = []
    # Models of few samples, such as the first ones in order of time, say little of what is fitted to all of them.
    large = [(inner, held_out) for inner, held_out in folds if 2 * len(inner) >= len(rows)] or folds[-1:]
    for inner, held_out in reversed(large):  # in order of time the last one has most to learn from
        used.append((rows[inner], rows[held_out]))
        if sum(len(held) for _, held in used) >= ENOUGH:
            break
    return used


def _compare(
    candidate: Candidate,
    problem: Problem,
    split: Split,
    parts: Sequence[tuple[Indices, Indices]],
    metric: str,
    label: str,
    n_threads: int,
    store: Store,
) -> tuple[Metric, float]:
    """Return the figure of a candidate on all that is held out together, and the time it took."""
    label = f"features {candidate.features.key!r}, model {candidate.name!r}, {label}"

    def make() -> Kept:
        start = perf_counter()
        guesses, probabilities = [], []
        with threadpool_limits(n_threads, user_api="openmp"):  # a setting of this very thread
            for fit, held_out in parts:
                model = fit_estimator(candidate.estimator, candidate.features, problem, split, fit, label)
                guess, given, *_ = predict(model, candidate.features, problem, fit, held_out, label)
                guesses.append(guess)
                probabilities.append(given)
        seconds = perf_counter() - start
        return {"guess": np.concatenate(guesses), "probabilities": joined(probabilities), "seconds": seconds}

    found = store.result("choice", made_from(candidate.estimator, candidate.features, problem, split, parts), make)
    truth = problem.y[np.concatenate([held_out for _, held_out in parts])]
    metrics = compute_metrics(problem.kind, truth, found["guess"], found["probabilities"], problem.target.classes)
    return metrics[metric], found["seconds"]


def _described(parts: Sequence[tuple[str, list[tuple[Indices, Indices]]]], metric: str, kind: str) -> str:
    held = [sum(len(held_out) for _, held_out in inner) for _, inner in parts]
    fitted = [len(fit) for _, inner in parts for fit, _ in inner]
    where = "each training part" if len(parts) > 1 else "the training part"
    return (
        f"chosen by the {METRICS[kind][metric].title} on {_span(held)} samples held out within {where}, from models "
        f"fitted to {_span(fitted)} others of it"
    )


def _span(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
