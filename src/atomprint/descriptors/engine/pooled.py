"""Pooled features, and their derivatives by the chain rule through the pooling."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from atomprint.descriptors.engine.call import Array, Call, Derivatives, Hooks, Offsets
from atomprint.descriptors.engine.pairs import PairBlock
from atomprint.descriptors.engine.parts import parts
from atomprint.pooling.pooling import Plan, PoolingPlan
from atomprint.ragged import owners
from atomprint.structures import Batch, counted_from
from atomprint.util.overlap import in_order
from atomprint.util.rounding import left_of_cancelling

_CHUNK_BYTES = 16 * 2**20
# Of rows that are computed before they are pooled: they stay in cache, and there are parts for all threads.
_POOLED_BYTES = 2 * 2**20


class Pooled:
    """The hooks of a descriptor with a pooling around it, for calls that have a plan."""

    _pools = ("_compute", "_vjp", "_jacobian")

    def __init__(self, source: Hooks, plan: Plan) -> None:
        self._source = source
        self._is_linear = plan.is_linear
        self._own = source._pools if plan.is_linear else ()  # hooks that pool by themselves
        self._writes_sparse = "_compute" in self._own and source._writes_sparse
        self._has_gaps = "_compute" in self._own and source._has_gaps
        self._spreads_nan = "_vjp" in self._own and source._spreads_nan

    def _options(self, batch: Batch) -> Any:
        return self._source._options(batch)

    def _cancelling(self) -> Offsets | None:
        return self._source._cancelling()

    def _compute(self, call: Call, out: Any) -> None:
        if "_compute" in self._own:
            self._source._compute(call, out)
            return
        # Of fixed size, so that no bit depends on the number of threads.
        all_parts = list(parts(call, call.computed, call.n_features, _POOLED_BYTES))
        n_threads = call.n_threads if len(all_parts) >= 8 * call.n_threads else 1

        def pool(one: tuple[int, Call]) -> None:
            start, part = one
            if n_threads > 1:
                part = replace(part, n_threads=1)
            with counted_from(start):
                rows, plan = self._rows(part), _plan(part)
                out[start : start + len(part)] = plan(rows)
                bounds = self._cancelling()
                if bounds is not None and isinstance(plan, PoolingPlan):
                    _drop_rounding(out[start : start + len(part)], plan, rows, bounds)

        deque(in_order(pool, all_parts, n_threads), maxlen=0)

    def _vjp(self, call: Call, cotangents: Array, out: Derivatives) -> None:
        if "_vjp" in self._own:
            self._source._vjp(call, cotangents, out)
            return
        assert out.positions is not None
        offsets = call.batch.offsets
        for start, part in parts(call, call.computed, call.n_features):
            own = slice(start, start + len(part))
            positions = out.positions[..., offsets[own.start] : offsets[own.stop], :]
            strain = None if out.strain is None else out.strain[..., own, :, :]
            arrays = Derivatives(
                np.ascontiguousarray(positions),  # a copy where there are several
                None if strain is None else np.ascontiguousarray(strain),
                None if out.features is None else out.features[own],
            )
            with counted_from(start):
                self._vjp_of_part(part, cotangents[..., own, :], arrays)
            positions[:] = arrays.positions
            if strain is not None:
                strain[:] = arrays.strain

    def _vjp_of_part(self, call: Call, cotangents: Array, out: Derivatives) -> None:
        plan, offsets = _plan(call), call.centers.offsets
        lead = cotangents.shape[:-2]
        by_row = _by_row(cotangents, plan).reshape(*lead, -1, call.n_features)
        rows = np.zeros((*lead, int(offsets[-1]), call.n_features), dtype=cotangents.dtype)
        if self._is_linear:  # features come with the derivatives; else they are needed first
            values, weights = None, plan.row_weights().matrix(offsets).T
            for several in np.ndindex(lead):
                rows[several] = weights @ by_row[several]
        else:
            values = self._rows(call)
            structure = owners(offsets) * plan.n_rows
            for _, row, slopes in plan.entries(values):  # each of all centres
                rows += slopes.astype(rows.dtype, copy=False) * by_row[..., structure + row, :]
        found = None
        if values is None and out.features is not None:
            found = np.empty(rows.shape[-2:], dtype=rows.dtype)
        self._source._vjp(replace(call, plan=None), rows, out._replace(features=found))
        if out.features is not None:
            out.features[:] = plan(found if values is None else values)

    def _jacobian(self, call: Call, out: Derivatives) -> None:
        if "_jacobian" in self._own:
            self._source._jacobian(call, out)
            return
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
        entries = list(plan.entries(None if self._is_linear else values))
        # What is asked for: (n, 3, n_rows, n_features).
        outputs = [_by_row(array, plan) for array in (out.positions, out.strain) if array is not None]
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
                for centers, places, slopes in entries:
                    for k in range(*np.searchsorted(centers, (start, start + n)).tolist()):
                        pooled[:, :, places[k]] += slopes[k].astype(dtype) * rows[centers[k] - start]

    def pairs(self, call: Call, hook: Callable[[Call], Sequence[PairBlock]]) -> Sequence[PairBlock]:
        """Return the derivatives of pooled features by pairs, from the hook that returns those of unpooled ones."""
        plan, n_features = _plan(call), call.n_features
        if "_pairs" in self._own and isinstance(plan, PoolingPlan) and plan.n_rows == 1:
            return hook(call)
        blocks = hook(replace(call, plan=None))
        entries = list(plan.entries(None if self._is_linear else self._rows(call)))
        pooled = []
        for block in blocks:
            center = call.computed[block.structures] + block.centers
            for centers, places, slopes in entries:
                for row in np.unique(places):
                    entry = np.full(int(call.computed[-1]), -1)
                    chosen = np.flatnonzero(places == row)
                    entry[centers[chosen]] = chosen
                    own = np.flatnonzero(entry[center] >= 0)
                    slope = slopes[entry[center[own]]]
                    if slope.shape[1] > 1:
                        slope = slope[:, block.features]
                    pooled.append(
                        block.with_parts(
                            features=row * n_features + block.features,
                            values=(block.values[own] * slope[:, None]).astype(block.values.dtype),
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


def _drop_rounding(pooled: Array, plan: PoolingPlan, rows: Array, bounds: Offsets) -> None:
    """Make zeros of what is nothing but rounding beside the largest numbers of a block in the rows pooled."""
    largest = np.maximum.reduceat(np.abs(rows), bounds[:-1], axis=1)
    sizes = replace(plan, methods=("max",))(largest).reshape(len(plan), plan.n_groups, 1, -1)
    runs = pooled.reshape(len(plan), plan.n_groups, len(plan.methods), -1)
    shares = np.array([left_of_cancelling(rows.dtype, equals=method == "std") for method in plan.methods])
    runs[np.abs(runs) < shares[:, None] * np.repeat(sizes, np.diff(bounds), axis=3)] = 0


def _plan(call: Call) -> Plan:
    assert call.plan is not None
    return call.plan


def _by_row(pooled: Array, plan: Plan) -> Array:
    """Return a view of pooled features whose last axis is split, (..., n_rows, n_features)."""
    return pooled.reshape(*pooled.shape[:-1], plan.n_rows, pooled.shape[-1] // plan.n_rows)
