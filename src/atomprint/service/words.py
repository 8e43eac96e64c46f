"""A prediction, its interval and its domain, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def prediction_in_words(row: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """Return what a model says of a structure, and how sure that is.

    Parameters
    ----------
    row : mapping
        One row of :meth:`~atomprint.workflow.Predictions.to_dict`.
    about : mapping
        The whole of it.
    """
    value, unit, level = row["value"], f" {about['unit']}" if about["unit"] else "", about["level"]
    what = about["title"]
    if value is None:
        return f"{what}: not predicted."
    if about["classes"]:
        p = (row.get("probabilities") or {}).get(value)
        sure = "" if p is None else f", with a probability of {100 * p:.0f} %"
        some = row.get("set")
        if not some or level is None:
            return f"{what}: {value}{sure}."
        return f"{what}: {value}{sure}. For {100 * level:g} % of new samples the truth is among: {', '.join(some)}."
    if "lower" not in row or level is None:
        return f"{what}: {value:.4g}{unit}; how sure this is, the model does not know."
    return (
        f"{what}: {value:.4g}{unit}, between {row['lower']:.4g} and {row['upper']:.4g}{unit}: such an interval is to "
        f"hold the truth for {100 * level:g} % of new samples like those of the training."
    )


def domain_in_words(row: Mapping[str, Any]) -> str:
    """Return how far a prediction is to be trusted, from one row of :meth:`~atomprint.workflow.Predictions.to_dict`."""
    said = "; ".join(row["warnings"])
    if row["value"] is None:
        return f"{said[:1].upper()}{said[1:]}." if said else "Not predicted."
    if row.get("in_training"):
        return (
            "The model was fitted to this very sample and tells what it remembers: how good it is on new ones cannot "
            "be seen here."
        )
    if row["in_domain"]:
        return (
            f"Like what the model was trained with, but: {said}." if said else "Like what the model was trained with."
        )
    return f"Unlike what the model was trained with, or hard for it, so not to be relied on: {said}."
