"""Random forests that remember what they were grown on, so that files need not keep what follows from it.

A tree that is grown to the end has a threshold and a value for each of its nodes. Both follow from the training samples
and from how many of them each node sends to the left: numbers that are small for most nodes, where thresholds and
values are digits without a pattern. A model file therefore has these counts, and the samples once for all trees
(:func:`atomprint._core.replay_tree`); what is loaded is the same to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import is_classifier
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from atomprint.util.registry import public
from atomprint.util.types import Array, FloatArray, Samples

_MANY = 20_000  # samples from which they are remembered: fewer make small files anyway


@dataclass(frozen=True, eq=False)
class Bag:
    """The training samples that each tree of a forest draws from.

    Parameters
    ----------
    rows : ndarray of float32, shape (n_samples, n_features)
        Features.
    targets : ndarray of float64, shape (n_samples,)
        Targets, or numbers of classes.
    """

    rows: npt.NDArray[np.float32]
    targets: FloatArray

    def counts(self, seed: int) -> npt.NDArray[np.int32]:
        """Return how often a tree with a seed has drawn each sample."""
        n = len(self.targets)
        drawn = np.random.RandomState(seed).randint(0, n, n, dtype=np.int32)  # as scikit-learn does
        return np.bincount(drawn, minlength=n).astype(np.int32)


def bag_of(forest: Any, X: Any, y: Any) -> Bag | None:
    """Return what a fitted forest was grown on, None if its trees do not follow from it, or it is small."""
    usual = {"bootstrap": True, "max_samples": None, "class_weight": None, "monotonic_cst": None, "warm_start": False}
    if (
        type(X) is not np.ndarray
        or X.ndim != 2
        or len(X) < _MANY
        or X.dtype.kind != "f"
        or np.ndim(y) != 1
        or not np.isfinite(X).all()
        or any(getattr(forest, name, value) != value for name, value in usual.items())
    ):
        return None
    targets = np.searchsorted(forest.classes_, y) if is_classifier(forest) else np.asarray(y)
    return Bag(np.array(X, dtype=np.float32, order="C"), np.array(targets, dtype=np.float64))


@public("BaggedRegressor", version=1)
class BaggedRegressor(RandomForestRegressor):
    """A random forest that remembers its training samples from 20,000 on, for small files.

    Parameters, attributes and predictions are those of scikit-learn's ``RandomForestRegressor``; ``bag_`` has the
    samples, or is None.
    """

    def fit(self, X: Samples, y: Array, sample_weight: Array | None = None) -> Self:
        """Grow the trees."""
        super().fit(X, y, sample_weight)
        self.bag_ = bag_of(self, X, y) if sample_weight is None else None
        return self


@public("BaggedClassifier", version=1)
class BaggedClassifier(RandomForestClassifier):
    """A random forest for classes that remembers its training samples from 20,000 on, for small files.

    Parameters, attributes and predictions are those of scikit-learn's ``RandomForestClassifier``; ``bag_`` has the
    samples, or is None.
    """

    def fit(self, X: Samples, y: Array, sample_weight: Array | None = None) -> Self:
        """Grow the trees."""
        super().fit(X, y, sample_weight)
        self.bag_ = bag_of(self, X, y) if sample_weight is None else None
        return self
