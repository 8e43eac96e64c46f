"""Elastic constants of crystals, with any calculator of ASE."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms, units

from atomprint.util.types import FloatArray
from atomprint.util.validation import check_bool, check_real

# Voigt's order, as ASE has it: xx yy zz yz xz xy.
_ENTRIES = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def elastic_constants(
    atoms: Atoms, *, strain: float = 0.002, relax: bool = True, fmax: float = 1e-4, steps: int = 500
) -> FloatArray:
    """Return the elastic constants of a crystal, by central differences of its stress.

    Its cell should have been relaxed before (:func:`~atomprint.potentials.relax`): what stress is left counts as an
    error of the same size.

    Parameters
    ----------
    atoms : Atoms
        Periodic in three directions, with a calculator that has stresses. They are not changed.
    strain : float
        How far the cell is strained to both sides, in each of the six directions.
    relax : bool
        Whether atoms relax in the strained cells. Without, they are the constants of clamped atoms.
    fmax : float
        Largest force that is left, in eV/Å.
    steps : int
        Most steps of each relaxation.

    Returns
    -------
    ndarray, shape (6, 6)
        d stress / d strain in GPa, in the order xx, yy, zz, yz, xz, xy, where strains of shear are the change of the
        angle; made symmetric.

    Raises
    ------
    ValueError
        If the atoms have no calculator or do not repeat in three directions, or a number is out of range.
    RuntimeError
        If atoms do not relax within these steps.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from ase.calculators.emt import EMT
    >>> copper = bulk("Cu", a=3.59)
    >>> copper.calc = EMT()
    >>> found = elastic_constants(copper)
    >>> bool(found[0, 0] > found[0, 1] > found[3, 3] > 0)
    True
    """
    check_real("strain", strain, above=0, at_most=0.1)
    check_bool("relax", relax)
    check_real("fmax", fmax, above=0)
    if atoms.calc is None:
        raise ValueError("atoms must have a calculator, got none")
    if not atoms.pbc.all() or atoms.cell.rank < 3:
        raise ValueError(f"atoms must repeat in three directions, got pbc {atoms.pbc.tolist()}")
    columns = []
    for a, b in _ENTRIES:
        stresses = []
        for sign in (1, -1):
            bend = np.zeros((3, 3))
            bend[a, b] += 0.5 * sign * strain
            bend[b, a] += 0.5 * sign * strain
            stresses.append(_stress(atoms, np.eye(3) + bend, relax, fmax, steps))
        columns.append((stresses[0] - stresses[1]) / (2 * strain))
    found = np.array(columns) / units.GPa
    return 0.5 * (found + found.T)


def _stress(atoms: Atoms, bend: FloatArray, relax: bool, fmax: float, steps: int) -> FloatArray:
    """Return the stress of the crystal whose cell is strained."""
    from ase.optimize import LBFGS

    strained: Any = atoms.copy()
    strained.set_cell(atoms.cell.array @ bend, scale_atoms=True)
    strained.calc = atoms.calc
    if relax and not LBFGS(strained, logfile=None).run(fmax=fmax, steps=steps):
        raise RuntimeError(f"atoms of a strained cell do not relax to forces of {fmax:g} eV/Å within {steps} steps")
    found: FloatArray = strained.get_stress()
    return found
