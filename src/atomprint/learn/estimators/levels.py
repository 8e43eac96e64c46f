"""Features as the numbers of levels: what models that bin features are given."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from atomprint.learn.task.noise import noise_floor
from atomprint.util.registry import public
from atomprint.util.types import Array, FloatArray, Samples, Targets
from atomprint.util.validation import check_integer

_PLACE = 0.4871  # of a cut between two levels: not halfway, where the next sample may well be
_FEW = 8  # samples whose levels are found together


@public("Levels", version=1)
class Levels(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Replace each feature by the number of the level that it is on.

    Gradient boosting bins features first, and a split between two values that differ by rounding, or exactly at one of
    the values, sends the same sample once left and once right. Levels are the values of the training samples, where
    those that differ by no more than rounding are one; of many, as many as ``max_levels`` with the same number of
    samples. Cuts are between them. Within a level differences are lost, as they are in the bins.

    Parameters
    ----------
    max_levels : int
        Number of levels of a feature, at most.

    Attributes
    ----------
    cuts_ : ndarray of float64, shape (n_features, n_cuts)
        Ascending values between levels, filled up with infinity.
    n_features_in_ : int
        Number of features.
    """

    def __init__(self, max_levels: int = 255) -> None:
        self.max_levels = max_levels

    def fit(self, X: Samples, y: Targets = None) -> Self:
        """Find the levels.

        Parameters
        ----------
        X : array or sparse array of shape (n_samples, n_features)
            Features; gaps are nan.
        y : ignored

        Returns
        -------
        self
        """
        n_levels = check_integer("max_levels", self.max_levels, 2)
        X = self._checked(X, reset=True)
        floor = noise_floor(X)
        columns = sparse.csc_array(X) if sparse.issparse(X) else X
        cuts = [_cuts(_column(columns, k), floor[k], n_levels) for k in range(X.shape[1])]
        self.cuts_ = np.full((len(cuts), max(map(len, cuts), default=0)), np.inf)
        for row, own in zip(self.cuts_, cuts, strict=True):
            row[: len(own)] = own
        return self

    def transform(self, X: Samples) -> Samples:
        """Return the numbers of levels.

        Parameters
        ----------
        X : array or sparse array of shape (n_samples, n_features)
            Features.

        Returns
        -------
        ndarray or sparse array of float32, shape (n_samples, n_features)
            0, 1, …; nan for gaps. Of sparse features differences from the level of zero.
        """
        check_is_fitted(self)
        X = self._checked(X, reset=False)
        if sparse.issparse(X):
            levels = sparse.csr_array(X).astype(np.float32)
            zero = (self.cuts_ < 0).sum(axis=1)
            for start in range(0, len(levels.data), 2**16):
                some = slice(start, start + 2**16)
                at = levels.indices[some]
                given = X.tocsr().data[some]
                levels.data[some] = np.where(
                    np.isnan(given), np.nan, (self.cuts_[at] < given[:, None]).sum(axis=1) - zero[at]
                )
            return levels
        out = np.empty(X.shape, dtype=np.float32)
        if len(X) <= _FEW:
            for row, x in zip(out, X, strict=True):
                row[:] = (self.cuts_ < x[:, None]).sum(axis=1)
        else:
            for k, own in enumerate(self.cuts_):
                out[:, k] = np.searchsorted(own, X[:, k])
        out[np.isnan(X)] = np.nan
        return out

    def _checked(self, X: Samples, reset: bool) -> Any:
        return validate_data(
            self, X, dtype=(np.float64, np.float32), accept_sparse="csr", ensure_all_finite="allow-nan", reset=reset
        )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _column(X: Any, k: int) -> Array:
    """Return a column with its zeros."""
    if not sparse.issparse(X):
        return np.asarray(X[:, k])
    own = X.data[X.indptr[k] : X.indptr[k + 1]]
    return np.concatenate([own, np.zeros(X.shape[0] - len(own), dtype=X.dtype)])


def _cuts(values: Array, noise: float, n_levels: int) -> FloatArray:
    """Return what separates levels of the values."""
    known = np.sort(values[~np.isnan(values)].astype(np.float64))
    last = np.flatnonzero(np.diff(known) > noise)  # places of the last value of each level but the highest
    if len(last) >= n_levels:
        wanted = np.linspace(0, len(known), n_levels + 1)[1:-1]
        last = last[np.unique(np.minimum(np.searchsorted(last + 1, wanted), len(last) - 1))]
    low, high = known[last], known[last + 1]
    return np.asarray(low + _PLACE * (high - low))
