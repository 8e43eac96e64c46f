"""Logarithms of targets that span orders of magnitude."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from atomprint.util.registry import public
from atomprint.util.types import FloatArray

_LEAST_SPAN = 1.0  # of natural logarithms


@public("LogScaler", version=1)
class LogScaler(TransformerMixin, BaseEstimator):
    """Natural logarithms of targets, scaled to mean 0 and standard deviation 1.

    On the way back they end where the range of the training targets, extended by its own length to both sides, does (of
    logarithms): an exponential makes a small mistake far outside of what was learnt a number without bounds.

    Attributes
    ----------
    mean_, scale_ : ndarray of float64, shape (1,)
        Mean and standard deviation of the logarithms.
    low_, high_ : float
        Ends of the logarithms on the way back.

    Examples
    --------
    >>> LogScaler().fit([[1.0], [100.0]]).inverse_transform([[0.0]]).round(6)
    array([[10.]])
    """

    def fit(self, y: Any, unused: Any = None) -> Self:
        """Learn mean and standard deviation of the logarithms of targets, shape (n_samples, 1), all larger than 0."""
        values = np.asarray(y, dtype=np.float64)
        if not (values > 0).all():
            raise ValueError(f"targets must be > 0 to have logarithms, got {values[~(values > 0)][0]:g}")
        logs = np.log(values)
        self.mean_ = logs.mean(axis=0)
        spread = logs.std(axis=0)
        self.scale_ = np.where(spread > 0, spread, 1.0)
        span = max(float(np.ptp(logs)), _LEAST_SPAN)
        self.low_, self.high_ = float(logs.min()) - span, float(logs.max()) + span
        return self

    def transform(self, y: Any) -> FloatArray:
        """Return scaled logarithms."""
        check_is_fitted(self)
        return np.asarray((np.log(np.asarray(y, dtype=np.float64)) - self.mean_) / self.scale_)

    def inverse_transform(self, z: Any) -> FloatArray:
        """Return the numbers that have these scaled logarithms."""
        check_is_fitted(self)
        logs = np.asarray(z, dtype=np.float64) * self.scale_ + self.mean_
        return np.asarray(np.exp(np.clip(logs, self.low_, self.high_)))
