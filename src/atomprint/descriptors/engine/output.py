"""Where results are put, dense or sparse: rows that are written run by run, and then given their shape."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from atomprint import _core
from atomprint.ragged import split
from atomprint.util import sparse
from atomprint.util.indices import coo_array, narrowed


class Result(Protocol):
    """Rows of numbers that are written in their order."""

    def open(self, n: int) -> npt.NDArray[Any]:
        """Return an array for the next ``n`` rows."""
        ...

    def close(self, rows: npt.NDArray[Any]) -> None:
        """Take back what ``open`` gave, filled."""
        ...

    def part(self, start: int, stop: int, shape: Sequence[int]) -> Any:
        """Return rows ``start`` to ``stop`` in a shape, to which that of a row is added."""
        ...


class DenseRows:
    """One array for all rows; what is opened is a view of it."""

    narrow = False

    def __init__(self, array: npt.NDArray[Any]) -> None:
        self.array = array
        self._n = 0

    def open(self, n: int) -> npt.NDArray[Any]:
        """Return an array for the next ``n`` rows."""
        return self.array[self._n : self._n + n]

    def close(self, rows: npt.NDArray[Any]) -> None:
        """Take back what ``open`` gave, filled."""
        self._n += len(rows)

    def part(self, start: int, stop: int, shape: Sequence[int]) -> npt.NDArray[Any]:
        """Return rows ``start`` to ``stop`` in a shape, to which that of a row is added."""
        return self.array[start:stop].reshape((*shape, *self.array.shape[1:]))


class NarrowRows(DenseRows):
    """One array for all rows, in a narrower type than they are computed in: they are rounded once."""

    narrow = True

    def __init__(self, array: npt.NDArray[Any], dtype: np.dtype[Any]) -> None:
        super().__init__(array)
        self._scratch = np.empty((0, *array.shape[1:]), dtype=dtype)

    def open(self, n: int) -> npt.NDArray[Any]:
        """Return an array for the next ``n`` rows."""
        if len(self._scratch) < n:
            self._scratch = np.empty((n, *self._scratch.shape[1:]), dtype=self._scratch.dtype)
        return self._scratch[:n]

    def close(self, rows: npt.NDArray[Any]) -> None:
        """Take back what ``open`` gave, filled."""
        self.array[self._n : self._n + len(rows)] = rows
        super().close(rows)


class CsrRows:
    """Sparse features, added to ``core`` or as dense rows; nothing is stacked, which would need the memory twice."""

    narrow = False

    def __init__(self, n_features: int, dtype: np.dtype[Any]) -> None:
        self._n_features = n_features
        self._dtype = dtype
        self.core = (_core.SparseRows64 if dtype == np.float64 else _core.SparseRows32)(n_features)
        self._whole: sparse.csr_array | None = None

    def open(self, n: int) -> npt.NDArray[Any]:
        """Return an array for the next ``n`` rows."""
        return np.empty((n, self._n_features), dtype=self._dtype)

    def close(self, rows: npt.NDArray[Any]) -> None:
        """Take back what ``open`` gave, filled."""
        self.core.append(rows)

    @property
    def array(self) -> sparse.csr_array:
        """All rows."""
        if self._whole is None:
            data, indices, ends = self.core.take()
            self._whole = sparse.csr_array((data, indices, ends), shape=(len(ends) - 1, self._n_features))
        return self._whole

    def part(self, start: int, stop: int, shape: Sequence[int]) -> Any:
        """Return rows ``start`` to ``stop`` in a shape, to which that of a row is added."""
        rows = self.array
        if stop - start < rows.shape[0]:
            ends = rows.indptr[start : stop + 1]
            parts = (*(_view(array, ends[0], ends[-1]) for array in (rows.data, rows.indices)), ends - ends[0])
            rows = sparse.csr_array(parts, shape=(stop - start, self._n_features))
        if len(shape) == 1:
            return rows
        # All entries of a row have the coordinates of its structure and of its place in that.
        whole, counts = (*shape, self._n_features), np.diff(rows.indptr)
        wide = max(rows.nnz, prod(whole) if len(whole) > 2 else 0) >= 2**31
        index = np.int64 if wide else np.int32
        places = np.unravel_index(np.arange(stop - start), tuple(shape)) if len(shape) else ()
        coords = (*(np.repeat(place.astype(index), counts) for place in places), rows.indices.astype(index, copy=False))
        return coo_array(rows.data, coords, whole)


def _view(array: npt.NDArray[Any], start: int, stop: int) -> npt.NDArray[Any]:
    """Return a slice that SciPy takes as it is: it copies small views of large arrays, which takes as long as a row."""
    return np.frombuffer(memoryview(array), array.dtype, stop - start, start * array.itemsize)  # type: ignore[arg-type]


class CooRows:
    """Sparse rows of any shape, as entries."""

    narrow = False

    def __init__(self, n_rows: int, tail: Sequence[int], dtype: np.dtype[Any]) -> None:
        self._tail = tuple(tail)
        self._n = 0
        self._index = np.dtype(np.int32 if max(n_rows, *tail) < 2**31 else np.int64)
        self._values = [np.empty(0, dtype=dtype)]
        self._coords: list[npt.NDArray[Any]] = [np.empty((1 + len(tail), 0), dtype=self._index)]

    def open(self, n: int) -> npt.NDArray[Any]:
        """Return an array for the next ``n`` rows."""
        return np.zeros((n, *self._tail), dtype=self._values[0].dtype)

    def close(self, rows: npt.NDArray[Any]) -> None:
        """Take back what ``open`` gave, filled."""
        coords = np.array(np.nonzero(rows), dtype=self._index)
        self._values.append(rows[tuple(coords)])
        coords[0] += self._n
        self._coords.append(coords)
        self._n += len(rows)

    def part(self, start: int, stop: int, shape: Sequence[int]) -> sparse.coo_array:
        """Return rows ``start`` to ``stop`` in a shape, to which that of a row is added."""
        self._values = [np.concatenate(self._values)]
        self._coords = [np.concatenate(self._coords, axis=1)]
        # Entries are in the order of their rows.
        entries = slice(*np.searchsorted(self._coords[0][0], [start, stop]))
        row, *others = self._coords[0][:, entries]
        places = np.unravel_index(row - start, tuple(shape)) if len(shape) else ()
        return narrowed(sparse.coo_array((self._values[0][entries], (*places, *others)), shape=(*shape, *self._tail)))


def arrange(result: Result, offsets: npt.NDArray[np.integer[Any]], shapes: npt.NDArray[Any], single: bool) -> Any:
    """Give rows the shape that users see.

    Parameters
    ----------
    result : Result
        All rows.
    offsets : ndarray of int, shape (n_structures + 1,)
        Structure ``s`` owns the rows ``offsets[s]`` to ``offsets[s + 1]``.
    shapes : ndarray of int, shape (n_structures, n_axes)
        Shape of the rows of each structure, without that of a row itself.
    single : bool
        Whether one bare structure was given: no leading axis.

    Returns
    -------
    array or list of arrays
        One array with a leading axis where all structures have the same shape, else a list with one for each.
    """
    if single:
        return result.part(0, int(offsets[-1]), shapes[0].tolist())
    if (shapes == shapes[0]).all():
        return result.part(0, int(offsets[-1]), [len(shapes), *shapes[0].tolist()])
    if isinstance(result, DenseRows) and shapes.shape[1] == 1:  # most often, and quickly: there may be many
        return list(split(result.array, offsets.tolist()))
    return [result.part(a, b, shape) for (a, b), shape in zip(pairwise(offsets.tolist()), shapes.tolist(), strict=True)]
