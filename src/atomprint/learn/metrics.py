"""Figures of merit that say in words when they mean nothing, instead of being nan."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
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
class RegressionMetrics:
    """Figures of merit of predicted numbers.

    Parameters
    ----------
    mae, rmse, max_error : Metric
        Mean absolute, root mean square and largest absolute error, in the unit of the target.
    r2 : Metric
        Coefficient of determination: 1 is perfect, 0 as good as predicting the mean of the targets at hand.
    """

    mae: Metric
    rmse: Metric
    r2: Metric
    max_error: Metric

    def __str__(self) -> str:
        return ", ".join(
            f"{METRIC_TITLES[name]} {metric}" if metric.value is not None else metric.reason
            for name, metric in self.items()
        )

    def items(self) -> list[tuple[str, Metric]]:
        """Return all figures of merit with their names."""
        return [(field.name, getattr(self, field.name)) for field in fields(self)]

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers and words, for JSON."""
        return {name: metric.to_dict() for name, metric in self.items()}


METRIC_TITLES = {"mae": "MAE", "rmse": "RMSE", "r2": "R²", "max_error": "largest error"}


def regression_metrics(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> RegressionMetrics:
    """Compare predictions with the truth.

    Parameters
    ----------
    y_true, y_pred : array-like of float, shape (n_samples,)
        Targets and predictions.

    Returns
    -------
    RegressionMetrics
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
    return RegressionMetrics(
        mae=Metric(float(error.mean())),
        rmse=Metric(float(np.sqrt(np.mean(error**2)))),
        r2=_r2(truth, error),
        max_error=Metric(float(error.max())),
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
