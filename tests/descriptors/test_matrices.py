"""Coulomb, sine and Ewald-sum matrices: formulas, published lattice energies, invariances, bad input."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from math import erf, pi, sqrt

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from golden import naive
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from atomprint import _core
from atomprint.descriptors import CoulombMatrix, EwaldSumMatrix, SineMatrix
from atomprint.structures import Batch

ALL = (CoulombMatrix, SineMatrix, EwaldSumMatrix)
CRYSTAL = (SineMatrix, EwaldSumMatrix)
DETERMINISTIC = ("none", "sorted_l2", "eigenspectrum")

# Sums of some hundred terms of one magnitude in double precision, on either side of the comparison.
TIGHT = 1e-12


@pytest.fixture(params=_core.instruction_sets())
def instruction_set(request):
    before = _core.instruction_set()
    _core.use_instruction_set(request.param)
    yield request.param
    _core.use_instruction_set(before)


def random_crystal(rng, n_atoms, spread=1.0):
    """A triclinic crystal whose atoms keep some distance, up to `spread` cells outside of the cell."""
    edges = rng.uniform(3.0, 6.0, 3) * (1.0 + n_atoms / 6.0) ** (1 / 3)
    cell = np.diag(edges) + rng.uniform(-1.5, 1.5, (3, 3))
    while True:
        atoms = Atoms(
            numbers=rng.integers(1, 90, n_atoms),
            scaled_positions=rng.uniform(-spread, 1.0 + spread, (n_atoms, 3)),
            cell=cell,
            pbc=True,
        )
        distances = atoms.get_all_distances(mic=True) + 9.0 * np.eye(n_atoms)
        if distances.min() > 0.6:
            return atoms


def crystals(seed=0, sizes=(1, 2, 3, 5, 8, 9, 13)):
    rng = np.random.default_rng(seed)
    return [random_crystal(rng, n) for n in sizes]


def reference(descriptor, atoms, **options):
    z, r, cell = atoms.numbers.astype(np.int64), atoms.positions, atoms.cell.array
    if descriptor is CoulombMatrix:
        return naive.coulomb_matrix(z, r)
    if descriptor is SineMatrix:
        return naive.sine_matrix(z, r, cell)
    return naive.ewald_matrix(z, r, cell, **options)


def assert_close(actual, expected, tolerance=TIGHT):
    assert np.shape(actual) == np.shape(expected)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def rotation(rng):
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return q if np.linalg.det(q) > 0 else -q


# Values --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("descriptor", ALL)
@pytest.mark.parametrize("permutation", DETERMINISTIC)
def test_formula(descriptor, permutation, instruction_set):
    structures = crystals()
    X = descriptor(n_atoms_max=14, permutation=permutation).create(structures)
    expected = [naive.flatten(reference(descriptor, s), permutation, 14) for s in structures]
    for row, want in zip(X, expected, strict=True):
        assert_close(row, want)


@pytest.mark.parametrize(
    "options",
    [
        {"accuracy": 1e-3},
        {"accuracy": 1e-12},
        {"w": 3.0},
        {"a": 0.7},
        {"r_cut": 4.0, "g_cut": 4.0},
        {"r_cut": 4.0, "g_cut": 4.0, "w": 2.0},
        {"r_cut": 4.0, "g_cut": 3.0, "a": 0.6},
        {"r_cut": 0.1, "g_cut": 0.1, "a": 0.6},  # both sums empty
    ],
)
def test_ewald_options(options, instruction_set):
    structures = crystals(1, (1, 2, 6, 9))
    X = EwaldSumMatrix(9, permutation="none").create(structures, **options)
    fixed = EwaldSumMatrix(9, permutation="none", **options)
    np.testing.assert_array_equal(fixed.create(structures), X)
    np.testing.assert_array_equal(fixed.fit_transform(structures), X)
    for row, atoms in zip(X, structures, strict=True):
        assert_close(row, naive.flatten(reference(EwaldSumMatrix, atoms, **options), "none", 9))
        assert_close(fixed.get_matrix(atoms), reference(EwaldSumMatrix, atoms, **options))


def test_ewald_options_for_each_structure():
    structures = crystals(2, (2, 4))
    descriptor = EwaldSumMatrix(4)
    X = descriptor.create(structures, accuracy=[1e-2, 1e-6], a=np.array([0.4, 0.5]))
    np.testing.assert_array_equal(X[0], descriptor.create(structures[0], accuracy=1e-2, a=0.4))
    np.testing.assert_array_equal(X[1], descriptor.create(structures[1], accuracy=1e-6, a=0.5))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("r_cut", "g_cut"), [(2.82, 5.0), (5.64, 5.0), (5.0, 4.0 * pi / 5.64)])
def test_ewald_terms_at_the_cutoff_count(seed, r_cut, g_cut):
    # Rounding in a rotated cell must not decide whether a shell belongs to the sum.
    atoms = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    expected = EwaldSumMatrix(8).get_matrix(atoms, r_cut=r_cut * (1 + 1e-6), g_cut=g_cut * (1 + 1e-6), a=0.44)
    rng = np.random.default_rng(seed)
    turn = rotation(rng)
    atoms.set_cell(atoms.cell.array @ turn)
    atoms.positions = atoms.positions @ turn + rng.normal(size=3)
    assert_close(EwaldSumMatrix(8).get_matrix(atoms, r_cut=r_cut, g_cut=g_cut, a=0.44), expected)


# Energies of point charges in a uniform background, in e^2 over the radius of the sphere of one particle
# (R. A. Coldwell-Horsfall & A. A. Maradudin, J. Math. Phys. 1 (1960) 395).
PLASMA = {"sc": -0.8800594421, "bcc": -0.8959292557, "fcc": -0.8958736152}


@pytest.mark.parametrize("crystal", PLASMA)
@pytest.mark.parametrize("cubic", [True, False])
@pytest.mark.parametrize("a", [None, 0.5, 1.1])
def test_energy_of_the_one_component_plasma(crystal, cubic, a):
    atoms = bulk("H", crystal, a=3.0, cubic=cubic)
    energy = np.triu(EwaldSumMatrix(4).get_matrix(atoms, accuracy=1e-14, a=a)).sum()
    radius = (3.0 * atoms.get_volume() / (4.0 * pi * len(atoms))) ** (1 / 3)
    assert energy * radius / len(atoms) == pytest.approx(PLASMA[crystal], abs=2e-10)


@pytest.mark.parametrize(
    ("structure", "lattice", "madelung"),
    [("rocksalt", "sc", 1.7475645946331822), ("cesiumchloride", "bcc", 1.7626747730709884)],
)
def test_energy_of_binary_crystals(structure, lattice, madelung):
    # Charges m + d and m - d: a lattice of equal charges in the background, and the ionic crystal without it.
    # There is no mixed term, as the potential of equal charges is the same at all sites.
    atoms = bulk("NaCl", structure, a=4.0)
    energy = np.triu(EwaldSumMatrix(2).get_matrix(atoms, accuracy=1e-14)).sum()
    m, d = atoms.numbers.mean(), (atoms.numbers[0] - atoms.numbers[1]) / 2.0
    radius = (3.0 * atoms.get_volume() / (8.0 * pi)) ** (1 / 3)
    bond = atoms.get_distance(0, 1, mic=True)
    assert energy == pytest.approx(2 * m * m * PLASMA[lattice] / radius - d * d * madelung / bond, rel=1e-9)


@pytest.mark.parametrize("n", [1, 2, 7, 8, 60, 200])
def test_spectrum_of_large_matrices(n, instruction_set):
    rng = np.random.default_rng(n)
    atoms = Atoms(numbers=rng.integers(1, 90, n), positions=rng.uniform(0, 2 * n ** (1 / 3), (n, 3)))
    matrix = CoulombMatrix(n).get_matrix(atoms)
    values = np.linalg.eigvalsh(matrix)
    spectrum = CoulombMatrix(n + 2, permutation="eigenspectrum").create(atoms)
    assert_close(spectrum[:n], values[np.argsort(-np.abs(values))])
    np.testing.assert_array_equal(spectrum[n:], 0.0)


def test_spectrum_with_equal_and_very_different_eigenvalues():
    ring = 2.0 * pi * np.arange(12) / 12
    degenerate = Atoms("H12", positions=np.column_stack([np.cos(ring), np.sin(ring), 0 * ring]) * 3.0)
    far = Atoms("UH3", positions=[[0, 0, 0], [1e5, 0, 0], [0, 1e6, 0], [0, 0, 1e7]])
    for atoms in (degenerate, far):
        values = np.linalg.eigvalsh(CoulombMatrix(12).get_matrix(atoms))
        spectrum = CoulombMatrix(len(atoms), permutation="eigenspectrum").create(atoms)
        assert_close(spectrum, values[np.argsort(-np.abs(values))])


# Invariances ---------------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.integers(1, 9))
@settings(max_examples=25)
def test_invariances(seed, n_atoms):
    rng = np.random.default_rng(seed)
    atoms = random_crystal(rng, n_atoms)
    turn, shift, order = rotation(rng), rng.normal(scale=20.0, size=3), rng.permutation(n_atoms)
    moved = Atoms(
        numbers=atoms.numbers,
        positions=atoms.positions @ turn + shift,
        cell=atoms.cell.array @ turn,
        pbc=True,
    )
    wrapped = atoms.copy()
    wrapped.wrap()
    for descriptor in ALL:
        for permutation in ("sorted_l2", "eigenspectrum"):
            create = descriptor(n_atoms, permutation=permutation).create
            expected = create(atoms)
            # Rotated positions are rounded; the nearest pairs, 0.6 Å apart, feel 1e-15 Å as 1e-14 at most.
            assert_close(create(moved), expected, 1e-10)
            assert_close(create(atoms[order]), expected)
            if descriptor is not CoulombMatrix:
                assert_close(create(wrapped), expected)


def test_order_of_equivalent_atoms_does_not_depend_on_rounding():
    rng = np.random.default_rng(0)
    for name in ("C6H6", "CH4", "C3H6_D3h", "SiF4", "C5H8"):
        atoms = molecule(name)
        expected = CoulombMatrix(20).create(atoms)
        for _ in range(10):
            atoms.positions = atoms.positions @ rotation(rng) + rng.normal(size=3)
            assert_close(CoulombMatrix(20).create(atoms), expected)


def turned(atoms, rng):
    """The same structure, its atoms in another order, turned and moved."""
    turn = rotation(rng)
    other = atoms[rng.permutation(len(atoms))]
    other.positions = other.positions @ turn + rng.normal(size=3)
    other.cell = other.cell.array @ turn
    return other


def ring(n, radius):
    angles = 2 * np.pi * np.arange(n) / n
    return radius * np.column_stack([np.cos(angles), np.sin(angles), 0 * angles])


SYMMETRIC = {
    **{
        name: molecule(name) for name in ("C6H6", "C2H4", "C2H6", "CH3CH2OH", "CH4", "CO2", "isobutane", "C4H4O", "C60")
    },
    "ideal ring": Atoms("C6H6", np.concatenate([ring(6, 1.4), ring(6, 2.5)])),
    "two rings": Atoms("C14", np.concatenate([ring(6, 1.4), np.add(ring(8, 1.4), [0, 0, 40])])),
    "NaCl": bulk("NaCl", "rocksalt", 5.64, cubic=True),
    "64 atoms": bulk("NaCl", "rocksalt", 5.64, cubic=True) * (2, 2, 2),
    "one element": bulk("Si", "diamond", 5.43) * (2, 2, 1),
    "prism": Atoms("Cu2", [[0, 0, 0], [1.2, 2, 1]], cell=[[2.5, 0, 0], [0.4, 4, 0], [0, 0, 6]], pbc=True) * (3, 2, 1),
}


@pytest.mark.parametrize("descriptor", ALL)
@pytest.mark.parametrize("atoms", SYMMETRIC.values(), ids=SYMMETRIC)
def test_order_of_equivalent_atoms_does_not_matter(descriptor, atoms):
    if descriptor is not CoulombMatrix and not atoms.cell.volume:
        atoms = atoms.copy()
        atoms.center(vacuum=3.0)
    rng = np.random.default_rng(len(atoms))
    create = descriptor(80).create
    expected = create(atoms)
    norms = np.linalg.norm(expected.reshape(80, 80), axis=1)
    assert (np.diff(norms) <= 1e-6 * norms.max()).all()
    for _ in range(8):
        assert_close(create(turned(atoms, rng)), expected, 1e-9)
    noisy = turned(atoms, rng)
    noisy.positions += rng.uniform(-5e-10, 5e-10, noisy.positions.shape)  # as in a file with nine decimals
    assert_close(create(noisy), expected, 1e-7)


def test_canonical_order_of_any_matrix():
    rng = np.random.default_rng(4)

    def ordered(matrix):
        order = _core.canonical_order(np.ascontiguousarray(matrix), 1e-7)
        assert sorted(order) == list(range(len(matrix)))
        return matrix[np.ix_(order, order)]

    rook = [[float((a != b) and (a // 4 == b // 4 or a % 4 == b % 4)) for a in range(16)] for b in range(16)]
    steps = {(1, 0), (3, 0), (0, 1), (0, 3), (1, 1), (3, 3)}
    other = [[float(((a // 4 - b // 4) % 4, (a - b) % 4) in steps) for a in range(16)] for b in range(16)]
    # All rows of these two graphs look alike to colour refinement, and yet no symmetry takes one graph to the other.
    matrices = [
        np.kron([[1, 0], [0, 0]], rook) + np.kron([[0, 0], [0, 1]], other),
        np.ones((9, 9)),
        np.kron(np.eye(4), 1 - np.eye(3)),
    ]
    for _ in range(60):
        n = int(rng.integers(1, 9))
        half = np.triu(rng.integers(0, 3, (n, n)) * 0.5)
        matrices.append(half + half.T)
    for matrix in matrices:
        expected = ordered(matrix)
        for _ in range(4):
            order = rng.permutation(len(matrix))
            np.testing.assert_array_equal(ordered(matrix[np.ix_(order, order)]), expected)


@pytest.mark.parametrize("transform", [[[1, 7, -4], [0, 1, 9], [0, 0, 1]], [[0, 1, 0], [0, 0, 1], [1, 0, 0]]])
def test_ewald_does_not_depend_on_the_choice_of_cell(transform):
    for atoms in crystals(3, (1, 4)):
        other = Atoms(
            numbers=atoms.numbers,
            positions=atoms.positions,
            cell=np.array(transform) @ atoms.cell.array,
            pbc=True,
        )
        expected = EwaldSumMatrix(4).get_matrix(atoms)
        assert_close(EwaldSumMatrix(4).get_matrix(other), expected, 1e-11)


def test_ewald_energy_of_a_supercell():
    atoms = crystals(4, (3,))[0]
    large = atoms.repeat((2, 1, 2))
    energy, four = (np.triu(EwaldSumMatrix().fit([s]).get_matrix(s, accuracy=1e-14)).sum() for s in (atoms, large))
    assert four == pytest.approx(4 * energy, rel=1e-11)


@pytest.mark.parametrize("descriptor", CRYSTAL)
@pytest.mark.parametrize("pbc", [False, (True, False, True)])
def test_cells_repeat_whatever_pbc_says(descriptor, pbc):
    periodic = crystals(5, (4,))[0]
    other = periodic.copy()
    other.pbc = pbc
    np.testing.assert_array_equal(descriptor(4).create(other), descriptor(4).create(periodic))
    np.testing.assert_array_equal(other.pbc, pbc)


def test_coulomb_ignores_the_cell():
    atoms = crystals(6, (4,))[0]
    bare = Atoms(numbers=atoms.numbers, positions=atoms.positions)
    np.testing.assert_array_equal(CoulombMatrix(4).create(atoms), CoulombMatrix(4).create(bare))


# Shapes, formats and scikit-learn ------------------------------------------------------------------


@pytest.mark.parametrize("descriptor", ALL)
@pytest.mark.parametrize("permutation", DETERMINISTIC)
def test_list_single_threads_sparse_and_dtype_agree(descriptor, permutation, capsys):
    structures = crystals(7) * 5
    make = descriptor(n_atoms_max=14, permutation=permutation)
    X = make.create(structures)
    assert X.shape == (len(structures), make.get_number_of_features())
    assert X.dtype == np.float64
    np.testing.assert_array_equal(make.create(structures, n_jobs=3), X)
    np.testing.assert_array_equal(clone(make).set_params(n_jobs=-1).create(structures), X)
    np.testing.assert_array_equal([make.create(s) for s in structures], X)
    np.testing.assert_array_equal(make.create(structures[:1]), X[:1])
    np.testing.assert_array_equal(make.create(structures, verbose=True), X)
    assert "35 of 35 structures" in capsys.readouterr().err
    thin = clone(make).set_params(sparse=True)
    assert thin.create(structures).format == "csr"
    np.testing.assert_array_equal(thin.create(structures).toarray(), X)
    assert thin.create(structures[0]).shape == X[0].shape
    np.testing.assert_array_equal(thin.create(structures[0]).toarray(), X[0])
    single = clone(make).set_params(dtype="float32").create(structures)
    assert single.dtype == np.float32
    np.testing.assert_array_equal(single, X.astype(np.float32))


@pytest.mark.parametrize("descriptor", ALL)
def test_one_descriptor_in_two_python_threads(descriptor):
    structures = crystals(8) * 10
    make = descriptor(n_atoms_max=13)
    expected = make.create(structures)
    with ThreadPoolExecutor(2) as pool:
        for X in pool.map(make.create, [structures] * 6):
            np.testing.assert_array_equal(X, expected)


@pytest.mark.parametrize("descriptor", ALL)
def test_fit_learns_the_largest_structure(descriptor):
    structures = crystals(9, (2, 5, 3))
    make = descriptor()
    with pytest.raises(NotFittedError, match="n_atoms_max is not known"):
        make.create(structures)
    X = make.fit(structures).transform(structures)
    assert make.n_atoms_max is None
    assert make.n_atoms_max_ == 5
    np.testing.assert_array_equal(X, descriptor(5).create(structures))
    again = pickle.loads(pickle.dumps(make))
    np.testing.assert_array_equal(again.transform(structures), X)
    with pytest.raises(NotFittedError):
        clone(make).create(structures)
    assert descriptor(7).fit(structures).n_atoms_max_ == 7


@pytest.mark.parametrize("descriptor", ALL)
def test_names(descriptor):
    name = descriptor.__name__
    assert descriptor(2).get_feature_names_out().tolist() == [
        f"{name} 0,0",
        f"{name} 0,1",
        f"{name} 1,0",
        f"{name} 1,1",
    ]
    spectrum = descriptor(2, permutation="eigenspectrum")
    assert spectrum.get_feature_names_out().tolist() == [f"{name} eigenvalue 0", f"{name} eigenvalue 1"]
    assert spectrum.get_number_of_features() == 2


@pytest.mark.parametrize("descriptor", ALL)
@pytest.mark.parametrize("sparse", [False, True])
def test_matrix_and_unflatten(descriptor, sparse):
    structures = crystals(10, (2, 4))
    make = descriptor(5, permutation="none", sparse=sparse)
    matrices = make.unflatten(make.create(structures), n_systems=2)
    assert matrices.shape == (2, 5, 5)
    np.testing.assert_array_equal(make.unflatten(make.create(structures[1])), matrices[1])
    assert make.unflatten(make.create(structures[:1])).shape == (1, 5, 5)
    for atoms, matrix in zip(structures, matrices, strict=True):
        n = len(atoms)
        np.testing.assert_array_equal(make.get_matrix(atoms), matrix[:n, :n])
        np.testing.assert_array_equal(make.get_matrix([atoms]), matrix[:n, :n])
        np.testing.assert_array_equal(matrix, matrix.T)
        assert not matrix[n:].any()
        # The matrix has the order of the atoms whatever the permutation, and any size.
        np.testing.assert_array_equal(descriptor(1).get_matrix(atoms), matrix[:n, :n])


@pytest.mark.parametrize("descriptor", ALL)
def test_structures_are_left_alone(descriptor):
    atoms = crystals(11, (4,))[0]
    before = atoms.copy()
    descriptor(4).create(atoms)
    assert atoms == before
    batch = Batch.from_arrays(atoms.numbers, atoms.positions, atoms.cell.array, pbc=False)
    np.testing.assert_array_equal(descriptor(4).create(batch), descriptor(4).create(atoms))
    assert not batch.pbc.any()


# Random permutation --------------------------------------------------------------------------------


@pytest.mark.parametrize("descriptor", ALL)
def test_random_is_reproducible(descriptor):
    structures = crystals(12) * 4
    make = descriptor(13, permutation="random", sigma=100.0, seed=3)
    X = make.create(structures)
    np.testing.assert_array_equal(make.create(structures), X)
    np.testing.assert_array_equal(make.create(structures, n_jobs=2), X)
    np.testing.assert_array_equal(make.create(structures, verbose=True), X)
    np.testing.assert_array_equal(make.create(structures[:9]), X[:9])
    np.testing.assert_array_equal(make.create(structures[0]), X[0])
    np.testing.assert_array_equal(clone(make).set_params(sparse=True).create(structures).toarray(), X)
    other = clone(make).set_params(seed=4).create(structures)
    assert not np.array_equal(other, X)
    new = descriptor(13, permutation="random", sigma=100.0)
    assert not np.array_equal(new.create(structures), new.create(structures))


@pytest.mark.parametrize("descriptor", ALL)
def test_random_only_permutes(descriptor):
    structures = crystals(13)
    spectrum = descriptor(13, permutation="eigenspectrum").create(structures)
    make = descriptor(13, permutation="random", sigma=1e4, seed=0)
    for matrix, values in zip(make.unflatten(make.create(structures)), spectrum, strict=True):
        found = np.linalg.eigvalsh(matrix)
        assert_close(found[np.argsort(-np.abs(found))], values)
    little = descriptor(13, permutation="random", sigma=1e-9, seed=0)
    np.testing.assert_array_equal(little.create(structures), descriptor(13).create(structures))


def test_random_noise_is_normal():
    atoms = Atoms("CO", positions=[[0, 0, 0], [0, 0, 1.1]])
    norms = np.linalg.norm(CoulombMatrix(2).get_matrix(atoms), axis=1)
    n, sigma = 20_000, 25.0
    X = CoulombMatrix(2, permutation="random", sigma=sigma, seed=0).create([atoms] * n)
    carbon_first = (X[:, 0] == X[:, 0].min()).mean()
    expected = 0.5 * (1.0 - erf(abs(norms[1] - norms[0]) / (2.0 * sigma)))
    assert carbon_first == pytest.approx(expected, abs=4.0 * sqrt(expected / n))


# Bad input -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("descriptor", ALL)
@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"n_atoms_max": 0}, ValueError, "n_atoms_max must be >= 1, got 0"),
        ({"n_atoms_max": 2.5}, TypeError, "n_atoms_max must be an integer, got 2.5"),
        ({"n_atoms_max": True}, TypeError, "n_atoms_max must be an integer, got True"),
        ({"permutation": "sorted"}, ValueError, "permutation must be one of .*, got 'sorted'"),
        ({"permutation": "random"}, ValueError, "sigma must be given with permutation='random', got None"),
        ({"permutation": "random", "sigma": 0.0}, ValueError, "sigma must be > 0, got 0.0"),
        ({"permutation": "random", "sigma": "1"}, TypeError, "sigma must be a number, got '1'"),
        ({"sigma": 1.0}, ValueError, "sigma must be None with permutation='sorted_l2', got 1.0"),
        ({"seed": -1}, ValueError, "seed must be >= 0, got -1"),
        ({"seed": 1.5}, TypeError, "seed must be an integer, got 1.5"),
        ({"sparse": 1}, TypeError, "sparse must be True or False, got 1"),
        ({"dtype": "int32"}, ValueError, "dtype must be 'float64' or 'float32', got 'int32'"),
        ({"n_jobs": 0}, ValueError, "n_jobs must not be 0"),
    ],
)
def test_bad_parameters(descriptor, parameters, error, message):
    with pytest.raises(error, match=message):
        descriptor(**{"n_atoms_max": 3, **parameters})
    good = descriptor(3)
    with pytest.raises(error, match=message):
        good.set_params(**parameters)
    assert good.get_params() == descriptor(3).get_params()


EWALD_ERRORS = [
    ({"accuracy": 0.0}, ValueError, "accuracy must be > 0, got 0.0"),
    ({"accuracy": 1.0}, ValueError, "accuracy must be < 1, got 1"),
    ({"accuracy": float("nan")}, ValueError, "accuracy must be finite, got nan"),
    ({"accuracy": "high"}, TypeError, "accuracy must be a number, got 'high'"),
    ({"w": 0}, ValueError, "w must be > 0, got 0"),
    ({"a": -0.5}, ValueError, "a must be > 0, got -0.5"),
    ({"r_cut": 5.0}, ValueError, "r_cut and g_cut must be given together, got r_cut without g_cut"),
    ({"g_cut": 5.0}, ValueError, "r_cut and g_cut must be given together, got g_cut without r_cut"),
    ({"r_cut": -5.0, "g_cut": 1.0}, ValueError, "r_cut must be > 0, got -5.0"),
    ({"r_cut": 5.0, "g_cut": float("inf")}, ValueError, "g_cut must be finite, got inf"),
]


@pytest.mark.parametrize(("options", "error", "message"), EWALD_ERRORS)
def test_bad_ewald_options(options, error, message):
    atoms = crystals(14, (2,))
    with pytest.raises(error, match=message):
        EwaldSumMatrix(2, **options)
    with pytest.raises(error, match=message):
        EwaldSumMatrix(2).create(atoms, **options)
    with pytest.raises(error, match=message):
        EwaldSumMatrix(2).get_matrix(atoms, **options)


def test_bad_ewald_options_for_each_structure():
    structures = crystals(15, (2, 2, 2))
    with pytest.raises(ValueError, match="accuracy must have one value for each of the structures, 3, got 2"):
        EwaldSumMatrix(2).create(structures, accuracy=[1e-3, 1e-4])
    with pytest.raises(ValueError, match=r"a\[1\] must be > 0, got 0"):
        EwaldSumMatrix(2).create(structures, a=[1.0, 0.0, 1.0])
    with pytest.raises(TypeError, match="accuracy must be a number, got "):
        EwaldSumMatrix(2, accuracy=[1e-3])
    with pytest.raises(ValueError, match=r"structure 1: r_cut must reach at most 1e\+07 .* got 10000, "):
        EwaldSumMatrix(2).create(structures, r_cut=[5.0, 1e4, 5.0], g_cut=1.0)
    with pytest.raises(ValueError, match="structure 0: g_cut must reach at most"):
        EwaldSumMatrix(2).create(structures, r_cut=5.0, g_cut=1e4)
    with pytest.raises(ValueError, match="a is too small for the cell"):
        EwaldSumMatrix(2).create(structures, a=1e-200, r_cut=1.0, g_cut=1.0)


@pytest.mark.parametrize("descriptor", ALL)
def test_bad_structures(descriptor):
    good = crystals(16, (2, 3))
    make = descriptor(3)
    with pytest.raises(ValueError, match="structure 2: n_atoms_max must be >= its number of atoms, 4, got 3"):
        make.create([*good, crystals(17, (4,))[0]])
    with pytest.raises(ValueError, match="structures must hold at least one structure"):
        make.create([])
    with pytest.raises(ValueError, match="structure 1 must have at least one atom"):
        make.create([good[0], Atoms(cell=np.eye(3))])
    with pytest.raises(TypeError, match=r"structures must be .* got int"):
        make.create(3)
    with pytest.raises(TypeError, match=r"structure 1 must be .* got int"):
        make.create([good[0], 3])
    wrong = good[1].copy()
    wrong.positions[1, 2] = np.nan
    with pytest.raises(ValueError, match="structure 1, atom 1: position must be finite"):
        make.create([good[0], wrong])
    with pytest.raises(ValueError, match="structure 0, atoms 0 and 1: atoms must not coincide"):
        make.create(Atoms("H2", positions=np.zeros((2, 3)), cell=np.eye(3)))
    with pytest.raises(ValueError, match="structure must be one structure, got 2 of them"):
        make.get_matrix(good)


@pytest.mark.parametrize("descriptor", CRYSTAL)
def test_bad_cells(descriptor):
    make = descriptor(3)
    good = crystals(18, (2,))[0]
    with pytest.raises(ValueError, match=r"structure 1: .*needs a cell, got none"):
        make.create([good, molecule("H2O")])
    for pbc in (True, False):
        flat = Atoms("H", cell=[[1, 0, 0], [0, 1, 0], [1, 1, 0]], pbc=pbc)
        with pytest.raises(ValueError, match="structure 1: cell must have a non-zero volume"):
            make.create([good, flat])
        # Apart as a molecule, on top of each other as a crystal.
        images = Atoms("H2", positions=[[0, 0, 0], [2, 0, 4]], cell=[2, 2, 2], pbc=pbc)
        with pytest.raises(ValueError, match="structure 1, atoms 0 and 1: atoms must not coincide"):
            make.create([good, images])
    infinite = good.copy()
    infinite.cell[0, 0] = np.inf
    with pytest.raises(ValueError, match="structure 0: cell must be finite"):
        make.create(infinite)


@pytest.mark.parametrize("descriptor", ALL)
def test_bad_features_to_unflatten(descriptor):
    make = descriptor(3)
    with pytest.raises(ValueError, match=r"features must have shape \(9,\) or .*, got \(8,\)"):
        make.unflatten(np.zeros(8))
    with pytest.raises(ValueError, match="n_systems must be the number of rows of features, 2, got 3"):
        make.unflatten(np.zeros((2, 9)), n_systems=3)
    with pytest.raises(ValueError, match="permutation must not be 'eigenspectrum'"):
        descriptor(3, permutation="eigenspectrum").unflatten(np.zeros(3))
