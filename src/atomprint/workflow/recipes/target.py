"""The ``[target]`` of a recipe: how models see the target, and how classes are decided."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from atomprint.learn.estimators.decision import FIGURES
from atomprint.learn.estimators.threshold import check_threshold
from atomprint.learn.task.metrics import METRICS
from atomprint.learn.task.problem import Problem

NONE = "none"
_UNEVEN = 1.5  # times as many samples of the commonest class as of the rarest
_ENOUGH = 10  # samples of the rarest class: with fewer a threshold is chosen by chance


@dataclass(frozen=True, slots=True)
class TargetSection:
    """``[target]``: how classes are decided.

    Parameters
    ----------
    threshold : float, str or None
        For classes: what the probability of the second of two must exceed; or the figure of merit for which thresholds
        are chosen within each training part, "balanced_accuracy", "accuracy", "f1" or "mcc"; or "none" for the most
        probable class. None: left to the data, see :meth:`suited_to`. The entry of a model overrules it.
    """

    threshold: float | str | None = None

    def __post_init__(self) -> None:
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
