"""Two hundred crystals of many kinds, for comparison with values of other programs."""

from __future__ import annotations

from itertools import product

import numpy as np
from ase import Atoms
from ase.build import bulk, graphene, mx2
from ase.data import covalent_radii
from ase.spacegroup import crystal

from helpers.invariance import FAMILIES

METALS = ("Li", "Na", "K", "Mg", "Ca", "Ba", "Al", "Sc", "Ti", "Mn", "Fe", "Ni", "Cu", "Zn", "Y", "Zr", "Ag", "La")
METALS += ("Gd", "W", "Pt", "Au", "Pb", "Bi")
NON_METALS = ("N", "O", "F", "S", "Cl", "Se", "Br", "Te", "I")
ALLOYS = (("Cu", "Au"), ("Ni", "Al"), ("Ag", "Pd"), ("Cu", "Ni", "Pt"))


def shortest(atoms: Atoms) -> float:
    """Return the shortest distance of two atoms, images included, in sums of their covalent radii."""
    radii, best = covalent_radii[atoms.numbers], np.inf
    for shift in product(range(-2, 3), repeat=3):
        between = atoms.positions[None] + np.array(shift) @ atoms.cell.array - atoms.positions[:, None]
        relative = np.linalg.norm(between, axis=2) / (radii[:, None] + radii)
        best = min(best, relative[relative > 1e-6].min(initial=np.inf))
    return best


def scaled(atoms: Atoms, length: float) -> Atoms:
    """Return a crystal whose shortest distance is as long as given, in sums of covalent radii, to five digits in Å."""
    factor = length / shortest(atoms)
    cell = atoms.cell.array * factor
    return Atoms(atoms.numbers, cell=cell, scaled_positions=atoms.get_scaled_positions(wrap=False), pbc=True)


def strained(atoms: Atoms, rng: np.random.Generator, size: float) -> Atoms:
    """Return a crystal whose cell is sheared and stretched at random."""
    changed = atoms.copy()
    changed.set_cell(atoms.cell.array @ (np.eye(3) + rng.normal(0, size, (3, 3)).round(4)), scale_atoms=True)
    return changed


def shaken(atoms: Atoms, rng: np.random.Generator, size: float) -> Atoms:
    """Return a crystal whose cell is strained and whose atoms are displaced at random."""
    changed = strained(atoms, rng, 0.03)
    changed.positions += rng.normal(0, size, changed.positions.shape).round(4)
    return changed


def packed(rng: np.random.Generator) -> Atoms:
    """Return atoms of up to four elements at random in a cell at random, not too close."""
    n = int(rng.integers(1, 9))
    elements = rng.choice(METALS + NON_METALS, int(rng.integers(1, 5)), replace=False)
    while True:
        cell = rng.normal(0, 1, (3, 3)).round(4)
        lengths = np.linalg.norm(cell, axis=1)
        if abs(np.linalg.det(cell)) > 0.35 * lengths.prod():
            break
    best = max(
        (Atoms(rng.choice(elements, n), cell=cell, scaled_positions=rng.random((n, 3)).round(4), pbc=True)
         for _ in range(20)),
        key=shortest,
    )  # fmt: skip
    return scaled(best, 0.85)


def prototypes(rng: np.random.Generator) -> list[Atoms]:
    """Return crystals of well-known types, some ideal, some strained, some shaken."""
    found = []
    for family in FAMILIES.values():
        for kind in range(12):
            a, x = str(rng.choice(METALS)), str(rng.choice(NON_METALS))
            atoms = scaled(family(a, x, 5.0), round(float(rng.uniform(0.95, 1.15)), 3))
            if kind % 3 == 1:
                atoms = strained(atoms, rng, 0.03)
            elif kind % 3 == 2:
                atoms = shaken(atoms, rng, 0.1)
            found.append(atoms)
    return found


def alloys(rng: np.random.Generator) -> list[Atoms]:
    """Return fcc lattices whose atoms are of elements at random."""
    found = []
    for k in range(20):
        atoms = bulk("Cu", "fcc", 3.8, cubic=True) * ((2, 1, 1) if k % 2 else (2, 2, 1))
        atoms.symbols = rng.choice(ALLOYS[k % len(ALLOYS)], len(atoms))
        found.append(atoms)
    return found


def others(rng: np.random.Generator) -> list[Atoms]:
    """Return crystals of low symmetry, of large cells, layers with gaps, chains and a gas."""
    quartz = crystal(
        ["Si", "O"],
        [(0.4697, 0, 1 / 3), (0.4135, 0.2669, 0.7858)],
        spacegroup=152,
        cellpar=[4.916, 4.916, 5.4054, 90, 90, 120],
    )
    spinel = crystal(
        ["Mg", "Al", "O"],
        [(0.125, 0.125, 0.125), (0.5, 0.5, 0.5), (0.2625, 0.2625, 0.2625)],
        spacegroup=227,
        setting=2,
        cellpar=[8.083] * 3 + [90] * 3,
        primitive_cell=True,
    )
    anatase = crystal(
        ["Ti", "O"], [(0, 0, 0), (0, 0, 0.2081)], spacegroup=141, cellpar=[3.785, 3.785, 9.514, 90, 90, 90]
    )
    calcite = crystal(
        ["Ca", "C", "O"],
        [(0, 0, 0), (0, 0, 0.25), (0.2578, 0, 0.25)],
        spacegroup=167,
        cellpar=[4.99, 4.99, 17.06, 90, 90, 120],
        primitive_cell=True,
    )
    layers = [mx2("MoS2", "2H", 3.18, 3.19, vacuum=6.0), mx2("WSe2", "1T", 3.3, 3.3, vacuum=4.0), graphene(vacuum=5.0)]
    chain = Atoms("CuO", [[0, 0, 0], [1.9, 0.2, 0.1]], cell=[3.7, 7, 8])
    found = [quartz, spinel, anatase, calcite, *layers, chain]
    found += [
        Atoms("Ar", cell=[7.0, 7.5, 8.0]),
        bulk("As", "rhombohedral", 4.13, alpha=54.1, basis=[[0.227] * 3, [0.773] * 3]),
    ]
    found += [shaken(atoms, rng, 0.08) for atoms in found]
    return [Atoms(a.numbers, a.positions, cell=a.cell, pbc=True) for a in found]


def varied() -> list[Atoms]:
    """Return two hundred crystals of 1 to 16 atoms; the same ones on every machine to the last digit or two."""
    rng = np.random.default_rng(2026)
    found = [*prototypes(rng), *alloys(rng), *others(rng)]
    return found + [packed(rng) for _ in range(200 - len(found))]
