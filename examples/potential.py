"""Data for a first potential: copper-gold alloys with energies, forces and stresses of a simple model.

``python examples/potential.py`` writes ``train.extxyz``, ``test.extxyz`` and ``alloy.cif``; then

    atomprint potential fit train.extxyz --test test.extxyz
    atomprint potential relax alloy.cif

Energies are those of effective medium theory, as ASE has it: quick to compute, which is all that they are for.
"""

import sys
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import write


def alloys(n: int, seed: int) -> list[Atoms]:
    """Return cells of eight atoms, strained, compressed and rattled, with what the model says of them."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        n_gold = int(rng.integers(0, 9))
        a = 3.61 + 0.47 * n_gold / 8
        atoms = bulk("Cu", cubic=True, a=a * rng.uniform(0.94, 1.06)) * (2, 1, 1)
        atoms.symbols[rng.permutation(8)[:n_gold]] = "Au"
        atoms.set_cell(atoms.cell @ (np.eye(3) + rng.normal(scale=0.015, size=(3, 3))), scale_atoms=True)
        atoms.rattle(rng.uniform(0.01, 0.12), rng=rng)
        atoms.info["config_type"] = "copper" if n_gold == 0 else "gold" if n_gold == 8 else "alloy"
        atoms.calc = EMT()
        atoms.calc.calculate(atoms, properties=["energy", "forces", "stress"])  # results, which are written
        made.append(atoms)
    return made


def main(folder: Path = Path()) -> None:
    """Write data to fit to, data to test on, and an ordered alloy that is too large."""
    write(folder / "train.extxyz", alloys(80, seed=0))
    write(folder / "test.extxyz", alloys(20, seed=1))
    ordered = bulk("Au", cubic=True, a=4.1)
    ordered.symbols[0] = "Cu"
    write(folder / "alloy.cif", ordered)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
