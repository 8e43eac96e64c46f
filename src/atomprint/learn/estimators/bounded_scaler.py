"""Features scaled to unit variance, that cannot be larger by orders of magnitude than training samples showed."""

from __future__ import annotations

import inspect
from typing import Any, Self

import numpy as np
from sklearn.preprocessing import StandardScaler

from atomprint.util.registry import public
from atomprint.util.types import FloatArray, Samples, Targets
from atomprint.util.validation import check_real


@public("BoundedScaler", version=1)
class BoundedScaler(StandardScaler):
    """Scale features to mean 0 and standard deviation 1, and let none go far beyond what training samples had.

    Where no training sample has a distance, an angle or a line of a pattern, a descriptor that broadens these has the
    far ends of Gaussians there, such as 1e-12. Divided by their standard deviation these are features like all others,
    and the first sample that does have such a distance has 1e12 in their place: a weighted sum, or a network, predicts
    nonsense of that size. Here a feature counts as ``reach`` times as far from the mean as that of any training sample,
    if it is farther. What is within is the same as from ``StandardScaler``, so that what grows with a structure, such
    as a sum over its atoms, is still extrapolated to structures a few times as large.

    Parameters
    ----------
    reach : float
        How many times as far from the mean as those of the fit the features of a sample can be, at least 1.
    copy : bool
        Whether to work on a copy of the features where they need not be converted.

    Attributes
    ----------
    limits_ : ndarray of float64, shape (n_features,)
        Largest magnitude of scaled features.
    low_, high_ : ndarray, shape (n_features,)
        Smallest and largest value of each feature in the fit.
    mean_, scale_, var_, n_features_in_, n_samples_seen_
        Those of ``StandardScaler``.

    Examples
    --------
    >>> import numpy as np
    >>> scaler = BoundedScaler().fit(np.array([[1.0, 1e-12], [3.0, 3e-12]]))
    >>> scaler.transform(np.array([[4.0, 2e-12], [2.0, 0.1]]))
    array([[ 2.,  0.],
           [ 0., 10.]])
    """

    def __init__(self, reach: float = 10.0, copy: bool = True) -> None:
        super().__init__(copy=copy)
        self.reach = reach

    def partial_fit(self, X: Samples, y: Targets = None, sample_weight: Any = None) -> Self:
        """Find means, standard deviations and how far from the mean features are, also of samples seen before.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Features.
        y : ignored
        sample_weight : array of shape (n_samples,), optional
            Weights of samples in mean and standard deviation.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If ``reach`` is less than 1.
        """
        reach = check_real("reach", self.reach, at_least=1)
        first = not hasattr(self, "n_samples_seen_")
        super().partial_fit(X, y, sample_weight)
        X = np.asarray(X)
        # Of what is known, as mean and deviation are.
        low, high = (ends.reduce(X, axis=0).astype(np.float64) for ends in (np.fmin, np.fmax))
        self.low_: FloatArray = low if first else np.fmin(low, self.low_)
        self.high_: FloatArray = high if first else np.fmax(high, self.high_)
        self.limits_: FloatArray = reach * np.maximum(self.high_ - self.mean_, self.mean_ - self.low_) / self.scale_
        return self

    def transform(self, X: Samples, copy: bool | None = None) -> FloatArray:
        """Return scaled features, shape (n_samples, n_features)."""
        # Below scikit-learn's wrapper of methods, which makes tables of arrays if asked: that of this class does.
        scaled: FloatArray = inspect.unwrap(StandardScaler.transform)(self, X, copy)
        limits = self.limits_.astype(scaled.dtype)
        return np.clip(scaled, -limits, limits, out=scaled)
