"""Rows that belong to structures: structure ``s`` owns the rows ``offsets[s]`` to ``offsets[s + 1]``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Offsets = npt.NDArray[np.integer[Any]]


def offsets_of(counts: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return the offsets of structures with so many rows each."""
    given = np.asarray(counts)
    offsets = np.zeros(len(given) + 1, dtype=np.int64)
    np.cumsum(given, out=offsets[1:])
    return offsets


def owners(offsets: Offsets) -> npt.NDArray[np.int64]:
    """Return the structure of every row."""
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def places(offsets: Offsets) -> npt.NDArray[np.int64]:
    """Return the index of every row among those of its structure."""
    if len(offsets) == 2:
        return np.arange(int(offsets[1]))
    return np.arange(offsets[-1]) - np.repeat(offsets[:-1], np.diff(offsets))


def locate(offsets: Offsets, row: int) -> tuple[int, int]:
    """Return the structure that a row belongs to, and its index among the rows of that structure."""
    structure = int(np.searchsorted(offsets, row, side="right")) - 1
    return structure, int(row - offsets[structure])


def split(values: Any, offsets: Offsets | Sequence[int]) -> Iterator[Any]:
    """Yield the rows of each structure, as views."""
    return (values[a:b] for a, b in pairwise(offsets))


def totals(values: npt.NDArray[Any], offsets: Offsets) -> npt.NDArray[Any]:
    """Return the sum over the rows of each structure, of which none may be empty."""
    return np.asarray(np.add.reduceat(values, offsets[:-1], axis=0))


def pick(
    offsets: npt.NDArray[np.int64], structures: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64] | slice, npt.NDArray[np.int64]]:
    """Return the rows of some structures, in this order, and the offsets of these structures alone."""
    if len(structures) == len(offsets) - 1 and bool((structures[1:] > structures[:-1]).all()):  # all, in their order
        return slice(None), offsets
    own = offsets_of(offsets[structures + 1] - offsets[structures])
    return places(own) + np.repeat(offsets[structures], np.diff(own)), own


def chunks(offsets: Offsets, n_rows: int) -> Iterator[tuple[int, int]]:
    """Yield runs of structures with at most so many rows together, or of a single one with more."""
    start, n = 0, len(offsets) - 1
    while start < n:
        stop = locate(offsets, int(offsets[start]) + n_rows)[0]
        stop = min(max(stop, start + 1), n)
        yield start, stop
        start = stop
