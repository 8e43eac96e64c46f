"""From molecules to descriptors and forces: Coulomb matrices and SOAP of water, nitrogen and carbon dioxide.

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


def soap_of_oxygens(structures: list[Atoms]) -> tuple[SOAP, list[list[int]]]:
    """Return SOAP for these molecules, and the indices of their oxygen atoms."""
    soap = SOAP(species=["H", "C", "N", "O"], r_cut=5.0, n_max=8, l_max=6)
    return soap, [np.flatnonzero(atoms.symbols == "O").tolist() for atoms in structures]


def oxygen_environments(structures: list[Atoms]) -> tuple[list[np.ndarray], np.ndarray]:
    """Return SOAP around the oxygen atoms only: molecule by molecule, and all stacked."""
    soap, oxygens = soap_of_oxygens(structures)
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


def derivatives(structures: list[Atoms]) -> list[np.ndarray]:
    """Return the derivatives of SOAP around the oxygen atoms by the positions of all atoms."""
    soap, oxygens = soap_of_oxygens(structures)
    found, _ = soap.derivatives(structures, centers=oxygens, attach=True)
    print("\nDerivatives of SOAP around oxygen atoms, (n_centers, n_atoms, 3, n_features):")
    for atoms, array in zip(structures, found, strict=True):
        print(f"  {atoms.get_chemical_formula():4} {array.shape}")
    moved_together = max(np.abs(array.sum(axis=1)).max() for array in found)
    print(f"Moving all atoms together changes nothing: {moved_together:.0e}")
    return found


def forces(structures: list[Atoms]) -> tuple[np.ndarray, float]:
    """Return the forces on CO2 in a linear model, and one of them from differences of its energy."""
    soap, oxygens = soap_of_oxygens(structures)
    co2, centers = structures[2].copy(), oxygens[2]
    co2.positions[2, 2] += 0.05  # out of equilibrium

    # Any differentiable model will do; here the energy is linear in the features of all centres.
    weights = np.random.default_rng(0).normal(size=soap.get_number_of_features())

    def energy(atoms: Atoms) -> float:
        return float((soap.create(atoms, centers=centers) @ weights).sum())

    # vjp wants the derivatives of the energy by the features; the large array from above is never made.
    cotangents = np.tile(weights, (len(centers), 1))
    result = -soap.vjp(co2, cotangents, centers=centers, wrt="positions").positions

    h, plus, minus = 1e-4, co2.copy(), co2.copy()
    plus.positions[0, 2] += h
    minus.positions[0, 2] -= h
    difference = -(energy(plus) - energy(minus)) / (2 * h)
    print("\nForces on the atoms of CO2 in a linear model:")
    print(result.round(3))
    print(f"The force on carbon along the molecule: {result[0, 2]:.6f}, from differences: {difference:.6f}")
    return result, difference


def main() -> None:
    structures = molecules()
    coulomb_matrices(structures)
    oxygen_environments(structures)
    derivatives(structures)
    forces(structures)


if __name__ == "__main__":
    main()
