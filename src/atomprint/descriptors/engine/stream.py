"""Many structures, piece by piece, so that memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from os import PathLike
from typing import Any, TypeAlias

import numpy as np
from ase import Atoms

from atomprint.structures import Batch, Structures, is_structure, iter_structures, structure_of
from atomprint.util.items import items_of

# Features of a piece: few enough for memory that was there before, and enough for a call. And most structures of one.
_PIECE_BYTES = 4 * 2**20
_PIECE_STRUCTURES = 1024

_END = object()


Piece: TypeAlias = tuple[int, Any, Any]
"""The index of the first structure, the structures, and the centres of each or None for all."""


def pieces(
    structures: Structures,
    centers: Iterable[Any] | None,
    chunk: int | None,
    row_bytes: int,
    of_centers: bool,
) -> Iterator[Piece]:
    """Return structures in runs.

    Parameters
    ----------
    structures : structures
        As for :meth:`Descriptor.iter_create`; an iterator is read no further than the piece needs.
    centers : iterable, optional
        An item for each structure.
    chunk : int, optional
        Number of structures of a piece. Default: as many as need ``_PIECE_BYTES``.
    row_bytes : int
        What a row of the result needs.
    of_centers : bool
        Whether there is a row for each centre, and not for each structure.
    """
    if isinstance(structures, str | PathLike):
        given: Any = iter_structures(structures)
    else:
        given = structures if isinstance(structures, Iterator) else items_of("structures", structures)
    if isinstance(given, Batch) and centers is None:
        return _of_batch(given, chunk, row_bytes, of_centers)
    if is_structure(given):
        given = [given]
    if not isinstance(given, Iterable) or isinstance(given, bytes):
        raise TypeError(
            "structures must be an ase.Atoms, a pymatgen Structure or Molecule, a file, or an iterable of these, "
            f"got {type(given).__name__}"
        )
    if given is structures and not hasattr(given, "__len__"):
        given = map(_as_it_is_now, given)
    return _of_items(given, centers, chunk, row_bytes if of_centers else 0, 0 if of_centers else row_bytes)


def _as_it_is_now(item: Any) -> Any:
    """Return a structure that stays what it is where a generator moves the atoms of one on and on, as dynamics do."""
    return item.copy() if isinstance(item, Atoms) else item


def _of_items(
    structures: Iterable[Any],
    centers: Iterable[Any] | None,
    chunk: int | None,
    center_bytes: int,
    bytes_of_one: int,
) -> Iterator[Piece]:
    first, n_bytes, items, chosen = 0, 0, list[Any](), list[Any]()
    for index, (item, own) in enumerate(_with_centers(structures, centers)):
        items.append(structure_of(item, index))
        chosen.append(own)
        n_bytes += bytes_of_one + center_bytes * _n_centers(items[-1], own)
        if len(items) >= (chunk or _PIECE_STRUCTURES) or (not chunk and n_bytes >= _PIECE_BYTES):
            yield first, items, None if centers is None else chosen
            first, n_bytes, items, chosen = index + 1, 0, [], []
    if items:
        yield first, items, None if centers is None else chosen


def _of_batch(batch: Batch, chunk: int | None, row_bytes: int, of_centers: bool) -> Iterator[Piece]:
    rows = batch.offsets if of_centers else np.arange(len(batch) + 1)
    start, n_rows = 0, _PIECE_BYTES / row_bytes
    while start < len(batch):
        enough = int(np.searchsorted(rows, rows[start] + n_rows))
        stop = min(start + (chunk or min(enough - start, _PIECE_STRUCTURES)), len(batch))
        yield start, batch[start:stop], None
        start = stop


def _with_centers(structures: Iterable[Any], centers: Iterable[Any] | None) -> Iterator[tuple[Any, Any]]:
    """Yield each structure with its centres."""
    if centers is None:
        yield from ((structure, None) for structure in structures)
        return
    remaining = iter(centers)
    index = -1
    for index, structure in enumerate(structures):
        own = next(remaining, _END)
        if own is _END:
            raise ValueError(
                f"centers must have one item for each structure, got {index}, and there are more structures"
            )
        yield structure, own
    if next(remaining, _END) is not _END:
        raise ValueError(
            f"centers must have one item for each structure, got more, and there are {index + 1} structures"
        )


def _n_centers(structure: Any, centers: Any) -> int:
    """Return how many rows a structure has, where it can be known before it is read."""
    given = structure if centers is None else centers
    return len(given) if hasattr(given, "__len__") else 1
