"""A saved model against known values that it has not seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from atomprint.datasets import Dataset
from atomprint.learn.metrics import Metrics, compute_metrics
from atomprint.learn.problem import Problem
from atomprint.workflow.featurize import inputs_of
from atomprint.workflow.model import TrainedModel


@dataclass(frozen=True, eq=False)
class ModelEvaluation:
    """How good a saved model is on other data.

    Parameters
    ----------
    metrics : Metrics
        Figures of merit over all samples that could be predicted.
    n : int
        Number of these samples.
    notes : tuple of str
        What to keep in mind: structures of the training data among them, structures outside the domain, coverage of
        the intervals, structures that could not be predicted.
    """

    metrics: Metrics
    n: int
    notes: tuple[str, ...]


def evaluate_model(model: TrainedModel, dataset: Dataset, target: str, *, n_jobs: int = 1) -> ModelEvaluation:
    """Predict all samples of a data set whose target is known, and compare.

    Parameters
    ----------
    model : TrainedModel
        The model.
    dataset : Dataset
        Structures or compositions and known values, in the unit of the model.
    target : str
        Name of the target in the data set.
    n_jobs : int
        Number of threads; -1 means all cores.

    Returns
    -------
    ModelEvaluation

    Raises
    ------
    ValueError
        If the target is of another kind, unit or level than that of the model, or nothing can be predicted.
    """
    problem = Problem.of(dataset, target)
    own, given = model.card["target"], problem.target
    for what, mine, theirs in (
        ("kind", own["kind"], given.kind),
        ("level", own["level"], given.level),
        ("unit", own["unit"], given.unit or own["unit"]),
        ("classes", tuple(own["classes"]), given.classes),
    ):
        if mine != theirs:
            raise ValueError(f"target {target!r} must have the {what} of the model, {mine!r}, got {theirs!r}")
    part = dataset.take(np.unique(problem.structures))
    found = model.predict(inputs_of(part), ids=part.ids, on_error="skip", n_jobs=n_jobs)
    if given.level == "atom":
        place = np.searchsorted(np.unique(problem.structures), problem.structures)
        values = np.array(
            [
                found.values[s][a] if found.values[s] is not None else np.nan
                for s, a in zip(place, problem.atoms, strict=True)
            ]  # type: ignore[arg-type]
        )
    else:
        values = np.asarray(found.values, dtype=np.float64)
    done = np.isfinite(values)
    if not done.any():
        raise ValueError(f"no structure of {dataset.name!r} can be predicted: {found.warnings[0]}")
    probabilities = None if found.probabilities is None else found.probabilities[done]
    metrics = compute_metrics(problem.kind, problem.y[done], values[done], probabilities, given.classes)
    return ModelEvaluation(metrics, int(done.sum()), tuple(_notes(model, part, found, problem, done)))


def _notes(model, part, found, problem, done):  # type: ignore[no-untyped-def]
    missing = int((~done).sum())
    if missing:
        yield f"{missing} of {len(done)} samples could not be predicted and are not in these figures."
    if found.in_domain is not None and not all(found.in_domain):
        outside = int(np.sum(~np.asarray(found.in_domain, dtype=bool)))
        yield f"{outside} of {len(part)} structures are outside the training domain: expect larger errors there."
    if problem.atoms is None and found.lower is not None:
        inside = (found.lower[done] <= problem.y[done]) & (problem.y[done] <= found.upper[done])
        yield f"{100 * inside.mean():.1f} % of the true values are inside the intervals of the model."
