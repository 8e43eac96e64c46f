"""How derivatives are computed: in parts, by the hooks of a descriptor or numerically, dense or sparse."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import issparse

from atomprint.descriptors.engine import numerical, pooled
from atomprint.descriptors.engine.arguments import (
    Gradient,
    as_gradient,
    check_wrt,
    dense,
    flat_cotangents,
    select_atoms,
)
from atomprint.descriptors.engine.call import Task
from atomprint.descriptors.engine.output import CooRows, CsrRows, DenseRows, arrange
from atomprint.descriptors.engine.pairs import PairBlock, PairJacobian
from atomprint.structures import Batch
from atomprint.util.validation import check_bool, check_choice

if TYPE_CHECKING:
    from atomprint.descriptors.engine.contract import Descriptor

Array = npt.NDArray[Any]


def is_analytical(descriptor: Descriptor, method: str) -> bool:
    """Return whether derivatives by this method are analytical, or raise where there are none."""
    check_choice("method", method, ("auto", "analytical", "numerical"))
    descriptor._check_differentiable()
    if method == "numerical":
        return False
    reason = descriptor._analytical()
    if reason and method == "analytical":
        raise ValueError(f"method must be 'auto' or 'numerical', got 'analytical': {reason}")
    if reason:
        warnings.warn(f"{reason}: derivatives are numerical", UserWarning, stacklevel=4)
    return not reason


def _write(
    descriptor: Descriptor,
    analytical: bool,
    task: Task,
    positions: Array | None,
    strain: Array | None,
    features: Array | None,
    attach: bool,
    n_threads: int,
) -> None:
    """Write derivatives and features of a task; see the hook ``_jacobian``."""
    if not analytical:
        numerical.jacobian(descriptor, task, positions, strain, features, attach, n_threads)
    elif task.plan is not None:
        pooled.jacobian(descriptor, task, task.plan, positions, strain, features, attach, n_threads)
    else:
        descriptor._jacobian(task.batch, task.selection, positions, strain, features, attach, n_threads, task.options)


def _write_gradient(
    descriptor: Descriptor,
    analytical: bool,
    task: Task,
    cotangents: Array,
    positions: Array,
    strain: Array | None,
    features: Array | None,
    attach: bool,
    n_threads: int,
) -> None:
    """Write contracted derivatives and features of a task; see the hook ``_vjp``."""
    if not analytical:
        numerical.vjp(descriptor, task, cotangents, positions, strain, features, attach, n_threads)
    elif task.plan is not None:
        pooled.vjp(descriptor, task, task.plan, cotangents, positions, strain, features, attach, n_threads)
    else:
        descriptor._vjp(task.batch, cotangents, positions, strain, features, attach, n_threads, task.options)


def derivatives(
    descriptor: Descriptor,
    task: Task,
    include: Any,
    exclude: Any,
    method: str,
    return_descriptor: bool,
    attach: bool,
    wrt: Any,
    n_threads: int,
    verbose: bool,
) -> Any:
    """Return what :meth:`Descriptor.derivatives` promises."""
    names = check_wrt(wrt)
    attach = check_bool("attach", attach)
    check_bool("return_descriptor", return_descriptor)
    task = replace(task, slots=select_atoms(task.batch, include, exclude))
    analytical, selection = is_analytical(descriptor, method), task.selection
    n_features, dtype = descriptor.get_number_of_features(), descriptor._dtype()
    as_sparse = bool(getattr(descriptor, "sparse", False))

    # Each with the output rows of every structure, and their shape.
    row_offsets = {"positions": selection.row_offsets, "strain": task.rows, "descriptor": task.rows}
    shapes = dict.fromkeys(row_offsets, task.row_shapes)
    shapes["positions"] = np.column_stack([task.row_shapes, selection.counts])
    axes = {"positions": (3,), "strain": (3, 3)}
    results: dict[str, Any] = {}
    for name in names:
        shape = int(row_offsets[name][-1]), *axes[name], n_features
        results[name] = CooRows(shape[0], shape[1:], dtype) if as_sparse else DenseRows(np.zeros(shape, dtype=dtype))
    if return_descriptor:
        results["descriptor"] = descriptor._new_rows(int(task.rows[-1]))

    # In runs of 3 * n_features numbers.
    needed = np.sum([row_offsets[name] * (np.prod(axes[name]) // 3) for name in names], axis=0)
    cut = as_sparse or verbose
    for _, part in descriptor._parts(task, needed, 3 * n_features, verbose) if cut else [(0, task)]:
        sizes = {"positions": int(part.selection.row_offsets[-1])}
        arrays = {name: rows.open(sizes.get(name, int(part.rows[-1]))) for name, rows in results.items()}
        positions, strain, features = map(arrays.get, row_offsets)
        _write(descriptor, analytical, part, positions, strain, features, attach, n_threads)
        for name, rows in results.items():
            rows.close(arrays[name])
    found = [arrange(rows, row_offsets[name], shapes[name], task.batch.single) for name, rows in results.items()]
    return found[0] if len(found) == 1 else tuple(found)


def gradient(
    descriptor: Descriptor,
    task: Task,
    cotangents: Any,
    wrt: Any,
    attach: bool,
    return_descriptor: bool,
    n_threads: int,
    verbose: bool,
) -> Gradient:
    """Return what :meth:`Descriptor.vjp` promises."""
    names, batch = check_wrt(wrt), task.batch
    attach = check_bool("attach", attach)
    check_bool("return_descriptor", return_descriptor)
    weights = flat_cotangents(cotangents, task, descriptor.get_number_of_features(), descriptor._dtype())
    analytical = is_analytical(descriptor, "auto")
    positions = np.zeros((len(batch.numbers), 3))
    strain = np.zeros((len(batch), 3, 3)) if "strain" in names else None
    features = descriptor._new_rows(int(task.rows[-1])) if return_descriptor else None
    cut = verbose or task.plan is not None or issparse(weights) or isinstance(features, CsrRows)
    row = 0
    parts = descriptor._parts(task, task.computed, descriptor._n_features(), verbose) if cut else [(0, task)]
    for start, part in parts:
        n, first_atom = int(part.rows[-1]), int(batch.offsets[start])
        by_atom = np.empty((len(part.batch.numbers), 3))
        by_strain = None if strain is None else np.empty((len(part), 3, 3))
        out = None if features is None else features.open(n)
        own = dense(weights[row : row + n])
        _write_gradient(descriptor, analytical, part, own, by_atom, by_strain, out, attach, n_threads)
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
        None if features is None else arrange(features, task.rows, task.row_shapes, batch.single),
    )


def rows_by_atom(descriptor: Descriptor, task: Task, n_threads: int) -> PairJacobian:
    """Return the derivatives of features of whole structures by each atom, as pairs of a structure and an atom."""
    task = replace(task, slots=select_atoms(task.batch, None, None))
    batch, n_features, dtype = task.batch, descriptor.get_number_of_features(), descriptor._dtype()
    n_atoms = len(batch.numbers)
    values = np.zeros((n_atoms, 3, n_features), dtype=dtype)
    _write(descriptor, is_analytical(descriptor, "auto"), task, values, None, None, True, n_threads)
    block = PairBlock(
        species=0,
        features=np.arange(n_features),
        values=values,
        structures=np.repeat(np.arange(len(batch)), batch.n_atoms),
        centers=np.full(n_atoms, -1),
        atoms=task.selection.slots,
        shifts=np.zeros((n_atoms, 3), dtype=np.int64),
        vectors=np.zeros((n_atoms, 3)),
    )
    return PairJacobian([block], task, n_features, dtype)


def contract_jacobian(
    descriptor: Descriptor,
    batch: Batch,
    cotangents: Array,
    positions: npt.NDArray[np.float64],
    strain: npt.NDArray[np.float64] | None,
    features: Array | None,
    attach: bool,
    n_threads: int,
    options: Any,
) -> None:
    """Write what the hook ``_vjp`` promises, from ``_jacobian``, with a bounded amount of memory."""
    task = replace(descriptor._plain_task(batch, options), slots=select_atoms(batch, None, None))
    n_features = descriptor._n_features()
    positions[:] = 0
    if strain is not None:
        strain[:] = 0
    needed, row = task.selection.row_offsets + 3 * task.rows, 0
    for start, part in descriptor._parts(task, needed, 3 * n_features, verbose=False):
        rows, selection = part.rows, part.selection
        n = int(rows[-1])
        by_atom = np.zeros((int(selection.row_offsets[-1]), 3, n_features), dtype=cotangents.dtype)
        by_strain = None if strain is None else np.zeros((n, 3, 3, n_features), dtype=cotangents.dtype)
        out = None if features is None else features[row : row + n]
        descriptor._jacobian(part.batch, selection, by_atom, by_strain, out, attach, n_threads, part.options)
        for s in range(len(part)):
            weights = cotangents[row + rows[s] : row + rows[s + 1]]
            own = by_atom[selection.row_offsets[s] : selection.row_offsets[s + 1]]
            own = own.reshape(len(weights), selection.counts[s], 3, n_features)
            atoms = slice(batch.offsets[start + s], batch.offsets[start + s + 1])
            positions[atoms] += np.einsum("rf,rkcf->kc", weights, own)
            if strain is not None and by_strain is not None:
                strain[start + s] += np.einsum("rf,rabf->ab", weights, by_strain[rows[s] : rows[s + 1]])
        row += n
