"""Voronoi cells of the atoms of a crystal: which atoms are neighbours, and how large their faces look."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from atomprint.neighbours import find_pairs
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
    first, second, angles = [], [], []
    for (a, b), corners in zip(cells.ridge_points.tolist(), cells.ridge_vertices, strict=True):
        if a >= n and b >= n:
            continue
        if -1 in corners:
            return None
        face = cells.vertices[corners]
        for inside, other in ((a, b), (b, a)):
            if inside < n:
                sides = face - points[inside]
                if 4 * np.einsum("ka,ka->k", sides, sides).max() > reach**2:
                    return None
                first.append(inside)
                second.append(atoms[other])
                angles.append(_solid_angle(sides))
    return Faces(np.array(first), np.array(second), np.array(angles))


def _solid_angle(corners: FloatArray) -> float:
    """Return the solid angle of a convex polygon seen from the origin (van Oosterom and Strackee, 1983)."""
    unit = corners / np.linalg.norm(corners, axis=1)[:, None]
    a, b, c = unit[0], unit[1:-1], unit[2:]
    top = np.abs(np.cross(b, c) @ a)
    bottom = 1 + b @ a + c @ a + np.einsum("ka,ka->k", b, c)
    return float(2 * np.arctan2(top, bottom).sum())
