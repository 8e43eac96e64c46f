"""How many atoms of each element structures have, and which have the same formula."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from ase.data import chemical_symbols

from atomprint.ragged import owners
from atomprint.structures import Batch
from atomprint.util.types import FloatArray

Formula: TypeAlias = tuple[tuple[int, int], ...]
"""Atomic numbers, ascending, each with how many atoms there are, without a common divisor."""


def element_counts(batch: Batch) -> FloatArray:
    """Return how many atoms of each element structures have: shape (n_structures, 119), by atomic number.

    Parameters
    ----------
    batch : Batch
        The structures.
    """
    counts = np.zeros((len(batch), len(chemical_symbols)))
    np.add.at(counts, (owners(batch.offsets), batch.numbers), 1)
    return counts


def by_formula(batch: Batch, structures: npt.ArrayLike) -> dict[Formula, list[int]]:
    """Return some of the structures, in the order given, by their formulas.

    Parameters
    ----------
    batch : Batch
        The structures.
    structures : array_like of int
        Indices of those that are looked at.
    """
    found: dict[Formula, list[int]] = {}
    for s in np.asarray(structures, dtype=np.intp).tolist():
        z, n = np.unique(batch.numbers[batch.offsets[s] : batch.offsets[s + 1]], return_counts=True)
        found.setdefault(tuple(zip(z.tolist(), (n // np.gcd.reduce(n)).tolist(), strict=True)), []).append(s)
    return found
