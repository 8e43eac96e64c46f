"""How large the error of a prediction is likely to be, told by errors of samples that are like it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from scipy.optimize import minimize
from sklearn.decomposition import PCA
from sklearn.utils import gen_batches

from atomprint.util import sparse
from atomprint.util.draw import some_of
from atomprint.util.types import Array, FloatArray, Indices, Mask, Samples

MAX_REFERENCES = 2000
"""Samples with known errors that a new one is compared with, at most."""

SIGNALS = (
    "errors of the 10 nearest samples",
    "errors of the 50 nearest samples",
    "distance to the 5 nearest samples",
    "difference from the values of the 10 nearest samples",
    "spread of the values of the 10 nearest samples",
    "errors of samples with the nearest predictions",
    "errors of samples with its elements, on average",
    "errors of samples with one of its elements, the largest",
)
"""What the difficulty of a sample is told by, besides what the model says of it: logarithms of positive numbers."""

_MAX_DIMENSIONS = 16
_MAX_ENTRIES = 2**23  # of the features that coordinates are learnt from: 64 MiB
_MAX_DEVIATION = 5.0  # standard deviations: no single feature, such as one that is nearly constant, decides
_CONSTANT = 1e-9  # of the largest value of a feature, below which its standard deviation is rounding
_NEAR, _NEARER, _NEAREST = 50, 10, 5  # neighbours
_LEVEL = 0.05  # weight of the farthest neighbour, where the nearest has about 1
_ALIKE = 100  # samples with the nearest predictions
_N_KNOTS = 101
_FLOOR = 0.03  # of the mean error: what is smaller is the same
_PRIOR = 10.0  # samples with an average error that each element is given, and strength of the penalty
_SHORTEST = 1e-3  # of the size of all coordinates: distances that are shorter are the same
_TINY = 1e-200  # so that logarithms are finite where all errors are 0
_ROWS = 256  # samples that are compared at once
_FEW_ROWS = 64  # whose features fit into a cache


@dataclass(frozen=True, eq=False)
class Coordinates:
    """A table of features in few dimensions: standardised, cut off, principal components.

    Parameters
    ----------
    center, scale : ndarray of float64, shape (n_features,)
        What features are shifted by, and divided by; infinity for one that never varied.
    components : ndarray of float32, shape (n_dimensions, n_features)
        Principal directions, divided by the root mean square distance of samples from their centre.
    """

    center: FloatArray
    scale: FloatArray
    components: Array

    @classmethod
    def fit(cls, X: Samples, rows: Indices | None = None, without: Indices | None = None) -> Self:
        """Learn from features of samples, all or some rows, nan where one is not known; of many some are drawn.

        Columns that it is to do ``without`` count for nothing, as if they never varied.
        """
        rows = np.arange(X.shape[0]) if rows is None else rows
        size = min(len(rows), max(500, min(MAX_REFERENCES, _MAX_ENTRIES // max(X.shape[1], 1))))
        X = _dense(X[np.sort(rows[some_of(len(rows), size)])])
        known = np.isfinite(X)
        counts = np.maximum(known.sum(axis=0), 1)
        center = np.where(known, X, 0.0).sum(axis=0) / counts
        scale = np.sqrt((np.where(known, X - center, 0.0) ** 2).sum(axis=0) / counts)
        largest = np.abs(np.where(known, X, 0.0)).max(axis=0)
        scale[scale <= _CONSTANT * largest] = np.inf
        if without is not None:
            scale[without] = np.inf
        z = _standardised(X, center, scale)
        with np.errstate(invalid="ignore", divide="ignore"):  # shares of the variance, if there is none
            components = PCA(min(_MAX_DIMENSIONS, *z.shape), svd_solver="randomized", random_state=0).fit(z).components_
        size_of_all = float(np.sqrt(((z @ components.T) ** 2).sum(axis=1).mean())) or 1.0
        return cls(center, scale, np.asarray(components / size_of_all, dtype=np.float32))

    def transform(self, X: Samples) -> FloatArray:
        """Return coordinates, shape (n_samples, n_dimensions)."""
        found = np.empty((X.shape[0], len(self.components)))
        directions = self.components.T.astype(np.float64)
        for rows in gen_batches(X.shape[0], _FEW_ROWS):
            found[rows] = _standardised(_dense(X[rows]), self.center, self.scale) @ directions
        return found


class Known(NamedTuple):
    """What is known of samples before their truth is.

    Parameters
    ----------
    coordinates : ndarray of float64, shape (n, n_dimensions)
        See :class:`Coordinates`.
    guess : ndarray of float64, shape (n,)
        Predictions.
    elements : ndarray of bool, shape (n, 119)
        Which elements there are in each; for an atom its own.
    doubt : ndarray of float64, shape (n, n_doubts)
        The model's own signs of doubt (:func:`~atomprint.learn.models.doubt.predict_with_doubt`): numbers that are not
        negative, in any unit; nan where one is not known.
    """

    coordinates: FloatArray
    guess: FloatArray
    elements: Mask
    doubt: FloatArray

    def take(self, rows: Any) -> Known:
        """Return some of the samples."""
        return Known(*(part[rows] for part in self))


@dataclass(frozen=True, eq=False)
class References:
    """Samples whose errors are known; all arrays as they are saved."""

    coordinates: Array  # (n_references, n_dimensions), float32
    errors: FloatArray  # (n_references,)
    truth: FloatArray
    knots: FloatArray  # predictions, ascending, and the mean error of samples with about these
    at_knots: FloatArray
    of_elements: FloatArray  # (119,): mean error of samples with each; nan for one that there is not
    least_doubt: FloatArray  # (n_doubts,): what is smaller is the same
    floor: float

    @classmethod
    def of(cls, known: Known, errors: FloatArray, truth: FloatArray) -> Self:
        """Keep what a new sample is compared with."""
        n = len(errors)
        rows = some_of(n, MAX_REFERENCES)
        mean = float(errors.mean())
        order = np.argsort(known.guess, kind="stable")
        sums, width = np.concatenate([[0.0], np.cumsum(errors[order])]), max(1, min(_ALIKE, n // 4))
        places = np.unique(np.linspace(0, n - 1, _N_KNOTS).astype(np.intp))
        low = np.clip(places - width // 2, 0, n - width)
        # Where many predictions are the same, their mean error is that of all of them.
        knots, first = np.unique(known.guess[order][places], return_inverse=True)
        at_knots = np.bincount(first, (sums[low + width] - sums[low]) / width) / np.bincount(first)
        counts = known.elements.sum(axis=0)
        of_elements = (errors @ known.elements + _PRIOR * mean) / (counts + _PRIOR)
        return cls(
            known.coordinates[rows].astype(np.float32),
            errors[rows],
            truth[rows],
            knots,
            at_knots,
            np.where(counts > 0, of_elements, np.nan),
            np.maximum(_FLOOR * known.doubt.mean(axis=0), _TINY),
            max(_FLOOR * mean, _TINY),
        )

    def signals(self, known: Known) -> FloatArray:
        """Return :data:`SIGNALS` of samples and their doubts, shape (n, 8 + n_doubts)."""
        n = len(known.guess)
        near, nearer, truth, spread, distance = (np.empty(n) for _ in range(5))
        reference = self.coordinates.astype(np.float64)
        lengths, k = (reference**2).sum(axis=1), min(_NEAR, len(reference))
        for rows in gen_batches(n, _ROWS):
            x = known.coordinates[rows]
            apart = lengths - 2 * x @ reference.T  # squared distances, less what is the same for all
            places = np.argpartition(apart, k - 1, axis=1)[:, :k]
            d = np.sqrt(((x[:, None] - reference[places]) ** 2).sum(axis=2))
            order = np.argsort(d, axis=1, kind="stable")
            places, d = np.take_along_axis(places, order, axis=1), np.take_along_axis(d, order, axis=1)
            weights, few = _weights(d), _weights(d[:, :_NEARER])
            near[rows] = (weights * self.errors[places]).sum(axis=1)
            nearer[rows] = (few * self.errors[places[:, :_NEARER]]).sum(axis=1)
            values = self.truth[places[:, :_NEARER]]
            truth[rows] = (few * values).sum(axis=1)
            spread[rows] = np.sqrt((few * (values - truth[rows, None]) ** 2).sum(axis=1))
            distance[rows] = d[:, :_NEAREST].mean(axis=1)
        of_elements = np.where(np.isnan(self.of_elements), np.nanmax(self.of_elements, initial=0.0), self.of_elements)
        counts = np.maximum(known.elements.sum(axis=1), 1)
        logarithms = np.log(of_elements + self.floor)
        largest = np.where(known.elements, of_elements, 0.0).max(axis=1)
        return np.column_stack(
            [
                np.log(nearer + self.floor),
                np.log(near + self.floor),
                np.log(distance + _SHORTEST),
                np.log(np.abs(known.guess - truth) + self.floor),
                np.log(spread + self.floor),
                np.log(np.interp(known.guess, self.knots, self.at_knots) + self.floor),
                (known.elements @ logarithms) / counts,
                np.log(largest + self.floor),
                np.log(known.doubt + self.least_doubt),
            ]
        )


class Held(NamedTuple):
    """A difficulty, and those of the samples that it was learnt from, as if each of these were new."""

    difficulty: Difficulty
    difficulties: FloatArray
    signals: FloatArray


@dataclass(frozen=True, eq=False)
class Difficulty:
    r"""The error that is to be expected of a prediction, in the unit of the target.

    :math:`d(x) = \exp(b + \sum_k w_k z_k(x))` with the standardised :data:`SIGNALS` *z*, cut off at the ends of what
    samples had that were not known to the model. The weights are those that make errors of such samples likeliest if
    they are distributed exponentially with the mean *d*, less a penalty on their squares, so that with few samples the
    difficulty is about the same for all. None but errors of samples that the model had not seen enter.

    Parameters
    ----------
    references : References
        Samples whose errors are known.
    center, scale, lower, upper : ndarray of float64, shape (n_signals,)
        Of the signals.
    weights : ndarray of float64, shape (n_signals,)
        *w*.
    intercept : float
        *b*.
    """

    references: References
    center: FloatArray
    scale: FloatArray
    lower: FloatArray
    upper: FloatArray
    weights: FloatArray
    intercept: float

    @classmethod
    def fit(cls, known: Known, errors: FloatArray, truth: FloatArray, folds: Indices, samples: Indices) -> Held:
        """Learn from absolute errors of predictions out of folds.

        Parameters
        ----------
        known : Known
            The samples.
        errors, truth : ndarray of float64, shape (n,)
            Their absolute errors, and true values.
        folds : ndarray of int, shape (n,)
            The fold that each was predicted in: signals of its samples come from samples of other folds.
        samples : ndarray of int, shape (n,)
            Which sample each is; one that is in two folds is not compared with itself.

        Returns
        -------
        Held
            The difficulty for new samples, and those of these samples for which nothing was learnt from their own fold.
        """
        signals = np.empty((len(errors), len(SIGNALS) + known.doubt.shape[1]))
        own = {int(fold): folds == fold for fold in np.unique(folds)}
        others = {fold: ~mask & ~np.isin(samples, samples[mask]) for fold, mask in own.items()}
        for fold, mask in own.items():
            rest = others[fold]
            signals[mask] = References.of(known.take(rest), errors[rest], truth[rest]).signals(known.take(mask))
        references = References.of(known, errors, truth)
        difficulties = np.empty(len(errors))
        for fold, mask in own.items():
            rest = others[fold]
            difficulties[mask] = cls._learnt(references, signals[rest], errors[rest])._of_signals(signals[mask])
        return Held(cls._learnt(references, signals, errors), difficulties, signals)

    @classmethod
    def _learnt(cls, references: References, signals: FloatArray, errors: FloatArray) -> Self:
        center, scale = signals.mean(axis=0), signals.std(axis=0)
        scale = np.where(scale > 1e-6, scale, np.inf)
        z = (signals - center) / scale
        targets, n = errors + references.floor, len(errors)
        mean = float(targets.mean())
        targets = targets / mean

        def loss(w: FloatArray) -> tuple[float, FloatArray]:
            eta = np.clip(w[0] + z @ w[1:], -40, 40)
            ratio = targets * np.exp(-eta)
            slope = (1 - ratio) / n
            value = float((eta + ratio).mean() + _PRIOR / (2 * n) * (w[1:] ** 2).sum())
            return value, np.concatenate([[slope.sum()], slope @ z + _PRIOR / n * w[1:]])

        w = minimize(loss, np.zeros(1 + z.shape[1]), jac=True, method="L-BFGS-B").x
        return cls(
            references, center, scale, signals.min(axis=0), signals.max(axis=0), w[1:], float(w[0] + np.log(mean))
        )

    def of(self, known: Known) -> tuple[FloatArray, FloatArray]:
        """Return the difficulties of samples, shape (n,), and their signals, shape (n, n_signals)."""
        signals = self.references.signals(known)
        return self._of_signals(signals), signals

    def _of_signals(self, signals: FloatArray) -> FloatArray:
        z = (np.clip(signals, self.lower, self.upper) - self.center) / self.scale
        z = np.where(np.isnan(z), 0.0, z)  # what is not known says nothing
        return np.asarray(np.exp(self.intercept + np.clip(z @ self.weights, -40, 40)))


def _weights(distances: FloatArray) -> FloatArray:
    """Return how much neighbours count, sorted by distance: less the farther they are."""
    reach = np.maximum(distances[:, -1:], 1e-300)
    weights = 1 - (distances / reach) ** 2 + _LEVEL
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _standardised(X: FloatArray, center: FloatArray, scale: FloatArray) -> FloatArray:
    z = X - center
    with np.errstate(invalid="ignore"):  # infinity by infinity
        z *= 1 / scale
    np.clip(z, -_MAX_DEVIATION, _MAX_DEVIATION, out=z)
    return z if np.isfinite(z.sum()) else np.nan_to_num(z, copy=False, nan=0.0)


def _dense(X: Samples) -> FloatArray:
    return np.asarray(sparse.dense(X), dtype=np.float64)
