"""Errors for known and for new formulas and groups, measured: they may differ either way, or not."""

import numpy as np
import pytest
from scipy import stats

from atomprint.datasets import Dataset, Target
from atomprint.learn.evaluation.evaluate import Evaluation, Fold
from atomprint.learn.splits.leakage import find_leakage
from atomprint.learn.splits.split import Split
from atomprint.learn.study.familiar import measure_familiarity
from atomprint.learn.task.metrics import compute_metrics
from atomprint.learn.task.problem import Problem


def measured(known, new, *, n=60, copies=2, groups=None, kind="regression", n_formulas=None):
    """Return what is measured where half of the test samples have a formula that was fitted, with given errors."""
    rng = np.random.default_rng(0)
    shared = [f"Fe{k + 1}O" for k in range(n_formulas or n)] * (n // (n_formulas or n))
    others = [f"Ni{k // copies + 1}O" for k in range(n)] if new is not None else []
    formulas = [*shared, *shared, *others]
    classes = ("insulator", "metal") if kind == "classification" else ()
    y = np.arange(len(formulas)) % 2 if classes else rng.normal(size=len(formulas))
    target = Target(y.astype(float), "" if classes else "eV", "Gap", "made", classes=classes)
    names = tuple(map(str, range(len(formulas))))
    own = {} if groups is None else {"batch": np.array(groups(len(formulas), n))}
    dataset = Dataset("made", "Made", None, names, {"y": target}, "", "", formulas, groups=own)
    problem = Problem.of(dataset, "y")
    train, test = np.arange(n), np.arange(n, len(formulas))
    split = Split(train, test, (), 0)
    of_known = np.arange(len(test)) < n
    if classes:
        wrong = rng.random(len(test)) < np.where(of_known, known, new)
        guess = np.where(wrong, 1 - problem.y[test], problem.y[test])
    else:
        scale = np.where(of_known, known, 0 if new is None else new)
        guess = problem.y[test] + scale * (0.5 + rng.random(len(test)))
    metrics = compute_metrics(problem.kind, problem.y[test], guess, None, classes)
    evaluation = Evaluation(problem.kind, (), Fold(test, guess, None, None, {}, metrics, {}, 0.0, 0.0), None)
    return problem, measure_familiarity(problem, split, find_leakage(problem, split), evaluation), evaluation


def test_new_formulas_that_are_harder():
    problem, (found,), evaluation = measured(0.1, 0.3)
    errors = np.abs(evaluation.test.y_pred - problem.y[evaluation.test.indices])
    assert (found.known.n, found.new.n) == (60, 60)
    assert (found.known.n_groups, found.new.n_groups) == (60, 30)
    assert found.known.error == pytest.approx(errors[:60].mean())
    assert found.new.error == pytest.approx(errors[60:].mean())
    low, high = stats.t.interval(0.95, 59, errors[:60].mean(), stats.sem(errors[:60]))
    assert (found.known.low, found.known.high) == pytest.approx((low, high))
    (said,) = found.sentences()
    assert said.startswith("Mean absolute error for 60 predicted samples whose formula was fitted too: 0.")
    assert "60 predicted samples with a new formula: 0." in said
    assert " eV" in said
    assert "A new formula is harder" in said


def test_new_formulas_that_are_easier_as_on_nomad():
    _, (found,), _ = measured(0.3, 0.1)
    assert "no harder, but easier" in found.verdict
    assert found.difference[2] < 0


def test_no_difference_is_told_where_there_is_none():
    _, (found,), _ = measured(0.2, 0.2)
    assert found.difference[1] < 0 < found.difference[2]
    assert found.verdict.startswith("No difference can be told")


def test_samples_of_one_formula_count_as_one_draw():
    narrow = measured(0.1, 0.3, copies=1)[1][0].new
    _, (found,), _ = measured(0.1, 0.3, copies=10)
    assert found.new.n_groups == 6
    assert found.new.low is None  # too few formulas for an interval
    assert found.difference is None
    assert "Too few" in found.verdict
    assert narrow.low is not None
    # Advice would be of use, as errors for new formulas are not measured.
    assert len(list(found.sentences())) == 2


def test_classes_have_shares_of_wrong_ones():
    _, (found,), _ = measured(0.02, 0.5, kind="classification")
    assert "Share of wrong classes" in next(found.sentences())
    assert "harder" in found.verdict


def test_advice_is_given_only_where_it_can_be_followed():
    _, (many,), _ = measured(0.1, None)
    assert many.new is None
    assert 'A split of method "group" by "formula"' in list(many.sentences())[1]
    _, (few,), _ = measured(0.1, None, n_formulas=2)  # such a split could leave out one of two
    assert len(list(few.sentences())) == 1


def test_groups_of_the_user_are_compared_too():
    def half(total, n):  # batches of their own: new ones for the last thirds of the samples
        return [f"batch {k % 20}" if k < 2 * n else f"late {k % 20}" for k in range(total)]

    _, found, _ = measured(0.1, 0.3, groups=half)
    assert [one.what for one in found] == ["formula", "batch"]
    assert "A new batch is harder" in next(found[1].sentences())
    # All batches known: there is nothing to compare.
    _, found, _ = measured(0.1, 0.3, groups=lambda total, n: [f"batch {k % 5}" for k in range(total)])
    assert [one.what for one in found] == ["formula"]
