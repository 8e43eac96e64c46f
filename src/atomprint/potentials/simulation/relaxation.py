"""Relaxation of positions and cells with a potential, by ASE's optimisers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms, units

from atomprint.potentials.base import Potential
from atomprint.potentials.simulation.limits import check_forces
from atomprint.util.validation import check_integer, check_real


@dataclass(frozen=True)
class Relaxed:
    """A structure that was relaxed.

    Parameters
    ----------
    atoms : Atoms
        With the calculator.
    converged : bool
        Whether forces (and stresses) came below what was asked for.
    n_steps : int
        How many steps it took.
    gained : float
        By how much the energy fell, in eV.
    energy_std, grade : float
        Expected error of the energy in eV, and how far it is beyond the training data, if above 1.
    """

    atoms: Atoms
    converged: bool
    n_steps: int
    gained: float
    energy_std: float
    grade: float


def relax(
    potential: Potential,
    atoms: Atoms,
    *,
    cell: bool = True,
    pressure: float = 0.0,
    fmax: float = 0.001,
    steps: int = 500,
) -> Relaxed:
    """Relax positions and, where it repeats, the cell.

    Parameters
    ----------
    potential : Potential
        Fitted.
    atoms : Atoms
        Is not changed.
    cell : bool
        Whether the cell relaxes too, along the vectors that repeat.
    pressure : float
        On the cell, in GPa.
    fmax : float
        Largest force that is left, in eV/Å; of a cell also the largest stress times the volume for an atom.
    steps : int
        Most steps.

    Raises
    ------
    ValueError
        If a number is out of range, or the structure cannot be predicted.
    RuntimeError
        If atoms run away: forces beyond 10000 eV/Å, or places that are not finite.
    """
    from ase.filters import FrechetCellFilter
    from ase.optimize import FIRE, LBFGS
    from threadpoolctl import threadpool_limits

    check_real("fmax", fmax, above=0)
    check_integer("steps", steps, 1)
    check_real("pressure", pressure)
    atoms = atoms.copy()
    atoms.calc = potential.calculator()
    before = float(atoms.get_potential_energy())
    moves: Any = atoms
    cell_relaxes = cell and bool(atoms.pbc.any()) and atoms.cell.rank == 3
    if pressure and not cell_relaxes:
        raise ValueError(f"pressure is for structures whose cell relaxes, got {pressure:g} GPa for one whose does not")
    if cell_relaxes:
        mask = np.outer(atoms.pbc, atoms.pbc)
        moves = FrechetCellFilter(atoms, mask=mask, scalar_pressure=pressure * units.GPa)
    runs: list[Any] = []
    converged = False

    def n_steps() -> int:
        return sum(run.nsteps for run in runs)

    # Most structures are near a minimum, where LBFGS is fastest; FIRE goes on from where it does not arrive.
    for optimiser, share in ((LBFGS, 0.6), (FIRE, 1.0)):
        left = steps - n_steps() if share == 1.0 else max(1, round(share * steps))
        if converged or left < 1:
            break
        runs.append(optimiser(moves, logfile=None))
        runs[-1].attach(lambda: check_forces(atoms, f"relaxation has gone wild at step {n_steps()}"))
        try:
            with threadpool_limits(1, user_api="blas"):  # threads wait for each other over matrices of 3 by 3
                converged = bool(runs[-1].run(fmax=fmax, steps=left))
        except ValueError as error:  # of the calculator
            raise RuntimeError(f"the relaxation has gone wild at step {n_steps()}: {error}") from error
    std, grade = (float(np.ravel(value)[0]) for value in potential.grades(atoms))
    return Relaxed(atoms, converged, n_steps(), before - float(atoms.get_potential_energy()), std, grade)
