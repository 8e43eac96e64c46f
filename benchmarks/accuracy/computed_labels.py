"""Elastic moduli and vibrations of crystals of the Materials Project by CHGNet, as a small data set.

    python -m venv chgnet
    chgnet/bin/pip install chgnet pymatgen
    chgnet/bin/python benchmarks/accuracy/computed_labels.py mp_20_biternary_val.csv.gz computed.extxyz [-n 300]

Measured moduli and phonons of crystals can't be had without an account. These are those of a potential that was trained
on the energies, forces and stresses of the same data base: the moduli of Voigt at fixed fractional coordinates
("clamped ions"), in GPa, by finite differences of the stress at the cell as it is given; and the highest frequency at
the centre of the Brillouin zone, in THz, by those of the forces. Crystals that are not stable are left out.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io

import numpy as np
from ase import Atoms, units
from ase.io import write
from ase.stress import full_3x3_to_voigt_6_stress, voigt_6_to_full_3x3_stress
from chgnet.model import CHGNet
from pymatgen.core import Structure

STRAIN, STEP = 2e-3, 0.01  # relative, and in Å
_THZ = units._e**0.5 / (1e-10 * units._amu**0.5) / (2 * np.pi * 1e12)  # of sqrt(eV / Å^2 / u)


def labels(structure: Structure, model: CHGNet) -> tuple[float, float, float]:
    """Return the bulk and the shear modulus by Voigt in GPa, and the highest frequency in THz."""
    cell, n, changed = structure.lattice.matrix, len(structure), []
    for k in range(6):
        voigt = np.eye(6)[k] * (1 if k < 3 else 0.5)
        for sign in (1, -1):
            strained = cell @ (np.eye(3) + sign * STRAIN * voigt_6_to_full_3x3_stress(voigt))
            changed.append(Structure(strained, structure.species, structure.frac_coords))
    for k in range(3 * n):
        for sign in (1, -1):
            positions = structure.cart_coords.copy()
            positions[k // 3, k % 3] += sign * STEP
            changed.append(Structure(cell, structure.species, positions, coords_are_cartesian=True))
    found = model.predict_structure(changed, task="efs", batch_size=32)
    stress = np.array([full_3x3_to_voigt_6_stress(one["s"]) for one in found[:12]]).reshape(6, 2, 6)
    stiffness = (stress[:, 0] - stress[:, 1]) / (2 * STRAIN)
    along, across = np.trace(stiffness[:3, :3]), stiffness[:3, :3].sum() - np.trace(stiffness[:3, :3])
    bulk, shear = (along + across) / 9, (2 * along - across + 6 * np.trace(stiffness[3:, 3:])) / 30
    forces = np.array([one["f"].ravel() for one in found[12:]]).reshape(3 * n, 2, 3 * n)
    hessian = (forces[:, 1] - forces[:, 0]) / (2 * STEP)
    weights = np.repeat([float(site.specie.atomic_mass) for site in structure], 3) ** -0.5
    square = np.linalg.eigvalsh((hessian + hessian.T) / 2 * weights[:, None] * weights)[-1]
    return bulk, shear, float(np.sqrt(square)) * _THZ


def main() -> None:
    """Compute labels and write structures with them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="a table with crystals as CIF in the column cif")
    parser.add_argument("out")
    parser.add_argument("-n", type=int, default=300)
    parser.add_argument("--most-atoms", type=int, default=8)
    options = parser.parse_args()
    with gzip.open(options.data, "rt") as file:
        texts = [row["cif"] for row in csv.DictReader(io.StringIO(file.read()))]
    model, found = CHGNet.load(use_device="cpu", verbose=False), []
    for place in np.random.default_rng(0).permutation(len(texts)):
        structure = Structure.from_str(texts[place], fmt="cif")
        if len(structure) < 2 or len(structure) > options.most_atoms:
            continue
        bulk, shear, frequency = labels(structure, model)
        if min(bulk, shear) <= 1:
            continue
        numbers, cell = [site.specie.Z for site in structure], structure.lattice.matrix
        atoms = Atoms(numbers, structure.cart_coords, cell=cell, pbc=True)
        atoms.info = {"bulk_modulus": bulk, "shear_modulus": shear, "frequency": frequency}
        found.append(atoms)
        print(len(found), atoms.get_chemical_formula(), *atoms.info.values(), flush=True)
        write(options.out, atoms, format="extxyz", append=len(found) > 1)
        if len(found) == options.n:
            break


if __name__ == "__main__":
    main()
