"""From probabilities to a class: thresholds for which a figure of merit is largest on samples that were not fitted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from atomprint.util.types import FloatArray, Indices
from atomprint.util.validation import check_choice

FIGURES = ("balanced_accuracy", "accuracy", "f1", "mcc")
"""Figures of merit that depend on which class is predicted, and not on its probability alone."""

_TINY = 1e-12  # in place of a probability of 0
_MOST_CUTS = 64  # tried for one of several classes
_MOST_ROUNDS = 10


def decide(probabilities: FloatArray, thresholds: FloatArray) -> Indices:
    """Return the class of each sample: that whose probability is largest in units of its threshold.

    Of two classes with the thresholds 1 - t and t, that is the second one where its probability exceeds t.

    Parameters
    ----------
    probabilities : ndarray of float64, shape (n_samples, n_classes)
        Probabilities of the classes.
    thresholds : ndarray of float64, shape (n_classes,)
        All larger than 0, with the sum 1; if all are equal, the most probable class is taken.
    """
    return np.asarray((probabilities / thresholds).argmax(axis=1), dtype=np.intp)


def given_threshold(threshold: float) -> FloatArray:
    """Return the thresholds of two classes if that of the second one is given."""
    return np.array([1 - threshold, threshold])


def best_thresholds(probabilities: FloatArray, truth: Indices, figure: str) -> tuple[FloatArray, float]:
    """Return the thresholds for which a figure of merit of samples is largest.

    Parameters
    ----------
    probabilities : ndarray of float64, shape (n_samples, n_classes)
        Probabilities of the classes for samples that the model has not seen.
    truth : ndarray of int, shape (n_samples,)
        Index of the class of each.
    figure : {"balanced_accuracy", "accuracy", "f1", "mcc"}
        As in :data:`~atomprint.learn.task.metrics.METRICS`.

    Returns
    -------
    thresholds : ndarray of float64, shape (n_classes,)
        As for :func:`decide`. Of two classes all divisions of the samples are compared; among several, one threshold
        after the other is moved until none gets better, which finds a maximum, though perhaps not the largest one.
        Equal ones where only one class occurs.
    value : float
        The figure of merit with these thresholds.
    """
    check_choice("figure", figure, FIGURES)
    n_classes = probabilities.shape[1]
    start = np.full(n_classes, 1 / n_classes)
    if len(np.unique(truth)) < 2:
        return start, _of(probabilities, truth, start, figure)
    if n_classes == 2:
        return _of_two(probabilities[:, 1], truth == 1, figure)
    return _of_several(np.maximum(probabilities, _TINY), truth, start, figure)


def figure_of(confusion: npt.NDArray[np.integer], figure: str) -> FloatArray:
    """Return a figure of merit of tables that count the samples of each class (rows) by the predicted class (columns).

    Parameters
    ----------
    confusion : ndarray of int, shape (..., n_classes, n_classes)
        The counts.
    figure : str
        One of :data:`FIGURES`.

    Returns
    -------
    ndarray of float64, shape (...)
    """
    return _FIGURES[figure](np.asarray(confusion, dtype=np.float64))


def _of_two(p: FloatArray, positive: npt.NDArray[np.bool_], figure: str) -> tuple[FloatArray, float]:
    """Compare all cuts between probabilities that occur."""
    values, place = np.unique(p, return_inverse=True)
    # Counts at or below each probability; before the first of them nothing is negative.
    below = np.array(
        [np.r_[0, np.cumsum(np.bincount(place[own], minlength=len(values)))] for own in (~positive, positive)]
    )
    totals = below[:, -1:]
    confusion = np.stack([below, totals - below], axis=-1).transpose(1, 0, 2)  # (cuts, truth, predicted)
    ends = np.r_[0.0, values, 1.0]
    cuts = (ends[:-1] + ends[1:]) / 2
    scores = np.where((cuts > 0) & (cuts < 1), figure_of(confusion, figure), -np.inf)
    best = scores.max()
    tied = np.flatnonzero(scores >= best - 1e-12)
    chosen = tied[np.argmin(np.abs(cuts[tied] - 0.5))]
    return given_threshold(float(cuts[chosen])), float(best)


def _of_several(probabilities: FloatArray, truth: Indices, start: FloatArray, figure: str) -> tuple[FloatArray, float]:
    """Move the threshold of one class after the other, from equal ones and from the shares of the classes."""
    shares = np.maximum(np.bincount(truth, minlength=len(start)), 1).astype(np.float64)
    found = [_climbed(probabilities, truth, first, figure) for first in (start, shares / shares.sum())]
    return max(found, key=lambda pair: pair[1])  # of equals that from equal thresholds


def _climbed(
    probabilities: FloatArray, truth: Indices, thresholds: FloatArray, figure: str
) -> tuple[FloatArray, float]:
    best = _of(probabilities, truth, thresholds, figure)
    for _ in range(_MOST_ROUNDS):
        before = best
        for k in range(len(thresholds)):
            others = np.delete(probabilities / thresholds, k, axis=1).max(axis=1)
            turns = np.unique(probabilities[:, k] / others)  # thresholds at which a sample changes its class
            if len(turns) > _MOST_CUTS:
                turns = np.unique(np.quantile(turns, np.linspace(0, 1, _MOST_CUTS)))
            cuts = np.sqrt(turns[:-1] * turns[1:])
            values = np.array([_of(probabilities, truth, _moved(thresholds, k, cut), figure) for cut in cuts])
            if len(cuts) and values.max() > best + 1e-12:
                # Of equal ones that which changes least, as for two classes: the ends of a range are chance.
                tied = cuts[values >= values.max() - 1e-12]
                cut = tied[np.argmin(np.abs(np.log(tied / thresholds[k])))]
                best, thresholds = float(values.max()), _moved(thresholds, k, cut)
        if best <= before:
            break
    return thresholds / thresholds.sum(), best


def _moved(thresholds: FloatArray, k: int, cut: float) -> FloatArray:
    """Return thresholds of which one is another."""
    moved = thresholds.copy()
    moved[k] = cut
    return moved


def _of(probabilities: FloatArray, truth: Indices, thresholds: FloatArray, figure: str) -> float:
    n = len(thresholds)
    counts = np.bincount(truth * n + decide(probabilities, thresholds), minlength=n * n)
    return float(figure_of(counts.reshape(n, n), figure))


def _ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    """Return a ratio, 0 where there is nothing to divide by."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def _balanced_accuracy(confusion: FloatArray) -> FloatArray:
    of_class = confusion.sum(axis=-1)
    right = _ratio(np.diagonal(confusion, axis1=-2, axis2=-1), of_class)
    return np.asarray(right.sum(axis=-1) / np.maximum((of_class > 0).sum(axis=-1), 1))


def _accuracy(confusion: FloatArray) -> FloatArray:
    return _ratio(np.trace(confusion, axis1=-2, axis2=-1), confusion.sum(axis=(-2, -1)))


def _f1(confusion: FloatArray) -> FloatArray:
    both = confusion.sum(axis=-1) + confusion.sum(axis=-2)  # twice the hits, misses and false alarms
    of_class = _ratio(2 * np.diagonal(confusion, axis1=-2, axis2=-1), both)
    if confusion.shape[-1] == 2:
        return np.asarray(of_class[..., 1])
    return np.asarray(of_class.sum(axis=-1) / np.maximum((both > 0).sum(axis=-1), 1))


def _mcc(confusion: FloatArray) -> FloatArray:
    true, said, n = confusion.sum(axis=-1), confusion.sum(axis=-2), confusion.sum(axis=(-2, -1))
    together = np.trace(confusion, axis1=-2, axis2=-1) * n - (true * said).sum(axis=-1)
    return _ratio(together, np.sqrt((n**2 - (said**2).sum(axis=-1)) * (n**2 - (true**2).sum(axis=-1))))


_FIGURES: Mapping[str, Callable[[FloatArray], FloatArray]] = MappingProxyType(
    {"balanced_accuracy": _balanced_accuracy, "accuracy": _accuracy, "f1": _f1, "mcc": _mcc}
)
