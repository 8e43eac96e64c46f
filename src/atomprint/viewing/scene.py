"""What a picture of a structure shows: atoms, bonds and the cell, turned as they are seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from ase.data import covalent_radii
from ase.data.colors import jmol_colors

from atomprint.structures import as_batch
from atomprint.util.types import Array, FloatArray, Indices, Mask, Structure

Vectors = FloatArray

MAX_ATOMS = 1000
BALL = 0.45
"""Radius of a ball in covalent radii."""

COLOURS = jmol_colors[np.minimum(np.arange(len(covalent_radii)), len(jmol_colors) - 1)]
"""Jmol's by atomic number; it has none beyond meitnerium, whose colour the others get."""

_SLACK = 0.3  # Å by which a bond may be longer than the sum of the covalent radii
_FACE = 0.02  # atoms so close to a face of the cell (in its units) are drawn on the face opposite, too
_NONMETALS = (1, 2, *range(5, 11), *range(14, 19), *range(32, 37), *range(51, 55), 85, 86)


@dataclass(frozen=True, eq=False)
class Scene:
    """A structure as it is seen: x points to the right, y up, z to the eye.

    Molecules lie flat on the page as far as they are flat; crystals are seen from the front, turned a little to the
    right and from above, with atoms on the faces of the cell repeated.

    Parameters
    ----------
    n_atoms : int
        Of the structure; these come first, in their order.
    numbers : ndarray of int, shape (n_points,)
        Atomic numbers.
    points : ndarray, shape (n_points, 3)
        Where they are, in Å.
    bonds : ndarray of int, shape (n_bonds, 2)
        Pairs of points that are about as close as the sum of their covalent radii. Where there are nonmetals, what
        counts are the bonds to them: two metals are not joined.
    cell : ndarray, shape (3, 3), or None
        Edges of the cell as rows, from the origin of ``points``; None of molecules.
    """

    n_atoms: int
    numbers: Array
    points: Vectors
    bonds: Indices
    cell: Vectors | None

    @classmethod
    def of(cls, structure: Structure) -> Self:
        """Return the scene of one structure.

        Raises
        ------
        ValueError
            If there is not one structure, or it has more than :data:`MAX_ATOMS` atoms, too many to be seen.
        """
        batch = as_batch(structure, periodic=None)
        n_atoms = len(batch.numbers)
        if len(batch) != 1:
            raise ValueError(f"structure must be one to be drawn, got {len(batch)}")
        if n_atoms > MAX_ATOMS:
            raise ValueError(f"structure must have at most {MAX_ATOMS} atoms to be drawn, got {n_atoms}")
        if not batch.pbc.any() or abs(np.linalg.det(batch.cells[0])) <= 1e-8:
            points = batch.positions @ _view_of_molecule(batch.positions)
            return cls(n_atoms, batch.numbers, points, _bonds(points, batch.numbers), None)
        atoms, positions = _with_faces(batch.positions, batch.cells[0], batch.pbc[0])
        view, numbers = _view_of_crystal(batch.cells[0]), batch.numbers[atoms]
        return cls(n_atoms, numbers, positions @ view, _bonds(positions, numbers), batch.cells[0] @ view)

    def corners(self) -> Vectors:
        """Return the corners of the cell, shape (8, 3), by their places 000, 001, 010, …; none of molecules."""
        places = np.indices((2, 2, 2)).reshape(3, -1).T
        return np.zeros((0, 3)) if self.cell is None else places @ self.cell


EDGES = tuple((i, j) for i in range(8) for j in range(i + 1, 8) if (i ^ j).bit_count() == 1)
"""Which corners of a cell its edges join."""


def _bonds(points: Vectors, numbers: Array) -> Indices:
    """Return the bonds of :class:`Scene`."""
    from scipy.spatial import cKDTree

    radii = covalent_radii[numbers]
    pairs = cKDTree(points).query_pairs(2 * radii.max() + _SLACK, output_type="ndarray")
    i, j = pairs.T
    close = np.linalg.norm(points[i] - points[j], axis=1) <= radii[i] + radii[j] + _SLACK
    nonmetal = np.isin(numbers, _NONMETALS)
    if nonmetal.any():
        close &= nonmetal[i] | nonmetal[j]
    return np.asarray(pairs[close])


def _with_faces(positions: Vectors, cell: Vectors, pbc: Mask) -> tuple[Indices, Vectors]:
    """Wrap atoms into the cell, and repeat those on its faces; return which atom each is and where.

    The atoms of the cell come first, in their order.
    """
    places = np.linalg.solve(cell.T, positions.T).T
    places[:, pbc] -= np.floor(places[:, pbc] + _FACE)  # in [-_FACE, 1 - _FACE): atoms on a face are near 0
    atoms = np.arange(len(positions))
    for axis in np.flatnonzero(pbc):
        on_face = np.flatnonzero(np.abs(places[:, axis]) <= _FACE)
        repeated = places[on_face].copy()
        repeated[:, axis] += 1
        places, atoms = np.concatenate([places, repeated]), np.concatenate([atoms, atoms[on_face]])
    return atoms, places @ cell


def _rotation(axis: int, degrees: float) -> Vectors:
    """Return the matrix that turns row vectors about a Cartesian axis, counterclockwise seen from its tip."""
    angle = np.radians(degrees)
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = np.cos(angle)
    matrix[i, j], matrix[j, i] = np.sin(angle), -np.sin(angle)
    return matrix


def _view_of_crystal(cell: Vectors) -> Vectors:
    """Turn a cell so that a points to the right and c up, then to the left and to the front."""
    up = cell[2] / np.linalg.norm(cell[2])
    right = cell[0] - (cell[0] @ up) * up
    right /= np.linalg.norm(right)
    upright = np.stack([right, up, np.cross(right, up)], axis=1)
    turned: Vectors = upright @ _rotation(1, -22) @ _rotation(0, 14)
    return turned


def _view_of_molecule(positions: Vectors) -> Vectors:
    """Turn a molecule so that it is widest from left to right and thinnest along the line of sight, then tilt it."""
    centred = positions - positions.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=True)[2].T if len(positions) > 1 else np.eye(3)
    if np.linalg.det(axes) < 0:
        axes[:, 2] *= -1
    tilted: Vectors = axes @ _rotation(1, -18) @ _rotation(0, 15)
    return tilted
