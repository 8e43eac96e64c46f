import json

import numpy as np
import pytest
from sklearn import metrics as reference

from atomprint.learn.task.metrics import (
    METRICS,
    Metric,
    classification_metrics,
    compute_metrics,
    format_number,
    primary_metric,
    regression_metrics,
    spread,
)

# Regression -------------------------------------------------------------------------------------------------------


def test_metrics_agree_with_scikit_learn():
    rng = np.random.default_rng(0)
    y, guess = rng.normal(size=(2, 50))
    found = regression_metrics(y, guess)
    assert found["mae"].value == pytest.approx(reference.mean_absolute_error(y, guess))
    assert found["rmse"].value == pytest.approx(reference.root_mean_squared_error(y, guess))
    assert found["r2"].value == pytest.approx(reference.r2_score(y, guess))
    assert found["max_error"].value == pytest.approx(reference.max_error(y, guess))


@pytest.mark.parametrize(
    ("y", "words"),
    [
        ([3.0], "R² needs at least 2 test samples, got 1"),
        ([5.0, 5.0, 5.0], "R² needs test targets that differ, got 3 times 5"),
        ([0.0, 5e-324], "R² needs test targets that differ, got 2 all close to 0"),
    ],
)
def test_undefined_r2_is_explained_in_words(y, words):
    found = regression_metrics(y, np.zeros(len(y)))
    assert found["r2"].value is None
    assert str(found["r2"]) == words
    assert words in str(found)
    assert "nan" not in str(found)
    assert found.to_dict()["r2"] == {"undefined": words}
    json.dumps(found.to_dict(), allow_nan=False)
    assert found["mae"].value == pytest.approx(np.mean(y))


@pytest.mark.parametrize(
    ("y", "guess", "message"),
    [
        ([], [], r"y_true must have shape \(n_samples,\) with at least one sample"),
        ([1.0, 2.0], [1.0], "y_pred must have as many values as y_true, 2, got 1"),
        ([1.0, 2.0], [1.0, np.nan], "y_pred must be finite, got nan"),
        ([[1.0]], [1.0], "y_true must have shape"),
    ],
)
@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_bad_input_of_metrics(kind, y, guess, message):
    with pytest.raises(ValueError, match=message):
        compute_metrics(kind, y, guess)


# Classification ---------------------------------------------------------------------------------------------------


def predictions(n_classes, n=200, seed=0):
    """Return truth, predicted classes and probabilities that are somewhat right, with ties."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(n_classes, size=n)
    scores = np.round(rng.random((n, n_classes)) + 0.3 * np.eye(n_classes)[truth], 2)
    scores /= scores.sum(axis=1, keepdims=True)
    return truth, scores.argmax(axis=1), scores


def test_two_classes_agree_with_scikit_learn():
    truth, guess, scores = predictions(2)
    found = classification_metrics(truth, guess, scores, ("insulator", "metal"))
    assert list(found.values) == list(METRICS["classification"])
    assert found["balanced_accuracy"].value == pytest.approx(reference.balanced_accuracy_score(truth, guess))
    assert found["accuracy"].value == pytest.approx(reference.accuracy_score(truth, guess))
    assert found["f1"].value == pytest.approx(reference.f1_score(truth, guess))
    assert found["mcc"].value == pytest.approx(reference.matthews_corrcoef(truth, guess))
    assert found["roc_auc"].value == pytest.approx(reference.roc_auc_score(truth, scores[:, 1]))
    assert found["pr_auc"].value == pytest.approx(reference.average_precision_score(truth, scores[:, 1]))
    assert found["leaderboard_rocauc"].value == pytest.approx(reference.roc_auc_score(truth, scores.argmax(axis=1)))
    json.dumps(found.to_dict(), allow_nan=False)


def test_the_area_under_the_curve_is_the_share_of_pairs_in_the_right_order():
    truth, guess, scores = predictions(2, n=60)
    positive, negative = scores[truth == 1, 1][:, None], scores[truth == 0, 1]
    share = np.mean((positive > negative) + 0.5 * (positive == negative))
    assert classification_metrics(truth, guess, scores)["roc_auc"].value == pytest.approx(share)


@pytest.mark.parametrize("seed", range(3))
def test_the_figure_of_the_leaderboard_is_the_balanced_accuracy_and_not_the_true_area(seed):
    truth, guess, scores = predictions(2, seed=seed)
    found = classification_metrics(truth, guess, scores)
    assert found["leaderboard_rocauc"].value == pytest.approx(found["balanced_accuracy"].value)
    assert found["roc_auc"].value > found["leaderboard_rocauc"].value + 0.02


def test_many_classes_agree_with_scikit_learn():
    truth, guess, scores = predictions(4)
    found = classification_metrics(truth, guess, scores, "abcd")
    assert found["balanced_accuracy"].value == pytest.approx(reference.balanced_accuracy_score(truth, guess))
    assert found["f1"].value == pytest.approx(reference.f1_score(truth, guess, average="macro"))
    assert found["mcc"].value == pytest.approx(reference.matthews_corrcoef(truth, guess))
    ovr = reference.roc_auc_score(truth, scores, multi_class="ovr", average="macro")
    assert found["roc_auc"].value == pytest.approx(ovr)
    one_hot = np.eye(4)[truth]
    assert found["pr_auc"].value == pytest.approx(reference.average_precision_score(one_hot, scores, average="macro"))
    assert str(found["leaderboard_rocauc"]) == 'leaderboard "rocauc" is defined for two classes, got 4'


def test_a_class_that_is_not_among_the_test_samples_is_left_out_of_averages():
    truth, guess, scores = predictions(4)
    kept = truth != 2
    found = classification_metrics(truth[kept], guess[kept], scores[kept], "abcd")
    recalls = [np.mean(guess[truth == k] == k) for k in (0, 1, 3)]
    assert found["balanced_accuracy"].value == pytest.approx(np.mean(recalls))
    areas = [reference.roc_auc_score(truth[kept] == k, scores[kept, k]) for k in (0, 1, 3)]
    assert found["roc_auc"].value == pytest.approx(np.mean(areas))
    assert 2 in guess[kept]
    assert found["f1"].value == pytest.approx(reference.f1_score(truth[kept], guess[kept], average="macro"))


CLASSES = ("insulator", "metal")
ONLY = "needs test samples of at least 2 classes, got only"


@pytest.mark.parametrize(
    ("truth", "guess", "name", "words"),
    [
        ([1, 1], [1, 0], "balanced_accuracy", f"balanced accuracy {ONLY} 'metal'"),
        ([1, 1], [1, 0], "roc_auc", f"ROC-AUC {ONLY} 'metal'"),
        ([0, 0], [1, 0], "pr_auc", f"PR-AUC {ONLY} 'insulator'"),
        ([0, 0], [1, 0], "f1", "F1 needs test samples of class 'metal', got none"),
        ([0, 0], [0, 0], "f1", "F1 needs test samples of class 'metal', got none"),
        ([0, 0], [0, 1], "mcc", f"MCC {ONLY} 'insulator'"),
        ([0, 1], [1, 1], "mcc", "MCC needs predictions of at least 2 classes, got only 'metal'"),
        ([0], [0], "leaderboard_rocauc", f"leaderboard \"rocauc\" {ONLY} 'insulator'"),
    ],
)
def test_undefined_figures_are_explained_in_words(truth, guess, name, words):
    scores = np.eye(2)[guess]
    found = classification_metrics(truth, guess, scores, CLASSES)
    assert found[name].value is None
    assert str(found[name]) == words
    assert "nan" not in str(found)
    json.dumps(found.to_dict(), allow_nan=False)
    assert found["accuracy"].value == np.mean(np.equal(truth, guess))


def test_there_is_no_area_without_probabilities():
    found = classification_metrics([0, 1], [0, 1], classes=CLASSES)
    assert str(found["roc_auc"]) == "ROC-AUC needs probabilities, which this model does not give"
    assert found["pr_auc"].value is None
    assert found["f1"].value == 1


@pytest.mark.parametrize(
    ("truth", "scores", "classes", "message"),
    [
        ([0, 2], None, CLASSES, r"y_true must be indices of classes in 0\.\.1, got 2"),
        ([0, 0.5], None, (), r"y_true must be indices of classes in 0\.\.1, got 0.5"),
        ([-1, 0], None, (), "y_true must be indices of classes"),
        ([0, 1], [0.1, 0.9], CLASSES, r"probabilities must have shape \(n_samples, n_classes\) = \(2, 2\), got \(2,\)"),
        ([0, 1], [[0.1, 0.9], [np.inf, 0]], CLASSES, "probabilities must be finite, got inf"),
        ([0, 1], None, ("metal",), "classes must name at least 2"),
    ],
)
def test_bad_input_of_classification_metrics(truth, scores, classes, message):
    with pytest.raises(ValueError, match=message):
        classification_metrics(truth, [0, 1], scores, classes)


def test_metrics_by_kind():
    assert compute_metrics("regression", [1.0, 2.0], [1.0, 2.0])["mae"].value == 0
    assert compute_metrics("classification", [0, 1], [0, 1])["accuracy"].value == 1
    assert (primary_metric("regression"), primary_metric("classification")) == ("mae", "balanced_accuracy")
    with pytest.raises(ValueError, match="kind must be one of 'regression', 'classification', got 'ranking'"):
        compute_metrics("ranking", [1], [1])


# Spread and numbers -----------------------------------------------------------------------------------------------


def test_spread_is_over_the_folds_in_which_a_metric_is_defined():
    found = spread([Metric(1.0), Metric(3.0), Metric(None, "no")])
    assert (found.mean.value, found.n) == (2.0, 2)
    assert found.std.value == pytest.approx(np.sqrt(2))
    assert str(found) == "2.00 ± 1.41"
    assert str(spread([Metric(None, "too few")])) == "too few"
    alone = spread([Metric(1.0)])
    assert str(alone) == "1"
    assert "at least 2 folds" in alone.std.reason


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (123.4, "123"),
        (12.34, "12.3"),
        (1.234, "1.23"),
        (0.0012, "0.00120"),
        (2.0, "2"),
        (0.4564, "0.456"),
        (100.0, "100"),
        (0.0, "0"),
        (-3.14159, "-3.14"),
    ],
)
def test_numbers_have_three_digits(value, text):
    assert format_number(value) == text
