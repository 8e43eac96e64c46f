"""No choice is made by the samples that judge it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from problems import features_of
from sklearn.base import BaseEstimator, RegressorMixin

from atomprint.datasets import Dataset, Target
from atomprint.learn import Problem, evaluate, make_model, make_split, run_study
from atomprint.learn.choice import Candidate, choose
from atomprint.workflow.benchmark import write_submission

N = 120


def problem_of(y, classes=()):
    formulas = [f"Fe{i + 1}O{2 * i + 1}" for i in range(len(y))]
    target = Target(np.asarray(y, dtype=float), "" if classes else "eV", "A number", "made up", tuple(classes))
    ids = tuple(f"mb-{i}" for i in range(len(y)))
    dataset = Dataset("toy", "Toy", None, ids, {"t": target}, "Numbers", "Nobody", formulas, licence="CC0")
    return Problem.of(dataset, "t")


def data(seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, 4))
    return X, X @ [1.0, -2.0, 0.5, 0.0] + 0.1 * rng.normal(size=N)


class Cheat(RegressorMixin, BaseEstimator):
    """Knows some targets by heart, as a model does that was picked because it happened to be good for them."""

    def __init__(self, X, y):
        self.X = X
        self.y = y

    def fit(self, X, y):
        self.mean_ = float(np.mean(y)) + 3.0  # and is bad elsewhere
        return self

    def predict(self, X):
        known = {row.tobytes(): value for row, value in zip(self.X, self.y, strict=True)}
        return np.array([known.get(row.tobytes(), self.mean_) for row in np.asarray(X)])


MODELS = {
    "ridge": make_model("ridge"),
    "forest": make_model("random_forest", n_estimators=10, random_state=0),
    "neighbours": make_model("k_neighbors"),
}


def study_of(problem, X, models, n_folds=4, test_size=0.0, **options):
    split = make_split(problem, n_folds=n_folds, test_size=test_size)
    options = {"curve": False, "n_repeats": 1, "level": None} | options
    return run_study(problem, [features_of(X)], models, split, **options)


def test_targets_of_the_folds_that_judge_do_not_enter_the_choice():
    """Spoil the targets of one fold: what is chosen and predicted for this fold stays the same."""
    X, y = data()
    study = study_of(problem_of(y), X, MODELS)
    for number, (_, judged) in enumerate(study.split.folds):
        spoilt = y.copy()
        spoilt[judged] = np.random.default_rng(number).permutation(100 * y[judged] + 50)
        other = study_of(problem_of(spoilt), X, MODELS)
        assert other.choice.chosen[number] == study.choice.chosen[number]
        assert_array_equal(other.choice.scores[number], study.choice.scores[number])
        assert_array_equal(other.result.folds[number].y_pred, study.result.folds[number].y_pred)
        # The other folds are fitted to these targets: there it must make a difference, or this test shows nothing.
        others = [k for k in range(4) if k != number]
        assert any((other.result.folds[k].y_pred != study.result.folds[k].y_pred).any() for k in others)


def test_a_model_that_is_best_only_where_it_is_judged_is_not_chosen(tmp_path):
    X, y = data()
    problem = problem_of(y)
    folds = make_split(problem, n_folds=4, test_size=0).folds
    models, cheats = dict(MODELS), []
    for number, (_, judged) in enumerate(folds):  # one for each fold: all of its targets, and no other
        models[f"cheat {number}"] = Cheat(X[judged], y[judged])
        cheats.append(f"cheat {number}")
    study = study_of(problem, X, models)
    for number, cheat in enumerate(cheats):
        by_the_fold = min(models, key=lambda name: study.trials[0].evaluations[name].folds[number].metrics["mae"].value)
        assert by_the_fold == cheat  # what a choice by test folds would take
    assert study.choice.chosen == (("toy", "ridge"),) * 4
    assert study.best()[1] == "ridge"
    write_submission(tmp_path / "results.json", study, "matbench_perovskites")
    written = json.loads((tmp_path / "results.json").read_text())["tasks"]["matbench_perovskites"]["results"]
    for number, fold in enumerate(study.trials[0].evaluations["ridge"].folds):
        assert list(written[f"fold_{number}"]["data"].values()) == fold.y_pred.tolist()
        assert written[f"fold_{number}"]["parameters"]["model"] == "ridge"


def test_the_choice_is_that_of_the_inner_fold():
    """By hand, with scikit-learn's models and the inner folds alone."""
    X, y = data()
    problem, features = problem_of(y), features_of(X)
    split = make_split(problem, n_folds=3, test_size=0)
    candidates = [Candidate(features, name, m, evaluate(m, features, problem, split)) for name, m in MODELS.items()]
    choice = choose(candidates, problem, split, n_jobs=2)
    assert choice.scores.shape == (3, 3)
    for part, (train, judged) in enumerate(split.folds):
        inner = [
            (fit, held)
            for fit, held in choice_folds(problem, train, split)
            if not set(train[held]) & set(judged) and not set(train[fit]) & set(judged)
        ]
        fit, held = inner[0]
        errors = [
            np.abs(model.fit(X[train[fit]], y[train[fit]]).predict(X[train[held]]) - y[train[held]]).mean()
            for model in MODELS.values()
        ]
        np.testing.assert_allclose(choice.scores[part], -np.array(errors), rtol=1e-9)
        name = list(MODELS)[int(np.argmin(errors))]
        assert choice.chosen[part] == ("toy", name)
        assert_array_equal(
            choice.evaluation.folds[part].y_pred, candidates[int(np.argmin(errors))].evaluation.folds[part].y_pred
        )
        assert choice.evaluation.folds[part].chosen["model"] == name


def choice_folds(problem, train, split):
    from atomprint.learn.split import inner_folds

    return inner_folds(problem, train, split, 5)


def test_a_single_test_part_does_not_choose_either():
    X, y = data()
    problem = problem_of(y)
    split = make_split(problem, n_folds=0, test_size=0.25)
    models = MODELS | {"cheat": Cheat(X[split.test], y[split.test])}
    study = study_of(problem, X, models, n_folds=0, test_size=0.25)
    assert study.trials[0].evaluations["cheat"].test.metrics["mae"].value == 0
    assert study.choice.chosen == (("toy", "ridge"),)
    assert study.result.test.y_pred is study.trials[0].evaluations["ridge"].test.y_pred
    assert study.held_out()[0] == "test part"


def test_nothing_is_chosen_twice():
    """With folds and a test part the folds choose and the test part judges; a single model is not chosen at all."""
    X, y = data()
    assert study_of(problem_of(y), X, MODELS, test_size=0.25).choice is None
    alone = study_of(problem_of(y), X, {"ridge": MODELS["ridge"]})
    assert alone.choice is None
    assert alone.result is alone.trials[0].evaluations["ridge"]


@pytest.mark.parametrize("method", ["stratified", "group"])
def test_classes_and_groups(method):
    X, y = data()
    problem = problem_of(y > np.median(y), ("no", "yes"))
    groups = {} if method == "stratified" else {"group_by": "formula"}
    split = make_split(problem, method, n_folds=3, test_size=0, **groups)
    models = {name: make_model(name, "classification", random_state=0) for name in ("ridge", "decision_tree")}
    study = run_study(problem, [features_of(X)], models, split, curve=False, n_repeats=1)
    assert {model for _, model in study.choice.chosen} <= set(models)
    found = study.to_dict()
    assert len(found["choice"]["chosen"]) == 3
    assert {row["model"] for row in study.predictions()} == {"dummy", "chosen", *models}
    assert study.uncertainty is not None
    with pytest.raises(ValueError, match="must not have the key 'chosen'"):
        run_study(problem, [features_of(X)], {"chosen": models["ridge"]}, split)


def test_a_group_that_cannot_be_divided():
    X, y = data()
    problem = problem_of(y)
    dataset = replace(problem.dataset, compositions=["FeO"] * 60 + ["NaCl"] * 60)
    problem = Problem.of(dataset, "t")
    split = make_split(problem, "group", n_folds=2, test_size=0, group_by="formula")
    study = run_study(problem, [features_of(X)], MODELS, split, curve=False, n_repeats=1, level=None)
    assert len(study.choice.chosen) == 2
