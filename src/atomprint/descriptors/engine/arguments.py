"""What the derivatives of all descriptors share: their arguments, checked, and the form of a gradient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from atomprint import _core
from atomprint.descriptors.engine.call import Array, Call, FloatArray, Offsets
from atomprint.descriptors.engine.output import DenseRows, arrange
from atomprint.ragged import locate, places
from atomprint.structures import Batch
from atomprint.util import sparse

VARIABLES = ("positions", "strain")
"""What features can be differentiated by."""

Variables: TypeAlias = str | Sequence[str]
"""One or both of them."""

AtomLists: TypeAlias = Sequence[int] | Sequence[Sequence[int] | None] | npt.NDArray[np.integer[Any]] | None
"""Indices of atoms: one list for all structures, or one for each; None for all atoms, or none."""

LAYOUTS = ("pairs",)
"""Forms of a Jacobian."""


class Gradient(NamedTuple):
    """Derivatives of a scalar, the sum of features times cotangents; None for what was not asked for.

    Parameters
    ----------
    positions : ndarray of float64, shape (n_atoms, 3), or list of these
        By the positions of the atoms, in units of the scalar per Å. With a leading axis for a sequence of structures
        of equal size, a list for others. For an energy the forces are *minus* this.
    strain : ndarray of float64, shape (3, 3) or (n_structures, 3, 3)
        By the strain e that takes every atom, lattice vector and centre from r to (1 + e) r. For an energy in eV the
        stress is this divided by the volume, in eV/Å^3, positive in tension.
    descriptor : array
        The features, as ``create`` returns them.
    """

    positions: FloatArray | Any = None
    strain: FloatArray | Any = None
    descriptor: Array | Any = None


def as_gradient(
    batch: Batch, positions: FloatArray | None, strain: FloatArray | None, descriptor: Any = None
) -> Gradient:
    """Give flat arrays the shape that users see; None stays None."""
    if batch.single:
        return Gradient(positions, None if strain is None else strain[..., 0, :, :], descriptor)
    if positions is None:
        return Gradient(None, strain, descriptor)
    if positions.ndim == 3:  # of several cotangents
        each = [as_gradient(batch, one, None).positions for one in positions]
        same = isinstance(each[0], np.ndarray)
        return Gradient(positions.reshape(len(each), *each[0].shape) if same else each, strain, descriptor)
    by_atom = arrange(DenseRows(positions), batch.offsets, batch.n_atoms[:, None], single=False)
    return Gradient(by_atom, strain, descriptor)


def check_wrt(wrt: Variables) -> tuple[str, ...]:
    """Return the names of the variables, or raise."""
    if wrt is VARIABLES:
        return VARIABLES
    names = (wrt,) if isinstance(wrt, str) else wrt
    known = isinstance(names, tuple | list) and all(isinstance(name, str) and name in VARIABLES for name in names)
    if not known or not names or len(set(names)) < len(names):
        raise ValueError(f"wrt must be 'positions', 'strain' or a tuple of both, got {wrt!r}")
    return tuple(names)


# Which atoms ---------------------------------------------------------------------------------------------------


def select_atoms(batch: Batch, include: AtomLists, exclude: AtomLists) -> Offsets:
    """Return for each atom its index among the selected atoms of its structure, -1 for those left out.

    Parameters
    ----------
    batch : Batch
        The structures.
    include, exclude : sequence, optional
        Indices of atoms for a single structure; for a sequence of structures one such list for all, or one for each,
        where None stands for all atoms (include) or none (exclude). Included atoms keep the given order.

    Raises
    ------
    ValueError, TypeError
        If both are given, or an index is out of range, given twice or no integer; the message names the structure.
    """
    if include is not None and exclude is not None:
        raise ValueError("include and exclude must not be given together")
    name, given = ("include", include) if exclude is None else ("exclude", exclude)
    if given is None:
        return places(batch.offsets)
    slots = np.full(len(batch.numbers), -1, dtype=np.int64)
    for s, indices in enumerate(_lists(name, given, batch)):
        n_atoms = int(batch.n_atoms[s])
        own = slots[batch.offsets[s] : batch.offsets[s + 1]]
        listed = None if indices is None else _indices(f"structure {s}: {name}", indices, n_atoms)
        if name == "exclude" or listed is None:
            kept = np.ones(n_atoms, dtype=bool)
            kept[listed if listed is not None else []] = False
            listed = np.flatnonzero(kept)
        own[listed] = np.arange(len(listed))
    return slots


def _is_list(item: Any) -> bool:
    return hasattr(item, "__len__") and not isinstance(item, str | bytes) and getattr(item, "ndim", 1) > 0


def _lists(name: str, given: Any, batch: Batch) -> Sequence[Sequence[int] | None]:
    """Return one list of atoms, or None, for each structure."""
    if not _is_list(given):
        raise TypeError(f"{name} must be a list of atom indices, or one such list for each structure, got {given!r}")
    if batch.single:
        return [given]
    nested = [item is None or _is_list(item) for item in given]
    if not any(nested):
        return [given] * len(batch)
    if not all(nested) or len(given) != len(batch):
        raise ValueError(
            f"{name} must be one list of atom indices for all structures, or one for each of the {len(batch)}, "
            f"got {given!r}"
        )
    return given


def _indices(where: str, given: Sequence[int], n_atoms: int) -> Offsets:
    for item in given:
        if not isinstance(item, Integral) or isinstance(item, bool | np.bool_):
            raise TypeError(f"{where} must hold atom indices, got {item!r}")
        if not 0 <= int(item) < n_atoms:
            raise ValueError(f"{where}: atom index must be in 0..{n_atoms - 1}, got {item}")
    indices = np.array(list(given), dtype=np.int64)
    values, counts = np.unique(indices, return_counts=True)
    if (counts > 1).any():
        raise ValueError(f"{where}: atom indices must differ, got {values[np.argmax(counts > 1)]} more than once")
    return indices


# Weights on the features ---------------------------------------------------------------------------------------


def flat_cotangents(given: Any, call: Call, *, check: bool = True, out: Array | None = None, join: bool = True) -> Any:
    """Return cotangents, shaped as the features that ``create`` returns, as rows.

    Whether they are finite is left to who calls, if not ``check``. Where there are several arrays they are put together
    in ``out``, if that is given, or if not ``join`` left as they are, where that can be.

    Returns
    -------
    ndarray or scipy.sparse.csr_array, shape (n_rows, n_features), or list with an array for each structure

    Raises
    ------
    ValueError, TypeError
        If the shape is wrong, or something is not a finite number; the message names the expected shape or the
        structure.
    """
    n_features, dtype = call.n_features_out, call.dtype
    if call.batch.single:
        rows = [_array("cotangents", given, (*call.shape_of_one, n_features))]
    else:
        rows = _arrays_of_many(given, call)
    if not join and len(rows) > 1 and all(type(a) is np.ndarray and a.dtype == dtype and a.flags.carray for a in rows):
        return rows
    # Sparse ones stay so: they may be far larger than memory when dense.
    if any(type(item) is not np.ndarray and sparse.issparse(item) for item in rows):
        flat = sparse.csr_array(sparse.vstack([_sparse_rows(item, n_features) for item in rows], format="csr"))
        with np.errstate(over="ignore"):  # found below
            flat = flat.astype(dtype)
    else:
        flat = _joined(
            [item if item.ndim == 2 else item.reshape(-1, n_features) for item in rows], dtype, call.n_threads, out
        )
    if check:
        check_finite(flat, call)
    return flat


def _joined(rows: list[Array], dtype: np.dtype[Any], n_threads: int, out: Array | None) -> Array:
    """Return the rows of all arrays as one."""
    if len(rows) == 1 and rows[0].dtype == dtype:
        return np.ascontiguousarray(rows[0])
    with np.errstate(over="ignore"):  # found later
        if len(rows) == 1:
            return np.ascontiguousarray(rows[0], dtype=dtype)
        flat = np.empty((sum(map(len, rows)), rows[0].shape[1]), dtype=dtype) if out is None else out
        return flat if _core.join(rows, flat, n_threads) else np.concatenate(rows, out=flat, casting="unsafe")


def check_finite(flat: Any, call: Call) -> None:
    """Raise if cotangents are not finite, and name structure and row; of several, as rows, those that are not."""
    if isinstance(flat, list) or (not sparse.issparse(flat) and flat.ndim > 2):
        for k, one in enumerate(flat):
            with _named_item(k):
                check_finite(one, call)
        return
    entries = flat.data if sparse.issparse(flat) else flat
    if not _core.all_finite(entries.ravel(), call.n_threads):
        finite = np.isfinite(entries)
        first = flat.indptr if sparse.issparse(flat) else np.arange(len(flat) + 1)
        entry = np.unravel_index(np.argmin(finite), finite.shape)[0]
        structure, row = locate(call.rows, locate(first, int(entry))[0])
        raise ValueError(f"structure {structure}: cotangents must be finite, row {row} is not")


@contextmanager
def _named_item(k: int) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError) as error:
        raise type(error)(f"item {k} of cotangents: {error}") from None


def _arrays_of_many(given: Any, call: Call) -> list[Any]:
    """Return the cotangents of several structures as one array, or one for each structure."""
    shapes, n_features = call.row_shapes, call.n_features_out
    if isinstance(given, Sequence) and not isinstance(given, str) and not call.per_structure:
        if len(given) != len(call):
            raise ValueError(f"cotangents must hold one array for each of the {len(call)} structures, got {len(given)}")
        wanted = [(*shape, n_features) for shape in shapes.tolist()]
        # As ``create`` returns them, most often, and quickly: there may be many.
        as_returned = all(
            type(item) is np.ndarray and item.dtype == call.dtype and item.shape == shape
            for item, shape in zip(given, wanted, strict=True)
        )
        if as_returned:
            return list(given)
        return [
            _array(f"structure {s}: cotangents", item, shape)
            for s, (item, shape) in enumerate(zip(given, wanted, strict=True))
        ]
    if (shapes == shapes[0]).all():
        return [_array("cotangents", given, (len(call), *shapes[0].tolist(), n_features))]
    raise ValueError(
        f"cotangents must be a list with one array of shape (n_centers, {n_features}) for each structure, as "
        f"create returns, got {type(given).__name__}"
    )


def several_cotangents(given: Any, call: Call, *, check: bool = True) -> Any:
    """Return several cotangents as rows: one array with an axis before, or a list where some are sparse."""
    if not isinstance(given, Sequence | np.ndarray) or isinstance(given, str):
        raise TypeError(f"cotangents must be a sequence of several, got {type(given).__name__}")
    if len(given) == 0:
        raise ValueError("cotangents must be at least one of several, got none")
    as_array = isinstance(given, np.ndarray)
    stacked = None if as_array else np.empty((len(given), call.n_rows, call.n_features_out), dtype=call.dtype)
    rows = []
    for k, one in enumerate(given):
        with _named_item(k):
            rows.append(flat_cotangents(one, call, check=check, out=None if stacked is None else stacked[k]))
            if stacked is not None and not sparse.issparse(rows[k]) and not np.may_share_memory(rows[k], stacked):
                stacked[k] = rows[k]
    if any(map(sparse.issparse, rows)):
        return rows
    if stacked is not None:
        return stacked
    with np.errstate(over="ignore"):  # found before or later
        flat = np.ascontiguousarray(given, dtype=call.dtype)
    return flat.reshape(len(rows), *rows[0].shape)  # where it is, if it can be


def _array(name: str, given: Any, shape: tuple[int, ...]) -> Any:
    try:
        array = given if sparse.issparse(given) else np.asarray(given)
    except ValueError:  # rows of different lengths
        array = np.empty(0, dtype=object)
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, that of the features, got {array.shape}")
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} must be real numbers, got dtype {array.dtype}")
    return array


def _sparse_rows(item: Any, n_features: int) -> sparse.csr_array:
    if not sparse.issparse(item):
        return sparse.csr_array(item.reshape(-1, n_features))
    n_rows = int(np.prod(item.shape[:-1], dtype=np.int64))
    return sparse.csr_array(sparse.coo_array(item).reshape((n_rows, n_features)))


def dense(rows: Any) -> Array:
    """Return rows as a contiguous dense array."""
    return np.ascontiguousarray(rows.toarray() if sparse.issparse(rows) else rows)
