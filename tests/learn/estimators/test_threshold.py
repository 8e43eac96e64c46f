"""Thresholds are chosen by held-out samples of the training part, and leave probabilities alone."""

import numpy as np
import pytest
from helpers.problems import features_of, problem_of
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.metrics import balanced_accuracy_score, f1_score
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from atomprint.learn import Search, evaluate, make_model, make_split
from atomprint.learn.estimators.decision import best_thresholds
from atomprint.learn.estimators.threshold import ThresholdClassifier
from atomprint.learn.evaluation.evaluate import fit_estimator
from atomprint.learn.models.anatomy import chosen_parameters, innermost


@parametrize_with_checks(
    [ThresholdClassifier(LogisticRegression(), n_folds=2)],
    expected_failed_checks=lambda _: {"check_classifiers_train": "the most probable class need not be predicted"},
)
@pytest.mark.slow
def test_it_is_an_estimator_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def rare():
    """Return features and classes of which the second is rare."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(900, 3))
    return X, np.where(X[:, 0] + X[:, 1] ** 2 + 0.8 * rng.normal(size=900) > 2.4, "yes", "no")


def test_the_threshold_is_that_of_inner_folds_and_probabilities_stay(rare):
    X, y = rare
    plain = KNeighborsClassifier(9)
    model = ThresholdClassifier(plain, "f1", n_folds=4, random_state=2).fit(X[:600], y[:600])
    cv = StratifiedKFold(4, shuffle=True, random_state=2)
    outside = cross_val_predict(plain, X[:600], y[:600], cv=cv, method="predict_proba")
    assert model.thresholds_.tolist() == best_thresholds(outside, (y[:600] == "yes").astype(int), "f1")[0].tolist()
    p = plain.fit(X[:600], y[:600]).predict_proba(X[600:])
    assert (model.predict_proba(X[600:]) == p).all()
    assert (model.predict(X[600:]) == np.where(p[:, 1] > model.thresholds_[1], "yes", "no")).all()
    assert f1_score(y[600:], model.predict(X[600:]), pos_label="yes") > f1_score(
        y[600:], plain.predict(X[600:]), pos_label="yes"
    )
    assert chosen_parameters(model) == {"threshold": model.thresholds_[1]}


def test_several_classes(rare):
    X, _ = rare
    y = np.searchsorted([1.2, 2.2], X[:, 0] + 0.7 * np.random.default_rng(0).normal(size=len(X)))
    plain = make_model("extra_trees", "classification", n_estimators=50, random_state=0).fit(X[:600], y[:600])
    model = make_model(
        "extra_trees", "classification", n_estimators=50, random_state=0, threshold="balanced_accuracy"
    ).fit(X[:600], y[:600])
    one, two = (balanced_accuracy_score(y[600:], m.predict(X[600:])) for m in (plain, model))
    assert two > one + 0.03
    assert (model.predict_proba(X) == plain.predict_proba(X)).all()
    chosen = chosen_parameters(model, ("low", "middle", "high"))
    assert list(chosen) == ["threshold of low", "threshold of middle", "threshold of high"]
    assert sum(chosen.values()) == pytest.approx(1)


def test_a_threshold_that_is_given_needs_no_folds(rare):
    X, y = rare
    model = make_model("ridge", "classification", threshold=0.2).fit(X, y)
    assert (model.predict(X) == np.where(model.predict_proba(X)[:, 1] > 0.2, "yes", "no")).all()
    same = make_model("ridge", "classification", threshold="none").fit(X, y)
    assert (same.predict(X) == np.array(["no", "yes"])[same.predict_proba(X).argmax(axis=1)]).all()


def test_only_the_samples_of_the_fit_have_a_part_in_it_and_folds_are_like_those_outside(rare):
    X, labels = rare
    y = (labels == "yes").astype(float)
    problem = problem_of(y, ("no", "yes"))
    split = make_split(problem, "stratified", n_folds=3)
    other = y.copy()
    _, predict = split.folds[0]
    other[predict] = 1 - other[predict]
    model = make_model("k_neighbors", "classification", threshold="balanced_accuracy")
    one, two = (evaluate(model, features_of(X), problem_of(v, ("no", "yes")), split).folds[0] for v in (y, other))
    assert (one.y_pred == two.y_pred).all()
    assert one.chosen == two.chosen
    assert one.chosen["threshold"] < 0.4
    fitted = fit_estimator(model, features_of(X), problem, split, split.train)
    assert fitted[-1].cv is None  # the samples are not kept in it
    assert fitted[-1].thresholds_.shape == (2,)


def test_kernels_searches_and_forests_behind_a_threshold(rare):
    X, y = rare
    X, y = X[:200], y[:200]
    kernel = rbf_kernel(X, gamma=0.3)
    model = make_model("svm", "classification", pairwise=True, threshold="balanced_accuracy", random_state=0)
    assert set(model.fit(kernel, y).predict(kernel)) == {"no", "yes"}
    assert model.thresholds_[1] < 0.4
    search = Search("grid", space={"C": [0.1, 10.0]}, n_folds=2)
    found = make_model("ridge", "classification", search=search, threshold="balanced_accuracy").fit(X, y)
    assert set(chosen_parameters(found)) == {"C", "threshold"}
    forest = make_model("random_forest", "classification", threshold="f1", n_estimators=5)
    assert [type(one).__name__ for one in innermost(forest)] == ["BaggedClassifier"]


def test_few_samples_and_missing_classes():
    X = np.arange(12.0)[:, None]
    y = np.array([0] * 6 + [1] * 5 + [2])  # no inner fold has the last class in both parts
    model = ThresholdClassifier(KNeighborsClassifier(1), random_state=0).fit(X, y)
    assert model.thresholds_.sum() == pytest.approx(1)
    assert model.predict_proba(X).shape == (12, 3)
    alone = ThresholdClassifier(KNeighborsClassifier(1)).fit(X, np.ones(12))
    assert alone.predict(X).tolist() == [1.0] * 12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 1.0}, "threshold must be between 0 and 1, or one of balanced_accuracy, .*, got 1.0"),
        ({"threshold": "auc"}, "threshold must be one of 'balanced_accuracy', 'accuracy', 'f1', 'mcc', got 'auc'"),
        ({"threshold": True}, "threshold must be a number, got True"),
        ({"n_folds": 0}, "n_folds must be >= 1, got 0"),
        ({"classifier": Ridge()}, "classifier must be a classifier, got Ridge"),
        ({"classifier": RidgeClassifier()}, "threshold needs probabilities of classes, but RidgeClassifier has no"),
    ],
)
def test_mistakes_are_named(options, message):
    model = ThresholdClassifier(LogisticRegression()).set_params(**options)
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(np.arange(6.0)[:, None], np.arange(6) % 2)


def test_a_number_is_for_two_classes():
    with pytest.raises(ValueError, match="threshold: a number is for two classes, got 3: name a figure of merit"):
        ThresholdClassifier(LogisticRegression(), 0.5).fit(np.arange(30.0)[:, None], np.arange(30) % 3)
    with pytest.raises(ValueError, match=r"threshold is for classes, got 0.5 for regression"):
        make_model("ridge", threshold=0.5)
