"""Which class is predicted, given the probabilities of all."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score, matthews_corrcoef

from atomprint.learn.estimators.decision import FIGURES, best_thresholds, decide, figure_of, given_threshold
from atomprint.learn.task.metrics import classification_metrics


def made(n_classes, n=300, seed=3):
    """Return probabilities and classes of which the last is rare, and hardly ever the most probable."""
    rng = np.random.default_rng(seed)
    shares = np.r_[np.full(n_classes - 1, 0.9 / (n_classes - 1)), 0.1]
    truth = rng.choice(n_classes, n, p=shares)
    p = shares * np.exp(rng.normal(size=(n, n_classes)) + 1.5 * np.eye(n_classes)[truth])
    return np.round(p / p.sum(axis=1, keepdims=True), 2), truth  # with ties


@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("figure", FIGURES)
def test_figures_are_those_of_scikit_learn(n_classes, figure):
    rng = np.random.default_rng(n_classes)
    for _ in range(5):
        truth, guess = rng.integers(0, n_classes, (2, 40))
        table = confusion_matrix(truth, guess, labels=range(n_classes))
        expected = classification_metrics(truth, guess, classes=[f"class {k}" for k in range(n_classes)])[figure]
        assert figure_of(table, figure) == pytest.approx(expected.value, abs=1e-12)


def test_figures_of_many_tables_at_once_and_of_classes_that_do_not_occur():
    tables = np.array([[[3, 0], [0, 0]], [[3, 1], [1, 2]], [[0, 0], [0, 0]]])
    assert figure_of(tables, "f1") == pytest.approx([0, 2 / 3, 0])
    assert figure_of(tables, "mcc") == pytest.approx(
        [0, matthews_corrcoef([0] * 4 + [1] * 3, [0, 0, 0, 1, 0, 1, 1]), 0]
    )
    assert figure_of(tables, "balanced_accuracy")[0] == 1


def test_the_class_with_the_largest_probability_in_units_of_its_threshold_is_taken():
    p = np.array([[0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    assert decide(p, given_threshold(0.3)).tolist() == [0, 0, 1]  # it must be exceeded
    assert decide(p, given_threshold(0.5)).tolist() == p.argmax(axis=1).tolist()
    assert decide(np.array([[0.5, 0.3, 0.2]]), np.array([0.6, 0.3, 0.1])).tolist() == [2]


@pytest.mark.parametrize("figure", FIGURES)
def test_the_threshold_of_two_classes_is_the_best_of_all(figure):
    p, truth = made(2)
    thresholds, value = best_thresholds(p, truth, figure)

    def of(guess):
        return classification_metrics(truth, guess, classes=("no", "yes"))[figure].value or 0.0

    assert thresholds.sum() == pytest.approx(1)
    assert value == pytest.approx(max(of(p[:, 1] > t) for t in np.arange(-0.005, 1, 0.01)))
    assert of(p[:, 1] > thresholds[1]) == pytest.approx(value)
    assert (decide(p, thresholds) == (p[:, 1] > thresholds[1])).all()
    assert not np.isin(thresholds[1], p[:, 1])


@pytest.mark.parametrize("figure", FIGURES)
def test_thresholds_of_several_classes_are_hardly_worse_than_the_best_of_a_grid(figure):
    p, truth = made(3)
    thresholds, value = best_thresholds(p, truth, figure)
    counts = np.indices((31,) * 2).reshape(2, -1).T + 1
    grid = [np.array([a, b, 32 - a - b]) / 32 for a, b in counts if a + b < 32]

    def of(tried):
        return classification_metrics(truth, decide(p, tried), classes=("a", "b", "c"))[figure].value or 0.0

    assert thresholds.min() > 0
    assert of(thresholds) == pytest.approx(value)
    assert value >= max(map(of, grid)) - 0.01
    assert value >= of(np.full(3, 1 / 3))


def test_of_several_thresholds_that_are_as_good_the_one_that_changes_least_is_taken():
    p = np.array([[0.8, 0.1, 0.1]] * 5 + [[0.1, 0.8, 0.1]] * 5 + [[0.5, 0.1, 0.4], [0.5, 0.1, 0.4], [0.97, 0.01, 0.02]])
    truth = np.repeat([0, 1, 2, 0], [5, 5, 2, 1])
    thresholds, value = best_thresholds(p, truth, "balanced_accuracy")
    assert value == 1
    # That of the third class may be anything from 1/7 to 4/5 of that of the first one: of 0.8 and 0.1, and 0.5 and 0.4.
    assert thresholds[2] / thresholds[0] == pytest.approx(np.sqrt(1 / 8 * 4 / 5), rel=1e-6)


def test_rare_classes_gain():
    p, truth = made(3, 2000)
    thresholds, value = best_thresholds(p, truth, "balanced_accuracy")
    assert value > balanced_accuracy_score(truth, p.argmax(axis=1)) + 0.05
    assert thresholds[2] == thresholds.min()
    assert f1_score(truth, decide(p, best_thresholds(p, truth, "f1")[0]), average="macro") >= f1_score(
        truth, p.argmax(axis=1), average="macro"
    )


def test_where_there_is_nothing_to_choose_by_all_thresholds_are_equal():
    p, _ = made(3, 20)
    assert best_thresholds(p, np.zeros(20, dtype=int), "f1")[0].tolist() == [1 / 3] * 3
    with pytest.raises(ValueError, match=r"figure must be one of 'balanced_accuracy', .*, got 'roc_auc'"):
        best_thresholds(p, np.arange(20) % 3, "roc_auc")
