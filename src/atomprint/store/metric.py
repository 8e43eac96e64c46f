"""How far the features of two rows are from each other: what is done to them before they are compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from atomprint import descriptors
from atomprint.descriptors.composition.contract import CompositionDescriptor
from atomprint.store.plan import Plan
from atomprint.util import sparse
from atomprint.util.types import FloatArray
from atomprint.util.validation import check_choice

SCALINGS = ("unit", "standard", "none")
_CONSTANT = 1e-5  # of its largest value: what a column varies by less is rounding


@dataclass(frozen=True, eq=False)
class Metric:
    """Euclidean distance of features that have been scaled.

    Parameters
    ----------
    scaling : {"unit", "standard", "none"}
        ``"unit"`` scales each row to unit length: the distance is then sqrt(2 - 2 k) for a similarity k, the cosine
        that linear kernels of SOAP have. ``"standard"`` divides each column by its standard deviation in the store, for
        features of different units: the distance is then the root mean square of the differences in these, columns
        that do not vary left out. ``"none"`` leaves features as they are.
    weights : ndarray of float64, shape (n_features,), optional
        What columns are multiplied by; None where they are not.
    """

    scaling: str
    weights: FloatArray | None = None

    @classmethod
    def fit(cls, scaling: str, sample: Any) -> Metric:
        """Return the metric that suits some rows of features, dense or sparse."""
        check_choice("scaling", scaling, SCALINGS)
        if scaling != "standard":
            return cls(scaling)
        if sparse.issparse(sample):
            largest = abs(sample).max(axis=0).toarray().ravel()
            mean = np.asarray(sample.mean(axis=0, dtype=np.float64)).ravel()
            spread = np.sqrt(
                np.maximum(np.asarray(sample.power(2).mean(axis=0, dtype=np.float64)).ravel() - mean**2, 0)
            )
        else:
            largest, spread = np.abs(sample).max(axis=0), sample.std(axis=0, dtype=np.float64)
        varies = spread > _CONSTANT * largest
        weights = np.zeros(len(spread))
        weights[varies] = 1 / (spread[varies] * np.sqrt(max(1, varies.sum())))
        return cls(scaling, weights)

    def apply(self, rows: Any) -> Any:
        """Return rows of features as they are compared, float64; a new array."""
        found = rows.astype(np.float64)
        if self.scaling == "unit":
            squares = found.multiply(found).sum(axis=1) if sparse.issparse(found) else (found * found).sum(axis=1)
            lengths = np.sqrt(np.asarray(squares).ravel())
            lengths[lengths == 0] = 1.0
            if sparse.issparse(found):
                return found.multiply((1 / lengths)[:, None]).tocsr()
            found /= lengths[:, None]
        elif self.weights is not None:
            if sparse.issparse(found):
                return found.multiply(self.weights[None, :]).tocsr()
            found *= self.weights
        return found


def usual_scaling(plan: Plan) -> str:
    """Return how the features of a store are scaled unless it is said: by columns where these have different units."""
    cls = type(plan.transformer())
    statistics = descriptors.NeighbourStatistics | descriptors.StructureStatistics | descriptors.SpaceGroup
    mixed = issubclass(cls, CompositionDescriptor | statistics)
    return "standard" if mixed or not cls.__module__.startswith("atomprint.") else "unit"
