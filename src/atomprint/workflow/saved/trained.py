"""What is known of the samples that a model was trained with: their features, and the doubts about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.pipeline import Pipeline

from atomprint.learn.estimators.difficulty import Coordinates, Difficulty, Known
from atomprint.learn.estimators.expected import Expected
from atomprint.learn.models.doubt import CLASSES, Signs, predict_with_doubt
from atomprint.learn.task.problem import Problem
from atomprint.ragged import owners
from atomprint.structures import Batch
from atomprint.util.types import FloatArray, Indices
from atomprint.workflow.saved.detector import ERRORS
from atomprint.workflow.saved.pipeline import first_table

if TYPE_CHECKING:
    from atomprint.learn.evaluation.evaluate import OutOfFold

_FEWEST = 40  # errors, of which something is learnt
_MOST_FOLDS = 5  # more are taken together


def pick(items: Any, rows: Indices) -> Any:
    """Return some structures or compositions."""
    return items.pick(np.asarray(rows, dtype=np.int64)) if isinstance(items, Batch) else [items[int(i)] for i in rows]


class Held(NamedTuple):
    """What models said of training samples that they had not seen; nan where nothing is known.

    Parameters
    ----------
    signs : dict of str to ndarray of float64, shape (n,)
        What they were in doubt about; of models that tell nothing of that, under ``ERRORS`` the errors that those of
        other samples lead to expect.
    errors : ndarray of float64, shape (n,)
        Absolute errors; for classes 1 where another one was predicted.
    experience : Expected or None
        What the expected errors of new samples are told by; None for models with doubts of their own, or if there are
        too few errors.
    groups : ndarray of int, shape (n,), or None
        Which samples no fold has parted, if new samples are of other groups.
    """

    signs: Signs
    errors: FloatArray
    experience: Expected | None
    groups: Indices | None = None

    def together(self, rows: Indices, otherwise: Indices, least: int) -> Indices:
        """Return which of some samples are left out together: groups, unless these are fewer than the least."""
        own = otherwise if self.groups is None else self.groups[rows]
        return own if len(np.unique(own)) >= least else otherwise


def held_of(
    held_out: OutOfFold,
    model: Any,
    table: Any,
    problem: Problem,
    samples: Indices,
    groups: Indices | None = None,
) -> Held:
    """Return what is known of some samples by predictions out of folds.

    Parameters
    ----------
    held_out : OutOfFold
        The predictions.
    model : Pipeline
        The model that was fitted to all samples: signs of doubt that it does not tell are left out.
    table : array or sparse array of shape (n, n_features)
        What it is given for the samples, or the kernel.
    problem : Problem
        The problem.
    samples : ndarray of int, shape (n,)
        The samples.
    groups : ndarray of int, shape (n_all,), optional
        The group of each sample of the problem, if folds keep groups together.
    """
    from atomprint.learn.evaluation.scaled import elements_of  # which predictions do without

    place = np.full(len(problem), -1)
    place[samples] = np.arange(len(samples))
    mine = place[held_out.indices] >= 0
    indices, rows, guess = held_out.indices[mine], place[held_out.indices[mine]], held_out.y_pred[mine]
    truth = problem.y[indices]
    signs = {name: sign[mine] for name, sign in held_out.signs.items()} if held_out.signs else {}
    if problem.kind == "classification":
        right = guess == truth
        truth, places = right.astype(np.float64), guess.astype(np.intp)
        guess = np.ones(len(right))
        if held_out.probabilities is not None:
            guess = held_out.probabilities[mine][np.arange(len(right)), places]
            signs = {CLASSES: 1 - guess}
        errors = 1 - truth
    else:
        told = predict_with_doubt(model, table[:1]).signs if signs else {}
        signs = {name: sign for name, sign in signs.items() if name in told}
        errors = np.abs(guess - truth)
    folds = held_out.folds[mine] % _MOST_FOLDS
    experience = None
    if not signs and len(indices) >= _FEWEST and errors.any() and len(np.unique(folds)) > 1:
        coordinates = Coordinates.fit(table)
        none = np.empty((len(indices), 0))
        known = Known(coordinates.transform(table)[rows], guess, elements_of(problem, indices), none)
        found = Difficulty.fit(known, errors, truth, folds, indices)
        experience, signs[ERRORS] = Expected(coordinates, found.difficulty), found.difficulties
    counts = np.bincount(rows, minlength=len(samples))

    def of_samples(values: FloatArray) -> FloatArray:
        totals = np.bincount(rows, values, minlength=len(samples))
        return np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)

    return Held(
        {name: of_samples(sign) for name, sign in signs.items()},
        of_samples(errors),
        experience,
        None if groups is None else groups[samples],
    )


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
