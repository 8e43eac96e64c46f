"""Dense crystals of lattices that no fit of atomprint is given: none of these is in ``potentials/short_range``."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list
from ase.spacegroup import crystal

# Space group, edges and angles, and positions of the atoms of an element, or of the first and the second of two.
ELEMENTS = {
    "alpha-U": (63, (1.0, 2.05, 1.74, 90, 90, 90), [(0, 0.1, 0.25)]),
    "alpha-Ga": (64, (1.0, 1.69, 1.0, 90, 90, 90), [(0, 0.155, 0.081)]),
    "alpha-As": (166, (1.0, 1.0, 2.8, 90, 90, 120), [(0, 0, 0.227)]),
    "BC8": (206, (1.0, 1.0, 1.0, 90, 90, 90), [(0.1003, 0.1003, 0.1003)]),
    "ST12": (96, (1.0, 1.0, 1.18, 90, 90, 90), [(0.0912, 0.0912, 0.0), (0.1730, 0.3784, 0.2486)]),
    "gamma-Se": (152, (1.0, 1.0, 1.13, 90, 90, 120), [(0.225, 0, 1 / 3)]),
    "omega-Ti": (191, (1.0, 1.0, 0.61, 90, 90, 120), [(0, 0, 0), (1 / 3, 2 / 3, 0.5)]),
    "double hcp": (194, (1.0, 1.0, 3.25, 90, 90, 120), [(0, 0, 0), (1 / 3, 2 / 3, 0.25)]),
    "graphite": (194, (1.0, 1.0, 2.2, 90, 90, 120), [(0, 0, 0.25), (1 / 3, 2 / 3, 0.25)]),
}
COMPOUNDS = {
    "CrB": (63, (1.0, 2.65, 0.99, 90, 90, 90), [(0, 0.146, 0.25), (0, 0.44, 0.25)]),
    "Cmcm of InP": (63, (1.0, 1.07, 0.98, 90, 90, 90), [(0, 0.64, 0.25), (0, 0.14, 0.25)]),
    "MnP": (62, (1.0, 0.6, 1.12, 90, 90, 90), [(0.005, 0.25, 0.196), (0.188, 0.25, 0.569)]),
    "FeSi": (198, (1.0, 1.0, 1.0, 90, 90, 90), [(0.137,) * 3, (0.842,) * 3]),
    "WC": (187, (1.0, 1.0, 0.98, 90, 90, 120), [(0, 0, 0), (1 / 3, 2 / 3, 0.5)]),
    "PtS": (131, (1.0, 1.0, 1.76, 90, 90, 90), [(0, 0.5, 0), (0, 0, 0.25)]),
    "NbO": (221, (1.0, 1.0, 1.0, 90, 90, 90), [(0, 0.5, 0.5), (0.5, 0, 0)]),
    "cinnabar": (152, (1.0, 1.0, 2.3, 90, 90, 120), [(0.32, 0, 1 / 3), (0.48, 0, 5 / 6)]),
    "CuTi": (129, (1.0, 1.0, 1.89, 90, 90, 90), [(0, 0.5, 0.1), (0, 0.5, 0.65)]),
    "BN": (194, (1.0, 1.0, 2.66, 90, 90, 120), [(1 / 3, 2 / 3, 0.25), (1 / 3, 2 / 3, 0.75)]),
}


def dense_crystals(ground: Atoms, count: int, seed: int = 17) -> list[tuple[str, Atoms]]:
    """Return crystals of an element or of AB, strained and with atoms moved, by the names of their lattices.

    Their shortest distances are 0.4 to 1.05 times that of the ground state.
    """
    rng = np.random.default_rng(seed)
    symbols = list(dict.fromkeys(ground.get_chemical_symbols()))
    bond = min(neighbor_list("d", ground, 4.0))
    table = ELEMENTS if len(symbols) == 1 else COMPOUNDS
    found: list[tuple[str, Atoms]] = []
    while len(found) < count:
        name = list(table)[len(found) % len(table)]
        group, cell, places = table[name]
        kinds = rng.permutation(symbols) if len(symbols) == 2 else symbols * len(places)
        atoms = crystal(list(kinds), places, spacegroup=group, cellpar=cell, primitive_cell=True)
        size = (atoms.get_volume() / len(atoms)) ** (1 / 3)
        atoms.positions += rng.uniform(0.02, 0.15) * size * rng.normal(size=atoms.positions.shape)
        atoms.set_cell(atoms.cell @ (np.eye(3) + 0.06 * rng.normal(size=(3, 3))), scale_atoms=True)
        nearest = neighbor_list("d", atoms, 1.5 * size).min()
        atoms.set_cell(atoms.cell * (rng.uniform(0.4, 1.05) * bond / nearest), scale_atoms=True)
        found.append((name, Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)))
    return found
