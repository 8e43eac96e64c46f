"""A function of the features with its derivatives: what create, the function and vjp give one after the other."""

import numpy as np
import pytest
from ase.build import molecule
from helpers.registry import HAS_NO_DERIVATIVES, REGISTRY, SMALL, some_structures
from sklearn.base import clone

from atomprint.descriptors import SOAP, CoulombMatrix

SMOOTH = [name for name in REGISTRY if name not in HAS_NO_DERIVATIVES]


def energies(X):
    """Return values that are not linear in the features, and their derivatives."""
    return np.sin(X).sum(axis=1), np.cos(X)


def of_each(X, function):
    return [function(x) for x in X] if isinstance(X, list) else function(X)


def close(found, wanted):
    if isinstance(wanted, list):
        assert len(found) == len(wanted)
        for x, y in zip(found, wanted, strict=True):
            close(x, y)
    else:
        np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-11 * max(1, np.abs(wanted).max(initial=0)))


@pytest.mark.parametrize("name", SMOOTH)
def test_it_is_what_separate_calls_give(name, monkeypatch):
    descriptor, structures = REGISTRY[name], some_structures(name)
    weights = np.random.default_rng(0).normal(size=descriptor.get_number_of_features())
    for chunk in (2**21, 1):  # all in one piece, and each structure for itself
        monkeypatch.setattr("atomprint.descriptors.engine.differentiate._CHUNK_BYTES", chunk)
        for given in (structures, structures[0], structures[:1] * 2):
            X = descriptor.create(given)
            for function, value, cotangents in (
                (energies, of_each(X, lambda x: np.sin(x).sum(axis=-1)), of_each(X, np.cos)),
                (weights, of_each(X, lambda x: x @ weights), of_each(X, lambda x: np.broadcast_to(weights, x.shape))),
            ):
                wanted = descriptor.vjp(given, cotangents)
                found, gradient = descriptor.value_and_vjp(given, function)
                close(found, value)
                close(gradient.positions, wanted.positions)
                close(gradient.strain, wanted.strain)
                assert gradient.descriptor is None
    thin = clone(descriptor).set_params(sparse=True)
    close(thin.value_and_vjp(structures, weights)[0], of_each(descriptor.create(structures), lambda x: x @ weights))
    assert descriptor.value_and_vjp(structures, energies, wrt="strain")[1].positions is None


def test_values_may_have_axes_and_may_be_features():
    soap, atoms = SOAP(**SMALL), [molecule("H2O"), molecule("NH3"), molecule("H2O")]
    X = soap.create(atoms)
    value, gradient = soap.value_and_vjp(atoms, lambda X: (X[:, :2], X), verbose=True)
    close(value, [x[:, :2] for x in X])
    close(gradient.positions, soap.vjp(atoms, X).positions)
    value, _ = soap.value_and_vjp(atoms, energies, [[0, 1], [], [2]])
    assert [len(x) for x in value] == [2, 0, 1]
    value, gradient = soap.value_and_vjp(atoms[:1], energies, [[]])
    assert value.shape == (1, 0)
    assert not gradient.positions.any()


def test_atoms_that_move():
    soap, atoms = SOAP(**SMALL), [molecule("H2O"), molecule("NH3")]
    positions = np.concatenate([one.positions for one in atoms]) + 0.01
    found, gradient = soap.prepare(atoms).value_and_vjp(positions, energies, attach=False)
    for one in atoms:
        one.positions += 0.01
    value, wanted = soap.value_and_vjp(atoms, energies, attach=False)
    close(found, value)
    close(gradient.positions, wanted.positions)
    close(gradient.strain, wanted.strain)


def test_features_are_computed_in_their_own_precision():
    single = SOAP(**SMALL, dtype="float32")
    kinds = []
    value, _ = single.value_and_vjp(molecule("H2O"), lambda X: (kinds.append(X.dtype), (X[:, 0], np.ones(X.shape)))[1])
    assert kinds == [np.float32]
    np.testing.assert_array_equal(value, single.create(molecule("H2O"))[:, 0])


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        ("sum", TypeError, r"function must be callable, or numbers of shape \(16,\), got 'sum'"),
        (
            np.ones(3),
            TypeError,
            r"function must be callable, or numbers of shape \(16,\), got an array of shape \(3,\)",
        ),
        (np.full(16, np.inf), ValueError, "function must be finite in float64 where it is weights, got inf"),
        (lambda X: X, TypeError, "function must return values and cotangents, got ndarray"),
        (lambda X: (X.sum(), X), ValueError, r"one value for each of the 2 rows, got values of shape \(\)"),
        (lambda X: (X[:, 0], X[0]), ValueError, r"cotangents of shape \(2, 16\), got shape \(16,\)"),
        (lambda X: (X[:, 0], X * np.nan), ValueError, "cotangents that are finite: they are not from structure 0 on"),
    ],
)
def test_bad_functions(function, error, message):
    with pytest.raises(error, match=message):
        CoulombMatrix(4).value_and_vjp([molecule("H2O"), molecule("NH3")], function)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (np.full(16, 1e300), r"function must be finite in float32 where it is weights, got 1e\+300"),
        (lambda X: (X[:, 0], np.full(X.shape, 1e300)), "cotangents that are finite"),
    ],
)
def test_numbers_too_large_for_the_type_of_the_features(function, message):
    with pytest.raises(ValueError, match=message):
        CoulombMatrix(4, dtype="float32").value_and_vjp(molecule("H2O"), function)


@pytest.mark.parametrize("function", [energies, np.ones(16)])
def test_progress_is_shown(function, capsys):
    CoulombMatrix(4).value_and_vjp([molecule("H2O"), molecule("NH3")], function, verbose=True)
    assert capsys.readouterr().err.endswith("CoulombMatrix: 2 of 2 structures\n")
