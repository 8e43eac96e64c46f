"""Pooled features, and their derivatives by the chain rule through the pooling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from atomprint.descriptors.engine.call import Array, Call, Derivatives, Hooks
from atomprint.descriptors.engine.pairs import PairBlock
from atomprint.pooling.pooling import Plan
from atomprint.structures import Batch, counted_from

_CHUNK_BYTES = 16 * 2**20


class Pooled:
    """The hooks of a descriptor with a pooling around it, for calls that have a plan."""

    def __init__(self, source: Hooks, plan: Plan) -> None:
        self._source = source
        self._is_linear = plan.is_linear

    def _options(self, batch: Batch) -> Any:
        return self._source._options(batch)

    def _compute(self, call: Call, out: Array) -> None:
        out[:] = _plan(call)(self._rows(call))

    def _vjp(self, call: Call, cotangents: Array, out: Derivatives) -> None:
        plan = _plan(call)
        # Where the pooling is linear, features come with the derivatives; else they are needed first.
        values = None if self._is_linear else self._rows(call)
        by_group = _by_group(cotangents, plan)
        by_group = by_group.reshape(-1, *by_group.shape[2:])
        rows = np.zeros((int(call.computed[-1]), call.n_features), dtype=cotangents.dtype)
        for groups, slopes in plan.terms(values):
            for m, slope in enumerate(slopes):
                rows += slope.astype(rows.dtype, copy=False) * by_group[groups, m]
        found = np.empty_like(rows) if values is None and out.features is not None else None
        self._source._vjp(replace(call, plan=None), rows, out._replace(features=found))
        if out.features is not None:
            out.features[:] = plan(found if values is None else values)

    def _jacobian(self, call: Call, out: Derivatives) -> None:
        firsts, (positions, strain, features) = call.selection.row_offsets, out
        for s in range(len(call)):
            own = Derivatives(
                None if positions is None else positions[firsts[s] : firsts[s + 1]],
                None if strain is None else strain[s],
                None if features is None else features[s : s + 1],
            )
            with counted_from(s):
                self._jacobian_of_one(call[s : s + 1], int(firsts[s + 1] - firsts[s]), own)

    def _jacobian_of_one(self, one: Call, n_atoms: int, out: Derivatives) -> None:
        """Add the derivatives of one structure by so many atoms and by the strain, and write its features."""
        plan, n_features, dtype = _plan(one), one.n_features, one.dtype
        values = None if self._is_linear and out.features is None else self._rows(one)
        if out.features is not None:
            out.features[:] = plan(values)
        terms = list(plan.terms(values))
        # What is asked for: (n, 3, n_groups, n_methods, n_features).
        outputs = [_by_group(array, plan) for array in (out.positions, out.strain) if array is not None]
        n_together = max(1, _CHUNK_BYTES // ((n_atoms + 3) * 3 * n_features * dtype.itemsize))
        n_centers = int(one.computed[-1])
        for start in range(0, n_centers, n_together):
            part = one.run(start, min(start + n_together, n_centers))
            n = part.n_rows
            by_atom = None if out.positions is None else np.zeros((n * n_atoms, 3, n_features), dtype=dtype)
            by_strain = None if out.strain is None else np.zeros((n, 3, 3, n_features), dtype=dtype)
            self._source._jacobian(part, Derivatives(by_atom, by_strain, None))
            arrays = [array for array in (by_atom, by_strain) if array is not None]
            for pooled, array in zip(outputs, arrays, strict=True):
                rows = array.reshape(n, -1, 3, n_features)
                for i in range(n):
                    for groups, slopes in terms:
                        for m, slope in enumerate(slopes):
                            pooled[:, :, groups[start + i], m] += slope[start + i].astype(dtype) * rows[i]

    def pairs(self, call: Call, blocks: Sequence[PairBlock]) -> list[PairBlock]:
        """Return the blocks of pooled features from those of unpooled ones."""
        plan, n_features = _plan(call), call.n_features
        terms = list(plan.terms(None if self._is_linear else self._rows(call)))
        pooled = []
        for block in blocks:
            center = call.computed[block.structures] + block.centers
            for groups, slopes in terms:
                group = groups[center] % plan.n_groups
                for g in np.unique(group):
                    own = np.flatnonzero(group == g)
                    at = center[own]
                    parts = [
                        block.values[own]
                        * (slope[at] if slope.shape[1] == 1 else slope[np.ix_(at, block.features)])[:, None]
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

    def _rows(self, call: Call) -> Array:
        """Return the features of all centres, not pooled."""
        values = np.empty((int(call.computed[-1]), call.n_features), dtype=call.dtype)
        self._source._compute(replace(call, plan=None), values)
        return values


def _plan(call: Call) -> Plan:
    assert call.plan is not None
    return call.plan


def _by_group(pooled: Array, plan: Plan) -> Array:
    """Return a view of pooled features whose last axis is split, (..., n_groups, n_methods, n_features)."""
    n_parts = plan.n_groups * len(plan.methods)
    return pooled.reshape(*pooled.shape[:-1], plan.n_groups, len(plan.methods), pooled.shape[-1] // n_parts)
