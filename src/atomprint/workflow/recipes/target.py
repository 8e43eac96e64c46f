"""The ``[target]`` of a recipe: how models see the target, and how classes are decided."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import skew

from atomprint.learn.estimators.decision import FIGURES
from atomprint.learn.estimators.threshold import check_threshold
from atomprint.learn.task.metrics import METRICS
from atomprint.learn.task.problem import Problem
from atomprint.util.types import FloatArray, Indices
from atomprint.util.validation import check_choice

NONE = "none"
_UNEVEN = 1.5  # times as many samples of the commonest class as of the rarest
_RANGE = 100.0  # largest value in units of the smallest, from which on the logarithm is tried, or
_SKEWED = 2.0  # this skewness
_FEWEST = 50  # training samples: of fewer the shape of a distribution is not known
_ENOUGH = 10  # samples of the rarest class: with fewer a threshold is chosen by chance


@dataclass(frozen=True, slots=True)
class TargetSection:
    """``[target]``: how models see numbers, and how classes are decided.

    Parameters
    ----------
    transform : {"none", "log", "try"} or None
        For numbers: whether models learn them, or their logarithms; or each model is there twice, once for either, and
        the better one is chosen as among models. None: left to the data, see :meth:`logs_of`. The entry of a model
        overrules it.
    threshold : float, str or None
        For classes: what the probability of the second of two must exceed; or the figure of merit for which thresholds
        are chosen within each training part, "balanced_accuracy", "accuracy", "f1" or "mcc"; or "none" for the most
        probable class. None: left to the data, see :meth:`suited_to`. The entry of a model overrules it.
    """

    transform: str | None = None
    threshold: float | str | None = None

    def __post_init__(self) -> None:
        if self.transform is not None:
            check_choice("target.transform", self.transform, (NONE, "log", "try"))
        if self.threshold is not None and self.threshold != NONE:
            try:
                check_threshold(self.threshold)
            except ValueError as error:
                raise ValueError(f"target.{error}") from None

    def suited_to(self, problem: Problem, metric: str) -> tuple[TargetSection, tuple[str, ...]]:
        """Return the section with what was left to the data filled in, and why it is so.

        Thresholds are chosen for the figure of merit that is asked for where the decision counts in it, and for the
        balanced accuracy where classes are uneven: the commonest has one and a half times as many samples as the
        rarest, and this 10 or more.

        Raises
        ------
        ValueError
            If there is a threshold for a target that is no class, or a number for more than two classes.
        """
        if problem.kind != "classification":
            if self.threshold is not None:
                raise ValueError(f"target.threshold is for classes, and {problem.target_name!r} is a number")
            return self, ()
        if self.transform not in (None, NONE):
            raise ValueError(f"target.transform is for numbers, and {problem.target_name!r} is a class")
        classes = problem.target.classes
        if self.threshold is not None:
            if not isinstance(self.threshold, str) and len(classes) != 2:
                raise ValueError(
                    f"target.threshold: a number is for two classes, got {len(classes)}: name a figure of merit, "
                    f"one of {', '.join(FIGURES)}"
                )
            return self, ()
        counts = np.bincount(problem.y.astype(np.intp), minlength=len(classes))
        rarest, commonest = int(counts[counts > 0].min()), int(counts.max())
        told = ", ".join(f"{n:,} of {name}" for name, n in zip(classes[:4], counts, strict=False))
        told += ", …" if len(classes) > 4 else ""
        asked = metric in ("f1", "mcc")
        uneven = metric != "accuracy" and commonest >= _UNEVEN * rarest
        if rarest < _ENOUGH or not (asked or uneven):
            why: tuple[str, ...] = ()
            if rarest < _ENOUGH and (asked or uneven):
                why = (
                    f"The most probable class is predicted: the rarest has {rarest} samples, too few to choose a "
                    "threshold by.",
                )
            return replace(self, threshold=NONE), why
        figure = metric if asked else "balanced_accuracy"
        title = METRICS["classification"][figure].title
        reason = f"Classes are uneven ({told})" if not asked else f"The {title} is asked for"
        return replace(self, threshold=figure), (
            f"{reason}: thresholds on the probabilities are chosen within each training part for the largest {title}, "
            "by samples held out of fits there. Probabilities stay what they are.",
        )

    def logs_of(self, problem: Problem, train: Indices, *, open_models: bool) -> tuple[TargetSection, tuple[str, ...]]:
        """Return the section with what was left to the data about numbers filled in, and why it is so.

        Where models are left to the data, too, logarithms are tried if all values are positive, and those of the
        training part span more than a factor of 100 or have a skewness above 2.

        Raises
        ------
        ValueError
            If logarithms are asked for, and a value is not positive.
        """
        if problem.kind != "regression":
            return replace(self, transform=None), ()
        bad = np.flatnonzero(~(problem.y > 0))
        if self.transform is not None:
            if self.transform != NONE and len(bad):
                raise ValueError(
                    f"target.transform = {self.transform!r} needs values > 0 of {problem.target_name!r}, got "
                    f"{problem.y[bad[0]]:g} for {problem.ids[bad[0]]!r}"
                )
            return self, ()
        plain = replace(self, transform=NONE)
        if not open_models or len(train) < _FEWEST:
            return plain, ()
        seen = problem.y[train]
        wide = _wide(seen[seen > 0])
        if not wide:
            return plain, ()
        if len(bad):
            many = f"{len(bad):,} of {len(problem):,} values are" if len(bad) > 1 else "one value is"
            return plain, (f"Values {wide}, but logarithms are not tried, since {many} not positive.",) if (
                len(bad) < len(problem) / 2 and not (seen < 0).any()
            ) else ()
        return replace(self, transform="try"), (
            f"Values are positive and {wide}: each model is there twice, once for the values and once for their "
            "logarithms, and the better one is taken.",
        )


def _wide(positive: FloatArray) -> str:
    """Return how far positive values spread, in words; empty if not far."""
    if len(positive) < _FEWEST or positive.min() == positive.max():
        return ""
    ratio = float(positive.max() / positive.min())
    if ratio > _RANGE:
        return f"span a factor of {ratio:,.0f}"
    asymmetry = float(skew(positive))
    return f"are skewed (skewness {asymmetry:.1f})" if asymmetry > _SKEWED else ""
