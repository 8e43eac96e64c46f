"""What several sections say: names, footnotes, which figure a model is judged by."""

from __future__ import annotations

from string import ascii_lowercase

from atomprint.learn.estimators.ensemble_base import Ensemble
from atomprint.learn.evaluation.evaluate import Evaluation
from atomprint.learn.evaluation.nested_choice import CHOSEN_TITLE
from atomprint.learn.models.anatomy import chosen_parameters
from atomprint.learn.study.study import Study, Trial
from atomprint.learn.task.metrics import Metric, Spread
from atomprint.learn.task.problem import lower
from atomprint.report.html import Html, Markup, bold, join, minus, paragraph, tag
from atomprint.report.plots.style import Look, looks
from atomprint.util.estimators import unwrap

MAX_ROWS = 15
"""Rows of a table that grows with the data; what is left out is said, and is in results.json."""


def best_title(study: Study) -> str:
    """Return what the result to judge by is of, in words: features and model, or the choice among them."""
    trial, model = study.best()
    title = f"{trial.features.title}, {lower(study.models[model])}"
    return f"{CHOSEN_TITLE} (most often {title})" if study.nested else title


def best_made_of(study: Study) -> str:
    """Return what the best model is made of, if of several, and what it has chosen, in a few words."""
    trial, model = study.best()
    estimator = trial.evaluations[model].estimator
    _, inner = unwrap(estimator)
    words, told = [], set()
    if isinstance(inner, Ensemble):
        words, told = [inner.in_words()], {f"weight of {name}" for name in inner.weights_}
    for key, value in chosen_parameters(estimator, study.target.classes).items():
        if key not in told:
            words.append(f"{key.replace('_', ' ')} = {f'{value:.4g}' if isinstance(value, float) else value}")
    return ", ".join(words)


def judged(evaluation: Evaluation, name: str) -> tuple[str, Metric]:
    """Return where a figure of merit comes from, and the figure: the mean over folds, or else that of the test part."""
    if evaluation.folds:
        return "in cross-validation", evaluation.cross_validation[name].mean
    assert evaluation.test is not None
    return "on the test part", evaluation.test.metrics[name]


def as_shown(study: Study, evaluation: Evaluation, name: str, item: Spread | Metric) -> Spread | Metric:
    """Return a figure of merit as people are shown it.

    R² compares a model with the mean of the targets: that of the baseline, which predicts a mean, is 0, and what is
    measured of it is only how far the mean of one part of the samples is from that of another.
    """
    return Metric(0.0) if evaluation is study.baseline and name == "r2" else item


def looks_of(study: Study) -> dict[str, Look]:
    """Return colours and marks of the models of a study, the same in all its plots."""
    return looks([model for model in study.models if model != "dummy"])


def colour_of(study: Study, model: str) -> str:
    """Return the colour of a model in all plots of a study."""
    return looks_of(study)[model].colour


def duration(seconds: float) -> str:
    """Return a time in a unit that suits it."""
    if seconds >= 120:
        return f"{seconds / 60:.1f} min"
    if seconds >= 0.1:
        return f"{seconds:.2f} s"
    return f"{1e3 * seconds:.1f} ms" if seconds >= 1e-4 else f"{1e6 * seconds:.1f} µs"


def trial_title(trial: Trial, study: Study) -> str:
    """Return features and best model of a trial."""
    return f"{trial.features.title}, {lower(study.models[trial.best])}"


class Notes:
    """Footnotes that say why a figure of merit is not defined."""

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}

    def cell(self, item: Spread | Metric, best: bool = False) -> Html:
        """Return the content of a cell."""
        metric = item.mean if isinstance(item, Spread) else item
        if metric.value is None:
            mark = self.reasons.setdefault(metric.reason, _mark(len(self.reasons)))
            return join(["undefined", tag("sup", mark)])
        words: Markup = minus(str(item))
        return bold(words) if best else join(words)

    def html(self) -> Html:
        """Return the footnotes."""
        return join([paragraph(tag("sup", mark), f" {reason}", class_="note") for reason, mark in self.reasons.items()])


def _mark(place: int) -> str:
    return ascii_lowercase[place] if place < len(ascii_lowercase) else str(place + 1)
