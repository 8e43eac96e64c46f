"""SOAP against its definition, its invariances, and bad input. Agreement with DScribe: test_golden.py."""

import itertools
import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad_vec
from scipy.linalg import eigh
from scipy.spatial.transform import Rotation
from scipy.special import gamma, sph_harm_y, spherical_in

from atomprint.descriptors import SOAP
from atomprint.elements import ElementEmbedding
from atomprint.pooling import Pooling
from atomprint.sampling import CenterSampler

pytestmark = pytest.mark.usefixtures("each_instruction_set")

REACH = np.sqrt(-2 * np.log(1e-3))


# The definition, as naive as possible --------------------------------------------------------------------------


def primitive(rbf, n, l, n_max, r_cut):
    if rbf == "polynomial":
        return lambda r: (r_cut - r) ** (n + 3) if r < r_cut else 0.0
    a = np.linspace(1, r_cut, n_max)[n]
    return lambda r: r**l * np.exp(np.log(1e-3 / a**l) / a**2 * r**2)


def loewdin(rbf, l, n_max, r_cut):
    if rbf == "polynomial":
        i = np.arange(1.0, n_max + 1)[:, None] + np.arange(1.0, n_max + 1)
        overlap = 2 * r_cut ** (7 + i) / ((5 + i) * (6 + i) * (7 + i))
    else:
        a = np.linspace(1, r_cut, n_max)
        alpha = -np.log(1e-3 / a**l) / a**2
        overlap = 0.5 * gamma(l + 1.5) * (alpha[:, None] + alpha) ** -(l + 1.5)
    values, vectors = eigh(overlap)
    return (vectors / np.sqrt(values)) @ vectors.T


def naive_coefficients(rbf, vectors, n_max, l_max, r_cut, sigma):
    """c_nlm by numerical integration over r, and complex harmonics (p is the same)."""
    eta = 1 / (2 * sigma**2)
    c = np.zeros((n_max, l_max + 1, 2 * l_max + 1), dtype=complex)
    end = r_cut if rbf == "polynomial" else 4 * r_cut
    for l in range(l_max + 1):
        beta = loewdin(rbf, l, n_max, r_cut)
        for vector in vectors:
            R = np.linalg.norm(vector)

            def integrand(r, R=R, l=l):
                x = 2 * eta * r * R
                bessel = spherical_in(l, x) * np.exp(-eta * (r**2 + R**2)) if x < 600 else 0.0
                return r**2 * bessel * np.array([primitive(rbf, k, l, n_max, r_cut)(r) for k in range(n_max)])

            radial, _ = quad_vec(integrand, 0, end, epsabs=1e-13, epsrel=1e-10)
            theta = np.arccos(vector[2] / R) if R > 0 else 0.0
            phi = np.arctan2(vector[1], vector[0])
            for m in range(-l, l + 1):
                c[:, l, l + m] += 4 * np.pi * (beta @ radial) * np.conj(sph_harm_y(l, m, theta, phi))
    return c


def naive_power(c1, c2, same):
    n_max, n_l = c1.shape[:2]
    return np.array(
        [
            np.pi * np.sqrt(8 / (2 * l + 1)) * (c1[n, l] @ c2[m, l].conj()).real
            for l in range(n_l)
            for n in range(n_max)
            for m in range(n if same else 0, n_max)
        ]
    )


@pytest.mark.parametrize(
    ("rbf", "n_max", "l_max", "r_cut", "sigma"),
    [
        ("gto", 4, 3, 3.5, 0.6),
        ("polynomial", 4, 3, 3.5, 0.6),
        ("polynomial", 3, 11, 3.0, 1.2),
        ("gto", 3, 11, 4.0, 0.3),
    ],
)
def test_definition_by_quadrature(rbf, n_max, l_max, r_cut, sigma):
    atoms = Atoms("OHH", positions=[[0.1, 0.2, -0.1], [0.9, -0.3, 0.4], [-0.5, 0.8, 0.6]])
    soap = SOAP(species=["H", "O"], r_cut=r_cut, n_max=n_max, l_max=l_max, sigma=sigma, rbf=rbf)
    centre = np.array([0.3, 0.3, 0.3])
    vectors = atoms.positions - centre
    h = naive_coefficients(rbf, vectors[1:], n_max, l_max, r_cut, sigma)
    o = naive_coefficients(rbf, vectors[:1], n_max, l_max, r_cut, sigma)
    expected = np.concatenate([naive_power(h, h, True), naive_power(h, o, False), naive_power(o, o, True)])
    features = soap.create(atoms, centers=[centre])[0]
    np.testing.assert_allclose(features, expected, rtol=1e-7, atol=1e-9 * np.abs(expected).max())


def test_hard_edge_of_the_neighbours():
    # Atoms count up to r_cut + 3.717 sigma, whatever the basis.
    soap = SOAP(species=["H"], r_cut=3.0, n_max=3, l_max=2, sigma=0.4)
    edge = 3.0 + REACH * 0.4
    isolated = soap.create(Atoms("H"))
    for distance, counts in (
        (edge * (1 - 1e-7), True),
        (edge * (1 + 1e-12), False),
        (edge * (1 + 1e-7), False),
    ):
        pair = soap.create(Atoms("H2", positions=[[0, 0, 0], [0, 0, distance]]), centers=[0])
        assert (np.abs(pair - isolated).max() > 0) == counts


# Options against plain SOAP ------------------------------------------------------------------------------------

COMMON = {"species": ["H", "C", "N", "O"], "r_cut": 4.0, "n_max": 4, "l_max": 3, "sigma": 0.5}


def test_identity_embedding_is_plain_soap(molecules):
    plain = SOAP(**COMMON).create(molecules)
    mixed = SOAP(**COMMON, species_embedding=np.eye(4)).create(molecules)
    for a, b in zip(plain, mixed, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12 * np.abs(a).max())


def test_one_column_of_weights_is_mu2(molecules):
    weights = {"H": 0.5, "C": 1.5, "N": 2.0, "O": 0.7}
    mu2 = SOAP(**COMMON, compression={"mode": "mu2", "species_weighting": weights}).create(molecules)
    column = SOAP(**COMMON, species_embedding=np.array([[0.5], [1.5], [2.0], [0.7]])).create(molecules)
    for a, b in zip(mu2, column, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13)


def test_embedding_mixes_densities():
    # p of mixed channels from p of plain SOAP: p_kk' = sum_ZZ' W_Zk W_Z'k' p_ZZ'.
    atoms, W = molecule("CH3CH2OH"), np.random.default_rng(0).normal(size=(3, 2))
    args = COMMON | {"species": ["H", "C", "O"]}
    plain, n, L = SOAP(**args), 4, 4
    X = plain.create(atoms)
    full = np.zeros((len(X), 3, 3, L, n, n))
    upper = np.triu_indices(n)
    for a, b in itertools.combinations_with_replacement(range(3), 2):
        block = X[:, plain.get_location((["H", "C", "O"][a], ["H", "C", "O"][b]))].reshape(len(X), L, -1)
        if a == b:
            full[:, a, a][..., upper[0], upper[1]] = block
            full[:, a, a][..., upper[1], upper[0]] = block
        else:
            full[:, a, b] = block.reshape(len(X), L, n, n)
            full[:, b, a] = full[:, a, b].swapaxes(-1, -2)
    mixed = np.einsum("ak,bj,iablnm->ikjlnm", W, W, full)
    expected = np.concatenate(
        [
            mixed[:, 0, 0][..., upper[0], upper[1]].reshape(len(X), -1),
            mixed[:, 0, 1].reshape(len(X), -1),
            mixed[:, 1, 1][..., upper[0], upper[1]].reshape(len(X), -1),
        ],
        axis=1,
    )
    features = SOAP(**args, species_embedding=W).create(atoms)
    np.testing.assert_allclose(features, expected, rtol=1e-10, atol=1e-12 * np.abs(expected).max())


def test_element_embedding_keeps_many_species_small():
    species = list(range(1, 61))
    soap = SOAP(species=species, r_cut=4.0, n_max=6, l_max=4, species_embedding=ElementEmbedding(4))
    assert soap.get_number_of_features() == 4 * 6 * (4 * 6 + 1) // 2 * 5 == len(soap.get_feature_names_out())
    plain = SOAP(species=species, r_cut=4.0, n_max=6, l_max=4)
    assert plain.get_number_of_features() > 300_000
    assert soap.create([molecule("CH3CH2OH"), bulk("Cu", cubic=True)])[1].shape == (4, 1500)


def test_averages_are_averages(molecules):
    for atoms in molecules:
        rows = SOAP(**COMMON).create(atoms)
        outer = SOAP(**COMMON, average="outer").create(atoms)
        pooled = SOAP(**COMMON, pooling="mean").create(atoms)
        np.testing.assert_allclose(outer, rows.mean(axis=0), rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(outer, pooled, rtol=1e-12, atol=1e-13)
        inner = SOAP(**COMMON, average="inner").create(atoms, centers=[0])
        np.testing.assert_allclose(inner, rows[0], rtol=1e-12, atol=1e-13)


def test_averages_of_many_centres_do_not_depend_on_threads():
    atoms = bulk("NaCl", "rocksalt", 5.64, cubic=True).repeat((5, 4, 4))
    atoms.rattle(0.1, seed=0)
    args = {"species": ["Na", "Cl"], "r_cut": 3.0, "n_max": 3, "l_max": 3, "sigma": 0.4, "periodic": True}
    rows = SOAP(**args).create(atoms)
    for average in ("inner", "outer"):
        one, three = (SOAP(**args, average=average).create([atoms, atoms], n_jobs=n) for n in (1, 3))
        np.testing.assert_array_equal(one, three)
        if average == "outer":
            np.testing.assert_allclose(one[0], rows.mean(axis=0), rtol=1e-11)


def test_inner_average_by_quadrature():
    atoms = Atoms("OH", positions=[[0.0, 0, 0], [0.5, 0.6, 0.4]])
    n_max, l_max = 3, 2
    soap = SOAP(species=["H", "O"], r_cut=3.0, n_max=n_max, l_max=l_max, sigma=0.5, average="inner")
    c = [
        sum(naive_coefficients("gto", [atoms.positions[z] - r], n_max, l_max, 3.0, 0.5) for r in atoms.positions) / 2
        for z in (1, 0)
    ]
    expected = np.concatenate([naive_power(c[0], c[0], True), naive_power(*c, False), naive_power(c[1], c[1], True)])
    np.testing.assert_allclose(soap.create(atoms), expected, rtol=1e-7, atol=1e-9 * np.abs(expected).max())


def test_weightings():
    # Two atoms, the second at distance r: its density is scaled by w(r), the centre's own by w(0) or w0.
    r, args = 1.3, COMMON | {"species": ["H", "O"]}
    atoms = Atoms("OH", positions=[[0, 0, 0], [r, 0, 0]])
    plain = SOAP(**args).create(atoms, centers=[0])[0]
    soap = SOAP(**args)
    x = r / 2.5
    for weighting, w, own in [
        ({"function": "poly", "r0": 2.5, "m": 3, "c": 2.0}, 2 * (1 + 2 * x**3 - 3 * x**2) ** 3, 2.0),
        ({"function": "pow", "r0": 2.5, "m": 4, "c": 2.0, "d": 0.5}, 2 / (0.5 + x**4), 4.0),
        ({"function": "exp_decay", "r0": 2.5, "c": 2.0, "d": 0.5}, 2 / (0.5 + np.exp(x)), 2 / 1.5),
        ({"function": "pow", "r0": 2.5, "m": 4, "d": 0.0, "w0": 0.25}, 1 / x**4, 0.25),
        ({"w0": 0.5}, 1.0, 0.5),
        ({"w0": 0.0}, 1.0, 0.0),
    ]:
        weighted = SOAP(**args, weighting=weighting).create(atoms, centers=[0])[0]
        for pair, factor in ((("H", "H"), w * w), (("H", "O"), w * own), (("O", "O"), own * own)):
            where = soap.get_location(pair)
            np.testing.assert_allclose(weighted[where], factor * plain[where], rtol=1e-9, atol=1e-13)


def test_exp_weighting_is_that_of_dscribe_and_warns():
    atoms = Atoms("OH", positions=[[0, 0, 0], [1.3, 0, 0]])
    soap = SOAP(**COMMON, weighting={"function": "exp", "r0": 2.0, "c": 1.0, "d": 1.0})
    with pytest.warns(UserWarning, match="'exp' grows with the distance"):
        soap.create(atoms)


def test_cutoff_from_the_weighting():
    assert SOAP(species=["H", "O"], weighting={"function": "poly", "r0": 3.5, "m": 1})._cutoff() == 3.5
    pow_ = SOAP(species=["H"], weighting={"function": "pow", "r0": 2.0, "m": 4, "c": 1.0, "d": 1.0, "threshold": 0.1})
    np.testing.assert_allclose(1 / (1 + (pow_._cutoff() / 2.0) ** 4), 0.1)
    decay = SOAP(species=["H"], weighting={"function": "exp_decay", "r0": 1.0, "c": 1.0, "d": 1.0, "threshold": 0.01})
    np.testing.assert_allclose(1 / (1 + np.exp(decay._cutoff())), 0.01)


def test_smooth_cutoff_is_continuous():
    args = {"species": ["H"], "r_cut": 3.0, "n_max": 4, "l_max": 3, "sigma": 0.5, "cutoff_width": 0.7}
    soap = SOAP(**args)
    alone = soap.create(Atoms("H"))[0]

    def features(r):
        return soap.create(Atoms("H2", positions=[[0, 0, 0], [0, 0, r]]), centers=[0])[0]

    assert np.abs(features(3.0 - 1e-6) - alone).max() < 1e-10 * np.abs(alone).max()
    np.testing.assert_array_equal(features(3.0 + 1e-6), alone)
    # Before the transition nothing changes; inside it the density is scaled by the cosine.
    hard = SOAP(**{**args, "cutoff_width": None}).create(Atoms("H2", positions=[[0, 0, 0], [0, 0, 2.2]]), centers=[0])
    # The table reaches to another distance, so only the table's error may differ.
    np.testing.assert_allclose(features(2.2), hard[0], rtol=1e-8, atol=1e-9 * np.abs(hard).max())
    r = np.linspace(1.8, 3.2, 400)
    curve = np.array([features(x) for x in r])
    slope = np.diff(curve, axis=0) / np.diff(r)[:, None]
    assert np.abs(np.diff(slope, axis=0)).max() < 0.05 * np.abs(slope).max()  # no jump of the derivative


# Invariances ---------------------------------------------------------------------------------------------------


def relative(a, b):
    return np.abs(a - b).max() / np.abs(b).max()


@pytest.mark.parametrize("rbf", ["gto", "polynomial"])
@pytest.mark.parametrize("l_max", [2, 6, 12, 20])
def test_rotation_and_reflection(rbf, l_max):
    rng = np.random.default_rng(1)
    atoms = molecule("CH3CH2OH")
    soap = SOAP(species=["H", "C", "O"], r_cut=4.0, n_max=4, l_max=l_max, sigma=0.5, rbf=rbf)
    before = soap.create(atoms)
    for rotation in Rotation.random(3, random_state=rng).as_matrix():
        for improper in (1, -1):
            turned = atoms.copy()
            turned.positions = atoms.positions @ rotation.T * improper + rng.normal(size=3) * 30
            assert relative(soap.create(turned), before) < 1e-10


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_periodic_invariances(seed):
    """Choice of cell, supercell, order of atoms, and atoms outside the cell change nothing."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 5))
    cell = np.diag(rng.uniform(2.5, 4.5, 3)) + rng.uniform(-0.8, 0.8, (3, 3))
    atoms = Atoms(rng.choice([11, 17], n), scaled_positions=rng.random((n, 3)), cell=cell, pbc=True)
    soap = SOAP(species=["Na", "Cl"], r_cut=3.0, n_max=3, l_max=4, sigma=0.5, periodic=True)
    before = soap.create(atoms)
    outside = atoms.copy()
    outside.positions += rng.integers(-3, 4, (n, 3)) @ cell
    assert relative(soap.create(outside), before) < 1e-11
    outside.positions += rng.normal(size=3) * 5
    assert relative(soap.create(outside), before) < 1e-11
    other_cell = atoms.copy()
    other_cell.set_cell(np.array([[1, 0, 0], [2, 1, 0], [-1, 1, 1]]) @ cell)
    assert relative(soap.create(other_cell), before) < 1e-11
    assert relative(soap.create(atoms.repeat((2, 1, 2)))[:n], before) < 1e-11
    order = rng.permutation(n)
    assert relative(soap.create(atoms[order]), before[order]) < 1e-11
    points = rng.normal(size=(3, 3)) * 4
    at_points = soap.create(atoms, centers=points)
    assert relative(soap.create(outside, centers=points + outside.positions[0] - atoms.positions[0]), at_points) < 1e-10


def test_wrapped_and_unwrapped_are_the_same_to_the_last_bit(crystals):
    # The core wraps before it computes, so whole lattice translations that floating point can represent vanish.
    atoms = bulk("NaCl", "rocksalt", 4.0, cubic=True)
    moved = atoms.copy()
    moved.positions += np.random.default_rng(0).integers(-4, 4, (8, 3)) * 4.0
    soap = SOAP(species=["Na", "Cl"], r_cut=3.0, n_max=3, l_max=4, sigma=0.5, periodic=True)
    np.testing.assert_array_equal(soap.create(atoms), soap.create(moved))


def test_mu2_with_weights_does_not_depend_on_the_order_of_atoms():
    atoms = molecule("CH3CH2OH")
    order = np.random.default_rng(0).permutation(len(atoms))
    soap = SOAP(
        **COMMON,
        compression={"mode": "mu2", "species_weighting": {"H": 0.1, "C": 5.0, "N": 1.0, "O": 2.0}},
        average="outer",
    )
    np.testing.assert_allclose(soap.create(atoms), soap.create(atoms[order]), rtol=1e-12)


def test_partial_periodicity():
    slab = fcc111("Cu", (1, 1, 2), vacuum=None)
    slab.pbc = (True, True, False)
    args = {"species": ["Cu"], "r_cut": 4.0, "n_max": 3, "l_max": 3, "sigma": 0.5}
    periodic = SOAP(**args, periodic=True).create(slab)
    finite = slab.repeat((15, 15, 1))
    middle = [2 * (7 * 15 + 7), 2 * (7 * 15 + 7) + 1]
    assert relative(periodic, SOAP(**args).create(finite, centers=middle)) < 1e-11


def test_cell_smaller_than_the_cutoff():
    args = {"species": ["Cu"], "r_cut": 6.0, "n_max": 4, "l_max": 4, "periodic": True}
    primitive_cell, cubic = bulk("Cu"), bulk("Cu", cubic=True)
    # By symmetry l = 1..3 vanish to rounding.
    assert relative(SOAP(**args).create(primitive_cell)[0], SOAP(**args).create(cubic)[0]) < 1e-11


# Precision -----------------------------------------------------------------------------------------------------


def test_float32_accuracy(molecules):
    # The stated error: 1e-6 of the largest feature.
    for rbf in ("gto", "polynomial"):
        for average in ("off", "inner", "outer"):
            args = {**COMMON, "rbf": rbf, "average": average, "n_max": 5, "l_max": 6}
            for atoms in molecules:
                single = SOAP(**args, dtype="float32").create(atoms)
                double = SOAP(**args).create(atoms)
                assert single.dtype == np.float32
                assert relative(single, double) < 1e-6


@pytest.mark.parametrize("n_max", range(1, 17))
def test_every_number_of_radial_functions(n_max):
    # Each takes another path through vectors and their remainders; plain NumPy does the same from a larger basis.
    atoms = molecule("CH3CH2OH")
    args = {"species": ["H", "C", "O"], "r_cut": 6.0, "l_max": 3, "sigma": 0.5}
    for dtype, tolerance in (("float64", 1e-12), ("float32", 1e-5)):
        full = SOAP(**args, n_max=n_max, dtype=dtype)
        X = full.create(atoms)
        assert np.isfinite(X).all()
        # The order of species is that of the features: products with the total are sums over blocks.
        total = SOAP(**args, n_max=n_max, dtype=dtype, compression="mu1nu1").create(atoms)
        n, L = n_max, 4
        upper = np.triu_indices(n)
        H = np.zeros((len(X), L, n, n), dtype=X.dtype)
        block = X[:, full.get_location(("H", "H"))].reshape(len(X), L, -1)
        H[..., upper[0], upper[1]] = block
        H[..., upper[1], upper[0]] = block
        for other in ("C", "O"):
            H = H + X[:, full.get_location(("H", other))].reshape(len(X), L, n, n)
        assert relative(total[:, : L * n * n], H.reshape(len(X), -1)) < tolerance


# Bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"r_cut": -1.0}, ValueError, "r_cut must be > 0, got -1.0"),
        ({"r_cut": 1.0}, ValueError, "r_cut must be > 1 for rbf='gto', got 1"),
        ({"r_cut": None}, ValueError, "r_cut must be given"),
        ({"r_cut": "5"}, TypeError, "r_cut must be a number, got '5'"),
        ({"r_cut": np.nan}, ValueError, "r_cut must be finite, got nan"),
        ({"n_max": 0}, ValueError, "n_max must be >= 1, got 0"),
        ({"n_max": 2.0}, TypeError, "n_max must be an integer, got 2.0"),
        ({"n_max": True}, TypeError, "n_max must be an integer, got True"),
        ({"n_max": 24}, ValueError, "n_max is too large for a stable gto basis: with n_max=24"),
        ({"n_max": 18, "rbf": "polynomial"}, ValueError, "n_max is too large for a stable polynomial basis"),
        ({"l_max": -1}, ValueError, "l_max must be >= 0, got -1"),
        ({"l_max": 10**9}, ValueError, "l_max must be <= 40, got 1000000000"),
        ({"n_max": 10**9}, ValueError, "n_max must be <= 64, got 1000000000"),
        ({"n_max": 64}, ValueError, "n_max is too large for a stable gto basis"),
        ({"r_cut": 1e6}, ValueError, "sigma must not be so small against r_cut"),
        ({"sigma": 1e-6}, ValueError, "sigma must not be so small against r_cut"),
        ({"r_cut": None, "weighting": {"function": "pow", "r0": 1.0, "m": 0}}, ValueError, "weighting must decay"),
        ({"weighting": {"function": "exp", "r0": 1e-3, "d": 0}}, ValueError, "the weight at r = .* must be finite"),
        ({"species_embedding": np.full((4, 1), 1e20)}, ValueError, "species_embedding must be finite and at most 1e"),
        ({"sigma": 0}, ValueError, "sigma must be > 0, got 0"),
        ({"rbf": "spline"}, ValueError, "rbf must be one of 'gto', 'polynomial', got 'spline'"),
        ({"average": "both"}, ValueError, "average must be one of 'off', 'inner', 'outer', got 'both'"),
        (
            {"compression": "mu3"},
            ValueError,
            "compression must be one of 'off', 'mu2', 'mu1nu1', 'crossover', got 'mu3'",
        ),
        (
            {"compression": {"mode": "mu2", "weights": {}}},
            ValueError,
            r"compression takes \['mode', 'species_weighting'\], got \['weights'\]",
        ),
        (
            {"compression": {"mode": "mu2", "species_weighting": {"H": 1}}},
            ValueError,
            "weight for every species, none for",
        ),
        ({"compression": 3}, TypeError, "compression must be a mode or a dict"),
        ({"species": []}, ValueError, "species must name at least one element"),
        (
            {"species": ["H", "Qq"]},
            ValueError,
            "species must be chemical symbols or atomic numbers, got 'Qq'",
        ),
        ({"species": [1, 300]}, ValueError, "species must be atomic numbers in 1..118, got 300"),
        ({"species": "H"}, TypeError, "species must be a sequence"),
        ({"periodic": "yes"}, TypeError, "periodic must be True, False or 'auto', got 'yes'"),
        ({"dtype": "int32"}, ValueError, "dtype must be 'float64' or 'float32', got 'int32'"),
        ({"n_jobs": 0}, ValueError, "n_jobs must not be 0"),
        ({"weighting": {"function": "tanh"}}, ValueError, "weighting: function must be one of"),
        ({"weighting": {"function": "poly", "r0": 2.0}}, ValueError, r"weighting: 'poly' needs \['m'\]"),
        (
            {"weighting": {"function": "poly", "r0": -2.0, "m": 1}},
            ValueError,
            "weighting: r0 must be > 0, got -2.0",
        ),
        ({"weighting": {"function": "poly", "r0": 2.0, "m": 1, "d": 1}}, ValueError, r"takes .* got \['d'\]"),
        (
            {"weighting": {"function": "pow", "r0": 2.0, "m": 1, "d": 0}},
            ValueError,
            "weighting: the weight at r = 0 must be finite, got inf",
        ),
        ({"weighting": {"w0": -1.0}}, ValueError, "weighting: w0 must be >= 0, got -1.0"),
        ({"weighting": {}}, ValueError, "weighting must have a 'function' or only 'w0'"),
        (
            {"species_embedding": np.eye(3)},
            ValueError,
            "species_embedding must be numbers of shape .* got shape",
        ),
        ({"species_embedding": np.full((4, 2), np.nan)}, ValueError, "species_embedding must be finite"),
        ({"species_embedding": np.eye(4), "compression": "mu2"}, ValueError, "cannot be combined"),
        ({"cutoff_width": 5.0}, ValueError, "cutoff_width must be <= r_cut = 4, got 5"),
        ({"average": "outer", "pooling": "max"}, ValueError, "cannot be combined"),
        ({"pooling": "median"}, ValueError, "method"),
    ],
)
def test_bad_parameters(change, error, message):
    with pytest.raises(error, match=message):
        SOAP(**{**COMMON, **change})


def test_caller_dicts_are_not_changed():
    weighting, compression = (
        {"function": "poly", "r0": 3.0, "m": 2},
        {"mode": "mu2", "species_weighting": None},
    )
    copies = dict(weighting), dict(compression)
    SOAP(species=["H", "C", "O"], weighting=weighting, compression=compression).create(molecule("CH3CH2OH"))
    assert (weighting, compression) == copies


@pytest.mark.parametrize(
    ("centers", "error", "message"),
    [
        (
            [[0], [0]],
            ValueError,
            "centers must hold one list for each structure, got 2 lists for 3 structures",
        ),
        ([[0], [3], [0]], ValueError, "structure 1, centre 0: atom index must be in 0..2, got 3"),
        ([[0], [0, -1], [0]], ValueError, "structure 1, centre 1: atom index must be in 0..2, got -1"),
        (
            [[0], [0, [1.0, 2.0, 3.0]], [0]],
            ValueError,
            "structure 1: centers must be all atom indices or all Cartesian",
        ),
        (
            [[0], [[1.0, 2.0]], [0]],
            ValueError,
            "structure 1: centers must be atom indices or Cartesian points",
        ),
        ([[0], [[1.0, np.nan, 2.0]], [0]], ValueError, "structure 1, centre 0: position must be finite"),
        (
            [[0], [0.0, 1.0], [0]],
            TypeError,
            "structure 1: centers must be integers where they are atom indices",
        ),
        ([[0], 0, [0]], TypeError, "structure 1: centers must be a list of atom indices"),
        ([0, 1, 2], TypeError, "structure 0: centers must be a list of atom indices"),
        ("all", TypeError, "centers must be a list with one list"),
        (7, TypeError, "centers must be a list with one list"),
    ],
)
def test_bad_centres(centers, error, message):
    structures = [molecule("H2O"), molecule("NO2"), molecule("CO2")]
    with pytest.raises(error, match=message):
        SOAP(**COMMON).create(structures, centers=centers)


def test_unknown_species_and_unknown_centres_of_one_structure():
    with pytest.raises(ValueError, match="structure 1, atom 1: species must be one of H, O, got C"):
        SOAP(species=["H", "O"], r_cut=4.0).create([molecule("H2O"), molecule("CO")])
    with pytest.raises(ValueError, match=r"structure 0, centre 1: atom index must be in 0..2, got 7"):
        SOAP(**COMMON).create(molecule("H2O"), centers=[0, 7])
    with pytest.raises(ValueError, match="structure 1 must have at least one centre to average over, got none"):
        SOAP(**COMMON, average="outer").create([molecule("H2O"), molecule("CO2")], centers=[[0], []])


@pytest.mark.parametrize("change", [{}, {"sparse": True}, {"pooling": "mean"}, {"average": "outer", "sparse": True}])
def test_errors_count_structures_from_the_first_also_where_the_work_is_cut(change, monkeypatch):
    monkeypatch.setattr("atomprint.descriptors.engine.parts._CHUNK_BYTES", 1)
    soap = SOAP(**{**COMMON, "species": ["H", "O"]}, **change)
    structures = [molecule("H2O"), molecule("H2O"), molecule("H2O"), molecule("NH3")]
    with pytest.raises(ValueError, match="structure 3, atom 0: species must be one of H, O, got N"):
        soap.create(structures)
    whole = soap.create(structures[:3])
    monkeypatch.undo()
    cut = soap.create(structures[:3])
    np.testing.assert_array_equal(*(x.toarray() if hasattr(x, "toarray") else x for x in (whole, cut)))


def test_impossible_cells():
    soap = SOAP(species=["Na"], r_cut=4.0, periodic=True)
    with pytest.raises(ValueError, match="structure 1: the cutoff reaches more than 5e7 periodic images"):
        soap.create([bulk("Na"), Atoms("Na", cell=[0.02, 0.02, 0.02], pbc=True)])
    salt = SOAP(species=["Na", "Cl"], r_cut=4.0, n_max=1, l_max=0, periodic=True)
    for call in (salt.create, salt.jacobian):  # the latter takes structures of the same species together
        with pytest.raises(ValueError, match="structure 1: the cutoff reaches more than 5e7 periodic images"):
            call([bulk("NaCl", "rocksalt", 5.6), Atoms("Na", cell=[0.02, 0.02, 0.02], pbc=True)])
    for cell in ([1e-7] * 3, [1e200] * 3):
        with pytest.raises(ValueError, match="structure 0: cell must"):
            soap.create(Atoms("Na", cell=cell, pbc=True))
    with pytest.raises(ValueError, match="structure 0, atom 0: position must be finite and within 1e7"):
        soap.create(Atoms("Na", positions=[[1e15, 0, 0]], cell=[4, 4, 4], pbc=True))
    with pytest.raises(ValueError, match="structure 0, centre 0: position must be finite and within 1e7"):
        soap.create(bulk("Na"), centers=[[1e11, 0, 0]])


def test_no_centres_are_fine_without_average():
    first, second = SOAP(**COMMON).create([molecule("H2O"), molecule("NH3")], centers=[[0], []])
    assert first.shape == (1, 544)
    assert second.shape == (0, 544)


# Centres and pooling -------------------------------------------------------------------------------------------


def test_shapes_of_the_introductory_example():
    structures = [molecule("H2O"), molecule("NO2"), molecule("CO2")]
    oxygens = [[i for i, z in enumerate(m.numbers) if z == 8] for m in structures]
    soap = SOAP(species=["H", "C", "N", "O"], r_cut=5.0, n_max=8, l_max=6)
    rows = soap.create(structures, centers=oxygens, n_jobs=2)
    assert [r.shape for r in rows] == [(1, 3696), (2, 3696), (2, 3696)]
    assert np.vstack(rows).shape == (5, 3696)
    sampler = CenterSampler(species=["O"])
    for a, b in zip(rows, soap.create(structures, centers=sampler), strict=True):
        np.testing.assert_array_equal(a, b)


def test_index_centres_equal_points_at_the_atoms(crystals):
    soap = SOAP(species=["Na", "Cl"], r_cut=3.0, n_max=3, l_max=3, sigma=0.5, periodic=True, weighting={"w0": 0.3})
    for atoms in crystals:
        rows = soap.create(atoms)
        shifted = atoms.positions + atoms.cell.array.T @ [1, -2, 1]
        np.testing.assert_allclose(soap.create(atoms, centers=atoms.positions), rows, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(
            soap.create(atoms, centers=atoms.positions + [1, -2, 1] @ atoms.cell.array),
            rows,
            rtol=1e-10,
            atol=1e-12,
        )
        assert shifted.shape == atoms.positions.shape


@pytest.mark.parametrize(
    "pooling", ["mean", "sum", "max", "min", "std", ("mean", "std"), Pooling("mean", by_species=True)]
)
def test_pooling_as_argument_and_as_transformer(molecules, pooling):
    args = COMMON
    inside = SOAP(**args, pooling=pooling)
    X = inside.create(molecules)
    after = Pooling(pooling) if not isinstance(pooling, Pooling) else Pooling("mean", by_species=True)
    local = SOAP(**args).transform(molecules)
    Y = after.fit(local).transform(local)
    np.testing.assert_allclose(X, Y, rtol=1e-12, atol=1e-12)
    assert X.shape[1] == inside.get_number_of_features() == len(inside.get_feature_names_out())


def test_sparse(molecules):
    dense = SOAP(**COMMON).create(molecules)
    for a, b in zip(dense, SOAP(**COMMON, sparse=True).create(molecules), strict=True):
        np.testing.assert_array_equal(a, b.toarray())
    same = [molecules[0], molecules[1]]
    cube = SOAP(**COMMON, sparse=True).create(same)
    assert cube.shape == (2, 3, 544)
    np.testing.assert_array_equal(cube.todense(), SOAP(**COMMON).create(same))
    average = SOAP(**COMMON, sparse=True, average="outer")
    assert average.create(molecules).shape == (4, 544)
    assert average.create(molecules[0]).shape == (544,)


def test_names_and_locations():
    soap = SOAP(species=["O", "H"], r_cut=3.0, n_max=2, l_max=1)
    names = soap.get_feature_names_out()
    assert len(names) == len(set(names)) == soap.get_number_of_features() == 20
    assert names[0] == "SOAP H-H n=1 n'=1 l=0"
    assert list(names[soap.get_location(("O", "H"))]) == [
        f"SOAP H-O n={n} n'={m} l={l}" for l in (0, 1) for n in (1, 2) for m in (1, 2)
    ]
    assert soap.get_location((8, 1)) == soap.get_location(("H", "O"))
    with pytest.raises(ValueError, match="no features for C-H"):
        soap.get_location(("C", "H"))
    for mode, n in (("mu2", 6), ("crossover", 12), ("mu1nu1", 16)):
        compressed = SOAP(species=["O", "H"], r_cut=3.0, n_max=2, l_max=1, compression=mode)
        assert compressed.get_number_of_features() == len(set(compressed.get_feature_names_out())) == n
        assert compressed.create(molecule("H2O")).shape == (3, n)
        everything = slice(0, n)
        assert compressed.get_location(("O", "O")) == (everything if mode == "mu2" else slice(n // 2, n))
        if mode != "mu2":
            with pytest.raises(ValueError, match="no features for H-O with compression"):
                compressed.get_location(("H", "O"))
    with pytest.raises(ValueError, match="species must be a pair"):
        soap.get_location("OH")


def test_verbose_shows_progress(molecules, capsys):
    quiet = SOAP(**COMMON, average="outer").create(molecules)
    np.testing.assert_array_equal(SOAP(**COMMON, average="outer").create(molecules, verbose=True), quiet)
    assert capsys.readouterr().err.endswith("4 of 4 structures\n")


def test_no_warning_without_reason(molecules):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SOAP(**COMMON).create(molecules)
