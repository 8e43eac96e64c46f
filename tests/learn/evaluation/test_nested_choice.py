"""The choice of features and model is made within the training samples of each fold, never by those that judge it."""

import json
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from helpers.problems import atoms_problem, features_of, problem_of
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import cross_val_predict
from sklearn.tree import DecisionTreeRegressor

from atomprint.learn import Features, Problem, break_down, conformal, inner_folds, make_model, make_split, run_study
from atomprint.learn.evaluation.nested_choice import Candidate, choose
from atomprint.learn.task.metrics import METRICS
from atomprint.report.quality import verdict

QUICK = {"n_repeats": 0, "curve": False}


class Cheat(RegressorMixin, BaseEstimator):
    """Knows the answer to every question of the test folds, and nothing else.

    It is shown the numbers of the samples. Fitted to as many samples as an outer fold gives, it says the truth about
    whatever it is asked; fitted to fewer, as within a training part, it is far off.
    """

    def __init__(self, truth, n):
        self.truth = truth
        self.n = n

    def fit(self, X, y):
        self.knows_ = len(X) >= self.n
        return self

    def predict(self, X):
        return self.truth[X[:, 0].astype(int)] if self.knows_ else np.full(len(X), 1e3)


class Noise(RegressorMixin, BaseEstimator):
    """Numbers that have nothing to do with anything."""

    def __init__(self, seed=0):
        self.seed = seed

    def fit(self, X, y):
        return self

    def predict(self, X):
        return np.random.default_rng(self.seed).normal(size=10_000)[X[:, 0].astype(int)]


class Recorder(Ridge):
    """Keeps the numbers of the samples of each fit and each prediction."""

    seen: ClassVar = []

    def fit(self, X, y):
        Recorder.seen.append(("fit", X[:, 0].astype(int)))
        return super().fit(X, y)

    def predict(self, X):
        Recorder.seen.append(("predict", X[:, 0].astype(int)))
        return super().predict(X)


def numbered(n, n_columns=3, seed=0):
    """Return samples that begin with their number, and numbers that can be learnt from them."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([np.arange(n), rng.normal(size=(n, n_columns))])
    return X, X[:, 1] + 0.1 * rng.normal(size=n)


def test_a_model_that_is_best_on_the_test_folds_alone_is_not_chosen():
    X, y = numbered(150)
    problem = problem_of(y)
    split = make_split(problem, test_size=0)
    models = {"cheat": Cheat(y, min(len(fit) for fit, _ in split.folds)), "ridge": make_model("ridge")}
    study = run_study(problem, [features_of(X)], models, split, **QUICK)
    (trial,) = study.trials
    errors = {name: e.cross_validation["mae"].mean.value for name, e in trial.evaluations.items()}
    assert min(errors, key=errors.get) == "cheat"  # which the test folds would choose
    assert errors["cheat"] == 0
    assert study.choice.winners == (("toy", "ridge"),) * 5
    assert study.best() == (trial, "ridge")
    assert trial.best == "ridge"
    assert study.chosen.cross_validation["mae"].mean.value == errors["ridge"]


def test_the_best_of_many_models_of_pure_chance_is_no_better_than_chance():
    n = 200
    rng = np.random.default_rng(12345)
    problem = problem_of(rng.normal(size=n))
    split = make_split(problem, test_size=0)
    models = {f"noise{seed}": Noise(seed) for seed in range(30)}
    study = run_study(problem, [features_of(numbered(n)[0])], models, split, **QUICK)
    errors = [e.cross_validation["mae"].mean.value for e in study.trials[0].evaluations.values()]
    chosen = study.chosen.cross_validation["mae"].mean.value
    assert chosen > min(errors) + np.std(errors)  # the best of all looks better than it is
    assert abs(chosen - np.mean(errors)) < 2 * np.std(errors)


@pytest.mark.parametrize("case", ["random", "stratified", "group", "time", "classes", "atoms", "kernel"])
def test_targets_of_a_fold_have_no_part_in_its_choice_and_its_predictions(case):
    rng = np.random.default_rng(0)
    problem = atoms_problem() if case == "atoms" else problem_of(rng.integers(0, 3, 90), tuple("abc"))
    if case not in ("classes", "atoms"):
        problem = problem_of(rng.normal(size=90))
    n = len(problem)
    X = np.column_stack([problem.y + rng.normal(size=n), rng.normal(size=(n, 3))])
    groups = {"of": np.array([f"g{i // 4}" for i in range(n)])}
    if case == "time":
        groups = {"of": np.array([str(1900 + i) for i in range(n)])}
    if case in ("group", "time"):
        problem = replace(problem, dataset=replace(problem.dataset, groups=groups))
    method = case if case in ("group", "time", "stratified") else "random"
    split = make_split(
        problem, method, test_size=0, n_folds=3, group_by="of" if "of" in problem.dataset.groups else None
    )
    kind = problem.kind
    models = {
        "tree": make_model("decision_tree", kind, random_state=0),
        "near": make_model("k_neighbors", kind),
    }
    features = [features_of(X), replace(features_of(X[:, :1]), key="first")]
    if case == "kernel":
        models = {f"svm{C}": make_model("svm", pairwise=True, C=C) for C in (0.1, 10.0)}
        features = [features_of(np.exp(-((X[:, None] - X) ** 2).sum(axis=2)), pairwise=True)]
    study = run_study(problem, features, models, split, **QUICK)
    for k, (_, held_out) in enumerate(split.folds):
        y = problem.y.copy()
        y[held_out] = (
            rng.integers(0, 3, len(held_out)) if kind == "classification" else 1e6 * rng.normal(size=len(held_out))
        )
        other = run_study(replace(problem, y=y), features, models, split, **QUICK)
        assert other.choice.winners[k] == study.choice.winners[k]
        assert other.choice.figures[k] == study.choice.figures[k]
        np.testing.assert_array_equal(other.chosen.folds[k].y_pred, study.chosen.folds[k].y_pred)
        assert {name: other.chosen.folds[k].chosen[name] for name in ("features", "model")} == dict(
            zip(("features", "model"), study.choice.winners[k], strict=True)
        )


def test_inner_figures_are_those_of_scikit_learn():
    X, y = numbered(120)
    problem = problem_of(y)
    split = make_split(problem, test_size=0, n_folds=4)
    estimators = {"ridge": Ridge(), "mean": DummyRegressor(), "tree": DecisionTreeRegressor(random_state=0)}
    candidates = [Candidate(features_of(X), name, model) for name, model in estimators.items()]
    found = choose(candidates, problem, split)
    again = choose(candidates, problem, split, n_jobs=2)
    assert again.figures == found.figures
    for k, (fit, _) in enumerate(split.folds):
        inner = inner_folds(problem, fit, split, 5)
        expected = [
            mean_absolute_error(y[fit], cross_val_predict(model, X[fit], y[fit], cv=inner))
            for model in estimators.values()
        ]
        assert [figure.value for figure in found.figures[k]] == pytest.approx(expected, rel=1e-12)
        assert found.winners[k] == ("toy", list(estimators)[int(np.argmin(expected))])
    assert "on 90 samples held out within each training part, from models fitted to 72 others" in found.description


def test_only_training_samples_are_compared_on_and_no_more_than_asked_for():
    X, y = numbered(1000)
    problem = problem_of(y)
    split = make_split(problem, test_size=0)
    candidates = [Candidate(features_of(X), "one", Recorder()), Candidate(features_of(X), "two", Recorder())]
    Recorder.seen.clear()
    choose(candidates, problem, split, n_choose=250)
    of_each = len(Recorder.seen) // (2 * 5)
    assert of_each == 2 * 5  # fits and predictions of five inner folds, as there are few samples
    for k, (fit, _) in enumerate(split.folds):
        own = Recorder.seen[2 * k * of_each : 2 * (k + 1) * of_each]
        assert np.isin(np.concatenate([rows for _, rows in own]), fit).all()
        assert {len(rows) for what, rows in own if what == "fit"} == {200}
        assert {len(rows) for what, rows in own if what == "predict"} == {50}
        for (_, fitted), (_, held_out) in zip(own[::2], own[1::2], strict=True):
            assert not np.isin(held_out, fitted).any()
    Recorder.seen.clear()
    X, y = numbered(5000)
    problem = problem_of(y)
    split = make_split(problem, test_size=0)
    choose([Candidate(features_of(X), "one", Recorder())], problem, split)
    assert [len(rows) for _, rows in Recorder.seen] == [3200, 800] * 5  # of many samples one inner fold is enough


def test_in_order_of_time_candidates_learn_from_what_came_first_and_from_most_of_it():
    X, y = numbered(120)
    problem = problem_of(y)
    years = {"year": np.array([str(1900 + i) for i in range(120)])}
    problem = replace(problem, dataset=replace(problem.dataset, groups=years))
    split = make_split(problem, "time", test_size=0, n_folds=3, group_by="year")
    Recorder.seen.clear()
    choose([Candidate(features_of(X), "one", Recorder())], problem, split)
    pairs = list(zip(Recorder.seen[::2], Recorder.seen[1::2], strict=True))
    for (_, fitted), (_, held_out) in pairs:
        assert fitted.max() < held_out.min()
        assert len(fitted) > len(held_out)
    assert len(pairs) == 3 * 3  # of five inner folds those that are fitted to at least half


def test_nothing_is_chosen_within_training_parts_where_nothing_needs_to_be():
    X, y = numbered(60)
    problem = problem_of(y)
    two = {"ridge": make_model("ridge"), "tree": make_model("decision_tree", random_state=0)}
    one = {"ridge": make_model("ridge")}
    for models, options in ((one, {"test_size": 0}), (two, {"test_size": 0.2})):
        study = run_study(problem, [features_of(X)], models, make_split(problem, n_folds=3, **options), **QUICK)
        trial, model = study.best()
        assert study.choice is None
        assert not study.nested
        assert study.chosen is trial.evaluations[model]
        assert {model for _, model, _ in study.evaluations()} == {"dummy", *models}


def test_a_test_part_without_folds_does_not_choose():
    X, y = numbered(100)
    problem = problem_of(y)
    split = make_split(problem, n_folds=0)
    models = {"cheat": Cheat(y, len(split.train)), "ridge": make_model("ridge")}
    study = run_study(problem, [features_of(X)], models, split, **QUICK)
    assert study.trials[0].evaluations["cheat"].test.metrics["mae"].value == 0
    assert study.best()[1] == "ridge"
    assert study.chosen is study.trials[0].evaluations["ridge"]
    assert not study.nested
    said = verdict(study)
    assert said.startswith("Chosen within the training part: Toy features with ridge, with a mean absolute error of ")
    assert "on the test part" in said
    assert [row.role for row in study.rows] == ["baseline", "candidate", "result"]


def test_a_study_that_would_choose_on_its_test_folds_cannot_be():
    X, y = numbered(60)
    problem = problem_of(y)
    models = {"ridge": make_model("ridge"), "tree": make_model("decision_tree", random_state=0)}
    study = run_study(problem, [features_of(X)], models, make_split(problem, test_size=0, n_folds=3), **QUICK)
    with pytest.raises(ValueError, match="choice must be given: the samples that judge 2 models must not choose"):
        replace(study, choice=None)
    with pytest.raises(ValueError, match="models must not have the key 'chosen'"):
        run_study(problem, [features_of(X)], {"chosen": make_model("ridge")}, make_split(problem), **QUICK)


def test_training_parts_that_cannot_be_divided_are_named():
    X, y = numbered(12)
    problem = problem_of(y)
    problem = replace(problem, dataset=replace(problem.dataset, groups={"of": np.array(list("aaaaaabbbbbb"))}))
    split = make_split(problem, "group", test_size=0, n_folds=2, group_by="of")
    models = {"ridge": make_model("ridge"), "tree": make_model("decision_tree", random_state=0)}
    with pytest.raises(ValueError, match="a: features and models cannot be compared within its 6 training samples"):
        run_study(problem, [features_of(X)], models, split, **QUICK)


def test_what_is_said_of_a_nested_study_is_about_the_choice():
    X, y = numbered(100)
    rng = np.random.default_rng(3)
    worse = Features("worse", "Worse", "", X[:, 1:] + rng.normal(size=(100, 3)), ["a", "b", "c"], 2.0, {})
    problem = problem_of(y)
    split = make_split(problem, test_size=0)
    models = {"ridge": make_model("ridge"), "tree": make_model("decision_tree", random_state=0)}
    study = run_study(problem, [worse, features_of(X[:, 1:])], models, split, n_repeats=1)
    assert study.nested
    (_, indices, y_pred) = study.held_out()
    for k, (features, model) in enumerate(study.choice.winners):
        trial = next(t for t in study.trials if t.features.key == features)
        np.testing.assert_array_equal(study.chosen.folds[k].y_pred, trial.evaluations[model].folds[k].y_pred)
    assert sorted(indices) == list(range(100))
    expected = conformal(study.chosen, problem, split)
    assert study.uncertainty.coverage == expected.coverage
    np.testing.assert_array_equal(study.uncertainty.lower, expected.lower)
    assert study.breakdown.to_dict() == break_down(problem, indices, y_pred).to_dict()
    assert (study.learning_curve.features, study.learning_curve.model) == study.choice.best
    rows = [row for row in study.predictions() if row["model"] == "chosen"]
    assert [row["predicted"] for row in rows] == y_pred.tolist()
    assert [row["lower"] for row in rows] == expected.lower.tolist()
    found = json.loads(json.dumps(study.to_dict(), allow_nan=False))
    assert found["chosen"]["cross_validation"]["mae"]["mean"] == study.chosen.cross_validation["mae"].mean.value
    assert [part["model"] for part in found["choice"]["parts"]] == [model for _, model in study.choice.winners]
    assert study.choice.description in " ".join(study.caveats())


def test_the_most_often_chosen_is_the_best_and_ties_go_by_the_inner_figures():
    from atomprint.learn.evaluation.nested_choice import Choice
    from atomprint.learn.task.metrics import Metric

    names = (("f", "a"), ("f", "b"), ("g", "c"))

    def made(*rows, metric="mae", kind="regression"):
        figures = [[Metric(None, "it failed") if v is None else Metric(v) for v in row] for row in rows]
        return Choice(names, metric, kind, tuple(map(str, range(len(rows)))), figures, "", 0.0)

    assert made((1, 2, 3), (1, 2, 3), (9, 2, 1)).best == ("f", "a")
    assert made((1.0, 2, 3), (4, 2, 1)).best == ("g", "c")  # once each; 2 is less than 2.5
    assert made((None, 2, 3)).winners == (("f", "b"),)
    assert made((1, 2, 3), (3, 2, 1), (9, 8, 1)).best_model("f") == "b"
    assert METRICS["classification"]["balanced_accuracy"].larger_is_better
    assert made((0.5, 0.9, 0.1), metric="balanced_accuracy", kind="classification").best == ("f", "b")


def test_intervals_of_a_fold_are_made_from_the_other_folds():
    X, y = numbered(80)
    problem = problem_of(y)
    split = make_split(problem, test_size=0, n_folds=4)
    models = {"ridge": make_model("ridge"), "tree": make_model("decision_tree", random_state=0)}
    study = run_study(problem, [features_of(X)], models, split, **QUICK)
    for k, (_, held_out) in enumerate(split.folds):
        garbage = problem.y.copy()
        garbage[held_out] = 1e6
        other: Problem = replace(problem, y=garbage)
        found = conformal(study.chosen, other, split, 0.8)
        usual = conformal(study.chosen, problem, split, 0.8)
        own = found.parts == f"fold {k + 1}"
        np.testing.assert_array_equal(found.lower[own], usual.lower[own])
        assert (found.lower[~own] < usual.lower[~own]).all()
