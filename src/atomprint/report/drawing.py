"""Pictures of structures: atoms as balls, bonds as sticks, the cell as a box, seen from a little above."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import chemical_symbols, covalent_radii
from ase.data.colors import jmol_colors

from atomprint.report.plots import style
from atomprint.structures import as_batch
from atomprint.util.types import Array, FloatArray, Indices, Mask, Structure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Vectors = FloatArray

MAX_ATOMS = 1000
_BALL = 0.45  # radius of a ball in covalent radii
_STICK = 0.11  # half the width of a stick, Å
_SLACK = 0.3  # Å by which a bond may be longer than the sum of the covalent radii
_FACE = 0.02  # atoms so close to a face of the cell (in its units) are drawn on the face opposite, too
_RASTER = 150  # from how many atoms on the picture is made of pixels
_NONMETALS = (1, 2, *range(5, 11), *range(14, 19), *range(32, 37), *range(51, 55), 85, 86)
_WHITE = np.ones(3)


def draw_structure(structure: Structure, *, size: float = 1.9, highlight: int | None = None) -> Figure:
    """Draw a structure.

    Molecules lie flat on the page as far as they are flat; crystals are seen from the front, turned a little to the
    right and from above, with atoms on the faces of the cell repeated. What is far away is paler. Colours are Jmol's.

    Parameters
    ----------
    structure : Atoms, pymatgen Structure or Molecule
        The structure.
    size : float
        Width of the picture in inches.
    highlight : int, optional
        An atom to mark with a ring.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If the structure has more than :data:`MAX_ATOMS` atoms, too many to be seen, or no atom ``highlight``.
    """
    batch = as_batch([structure], periodic=None)
    n_atoms = len(batch.numbers)
    if n_atoms > MAX_ATOMS:
        raise ValueError(f"structure must have at most {MAX_ATOMS} atoms to be drawn, got {n_atoms}")
    if highlight is not None and not 0 <= highlight < n_atoms:
        raise ValueError(f"highlight must be an atom of 0..{n_atoms - 1}, got {highlight}")
    cell = batch.cells[0] if batch.pbc.any() and abs(np.linalg.det(batch.cells[0])) > 1e-8 else None
    atoms, positions = (
        (np.arange(n_atoms), batch.positions) if cell is None else _with_faces(batch.positions, cell, batch.pbc[0])
    )
    view = _view_of_molecule(positions) if cell is None else _view_of_crystal(cell)
    with style.figure(size, size + 0.2, arranged=False) as figure:
        ax = figure.add_axes((0.0, 0.2 / (size + 0.2), 1.0, size / (size + 0.2)))
        _draw(ax, batch.numbers[atoms], positions @ view, None if cell is None else cell @ view)
        if highlight is not None:
            x, y, _ = (positions @ view)[highlight]
            radius = _BALL * covalent_radii[batch.numbers[highlight]] + 0.25
            ax.add_patch(_circle((x, y), radius, fill=False, edgecolor="#d00000", linewidth=1.6, zorder=1e6))
        _legend(figure, batch.numbers, 0.1 / (size + 0.2), size)
    return figure


def _draw(ax: Axes, numbers: Array, points: Vectors, cell: Vectors | None) -> None:
    """Draw projected atoms, bonds and the cell; the third coordinate points to the eye."""
    radii = _BALL * covalent_radii[numbers]
    depth = points[:, 2]
    far = (depth.max() - depth) / (np.ptp(depth) or 1.0)
    fog = 0.35 * far if np.ptp(depth) > 2 else np.zeros(len(depth))
    if len(numbers) > _RASTER:
        ax.set_rasterization_zorder(np.inf)
    for i, j in _bonds(points, numbers):
        _stick(ax, points[i], points[j], radii[i], radii[j], (fog[i] + fog[j]) / 2)
    for point, number, radius, pale in zip(points, numbers, radii, fog, strict=True):
        colour = _mixed(jmol_colors[number], pale)
        edge = _mixed(0.35 * jmol_colors[number], pale)
        ax.add_patch(_circle(point[:2], radius, facecolor=colour, edgecolor=edge, linewidth=0.6, zorder=point[2]))
        shine = point[:2] + radius * np.array([-0.32, 0.36])
        ax.add_patch(_circle(shine, 0.3 * radius, facecolor=_mixed(colour, 0.55), linewidth=0, zorder=point[2]))
    corners = points[:, :2]
    if cell is not None:
        corners = np.concatenate([corners, _box(ax, cell)])
    margin = radii.max() + 0.3
    low, high = corners.min(axis=0) - margin, corners.max(axis=0) + margin
    centre, half = (low + high) / 2, max((high - low).max() / 2, 1.6)
    ax.set(xlim=(centre[0] - half, centre[0] + half), ylim=(centre[1] - half, centre[1] + half), aspect="equal")
    ax.axis("off")


def _circle(centre: Any, radius: float, **options: Any) -> Any:
    from matplotlib.patches import Circle

    return Circle(tuple(centre), radius, **options)


def _stick(ax: Axes, a: Vectors, b: Vectors, r_a: float, r_b: float, pale: float) -> None:
    """Draw a bond from the surface of one ball to that of the other, just behind the nearer ball."""
    from matplotlib.patches import Polygon

    length = float(np.linalg.norm(b - a))
    flat = (b - a)[:2]
    if length <= r_a + r_b or np.linalg.norm(flat) < 1e-3:
        return
    start, end = (a + (b - a) * 0.8 * r_a / length)[:2], (b - (b - a) * 0.8 * r_b / length)[:2]
    side = _STICK * np.array([-flat[1], flat[0]]) / np.linalg.norm(flat)
    ax.add_patch(
        Polygon(
            [start + side, end + side, end - side, start - side],
            closed=True,
            facecolor=_mixed(np.full(3, 0.72), pale),
            edgecolor=_mixed(np.full(3, 0.35), pale),
            linewidth=0.5,
            zorder=min(a[2], b[2]) + 0.25 * abs(b[2] - a[2]) - 1e-3,
        )
    )


def _box(ax: Axes, cell: Vectors) -> Vectors:
    """Draw the edges of the cell, those at the corner farthest from the eye behind all atoms and dashed."""
    places = np.array(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij")).reshape(3, -1).T
    corners = places @ cell
    hidden = int(np.argmin(corners[:, 2]))
    for i in range(8):
        for j in range(i + 1, 8):
            if np.abs(places[i] - places[j]).sum() != 1:
                continue
            x, y, depth = corners[[i, j]].T
            looks: dict[str, Any] = {"ls": "-", "zorder": depth.mean()}
            if hidden in (i, j):
                looks = {"ls": (0, (3, 3)), "zorder": depth.min() - 10}
            ax.plot(x, y, color=style.FAINT, lw=0.7, solid_capstyle="round", **looks)
    return corners[:, :2]


def _legend(figure: Figure, numbers: Array, height: float, width: float) -> None:
    elements = sorted(set(numbers.tolist()))
    room = int(width / 0.3)
    shown = elements if len(elements) <= room else elements[: room - 1]
    labels = [chemical_symbols[z] for z in shown] + ([] if len(shown) == len(elements) else ["…"])
    places = 0.5 + (np.arange(len(labels)) - (len(labels) - 1) / 2) * 0.3 / width
    ax = figure.add_axes((0.0, 0.0, 1.0, 2 * height))
    ax.set(xlim=(0, 1), ylim=(0, 1))
    ax.axis("off")
    for x, label, z in zip(places, labels, [*shown, 0], strict=False):
        if label != "…":
            colour = jmol_colors[z]
            ax.plot([x - 0.045], [0.5], "o", ms=5, mfc=colour, mec=0.35 * colour, mew=0.5)
        ax.text(x - 0.018, 0.5, label, fontsize=7.5, va="center_baseline", ha="left")


def _bonds(points: Vectors, numbers: Array) -> Indices:
    """Return pairs of atoms that are about as close as the sum of their covalent radii.

    Where there are nonmetals, what counts are the bonds to them: two metals are not joined.
    """
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


def _mixed(colour: Any, white: float) -> Any:
    return (1 - white) * np.asarray(colour) + white * _WHITE
