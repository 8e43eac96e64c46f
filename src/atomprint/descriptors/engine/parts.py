"""A call in parts, so that memory is bounded and progress can be shown."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from atomprint import _core
from atomprint.descriptors.engine.call import Array, Call, Hooks
from atomprint.descriptors.engine.given import given_rows
from atomprint.descriptors.engine.output import CsrRows, DenseRows, arrange
from atomprint.ragged import chunks
from atomprint.structures import counted_from

# Dense scratch for sparse output, and the share of work between two progress messages.
_CHUNK_BYTES = 16 * 2**20
# Of a row that is sparse, or so.
SPARSE_ENTRIES = 4096
# Of features before they are rounded, for each thread: they stay in cache, and parts are not too many.
_ROUNDED_BYTES = 4 * 2**20

# Of so many species a structure has few, and writing the zeros of the others to a result of that size takes longer than
# to ask for zeros.
_MANY_SPECIES, _LARGE_BYTES = 12, 2**20


def new_rows(call: Call, out: Array | None = None, name: str = "out") -> DenseRows | CsrRows:
    """Return a place for the features of all rows of a call: in the caller's array, if one is given."""
    if out is not None:
        if call.sparse:
            raise ValueError(f"{name} must be left out with sparse=True: how much is to be written is not known before")
        return given_rows(name, out, call, call.row_shapes, (call.n_features_out,), narrower=True)
    if call.sparse:
        return CsrRows(call.n_features_out, call.dtype)
    return DenseRows(np.empty((call.n_rows, call.n_features_out), dtype=call.dtype))


def arranged(rows: DenseRows | CsrRows, call: Call) -> Any:
    """Give the features of all rows of a call the shape that users see."""
    if call.batch.single and isinstance(rows, DenseRows):
        return rows.array[0] if call.per_structure else rows.array
    if call.batch.single:
        return rows.part(0, call.n_rows, call.shape_of_one)
    return arrange(rows, call.rows, call.row_shapes, single=False)


def _in_zeros(source: Hooks, call: Call) -> DenseRows:
    """Compute rows of which most numbers are zero, which memory that is new is made of anyway."""
    zeros = np.zeros((call.n_rows, call.n_features_out), dtype=call.dtype)
    source._compute(call, (_core.ZeroRows64 if call.dtype == np.float64 else _core.ZeroRows32)(zeros))
    return DenseRows(zeros)


def compute_rows(source: Hooks, call: Call, out: Array | None = None) -> DenseRows | CsrRows:
    """Compute the features of all rows of a call."""
    if out is None and source._has_gaps and len(call.prepared.species) >= _MANY_SPECIES:
        n_bytes = call.n_rows * call.n_features_out * call.dtype.itemsize
        if n_bytes >= _LARGE_BYTES and call.progress is None and not call.sparse:
            return _in_zeros(source, call)
    rows = new_rows(call, out)
    if isinstance(rows, CsrRows) and source._writes_sparse:
        n_entries = min(call.n_features, SPARSE_ENTRIES)
        for start, part in [(0, call)] if call.progress is None else parts(call, call.computed, n_entries):
            with counted_from(start):
                source._compute(part, rows.core)
        return rows
    if isinstance(rows, DenseRows) and not rows.narrow and call.progress is None:
        source._compute(call, rows.array)
        return rows
    part_bytes = _ROUNDED_BYTES * call.n_threads if rows.narrow else None
    for start, part in parts(call, call.computed, call.n_features, part_bytes):
        out = rows.open(part.n_rows)
        with counted_from(start):
            source._compute(part, out)
        rows.close(out)
    return rows


def parts(
    call: Call, first_rows: npt.NDArray[Any], row_entries: int, n_bytes: int | None = None
) -> Iterator[tuple[int, Call]]:
    """Yield a call in parts, with the index of their first structure, and show progress.

    A part takes about ``n_bytes`` (default: ``_CHUNK_BYTES``) if structure ``s`` needs the rows ``first_rows[s]`` to
    ``first_rows[s + 1]`` of ``row_entries`` numbers: where the result is sparse or rounded (scratch stays small) or
    progress is to be shown. Structures with a row for each centre are themselves cut if they need more.
    """
    chunk_bytes = _CHUNK_BYTES if n_bytes is None else n_bytes
    row_bytes, name = row_entries * call.dtype.itemsize, call.progress
    if name is not None:
        call = replace(call, progress=None)
    for start, stop in chunks(first_rows, max(1, chunk_bytes // max(row_bytes, 1))):
        part = call[start:stop]
        needed = int(first_rows[stop] - first_rows[start]) * row_bytes
        if not call.per_structure and stop == start + 1 and needed > chunk_bytes:
            n_centers = part.n_rows
            n_together = max(1, chunk_bytes * n_centers // needed)
            for first in range(0, n_centers, n_together):
                yield start, part.run(first, min(first + n_together, n_centers))
        else:
            yield start, part
        if name is not None:
            show_progress(name, stop, len(call))


def show_progress(name: str, done: int, n: int) -> None:
    """Show on standard error how many of the structures are done."""
    print(f"\r{name}: {done} of {n} structures", end="\n" if done == n else "", file=sys.stderr, flush=True)
