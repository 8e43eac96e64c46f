"""Sections on where the best model errs, its worst predictions, and what models rely on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from ase.formula import Formula

from atomprint.chemistry.contents import numbers_of
from atomprint.layout import symbols_of
from atomprint.learn.evaluation.breakdown import BreakdownRow
from atomprint.learn.evaluation.evaluate import joined
from atomprint.learn.study.study import Study, Trial
from atomprint.learn.task.metrics import format_number
from atomprint.report import plots
from atomprint.report.drawing import draw_structure
from atomprint.report.html import (
    Html,
    Markup,
    Section,
    bold,
    captioned,
    folded,
    image,
    join,
    minus,
    paragraph,
    sentence,
    table,
    tag,
)
from atomprint.report.naming import best_title, colour_of, trial_title
from atomprint.util.text import with_unit
from atomprint.util.types import Indices, Structure

_BARS = 14  # groups in one plot
_WORST = 8  # predictions shown
_NOTHING = 1e-6  # share of the largest importance below which a panel shows rounding
_PANELS = 4  # ways to group features that are seen at once
_MANY_ELEMENTS = 8  # from how many on errors by element are shown in the periodic table


def errors_section(study: Study, id: str) -> Section:
    """Return the section on errors by element, chemistry and size, and on the worst predictions."""
    where, indices, y_pred = study.held_out()
    wrong = study.kind == "classification"
    truth = study.problem.y[indices]
    overall = float(np.mean(y_pred != truth) if wrong else np.mean(np.abs(y_pred - truth)))
    label = "share of wrong predictions" if wrong else with_unit("mean absolute error", study.target.unit)
    body: list[Markup] = [
        paragraph(
            f"{best_title(study)}, {where}, {len(indices):,} predictions. Bars: {label}, with the number of samples; "
            "the dashed line is that of all samples. Groups of fewer than 10 samples are pale: read little into them."
            + (" Means are swayed by few large errors." if not wrong else "")
        ),
        *_breakdown(study, label, overall),
        *_worst(study),
    ]
    return Section(id, "Where it errs", join(body))


def _breakdown(study: Study, label: str, overall: float) -> Iterator[Html]:
    colour, small = colour_of(study, study.best()[1]), []
    for kind, rows in study.breakdown.tables.items():
        if len(rows) < 2:  # nothing to compare
            continue
        if kind == "element" and len(rows) > _MANY_ELEMENTS:
            worst = ", ".join(f"{r.label} {format_number(r.error)} ({r.n:,})" for r in _hardest(rows))
            yield captioned(
                plots.periodic_table({row.label: row.error for row in rows}, label, map_name="Oranges"),
                f"Periodic table with the {label} of samples that contain each element",
                "Samples that contain the element. ",
                f"Hardest, of elements in at least 10 samples (number in parentheses): {worst}." if worst else None,
                large=True,
            )
        else:
            shown = list(rows) if len(rows) <= _BARS else sorted(rows, key=lambda r: -r.n)[:_BARS]
            shown = [row for row in rows if row in shown]
            left = len(rows) - len(shown)
            figure = plots.breakdown(shown, f"by {kind}", label, colour, overall)
            small.append(
                captioned(figure, f"{label} by {kind}", f"The {len(shown)} largest of {len(rows)}." if left else None)
            )
    yield tag("div", *small, class_="figures")


def _hardest(rows: Sequence[BreakdownRow], n: int = 5) -> list[BreakdownRow]:
    return sorted((row for row in rows if row.n >= 10 and row.error > 0), key=lambda row: -row.error)[:n]


class _Prediction(NamedTuple):
    sample: int
    true: str
    predicted: str
    error: str


def _worst(study: Study) -> Iterator[Html]:
    worst = list(_worst_predictions(study))
    if not worst:
        yield paragraph("No prediction was wrong.")
        return
    where = " and ".join(["folds"] * bool(study.chosen.folds) + ["test part"] * (study.chosen.test is not None))
    yield tag("h4", "Worst predictions ", tag("span", f"({best_title(study)}, {where})"))
    problem, unit = study.problem, study.target.unit
    formulas = np.array(study.dataset.formulas, dtype=np.str_)[problem.structures]
    ids = problem.ids
    if study.dataset.structures is None:
        names = [tag("span", ids[p.sample], class_="id") for p in worst]
        rows = [(name, formulas[p.sample], *p[1:]) for name, p in zip(names, worst, strict=True)]
        heads = ("id", "formula", *(with_unit(words, unit) for words in ("true", "predicted", "error")))
        yield table(heads, rows, numeric_from=2)
        return
    pictures = []
    for p in worst:
        structure = study.dataset.structures[int(problem.structures[p.sample])]
        formula = formulas[p.sample] if _is_crystal(structure) else _molecular_formula(structure)
        words: list[Markup] = [
            bold(tag("span", ids[p.sample], class_="id")),
            f" {formula}" if formula != ids[p.sample] else None,
            Html("<br>"),
            f"true {p.true}",
            Html("<br>"),
            f"predicted {p.predicted}",
            Html("<br>"),
            p.error if study.kind == "classification" else f"error {p.error} {unit}".rstrip(),
        ]
        atom = None if problem.atoms is None else int(problem.atoms[p.sample])
        pictures.append(tag("figure", _drawn(structure, atom, formula), tag("figcaption", *words)))
    yield tag("div", *pictures, class_="pictures")
    if problem.atoms is not None:
        yield paragraph("The ring marks the atom.", class_="note")


def _worst_predictions(study: Study) -> Iterator[_Prediction]:
    """Yield the largest errors of folds and test part, or the wrong classes predicted with the greatest confidence."""
    parts = [part for _, part in study.chosen.parts()]
    indices, y_pred = (np.concatenate([getattr(part, name) for part in parts]) for name in ("indices", "y_pred"))
    truth = study.problem.y[indices]
    if study.kind == "regression":
        error = y_pred - truth
        for i in _first_of_each(np.argsort(-np.abs(error), kind="stable"), indices):
            sign = "+" if error[i] > 0 else ""
            size = max(abs(truth[i]), abs(y_pred[i]), abs(error[i]))
            true, predicted, off = (minus(format_number(float(v), like=size)) for v in (truth[i], y_pred[i], error[i]))
            yield _Prediction(int(indices[i]), true, predicted, f"{sign}{off}")
        return
    classes = study.target.classes
    probabilities = joined([part.probabilities for part in parts])
    wrong = np.flatnonzero(y_pred != truth)
    sure = None if probabilities is None else probabilities[wrong, y_pred[wrong].astype(int)]
    order = np.arange(len(wrong)) if sure is None else np.argsort(-sure, kind="stable")
    for k in _first_of_each(order, indices[wrong]):
        i = wrong[k]
        words = "" if sure is None else f"with probability {sure[k]:.2f}"
        yield _Prediction(int(indices[i]), classes[int(truth[i])], classes[int(y_pred[i])], words)


def _first_of_each(order: Indices, samples: Indices) -> list[int]:
    """Return the first predictions in an order, one for each sample: some are predicted in several folds."""
    best: dict[int, int] = {}
    for i in order.tolist():
        best.setdefault(int(samples[i]), i)
        if len(best) == _WORST:
            break
    return list(best.values())


def _is_crystal(structure: Structure) -> bool:
    return bool(np.any(getattr(structure, "pbc", hasattr(structure, "lattice"))))


def _molecular_formula(structure: Structure) -> str:
    """Return the formula with all atoms: C6H6, not CH."""
    symbols = list(symbols_of(numbers_of(structure).tolist()))
    return str(Formula.from_list(symbols).format("hill" if "C" in symbols else "metal"))


def _drawn(structure: Structure, atom: int | None, formula: str) -> Html:
    try:
        return image(draw_structure(structure, highlight=atom), f"Structure of {formula}")
    except ValueError as error:  # a report is not the place to fail for a picture
        return paragraph(f"Not drawn: {error}", class_="note")


def importance_section(study: Study, id: str) -> Section | None:
    """Return the section on what models rely on."""
    pictures = [found for trial in study.trials if (found := _importance(trial, study)) is not None]
    if not pictures:
        return None
    methods = list(dict.fromkeys(t.importance.method for t in study.trials if t.importance is not None))
    body = [
        paragraph(
            " ".join(map(sentence, methods)), " That a model relies on a feature does not mean that nature does."
        ),
        *pictures,
        folded(
            "How to read these bars",
            paragraph(
                "Bars are for the best model on each set of features, lines the spread. Groups overlap, and what one "
                "group says another may say too, so that bars do not add up. Single features: those that a model of "
                "trees uses most (share of the variance or impurity that its splits remove). Radial channel 1 is the "
                "closest to the atom, the last one reaches out to the cutoff; l counts angular detail. Numbered "
                "element channels mix elements and have no meaning of their own. Rows of a matrix are sorted by norm: "
                "row 0 is the atom with the strongest repulsion."
            ),
        ),
    ]
    return Section(id, "What the models rely on", join(body))


def _importance(trial: Trial, study: Study) -> Html | None:
    pictures: list[Markup] = []
    for found, what in ((trial.importance, "Importance"), (trial.shap, "Shapley values")):
        groups = {kind: rows for kind, rows in found.groups.items() if rows} if found is not None else {}
        if found is None or not groups:
            continue
        words = found.method.partition(" when ")[0].partition(" on ")[0]
        label = with_unit(words if len(words) < 60 else what.lower(), found.unit)
        colour = colour_of(study, trial.best)
        largest = max(abs(group.mean) for rows in groups.values() for group in rows)
        panels = [
            image(
                plots.importance({kind: rows}, label, colour, found.n_groups),
                f"{what} of groups of features by {kind}: {trial_title(trial, study)}",
            )
            for kind, rows in groups.items()
            if max(abs(group.mean) for group in rows) > _NOTHING * largest
        ]
        if what != "Importance":
            pictures.append(paragraph(found.method, class_="note"))
        pictures.append(tag("div", *panels[:_PANELS], class_="figures"))
        if panels[_PANELS:]:
            pictures.append(folded("Other ways to group the features", tag("div", *panels[_PANELS:], class_="figures")))
    if not pictures:
        return None
    listed = [tag("li", tag("code", name), f" {100 * share:.1f} %") for name, share in trial.top[:10]]
    head = tag("h4", f"{trial.features.title} ", tag("span", f"({study.models[trial.best]})"))
    single = folded("The single features that trees use most", tag("ol", listed)) if listed else None
    return tag("div", head, *pictures, single, class_="importance")
