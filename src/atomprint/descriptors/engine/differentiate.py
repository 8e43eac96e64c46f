"""How derivatives are computed: in parts, by the hooks of a descriptor or numerically, dense or sparse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.sparse import issparse

from atomprint.descriptors.engine.arguments import (
    AtomLists,
    Gradient,
    Variables,
    as_gradient,
    check_wrt,
    dense,
    flat_cotangents,
    select_atoms,
)
from atomprint.descriptors.engine.call import Array, Call, Derivatives, Hooks
from atomprint.descriptors.engine.output import CooRows, CsrRows, DenseRows, arrange
from atomprint.descriptors.engine.pairs import PairBlock, PairJacobian
from atomprint.descriptors.engine.parts import new_rows, parts
from atomprint.ragged import owners
from atomprint.structures import counted_from
from atomprint.util.validation import check_bool


def derivatives(
    source: Hooks, call: Call, include: AtomLists, exclude: AtomLists, wrt: Variables, return_descriptor: bool
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
    results: dict[str, Any] = {}
    for name in names:
        shape = int(row_offsets[name][-1]), *axes[name], n_features
        results[name] = (
            CooRows(shape[0], shape[1:], call.dtype) if call.sparse else DenseRows(np.zeros(shape, dtype=call.dtype))
        )
    if return_descriptor:
        results["descriptor"] = new_rows(call)

    # In runs of 3 * n_features numbers.
    needed = np.sum([row_offsets[name] * (np.prod(axes[name]) // 3) for name in names], axis=0)
    cut = call.sparse or call.progress is not None
    for start, part in parts(call, needed, 3 * n_features) if cut else [(0, call)]:
        sizes = {"positions": int(part.selection.row_offsets[-1])}
        arrays = {name: rows.open(sizes.get(name, part.n_rows)) for name, rows in results.items()}
        with counted_from(start):
            source._jacobian(part, Derivatives(*map(arrays.get, row_offsets)))
        for name, rows in results.items():
            rows.close(arrays[name])
    found = [arrange(rows, row_offsets[name], shapes[name], call.batch.single) for name, rows in results.items()]
    return found[0] if len(found) == 1 else tuple(found)


def gradient(source: Hooks, call: Call, cotangents: Any, wrt: Variables, return_descriptor: bool) -> Gradient:
    """Return what :meth:`Descriptor.vjp` promises."""
    names, batch = check_wrt(wrt), call.batch
    check_bool("return_descriptor", return_descriptor)
    weights = flat_cotangents(cotangents, call)
    positions = np.zeros((len(batch.numbers), 3))
    strain = np.zeros((len(batch), 3, 3)) if "strain" in names else None
    features = new_rows(call) if return_descriptor else None
    if call.progress is None and not issparse(weights) and not isinstance(features, CsrRows):
        source._vjp(call, weights, Derivatives(positions, strain, None if features is None else features.array))
    else:
        row = 0
        for start, part in parts(call, call.computed, call.n_features):
            n, first_atom = part.n_rows, int(batch.offsets[start])
            by_atom = np.zeros((len(part.batch.numbers), 3))
            by_strain = None if strain is None else np.zeros((len(part), 3, 3))
            out = None if features is None else features.open(n)
            with counted_from(start):
                source._vjp(part, dense(weights[row : row + n]), Derivatives(by_atom, by_strain, out))
            # Added, as the centres of one structure may be in several parts.
            positions[first_atom : first_atom + len(by_atom)] += by_atom
            if strain is not None and by_strain is not None:
                strain[start : start + len(part)] += by_strain
            if features is not None and out is not None:
                features.close(out)
            row += n
    return as_gradient(
        batch,
        positions if "positions" in names else None,
        strain,
        None if features is None else arrange(features, call.rows, call.row_shapes, batch.single),
    )


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
            weights = cotangents[row + rows[s] : row + rows[s + 1]]
            own = by_atom[selection.row_offsets[s] : selection.row_offsets[s + 1]]
            own = own.reshape(len(weights), selection.counts[s], 3, n_features)
            atoms = slice(offsets[start + s], offsets[start + s + 1])
            out.positions[atoms] += np.einsum("rf,rkcf->kc", weights, own)
            if out.strain is not None and by_strain is not None:
                out.strain[start + s] += np.einsum("rf,rabf->ab", weights, by_strain[rows[s] : rows[s + 1]])
        row += n
