"""Principal components before a model, and the recipe that uses them with channels of elements."""

import numpy as np
import pytest
from ase.build import bulk
from helpers.rocksalts import RECIPE
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.gaussian_process.kernels import Matern

from atomprint.learn import make_model
from atomprint.learn.estimators.projection import ProjectBlocks, Projection
from atomprint.learn.estimators.similarity import KERNELS
from atomprint.learn.task.blocks import with_blocks
from atomprint.workflow import Recipe, load_model, train


def samples(n=60, n_features=8, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, n_features)) * np.geomspace(1, 1e-2, n_features) + 3).astype(dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 1e-3)])
@pytest.mark.parametrize("whiten", [0.0, 0.5])
def test_projection_is_that_of_scikit_learn(dtype, tolerance, whiten):
    X = samples(dtype=dtype)
    made = Projection(5, whiten=whiten).fit(X)
    expected = PCA(5, whiten=whiten > 0).fit(X.astype(np.float64)).transform(X.astype(np.float64))
    if whiten:  # by n instead of n - 1
        expected *= np.sqrt(len(X) / (len(X) - 1))
    found = made.transform(X)
    assert found.dtype == dtype
    signs = np.sign((found * expected).sum(axis=0))
    np.testing.assert_allclose(found * signs, expected, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-4)])
@pytest.mark.parametrize(("n", "n_features"), [(12, 40), (12, 12), (12, 5000), (40, 12)])
def test_few_samples_of_many_features_give_the_same_components(dtype, tolerance, n, n_features):
    X = samples(n, n_features, dtype)
    made = Projection(6).fit(X)
    centred = X.astype(np.float64) - X.mean(axis=0, dtype=np.float64)
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(made.variances_, singular[:6] ** 2 / n, rtol=tolerance)
    np.testing.assert_allclose(np.abs((made.components_ * directions[:6].T).sum(axis=0)), 1, atol=tolerance)
    assert made.components_.dtype == dtype
    assert (made.components_[np.abs(made.components_).argmax(axis=0), np.arange(6)] > 0).all()


def test_as_many_features_as_their_products_would_not_fit_into_memory():
    X = samples(10, 200_000)
    assert Projection().fit_transform(X).shape == (10, 9)  # 200 000 squared times 8 bytes are 320 GB
    assert Projection(3).fit_transform(np.ones((3, 9))).tolist() == [[0.0]] * 3


def test_all_components_keep_distances_and_part_of_the_way_is_in_between():
    X = samples()
    plain, some, white = (Projection(100, whiten=w).fit_transform(X) for w in (0.0, 0.25, 0.5))
    assert plain.shape == X.shape
    np.testing.assert_allclose(np.linalg.norm(plain[3] - plain[5]), np.linalg.norm(X[3] - X[5]), rtol=1e-9)
    np.testing.assert_allclose(white.std(axis=0), 1, rtol=1e-6)
    np.testing.assert_allclose(np.abs(some), np.sqrt(np.abs(plain * white)), rtol=1e-6, atol=1e-12)


def test_components_that_are_rounding_are_left_out():
    X = np.column_stack([samples(), samples()])
    made = Projection(16).fit(X)
    assert made.n_components_ == 8
    assert made.get_feature_names_out().tolist() == [f"projection{k}" for k in range(8)]
    assert Projection(3).fit_transform(np.ones((5, 4))).tolist() == [[0.0]] * 5


def test_projection_learns_from_what_it_is_fitted_to_alone():
    X = samples()
    made = Projection(3).fit(X[:30])
    again = clone(made).fit(np.concatenate([X[:30]]))
    np.testing.assert_array_equal(made.transform(X), again.transform(X))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [({"n_components": 0}, "n_components must be >= 1, got 0"), ({"whiten": 0.6}, "whiten must be between 0 and 0.5")],
)
def test_bad_projections(parameters, message):
    with pytest.raises(ValueError, match=message):
        Projection(**parameters).fit(samples())


def test_a_model_with_a_projection():
    X = samples()
    y = X @ np.arange(8.0)
    model = make_model("ridge", projection={"n_components": 8, "whiten": 0.2}).fit(X, y)
    assert [name for name, _ in model.steps] == ["clean", "impute", "scale", "project", "model"]
    assert np.abs(model.predict(X) - y).max() < 0.1
    with pytest.raises(ValueError, match="model 'ridge, projection': parameters must be among n_components, whiten"):
        make_model("ridge", projection={"components": 8})
    with pytest.raises(TypeError, match="projection must be a table"):
        make_model("ridge", projection=8)
    with pytest.raises(ValueError, match="not for one by its import path"):
        make_model("sklearn.svm.NuSVR", projection={})


def test_matern_kernel_is_that_of_scikit_learn():
    x = np.linspace(0, 5, 11)
    np.testing.assert_allclose(KERNELS["matern52"][1](x), Matern(nu=2.5)([[0.0]], x[:, None])[0], rtol=1e-12)


def test_channels_and_a_projection_in_a_recipe_to_a_saved_model(rocksalts, tmp_path):
    file = tmp_path / "recipe.toml"
    file.write_text(RECIPE.format(path=rocksalts.name), encoding="utf-8")
    run = train(Recipe.read(file, ["n_jobs=1"]))
    (trial,) = run.study.trials  # the parts are not tried alone
    assert trial.features.key == "all"
    assert "times 0.01" in trial.features.description
    ways = trial.importance.groups
    assert {item.label for item in ways["channels of centres"]} == {"period", "electronegativity"}
    assert "Na" in {item.label for item in ways["elements of centres"]}
    assert {item.label for item in ways["descriptors"]} == {"composition", "roles"}
    files = run.write(tmp_path / "out")
    again = load_model(files["model.atomprint"])
    atoms = bulk("NaCl", "rocksalt", a=5.5)
    np.testing.assert_allclose(again.predict([atoms]).values, run.model.predict([atoms]).values)
    resolved = Recipe.read(files["recipe.toml"])
    assert resolved.features["all"].weights == {"roles": 0.01}


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        ('{ sites = 1 }', ValueError, "features.all.weights must be one of"),
        ('{ roles = 0 }', ValueError, "features.all.weights.roles must be > 0"),
        ('3', TypeError, "features.all.weights must be a table of numbers, got 3"),
    ],
)  # fmt: skip
def test_bad_weights_of_joined_features(tmp_path, weights, error, message):
    file = tmp_path / "recipe.toml"
    file.write_text(RECIPE.format(path="x.csv").replace("{ roles = 0.01 }", weights), encoding="utf-8")
    with pytest.raises(error, match=message):
        Recipe.read(file)


def test_components_of_some_blocks_stand_after_the_other_features():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 12)) * np.arange(1, 13)
    blocks = {"a": (0, 2), "b": (2, 9), "c": (9, 12)}
    made = ProjectBlocks(["b"], n_components=3, blocks=blocks).fit(X)
    found = made.transform(X)
    assert found.shape == (30, 8)
    assert len(made.get_feature_names_out()) == 8
    np.testing.assert_array_equal(found[:, :5], X[:, [0, 1, 9, 10, 11]])
    np.testing.assert_allclose(found[:, 5:], Projection(3, 0.5).fit_transform(X[:, 2:9]))
    np.testing.assert_allclose(found[:, 5:].std(axis=0), 1)
    both = ProjectBlocks(["b", "a"], n_components=1, blocks=blocks).fit_transform(X)
    assert both.shape == (30, 3 + 2)
    with pytest.raises(ValueError, match="blocks must be among those of the features, got 'd'"):
        ProjectBlocks(["d"], blocks=blocks).fit(X)


def test_a_model_sees_components_of_blocks():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 12))
    y = X[:, 0] + X[:, 3]
    model = make_model("ridge", projection={"blocks": ["b"], "n_components": 2})
    assert [name for name, _ in model.steps] == ["clean", "impute", "project", "scale", "model"]
    fitted = with_blocks(model, {"a": (0, 2), "b": (2, 12)}).fit(X, y)
    assert fitted[-1].n_features_in_ == 4
    assert fitted.predict(X).shape == (60,)
    with pytest.raises(ValueError, match="projection: blocks are not for 'extra_trees'"):
        make_model("extra_trees", projection={"blocks": ["b"]})
    with pytest.raises(ValueError, match="parameters must be among blocks, n_components, names, whiten, got 'n'"):
        make_model("ridge", projection={"blocks": ["b"], "n": 2})
