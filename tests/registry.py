"""All descriptors in their main variants, for the tests that every one of them must pass."""

import numpy as np
from ase import Atoms
from ase.build import bulk, molecule

from atomprint.descriptors import SOAP, CoulombMatrix, Descriptor, EwaldSumMatrix, NeighbourStatistics, SineMatrix

SMALL = {"species": ["H", "C", "N", "O", "Na", "Cl"], "r_cut": 3.0, "n_max": 3, "l_max": 2, "sigma": 0.4}

# Every descriptor, in its main variants. "local" ones have a row for each centre.
REGISTRY: dict[str, Descriptor] = {
    "coulomb": CoulombMatrix(n_atoms_max=9),
    "coulomb-eigenspectrum": CoulombMatrix(n_atoms_max=9, permutation="eigenspectrum"),
    "coulomb-random": CoulombMatrix(n_atoms_max=9, permutation="random", sigma=3.0, seed=7),
    "sine": SineMatrix(n_atoms_max=9),
    "ewald": EwaldSumMatrix(n_atoms_max=9),
    "soap": SOAP(**SMALL),
    "soap-polynomial": SOAP(**SMALL, rbf="polynomial"),
    "soap-periodic": SOAP(**SMALL, periodic=True),
    "soap-inner": SOAP(**SMALL, average="inner"),
    "soap-outer": SOAP(**SMALL, average="outer", periodic=True),
    "soap-pooled": SOAP(**SMALL, pooling=("mean", "std")),
    "soap-mixed": SOAP(**SMALL, species_embedding=np.ones((6, 2)) + np.arange(12).reshape(6, 2)),
    "soap-mu1nu1": SOAP(**SMALL, compression="mu1nu1"),
    "neighbours": NeighbourStatistics(species=SMALL["species"], r_cut=2.0),
    "neighbours-periodic": NeighbourStatistics(species=SMALL["species"], r_cut=3.4, cutoff_width=1.1, periodic=True),
}
NEEDS_CELL = {"sine", "ewald", "soap-periodic", "soap-outer", "neighbours-periodic"}
# Noise belongs to the place of a structure in the list.
DEPENDS_ON_PLACE = {"coulomb-random"}


def some_structures(name) -> list[Atoms]:
    rng = np.random.default_rng(0)
    if name in NEEDS_CELL:
        structures = [bulk("NaCl", "rocksalt", 5.64, cubic=True), bulk("NaCl", "cesiumchloride", 3.5), bulk("C")]
    else:
        structures = [molecule("CH3CH2OH"), molecule("H2O"), molecule("NH3")]
    for atoms in structures:
        atoms.positions += rng.normal(0, 0.02, atoms.positions.shape)
    return structures
