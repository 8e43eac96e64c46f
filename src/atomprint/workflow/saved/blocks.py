"""Rows that a model predicts together, and all of them as predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from atomprint.datasets.failures import Failure
from atomprint.workflow.saved.assess import Assessment
from atomprint.workflow.saved.card import Card
from atomprint.workflow.saved.domain import Domain
from atomprint.workflow.saved.inputs import Inputs
from atomprint.workflow.saved.predictions import FloatArray, Indices, Predictions


class Block(NamedTuple):
    """Rows that were predicted together, or the one of a structure that could not be."""

    structures: Indices
    atoms: Indices | None
    values: FloatArray
    probabilities: FloatArray | None
    assessment: Assessment
    failure: str
    half: FloatArray | None = None  # of the width of each interval


def failed(structure: int, reason: str, n_classes: int) -> Block:
    """Return the row of a structure that could not be predicted."""
    nan = np.full(1, np.nan)
    no = np.zeros(1, dtype=bool)
    assessment = Assessment(no, nan, [(f"not predicted: {reason}",)], no)
    return Block(np.array([structure]), None, nan, None, assessment, reason)


def gathered(blocks: Sequence[Block], inputs: Inputs, card: Card, domain: Domain) -> Predictions:
    """Join rows that were predicted together to all predictions, cut off at what the target cannot be less than."""
    interval = card.interval
    structures = np.concatenate([block.structures for block in blocks])
    values = np.concatenate([block.values for block in blocks])
    lowest = -np.inf if card.at_least is None else card.at_least
    clipped = bool((values < lowest).any())
    values = np.maximum(values, lowest)
    names = [inputs.ids[s] for s in structures]
    atoms = None
    if card.level == "atom":
        none = [np.full(len(block.values), -1) if block.atoms is None else block.atoms for block in blocks]
        atoms = np.concatenate(none)
        names = [name if atom < 0 else f"{name}/{atom}" for name, atom in zip(names, atoms, strict=True)]
    probabilities = sets = lower = upper = None
    known = [block.probabilities for block in blocks if not block.failure]
    if card.classes and (not known or known[0] is not None):
        probabilities = np.concatenate(
            [
                np.full((len(block.values), len(card.classes)), np.nan)
                if block.probabilities is None
                else block.probabilities
                for block in blocks
            ]
        )
    if interval is not None and interval.half_width is not None and not card.classes:
        same = interval.half_width
        half = np.concatenate(
            [np.full(len(block.values), same) if block.half is None else block.half for block in blocks]
        )
        if interval.of_logs:
            lower, upper = values / np.exp(half), values * np.exp(half)
        else:
            lower, upper = np.maximum(values - half, lowest), values + half
        clipped = clipped or bool((lower == lowest).any())
    if interval is not None and probabilities is not None:
        least = np.array([interval.thresholds.get(name, -np.inf) for name in card.classes])
        sets = (probabilities >= least) & np.isfinite(values)[:, None]
    with_interval = lower is not None or sets is not None
    return Predictions(
        target=card.target,
        title=card.title,
        unit=card.unit,
        classes=card.classes,
        ids=tuple(names),
        structures=structures,
        atoms=atoms,
        values=values,
        lower=lower,
        upper=upper,
        level=interval.level if interval is not None and with_interval else None,
        probabilities=probabilities,
        sets=sets,
        in_domain=np.concatenate([block.assessment.in_domain for block in blocks]),
        distance=np.concatenate([block.assessment.distance for block in blocks]),
        doubt=None
        if domain.detector is None
        else np.concatenate(
            [
                np.full(len(block.values), np.nan) if block.assessment.doubt is None else block.assessment.doubt
                for block in blocks
            ]
        ),
        warnings=tuple(sentences for block in blocks for sentences in block.assessment.warnings),
        in_training=None if domain.seen is None else np.concatenate([block.assessment.in_training for block in blocks]),
        at_least=lowest if clipped else None,
        failures=tuple(
            Failure(int(block.structures[0]), inputs.ids[int(block.structures[0])], "features", block.failure)
            for block in blocks
            if block.failure
        ),
    )
