"""A saved model against known values that it has not seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atomprint.datasets import Dataset
from atomprint.learn.task.metrics import Metrics, compute_metrics
from atomprint.learn.task.problem import Problem
from atomprint.learn.task.wild import wild_sentence
from atomprint.util.text import counted, share
from atomprint.util.types import JsonObject, Mask
from atomprint.workflow.saved.card import Card, digest
from atomprint.workflow.saved.model import TrainedModel
from atomprint.workflow.saved.predictions import Predictions


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
        What to keep in mind: samples that could not be predicted, samples outside the domain, coverage of the
        intervals, true values that are far from all others.
    warning : str
        Why the figures say little or nothing of new samples; empty if there is no such reason.
    n_seen : int or None
        Number of samples whose structure or composition the model was fitted to; None for files of models that do not
        know their training set.
    unseen : Metrics or None
        Figures of merit over the other samples, if there are some of both.
    """

    metrics: Metrics
    n: int
    notes: tuple[str, ...]
    warning: str = ""
    n_seen: int | None = None
    unseen: Metrics | None = None

    def to_dict(self) -> JsonObject:
        """Return plain numbers and words, for JSON."""
        return {
            "n": self.n,
            "metrics": self.metrics.to_dict(),
            "n_seen": self.n_seen,
            "unseen": None if self.unseen is None else self.unseen.to_dict(),
            "warning": self.warning,
            "notes": list(self.notes),
        }


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
    card, given = model.card, problem.target
    for what, own, theirs in (
        ("kind", card.kind, given.kind),
        ("level", card.level, given.level),
        ("unit", card.unit, given.unit or card.unit),
        ("classes", card.classes, given.classes),
    ):
        if own != theirs:
            raise ValueError(f"target {target!r} must have the {what} of the model, {own!r}, got {theirs!r}")
    needed = np.unique(problem.structures)
    part = dataset.take(needed)
    found = model.predict(part, on_error="skip", n_jobs=n_jobs)
    rows = _rows(found, problem, needed)
    predicted = (rows >= 0) & np.isfinite(found.values[rows])
    if not predicted.any():
        raise ValueError(f"no structure of {dataset.name!r} can be predicted: {found.failures[0].reason}")
    rows, truth = rows[predicted], problem.y[predicted]

    def judged(chosen: Mask) -> Metrics:
        probabilities = None if found.probabilities is None else found.probabilities[rows[chosen]]
        return compute_metrics(problem.kind, truth[chosen], found.values[rows[chosen]], probabilities, given.classes)

    everything = np.ones(len(rows), dtype=bool)
    seen = None if found.in_training is None else found.in_training[rows]
    n_seen = None if seen is None else int(np.count_nonzero(seen))
    return ModelEvaluation(
        judged(everything),
        len(rows),
        (*_notes(found, rows, truth, len(problem)), *([wild] if (wild := wild_sentence(problem)) else [])),
        _warning(card, problem, len(rows), n_seen),
        n_seen,
        judged(~seen) if seen is not None and 0 < np.count_nonzero(seen) < len(seen) else None,
    )


def _warning(card: Card, problem: Problem, n: int, n_seen: int | None) -> str:
    """Return what it means that a model was fitted to some of the samples; empty if it was to none."""
    if n_seen is None:
        return _seen(card, problem)
    if n_seen == n:
        return _all_seen(n)
    if not n_seen:
        return ""
    what = problem.dataset.kind.removesuffix("s")
    each = "has" if n_seen == 1 else "have"
    return (
        f"{n_seen} of {counted(n, 'sample')} {each} the {what} of a sample that the model was fitted to: it may "
        f"remember their values, and they flatter the figures. Those of the other {n - n_seen} are beside them."
    )


def _seen(card: Card, problem: Problem) -> str:
    """Return a warning if samples have the names, the number and the values of those that the model was fitted to."""
    training, y = card.training, problem.y
    if digest(problem.ids) != training.ids_sha256:
        return ""
    counts = {name: int((y == k).sum()) for k, name in enumerate(card.classes)}
    span = None if card.classes else (float(y.min()), float(y.max()))
    if counts != dict(training.counts) or span != training.target_range:  # numbered alike, but others
        return ""
    return _all_seen(len(problem))


def _all_seen(n: int) -> str:
    return _ALL_SEEN.format(these=f"{'this is' if n == 1 else 'these are'} {counted(n, 'sample')}")


_ALL_SEEN = (
    "{these} that the model was fitted to: how good it is on new ones cannot be seen from that. The "
    "figures of atomprint train are of samples that the models had not seen."
)


def _rows(found: Predictions, problem: Problem, needed: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Return the row of the prediction of each sample; -1 where there is none."""
    structures = np.searchsorted(needed, problem.structures)
    if problem.atoms is None or found.atoms is None:
        return structures
    place = {(int(s), int(a)): row for row, (s, a) in enumerate(zip(found.structures, found.atoms, strict=True))}
    return np.array([place.get((int(s), int(a)), -1) for s, a in zip(structures, problem.atoms, strict=True)])


def _notes(found: Predictions, rows: npt.NDArray[np.intp], truth: npt.NDArray[np.float64], n: int) -> Iterator[str]:
    if len(rows) < n:
        reason = f" The first: {found.failures[0].reason}." if found.failures else ""
        yield f"{n - len(rows)} of {counted(n, 'sample')} could not be predicted: the figures are of the rest.{reason}"
    outside = int(np.count_nonzero(~found.in_domain[rows]))
    if outside:
        yield f"{share(outside, len(rows), 'sample')} outside the training domain: expect larger errors there."
    if found.lower is not None and found.upper is not None and found.level is not None:
        inside = (found.lower[rows] <= truth) & (truth <= found.upper[rows])
        yield (
            f"{100 * inside.mean():.1f} % of the true values are inside the intervals of the model, which are to hold "
            f"{100 * found.level:g} %."
        )
