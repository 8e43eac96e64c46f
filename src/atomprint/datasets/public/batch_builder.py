"""Structures one by one into flat arrays, so that a large file never is a large heap of objects."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from ase.data import atomic_numbers

from atomprint.structures import Batch

_NUMBERS = {**{symbol: z for symbol, z in atomic_numbers.items() if z > 0}, "D": 1, "T": 1}

Structure = tuple[npt.NDArray[np.int32], npt.NDArray[np.float64], npt.NDArray[np.float64], tuple[bool, bool, bool]]
"""Atomic numbers, positions in Å, cell in Å and periodicity of one structure."""


class BatchBuilder:
    """Collects structures into a :class:`~atomprint.structures.Batch`, with 28 bytes for each atom."""

    def __init__(self) -> None:
        self._numbers, self._positions, self._offsets = array("i"), array("d"), array("q", [0])
        self._cells, self._pbc = array("d"), array("b")

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def append(
        self,
        numbers: npt.NDArray[np.int32],
        positions: npt.NDArray[np.float64],
        cell: npt.NDArray[np.float64] | None = None,
        pbc: tuple[bool, bool, bool] = (False, False, False),
    ) -> None:
        """Add a structure; shapes (n_atoms,), (n_atoms, 3) and (3, 3)."""
        self._numbers.frombytes(np.ascontiguousarray(numbers, dtype=np.int32).tobytes())
        self._positions.frombytes(np.ascontiguousarray(positions, dtype=np.float64).tobytes())
        self._cells.frombytes((np.zeros((3, 3)) if cell is None else np.asarray(cell, dtype=np.float64)).tobytes())
        self._pbc.extend(map(bool, pbc))
        self._offsets.append(len(self._numbers))

    def build(self) -> Batch:
        """Return all structures; the builder must not be used afterwards, since the arrays are its own."""
        return Batch(
            np.frombuffer(self._numbers, dtype=np.int32),
            np.frombuffer(self._positions, dtype=np.float64).reshape(-1, 3),
            np.frombuffer(self._offsets, dtype=np.int64),
            np.frombuffer(self._cells, dtype=np.float64).reshape(-1, 3, 3),
            np.frombuffer(self._pbc, dtype=np.bool_).reshape(-1, 3),
        )


def from_pymatgen_dict(data: Any) -> Structure:
    """Return the arrays of a structure from the dictionary that pymatgen's ``Structure.as_dict`` gives.

    Positions are those of the fractional coordinates ``abc``, as in pymatgen itself; oxidation states and site
    properties are ignored.

    Raises
    ------
    ValueError
        If it is no such dictionary, or the structure is empty, disordered or has an unknown element; the message says
        which site.
    """
    if not isinstance(data, Mapping):
        raise ValueError(f"a structure must be a dictionary of pymatgen, got {data!r:.60}")
    try:
        lattice, sites = data["lattice"], data["sites"]
        cell = np.array(lattice["matrix"], dtype=np.float64)
        numbers = np.array([_atomic_number(site["species"], at) for at, site in enumerate(sites)], dtype=np.int32)
        fractional = np.array([site["abc"] for site in sites], dtype=np.float64)
    except (KeyError, TypeError) as error:
        raise ValueError(f"the dictionary is not that of a pymatgen Structure: {error!r}") from error
    if not len(numbers):
        raise ValueError("the structure has no atoms")
    if cell.shape != (3, 3) or fractional.shape != (len(numbers), 3):
        raise ValueError(
            f"lattice and coordinates must have shapes (3, 3) and ({len(numbers)}, 3), "
            f"got {cell.shape} and {fractional.shape}"
        )
    if not (np.isfinite(cell).all() and np.isfinite(fractional).all()):
        raise ValueError("lattice and coordinates must be finite")
    a, b, c = lattice.get("pbc", (True, True, True))
    return numbers, fractional @ cell, cell, (bool(a), bool(b), bool(c))


def _atomic_number(species: Any, at: int) -> int:
    if len(species) != 1 or abs(species[0]["occu"] - 1) > 1e-6:
        raise ValueError(f"site {at} is disordered: it must hold one element with occupancy 1")
    symbol = species[0]["element"]
    if symbol not in _NUMBERS:
        raise ValueError(f"site {at} must hold an element, got {symbol!r}")
    return _NUMBERS[symbol]
