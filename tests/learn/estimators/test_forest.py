"""Median of extremely randomised trees, against numpy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.utils.estimator_checks import parametrize_with_checks

from atomprint.learn import make_model
from atomprint.learn.estimators import forest
from atomprint.learn.estimators.forest import MedianExtraTrees


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 5))
    # Two peaks, as for compounds that conduct or do not: the mean is where nothing is.
    return X, np.where(X[:, 0] + rng.normal(size=1000) > 0.3, 3 + X[:, 1], 0.0)


@parametrize_with_checks([MedianExtraTrees(10, random_state=0)])
def test_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("n_estimators", [1, 10, 25])
def test_quantiles_of_the_trees(data, n_estimators, monkeypatch):
    X, y = data
    model = MedianExtraTrees(n_estimators, random_state=0).fit(X[:900], y[:900])
    plain = ExtraTreesRegressor(n_estimators, random_state=0).fit(X[:900], y[:900])
    trees = np.stack([tree.predict(X[900:]) for tree in plain.estimators_])
    assert_allclose(model.predict(X[900:]), np.median(trees, axis=0), rtol=1e-12)
    levels = np.linspace(0, 1, 100)
    expected = [np.quantile(column, level) for column, level in zip(trees.T, levels, strict=True)]
    assert_allclose(model.predict_quantile(X[900:], levels), expected, rtol=1e-12)
    whole = model.predict(X[900:])
    monkeypatch.setattr(forest, "_ENTRIES", 3 * n_estimators)
    assert_array_equal(model.predict(X[900:]), whole)
    with pytest.raises(ValueError, match=r"level must be between 0 and 1, got 1\.5"):
        model.predict_quantile(X, 1.5)


def test_median_has_the_smaller_absolute_error(data):
    X, y = data
    median = MedianExtraTrees(100, random_state=0).fit(X[:900], y[:900]).predict(X[900:])
    mean = ExtraTreesRegressor(100, random_state=0).fit(X[:900], y[:900]).predict(X[900:])
    assert np.abs(median - y[900:]).mean() < 0.9 * np.abs(mean - y[900:]).mean()


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_by_name(data, kind):
    X, y = data
    y = y if kind == "regression" else (y > 0).astype(int)
    model = make_model("extra_trees", kind, n_estimators=20, random_state=0).fit(X[:900], y[:900])
    assert model.predict(X[900:]).shape == (100,)
    assert isinstance(model[-1], MedianExtraTrees) == (kind == "regression")
    assert model[-1].n_estimators == 20


# Twigs ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def many(monkeypatch):
    monkeypatch.setattr(forest, "_MANY", 100)


def test_trees_with_twigs_are_as_good(data, many):
    X, y = data
    model = MedianExtraTrees(60, max_features=0.5, random_state=0).fit(X[:900], y[:900])
    plain = ExtraTreesRegressor(60, max_features=0.5, random_state=0).fit(X[:900], y[:900])
    trees = [np.stack([tree.predict(X[900:]) for tree in one.estimators_]) for one in (model, plain)]
    errors = [np.abs(np.median(one, axis=0) - y[900:]).mean() for one in trees]
    assert errors[0] == pytest.approx(errors[1], rel=0.1)
    singles = [np.abs(one - y[900:]).mean() for one in trees]
    assert singles[0] == pytest.approx(singles[1], rel=0.03)
    assert [tree.min_samples_split for tree in model.estimators_] == [2] * 60
    # Grown to the end: each training sample finds its own target, and none is lost.
    for tree in model.estimators_[:3]:
        assert_allclose(tree.predict(X[:900]), y[:900], rtol=1e-12)
        assert tree.tree_.n_node_samples[0] == 900
        assert_allclose(tree.tree_.value[0, 0, 0], y[:900].mean())
        assert_allclose(tree.tree_.impurity[0], y[:900].var())


def test_twigs_do_not_depend_on_threads_nor_on_the_order_of_samples(data, many):
    X, y = data
    model = MedianExtraTrees(8, random_state=0).fit(X, y)
    order = np.random.default_rng(1).permutation(len(X))
    for other in (MedianExtraTrees(8, random_state=0, n_jobs=2).fit(X, y),
                  MedianExtraTrees(8, random_state=0).fit(X[order], y[order])):  # fmt: skip
        assert_array_equal(other.predict(X + 0.01), model.predict(X + 0.01))


def test_equal_samples_share_a_leaf(many):
    X = np.repeat(np.arange(60.0), 4)[:, None] * [1.0, 2.0, 0.0]
    y = np.arange(240.0)
    model = MedianExtraTrees(3, random_state=0).fit(X, y)
    assert_allclose(model.predict(X), np.repeat(y.reshape(60, 4).mean(axis=1), 4))


@pytest.mark.parametrize("options", [{"min_samples_leaf": 2}, {"bootstrap": True}, {"max_depth": 3}])
def test_other_trees_have_no_twigs(data, many, options):
    X, y = data
    model = MedianExtraTrees(3, random_state=0, **options).fit(X, y)
    assert model.ground_ is None
    assert_array_equal(MedianExtraTrees(3, random_state=0).fit(X, y, np.ones(len(y))).ground_, None)
