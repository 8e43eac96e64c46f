"""Centres of a whole batch, as flat arrays: from the ``centers`` argument, by one rule for all descriptors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from numbers import Integral
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from atomprint import _core
from atomprint.ragged import offsets_of, pick, places
from atomprint.structures import Batch, StructureError, StructureTypeError

Centers: TypeAlias = Any
"""Indices of atoms, or Cartesian points in Å of shape (n_centers, 3); one such list for each structure, where
``None`` stands for all its atoms."""


@dataclass(slots=True, eq=False)  # not frozen, which would take three times as long
class CenterBatch:
    """Centres of a whole batch as flat arrays.

    Parameters
    ----------
    points : ndarray, shape (n_centers, 3)
        Positions in Å.
    atoms : ndarray of int64, shape (n_centers,)
        Index of the centre's atom within its structure, -1 for a Cartesian point.
    offsets : ndarray of int64, shape (n_structures + 1,)
        Structure ``s`` owns the centres ``offsets[s]`` to ``offsets[s + 1]``.
    """

    points: npt.NDArray[np.float64]
    atoms: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]

    def __getitem__(self, structures: slice) -> CenterBatch:
        """Return the centres of a run of consecutive structures."""
        first, last = self.offsets[structures.start], self.offsets[structures.stop]
        offsets = self.offsets[structures.start : structures.stop + 1] - first
        return CenterBatch(self.points[first:last], self.atoms[first:last], offsets)

    def pick(self, structures: npt.NDArray[np.int64]) -> CenterBatch:
        """Return the centres of the structures with these ascending indices."""
        rows, offsets = pick(self.offsets, structures)
        return CenterBatch(self.points[rows], self.atoms[rows], offsets)

    def run(self, start: int, stop: int) -> CenterBatch:
        """Return a run of centres of the only structure."""
        return CenterBatch(self.points[start:stop], self.atoms[start:stop], np.array([0, stop - start]))

    def core(self, weights: _core.RowWeights | None = None) -> _core.Centers:
        """Return the arrays as the compiled functions take them."""
        return _core.Centers(self.points, self.atoms, self.offsets, weights)

    def moved(
        self, displacements: npt.NDArray[np.float64], deformations: npt.NDArray[np.float64], attach: bool
    ) -> CenterBatch:
        """Return the centres of moved copies of the only structure.

        Parameters
        ----------
        displacements : ndarray, shape (n_copies, n_atoms, 3)
            Of the atoms, in Å; they move the centres that are atoms, if ``attach``.
        deformations : ndarray, shape (n_copies, 3, 3)
            F, which then takes every centre from r to F r.
        """
        n, of_atom = len(displacements), self.atoms >= 0
        points = np.tile(self.points, (n, 1, 1))
        if attach:
            points[:, of_atom] += displacements[:, self.atoms[of_atom]]
        points = points @ deformations.swapaxes(1, 2)
        offsets = np.arange(n + 1) * len(self.atoms)
        return CenterBatch(np.ascontiguousarray(points.reshape(-1, 3)), np.tile(self.atoms, n), offsets)

    def numbers(self, batch: Batch) -> npt.NDArray[np.int32]:
        """Return the atomic number of each centre's atom, 0 for a Cartesian point."""
        if self.points is batch.positions:  # all atoms
            return batch.numbers
        first_atoms = np.repeat(batch.offsets[:-1], np.diff(self.offsets))
        of_atom = self.atoms >= 0
        numbers = np.zeros(len(self.atoms), dtype=np.int32)
        numbers[of_atom] = batch.numbers[(first_atoms + self.atoms)[of_atom]]
        return numbers


NO_CENTERS = CenterBatch(np.empty((0, 3)), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
"""What descriptors of whole structures have."""


def center_batch(batch: Batch, centers: Centers, *, single: bool) -> CenterBatch:
    """Turn the ``centers`` argument into flat arrays, by one rule for all descriptors.

    Raises
    ------
    ValueError
        If there is not one list of centres for each structure, an index is out of range, a point is not finite, or
        indices and points are mixed; the message names the structure and the centre.
    TypeError
        If a list of centres holds anything else.
    """
    if centers is None:
        return CenterBatch(batch.positions, places(batch.offsets), batch.offsets)
    if single:
        lists: Sequence[Any] = [centers]
    else:
        if not _is_list(centers):
            raise TypeError(f"centers must be a list with one list of centres for each structure, got {centers!r}")
        if len(centers) != len(batch):
            raise ValueError(
                f"centers must hold one list for each structure, got {len(centers)} lists for {len(batch)} structures"
            )
        lists = centers
    points, atoms_of = [], []
    for s, given in enumerate(lists):
        first, last = int(batch.offsets[s]), int(batch.offsets[s + 1])
        indices, where = _centers_of_one(given, s, last - first)
        if where is None:
            where = batch.positions[first:last][indices]
        points.append(where)
        atoms_of.append(indices)
    return CenterBatch(
        np.ascontiguousarray(np.concatenate(points), dtype=np.float64),
        np.concatenate(atoms_of).astype(np.int64),
        offsets_of([len(atoms) for atoms in atoms_of]),
    )


def check_centers(given: Any) -> None:
    """Raise unless this may be the default of ``centers``: None, a function of structures, or a list with an item."""
    if given is None or callable(given):
        return
    if not _is_list(given):
        raise TypeError(
            f"centers must be None, a function such as a CenterSampler, or a list of centres, got {given!r}"
        )
    if len(given) == 0:
        raise ValueError(f"centers must be None or have at least one centre, got {given!r}")


def _is_list(given: Any) -> bool:
    unfit = isinstance(given, str | bytes | Mapping | Set) or hasattr(given, "columns")
    return not unfit and hasattr(given, "__len__") and getattr(given, "ndim", 1) > 0


def _centers_of_one(
    given: Any, structure: int, n_atoms: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64] | None]:
    if given is None:
        return np.arange(n_atoms), None
    if not _is_list(given):
        rule = f"centers must be a list of atom indices or of Cartesian points, got {given!r}"
        raise StructureTypeError(structure, None, rule)
    if len(given) == 0:
        return np.empty(0, dtype=np.int64), np.empty((0, 3))
    if not isinstance(given, np.ndarray):
        scalars = [isinstance(c, Integral) and not isinstance(c, bool) for c in given]
        if any(scalars) and not all(scalars):
            rule = f"centers must be all atom indices or all Cartesian points, got both: {given!r}"
            raise StructureError(structure, None, rule)
    try:
        array = np.asarray(given)
    except ValueError:
        array = np.empty(0, dtype=object)
    if array.ndim == 1 and np.issubdtype(array.dtype, np.integer):
        wrong = np.flatnonzero((array < 0) | (array >= n_atoms))
        if len(wrong):
            rule = f"atom index must be in 0..{n_atoms - 1}, got {array[wrong[0]]}"
            raise StructureError(structure, None, rule, f"centre {wrong[0]}")
        return array.astype(np.int64), None
    if (
        array.ndim == 2
        and array.shape[1] == 3
        and (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer))
    ):
        point = array.astype(np.float64)
        wrong = np.flatnonzero(~(np.abs(point) <= 1e7).all(axis=1))
        if len(wrong):
            rule = f"position must be finite and within 1e7 Å, got {point[wrong[0]].tolist()}"
            raise StructureError(structure, None, rule, f"centre {wrong[0]}")
        return np.full(len(point), -1), point
    if array.ndim == 1 and array.dtype.kind in "fb":
        rule = f"centers must be integers where they are atom indices, got {given!r}"
        raise StructureTypeError(structure, None, rule)
    rule = f"centers must be atom indices or Cartesian points of shape (n_centers, 3), got {given!r}"
    raise StructureError(structure, None, rule)
