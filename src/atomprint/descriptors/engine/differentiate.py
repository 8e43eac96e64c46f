"""How derivatives are computed: in parts, by the hooks of a descriptor or numerically, dense or sparse."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any, TypeAlias, cast

import numpy as np

from atomprint import _core
from atomprint.descriptors.engine.arguments import (
    AtomLists,
    Gradient,
    Variables,
    as_gradient,
    check_finite,
    check_wrt,
    dense,
    flat_cotangents,
    select_atoms,
    several_cotangents,
)
from atomprint.descriptors.engine.call import Array, Call, Derivatives, Hooks
from atomprint.descriptors.engine.given import as_given, check_apart, given_rows
from atomprint.descriptors.engine.output import CooRows, DenseRows, arrange
from atomprint.descriptors.engine.pairs import PairBlock, PairJacobian
from atomprint.descriptors.engine.parts import arranged, new_rows, parts, show_progress
from atomprint.descriptors.engine.room import check_room
from atomprint.ragged import chunks, owners
from atomprint.structures import counted_from
from atomprint.util.validation import check_bool

_MANY_COTANGENTS = 2**17


def derivatives(
    source: Hooks,
    call: Call,
    include: AtomLists,
    exclude: AtomLists,
    wrt: Variables,
    return_descriptor: bool,
    out: Any = None,
) -> Any:
    """Return what :meth:`Descriptor.derivatives` promises."""
    names = check_wrt(wrt)
    check_bool("return_descriptor", return_descriptor)
    if include is not None or exclude is not None:
        call = replace(call, slots=select_atoms(call.batch, include, exclude))
    selection, n_features = call.selection, call.n_features_out

    # Each with the output rows of every structure, and their shape.
    row_offsets = {"positions": selection.row_offsets, "strain": call.rows, "descriptor": call.rows}
    shapes = dict.fromkeys(row_offsets, call.row_shapes)
    shapes["positions"] = np.column_stack([call.row_shapes, selection.counts])
    axes = {"positions": (3,), "strain": (3, 3)}
    given = _given(out, [*names, "descriptor"] if return_descriptor else list(names), call)
    if not call.sparse and not given:
        check_room(call, [(int(row_offsets[name][-1]), *axes[name], n_features) for name in names])
    results: dict[str, Any] = {}
    for name in names:
        shape = int(row_offsets[name][-1]), *axes[name], n_features
        if call.sparse:
            results[name] = CooRows(shape[0], shape[1:], call.dtype)
        elif name in given:
            results[name] = given_rows(*given[name], call, shapes[name], shape[1:])
            results[name].array.fill(0)
        else:
            results[name] = DenseRows(np.zeros(shape, dtype=call.dtype))
    if return_descriptor:
        called, array = given.get("descriptor", ("out", None))
        results["descriptor"] = new_rows(call, array, called)

    # In runs of 3 * n_features numbers.
    needed = np.sum([row_offsets[name] * (np.prod(axes[name]) // 3) for name in names], axis=0)
    cut = call.sparse or call.progress is not None or any(rows.narrow for rows in results.values())
    for start, part in parts(call, needed, 3 * n_features) if cut else [(0, call)]:
        sizes = {"positions": int(part.selection.row_offsets[-1])}
        arrays = {name: rows.open(sizes.get(name, part.n_rows)) for name, rows in results.items()}
        with counted_from(start):
            source._jacobian(part, Derivatives(*map(arrays.get, row_offsets)))
        for name, rows in results.items():
            rows.close(arrays[name])
    found = [
        as_given(arrange(rows, row_offsets[name], shapes[name], call.batch.single), given.get(name, (name, None))[1])
        for name, rows in results.items()
    ]
    return found[0] if len(found) == 1 else tuple(found)


def _given(out: Any, names: Sequence[str], call: Call) -> dict[str, tuple[str, Array]]:
    """Return the arrays that are given for results, by the names of these, each with what it is called."""
    if out is None:
        return {}
    if isinstance(out, np.ndarray) and len(names) == 1:
        given = {names[0]: ("out", out)}
    elif not isinstance(out, tuple | list) or len(out) != len(names):
        got = f"a {type(out).__name__}" if not isinstance(out, tuple | list) else f"{len(out)} of them"
        raise TypeError(f"out must be one array for each of {', '.join(names)}, got {got}")
    else:
        given = {name: (f"out[{i}]", array) for i, (name, array) in enumerate(zip(names, out, strict=True))}
        given = {name: (called, array) for name, (called, array) in given.items() if array is not None}
    if call.sparse and given:
        raise ValueError("out must be left out with sparse=True: how much is to be written is not known before")
    _check_apart_from_each_other(given.values())
    return given


def _check_apart_from_each_other(given: Iterable[tuple[str, Array]]) -> None:
    for (_, first), (name, second) in combinations(given, 2):
        check_apart(name, second, [first], "another array of out")


RowFunction: TypeAlias = Callable[[Array], tuple[Any, Any]]
"""Makes values and their derivatives by the features out of rows of features."""

# Of features that wait for their cotangents, for each thread.
_CHUNK_BYTES = 2**20


def gradient(
    source: Hooks,
    call: Call,
    cotangents: Any,
    wrt: Variables,
    return_descriptor: bool,
    several: bool = False,
    out: Gradient | None = None,
) -> Gradient:
    """Return what :meth:`Descriptor.vjp` promises."""
    names, batch = check_wrt(wrt), call.batch
    check_bool("return_descriptor", return_descriptor)
    # Of many cotangents few may be read, those of the species that are there, and looking at all would take longer:
    # what is read and is not finite shows afterwards.
    late = source._spreads_nan and call.n_rows * call.n_features_out > _MANY_COTANGENTS and call.progress is None
    if several is not False and check_bool("several", several):
        weights = several_cotangents(cotangents, call, check=not late)
        lead: tuple[int, ...] = (len(weights),)
    else:
        # Many stay where they are if the descriptor reads them from there.
        weights, lead = flat_cotangents(cotangents, call, check=not late, join=not late), ()
    given: dict[str, Array] = {}
    if out is not None:
        asked = {*names, "descriptor"} if return_descriptor else set(names)
        given = _given_gradient(out, asked, call, weights, lead)
    positions, strain = given.get("positions"), given.get("strain")
    if positions is None:
        positions = np.zeros((*lead, len(batch.numbers), 3))
    if strain is None and "strain" in names:
        strain = np.zeros((*lead, len(batch), 3, 3))
    features = None
    if return_descriptor:
        features = new_rows(call, None if out is None else out.descriptor, "out.descriptor")
    # Straight to where it belongs, or part by part.
    straight = features is None or (isinstance(features, DenseRows) and not features.narrow)
    apart = isinstance(weights, list) and not lead
    if apart and not straight:
        weights = flat_cotangents(cotangents, call, check=False)
    if call.progress is None and straight and (apart or isinstance(weights, np.ndarray)):
        source._vjp(call, weights, Derivatives(positions, strain, None if features is None else features.array))
    else:
        row = 0
        for start, part in parts(call, call.computed, call.n_features):
            n, first_atom = part.n_rows, int(batch.offsets[start])
            by_atom = np.zeros((*lead, len(part.batch.numbers), 3))
            by_strain = None if strain is None else np.zeros((*lead, len(part), 3, 3))
            own = None if features is None else features.open(n)
            with counted_from(start):
                source._vjp(part, _rows_of(weights, row, row + n), Derivatives(by_atom, by_strain, own))
            # Added, as the centres of one structure may be in several parts.
            positions[..., first_atom : first_atom + len(part.batch.numbers), :] += by_atom
            if strain is not None and by_strain is not None:
                strain[..., start : start + len(part), :, :] += by_strain
            if features is not None and own is not None:
                features.close(own)
            row += n
    if late and not all(array is None or _core.all_finite(array.ravel()) for array in (positions, strain)):
        check_finite(flat_cotangents(cotangents, call, check=False) if apart else weights, call)
    found = as_gradient(
        batch,
        positions if "positions" in names else None,
        strain,
        None if features is None else arranged(features, call),
    )
    return found if out is None else Gradient(*map(as_given, found, out))


def value_and_gradient(
    source: Hooks, call: Call, function: RowFunction | Array, wrt: Variables
) -> tuple[Any, Gradient]:
    """Return what :meth:`Descriptor.value_and_vjp` promises."""
    names, batch, n_features = check_wrt(wrt), call.batch, call.n_features_out
    linear = None if callable(function) else _linear_weights(function, n_features, call.dtype)
    positions = np.zeros((len(batch.numbers), 3))
    strain = np.zeros((len(batch), 3, 3)) if "strain" in names else None
    values: list[Array] = []
    rows = call.rows
    # Whole structures, whose features stay in cache until they are back.
    n_together = max(1, _CHUNK_BYTES * call.n_threads // (n_features * call.dtype.itemsize))
    room = np.empty((0, n_features), dtype=call.dtype)
    for start, stop in chunks(rows, n_together):
        part, n = call[start:stop], int(rows[stop] - rows[start])
        if n == 0:
            continue
        if len(room) < n:
            room = np.empty((n, n_features), dtype=call.dtype)
        features, atoms = room[:n], slice(batch.offsets[start], batch.offsets[stop])
        of_part = Derivatives(positions[atoms], None if strain is None else strain[start:stop], None)
        with counted_from(start):
            if linear is not None:  # known before: in one go
                source._vjp(part, np.repeat(linear[None], n, axis=0), of_part._replace(features=features))
            else:
                source._compute(part, features)
        if linear is not None:
            values.append(features @ linear)
        else:
            found, weights = _called(cast(RowFunction, function), features, start)
            values.append(np.array(found))  # which may be in the very room
            with counted_from(start):
                source._vjp(part, weights, of_part)
        if call.progress is not None:
            show_progress(call.progress, stop, len(call))
    value = arrange(DenseRows(np.concatenate(values) if values else np.empty(0)), rows, call.row_shapes, batch.single)
    return value, as_gradient(batch, positions if "positions" in names else None, strain)


def _linear_weights(given: Any, n_features: int, dtype: np.dtype[Any]) -> Array:
    """Return the weight of each feature in a linear function, or raise."""
    weights = np.asarray(given)
    if weights.shape != (n_features,) or weights.dtype.kind not in "iuf":
        got = f"an array of shape {weights.shape} of {weights.dtype}" if weights.ndim else repr(given)
        raise TypeError(f"function must be callable, or numbers of shape ({n_features},), got {got}")
    with np.errstate(over="ignore"):  # found below
        rounded = np.ascontiguousarray(weights, dtype=dtype)
    if not (finite := np.isfinite(rounded)).all():
        raise ValueError(f"function must be finite in {dtype} where it is weights, got {weights[~finite][0]}")
    return rounded


def _called(function: RowFunction, features: Array, start: int) -> tuple[Array, Array]:
    """Return values and cotangents that a function of the caller makes of features, checked."""
    found = function(features)
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise TypeError(f"function must return values and cotangents, got {type(found).__name__}")
    values, weights = np.asarray(found[0]), np.asarray(found[1])
    if values.ndim == 0 or len(values) != len(features):
        raise ValueError(
            f"function must return one value for each of the {len(features)} rows, got values of shape {values.shape}"
        )
    if weights.shape != features.shape or weights.dtype.kind not in "iuf":
        raise ValueError(
            f"function must return cotangents of shape {features.shape}, got shape {weights.shape} of {weights.dtype}"
        )
    with np.errstate(over="ignore"):  # found below
        weights = np.ascontiguousarray(weights, dtype=features.dtype)
    if not _core.all_finite(weights.ravel()):
        raise ValueError(f"function must return cotangents that are finite: they are not from structure {start} on")
    return values, weights


def _rows_of(weights: Any, start: int, stop: int) -> Array:
    """Return some rows of cotangents, which may be sparse, and a list of several then."""
    if isinstance(weights, list):
        return np.array([dense(one[start:stop]) for one in weights])
    return dense(weights[..., start:stop, :] if isinstance(weights, np.ndarray) else weights[start:stop])


def _given_gradient(
    out: Gradient, asked: Collection[str], call: Call, weights: Any, lead: tuple[int, ...]
) -> dict[str, Array]:
    """Return the arrays given for derivatives, as zeros in the shape of the hooks."""
    if not isinstance(out, Gradient):
        raise TypeError(f"out must be a Gradient of arrays, got {type(out).__name__}")
    arrays = [(name, array) for name, array in out._asdict().items() if array is not None]
    for name, array in arrays:
        if name not in asked:
            raise ValueError(f"out.{name} must be None where {name} is not asked for")
        check_apart(f"out.{name}", array, weights if isinstance(weights, list) else [weights], "the cotangents")
    _check_apart_from_each_other([(f"out.{name}", array) for name, array in arrays])
    shapes = {"positions": call.batch.n_atoms[:, None], "strain": np.empty((len(call), 0), dtype=np.int64)}
    tails = {"positions": (3,), "strain": (3, 3)}
    found = {}
    for name, array in arrays:
        if name in tails:
            double = np.dtype(np.float64)
            found[name] = given_rows(
                f"out.{name}", array, call, shapes[name], tails[name], dtype=double, lead=lead
            ).array
    for array in found.values():
        array.fill(0)
    return found


def rows_by_atom(source: Hooks, call: Call) -> PairJacobian:
    """Return the derivatives of features of whole structures by each atom, as pairs of a structure and an atom."""
    batch, n_atoms = call.batch, len(call.batch.numbers)
    values = np.zeros((n_atoms, 3, call.n_features), dtype=call.dtype)
    source._jacobian(call, Derivatives(values, None, None))
    block = PairBlock(
        species=0,
        features=np.arange(call.n_features),
        values=values,
        structures=owners(batch.offsets),
        centers=np.full(n_atoms, -1),
        atoms=call.selection.slots,
        shifts=np.zeros((n_atoms, 3), dtype=np.int64),
        vectors=np.zeros((n_atoms, 3)),
    )
    return PairJacobian([block], call)


def contract_jacobian(source: Hooks, call: Call, cotangents: Array, out: Derivatives) -> None:
    """Do what the hook ``_vjp`` promises, by way of ``_jacobian``, with a bounded amount of memory."""
    assert out.positions is not None
    offsets, n_features, row = call.batch.offsets, call.n_features, 0
    for start, part in parts(call, call.selection.row_offsets + 3 * call.rows, 3 * n_features):
        rows, selection, n = part.rows, part.selection, part.n_rows
        by_atom = np.zeros((int(selection.row_offsets[-1]), 3, n_features), dtype=cotangents.dtype)
        by_strain = None if out.strain is None else np.zeros((n, 3, 3, n_features), dtype=cotangents.dtype)
        features = None if out.features is None else out.features[row : row + n]
        with counted_from(start):
            source._jacobian(part, Derivatives(by_atom, by_strain, features))
        for s in range(len(part)):
            weights = cotangents[..., row + rows[s] : row + rows[s + 1], :]
            own = by_atom[selection.row_offsets[s] : selection.row_offsets[s + 1]]
            own = own.reshape(rows[s + 1] - rows[s], selection.counts[s], 3, n_features)
            atoms = slice(offsets[start + s], offsets[start + s + 1])
            out.positions[..., atoms, :] += np.einsum("...rf,rkcf->...kc", weights, own)
            if out.strain is not None and by_strain is not None:
                own = by_strain[rows[s] : rows[s + 1]]
                out.strain[..., start + s, :, :] += np.einsum("...rf,rabf->...ab", weights, own)
        row += n
