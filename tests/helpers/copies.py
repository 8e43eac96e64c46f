"""Structures, and the same ones written in other ways."""

import numpy as np
from ase import Atoms
from ase.build import make_supercell


def perovskite(a="Ca", b="Ti", length=3.9, shift=0.0):
    positions = [[0, 0, 0], [0.5, 0.5, 0.5 + shift], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return Atoms([a, b, "O", "O", "O"], scaled_positions=positions, cell=[length] * 3, pbc=True)


def copy_of(atoms, seed):
    """Return the same structure rotated, perhaps mirrored, moved, reordered and, if periodic, in another cell."""
    rng = np.random.default_rng(seed)
    if atoms.pbc.all():
        # Any matrix of integers: a supercell that may be skewed, up to 6 times as large.
        while True:
            matrix = np.eye(3, dtype=int) + rng.integers(-1, 2, size=(3, 3))
            if 1 <= abs(round(np.linalg.det(matrix))) <= 6:
                break
        atoms = make_supercell(atoms, matrix if np.linalg.det(matrix) > 0 else -matrix)
    else:
        atoms = atoms.copy()
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    atoms.set_cell(atoms.cell.array @ rotation)
    atoms.set_positions(atoms.positions @ rotation + rng.normal(scale=5, size=3))
    if atoms.pbc.all() and seed % 2:
        atoms.wrap()
    return atoms[rng.permutation(len(atoms))]
