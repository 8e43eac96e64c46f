"""Model cards and data-set cards: what a model is for, what it was made from, and what it must not be used for.

After M. Mitchell et al., Model Cards for Model Reporting, FAT* (2019), doi:10.1145/3287560.3287596, and T. Gebru et
al., Datasheets for Datasets, Commun. ACM 64, 86 (2021), doi:10.1145/3458723. What the program cannot know is said to be
not known; nothing is made up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from atomprint.learn.study.study import Study
from atomprint.learn.task.metrics import METRICS, format_number
from atomprint.learn.task.problem import lower
from atomprint.report.html import sentence
from atomprint.report.naming import as_shown, best_made_of, best_title
from atomprint.util.text import with_unit


@dataclass(frozen=True)
class ReportCard:
    """A card as headings with sentences below them.

    Parameters
    ----------
    title : str
        Heading of the card.
    entries : mapping of str to sequence of str
        For each heading what there is to say, one item for each sentence or figure.
    """

    title: str
    entries: Mapping[str, Sequence[str]]

    def markdown(self) -> str:
        """Return the card as Markdown."""
        lines = [f"# {_escaped(self.title)}", ""]
        for heading, items in self.entries.items():
            lines += [f"## {heading}", "", *(f"- {_escaped(item)}" for item in items), ""]
        return "\n".join(lines)


def model_card(study: Study, versions: Mapping[str, str], saved_model: str = "") -> ReportCard:
    """Return the card of the best model of a study.

    Parameters
    ----------
    study : Study
        The study.
    versions : mapping of str to str
        Versions of Python and of packages.
    saved_model : str
        What there is to say of a model that was fitted anew for use, such as to which samples.

    Returns
    -------
    ReportCard
    """
    trial, model = study.best()
    target = study.target
    unit = f" in {target.unit}" if target.unit else ""
    what = f"one of {_listed(target.classes)}" if target.classes else f"a number{unit}"
    of = "each atom of a structure" if target.level == "atom" else (
        f"a {study.dataset.kind.removesuffix('s')}"
    )  # fmt: skip
    many = study.dataset.kind
    many = f"atoms of {many}" if target.level == "atom" else many
    parameters = best_made_of(study)
    details = [
        f"Predicts {lower(target.title)} of {of}: {what}. {target.definition}",
        f"Features: {trial.features.title}: {trial.features.description}.",
        f"Model: {study.models[model]}" + (f", {parameters}." if parameters else "."),
        *_choice(study),
        *filter(None, [study.decision_in_words()]),
        f"Seed {study.split.seed}. Made with atomprint {versions.get('atomprint', '(not installed)')}, scikit-learn "
        f"{versions.get('scikit-learn', '?')}, Python {versions.get('python', '?')}.",
    ]
    use = [
        f"Meant for {many} like those it was fitted to (see training data), to screen and to compare, where "
        "an error of the size given below is acceptable.",
        "Not meant for elements, classes of materials, sizes or conditions that are not in the training data, nor "
        "as the only ground for a decision about safety: confirm what matters by experiment or calculation.",
    ]
    caveats = list(dict.fromkeys([*study.caveats(), *study.leakage_in_words()]))
    if study.uncertainty is not None:
        found = study.uncertainty
        caveats.append(
            f"Intervals at the level {found.level:g} held the truth for a share of {found.coverage} of the samples "
            f"they were checked on ({found.checked_on}). {sentence(found.assumptions)}"
        )
        if study.coverage is not None and study.coverage.n_groups:
            caveats.append(study.coverage.sentence())
    return ReportCard(
        f"Model card: {study.title}",
        {
            "Model": details,
            "Intended use": use,
            "Training data": [*_domain(study), *filter(None, [saved_model]), f"Source: {study.dataset.source}"],
            "Evaluation data": [study.split.description or "Described in the report."],
            "Metrics": [
                f"{METRICS[study.kind][name].title}: {METRICS[study.kind][name].description}." for name in _told(study)
            ],
            "Results": list(_results(study)),
            "Results by group": list(_groups(study)) or ["Not broken down."],
            "Limits and caveats": caveats or ["None found by the program; that is no proof that there are none."],
            "Ethical considerations": [
                "The data describe substances, not people. Predictions can be wrong with confidence; the data favour "
                "substances that somebody found worth studying, and so do models made from them.",
                f"Licence of the data: {_licence(study)} What it asks for may extend to the model.",
            ],
        },
    )


def dataset_card(study: Study) -> ReportCard:
    """Return the card of the data set of a study."""
    dataset, problem = study.dataset, study.problem
    what = dataset.kind
    targets = [
        f"{with_unit(t.title, t.unit)}, known for {len(t.known):,} of {len(dataset):,}: {t.definition}"
        for t in dataset.targets.values()
    ]
    n_known = len(np.unique(problem.structures))
    used = (
        "All rows are used here."
        if n_known == len(dataset)
        else f"{n_known:,} rows are used here: those of which {lower(study.target.title)} is known."
    )
    failures = (
        f"Rows of the source that were left out, because they could not be used: {len(dataset.failures):,}."
        if dataset.failures
        else "No row of the source was left out when it was read."
    )
    folds = f"It comes with {len(dataset.folds)} official folds." if dataset.folds else "It has no official folds."
    return ReportCard(
        f"Data-set card: {dataset.title}",
        {
            "Motivation": [f"Used here to learn: {lower(study.target.title)}.", *filter(None, [study.question])],
            "Composition": [
                f"{len(dataset):,} {what}. {dataset.description}",
                *_domain(study)[1:],
                *targets,
                *([f"Labels: {_listed(list(dataset.groups))}."] if dataset.groups else []),
                folds,
            ],
            "Collection": [f"Source: {dataset.source}"],
            "Preprocessing": [failures, used],
            "Uses": [
                "Suits models of the properties above for similar substances. How substances were chosen is up to the "
                "source; shares of elements and classes here say nothing of their shares in nature."
            ],
            "Distribution": [f"Licence: {_licence(study)}", "Look at the source for how to cite it."],
            "Maintenance": ["By its source. This card describes the copy that was read for this report."],
        },
    )


def _choice(study: Study) -> Iterator[str]:
    if study.choice is not None and study.nested:
        n = sum(keys == study.choice.best for keys in study.choice.winners)
        yield (
            f"Features and model are those chosen for {n} of {len(study.choice.winners)} folds: "
            f"{study.choice.description}. The results below are of what was chosen for each fold, not of this model "
            "in all of them."
        )


def _fitted(study: Study) -> str:
    """Return the number of samples of each fit that results come from."""
    if len(study.split.test):
        return f"{len(study.split.train):,}"
    numbers = [len(fit) for fit, _ in study.split.folds]
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _domain(study: Study) -> list[str]:
    """Return what the training part consists of: the domain in which predictions can be trusted."""
    train = study.split.train
    problem = study.problem
    contains = study.dataset.contains
    rows = np.unique(problem.structures[train])
    n_formulas = len({study.dataset.formulas[row] for row in rows})
    elements = [chemical_symbols[z] for z in np.flatnonzero(contains[rows].any(axis=0))]
    y = problem.y[train]
    unit = f" {study.target.unit}" if study.target.unit else ""
    if study.target.classes:
        counts = np.bincount(y.astype(int), minlength=len(study.target.classes))
        span = "Classes: " + ", ".join(f"{c} ({n:,})" for c, n in zip(study.target.classes, counts, strict=True))
    else:
        size = float(np.abs(y).max())
        low, high = (format_number(float(v), like=size) for v in (y.min(), y.max()))
        span = f"Range of the target: {low} to {high}{unit}"
    return [
        f"The results below are of models fitted to {_fitted(study)} samples of {study.dataset.title}; there are "
        f"{n_formulas:,} different formulas among those for training.",
        f"Elements: {_listed(elements)}.",
        f"{span}.",
    ]


def _told(study: Study) -> list[str]:
    return list(METRICS[study.kind])[:4]


def _results(study: Study) -> Iterator[str]:
    own = best_title(study) if study.nested else study.models[study.best()[1]]
    for title, evaluation in ((own, study.chosen), ("Baseline", study.baseline)):
        for where, figures in (
            ("cross-validation", evaluation.cross_validation if evaluation.folds else None),
            ("test part", evaluation.test.metrics.values if evaluation.test is not None else None),
        ):
            if figures is None:
                continue
            told = []
            for name in _told(study):
                spec, item = METRICS[study.kind][name], as_shown(study, evaluation, name, figures[name])
                metric: Any = getattr(item, "mean", item)
                unit = f" {study.target.unit}" if spec.in_unit and study.target.unit else ""
                told.append(f"{spec.title} {item}{unit}" if metric.value is not None else f"no {spec.title}")
            yield f"{title}, {where}: {'; '.join(told)}."


def _groups(study: Study) -> Iterator[str]:
    spec = METRICS[study.kind][study.metric]
    label = "share of wrong predictions" if study.kind == "classification" else spec.title
    unit = f" {study.target.unit}" if spec.in_unit and study.target.unit else ""
    for kind, rows in study.breakdown.tables.items():
        enough = sorted((row for row in rows if row.n >= 10), key=lambda row: -row.error)
        if len(enough) >= 2:
            worst = ", ".join(f"{r.label} {format_number(r.error)}{unit} ({r.n:,} samples)" for r in enough[:3])
            yield f"By {kind}, largest {label}: {worst}."


def _licence(study: Study) -> str:
    return f"{study.dataset.licence}." if study.dataset.licence else "not known to the program; ask the source."


def _listed(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def _escaped(text: str) -> str:
    """Return text in which nothing is Markdown or HTML."""
    return re.sub(r"([\\`*_\[\]<>#|])", r"\\\1", " ".join(str(text).split()))
