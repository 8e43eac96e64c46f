"""Sections on what models were given: the data, and how they were divided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from ase.data import chemical_symbols

from atomprint.datasets import Dataset
from atomprint.learn.study.study import Study
from atomprint.learn.task.metrics import format_number
from atomprint.learn.task.problem import Problem, lower
from atomprint.report import plots
from atomprint.report.html import (
    Html,
    Markup,
    Section,
    bullets,
    captioned,
    join,
    minus,
    paragraph,
    side_by_side,
    table,
    tag,
)
from atomprint.report.naming import MAX_ROWS
from atomprint.structures import Batch
from atomprint.util.text import counted, with_unit
from atomprint.util.types import Indices

_MAX_SIZES = 5000  # structures that are read to see how large they are


class Facts(NamedTuple):
    """What a summary of the data says."""

    elements: dict[str, int]  # number of structures with each element, the most frequent first
    n_formulas: int
    n_atoms: Indices | None  # of structures spread evenly over the data set; None for compositions


def facts(problem: Problem) -> Facts:
    """Count elements, formulas and atoms of the structures that a problem is about."""
    rows = np.unique(problem.structures)
    counts = problem.dataset.contains[rows].sum(axis=0)
    order = np.argsort(-counts, kind="stable")
    elements = {chemical_symbols[z]: int(counts[z]) for z in order if counts[z]}
    return Facts(elements, len({problem.dataset.formulas[row] for row in rows}), _n_atoms(problem.dataset, rows))


def data_section(study: Study, known: Facts, id: str) -> Section:
    """Return the section on the data."""
    problem, dataset, target = study.problem, study.dataset, study.target
    what = dataset.kind
    table_of_elements = plots.periodic_table(known.elements, f"{what} with the element", logarithmic=True)
    distribution = plots.target_distribution(problem, study.split, logarithmic=study.chosen.of_logs)
    pictures = [captioned(distribution, f"Histogram of {lower(target.title)} in the training and the test part")]
    if known.n_atoms is not None:
        few = len(known.n_atoms) < len(np.unique(problem.structures))
        note = f"{len(known.n_atoms):,} structures, spread evenly over the data set" if few else None
        label = "atoms in the structure"
        pictures.append(captioned(plots.sizes(known.n_atoms, label), "Histogram of the numbers of atoms", note))
    top = ", ".join(f"{symbol} ({n:,})" for symbol, n in list(known.elements.items())[:8])
    body: list[Markup] = [
        paragraph(dataset.description),
        paragraph(tag("b", with_unit(target.title, target.unit)), f". {target.definition}"),
        paragraph(
            "Source: ", dataset.source, f" Licence: {dataset.licence}." if dataset.licence else None, class_="source"
        ),
        side_by_side(table((), list(_counts(study, known)), numeric_from=1), *pictures),
        captioned(table_of_elements, f"Periodic table: number of {what} with each element. Most: {top}", large=True),
        _failures(dataset),
    ]
    return Section(id, "Data", join(body))


def split_section(study: Study, id: str) -> Section:
    """Return the section on training and test parts, and on what they share."""
    split = study.split
    rows: list[tuple[str, ...]] = []
    if split.folds:
        rows.append(("training", f"{len(split.train):,}", ""))
    parts = split.parts()
    folds = [(name, len(fit), len(predict)) for name, fit, predict in parts if predict is not split.test]
    if len(folds) > MAX_ROWS:
        _, *sizes = zip(*folds, strict=True)
        rows.append((f"{len(folds)} folds", *(f"{min(numbers):,} to {max(numbers):,}" for numbers in sizes)))
    else:
        rows += [(name, f"{n_fit:,}", f"{n_predict:,}") for name, n_fit, n_predict in folds]
    if len(split.test):
        rows.append(("test", f"{len(split.train):,}", f"{len(split.test):,}"))
    body: list[Markup] = [
        paragraph(split.description),
        paragraph(
            "Every prediction in this report is of a sample that the model had not seen: those of a fold come from a "
            "model fitted to the other folds, those of the test part from one fitted to the whole training part. "
            f"Seed {split.seed}."
        ),
        table(("part", "samples to fit", "samples to predict"), rows, numeric_from=1),
        _leakage(study),
    ]
    return Section(id, "Split and leakage", join(body), folded=True)


def _leakage(study: Study) -> Html:
    sentences = study.leakage_in_words()
    parts = list(study.leakage.parts)
    if not parts:
        return join([paragraph(sentence) for sentence in sentences])

    def share(n: int | None, total: int) -> str:
        return "–" if n is None else f"{n:,} ({100 * n / total:.1f} %)" if total else f"{n:,}"

    rows = [
        (part.name, f"{part.n_test:,}", share(part.n_formula, part.n_test), share(part.n_structure, part.n_test))
        for part in parts[:MAX_ROWS]
    ]
    pairs = list(dict.fromkeys(tuple(pair) for part in parts for pair in part.examples))[:5]
    return join(
        [
            tag("h4", "What the parts share"),
            bullets(sentences),
            table(("part", "predicted", "formula also fitted to", "structure also fitted to"), rows, numeric_from=1),
            _left_out(len(parts) - len(rows), "folds"),
            paragraph("For example: ", "; ".join(" and ".join(map(str, pair)) for pair in pairs), class_="note")
            if pairs
            else None,
        ]
    )


def _counts(study: Study, known: Facts) -> Iterator[tuple[Markup, Markup]]:
    problem, dataset, target = study.problem, study.dataset, study.target
    n_rows, n_known = len(dataset), len(np.unique(problem.structures))
    what = dataset.kind
    yield what, f"{n_known:,}"
    if problem.atoms is not None:
        yield "atoms with a known target", f"{len(problem):,}"
    if n_rows > n_known:
        yield "without this target, left out", f"{n_rows - n_known:,}"
    if dataset.failures:
        yield "that could not be read, left out", f"{len(dataset.failures):,}"
    yield "different formulas", f"{known.n_formulas:,}"
    yield "elements", f"{len(known.elements)}"
    if known.n_atoms is not None:
        low, middle, high = np.percentile(known.n_atoms, [0, 50, 100])
        yield "atoms, median (range)", f"{middle:g} ({low:g} to {high:g})"
    if target.classes:
        counts = np.bincount(problem.y.astype(int), minlength=len(target.classes))
        for k in np.argsort(-counts, kind="stable")[:MAX_ROWS]:
            yield target.classes[k], f"{counts[k]:,} ({100 * counts[k] / len(problem):.1f} %)"
        return
    unit = f" {target.unit}" if target.unit else ""
    low, middle, high = np.percentile(problem.y, [0, 50, 100])
    size = float(np.percentile(np.abs(problem.y), 90))
    for words, value in (
        ("smallest", low),
        ("median", middle),
        ("mean", problem.y.mean()),
        ("largest", high),
        ("standard deviation", problem.y.std()),
    ):
        yield words, minus(format_number(float(value), like=max(size, abs(float(value))))) + unit


def _failures(dataset: Dataset) -> Html:
    failures = dataset.failures
    if not failures:
        return Html()
    steps = ", ".join(f"“{step}” ({n:,})" for step, n in Counter(f.step for f in failures).most_common())
    many = counted(len(failures), "row")
    places = [str(f.row) if f.line is None else f"line {f.line}" for f in failures[:MAX_ROWS]]
    rows = [
        (place, tag("span", f.id, class_="id"), f.step, f.reason) for place, f in zip(places, failures, strict=False)
    ]
    return join(
        [
            tag("h4", "Rows left out"),
            paragraph(
                f"{many} of the source could not be used, and nothing here is about them. Step that failed: {steps}."
            ),
            table(("row", "id", "step", "reason"), rows),
            _left_out(len(failures) - len(rows), "rows"),
        ]
    )


def _left_out(n: int, what: str) -> Html | None:
    return paragraph(f"{n:,} more {what} are in results.json.", class_="note") if n > 0 else None


def _n_atoms(dataset: Dataset, rows: Indices) -> Indices | None:
    if dataset.structures is None:
        return None
    few = len(rows) <= _MAX_SIZES or isinstance(dataset.structures, Batch)
    return dataset.n_atoms[rows if few else rows[np.linspace(0, len(rows) - 1, _MAX_SIZES).astype(int)]]
