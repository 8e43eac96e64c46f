"""Structures from the dictionaries that pymatgen's ``as_dict`` gives, without need for pymatgen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from atomprint.chemistry.formula import atomic_number
from atomprint.util.types import FloatArray

_TOLERANCE = 1e-3  # of occupancies, which files have rounded


class StructureArrays(NamedTuple):
    """Atomic numbers, positions in Å, cell in Å and periodicity of one structure."""

    numbers: npt.NDArray[np.int32]
    positions: FloatArray
    cell: FloatArray
    pbc: tuple[bool, bool, bool]


def read_pymatgen_dict(data: Any, *, periodic: bool = False) -> StructureArrays:
    """Return the arrays of a structure from what ``Structure.as_dict`` or ``Molecule.as_dict`` wrote.

    Positions are those of the fractional coordinates ``abc``, as in pymatgen itself; those of a molecule are ``xyz``,
    and its cell is zero. Oxidation states and site properties are ignored.

    Parameters
    ----------
    data : mapping
        The dictionary.
    periodic : bool
        Whether it must have a lattice, and not be that of a molecule.

    Raises
    ------
    ValueError
        If it is no such dictionary, or the structure is empty, disordered (a site does not hold one element with an
        occupancy of 1, up to 0.001) or has an unknown element; the message says which site.
    """
    if not isinstance(data, Mapping):
        raise ValueError(f"a structure must be a dictionary of pymatgen, got {data!r:.60}")
    try:
        lattice, sites = data["lattice"] if periodic else data.get("lattice"), data["sites"]
        numbers = np.array([_atomic_number(site["species"], at) for at, site in enumerate(sites)], dtype=np.int32)
        cell = np.zeros((3, 3)) if lattice is None else np.array(lattice["matrix"], dtype=np.float64)
        key = "xyz" if lattice is None else "abc"
        coordinates = np.array([site[key] for site in sites], dtype=np.float64)
    except (KeyError, TypeError) as error:
        raise ValueError(f"this dictionary is no structure: {error!r}") from error
    if not len(numbers):
        raise ValueError("the structure has no atoms")
    if cell.shape != (3, 3) or coordinates.shape != (len(numbers), 3):
        raise ValueError(
            f"lattice and coordinates must have shapes (3, 3) and ({len(numbers)}, 3), "
            f"got {cell.shape} and {coordinates.shape}"
        )
    if not (np.isfinite(cell).all() and np.isfinite(coordinates).all()):
        raise ValueError("lattice and coordinates must be finite")
    if lattice is None:
        return StructureArrays(numbers, coordinates, cell, (False, False, False))
    a, b, c = lattice.get("pbc", (True, True, True))
    return StructureArrays(numbers, coordinates @ cell, cell, (bool(a), bool(b), bool(c)))


def _atomic_number(species: Any, at: int) -> int:
    if len(species) != 1 or abs(float(species[0]["occu"]) - 1) > _TOLERANCE:
        shares = {item["element"]: item["occu"] for item in species}
        raise ValueError(f"this structure is disordered: site {at} is {shares}, not one element")
    try:
        return atomic_number(species[0]["element"])
    except ValueError as error:
        raise ValueError(f"site {at}: {error}") from None
