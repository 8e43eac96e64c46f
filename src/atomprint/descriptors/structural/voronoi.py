"""Voronoi cells of the atoms of a crystal: which atoms are neighbours, and how large their faces look."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from atomprint.neighbours import find_pairs
from atomprint.ragged import offsets_of, owners, places
from atomprint.structures import Batch
from atomprint.util.types import FloatArray

IndexArray = npt.NDArray[np.int64]

_GROWTH = 1.4


class Faces(NamedTuple):
    """Faces of Voronoi cells, each seen from one of its two atoms.

    Parameters
    ----------
    first, second : ndarray of int64, shape (n_faces,)
        The atom inside, and that on the other side of the face.
    angles : ndarray, shape (n_faces,)
        Solid angles of the faces, seen from the first atom: those of an atom sum to 4 pi.
    """

    first: IndexArray
    second: IndexArray
    angles: FloatArray


def voronoi_faces(one: Batch) -> Faces:
    """Return the faces of the Voronoi cells of all atoms of the only structure, which repeats along three vectors."""
    volume, n = abs(float(np.linalg.det(one.cells[0]))), len(one.numbers)
    reach = 3.0 * (volume / n) ** (1 / 3)
    while True:
        # An atom beyond twice the distance of the farthest corner of a cell cuts nothing off it.
        found = _faces(one, reach)
        if found is not None:
            return found
        reach *= _GROWTH


def _faces(one: Batch, reach: float) -> Faces | None:
    """Return the faces from all images of atoms within a distance of an atom, or None if there are too few images."""
    from scipy.spatial import QhullError, Voronoi  # here: the package is imported without SciPy

    n, pairs = len(one.numbers), find_pairs(one, reach)
    if len(pairs) == 0:
        return None
    images = np.unique(np.column_stack([pairs.second, pairs.shifts]), axis=0)
    outside = images[:, 1:].any(axis=1)
    points = np.concatenate([one.positions, one.positions[images[outside, 0]] + images[outside, 1:] @ one.cells[0]])
    atoms = np.concatenate([np.arange(n), images[outside, 0]])
    try:
        cells = Voronoi(points)
    except QhullError:  # all in a plane
        return None
    ridges = np.flatnonzero((cells.ridge_points < n).any(axis=1))
    corners = [cells.ridge_vertices[k] for k in ridges.tolist()]
    counts = np.array([len(one) for one in corners], dtype=np.int64)
    flat = np.concatenate(corners)
    if (flat < 0).any():
        return None
    ends = cells.ridge_points[ridges]
    face, side = np.nonzero(ends < n)  # a face between two atoms of the cell is seen from both
    first, other = ends[face, side].astype(np.int64), ends[face, 1 - side]
    offsets = offsets_of(counts[face])
    own = owners(offsets)
    sides = cells.vertices[flat[offsets_of(counts)[face[own]] + places(offsets)]] - points[first[own]]
    squares = np.einsum("ka,ka->k", sides, sides)
    if 4 * squares.max() > reach**2:
        return None
    angles = _solid_angles(sides / np.sqrt(squares)[:, None], offsets)
    return Faces(first, atoms[other], angles)


def _solid_angles(corners: FloatArray, offsets: IndexArray) -> FloatArray:
    """Return solid angles of convex polygons by directions to their corners (van Oosterom and Strackee, 1983)."""
    own, place = owners(offsets), places(offsets)
    middle = np.flatnonzero((place > 0) & (place < np.diff(offsets)[own] - 1))  # triangles from the first corner
    a, b, c = corners[offsets[own[middle]]], corners[middle], corners[middle + 1]
    top = np.abs(np.einsum("ka,ka->k", np.cross(b, c), a))
    bottom = 1 + sum(np.einsum("ka,ka->k", x, y) for x, y in ((b, a), (c, a), (b, c)))
    parts = 2 * np.arctan2(top, bottom)
    return np.asarray(np.bincount(own[middle], parts, minlength=len(offsets) - 1), dtype=np.float64)
