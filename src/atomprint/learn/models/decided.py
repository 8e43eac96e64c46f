"""How a model decides between classes, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from atomprint.learn.models.anatomy import decision
from atomprint.learn.task.metrics import METRICS, format_number
from atomprint.util.estimators import layers
from atomprint.util.types import Estimator


def decision_in_words(model: Estimator, classes: Sequence[str], chosen: Sequence[Mapping[str, Any]] = ()) -> str:
    """Return how a fitted model decides between classes; empty if it takes the most probable one.

    Parameters
    ----------
    model : estimator
        The fitted model.
    classes : sequence of str
        Names of the classes.
    chosen : sequence of mapping
        What models of the same kind have chosen in parts that were tested, see
        :func:`~atomprint.learn.models.anatomy.chosen_parameters`.
    """
    own = decision(model, classes)
    if not own:
        return ""
    given: Any = next(layer.threshold for layer in layers(model) if getattr(layer, "threshold", None) is not None)
    how = "as was asked for"
    if isinstance(given, str):
        title = METRICS["classification"][given].title
        how = f"chosen within the training part for the largest {title}"
    told = ", ".join(f"{name.partition(' of ')[2]} {value:.3g}" for name, value in own.items())
    text = (
        f"{classes[-1]!r} is predicted where its probability exceeds {own['threshold']:.3g}, {how}"
        if len(own) == 1
        else f"The class with the largest probability in units of its threshold is predicted ({told}), {how}"
    )
    found = [float(one["threshold"]) for one in chosen if "threshold" in one]
    if len(own) == 1 and isinstance(given, str) and len(found) > 1:
        low, high = format_number(min(found)), format_number(max(found))
        text += f"; {low} to {high} in the parts that were tested" if low != high else ""
    return f"{text}. Probabilities are what they were."
