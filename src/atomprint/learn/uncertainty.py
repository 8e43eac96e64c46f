"""How far to trust a prediction: intervals and sets of classes that hold the truth as often as they say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atomprint.learn.evaluate import Evaluation
from atomprint.learn.metrics import Metric
from atomprint.learn.problem import Problem
from atomprint.learn.split import Split

FloatArray = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]


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
        whole training part; for normalised intervals in units of ``Fold.y_std``.
    thresholds : mapping of str to Metric
        Classification: a class is in the set of a new sample if its probability is at least this. A class without
        a threshold (too few samples) is in every set.
    normalised : Uncertainty or None
        The same with intervals as wide as the model's own account of its uncertainty suggests; None if the model
        has none.
    """

    kind: str
    level: float
    method: str
    assumptions: str
    indices: Indices
    parts: npt.NDArray[np.str_]
    lower: FloatArray | None
    upper: FloatArray | None
    sets: npt.NDArray[np.bool_] | None
    checked_on: str
    coverage: Metric
    coverage_by_class: Mapping[str, Metric]
    mean_width: Metric
    calibration: Calibration | None
    half_width: Metric
    thresholds: Mapping[str, Metric]
    normalised: Uncertainty | None = None


def conformal(evaluation: Evaluation, problem: Problem, split: Split, level: float = 0.9) -> Uncertainty:
    """Return conformal intervals or sets from residuals out of folds."""
    raise NotImplementedError
