"""Linear poolings as one sparse matrix: which rows of its structure every centre goes to, and with which weights."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from atomprint import _core
from atomprint.ragged import locate, owners
from atomprint.structures import StructureError
from atomprint.util import sparse
from atomprint.util.indices import narrowed
from atomprint.util.rounding import LEFT_OF_CANCELLING


class RowWeights(NamedTuple):
    """Weights by centres: those of centre ``c`` are the entries ``offsets[c]`` to ``offsets[c + 1]``.

    Parameters
    ----------
    offsets : ndarray of int64, shape (n_centers + 1,)
    rows : ndarray of int64, shape (n_entries,)
        Rows of the centre's structure, below ``n_rows``.
    values : ndarray of float64, shape (n_entries,)
    n_rows : int
        Number of rows of each structure.
    """

    offsets: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    n_rows: int

    def core(self) -> _core.RowWeights:
        """Return the arrays as the compiled functions take them."""
        return _core.RowWeights(self.offsets, self.rows, self.values, self.n_rows)

    def matrix(self, center_offsets: npt.NDArray[np.integer[Any]]) -> sparse.csr_array:
        """Return the matrix that pools features, for structures that own the centres between these offsets.

        Returns
        -------
        scipy.sparse.csr_array, shape (n_structures * n_rows, n_centers)
            Its product with the features has the rows of each structure, one structure after the other.
        """
        rows = self.rows + np.repeat(owners(center_offsets) * self.n_rows, np.diff(self.offsets))
        shape = ((len(center_offsets) - 1) * self.n_rows, len(self.offsets) - 1)
        return sparse.csr_array(sparse.csc_array((self.values, rows, self.offsets), shape=shape))

    def pool(self, values: Any, center_offsets: npt.NDArray[np.integer[Any]]) -> Any:
        """Return the pooled features of all structures, shape (n_structures, n_rows * n_features), in their type."""
        dtype = values.dtype if values.dtype.kind == "f" else np.dtype(np.float64)
        given = sparse.csr_array(values) if sparse.issparse(values) else values
        with np.errstate(invalid="ignore", over="ignore"):  # what these would warn of is found by check_finite
            matrix = self.matrix(center_offsets)
            pooled = matrix @ given
            if (self.values < 0).any():  # identical rows may cancel
                left = abs(pooled) - LEFT_OF_CANCELLING * (abs(matrix) @ abs(given))
                if sparse.issparse(pooled):  # what is not finite stays
                    pooled = pooled - pooled.multiply(left < 0)
                    pooled.eliminate_zeros()
                else:
                    pooled = np.where(left < 0, 0, pooled)
            pooled = pooled.reshape((len(center_offsets) - 1, -1)).astype(dtype)
        return narrowed(sparse.csr_array(pooled)) if sparse.issparse(pooled) else pooled

    def entries(self) -> Entries:
        """Return the weights as the derivatives of pooled features; see :data:`Entries`."""
        return owners(self.offsets), self.rows, self.values[:, None]


Entries: TypeAlias = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]
"""Derivatives of pooled features: centres, ascending; the row of its structure to which each contributes, at most once
to any; and the derivatives of this row's features by those of the centre, shape (n_entries, n_features or 1)."""


def check_finite(pooled: Any) -> None:
    """Raise ``StructureError`` if pooled features are not finite."""
    finite = np.isfinite(pooled.data if sparse.issparse(pooled) else pooled)
    if not finite.all():
        ends = pooled.indptr if sparse.issparse(pooled) else np.arange(len(pooled) + 1) * pooled.shape[1]
        s = locate(ends, int(np.argmin(finite)))[0]
        raise StructureError(s, None, "features must be finite, and their sum within range")
