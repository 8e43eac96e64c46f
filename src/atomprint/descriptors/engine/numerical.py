"""Numerical derivatives of any descriptor, by central differences.

They are of fourth order, (X(-2h) - 8 X(-h) + 8 X(h) - X(2h)) / 12h: their error, h^4 / 30 times the fifth derivative,
allows steps so long that rounding hardly matters. With the steps below derivatives of smooth features come out with a
relative error of about 1e-8 in float64. In float32 it is 1e-3, and rounding of the features adds 1e-6 of these over the
step: 5e-5 of the largest feature for positions, 2e-4 for strain.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from atomprint.descriptors.engine.call import Task
from atomprint.structures import Batch

if TYPE_CHECKING:
    from atomprint.descriptors.engine.contract import Descriptor

Array = npt.NDArray[Any]

# Steps of the positions in Å, and of the strain.
_STEPS = {"float64": (5e-4, 1e-4), "float32": (2e-2, 5e-3)}
_STENCIL = ((-2, 1 / 12), (-1, -2 / 3), (1, 2 / 3), (2, -1 / 12))
_CHUNK_BYTES = 16 * 2**20


class _Difference(NamedTuple):
    """Derivatives of all rows of a structure by one variable."""

    strain: bool
    place: tuple[int, int]  # selected atom and axis, or the two axes of the strain
    rows: Array


def moved(descriptor: Descriptor, one: Task, displacements: Array, deformations: Array, attach: bool) -> Task:
    """Return copies of one structure with moved atoms.

    Parameters
    ----------
    descriptor : Descriptor
    one : Task
        The structure.
    displacements : ndarray, shape (n_copies, n_atoms, 3)
        Of the atoms, in Å.
    deformations : ndarray, shape (n_copies, 3, 3)
        F, which then takes every atom, lattice vector and centre from r to F r.
    attach : bool
        Whether centres given as atoms share the displacements of these.
    """
    batch, n = one.batch, len(displacements)
    copies = np.arange(n + 1)
    transposed = deformations.swapaxes(1, 2)
    moved_batch = Batch(
        np.tile(batch.numbers, n),
        ((batch.positions + displacements) @ transposed).reshape(-1, 3),
        copies * len(batch.numbers),
        batch.cells[0] @ transposed,
        np.repeat(batch.pbc, n, axis=0),
    )
    options = descriptor._moved_options(moved_batch, one.options, displacements, deformations, attach)
    plan = None if one.plan is None else one.plan.repeat(n)
    return Task(moved_batch, options, copies * one.computed[-1], one.per_structure, plan)


def _differences(
    descriptor: Descriptor, one: Task, atoms: Array, strain: bool, attach: bool, n_threads: int
) -> Iterator[_Difference]:
    """Yield the derivatives of one structure by the positions of atoms and, if asked for, by the strain."""
    n_features, dtype = descriptor.get_number_of_features(), descriptor._dtype()
    step, strain_step = _STEPS[dtype.name]
    variables = [(False, k, axis) for k in range(len(atoms)) for axis in range(3)]
    variables += [(True, a, b) for a in range(3) for b in range(3)] if strain else []
    copy_bytes = len(_STENCIL) * int(one.computed[-1]) * descriptor._n_features() * dtype.itemsize
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
        copies = moved(descriptor, one, by_copy, deformations.reshape(-1, 3, 3), attach)
        values = np.empty((int(copies.rows[-1]), n_features), dtype=dtype)
        descriptor._write(copies, values, n_threads)
        values = values.reshape(len(_STENCIL), len(together), -1, n_features)
        slopes = sum(weight * values[p].astype(np.float64) for p, (_, weight) in enumerate(_STENCIL))
        for (is_strain, i, axis), rows in zip(together, slopes, strict=True):
            yield _Difference(is_strain, (i, axis), rows / (strain_step if is_strain else step))


def jacobian(
    descriptor: Descriptor,
    task: Task,
    positions: Array | None,
    strain: Array | None,
    features: Array | None,
    attach: bool,
    n_threads: int,
) -> None:
    """Write derivatives, shapes (n_out, 3, n_features) and (n_rows, 3, 3, n_features), and features."""
    if features is not None:
        descriptor._write(task, features, n_threads)
    selection = task.selection
    for s in range(len(task)):
        one = task[s : s + 1]
        n_rows = int(one.rows[-1])
        atoms = np.argsort(one.selection.slots, kind="stable")[len(one.selection.slots) - selection.counts[s] :]
        if positions is not None:
            out = positions[selection.row_offsets[s] : selection.row_offsets[s + 1]]
            out = out.reshape(n_rows, len(atoms), *out.shape[1:])
        for difference in _differences(
            descriptor, one, atoms if positions is not None else atoms[:0], strain is not None, attach, n_threads
        ):
            i, axis = difference.place
            if not difference.strain:
                out[:, i, axis] = difference.rows
            elif strain is not None:
                strain[task.rows[s] : task.rows[s + 1], i, axis] = difference.rows


def vjp(
    descriptor: Descriptor,
    task: Task,
    cotangents: Array,
    positions: Array,
    strain: Array | None,
    features: Array | None,
    attach: bool,
    n_threads: int,
) -> None:
    """Write derivatives contracted with cotangents, shapes (n_atoms, 3) and (n_structures, 3, 3), and features."""
    if features is not None:
        descriptor._write(task, features, n_threads)
    for s in range(len(task)):
        one, weights = task[s : s + 1], cotangents[task.rows[s] : task.rows[s + 1]]
        atoms = np.arange(len(one.batch.numbers))
        for difference in _differences(descriptor, one, atoms, strain is not None, attach, n_threads):
            i, axis = difference.place
            value = np.vdot(weights, difference.rows)
            if not difference.strain:
                positions[task.batch.offsets[s] + i, axis] = value
            elif strain is not None:
                strain[s, i, axis] = value
