"""From molecules to descriptors: Coulomb matrices and SOAP of water, nitrogen dioxide and carbon dioxide.

Run with ``python examples/molecules.py``; it needs nothing but atomprint itself.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.build import molecule

from atomprint.descriptors import SOAP, CoulombMatrix


def molecules() -> list[Atoms]:
    return [molecule(name) for name in ("H2O", "NO2", "CO2")]


def coulomb_matrices(structures: list[Atoms]) -> np.ndarray:
    """Return one row of features for each molecule, padded to the largest of them."""
    descriptor = CoulombMatrix(n_atoms_max=max(len(atoms) for atoms in structures), permutation="sorted_l2")

    single = descriptor.create(structures[0])
    batch = descriptor.create(structures)
    parallel = descriptor.create(structures, n_jobs=2)
    print(f"Coulomb matrix of one molecule: {single.shape}, of a list of {len(structures)}: {batch.shape}")
    print(f"Two threads give the same: {np.array_equal(batch, parallel)}")

    print("\nNO2, rows in the order of the atoms, N O O (get_matrix):")
    print(descriptor.get_matrix(structures[1]).round(2))
    print("\nThe same from its features, rows sorted by norm, O O N (unflatten):")
    print(descriptor.unflatten(batch)[1].round(2))
    return batch


def oxygen_environments(structures: list[Atoms]) -> tuple[list[np.ndarray], np.ndarray]:
    """Return SOAP around the oxygen atoms only: molecule by molecule, and all stacked."""
    soap = SOAP(species=["H", "C", "N", "O"], r_cut=5.0, n_max=8, l_max=6)
    oxygens = [np.flatnonzero(atoms.symbols == "O").tolist() for atoms in structures]
    # Water has one oxygen, the others two: the result is a list with one array for each molecule.
    environments = soap.create(structures, centers=oxygens, n_jobs=2)
    print("\nSOAP around oxygen atoms:")
    for atoms, centers, features in zip(structures, oxygens, environments, strict=True):
        print(f"  {atoms.get_chemical_formula():4}  centres {centers!s:7} {features.shape}")
    stacked = np.vstack(environments)
    print(f"  all   {stacked.shape}")

    names = soap.get_feature_names_out()
    pair = soap.get_location(("C", "O"))
    print(f"\nFeatures {pair.start} to {pair.stop - 1} belong to C and O, the first is {names[pair][0]!r}.")
    used = np.abs(stacked[:, pair]).max(axis=1) > 0
    print(f"They are not zero for the oxygens of CO2 only: {used.tolist()}")

    unit = stacked / np.linalg.norm(stacked, axis=1, keepdims=True)
    print("\nSimilarity of the five environments (cosine):")
    print((unit @ unit.T).round(3))
    return environments, stacked


def main() -> None:
    structures = molecules()
    coulomb_matrices(structures)
    oxygen_environments(structures)


if __name__ == "__main__":
    main()
