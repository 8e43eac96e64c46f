"""Sections on whether more data would help, and how far a prediction can be trusted."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from atomprint.learn.evaluation.intervals import Uncertainty
from atomprint.learn.study.study import Study
from atomprint.learn.task.metrics import METRICS, format_number
from atomprint.learn.task.problem import lower
from atomprint.report import plots
from atomprint.report.html import (
    Html,
    Markup,
    Section,
    bold,
    captioned,
    folded,
    join,
    minus,
    paragraph,
    sentence,
    side_by_side,
    table,
)
from atomprint.report.naming import MAX_ROWS, Notes, colour_of, judged
from atomprint.util.text import with_unit

_MAX_POINTS = 12  # groups in a panel


def curve_section(study: Study, id: str) -> Section | None:
    """Return the section on whether more data would help."""
    curve = study.learning_curve
    if curve is None:
        return None
    base = judged(study.baseline, curve.metric)[1].value
    spec = METRICS[study.kind][curve.metric]
    undefined = sorted({s.mean.reason for s in curve.test if s.mean.value is None})
    title = next((t.features.title for t in study.trials if t.features.key == curve.features), curve.features)
    body: list[Markup] = [paragraph(_trend(study))]
    if any(s.mean.value is not None for s in curve.test):
        body.append(
            captioned(
                plots.learning_curve(curve, study.kind, study.target.unit, colour_of(study, curve.model), base),
                f"{spec.title} against the number of training samples",
                bold(f"{title}, {lower(study.models.get(curve.model, curve.model))}"),
                f". {sentence(curve.description)}",
            )
        )
    body += [paragraph(reason, class_="note") for reason in undefined]
    return Section(id, "Learning curve", join(body))


def _trend(study: Study) -> str:
    """Return in words what the last step of the learning curve brought."""
    curve = study.learning_curve
    assert curve is not None
    spec = METRICS[study.kind][curve.metric]
    known = [(n, s) for n, s in zip(curve.sizes, curve.test, strict=True) if s.mean.value is not None]
    if len(known) < 2:
        return "There are too few points to see whether more data would help."
    (n_before, before), (n_last, last) = known[-2:]
    assert before.mean.value is not None
    assert last.mean.value is not None
    gain = before.mean.value - last.mean.value
    gain = -gain if spec.larger_is_better else gain
    noise = (last.std.value or 0.0) / np.sqrt(max(last.n, 1))
    unit = f" {study.target.unit}" if spec.in_unit and study.target.unit else ""
    text = (
        f"From {n_before:,} to {n_last:,} training samples the {spec.title} on held-out samples goes from "
        f"{minus(format_number(before.mean.value))} to {minus(format_number(last.mean.value))}{unit}: "
    )
    return text + (
        "more data of this kind would probably help."
        if gain > max(noise, 0.02 * abs(before.mean.value))
        else "that is within what chance does; more data of this kind may help little."
    )


def uncertainty_section(study: Study, id: str) -> Section | None:
    """Return the section on how far a prediction can be trusted."""
    found = study.uncertainty
    if found is None:
        return None
    target = study.target
    unit = f" {target.unit}" if target.unit else ""
    rows: list[tuple[Markup, Markup, Markup]] = []
    notes = Notes()
    kinds = [("by difficulty" if found.widths is not None else "as the model's errors suggest", found)]
    if found.constant is not None:
        kinds.append(("all equally wide", found.constant))
    if found.normalised is not None:
        kinds.append(("scaled by the model's own uncertainty", found.normalised))
    for words, item in kinds:
        rows.append((words, notes.cell(item.coverage), notes.cell(item.mean_width)))
    sets = study.kind == "classification"
    width = "mean number of classes in the set" if sets else with_unit("mean width", target.unit)
    things = "sets of classes" if sets else "intervals"
    body: list[Markup] = [
        paragraph(f"{sentence(found.method)} {sentence(found.assumptions)}"),
        table((things, f"share that holds the truth (promised: {found.level:g})", width), rows, numeric_from=1),
        notes.html(),
    ]
    if not sets and found.half_width.value is not None:
        half = format_number(found.half_width.value)
        if found.of_logs:
            least, most = (float(np.exp(end)) for end in found.half_widths or (found.half_width.value,) * 2)
            half = f"a factor of {format_number(least)}"
            half += f" to {format_number(most)} (nine of ten samples)" if most > least else ""
        elif found.half_widths is not None:
            low, high = (format_number(end, like=found.half_width.value) for end in found.half_widths)
            half = f"{low} to {high}{unit} (nine of ten samples; {half} on average)"
        else:
            half = f"{half}{unit}"
        words = f"with {half} to both sides" if found.of_logs else f"as ± {half}"
        body.append(
            paragraph(
                f"A new prediction, by the model fitted to the whole training part, is given {words} at the level "
                f"{found.level:g}."
            )
        )
    if study.problem.limit is not None:
        limit = study.problem.limit
        body.append(paragraph(f"Predictions and intervals end at {limit.value:g}{unit}: {limit.why}.", class_="note"))
    if found.why_constant:
        body.append(paragraph(f"All intervals are equally wide: {found.why_constant}.", class_="note"))
    if found.coverage_by_class:
        by_class = [(name, notes.cell(metric)) for name, metric in found.coverage_by_class.items()][:MAX_ROWS]
        body.append(table(("class", "share of its samples with the class in the set"), by_class, numeric_from=1))
    body += _by_group(study)
    pictures = [picture for words, item in kinds for picture in _calibration(study, words, item)]
    body.append(side_by_side(*pictures) if pictures else None)
    return Section(id, "How far to trust a prediction", join(body))


def _by_group(study: Study) -> Iterator[Html]:
    """Yield what intervals hold in each group of samples, and which groups fall short."""
    found = study.coverage
    if found is None or not found.tables:
        return
    yield paragraph(bold(found.sentence()) if found.short() else found.sentence())
    shown = {kind: rows for kind, rows in found.tables.items() if kind != "element" and 2 <= len(rows) <= _MAX_POINTS}
    both = any(row.constant is not None for rows in shown.values() for row in rows)
    if shown:
        yield captioned(
            plots.coverage(shown, colour_of(study, study.best()[1]), found.level, found.least),
            "Share of true values inside, for groups of samples",
            f"Groups of 50 or more samples; the dashed line is what is promised on average ({found.level:g}), a group "
            "in the grey falls short." + (" Hollow: intervals of one width." if both else ""),
            large=True,
        )
    width = "mean number of classes" if study.kind == "classification" else with_unit("mean width", study.target.unit)
    headers = ["group", "samples", "share inside", width]
    for kind, rows in found.tables.items():
        one = rows[0].constant is not None
        cells = [
            (
                bold(row.label) if row.coverage < found.least else row.label,
                f"{row.n:,}",
                f"{row.coverage:.2f}",
                format_number(row.mean_width),
                *([f"{row.constant:.2f}"] if one else []),
            )
            for row in rows
        ]
        yield folded(
            f"By {kind} ({len(rows)} groups)",
            table([*headers, *(["share inside, one width"] if one else [])], cells, numeric_from=1),
        )


def _calibration(study: Study, words: str, item: Uncertainty) -> Iterator[Html]:
    colour = colour_of(study, study.best()[1])
    curve = item.calibration
    if curve is not None and curve.kind == "reliability":
        two = len(study.target.classes) == 2
        label = f"predicted probability of {study.target.classes[1]}" if two else "probability of the predicted class"
        figure = plots.reliability(curve.nominal, curve.observed, curve.counts, colour, label)
        yield captioned(
            figure,
            "Reliability diagram",
            "On the diagonal probabilities mean what they say; larger points stand for more samples.",
        )
    elif curve is not None:
        figure = plots.calibration(curve.nominal.tolist(), curve.observed.tolist(), colour, item.level)
        yield captioned(
            figure,
            f"Calibration of the intervals, {words}",
            f"Intervals {words}: on the diagonal they hold as many true values as they promise ({item.checked_on}).",
        )
    if item.lower is not None and item.upper is not None:
        lower, upper, truth = item.lower, item.upper, study.problem.y[item.indices]
        if item.of_logs:  # intervals by a factor
            lower, upper, truth = np.log(lower), np.log(upper), np.log(truth)
        half = (upper - lower) / 2
        chosen = np.isfinite(half) & ((item.parts == "test") == (item.checked_on == "test part"))
        if chosen.any() and np.ptp(half[chosen]) > 1e-6 * float(half[chosen].max()) and words.startswith("scaled"):
            half, error = half[chosen], np.abs((upper + lower) / 2 - truth)[chosen]
            if item.of_logs:
                half, error = np.exp(half), np.exp(error)
            figure = plots.widths(half, error, study.target.unit, colour, factors=item.of_logs)
            yield captioned(
                figure,
                "Absolute errors against half-widths of the intervals",
                "Below the diagonal an error is within its interval: larger errors should come with wider ones.",
            )
