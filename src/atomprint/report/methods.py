"""The methods of a run as a paper reports them: text, and BibTeX of all that was used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from atomprint.learn.models.catalogue import OTHER_NAMES
from atomprint.learn.study.study import Study
from atomprint.learn.task.metrics import METRICS
from atomprint.learn.task.problem import lower
from atomprint.report.html import sentence
from atomprint.report.naming import best_made_of
from atomprint.report.references import bibtex
from atomprint.util.text import counted, with_unit
from atomprint.util.types import JsonObject


def methods(study: Study, recipe: Mapping[str, Any], versions: Mapping[str, str]) -> JsonObject:
    """Return what a paper has to say of a run.

    Parameters
    ----------
    study : Study
        Its results.
    recipe : mapping
        The recipe as it was carried out, as tables.
    versions : mapping of str to str
        Of Python and of packages.

    Returns
    -------
    dict
        ``"text"``, sentences by what they are about, data, split, features, models, choice, results, intervals, caveats
        and software; and ``"bibtex"``, entries of all that was used.
    """
    used = [*versions, *_types(recipe["features"]), *_models(recipe["models"])]
    used += [] if study.uncertainty is None else ["intervals"]
    text = {head: " ".join(sentences) for head, sentences in _text(study, recipe, versions) if sentences}
    return {"text": text, "bibtex": bibtex(used, versions, study.dataset.source)}


def _text(study: Study, recipe: Mapping[str, Any], versions: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    dataset, target, spec = study.dataset, study.target, METRICS[study.kind][study.metric]
    what = dataset.kind
    left_out = [f"{counted(len(dataset.failures), 'row')} could not be used."] if dataset.failures else []
    yield (
        "data",
        [
            f"{sentence(dataset.title)} {len(dataset):,} {what}, {len(study.problem):,} samples with the target: "
            f"{lower(with_unit(target.title, target.unit))}.",
            *filter(None, [target.definition, f"Source: {sentence(dataset.source)}" if dataset.source else ""]),
            *left_out,
        ],
    )
    yield "split", [sentence(study.split.description)] if study.split.description else []
    yield "features", [f"{t.features.title}: {sentence(t.features.description)}" for t in study.trials]
    models = [title for name, title in study.models.items() if name != "dummy"]
    yield "models", [f"{', '.join(models)}. All are compared with a baseline that knows only the training targets."]
    features, model = study.titles_of(*_keys_of_best(study))
    made_of = f": {words}" if (words := best_made_of(study)) else ""
    yield "choice", [f"By {spec.title}, the model is {model} on {features or 'all features'}{made_of}."]
    yield "results", list(_results(study))
    if study.uncertainty is not None:
        found = study.uncertainty
        yield (
            "intervals",
            [f"Level {found.level:g}: {sentence(found.method)}", sentence(found.assumptions)],
        )
    yield "caveats", list(dict.fromkeys([*study.caveats(), *study.leakage_in_words()]))
    packages = ", ".join(f"{name} {number}" for name, number in versions.items() if name not in ("python", "system"))
    yield (
        "software",
        [f"{packages}; Python {versions['python']} on {versions['system']}; seed {recipe.get('seed', 0)}."],
    )


def _keys_of_best(study: Study) -> tuple[str, str]:
    trial, model = study.best()
    return trial.features.key, model


def _results(study: Study) -> Iterator[str]:
    name, spec = study.metric, METRICS[study.kind][study.metric]
    unit = f" {study.target.unit}" if spec.in_unit and study.target.unit else ""
    for row in study.rows:
        figures = []
        if study.split.folds:
            found = row.evaluation.cross_validation[name]
            figures.append(f"{found}{unit} (mean and standard deviation of {len(study.split.folds)} folds)")
        if row.evaluation.test is not None:
            figures.append(f"{row.evaluation.test.metrics[name]}{unit} (test part, {len(study.split.test):,} samples)")
        titles = [title for title in study.titles_of(row.features, row.model) if title]
        yield f"{', '.join(reversed(titles))}: {spec.title} {', '.join(figures)}."


def _types(entry: Any) -> Iterator[str]:
    """Yield the classes and the pretrained weights that a table names, and those within it."""
    if isinstance(entry, Mapping):
        for key, value in entry.items():
            if key in ("type", "model") and isinstance(value, str):
                yield value.rpartition(".")[2] if key == "type" else value
            yield from _types(value)
    elif isinstance(entry, list | tuple):
        for value in entry:
            yield from _types(value)


def _models(tables: Mapping[str, Any]) -> Iterator[str]:
    """Yield the types of models, and of the members of ensembles."""
    for key, table in tables.items():
        yield str(table.get("type", key))
        for member in table.get("members", ()):
            name = member if isinstance(member, str) else str(member.get("type", ""))
            yield OTHER_NAMES.get(name, name)


def methods_text(found: Mapping[str, Any]) -> str:
    """Return the methods that ``run.json`` holds as Markdown."""
    parts = [f"**{head.capitalize()}.** {text}" for head, text in found["text"].items()]
    return "\n\n".join([*parts, "```bibtex", found["bibtex"].strip(), "```"]) + "\n"
