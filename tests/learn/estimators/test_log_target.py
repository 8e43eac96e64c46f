"""Models that learn logarithms: predictions, doubts and intervals come back as numbers of the target."""

import numpy as np
import pytest
from helpers.problems import features_of, problem_of
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_no_attributes_set_in_init

from atomprint.learn import conformal, evaluate, make_model, make_split
from atomprint.learn.estimators.log_target import LogScaler
from atomprint.learn.evaluation.evaluate import fit_estimator
from atomprint.learn.models.anatomy import innermost, learns_logs
from atomprint.learn.models.doubt import predict_with_doubt


@pytest.fixture(scope="module")
def lognormal():
    """Return features and a target that spans orders of magnitude, with errors that are as large as it is."""
    rng = np.random.default_rng(5)
    X = rng.normal(size=(400, 4))
    return X, np.exp(X @ [2.0, 1.0, 0.5, 0.0] + 0.3 * rng.normal(size=400))


def test_logarithms_and_back():
    y = np.array([[0.5], [2.0], [800.0]])
    scaler = LogScaler().fit(y)
    z = scaler.transform(y)
    assert (z.mean(), z.std()) == (pytest.approx(0), pytest.approx(1))
    assert z == pytest.approx(StandardScaler().fit_transform(np.log(y)))
    assert scaler.inverse_transform(z) == pytest.approx(y)
    far = scaler.inverse_transform(np.array([[-1e9], [1e9]]))
    assert far == pytest.approx(np.array([[0.5 / 1600], [800 * 1600]]))  # and not 0 and infinity
    assert LogScaler().fit([[3.0], [3.0]]).inverse_transform([[0.0]]) == pytest.approx(3)
    check_no_attributes_set_in_init("LogScaler", scaler)
    with pytest.raises(ValueError, match=r"targets must be > 0 to have logarithms, got 0"):
        scaler.fit(np.array([[1.0], [0.0]]))


def test_predictions_are_those_of_the_transformed_target_of_scikit_learn(lognormal):
    X, y = lognormal
    model = make_model("ridge", transform="log", alpha=1.0).fit(X[:300], y[:300])
    other = TransformedTargetRegressor(
        make_pipeline(StandardScaler(), Ridge(alpha=1.0)), func=np.log, inverse_func=np.exp
    ).fit(X[:300], y[:300])
    assert model.predict(X[300:]) == pytest.approx(other.predict(X[300:]))
    assert learns_logs(model)
    assert not learns_logs(make_model("ridge", transform="none"))
    assert np.abs(model.predict(X[300:]) - y[300:]).mean() < (
        0.7 * np.abs(make_model("ridge").fit(X[:300], y[:300]).predict(X[300:]) - y[300:]).mean()
    )


def test_members_of_an_ensemble_learn_logarithms_and_are_weighted_by_numbers(lognormal):
    X, y = lognormal
    members = ["ridge", {"type": "random_forest", "n_estimators": 10, "transform": "none"}]
    model = make_model("ensemble", transform="log", members=members, random_state=0).fit(X, y)
    ridge = make_model("ridge", transform="log").fit(X, y)
    assert model.members_["ridge"].predict(X) == pytest.approx(ridge.predict(X))
    assert not learns_logs(make_model("ensemble", transform="log", members=members))
    assert learns_logs(make_model("ensemble", transform="log", members=["ridge", "lasso"]))
    assert model.scores_["ridge"] < -0.1  # an error of numbers, not of logarithms


@pytest.mark.parametrize("name", ["gaussian_process", "kernel_ridge"])
def test_doubts_have_the_unit_of_the_target(lognormal, name):
    X, y = lognormal
    model = make_model(name, transform="log", random_state=0).fit(X[:100], y[:100])
    plain = make_model(name, random_state=0).fit(X[:100], np.log(y[:100]))
    values, signs = predict_with_doubt(model, X[100:110])
    _, of_logs = predict_with_doubt(plain, X[100:110])
    assert values == pytest.approx(model.predict(X[100:110]))
    assert list(signs) == list(of_logs)
    for sign in signs:  # a small change of a logarithm is a relative change
        assert signs[sign] == pytest.approx(values * of_logs[sign], rel=0.02)


def test_doubt_between_trees(lognormal):
    X, y = lognormal
    model = make_model("random_forest", transform="log", random_state=0, n_estimators=10).fit(X[:100], y[:100])
    values, signs = predict_with_doubt(model, X[100:])
    (forest,) = innermost(model)
    apart = np.std([tree.predict(X[100:]) for tree in forest.estimators_], axis=0)
    assert signs == {"trees": pytest.approx(values * apart * np.log(y[:100]).std())}


def test_models_of_logarithms_of_kernels_and_by_import_path(lognormal):
    X, y = lognormal
    kernel = X @ X.T
    model = make_model("svm", pairwise=True, transform="log").fit(kernel, y)
    assert (model.predict(kernel) > 0).all()
    model = make_model("sklearn.linear_model.HuberRegressor", transform="log").fit(X, y)
    assert learns_logs(model)
    problem = problem_of(y)
    split = make_split(problem, n_folds=2)
    forest = make_model("random_forest", n_estimators=3, transform="log")
    fitted = fit_estimator(forest, features_of(X), problem, split, split.train, n_jobs=2)
    assert [inner.n_jobs for inner in innermost(fitted)] == [1]
    assert fitted[-1].regressor.n_jobs == 1  # nor in the copy that it was made from


@pytest.mark.parametrize("features", [False, True])
def test_intervals_are_those_of_logarithms_with_transformed_ends(lognormal, features):
    X, y = lognormal
    given = features_of(X)
    model, plain = make_model("ridge", transform="log", alpha=1.0), make_model("ridge", alpha=1.0)
    found = []
    for estimator, values in ((model, y), (plain, np.log(y))):
        problem = problem_of(values)
        split = make_split(problem, n_folds=5, test_size=0.2)
        evaluation = evaluate(estimator, given, problem, split)
        found.append(conformal(evaluation, problem, split, 0.9, given if features else None))
    numbers, logs = found
    assert numbers.of_logs
    assert not logs.of_logs
    assert numbers.lower == pytest.approx(np.exp(logs.lower), rel=1e-6)
    assert numbers.upper == pytest.approx(np.exp(logs.upper), rel=1e-6)
    assert numbers.guess == pytest.approx(np.exp(logs.guess), rel=1e-6)
    assert numbers.coverage.value == logs.coverage.value
    assert (numbers.widths is None) == (logs.widths is None)
    judged = numbers.parts == "test"
    assert numbers.mean_width.value == pytest.approx((numbers.upper - numbers.lower)[judged].mean())
    assert numbers.half_width.value == pytest.approx(logs.half_width.value, rel=1e-6)
    assert (numbers.lower > 0).all()


def test_predictions_that_are_not_positive_have_intervals_of_numbers(lognormal):
    X, y = lognormal
    problem = problem_of(np.where(np.arange(400) < 5, -y, y))
    split = make_split(problem, n_folds=3, test_size=0)
    evaluation = evaluate(make_model("ridge"), features_of(X), problem, split)
    assert not conformal(evaluation, problem, split).of_logs


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="transform must be one of 'none', 'log', got 'sqrt'"):
        make_model("ridge", transform="sqrt")
    with pytest.raises(ValueError, match="transform is for numbers, got 'log' for classification"):
        make_model("ridge", "classification", transform="log")
