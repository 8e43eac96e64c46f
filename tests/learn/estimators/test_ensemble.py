import json

import numpy as np
import pytest
from helpers.problems import features_of, problem_of
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.metrics import balanced_accuracy_score, log_loss, mean_absolute_error
from sklearn.model_selection import (
    KFold,
    ShuffleSplit,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
)
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils.estimator_checks import parametrize_with_checks

from atomprint.datasets import Dataset, Target
from atomprint.learn import (
    EnsembleClassifier,
    EnsembleRegressor,
    Problem,
    conformal,
    evaluate,
    make_model,
    make_split,
)
from atomprint.learn.estimators.ensemble_weights import (
    absolute_error_weights,
    calm_weights,
    likelihood_weights,
)
from atomprint.learn.evaluation.evaluate import fit_estimator
from atomprint.learn.models.anatomy import chosen_parameters, innermost, unwrap
from atomprint.learn.models.doubt import standard_deviation


def regressors():
    return [("ridge", Ridge()), ("near", KNeighborsRegressor(3))]


def classifiers(n=9):
    return [("logistic", LogisticRegression()), ("near", KNeighborsClassifier(n))]


@pytest.fixture(scope="module")
def numbers():
    """Return features and a target that neither a line nor neighbours alone describe."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(120, 3))
    return X, 3 * X[:, 0] + np.sin(5 * X[:, 1]) + 0.1 * rng.normal(size=120)


@pytest.fixture(scope="module")
def classes():
    """Return features and two classes, of which the second is rare."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(600, 3))
    return X, np.where(X[:, 0] + X[:, 1] ** 2 + 0.8 * rng.normal(size=600) > 2.2, 7, 2)


@parametrize_with_checks([EnsembleRegressor(regressors(), n_folds=2), EnsembleClassifier(classifiers(3), n_folds=2)])
def test_ensembles_are_scikit_learn_estimators(estimator, check):
    check(estimator)


# Weights ----------------------------------------------------------------------------------------------------------


def simplex(n_models, steps):
    """Return all weights that are multiples of 1 / steps."""
    counts = np.indices((steps + 1,) * n_models).reshape(n_models, -1).T
    return counts[counts.sum(axis=1) == steps] / steps


@pytest.mark.parametrize("seed", range(4))
def test_weights_of_regressors_are_the_best_of_all(seed):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=300)
    scales = np.array([0.3, 0.4, 0.35])
    predictions = 1000 * (y + scales[:, None] * rng.standard_t(3, size=(3, 300)) + np.array([[0.0], [0.1], [-0.1]]))
    losses = [np.abs(w @ predictions - 1000 * y).mean() for w in simplex(3, 50)]
    weights = absolute_error_weights(predictions, 1000 * y)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    found = np.abs(weights @ predictions - 1000 * y).mean()
    assert min(losses) * 0.999 < found <= min(losses) * (1 + 1e-9)
    assert weights == pytest.approx(simplex(3, 50)[int(np.argmin(losses))], abs=0.1)


def test_calm_weights_are_those_of_halves_and_lose_less_on_new_samples():
    rng = np.random.default_rng(0)
    y = rng.normal(size=4000)
    scales = np.array([1.0, 1.0, 1.5])  # two that are equally good, and one that helps a little
    predictions = y + scales[:, None] * rng.normal(size=(3, 4000))
    losses = []
    for start in range(0, 800, 20):
        seen, unseen = slice(start, start + 20), slice(800, None)

        def best(rows, given=predictions[:, seen], truth=y[seen]):
            return absolute_error_weights(given[:, rows], truth[rows])

        calm, eager = calm_weights(best, 20, 0), best(np.arange(20))
        assert calm.sum() == pytest.approx(1)
        assert (calm == calm_weights(best, 20, 0)).all()
        losses.append([np.abs(w @ predictions[:, unseen] - y[unseen]).mean() for w in (calm, eager)])
    calm, eager = np.mean(losses, axis=0)
    best_of_all = absolute_error_weights(predictions[:, 800:], y[800:])
    least = np.abs(best_of_all @ predictions[:, 800:] - y[800:]).mean()
    assert calm - least < 0.7 * (eager - least)


def test_a_regressor_that_harms_has_no_weight():
    rng = np.random.default_rng(1)
    y = rng.normal(size=200)
    good = y + 0.1 * rng.normal(size=(2, 200))
    given = np.vstack([good, good[:1] + rng.normal(size=200)])  # errors of the first, and more
    weights = calm_weights(lambda rows: absolute_error_weights(given[:, rows], y[rows]), 200, 0)
    assert weights[2] == 0
    assert 0.3 < weights[0] < 0.7


def test_a_useless_regressor_has_no_weight_and_perfect_ones_share_it():
    y = np.random.default_rng(0).normal(size=50)
    assert absolute_error_weights(np.array([y + 0.1, y + 5]), y) == pytest.approx([1, 0])
    assert absolute_error_weights(np.array([y, y]), y) == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("seed", range(4))
def test_weights_of_classifiers_are_the_best_of_all(seed):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=400)
    positive = rng.random(400) < 1 / (1 + np.exp(-3 * y))
    slopes, noise = np.array([[3.0], [3.0], [8.0]]), np.array([[0.3], [0.5], [0.3]])
    p = 1 / (1 + np.exp(-slopes * (y + noise * rng.normal(size=(3, 400)))))
    weights = likelihood_weights(np.where(positive, p, 1 - p))
    losses = [log_loss(positive, w @ p) for w in simplex(3, 20)]
    assert weights.sum() == pytest.approx(1)
    assert log_loss(positive, weights @ p) < min(losses) + 1e-4  # what negligible weights may cost


def test_a_classifier_that_is_certain_and_wrong_is_no_obstacle():
    certain = np.array([1.0] * 8 + [0.0] * 2)
    weights = likelihood_weights(np.array([certain, np.full(10, 0.6)]))
    # By hand: 0.8 ln(0.6 + 0.4 w) + 0.2 ln(0.6 (1 - w)) is largest for w = 0.5.
    assert weights == pytest.approx([0.5, 0.5], abs=0.01)


# Regression -------------------------------------------------------------------------------------------------------


def test_weights_come_from_predictions_out_of_folds(numbers):
    X, y = numbers
    members = [*regressors(), ("mean", DummyRegressor())]
    folds = KFold(4, shuffle=True, random_state=5)
    model = EnsembleRegressor(members, n_folds=4, random_state=5).fit(X, y)
    outside = np.array([cross_val_predict(member, X, y, cv=folds) for _, member in members])
    losses = [np.abs(w @ outside - y).mean() for w in simplex(3, 100)]
    weights = np.array(list(model.weights_.values()))
    assert np.abs(weights @ outside - y).mean() <= min(losses) * 1.005
    assert 0.1 < model.weights_["ridge"] < 0.9
    assert model.scores_["near"] == pytest.approx(-mean_absolute_error(y, outside[1]))
    # Only what counts is fitted, to all samples.
    assert model.weights_["mean"] == 0
    assert list(model.members_) == ["ridge", "near"]
    whole = np.array([clone(member).fit(X, y).predict(X[:9]) for _, member in members])
    assert model.predict(X[:9]) == pytest.approx(weights @ whole)
    assert model.n_features_in_ == 3
    assert "weighted mean of ridge (" in model.in_words()
    assert "without mean, by the mean absolute error on inner folds" in model.in_words()


def test_best_is_what_cross_validation_finds(numbers):
    X, y = numbers
    members = [(f"tree{depth}", DecisionTreeRegressor(max_depth=depth, random_state=0)) for depth in (1, 3, 8)]
    members.append(("ridge", Ridge(100.0)))
    model = EnsembleRegressor(members, "best", random_state=2).fit(X, y)
    cv = KFold(5, shuffle=True, random_state=2)
    scores = [cross_val_score(m, X, y, cv=cv, scoring="neg_mean_absolute_error").mean() for _, m in members]
    assert list(model.scores_.values()) == pytest.approx(scores)
    best = members[int(np.argmax(scores))][0]
    assert list(model.members_) == [best]
    assert (model.predict(X) == dict(members)[best].fit(X, y).predict(X)).all()
    assert model.in_words().startswith(f"{best}, the best of tree1, tree3, tree8 and ridge, by the mean absolute error")


class Counted(RegressorMixin, BaseEstimator):
    """Predicts a number, and counts fits."""

    sizes: list[int] = []  # noqa: RUF012 - shared by all clones on purpose

    def __init__(self, value=0.0):
        self.value = value

    def fit(self, X, y):
        self.sizes.append(len(y))
        self.fitted_ = True
        return self

    def predict(self, X):
        return np.full(len(X), self.value)


def test_mean_and_median_need_no_inner_fits(numbers):
    X, y = numbers
    members = [(f"m{i}", Counted(value)) for i, value in enumerate((0.0, 1.0, 5.0))]
    Counted.sizes.clear()
    assert EnsembleRegressor(members, "mean").fit(X, y).predict(X[:2]) == pytest.approx([2, 2])
    median = EnsembleRegressor(members, "median").fit(X, y)
    assert median.predict(X[:2]) == pytest.approx([1, 1])
    assert median.in_words() == "median of m0, m1 and m2"
    assert median.scores_ == {}
    EnsembleRegressor(members[:1]).fit(X, y)  # nothing to choose
    assert Counted.sizes == [120] * 7


def test_one_part_held_out_is_cheap(numbers):
    X, y = numbers
    Counted.sizes.clear()
    members = [("constant", Counted(0.1)), ("ridge", Ridge())]
    model = EnsembleRegressor(members, "best", n_folds=1, holdout=0.2, random_state=3).fit(X, y)
    assert Counted.sizes == [96]
    ((fit, predict),) = ShuffleSplit(1, test_size=0.2, random_state=3).split(X)
    error = np.abs(Ridge().fit(X[fit], y[fit]).predict(X[predict]) - y[predict]).mean()
    assert model.scores_["ridge"] == pytest.approx(-error)
    assert "held out of the training part" in model.in_words()


def test_clipped_predictions_stay_in_the_range_of_the_targets():
    X, y = np.arange(20.0)[:, None], np.arange(20.0)
    far = np.array([[-30.0], [5.5], [50.0]])
    for combine in ("weights", "mean", "best"):
        options = {"n_folds": 2, "random_state": 0}
        members = [("line", LinearRegression()), ("ridge", Ridge(0.01))]
        free = EnsembleRegressor(members, combine, **options).fit(X, y).predict(far)
        bound = EnsembleRegressor(members, combine, clip=True, **options).fit(X, y).predict(far)
        assert free[[0, 2]] == pytest.approx([-30, 50], abs=0.1)
        assert bound == pytest.approx([0, 5.5, 19], abs=0.01)


def test_parameters_are_those_of_scikit_learns_compositions():
    model = EnsembleRegressor(regressors(), cv=KFold(3))
    assert model.get_params()["near__n_neighbors"] == 3
    assert "near" not in model.get_params(deep=False)
    twin = clone(model).set_params(near__n_neighbors=5, ridge=LinearRegression(), combine="mean")
    assert twin.members[1][1].n_neighbors == 5
    assert isinstance(twin.members[0][1], LinearRegression)
    assert model.members[1][1].n_neighbors == 3


# Classification ---------------------------------------------------------------------------------------------------


def test_classes_are_weighted_by_probabilities_out_of_folds(classes):
    X, y = classes
    model = EnsembleClassifier(classifiers(), n_folds=3, random_state=1).fit(X, y)
    cv = StratifiedKFold(3, shuffle=True, random_state=1)
    outside = [cross_val_predict(m, X, y, cv=cv, method="predict_proba") for _, m in classifiers()]
    weights = np.array(list(model.weights_.values()))
    losses = [log_loss(y, np.tensordot(w, outside, 1)) for w in simplex(2, 200)]
    assert log_loss(y, np.tensordot(weights, outside, 1)) < min(losses) + 1e-3
    whole = [clone(m).fit(X, y).predict_proba(X) for _, m in classifiers()]
    assert model.predict_proba(X) == pytest.approx(np.tensordot(weights, whole, 1))
    assert (model.predict(X) == model.classes_[model.predict_proba(X).argmax(axis=1)]).all()
    labels = [model.classes_[p.argmax(axis=1)] for p in outside]
    assert list(model.scores_.values()) == pytest.approx([balanced_accuracy_score(y, label) for label in labels])


def test_best_classifier_is_what_cross_validation_finds(classes):
    X, y = classes
    members = [(f"tree{d}", DecisionTreeClassifier(max_depth=d, random_state=0)) for d in (1, 4)]
    members.append(("logistic", LogisticRegression()))
    model = EnsembleClassifier(members, "best", n_folds=4, random_state=0).fit(X, y)
    cv = StratifiedKFold(4, shuffle=True, random_state=0)
    scores = [cross_val_score(m, X, y, cv=cv, scoring="balanced_accuracy").mean() for _, m in members]
    assert list(model.members_) == [members[int(np.argmax(scores))][0]]
    assert model.in_words().endswith(", by the balanced accuracy on inner folds of the training part")


def test_threshold_follows_the_balanced_accuracy_and_leaves_probabilities_alone(classes):
    X, y = classes
    fit, test = np.arange(300), np.arange(300, 600)
    plain = EnsembleClassifier(classifiers(), "mean").fit(X[fit], y[fit])
    model = EnsembleClassifier(classifiers(), "mean", threshold="balanced_accuracy", n_folds=5, random_state=0)
    model.fit(X[fit], y[fit])
    cv = StratifiedKFold(5, shuffle=True, random_state=0)
    outside = np.mean(
        [cross_val_predict(m, X[fit], y[fit], cv=cv, method="predict_proba")[:, 1] for _, m in classifiers()], axis=0
    )
    best = max(balanced_accuracy_score(y[fit] == 7, outside > t) for t in np.linspace(0, 1, 2001))
    found = balanced_accuracy_score(y[fit] == 7, outside > model.thresholds_[1])
    assert found == pytest.approx(best, abs=1e-9)
    p = model.predict_proba(X[test])
    assert (p == plain.predict_proba(X[test])).all()
    assert (model.predict(X[test]) == np.where(p[:, 1] > model.thresholds_[1], 7, 2)).all()
    assert model.thresholds_[1] < 0.4
    scores = [balanced_accuracy_score(y[test], m.predict(X[test])) for m in (plain, model)]
    assert scores[1] > scores[0] + 0.05
    assert chosen_parameters(model)["threshold"] == model.thresholds_[1]


def test_a_class_that_is_missing_in_an_inner_fit_has_no_probability_there():
    X = np.arange(12.0)[:, None]
    y = np.array(["a"] * 6 + ["b"] * 5 + ["c"])
    cv = [(np.arange(11), np.array([11])), (np.arange(1, 12), np.array([0]))]
    model = EnsembleClassifier([("tree", DecisionTreeClassifier()), ("near", KNeighborsClassifier(2))], cv=cv).fit(X, y)
    assert model.predict_proba(X).shape == (12, 3)
    assert model.scores_["tree"] == pytest.approx(0.5)  # "c" cannot be known, "a" is


# Errors -----------------------------------------------------------------------------------------------------------


class NoProbabilities(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        return self


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (EnsembleRegressor(regressors(), "sum"), "combine must be one of 'weights', 'mean', 'median', 'best', got"),
        (EnsembleClassifier(classifiers(), "median"), "combine must be one of 'weights', 'mean', 'best', got"),
        (EnsembleRegressor([]), "members must hold at least one pair of a name and an estimator, got none"),
        (EnsembleRegressor(regressors() * 2), "Names provided are not unique"),
        (EnsembleRegressor([("a__b", Ridge())]), "must not contain __"),
        (EnsembleRegressor(classifiers()), "members must be regressors, but 'logistic' is a classifier"),
        (EnsembleClassifier(regressors()), "members must be classifiers, but 'ridge' is a regressor"),
        (EnsembleClassifier([("r", RidgeClassifier())]), "members must give probabilities .* 'r' has no predict_proba"),
        (EnsembleRegressor(regressors(), n_folds=0), "n_folds must be >= 1, got 0"),
        (EnsembleRegressor(regressors(), n_folds=1, holdout=0.7), "holdout must be <= 0.5, got 0.7"),
        (
            EnsembleClassifier(classifiers(), threshold="even"),
            "threshold must be one of 'balanced_accuracy', .*, got 'even'",
        ),
        (EnsembleRegressor([("k", make_model("svm", pairwise=True))]), "'k' takes a kernel between samples"),
        (
            EnsembleRegressor([("r", Ridge()), ("near", KNeighborsRegressor(50))]),
            "member 'near': Expected n_neighbors <= n_samples",
        ),
    ],
)
def test_what_does_not_fit_together_is_named(model, message):
    X = np.random.default_rng(0).normal(size=(30, 2))
    with pytest.raises(ValueError, match=message):
        model.fit(X, np.arange(30) % 2).predict(X)


# By name ----------------------------------------------------------------------------------------------------------


def test_members_are_models_by_name_with_what_each_of_them_wants(numbers):
    X, y = numbers
    made = make_model(
        "ensemble",
        members=[
            {"type": "extra_trees", "n_estimators": 10},
            "ridge",
            {"type": "ridge", "projection": {"n_components": 2}},
            {"type": "sklearn.svm.NuSVR", "C": 3.0, "name": "vectors"},
        ],
        combine="weights",
        n_folds=2,
        random_state=4,
        n_jobs=2,
    )
    assert [name for name, _ in made.members] == ["extra_trees", "ridge", "ridge_2", "vectors"]
    assert made.random_state == 4
    trees = made.members[0][1][-1]
    assert (trees.n_estimators, trees.random_state, trees.n_jobs) == (10, 4, 2)
    assert [name for name, _ in made.members[1][1].steps] == ["clean", "impute", "scale", "model"]
    assert [name for name, _ in made.members[2][1].steps] == ["clean", "impute", "scale", "project", "model"]
    assert made.fit(X, y).predict(X).shape == (120,)
    for kind, names in (("regression", 4), ("classification", 3)):
        assert len(make_model("ensemble", kind).members) == names


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"members": "ridge"}, "members must be a list of models, each a name or a table with a type, got 'ridge'"),
        ({"members": []}, "members must be a list of models"),
        ({"members": [3]}, "members must be names of models or tables with a type, got 3"),
        ({"members": [{"alpha": 3}]}, "members must have a type"),
        ({"members": ["rigde"]}, "members: model must be one of .* did you mean 'ridge'"),
        ({"members": [{"type": "ridge", "alfa": 1}]}, "members: model 'ridge': parameters must be among .* got 'alfa'"),
        ({"members": [{"type": "mlp", "random_state": 1}]}, "'mlp' must not have an entry random_state"),
        ({"members": ["ensemble"]}, "members must not be ensembles themselves"),
        ({"kind": "classification", "members": ["kernel_ridge"]}, "'kernel_ridge' is not for classification"),
        ({"combine": "sum"}, "combine must be one of"),
        ({"threshold": "f1"}, "threshold is for classes, got 'f1' for regression"),
        ({"pairwise": True}, "'ensemble' is not for a kernel between samples"),
        ({"n_seeds": 2}, "n_seeds is for models that draw random numbers, such as members: it must be 1 for 'ens"),
    ],
)
def test_bad_members(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make_model("ensemble", **options)


def test_several_seeds_are_averaged(numbers):
    X, y = numbers
    options = {"hidden_layer_sizes": (8,), "random_state": 0}
    model = make_model("mlp", n_seeds=3, **options).fit(X, y)
    assert (clone(model).fit(X, y).predict(X) == model.predict(X)).all()
    before, bag = unwrap(model)
    Z = X
    for step in before:
        Z = step.transform(Z)
    guesses = np.array([one.predict(Z) for one in bag.estimators_])
    assert len({one.random_state for one in bag.estimators_}) == 3
    assert {one.hidden_layer_sizes for one in innermost(model)} == {(8,)}
    assert model.predict(X) == pytest.approx(y.mean() + y.std() * guesses.mean(axis=0))
    assert standard_deviation(model, X) == pytest.approx(y.std() * guesses.std(axis=0))
    p = make_model("mlp", "classification", n_seeds=2, **options).fit(X, y > 0).predict_proba(X)
    assert p.sum(axis=1) == pytest.approx(np.ones(120))
    part = make_model("sklearn.ensemble.BaggingRegressor", max_features=0.5, random_state=0).fit(X, y)
    found = [
        one.predict(X[:, columns]) for one, columns in zip(part.estimators_, part.estimators_features_, strict=True)
    ]
    assert standard_deviation(part, X) == pytest.approx(np.std(found, axis=0))
    for name, extra in (("ridge", {}), ("svm", {"pairwise": True}), ("sklearn.svm.NuSVR", {})):
        with pytest.raises(ValueError, match="n_seeds"):
            make_model(name, n_seeds=2, **extra)


# In evaluations ---------------------------------------------------------------------------------------------------


def small(**options):
    return make_model(
        "ensemble",
        members=[
            {"type": "extra_trees", "n_estimators": 10},
            {"type": "kernel_ridge", "kernels": ["rbf"], "length_scales": [0.3, 1.0]},
            {"type": "ridge", "alpha": 1.0},
        ],
        n_folds=2,
        random_state=0,
        **options,
    )


def test_what_is_inside_a_fitted_ensemble(numbers):
    X, y = numbers
    problem, features = problem_of(y), features_of(X)
    split = make_split(problem, n_folds=3)
    model = fit_estimator(small(n_jobs=2), features, problem, split, split.train)
    assert model.cv is None  # the samples of inner folds are not kept
    chosen = chosen_parameters(model)
    assert sum(chosen[f"weight of {name}"] for name in ("extra_trees", "kernel_ridge", "ridge")) == pytest.approx(1)
    assert chosen["length_scale of kernel_ridge"] in (0.3, 1.0)
    model = fit_estimator(small(n_jobs=2, combine="mean"), features, problem, split, split.train)
    assert [type(one).__name__ for one in innermost(model)] == ["MedianExtraTrees", "KernelRidgeCV", "Ridge"]
    assert next(innermost(model)).n_jobs == 1  # results must not depend on the order in which threads finish
    weights, guesses = model.member_predictions(X)
    mean = np.average(guesses, axis=0, weights=weights)
    assert model.predict(X) == pytest.approx(mean)
    spread = np.sqrt(np.average((guesses - mean) ** 2, axis=0, weights=weights))
    assert standard_deviation(model, X) == pytest.approx(spread)
    only = make_model("ensemble", members=[{"type": "extra_trees", "n_estimators": 10}], random_state=0).fit(X, y)
    trees = [tree.predict(X[:50] + 0.1) for tree in only.members_["extra_trees"][-1].estimators_]
    about_the_median = np.sqrt(np.mean((trees - np.median(trees, axis=0)) ** 2, axis=0))
    assert standard_deviation(only, X[:50] + 0.1) == pytest.approx(about_the_median)


class Groups(Counted):
    """Notes the groups, which are the first feature, that it is fitted to and predicts."""

    seen: list[tuple[str, list[int]]] = []  # noqa: RUF012 - shared by all clones on purpose

    def fit(self, X, y):
        self.seen.append(("fit", np.asarray(X)[:, 0].astype(int).tolist()))
        return super().fit(X, y)

    def predict(self, X):
        self.seen.append(("predict", np.asarray(X)[:, 0].astype(int).tolist()))
        return super().predict(X)


@pytest.mark.parametrize("n_folds", [1, 3])
def test_inner_folds_keep_together_what_the_outer_ones_keep_together(n_folds):
    groups = np.repeat(np.arange(12), 5)
    y = np.random.default_rng(0).normal(size=60)
    ids, formulas = tuple(f"s{i}" for i in range(60)), [f"H{i + 1}O" for i in range(60)]
    labels = {"batch": np.array([f"g{g}" for g in groups])}
    target = {"e": Target(y, "eV", "Energy", "")}
    problem = Problem.of(Dataset("toy", "Toy", None, ids, target, "", "", formulas, labels), "e")
    split = make_split(problem, "group", group_by="batch", n_folds=3)
    Groups.seen.clear()
    ensemble = EnsembleRegressor([("a", Groups()), ("b", Groups(1.0))], n_folds=n_folds, random_state=0)
    evaluation = evaluate(make_pipeline(StandardScaler(with_mean=False, with_std=False), ensemble),
                          features_of(groups[:, None].astype(float)), problem, split)  # fmt: skip
    assert evaluation.estimator.steps[-1][1].cv is None
    fits = [seen for what, seen in Groups.seen if what == "fit"]
    assert len(fits) >= 4 * (2 * n_folds + 1)  # inner fits, and at least one member that counts
    for _, seen in Groups.seen:
        assert (np.unique(seen, return_counts=True)[1] == 5).all()


def test_targets_of_the_samples_to_predict_change_nothing(numbers, classes):
    X, y = numbers
    problem = problem_of(y)
    split = make_split(problem, n_folds=3, test_size=0.2)
    other = y.copy()
    other[split.test] = 1e3 * np.random.default_rng(9).normal(size=len(split.test))
    one, two = (evaluate(small(clip=True), features_of(X), problem_of(values), split) for values in (y, other))
    assert (one.test.y_pred == two.test.y_pred).all()
    assert one.test.chosen == two.test.chosen
    assert one.test.metrics["mae"].value != two.test.metrics["mae"].value
    X, labels = classes
    y = (labels == 7).astype(float)
    split = make_split(problem_of(y, ("no", "yes")), n_folds=3)
    _, predict = split.folds[0]
    other = y.copy()
    other[predict] = 1 - other[predict]
    model = EnsembleClassifier(classifiers(), threshold="balanced_accuracy", n_folds=2, random_state=0)
    one, two = (evaluate(model, features_of(X), problem_of(v, ("no", "yes")), split).folds[0] for v in (y, other))
    assert (one.y_pred == two.y_pred).all()
    assert (one.probabilities == two.probabilities).all()
    assert "threshold" in one.chosen


def test_intervals_can_follow_the_spread_between_members(numbers):
    X, y = numbers
    problem = problem_of(y)
    split = make_split(problem, n_folds=3, test_size=0.3)
    evaluation = evaluate(small(combine="mean"), features_of(X), problem, split)
    assert all((fold.y_std > 0).any() for _, fold in evaluation.parts())
    found = conformal(evaluation, problem, split, 0.8)
    assert found.normalised is not None
    assert 0.6 < found.normalised.coverage.value <= 1


def test_recipe_with_an_ensemble(tmp_path):
    from atomprint.workflow import Recipe, load_model, train

    rng = np.random.default_rng(0)
    formulas = [f"{a}{i}{b}" for a in ("Na", "K", "Li") for b in ("Cl", "Br", "F") for i in range(1, 16)]
    table = ["formula,gap", *(f"{f},{len(f) + ('K' in f) + 0.1 * rng.normal()}" for f in formulas)]
    (tmp_path / "data.csv").write_text("\n".join(table) + "\n", encoding="utf-8")
    (tmp_path / "recipe.toml").write_text(
        """
n_jobs = 1
[data]
path = "data.csv"
target = "gap"
[split]
n_folds = 2
[features.composition]
type = "CompositionChannels"
channels = ["species"]
[models.ensemble]
members = [
  { type = "extra_trees", n_estimators = 10 },
  { type = "kernel_ridge", kernels = ["rbf"] },
  "linear",
  { type = "mlp", n_seeds = 2, hidden_layer_sizes = [8], tol = 1.0 },
]
n_folds = 2
clip = true
[evaluation]
n_repeats = 1
learning_curve = false
""",
        encoding="utf-8",
    )
    run = train(Recipe.read(tmp_path / "recipe.toml"))
    files = run.write(tmp_path / "out")
    assert Recipe.read(files["recipe.toml"]).models == run.recipe.models
    results = json.loads(files["results.json"].read_text(encoding="utf-8"))
    text = json.dumps(results)
    assert "weight of extra_trees" in text
    html = files["report.html"].read_text(encoding="utf-8")
    assert "a few models of different kinds together" in html
    assert "weighted mean of" in html
    assert "by the mean absolute error on inner folds of the training part" in html
    loaded = load_model(files["model.atomprint"])
    assert (loaded.predict(formulas).values == run.model.predict(formulas).values).all()
    assert loaded.predict(formulas, n_jobs=2).values == pytest.approx(run.model.predict(formulas).values)
