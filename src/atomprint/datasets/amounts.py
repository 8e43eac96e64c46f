"""How much of each element structures of all kinds hold, counted quickly for many of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

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
    return [_count(_numbers(structure)) for structure in structures]


def _numbers(structure: Any) -> Iterable[int]:
    # ASE's own array, since its public getter copies.
    atoms = (
        structure.arrays["numbers"] if isinstance(structure, Atoms) else as_batch([structure], periodic=None).numbers
    )
    return list(atoms.tolist())


def _count(numbers: Iterable[int]) -> dict[str, float]:
    return {chemical_symbols[number]: float(count) for number, count in sorted(Counter(numbers).items())}
