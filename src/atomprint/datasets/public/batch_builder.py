"""Structures one by one into flat arrays, so that a large file never is a large heap of objects."""

from __future__ import annotations

from array import array

import numpy as np
import numpy.typing as npt

from atomprint.structures import Batch
from atomprint.util.types import FloatArray


class BatchBuilder:
    """Collects structures into a :class:`~atomprint.structures.Batch`, with 28 bytes for each atom."""

    def __init__(self) -> None:
        self._numbers, self._positions, self._offsets = array("i"), array("d"), array("q", [0])
        self._cells, self._pbc = array("d"), array("b")

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def append(
        self,
        numbers: npt.NDArray[np.int32],
        positions: FloatArray,
        cell: FloatArray | None = None,
        pbc: tuple[bool, bool, bool] = (False, False, False),
    ) -> None:
        """Add a structure; shapes (n_atoms,), (n_atoms, 3) and (3, 3)."""
        self._numbers.frombytes(np.ascontiguousarray(numbers, dtype=np.int32).tobytes())
        self._positions.frombytes(np.ascontiguousarray(positions, dtype=np.float64).tobytes())
        self._cells.frombytes((np.zeros((3, 3)) if cell is None else np.asarray(cell, dtype=np.float64)).tobytes())
        self._pbc.extend(map(bool, pbc))
        self._offsets.append(len(self._numbers))

    def build(self) -> Batch:
        """Return all structures; the builder must not be used afterwards, since the arrays are its own."""
        return Batch(
            np.frombuffer(self._numbers, dtype=np.int32),
            np.frombuffer(self._positions, dtype=np.float64).reshape(-1, 3),
            np.frombuffer(self._offsets, dtype=np.int64),
            np.frombuffer(self._cells, dtype=np.float64).reshape(-1, 3, 3),
            np.frombuffer(self._pbc, dtype=np.bool_).reshape(-1, 3),
        )
