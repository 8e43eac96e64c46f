"""What the rows of a data set consist of: reduced formulas, chemical systems and elements."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache, wraps
from itertools import pairwise
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols

from atomprint.datasets import Dataset
from atomprint.elements import N_ELEMENTS, pauling_electronegativity
from atomprint.formula import parse_formula
from atomprint.structures import Batch, as_batch

_Result = TypeVar("_Result")

# Amounts are taken as quotients with denominators up to this: 0.333 and 0.3333 are not the same, 0.1 + 0.2 and 0.3 are.
_DENOMINATOR = 1000
# For an amount that this would round to nothing.
_FINE_DENOMINATOR = 10**9


@dataclass(frozen=True, eq=False)
class Compositions:
    """Compositions of all structures of a data set.

    Parameters
    ----------
    formulas : ndarray of str, shape (n_structures,)
        Reduced formulas: the smallest whole numbers, so that ``"Na2Cl2"`` and ``"NaCl"`` are the same, and so are
        ``"Li0.5CoO2"`` and ``"LiCo2O4"``.
    systems : ndarray of str, shape (n_structures,)
        Chemical systems: the symbols in alphabetical order, such as ``"Cl-Na"``.
    contains : ndarray of bool, shape (n_structures, 119)
        Whether the element with each atomic number is there; the first column is empty.
    """

    formulas: npt.NDArray[np.str_]
    systems: npt.NDArray[np.str_]
    contains: npt.NDArray[np.bool_]


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
    formulas: list[str] = []
    systems: list[str] = []
    contains = np.zeros((len(dataset), len(chemical_symbols)), dtype=bool)
    for row, key in enumerate(_keys(dataset)):
        try:
            formula, system, numbers = _describe(key)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{dataset.name}: row {row}, {dataset.ids[row]!r}: {error}") from error
        formulas.append(formula)
        systems.append(system)
        contains[row, numbers] = True
    return Compositions(np.array(formulas, dtype=np.str_), np.array(systems, dtype=np.str_), contains)


def reduced_formula(amounts: Mapping[str, float]) -> str:
    """Return a formula with the smallest whole numbers.

    Parameters
    ----------
    amounts : mapping of str to float
        Amount of each element, all > 0, by its symbol.

    Returns
    -------
    str
        The elements in the order of their electronegativity, as in ``"CaTiO3"``; with carbon and hydrogen in Hill's
        order, as in ``"C2H6O"``.
    """
    if all(float(amount).is_integer() for amount in amounts.values()):
        counts = {symbol: int(amount) for symbol, amount in amounts.items()}
    else:
        quotients = {
            symbol: Fraction(amount).limit_denominator(_DENOMINATOR)
            or Fraction(amount).limit_denominator(_FINE_DENOMINATOR)
            for symbol, amount in amounts.items()
        }
        whole = math.lcm(*(quotient.denominator for quotient in quotients.values()))
        counts = {symbol: int(quotient * whole) for symbol, quotient in quotients.items()}
    divisor = math.gcd(*counts.values())
    order = _hill if {"C", "H"} <= amounts.keys() else _electronegativity
    return "".join(
        symbol + (str(counts[symbol] // divisor) if counts[symbol] != divisor else "")
        for symbol in sorted(counts, key=order)
    )


def batches(structures: Any, rows: Iterable[int], size: int = 1000) -> Iterator[Batch]:
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
        except ValueError:
            for row, item in zip(run, items, strict=True):  # to say which it is
                try:
                    as_batch([item], periodic=None)
                except ValueError as error:
                    raise ValueError(f"row {row} of the data set: {error}") from error
            raise
        yield batch


def numbers_of(structure: Any) -> npt.NDArray[np.integer[Any]]:
    """Return the atomic numbers of one structure of any supported kind."""
    if isinstance(structure, Atoms):
        return np.asarray(structure.numbers)
    if hasattr(structure, "atomic_numbers"):  # pymatgen
        return np.asarray(structure.atomic_numbers)
    return as_batch([structure], periodic=None).numbers


def _keys(dataset: Dataset) -> Iterable[str | tuple[int, ...]]:
    """Return for each row a formula, or the sorted atomic numbers of its atoms."""
    formulas = getattr(dataset, "formulas", None)
    if formulas is not None:
        return (str(formula) for formula in formulas)
    if dataset.compositions is not None:
        return (str(formula) for formula in dataset.compositions)
    if isinstance(dataset.structures, Batch):
        offsets = dataset.structures.offsets
        return (tuple(np.sort(dataset.structures.numbers[a:b]).tolist()) for a, b in pairwise(offsets))
    return (tuple(np.sort(numbers_of(structure)).tolist()) for structure in dataset.structures)


@lru_cache(maxsize=4096)
def _describe(key: str | tuple[int, ...]) -> tuple[str, str, tuple[int, ...]]:
    if isinstance(key, str):
        amounts = parse_formula(key)
    else:
        numbers, counts = np.unique(key, return_counts=True)
        amounts = {chemical_symbols[z]: float(n) for z, n in zip(numbers, counts, strict=True)}
    return reduced_formula(amounts), "-".join(sorted(amounts)), tuple(atomic_numbers[symbol] for symbol in amounts)


def _hill(symbol: str) -> tuple[int, str]:
    return (("C", "H").index(symbol) if symbol in ("C", "H") else 2, symbol)


@lru_cache
def _electronegativity(symbol: str) -> tuple[float, int]:
    number = atomic_numbers[symbol]
    known = number <= N_ELEMENTS
    value = float(pauling_electronegativity()[number - 1]) if known else 0.0
    return (value if math.isfinite(value) else 0.0, number)
