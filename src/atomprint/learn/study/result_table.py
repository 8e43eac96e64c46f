"""Rows of the tables of a study: one for each result, and one for each prediction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from atomprint.learn.evaluation.evaluate import Evaluation
from atomprint.learn.evaluation.intervals import Uncertainty
from atomprint.learn.task.metrics import Metric
from atomprint.learn.task.problem import Problem
from atomprint.util.types import JsonObject


@dataclass(frozen=True, eq=False)
class ResultRow:
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

    def to_dict(self) -> JsonObject:
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


def prediction_rows(
    problem: Problem, features: str, model: str, evaluation: Evaluation, bounds: Uncertainty | None
) -> Iterator[JsonObject]:
    """Yield a row for each prediction of a result, with its bounds; see :meth:`Study.predictions`."""
    ids, classes = problem.ids, problem.target.classes
    least = -np.inf if problem.at_least is None else problem.at_least
    place = 0
    for part, fold in evaluation.parts():
        for k, sample in enumerate(fold.indices):
            row: JsonObject = {
                "dataset": problem.dataset.name,
                "target": problem.target_name,
                "unit": problem.target.unit,
                "features": features,
                "model": model,
                "part": part,
                "id": ids[sample],
            }
            if not classes:
                row |= {"true": float(problem.y[sample]), "predicted": float(fold.y_pred[k])}
                for name in ("lower", "upper"):
                    ends = getattr(bounds, name, None)
                    row[name] = None if ends is None or np.isnan(ends[place]) else max(float(ends[place]), least)
            else:
                row |= {"true": classes[int(problem.y[sample])], "predicted": classes[int(fold.y_pred[k])]}
                for c, name in enumerate(classes):
                    p = fold.probabilities
                    row[f"probability {name}"] = None if p is None else float(p[k, c])
                sets = bounds.sets if bounds else None
                row["set"] = None if sets is None else "|".join(np.array(classes)[sets[place]])
            place += 1
            yield row


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
