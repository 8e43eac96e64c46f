"""What is asked of every structure in a file, whatever its format: whole atoms, and not one inside another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from ase.data import chemical_symbols, covalent_radii

from atomprint import _core

T = TypeVar("T")

Close: TypeAlias = tuple[int, int, int, float, float]
"""Structure, atom, other atom, distance and limit in Å."""

OCCUPANCY_TOLERANCE = 1e-3
"""How far an occupancy may be from 1, for the rounding of whoever wrote the file."""

CLOSE_FRACTION = 0.3
"""Atoms nearer than this much of the sum of their covalent radii are too close."""
CLOSE_DISTANCE = 0.5
"""Atoms nearer than this, in Å, are too close, whatever they are: H2 has 0.74 Å."""

RADII = np.ascontiguousarray(covalent_radii, dtype=np.float64)
"""Covalent radii in Å by atomic number (B. Cordero et al., Dalton Trans. 2008, 2832)."""


def is_whole(share: float) -> bool:
    """Return whether an occupancy is that of an atom which is always there."""
    return abs(share - 1) <= OCCUPANCY_TOLERANCE * (1 + 1e-9)  # 0.999 and 1.001 alike


def check_occupancies(where: str, shares: Mapping[T, float]) -> T:
    """Return the species of a site that holds one atom of it.

    Parameters
    ----------
    where : str
        Which site, such as ``"site 3"``, for the message.
    shares : mapping
        Occupancy of each species there.

    Raises
    ------
    ValueError
        If there is another number of species than one, or its occupancy is further from 1 than 0.001.
    """
    if len(shares) == 1:
        ((species, share),) = shares.items()
        if is_whole(share):
            return species
    listed = {str(species): share for species, share in shares.items()}
    raise ValueError(f"this structure is disordered: {where} is {listed}, and must hold one species to 1")


def check_distances(
    numbers: npt.ArrayLike,
    positions: npt.ArrayLike,
    cell: npt.ArrayLike,
    pbc: npt.ArrayLike,
    name: Callable[[int], str] | None = None,
) -> None:
    """Raise if two atoms of a structure are nearer than any in matter.

    Parameters
    ----------
    numbers : array_like of int, shape (n_atoms,)
        Atomic numbers.
    positions, cell : array_like, shape (n_atoms, 3) and (3, 3)
        In Å, finite, and the cell with a volume where it repeats.
    pbc : array_like of bool, shape (3,)
        Along which lattice vectors the structure repeats.
    name : callable or None
        Gives the name of an atom by its index, for the message.

    Raises
    ------
    ValueError
        If two atoms, or an atom and an image of its own, are nearer than 0.5 Å or than 0.3 of the sum of their covalent
        radii; the message names those that are worst.
    """
    z = np.ascontiguousarray(numbers, dtype=np.int32)
    found = close_pairs(
        _core.Batch(
            np.ascontiguousarray(positions, dtype=np.float64),
            z,
            np.array([0, len(z)], dtype=np.int64),
            np.ascontiguousarray(cell, dtype=np.float64).reshape(1, 3, 3),
            np.ascontiguousarray(pbc, dtype=np.bool_).reshape(1, 3),
        )
    )
    if found:
        _, atom, other, distance, limit = found[0]
        first, second = (name(i) if name else f"{i} ({chemical_symbols[z[i]]})" for i in (atom, other))
        raise ValueError(too_close(f"atoms {first} and {second}", distance, limit))


def close_atoms(found: Sequence[Close]) -> str:
    """Return what there is to say of structures with atoms that are too close; of each, there is one pair."""
    structure, atom, other, distance, limit = found[0]
    others = f"; {len(found)} structures have such atoms" if len(found) > 1 else ""
    return f"{too_close(f'structure {structure}, atoms {atom} and {other}', distance, limit)}{others}"


def too_close(which: str, distance: float, limit: float) -> str:
    """Return the sentence on two atoms that are nearer than they may be."""
    return (
        f"{which} are {distance:.3g} Å apart, nearer than atoms come: {CLOSE_DISTANCE} Å, "
        f"or {CLOSE_FRACTION} of the sum of their covalent radii (here at least {limit:.2f} Å)"
    )


def close_pairs(batch: _core.Batch) -> list[Close]:
    """Return structure, atom, other atom, distance and limit in Å for each structure with atoms that are too close.

    The structures must have passed the checks of :func:`atomprint.structures.as_batch`, but for coincident atoms. Of
    each, the pair is given that is nearest relative to its limit; of an atom and an image of its own, the atom twice.
    """
    return by_structure(_core.close_pairs(batch, RADII, CLOSE_FRACTION, CLOSE_DISTANCE))


def by_structure(columns: Sequence[npt.NDArray[Any]]) -> list[Close]:
    """Return close pairs, one for each structure that has some, which the core gives as columns."""
    return list(zip(*(column.tolist() for column in columns), strict=True)) if columns else []
