"""Which structures of a data set are the same, whatever their orientation, order of atoms and cell."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from atomprint.datasets import Dataset
from atomprint.learn.task.batches import batches
from atomprint.similarity.duplicates import comparable, counted_among
from atomprint.similarity.fingerprint import N_NEIGHBOURS
from atomprint.similarity.near import Near
from atomprint.structures import joined
from atomprint.util.types import Indices


def find_same(dataset: Dataset, rows: Indices, tolerance: float) -> Indices:
    """Return all pairs of structures that are the same.

    Parameters
    ----------
    dataset : Dataset
        A data set with structures.
    rows : ndarray of int
        The structures to compare, ascending.
    tolerance : float
        How far distances may differ, in Å.

    Returns
    -------
    ndarray of int, shape (n_pairs, 2)
        Pairs of ``rows``, the smaller one first.
    """
    formulas = np.array(dataset.formulas, dtype=np.str_)[rows]
    shared = _shared(formulas)
    pairs = [np.empty((0, 2), dtype=np.intp)]
    if not len(shared):
        return pairs[0]
    batch = joined(*batches(dataset.structures, rows[shared]))
    for run in comparable(batch, formulas[shared].tolist()):
        own = rows[shared[run]]
        with counted_among(own):
            near = Near(batch.pick(run), tolerance, False, N_NEIGHBOURS, 1)
        pairs.append(own[near.pairs()])
    found = np.concatenate(pairs)
    return found[np.lexsort(found.T[::-1])]


def _shared(formulas: npt.NDArray[np.str_]) -> Indices:
    """Return the places of formulas that occur more than once."""
    _, inverse, counts = np.unique(formulas, return_inverse=True, return_counts=True)
    return np.flatnonzero(counts[inverse] > 1)
