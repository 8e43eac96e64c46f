"""The structures of a data set in runs, and what is found out once for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import TypeVar
from weakref import WeakKeyDictionary

import numpy as np

from atomprint.datasets import Dataset
from atomprint.structures import Batch, StructureError, as_batch
from atomprint.util.types import Items

_Result = TypeVar("_Result")


def once_per_dataset(function: Callable[[Dataset], _Result]) -> Callable[[Dataset], _Result]:
    """Keep what a function returns for as long as its data set lives."""
    cache: WeakKeyDictionary[Dataset, _Result] = WeakKeyDictionary()

    @wraps(function)
    def cached(dataset: Dataset) -> _Result:
        if dataset not in cache:
            cache[dataset] = function(dataset)
        return cache[dataset]

    return cached


def batches(structures: Items, rows: Iterable[int], size: int = 1000) -> Iterator[Batch]:
    """Read some structures of a data set, in runs that fit into memory.

    Parameters
    ----------
    structures : sequence or Batch
        ``Dataset.structures``.
    rows : iterable of int
        Which of them, ascending.
    size : int
        Structures in a run.

    Yields
    ------
    Batch

    Raises
    ------
    ValueError
        If a structure is not a sound one; the message names the row.
    """
    wanted = np.asarray(list(rows), dtype=np.int64)
    for start in range(0, len(wanted), size):
        run = wanted[start : start + size]
        if isinstance(structures, Batch):
            yield structures.pick(run)
            continue
        items = [structures[int(row)] for row in run]
        try:
            batch = as_batch(items, periodic=None)
        except StructureError as error:
            raise ValueError(f"row {run[error.index]} of the data set: {error.reason}") from error
        yield batch
