"""What a person wants to know of a trained model, in ten lines."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sklearn.pipeline import Pipeline

from atomprint.learn.estimators.ensemble_base import Ensemble
from atomprint.learn.models.decided import decision_in_words
from atomprint.learn.task.metrics import METRICS, Metric, Spread
from atomprint.util.estimators import unwrap
from atomprint.util.text import counted
from atomprint.workflow.saved.card import Card


def in_short(
    card: Card, pipeline: Pipeline, feature_names: Sequence[str], found: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Yield heads and texts of the lines.

    Parameters
    ----------
    card, pipeline, feature_names
        Of the model.
    found : mapping
        What its ``info`` says.
    """
    training, domain = card.training, found["domain"]
    unit = f" {card.unit}" if card.unit else ""
    what = (
        f"one of {_listed(card.classes, 4)}" if card.classes else f"a number{f' in {card.unit}' if card.unit else ''}"
    )
    each = "atom of a structure" if card.level == "atom" else found["inputs"].removesuffix("s")
    _, final = unwrap(pipeline)
    parts = list(dict.fromkeys(name.partition("__")[0] for name in feature_names if "__" in name))
    decided = decision_in_words(pipeline, card.classes)
    yield "predicts", f"{card.title}: {what}, for each {each}" + (f". {decided}" if decided else "")
    yield "model", final.in_words() if isinstance(final, Ensemble) else type(final).__name__
    yield "features", f"{found['n_features']:,}: {_listed(parts, 6) if parts else type(pipeline[0]).__name__}"
    if training.target_range is not None:
        low, high = training.target_range
        values = f", from {low:.4g} to {high:.4g}{unit}"
    else:
        values = f": {', '.join(f'{name} ({n:,})' for name, n in list(training.counts.items())[:4])}"
    samples = "atoms" if card.level == "atom" else found["inputs"]
    yield "trained on", f"{training.n_samples:,} {samples} of {training.title}{values}"
    sizes = "" if domain["n_atoms"] is None else f"; {_span(*domain['n_atoms'])}"
    yield "elements", f"{len(domain['elements'])}: {_listed(domain['elements'], 12)}{sizes}"
    yield (
        "score" if METRICS[card.kind][card.metric].larger_is_better else "error",
        "; ".join(_metrics(card)) or "not measured",
    )
    yield "interval", _interval(card, unit)
    rest = f" (and {len(card.notes) - 1} more: --json)" if len(card.notes) > 1 else ""
    yield "caveats", (textwrap.shorten(card.notes[0], 90, placeholder=" …") + rest) if card.notes else "none noted"
    versions = found["versions"]
    made = ", ".join(f"{name} {versions[name]}" for name in ("atomprint", "scikit-learn") if name in versions)
    yield "made", f"{card.created or 'at an unknown time'}, {made}, seed {card.seed}"


def _span(low: int, high: int) -> str:
    return counted(low, "atom") if low == high else f"{low} to {high} atoms"


def _metrics(card: Card) -> Iterator[str]:
    """Yield the figure of merit that was asked for, in cross-validation and on the test part."""
    name = card.metric
    spec = METRICS[card.kind][name]
    unit = f" {card.unit}" if spec.in_unit and card.unit else ""
    folds, test = (card.metrics.get(key, {}).get(name) for key in ("cross_validation", "test"))
    if isinstance(folds, Mapping) and isinstance(folds.get("mean"), int | float):
        std = folds.get("std")
        spread = Spread(Metric(folds["mean"]), Metric(std if isinstance(std, int | float) else None), 0)
        yield f"{spec.title} {spread}{unit} in cross-validation"
    if isinstance(test, int | float):
        yield f"{spec.title} {Metric(test)}{unit} on the test part"


def _interval(card: Card, unit: str) -> str:
    interval = card.interval
    if interval is None:
        return "none"
    held = "" if interval.coverage is None else f", which held {100 * interval.coverage:.0f} % of samples set aside"
    if interval.half_width is None:
        return f"sets of classes for {100 * interval.level:g} %{held}"
    end = "" if card.limit is None else f", not below {card.limit.value:g}: {card.limit.why}"
    if interval.of_logs:
        low, high = (math.exp(half) for half in interval.half_widths or (interval.half_width,) * 2)
        width = f"a factor of {low:.3g}" + (f" to {high:.3g}, by how difficult a sample is," if high > low else "")
        return f"{width} to both sides for {100 * interval.level:g} %{held}"
    width = f"± {interval.half_width:.3g}{unit}"
    if interval.half_widths is not None:
        low, high = interval.half_widths
        width = f"± {low:.3g} to {high:.3g}{unit}, by how difficult a sample is, {interval.half_width:.3g} on average,"
    return f"{width} for {100 * interval.level:g} %{held}{end}"


def _listed(names: Sequence[str], most: int) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
