"""How much of each element structures of all kinds hold, counted quickly for many of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from ase import Atoms
from ase.data import chemical_symbols

from atomprint.structures import Batch, as_batch


def amounts_of(structures: Sequence[Any] | Batch) -> list[dict[str, float]]:
    """Return the number of atoms of each element, by its symbol, for each structure.

    Parameters
    ----------
    structures : sequence of structures
        See :data:`atomprint.structures.Structures`; files are read.

    Raises
    ------
    TypeError, ValueError
        If something is not a structure.
    """
    if isinstance(structures, Batch):
        bounds = structures.offsets.tolist()
        numbers = structures.numbers.tolist()
        return [_count(numbers[first:last]) for first, last in pairwise(bounds)]
    return [_count(numbers_of(structure).tolist()) for structure in structures]


def numbers_of(structure: Any) -> npt.NDArray[np.integer[Any]]:
    """Return the atomic numbers of one structure of any supported kind, not to be written to."""
    if isinstance(structure, Atoms):  # ASE's own array, since its public getter copies
        return np.asarray(structure.arrays["numbers"])
    if hasattr(structure, "atomic_numbers"):  # pymatgen's ordered structures
        return np.asarray(structure.atomic_numbers)
    return as_batch([structure], periodic=None).numbers


def _count(numbers: Iterable[int]) -> dict[str, float]:
    return {chemical_symbols[number]: float(count) for number, count in sorted(Counter(numbers).items())}
