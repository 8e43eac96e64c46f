"""The section on predictions beside the truth: parity for numbers, confusion and curves for classes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from atomprint.learn.evaluation.evaluate import Evaluation
from atomprint.learn.evaluation.nested_choice import CHOSEN, CHOSEN_TITLE
from atomprint.learn.study.study import Study, score
from atomprint.learn.task.problem import lower
from atomprint.report import plots
from atomprint.report.html import Markup, Section, bold, captioned, join, paragraph, tag
from atomprint.report.naming import best_title, looks_of
from atomprint.report.plots.style import PALETTE, look
from atomprint.util.types import Array, FloatArray, Mask

_PANELS = 4  # models of one set of features in a gallery


def predictions_section(study: Study, id: str) -> Section:
    """Return the section on predictions against the truth."""
    return (_classes if study.kind == "classification" else _parity)(study, id)


def _parity(study: Study, id: str) -> Section:
    y, target = study.problem.y, study.target
    styles = looks_of(study)
    pictures = []
    best = study.best()[1]
    if study.nested:
        only = {CHOSEN: study.chosen}
        figure = plots.parity(y, only, target, titles={CHOSEN: CHOSEN_TITLE}, looks={CHOSEN: styles[best]})
        text = f"Predicted against true {lower(target.title)}: what was chosen within each training part"
        pictures.append(captioned(figure, text, bold(CHOSEN_TITLE)))
    for trial in study.trials:
        shown = dict(sorted(trial.evaluations.items(), key=lambda item: -score(item[1], study.metric))[:_PANELS])
        shown = {name: e for name, e in trial.evaluations.items() if name in shown}
        left = len(trial.evaluations) - len(shown)
        pictures.append(
            captioned(
                plots.parity(y, shown, target, titles=study.models, looks=styles),
                f"Predicted against true {lower(target.title)}, features: {trial.features.title}",
                bold(trial.features.title),
                f", the {len(shown)} best of {len(shown) + left} models" if left else None,
            )
        )
    body = [
        paragraph("On the diagonal a prediction is exact. Triangles at the edge are outside the panel."),
        tag("div", *pictures, class_="figures"),
        tag(
            "div",
            captioned(plots.residuals(y, study.chosen, target, styles[best].colour), "Distribution of errors"),
            captioned(
                plots.errors_by_prediction(y, study.chosen, target, styles[best].colour), "Errors against predictions"
            ),
            class_="figures",
        ),
        paragraph("Errors of ", bold(best_title(study)), ".", class_="note"),
    ]
    return Section(id, "Predicted against true", join(body))


def _classes(study: Study, id: str) -> Section:
    evaluation, y, target = study.chosen, study.problem.y, study.target
    panels = {}
    if evaluation.folds:
        found = evaluation.out_of_fold()
        panels["folds"] = (y[found.indices], found.y_pred)
    if evaluation.test is not None:
        panels["test part"] = (y[evaluation.test.indices], evaluation.test.y_pred)
    matrix = plots.confusion(panels, target.classes, lower(target.title))
    body: list[Markup] = [
        captioned(
            matrix,
            f"Confusion matrix of {best_title(study)}",
            "Numbers of samples of ",
            bold(best_title(study)),
            ". Colours: share of the samples of a true class. On the diagonal predictions are right.",
        )
    ]
    if decided := study.decision_in_words():
        body.append(paragraph(decided, class_="note"))
    curves, positive, where = _curves(study)
    if curves:
        styles = {label: look(place) for place, label in enumerate(curves)}
        body.append(
            captioned(
                plots.discrimination(curves, styles, positive),
                f"ROC curves and precision-recall curves, {where}",
                f"What a threshold on the probability buys, {where}"
                + (f", for {positive}." if positive != "each class" else ", each class against the rest.")
                + " Dashed: probabilities that know nothing.",
            )
        )
    else:
        why = "No ROC curve: the models give no probabilities, or only one class was tested."
        body.append(paragraph(why, class_="note"))
    return Section(id, "Predicted and true classes", join(body))


def _curves(study: Study) -> tuple[Mapping[str, tuple[Mask, FloatArray]], str, str]:
    """Return truths and scores: of the best model on each set of features, or of each class for more than two."""
    classes, y = study.target.classes, study.problem.y
    curves: dict[str, tuple[Mask, FloatArray]] = {}
    where = "test part" if len(study.split.test) else "folds together"

    def scores(evaluation: Evaluation) -> tuple[Array, FloatArray | None]:
        found = evaluation.test or evaluation.out_of_fold()
        return y[found.indices].astype(int), found.probabilities

    if len(classes) == 2:
        best_of = sorted(study.trials, key=lambda trial: -score(trial.evaluations[trial.best], study.metric))[
            : len(PALETTE)
        ]
        for trial in best_of:
            truth, probabilities = scores(trial.evaluations[trial.best])
            if probabilities is not None and 0 < truth.sum() < len(truth):
                label = f"{trial.features.title}, {lower(study.models[trial.best])}"
                curves[label] = (truth == 1, probabilities[:, 1])
        return curves, classes[1], where
    truth, probabilities = scores(study.chosen)
    if probabilities is not None:
        counts = np.bincount(truth, minlength=len(classes))
        for k in sorted(np.argsort(-counts, kind="stable")[: len(PALETTE)]):
            if 0 < counts[k] < len(truth):
                curves[classes[k]] = (truth == k, probabilities[:, k])
    return curves, "each class", f"{best_title(study)}, {where}"
