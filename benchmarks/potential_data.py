"""What programs under test share: structures with labels, errors, and silicon whose atoms move a little."""

from __future__ import annotations

import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.io import iread, write

GPA = 160.21766208  # of an eV/Å^3
VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))

Run = Callable[[], Any]


def structures_of(path: str, every: int = 1) -> tuple[list[Atoms], dict[str, list[Any]]]:
    """Return structures without calculators, and what is known of them: energies (eV), forces, stresses, 3 x 3."""
    labels: dict[str, list[Any]] = {"energy": [], "forces": [], "stress": []}
    structures = []
    with lzma.open(path, "rt") if path.endswith(".xz") else open(path) as file:
        for k, atoms in enumerate(iread(file, index=":", format="extxyz")):
            if k % every:
                continue
            own = atoms.info | (atoms.calc.results if atoms.calc else {})
            labels["energy"].append(float(own["REF_energy" if "REF_energy" in own else "energy"]))
            labels["forces"].append(atoms.arrays["REF_forces" if "REF_forces" in atoms.arrays else "force"])
            stress = own.get("REF_stress")
            labels["stress"].append(None if stress is None else np.reshape(stress, (3, 3)))
            structures.append(Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc))
    return structures, labels


def write_for_others(path: Path, source: str, every: int = 1) -> dict[str, list[Any]]:
    """Write structures as extended xyz with ``dft_energy``, ``dft_forces`` and ``dft_virial``; return their labels."""
    structures, labels = structures_of(source, every)
    for atoms, energy, forces, stress in zip(structures, *labels.values(), strict=True):
        atoms.info["dft_energy"], atoms.arrays["dft_forces"] = energy, forces
        if stress is not None:
            atoms.info["dft_virial"] = -stress * atoms.get_volume()
    write(path, structures, format="extxyz")
    return labels


def errors(labels: dict[str, list[Any]], energies: Any, forces: Any, stresses: Any) -> dict[str, float]:
    """Return mean absolute errors in meV/atom, eV/Å and GPa."""
    n_atoms = [len(own) for own in labels["forces"]]
    found = {
        "energy": 1e3 * float(np.mean(np.abs(np.subtract(energies, labels["energy"])) / n_atoms)),
        "forces": float(np.mean(np.abs(np.concatenate(forces) - np.concatenate(labels["forces"])))),
    }
    if labels["stress"][0] is not None:
        apart = np.abs(np.array(stresses) - np.array(labels["stress"]))
        found["stress"] = GPA * float(np.mean([apart[:, a, b] for a, b in VOIGT]))
    return found


def errors_with(calculator: Any, test: str) -> dict[str, float]:
    """Return the errors of a calculator of ASE."""
    structures, known = structures_of(test)
    energies, forces, stresses = [], [], []
    for atoms in structures:
        atoms.calc = calculator
        energies.append(atoms.get_potential_energy())
        forces.append(atoms.get_forces())
        stresses.append(atoms.get_stress(voigt=False) if atoms.cell.rank == 3 else np.full((3, 3), np.nan))
    return errors(known, energies, forces, stresses)


def silicon(n_cells: int) -> tuple[Atoms, np.ndarray]:
    """Return a crystal of 8 n_cells^3 atoms, and positions of steps."""
    atoms = bulk("Si", cubic=True, a=5.43) * ((n_cells,) * 3)
    atoms.rattle(0.05, seed=1)
    moves = np.random.default_rng(0).normal(0, 0.01, (16, len(atoms), 3))
    return atoms, atoms.positions + moves


def steps_of(calculator: Any, n_cells: int) -> tuple[Run, int]:
    """Return a step with a calculator of ASE, of one set of positions after the other, and the number of atoms."""
    atoms, positions = silicon(n_cells)
    atoms.calc = calculator
    at = 0

    def step() -> None:
        nonlocal at
        at += 1
        atoms.positions = positions[at % len(positions)]
        atoms.get_forces()
        atoms.get_potential_energy()

    return step, len(atoms)
