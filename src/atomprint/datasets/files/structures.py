"""Structures from what files hold, as descriptors can use them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ase import Atoms

from atomprint.formats.structures import atoms_of
from atomprint.structures import as_batch, reason_of


def to_atoms(raw: Any, folder: Path | None = None, *, allow_close: bool = False) -> Atoms:
    """Return a structure of any form as Atoms with nothing but elements, positions, cell and periodicity.

    Calculators, and with them energies and forces, are left behind, so that no target gets among the features.

    Parameters
    ----------
    raw, folder, allow_close
        See :func:`~atomprint.formats.structures.atoms_of`.

    Raises
    ------
    ValueError
        If it is no structure, is disordered, or descriptors could not use it: without atoms, with positions that are
        not finite or coincide, or with a cell that has no volume.
    """
    atoms = atoms_of(raw, folder, allow_close=allow_close)
    try:
        batch = as_batch([atoms], periodic=None)
    except (TypeError, ValueError) as error:
        raise ValueError(reason_of(error)) from error
    if atoms is not raw and _is_bare(atoms):
        return atoms
    return Atoms(numbers=batch.numbers, positions=batch.positions, cell=batch.cells[0], pbc=batch.pbc[0])


def _is_bare(atoms: Any) -> bool:
    """Return whether Atoms have nothing but what they always have."""
    return (
        type(atoms) is Atoms
        and atoms.arrays.keys() == {"numbers", "positions"}
        and not (atoms.info or atoms.constraints or atoms.calc is not None or atoms.get_celldisp().any())
    )
