"""Features that are chosen without the targets, against the plain formulas of the papers."""

import numpy as np
import pytest
from helpers.problems import features_of, problem_of
from sklearn.base import clone
from sklearn.linear_model import LinearRegression

from atomprint.learn import evaluate, make_model, make_split
from atomprint.learn.estimators.selection import SelectFeatures
from atomprint.learn.task.blocks import seen_columns


def samples(n=80, n_features=12, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, n_features)) @ rng.normal(size=(n_features, n_features)) + 5


def naive_cur(X, n):
    X, chosen = X - X.mean(axis=0), []
    for _ in range(n):
        leading = np.abs(np.linalg.svd(X)[2][0])
        leading[chosen] = -1
        chosen.append(int(leading.argmax()))
        column = X[:, chosen[-1]]
        X = X - np.outer(column, column @ X) / (column @ column)
    return chosen


def naive_fps(X, n):
    X = X - X.mean(axis=0)
    sizes = (X**2).sum(axis=0)
    chosen = [int(np.flatnonzero(np.isclose(sizes, sizes.max()))[0])]
    while len(chosen) < n:
        far = [min(np.linalg.norm(X[:, j] - X[:, k]) for k in chosen) for j in range(X.shape[1])]
        chosen.append(int(np.argmax(far)))
    return chosen


@pytest.mark.parametrize("n_features", [12, 90])
@pytest.mark.parametrize(("method", "naive"), [("cur", naive_cur), ("fps", naive_fps)])
def test_choices_are_those_of_the_definition(method, naive, n_features):
    X = samples(200, n_features)
    assert SelectFeatures(7, method).fit(X).chosen_.tolist() == naive(X, 7)


@pytest.mark.parametrize("method", ["cur", "fps"])
def test_features_stay_in_their_order_and_keep_their_names(method):
    X = samples().astype(np.float32)
    made = SelectFeatures(5, method).fit(X)
    kept = np.sort(made.chosen_)
    assert (made.transform(X) == X[:, kept]).all()
    assert made.transform(X).dtype == np.float32
    assert made.get_feature_names_out().tolist() == [f"x{k}" for k in kept]
    assert seen_columns([made], 12).tolist() == kept.tolist()
    assert SelectFeatures(100, method).fit(X).transform(X).shape == X.shape


def test_what_follows_from_the_others_is_left_out():
    X = samples(n_features=4)
    X = np.column_stack([X, X @ [1.0, -2.0, 0.0, 1.0], np.full(len(X), 3.0), X[:, 1]])
    chosen = SelectFeatures(7).fit(X).chosen_
    assert len(chosen) == 4
    rest = np.delete(X, chosen, axis=1)
    assert LinearRegression().fit(X[:, chosen], rest).score(X[:, chosen], rest) == pytest.approx(1)
    assert len(SelectFeatures(3, "fps").fit(np.ones((5, 4))).chosen_) == 3
    assert SelectFeatures(3).fit(np.ones((5, 4))).chosen_.tolist() == [0]


def test_wrong_parameters_are_named():
    X = samples()
    with pytest.raises(ValueError, match="method must be one of 'cur', 'fps', got 'best'"):
        SelectFeatures(3, "best").fit(X)
    with pytest.raises(ValueError, match="n_features must be >= 1, got 0"):
        SelectFeatures(0).fit(X)
    with pytest.raises(ValueError, match="'ridge, selection': parameters must be among method, n_features, got 'n'"):
        make_model("ridge", selection={"n": 3})
    with pytest.raises(TypeError, match="selection must be a table of parameters such as"):
        make_model("ridge", selection=3)
    with pytest.raises(ValueError, match="selection is for the models of atomprint"):
        make_model("sklearn.svm.NuSVR", selection={})


def test_features_are_chosen_within_each_training_part():
    X = samples()
    problem = problem_of(X[:, 3] - X[:, 7])
    split = make_split(problem, n_folds=3)
    model = make_model("ridge", selection={"n_features": 4, "method": "fps"})
    found = evaluate(model, features_of(X), problem, split, keep_fold_estimators=True)
    for estimator, (train, _) in zip(found.fold_estimators, split.folds, strict=True):
        scaled = clone(model)[:-2].fit_transform(X[train])
        assert estimator["choose"].chosen_.tolist() == naive_fps(scaled, 4)
