"""Derivatives of pooled features, by the chain rule through the pooling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from atomprint.descriptors.engine.call import Task
from atomprint.descriptors.engine.pairs import PairBlock
from atomprint.pooling.pooling import Plan

if TYPE_CHECKING:
    from atomprint.descriptors.engine.contract import Descriptor

Array = npt.NDArray[Any]

_CHUNK_BYTES = 16 * 2**20


def rows_of(descriptor: Descriptor, task: Task, n_threads: int) -> Array:
    """Return the features of all centres, not pooled."""
    values = np.empty((int(task.computed[-1]), descriptor._n_features()), dtype=descriptor._dtype())
    descriptor._compute(task.batch, values, n_threads, task.options)
    return values


def _by_group(pooled: Array, plan: Plan) -> Array:
    """Return a view of pooled features whose last axis is split, (..., n_groups, n_methods, n_features)."""
    n_parts = plan.n_groups * len(plan.methods)
    return pooled.reshape(*pooled.shape[:-1], plan.n_groups, len(plan.methods), pooled.shape[-1] // n_parts)


def vjp(
    descriptor: Descriptor,
    task: Task,
    plan: Plan,
    cotangents: Array,
    positions: Array,
    strain: Array | None,
    features: Array | None,
    attach: bool,
    n_threads: int,
) -> None:
    """Write contracted derivatives and features, as the hook ``_vjp`` does for unpooled ones."""
    # Where the pooling is linear, features come with the derivatives; else they are needed first.
    values = None if plan.is_linear else rows_of(descriptor, task, n_threads)
    by_group = _by_group(cotangents, plan)
    by_group = by_group.reshape(-1, *by_group.shape[2:])
    rows = np.zeros((int(task.computed[-1]), by_group.shape[-1]), dtype=cotangents.dtype)
    for groups, slopes in plan.terms(values):
        for m, slope in enumerate(slopes):
            rows += slope.astype(rows.dtype, copy=False) * by_group[groups, m]
    out = np.empty_like(rows) if values is None and features is not None else None
    descriptor._vjp(task.batch, rows, positions, strain, out, attach, n_threads, task.options)
    if features is not None:
        features[:] = plan(out if values is None else values)


def jacobian(
    descriptor: Descriptor,
    task: Task,
    plan: Plan,
    positions: Array | None,
    strain: Array | None,
    features: Array | None,
    attach: bool,
    n_threads: int,
) -> None:
    """Write derivatives and features, as the hook ``_jacobian`` does for unpooled ones."""
    n_features, dtype = descriptor._n_features(), descriptor._dtype()
    for s in range(len(task)):
        one, own = task[s : s + 1], plan[s : s + 1]
        values = None if own.is_linear and features is None else rows_of(descriptor, one, n_threads)
        if features is not None:
            features[s] = own(values)[0]
        terms = list(own.terms(values))
        first, last = task.selection.row_offsets[s : s + 2]
        n_atoms = int(last - first)
        outputs = []  # what of this structure is asked for: (n, 3, n_groups, n_methods, n_features)
        if positions is not None:
            outputs.append(_by_group(positions[first:last], plan))
        if strain is not None:
            outputs.append(_by_group(strain[s], plan))
        n_together = max(1, _CHUNK_BYTES // ((n_atoms + 3) * 3 * n_features * dtype.itemsize))
        n_centers = int(one.computed[-1])
        for start in range(0, n_centers, n_together):
            part = one.centres(start, min(start + n_together, n_centers))
            n = int(part.computed[-1])
            by_atom = None if positions is None else np.zeros((n * n_atoms, 3, n_features), dtype=dtype)
            by_strain = None if strain is None else np.zeros((n, 3, 3, n_features), dtype=dtype)
            descriptor._jacobian(part.batch, part.selection, by_atom, by_strain, None, attach, n_threads, part.options)
            arrays = [array for array in (by_atom, by_strain) if array is not None]
            for out, array in zip(outputs, arrays, strict=True):
                rows = array.reshape(n, -1, 3, n_features)
                for i in range(n):
                    for groups, slopes in terms:
                        for m, slope in enumerate(slopes):
                            out[:, :, groups[start + i], m] += slope[start + i].astype(dtype) * rows[i]


def pairs(
    descriptor: Descriptor, task: Task, plan: Plan, blocks: Sequence[PairBlock], n_threads: int
) -> list[PairBlock]:
    """Return the blocks of pooled features from those of unpooled ones."""
    n_features = descriptor._n_features()
    terms = list(plan.terms(None if plan.is_linear else rows_of(descriptor, task, n_threads)))
    pooled = []
    for block in blocks:
        centre = task.computed[block.structures] + block.centers
        for groups, slopes in terms:
            group = groups[centre] % plan.n_groups
            for g in np.unique(group):
                own = np.flatnonzero(group == g)
                parts = [
                    block.values[own]
                    * (slope[centre[own]] if slope.shape[1] == 1 else slope[np.ix_(centre[own], block.features)])[
                        :, None
                    ]
                    for slope in slopes
                ]
                first = (g * len(slopes) + np.arange(len(slopes))) * n_features
                pooled.append(
                    replace(
                        block,
                        features=(first[:, None] + block.features).ravel(),
                        values=np.concatenate(parts, axis=2, dtype=block.values.dtype),
                        structures=block.structures[own],
                        centers=block.centers[own],
                        atoms=block.atoms[own],
                        shifts=block.shifts[own],
                        vectors=block.vectors[own],
                    )
                )
    return pooled
