"""Derivatives of Coulomb, sine and Ewald-sum matrices, against formulas and differences that share no code.

The oracle is the complex step: the imaginary part of a formula in NumPy at a position or strain moved by 1e-30 i
is its derivative to rounding, without a difference of close numbers.
"""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell, molecule
from scipy.special import erfc

from atomprint import _core
from atomprint.descriptors import CoulombMatrix, Derivatives, EwaldSumMatrix, SineMatrix
from atomprint.structures import Batch

ALL = (CoulombMatrix, SineMatrix, EwaldSumMatrix)
PERMUTATIONS = ("none", "sorted_l2", "eigenspectrum")

# Sums of some hundred terms in double precision, the largest of which cancel in part, on either side.
TIGHT = 1e-11
PARAMETERS = {"a": 0.55, "r_cut": 7.1, "g_cut": 4.3}


def random_crystal(rng, n_atoms, spread=1.0):
    """A triclinic crystal whose atoms keep some distance, up to `spread` cells outside of the cell."""
    edges = rng.uniform(3.0, 6.0, 3) * (1.0 + n_atoms / 6.0) ** (1 / 3)
    cell = np.diag(edges) + rng.uniform(-1.5, 1.5, (3, 3))
    while True:
        atoms = Atoms(
            numbers=rng.integers(1, 30, n_atoms),
            scaled_positions=rng.uniform(-spread, 1.0 + spread, (n_atoms, 3)),
            cell=cell,
            pbc=True,
        )
        if (atoms.get_all_distances(mic=True) + 9.0 * np.eye(n_atoms)).min() > 0.8:
            return atoms


def crystals(seed=0, sizes=(1, 2, 3, 5, 8, 9, 13)):
    rng = np.random.default_rng(seed)
    return [random_crystal(rng, n) for n in sizes]


def create(descriptor, call):
    out = np.empty((len(call), descriptor.get_number_of_features()), dtype=descriptor.dtype)
    descriptor._compute(call, out)
    return out


def vjp(descriptor, structures, cotangents, n_threads=1, strain=True, features=False, **options):
    """Return gradient by positions, by strain, and features; everything starts as NaN, so nothing is left out."""
    call = descriptor._call(structures, n_threads, **options)
    batch = call.batch
    positions = np.full(batch.positions.shape, np.nan)
    by_strain = np.full((len(batch), 3, 3), np.nan) if strain else None
    X = np.full(cotangents.shape, np.nan, dtype=descriptor.dtype) if features else None
    descriptor._vjp(call, cotangents, Derivatives(positions, by_strain, X))
    return positions, by_strain, X


def select(batch, picked):
    """Slots for the atoms `picked(structure)` of each structure, in that order."""
    slots = np.full(len(batch.numbers), -1, dtype=np.int64)
    for s, n in enumerate(batch.n_atoms):
        atoms = picked(n)
        slots[batch.offsets[s] + np.asarray(atoms, dtype=np.int64)] = np.arange(len(atoms))
    return slots


def jacobian(descriptor, structures, picked=range, n_threads=1, **options):
    call = descriptor._call(structures, n_threads, **options)
    call = replace(call, slots=select(call.batch, picked))
    batch, n, selection = call.batch, descriptor.get_number_of_features(), call.selection
    positions = np.zeros((selection.row_offsets[-1], 3, n), dtype=descriptor.dtype)
    strain = np.zeros((len(batch), 3, 3, n), dtype=descriptor.dtype)
    features = np.full((len(batch), n), np.nan, dtype=descriptor.dtype)
    descriptor._jacobian(call, Derivatives(positions, strain, features))
    return positions, strain, features


# Formulas, for real or complex positions and cells ---------------------------------------------------


def length(d):
    return np.sqrt((d * d).sum(axis=-1))


def coulomb_formula(z, r, cell):
    matrix = np.outer(z, z) / (length(r[:, None] - r) + np.eye(len(z)))
    matrix[np.diag_indices(len(z))] = 0.5 * z**2.4
    return matrix


def sine_formula(z, r, cell):
    s = np.sin(np.pi * (r[:, None] - r) @ np.linalg.inv(cell)) ** 2 @ cell
    matrix = np.outer(z, z) / (np.sqrt((s * s).sum(axis=-1)) + np.eye(len(z)))
    matrix[np.diag_indices(len(z))] = 0.5 * z**2.4
    return matrix


def ewald_formula(z, r, cell):
    a, r_cut, g_cut = PARAMETERS.values()
    n, index = len(z), np.stack(np.meshgrid(*[np.arange(-7, 8)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    outermost = np.abs(index).max(axis=1) == 7
    reciprocal = 2.0 * np.pi * np.linalg.inv(cell).T
    square = ((index @ reciprocal.real) ** 2).sum(axis=1)
    assert square[outermost].min() > g_cut**2
    waves = index[(square > 0.0) & (square <= g_cut**2)] @ reciprocal
    volume = np.linalg.det(cell)
    volume = volume if volume.real > 0.0 else -volume
    G2 = (waves * waves).sum(axis=1)
    weight = 4.0 * np.pi / volume * np.exp(-G2 / (4.0 * a * a)) / G2
    images = index @ cell
    matrix = np.empty((n, n), dtype=r.dtype)
    for i in range(n):
        for j in range(n):
            d = r[j] - r[i]
            distance = length(d - np.rint((d @ np.linalg.inv(cell)).real) @ cell + images)
            assert distance[outermost].real.min() > r_cut
            distance = distance[(distance.real <= r_cut) & ((i != j) | np.any(index != 0, axis=1))]
            sums = (erfc(a * distance) / distance).sum() + (weight * np.cos(waves @ d)).sum()
            sums -= np.pi / (volume * a * a)
            matrix[i, j] = z[i] * z[j] * (sums if i != j else 0.5 * sums - a / np.sqrt(np.pi))
    return matrix


FORMULAS = {CoulombMatrix: coulomb_formula, SineMatrix: sine_formula, EwaldSumMatrix: ewald_formula}


def options_of(descriptor):
    return PARAMETERS if descriptor is EwaldSumMatrix else {}


KNOWN = {}  # derivatives of a structure, which several tests ask for


def matrix_derivatives(descriptor, atoms):
    """Matrix, and its derivatives by positions (n, 3, n, n) and strain (3, 3, n, n)."""
    z, r, cell = atoms.numbers.astype(float), atoms.positions, atoms.cell.array
    key = (descriptor, z.tobytes(), r.tobytes(), cell.tobytes())
    if key not in KNOWN:
        KNOWN[key] = differentiate(FORMULAS[descriptor], z, r, cell)
    return KNOWN[key]


def differentiate(formula, z, r, cell):
    n, step = len(z), 1e-30
    positions, strain = np.empty((n, 3, n, n)), np.empty((3, 3, n, n))
    for c in range(3):
        for i in range(n):
            moved = r.astype(complex)
            moved[i, c] += step * 1j
            positions[i, c] = formula(z, moved, cell.astype(complex)).imag / step
        for b in range(3):
            e = np.eye(3, dtype=complex)
            e[c, b] += step * 1j
            strain[c, b] = formula(z, r @ e.T, cell @ e.T).imag / step
    return formula(z, r, cell), positions, strain


def expected_features(matrix, derivative, permutation, size):
    """Derivatives of the padded features, shape (..., n_features), from those of the matrix."""
    n = len(matrix)
    if permutation == "eigenspectrum":
        values, vectors = np.linalg.eigh(matrix)
        vectors = vectors[:, np.argsort(-np.abs(values))]
        out = np.zeros((*derivative.shape[:-2], size))
        out[..., :n] = np.einsum("ik,...ij,jk->...k", vectors, derivative, vectors)
        return out
    order = np.arange(n)
    if permutation == "sorted_l2":
        order = np.argsort(-np.round(np.linalg.norm(matrix, axis=1), 8), kind="stable")
    out = np.zeros((*derivative.shape[:-2], size, size))
    out[..., :n, :n] = derivative[..., order[:, None], order]
    return out.reshape(*derivative.shape[:-2], size * size)


def assert_close(actual, expected, tolerance=TIGHT):
    assert np.shape(actual) == np.shape(expected)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * max(np.abs(expected).max(), 1e-3))


# Against the formulas ---------------------------------------------------------------------------------


@pytest.mark.parametrize("permutation", PERMUTATIONS)
@pytest.mark.parametrize("descriptor", ALL)
def test_formula(descriptor, permutation, each_instruction_set):
    structures = crystals()
    model, options = descriptor(14, permutation=permutation), options_of(descriptor)
    positions, strain, features = jacobian(model, structures, **options)
    cotangents = np.random.default_rng(1).normal(size=features.shape)
    by_positions, by_strain, same = vjp(model, structures, cotangents, features=True, **options)
    X = model.create(structures, **options)
    np.testing.assert_allclose(features, X, rtol=1e-14)
    np.testing.assert_allclose(same, X, rtol=1e-14)

    first = 0
    for s, atoms in enumerate(structures):
        rows = slice(first, first + len(atoms))
        matrix, d_positions, d_strain = matrix_derivatives(descriptor, atoms)
        wanted = expected_features(matrix, d_positions, permutation, 14)
        wanted_strain = expected_features(matrix, d_strain, permutation, 14)
        assert_close(positions[rows], wanted)
        assert_close(strain[s], wanted_strain)
        assert_close(by_positions[rows], wanted @ cotangents[s])
        assert_close(by_strain[s], wanted_strain @ cotangents[s])
        first += len(atoms)


@pytest.mark.parametrize("permutation", PERMUTATIONS)
def test_molecules(permutation, each_instruction_set):
    structures = [molecule(name) for name in ("CH3CH2OH", "H2COH", "CH3CHO")]
    for atoms in structures:  # no two eigenvalues are equal
        atoms.rattle(0.05, seed=3)
    model = CoulombMatrix(9, permutation=permutation)
    positions, strain, _ = jacobian(model, structures)
    first = 0
    for s, atoms in enumerate(structures):
        matrix, d_positions, d_strain = matrix_derivatives(CoulombMatrix, atoms)
        rows = slice(first, first + len(atoms))
        assert_close(positions[rows], expected_features(matrix, d_positions, permutation, 9))
        assert_close(strain[s], expected_features(matrix, d_strain, permutation, 9))
        first += len(atoms)


@pytest.mark.parametrize("descriptor", ALL)
@pytest.mark.parametrize("permutation", PERMUTATIONS)
def test_large_structure(descriptor, permutation):
    """More atoms than rows are in memory at once, more images than in one run, more waves than in one block."""
    rng = np.random.default_rng(5)
    grid = np.indices((4, 4, 3)).reshape(3, -1).T[:43] / [4, 4, 3]
    atoms = Atoms(rng.integers(1, 9, 43), scaled_positions=grid, cell=[[10, 0, 0], [2, 9, 0], [1, -1, 8]], pbc=True)
    atoms.rattle(0.2, seed=1)
    model = descriptor(45, permutation=permutation)
    # Nearly equal eigenvalues mix, so that the derivative of each is less sharp than the matrix.
    tolerance = 1e-9 if permutation == "eigenspectrum" else TIGHT
    positions, strain, features = jacobian(model, atoms, **options_of(descriptor))
    cotangents = rng.normal(size=features.shape)
    by_positions, by_strain, _ = vjp(model, atoms, cotangents, **options_of(descriptor))
    assert_close(by_positions, positions @ cotangents[0], tolerance)
    assert_close(by_strain[0], strain[0] @ cotangents[0], tolerance)
    check_differences(model, [atoms], cotangents, by_positions, by_strain, (1e-4, 2e-5), **options_of(descriptor))


# Against differences ----------------------------------------------------------------------------------


def check_differences(model, structures, cotangents, by_positions, by_strain, steps, **options):
    """Compare with central differences along a random direction of positions and strain together.

    The error of a central difference is its third derivative times step^2 / 6, plus rounding over step.
    """
    call = model._call(structures, **options)
    batch = call.batch
    rng = np.random.default_rng(9)
    along, e = rng.normal(size=by_positions.shape), rng.normal(size=by_strain.shape)
    owner = np.repeat(np.arange(len(batch)), batch.n_atoms)

    def value(step):
        grow = np.eye(3) + step * e
        positions = np.einsum("nab,nb->na", grow[owner], batch.positions) + step * along
        cells = np.einsum("sab,skb->ska", grow, batch.cells)
        moved = Batch(batch.numbers, positions, batch.offsets, np.ascontiguousarray(cells), batch.pbc)
        return (create(model, replace(call, batch=moved)) * cotangents).sum(axis=1)

    expected = np.bincount(owner, (by_positions * along).sum(axis=1)) + (by_strain * e).sum(axis=(1, 2))
    scale = np.bincount(owner, np.abs(by_positions).sum(axis=1)) + np.abs(by_strain).sum(axis=(1, 2))
    assert (scale > 0.0).all()
    errors = [np.abs((value(h) - value(-h)) / (2.0 * h) - expected) / scale for h in steps]
    assert errors[0].max() < 1e-5
    assert errors[1].max() < 1e-6


@pytest.mark.parametrize("permutation", PERMUTATIONS)
@pytest.mark.parametrize(
    ("descriptor", "options"),
    [
        (CoulombMatrix, {}),
        (SineMatrix, {}),
        (EwaldSumMatrix, {"accuracy": 1e-14}),  # so that a pair that enters the sum is below rounding
        (EwaldSumMatrix, {"accuracy": 1e-14, "w": 5.0}),
        (EwaldSumMatrix, {"accuracy": 1e-14, "a": [0.4, 0.5, 0.6]}),
        (EwaldSumMatrix, PARAMETERS),
    ],
)
def test_differences(descriptor, options, permutation, each_instruction_set):
    structures = crystals(3, (2, 4, 7))
    model = descriptor(8, permutation=permutation)
    cotangents = np.random.default_rng(2).normal(size=(3, model.get_number_of_features()))
    by_positions, by_strain, _ = vjp(model, structures, cotangents, **options)
    check_differences(model, structures, cotangents, by_positions, by_strain, (1e-4, 1e-5), **options)


@pytest.mark.parametrize("permutation", PERMUTATIONS)
def test_differences_find_what_is_missing(permutation):
    """The comparison above is sharp enough: it fails where a thousandth of a derivative is wrong."""
    structures = crystals(3, (2, 4, 7))
    model = EwaldSumMatrix(8, permutation=permutation)
    cotangents = np.random.default_rng(2).normal(size=(3, model.get_number_of_features()))
    by_positions, by_strain, _ = vjp(model, structures, cotangents, accuracy=1e-14)
    for wrong in ((by_positions, 0.999 * by_strain), (1.001 * by_positions, by_strain)):
        with pytest.raises(AssertionError):
            check_differences(model, structures, cotangents, *wrong, (1e-4, 1e-5), accuracy=1e-14)


# Physics ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("permutation", PERMUTATIONS)
@pytest.mark.parametrize("descriptor", ALL)
def test_translation_and_rotation(descriptor, permutation):
    structures = crystals(4, (3, 8))
    model = descriptor(8, permutation=permutation)
    positions, strain, _ = jacobian(model, structures)
    for rows in (slice(0, 3), slice(3, 11)):
        total = positions[rows].sum(axis=0)
        assert np.abs(total).max() < 1e-12 * np.abs(positions[rows]).max()
    assert_close(strain, strain.transpose(0, 2, 1, 3), 1e-15)  # turning positions and cell together
    if descriptor is CoulombMatrix:  # no cell: strain is a motion of the atoms
        assert_close(strain[1], np.einsum("iaf,ib->abf", positions[3:], structures[1].positions))


def energy_weights(n):
    """Cotangents whose product with the unsorted Ewald matrix is the energy of the cell."""
    return np.triu(np.ones((n, n))).reshape(1, -1)


def test_energy_does_not_depend_on_screening():
    atoms = crystals(6, (5,))[0]
    model = EwaldSumMatrix(5, permutation="none")
    results = [vjp(model, atoms, energy_weights(5), accuracy=1e-14, a=a) for a in (0.3, 0.5, 0.8)]
    for positions, strain, _ in results[1:]:
        assert_close(positions, results[0][0])
        assert_close(strain, results[0][1])


@pytest.mark.parametrize("permutation", ["none", "sorted_l2", "eigenspectrum"])
def test_default_screening_follows_the_volume(permutation):
    """However coarse the sums: a larger copy of a crystal has the same terms, with another screening."""
    atoms = crystals(6, (5,))[0]
    model = EwaldSumMatrix(6, permutation=permutation, accuracy=1e-2)

    def scaled(factor):
        copy = atoms.copy()
        copy.set_cell(copy.cell * factor, scale_atoms=True)
        return model.create(copy)

    h = 1e-4
    expected = (scaled(1 + h) - scaled(1 - h)) / (2 * h)
    strain = model.derivatives(atoms, wrt="strain", return_descriptor=False)
    assert_close(np.trace(strain), expected, 1e-7)
    cotangents = np.linspace(-1.0, 1.0, len(expected))
    gradient = model.vjp(atoms, cotangents, wrt="strain")
    assert_close(gradient.strain, strain @ cotangents, 1e-12)


@pytest.mark.parametrize("shape", [[[2, 0, 0], [0, 1, 0], [0, 0, 1]], [[1, 1, 0], [0, 2, 0], [-1, 0, 2]]])
def test_supercell(shape):
    atoms = crystals(7, (4,))[0]
    n = round(np.linalg.det(shape))
    large = make_supercell(atoms, shape, order="atom-major")
    assert len(large) == 4 * n
    small = EwaldSumMatrix(4, permutation="none")
    forces, strain, _ = vjp(small, atoms, energy_weights(4), accuracy=1e-14)
    many = EwaldSumMatrix(4 * n, permutation="none")
    all_forces, all_strain, _ = vjp(many, large, energy_weights(4 * n), accuracy=1e-14)
    assert_close(all_forces, np.repeat(forces, n, axis=0))
    assert_close(all_strain, n * strain)


def test_pressure_of_a_lattice():
    """The energy of a cubic lattice goes with the inverse of its edge, so the strain is -E / 3 times one."""
    for atoms in (bulk("Cu"), bulk("NaCl", "rocksalt", a=5.64), bulk("NaCl", "cesiumchloride", a=3.4)):
        n = len(atoms)
        model = EwaldSumMatrix(n, permutation="none")
        _, strain, X = vjp(model, atoms, energy_weights(n), features=True, accuracy=1e-14)
        assert_close(strain[0], -(X @ energy_weights(n)[0])[0] / 3.0 * np.eye(3))


@pytest.mark.parametrize("permutation", PERMUTATIONS)
@pytest.mark.parametrize("descriptor", [SineMatrix, EwaldSumMatrix])
def test_choice_of_image(descriptor, permutation):
    atoms = crystals(8, (6,))[0]
    moved = atoms.copy()
    moved.positions += np.random.default_rng(1).integers(-3, 4, (6, 3)) @ atoms.cell.array
    model = descriptor(6, permutation=permutation)
    cotangents = np.random.default_rng(2).normal(size=(1, model.get_number_of_features()))
    for a, b in zip(vjp(model, atoms, cotangents)[:2], vjp(model, moved, cotangents)[:2], strict=True):
        assert_close(a, b)


# Equal rows and equal eigenvalues -----------------------------------------------------------------------


def orders_that_give(matrix, features, found=()):
    """Yield all orders of the atoms in which the matrix is that of the features: several, where there is symmetry."""
    n = len(found)
    if n == len(matrix):
        yield list(found)
    for atom in set(range(len(matrix))) - set(found):
        here = [*found, atom]
        if n < len(matrix) and np.abs(matrix[atom, here] - features[n, : n + 1]).max() < 1e-9 * matrix.max():
            yield from orders_that_give(matrix, features, here)


@pytest.mark.parametrize("name", ["CH4", "C6H6", "CO2"])
def test_sorted_with_equivalent_atoms(name):
    """The derivative is that of the order that the features have."""
    atoms = molecule(name)
    n = len(atoms)
    model = CoulombMatrix(n, permutation="sorted_l2")
    positions, strain, features = jacobian(model, atoms)
    matrix, d_positions, d_strain = matrix_derivatives(CoulombMatrix, atoms)
    norms = np.linalg.norm(features.reshape(n, n), axis=1)
    assert (np.diff(norms) < 1e-6 * norms.max()).all()
    orders = list(orders_that_give(matrix, features.reshape(n, n)))
    assert len(orders) > 1
    of_some_order = []
    for order in orders:
        pair = np.ix_(order, order)
        wanted = [(positions, d_positions), (strain[0], d_strain)]
        of_some_order.append(
            all(
                np.abs(got.reshape(*got.shape[:-1], n, n) - d[..., pair[0], pair[1]]).max() < 1e-10 * np.abs(d).max()
                for got, d in wanted
            )
        )
    assert any(of_some_order)


@pytest.mark.parametrize("name", ["CH4", "C6H6", "CO2"])
def test_equal_eigenvalues(name, each_instruction_set):
    """What treats equal eigenvalues alike is differentiable: here powers, traces of powers of the matrix."""
    atoms = molecule(name)
    n = len(atoms)
    matrix, d_positions, d_strain = matrix_derivatives(CoulombMatrix, atoms)
    values = np.linalg.eigvalsh(matrix)
    assert name == "CO2" or np.diff(values).min() < 1e-6 * np.abs(values).max()
    model = CoulombMatrix(n + 2, permutation="eigenspectrum")
    X = model.create(atoms)[None]
    for power in (1, 2, 3):
        weights = power * np.linalg.matrix_power(matrix, power - 1)
        by_positions, by_strain, _ = vjp(model, atoms, power * X ** (power - 1))
        # Not the result, which is a sum that cancels, but its terms set the scale of rounding.
        scale = np.abs(weights).max() * np.abs(d_positions).max()
        wanted = np.einsum("iaxy,xy->ia", d_positions, weights), np.einsum("abxy,xy->ab", d_strain, weights)
        np.testing.assert_allclose(by_positions, wanted[0], rtol=0, atol=TIGHT * scale)
        np.testing.assert_allclose(by_strain[0], wanted[1], rtol=0, atol=TIGHT * scale)


def test_equal_eigenvalues_as_a_set():
    """The sum over a set of equal eigenvalues, against differences of that sum."""
    atoms = molecule("CH4")
    model = CoulombMatrix(5, permutation="eigenspectrum")
    X = model.create(atoms)
    members = np.isclose(X, X[np.argmin(np.abs(np.diff(X)))], rtol=1e-4)
    assert members.sum() == 3
    cotangents = members[None].astype(float)
    by_positions, by_strain, _ = vjp(model, atoms, cotangents)
    check_differences(model, [atoms], cotangents, by_positions, by_strain, (1e-4, 2e-5))


@pytest.mark.parametrize("shift", [3.0, 30.0, 1e5])
def test_many_eigenvectors(shift, each_instruction_set):
    """Copies of one molecule, coupled strongly, weakly and not at all: sets of nearly equal eigenvalues."""
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.05, seed=2)
    copies = atoms.copy()
    for k in range(1, 8):
        moved = atoms.copy()
        moved.positions += np.array([k % 2, k // 2 % 2, k // 4]) * shift
        copies += moved
    spectrum, plain = CoulombMatrix(72, permutation="eigenspectrum"), CoulombMatrix(72, permutation="none")
    matrix, values = plain.create(copies).reshape(72, 72), spectrum.create(copies)
    assert_close(np.sort(values), np.linalg.eigvalsh(matrix), 1e-13)
    for power in (2, 3):  # of the matrix, by its eigenvalues and by its elements
        weights = power * np.linalg.matrix_power(matrix, power - 1)
        a = vjp(spectrum, copies, power * values[None] ** (power - 1))
        b = vjp(plain, copies, weights.reshape(1, -1))
        assert_close(a[0], b[0])
        assert_close(a[1], b[1])


def test_far_and_single_atoms():
    """Atoms without a partner, and a matrix that is diagonal already."""
    alone = Atoms("O", positions=[[1.0, 2.0, 3.0]])
    apart = Atoms("HO", positions=[[0.0, 0.0, 0.0], [0.0, 9e6, 0.0]])
    for permutation in PERMUTATIONS:
        model = CoulombMatrix(3, permutation=permutation)
        positions, strain, _ = vjp(model, [alone, apart], np.ones((2, model.get_number_of_features())))
        assert np.abs(positions).max() < 1e-12
        assert np.abs(strain).max() < 1e-5
        np.testing.assert_array_equal(positions[0], 0.0)


# Form ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("permutation", PERMUTATIONS)
@pytest.mark.parametrize("descriptor", ALL)
def test_padding(descriptor, permutation):
    structures = crystals(11, (2, 7))
    tight, wide = descriptor(7, permutation=permutation), descriptor(20, permutation=permutation)
    small, large = jacobian(tight, structures), jacobian(wide, structures)
    for a, b in zip(small, large, strict=True):
        if permutation == "eigenspectrum":
            padded = np.zeros(b.shape)
            padded[..., :7] = a
        else:
            padded = np.zeros((*b.shape[:-1], 20, 20))
            padded[..., :7, :7] = a.reshape(*a.shape[:-1], 7, 7)
        np.testing.assert_array_equal(b, padded.reshape(b.shape))
    # Cotangents of the padding have no effect.
    cotangents = np.random.default_rng(0).normal(size=(2, wide.get_number_of_features()))
    cotangents[large[2] == 0.0] = 1e6
    with_padding = vjp(wide, structures, cotangents)
    cotangents[large[2] == 0.0] = 0.0
    for a, b in zip(with_padding[:2], vjp(wide, structures, cotangents)[:2], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("permutation", PERMUTATIONS)
@pytest.mark.parametrize("descriptor", ALL)
def test_selection(descriptor, permutation):
    structures = crystals(12, (1, 6, 40))
    model = descriptor(40, permutation=permutation)
    everything = jacobian(model, structures)[0]
    first = np.array([0, 1, 7])

    def picked(n):
        return [] if n == 1 else [4, 1, 3] if n == 6 else [0, 39, 17, 38]

    some = jacobian(model, structures, picked)[0]
    expected = [everything[first[s] + i] for s, atoms in enumerate(structures) for i in picked(len(atoms))]
    np.testing.assert_array_equal(some, expected)


@pytest.mark.parametrize("permutation", PERMUTATIONS)
@pytest.mark.parametrize("descriptor", ALL)
def test_threads_change_nothing(descriptor, permutation):
    structures = crystals(13, (3, 9, 1, 5, 12, 2))
    model = descriptor(12, permutation=permutation)
    cotangents = np.random.default_rng(0).normal(size=(6, model.get_number_of_features()))
    for a, b in zip(jacobian(model, structures), jacobian(model, structures, n_threads=3), strict=True):
        np.testing.assert_array_equal(a, b)
    serial = vjp(model, structures, cotangents, features=True)
    for a, b in zip(serial, vjp(model, structures, cotangents, 3, features=True), strict=True):
        np.testing.assert_array_equal(a, b)
    for s, atoms in enumerate(structures):  # alone as in a batch
        alone = vjp(model, atoms, cotangents[s : s + 1])
        np.testing.assert_array_equal(alone[1][0], serial[1][s])
    assert_close(vjp(model, structures, cotangents, strain=False)[0], serial[0], 1e-13)


@pytest.mark.parametrize("permutation", PERMUTATIONS)
@pytest.mark.parametrize("descriptor", ALL)
def test_float32(descriptor, permutation):
    """Everything is computed in double precision, and rounded once."""
    structures = crystals(14, (2, 8))
    single, double = descriptor(9, permutation=permutation, dtype="float32"), descriptor(9, permutation=permutation)
    cotangents = np.random.default_rng(0).normal(size=(2, double.get_number_of_features())).astype(np.float32)
    for a, b in zip(jacobian(single, structures), jacobian(double, structures), strict=True):
        assert a.dtype == np.float32
        np.testing.assert_array_equal(a, b.astype(np.float32))
    wide = vjp(double, structures, cotangents.astype(np.float64), features=True)
    narrow = vjp(single, structures, cotangents, features=True)
    for a, b in zip(narrow[:2], wide[:2], strict=True):
        assert a.dtype == np.float64
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(narrow[2], wide[2].astype(np.float32))


def test_options_of_constructor_and_call():
    structures = crystals(15, (2, 4))
    cotangents = np.random.default_rng(0).normal(size=(2, 16))
    given = vjp(EwaldSumMatrix(4), structures, cotangents, **PARAMETERS)
    fixed = vjp(EwaldSumMatrix(4, **PARAMETERS), structures, cotangents)
    default = vjp(EwaldSumMatrix(4), structures, cotangents)
    np.testing.assert_array_equal(given[0], fixed[0])
    np.testing.assert_array_equal(given[1], fixed[1])
    assert np.abs(given[0] - default[0]).max() > 0.0


@pytest.mark.parametrize("descriptor", ALL)
def test_random_has_no_derivative(descriptor):
    model = descriptor(4, permutation="random", sigma=1.0, seed=0)
    with pytest.raises(ValueError, match=r"permutation must not be 'random' for derivatives.*got 'random'"):
        model._check_differentiable()
    structures = crystals(0, (2,))
    with pytest.raises(ValueError, match="random"):
        vjp(model, structures, np.ones((1, 16)))
    with pytest.raises(ValueError, match="random"):
        jacobian(model, structures)
    for permutation in PERMUTATIONS:
        model = descriptor(4, permutation=permutation)
        model._check_differentiable()
        model.derivatives(structures, method="analytical")


def test_core_checks_shapes():
    """Whatever Python passes, the core writes within the arrays."""
    batch = Batch.from_arrays([1, 8], [[0, 0, 0], [0, 0, 1.0]])
    none, coulomb, two = _core.Permutation.none, _core.MatrixKind.coulomb, np.array([0, 2])
    vectors, tensors, slots = np.zeros((2, 3, 4)), np.zeros((1, 3, 3, 4)), np.array([0, 1])

    def contract(cotangents=(1, 4), positions=(2, 3), strain=(1, 3, 3), features=(1, 4), size=2):
        arrays = [np.zeros(shape) for shape in (cotangents, positions, strain, features)]
        _core.matrix_vjp(coulomb, batch.core(), None, *arrays, size, none, 1)

    contract()
    for wrong in (
        {"cotangents": (1, 5)},
        {"positions": (3, 3)},
        {"strain": (2, 3, 3)},
        {"features": (2, 4)},
        {"cotangents": (1, 1), "features": (1, 1), "size": 1},
    ):
        with pytest.raises(ValueError, match=r"must have|more atoms"):
            contract(**wrong)

    def dense(slots=slots, rows=two, vectors=vectors, tensors=tensors):
        _core.matrix_jacobian(
            _core.MatrixKind.coulomb, batch.core(), None, slots, rows, vectors, tensors, None, 2, none, 1
        )

    dense()
    for wrong in (
        {"slots": np.array([0, 2])},
        {"slots": np.array([0])},
        {"rows": np.array([0, 3])},
        {"rows": np.array([-1, 2])},
        {"rows": np.array([0])},
        {"vectors": np.zeros((2, 3, 5))},
        {"tensors": np.zeros((2, 3, 3, 4))},
    ):
        with pytest.raises(ValueError, match="must"):
            dense(**wrong)


@pytest.mark.parametrize("options", [{"accuracy": 1e-12}, {"a": 0.6, "r_cut": 12.0, "g_cut": 8.0}])
def test_ewald_strain_of_one_atom_in_triclinic_cells(options):
    rng = np.random.default_rng(3)
    model = EwaldSumMatrix(1, **options)
    for _ in range(12):
        cell = np.diag(rng.uniform(3, 6, 3)) + rng.uniform(-1, 1, (3, 3))
        atoms = Atoms(rng.integers(1, 60, 1), rng.uniform(0, 3, (1, 3)), cell=cell, pbc=True)
        strain = model.derivatives(atoms, wrt="strain", return_descriptor=False)[..., 0]
        steps = [sign * 1e-5 * np.outer(*np.eye(3)[[i, j]]) for i in range(3) for j in range(3) for sign in (1, -1)]
        moved = [
            Atoms(atoms.numbers, atoms.positions @ (np.eye(3) + e).T, cell=cell @ (np.eye(3) + e).T, pbc=True)
            for e in steps
        ]
        high, low = model.create(moved)[:, 0].reshape(3, 3, 2).transpose(2, 0, 1)
        np.testing.assert_allclose(strain, (high - low) / 2e-5, atol=1e-8 * np.abs(strain).max())
