import json

import numpy as np
import pytest
from helpers.problems import atoms_problem, features_of, problem_of
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier

from atomprint.learn import conformal, evaluate, make_model, make_split
from atomprint.learn.evaluation.quantile import conformal_quantile
from atomprint.learn.study.result_table import coverage_of_parts


def study_of(estimator, X, y, classes=(), **options):
    problem = problem_of(y, classes)
    split = make_split(problem, **options)
    return evaluate(estimator, features_of(X), problem, split), problem, split


def noisy(n, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, size=(n, 2))
    return X, X[:, 0] + (0.1 + 0.9 * (X[:, 1] > 0)) * rng.normal(size=n)


def test_the_quantile_is_that_of_the_definition():
    assert conformal_quantile(np.arange(1.0, 10.0), 0.9).value == 9  # rank 0.9 * 10 of 9
    assert conformal_quantile(np.arange(1.0, 20.0)[::-1], 0.9).value == 18
    assert conformal_quantile(np.arange(1.0, 100.0), 0.5).value == 50
    too_few = conformal_quantile(np.arange(8.0), 0.9)
    assert too_few.value is None
    assert too_few.reason == "a level of 0.9 needs at least 9 held-out residuals, got 8"
    assert conformal_quantile([], 0.5).reason == "a level of 0.5 needs at least 1 held-out residuals, got 0"


def test_the_guarantee_holds_for_scores_that_are_exchangeable():
    # P(next score <= quantile) = ceil((n + 1) level) / (n + 1): here 18 / 20.
    rng = np.random.default_rng(0)
    scores = rng.exponential(size=(20_000, 20))
    hits = [row[-1] <= conformal_quantile(row[:-1], 0.9).value for row in scores]
    assert np.mean(hits) == pytest.approx(0.9, abs=0.01)


def test_the_guarantee_holds_for_a_new_group_of_scores_that_are_alike():
    rng = np.random.default_rng(1)
    hits = {"of groups": [], "of samples": []}
    for _ in range(4000):
        sizes = rng.integers(1, 30, size=11)  # the last one is new
        groups = np.repeat(np.arange(11), sizes)
        scores = np.abs(rng.normal(size=11)[groups] * (3 - sizes / 15)[groups] + 0.2 * rng.normal(size=len(groups)))
        known, new = groups < 10, np.flatnonzero(groups == 10)[0]
        for name, own in (("of groups", groups[known]), ("of samples", None)):
            hits[name].append(scores[new] <= conformal_quantile(scores[known], 0.9, own).value)
    assert 0.895 < np.mean(hits["of groups"]) < 0.9 + 2 / 11
    assert np.mean(hits["of samples"]) < 0.88  # what groups are for
    # Groups of one are samples on their own, and few groups are few, however many samples they have.
    scores = rng.normal(size=57)
    for level in (0.1, 0.5, 0.9):
        assert conformal_quantile(scores, level, np.arange(57)) == conformal_quantile(scores, level)
    too_few = conformal_quantile(scores, 0.9, np.arange(57) % 8).reason
    assert too_few == "a level of 0.9 needs held-out residuals of at least 9 groups, got 8"


@pytest.mark.parametrize("target", ["numbers", "classes", "atoms"])
def test_groups_that_stay_together_count_once(target):
    rng = np.random.default_rng(0)
    if target == "atoms":
        problem = atoms_problem(n_structures=12)
        split, groups = make_split(problem, n_folds=3, test_size=0.25), problem.structures
    else:
        groups = np.arange(60) % 12
        y = groups + 0.01 * rng.normal(size=60) if target == "numbers" else (groups + rng.integers(0, 2, 60)) % 2
        problem = problem_of(y, () if target == "numbers" else ("a", "b"))
        problem.dataset.groups["source"] = groups.astype(str)
        split = make_split(problem, "group", group_by="source", n_folds=3, test_size=0.25)
    model = LogisticRegression() if target == "classes" else LinearRegression()
    evaluation = evaluate(model, features_of(rng.normal(size=(len(problem), 2))), problem, split)
    found = conformal(evaluation, problem, split, 0.8)
    of_folds = evaluation.out_of_fold()
    if target == "classes":
        scores = 1 - of_folds.probabilities[np.arange(len(of_folds.indices)), problem.y[of_folds.indices].astype(int)]
        second = problem.y[of_folds.indices] == 1
        expected = 1 - conformal_quantile(scores[second], 0.8, groups[of_folds.indices][second]).value
        assert found.thresholds["b"].value == expected
    else:
        residuals = np.abs(of_folds.y_pred - problem.y[of_folds.indices])
        assert found.half_width == conformal_quantile(residuals, 0.8, groups[of_folds.indices])
        assert found.half_width.value >= conformal_quantile(residuals, 0.8).value
    if target != "classes":  # 9 groups for training, few for this level
        few = conformal(evaluation, problem, split, 0.95)
        assert few.half_width.reason == "a level of 0.95 needs held-out residuals of at least 19 groups, got 9"
    assert "counts the same" in found.assumptions


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
def test_intervals_hold_the_truth_as_often_as_they_say(level):
    X, y = noisy(1500)
    evaluation, problem, split = study_of(LinearRegression(), X, y, test_size=0.4)
    found = conformal(evaluation, problem, split, level)
    assert found.checked_on == "test part"
    assert found.coverage.value == pytest.approx(level, abs=0.04)
    test = found.parts == "test"
    inside = (found.lower[test] <= y[split.test]) & (y[split.test] <= found.upper[test])
    assert found.indices[test].tolist() == split.test.tolist()
    assert inside.mean() == pytest.approx(found.coverage.value)
    assert found.mean_width.value == pytest.approx(2 * found.half_width.value)
    assert found.calibration.nominal == pytest.approx(found.calibration.observed, abs=0.05)
    assert (np.diff(found.calibration.observed) >= 0).all()
    # The folds are covered as well, without residuals of their own.
    folds = conformal(*(study_of(LinearRegression(), X, y, test_size=0)), level)
    assert folds.checked_on == "folds"
    assert folds.coverage.value == pytest.approx(level, abs=0.04)


class Mean(RegressorMixin, BaseEstimator):
    def fit(self, X, y):
        self.is_fitted_ = True
        return self

    def predict(self, X):
        return np.zeros(len(X))


def test_no_interval_is_made_with_its_own_truth():
    # One fold with errors a hundred times those of the others: its intervals must be narrow and miss them.
    problem = problem_of(np.ones(40))
    split = make_split(problem, test_size=0, n_folds=4)
    problem.y[split.folds[0][1]] = 100.0
    evaluation = evaluate(Mean(), features_of(np.ones((40, 1))), problem, split)
    found = conformal(evaluation, problem, split, 0.8)
    own = found.parts == "fold 1"
    assert (found.upper[own] == 1).all()
    assert (found.upper[~own] == 100).all()
    assert found.coverage.value == 0.75


def test_a_sample_in_two_folds_does_not_bound_itself():
    from atomprint.learn import Split

    problem = problem_of(np.ones(30))
    problem.y[:10] = 100.0
    a, b = np.arange(10), np.arange(20)  # the first ten samples are predicted twice
    everything = np.arange(30)
    split = Split(everything, everything[:0], ((everything[10:], a), (everything[20:], b)), 0)
    evaluation = evaluate(Mean(), features_of(np.ones((30, 1))), problem, split)
    found = conformal(evaluation, problem, split, 0.5)
    assert (found.upper[found.parts == "fold 1"] == 1).all()  # only from samples 10 to 19
    assert np.isnan(found.upper[found.parts == "fold 2"]).all()  # every sample of fold 1 is in it
    assert "needs at least 1 held-out residuals, got 0" in found.coverage.reason


def test_intervals_normalised_by_the_model_are_wide_where_it_is_unsure():
    X, y = noisy(1500, seed=1)
    model = make_model("random_forest", n_estimators=50, max_features=None, min_samples_leaf=5, random_state=0)
    evaluation, problem, split = study_of(model, X, y, test_size=0.4)
    found = conformal(evaluation, problem, split, 0.8)
    normalised = found.normalised
    assert normalised.coverage.value == pytest.approx(0.8, abs=0.05)
    test = found.parts == "test"
    width, loud = (normalised.upper - normalised.lower)[test], X[split.test, 1] > 0
    assert width[loud].mean() > 3 * width[~loud].mean()
    assert normalised.mean_width.value < found.mean_width.value
    assert width == pytest.approx(2 * normalised.half_width.value * evaluation.test.y_std, rel=1e-6)
    assert "standard deviation" in normalised.method
    # Coverage among the samples that are hard, which intervals of one width do not have.
    truth = y[split.test]
    inside = (normalised.lower[test] <= truth) & (truth <= normalised.upper[test])
    plain = (found.lower[test] <= truth) & (truth <= found.upper[test])
    assert abs(inside[loud].mean() - 0.8) < abs(plain[loud].mean() - 0.8)
    assert conformal(*study_of(LinearRegression(), X, y), 0.8).normalised is None


def test_too_few_residuals_have_a_reason_and_no_interval():
    X, y = noisy(12)
    evaluation, problem, split = study_of(LinearRegression(), X, y, n_folds=3)
    found = conformal(evaluation, problem, split, 0.95)
    assert np.isnan(found.lower).all()
    for metric in (found.coverage, found.mean_width, found.half_width):
        assert metric.reason == "a level of 0.95 needs at least 19 held-out residuals, got 9"
    assert found.calibration.nominal.max() == 0.9
    json.dumps(found.to_dict(), allow_nan=False)
    evaluation, problem, split = study_of(LinearRegression(), X, y, n_folds=0)
    found = conformal(evaluation, problem, split, 0.9)
    assert found.calibration is None
    assert found.coverage.reason == "a level of 0.9 needs at least 9 held-out residuals, got 0"


@pytest.mark.parametrize(("level", "message"), [(1.0, "level must be < 1, got 1"), (0, "level must be > 0, got 0")])
def test_bad_levels(level, message):
    with pytest.raises(ValueError, match=message):
        conformal(*study_of(LinearRegression(), *noisy(20)), level)


def test_assumptions_are_told():
    evaluation, problem, split = study_of(LinearRegression(), *noisy(20))
    assert "exchangeable" in conformal(evaluation, problem, split).assumptions
    problem = atoms_problem()
    split = make_split(problem, n_folds=2)
    X = np.column_stack([problem.structures, problem.atoms]).astype(float)
    found = conformal(evaluate(LinearRegression(), features_of(X), problem, split), problem, split)
    assert "each structure counts the same" in found.assumptions


# Classes ----------------------------------------------------------------------------------------------------------


def two_classes(n, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    return X, (rng.uniform(size=n) < 1 / (1 + np.exp(-2 * X[:, 0] + 2))).astype(int)


def test_sets_hold_each_class_as_often_as_they_say():
    X, y = two_classes(3000)
    assert 0.15 < y.mean() < 0.35  # the level must hold for the rarer one, too
    evaluation, problem, split = study_of(LogisticRegression(), X, y, ("no", "yes"), test_size=0.5)
    found = conformal(evaluation, problem, split, 0.9)
    assert found.coverage.value == pytest.approx(0.9, abs=0.03)
    for name in ("no", "yes"):
        assert found.coverage_by_class[name].value == pytest.approx(0.9, abs=0.05)
    test = found.parts == "test"
    hit = found.sets[test][np.arange(test.sum()), y[split.test]]
    assert hit.mean() == pytest.approx(found.coverage.value)
    assert found.mean_width.value == pytest.approx(found.sets[test].sum(axis=1).mean())
    limits = np.array([found.thresholds[name].value for name in ("no", "yes")])
    assert (found.sets[test] == (evaluation.test.probabilities >= limits - 1e-12)).all()
    assert found.lower is None
    # The probabilities are right, and so on the diagonal.
    reliability = found.calibration
    assert reliability.kind == "reliability"
    assert reliability.counts.sum() == len(split.test)
    many = reliability.counts > 100
    assert reliability.nominal[many] == pytest.approx(reliability.observed[many], abs=0.07)
    json.dumps(found.to_dict(), allow_nan=False)


def test_coverage_of_parts_is_the_share_of_truths_inside_in_each():
    rng = np.random.default_rng(2)
    for classes in ((), ("a", "b", "c")):
        X = rng.normal(size=(150, 2))
        y = X[:, 0] + 0.5 * rng.normal(size=150)
        problem = problem_of(np.digitize(y, (-0.5, 0.5)) if classes else y, classes)
        model = make_model("decision_tree", problem.kind, max_depth=3, random_state=0)
        for options, names in (({"test_size": 0}, [f"fold {k}" for k in range(1, 6)]), ({}, ["test"])):
            split = make_split(problem, **options)
            evaluation = evaluate(model, features_of(X), problem, split)
            found = conformal(evaluation, problem, split)
            shares = coverage_of_parts(found, problem)
            assert list(shares) == names
            row, hits, n = 0, 0, 0
            for name, fold in evaluation.parts():
                inside = []
                for sample in fold.indices:
                    truth = problem.y[sample]
                    if classes:
                        inside.append(bool(found.sets[row][int(truth)]))
                    else:
                        inside.append(found.lower[row] <= truth <= found.upper[row])
                    row += 1
                if name in names:
                    assert shares[name].value == sum(inside) / len(inside)
                    hits, n = hits + sum(inside), n + len(inside)
            assert found.coverage.value == pytest.approx(hits / n)
    few = problem_of(np.arange(6.0))
    split = make_split(few, n_folds=2)
    too_few = conformal(evaluate(Mean(), features_of(np.ones((6, 1))), few, split), few, split, 0.99)
    assert "needs" in coverage_of_parts(too_few, few)["test"].reason


def test_reliability_agrees_with_scikit_learn():
    from sklearn.calibration import calibration_curve

    X, y = two_classes(500, seed=3)
    evaluation, problem, split = study_of(LogisticRegression(), X, y, ("no", "yes"))
    found = conformal(evaluation, problem, split).calibration
    observed, nominal = calibration_curve(y[split.test], evaluation.test.probabilities[:, 1], n_bins=10)
    assert found.nominal == pytest.approx(nominal)
    assert found.observed == pytest.approx(observed)


def test_sets_of_several_classes_and_a_class_with_too_few_samples():
    rng = np.random.default_rng(1)
    y = np.array([0] * 60 + [1] * 60 + [2] * 6)
    X = np.eye(3)[y] + 0.1 * rng.normal(size=(126, 3))
    evaluation, problem, split = study_of(LogisticRegression(), X, y, ("a", "b", "c"), method="stratified")
    found = conformal(evaluation, problem, split)
    assert found.thresholds["c"].value is None
    assert "needs at least 9 held-out residuals" in found.thresholds["c"].reason
    assert found.sets[:, 2].all()  # nothing is known against it
    assert found.coverage_by_class["c"].value == 1
    assert found.sets[:, :2].sum(axis=1).mean() == pytest.approx(1, abs=0.2)


def test_without_probabilities_there_are_no_sets():
    X, y = two_classes(60)
    evaluation, problem, split = study_of(RidgeClassifier(), X, y, ("no", "yes"))
    found = conformal(evaluation, problem, split)
    assert found.sets is None
    assert found.coverage.reason == "the model gives no probabilities of classes"
    json.dumps(found.to_dict(), allow_nan=False)
