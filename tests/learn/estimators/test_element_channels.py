"""Learnt channels of the elements: the formula, the gradient, and what the order of elements must not change."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.preprocessing import StandardScaler

from atomprint.learn import make_model
from atomprint.learn.estimators.element_channels import first_channels, parts_of, pooled, with_strangers
from atomprint.learn.estimators.except_blocks import ExceptBlocks
from atomprint.learn.estimators.network import ResidualNetworkClassifier, ResidualNetworkRegressor
from atomprint.learn.estimators.network_training import Inputs, Weights, first_layers, last_units
from atomprint.learn.task.blocks import with_blocks

BLOCKS = {"other": (0, 3), "shares": (3, 9)}
SMALL = {"width": 16, "n_layers": 2, "n_epochs": 5, "random_state": 0, "elements": "shares", "n_channels": 8}


def amounts(n, rng, n_elements=6):
    """Return formulas with one to three elements."""
    found = np.zeros((n, n_elements))
    for row in found:
        which = rng.choice(n_elements, rng.integers(1, 4), replace=False)
        row[which] = rng.integers(1, 5, len(which))
    return found


def samples(n=60, seed=0):
    rng = np.random.default_rng(seed)
    shares = amounts(n, rng)
    other = rng.normal(size=(n, 3))
    return np.hstack([other, shares]), shares @ np.arange(6.0) / shares.sum(axis=1) + other[:, 0]


def f(z):
    return z / (1 + np.exp(-z))


def pooled_one_by_one(layers, formula):
    """Return mean and sum, written as in the formula, for one composition."""
    channels, V, *rest = layers
    which = np.flatnonzero(formula)
    shares = formula[which] / formula.sum()
    centres = [1 / 16, 1 / 8, 1 / 6, 1 / 5, 1 / 4, 1 / 3, 2 / 5, 1 / 2, 3 / 5, 2 / 3, 3 / 4, 1]
    states = []
    for e, s in zip(which, shares, strict=True):
        g = [s, np.log(s) / 2, *(max(0, 1 - abs(s - centre) / 0.08) for centre in centres)]
        states.append(f(channels[e] + g @ V))
    for first in range(0, len(rest), 5):
        Q, b, C, O, d = rest[first : first + 5]
        mean = sum(s * t for s, t in zip(shares, states, strict=True))
        states = [t + f(t @ Q + b + mean @ C) @ O + d for t in states]
    return sum(s * t for s, t in zip(shares, states, strict=True)), sum(states) / 3


def biased(rng, n_elements=6, n_channels=8):
    """Return layers whose biases are not 0, in double precision."""
    layers = first_channels(np.random.RandomState(0), n_elements, n_channels)
    return [part.astype(float) + (rng.normal(size=part.shape) if part.ndim == 1 else 0) for part in layers]


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def test_the_formula():
    rng = np.random.default_rng(0)
    layers, formulas = biased(rng), amounts(20, rng)
    mean, total = pooled(layers, parts_of(formulas), sigmoid)
    for row, formula in enumerate(formulas):
        expected = pooled_one_by_one(layers, formula)
        np.testing.assert_allclose(mean[row], expected[0], rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(total[row], expected[1], rtol=1e-10, atol=1e-12)


def test_neither_the_order_of_elements_nor_the_size_of_the_formula_matters():
    rng = np.random.default_rng(1)
    layers, formulas, order = biased(rng), amounts(20, rng), rng.permutation(6)
    first = pooled(layers, parts_of(formulas), sigmoid)
    moved = [layers[0][np.append(order, 6)], *layers[1:]]
    for again in (
        pooled(moved, parts_of(formulas[:, order]), sigmoid),
        pooled(layers, parts_of(7 * formulas), sigmoid),
    ):
        np.testing.assert_allclose(np.hstack(again), np.hstack(first), rtol=1e-10, atol=1e-12)


def test_nothing_is_made_of_nothing():
    layers = biased(np.random.default_rng(2))
    mean, total = pooled(layers, parts_of(np.array([[0.0] * 6, [0, 0, -1, 0, 0, 0], [0, 2, 0, 0, 1, 0]])), sigmoid)
    assert (mean[:2] == 0).all()
    assert (total[:2] == 0).all()
    assert (total[2] != 0).all()


def test_parts_of_some_samples_have_no_more_places_than_these_need():
    parts = parts_of(np.array([[1.0, 0, 2], [0, 3, 0], [1, 1, 1]]))
    assert parts.elements.tolist() == [[2, 0, 3], [1, 3, 3], [0, 1, 2]]
    some = parts.of(np.array([1, 0]))
    assert some.elements.tolist() == [[1, 3], [2, 0]]
    assert some.shares.tolist() == [[1, 0], pytest.approx([2 / 3, 1 / 3])]
    assert some.functions.shape == (2, 2, 14)


def test_gradients_are_differences():
    jax = pytest.importorskip("jax")
    rng = np.random.default_rng(3)
    weights = Weights(
        [part.astype(float) for part in first_layers(np.random.RandomState(1), [3 + 2 * 8, 16, 16, 1])], biased(rng)
    )
    inputs = Inputs(rng.normal(size=(10, 3)), parts_of(amounts(10, rng)))
    by_unit = rng.normal(size=(10, 16))

    def value(weights, logistic=sigmoid):
        return (last_units(weights, inputs, logistic) * by_unit).sum()

    gradient = jax.grad(lambda weights: value(weights, jax.nn.sigmoid))(
        jax.tree.map(lambda part: jax.numpy.asarray(part, dtype="float32"), weights)
    )
    for kind in ("layers", "channels"):
        for number, (part, found) in enumerate(zip(getattr(weights, kind), getattr(gradient, kind), strict=True)):
            if kind == "layers" and number >= 4:
                continue  # the last layer comes after
            direction = rng.normal(size=part.shape)
            ends = []
            for step in (1e-5, -1e-5):
                moved = [*getattr(weights, kind)]
                moved[number] = part + step * direction
                ends.append(value(weights._replace(**{kind: moved})))
            expected = (ends[0] - ends[1]) / 2e-5
            assert expected != 0
            assert (np.asarray(found) * direction).sum() == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_elements_that_no_sample_had_have_the_mean_of_others():
    layers = biased(np.random.default_rng(4))
    found = with_strangers(layers, np.array([[1.0, 0, 2, 0, 0, 0], [0, 0, 1, 0, 0, 0]]))
    assert (found[0][[0, 2]] == layers[0][[0, 2]]).all()
    assert found[0][[1, 3, 4, 5, 6]] == pytest.approx(np.tile(layers[0][[0, 2]].mean(axis=0), (5, 1)))
    assert (layers[0][1] != found[0][1]).any()


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_models_know_the_block(kind):
    pytest.importorskip("jax")
    pytest.importorskip("optax")
    X, y = samples()
    y = y if kind == "regression" else np.where(y > np.median(y), "high", "low")
    options = {key: value for key, value in SMALL.items() if key != "random_state"}
    model = with_blocks(make_model("resnet", kind, random_state=0, n_seeds=2, **options), BLOCKS)
    first, again = clone(model).fit(X, y), clone(model).fit(X, y)
    for ask in ("predict", "predict_proba") if kind == "classification" else ("predict",):
        assert (getattr(first, ask)(X) == getattr(again, ask)(X)).all()
    others = first.named_steps["others"]
    assert isinstance(others, ExceptBlocks)
    np.testing.assert_array_equal(others.transform(X)[:, 3:], X[:, 3:])
    np.testing.assert_allclose(others.transform(X)[:, :3], StandardScaler().fit_transform(X[:, :3]))
    doubled = X * np.where(np.arange(9) < 3, 1, 2)
    found = first.predict(doubled)
    assert (found == first.predict(X)).all() if kind == "classification" else found == pytest.approx(first.predict(X))
    with pytest.raises(
        ValueError, match="blocks must be among those of the features, got 'shares': these are not joined"
    ):
        make_model("resnet", kind, random_state=0, **options).fit(X, y)


def test_shares_that_are_all_the_same_are_no_noise():
    pytest.importorskip("jax")
    pytest.importorskip("optax")
    X, y = samples()
    X = np.hstack([X, np.full((len(X), 1), 4.0)])  # as the oxygen of oxides
    model = with_blocks(
        make_model("resnet", random_state=0, width=8, n_epochs=1, elements="shares"), BLOCKS | {"shares": (3, 10)}
    )
    assert (model.fit(X, y).named_steps["others"].transform(X)[:, 9] == 4).all()


def test_columns_must_stay_for_elements():
    pytest.importorskip("jax")
    pytest.importorskip("optax")
    for what, entry in (("projection", {"n_components": 2}), ("selection", {"method": "lasso"})):
        with pytest.raises(ValueError, match=f"{what} is not for 'resnet' with elements, got elements = 'shares'"):
            make_model("resnet", elements="shares", **{what: entry})


def test_elements_may_be_all_there_is_and_the_last_layer_knows_what_is_far():
    pytest.importorskip("jax")
    pytest.importorskip("optax")
    X, y = samples()
    model = ResidualNetworkRegressor(**SMALL, blocks={"shares": (0, 6)}).fit(X[:, 3:], y)
    values, distances = model.predict_with_distance(X[:, 3:])
    assert (values == model.predict(X[:, 3:])).all()
    assert distances.shape == (60,)
    assert len(model.scales_) == 0


@pytest.mark.slow
def test_a_property_of_elements_that_no_feature_tells_is_learnt():
    pytest.importorskip("jax")
    pytest.importorskip("optax")
    rng = np.random.default_rng(5)
    hidden = rng.normal(size=30)
    formulas = amounts(1400, rng, 30)
    shares = formulas / formulas.sum(axis=1, keepdims=True)
    y = np.where(shares > 0, hidden, -np.inf).max(axis=1)  # however little there is of it
    errors = {}
    for elements in (None, "shares"):
        model = make_model("resnet", random_state=0, width=64, n_epochs=80, elements=elements, n_channels=16)
        model = with_blocks(model, {"shares": (0, 30)}).fit(shares[:1000], y[:1000])
        errors[elements] = np.abs(model.predict(shares[1000:]) - y[1000:]).mean()
    assert errors["shares"] < 0.7 * errors[None]


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (
            (2, 4, -1.0),
            {},
            "elements: 'shares' must hold how much there is of each element, none negative, got -1 for ",
        ),
        ((1, slice(3, 9), 0.0), {}, "elements: 'shares' must hold some element of each sample, got none for sample 1"),
        (None, {"n_channels": 0}, "n_channels must be >= 1, got 0"),
        (None, {"elements": "amounts"}, "got 'amounts': their blocks are 'other', 'shares'"),
    ],
)
@pytest.mark.parametrize("made", [ResidualNetworkRegressor, ResidualNetworkClassifier])
def test_wrong_elements(made, change, options, message):
    pytest.importorskip("jax")
    pytest.importorskip("optax")
    X, y = samples()
    if change is not None:
        row, columns, value = change
        X[row, columns] = value
    with pytest.raises(ValueError, match=message):
        made(**SMALL | options, blocks=BLOCKS).fit(X, y > np.median(y))
