"""All descriptors in their main variants, for the tests that every one of them must pass."""

import numpy as np
from ase import Atoms
from ase.build import bulk, molecule

from atomprint.descriptors import (
    ACE,
    ACSF,
    LMBTR,
    MBTR,
    SOAP,
    AngularDistribution,
    CoordinationNumbers,
    CoulombMatrix,
    DensityGrid,
    Descriptor,
    EwaldSumMatrix,
    NeighbourStatistics,
    PowderDiffraction,
    PretrainedEmbedding,
    RadialDistribution,
    SineMatrix,
    SpaceGroup,
    SteinhardtParameters,
    StructureStatistics,
    ValleOganov,
    WarrenCowley,
)
from helpers.toy_potential import ToyPotential

SMALL = {"species": ["H", "C", "N", "O", "Na", "Cl"], "r_cut": 3.0, "n_max": 3, "l_max": 2, "sigma": 0.4}

SPECIES = SMALL["species"]
# Thresholds so low that no step of a finite difference brings a term to its cutoff with a weight that matters.
DISTANCES = {
    "geometry": {"function": "inverse_distance"},
    "grid": {"min": 0, "max": 1.2, "n": 12, "sigma": 0.1},
    "weighting": {"function": "exp", "scale": 3.0, "threshold": 1e-16},
}
ANGLES = {
    "geometry": {"function": "angle"},
    "grid": {"min": 0, "max": 180, "n": 7, "sigma": 20},
    "weighting": {"function": "smooth_cutoff", "r_cut": 3.7},
}
COSINES = {
    "geometry": {"function": "cosine"},
    "grid": {"min": -1, "max": 1, "n": 7, "sigma": 0.2},
    "weighting": {"function": "exp", "scale": 0.5, "threshold": 1e-12},
}
NUMBERS = {"geometry": {"function": "atomic_number"}, "grid": {"min": 1, "max": 17, "n": 9, "sigma": 0.6}}

# The cells of the tests have no pair near the cutoff, where three derivatives are not continuous.
FEW = {"species": SPECIES, "r_cut": 3.3, "n_max": 3, "l_max": 2, "n_functions": 60}

FUNCTIONS = {
    "species": SMALL["species"],
    "r_cut": 3.2,  # the second derivative jumps there: no pair of the tests should be at it
    "g2_params": [[0.5, 0.0], [2.0, 1.5]],
    "g3_params": [1.7],
    "g4_params": [[0.05, 1, 1], [0.2, 4, -1], [0.05, 2.5, 0.5]],
    "g5_params": [[0.1, 1, -1]],
}

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
    "ace": ACE(**FEW, channels="full"),
    "ace-mixed": ACE(**FEW, periodic=True),
    "ace-pooled": ACE(**FEW, channels="full", pooling=("mean", "std")),
    "acsf": ACSF(**FUNCTIONS),
    "acsf-periodic": ACSF(**FUNCTIONS, periodic=True),
    "acsf-pooled": ACSF(**FUNCTIONS, pooling=("mean", "std")),
    "mbtr": MBTR(terms=[NUMBERS, DISTANCES, ANGLES], species=SPECIES, normalization="l2"),
    "mbtr-periodic": MBTR(**ANGLES, species=SPECIES, periodic=True, normalization="n_atoms"),
    "mbtr-valle-oganov": MBTR(**DISTANCES, species=SPECIES, periodic=True, normalization="valle_oganov"),
    "valle-oganov": ValleOganov(SPECIES, "angle", n=7, sigma=20.0, r_cut=3.7),
    "lmbtr": LMBTR(**COSINES, species=SPECIES, normalization="l2"),
    "lmbtr-periodic": LMBTR(**ANGLES, species=SPECIES, periodic=True),
    "lmbtr-pooled": LMBTR(**DISTANCES, species=SPECIES, periodic=True, pooling=("mean", "std")),
    "neighbours": NeighbourStatistics(species=SMALL["species"], r_cut=2.0),
    "neighbours-periodic": NeighbourStatistics(species=SMALL["species"], r_cut=3.4, cutoff_width=1.1, periodic=True),
    "radial-distribution": RadialDistribution(SPECIES, 3.2, 6, 0.4, "counts"),
    "radial-distribution-g": RadialDistribution(SPECIES, 4.0, 7, 0.4, total=False, periodic=True),
    "angular-distribution": AngularDistribution(SPECIES, 3.7, 7, 20.0),
    "angular-distribution-counts": AngularDistribution(SPECIES, 3.7, 5, 25.0, "counts", periodic=True),
    "coordination-cutoff": CoordinationNumbers("cutoff", 3.3, 2.5, SPECIES, pooling=("mean", "std")),
    "coordination-voronoi": CoordinationNumbers("solid_angle", species=SPECIES),
    "warren-cowley": WarrenCowley([1.6, 3.3], 1.6, SPECIES),
    "space-group": SpaceGroup(),
    "diffraction": PowderDiffraction(two_theta=(12, 60), n=25, fwhm=5.0),
    "diffraction-neutron": PowderDiffraction(
        "neutron", 1.8, (15, 80), 21, 8.0, debye_waller={"Na": 1.5}, normalization="none"
    ),
    "steinhardt": SteinhardtParameters((1, 2, 6), (2, 4), r_cut=3.2),
    "steinhardt-average": SteinhardtParameters((2, 3), (2,), r_cut=3.3, cutoff_width=2.5, averaged=True, periodic=True),
    "steinhardt-pooled": SteinhardtParameters((2, 4), None, r_cut=3.4, cutoff_width=1.2, pooling=("mean", "std")),
    "structure-statistics": StructureStatistics(),
    "grid": DensityGrid(SPECIES, shape=(5, 6, 4), sigma=1.2, dtype="float64"),
    "grid-box": DensityGrid(SPECIES, box=(3.0, 4.0, 3.0), resolution=0.75, dtype="float64"),
    "pretrained": PretrainedEmbedding(ToyPotential(SPECIES), dtype="float64"),
    "pretrained-pooled": PretrainedEmbedding(
        ToyPotential(SPECIES), ["layer 2", "energy"], pooling="mean", dtype="float64"
    ),
}
# More variants, for the tests of derivatives and of what must not matter alone.
VARIANTS: dict[str, Descriptor] = {
    "angular-distribution-total": AngularDistribution(SPECIES, 3.7, 9, 18.0, partial=False, periodic=True),
    "coordination-covalent": CoordinationNumbers(species=SPECIES),
    "coordination-hard": CoordinationNumbers("cutoff", 2.9, species=SPECIES, periodic=True),
    "coordination-smooth": CoordinationNumbers("cutoff", 3.3, 2.5, SPECIES, periodic=True),
    "diffraction-area": PowderDiffraction(
        wavelength=0.9, two_theta=(10, 50), n=30, fwhm=3.0, lorentz_polarization=False, normalization="area"
    ),
    "grid-channels": DensityGrid(
        SPECIES,
        shape=(4, 5, 7),
        sigma=1.2,
        channels={"anions": {"O": 1, "Cl": 1}, "charge": {"Na": 1, "Cl": -1, "C": 0.3}},
        dtype="float64",
    ),
    "grid-of-a-point": DensityGrid(
        SPECIES, box=(4.0, 3.0, 3.5), resolution=0.7, center=(0.3, -0.2, 0.4), channels="total", dtype="float64"
    ),
    "radial-distribution-periodic": RadialDistribution(SPECIES, 3.6, 6, 0.3, "counts", total=False, periodic=True),
    "radial-distribution-total": RadialDistribution(SPECIES, 3.7, 8, 0.3, partial=False, periodic=True),
    "space-group-loose": SpaceGroup(symprec=0.3),
    "steinhardt-nearest": SteinhardtParameters((2, 4), (4,), r_cut=6.0, n_nearest=4, periodic=True),
    "steinhardt-smooth": SteinhardtParameters((2, 4, 6), (4,), r_cut=3.3, cutoff_width=2.0, periodic=True),
    "structure-statistics-charges": StructureStatistics({"Na": 0.9, "Cl": -0.9, "O": -1.8, "C": 0.0}, accuracy=1e-12),
    "warren-cowley-periodic": WarrenCowley([2.5, 3.6], 0.9, SPECIES, periodic=True),
    "warren-cowley-sharp": WarrenCowley([2.95, 3.7], 0.0, SPECIES, periodic=True),
}
NEEDS_CELL = {
    "angular-distribution-total",
    "coordination-hard",
    "coordination-smooth",
    "diffraction-area",
    "grid-channels",
    "radial-distribution-periodic",
    "radial-distribution-total",
    "space-group-loose",
    "steinhardt-nearest",
    "steinhardt-smooth",
    "structure-statistics-charges",
    "warren-cowley-periodic",
    "warren-cowley-sharp",
    "ace-mixed",
    "radial-distribution-g",
    "angular-distribution-counts",
    "coordination-voronoi",
    "space-group",
    "diffraction",
    "diffraction-neutron",
    "grid",
    "neighbours-periodic",
    "steinhardt-average",
    "structure-statistics",
    "sine",
    "ewald",
    "soap-periodic",
    "soap-outer",
    "acsf-periodic",
    "mbtr-periodic",
    "mbtr-valle-oganov",
    "valle-oganov",
    "lmbtr-periodic",
    "lmbtr-pooled",
}
# Noise belongs to the place of a structure in the list.
DEPENDS_ON_PLACE = {"coulomb-random"}
HAS_NO_DERIVATIVES = {"coulomb-random", "coordination-voronoi", "space-group"}


def some_structures(name) -> list[Atoms]:
    rng = np.random.default_rng(0)
    if name in NEEDS_CELL:
        structures = [bulk("NaCl", "rocksalt", 5.64, cubic=True), bulk("NaCl", "cesiumchloride", 3.5), bulk("C")]
    else:
        structures = [molecule("CH3CH2OH"), molecule("H2O"), molecule("NH3")]
    for atoms in structures:
        atoms.positions += rng.normal(0, 0.02, atoms.positions.shape)
    return structures
