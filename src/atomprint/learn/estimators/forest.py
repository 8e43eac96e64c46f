"""Extremely randomised trees that predict medians and other quantiles."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.utils import Tags, gen_batches
from sklearn.utils.validation import check_is_fitted

from atomprint.learn.estimators.twigs import MOST, Ground, crown_of, grow_trees, sorted_samples
from atomprint.util.registry import public
from atomprint.util.types import Array, FloatArray, Samples

_MANY = 20_000  # samples from which twigs are grown: fewer make small files anyway
# What twigs are: grown to the end, with every sample counting once.
_GROWN = {
    "bootstrap": False,
    "ccp_alpha": 0.0,
    "criterion": "squared_error",
    "max_depth": None,
    "max_leaf_nodes": None,
    "min_impurity_decrease": 0.0,
    "min_samples_leaf": 1,
    "min_samples_split": 2,
    "min_weight_fraction_leaf": 0.0,
    "monotonic_cst": None,
    "warm_start": False,
}
_ENTRIES = 20_000_000  # predictions of single trees that are held at once


@public("MedianExtraTrees", version=1)
class MedianExtraTrees(ExtraTreesRegressor):
    """Extremely randomised trees [1]_ whose prediction is the median, not the mean, of the trees.

    Trees that are grown to the end each predict the target of a training sample that resembles the new one, so that
    all of them together show how targets of such samples are distributed, as in quantile regression forests [2]_.
    Where the distribution is skewed or has two peaks (band gaps, of which many are 0; polymorphs with one composition),
    its median has the least mean absolute error, its mean the least mean squared error.

    Parameters and attributes are those of scikit-learn's ``ExtraTreesRegressor``. Leaves should be small, or
    the trees predict means again.

    From 20,000 samples on the ends of trees that are grown to single samples come from the seeds of the trees alone
    (:mod:`atomprint.learn.estimators.twigs`): the same kind of trees with other random numbers, and files of a tenth of
    the size. ``ground_`` has what they grow on, the training samples; it is None for other trees.

    References
    ----------
    .. [1] P. Geurts, D. Ernst, L. Wehenkel, "Extremely randomized trees", Mach. Learn. 63, 3 (2006).
    .. [2] N. Meinshausen, "Quantile regression forests", J. Mach. Learn. Res. 7, 983 (2006).
    """

    def fit(self, X: Samples, y: Array, sample_weight: Array | None = None) -> Self:
        """Grow the trees.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Features.
        y : array of shape (n_samples,)
            Targets.
        sample_weight : array of shape (n_samples,), optional
            Weights.

        Returns
        -------
        MedianExtraTrees
        """
        self.ground_: Ground | None = None
        if sample_weight is not None or not self._has_twigs(X, y):
            super().fit(X, y, sample_weight)
            return self
        rows, targets = sorted_samples(X, y)
        self.min_samples_split = MOST + 1
        try:
            super().fit(rows, targets)
        finally:
            self.min_samples_split = 2
        share = self.estimators_[0].max_features_ / rows.shape[1]
        self.ground_ = Ground(rows, targets, min(round(share * 2**32), 2**32 - 1))
        seeds = [tree.random_state for tree in self.estimators_]
        crowns = [crown_of(tree.tree_) for tree in self.estimators_]
        for tree, grown in zip(self.estimators_, grow_trees(crowns, seeds, self.ground_, self.n_jobs), strict=True):
            tree.tree_ = grown
            tree.min_samples_split = 2
        return self

    def _has_twigs(self, X: Any, y: Any) -> bool:
        """Return whether there are many samples, and trees are grown to the end."""
        return (
            type(X) is np.ndarray
            and X.ndim == 2
            and len(X) >= _MANY
            and X.dtype.kind == "f"
            and bool(np.isfinite(X).all())
            and np.ndim(y) == 1
            and all(getattr(self, name) == value for name, value in _GROWN.items())
        )

    def predict(self, X: Samples) -> FloatArray:
        """Predict the median of the target.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Features.

        Returns
        -------
        ndarray of float64, shape (n_samples,)
        """
        return self.predict_quantile(X, 0.5)

    def predict_quantile(self, X: Samples, level: Any) -> FloatArray:
        """Predict quantiles of the target.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Features.
        level : float or array of shape (n_samples,)
            0 to 1: one for all samples, or one for each.

        Returns
        -------
        ndarray of float64, shape (n_samples,)
            Interpolated linearly between trees, as ``numpy.quantile`` does.

        Raises
        ------
        ValueError
            If a level is not between 0 and 1.
        """
        return self._judged(X, level, None)[0]

    def predict_with_std(
        self, X: Samples, level: Any = 0.5, about: FloatArray | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Predict quantiles of the trees, and their standard deviation about these, each of shape (n_samples,).

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Features.
        level : float or array of shape (n_samples,)
            0 to 1: one for all samples, or one for each. Default: the median.
        about : ndarray of float64, shape (n_samples,), optional
            What the standard deviation is about instead; nan for the quantile.
        """
        return self._judged(X, level, np.full(X.shape[0], np.nan) if about is None else about)

    def _judged(self, X: Samples, level: Any, about: FloatArray | None) -> tuple[FloatArray, FloatArray]:
        check_is_fitted(self)
        X = self._validate_X_predict(X)
        levels = np.broadcast_to(np.asarray(level, dtype=np.float64), X.shape[:1])
        if not ((levels >= 0) & (levels <= 1)).all():
            raise ValueError(f"level must be between 0 and 1, got {levels.min():g} to {levels.max():g}")
        last = len(self.estimators_) - 1
        quantiles, std = np.empty(X.shape[0]), np.empty(0 if about is None else X.shape[0])
        for rows in gen_batches(X.shape[0], max(1, _ENTRIES // (last + 1))):
            part = X[rows]  # checked above: not once more in each of hundreds of trees
            found = np.stack([tree.tree_.predict(part)[:, 0] for tree in self.estimators_], axis=1)
            found.sort(axis=1)
            place = levels[rows] * last
            below = place.astype(np.intp)
            above = np.minimum(below + 1, last)
            at = np.arange(len(found))
            quantiles[rows] = found[at, below] + (place - below) * (found[at, above] - found[at, below])
            if about is not None:
                found -= np.where(np.isnan(about[rows]), quantiles[rows], about[rows])[:, None]
                std[rows] = np.sqrt(np.einsum("nt,nt->n", found, found) / (last + 1))
        return quantiles, std

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = False
        return tags
