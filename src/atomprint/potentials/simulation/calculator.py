"""Potentials as calculators of ASE."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes

from atomprint.potentials.terms.sums import Kept
from atomprint.potentials.terms.term import VOIGT_OF_NINE
from atomprint.util.validation import check_bool, check_n_jobs

_FARTHEST = 1e7  # Å
_COINCIDENT = 0.01  # of the shortest distance of the training data


class PotentialCalculator(Calculator):
    """A fitted potential as a calculator of ASE: energy, free energy, energies of atoms, forces and stress.

    Atoms that move keep their neighbours until they have come far enough for these to change. For the same atoms at the
    same place nothing is computed again. One calculator is for one thread at a time.

    Parameters
    ----------
    potential : Potential
        Fitted, or loaded. Another fit of it later does not change the calculator.
    uncertainty : bool
        Whether ``results`` has the expected error of the energy in eV, ``"energy_std"``, and the grade of
        extrapolation, ``"grade"``, too: see :class:`~atomprint.potentials.Prediction`. This takes longer than all else.
    n_jobs : int, optional
        Number of threads. Default: that of the potential.

    Warns
    -----
    UserWarning
        Where atoms come nearer to each other than in any of the training data: once for the same atoms.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "energies", "forces", "stress"]

    def __init__(self, potential: Any, uncertainty: bool = False, n_jobs: int | None = None) -> None:
        potential._fitted()
        check_bool("uncertainty", uncertainty)
        if n_jobs is not None:
            check_n_jobs(n_jobs)
        # As it is now: what is kept and cached would not know of another fit.
        self.potential, self.uncertainty, self.n_jobs = copy(potential), uncertainty, n_jobs
        self._kept: Kept | None = None
        self._of: tuple[bytes, bytes] | None = None  # numbers and pbc of what is kept
        self._at: tuple[bytes, bytes] | None = None  # positions and cell of the results
        self._atoms: Atoms | None = None
        self._told = False
        super().__init__()

    def __repr__(self) -> str:
        return f"PotentialCalculator({self.potential!r})"

    @property
    def atoms(self) -> Atoms | None:
        """A copy of the atoms of the last calculation."""
        if self._atoms is None or self._at is None:
            return None
        positions, cell = (np.frombuffer(numbers).reshape(-1, 3) for numbers in self._at)
        self._atoms.positions = positions
        self._atoms.cell[:] = cell
        return self._atoms

    @atoms.setter
    def atoms(self, atoms: Atoms | None) -> None:
        if atoms is None:
            self._at = None

    def get_property(self, name: str, atoms: Atoms | None = None, allow_calculation: bool = True) -> Any:
        """Return a property of atoms, or of those of the last calculation.

        Raises
        ------
        PropertyNotImplementedError
            If there is no such property, or no stress as there is no cell.
        ValueError
            If a position is not finite, or an atom is of a species that the training data do not have.
        """
        if name not in self.implemented_properties:
            raise PropertyNotImplementedError(f"{name} property not implemented")
        if atoms is not None and self._is_new(atoms):
            if not allow_calculation:
                return None
            self.calculate(atoms)
        if name not in self.results:
            why = "nothing was calculated yet" if self._at is None else "these atoms have no cell"
            raise PropertyNotImplementedError(f"{name} is not there: {why}")
        found = self.results[name]
        return found.copy() if isinstance(found, np.ndarray) else found

    def check_state(self, atoms: Atoms, tol: float = 0.0) -> list[str]:
        """Return what has changed since the last calculation."""
        if not self._is_new(atoms):
            return []
        if self._of is None or self._at is None:
            return [*all_changes]
        now = (atoms.numbers.tobytes(), atoms.pbc.tobytes(), *_place(atoms))
        names = ("numbers", "pbc", "positions", "cell")
        return [name for name, new, old in zip(names, now, (*self._of, *self._at), strict=True) if new != old]

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
        atoms = self.atoms if atoms is None else atoms
        if atoms is None:
            raise ValueError("atoms must be given, as nothing was calculated yet")
        of = atoms.numbers.tobytes(), atoms.pbc.tobytes()
        self.results, self._at = {}, None
        if self._kept is None or of != self._of:
            self._kept = self.potential.prepare(atoms, self.n_jobs)
            self._of, self._told = of, False
            self._atoms = Atoms(numbers=atoms.numbers, cell=atoms.cell.array, pbc=atoms.pbc)
        place = _place(atoms)
        positions, cell = (np.frombuffer(numbers).reshape(-1, 3) for numbers in place)
        try:
            energies, gradient, strain = self._kept.evaluate(positions, cell.reshape(1, 3, 3))
        except ValueError:
            near = (abs(positions) <= _FARTHEST).all(axis=1)
            if near.all() and (abs(cell) <= _FARTHEST).all():
                raise
            atom = int(np.argmin(near))
            got = f"got {positions[atom].tolist()} in the cell {cell.tolist()}"
            raise ValueError(f"atom {atom}: position must be finite and within 1e7 Å, {got}") from None
        if self._kept.nearest < 1 and not (self._told and self._kept.nearest > _COINCIDENT):  # where that is an error
            self._told |= self.potential._fitted().known.warn_closer(atoms)
        energy = float(energies.sum())
        self.results = {"energy": energy, "free_energy": energy, "energies": energies, "forces": -gradient}
        (a, b, c), (d, e, f), (g, h, i) = cell.tolist()
        volume = abs(a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g))
        if volume > 0:
            self.results["stress"] = strain.reshape(9)[VOIGT_OF_NINE] / volume
        if self.uncertainty:
            errors, grades = self.potential.grades(atoms)
            self.results |= {"energy_std": float(errors[0]), "grade": float(grades[0])}
        self._at = place

    def _is_new(self, atoms: Atoms) -> bool:
        return (
            self._at is None or self._at != _place(atoms) or self._of != (atoms.numbers.tobytes(), atoms.pbc.tobytes())
        )

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_kept": None}


def _place(atoms: Atoms) -> tuple[bytes, bytes]:
    return atoms.positions.tobytes(), atoms.cell.array.tobytes()
