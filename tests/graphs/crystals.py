"""Structures on which graphs go wrong: small, skewed, thin, partly periodic."""

import numpy as np
from ase import Atoms
from ase.build import bulk, fcc111, molecule


def skewed():
    """Return a crystal with atoms far outside its small and skewed cell."""
    rng = np.random.default_rng(1)
    atoms = Atoms("NaClNaHO", positions=rng.normal(0, 6, (5, 3)), pbc=True)
    atoms.set_cell([[4.1, 0, 0], [0.7, 3.6, 0], [-0.5, 0.9, 3.9]])
    return atoms


def thin():
    """Return a crystal whose cell is flat, and far from right-angled."""
    atoms = Atoms("CO", positions=[[0, 0, 0], [0.2, 1.3, 0.9]], pbc=True)
    atoms.set_cell([[1.9, 0, 0], [0.9, 9.0, 0], [0.8, 4.3, 2.1]])
    return atoms


def random_crystal(seed):
    """Return a few atoms in a random cell, periodic along some of its vectors."""
    rng = np.random.default_rng(seed)
    cell = rng.normal(size=(3, 3)) + np.diag(rng.uniform(3, 6, 3))
    n = int(rng.integers(1, 9))
    return Atoms(rng.integers(1, 60, n), positions=rng.normal(0, 4, (n, 3)), cell=cell, pbc=rng.random(3) < 0.7)


def odd_crystals():
    """Return one of each."""
    return [
        molecule("CH3CH2OH"),
        bulk("Si"),
        skewed(),
        thin(),
        fcc111("Al", (2, 2, 2), vacuum=5),
        bulk("NaCl", "cesiumchloride", 3.4),
        Atoms("Po", cell=[3.3, 3.3, 3.3], pbc=True),
        *map(random_crystal, range(6)),
    ]
