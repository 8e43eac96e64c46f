"""Numerical derivatives of any descriptor, by central differences.

They are of fourth order, (X(-2h) - 8 X(-h) + 8 X(h) - X(2h)) / 12h: their error, h^4 / 30 times the fifth derivative,
allows steps so long that rounding hardly matters. With the steps below derivatives of smooth features come out with a
relative error of about 1e-8 in float64. In float32 it is 1e-3, and rounding of the features adds 1e-6 of these over the
step: 5e-5 of the largest feature for positions, 2e-4 for strain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from atomprint.descriptors.engine.call import Array, Call, Derivatives, FloatArray, Hooks, Offsets, Rows
from atomprint.structures import Batch, StructureError

# Steps of the positions in Å, and of the strain.
_STEPS = {"float64": (5e-4, 1e-4), "float32": (2e-2, 5e-3)}
_STENCIL = ((-2, 1 / 12), (-1, -2 / 3), (1, 2 / 3), (2, -1 / 12))
_CHUNK_BYTES = 16 * 2**20


class _Difference(NamedTuple):
    """Derivatives of all rows of a structure by one variable."""

    strain: bool
    place: tuple[int, int]  # selected atom and axis, or the two axes of the strain
    rows: FloatArray


def moved(source: Hooks, one: Call, displacements: FloatArray, deformations: FloatArray) -> Call:
    """Return copies of one structure with moved atoms; see :meth:`Call.moved`."""
    copies = one.moved(displacements, deformations)
    return replace(copies, options=source._options(copies.batch))


class Numerical:
    """The hooks of a descriptor without analytical derivatives: the features of moved copies of each structure."""

    _pools = ()
    _writes_sparse = False
    _has_gaps = False
    _spreads_nan = False

    def __init__(self, source: Hooks) -> None:
        self._source = source

    def _options(self, batch: Batch) -> Any:
        return self._source._options(batch)

    def _cancelling(self) -> Offsets | None:
        return self._source._cancelling()

    def _compute(self, call: Call, out: Rows) -> None:
        self._source._compute(call, out)

    def _jacobian(self, call: Call, out: Derivatives) -> None:
        if out.features is not None:
            self._compute(call, out.features)
        selection, rows = call.selection, call.rows
        for s in range(len(call)):
            one = call[s : s + 1]
            slots = selection.slots[call.batch.offsets[s] : call.batch.offsets[s + 1]]
            atoms = np.argsort(slots, kind="stable")[len(slots) - selection.counts[s] :]
            if out.positions is None:
                atoms = atoms[:0]
            else:
                by_atom = out.positions[selection.row_offsets[s] : selection.row_offsets[s + 1]]
                by_atom = by_atom.reshape(one.n_rows, len(atoms), *by_atom.shape[1:])
            for difference in self._differences(s, one, atoms, out.strain is not None):
                i, axis = difference.place
                if not difference.strain:
                    by_atom[:, i, axis] = difference.rows
                elif out.strain is not None:
                    out.strain[rows[s] : rows[s + 1], i, axis] = difference.rows

    def _vjp(self, call: Call, cotangents: Array, out: Derivatives) -> None:
        if out.features is not None:
            self._compute(call, out.features)
        rows = call.rows
        for s in range(len(call)):
            one, weights = call[s : s + 1], cotangents[..., rows[s] : rows[s + 1], :]
            atoms = np.arange(len(one.batch.numbers))
            for difference in self._differences(s, one, atoms, out.strain is not None):
                i, axis = difference.place
                value = np.tensordot(weights, difference.rows, 2)
                if not difference.strain and out.positions is not None:
                    out.positions[..., call.batch.offsets[s] + i, axis] = value
                elif difference.strain and out.strain is not None:
                    out.strain[..., s, i, axis] = value

    def _differences(self, s: int, one: Call, atoms: Array, strain: bool) -> Iterator[_Difference]:
        """Yield the derivatives of structure s by the positions of atoms and, if asked for, by the strain."""
        step, strain_step = _STEPS[one.dtype.name]
        variables = [(False, k, axis) for k in range(len(atoms)) for axis in range(3)]
        variables += [(True, a, b) for a in range(3) for b in range(3)] if strain else []
        copy_bytes = len(_STENCIL) * int(one.computed[-1]) * one.n_features * one.dtype.itemsize
        n_together = max(1, _CHUNK_BYTES // max(1, copy_bytes))
        for first in range(0, len(variables), n_together):
            together = variables[first : first + n_together]
            displacements = np.zeros((len(_STENCIL), len(together), len(one.batch.numbers), 3))
            deformations = np.broadcast_to(np.eye(3), (len(_STENCIL), len(together), 3, 3)).copy()
            for c, (is_strain, i, axis) in enumerate(together):
                for p, (multiple, _) in enumerate(_STENCIL):
                    if is_strain:
                        deformations[p, c, i, axis] += multiple * strain_step
                    else:
                        displacements[p, c, atoms[i], axis] = multiple * step
            by_copy = displacements.reshape(-1, *displacements.shape[2:])
            try:
                copies = moved(self._source, one, by_copy, deformations.reshape(-1, 3, 3))
                values = np.empty((copies.n_rows, one.n_features_out), dtype=one.dtype)
                self._compute(copies, values)
            except StructureError as error:
                error.index = s  # not that of the copy
                raise
            values = values.reshape(len(_STENCIL), len(together), -1, one.n_features_out)
            slopes = sum(weight * values[p].astype(np.float64) for p, (_, weight) in enumerate(_STENCIL))
            for (is_strain, i, axis), rows in zip(together, slopes, strict=True):
                yield _Difference(is_strain, (i, axis), rows / (strain_step if is_strain else step))
