"""Distributions of distances and angles against matminer, ASE's neighbours, and what must not matter."""

from itertools import combinations_with_replacement, permutations
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.neighborlist import neighbor_list
from helpers.invariance import changed
from helpers.minerals import minerals
from scipy.special import ndtr

from atomprint.descriptors import AngularDistribution, RadialDistribution
from atomprint.structures import StructureError
from atomprint.testing import check_derivatives

MINERALS = minerals()
STORED = Path(__file__).resolve().parents[2] / "golden" / "structural.npz"
SPECIES = ["Na", "Cl", "Sr", "Ti", "O"]
SHAKEN = [MINERALS["shaken salt"], MINERALS["shaken perovskite"]]


def spread(values, weights, edges, sigma):
    """Return how much of Gaussians at some values is between edges."""
    return weights @ np.diff(ndtr((edges - np.asarray(values)[:, None]) / sigma), axis=1)


@pytest.mark.parametrize("name", MINERALS)
def test_narrow_bins_are_those_of_matminer(name):
    with np.load(STORED) as stored:
        expected = stored[f"{name} rdf"] / len(MINERALS[name])  # where it does not divide by the atoms of the cell
    radial = RadialDistribution(MINERALS[name].symbols.species(), 8.0, 80, 2e-4, partial=False)
    found = radial.create(MINERALS[name])
    grid = (np.arange(80) + 0.5) * 0.1
    nearest = np.unique(neighbor_list("d", MINERALS[name], 9.0))
    at_edge = [np.abs(nearest - (r + side)).min() < 2e-3 for r in grid for side in (-0.05, 0.05)]
    clear = ~np.reshape(at_edge, (80, 2)).any(axis=1)
    assert clear.sum() > 20
    np.testing.assert_allclose(found[clear], expected[clear], atol=1e-9)


def test_radial_distribution_from_the_neighbours_of_ase():
    for atoms in SHAKEN:
        i, j, d = neighbor_list("ijd", atoms, 7.0)
        symbols, edges = np.array(atoms.get_chemical_symbols()), np.linspace(0, 5, 26)
        shells = 4 / 3 * np.pi * np.diff(edges**3)
        g = RadialDistribution(SPECIES, 5.0, 25, 0.15)
        counts = RadialDistribution(SPECIES, 5.0, 25, 0.15, "counts")
        total = spread(d, np.ones(len(d)), edges, 0.15) / len(atoms)
        X, C = g.create(atoms), counts.create(atoms)
        np.testing.assert_allclose(C[g.get_location(())], total, atol=1e-12)
        np.testing.assert_allclose(X[:25], total * atoms.get_volume() / (shells * len(atoms)), atol=1e-9)
        for a, b in combinations_with_replacement(sorted(set(symbols)), 2):
            pairs = (symbols[i] == a) & (symbols[j] == b)
            ordered = spread(d, pairs.astype(float), edges, 0.15)
            n_a, n_b = (symbols == a).sum(), (symbols == b).sum()
            expected = ordered * atoms.get_volume() / (shells * n_a * n_b)
            np.testing.assert_allclose(X[g.get_location((a, b))], expected, atol=1e-9)
            share = ordered * (1 if a == b else 2) / len(atoms)
            np.testing.assert_allclose(C[counts.get_location((a, b))], share, atol=1e-12)
        np.testing.assert_allclose(C[25:].reshape(-1, 25).sum(axis=0), C[:25], atol=1e-12)


def test_angular_distribution_from_the_neighbours_of_ase():
    atoms, r_cut, edges = MINERALS["shaken perovskite"], 3.2, np.linspace(0, 180, 19)
    i, j, d, vectors = neighbor_list("ijdD", atoms, r_cut)
    fade = 1 + 2 * (d / r_cut) ** 3 - 3 * (d / r_cut) ** 2
    symbols = np.array(atoms.get_chemical_symbols())
    found = {}
    for first, second in permutations(range(len(i)), 2):
        if first < second and i[first] == i[second]:
            cosine = vectors[first] @ vectors[second] / (d[first] * d[second])
            ends = tuple(sorted((symbols[j[first]], symbols[j[second]])))
            values, weights = found.setdefault((ends[0], symbols[i[first]], ends[1]), ([], []))
            values.append(np.degrees(np.arccos(cosine)))
            weights.append(fade[first] * fade[second])
    sums = {key: spread(values, np.array(weights), edges, 6.0) for key, (values, weights) in found.items()}
    counts = AngularDistribution(SPECIES, r_cut, 18, 6.0, "counts")
    X = counts.create(atoms)
    np.testing.assert_allclose(X[:18], sum(sums.values()) / len(atoms), atol=1e-12)
    for key, expected in sums.items():
        np.testing.assert_allclose(X[counts.get_location(key)], expected / len(atoms), atol=1e-12)
    density = AngularDistribution(SPECIES, r_cut, 18, 6.0)
    D = density.create(atoms)
    np.testing.assert_allclose(D, X / (X[:18].sum() * 10), atol=1e-12)
    assert D[:18].sum() * 10 == pytest.approx(1)


def test_there_is_no_order_far_away():
    rng = np.random.default_rng(0)
    gas = Atoms("Ar400", rng.uniform(0, 25, (400, 3)), cell=[25] * 3, pbc=True)
    g = RadialDistribution(["Ar"], 12.0, 12, 0.3, partial=False).create(gas)
    np.testing.assert_allclose(g[4:], 1, atol=0.05)


DESCRIPTORS = [
    RadialDistribution(SPECIES, 5.0, 12, 0.3),
    RadialDistribution(SPECIES, 5.0, 12, 0.3, "counts", total=False),
    AngularDistribution(SPECIES, 3.7, 8, 15.0),
    AngularDistribution(SPECIES, 3.7, 8, 15.0, "counts", partial=False),
]


@pytest.mark.parametrize("descriptor", DESCRIPTORS)
def test_derivatives_and_the_choice_of_the_cell(descriptor):
    report = check_derivatives(descriptor, SHAKEN)
    assert not report.constant
    expected = descriptor.create(SHAKEN)
    for name, other in changed(SHAKEN):
        np.testing.assert_allclose(descriptor.create(other), expected, atol=1e-12 * expected.max(), err_msg=name)


def test_molecules_have_counts_but_no_g():
    water = molecule("H2O")
    counts = RadialDistribution(["H", "O"], 2.0, 4, 0.05, "counts").create(water)
    assert counts[:4].sum() == pytest.approx(2)  # each atom has two others
    rule = "structure 1 must repeat along three vectors for normalization='g'; 'counts' needs no volume"
    with pytest.raises(StructureError, match=rule):
        RadialDistribution(["H", "O", "Cu"]).create([bulk("Cu"), water])
    assert not AngularDistribution(["H"]).create(Atoms("H")).any()


@pytest.mark.parametrize(
    ("cls", "given", "message"),
    [
        (RadialDistribution, {"normalization": "density"}, "normalization must be one of 'g', 'counts', got 'density'"),
        (RadialDistribution, {"periodic": False}, "normalization must be 'counts' with periodic=False, got 'g'"),
        (RadialDistribution, {"total": False, "partial": False}, "total must be True where partial is False"),
        (AngularDistribution, {"n": 1}, "n must be >= 2, got 1"),
        (AngularDistribution, {"r_cut": 0}, "r_cut must be > 0, got 0"),
    ],
)
def test_refused(cls, given, message):
    with pytest.raises((ValueError, TypeError), match=message):
        cls(**given)


@pytest.mark.parametrize("cls", [RadialDistribution, AngularDistribution])
@pytest.mark.parametrize("normalization", ["counts", None])
def test_the_total_alone_is_that_beside_the_parts(cls, normalization):
    """Alone it is counted without telling elements apart."""
    given = {"r_cut": 4.0, "n": 12} | ({} if normalization is None else {"normalization": normalization})
    both, alone = cls(SPECIES, **given), cls(SPECIES, **given, partial=False)
    np.testing.assert_allclose(alone.create(SHAKEN), both.create(SHAKEN)[:, :12], rtol=1e-12, atol=1e-14)
    for wrt in ("positions", "strain"):
        slopes, _ = alone.derivatives(SHAKEN[0], wrt=wrt)
        np.testing.assert_allclose(slopes, both.derivatives(SHAKEN[0], wrt=wrt)[0][..., :12], atol=1e-10)
    weights = np.random.default_rng(0).normal(size=(2, 12))
    padded = np.zeros((2, both.get_number_of_features()))
    padded[:, :12] = weights
    slopes, expected = alone.vjp(SHAKEN, weights).positions, both.vjp(SHAKEN, padded).positions
    np.testing.assert_allclose(np.concatenate(slopes), np.concatenate(expected), rtol=1e-10, atol=1e-12)
    with pytest.raises(StructureError, match=r"structure 1, atom 0: .* got Cu"):
        alone.create([SHAKEN[0], MINERALS["copper"]])
