"""The choice among models, made without the samples that judge it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator

from atomprint.learn.evaluate import Evaluation, Fold, cores_for_each, fit_and_predict
from atomprint.learn.features import Features
from atomprint.learn.metrics import METRICS, primary_metric
from atomprint.learn.problem import Problem
from atomprint.learn.split import Split, inner_folds
from atomprint.validation import check_n_jobs

Indices = npt.NDArray[np.intp]

_N_INNER = 5  # one of so many inner folds is held out
_MAX_COMPARED = 5000  # samples that models are fitted to for the comparison, and samples that they predict for it


class Candidate(NamedTuple):
    """A model on a set of features, with its results."""

    features: Features
    name: str
    estimator: BaseEstimator
    evaluation: Evaluation


@dataclass(frozen=True, eq=False)
class Choice:
    """What comes of choosing among models within each training part.

    Parameters
    ----------
    evaluation : Evaluation
        Each fold, or the test part, as predicted by the candidate that was chosen for it; ``Fold.chosen`` has its keys
        as "features" and "model".
    chosen : tuple of (str, str)
        Features and model of each of these parts.
    scores : ndarray of float64, shape (n_parts, n_candidates)
        The first figure of merit of all candidates on the inner held-out samples of each part; larger is better, so
        errors are negative.
    favourite : (str, str)
        The candidate that was chosen most often; of several, the one with the better mean score.
    """

    evaluation: Evaluation
    chosen: tuple[tuple[str, str], ...]
    scores: npt.NDArray[np.float64]
    favourite: tuple[str, str]


def choose(candidates: Sequence[Candidate], problem: Problem, split: Split, n_jobs: int = 1) -> Choice:
    """Choose a candidate for each part that judges, from the samples that models are fitted to for this part.

    These samples are cut into five inner folds of the same kind as the split; candidates are fitted to four of them (up
    to 5000 samples, drawn at random) and compared on the fifth. The one that is best there is the
    one whose predictions of the part count. Nothing about the part itself enters the choice [1]_.

    Parameters
    ----------
    candidates : sequence of Candidate
        Models, already evaluated on the split.
    problem : Problem
        The samples and the target.
    split : Split
        With folds, which judge; or with a test part alone.
    n_jobs : int
        Number of threads.

    Returns
    -------
    Choice

    Raises
    ------
    FitError
        If a model fails on a part of the samples.

    References
    ----------
    .. [1] G. C. Cawley and N. L. C. Talbot, "On over-fitting in model selection and subsequent selection bias in
       performance evaluation", J. Mach. Learn. Res. 11, 2079 (2010).
    """
    parts = [train for train, _ in split.folds] or [split.train]
    inner = [_inner(problem, train, split, number) for number, train in enumerate(parts)]
    jobs = [(candidate, *pair) for pair in inner for candidate in candidates]
    n_threads = check_n_jobs(n_jobs)
    share = cores_for_each(n_threads, len(jobs))
    results = Parallel(n_jobs=n_threads, prefer="threads")(
        delayed(_score)(candidate, problem, split, fit, held, share) for candidate, fit, held in jobs
    )
    scores = np.array(results, dtype=np.float64).reshape(len(parts), len(candidates))
    winners = scores.argmax(axis=1)
    counts = np.bincount(winners, minlength=len(candidates))
    favourite = max(range(len(candidates)), key=lambda c: (counts[c], scores[:, c].mean()))
    keys = [(candidate.features.key, candidate.name) for candidate in candidates]
    found = [_named(candidates[winner], part) for part, winner in enumerate(winners)]
    first = candidates[0].evaluation
    evaluation = Evaluation(
        problem.kind,
        tuple(found) if split.folds else (),
        None if split.folds else found[0],
        None,
        first.fold_names,
    )
    return Choice(evaluation, tuple(keys[winner] for winner in winners), scores, keys[favourite])


def _named(candidate: Candidate, part: int) -> Fold:
    """Return the fold, or the test part, of a candidate, which says whose it is."""
    evaluation = candidate.evaluation
    fold = evaluation.folds[part] if evaluation.folds else evaluation.test
    assert fold is not None
    return replace(fold, chosen={"features": candidate.features.key, "model": candidate.name, **fold.chosen})


def _inner(problem: Problem, train: Indices, split: Split, number: int) -> tuple[Indices, Indices]:
    """Return the samples to fit and to compare on, both of them among those of a training part."""
    random = np.random.default_rng([split.seed, number])
    try:
        fit, held = inner_folds(problem, train, split, _N_INNER)[0]
    except ValueError:  # one group, say: any samples are better than none
        order = random.permutation(len(train))
        fit, held = order[len(train) // _N_INNER :], order[: max(1, len(train) // _N_INNER)]
    fit, held = (np.sort(random.permutation(part)[:_MAX_COMPARED]) for part in (fit, held))
    return train[fit], train[held]


def _score(candidate: Candidate, problem: Problem, split: Split, fit: Indices, held: Indices, n_threads: int) -> float:
    label = f"features {candidate.features.key!r}, model {candidate.name!r}, choice within a training part"
    fold, _ = fit_and_predict(
        candidate.estimator, candidate.features, problem, split, fit, held, label, False, n_threads
    )
    assert fold is not None
    name = primary_metric(problem.kind)
    value = fold.metrics[name].value
    if value is None:
        return -np.inf
    return value if METRICS[problem.kind][name].larger_is_better else -value
