"""Potentials as calculators of ASE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from atomprint.potentials.sums import Kept
from atomprint.potentials.terms import VOIGT
from atomprint.util.types import FloatArray


class PotentialCalculator(Calculator):
    """A fitted potential as a calculator of ASE: energy, free energy, energies of atoms, forces and stress.

    Atoms that move keep their neighbours until they have come far enough for these to change.

    Parameters
    ----------
    potential : Potential
        Fitted, or loaded.
    uncertainty : bool
        Whether ``results`` has the expected error of the energy in eV, ``"energy_std"``, and the grade of
        extrapolation, ``"grade"``, too: above 1 less is known of the energy per atom than of that of any training
        structure. This takes longer than all else.
    n_jobs : int, optional
        Number of threads. Default: that of the potential.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "energies", "forces", "stress"]

    def __init__(self, potential: Any, uncertainty: bool = False, n_jobs: int | None = None) -> None:
        super().__init__()
        potential._fitted()
        self.potential, self.uncertainty, self.n_jobs = potential, uncertainty, n_jobs
        self._kept: Kept | None = None
        self._of: tuple[FloatArray, FloatArray] | None = None

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Compute all properties.

        Raises
        ------
        ValueError
            If a position is not finite, or an atom is of a species that the training data do not have.
        """
        super().calculate(atoms, properties, system_changes)
        atoms = self.atoms
        if self._kept is None or self._of is None or not self._same(atoms):
            self.potential._fitted().known.warn_closer(atoms)
            self._kept = self.potential.prepare(atoms, self.n_jobs)
            self._of = atoms.numbers.copy(), atoms.pbc.copy()
        positions, cell = np.ascontiguousarray(atoms.positions), atoms.cell.array
        if not (np.isfinite(positions).all() and np.isfinite(cell).all()):
            atom = int(np.argmin(np.isfinite(positions).all(axis=1)))
            got = f"got {positions[atom].tolist()} in the cell {cell.tolist()}"
            raise ValueError(f"atom {atom}: position must be finite, {got}")
        energies, gradient, strain = self._kept.evaluate(positions, np.ascontiguousarray(cell)[None])
        energy = float(energies.sum())
        self.results = {"energy": energy, "free_energy": energy, "energies": energies, "forces": -gradient}
        volume = abs(float(np.linalg.det(cell)))
        if volume > 0:
            self.results["stress"] = np.array([strain[0, a, b] for a, b in VOIGT]) / volume
        if self.uncertainty:
            errors, grades = self.potential.grades(atoms)
            self.results |= {"energy_std": float(errors[0]), "grade": float(grades[0])}

    def _same(self, atoms: Any) -> bool:
        assert self._of is not None
        return np.array_equal(self._of[0], atoms.numbers) and np.array_equal(self._of[1], atoms.pbc)
