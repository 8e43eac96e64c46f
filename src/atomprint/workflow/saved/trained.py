"""What is known of the samples that a model was trained with: their features, and the doubts about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.pipeline import Pipeline

from atomprint.learn.models.doubt import Signs, predict_with_doubt
from atomprint.learn.task.problem import Problem
from atomprint.ragged import owners
from atomprint.structures import Batch
from atomprint.workflow.saved.pipeline import first_table
from atomprint.workflow.saved.predictions import Indices

if TYPE_CHECKING:
    from atomprint.learn.evaluation.evaluate import OutOfFold


def pick(items: Any, rows: Indices) -> Any:
    """Return some structures or compositions."""
    return items.pick(np.asarray(rows, dtype=np.int64)) if isinstance(items, Batch) else [items[int(i)] for i in rows]


def signs_of(held_out: OutOfFold, model: Any, one: Any, samples: Indices) -> Signs:
    """Return what was in doubt about samples when they were held out, nan elsewhere, as far as the model tells it."""
    found = {}
    for name in predict_with_doubt(model, one).signs if held_out.signs else ():
        if name in held_out.signs:
            last = max(samples.max(), held_out.indices.max()) + 1
            counts = np.bincount(held_out.indices, minlength=last)[samples]
            totals = np.bincount(held_out.indices, held_out.signs[name], minlength=last)[samples]
            found[name] = np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)
    return found


def training_table(pipeline: Pipeline, problem: Problem, items: Any, samples: Indices) -> tuple[Any, int]:
    """Return the features of training samples, and after how many steps they are there."""
    structures, of_sample = np.unique(problem.structures[samples], return_inverse=True)
    table, local, n_steps = first_table(pipeline, pick(items, structures))
    if problem.atoms is None:
        return table[of_sample], n_steps
    if local is None or local.atoms is None:
        raise TypeError("pipeline: a model of atoms must begin with a descriptor that gives LocalFeatures")
    centre = {
        (int(s), int(atom)): row for row, (s, atom) in enumerate(zip(owners(local.offsets), local.atoms, strict=True))
    }
    try:
        rows = [centre[int(s), int(atom)] for s, atom in zip(of_sample, problem.atoms[samples], strict=True)]
    except KeyError as error:
        raise ValueError(f"pipeline: atom {error.args[0][1]} of a training structure is not a centre") from error
    return table[rows], n_steps
