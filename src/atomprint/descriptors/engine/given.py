"""Arrays of the caller that results are written to: checked, and seen as rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from atomprint.descriptors.engine.call import Call
from atomprint.descriptors.engine.output import DenseRows, NarrowRows


def given_rows(
    name: str,
    out: Any,
    call: Call,
    shapes: npt.NDArray[Any],
    tail: Sequence[int],
    *,
    dtype: np.dtype[Any] | None = None,
    narrower: bool = False,
    lead: tuple[int, ...] = (),
) -> DenseRows:
    """Return an array of the caller as a place for rows, or raise where they cannot be written to it.

    Parameters
    ----------
    name : str
        What the array is called.
    out : ndarray
        In the shape of the result, or with all rows of all structures one after the other: the only shape where
        structures have different numbers of rows.
    call : Call
        What is computed, and from what.
    shapes : ndarray of int, shape (n_structures, n_axes)
        Shape of the rows of each structure, without that of a row itself.
    tail : sequence of int
        Shape of a row.
    dtype : dtype, optional
        Of the numbers. Default: that of the features.
    narrower : bool
        Whether float32 will do, too, to which float64 is rounded then.
    lead : tuple of int
        Axes before all others.
    """
    dtype = call.dtype if dtype is None else dtype
    if not isinstance(out, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array, got {type(out).__name__}")
    allowed = (dtype, np.dtype(np.float32)) if narrower else (dtype,)
    if out.dtype not in allowed:
        raise TypeError(f"{name} must have dtype {' or '.join(dict.fromkeys(map(str, allowed)))}, got {out.dtype}")
    rows = (*lead, int(np.prod(shapes, axis=1, dtype=np.int64).sum()), *tail)
    wanted: tuple[int, ...] = rows
    if call.batch.single:
        wanted = (*lead, *shapes[0].tolist(), *tail)
    elif (shapes == shapes[0]).all():
        wanted = (*lead, len(shapes), *shapes[0].tolist(), *tail)
    if out.shape not in (wanted, rows):
        either = "" if wanted == rows else f" or {rows}"
        raise ValueError(f"{name} must have shape {wanted}{either}, got {out.shape}")
    flags = out.flags
    if not (flags.c_contiguous and flags.aligned):
        raise ValueError(f"{name} must be C-contiguous, got strides {out.strides} for shape {out.shape}")
    if not flags.writeable:
        raise ValueError(f"{name} must be writeable, got an array that is read-only")
    check_apart(name, out, (*call.batch.arrays(), call.centers.points, call.centers.atoms), "the structures")
    array = np.asarray(out).reshape(rows)  # as a plain array, also of a memory map
    return DenseRows(array) if out.dtype == dtype else NarrowRows(array, dtype)


def check_apart(name: str, out: Any, others: Sequence[Any], what: str) -> None:
    """Raise if writing to an array would change what is read, or written elsewhere."""
    arrays = [other for other in others if isinstance(other, np.ndarray)] if isinstance(out, np.ndarray) else []
    if any(np.may_share_memory(out, other) for other in arrays):
        raise ValueError(f"{name} must not share memory with {what}")


def as_given(found: Any, out: Any) -> Any:
    """Return the very array that was given, if the result has its shape."""
    return out if out is not None and isinstance(found, np.ndarray) and found.shape == out.shape else found
