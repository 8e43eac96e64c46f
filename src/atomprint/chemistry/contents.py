"""Which elements structures, compositions and formulas of all kinds hold, and how much of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt
from ase import Atoms
from ase.data import chemical_symbols

from atomprint.chemistry.formula import ATOMIC_NUMBERS, parse_formula
from atomprint.ragged import split
from atomprint.structures import Batch, as_batch, kind_of


def is_composition(item: Any) -> bool:
    """Return whether an object is one composition that :func:`amounts_of` takes, and not a sequence of these."""
    return isinstance(item, str | Mapping | Atoms) or hasattr(item, "get_el_amt_dict") or hasattr(item, "composition")


def amounts_of(item: Any) -> dict[str, float]:
    """Return how much of each element a composition or a structure has, by symbol.

    Parameters
    ----------
    item : composition
        A formula (see :func:`~atomprint.chemistry.formula.parse_formula`), :class:`~atomprint.chemistry.smiles.Smiles`,
        ``ase.Atoms``, a pymatgen ``Composition``, ``Structure`` or ``Molecule`` (a disordered one, too), or a mapping
        from symbols or atomic numbers to amounts.

    Raises
    ------
    TypeError, ValueError
        If it is nothing of these, or has no elements or no amounts in it.
    """
    if isinstance(item, str):
        return parse_formula(item)
    if isinstance(item, Atoms):
        numbers = item.arrays["numbers"]
        if len(numbers) and numbers.min() < 1:
            raise ValueError(f"atomic numbers must be in 1..{len(chemical_symbols) - 1}, got {numbers.min()}")
        return counted(numbers)
    if not hasattr(item, "get_el_amt_dict"):
        item = getattr(item, "composition", item)  # of a structure
    if hasattr(item, "get_el_amt_dict"):
        item = item.get_el_amt_dict()  # without oxidation states
    if not isinstance(item, Mapping):
        raise TypeError(
            f"must be a formula, a dict, a pymatgen Composition or Structure, or an ase.Atoms, got {kind_of(item)}"
        )
    amounts: dict[str, float] = {}
    for key, amount in item.items():
        z = ATOMIC_NUMBERS.get(key, 0) if isinstance(key, str) else key
        if not isinstance(z, int | np.integer) or isinstance(z, bool) or not 1 <= z < len(chemical_symbols):
            raise ValueError(f"keys must be chemical symbols or atomic numbers, got {key!r}")
        symbol = chemical_symbols[z]
        if not isinstance(amount, Real) or isinstance(amount, bool) or not 0 <= float(amount) < np.inf:
            raise ValueError(f"the amount of {symbol} must be finite and >= 0, got {amount!r}")
        amounts[symbol] = amounts.get(symbol, 0.0) + float(amount)
    return amounts


def numbers_of(structure: Any) -> npt.NDArray[np.integer[Any]]:
    """Return the atomic numbers of one structure of any supported kind, not to be written to.

    Raises
    ------
    TypeError, ValueError
        If it is not a structure in which each site holds one element.
    """
    if isinstance(structure, Atoms):  # ASE's own array, since its public getter copies
        return np.asarray(structure.arrays["numbers"])
    if hasattr(structure, "atomic_numbers"):  # pymatgen's ordered structures
        return np.asarray(structure.atomic_numbers)
    return as_batch([structure], periodic=None).numbers


def counted(numbers: npt.NDArray[np.integer[Any]]) -> dict[str, float]:
    """Return how often each element occurs among atomic numbers, by symbol, in their order."""
    return {chemical_symbols[z]: float(count) for z, count in sorted(Counter(numbers.tolist()).items())}


def each_counted(structures: Batch | Iterable[Any]) -> list[dict[str, float]]:
    """Return for each structure the number of its atoms of each element; see :func:`numbers_of`."""
    if isinstance(structures, Batch):
        return [counted(numbers) for numbers in split(structures.numbers, structures.offsets)]
    return [counted(numbers_of(structure)) for structure in structures]
