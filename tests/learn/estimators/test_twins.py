"""Samples that are the same are left out together where kernel ridge chooses its parameters."""

import numpy as np
import pytest
from ase.build import bulk
from scipy import sparse
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics.pairwise import rbf_kernel

from atomprint.descriptors import SOAP
from atomprint.learn.estimators.kernel_ridge import KernelRidgeCV
from atomprint.learn.estimators.twins import twins
from atomprint.util.leave_one_out import leave_one_out


def noisy(n, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, size=(n, 3))
    return X, np.sin(X).sum(axis=1) + 0.3 * rng.normal(size=n)


def test_errors_are_those_of_fits_without_all_that_is_left_out_together():
    X, y = noisy(30)
    y = y - y.mean()
    labels = np.random.default_rng(1).integers(0, 12, size=30)
    kernel = rbf_kernel(X, gamma=0.3)
    for alpha in (1e-3, 0.1):
        errors = []
        for label in np.unique(labels):
            out = labels == label
            fitted = KernelRidge(alpha=alpha, kernel="precomputed").fit(kernel[np.ix_(~out, ~out)], y[~out])
            errors += np.abs(fitted.predict(kernel[np.ix_(out, ~out)]) - y[out]).tolist()
        assert leave_one_out(kernel, y, [alpha], labels)[0] == pytest.approx(np.mean(errors), abs=1e-9)
        alone = leave_one_out(kernel, y, [alpha], np.arange(30))
        assert alone[0] == pytest.approx(leave_one_out(kernel, y, [alpha])[0], abs=1e-12)


def test_twins_have_the_same_features_and_the_same_target():
    X, y = noisy(20)
    assert twins(X, y) is None
    doubled, both = np.concatenate([X, X[:5] + 1e-9]), np.concatenate([y, y[:5]])
    found = twins(doubled, both)
    np.testing.assert_array_equal(found[20:], found[:5])
    assert len(np.unique(found)) == 20
    np.testing.assert_array_equal(twins(sparse.csr_array(doubled), both), found)
    assert twins(doubled, np.concatenate([y, y[:5] + 1.0])) is None  # polymorphs of a composition
    assert len(np.unique(twins(np.ones((6, 2)), np.array([1.0, 1.0, 2.0, 2.0, 1.0, 3.0])))) == 3


def test_atoms_that_symmetry_makes_equivalent_are_twins():
    atoms = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    rows = SOAP(r_cut=4.0, n_max=3, l_max=2, periodic=True).fit([atoms]).create(atoms)
    found = twins(rows, atoms.numbers.astype(float))
    assert len(np.unique(found)) == 2
    assert all(len(np.unique(found[atoms.numbers == number])) == 1 for number in (11, 17))


@pytest.mark.parametrize("options", [{}, {"blocks": {"a": (0, 2), "b": (2, 3)}}])
def test_noise_is_not_learnt_by_heart_from_samples_that_are_twice_there(options):
    X, y = noisy(80)
    unseen, truth = noisy(200, seed=1)
    once = KernelRidgeCV(random_state=0, **options).fit(X, y)
    twice = KernelRidgeCV(random_state=0, **options).fit(np.repeat(X, 2, axis=0), np.repeat(y, 2))
    assert twice.best_score_ == pytest.approx(once.best_score_, rel=0.1)
    errors = [np.abs(model.predict(unseen) - truth).mean() for model in (once, twice)]
    assert errors[1] < 1.1 * errors[0]
