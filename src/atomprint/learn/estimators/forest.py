"""Extremely randomised trees that predict medians and other quantiles."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.utils import Tags, gen_batches
from sklearn.utils.validation import check_is_fitted

from atomprint.util.registry import public
from atomprint.util.types import FloatArray, Samples

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

    References
    ----------
    .. [1] P. Geurts, D. Ernst, L. Wehenkel, "Extremely randomized trees", Mach. Learn. 63, 3 (2006).
    .. [2] N. Meinshausen, "Quantile regression forests", J. Mach. Learn. Res. 7, 983 (2006).
    """

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
        return self._judged(X, level, False)[0]

    def predict_with_std(self, X: Samples) -> tuple[FloatArray, FloatArray]:
        """Predict the median of the trees, and their standard deviation about it, each of shape (n_samples,).

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Features.
        """
        return self._judged(X, 0.5, True)

    def _judged(self, X: Samples, level: Any, with_std: bool) -> tuple[FloatArray, FloatArray]:
        check_is_fitted(self)
        X = self._validate_X_predict(X)
        levels = np.broadcast_to(np.asarray(level, dtype=np.float64), X.shape[:1])
        if not ((levels >= 0) & (levels <= 1)).all():
            raise ValueError(f"level must be between 0 and 1, got {levels.min():g} to {levels.max():g}")
        last = len(self.estimators_) - 1
        quantiles, std = np.empty(X.shape[0]), np.empty(X.shape[0] if with_std else 0)
        for rows in gen_batches(X.shape[0], max(1, _ENTRIES // (last + 1))):
            part = X[rows]  # checked above: not once more in each of hundreds of trees
            found = np.stack([tree.tree_.predict(part)[:, 0] for tree in self.estimators_], axis=1)
            found.sort(axis=1)
            place = levels[rows] * last
            below = place.astype(np.intp)
            above = np.minimum(below + 1, last)
            at = np.arange(len(found))
            quantiles[rows] = found[at, below] + (place - below) * (found[at, above] - found[at, below])
            if with_std:
                found -= quantiles[rows, None]
                std[rows] = np.sqrt(np.einsum("nt,nt->n", found, found) / (last + 1))
        return quantiles, std

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = False
        return tags
