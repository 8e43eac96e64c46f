"""All atoms of a cell from its sites: each moved onto its special position, and out by the operations of the group."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from atomprint.formats.cif.blocks import unit_of
from atomprint.formats.cif.groups import Group
from atomprint.util.types import FloatArray

_NEAR = 0.5
"""An image of an atom nearer than this, in Å, is the atom itself or a mistake."""
_NOISE = 0.02
"""How far an atom may be from its special position, in Å, whatever digits are given."""
_COARSEST = 0.01
"""Coordinates with fewer digits than this count as exact."""


def expand(
    places: FloatArray, written: Sequence[Sequence[str]], group: Group, cell: FloatArray
) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Return the fractional coordinates of all atoms, and which site each comes from.

    A site that its own images come near to is moved to their mean, which has the symmetry exactly, if it was only
    rounded: by no more than its last digit counts, or by 0.02 Å.

    Parameters
    ----------
    places : ndarray, shape (n_sites, 3)
        Fractional coordinates.
    written : sequence of three columns of str
        How they are written; empty where they were derived.
    group : Group
        The space group.
    cell : ndarray, shape (3, 3)
        Lattice vectors in Å.
    """
    rotations, translations = group.rotations.astype(np.float64), group.translations / 24.0
    images = np.einsum("nij,mj->mni", rotations, places) + translations
    steps = images - places[:, None]
    steps -= np.rint(steps)
    squared = np.square(steps @ cell).sum(axis=2)
    near = squared < _NEAR**2
    atoms, owners = [], []
    for site in range(len(places)):
        found, own = images[site], np.flatnonzero(near[site])
        if len(own) > 1:
            units = [min(unit_of(column[site]), _COARSEST) for column in written] or [0.0, 0.0, 0.0]
            units = [unit if unit <= _COARSEST else 0.0 for unit in units]
            own, shift = _stabiliser(group, own, steps[site], squared[site], cell, np.array(units))
            if len(own) > 1:
                first = group.table[:, own].min(axis=1) == np.arange(len(group))
                found = (rotations[first] @ (places[site] + shift)) + translations[first]
        found = found - np.floor(found + 1e-9)
        atoms.append(found)
        owners.append(np.full(len(found), site))
    return np.concatenate(atoms), np.concatenate(owners)


def _stabiliser(
    group: Group,
    near: npt.NDArray[np.int64],
    steps: FloatArray,
    squared: FloatArray,
    cell: FloatArray,
    units: FloatArray,
) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Return the operations that leave a site where it is, and the step to its special position."""
    lengths = np.linalg.norm(cell, axis=1)
    for own in (near, near[squared[near] < (2 * _NOISE) ** 2]):
        shift = steps[own].mean(axis=0)
        rounded = (np.abs(shift) <= np.maximum(units * 1.001, _NOISE / lengths)).all()
        if rounded and np.isin(group.table[np.ix_(own, own)], own).all():
            return own, shift
    return near[:1] * 0, np.zeros(3)
