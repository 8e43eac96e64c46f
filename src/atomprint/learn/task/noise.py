"""Features that are nothing but rounding: found by how large they are beside what they were made of."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.utils import Tags, gen_batches
from sklearn.utils.validation import check_is_fitted, validate_data

from atomprint.util.registry import public
from atomprint.util.types import FloatArray, Mask, Samples, Targets
from atomprint.util.validation import check_bool, check_real

_ENTRIES = 2**22  # numbers that are looked at at once
_ULPS = 16  # rounding steps by which numbers that mean the same may differ
_LEFT = 2.0**-44  # of the largest number of a table: what is left of a sum that cancels
_DIGITS = {8: 10, 4: 5, 2: 2}  # that a number has if someone wrote it down, by bytes: what rounding leaves has all
_NOTHING, _FAR_BELOW = 1e-10, 2.0**-80  # numbers such as 1e-17 beside 1 are rounding, even if somebody wrote them
_LOOKED_AT = 8  # numbers of a feature
_ALIKE = 1e-3  # numbers that are no smaller than this share of the largest are alike in size


@public("DropNoise", version=1)
class DropNoise(SelectorMixin, BaseEstimator):
    r"""Leave out features that vary by no more than rounding, so that nothing scales it up to the size of a feature.

    In a perfect crystal, symmetry makes many sums vanish, and what arithmetic leaves of them, some 1e-17, differs when
    the crystal is rotated, doubled or written in another order. Divided by its standard deviation it would be a feature
    like any other, and the same crystal would be predicted differently. A feature counts as constant if the values that
    ``fit`` sees differ by less than

    - the share ``tolerance`` of the largest of them, or 16 rounding steps of their type. Numbers in double precision
      that single precision holds exactly are taken to come from there, unless they are whole;
    - 2\ :sup:`-44` (6e-14) of the largest number of the table, which is what is left of a sum of such numbers that
      cancels. Features whose values have one sign and are alike in size (within a factor of 1000, none of them zero),
      such as lengths in metres beside numbers of atoms, are not judged by others; nor are those whose values have few
      digits, up to 10, such as 0 and 1 or 1.85e-30, which are no sums that cancel, nor others of their size: beside
      numbers of carriers (1e20) all else is small, and means something.

    Descriptors of atomprint return exact zeros where nothing is left but rounding; the second rule is for those of
    others, and ``relative=False`` switches it off.

    Parameters
    ----------
    tolerance : float
        Share of the largest value up to which values of a feature count as the same.
    relative : bool
        Whether features are judged by the largest number of the table, too.
    keep : bool
        Whether features that count as constant stay at their places, as zeros, for models that know features by their
        numbers. Otherwise they are left out; if there are no others, a single feature of zeros remains.

    Attributes
    ----------
    varies_ : ndarray of bool, shape (n_features,)
        Which features are more than rounding. Those with gaps (nan) for some samples are, as gaps tell these apart.
    n_features_in_ : int
        Number of features.

    Examples
    --------
    >>> import numpy as np
    >>> left = 0.1 + 0.2 - 0.3  # 5.6e-17
    >>> X = np.array([[1.0, left, 5.0], [2.0, -left, 5.0], [4.0, 0.0, 5.000000000000001]])
    >>> DropNoise().fit_transform(X)
    array([[1.],
           [2.],
           [4.]])
    """

    def __init__(self, tolerance: float = 1e-9, relative: bool = True, keep: bool = False) -> None:
        self.tolerance = tolerance
        self.relative = relative
        self.keep = keep

    def fit(self, X: Samples, y: Targets = None) -> Self:
        """Find the features that vary.

        Parameters
        ----------
        X : array or sparse array of shape (n_samples, n_features)
            Features; gaps are nan.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If a parameter is wrong.
        """
        tolerance = check_real("tolerance", self.tolerance, at_least=0)
        for name in ("relative", "keep"):
            check_bool(name, getattr(self, name))
        X = self._checked(X, reset=True)
        seen = _look_at(X)
        self.varies_: Mask = (seen.high - seen.low > _floor(X, seen, tolerance, self.relative)) | seen.gaps
        return self

    def transform(self, X: Samples) -> Samples:
        """Return the features that vary.

        Parameters
        ----------
        X : array or sparse array of shape (n_samples, n_features)
            Features.

        Returns
        -------
        array or sparse array of shape (n_samples, n_left) or, with ``keep``, (n_samples, n_features)
            In the type of the features.
        """
        check_is_fitted(self)
        X = self._checked(X, reset=False)
        mask = self._get_support_mask()
        if mask.all() and self.varies_.all():
            return X
        left = X if mask.all() else X[:, mask]
        rest = ~self.varies_[mask]  # what stays but is nothing but rounding
        if not rest.any():
            return left
        if sparse.issparse(left):
            csr = left.tocsr() if left is not X else X.tocsr(copy=True)
            csr.data = np.where(rest[csr.indices], 0, csr.data).astype(csr.dtype, copy=False)
            csr.eliminate_zeros()
            return csr
        return np.where(rest, np.zeros((), dtype=left.dtype), left)

    def _get_support_mask(self) -> Mask:
        check_is_fitted(self)
        if self.keep:
            return np.ones_like(self.varies_)
        if not self.varies_.any():
            first = np.zeros_like(self.varies_)
            first[0] = True
            return first
        return self.varies_

    def _checked(self, X: Samples, reset: bool) -> Any:
        return validate_data(
            self, X, dtype="numeric", accept_sparse=("csr", "csc"), ensure_all_finite="allow-nan", reset=reset
        )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True  # what is missing is for the steps behind it
        return tags


def noise_floor(X: Samples, tolerance: float = 1e-9, relative: bool = True) -> FloatArray:
    """Return for each feature by how much values may differ that mean the same, as :class:`DropNoise` has it.

    Parameters
    ----------
    X : array or sparse array of shape (n_samples, n_features)
        Features; gaps are nan.
    tolerance, relative
        As for :class:`DropNoise`.

    Returns
    -------
    ndarray of float64, shape (n_features,)
    """
    return _floor(X, _look_at(X), tolerance, relative)


class _Seen(NamedTuple):
    """What is known of each feature from a look at all samples."""

    low: FloatArray  # smallest and largest value; 0 where all are gaps
    high: FloatArray
    least: FloatArray  # smallest magnitude
    gaps: Mask  # whether there are gaps for some samples, but not for all
    single: Mask  # whether single precision holds all values exactly, and they are not all whole


def _floor(X: Any, seen: _Seen, tolerance: float, relative: bool) -> FloatArray:
    dtype = X.dtype
    largest = np.maximum(np.abs(seen.low), np.abs(seen.high))
    if dtype.kind != "f":  # exact
        return np.zeros_like(largest)
    eps = np.where(seen.single, max(np.finfo(dtype).eps, np.finfo(np.float32).eps), np.finfo(dtype).eps)
    noise = np.maximum(tolerance, _ULPS * eps) * largest
    if relative and len(largest):
        apart = (seen.least <= _ALIKE * largest) | ((seen.low < 0) & (seen.high > 0))
        left = _LEFT * largest.max()
        spread = seen.high - seen.low
        small = (spread > noise) & (spread <= left)  # others need no look at their digits
        small &= (largest > _NOTHING) | (largest < _FAR_BELOW * largest.max())
        if (apart & small).any():
            columns = sparse.csc_array(X) if sparse.issparse(X) else X
            written = [k for k in np.flatnonzero(small) if _written_down(columns[:, [k]], seen.single[k])]
            apart[written] = False
            size = largest[written].max(initial=0.0)
            apart[(largest > _LEFT * size) & (largest * _ALIKE <= size)] = False  # so that 1e20 stands for itself
        noise = np.maximum(noise, np.where(apart, left, 0.0))
    return noise


def _written_down(column: Any, single: bool) -> bool:
    """Return whether numbers have so few digits that no arithmetic has left them."""
    values = column.data if sparse.issparse(column) else column
    values = values[np.isfinite(values) & (values != 0)][:_LOOKED_AT]
    if single:
        values = values.astype(np.float32)
    digits = _DIGITS.get(values.dtype.itemsize, 10) - 1
    return all(values.dtype.type(f"{value:.{digits}e}") == value for value in values)


def _look_at(X: Any) -> _Seen:
    n, n_features = X.shape
    low, high = np.full(n_features, np.inf), np.full(n_features, -np.inf)
    least, n_gaps = np.full(n_features, np.inf), np.zeros(n_features, dtype=np.intp)
    exact, whole = np.ones(n_features, dtype=bool), np.ones(n_features, dtype=bool)
    for rows in gen_batches(n, max(1, _ENTRIES // max(n_features, 1))):  # some at a time: these are copies
        given = (X[rows].toarray() if sparse.issparse(X) else X[rows]).astype(np.float64, copy=False)
        missing = np.isnan(given)
        n_gaps += missing.sum(axis=0)
        above, below = np.where(missing, np.inf, given), np.where(missing, -np.inf, given)
        low, high = np.minimum(low, above.min(axis=0)), np.maximum(high, below.max(axis=0))
        least = np.minimum(least, np.abs(above).min(axis=0))
        with np.errstate(over="ignore"):
            exact &= ((given.astype(np.float32) == given) | missing).all(axis=0)
        whole &= ((np.rint(given) == given) | missing).all(axis=0)
    empty = n_gaps == n
    low[empty] = high[empty] = least[empty] = 0.0
    return _Seen(low, high, least, (n_gaps > 0) & ~empty, exact & ~whole)
