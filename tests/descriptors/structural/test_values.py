"""Values of other programs on two hundred crystals, which ``golden/peers.py`` made: agreement, or the reason."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.data import chemical_symbols
from ase.io import write
from ase.neighborlist import neighbor_list
from helpers.varied import varied
from scipy.special import ndtr

from atomprint.chemistry.symmetry import quiet_spglib
from atomprint.descriptors import (
    AngularDistribution,
    CoordinationNumbers,
    DensityGrid,
    PowderDiffraction,
    RadialDistribution,
    SpaceGroup,
    SteinhardtParameters,
    StructureStatistics,
    WarrenCowley,
)

TESTS = Path(__file__).resolve().parents[2]
DATA = TESTS.parents[1] / "shared" / "data" / "mp" / "mp_20_biternary_val.csv.gz"
PEERS = os.environ.get("ATOMPRINT_PEERS_PYTHON")

WINDOW, RDF_END, RDF_STEP, GRID, SIGMA = 0.05, 6.0, 0.2, 6, 0.6  # as in golden/peers.py


def stored(file):
    """Return the values of each crystal by their name."""
    with np.load(file) as found:
        arrays = {name: found[name] for name in found.files}
    parts = {
        name: np.split(values, arrays[f"{name} ends"][:-1])
        for name, values in arrays.items()
        if not name.endswith(" ends")
    }
    return [dict(zip(parts, one, strict=True)) for one in zip(*parts.values(), strict=True)]


CRYSTALS = varied()
FOUND = stored(TESTS / "golden" / "peers.npz")
PAIRS = list(zip(CRYSTALS, FOUND, strict=True))


def named(descriptor, structures):
    names = [name.split(" ", 1)[1] for name in descriptor.get_feature_names_out()]
    return [dict(zip(names, row, strict=True)) for row in descriptor.create(structures).tolist()]


def check_lines(pairs, radiation, tolerance):
    """The strongest lines, with what is around them."""
    powder = PowderDiffraction(radiation, two_theta=(9.5, 85.5))
    for k, (atoms, expected) in enumerate(pairs):
        angles, intensities = expected[radiation].reshape(2, -1)
        peaks = powder.peaks(atoms)
        within = (peaks.two_theta >= 10) & (peaks.two_theta <= 85)
        near = (np.abs(peaks.two_theta - angles[:, None]) < WINDOW) & within
        assert near.any(axis=1).all(), k
        found = near @ peaks.intensity
        own = 0.08 if "Sn" in atoms.symbols and radiation == "x-ray" else tolerance  # whose form factor there is off
        np.testing.assert_allclose(found / found.max(), intensities, atol=own, err_msg=str(k))


def check_density(pairs):
    found = named(StructureStatistics(), [atoms for atoms, _ in pairs])
    for one, (_, expected) in zip(found, pairs, strict=True):
        assert one["density"] == pytest.approx(expected["density"][0], rel=5e-4)  # of newer atomic weights: Zn, Se
        assert one["volume per atom"] == pytest.approx(expected["density"][1], rel=1e-6)


def check_ewald(pairs):
    n = 0
    for atoms, expected in pairs:
        if not expected["charges"].any():
            continue
        charges = dict(zip(atoms.get_chemical_symbols(), expected["charges"].tolist(), strict=True))
        (found,) = named(StructureStatistics(charges, accuracy=1e-10), [atoms])
        assert found["Ewald energy"] == pytest.approx(expected["ewald"].item(), rel=1e-5)
        assert found["mean absolute charge"] == pytest.approx(np.abs(expected["charges"]).mean())
        n += 1
    assert n > len(pairs) / 4


def check_symmetry(pairs):
    spglib = pytest.importorskip("spglib")
    found, n = named(SpaceGroup(), [atoms for atoms, _ in pairs]), 0
    for k, (one, (atoms, expected)) in enumerate(zip(found, pairs, strict=True)):
        number, centric, _ = expected["symmetry"]
        if one["number"] != number:  # it takes angles that are off by 5 degrees for right ones
            cell = atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers
            with quiet_spglib():
                assert spglib.get_symmetry_dataset(cell, symprec=0.01, angle_tolerance=5).number == number
                assert one["number"] == spglib.get_symmetry_dataset(cell, symprec=0.01).number, k
            continue
        n += 1
        assert one["centrosymmetric"] == centric
        assert one[expected["system"].item()] == 1
    assert n > 0.8 * len(pairs)


def clear_bins(atoms):
    """Return which bins have no distance at their edges."""
    distances = np.unique(neighbor_list("d", atoms, RDF_END + 0.5))
    edges = np.arange(int(RDF_END / RDF_STEP) + 1) * RDF_STEP
    away = np.abs(distances - edges[:, None]).min(axis=1, initial=np.inf) > 2e-3
    return away[:-1] & away[1:]


def check_radial(pairs):
    n, bins = 0, int(RDF_END / RDF_STEP)
    for k, (atoms, expected) in enumerate(pairs):
        species = sorted(set(atoms.get_chemical_symbols()))
        radial = RadialDistribution(species, RDF_END, bins, 2e-4)
        found, clear = radial.create(atoms), clear_bins(atoms)
        n += clear.sum()
        total = expected["rdf"] / len(atoms)  # it does not divide by the atoms of the cell
        np.testing.assert_allclose(found[:bins][clear], total[clear], rtol=1e-5, atol=1e-6, err_msg=str(k))
        parts = expected["partial rdf"].reshape(-1, bins)
        for pair, part in zip(expected["pairs"].tolist(), parts, strict=True):
            # It does not divide by the density of the second element, and takes crystals of N, O, F, Cl for molecules.
            second = atoms.get_chemical_symbols().count(pair.split("-")[1]) / atoms.get_volume()
            if species in (["H"], ["N"], ["O"], ["F"], ["Cl"]):
                second /= 2
            own = found[radial.get_location(pair.split("-"))] * second
            np.testing.assert_allclose(own[clear], part[clear], rtol=1e-5, atol=1e-6, err_msg=f"{k} {pair}")
    assert n > 0.7 * bins * len(pairs)


def check_order(pairs):
    for k, (atoms, expected) in enumerate(pairs):
        reach = expected["cutoff"].item()
        plain = SteinhardtParameters((2, 4, 6), (6,), r_cut=reach).create(atoms)
        mean = SteinhardtParameters((4, 6), None, r_cut=reach, averaged=True).create(atoms)
        of_pymatgen = expected["pymatgen q2 q4 q6"].reshape(len(atoms), 3)
        known = ~np.isnan(of_pymatgen)
        np.testing.assert_allclose(plain[:, :3][known], of_pymatgen[known], atol=1e-6, err_msg=str(k))
        of_freud = expected["freud q4 q6 w6 qa4 qa6"].reshape(len(atoms), 5)
        of_freud = np.where(np.isnan(of_freud[:, :1]), 0, of_freud)  # it has no number where there are no neighbours
        found = np.column_stack([plain[:, 1:], mean])
        small = np.abs(plain[:, 2]) < 0.05  # it is in single precision: nothing is left of a quotient of these
        found[small, 2] = of_freud[small, 2]
        np.testing.assert_allclose(found, of_freud, atol=2e-4, err_msg=str(k))


def check_cells(pairs):
    for k, (atoms, expected) in enumerate(pairs):
        species = sorted(set(atoms.get_chemical_symbols()))
        numbers = CoordinationNumbers("solid_angle", species=species)
        order = np.argsort([name.split()[1] for name in numbers.get_feature_names_out()[1:]])
        found = numbers.create(atoms)
        by_element = found[:, 1:][:, order]
        of_pymatgen = expected["voronoi"].reshape(len(atoms), -1)
        np.testing.assert_allclose(by_element, of_pymatgen, rtol=1e-4, atol=1e-4, err_msg=str(k))
        if np.isfinite(expected["ordering"]).all() and len(species) > 1:
            symbols = np.array(atoms.get_chemical_symbols())
            shares = np.array([(symbols == symbol).mean() for symbol in species])
            alpha = np.abs(1 - by_element / found[:, :1] / shares).mean()
            assert alpha == pytest.approx(expected["ordering"].item(), abs=1e-4)


def check_gaussians(pairs):
    n = 0
    for k, (atoms, expected) in enumerate(pairs):
        if not np.allclose(atoms.cell.angles(), 90, atol=1e-9):
            continue  # where freud measures along the edges of a slanted cell as if they were straight
        middle = atoms.copy()  # its points are in the middle of voxels
        middle.positions -= atoms.cell.array.sum(axis=0) / (2 * GRID)
        grid = DensityGrid(atoms.symbols.species(), GRID, sigma=SIGMA, channels="total", dtype="float64")
        density = grid.as_grids(grid.create([middle]))[0].sum(axis=0)[::2, ::2, ::2]
        of_freud = expected["gaussians"].reshape(density.shape)
        np.testing.assert_allclose(density, of_freud, atol=2e-5 * of_freud.max(), err_msg=str(k))
        n += 1
    assert n > len(pairs) / 5


CHECKS = {  # a table of docs/representations.md
    "X-rays": lambda pairs: check_lines(pairs, "x-ray", 0.05),  # of another table of form factors
    "neutrons": lambda pairs: check_lines(pairs, "neutron", 1e-4),
    "density": check_density,
    "electrostatics": check_ewald,
    "symmetry": check_symmetry,
    "radial distribution": check_radial,
    "order parameters": check_order,
    "solid angles": check_cells,
    "densities on grids": check_gaussians,
}


def test_coordination_and_order_from_the_neighbours_of_ase():
    for k, (atoms, expected) in enumerate(PAIRS):
        reach, numbers = expected["cutoff"].item(), atoms.numbers
        species = np.unique(numbers)
        i, j, d = neighbor_list("ijd", atoms, reach)
        counts = np.zeros((len(atoms), len(species)))
        np.add.at(counts, (i, np.searchsorted(species, numbers[j])), 1)
        found = CoordinationNumbers("cutoff", reach, species=species.tolist()).create(atoms)
        np.testing.assert_array_equal(found, np.column_stack([counts.sum(axis=1), counts]), err_msg=str(k))
        width = 0.3 * reach
        weights = np.where(d < reach - width, 1, (1 + np.cos(np.pi * (d - reach + width) / width)) / 2)
        smooth = CoordinationNumbers("cutoff", reach, width, species.tolist()).create(atoms)
        np.testing.assert_allclose(smooth[:, 0], np.bincount(i, weights, minlength=len(atoms)), atol=1e-12)
        order, alpha = WarrenCowley([reach], 0.0, species.tolist()), {}
        for z in species:
            own = counts[numbers == z].sum(axis=0)
            for b, other in enumerate(species):
                share = own[b] / own.sum() if own.sum() else np.nan
                alpha[chemical_symbols[z], chemical_symbols[other]] = 1 - share / (numbers == other).mean()
        for name, value in zip(order.get_feature_names_out(), order.create(atoms), strict=True):
            first, second = name.split()[3:6:2]
            assert value == pytest.approx(np.nan_to_num(alpha[first, second]), abs=1e-12), (k, name)


@pytest.mark.slow
def test_angles_from_the_neighbours_of_ase():
    edges, sigma = np.linspace(0, 180, 13), 8.0
    for k, (atoms, expected) in enumerate(PAIRS):
        reach = expected["cutoff"].item()
        i, vectors = neighbor_list("iD", atoms, reach)
        d = np.linalg.norm(vectors, axis=1)
        fade, unit = 1 + 2 * (d / reach) ** 3 - 3 * (d / reach) ** 2, vectors / d[:, None]
        total = np.zeros(12)
        for atom in range(len(atoms)):
            own = np.flatnonzero(i == atom)
            first, second = np.triu_indices(len(own), 1)
            angles = np.degrees(np.arccos(np.clip((unit[own] @ unit[own].T)[first, second], -1, 1)))
            shares = np.diff(ndtr((edges - angles[:, None]) / sigma), axis=1)
            total += (fade[own][first] * fade[own][second]) @ shares
        angular = AngularDistribution(np.unique(atoms.numbers).tolist(), reach, 12, sigma, "counts", partial=False)
        np.testing.assert_allclose(angular.create(atoms), total / len(atoms), atol=1e-9, err_msg=str(k))


LONG = {"radial distribution", "solid angles"}


@pytest.mark.filterwarnings("ignore:.* apart, more than 1.5 sigma")  # of a grid that is compared point by point
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in LONG else []) for name in CHECKS]
)
def test_values_of_others(name):
    assert len(PAIRS) == 200
    CHECKS[name](PAIRS)


@pytest.fixture(scope="module")
def crystals_of_a_data_base(tmp_path_factory):
    """Return crystals of the Materials Project, with the values of the peers, where both are at hand."""
    if PEERS is None or not DATA.exists():
        pytest.skip("needs ../shared/data and ATOMPRINT_PEERS_PYTHON, an environment with matminer and freud")
    from atomprint.datasets import read_dataset

    structures = read_dataset(DATA, structure="cif", targets=()).structures
    chosen = np.random.default_rng(0).permutation(len(structures))[:200].tolist()
    crystals = [structures[k] for k in chosen]
    crystals = [Atoms(a.numbers, a.positions, cell=a.cell, pbc=True) for a in crystals if len(a) <= 20]
    folder = tmp_path_factory.mktemp("peers")
    write(folder / "crystals.extxyz", crystals)
    command = [PEERS, "-W", "ignore", "-m", "golden.peers", folder / "crystals.extxyz", folder / "found.npz"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(command, check=True, cwd=TESTS, env=environment)
    return list(zip(crystals, stored(folder / "found.npz"), strict=True))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.* apart, more than 1.5 sigma")
@pytest.mark.parametrize("name", CHECKS)
def test_values_of_others_in_a_data_base(crystals_of_a_data_base, name):
    CHECKS[name](crystals_of_a_data_base)
