"""Residual networks: what they minimise, and what they need."""

import sys
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import make_friedman1
from sklearn.utils.estimator_checks import parametrize_with_checks

from atomprint.learn import make_model
from atomprint.learn.estimators.network import ResidualNetworkClassifier, ResidualNetworkRegressor

pytest.importorskip("jax")
pytest.importorskip("optax")

SMALL = {"width": 16, "n_layers": 2, "n_epochs": 5, "random_state": 0}


@pytest.mark.slow
@parametrize_with_checks([made(16, 2, n_epochs=30) for made in (ResidualNetworkRegressor, ResidualNetworkClassifier)])
def test_scikit_learn_agrees(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(estimator)


def test_a_smooth_function_is_learnt_better_than_by_trees():
    X, y = make_friedman1(600, random_state=0)
    unseen, truth = make_friedman1(300, random_state=1)
    errors = {}
    for name, options in {"resnet": {"width": 128, "n_epochs": 100}, "extra_trees": {}, "ridge": {}}.items():
        model = make_model(name, random_state=0, **options).fit(X, y)
        errors[name] = np.abs(model.predict(unseen) - truth).mean()
    assert errors["resnet"] < 0.5 * errors["extra_trees"] < errors["ridge"]


def test_absolute_errors_lead_to_medians_and_squared_errors_to_means():
    rng = np.random.default_rng(0)
    y = rng.exponential(size=4000)  # median log 2, mean 1
    X = rng.normal(size=(4000, 1)) * 1e-3
    found = {}
    for loss in ("absolute_error", "squared_error"):
        model = ResidualNetworkRegressor(8, 1, loss=loss, n_epochs=20, random_state=0).fit(X, y)
        found[loss] = model.predict(X).mean()
    assert found["absolute_error"] == pytest.approx(np.median(y), abs=0.03)
    assert found["squared_error"] == pytest.approx(y.mean(), abs=0.03)


def test_probabilities_are_those_of_the_data():
    rng = np.random.default_rng(0)
    X = rng.choice([-1.0, 1.0], size=(4000, 1))
    y = np.where(rng.random(4000) < np.where(X[:, 0] > 0, 0.8, 0.3), "metal", "insulator")
    model = ResidualNetworkClassifier(8, 1, n_epochs=20, random_state=0).fit(X, y)
    p = model.predict_proba([[-1.0], [1.0]])
    assert p.sum(axis=1) == pytest.approx([1, 1])
    for row, side in enumerate((-1, 1)):
        assert p[row, 1] == pytest.approx((y[X[:, 0] == side] == "metal").mean(), abs=0.03)
    assert list(model.predict([[-1.0], [1.0]])) == ["insulator", "metal"]


def test_predictions_follow_the_formula():
    X, y = make_friedman1(50, random_state=0)
    X[0, 0] = 100.0
    model = ResidualNetworkRegressor(**SMALL, limit=0.5).fit(X[:30], y[:30])
    scales = np.maximum(1, X[:30].max(axis=0) / 0.5)
    assert model.scales_ == pytest.approx(scales)
    W1, b1, W2, b2, w, b = (part.astype(np.float64) for part in model.layers_)
    for x, found in zip(X, model.predict(X), strict=True):
        x = np.clip(x / scales, -0.5, 0.5)
        z1 = x @ W1 + b1
        h1 = z1 / (1 + np.exp(-z1))
        z2 = h1 @ W2 + b2
        h2 = h1 + z2 / (1 + np.exp(-z2))
        assert found == pytest.approx((h2 @ w + b)[0], rel=1e-4, abs=1e-5)


def test_seeds_decide_and_sparse_features_are_the_same():
    X, y = make_friedman1(50, random_state=0)
    first = ResidualNetworkRegressor(**SMALL).fit(X, y).predict(X)
    again = ResidualNetworkRegressor(**SMALL).fit(sparse.csr_array(X), y).predict(sparse.csr_array(X))
    other = ResidualNetworkRegressor(**{**SMALL, "random_state": 1}).fit(X, y).predict(X)
    assert first == pytest.approx(again, rel=1e-5)
    assert np.abs(first - other).max() > 1e-3


def test_dropout_is_for_training_alone():
    X, y = make_friedman1(50, random_state=0)
    model = ResidualNetworkRegressor(**SMALL, dropout=0.5).fit(X, y)
    assert (model.predict(X) == model.predict(X)).all()
    assert np.abs(model.predict(X) - ResidualNetworkRegressor(**SMALL).fit(X, y).predict(X)).max() > 1e-3


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"width": 0}, ValueError, "width must be >= 1, got 0"),
        ({"n_layers": 1.5}, TypeError, "n_layers must be an integer"),
        ({"dropout": 1.0}, ValueError, "dropout must be < 1, got 1"),
        ({"learning_rate": 0}, ValueError, "learning_rate must be > 0, got 0"),
        ({"learning_rate": 1e30}, ValueError, "learning_rate must be smaller: training diverged with 1e[+]30"),
        ({"weight_decay": -1}, ValueError, "weight_decay must be >= 0, got -1"),
        ({"batch_size": 0}, ValueError, "batch_size must be >= 1, got 0"),
        ({"n_epochs": 0}, ValueError, "n_epochs must be >= 1, got 0"),
        ({"limit": 0}, ValueError, "limit must be > 0, got 0"),
        ({"loss": "l1"}, ValueError, "loss must be one of 'absolute_error', 'squared_error', got 'l1'"),
    ],
)
def test_wrong_parameters(options, error, message):
    X, y = make_friedman1(50, random_state=0)
    with pytest.raises(error, match=message):
        ResidualNetworkRegressor(**{**SMALL, **options}).fit(X, y)


@pytest.mark.parametrize("missing", ["jax", "optax"])
def test_only_training_needs_the_extra(missing, monkeypatch):
    X, y = make_friedman1(50, random_state=0)
    fitted = ResidualNetworkRegressor(**SMALL).fit(X, y)
    expected = fitted.predict(X)
    monkeypatch.setitem(sys.modules, missing, None)
    assert (fitted.predict(X) == expected).all()
    with pytest.raises(ImportError, match=rf"{missing}, which is not installed: pip install 'atomprint\[neural\]'"):
        ResidualNetworkRegressor(**SMALL, dropout=0.123).fit(X, y)
    with pytest.raises(ImportError, match=rf"{missing}, which is not installed"):
        make_model("resnet")
