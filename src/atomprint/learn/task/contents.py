"""What the rows of a data set consist of, as arrays: reduced formulas, chemical systems and elements."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from ase.data import atomic_numbers, chemical_symbols

from atomprint.datasets import Dataset
from atomprint.structures import Batch, StructureError, as_batch
from atomprint.util.types import Items, Mask

_Result = TypeVar("_Result")


@dataclass(frozen=True, eq=False)
class Compositions:
    """Compositions of all structures of a data set.

    Parameters
    ----------
    formulas : ndarray of str, shape (n_structures,)
        ``Dataset.formulas``: the smallest whole numbers, so that ``"Na2Cl2"`` and ``"NaCl"`` are the same, and so are
        ``"Li0.5CoO2"`` and ``"LiCo2O4"``.
    systems : ndarray of str, shape (n_structures,)
        ``Dataset.chemical_systems``, such as ``"Cl-Na"``.
    contains : ndarray of bool, shape (n_structures, 119)
        Whether the element with each atomic number is there; the first column is empty.
    """

    formulas: npt.NDArray[np.str_]
    systems: npt.NDArray[np.str_]
    contains: Mask


def once_per_dataset(function: Callable[[Dataset], _Result]) -> Callable[[Dataset], _Result]:
    """Keep what a function returns for as long as its data set lives."""
    cache: WeakKeyDictionary[Dataset, _Result] = WeakKeyDictionary()

    @wraps(function)
    def cached(dataset: Dataset) -> _Result:
        if dataset not in cache:
            cache[dataset] = function(dataset)
        return cache[dataset]

    return cached


@once_per_dataset
def compositions_of(dataset: Dataset) -> Compositions:
    """Return the compositions of a data set, from its formulas or its structures.

    Raises
    ------
    ValueError
        If a formula cannot be read; the message names the row.
    """
    contains = np.zeros((len(dataset), len(chemical_symbols)), dtype=bool)
    formulas, systems = dataset.formulas, dataset.chemical_systems
    for row in range(len(dataset)):
        contains[row, [atomic_numbers[symbol] for symbol in dataset.amounts(row)]] = True
    return Compositions(np.array(formulas, dtype=np.str_), np.array(systems, dtype=np.str_), contains)


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
