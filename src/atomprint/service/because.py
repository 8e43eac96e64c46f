"""Which features decided a prediction: what it were if a group of them were as is usual in the training set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from atomprint.learn.evaluation.feature_groups import Groups, feature_groups
from atomprint.learn.task.features import meanings_of
from atomprint.service.work import Ticket
from atomprint.workflow.saved.distances import dense_rows
from atomprint.workflow.saved.model import TrainedModel
from atomprint.workflow.saved.pipeline import first_table

_WHERE_FROM = ("descriptors", "pooling", "statistics", "elements of centres", "channels of centres")
_MOST_WAYS = 3
_MOST_GROUPS = 200  # of one way
_MOST_SHOWN = 8
_MOST_NUMBERS = 2**22  # in memory at once

METHOD = (
    "The prediction minus what the model says if all features of a group have their mean over the training set. Groups "
    "overlap and features act together: the effects do not add up to the prediction."
)


def groups_of(model: TrainedModel) -> dict[str, Groups]:
    """Return groups of the features of a model that a chemist can read, for up to three ways to group them.

    Empty for a model of atoms, one that compares structures by a kernel, and one that does not know what its features
    are in training.
    """
    space = model.domain.space
    if space is None or model.card.level == "atom" or not model.feature_names:
        return {}
    found = feature_groups(meanings_of(model.pipeline[: model.n_steps]))
    ways = [way for way, groups in found.items() if way not in _WHERE_FROM and 1 < len(groups) <= _MOST_GROUPS]
    return {way: found[way] for way in ways[:_MOST_WAYS]}


def because(model: TrainedModel, ways: Mapping[str, Groups], item: Any, ticket: Ticket) -> dict[str, Any] | None:
    """Return what groups of features do to the prediction for a structure or composition; None if that is unknown."""
    if not ways or model.domain.space is None:
        return None
    x = dense_rows(first_table(model.pipeline, [item]).values)[0]
    usual = np.asarray(model.domain.space.center)
    columns = [own for groups in ways.values() for own in groups.values()]
    effects = _effects(model, x, usual, columns, ticket)
    listed, start = [], 0
    for way, groups in ways.items():
        own = effects[start : start + len(groups)]
        start += len(groups)
        listed.append({"of": way, "groups": _largest(groups, own, x)})
    unit = model.card.unit if not model.card.classes else "probability of the predicted class"
    return {"method": METHOD, "unit": unit, "ways": listed}


def _largest(groups: Groups, effects: npt.NDArray[np.float64], x: Any) -> list[Mapping[str, Any]]:
    order = np.argsort(-np.abs(effects), kind="stable")[:_MOST_SHOWN]
    labels = list(groups)
    return [
        {
            "group": labels[k],
            "n_features": len(groups[labels[k]]),
            "effect": float(effects[k]),
            "absent": not x[groups[labels[k]]].any(),
        }
        for k in order.tolist()
        if effects[k] != 0
    ]


def _effects(model: TrainedModel, x: Any, usual: Any, columns: list[Any], ticket: Ticket) -> npt.NDArray[np.float64]:
    """Return the prediction minus what it is with these columns as usual, for each choice of columns."""
    rest = model.pipeline[model.n_steps :]
    step = max(1, _MOST_NUMBERS // max(len(x), 1))
    whole = _say(rest, x[None], model, None)
    which = 0
    if model.card.classes:  # the predicted one, which need not be the most probable
        which = rest.classes_.tolist().index(rest.predict(x[None])[0])
    found = []
    for start in range(0, len(columns), step):
        ticket.check()
        some = columns[start : start + step]
        rows = np.repeat(x[None], len(some), axis=0)
        for row, own in zip(rows, some, strict=True):
            row[own] = usual[own]
        found.append(whole[0, which] - _say(rest, rows, model, which)[:, 0])
    effects: npt.NDArray[np.float64] = np.concatenate(found)
    return np.where(np.isfinite(effects), effects, 0.0)


def _say(rest: Any, rows: Any, model: TrainedModel, which: int | None) -> npt.NDArray[np.float64]:
    """Return predicted numbers in a column, or probabilities of classes: of all, or of one."""
    if not model.card.classes:
        return np.asarray(rest.predict(rows), dtype=np.float64).reshape(len(rows), -1)[:, :1]
    if hasattr(rest, "predict_proba"):
        found = np.asarray(rest.predict_proba(rows), dtype=np.float64)
    else:
        labels = np.asarray(rest.classes_)
        found = (np.asarray(rest.predict(rows))[:, None] == labels[None]).astype(np.float64)
    return found if which is None else found[:, [which]]
