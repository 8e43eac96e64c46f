"""Blocks of joined features: models that see some of them, and what each weighs in kernel ridge regression."""

from itertools import product

import numpy as np
import pytest
from helpers.problems import atoms_problem, problem_of
from helpers.rocksalts import RECIPE
from scipy import sparse
from scipy.spatial.distance import cdist
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from atomprint.descriptors import SOAP
from atomprint.learn import Features, FitError, KernelRidgeCV, Search, evaluate, make_model, make_split
from atomprint.learn.estimators.projection import Projection
from atomprint.learn.estimators.relevance import Choices, choose_relevance
from atomprint.learn.evaluation.importance import impurity_importance, shapley_importance
from atomprint.learn.models.anatomy import chosen_parameters
from atomprint.learn.models.catalogue import ScaledTarget
from atomprint.learn.task.blocks import SelectBlocks, with_blocks
from atomprint.workflow import Recipe, load_model, train
from atomprint.workflow.recipes.features import FeatureSet
from atomprint.workflow.runs.describe import compute_features
from atomprint.workflow.saved.pipeline import LocalUnion

BLOCKS = {"a": (0, 2), "b": (2, 5), "noise": (5, 11)}


def samples(n=60, seed=0):
    """Return three blocks in very different units, and targets that the last of them knows nothing of."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 11)) * np.repeat([100.0, 1.0, 0.01], [2, 3, 6]) + 3
    return X, np.sin(X[:, 0] / 100) + 0.3 * (X[:, 2] - 3)


def joined(X, blocks=BLOCKS):
    names = [f"{name}__x{k}" for name, (start, stop) in blocks.items() for k in range(stop - start)]
    return Features("all", "All", "made up", X, names, 0.0, {}, blocks=blocks)


# The choice of weights ----------------------------------------------------------------------------------------------


def errors_of_all(X, y, blocks, kernels, scales, alphas, scalings, weights):
    """Yield each combination and its leave-one-out error, by the formula for each sample."""
    n = len(X)
    for kernel, per_block in product(kernels, product(product(scalings, weights), repeat=len(blocks))):
        if not any(weight for _, weight in per_block):
            continue
        total = np.zeros((n, n))
        for (start, stop), (scaling, weight) in zip(blocks.values(), per_block, strict=True):
            Z = X[:, start:stop] / (X[:, start:stop].std(axis=0) if scaling == "standard" else 1)
            measured = cdist(Z, Z, "cityblock" if kernel == "laplacian" else "sqeuclidean")
            mean = measured[np.triu_indices(n, 1)].mean()
            total += (weight if kernel == "laplacian" else weight**2) * measured / mean
        r = total if kernel == "laplacian" else np.sqrt(total)
        r /= r[np.triu_indices(n, 1)].mean()
        for scale, alpha in product(scales, alphas):
            K = np.exp(-r / scale) if kernel == "laplacian" else np.exp(-0.5 * (r / scale) ** 2)
            G = np.linalg.inv(K + alpha * np.eye(n))
            yield float(np.mean(np.abs(G @ y / np.diag(G)))), kernel, scale, per_block


@pytest.mark.parametrize("seed", range(3))
def test_the_choice_is_that_of_trying_everything(seed):
    X, y = samples(30, seed)
    y -= y.mean()
    choices = Choices(("rbf", "laplacian"), (1.0, 3.0), (1e-3, 1e-1), ("none", "standard"), (0.0, 0.5, 1.0))
    found = choose_relevance(X, y, BLOCKS, choices, None, 1000, None)
    best = min(errors_of_all(X, y, BLOCKS, *choices), key=lambda entry: entry[0])
    assert found.score == pytest.approx(best[0], rel=1e-9)
    assert found.kernel == best[1]
    largest = max(weight for _, weight in best[3])
    expected = {f"weight of {name}": weight / largest for name, (_, weight) in zip(BLOCKS, best[3], strict=True)}
    assert {key: value for key, value in found.parameters.items() if "weight" in key} == expected
    assert found.n_trials <= 60


def test_blocks_are_as_large_as_their_weights():
    X, y = samples()
    model = KernelRidgeCV(kernels=["rbf"], blocks=BLOCKS, block_weights=[1.0]).fit(X, y)
    Z = model.weighting_.transform(X)
    for start, stop in BLOCKS.values():
        assert Z[:, start:stop].mean(axis=0) == pytest.approx(0, abs=1e-9)
        assert cdist(Z[:, start:stop], Z[:, start:stop], "sqeuclidean").sum() / (60 * 59) == pytest.approx(1)
    given = KernelRidgeCV(["rbf"], [model.best_params_["length_scale"]], scalings=["none"]).fit(Z, y)
    assert model.predict(X[:7] + 1) == pytest.approx(given.predict(model.weighting_.transform(X[:7] + 1)))


def test_noise_has_no_weight():
    X, y = samples(150)
    X[:, 5:] *= 1e4
    model = KernelRidgeCV(blocks=BLOCKS).fit(X[:100], y[:100])
    assert model.best_params_["weight of noise"] == 0
    assert max(model.best_params_["weight of a"], model.best_params_["weight of b"]) == 1
    assert model.X_fit_.shape == (100, 5)  # nor a place in the model
    assert list(model.best_params_)[:2] == ["kernel", "length_scale"]
    one = KernelRidgeCV().fit(X[:100], y[:100])
    error, of_one = (np.abs(m.predict(X[100:]) - y[100:]).mean() for m in (model, one))
    assert error < 0.2 * of_one


def test_units_of_blocks_change_nothing():
    X, y = samples()
    model = KernelRidgeCV(blocks=BLOCKS).fit(X, y)
    other = X * np.repeat([1e-3, 1e4, 7.0], [2, 3, 6])
    again = KernelRidgeCV(blocks=BLOCKS).fit(other, y)
    assert again.best_params_ == model.best_params_
    assert again.predict(other[:9]) == pytest.approx(model.predict(X[:9]), rel=1e-6)


def test_one_block_is_no_block():
    X, y = samples()
    plain = KernelRidgeCV().fit(X, y)
    for parameters in ({"blocks": {"a": (0, 11)}}, {"blocks": BLOCKS, "block_weights": []}):
        model = KernelRidgeCV(**parameters).fit(X, y)
        np.testing.assert_array_equal(model.dual_coef_, plain.dual_coef_)
        np.testing.assert_array_equal(model.predict(X + 1), plain.predict(X + 1))
        assert model.best_params_ == plain.best_params_


def test_blocks_that_do_not_vary_are_dropped():
    X, y = samples()
    X[:, 2:5] = [0.1, 1e-30, 3e5]
    model = KernelRidgeCV(blocks=BLOCKS).fit(X, y)
    assert model.best_params_["weight of b"] == 0
    assert "weight of b" in model.best_params_
    without = KernelRidgeCV(blocks=[(0, 2), (2, 8)]).fit(np.delete(X, [2, 3, 4], axis=1), y)
    assert without.best_params_["weight of block 1"] == model.best_params_["weight of a"]
    changed = X.copy()
    changed[:, 2:5] = 7
    np.testing.assert_array_equal(model.predict(changed), model.predict(X))
    alike = KernelRidgeCV(blocks=BLOCKS).fit(np.ones((4, 11)), [1.0, 2.0, 3.0, 4.0])
    assert alike.predict(np.ones((1, 11))) == pytest.approx([2.5])


def test_principal_components_of_each_block():
    rng = np.random.default_rng(1)
    inner = rng.normal(size=(50, 6))
    X = np.hstack([inner[:, :3] @ rng.normal(size=(3, 20)), inner[:, 3:] @ rng.normal(size=(3, 30))])
    y, blocks = np.sin(inner[:, 0]) + inner[:, 4], {"a": (0, 20), "b": (20, 50)}
    options = {"kernels": ["rbf"], "scalings": ["none"], "blocks": blocks}
    whole, some = (KernelRidgeCV(**options, n_components=k).fit(X[:40], y[:40]) for k in (None, 3))
    assert some.X_fit_.shape == (40, 6)  # of rank 3 each: nothing is lost
    assert some.best_params_ == whole.best_params_
    assert some.predict(X[40:]) == pytest.approx(whole.predict(X[40:]), rel=1e-5)
    single = KernelRidgeCV(["rbf"], n_components=4).fit(X.astype(np.float32), y)
    assert single.X_fit_.shape == (50, 4)
    assert single.X_fit_.dtype == np.float32
    assert not [key for key in single.best_params_ if "weight" in key]


def test_many_samples():
    X, y = samples(400)
    options = {"kernels": ["rbf"], "length_scales": [1.0, 3.0], "alphas": [1e-4, 1e-2], "blocks": BLOCKS}
    options |= {"n_search": 150, "random_state": 0}
    exact = KernelRidgeCV(**options).fit(X[:300], y[:300])
    part = KernelRidgeCV(**options, max_exact=200, n_centers=120).fit(X[:300], y[:300])
    assert part.best_params_ == exact.best_params_
    assert part.dual_coef_.shape == (120,)
    for model in (exact, part):
        assert np.abs(model.predict(X[300:]) - y[300:]).mean() < 0.05
    rows = KernelRidgeCV(**options).fit(X[:300], y[:300]).predict(X[300:])
    np.testing.assert_array_equal(rows, exact.predict(X[300:]))


def test_sparse_features():
    X, y = samples()
    X = np.where(np.random.default_rng(0).random(X.shape) < 0.4, 0, X)
    dense, thin = (KernelRidgeCV(["rbf"], blocks=BLOCKS).fit(given, y) for given in (X, sparse.csr_array(X)))
    assert sparse.issparse(thin.X_fit_)
    assert thin.best_params_ == dense.best_params_
    assert thin.predict(sparse.csr_array(X[:5])) == pytest.approx(dense.predict(X[:5]), rel=1e-6)
    with pytest.raises(ValueError, match="n_components must be None for sparse features, got 3"):
        KernelRidgeCV(blocks=BLOCKS, n_components=3).fit(sparse.csr_array(X), y)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"blocks": {"a": (0, 2), "b": (3, 11)}}, "without gaps: 'b' must begin at column 2 .*, got \\(3, 11\\)"),
        ({"blocks": {"a": (0, 2), "b": (2, 2)}}, "'b' must begin at column 2 and hold at least one, got \\(2, 2\\)"),
        ({"blocks": {"a": (0, 2)}}, "blocks must reach to the last of 11 features, got 2 columns"),
        ({"blocks": {"a": (0, 12)}}, "blocks must reach to the last of 11 features, got 12 columns"),
        ({"blocks": {"a": 3}}, "'a' must be two column numbers"),
        ({"blocks": {1: (0, 11)}}, "names must be strings, got 1"),
        ({"blocks": "ab"}, "blocks must be a mapping of names to \\(start, stop\\), got 'ab'"),
        ({"block_weights": [-1.0]}, "block_weights must be >= 0, got -1"),
        ({"block_weights": [0.0]}, "block_weights must hold at least one choice > 0"),
        ({"block_weights": 2}, "block_weights must be a sequence of choices, got 2"),
        ({"n_components": 0}, "n_components must be >= 1, got 0"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises((ValueError, TypeError), match=message):
        KernelRidgeCV(**parameters).fit(*samples())


def test_a_kernel_matrix_has_no_blocks():
    with pytest.raises(ValueError, match="kernels must not be 'precomputed'"):
        KernelRidgeCV(["precomputed"], blocks=[(0, 2), (2, 4)]).fit(np.eye(4), np.arange(4.0))


# Models that see some of the blocks ---------------------------------------------------------------------------------


@parametrize_with_checks([KernelRidgeCV(n_components=8, scalings=("none",))])
def test_projected_kernel_ridge_is_a_scikit_learn_regressor(estimator, check):
    check(estimator)


def test_selected_blocks_keep_their_names_and_order():
    X, _ = samples()
    X[0, 0] = np.nan
    step = SelectBlocks(["noise", "a"], BLOCKS)
    np.testing.assert_array_equal(step.fit_transform(X), X[:, [0, 1, 5, 6, 7, 8, 9, 10]])
    names = joined(X).names
    assert step.get_feature_names_out(names).tolist() == names[:2] + names[5:]
    thin = clone(step).fit_transform(sparse.csr_array(X))
    np.testing.assert_array_equal(thin.toarray(), step.transform(X))


@pytest.mark.parametrize(
    ("names", "blocks", "message"),
    [
        (["c"], BLOCKS, "blocks must be among those of the features, got 'c': their blocks are 'a', 'b', 'noise'"),
        (["a"], None, "got 'a': these are not joined features"),
        ("a", BLOCKS, "blocks must be a list of names of joined features, got 'a'"),
        ([], BLOCKS, "blocks must hold at least one name, and none twice"),
        (["a", "a"], BLOCKS, "none twice, got \\['a', 'a'\\]"),
    ],
)
def test_blocks_that_there_are_not(names, blocks, message):
    with pytest.raises((ValueError, TypeError), match=message):
        SelectBlocks(names, blocks).fit(samples()[0])


@pytest.mark.parametrize("name", ["ridge", "random_forest", "sklearn.linear_model.Ridge"])
def test_a_model_of_some_blocks_is_the_model_of_their_columns(name):
    X, y = samples()
    problem = problem_of(y)
    split = make_split(problem, n_folds=3, test_size=0)
    some = evaluate(make_model(name, random_state=0, blocks=["b", "a"]), joined(X), problem, split)
    alone = evaluate(make_model(name, random_state=0), joined(X[:, :5], {"a": (0, 2), "b": (2, 5)}), problem, split)
    for one, other in zip(some.folds, alone.folds, strict=True):
        np.testing.assert_allclose(one.y_pred, other.y_pred, rtol=1e-9)


def test_blocks_must_be_those_of_the_features():
    X, y = samples()
    problem = problem_of(y)
    split = make_split(problem, n_folds=3)
    with pytest.raises(FitError, match=r"fold 1: .* got 'c': their blocks are 'a', 'b', 'noise'"):
        evaluate(make_model("ridge", blocks=["c"]), joined(X), problem, split)
    with pytest.raises(ValueError, match="blocks are for joined features, not for a kernel between samples"):
        make_model("kernel_ridge", pairwise=True, blocks=["a"])
    with pytest.raises(TypeError, match="blocks must be a list of names of joined features, got 'a'"):
        make_model("ridge", blocks="a")
    for values, options, message in (
        (X[:, :4], {"blocks": BLOCKS}, "features 'k': blocks must reach to the last of 4 features"),
        (np.eye(11), {"blocks": BLOCKS, "pairwise": True}, "features 'k': blocks are for tables of features"),
        (["H2O"], {"blocks": BLOCKS}, "features 'k': blocks are for tables of features"),
    ):
        with pytest.raises(ValueError, match=message):
            Features("k", "", "", values, [], 0.0, {}, **options)


class Members(RegressorMixin, BaseEstimator):
    """What holds estimators in a list."""

    def __init__(self, members):
        self.members = members


def test_blocks_reach_every_model_that_wants_them():
    inner = make_model("kernel_ridge", blocks=["b", "noise"])
    ridge = KernelRidgeCV()
    scaled = Pipeline([("scale", StandardScaler()), ("project", Projection()), ("model", KernelRidgeCV())])
    members = Members([("inner", inner), ("target", ScaledTarget(KernelRidgeCV())), ("projected", scaled)])
    search = Search("grid").wrap(members, {"members": [[]]}, "regression")
    found = with_blocks(search, BLOCKS).estimator.members
    assert found[0][1]["select"].blocks == BLOCKS
    assert found[0][1]["model"].blocks == {"b": (0, 3), "noise": (3, 9)}
    assert found[1][1].regressor.blocks == BLOCKS
    assert found[2][1]["model"].blocks is None  # components are of no block
    assert inner["select"].blocks is None
    assert with_blocks(ridge, {}).blocks is None
    own = {"x": (0, 4), "y": (4, 11)}
    assert with_blocks(KernelRidgeCV(blocks=own), BLOCKS).blocks == own


def test_weights_are_chosen_in_each_fold_from_its_training_samples():
    X, y = samples(80)
    split = make_split(problem_of(y), n_folds=3, test_size=0.2)
    model = make_model("kernel_ridge", kernels=["rbf"], random_state=0)
    found = evaluate(model, joined(X), problem_of(y), split)
    for _, fold in found.parts():
        assert fold.chosen["weight of noise"] < 0.3
        assert {"weight of a", "weight of b", "alpha"} <= set(fold.chosen)
    changed = y.copy()
    changed[split.test] = 1000 * np.random.default_rng(1).normal(size=len(split.test))
    again = evaluate(model, joined(X), problem_of(changed), split)
    for (_, one), (_, other) in zip(found.parts(), again.parts(), strict=True):
        np.testing.assert_array_equal(one.y_pred, other.y_pred)
        assert one.chosen == other.chosen


def test_importance_of_features_that_a_model_does_not_see():
    pytest.importorskip("shap")
    X, _ = samples()
    y = X[:, 2]
    model = with_blocks(make_model("random_forest", random_state=0, blocks=["b", "noise"]), BLOCKS).fit(X, y)
    shares = impurity_importance(model)
    assert shares.shape == (11,)
    assert shares[:2].tolist() == [0, 0]
    np.testing.assert_array_equal(shares[2:], model["model"].feature_importances_)
    groups = {name: np.arange(*pair) for name, pair in BLOCKS.items()}
    found = {item.label: item.mean for item in shapley_importance(model, X, groups)}
    assert found["a"] == 0
    assert found["b"] > found["noise"] > 0
    mixed = make_model("random_forest", random_state=0, projection={"n_components": 3}).fit(X, y)
    assert impurity_importance(mixed) is None
    with pytest.raises(ValueError, match="models that see the features themselves"):
        shapley_importance(mixed, X, groups)


# Recipes ------------------------------------------------------------------------------------------------------------


def recipe_file(tmp_path, path, models):
    file = tmp_path / "recipe.toml"
    text = RECIPE.format(path=path)
    file.write_text(text[: text.index("weights =")] + text[text.index("[models") :].replace("[models.kernel_ridge]\n"
        'projection = { n_components = 12, whiten = 0.1 }\nkernels = ["matern52"]\nscalings = ["none"]\n', models),
        encoding="utf-8")  # fmt: skip
    return file


def test_blocks_in_a_recipe_to_a_saved_model(rocksalts, tmp_path):
    models = '[models.kernel_ridge]\nkernels = ["rbf"]\nn_components = 6\nblock_weights = [0, 0.5, 1]\n'
    run = train(Recipe.read(recipe_file(tmp_path, rocksalts.name, models), ["n_jobs=1"]))
    (trial,) = run.study.trials
    blocks = trial.features.blocks
    for name, (start, stop) in blocks.items():
        assert {text.partition("__")[0] for text in trial.features.names[start:stop]} == {name}
    assert list(blocks) == ["composition", "roles"]
    chosen = trial.evaluations["kernel_ridge"].test.chosen
    assert {"weight of composition", "weight of roles"} <= set(chosen)
    assert {item.label for item in trial.importance.groups["descriptors"]} == set(blocks)
    files = run.write(tmp_path / "out")
    assert "weight of roles = " in files["report.html"].read_text(encoding="utf-8")
    again = load_model(files["model.atomprint"])
    assert chosen_parameters(again.pipeline)["weight of roles"] >= 0
    structures = run.study.problem.dataset.structures
    np.testing.assert_array_equal(again.predict(structures[:5]).values, run.model.predict(structures[:5]).values)


def test_a_saved_model_of_some_blocks(rocksalts, tmp_path):
    models = '[models.kernel_ridge]\nblocks = ["roles"]\nkernels = ["rbf"]\n[models.ridge]\nblocks = ["composition"]\n'
    run = train(
        Recipe.read(recipe_file(tmp_path, rocksalts.name, models), ["n_jobs=1", "evaluation.learning_curve=false"])
    )
    files = run.write(tmp_path / "out")
    structures = run.study.problem.dataset.structures
    again = load_model(files["model.atomprint"])
    np.testing.assert_array_equal(again.predict(structures[:5]).values, run.model.predict(structures[:5]).values)


def test_blocks_of_features_of_atoms():
    parts = [(f"soap{k}", SOAP(r_cut=3.0, n_max=k, l_max=1, periodic=False)) for k in (1, 2)]
    given = FeatureSet("all", "all", "", LocalUnion(parts))
    features, _ = compute_features(given, atoms_problem())
    assert features.blocks == {"soap1": (0, 2), "soap2": (2, 8)}
    assert all(features.names[k].startswith("soap1__") == (k < 2) for k in range(8))


def test_a_recipe_with_a_block_that_there_is_not_stops_before_the_work(rocksalts, tmp_path):
    models = '[models.ridge]\nblocks = ["sites"]\n'
    with pytest.raises(ValueError, match=r"models.ridge on features.all: blocks must be among .*, got 'sites'"):
        train(Recipe.read(recipe_file(tmp_path, rocksalts.name, models)))


def test_models_without_blocks_are_left_alone():
    model = Ridge()
    assert with_blocks(model, BLOCKS) is not model
    assert with_blocks(model, BLOCKS).get_params() == model.get_params()
