"""Distances to training samples, between their features or by a kernel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA
from sklearn.utils import gen_batches

from atomprint.learn.task.noise import noise_floor
from atomprint.util.draw import some_of

FloatArray = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

MAX_ROWS = 5000
N_NEIGHBORS = 5
_N_FOLDS = 5
_MAX_DIMENSIONS = 50
_MAX_ENTRIES = 2**24  # of the features that distances are learnt from: 128 MiB
_MAX_DEVIATION = 10.0  # standard deviations: no single feature, such as one that (nearly) never varied, decides
_ROUNDING = 1e-9
_CONSTANT = 1e-3  # standard deviations (of other features) over which a feature ranges that never varied
CHANGED = 0.05  # standard deviations (of other features) from which on such a feature is another one
_SLACK = 0.01  # standard deviations beyond a range that are not outside
_SINGLE = 2.0**-18  # of the largest feature in single precision: what is left of sums that cancel
_ROWS = 1024  # samples that are compared with all others at once


@dataclass(frozen=True, eq=False)
class Space:
    """Standardised, perhaps reduced features of training samples; all arrays as they are saved."""

    center: FloatArray  # (n_features,)
    scale: FloatArray
    lower: FloatArray  # range of each feature
    upper: FloatArray
    components: FloatArray  # (n_dimensions, n_features), orthonormal rows; no rows: features are not reduced
    reference: FloatArray  # (n_samples, n_coordinates)

    @classmethod
    def fit(cls, X: FloatArray) -> Self:
        """Learn from training samples, nan where a feature is not known."""
        known = np.isfinite(X)
        counts = np.maximum(known.sum(axis=0), 1)
        center = np.where(known, X, 0.0).sum(axis=0) / counts
        scale = np.sqrt((np.where(known, X - center, 0.0) ** 2).sum(axis=0) / counts)
        varies = scale > _noise(X)
        # A feature that never varied: as if it varied as much as the others do.
        scale[~varies] = np.median(scale[varies]) if varies.any() else 1.0
        none = np.empty((0, X.shape[1]))
        return cls(center, scale, *_ranges(X), none, np.empty((0, 0)))._with(X)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Make a space from its arrays; raise KeyError if one is missing, ValueError if they do not fit together."""
        space = cls(**{item.name: np.asarray(arrays[item.name], dtype=np.float64) for item in fields(cls)})
        n = len(space.center)
        n_coordinates = len(space.components) + 1 if len(space.components) else n
        if (
            any(vector.shape != (n,) for vector in (space.scale, space.lower, space.upper))
            or space.components.shape[1:] != (n,)
            or space.reference.shape[1:] != (n_coordinates,)
        ):
            raise ValueError("the training domain has arrays of wrong shapes")
        return space

    def of_part(self, X: FloatArray) -> Self:
        """Return the space of these training samples alone, with scales as they are."""
        lower, upper = _ranges(X)
        return replace(self, lower=lower, upper=upper)._with(X)

    def _with(self, X: FloatArray) -> Self:
        """Return the space with components of these samples, and with them to compare with."""
        z = self._standardised(X)
        components = np.empty((0, X.shape[1]))
        if X.shape[1] > _MAX_DIMENSIONS:
            with np.errstate(invalid="ignore"):  # the share of the variance, if there is none
                components = PCA(min(_MAX_DIMENSIONS, len(X) - 1), random_state=0).fit(z).components_
        space = replace(self, components=components)
        return replace(space, reference=space.coordinates(X))

    def _standardised(self, X: FloatArray) -> FloatArray:
        z = np.where(np.isfinite(X), (X - self.center) / self.scale, 0.0)
        return np.clip(z, -_MAX_DEVIATION, _MAX_DEVIATION, out=z)

    def coordinates(self, X: FloatArray) -> FloatArray:
        """Return principal components, and as the last coordinate how much of a sample they leave out."""
        z = self._standardised(X)
        if not len(self.components):
            return z
        scores = z @ self.components.T
        rest = np.sqrt(np.maximum((z**2).sum(axis=1) - (scores**2).sum(axis=1), 0.0))
        return np.column_stack([scores, rest])

    def distances(self, X: FloatArray) -> FloatArray:
        """Return the mean distance to the nearest training samples."""
        k = min(N_NEIGHBORS, len(self.reference))
        coordinates, means = self.coordinates(X), np.empty(len(X))
        for rows in gen_batches(len(X), _ROWS):
            nearest = np.partition(cdist(coordinates[rows], self.reference), k - 1, axis=1)[:, :k]
            means[rows] = np.sort(nearest, axis=1).mean(axis=1)
        return means

    @property
    def constant(self) -> npt.NDArray[np.bool_]:
        """Whether features never varied."""
        return np.asarray(self.upper - self.lower < _CONSTANT * self.scale)

    def outside(self, X: FloatArray) -> npt.NDArray[np.float64]:
        """Return how far features are outside their ranges, in standard deviations, shape (n, n_features)."""
        with np.errstate(invalid="ignore"):
            beyond = np.maximum(self.lower - X, X - self.upper) / self.scale
        # Rounding must not matter where a feature is always the same.
        slack = _SLACK + _ROUNDING * np.maximum(np.abs(self.lower), np.abs(self.upper)) / self.scale
        return np.where(np.isfinite(beyond) & (beyond > slack), beyond, 0.0)


def training_rows(n: int, n_features: int) -> Indices:
    """Return the samples, in ascending order, that distances are learnt from: all of them, or some drawn at random."""
    return some_of(n, min(MAX_ROWS, max(500, _MAX_ENTRIES // max(n_features, 1))))


def _noise(X: FloatArray) -> FloatArray:
    """Return for each feature the spread that rounding may have, also of numbers that were in single precision once."""
    floor = noise_floor(X)
    with np.errstate(over="ignore"):
        single = ((X.astype(np.float32) == X) | np.isnan(X)).all(axis=0) & (np.rint(X) != X).any(axis=0)
    if single.any():
        floor[single] = np.maximum(floor[single], _SINGLE * np.abs(np.nan_to_num(X[:, single])).max())
    return floor


def _ranges(X: FloatArray) -> tuple[FloatArray, FloatArray]:
    known = np.isfinite(X)
    return np.where(known, X, np.inf).min(axis=0), np.where(known, X, -np.inf).max(axis=0)


def folds_of(labels: npt.NDArray[Any]) -> Indices:
    """Return the fold in which each sample is left out: samples with the same label in the same one."""
    groups, of_sample = np.unique(labels, return_inverse=True)
    fold_of_group = np.random.default_rng(0).permutation(np.arange(len(groups)) % min(_N_FOLDS, len(groups)))
    return np.asarray(fold_of_group[of_sample])


def left_out(space: Space, X: FloatArray, labels: npt.NDArray[Any]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return distances of samples, left out in folds by their labels, and numbers of features outside and changed."""
    folds = folds_of(labels)
    distances, counts, changed = (np.empty(len(X)) for _ in range(3))
    for fold in np.unique(folds):
        held = folds == fold
        rest = space.of_part(X[~held])
        distances[held] = rest.distances(X[held])
        beyond = rest.outside(X[held])
        counts[held] = (beyond > 0).sum(axis=1)
        changed[held] = (beyond[:, rest.constant] > CHANGED).sum(axis=1)
    return distances, counts, changed


def kernel_distances(K: FloatArray, itself: bool = False) -> FloatArray:
    """Return the mean distance to the nearest of the fitted structures; not to itself, if they are the same."""
    first = int(itself)
    k = min(N_NEIGHBORS, K.shape[1] - first)
    similarities = -np.partition(-K, first + k - 1, axis=1)[:, : first + k]
    similarities.sort(axis=1)
    nearest = similarities[:, :k]  # without the largest, which is 1 with itself
    return np.asarray(np.sqrt(np.maximum(2 - 2 * nearest, 0.0)).mean(axis=1))


def dense_rows(X: Any) -> FloatArray:
    """Return features as a dense array in double precision."""
    return np.asarray(X.toarray() if sparse.issparse(X) else X, dtype=np.float64)
