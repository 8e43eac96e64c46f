"""Figures of merit that say in words when they mean nothing, instead of being nan."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt


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

    def to_dict(self) -> Any:
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

    def to_dict(self) -> dict[str, Any]:
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
    if len(truth) != len(guess):
        raise ValueError(f"y_pred must have as many values as y_true, {len(truth)}, got {len(guess)}")
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

    def to_dict(self) -> dict[str, Any]:
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
    """Return a number with three significant digits, two below 1; ``like`` gives the decimals that another one has."""
    size = abs(value if like is None else like)
    digits = 3 if size >= 1 else 2
    decimals = max(0, digits - 1 - math.floor(math.log10(size))) if size > 0 else 2
    if decimals > 5:
        return f"{value:.2g}"
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if like is None and value == round(value) and decimals else text


def _column(name: str, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) == 0:
        raise ValueError(f"{name} must have shape (n_samples,) with at least one sample, got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {array[~np.isfinite(array)][0]}")
    return array


def _r2(truth: npt.NDArray[np.float64], error: npt.NDArray[np.float64]) -> Metric:
    if len(truth) < 2:
        return Metric(None, f"R² needs at least 2 test samples, got {len(truth)}")
    if truth.min() == truth.max():
        return Metric(None, f"R² needs test targets that differ, got {len(truth)} times {truth[0]:g}")
    total = np.sum((truth - truth.mean()) ** 2)
    if total == 0:  # targets differ, but by less than their squares can hold
        return Metric(None, f"R² needs test targets that differ, got {len(truth)} all close to {truth[0]:g}")
    return Metric(float(1 - np.sum(error**2) / total))
