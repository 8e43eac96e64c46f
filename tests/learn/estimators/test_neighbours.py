"""Neighbours and levels that do not depend on rounding."""

import numpy as np
import pytest
from scipy import sparse
from scipy.spatial.distance import cdist
from sklearn.neighbors import KNeighborsRegressor
from sklearn.utils.estimator_checks import parametrize_with_checks

from atomprint.learn.estimators.levels import Levels
from atomprint.learn.estimators.neighbours import NeighborsClassifier, NeighborsRegressor


@parametrize_with_checks([NeighborsRegressor(), NeighborsClassifier(), Levels()])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


@pytest.mark.parametrize("p", [1, 2])
def test_neighbours_are_those_of_scikit_learn(p):
    rng = np.random.default_rng(0)
    X, Z = rng.normal(size=(90, 20)), rng.normal(size=(30, 20))
    ours, theirs = (
        made(5, weights="distance", p=p).fit(X, X[:, 0]) for made in (NeighborsRegressor, KNeighborsRegressor)
    )
    for a, b in zip(ours.kneighbors(Z), theirs.kneighbors(Z), strict=True):
        assert a == pytest.approx(b, abs=1e-9)
    assert ours.predict(Z) == pytest.approx(theirs.predict(Z))
    distances, numbers = ours.kneighbors(Z, 3)
    assert distances == pytest.approx(np.sort(cdist(Z, X, "cityblock" if p == 1 else "euclidean"))[:, :3])
    assert (ours.kneighbors(Z, 3, return_distance=False) == numbers).all()


def test_the_same_sample_is_at_no_distance_and_ties_go_by_order():
    rng = np.random.default_rng(0)
    X = 100 + np.repeat(rng.normal(size=(6, 30)), 4, axis=0)
    y = rng.normal(size=24)
    model = NeighborsRegressor(3, weights="distance").fit(X, y)
    for noise in (0, 1e-14):
        distances, numbers = model.kneighbors(X[[0, 5]] + noise * rng.normal(size=(2, 30)))
        assert (distances == 0).all()
        assert numbers.tolist() == [[0, 1, 2], [4, 5, 6]]
    assert model.predict(X[[5]]) == pytest.approx(y[4:7].mean())


@pytest.mark.parametrize("weights", ["uniform", "distance"])
@pytest.mark.parametrize("metric", [{"p": 1}, {"p": 2}, {"metric": "manhattan"}, {"metric": "euclidean"}])
def test_classes_do_not_depend_on_the_order_of_features(metric, weights):
    rng = np.random.default_rng(0)
    X, Z = (0.1 * rng.integers(0, 3, size=(n, 20)) for n in (60, 40))  # many are at the same distance
    y, order = rng.integers(0, 2, 60), rng.permutation(20)
    model, other = (
        NeighborsClassifier(3, weights=weights, **metric).fit(given, y) for given in (X, X[:, order] * (1 + 2e-16))
    )
    shares = model.predict_proba(Z)
    assert other.predict_proba(Z[:, order]) == pytest.approx(shares, abs=1e-12)
    assert (other.predict(Z[:, order]) == model.predict(Z)).all()
    assert (model.predict(Z) == shares.argmax(axis=1)).all()
    assert model.get_params()["weights"] == weights


def test_levels_are_between_values_and_rounding_does_not_matter():
    X = np.array([[1.0, 0.0], [2.0, 5.0], [2.0, 5.0], [4.0, np.nan]])
    X[2] *= 1 + 1e-15
    levels = Levels().fit(X)
    assert levels.transform(X)[:, 0].tolist() == [0, 1, 1, 2]
    assert levels.transform(X)[:3, 1].tolist() == [0, 1, 1]
    assert np.isnan(levels.transform(X)[3, 1])
    for change in (1 - 1e-15, 1 + 1e-15):
        assert np.array_equal(levels.transform(X * change), levels.transform(X), equal_nan=True)
    new = np.array([[-9.0, 2.4], [1.5, 2.5], [3.0, 9.0], [9.0, 9.0]])
    assert levels.transform(new).tolist() == [[0, 0], [1, 1], [2, 1], [2, 1]]
    many = np.tile(new, (9, 1))  # found in another way than few
    assert (levels.transform(many)[:4] == levels.transform(new)).all()


def test_many_values_make_as_many_levels_as_allowed_with_equal_shares():
    x = np.random.default_rng(0).normal(size=(1000, 1)) ** 3
    counts = np.bincount(Levels(10).fit_transform(x)[:, 0].astype(int))
    assert len(counts) == 10
    assert counts.min() > 80
    skewed = np.where(np.arange(1000) < 900, 0.0, np.arange(1000.0))[:, None]
    assert Levels(10).fit_transform(skewed)[:, 0].astype(int).max() == 1


def test_levels_of_sparse_features_leave_zeros_out():
    X = np.array([[0.0, -1.0], [2.0, 0.0], [3.0, 1.0]])
    levels = Levels().fit(sparse.csr_array(X))
    assert sparse.issparse(levels.transform(sparse.csr_array(X)))
    assert levels.transform(sparse.csr_array(X)).toarray().tolist() == [[0, -1], [1, 0], [2, 1]]
