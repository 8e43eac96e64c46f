"""Sparse Gaussian processes on SOAP against sums written out in NumPy on the features themselves."""

import pickle

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from sklearn.base import clone

from atomprint.descriptors import SOAP
from atomprint.potentials import LabelledStructures, Solver, SparseGP, load_potential
from atomprint.potentials.gap import PreparedSoapKernel, SoapKernel, SparsePoints, feature_weights
from atomprint.potentials.terms.cutoff import typical_cutoff
from atomprint.potentials.terms.term import VOIGT, Training, row_offsets
from atomprint.potentials.terms.two_body import PairKernel, PreparedPairKernel
from atomprint.structures import StructureError, as_batch


def structures():
    """Return molecules, a small triclinic cell of two species, a lone atom, and an elongated cell."""
    triclinic = bulk("C", "diamond", a=3.6)
    triclinic.symbols[:] = "CO"
    triclinic.rattle(0.1, seed=1)
    shear = np.array([[0.1, 0.0, 0.2], [0.0, -0.1, 0.1], [0.3, 0.0, 0.0]])
    triclinic.set_cell(triclinic.cell + shear, scale_atoms=True)
    long = bulk("C", cubic=True) * (3, 1, 1)
    long.rattle(0.1, seed=2)
    alone = molecule("H2O")[:1]
    return [molecule("CH3OH"), triclinic, alone, long]


def prepared(zeta, dimension_of=None, n=30, **parameters):
    soap = SOAP(
        **{"species": [1, 6, 8], "r_cut": 3.5, "n_max": 3, "l_max": 3, "sigma": 0.5, "cutoff_width": 1.0} | parameters
    )
    rng = np.random.default_rng(0)
    n_features = soap.get_number_of_features()
    sparse = {}
    for k, z in enumerate(soap._species()):
        basis = np.linalg.qr(rng.normal(size=(n_features, dimension_of or n_features)))[0]
        points = rng.uniform(size=(n + 7 * k, n_features)) @ basis
        sparse[z] = SparsePoints(basis, points / np.linalg.norm(points, axis=1, keepdims=True))
    return PreparedSoapKernel(soap, zeta, (1, 6, 8), sparse)


def naive(term, atoms, coefficients):
    """Return the energy of each atom, by the definition."""
    x = term.soap.create(atoms) * feature_weights(term.soap)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    energies, first = np.zeros(len(atoms)), 0
    for z, own in term.sparse.items():
        u = x[atoms.numbers == z] @ own.basis @ own.points.T
        last = first + len(own.points)
        energies[atoms.numbers == z] = (
            np.maximum(u, 0.0 if term.zeta % 1 else u) ** term.zeta @ coefficients[first:last]
        )
        first = last
    return energies


@pytest.mark.parametrize("zeta", [1.0, 2.0, 2.5, 4.0])
@pytest.mark.parametrize("components", [None, 20])
def test_energies_and_derivatives_are_those_of_the_sum(zeta, components):
    term, rng = prepared(zeta, components), np.random.default_rng(1)
    coefficients = rng.normal(size=term.n_functions)
    batch = as_batch(structures(), periodic=None)
    energies, gradient, strain = term.predictor(coefficients).evaluate(batch)
    expected = np.concatenate([naive(term, atoms, coefficients) for atoms in structures()])
    np.testing.assert_allclose(energies, expected, rtol=0, atol=1e-13 * np.abs(expected).max())
    h = 3e-5  # that no atom passes where a fading begins or ends, which has a kink in the second derivative
    for s, atoms in enumerate(structures()):
        own = gradient[batch.offsets[s] : batch.offsets[s + 1]]
        direction, stretch = rng.normal(size=(len(atoms), 3)), rng.normal(size=(3, 3))

        def at(t, moves, stretches, atoms=atoms):
            moved = atoms.copy()
            map_ = np.eye(3) + t * stretches
            moved.set_cell(atoms.cell @ map_.T)
            moved.positions = (atoms.positions + t * moves) @ map_.T
            return naive(term, moved, coefficients).sum()

        for found, change in [
            ((own * direction).sum(), (direction, 0 * stretch)),
            ((strain[s] * stretch).sum(), (0 * direction, stretch)),
        ]:
            slope = (8 * (at(h, *change) - at(-h, *change)) - at(2 * h, *change) + at(-2 * h, *change)) / (12 * h)
            assert abs(found - slope) < 1e-8 * np.abs(expected).max()
        assert len(atoms) == 1 or np.abs(own).max() > 1e-3 * np.abs(expected).max()


@pytest.mark.parametrize("zeta", [1.0, 2.0, 2.5, 4.0])
@pytest.mark.parametrize("components", [None, 20])
def test_rows_say_what_each_sparse_point_contributes(zeta, components):
    term = prepared(zeta, components)
    batch = as_batch(structures(), periodic=None)
    wide = np.full((7 * len(batch) + 3 * len(batch.numbers), term.n_functions + 3), np.nan)
    rows, sums = wide[:, 1:-2], np.full((len(batch), term.n_functions), np.nan)
    term.rows(batch, rows, 2)
    assert np.isnan(wide[:, [0, -2, -1]]).all()
    starts = row_offsets(batch)
    term.sums(batch, sums)
    np.testing.assert_allclose(sums, rows[starts[:-1]], rtol=0, atol=1e-12)
    atoms = np.full((len(batch.numbers), term.n_functions), np.nan)
    term.atoms(batch, atoms)
    for coefficients in (np.eye(term.n_functions)[33], np.linspace(-1, 1, term.n_functions)):
        energies, gradient, strain = term.predictor(coefficients).evaluate(batch)
        np.testing.assert_allclose(atoms @ coefficients, energies, rtol=0, atol=1e-10)
        found = rows @ coefficients
        for s in range(len(batch)):
            own = slice(batch.offsets[s], batch.offsets[s + 1])
            voigt = [strain[s][a, b] for a, b in VOIGT]
            expected = np.concatenate([[energies[own].sum()], -gradient[own].ravel(), voigt])
            np.testing.assert_allclose(found[starts[s] : starts[s + 1]], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "parameters", [{"compression": "mu2"}, {"compression": "mu1nu1"}, {"compression": "crossover"}]
)
def test_compressed_features_have_the_same_forms(parameters):
    term = prepared(4.0, 12, **parameters)
    coefficients = np.linspace(-1, 1, term.n_functions)
    batch = as_batch(structures(), periodic=None)
    expected = np.concatenate([naive(term, atoms, coefficients) for atoms in structures()])
    np.testing.assert_allclose(term.predictor(coefficients).evaluate(batch)[0], expected, rtol=0, atol=1e-12)


def test_weighted_features_have_the_products_of_whole_power_spectra():
    # Which are also those of a single density for each mixture of species: sums over all pairs of species and radials.
    soap = SOAP(species=[1, 8], r_cut=3.0, n_max=3, l_max=2, sigma=0.5)
    turned = SOAP(species=[1, 8], r_cut=3.0, n_max=3, l_max=2, sigma=0.5, species_embedding=[[0.6, 0.8], [-0.8, 0.6]])
    x, y = (kind.create(molecule("CH3CH2OH")[3:]) * feature_weights(soap) for kind in (soap, turned))
    np.testing.assert_allclose(x @ x.T, y @ y.T, rtol=1e-10)


def test_threads_and_kept_neighbours_change_nothing():
    term = prepared(4.0, 20)
    predictor = term.predictor(np.linspace(-1, 1, term.n_functions))
    batch = as_batch(structures(), periodic=None)
    expected = predictor.evaluate(batch)
    for found, wanted in zip(predictor.evaluate(batch, n_jobs=3), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    kept = predictor.prepare(batch)
    for _ in range(2):
        for found, wanted in zip(kept.evaluate(batch.positions, batch.cells), expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-13)


@pytest.mark.parametrize("zeta", [1.0, 2.0, 4.0])
def test_a_state_makes_the_same_term(zeta):
    term = prepared(zeta, 20)
    coefficients = np.linspace(-1, 1, term.n_functions)
    again = PreparedSoapKernel.from_state(term.state())
    batch = as_batch(structures(), periodic=None)
    for found, wanted in zip(
        again.predictor(coefficients).evaluate(batch), term.predictor(coefficients).evaluate(batch), strict=True
    ):
        np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(again.prior_factor, term.prior_factor)


@pytest.mark.parametrize("selection", ["farthest", "cur", "random"])
def test_sparse_points_are_environments_of_the_training_set(selection):
    crystals = []
    for seed in range(4):
        atoms = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
        atoms.rattle(0.1, seed=seed)
        crystals.append(atoms)
    crystals.append(bulk("NaCl", "rocksalt", a=5.6, cubic=True))  # four atoms of each kind are the same
    soap = SOAP(r_cut=4.0, n_max=3, l_max=2, sigma=0.5, cutoff_width=1.0)
    training = Training(as_batch(crystals), (11, 17), random_state=3)
    kernel = {"soap": soap, "zeta": 2.0, "selection": selection}
    few, again = (SoapKernel(**kernel, n_sparse=5).prepare(training) for _ in range(2))
    all_ = SoapKernel(**kernel, n_sparse=100).prepare(training)
    assert few.n_functions == 10
    assert all_.n_functions == 2 * 17
    for z in (11, 17):
        np.testing.assert_array_equal(few.sparse[z].points, again.sparse[z].points)
        gaps = few.sparse[z].points @ few.sparse[z].basis.T - (all_.sparse[z].points @ all_.sparse[z].basis.T)[:, None]
        assert np.linalg.norm(gaps, axis=2).min(axis=0).max() < 1e-10
    # Kernels between all atoms are those of their features.
    kernel = few.prior_factor.T @ few.prior_factor
    points = few.sparse[17].points
    np.testing.assert_allclose(kernel[5:, 5:], (points @ points.T) ** 2 + 1e-8 * np.eye(5), rtol=0, atol=1e-14)
    assert not kernel[:5, 5:].any()


def test_unknown_species_are_told():
    term = prepared(2.0)
    batch = as_batch([molecule("H2O"), molecule("N2")], periodic=None)
    rows = np.empty((14 + 15, term.n_functions))
    for ask in (lambda: term.rows(batch, rows), lambda: term.sums(batch, rows[:2])):
        with pytest.raises(StructureError, match=r"structure 1, atom 0: species must be among H, C, O, got N"):
            ask()
    with pytest.raises(StructureError, match=r"structure 1, atom 0"):
        term.predictor(np.zeros(term.n_functions)).evaluate(batch)


def alloys(n, seed=0):
    """Return cells of two atoms with the energies, forces and stresses of an EMT calculator."""
    rng, made = np.random.default_rng(seed), []
    for k in range(n):
        atoms = bulk("CuAu", "cesiumchloride", a=2.95 + 0.25 * rng.random())
        atoms.set_cell(atoms.cell @ (np.eye(3) + 0.04 * rng.normal(size=(3, 3))), scale_atoms=True)
        atoms.rattle(0.08, seed=seed + k)
        atoms.calc = EMT()
        results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces(), "stress": atoms.get_stress()}
        atoms.calc = SinglePointCalculator(atoms, **results)
        made.append(atoms)
    return made


@pytest.mark.parametrize("zeta", [1.0, 2.0, 4.0])
def test_from_structures_to_a_file_and_back(zeta, tmp_path):
    soap = SOAP(r_cut=4.5, n_max=4, l_max=3, sigma=0.5, cutoff_width=3.0)
    potential = clone(SparseGP(soap=soap, zeta=zeta, n_sparse=40, repulsion=False)).fit(alloys(40))
    held = alloys(8, seed=100)
    found = potential.predict(held, uncertainty=True)
    truth = np.array([atoms.get_potential_energy() for atoms in held])
    forces = np.array([atoms.get_forces() for atoms in held])
    stresses = np.array([atoms.get_stress(voigt=False) for atoms in held])
    assert np.abs(found.energies - truth).mean() < 0.05 * truth.std()
    assert np.abs(np.array(found.forces) - forces).mean() < 0.15 * np.abs(forces).mean()
    assert np.abs(found.stresses - stresses).mean() < 0.15 * np.abs(stresses).mean()
    assert (np.abs(found.energies - truth) < 4 * found.energies_std).all()
    # Less is known of what is far from all data.
    far = alloys(1)[0]
    far.set_cell(1.25 * far.cell, scale_atoms=True)
    assert potential.predict(far, uncertainty=True).energies_std > 3 * found.energies_std.max()
    potential.save(tmp_path / "gap.npz")
    again = load_potential(tmp_path / "gap.npz")
    assert again.get_params()["zeta"] == zeta
    for name, value in vars(again.predict(held, uncertainty=True)).items():
        np.testing.assert_array_equal(value, getattr(found, name), err_msg=name)


def test_single_precision_is_near_double():
    solver = Solver(sigma_energy=0.01, regularisation=1.0)
    double, single = (
        SparseGP(4.5, n_sparse=20, dtype=dtype, repulsion=False, solver=solver)
        .fit(alloys(12))
        .predict(alloys(3, seed=50))
        for dtype in ("float64", "float32")
    )
    np.testing.assert_allclose(single.energies, double.energies, rtol=0, atol=1e-5)  # 1e-7 of what terms amount to
    np.testing.assert_allclose(single.forces, double.forces, rtol=0, atol=1e-5)
    assert (single.forces[0] != double.forces[0]).any()


def test_with_a_weighting_second_derivatives_are_continuous_at_the_cutoff():
    stiffness = []
    for fading in (
        {},
        {"weighting": {"function": "poly", "r0": 3.5, "m": 2}, "cutoff_width": None},
        {"weighting": {"function": "poly", "r0": 3.5, "m": 0.5}},
    ):
        term = prepared(4.0, 20, **fading)
        predictor = term.predictor(np.random.default_rng(1).normal(size=term.n_functions))
        slopes = []
        for z in (3.5 - 2e-3, 3.5 - 1e-3):
            atoms = Atoms("COHC", [(0, 0, 0), (1.2, 0, 0), (0, 1.1, 0), (0, 0, z)])
            slopes.append(predictor.evaluate(as_batch([atoms], periodic=False))[1][0, 2])
        stiffness.append(abs(slopes[1] - slopes[0]))
    assert stiffness[1] < 1e-3 * stiffness[0]
    assert stiffness[2] < 1e-2 * stiffness[0]


def test_the_cutoff_follows_from_the_density():
    silicon, copper = bulk("Si", cubic=True), bulk("Cu", cubic=True)
    assert typical_cutoff(as_batch([silicon])) > typical_cutoff(as_batch([copper])) > 4.0
    assert typical_cutoff(as_batch([molecule("CH3CH2OH")], periodic=False)) == 4.5
    lone, pair = Atoms("H"), Atoms("Ar2", [[0, 0, 0], [3.8, 0, 0]])
    assert typical_cutoff(as_batch([lone], periodic=False)) == 4.5
    assert typical_cutoff(as_batch([lone, lone, pair], periodic=False)) == 7.0
    other = molecule("H2O")
    other.translate((3, 0, 0))
    assert typical_cutoff(as_batch([molecule("H2O") + other], periodic=False)) == 7.0


@pytest.mark.parametrize(
    ("parameters", "error", "rule"),
    [
        ({"zeta": 0.5}, ValueError, "zeta must be >= 1, got 0.5"),
        ({"n_sparse": 0}, ValueError, "n_sparse must be >= 1, got 0"),
        ({"selection": "best"}, ValueError, "selection must be one of"),
        ({"dtype": "float16"}, ValueError, "dtype must be one of"),
        ({"r_cut": -1.0}, ValueError, "r_cut must be > 0"),
        ({"soap": 3}, TypeError, "soap must be a SOAP or None, got int"),
        ({"soap": SOAP(4.0, cutoff_width=1.0), "r_cut": 4.0}, ValueError, "r_cut and soap cannot be combined"),
        ({"soap": SOAP(4.0)}, ValueError, "soap must have cutoff_width"),
        (
            {"soap": SOAP(4.0, cutoff_width=1.0, average="inner")},
            ValueError,
            "average must be 'off' for a SparseGP, got 'inner'",
        ),
        (
            {"soap": SOAP(4.0, cutoff_width=1.0, species_embedding=np.ones((2, 1)))},
            ValueError,
            "embedding must be None",
        ),
        ({"soap": SOAP(4.0, cutoff_width=1.0, pooling="mean")}, ValueError, "pooling must be None for"),
    ],
)
def test_parameters_are_checked(parameters, error, rule):
    with pytest.raises(error, match=rule):
        SparseGP(**parameters).fit(alloys(2))


def pair_term():
    training = Training(as_batch(structures(), periodic=None), (1, 6, 8), {(6, 6): (0.9, 1.6), (6, 8): (0.8, 1.7)})
    return PairKernel(4.0, 6).prepare(training)


def test_pair_energies_are_sums_over_pairs():
    term, batch = pair_term(), as_batch(structures(), periodic=None)
    assert list(term.ranges) == [(1, 1), (1, 6), (1, 8), (6, 6), (6, 8), (8, 8)]
    coefficients = np.random.default_rng(0).normal(size=term.n_functions)
    rows, sums = np.full((7 * len(batch) + 3 * len(batch.numbers), term.n_functions + 1), np.nan), np.empty((4, 36))
    term.rows(batch, rows[:, 1:])
    term.sums(batch, sums)
    predictor, starts = term.predictor(coefficients), row_offsets(batch)
    energies, gradient, strain = predictor.evaluate(batch)
    np.testing.assert_allclose(sums, rows[starts[:-1], 1:], rtol=0, atol=1e-12)
    atoms = np.full((len(batch.numbers), term.n_functions), np.nan)
    term.atoms(batch, atoms)
    np.testing.assert_allclose(atoms @ coefficients, energies, rtol=0, atol=1e-6)  # which are of tables
    found = rows[:, 1:] @ coefficients
    for s in range(len(batch)):
        own = slice(batch.offsets[s], batch.offsets[s + 1])
        voigt = [strain[s][a, b] for a, b in VOIGT]
        expected = np.concatenate([[energies[own].sum()], -gradient[own].ravel(), voigt])
        np.testing.assert_allclose(found[starts[s] : starts[s + 1]], expected, rtol=0, atol=1e-7)  # as tables are
    # A dimer has the Gaussians of its distance, faded by one function below and one at the cutoff.
    for r in (1.1, 1.65, 2.5, 3.3):
        own = coefficients[24:30]
        first = term.ranges[6, 8][0]
        at, width = first + (4.0 - first) / 6 * np.arange(6), 1.5 * (4.0 - first) / 6
        t, u = np.clip((r - 0.8) / 0.9, 0, 1), np.clip((4.0 - r) / 2.0, 0, 1)
        fade = t**3 * (10 - 15 * t + 6 * t**2) * u**3 * (10 - 15 * u + 6 * u**2)
        value = fade * np.exp(-0.5 * ((r - at) / width) ** 2) @ own
        dimer = as_batch(molecule("CO"), periodic=False)
        moved = dimer.moved(np.array([[0.0, 0.0, 0.0], [0.0, 0.0, r]]), dimer.cells)
        assert np.isclose(predictor.evaluate(moved)[0].sum(), value, rtol=0, atol=1e-8)
    again = PreparedPairKernel.from_state(term.state())
    np.testing.assert_array_equal(again.predictor(coefficients).evaluate(batch)[1], gradient)
    np.testing.assert_array_equal(again.prior_factor, term.prior_factor)
    kernel = term.prior_factor.T @ term.prior_factor
    np.testing.assert_allclose(np.diag(kernel), 1 + 1e-8)
    assert np.isclose(kernel[0, 1], np.exp(-0.5 / 1.5**2))
    with pytest.raises(StructureError, match="species must be among H, C, O, got N"):
        term.rows(as_batch(molecule("N2"), periodic=False), np.empty((13, 36)))


def test_pair_energies_without_pairs_are_zero():
    alone = as_batch(molecule("H2O")[:1], periodic=False)
    term = PairKernel(4.0).prepare(Training(alone, (8,)))
    assert term.n_functions == 0
    assert term.predictor(np.empty(0)).evaluate(alone)[0] == [0.0]


def test_pairs_and_environments_add_up(tmp_path):
    solver = Solver(sigma_energy=0.01, regularisation=1.0)
    potential = SparseGP(4.5, n_sparse=20, two_body=True, repulsion=False, solver=solver).fit(alloys(20))
    held = alloys(4, seed=100)
    found, forces = potential.predict(held), np.array([atoms.get_forces() for atoms in held])
    assert np.abs(np.array(found.forces) - forces).mean() < 0.15 * np.abs(forces).mean()
    potential.save(tmp_path / "gap.npz")
    np.testing.assert_array_equal(load_potential(tmp_path / "gap.npz").predict(held).energies, found.energies)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(potential)).predict(held).energies, found.energies)


def test_with_all_environments_it_is_the_process_of_scikit_learn():
    # With a sparse point for each atom nothing is approximated: the same as a full process of energies alone.
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import Kernel, StationaryKernelMixin

    training, held = alloys(14), alloys(5, seed=300)
    soap = SOAP(species=[29, 79], r_cut=4.5, n_max=3, l_max=2, sigma=0.5, cutoff_width=3.0)
    std, sigma = 0.4, 0.002

    class OfStructures(StationaryKernelMixin, Kernel):
        def __init__(self, std):
            self.std = std

        def __call__(self, X, Y=None, eval_gradient=False):
            x, y = self.features(X), self.features(X if Y is None else Y)
            return std**2 * np.array([[sum((p @ q) ** 4 for p, q in zip(a, b, strict=True)) for b in y] for a in x])

        def diag(self, X):
            return np.diag(self(X))

        @staticmethod
        def features(rows):
            x = soap.create([(training + held)[int(k)] for (k,) in rows]) * feature_weights(soap)
            return x / np.linalg.norm(x, axis=2, keepdims=True)

    truth = np.array([atoms.get_potential_energy() for atoms in training])
    known, new = np.arange(14)[:, None], np.arange(14, 19)[:, None]
    full = GaussianProcessRegressor(OfStructures(std), alpha=2 * sigma**2, optimizer=None).fit(known, truth)
    labels = LabelledStructures.of(training, energies=truth)
    solver = Solver(sigma_energy=sigma, regularisation=1 / std)
    sparse = SparseGP(soap=soap, n_sparse=14, selection="random", repulsion=False, references={29: 0.0, 79: 0.0})
    with pytest.warns(UserWarning, match="no structure has a stress"):
        sparse.set_params(solver=solver).fit(labels)
    assert sparse.model_.terms.n_functions == 28
    # But for what is added to the kernel of a sparse point with itself.
    np.testing.assert_allclose(sparse.predict(held).energies, full.predict(new), rtol=0, atol=2e-5)
    # So is what is not known, of structures whose environments are sparse points.
    expected = full.predict(known, return_std=True)[1]
    sums = np.empty((14, 28))
    sparse.model_.terms.sums(labels.structures, sums)
    np.testing.assert_allclose(np.sqrt(sparse.model_.uncertainty.variances(sums)), expected, rtol=1e-3)
