"""Structures from the dictionaries that pymatgen's ``as_dict`` gives, without need for pymatgen."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from atomprint.chemistry.formula import atomic_number
from atomprint.formats.judge import check_occupancies, is_whole
from atomprint.formats.vectors import periods, vectors
from atomprint.util.types import FloatArray


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
    sites = _entry(data, "sites", "it")
    lattice = _entry(data, "lattice", "it") if periodic else data.get("lattice")
    if not isinstance(sites, list | tuple) or not sites:
        raise ValueError("the structure has no atoms")
    key = "xyz" if lattice is None else "abc"
    numbers = np.array([_atomic_number(site, at) for at, site in enumerate(sites)], dtype=np.int32)
    try:
        places = [site[key] for site in sites]
    except LookupError:
        places = [_entry(site, key, f"site {at}") for at, site in enumerate(sites)]
    coordinates = vectors(places, len(numbers), f"coordinates ({key!r}) of the sites")
    if lattice is None:
        return StructureArrays(numbers, coordinates, np.zeros((3, 3)), (False, False, False))
    cell = vectors(_entry(lattice, "matrix", "its lattice"), 3, "the matrix of the lattice")
    return StructureArrays(numbers, coordinates @ cell, cell, periods(lattice.get("pbc", (True, True, True))))


def _entry(data: Any, key: str, whose: str) -> Any:
    if type(data) is not dict and not isinstance(data, Mapping):  # the first is known twenty times faster
        data = {}
    if key not in data:
        raise ValueError(f"this dictionary is no structure: {whose} has no {key!r}")
    return data[key]


def _atomic_number(site: Any, at: int) -> int:
    listed = _entry(site, "species", f"site {at}")
    with suppress(TypeError, LookupError, ValueError, OverflowError):  # whatever is wrong is told below
        (species,) = listed
        if is_whole(float(species["occu"])):
            return atomic_number(str(species["element"]))
    shares: dict[str, float] = {}
    for species in listed if isinstance(listed, list | tuple) else (listed,):
        name = str(_entry(species, "element", f"the species of site {at}"))
        name += " again" * (name in shares)  # as Fe2+ and Fe3+
        share = _entry(species, "occu", f"the species of site {at}")
        try:
            shares[name] = float(share)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"site {at}: the occupancy of {name} must be a number, got {repr(share)[:40]}") from None
    element = check_occupancies(f"site {at}", shares)
    try:
        return atomic_number(element)
    except ValueError as error:
        raise ValueError(f"site {at}: {error}") from None
