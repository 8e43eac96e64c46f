"""Structures as columns of a table, in little room and to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from atomprint.structures import Batch
from atomprint.util.extras import require

COLUMNS = ("numbers", "scaled", "ulps", "cell", "pbc")
"""Names of the columns."""

LEAVES = {"ulps": "ulps.list.element", "cell": "cell.list.element"}
"""Those whose bytes are best kept apart, the first of all numbers together, and so on."""

_GRID = 3e8  # coordinates with eight digits, and thirds of these, are whole numbers of it
_LARGEST = 2**31 - 1

EMPTY = Batch(
    np.zeros(0, np.int32), np.zeros((0, 3)), np.zeros(1, np.int64), np.zeros((0, 3, 3)), np.zeros((0, 3), np.bool_)
)


def packed(batch: Batch, n_more: int) -> dict[str, Any]:
    """Return the columns of structures, and below them of so many rows without one.

    Positions are whole numbers on a grid of the cell, of which many are the same, and how many floating-point numbers
    the position is away from there, which mostly is none: 8 bytes an atom for crystals from CIF, instead of 24.
    """
    pa = require("pyarrow", "data", "a store")
    scaled = _scaled(batch)
    ulps = _ordered(batch.positions) - _ordered(_positions(scaled, _frames(batch.cells), batch.n_atoms))
    ulps = (ulps << 1) ^ (ulps >> 63)
    offsets = np.append(batch.offsets, np.full(n_more, batch.offsets[-1])).astype(np.int32)
    threes = pa.array((3 * offsets).astype(np.int32))
    cells = np.concatenate([batch.cells.reshape(-1), np.zeros(9 * n_more)])
    pbc = np.concatenate([batch.pbc @ np.array([1, 2, 4]), np.zeros(n_more, dtype=np.int64)])
    return {
        "numbers": pa.ListArray.from_arrays(pa.array(offsets), pa.array(batch.numbers.astype(np.uint8))),
        "scaled": pa.ListArray.from_arrays(threes, pa.array(scaled.reshape(-1))),
        "ulps": pa.ListArray.from_arrays(threes, pa.array(ulps.reshape(-1))),
        "cell": pa.FixedSizeListArray.from_arrays(pa.array(cells), 9),
        "pbc": pa.array(pbc.astype(np.uint8)),
    }


def unpacked(table: Any) -> Batch:
    """Return the structures of a ``pyarrow.Table`` with the columns that :func:`packed` makes."""
    numbers, scaled, ulps, cell, pbc = (table.column(name).combine_chunks() for name in COLUMNS)
    counts = numbers.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
    cells = cell.flatten().to_numpy(zero_copy_only=False).astype(np.float64).reshape(-1, 3, 3)
    away = ulps.flatten().to_numpy(zero_copy_only=False).astype(np.int64).reshape(-1, 3)
    near = _positions(scaled.flatten().to_numpy(zero_copy_only=False).reshape(-1, 3), _frames(cells), counts)
    away = (away >> 1 & np.int64(_LARGEST_INT64)) ^ -(away & 1)
    bits = pbc.to_numpy(zero_copy_only=False)
    return Batch(
        numbers.flatten().to_numpy(zero_copy_only=False).astype(np.int32),
        _from_ordered(_ordered(near) + away),
        np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)]),
        cells,
        np.stack([(bits >> axis) & 1 for axis in range(3)], axis=1).astype(np.bool_).reshape(-1, 3),
    ).fixed()


_LARGEST_INT64 = 2**63 - 1


def _frames(cells: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the cells in whose fractions positions are packed: those without a volume are replaced by ones of 1 Å."""
    volumes = np.abs((np.cross(cells[:, 0], cells[:, 1]) * cells[:, 2]).sum(axis=1))
    return np.where((volumes > 1e-6)[:, None, None], cells, np.eye(3))


def _scaled(batch: Batch) -> npt.NDArray[np.int32]:
    # Sums of products one by one: what libraries for matrices make of them differs between machines in the last bit.
    frames = _frames(batch.cells)
    normals = np.stack([np.cross(frames[:, (k + 1) % 3], frames[:, (k + 2) % 3]) for k in range(3)], axis=1)
    normals /= (frames[:, 0] * normals[:, 0]).sum(axis=1)[:, None, None]
    of_atoms = np.repeat(normals, batch.n_atoms, axis=0)
    fractions = (of_atoms * batch.positions[:, None, :]).sum(axis=2)
    steps = np.nan_to_num(np.rint(fractions * _GRID), nan=0.0, posinf=_LARGEST, neginf=-_LARGEST)
    return np.clip(steps, -_LARGEST, _LARGEST).astype(np.int32)


def _positions(
    scaled: npt.NDArray[np.int32], frames: npt.NDArray[np.float64], counts: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return where the points of the grid are."""
    of_atoms = np.repeat(frames, counts, axis=0)
    x, y, z = (scaled[:, axis, None] / _GRID for axis in range(3))
    return np.ascontiguousarray(x * of_atoms[:, 0] + y * of_atoms[:, 1] + z * of_atoms[:, 2])


def _ordered(values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return numbers as integers in the same order, one for each that floating point knows; -0.0 is before 0.0."""
    bits = np.ascontiguousarray(values).view(np.int64)
    return np.where(bits < 0, np.int64(_LARGEST_INT64) ^ bits, bits)


def _from_ordered(values: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return np.ascontiguousarray(np.where(values < 0, np.int64(_LARGEST_INT64) ^ values, values)).view(np.float64)
