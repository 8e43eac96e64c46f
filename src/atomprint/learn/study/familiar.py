"""Errors for what a model had met before, such as a formula that was fitted too, beside those for what is new to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

from atomprint.learn.evaluation.evaluate import Evaluation
from atomprint.learn.splits.groups import group_labels
from atomprint.learn.splits.leakage import Leakage
from atomprint.learn.splits.split import Split
from atomprint.learn.task.metrics import format_number
from atomprint.learn.task.problem import Problem
from atomprint.util.types import FloatArray, Indices, JsonObject, Mask

_FEW = 10  # samples, or groups of them: a mean of fewer says little
_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class MeanError:
    """A mean of errors with its interval.

    Parameters
    ----------
    n, n_groups : int
        Samples, and the groups (formulas …) that they belong to.
    error : float
        Mean absolute error in the unit of the target, or the share of wrong classes.
    low, high : float or None
        Interval of 95 % for the mean, where samples of one group count as one draw; None with fewer than 10 groups.
    """

    n: int
    n_groups: int
    error: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return format_number(self.error)
        return f"{format_number(self.error)} ({_numbers(self.low, self.high)})"

    def to_dict(self) -> JsonObject:
        """Return plain numbers, for JSON."""
        return {"n": self.n, "n_groups": self.n_groups, "error": self.error, "low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True)
class Familiarity:
    """Errors for predicted samples of which something was fitted too, and for those where it was new.

    Parameters
    ----------
    what : str
        What is known or new, such as "formula".
    classes : bool
        Whether errors are shares of wrong classes.
    unit : str
        Unit of the errors.
    known, new : MeanError or None
        None if there are no such samples.
    difference : tuple of (float, float, float) or None
        By how much errors are larger for what is new, with the ends of the interval of 95 %; None where there are too
        few of either to say.
    n_values : int
        How many different formulas (or groups) the predicted samples have.
    """

    what: str
    classes: bool
    unit: str
    known: MeanError | None
    new: MeanError | None
    difference: tuple[float, float, float] | None
    n_values: int

    @property
    def verdict(self) -> str:
        """Which of both are harder, in words."""
        if self.difference is None:
            return f"Too few to say whether a new {self.what} is harder."
        mean, low, high = self.difference
        between = f"new less known {format_number(mean)} ({_numbers(low, high)})"
        if low > 0:
            return f"A new {self.what} is harder: {between}. For such samples expect the larger figure."
        if high < 0:
            return f"A new {self.what} is no harder, but easier: {between}."
        return f"No difference can be told: {between}."

    def sentences(self) -> Iterator[str]:
        """Yield what was measured, and what can be done where it could not be."""
        if self.known is None:
            return
        error = "Share of wrong classes" if self.classes else "Mean absolute error"
        unit = f" {self.unit}" if self.unit and not self.classes else ""
        text = f"{error} for {_count(self.known.n)} whose {self.what} was fitted too: {self.known}{unit}"
        if self.new is not None:
            text += f"; for {_count(self.new.n)} with a new {self.what}: {self.new}{unit}"
        means = "In parentheses the interval of 95 % for the mean. " if "(" in f"{self.known}{self.new}" else ""
        yield f"{text}. {means}{self.verdict}"
        unmeasured = self.new is None or min(self.new.n, self.new.n_groups) < _FEW
        if unmeasured and self.what == "formula" and self.n_values >= _FEW:  # else there would be nothing to divide
            yield f'A split of method "group" by "{self.what}" would measure errors for a new {self.what}.'

    def to_dict(self) -> JsonObject:
        """Return plain numbers and words, for JSON."""
        return {
            "what": self.what,
            "unit": self.unit,
            "known": self.known and self.known.to_dict(),
            "new": self.new and self.new.to_dict(),
            "difference": None if self.difference is None else list(self.difference),
            "verdict": self.verdict,
        }


def measure_familiarity(
    problem: Problem, split: Split, leakage: Leakage, evaluation: Evaluation
) -> tuple[Familiarity, ...]:
    """Compare errors for samples of which something was fitted too with errors for those where it was new.

    Parameters
    ----------
    problem : Problem
        The samples.
    split : Split
        Of these.
    leakage : Leakage
        Of this split.
    evaluation : Evaluation
        Predictions of its parts, each of which counts.

    Returns
    -------
    tuple of Familiarity
        For formulas, for structures where some were fitted too, and for each of the groups of the data set of which
        there are both: samples whose group was fitted too, and samples of a new one.
    """
    predicted = dict(evaluation.parts())
    parts = [(name, fit, predicted[name]) for name, fit, _ in split.parts() if name in predicted]
    if not parts:
        return ()
    samples = np.concatenate([fold.indices for *_, fold in parts])
    guess = np.concatenate([fold.y_pred for *_, fold in parts]).astype(np.float64)
    classes = problem.kind == "classification"
    errors = (guess != problem.y[samples]).astype(np.float64) if classes else np.abs(guess - problem.y[samples])
    unit = problem.target.unit

    def compare(what: str, labels: Indices, known: Mask) -> Familiarity:
        return _compare(what, classes, unit, errors, labels[samples], known)

    found = []
    formulas = np.unique(group_labels(problem, "formula"), return_inverse=True)[1]
    for what, which in (("formula", "of_formula"), ("structure", "of_structure")):
        shared = [np.isin(predicted[part.name].indices, getattr(part, which)) for part in leakage.parts]
        if len(shared) == len(parts):
            found.append(compare(what, formulas, np.concatenate(shared)))
    for name in problem.dataset.groups:
        if name in ("formula", "structure"):
            continue
        labels = np.unique(group_labels(problem, name), return_inverse=True)[1]
        known = np.concatenate([np.isin(labels[fold.indices], labels[fit]) for _, fit, fold in parts])
        group = compare(name, labels, known)
        if group.difference is not None:
            found.append(group)
    return tuple(one for one in found if one.known is not None)


def _compare(what: str, classes: bool, unit: str, errors: FloatArray, labels: Indices, known: Mask) -> Familiarity:
    both = [_mean(errors[chosen], labels[chosen]) for chosen in (known, ~known)]
    means, deviations = zip(*both, strict=True)
    difference = None
    if all(one is not None and min(one.n, one.n_groups) >= _FEW for one in means):
        gap, half = means[1].error - means[0].error, float(np.hypot(*deviations))
        difference = (gap, gap - half, gap + half)
    return Familiarity(what, classes, unit, means[0], means[1], difference, len(np.unique(labels)))


def _mean(errors: FloatArray, labels: Indices) -> tuple[MeanError | None, float]:
    """Return a mean of errors, and half the width of its interval, from the scatter of the sums over groups."""
    n = len(errors)
    if n == 0:
        return None, np.nan
    mean = float(errors.mean())
    places = np.unique(labels, return_inverse=True)[1]
    sums = np.bincount(places, errors - mean)
    m = len(sums)
    if m < _FEW:
        return MeanError(n, m, mean, None, None), np.nan
    half = float(stats.t.ppf(0.5 + _LEVEL / 2, m - 1) * np.sqrt(np.sum(sums**2) * m / (m - 1)) / n)
    return MeanError(n, m, mean, max(mean - half, 0.0), mean + half), half


def _count(n: int) -> str:
    return f"{n:,} predicted {'sample' if n == 1 else 'samples'}"


def _numbers(low: float, high: float) -> str:
    larger = max(abs(low), abs(high))
    return f"{format_number(low, like=larger)} to {format_number(high, like=larger)}"
