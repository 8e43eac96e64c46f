"""Intervals and sets of classes for predictions, and what came true of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atomprint.learn.estimators.widths import Widths
from atomprint.learn.task.metrics import Metric
from atomprint.util.types import FloatArray, Indices, JsonObject, Mask


@dataclass(frozen=True, eq=False)
class Calibration:
    """What was promised, and what came true.

    Parameters
    ----------
    kind : {"coverage", "reliability"}
        ``"coverage"`` (regression): level of intervals, and share of samples within them. ``"reliability"``
        (classification): mean predicted probability of the predicted class (of the second class if there are two), and
        how often it was right, in bins of the probability.
    nominal, observed : ndarray of float, shape (n,)
        On the diagonal the two are equal.
    counts : ndarray of int, shape (n,)
        Number of samples behind each point.
    """

    kind: str
    nominal: FloatArray
    observed: FloatArray
    counts: Indices


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """Intervals (regression) or sets of classes (classification) for predictions, checked on held-out samples.

    Parameters
    ----------
    kind : {"regression", "classification"}
        Kind of the problem.
    level : float
        The share of samples whose truth is to be inside, such as 0.9.
    method : str
        How the intervals are made, in words.
    assumptions : str
        What the promised level rests on, in words.
    indices : ndarray of int, shape (n,)
        The samples predicted, in all parts.
    parts : ndarray of str, shape (n,)
        The part of each: "fold 1", …, "test", as in ``Evaluation.parts()``.
    lower, upper : ndarray of float64, shape (n,), or None
        Regression: ends of the interval for each sample, in the unit of the target; nan where there is none.
    sets : ndarray of bool, shape (n, n_classes), or None
        Classification: which classes are in the set of each sample; all of them where there is no smaller one.
    checked_on : str
        "test part" or "folds": what ``coverage``, ``mean_width`` and ``calibration`` are about.
    coverage : Metric
        Share of samples whose truth is inside; to be compared with ``level``.
    coverage_by_class : mapping of str to Metric
        Classification: the same for the samples of each class. Empty for regression.
    mean_width : Metric
        Mean width of the intervals in the unit of the target, or mean number of classes in the sets.
    calibration : Calibration or None
        None if there are too few samples.
    half_width : Metric
        Regression: half of the width of the interval around a prediction of a new sample by the model fitted to the
        whole training part; for normalised intervals in units of ``Fold.y_std``; with ``widths`` the mean over the
        samples that ``coverage`` is about.
    thresholds : mapping of str to Metric
        Classification: a class is in the set of a new sample if its probability is at least this. A class without
        a threshold (too few samples) is in every set.
    normalised : Uncertainty or None
        The same with intervals as wide as the model's own account of its uncertainty suggests; None if the model
        has none.
    widths : Widths or None
        Regression: how wide the interval around a prediction of a new sample is, by its difficulty; None where all are
        equally wide.
    constant : Uncertainty or None
        With ``widths`` the same with intervals of one width, to compare with.
    why_constant : str
        Why all intervals are equally wide; empty where they are not, or where that was not asked for.
    distances : ndarray of float64, shape (n,), or None
        With ``widths`` how far each sample is from those that its interval was learnt from.
    guess : ndarray of float64, shape (n,), or None
        Regression: what intervals are around.
    half_widths : (float, float) or None
        With ``widths`` what 5 % and 95 % of the samples that ``coverage`` is about have at most.
    of_logs : bool
        Whether ``half_width``, ``half_widths`` and ``widths`` are of natural logarithms: an interval then reaches from
        the prediction divided by the exponential of its half-width to the prediction times that.
    """

    kind: str
    level: float
    method: str
    assumptions: str
    indices: Indices
    parts: npt.NDArray[np.str_]
    lower: FloatArray | None
    upper: FloatArray | None
    sets: Mask | None
    checked_on: str
    coverage: Metric
    coverage_by_class: Mapping[str, Metric]
    mean_width: Metric
    calibration: Calibration | None
    half_width: Metric
    thresholds: Mapping[str, Metric]
    normalised: Uncertainty | None = None
    widths: Widths | None = None
    constant: Uncertainty | None = None
    why_constant: str = ""
    half_widths: tuple[float, float] | None = None
    distances: FloatArray | None = None
    guess: FloatArray | None = None
    of_logs: bool = False

    def to_dict(self) -> JsonObject:
        """Return plain numbers and words, for JSON; the intervals themselves are in ``Study.predictions``."""
        return {
            "level": self.level,
            "method": self.method,
            "assumptions": self.assumptions,
            "checked_on": self.checked_on,
            "coverage": self.coverage.to_dict(),
            "coverage_by_class": {name: metric.to_dict() for name, metric in self.coverage_by_class.items()},
            "mean_width": self.mean_width.to_dict(),
            "half_width": self.half_width.to_dict(),
            "half_widths": self.half_widths and list(self.half_widths),
            "of_logs": self.of_logs,
            "thresholds": {name: metric.to_dict() for name, metric in self.thresholds.items()},
            "calibration": self.calibration
            and {
                "kind": self.calibration.kind,
                "nominal": self.calibration.nominal.tolist(),
                "observed": self.calibration.observed.tolist(),
                "counts": self.calibration.counts.tolist(),
            },
            "normalised": self.normalised and self.normalised.to_dict(),
            "constant": self.constant and self.constant.to_dict(),
            "why_constant": self.why_constant,
        }
