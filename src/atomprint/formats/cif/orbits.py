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
    lengths = np.linalg.norm(cell, axis=1)
    atoms, counts = [], []
    for site, place in enumerate(places):
        found, own = images[site], near[site].nonzero()[0]
        if len(own) > 1:
            for close in (own, own[squared[site, own] < (2 * _NOISE) ** 2]):
                first = group.cosets(tuple(close.tolist()))
                shift = steps[site, close].mean(axis=0)
                if first is not None and _is_rounding(shift, [column[site] for column in written], lengths):
                    found = rotations[first] @ (place + shift) + translations[first]
                    break
        atoms.append(found)
        counts.append(len(found))
    scaled = np.concatenate(atoms)
    return scaled - np.floor(scaled + 1e-9), np.repeat(np.arange(len(places)), counts)


def _is_rounding(shift: FloatArray, written: Sequence[str], lengths: FloatArray) -> bool:
    """Return whether a step is no longer than what the last digits of coordinates leave open, or than noise."""
    size = np.abs(shift)
    if (size * lengths <= _NOISE).all():
        return True
    units = np.array([unit_of(text) for text in written] or [0.0] * 3)
    units[units > _COARSEST * 1.001] = 0.0
    return bool((size <= np.maximum(units * 1.001, _NOISE / lengths)).all())
