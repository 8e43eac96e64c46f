import numpy as np
import pytest
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.impute import SimpleImputer
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_limits

from atomprint.learn import MODELS, DropNoise, GaussianProcess, Interval, KernelRidgeCV, Search, make_model
from atomprint.learn.estimators import similarity
from atomprint.learn.estimators.levels import Levels
from atomprint.learn.estimators.similarity import factorise
from atomprint.learn.models.anatomy import chosen_parameters, unwrap
from atomprint.learn.models.doubt import standard_deviation
from atomprint.learn.models.search import OptunaSearch
from atomprint.util.beyond import beyond

EVERY = [(name, kind) for name, spec in MODELS.items() for kind in spec.kinds]
TREES = {"decision_tree", "extra_trees", "random_forest", "xgboost"}
QUICK = {"ensemble": {"n_folds": 1}, "resnet": {"width": 32, "n_epochs": 60}}


@pytest.fixture(autouse=True)
def one_thread():
    """Keep small fits from waiting for threads that a busy machine does not have."""
    with threadpool_limits(1, user_api="openmp"):
        yield


@pytest.fixture(scope="module")
def data():
    """Return features, of which one is constant, and targets: numbers and three classes."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 5))
    X[:, 3] = 2.0
    y = 100 * (X[:, 0] + X[:, 1] ** 2)
    return X, {"regression": y, "classification": (y > 0).astype(int) + (y > 150)}


def rbf(X, Y=None, gamma=0.1):
    Y = X if Y is None else Y
    return np.exp(-gamma * ((X[:, None] - Y) ** 2).sum(axis=2))


# By name ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "kind"), EVERY)
def test_every_model_learns_is_repeatable_and_leaves_its_input_alone(name, kind, data):
    X, y = data[0], data[1][kind]
    kept = X.copy()
    predictions = []
    for n_jobs in (1, 2):
        model = clone(make_model(name, kind, random_state=1, n_jobs=n_jobs, **QUICK.get(name, {}))).fit(X, y)
        predictions.append(model.predict(X))
    assert (kept == X).all()
    if name in ("random_forest", "extra_trees", "mlp", "ensemble"):  # sums over threads
        assert predictions[0] == pytest.approx(predictions[1], rel=1e-9)
    else:
        assert (predictions[0] == predictions[1]).all()
    if name not in ("dummy", "mlp"):
        baseline = make_model("dummy", kind).fit(X, y)
        assert model.score(X, y) > baseline.score(X, y) + 0.1
    if kind == "classification":
        p = model.predict_proba(X)
        assert p.shape == (60, 3)
        assert p.sum(axis=1) == pytest.approx(np.ones(60), abs=1e-6)


@pytest.mark.parametrize(("name", "kind"), [entry for entry in EVERY if entry[0] != "dummy"])
def test_missing_and_constant_features_are_no_obstacle(name, kind, data):
    X, y = data[0].copy(), data[1][kind]
    X[3, 1] = np.nan
    X[:, 4] = np.nan
    model = make_model(name, kind, random_state=1, **QUICK.get(name, {})).fit(X[:50], y[:50])
    assert np.isfinite(model.predict(X)).all()
    assert unwrap(model)[1].n_features_in_ == 5  # so that importances belong to the names


def test_scaling_and_imputation_are_steps_of_the_model(data):
    model = make_model("svm").fit(data[0], data[1]["regression"])
    clean, impute, scale = unwrap(model)[0]
    assert isinstance(clean, DropNoise)
    assert isinstance(impute, SimpleImputer)
    assert isinstance(scale, StandardScaler)
    assert scale.mean_ == pytest.approx(data[0].mean(axis=0) * [1, 1, 1, 0, 1])  # the constant becomes zero
    for name in TREES:
        binned = [Levels] if name == "xgboost" else []
        assert [type(step) for step in unwrap(make_model(name))[0]] == [DropNoise, *binned]


@pytest.mark.parametrize("name", ["svm", "mlp", "lasso", "kernel_ridge", "gaussian_process", "k_neighbors", "ridge"])
def test_the_unit_of_the_target_does_not_matter(name, data):
    X, y = data[0], data[1]["regression"]
    one, thousand = (make_model(name, random_state=0).fit(X, c * y).predict(X) / c for c in (1, 1000))
    assert one == pytest.approx(thousand, rel=1e-5, abs=1e-4)


def test_float32_features_stay_float32_up_to_the_model():
    X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    model = make_model("linear").fit(X, X[:, 0])
    for step in unwrap(model)[0]:
        X = step.transform(X)
        assert X.dtype == np.float32


def test_gradient_boosting_does_not_depend_on_threads(data):
    X, y = data[0], data[1]["regression"]
    found = []
    for n in (1, 2):
        with threadpool_limits(n):
            found.append(make_model("hist_gradient_boosting", random_state=0).fit(X, y).predict(X))
    assert (found[0] == found[1]).all()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("oracle", {}, "model must be one of 'dummy', .* or an import path such as .*, got 'oracle'"),
        ("random_forrest", {}, "did you mean 'random_forest'"),
        ("ridge", {"kind": "ranking"}, "kind must be one of 'regression', 'classification', got 'ranking'"),
        ("kernel_ridge", {"kind": "classification"}, "'kernel_ridge' is not for classification: choose one of .*svm"),
        (
            "random_forest",
            {"pairwise": True},
            "'random_forest' is not for a kernel between samples: .*gaussian_process",
        ),
        ("random_forest", {"n_tree": 5}, "'random_forest': parameters must be among .* got 'n_tree'"),
        ("random_forest", {"n_estimator": 5}, "did you mean 'n_estimators'"),
        (
            "svm",
            {"kernel": "precomputed"},
            "takes kernels between samples with these parameters: pairwise must be True",
        ),
        ("sklearn.svm.NoSuch", {}, "'sklearn.svm.NoSuch' cannot be imported: .*NoSuch"),
        ("nowhere.Model", {}, "'nowhere.Model' cannot be imported: No module named 'nowhere'"),
        ("sklearn.svm.NuSVR", {"nuu": 0.1}, "parameters must be among .*, got 'nuu': did you mean 'nu'"),
        ("sklearn.svm.NuSVR", {"kind": "classification"}, "'sklearn.svm.NuSVR' is not for classification"),
        ("sklearn.svm.NuSVR", {"pairwise": True}, "takes no kernels between samples .*: pairwise must be False"),
        ("sklearn.metrics.r2_score", {}, "must be a class with fit, predict and get_params"),
        ("sklearn.ensemble.StackingRegressor", {}, "must be given estimators"),
        ("kernel_ridge", {"search": Search()}, "no default space, it chooses its hyperparameters itself"),
        ("ridge", {"search": Search(space={"alpa": [1.0]})}, "space: hyperparameters must be among .* got 'alpa'"),
    ],
)
def test_models_that_there_are_not(name, options, message):
    with pytest.raises(ValueError, match=message):
        make_model(name, **options)


def test_any_estimator_by_its_import_path():
    model = make_model("sklearn.svm.NuSVR", nu=0.3)
    assert model.nu == 0.3
    model = make_model(
        "sklearn.ensemble.BaggingRegressor", random_state=3, n_jobs=2, estimator=KernelRidge(), estimator__alpha=0.5
    )
    assert (model.random_state, model.n_jobs, model.estimator.alpha) == (3, 2, 0.5)
    assert make_model("sklearn.svm.SVR", pairwise=True, kernel="precomputed").kernel == "precomputed"
    pytest.importorskip("xgboost")
    assert make_model("xgboost.XGBRegressor", max_depth=2).max_depth == 2


def test_extras_that_are_missing_are_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "xgboost", None)
    with pytest.raises(ImportError, match=r"pip install 'atomprint\[xgboost\]'"):
        make_model("xgboost")
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(ImportError, match=r"pip install 'atomprint\[optuna\]'"):
        make_model("ridge", search=Search("optuna")).fit(np.eye(8), np.arange(8.0))


def test_the_spread_of_a_forest_is_that_of_its_trees(data):
    X, y = data[0], data[1]["regression"]
    model = make_model("random_forest", n_estimators=20, random_state=0).fit(X, y)
    clean, forest = model
    by_tree = np.array([tree.predict(clean.transform(X)) for tree in forest.estimators_])
    assert standard_deviation(model, X) == pytest.approx(by_tree.std(axis=0))
    assert standard_deviation(make_model("ridge").fit(X, y), X) is None
    scaled = TransformedTargetRegressor(model, transformer=StandardScaler()).fit(X, y)
    # In the unit of the target; trees may split at other places where the gain is the same but for rounding.
    assert standard_deviation(scaled, X).mean() == pytest.approx(by_tree.std(axis=0).mean(), rel=0.1)


# Searches ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "kind_of_search"), [("grid", GridSearchCV), ("random", RandomizedSearchCV), ("optuna", OptunaSearch)]
)
def test_searches_find_what_is_needed_and_are_repeatable(method, kind_of_search, data):
    X, y = data[0], data[1]["regression"]
    search = Search(method, space={"C": {"low": 1e-4, "high": 1e3, "log": True}}, n_iter=6, n_folds=3, seed=5)
    model = make_model("svm", search=search)
    assert isinstance(model, kind_of_search)
    found = [clone(model).fit(X, y) for _ in range(2)]
    assert chosen_parameters(found[0]) == chosen_parameters(found[1])
    assert list(chosen_parameters(found[0])) == ["C"]
    assert chosen_parameters(found[0])["C"] > 1
    assert (found[0].predict(X) == found[1].predict(X)).all()
    refit = make_model("svm", **chosen_parameters(found[0])).fit(X, y)
    assert found[0].predict(X) == pytest.approx(refit.predict(X))


@pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name, spec in MODELS.items() if spec.space for kind in spec.kinds]
)
def test_every_default_space_holds_parameters_of_the_model(name, kind, data):
    fast = {"random_forest": {"n_estimators": 3}, "xgboost": {"n_estimators": 3}, "mlp": {"max_iter": 30}}
    fast |= {"hist_gradient_boosting": {"max_iter": 3}, "resnet": {"n_epochs": 2}}
    search = Search("random", n_iter=2, n_folds=2)
    model = make_model(name, kind, random_state=0, search=search, **fast.get(name, {}))
    with np.errstate(all="ignore"), pytest.MonkeyPatch.context() as patch:
        patch.setattr("sklearn.neural_network._multilayer_perceptron.warnings.warn", lambda *_, **__: None)
        model.fit(data[0], data[1][kind])
    assert set(chosen_parameters(model)) <= set(MODELS[name].space) | {"C"}


def test_no_search_is_the_model_as_it_is():
    plain = make_model("svm", search=Search("none", space={"C": [1.0, 2.0]}))
    assert type(plain) is Pipeline
    assert plain.get_params()["model__regressor__C"] == make_model("svm").get_params()["model__regressor__C"]
    assert Search("none").wrap(plain, {}, "regression") is plain


def test_a_grid_over_kernels_slices_both_axes(data):
    X, y = data[0], data[1]["regression"]
    model = make_model("svm", pairwise=True, search=Search("grid", space={"C": [0.1, 1.0, 10.0]}, n_folds=3))
    model.fit(rbf(X), y)
    assert model.predict(rbf(X[:4], X)).shape == (4,)


def test_a_search_space_of_an_imported_model(data):
    search = Search("grid", space={"nu": [0.2, 0.5]}, n_folds=2)
    model = make_model("sklearn.svm.NuSVR", search=search).fit(data[0], data[1]["regression"])
    assert chosen_parameters(model)["nu"] in (0.2, 0.5)
    with pytest.raises(ValueError, match="no default space: leave search out, or give it a space"):
        make_model("sklearn.svm.NuSVR", search=Search())


def test_intervals_are_drawn_from_evenly():
    rng = np.random.RandomState(0)
    draws = np.array([Interval(1e-3, 1e3, log=True).rvs(rng) for _ in range(2000)])
    assert 1e-3 <= draws.min() < draws.max() <= 1e3
    assert np.mean(draws < 1) == pytest.approx(0.5, abs=0.04)
    whole = [Interval(1, 4, integer=True).rvs(rng) for _ in range(2000)]
    assert np.unique(whole, return_counts=True)[1] == pytest.approx([500] * 4, abs=80)
    assert Interval(1, 100, log=True, integer=True).grid(3) == [1, 10, 100]
    assert Interval(0.0, 1.0).grid(3) == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Interval(0.0, 1.0, log=True), "low must be > 0, got 0.0"),
        (lambda: Interval(2.0, 1.0), "high must be > low = 2, got 1"),
        (lambda: Interval(0.5, 2, integer=True), "low must be a whole number for integer=True, got 0.5"),
        (lambda: Search("guess"), "method must be one of 'none', 'grid', 'random', 'optuna', got 'guess'"),
        (lambda: Search(n_iter=0), "n_iter must be >= 1, got 0"),
        (lambda: Search(n_folds=1), "n_folds must be >= 2, got 1"),
        (lambda: Search(space={}), "space must be a dict with at least one hyperparameter"),
        (lambda: Search(space={"C": []}), "space: C must be a list with at least one choice"),
        (lambda: Search(space={"C": {"low": 1}}), "space: C must be a list, or a dict of low, high"),
        (lambda: Search(space={"C": {"low": 2, "high": 1}}), "space: C: high must be > low"),
    ],
)
def test_bad_searches(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


# Kernel ridge -----------------------------------------------------------------------------------------------------


@parametrize_with_checks([KernelRidgeCV(), GaussianProcess()])
def test_kernel_models_are_scikit_learn_regressors(estimator, check):
    check(estimator)


def test_leave_one_out_errors_are_those_of_leaving_out_each_sample():
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(25, 3)), rng.normal(size=25)
    model = KernelRidgeCV(kernels=["rbf"], length_scales=[0.8], alphas=[0.05], scalings=["none"]).fit(X, y)
    # The unit of length and the mean of the targets come from all training samples, as in the fit.
    gamma = 0.5 / (0.8 * model.unit_) ** 2
    errors = []
    for i in range(25):
        rest = np.arange(25) != i
        one_out = KernelRidge(alpha=0.05, kernel="rbf", gamma=gamma).fit(X[rest], y[rest] - y.mean())
        errors.append(abs(one_out.predict(X[[i]])[0] - (y[i] - y.mean())))
    assert model.best_score_ == pytest.approx(np.mean(errors), rel=1e-9)
    whole = KernelRidge(alpha=0.05, kernel="rbf", gamma=gamma).fit(X, y - y.mean())
    assert model.predict(X[:4]) == pytest.approx(whole.predict(X[:4]) + y.mean(), rel=1e-9)
    # The same kernel, computed beforehand.
    K = 3 * rbf(X, gamma=gamma)
    given = KernelRidgeCV(["precomputed"], alphas=[0.05]).fit(K, y)
    assert given.best_score_ == pytest.approx(model.best_score_)
    assert given.predict(K[:4]) == pytest.approx(model.predict(X[:4]))


def test_kernel_ridge_chooses_what_suits_the_data():
    rng = np.random.default_rng(2)
    X = rng.uniform(-2, 2, size=(120, 1))
    smooth = KernelRidgeCV().fit(X[:80], np.sin(2 * X[:80, 0]))
    assert np.abs(smooth.predict(X[80:]) - np.sin(2 * X[80:, 0])).max() < 0.01
    assert smooth.best_params_["kernel"] == "rbf"
    rough = KernelRidgeCV().fit(X[:80], np.abs(X[:80, 0]))
    assert rough.best_params_["kernel"] == "laplacian"
    # A feature that matters in a much smaller unit than one that does not.
    X = np.column_stack([X[:, 0], 1000 * rng.normal(size=120)])
    assert KernelRidgeCV().fit(X, np.sin(2 * X[:, 0])).best_params_["scaling"] == "standard"


def test_kernel_ridge_does_not_depend_on_the_unit_of_features():
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(2, 30, 4)), rng.normal(size=30)
    one, thousand = (KernelRidgeCV().fit(scale * X[0], y).predict(scale * X[1]) for scale in (1, 1000))
    assert one == pytest.approx(thousand, rel=1e-6)


def test_samples_that_are_all_alike_give_their_mean():
    model = KernelRidgeCV().fit(np.ones((4, 2)), [1.0, 2.0, 3.0, 4.0])
    assert model.predict(np.ones((1, 2))) == pytest.approx([2.5])


def test_kernel_ridge_for_many_samples():
    rng = np.random.default_rng(4)
    X = rng.uniform(-2, 2, size=(500, 2))
    y = np.sin(2 * X[:, 0]) * X[:, 1]
    new = rng.uniform(-2, 2, size=(50, 2))
    truth = np.sin(2 * new[:, 0]) * new[:, 1]
    options = {"n_search": 150, "random_state": 0}
    exact = KernelRidgeCV(**options).fit(X, y)
    best = exact.best_params_
    gamma = 0.5 / (best["length_scale"] * exact.unit_) ** 2
    assert best["kernel"] == "rbf"
    Z, new_z = (x if best["scaling"] == "none" else x / X[exact_rows(500, 150)].std(axis=0) for x in (X, new))
    peer = KernelRidge(alpha=best["alpha"], kernel="rbf", gamma=gamma).fit(Z, y - y.mean())
    assert exact.predict(new) == pytest.approx(peer.predict(new_z) + y.mean(), abs=1e-4)
    part = KernelRidgeCV(**options, max_exact=300, n_centers=200).fit(X, y)
    assert len(part.dual_coef_) == 200
    assert np.abs(part.predict(new) - truth).max() < 0.1
    # All samples as centres make it exact again.
    options |= {"alphas": [1e-2], "length_scales": [1.0]}
    whole = KernelRidgeCV(**options).fit(X, y)
    all_centers = KernelRidgeCV(**options, max_exact=300, n_centers=500).fit(X, y)
    assert all_centers.predict(new) == pytest.approx(whole.predict(new), abs=1e-4)
    # And of a kernel matrix.
    K = rbf(X, gamma=1.0)
    part = KernelRidgeCV(["precomputed"], **options, max_exact=300, n_centers=200).fit(K, y)
    assert np.abs(part.predict(rbf(new, X, gamma=1.0)) - truth).max() < 0.05


def test_cholesky_of_a_matrix_that_rounding_has_spoilt():
    X = np.linspace(0, 1, 40)[:, None]
    K = rbf(X, gamma=1.0)  # of rank 15 or so
    with pytest.raises(np.linalg.LinAlgError):
        np.linalg.cholesky(K - 1e-14 * np.eye(40))
    L, lower = factorise(K - 1e-14 * np.eye(40))
    assert lower
    assert np.tril(L) @ np.tril(L).T == pytest.approx(K, abs=1e-10)
    matrix = np.eye(3) + 0.5
    kept = matrix.copy()
    L, _ = factorise(matrix)
    assert np.shares_memory(L, matrix)
    assert np.tril(L) @ np.tril(L).T == pytest.approx(kept)
    with pytest.raises(np.linalg.LinAlgError):
        factorise(np.array([[1.0, 5.0], [5.0, 1.0]]))


def exact_rows(n, size):
    return np.sort(np.random.default_rng(0).choice(n, size, replace=False))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"kernels": ["cubic"]}, "kernels must be one of 'rbf', 'laplacian', 'matern52', 'precomputed', got 'cubic'"),
        ({"kernels": ["rbf", "precomputed"]}, "kernels must not mix 'precomputed' with kernels of features"),
        ({"kernels": "rbf"}, "kernels must be a sequence of choices, got 'rbf'"),
        ({"alphas": [0.0]}, "alphas must be > 0, got 0.0"),
        ({"length_scales": [-1.0]}, "length_scales must be > 0, got -1.0"),
        ({"scalings": ["robust"]}, "scalings must be one of 'none', 'standard', got 'robust'"),
        ({"alphas": []}, "alphas must hold at least one choice"),
        ({"n_search": 1}, "n_search must be >= 2, got 1"),
    ],
)
def test_bad_parameters_of_kernel_ridge(parameters, message):
    with pytest.raises((ValueError, TypeError), match=message):
        KernelRidgeCV(**parameters).fit(np.eye(4), np.arange(4.0))


def test_a_kernel_matrix_must_be_one():
    with pytest.raises(ValueError, match="a kernel matrix between samples must be square"):
        KernelRidgeCV(["precomputed"]).fit(np.ones((4, 3)), np.arange(4.0))
    with pytest.raises(ValueError, match="positive similarities on its diagonal, got a mean of -1"):
        KernelRidgeCV(["precomputed"]).fit(-np.eye(4), np.arange(4.0))


# Gaussian process -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precomputed", [False, True])
def test_a_gaussian_process_is_that_of_scikit_learn(precomputed):
    rng = np.random.default_rng(5)
    X, new = rng.uniform(-3, 3, size=(40, 2)), rng.uniform(-3, 3, size=(7, 2))
    y = 5 + 3 * np.sin(X[:, 0]) + X[:, 1] + 0.2 * rng.normal(size=40)
    model = GaussianProcess(["rbf"], [0.8], ["none"]).fit(X, y)
    scale = 0.8 * model.similarity_.unit
    if precomputed:
        gamma = 0.5 / scale**2
        model = GaussianProcess(["precomputed"]).fit(2 * rbf(X, gamma=gamma), y)
        given = 2 * rbf(new, X, gamma=gamma)
    else:
        given = new
    start = ConstantKernel(model.amplitude_**2) * RBF(scale, "fixed") + WhiteKernel(
        model.amplitude_**2 * model.best_params_["noise"]
    )
    peer = GaussianProcessRegressor(start, optimizer=None, alpha=0).fit(X, y - y.mean())
    mean, std = model.predict(given, return_std=True)
    peer_mean, peer_std = peer.predict(new, return_std=True)
    assert mean == pytest.approx(peer_mean + y.mean())
    assert std == pytest.approx(peer_std)
    assert model.log_marginal_likelihood_ == pytest.approx(peer.log_marginal_likelihood_value_)
    # The parameters are those of the largest marginal likelihood.
    free = GaussianProcessRegressor(start, alpha=0).fit(X, y - y.mean())
    assert model.log_marginal_likelihood_ == pytest.approx(free.log_marginal_likelihood_value_, abs=1e-4)


def test_a_gaussian_process_knows_how_sure_it_is():
    rng = np.random.default_rng(6)
    X = rng.uniform(-1, 1, size=(200, 1))
    y = np.sin(4 * X[:, 0]) + 0.1 * rng.normal(size=200)
    model = GaussianProcess(n_search=100, random_state=0).fit(X, y)
    new = rng.uniform(-1, 1, size=(500, 1))
    mean, std = model.predict(new, return_std=True)
    assert std.mean() == pytest.approx(0.1, abs=0.02)
    inside = np.abs(np.sin(4 * new[:, 0]) + 0.1 * rng.normal(size=500) - mean) < 2 * std
    assert inside.mean() == pytest.approx(0.95, abs=0.03)
    assert model.predict([[5.0]], return_std=True)[1] > 2 * std.mean()


def test_limits_of_gaussian_processes():
    with pytest.raises(ValueError, match=r"max_samples is 10, got 11 training samples: .* take kernel_ridge"):
        GaussianProcess(max_samples=10).fit(np.eye(11), np.arange(11.0))
    K = rbf(np.arange(10.0)[:, None]) * np.outer(np.arange(1, 11), np.arange(1, 11))
    model = GaussianProcess(["precomputed"]).fit(K, np.arange(10.0))
    model.predict(K)
    assert standard_deviation(model, K) is None
    with pytest.raises(ValueError, match="return_std needs a kernel with the same similarity of each sample"):
        model.predict(K, return_std=True)


@pytest.mark.parametrize("n", [1, 63, 64, 65, 200])
def test_matrices_are_factorised_in_blocks(monkeypatch, n):
    monkeypatch.setattr(similarity, "_BLOCK", 64)
    X = np.random.default_rng(n).normal(size=(n, n + 3))
    matrix = X @ X.T
    factor, lower = similarity.factorise(matrix.copy())
    assert lower
    np.testing.assert_allclose(np.tril(factor), np.linalg.cholesky(matrix), rtol=1e-9, atol=1e-10)


def test_a_matrix_that_is_not_quite_definite_is_factorised_in_blocks(monkeypatch):
    monkeypatch.setattr(similarity, "_BLOCK", 16)
    X = np.random.default_rng(0).normal(size=(100, 3))
    matrix = X @ X.T  # of rank 3
    factor = np.tril(similarity.factorise(matrix.copy())[0])
    np.testing.assert_allclose(factor @ factor.T, matrix, atol=1e-6)


def test_models_have_the_names_that_people_use():
    from atomprint.learn.models.catalogue import MODELS, OTHER_NAMES

    assert set(OTHER_NAMES.values()) <= set(MODELS)
    assert not set(OTHER_NAMES) & set(MODELS)
    for name in ("knn", "tree", "neural_network", "linear", "rf", "svr"):
        assert repr(make_model(name)) == repr(make_model(OTHER_NAMES.get(name, name)))
    with pytest.raises(ValueError, match=r"got 'Rigde': did you mean 'ridge'\?"):
        make_model("Rigde")
    with pytest.raises(ValueError, match=r"got 'KNNN': did you mean 'knn'\?"):
        make_model("KNNN")


# Beyond the ends of what is tried ---------------------------------------------------------------------------------


def test_ends_are_followed_three_steps_and_not_for_two_choices():
    assert list(beyond([1.0, 10.0, 100.0], 100.0)) == pytest.approx([1e3, 1e4, 1e5])
    assert list(beyond([100.0, 1.0, 10.0], 1.0)) == pytest.approx([0.1, 0.01, 0.001])
    assert list(beyond([1.0, 3.0, 4.0], 1.0, least=0.2)) == pytest.approx([1 / 3])
    assert list(beyond([1.0, 10.0, 100.0], 10.0)) == []
    assert list(beyond([1.0, 10.0], 10.0)) == []
    assert list(beyond([0.0, 1.0, 10.0], 10.0)) == []


def test_length_scales_and_regularisations_are_followed_as_long_as_errors_become_smaller():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(80, 2))
    y = X.sum(axis=1) + 0.3 * rng.normal(size=80)
    short = KernelRidgeCV(["rbf"], (0.01, 0.02, 0.04), (1e-6, 1e-5, 1e-4), ("none",)).fit(X, y)
    assert short.best_params_["length_scale"] == pytest.approx(0.32)
    assert short.best_params_["alpha"] == pytest.approx(0.1)
    every = [KernelRidgeCV(["rbf"], [0.01 * 2**k], [10.0**-m], ("none",)) for k in range(6) for m in range(1, 7)]
    assert short.best_score_ == pytest.approx(min(model.fit(X, y).best_score_ for model in every))
    assert short.length_scales == (0.01, 0.02, 0.04)
    process = GaussianProcess(["rbf"], (0.01, 0.02, 0.04), ("none",)).fit(X, y)
    assert process.best_params_["length_scale"] == pytest.approx(0.32)
    blocks = KernelRidgeCV(["rbf"], (0.01, 0.02, 0.04), (1e-4, 1e-3, 1e-2), ("none",), blocks=[(0, 1), (1, 2)]).fit(
        X, y
    )
    assert blocks.best_params_["length_scale"] > 0.2
    ridge = make_model("ridge", alphas=[1e-3, 1e-2, 1e-1]).fit(X[:, :1], rng.normal(size=80))
    assert ridge[-1].alpha_ == pytest.approx(100.0)
    assert ridge[-1].alphas == [1e-3, 1e-2, 1e-1]


@pytest.mark.parametrize("method", ["grid", "random", "optuna"])
def test_searches_go_beyond_the_ends_of_orders_of_magnitude(method, data):
    X, y = data[0], data[1]["regression"]
    spaces = [{"C": {"low": 1e-4, "high": 1e-2, "log": True}}, {"C": [1e-4, 1e-3, 1e-2]}]
    for space in spaces:
        search = Search(method, space=space, n_iter=8, n_folds=2)
        found = make_model("svm", search=search).fit(X, y)
        tried = [entry["model__regressor__C"] for entry in found.cv_results_["params"]]
        assert chosen_parameters(found)["C"] > 0.02
        assert len(tried) <= 8 + 3
    bound = {"C": {"low": 1, "high": 4, "integer": True, "log": True}, "epsilon": [0.001, 0.01, 0.5]}
    found = make_model("svm", search=Search(method, space=bound, n_iter=4, n_folds=2)).fit(X, y)
    assert chosen_parameters(found)["C"] <= 4
    assert chosen_parameters(found)["epsilon"] in bound["epsilon"]


def test_a_value_that_a_model_refuses_is_an_end(data):
    X, y = data[0], data[1]["regression"]

    class Refusing(Ridge):
        def fit(self, X, y):
            if self.alpha > 0.02:
                raise ValueError("alpha must be <= 0.02")
            return super().fit(X, y)

    space = {"alpha": [1e-4, 1e-3, 1e-2]}
    found = Search("grid", space, n_folds=2).wrap(Refusing(), {}, "regression").fit(X, y)
    assert found.best_params_["alpha"] == 1e-2
    assert len(found.cv_results_["params"]) == 3
