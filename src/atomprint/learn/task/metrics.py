"""Figures of merit that say in words when they mean nothing, instead of being nan."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from atomprint.util.types import FloatArray, Indices, Json, JsonObject, Mask
from atomprint.util.validation import check_choice


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of merit, or the reason why there is none.

    Parameters
    ----------
    value : float or None
        None where the figure is not defined.
    reason : str
        Why it is not defined; empty where it is.
    """

    value: float | None
    reason: str = ""

    def __str__(self) -> str:
        return self.reason if self.value is None else format_number(self.value)

    def to_dict(self) -> Json:
        """Return the value, or ``{"undefined": reason}``, for JSON."""
        return {"undefined": self.reason} if self.value is None else self.value


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """What a figure of merit is called and how it is read.

    Parameters
    ----------
    title : str
        Name for people.
    description : str
        What it is, in a sentence.
    larger_is_better : bool
        Whether it is a score, and not an error.
    in_unit : bool
        Whether it has the unit of the target.
    """

    title: str
    description: str
    larger_is_better: bool
    in_unit: bool


METRICS: Mapping[str, Mapping[str, MetricSpec]] = MappingProxyType(
    {
        "regression": {
            "mae": MetricSpec("MAE", "mean absolute error", False, True),
            "rmse": MetricSpec("RMSE", "root mean square error, which weighs large errors more", False, True),
            "r2": MetricSpec(
                "R²",
                "1 for perfect predictions, 0 for predictions no better than the mean of the targets at hand",
                True,
                False,
            ),
            "max_error": MetricSpec("largest error", "largest absolute error", False, True),
        },
        "classification": {
            "balanced_accuracy": MetricSpec(
                "balanced accuracy",
                "share of right predictions within each class, averaged over the classes among the test samples: "
                "1 divided by the number of classes for a model that always says the same",
                True,
                False,
            ),
            "accuracy": MetricSpec("accuracy", "share of right predictions", True, False),
            "f1": MetricSpec(
                "F1",
                "harmonic mean of precision and recall, of the second of two classes, or averaged over the classes "
                "that occur or are predicted",
                True,
                False,
            ),
            "mcc": MetricSpec(
                "MCC",
                "Matthews correlation coefficient between predicted and true classes: 1 for perfect predictions, 0 for "
                "predictions that have nothing to do with the truth",
                True,
                False,
            ),
            "roc_auc": MetricSpec(
                "ROC-AUC",
                "how often a sample of the class is given a higher probability of it than a sample of another class; "
                "of the second of two classes, or each class against the rest, averaged over the classes among the "
                "test samples",
                True,
                False,
            ),
            "pr_auc": MetricSpec(
                "PR-AUC",
                "average precision, the area under the curve of precision against recall; of the second of two "
                "classes, or each class against the rest, averaged over the classes among the test samples: a model "
                "that knows nothing has the share of the class",
                True,
                False,
            ),
            "leaderboard_rocauc": MetricSpec(
                'leaderboard "rocauc"',
                "what Matbench calls rocauc: ROC-AUC of predicted classes instead of probabilities, which for two "
                "classes is the balanced accuracy",
                True,
                False,
            ),
        },
    }
)
"""Figures of merit of each kind of problem; the first is the one by which models are compared."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """Figures of merit of predictions, by the names in :data:`METRICS`.

    Parameters
    ----------
    kind : {"regression", "classification"}
        Kind of the problem.
    values : mapping of str to Metric
        The figures of merit, in the order of :data:`METRICS`; errors have the unit of the target.
    """

    kind: str
    values: Mapping[str, Metric]

    def __getitem__(self, name: str) -> Metric:
        return self.values[name]

    def __str__(self) -> str:
        return ", ".join(
            f"{METRICS[self.kind][name].title} {metric}" if metric.value is not None else metric.reason
            for name, metric in self.values.items()
        )

    def to_dict(self) -> JsonObject:
        """Return plain numbers and words, for JSON."""
        return {name: metric.to_dict() for name, metric in self.values.items()}


def primary_metric(kind: str) -> str:
    """Return the name of the figure of merit by which models are compared."""
    return next(iter(METRICS[kind]))


def regression_metrics(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> Metrics:
    """Compare predictions with the truth.

    Parameters
    ----------
    y_true, y_pred : array-like of float, shape (n_samples,)
        Targets and predictions.

    Returns
    -------
    Metrics
        Without nan: R² of less than two samples, or of targets that are all equal, is explained in words.

    Raises
    ------
    ValueError
        If there is no sample, the shapes differ, or a number is not finite.

    Examples
    --------
    >>> print(regression_metrics([3.0], [2.0]))
    MAE 1, RMSE 1, R² needs at least 2 test samples, got 1, largest error 1
    """
    truth = _column("y_true", y_true)
    guess = _column("y_pred", y_pred)
    _check_lengths(truth, guess)
    error = np.abs(guess - truth)
    return Metrics(
        "regression",
        {
            "mae": Metric(float(error.mean())),
            "rmse": Metric(float(np.sqrt(np.mean(error**2)))),
            "r2": _r2(truth, error),
            "max_error": Metric(float(error.max())),
        },
    )


def classification_metrics(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    probabilities: npt.ArrayLike | None = None,
    classes: Sequence[str] = (),
) -> Metrics:
    """Compare predicted classes with the truth.

    Parameters
    ----------
    y_true, y_pred : array-like of int, shape (n_samples,)
        Indices of classes. Of two classes, the second is the positive one.
    probabilities : array-like of float, shape (n_samples, n_classes), optional
        What the model gives for each class. Without it there is no area under a curve.
    classes : sequence of str
        Names of the classes, at least two; left out, they are "class 0", "class 1" … up to the largest index.

    Returns
    -------
    Metrics
        Without nan: what is not defined, for example for want of a class among the samples, is explained in words.

    Raises
    ------
    ValueError
        If there is no sample, shapes differ, a number is not finite, or an index is not that of a class.

    Examples
    --------
    >>> print(classification_metrics([1, 1], [1, 0], classes=("insulator", "metal"))["balanced_accuracy"])
    balanced accuracy needs test samples of at least 2 classes, got only 'metal'
    """
    truth, guess = _column("y_true", y_true), _column("y_pred", y_pred)
    _check_lengths(truth, guess)
    scores = None if probabilities is None else np.asarray(probabilities, dtype=np.float64)
    names = tuple(classes)
    if not names:
        n_classes = int(max(truth.max(), guess.max())) + 1 if scores is None or scores.ndim != 2 else scores.shape[1]
        names = tuple(f"class {i}" for i in range(max(2, n_classes)))
    if len(names) < 2:
        raise ValueError(f"classes must name at least 2 classes, got {names}")
    for name, column in (("y_true", truth), ("y_pred", guess)):
        wrong = (column < 0) | (column >= len(names)) | (column != np.round(column))
        if wrong.any():
            raise ValueError(f"{name} must be indices of classes in 0..{len(names) - 1}, got {column[wrong][0]:g}")
    if scores is not None:
        if scores.shape != (len(truth), len(names)):
            raise ValueError(
                f"probabilities must have shape (n_samples, n_classes) = {(len(truth), len(names))}, got {scores.shape}"
            )
        if not np.isfinite(scores).all():
            raise ValueError(f"probabilities must be finite, got {scores[~np.isfinite(scores)][0]}")
    return Metrics("classification", _classification(truth.astype(np.intp), guess.astype(np.intp), scores, names))


def compute_metrics(
    kind: str,
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    probabilities: npt.ArrayLike | None = None,
    classes: Sequence[str] = (),
) -> Metrics:
    """Compare predictions with the truth, by the kind of the problem.

    Parameters
    ----------
    kind : {"regression", "classification"}
        Kind of the problem.
    y_true, y_pred, probabilities, classes
        See :func:`regression_metrics`, which takes the first two, and :func:`classification_metrics`.

    Returns
    -------
    Metrics
    """
    if check_choice("kind", kind, tuple(METRICS)) == "regression":
        return regression_metrics(y_true, y_pred)
    return classification_metrics(y_true, y_pred, probabilities, classes)


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure of merit over several folds.

    Parameters
    ----------
    mean : Metric
        Mean over the folds in which it is defined.
    std : Metric
        Standard deviation between these folds (one degree of freedom removed): the spread of single folds, not
        the error of the mean.
    n : int
        Number of folds in which it is defined.
    """

    mean: Metric
    std: Metric
    n: int

    def __str__(self) -> str:
        if self.mean.value is None or self.std.value is None:
            return str(self.mean)
        mean, std = self.mean.value, self.std.value
        larger = max(abs(mean), std)
        return f"{format_number(mean, like=larger)} ± {format_number(std, like=larger)}"

    def to_dict(self) -> JsonObject:
        """Return plain numbers and words, for JSON."""
        return {"mean": self.mean.to_dict(), "std": self.std.to_dict(), "n_folds": self.n}


def spread(metrics: Sequence[Metric]) -> Spread:
    """Summarise one figure of merit over folds; folds in which it is not defined are left out and counted."""
    values = [metric.value for metric in metrics if metric.value is not None]
    if not values:
        reason = metrics[0].reason if metrics else "there are no folds"
        return Spread(Metric(None, reason), Metric(None, reason), 0)
    std = (
        Metric(float(np.std(values, ddof=1)))
        if len(values) > 1
        else Metric(None, "the spread needs at least 2 folds, got 1")
    )
    return Spread(Metric(float(np.mean(values))), std, len(values))


def format_number(value: float, like: float | None = None) -> str:
    """Return a number with three significant digits; ``like`` gives the decimals that another one has."""
    size = abs(value if like is None else like)
    decimals = max(0, 2 - math.floor(math.log10(size))) if size > 0 else 2
    if decimals > 6:
        return f"{value:.3g}"
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if like is None and value == round(value) and decimals else text


def _column(name: str, values: npt.ArrayLike) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) == 0:
        raise ValueError(f"{name} must have shape (n_samples,) with at least one sample, got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {array[~np.isfinite(array)][0]}")
    return array


def _check_lengths(truth: FloatArray, guess: FloatArray) -> None:
    if len(truth) != len(guess):
        raise ValueError(f"y_pred must have as many values as y_true, {len(truth)}, got {len(guess)}")


def _r2(truth: FloatArray, error: FloatArray) -> Metric:
    if len(truth) < 2:
        return Metric(None, f"R² needs at least 2 test samples, got {len(truth)}")
    if truth.min() == truth.max():
        return Metric(None, f"R² needs test targets that differ, got {len(truth)} times {truth[0]:g}")
    total = np.sum((truth - truth.mean()) ** 2)
    if total == 0:  # targets differ, but by less than their squares can hold
        return Metric(None, f"R² needs test targets that differ, got {len(truth)} all close to {truth[0]:g}")
    return Metric(float(1 - np.sum(error**2) / total))


def _classification(
    truth: Indices, guess: Indices, scores: FloatArray | None, names: tuple[str, ...]
) -> dict[str, Metric]:
    # scikit-learn takes a while to import, and regression needs none of this.
    from sklearn import metrics

    found, said = np.unique(truth), np.unique(guess)
    two = len(names) == 2
    one_class = f"needs test samples of at least 2 classes, got only {names[found[0]]!r}" if len(found) < 2 else ""
    no_positive = f"needs test samples of class {names[1]!r}, got none" if two and 1 not in found else ""
    no_scores = "needs probabilities, which this model does not give" if scores is None else ""
    one_guess = f"needs predictions of at least 2 classes, got only {names[said[0]]!r}" if len(said) < 2 else ""
    leaderboard = "" if two else f"is defined for two classes, got {len(names)}"
    hits = truth == guess

    def balanced_accuracy() -> float:
        # scikit-learn's is the same, but warns of predicted classes that are not among the test samples.
        return float(metrics.recall_score(truth, guess, labels=found, average="macro"))

    def f1() -> float:
        average, labels = ("binary", None) if two else ("macro", np.union1d(found, said))
        return float(metrics.f1_score(truth, guess, labels=labels, average=average, zero_division=0))

    def over_classes(score: Callable[[Mask, FloatArray], float]) -> float:
        assert scores is not None
        chosen = [1] if two else found
        return float(np.mean([score(truth == k, scores[:, k]) for k in chosen]))

    def metric(name: str, value: Callable[[], float], *reasons: str) -> Metric:
        title = METRICS["classification"][name].title
        reason = next(filter(None, reasons), "")
        return Metric(None, f"{title} {reason}") if reason else Metric(float(value()))

    return {
        "balanced_accuracy": metric("balanced_accuracy", balanced_accuracy, one_class),
        "accuracy": metric("accuracy", lambda: float(hits.mean())),
        "f1": metric("f1", f1, no_positive),
        "mcc": metric("mcc", lambda: metrics.matthews_corrcoef(truth, guess), one_class, one_guess),
        "roc_auc": metric("roc_auc", lambda: over_classes(metrics.roc_auc_score), no_scores, one_class),
        "pr_auc": metric("pr_auc", lambda: over_classes(metrics.average_precision_score), no_scores, one_class),
        "leaderboard_rocauc": metric(
            "leaderboard_rocauc", lambda: metrics.roc_auc_score(truth, guess), leaderboard, one_class
        ),
    }
