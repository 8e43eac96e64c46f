"""Kernels between structures, against their formulas, DScribe, and central differences."""

import json
import pickle

import numpy as np
import pytest
from ase.build import bulk, molecule
from golden.cases import HERE
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import clone
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics.pairwise import pairwise_kernels
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import normalize
from sklearn.svm import SVR

import atomprint.kernels
from atomprint.descriptors import SOAP
from atomprint.kernels import AverageKernel, REMatchKernel
from atomprint.pooling import LocalFeatures

KERNELS = [AverageKernel(), REMatchKernel(), REMatchKernel(alpha=0.03, threshold=1e-10, metric="rbf", gamma=2.0)]


def example(seed=0, counts=(3, 1, 9, 17, 8), n_features=7):
    rng = np.random.default_rng(seed)
    return [normalize(rng.gamma(0.5, size=(n, n_features))) for n in counts]


def naive(kernel, x, y):
    """The kernel of two structures without normalisation, from its definition."""
    parameters = {"gamma": kernel.gamma, "degree": kernel.degree, "coef0": kernel.coef0}
    c = pairwise_kernels(x, y, metric=kernel.metric, filter_params=True, **parameters)
    n, m = c.shape
    if isinstance(kernel, AverageKernel):
        return c.sum() / (n * m)
    k = np.exp(-(1 - c) / kernel.alpha)
    u, v, iteration, change = np.ones(n) / n, np.ones(m) / m, 0, np.inf
    while change > kernel.threshold:
        before = u, v
        v = 1 / m / (u @ k)
        u = 1 / n / (k @ v)
        if iteration % 5:
            change = sum(((a - b) ** 2).sum() / (a**2).sum() for a, b in zip((u, v), before, strict=True))
        iteration += 1
    return (u[:, None] * k * v * c).sum()


def naive_matrix(kernel, x, y):
    def raw(a, b):
        return np.array([[naive(kernel, p, q) for q in b] for p in a])

    if not kernel.normalize_kernel:
        return raw(x, y)
    own = [np.array([naive(kernel, p, p) for p in a]) for a in (x, y)]
    return raw(x, y) / np.sqrt(np.outer(*own))


def mirrored(matrix):
    """The upper triangle twice: where the iteration stops early, the order of two structures matters a little."""
    return np.triu(matrix) + np.triu(matrix, 1).T


@pytest.mark.usefixtures("each_instruction_set")
@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("metric", ["linear", "polynomial", "poly", "rbf", "sigmoid", "laplacian", "cosine"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_agrees_with_the_definition(kernel, metric, normalise):
    kernel = clone(kernel).set_params(metric=metric, gamma=0.8, degree=2.0, coef0=0.2, normalize_kernel=normalise)
    x, y = example(), example(1, (4, 2, 33))
    np.testing.assert_allclose(kernel.create(x), mirrored(naive_matrix(kernel, x, x)), rtol=1e-12)
    np.testing.assert_allclose(kernel.create(x, y), naive_matrix(kernel, x, y), rtol=1e-12)


@pytest.mark.parametrize("degree", [1, 3, 2.5, 70])
def test_degrees(degree):
    kernel = REMatchKernel(metric="polynomial", degree=degree, gamma=0.5, coef0=0.5)
    x = example()
    np.testing.assert_allclose(kernel.create(x), mirrored(naive_matrix(kernel, x, x)), rtol=1e-11)


def test_agrees_with_dscribe():
    with np.load(HERE / "kernels.npz") as data:
        x = np.split(data["rows"], np.cumsum(data["counts"])[:-1])
        for (name, kwargs), square, cross in zip(
            json.loads(str(data["cases"])), data["square"], data["cross"], strict=True
        ):
            kernel = getattr(atomprint.kernels, name)(**kwargs)
            message = f"{name}({kwargs})"
            np.testing.assert_allclose(kernel.create(x), square, rtol=1e-9, err_msg=message)
            np.testing.assert_allclose(kernel.create(x[:2], x[2:]), cross, rtol=1e-9, err_msg=message)


@pytest.mark.parametrize("kernel", KERNELS)
def test_blocks_and_threads_change_nothing(kernel, monkeypatch):
    rng = np.random.default_rng(3)
    x = example(2, rng.integers(1, 12, size=40))
    expected = kernel.create(x)
    np.testing.assert_array_equal(kernel.create(x, n_jobs=3), expected)
    np.testing.assert_array_equal(expected, expected.T)
    monkeypatch.setattr(atomprint.kernels, "_BLOCK_CENTERS", 30)
    np.testing.assert_allclose(kernel.create(x), expected, rtol=1e-12)
    np.testing.assert_allclose(np.triu(kernel.create(x, x)), np.triu(expected), rtol=1e-12)


@pytest.mark.parametrize("kernel", KERNELS)
def test_forms_of_features(kernel):
    x = example()
    expected = kernel.create(x)
    flat = LocalFeatures.from_arrays(x)
    for form in (flat, tuple(x), [sparse.csr_array(a) for a in x], LocalFeatures.from_arrays(map(sparse.csr_array, x))):
        np.testing.assert_allclose(kernel.create(form), expected, rtol=1e-13)
        np.testing.assert_allclose(np.triu(kernel.create(form, x)), np.triu(expected), rtol=1e-13)
    cube = np.array(example(counts=(4, 4, 4)))
    np.testing.assert_array_equal(kernel.create(cube), kernel.create(list(cube)))
    single = [a.astype(np.float32) for a in x]
    np.testing.assert_allclose(kernel.create(single), expected, rtol=1e-5)


def test_callable_metric():
    def local(a, b, power=1.0):
        return float(a @ b) ** power

    x = example()
    for kind in (AverageKernel, REMatchKernel):
        np.testing.assert_allclose(kind(metric=local).create(x), kind().create(x), rtol=1e-13)
        squared = kind(metric=local, kernel_params={"power": 2.0})
        polynomial = kind(metric="polynomial", gamma=1, coef0=0, degree=2)
        np.testing.assert_allclose(squared.create(x), polynomial.create(x), rtol=1e-12)
        lists = [sparse.csr_array(a) for a in x]
        np.testing.assert_allclose(squared.create(lists, x), polynomial.create(x, x), rtol=1e-12)


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), alpha=st.floats(0.05, 10.0))
def test_properties_of_the_match(seed, alpha):
    rng = np.random.default_rng(seed)
    x = example(seed, rng.integers(1, 9, size=4))
    kernel = REMatchKernel(alpha=alpha, threshold=1e-11)
    k = kernel.create(x)
    np.testing.assert_allclose(np.diagonal(k), 1.0)
    shuffled = [rng.permutation(a) for a in x]
    np.testing.assert_allclose(kernel.create(shuffled), k, rtol=1e-4)
    doubled = [np.concatenate([a, a]) for a in x]  # as a supercell
    np.testing.assert_allclose(kernel.create(doubled), k, rtol=1e-4)
    raw = clone(kernel).set_params(normalize_kernel=False)
    mean = AverageKernel(normalize_kernel=False).create(x)
    assert (raw.create(x) >= mean * (1 - 1e-4)).all()
    loose = clone(raw).set_params(alpha=1e7)
    np.testing.assert_allclose(loose.create(x), mean, rtol=1e-6)


# Errors ----------------------------------------------------------------------------------------------------------


def test_large_features_are_an_error_with_advice():
    x = example()
    x[3] = x[3] * np.linspace(1, 30, len(x[3]))[:, None]
    with pytest.raises(ValueError, match=r"x: structure 3 with itself: exp.*leaves the range.*normalize.*larger alpha"):
        REMatchKernel().create(x)
    with pytest.raises(ValueError, match=r"structure 0 of x and structure 1 of y: exp\(-\(1 - C\) / alpha\)"):
        REMatchKernel(normalize_kernel=False).create([np.eye(2)], [np.eye(2), 40 * np.eye(2)[:1]])
    for kernel in (AverageKernel(), AverageKernel(metric="polynomial"), REMatchKernel()):
        with pytest.raises(ValueError, match=r"must be finite.*unit\s+length"):
            kernel.create([np.full((2, 2), 1e200), np.full((2, 2), 1e200)])


def test_large_similarities_that_are_alike_are_no_error():
    # exp((1000 - 1) / 0.1) overflows, but the result is well defined.
    x = [np.array([[1.0, 0.1], [0.9, 0.2]]), np.array([[1.0, 0.3]])]
    kernel = REMatchKernel(normalize_kernel=False)
    shifted = [np.column_stack([a, np.full(len(a), np.sqrt(1000.0))]) for a in x]
    np.testing.assert_allclose(kernel.create(shifted) - 1000, kernel.create(x), rtol=1e-9)


def test_no_convergence_is_an_error():
    # C = [[1, 1], [0, 1]]: what is to vanish, P_12, does so as slowly as 1 / iterations.
    x, y = [np.eye(2)], [np.array([[1.0, 0.0], [1.0, 1.0]])]
    with pytest.raises(
        ValueError, match=r"structure 0 of y: the match does not converge for alpha=0\.01 .*larger alpha"
    ):
        REMatchKernel(alpha=0.01, threshold=1e-15, normalize_kernel=False).create(x, y)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([], ValueError, "x: features must hold at least one structure"),
        (3, TypeError, "x: features must be a list"),
        (np.ones((2, 3)), ValueError, r"x must be a sequence.*got an array of shape \(2, 3\)"),
        ([np.ones((2, 3)), np.ones((0, 3))], ValueError, "x: structure 1 must have at least one centre, got none"),
        ([np.ones((2, 3)), np.ones((1, 4))], ValueError, "structure 1: .*as many features"),
        ([np.ones((1, 3)), np.array([[0, 1, 2], [0, np.nan, 3]])], ValueError, "x: structure 1, centre 1: .*finite"),
        ([sparse.csr_array([[0, 1.0], [0, np.inf]])], ValueError, "x: structure 0, centre 1: .*finite"),
        ([np.ones((2, 3)), np.zeros((2, 3))], ValueError, "x: structure 1: its similarity with itself must be > 0"),
    ],
)
@pytest.mark.parametrize("kernel", KERNELS[:2])
def test_bad_features(kernel, x, error, message):
    with pytest.raises(error, match=message):
        kernel.create(x)


def test_bad_pairs_of_sets():
    with pytest.raises(ValueError, match="x and y must have the same number of features, got 7 and 3"):
        AverageKernel().create(example(), [np.ones((2, 3))])
    with pytest.raises(ValueError, match="y: structure 0 must have at least one centre"):
        AverageKernel().create(example(), [np.ones((0, 7))])


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"metric": "euclid"}, "metric must be one of 'polynomial', .*got 'euclid'"),
        ({"gamma": -1.0}, r"gamma must be >= 0, got -1\.0"),
        ({"degree": 0.5}, "degree must be >= 1"),
        ({"normalize_kernel": 1}, "normalize_kernel must be True or False"),
        ({"kernel_params": {"a": 1}}, "kernel_params must be None unless metric is callable"),
        ({"n_jobs": 0}, "n_jobs must not be 0"),
    ],
)
@pytest.mark.parametrize("kind", [AverageKernel, REMatchKernel])
def test_bad_parameters(kind, kwargs, message):
    for call in (lambda: kind(**kwargs), lambda: kind().set_params(**kwargs)):
        with pytest.raises((TypeError, ValueError), match=message):
            call()
    kernel = kind()
    with pytest.raises((TypeError, ValueError)):
        kernel.set_params(degree=2, **kwargs) if "degree" not in kwargs else kernel.set_params(coef0=2, degree=0)
    assert kernel.get_params() == kind().get_params()


def test_bad_parameters_of_the_match():
    with pytest.raises(ValueError, match="alpha must be > 0, got 0"):
        REMatchKernel(alpha=0)
    with pytest.raises(ValueError, match="threshold must be > 0, got -1"):
        REMatchKernel(threshold=-1)


# In models -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", KERNELS)
def test_precomputed_kernels_in_models(kernel):
    x, y = example(counts=(3, 1, 9, 17, 8, 2)), np.arange(6.0)
    square, cross = kernel.create(x), kernel.create(example(1), x)
    for model in (KernelRidge(kernel="precomputed", alpha=1e-6), SVR(kernel="precomputed")):
        assert model.fit(square, y).predict(cross).shape == (5,)


@pytest.mark.parametrize("kernel", KERNELS)
def test_as_a_step_after_a_descriptor(kernel):
    structures = [molecule(name) for name in ("H2O", "H2O2", "OH", "O2", "O3", "H2")]
    soap = SOAP(r_cut=4.0, n_max=3, l_max=2)
    model = make_pipeline(soap, _Normalizer(), clone(kernel), KernelRidge(kernel="precomputed", alpha=1e-9))
    y = np.arange(6.0)
    np.testing.assert_allclose(model.fit(structures, y).predict(structures), y, atol=1e-2)
    assert model.predict(structures[:2]).shape == (2,)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(structures), model.predict(structures))
    name = type(kernel).__name__.lower()
    grid = GridSearchCV(model, {f"{name}__metric": ["linear", "rbf"]}, cv=[(range(6), range(6))], error_score="raise")
    assert grid.fit(structures, y).best_score_ > 0.9
    with pytest.raises(ValueError, match="same number of features"):
        model[2].transform([np.ones((2, 3))])


class _Normalizer:
    """Features of unit length, for pipelines."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return LocalFeatures(normalize(X.values), X.offsets)

    def __sklearn_tags__(self):
        return AverageKernel().__sklearn_tags__()


def test_clone_keeps_parameters():
    for kernel in KERNELS:
        copy = clone(kernel)
        assert copy.get_params() == kernel.get_params()
        assert copy is not kernel


# Derivatives -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize(
    "parameters", [{}, {"metric": "polynomial", "gamma": 0.6, "coef0": 0.3}, {"metric": "rbf", "gamma": 0.9}]
)
def test_cotangents_are_derivatives(parameters, normalise, monkeypatch):
    rng = np.random.default_rng(5)
    kernel = AverageKernel(**parameters, normalize_kernel=normalise)
    x, y = example(), example(1, (4, 2, 33))
    w = rng.normal(size=(len(x), len(y)))
    expected = kernel.cotangents(x, y, w)
    monkeypatch.setattr(atomprint.kernels, "_BLOCK_CENTERS", 5)
    for s, a in enumerate(x):
        found = kernel.cotangents(a, y, w[s])
        np.testing.assert_allclose(found, expected[s], rtol=1e-11, atol=1e-14)
        as_sparse = kernel.cotangents(sparse.csr_array(a), [sparse.csr_array(b) for b in y], w[s])
        np.testing.assert_allclose(as_sparse, found, rtol=1e-11, atol=1e-14)
        direction, h = rng.normal(size=a.shape), 1e-4
        energies = [(kernel.create([a + k * h * direction], y) @ w[s])[0] for k in (-2, -1, 1, 2)]
        slope = (energies[0] - 8 * energies[1] + 8 * energies[2] - energies[3]) / (12 * h)
        assert abs(slope) > 1e-6
        # Rounding of the energies over the step.
        np.testing.assert_allclose(np.vdot(found, direction), slope, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("metric", ["linear", "polynomial", "rbf"])
def test_forces_and_stress_of_a_kernel_model(metric):
    rng = np.random.default_rng(0)
    atoms = bulk("NaCl", "zincblende", 5.6)
    atoms.positions += rng.normal(0, 0.1, atoms.positions.shape)
    others = [bulk("NaCl", "rocksalt", 5.5), bulk("NaCl", "zincblende", 5.9), bulk("NaCl", "cesiumchloride", 3.4)]
    soap = SOAP(species=["Na", "Cl"], r_cut=4.0, n_max=3, l_max=2, sigma=0.5, periodic=True, cutoff_width=1.0)
    kernel, w, reference = AverageKernel(metric=metric, gamma=0.1), rng.normal(size=3), soap.create(others)

    def energy(structure):
        return (kernel.create([soap.create(structure)], reference) @ w)[0]

    gradient = soap.vjp(atoms, kernel.cotangents(soap.create(atoms), reference, w))
    h, moves = 1e-4, rng.normal(size=(2, 3))
    strain = rng.normal(size=(3, 3))
    slopes = []
    for move, deformation in ((moves, np.zeros((3, 3))), (np.zeros((2, 3)), strain)):
        energies = []
        for k in (-2, -1, 1, 2):
            copy = atoms.copy()
            copy.positions += k * h * move
            copy.set_cell(copy.cell.array @ (np.eye(3) + k * h * deformation).T, scale_atoms=True)
            energies.append(energy(copy))
        slopes.append((energies[0] - 8 * energies[1] + 8 * energies[2] - energies[3]) / (12 * h))
    found = [np.vdot(gradient.positions, moves), np.vdot(gradient.strain, strain)]
    assert np.abs(slopes).min() > 1e-6
    np.testing.assert_allclose(found, slopes, rtol=1e-6, atol=1e-10)


def test_cotangents_refuse_what_has_none():
    x = example()
    with pytest.raises(ValueError, match="cotangents: metric must be 'linear', 'polynomial' or 'rbf'"):
        AverageKernel(metric="laplacian").cotangents(x, x, np.ones(5))
    for weights in (np.ones(4), np.ones((2, 5)), np.full(5, "a")):
        with pytest.raises(ValueError, match="weights must be numbers of shape"):
            AverageKernel().cotangents(x, x, weights)
    with pytest.raises(ValueError, match="weights must be finite"):
        AverageKernel().cotangents(x, x, np.full(5, np.nan))
