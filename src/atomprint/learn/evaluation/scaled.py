"""Widths of intervals by the difficulty of each sample, made from errors of samples that the model had not seen."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from atomprint.learn.estimators.difficulty import Coordinates, Difficulty, Held, Known
from atomprint.learn.estimators.expected import Expected, stacked
from atomprint.learn.estimators.widths import BINS, Factors, Widths, binned
from atomprint.learn.evaluation.breakdown import elements_of_atoms
from atomprint.learn.evaluation.evaluate import Evaluation
from atomprint.learn.evaluation.quantile import conformal_quantile
from atomprint.learn.models.doubt import Signs
from atomprint.learn.splits.split import Split
from atomprint.learn.task.features import Features
from atomprint.learn.task.metrics import Metric
from atomprint.learn.task.problem import Problem
from atomprint.util.draw import some_of
from atomprint.util.types import FloatArray, Indices, Mask

_FEWEST = 150  # errors: of fewer too little is learnt, and intervals hold less than they should
_MANY = 500  # errors from which on widths may differ though intervals are up to this factor wider for it
_WIDER, _NARROWER = 1.1, 0.97  # of fewer, intervals must be narrower by more than chance makes them look
_MOST = 20_000  # errors that are learnt from
_MOST_FOLDS = 5  # more are taken together
_N_BINS = dict(zip(BINS, (10, 5, 5), strict=True))
_OF_GROUP = 50  # errors of a group that has a factor of its own
_SHORT = 1.5  # how much more often than everywhere the truth may be outside in a group


class Scaled(NamedTuple):
    """Intervals of the predictions of an evaluation.

    Parameters
    ----------
    half : list of ndarray of float64
        For each of its parts half of the width of each interval.
    scores : list of ndarray of float64
        For each part the errors that its intervals are made from, divided by half of the widths that these would have.
    groups : list of ndarray of int, or of None
        For each part the groups of these, if residuals of one group are alike.
    distances : list of ndarray of float64
        For each part how far samples are from those that their intervals are made from.
    widths : Widths
        For new samples, predicted by the model fitted to all.
    """

    half: list[FloatArray]
    scores: list[FloatArray]
    groups: list[Indices | None]
    distances: list[FloatArray]
    widths: Widths


def elements_of(problem: Problem, samples: Indices) -> Mask:
    """Return which elements samples have, shape (n, 119); for an atom its own."""
    if problem.atoms is None:
        return np.asarray(problem.dataset.contains[problem.structures[samples]], dtype=bool)
    return elements_of_atoms(problem, samples)


def by_difficulty(
    evaluation: Evaluation,
    problem: Problem,
    split: Split,
    features: Features,
    level: float,
    groups: Indices | None,
) -> Scaled | str:
    r"""Return intervals whose widths go with the difficulty of samples, or why there are none.

    Half of a width is :math:`q(x) d(x)`, with the :class:`~atomprint.learn.estimators.difficulty.Difficulty` *d* of a
    sample and the conformal quantile *q* of the errors divided by *d* ([1]_, section 5.2), which are those of samples
    whose folds had no part in *d*. That holds on average. So that no group is paid for by another, *q* is at least the
    quantile for a share of misses half as large again among the samples of the same bin of predictions, of
    difficulties and of distances, and with the same element, if these are 50 or more ("Mondrian" [2]_): for a level of
    0.9 at least 0.85 of each such group. Where that matters, as for a target with many values that are predicted
    exactly, more than the level is inside on average.

    For the samples of a fold everything is learnt from the other folds.

    Parameters
    ----------
    evaluation, problem, split, features : Evaluation, Problem, Split, Features
        A model with cross-validation, and features of all samples, which need not be those of the model.
    level : float
        The share of samples whose truth is to be inside.
    groups : ndarray of int, or None
        The group of each prediction out of folds, if residuals of one group are alike.

    References
    ----------
    .. [1] J. Lei et al., J. Am. Stat. Assoc. 113, 1094 (2018).
    .. [2] V. Vovk, A. Gammerman, G. Shafer, Algorithmic Learning in a Random World, Springer (2005), chapter 4.
    """
    if not hasattr(features.values, "shape"):
        return "there is no table of features to compare samples by"
    if not evaluation.folds:
        return "there is no cross-validation"
    found = evaluation.out_of_fold()
    if len(found.indices) < _FEWEST:
        return f"widths by difficulty need {_FEWEST} held-out errors, got {len(found.indices)}"
    learnt = None if features.learnt is None else features.learnt.columns
    if learnt is not None and len(learnt) == features.values.shape[1]:
        return "all features are learnt from targets, also from those of the samples to be judged"
    space = Coordinates.fit(features.values, split.train, without=learnt)
    cut = np.arange(len(evaluation.folds)) % _MOST_FOLDS
    folds = cut[found.folds]

    doubts = tuple(found.signs)

    coordinates = space.transform(features.values)

    def known(samples: Indices, guess: FloatArray, signs: Signs) -> Known:
        return Known(coordinates[samples], guess, elements_of(problem, samples), stacked(signs, doubts, len(samples)))

    everything, truth = known(found.indices, found.y_pred, found.signs), problem.y[found.indices]
    errors = np.abs(found.y_pred - truth)
    used: dict[int, _Calibrated] = {}
    for k in [*np.unique(folds).tolist(), -1]:
        mine = found.indices[folds == k]
        rows = np.flatnonzero(~np.isin(found.indices, mine))
        rows = rows[some_of(len(rows), _MOST)]
        if len(rows) < _FEWEST // 2 or len(np.unique(folds[rows])) < 2:
            return f"widths by difficulty need {_FEWEST // 2} errors in two folds beside each, got {len(rows)}"
        if not errors[rows].any():
            return "all held-out errors are 0"
        own = None if groups is None else groups[rows]
        part = everything.take(rows)
        held = Difficulty.fit(part, errors[rows], truth[rows], folds[rows], found.indices[rows])
        factors = _factors(held, part, errors[rows], level, own)
        if isinstance(factors, Metric):
            return factors.reason
        half = held.difficulties * factors.of(part, held.difficulties, held.signals)
        used[k] = _Calibrated(held.difficulty, factors, errors[rows] / half, own)
        if k == -1:
            constant = conformal_quantile(errors[rows], level, own).value or 0.0
            if half.mean() > constant * (_NARROWER if len(rows) < _MANY else _WIDER):
                return "intervals by difficulty would be wider on average, or hardly narrower"
    which = [int(cut[k]) if k < len(evaluation.folds) else -1 for k in range(len(evaluation.parts()))]
    halves, distances = [], []
    for k, (_, fold) in zip(which, evaluation.parts(), strict=True):
        part = known(fold.indices, fold.y_pred, fold.signs)
        difficulties, signals = used[k].difficulty.of(part)
        halves.append(difficulties * used[k].factors.of(part, difficulties, signals))
        distances.append(np.exp(binned(part, difficulties, signals)["distance"]))
    final = used[-1]
    return Scaled(
        halves,
        [used[k].scores for k in which],
        [used[k].groups for k in which],
        distances,
        Widths(level, Expected(space, final.difficulty, doubts), final.factors),
    )


class _Calibrated(NamedTuple):
    difficulty: Difficulty
    factors: Factors
    scores: FloatArray
    groups: Indices | None


def _factors(held: Held, known: Known, errors: FloatArray, level: float, groups: Indices | None) -> Factors | Metric:
    """Return the factors that difficulties are multiplied by, or why there are none."""
    scores = errors / held.difficulties
    everywhere = conformal_quantile(scores, level, groups)
    if everywhere.value is None:
        return everywhere
    at_least = max(1 - _SHORT * (1 - level), 0.0)

    def of_group(mask: Mask) -> float:
        own = None if groups is None else groups[mask]
        if mask.sum() < _OF_GROUP or not at_least:
            return 0.0
        return conformal_quantile(scores[mask], at_least, own).value or 0.0

    edges, of_bins = {}, {}
    for name, values in binned(known, held.difficulties, held.signals).items():
        edges[name] = np.unique(np.quantile(values, np.linspace(0, 1, _N_BINS[name] + 1)[1:-1]))
        places = np.searchsorted(edges[name], values)
        of_bins[name] = np.array([of_group(places == place) for place in range(len(edges[name]) + 1)])
    of_elements = np.array([of_group(own) for own in known.elements.T])
    return Factors(everywhere.value, edges, of_bins, of_elements)
