"""Features that are learnt from targets: made anew for each training part, from its targets alone."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone

from atomprint.chemistry.elements import ElementEmbedding
from atomprint.descriptors import LearnedEmbedding
from atomprint.learn.task.problem import Problem
from atomprint.util.types import Array, Indices
from atomprint.workflow.recipes.features import FeatureSet, joined_parts

_MOST_BYTES = 10**9  # of the tables of training parts that are kept, should they be asked for again


def learns(transformer: BaseEstimator) -> bool:
    """Return whether a transformer has channels of the elements that are learnt from targets."""
    return bool(_embeddings(transformer))


def without_learning(transformer: BaseEstimator) -> BaseEstimator:
    """Return a transformer that takes and refuses the same structures, and needs no targets."""
    return clone(transformer).set_params(**dict.fromkeys(_embeddings(transformer), ElementEmbedding(1)))


def check_learnable(given: FeatureSet, problem: Problem) -> None:
    """Raise if features are to be learnt from a target that channels of the elements cannot be learnt from."""
    if not learns(given.transformer):
        return
    where = f"features.{given.key}: a LearnedEmbedding"
    if given.pairwise:
        raise ValueError(f"{where} is for features, not for kernels between structures")
    if problem.atoms is not None:
        raise ValueError(f"{where} learns from compositions: the target must be one of structures, not of atoms")
    if len(problem.target.classes) > 2:
        raise ValueError(f"{where} learns from numbers or two classes, got {len(problem.target.classes)} classes")


class LearntColumns:
    """Columns of a table of features that are learnt from targets; the others are the same for all training parts.

    Parameters
    ----------
    transformer : transformer
        What makes the table; not fitted.
    inputs : sequence of structures
        Those of all samples, in their order.
    y : ndarray of float, shape (n_samples,)
        Targets.

    Attributes
    ----------
    transformer : transformer
        With what it learns from all samples.
    table : array of shape (n_samples, n_features)
        What this makes.
    columns : ndarray of int
        Which columns of the table are learnt.
    """

    def __init__(self, transformer: BaseEstimator, inputs: Any, y: Array) -> None:
        self._unfitted, self._inputs, self._y = transformer, inputs, np.asarray(y, dtype=np.float64)
        self._kept: OrderedDict[bytes, Array] = OrderedDict()
        self._lock = Lock()
        everything = np.arange(len(self._y))
        self.transformer = self._learning(transformer, everything)
        self.table = self.transformer.fit_transform(inputs)
        if not isinstance(self.table, np.ndarray):
            raise ValueError("a LearnedEmbedding makes dense features: sparse must be False where one is joined")
        columns, start = [], 0
        for part in (joined_parts(self.transformer) or {"": self.transformer}).values():
            stop = start + len(part.get_feature_names_out())
            if learns(part):
                columns.append(np.arange(start, stop))
            start = stop
        self.columns: Indices = np.concatenate(columns)
        self._kept[everything.tobytes()] = self.table[:, self.columns]

    def values(self, samples: Indices) -> Array:
        """Return these columns for all samples, learnt from the targets of some; shape (n_samples, n_columns)."""
        samples = np.sort(samples)
        key = samples.tobytes()
        with self._lock:
            if key not in self._kept:
                self._kept[key] = self._computed(samples)
                while len(self._kept) > 1 and sum(table.nbytes for table in self._kept.values()) > _MOST_BYTES:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]

    def fitted(self, samples: Indices) -> BaseEstimator:
        """Return the transformer of models that are fitted to some samples: with what it learns from their targets."""
        return self._learning(self._unfitted, np.sort(samples)).fit(self._inputs)

    def _computed(self, samples: Indices) -> Array:
        """Return the columns; joined features that learn nothing are not made again."""
        parts = joined_parts(self._unfitted) or {"": self._unfitted}
        weights = getattr(self._unfitted, "transformer_weights", None) or {}
        tables = [
            self._learning(part, samples).fit_transform(self._inputs) * weights.get(name, 1.0)
            for name, part in parts.items()
            if learns(part)
        ]
        return np.concatenate(tables, axis=1)

    def _learning(self, transformer: BaseEstimator, samples: Indices) -> BaseEstimator:
        """Return a transformer that learns nothing more than what its embeddings learnt from some samples."""
        some = [self._inputs[i] for i in samples]
        fitted = {name: clone(found).fit(some, self._y[samples]) for name, found in _embeddings(transformer).items()}
        return clone(transformer).set_params(**fitted)


def _embeddings(transformer: BaseEstimator) -> dict[str, LearnedEmbedding]:
    """Return embeddings that are learnt, by the names of the parameters that they are."""
    return {name: value for name, value in transformer.get_params().items() if isinstance(value, LearnedEmbedding)}
