"""What symmetry forbids is zero, and not what rounding leaves of it."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from helpers.invariance import changed, crystals, molecules, rotated

from atomprint.descriptors import ACE, ACSF, LMBTR, SOAP
from atomprint.elements import ElementEmbedding
from atomprint.pooling import LocalFeatures, Pooling

SMALL = {"r_cut": 4.0, "n_max": 3, "l_max": 3, "sigma": 0.5}
TWO = [ElementEmbedding(n_channels=3), "species"]
COVARIANCE = Pooling("covariance", channels=TWO)


@pytest.mark.parametrize("options", [{}, {"average": "outer"}, {"average": "inner"}, {"pooling": ("mean", "max")}])
@pytest.mark.parametrize("compression", ["off", "mu2", "mu1nu1", "crossover"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_forbidden_degrees_are_zero_in_any_orientation(options, compression, dtype):
    """At places of cubic symmetry there is nothing of degree 1 and 2, and with inversion nothing of degree 3."""
    salt = bulk("NaCl", "rocksalt", 5.64, cubic=True)
    soap = SOAP(**SMALL, **options, species=["Na", "Cl"], compression=compression, dtype=dtype, periodic=True)
    degrees = np.array([int(name.rpartition("l=")[2]) for name in soap.get_feature_names_out()])
    for atoms in (salt, rotated(salt, np.random.default_rng(0))):
        X = np.atleast_2d(soap.create(atoms))
        assert (X[:, degrees > 0] == 0).all()
        assert (X[:, degrees == 0] != 0).any()


def test_products_of_something_and_nothing_are_zero():
    """The oxygen atom of a perovskite has no degree 1 or 3 of any species, but degree 2 of all."""
    (perovskite,) = crystals(("perovskite",), n=1)
    soap = SOAP(**SMALL, species=perovskite.get_chemical_symbols(), periodic=True)
    degrees = np.array([int(name.rpartition("l=")[2]) for name in soap.get_feature_names_out()])
    X = soap.create(rotated(perovskite, np.random.default_rng(0)), centers=[2])
    assert (X[:, degrees % 2 == 1] == 0).all()
    assert (X[:, degrees == 2] != 0).any()


def test_what_is_only_small_stays():
    """Two atoms far from each other, in a density that decays: 1e-9 of the largest number is a feature."""
    pair = molecule("H2")
    pair.positions[1] = pair.positions[0] + [0, 0, 5.2]
    pair.numbers[1] = 8
    X = SOAP(r_cut=4.0, n_max=2, l_max=1, sigma=0.4, species=["H", "O"]).create(pair, centers=[0])[0]
    assert 0 < np.abs(X[X != 0]).min() < 1e-6 * np.abs(X).max()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("pooling", [None, ("mean", "max")])
def test_forbidden_couplings_are_zero_in_any_orientation(pooling, dtype):
    """At places of cubic symmetry with inversion there is nothing of degree 1, 2 and 3."""
    salt = bulk("NaCl", "rocksalt", 5.64, cubic=True)
    ace = ACE(5.0, 3, 3, n_functions=200, species=["Na", "Cl"], pooling=pooling, dtype=dtype, periodic=True)
    names = ace.get_feature_names_out()
    degrees = [set(name.partition("l=")[2].split()[0].split(",")) for name in names]
    forbidden = np.array([bool(some & {"1", "2", "3"}) for some in degrees])
    for atoms in (salt, rotated(salt, np.random.default_rng(0))):
        X = np.atleast_2d(ace.create(atoms))
        assert (X[:, forbidden] == 0).all()
        assert (X[:, ~forbidden] != 0).any()


@pytest.mark.parametrize(
    "local",
    [SOAP(**SMALL), ACSF(r_cut=4.0, g2_params=[[1, 1]], g4_params=[[0.1, 1, -1]]), ACE(5.0, 3, 3, n_functions=100)],
)
def test_equal_atoms_have_no_spread(local):
    given = [rotated(bulk("Si", "diamond", 5.43, cubic=True), np.random.default_rng(0)), bulk("Si", "diamond", 5.43)]
    X = local.set_params(periodic=True, species=["Si"], pooling="std").create(given)
    assert (X == 0).all()


@pytest.mark.parametrize("compression", ["mu2", "off"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_covariance_of_equal_environments_is_zero(compression, dtype):
    salt = bulk("NaCl", "rocksalt", 5.64, cubic=True)
    silicon = bulk("Si", "diamond", 5.43, cubic=True)
    both = SOAP(**SMALL, species=["Na", "Cl", "Si"], compression=compression, dtype=dtype, periodic=True)
    X = both.set_params(pooling=COVARIANCE).fit([salt]).create([rotated(salt, np.random.default_rng(0)), salt, silicon])
    assert (X[2] == 0).all()  # one element has no covariance with anything
    assert (X[:2] == 0).all() == (compression == "mu2")  # without elements both places are the same


def test_covariance_after_the_descriptor_and_of_others_is_zero_too():
    silicon = rotated(bulk("Si", "diamond", 5.43, cubic=True), np.random.default_rng(0))
    salt = rotated(bulk("NaCl", "rocksalt", 5.64, cubic=True), np.random.default_rng(0))
    rows = SOAP(**SMALL, species=["Na", "Cl"], compression="mu2", periodic=True).transform([salt])
    assert np.abs(Pooling("covariance", channels=TWO).fit_transform(rows)).max() < 1e-13 * np.abs(rows.values).max()
    lmbtr = LMBTR(
        geometry={"function": "distance"},
        grid={"min": 0, "max": 6, "n": 9, "sigma": 0.3},
        weighting={"function": "exp", "r_cut": 6.0, "threshold": 1e-3},
        periodic=True,
        pooling=COVARIANCE,
    )
    assert (lmbtr.fit([silicon]).create([silicon]) == 0).all()


def _beside_blocks(soap, X):
    """Return features as shares of the largest of the same pair of species in the same row."""
    bounds = soap._cancelling()
    largest = np.maximum.reduceat(np.abs(X), bounds[:-1], axis=1)
    return X / np.repeat(np.where(largest > 0, largest, 1), np.diff(bounds), axis=1)


@pytest.mark.parametrize("given", [crystals(n=22), molecules(6)], ids=["crystals", "molecules"])
@pytest.mark.parametrize("options", [SMALL, {"r_cut": 5.0, "compression": "crossover"}], ids=["small", "default"])
def test_single_precision_has_the_zeros_of_double_precision(given, options):
    """In any orientation; what is left out besides is less than the error of what is there."""
    rng = np.random.default_rng(1)
    periodic = bool(given[0].pbc.any())
    for atoms in given:
        double, single = (
            SOAP(**options, species=atoms.get_chemical_symbols(), periodic=periodic, dtype=dtype)
            for dtype in ("float64", "float32")
        )
        given_otherwise = rotated(atoms, rng)
        X, Y = double.create(atoms), single.create(given_otherwise)
        assert Y.dtype == np.float32
        assert (Y[X == 0] == 0).all()
        assert (np.abs(X - Y).max(axis=1) < 2.0**-18 * np.abs(X).max(axis=1)).all()
        assert np.abs(_beside_blocks(double, X)[Y == 0]).max(initial=0) < 2.0**-21
        # Features that come with derivatives are the same.
        cotangents = np.ones(Y.shape, dtype=np.float32)
        features = single.vjp(given_otherwise, cotangents, return_descriptor=True).descriptor
        assert (features == single.create(given_otherwise)).all()


@pytest.mark.parametrize("options", [{"average": "outer"}, {"average": "inner"}, {"pooling": ("mean", "std", "max")}])
def test_single_precision_is_invariant_within_its_error(options):
    given = crystals(n=11)
    soap = SOAP(**SMALL, periodic=True, dtype="float32", **options).fit(given)
    X = soap.transform(given).astype(np.float64)
    for what, others in changed(given):
        assert np.abs(soap.transform(others) - X).max() < 2.0**-18 * np.abs(X).max(), what


@pytest.mark.parametrize("given", [crystals(n=22), molecules(12)], ids=["crystals", "molecules"])
def test_features_of_the_same_structure_are_the_same(given):
    periodic = bool(given[0].pbc.any())
    for soap in (SOAP(**SMALL, average="outer"), SOAP(**SMALL, compression="mu2", pooling=COVARIANCE)):
        X = soap.set_params(periodic=periodic).fit(given).transform(given)
        for what, others in changed(given):
            assert np.abs(soap.transform(others) - X).max() < 1e-13 * np.abs(X).max(), what
            assert ((soap.transform(others) == 0) == (X == 0)).all(), what


def test_sums_that_are_mixed_afterwards_have_the_zeros_of_centres():
    perovskite = Atoms(
        "BaTiO3",
        scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
        cell=[4.0] * 3,
        pbc=True,
    )
    rattled = perovskite.copy()
    rattled.rattle(0.05, seed=1)
    mixing = np.random.default_rng(0).normal(size=(3, 8))  # fewer species than channels
    soap = SOAP(r_cut=4.0, n_max=4, l_max=5, species=["O", "Ti", "Ba"], species_embedding=mixing)
    for pooling in ("mean", Pooling(("sum", "mean"), by_species=True, species=["O", "Ti", "Ba", "Sr"])):
        pooled = SOAP(**soap.get_params() | {"pooling": pooling}).create([perovskite, rattled])
        for row, atoms in zip(pooled, (perovskite, rattled), strict=True):
            centres = soap.create(atoms)
            expected = Pooling("mean").fit_transform([centres])[0]
            if pooling != "mean":
                numbers = [atoms.numbers]
                expected = pooling.transform(LocalFeatures.from_arrays([centres], numbers))[0]
            np.testing.assert_allclose(row, expected, rtol=1e-12, atol=1e-13 * np.abs(expected).max())
            assert (row[expected == 0] == 0).all()
    assert (pooled[0] == 0).mean() > (pooled[1] == 0).mean() > 0.2  # one by symmetry, the other where there is no Sr
