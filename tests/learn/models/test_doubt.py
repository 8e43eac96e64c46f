"""One pass gives the predictions of predict, to the last bit, and signs that grow away from the training samples."""

import numpy as np
import pytest

from atomprint.learn import make_model
from atomprint.learn.models.doubt import LAYER, MEMBERS, PROCESS, SEEDS, TREES, predict_with_doubt

MODELS = {
    "extra_trees": {"n_estimators": 20},
    "random_forest": {"n_estimators": 20},
    "kernel_ridge": {},
    "gaussian_process": {"kernels": ["rbf"]},
    "resnet": {"width": 16, "n_epochs": 4},
    "ridge": {},
}


def samples(n, rng):
    X = rng.normal(size=(n, 5))
    return X, 100 + 30 * np.sin(X[:, 0]) + X[:, 1] ** 2 + 0.1 * rng.normal(size=n)


def fitted(name, n_seeds=1, **parameters):
    if name == "resnet":
        pytest.importorskip("jax")
        pytest.importorskip("optax")
    model = make_model(name, "regression", random_state=0, n_seeds=n_seeds, **parameters)
    return model.fit(*samples(120, np.random.default_rng(0)))


@pytest.mark.parametrize(
    ("name", "signs"),
    [
        ("extra_trees", [TREES]),
        ("random_forest", [TREES]),
        ("kernel_ridge", [PROCESS]),
        ("gaussian_process", [PROCESS]),
        ("resnet", [LAYER]),
        ("ridge", []),
    ],
)
def test_signs_of_models(name, signs):
    model, rng = fitted(name, **MODELS[name]), np.random.default_rng(1)
    new = samples(40, rng)[0]
    found = predict_with_doubt(model, new)
    np.testing.assert_array_equal(found.values, model.predict(new))
    assert list(found.signs) == signs
    for sign in signs:
        far = predict_with_doubt(model, new + 3).signs[sign]
        assert found.signs[sign].shape == (40,)
        assert np.median(far) > 1.2 * np.median(found.signs[sign])
        np.testing.assert_allclose(predict_with_doubt(model, new[:1]).signs[sign], found.signs[sign][:1], rtol=1e-4)


def test_signs_of_ensembles_and_seeds():
    rng = np.random.default_rng(2)
    new = samples(30, rng)[0]
    bag = fitted("extra_trees", n_seeds=3, **MODELS["extra_trees"])
    found = predict_with_doubt(bag, new)
    np.testing.assert_array_equal(found.values, bag.predict(new))
    assert list(found.signs) == [SEEDS]
    members = [{"type": name, **MODELS[name]} for name in ("extra_trees", "kernel_ridge", "ridge")]
    for combine in ("weights", "mean", "median"):
        model = fitted("ensemble", members=members, combine=combine, clip=combine == "mean", n_folds=2)
        found = predict_with_doubt(model, new)
        np.testing.assert_array_equal(found.values, model.predict(new))
        if combine != "weights":
            assert set(found.signs) == {f"{TREES} of extra_trees", f"{PROCESS} of kernel_ridge", MEMBERS}


def test_the_process_is_that_of_a_gaussian_process():
    X, y = samples(120, np.random.default_rng(0))
    options = {"kernels": ["rbf"], "length_scales": [1.0], "scalings": ["none"]}
    ridge = make_model("kernel_ridge", "regression", alphas=[0.01], **options).fit(X, y)
    inner, new = ridge[-1], np.random.default_rng(3).normal(size=(20, 5))
    X, new = ridge[:-1].transform(X), ridge[:-1].transform(new)
    K = inner.similarity_.matrix(np.vstack([X, new]))
    known, k = K[:120, :120] + 0.01 * np.eye(120), K[120:, :120]
    variance = 1.01 - np.einsum("ij,ij->i", k, np.linalg.solve(known, k.T).T)
    z = y - y.mean()
    amplitude = np.sqrt(z @ np.linalg.solve(known, z) / 120)
    values, std = inner.predict(new, return_std=True)
    np.testing.assert_array_equal(values, inner.predict(new))
    np.testing.assert_allclose(std, amplitude * np.sqrt(variance), rtol=2e-4)
    del inner.spread_  # as in a file of an earlier version
    assert predict_with_doubt(ridge, new).signs == {}
    with pytest.raises(ValueError, match="fit it anew"):
        inner.predict(new, return_std=True)


def test_many_samples_are_known_by_some():
    rng = np.random.default_rng(4)
    X = rng.normal(size=(1700, 3))
    options = {"kernels": ["rbf"], "length_scales": [1.0], "scalings": ["none"], "n_search": 100, "alphas": [1e-3]}
    model = make_model("kernel_ridge", "regression", random_state=0, **options).fit(X, X.sum(axis=1))
    spread = model[-1].spread_
    assert spread.directions.shape == (1500, 200)
    assert spread.directions.dtype == np.float32
    near, far = (predict_with_doubt(model, X[:20] + by).signs[PROCESS] for by in (0.01, 5))
    assert near.max() < far.min()
