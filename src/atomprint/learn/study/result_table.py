"""One row for each result of a study: how often its intervals hold the truth, and how long it took."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from atomprint.learn.evaluation.evaluate import Evaluation
from atomprint.learn.evaluation.uncertainty import Uncertainty, conformal
from atomprint.learn.task.metrics import Metric
from atomprint.learn.task.problem import Problem

if TYPE_CHECKING:
    from atomprint.learn.study.study import Study


@dataclass(frozen=True, eq=False)
class Row:
    """What there is to tell of a result besides its figures of merit.

    Parameters
    ----------
    features, model : str
        Keys, as :meth:`Study.evaluations` gives them.
    evaluation : Evaluation
        The result.
    role : {"baseline", "candidate", "result"}
        A "result" is there to judge by. A "candidate" is for information: to pick the best of several would be a choice
        on the samples that judge it.
    coverage : Metric
        Share of the samples of the folds (of the test part, if there is one) whose truth is inside the interval, or the
        set of classes, made from residuals of other folds.
    coverage_by_part : mapping of str to Metric
        The same for each fold.
    seconds_features : float
        Time to compute the features: of all of them for a choice among them.
    seconds_models : float
        Time to fit and to predict all folds and the test part, added up over threads; for a choice with that of the
        inner validation.
    """

    features: str
    model: str
    evaluation: Evaluation
    role: str
    coverage: Metric
    coverage_by_part: dict[str, Metric]
    seconds_features: float
    seconds_models: float

    @property
    def coverage_range(self) -> tuple[float, float] | None:
        """Smallest and largest coverage of a part; None if there are not two."""
        known = [metric.value for metric in self.coverage_by_part.values() if metric.value is not None]
        return (min(known), max(known)) if len(known) > 1 else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain types, for JSON."""
        return {
            "features": self.features,
            "model": self.model,
            "role": self.role,
            "coverage": self.coverage.to_dict(),
            "coverage_by_part": {name: metric.to_dict() for name, metric in self.coverage_by_part.items()},
            "seconds_features": self.seconds_features,
            "seconds_models": self.seconds_models,
        }


def rows_of(study: Study) -> Iterator[Row]:
    """Yield a row for the baseline, for each model on each set of features and, if nested, for the choice."""
    of_features = {trial.features.key: trial.features.seconds for trial in study.trials}
    for features, model, evaluation in study.evaluations():
        result = evaluation is study.chosen
        seconds = sum(fold.seconds_fit + fold.seconds_predict for _, fold in evaluation.parts())
        spent = of_features.get(features, 0.0)
        if result and study.choice is not None:
            spent, seconds = sum(of_features.values()), seconds + study.choice.seconds
        coverage, by_part = Metric(None, "it was not asked for"), {}
        if study.uncertainty is not None:
            level = study.uncertainty.level
            bounds = study.uncertainty if result else conformal(evaluation, study.problem, study.split, level)
            coverage, by_part = bounds.coverage, coverage_of_parts(bounds, study.problem)
        role = "baseline" if evaluation is study.baseline else "result" if result else "candidate"
        yield Row(features, model, evaluation, role, coverage, by_part, spent, seconds)


def coverage_of_parts(found: Uncertainty, problem: Problem) -> dict[str, Metric]:
    """Return the share of samples whose truth is inside, for each of the parts that ``coverage`` is about."""
    shares = {}
    truth = problem.y[found.indices]
    if found.sets is not None:
        inside, known = found.sets[np.arange(len(truth)), truth.astype(np.intp)], np.ones(len(truth), dtype=bool)
    elif found.lower is not None and found.upper is not None:
        inside, known = (found.lower <= truth) & (truth <= found.upper), np.isfinite(found.lower)
    else:  # classes without probabilities
        inside = known = np.zeros(len(truth), dtype=bool)
    names = list(dict.fromkeys(found.parts.tolist()))
    for name in names[-1:] if found.checked_on == "test part" else names:  # the test part comes last
        own = found.parts == name
        reason = found.coverage.reason or "there are no intervals"
        shares[name] = Metric(float(inside[own].mean())) if known[own].all() else Metric(None, reason)
    return shares
