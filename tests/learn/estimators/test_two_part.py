"""Trees in two parts: whether, and how much."""

import warnings

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from atomprint.learn import make_model
from atomprint.learn.estimators.two_part import TwoPartTrees
from atomprint.learn.models.doubt import predict_with_doubt


@pytest.mark.slow
@parametrize_with_checks([TwoPartTrees(5, random_state=0)])
def test_scikit_learn_agrees(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(estimator)


def gaps(n, rng):
    """Return samples of which the first feature tells how often there is a gap, the second how large it is."""
    X = np.column_stack([rng.choice([0.2, 0.6, 1.0], n), rng.choice([1.0, 2.0], n)])
    size = X[:, 1] + rng.random(n)  # uniform: quantiles are known
    return X, np.where(rng.random(n) < X[:, 0], size, 0.0)


def test_the_prediction_is_the_median_of_both_parts():
    X, y = gaps(6000, np.random.default_rng(0))
    model = TwoPartTrees(100, max_features=1.0, random_state=0).fit(X, y)
    # Each tree predicts the mean of a leaf here, so that only the first part is a distribution.
    assert model.floor_ == 0
    new = np.array([[0.2, 1.0], [0.2, 2.0], [1.0, 1.0], [1.0, 2.0]])
    assert model.classifier_.predict_proba(new)[:, 1] == pytest.approx([0.2, 0.2, 1, 1], abs=0.05)
    assert model.predict(new) == pytest.approx([0, 0, 1.5, 2.5], abs=0.05)


def test_levels_are_those_of_the_mixture():
    rng = np.random.default_rng(1)
    X, y = gaps(2000, rng)
    X = np.hstack([X, rng.normal(size=(2000, 6))])  # so that trees end at single samples
    model = TwoPartTrees(100, random_state=0).fit(X, y)
    new = np.hstack([gaps(60, rng)[0], rng.normal(size=(60, 6))])
    p, quantiles = model.classifier_.predict_proba(new)[:, 1], np.linspace(0, 1, 501)
    distribution = np.array([model.regressor_.predict_quantile(new, level) for level in quantiles])
    for one, found, values in zip(p, model.predict(new), distribution.T, strict=True):
        mixture = np.r_[np.zeros(round(1e5 * (1 - one))), np.repeat(values, round(1e5 * one / len(values)))]
        assert found == pytest.approx(np.median(mixture), abs=0.02) or abs(one - 0.5) < 1e-3


def test_the_standard_deviation_is_that_of_the_mixture_about_the_prediction():
    rng = np.random.default_rng(4)
    X, y = gaps(600, rng)
    X = np.hstack([X, rng.normal(size=(600, 6))])
    model = TwoPartTrees(50, random_state=0).fit(X, y)
    new = np.hstack([gaps(80, rng)[0], rng.normal(size=(80, 6))])
    p = model.classifier_.predict_proba(new)[:, 1]
    of_trees = np.array([tree.predict(new) for tree in model.regressor_.estimators_])
    values, std = model.predict_with_std(new)
    assert ((p > 0) & (p <= 0.5)).any()
    assert (p > 0.5).any()
    np.testing.assert_array_equal(values, model.predict(new))
    for one, value, own, trees in zip(p, values, std, of_trees.T, strict=True):
        mixture, weights = np.r_[0.0, trees], np.r_[1 - one, np.full(50, one / 50)]
        assert own == pytest.approx(np.sqrt(weights @ (mixture - value) ** 2), abs=1e-6)
    judged = predict_with_doubt(make_model("two_part", n_estimators=50, random_state=0).fit(X, y), new)
    np.testing.assert_array_equal(judged.values, values)
    np.testing.assert_array_equal(judged.signs["trees"], std)


def test_without_many_smallest_targets_it_is_the_regressor():
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(60, 3)), rng.normal(size=60)
    model = TwoPartTrees(20, random_state=0).fit(X, y)
    assert model.classifier_ is None
    trees = make_model("extra_trees", n_estimators=20, random_state=0).fit(X, y)
    np.testing.assert_array_equal(model.predict(X), trees.predict(X))
    np.testing.assert_array_equal(model.predict_with_std(X), trees[-1].predict_with_std(X))
    all_the_same = TwoPartTrees(5, random_state=0).fit(X, np.full(60, 3.0))
    assert (all_the_same.predict(X) == 3).all()
    assert (all_the_same.predict_with_std(X)[1] == 0).all()


def test_it_has_a_name_and_its_seed_decides():
    X, y = gaps(200, np.random.default_rng(3))
    found = [make_model("two_part", n_estimators=10, random_state=seed).fit(X, y).predict(X) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).any()
    with pytest.raises(ValueError, match="n_estimators must be >= 1, got 0"):
        TwoPartTrees(0).fit(X, y)
