"""Nearest neighbours that are the same for samples that are the same."""

from __future__ import annotations

from copy import copy
from typing import Any, Self

import numpy as np
from scipy import sparse
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.utils import gen_batches
from sklearn.utils.validation import check_is_fitted, validate_data

from atomprint.util.registry import public
from atomprint.util.types import Array, Indices, Samples

_BLOCK = 2**22  # distances that are held at once
_FAST = 1e-6  # error of fast distances, and
_SAME = 1e-9  # distance of samples that differ by rounding, as shares of the length of samples


class _Exact:
    """Distances that are right where they are small, and ties that do not depend on rounding.

    scikit-learn makes Euclidean distances of products of samples, which leaves 1e-8 instead of 0: as much as decides
    which of several samples that are alike counts, and by how much. Here those that may be among the nearest are
    measured again; of equal distances the sample that comes first in the training part is nearer.
    """

    def kneighbors(
        self: Any, X: Samples = None, n_neighbors: int | None = None, return_distance: bool = True
    ) -> tuple[Array, Indices] | Indices:
        """Return distances to the nearest training samples, and their numbers, as scikit-learn does."""
        check_is_fitted(self)
        k = self.n_neighbors if n_neighbors is None else n_neighbors
        known = self.effective_metric_ in ("euclidean", "manhattan") and isinstance(k, int | np.integer)
        if X is None or sparse.issparse(X) or not known or sparse.issparse(self._fit_X) or not 0 < k < len(self._fit_X):
            found: tuple[Array, Indices] | Indices = super().kneighbors(X, n_neighbors, return_distance)  # type: ignore[misc]
            return found
        X = validate_data(self, X, reset=False, order="C")
        fitted, metric = self._fit_X, self.effective_metric_
        order = 2 if metric == "euclidean" else 1
        length = max(float(np.linalg.norm(fitted, order, axis=1).max()), np.finfo(float).tiny)
        distances, numbers = np.empty((len(X), k)), np.empty((len(X), k), dtype=np.intp)
        for rows in gen_batches(len(X), max(1, _BLOCK // len(fitted))):
            near = pairwise_distances(X[rows], fitted, metric=metric)
            farthest = np.partition(near, k - 1, axis=1)[:, k - 1]
            for row, x, some, limit in zip(range(rows.start, rows.stop), X[rows], near, farthest, strict=True):
                scale = max(length, float(np.linalg.norm(x, order)))
                chosen = np.flatnonzero(some <= limit + 2 * _FAST * scale)
                exact = np.linalg.norm(fitted[chosen] - x, order, axis=1)
                exact[exact < _SAME * scale] = 0.0
                first = np.lexsort((chosen, np.rint(exact / (_SAME * scale))))[:k]
                distances[row], numbers[row] = exact[first], chosen[first]
        return (distances, numbers) if return_distance else numbers


@public("NeighborsRegressor", version=1)
class NeighborsRegressor(_Exact, KNeighborsRegressor):
    """scikit-learn's ``KNeighborsRegressor``, with neighbours that do not depend on rounding."""


@public("NeighborsClassifier", version=1)
class NeighborsClassifier(_Exact, KNeighborsClassifier):
    """scikit-learn's ``KNeighborsClassifier``, with neighbours that do not depend on rounding."""

    def predict(self, X: Samples) -> Array:
        """Return the class of most neighbours."""
        return np.asarray(KNeighborsClassifier.predict(self._weighting(), X))

    def predict_proba(self, X: Samples) -> Any:
        """Return the shares of classes among the neighbours."""
        return KNeighborsClassifier.predict_proba(self._weighting(), X)

    def _weighting(self) -> Self:
        """Return this with equal weights as a function: scikit-learn asks for the neighbours of no others."""
        check_is_fitted(self)
        if self.weights != "uniform":
            return self
        asked = copy(self)
        asked.weights = np.ones_like
        return asked
