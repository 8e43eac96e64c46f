"""Sections on features, models and figures of merit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from atomprint.learn.evaluation.evaluate import Fold
from atomprint.learn.evaluation.nested_choice import CHOSEN_TITLE
from atomprint.learn.study.study import Study
from atomprint.learn.task.metrics import METRICS, Metric, Spread, format_number
from atomprint.learn.task.problem import lower
from atomprint.report import plots
from atomprint.report.html import (
    Html,
    Markup,
    Section,
    bold,
    captioned,
    definitions,
    folded,
    join,
    minus,
    paragraph,
    table,
    tag,
)
from atomprint.report.naming import MAX_ROWS, Notes, as_shown, best_title, duration, judged


def models_section(study: Study, id: str) -> Section:
    """Return the section on features and models."""
    features = [
        (
            bold(f.title),
            f.description,
            " × ".join(f"{n:,}" for n in getattr(f.values, "shape", (len(f),))),
            duration(f.seconds),
        )
        for f in (trial.features for trial in study.trials)
    ]
    times = []
    for name, title in study.models.items():
        found = [e for _, model, e in study.evaluations() if model == name]
        folds = [fold for evaluation in found for _, fold in evaluation.parts()]
        if not folds:
            continue
        n = sum(len(fold.indices) for fold in folds)
        per_sample = sum(fold.seconds_predict for fold in folds) / max(n, 1)
        times.append(
            (bold(title), duration(float(np.median([f.seconds_fit for f in folds]))), f"{duration(per_sample)}")
        )
    body = [
        paragraph(
            "What the models are given: one row of numbers for each sample. Features are made from structures or "
            "formulas alone; they know nothing of the target. Times are those of this run."
        ),
        table(("features", "what they are", "shape", "time"), features, numeric_from=2),
        table(("model", "time to fit, median", "to predict one sample"), times, numeric_from=1),
    ]
    return Section(id, "Features and models", join(body), folded=True)


def quality_section(study: Study, id: str, with_verdict: bool = True) -> Section:
    """Return the section on figures of merit; the verdict may stand elsewhere."""
    spec = METRICS[study.kind][study.metric]
    note = "; for information, not to pick one" if study.choice else ""
    body: list[Markup] = [
        paragraph(verdict(study), class_="verdict") if with_verdict else None,
        captioned(plots.comparison(study), f"{spec.title} of all models on all features, beside the baseline" + note),
        *_metrics_tables(study),
        _fold_table(study),
    ]
    return Section(id, "How good the models are", join(body))


def verdict(study: Study) -> str:
    """Return in words how good the best model is, compared with knowing nothing and with the next best."""
    name = study.metric
    spec, unit = METRICS[study.kind][name], study.target.unit
    unit = f" {unit}" if spec.in_unit and unit else ""
    trial, model = study.best()
    evaluation = study.chosen
    where, metric = judged(evaluation, name)
    figure = evaluation.cross_validation[name] if evaluation.folds else metric
    said = spec.description.partition(",")[0].partition(":")[0] if spec.in_unit else spec.title
    title = f"{trial.features.title} with {lower(study.models[model])}"
    if study.nested:
        text = f"Chosen within each training part, most often {title}"
    else:
        text = f"Best {where}: {title}" if study.choice is None else f"Chosen within the training part: {title}"
    if metric.value is None:
        return f"{text}. How good it is cannot be said: {metric}."
    text += f", with a {said} of {minus(str(figure))}{unit}" + ("" if study.choice is None else f" {where}")
    if study.split.method == "official" and evaluation.folds:
        text += f" (fold 1 alone: {minus(str(evaluation.folds[0].metrics[name]))})"
    base = judged(study.baseline, name)[1].value
    if base is not None:
        beaten = metric.value > base if spec.larger_is_better else metric.value < base
        text += f"; the baseline has {minus(format_number(base))}{unit}"
        if not beaten:
            text += ", which is no worse: nothing was learnt"
        elif not spec.larger_is_better and metric.value > 0:
            text += f", {base / metric.value:.1f} times as much"
    text += "."
    n_models = sum(len(t.evaluations) for t in study.trials)
    if evaluation.folds and evaluation.test is not None:
        judge = evaluation.test.metrics[name]
        picked = f" It was picked as the best of {n_models}, which flatters that figure a little; the"
        text += picked if n_models > 1 else " The"
        said = minus(str(judge)) + (unit if judge.value is not None else "")
        text += f" test part is the judge: there it is {said}."
    elif study.choice is not None:
        text += (
            f" The samples that judge had no part in the choice among {n_models}: features and model were "
            f"{study.choice.description}."
        )
    return text + _next_best(study, name)


def _next_best(study: Study, name: str) -> str:
    trial, model = study.best()
    best = trial.evaluations[model]
    if len(best.folds) < 2 or study.nested:  # that another one looks better there would be a choice on test folds
        return ""
    sign = -1.0 if METRICS[study.kind][name].larger_is_better else 1.0
    others = [
        (sign * found.mean.value, f"{t.features.title} with {lower(study.models[m])}")
        for t in study.trials
        for m, e in t.evaluations.items()
        if (t is not trial or m != model) and (found := e.cross_validation[name]).mean.value is not None
    ]
    mine = best.cross_validation[name]
    if not others or mine.mean.value is None or mine.std.value is None:
        return ""
    value, title = min(others)
    if value - sign * mine.mean.value < mine.std.value:
        return f" {title} is within the spread over folds of it: the difference between these two may be chance."
    return ""


def _metrics_tables(study: Study) -> Iterator[Html]:
    """Yield the figures of merit: folds and test beside each other where there is room, else below each other."""
    names = list(METRICS[study.kind])
    entries = [("", study.models["dummy"], study.baseline)]
    if study.nested:
        entries.append(("", CHOSEN_TITLE, study.chosen))
    entries += [
        ("" if k else trial.features.title, study.models[model], evaluation)
        for trial in study.trials
        for k, (model, evaluation) in enumerate(trial.evaluations.items())
    ]
    judged_row = next(row for row, (*_, evaluation) in enumerate(entries) if evaluation is study.chosen)
    folds = [[as_shown(study, e, name, e.cross_validation[name]) for *_, e in entries if e.folds] for name in names]
    tests = [[as_shown(study, e, name, e.test.metrics[name]) for *_, e in entries if e.test] for name in names]
    parts: dict[str, list[Any]] = {}
    if study.split.folds:
        parts["cross-validation"] = folds
    if len(study.split.test):
        parts["test part"] = tests
    titles = [METRICS[study.kind][name].title for name in names]
    groups = [list(parts)] if len(names) <= 4 else [[part] for part in parts]
    notes = Notes()
    for group in groups:
        columns = [(name, column) for part in group for name, column in zip(names, parts[part], strict=True)]
        best = [
            judged_row if study.choice else _best_row(column, METRICS[study.kind][name].larger_is_better)
            for name, column in columns
        ]
        rows = []
        for row, (features, model, _) in enumerate(entries):
            cells = [notes.cell(column[row], row == winner) for (_, column), winner in zip(columns, best, strict=True)]
            rows.append((features, bold(model) if study.choice and row == judged_row else model, *cells))
        spans = (("", 2), *((part, len(names)) for part in group))
        yield table(
            ("features", "model", *titles * len(group)),
            rows,
            numeric_from=2,
            spans=spans,
            caption=_unit_of_errors(study),
        )
    yield notes.html()
    said = []
    if "cross-validation" in parts:
        n = len(study.split.folds)
        n_train = len(study.split.train)
        said.append(f"Cross-validation: mean ± standard deviation over {n} folds of {n_train:,} samples.")
    if "test part" in parts:
        said.append(
            f"Test part: one figure for {len(study.split.test):,} samples set aside, predicted by a model fitted to "
            "the whole training part."
        )
    said.append(
        "In bold: what was chosen within the training samples, the figures to judge by. The rows of single models are "
        "for information only: to pick the best of them would be a choice on the samples that judge it."
        if study.choice
        else "The best figure of each column is in bold."
    )
    if "leaderboard_rocauc" in names:
        said.append(
            "ROC-AUC is the area under the ROC curve of the predicted probabilities. What leaderboards print as "
            "“rocauc” is something else: the area for predictions of 0 and 1, which equals the balanced accuracy; "
            "compare leaderboards with that column only."
        )
    yield paragraph(" ".join(said), class_="note")


def _fold_table(study: Study) -> Html | None:
    parts = study.chosen.parts()
    if len(parts) < 2:
        return None
    names = list(METRICS[study.kind])[:4]
    titles = {trial.features.key: trial.features.title for trial in study.trials}
    notes = Notes()
    shown = [part for k, part in enumerate(parts) if k < MAX_ROWS or part[0] == "test"]
    rows, chosen = [], []
    for part, fold in shown:
        row: list[Markup] = [
            tag("span", part, class_="part"),
            f"{len(fold.indices):,}",
            *(notes.cell(fold.metrics[name]) for name in names),
        ]
        if study.nested:
            row.append(f"{titles[fold.chosen['features']]}, {lower(study.models[fold.chosen['model']])}")
        rows.append(row)
        if words := _chosen(fold, study.nested):
            chosen.append((part, words))
    headers = ["part", "samples", *(METRICS[study.kind][name].title for name in names)]
    above = [*headers, *(["chosen for it"] if study.nested else [])]
    body = table(above, rows, numeric_from=1, numeric_until=len(headers), caption=_unit_of_errors(study))
    left = len(parts) - len(shown)
    more = paragraph(f"{left:,} more folds are in results.json.", class_="note") if left else None
    settings = join([paragraph("Settings that the model chose in each part:"), definitions(chosen)]) if chosen else None
    return folded(["Part by part ", tag("span", f"({best_title(study)})")], body, notes.html(), more, settings)


def _unit_of_errors(study: Study) -> str | None:
    return f"Errors in {study.target.unit}." if study.kind == "regression" and study.target.unit else None


def _hyperparameters(fold: Fold, nested: bool) -> dict[str, Any]:
    return {key: value for key, value in fold.chosen.items() if not nested or key not in ("features", "model")}


def _chosen(fold: Fold, nested: bool) -> str:
    own = _hyperparameters(fold, nested)
    return ", ".join(f"{key.rpartition('__')[2].replace('_', ' ')} = {_short(value)}" for key, value in own.items())


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float | np.floating) else str(value)


def _best_row(column: Sequence[Spread | Metric], largest: bool) -> int:
    values = [item.mean.value if isinstance(item, Spread) else item.value for item in column]
    scores = [-np.inf if v is None else v if largest else -v for v in values]
    return int(np.argmax(scores)) if max(scores) > -np.inf else -1
