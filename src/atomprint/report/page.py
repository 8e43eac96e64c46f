"""The page: what is on it, and in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from atomprint.learn.models.catalogue import MODELS
from atomprint.learn.study.study import Study
from atomprint.learn.task.metrics import METRICS
from atomprint.report.cards import ReportCard, dataset_card, model_card
from atomprint.report.data import data_section, facts, split_section
from atomprint.report.errors import errors_section, importance_section
from atomprint.report.html import (
    Html,
    Markup,
    Section,
    bullets,
    definitions,
    figure_of_merit,
    join,
    minus,
    paragraph,
    table,
    tag,
)
from atomprint.report.naming import best_title, judged
from atomprint.report.predictions import predictions_section
from atomprint.report.quality import models_section, quality_section, verdict
from atomprint.report.style import PAGE, STYLE
from atomprint.report.trust import curve_section, uncertainty_section
from atomprint.util.text import with_unit


def page(
    title: str,
    lead: str,
    studies: Sequence[Study],
    settings: Mapping[str, Any],
    versions: Mapping[str, str],
    recipe: str,
    reasons: Sequence[str] = (),
    saved_model: str = "",
) -> str:
    """Return the whole page; see :class:`~atomprint.report.Report` for the arguments."""
    single = len(studies) == 1
    sections = [
        Section(
            "summary", "Summary", paragraph(verdict(studies[0]), class_="verdict") if single else _summary(studies)
        ),
        *(
            _study(study, f"study-{k}", f"{k}. {study.title}", versions, saved_model, not single)
            for k, study in enumerate(studies, 1)
        ),
        Section("reading", "How to read this", _reading(studies), folded=True),
        *([Section("why", "Why this recipe", _why(reasons), folded=True)] if reasons else []),
        Section("making", "How this was made", _making(settings, versions, recipe), folded=True),
    ]
    return PAGE.format(
        title=escape(title),
        style=STYLE,
        lead=escape(lead),
        contents=join(section.contents() for section in sections),
        main=join(section.html() for section in sections),
        footer=escape(f"Made with atomprint {versions.get('atomprint', '')}."),
    )


def _summary(studies: Sequence[Study]) -> Html:
    rows: list[Sequence[Markup]] = []
    for number, study in enumerate(studies, 1):
        name = study.metric
        spec = METRICS[study.kind][name]
        evaluation = study.chosen
        base = judged(study.baseline, name)[1]
        rows.append(
            (
                tag("a", study.title, href=f"#study-{number}"),
                best_title(study),
                with_unit(spec.title, study.target.unit * spec.in_unit),
                f"{len(study.problem):,}",
                figure_of_merit(base),
                figure_of_merit(evaluation.cross_validation[name]) if evaluation.folds else "–",
                figure_of_merit(evaluation.test.metrics[name]) if evaluation.test is not None else "–",
            )
        )
    return table(
        ("study", "best features and model", "figure of merit", "samples", "baseline", "folds", "test part"),
        rows,
        numeric_from=3,
        caption="The best model of each study beside a baseline that learns nothing from features. Where there is no "
        "test part, features and model are chosen anew within each training part.",
    )


def _why(reasons: Sequence[str]) -> Html:
    return join([paragraph("What the recipe left open was chosen by the form of the data:"), bullets(reasons)])


def _reading(studies: Sequence[Study]) -> Html:
    kinds = [kind for kind in METRICS if any(study.kind == kind for study in studies)]
    figures = [(spec.title, f"{spec.description}.") for kind in kinds for spec in METRICS[kind].values()]
    names = list(dict.fromkeys(name for study in studies for name in study.models if name in MODELS))
    models = [(MODELS[name].title, f"{MODELS[name].description}.") for name in names]
    return join(
        [
            definitions(figures),
            paragraph(
                tag("b", "Folds"),
                ": the training part is cut into parts, each predicted by a model fitted to the others. ",
                tag("b", "Test part"),
                ": samples set aside at the start, predicted once. Whatever models learn, hyperparameters "
                "included, they learn from the samples they are fitted to. Parameters of descriptors are fixed; if "
                "they were chosen with an eye on these data, that flatters the figures a little.",
            ),
            definitions(models) if models else None,
        ]
    )


def _study(study: Study, id: str, title: str, versions: Mapping[str, str], saved_model: str, several: bool) -> Section:
    known = facts(study.problem)
    harmless = () if study.leakage else study.leakage_in_words()  # the section on the split says so
    body = join(
        [
            paragraph(study.question) if study.question else None,
            [paragraph(text, class_="caveat") for text in study.caveats() if text not in harmless],
        ]
    )
    sections = [
        quality_section(study, f"{id}-quality", with_verdict=several),
        predictions_section(study, f"{id}-predictions"),
        uncertainty_section(study, f"{id}-uncertainty"),
        errors_section(study, f"{id}-errors"),
        curve_section(study, f"{id}-curve"),
        importance_section(study, f"{id}-importance"),
        data_section(study, known, f"{id}-data"),
        split_section(study, f"{id}-split"),
        models_section(study, f"{id}-models"),
        Section(f"{id}-model-card", "Model card", _card(model_card(study, versions, saved_model)), folded=True),
        Section(f"{id}-data-card", "Data-set card", _card(dataset_card(study)), folded=True),
    ]
    return Section(id, title, body, [section for section in sections if section is not None])


def _card(card: ReportCard) -> Html:
    entries = [
        (heading, bullets(map(minus, items)) if len(items) > 1 else minus(" ".join(items)))
        for heading, items in card.entries.items()
    ]
    return tag("div", definitions(entries), class_="card")


def _making(settings: Mapping[str, Any], versions: Mapping[str, str], recipe: str) -> Html:
    return join(
        [
            paragraph(
                "All figures for each fold, the hyperparameters chosen in it, and the parameters of all descriptors "
                "are in ",
                tag("code", "results.json"),
                ", every single prediction is in ",
                tag("code", "predictions.csv"),
                ", the cards are in ",
                tag("code", "model-card.md"),
                ", all beside this file.",
            ),
            join([tag("h3", "The recipe, with everything that was left to defaults"), tag("pre", recipe)])
            if recipe
            else None,
            tag("h3", "Settings"),
            table((), [(key, str(value)) for key, value in settings.items()]),
            tag("h3", "Environment"),
            table((), list(versions.items())),
        ]
    )
