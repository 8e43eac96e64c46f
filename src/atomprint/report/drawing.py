"""Pictures of structures: atoms as balls, bonds as sticks, the cell as a box, seen from a little above."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import chemical_symbols, covalent_radii

from atomprint.report.plots import style
from atomprint.util.types import Array, Structure
from atomprint.viewing.scene import BALL, COLOURS, EDGES, Scene, Vectors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STICK = 0.11  # half the width of a stick, Å
_RASTER = 150  # from how many atoms on the picture is made of pixels
_WHITE = np.ones(3)


def draw_structure(structure: Structure, *, size: float = 1.9, highlight: int | None = None) -> Figure:
    """Draw a structure.

    It is seen as :class:`~atomprint.viewing.scene.Scene` says. What is far away is paler. Colours are Jmol's.

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
    scene = Scene.of(structure)
    if highlight is not None and not 0 <= highlight < scene.n_atoms:
        raise ValueError(f"highlight must be an atom of 0..{scene.n_atoms - 1}, got {highlight}")
    with style.figure(size, size + 0.2, arranged=False) as figure:
        ax = figure.add_axes((0.0, 0.2 / (size + 0.2), 1.0, size / (size + 0.2)))
        _draw(ax, scene)
        if highlight is not None:
            x, y, _ = scene.points[highlight]
            radius = BALL * covalent_radii[scene.numbers[highlight]] + 0.25
            ax.add_patch(_circle((x, y), radius, fill=False, edgecolor="#d00000", linewidth=1.6, zorder=1e6))
        _legend(figure, scene.numbers, 0.1 / (size + 0.2), size)
    return figure


def _draw(ax: Axes, scene: Scene) -> None:
    """Draw atoms, bonds and the cell."""
    numbers, points = scene.numbers, scene.points
    radii = BALL * covalent_radii[numbers]
    depth = points[:, 2]
    far = (depth.max() - depth) / (np.ptp(depth) or 1.0)
    fog = 0.35 * far if np.ptp(depth) > 2 else np.zeros(len(depth))
    if len(numbers) > _RASTER:
        ax.set_rasterization_zorder(np.inf)
    for i, j in scene.bonds:
        _stick(ax, points[i], points[j], radii[i], radii[j], (fog[i] + fog[j]) / 2)
    for point, number, radius, pale in zip(points, numbers, radii, fog, strict=True):
        colour = _mixed(COLOURS[number], pale)
        edge = _mixed(0.35 * COLOURS[number], pale)
        ax.add_patch(_circle(point[:2], radius, facecolor=colour, edgecolor=edge, linewidth=0.6, zorder=point[2]))
        shine = point[:2] + radius * np.array([-0.32, 0.36])
        ax.add_patch(_circle(shine, 0.3 * radius, facecolor=_mixed(colour, 0.55), linewidth=0, zorder=point[2]))
    corners = np.concatenate([points, scene.corners()])[:, :2]
    if scene.cell is not None:
        _box(ax, scene.corners())
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


def _box(ax: Axes, corners: Vectors) -> None:
    """Draw the edges of the cell, those at the corner farthest from the eye behind all atoms and dashed."""
    hidden = int(np.argmin(corners[:, 2]))
    for edge in EDGES:
        x, y, depth = corners[list(edge)].T
        looks: dict[str, Any] = {"ls": "-", "zorder": depth.mean()}
        if hidden in edge:
            looks = {"ls": (0, (3, 3)), "zorder": depth.min() - 10}
        ax.plot(x, y, color=style.FAINT, lw=0.7, solid_capstyle="round", **looks)


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
            colour = COLOURS[z]
            ax.plot([x - 0.045], [0.5], "o", ms=5, mfc=colour, mec=0.35 * colour, mew=0.5)
        ax.text(x - 0.018, 0.5, label, fontsize=7.5, va="center_baseline", ha="left")


def _mixed(colour: Any, white: float) -> Any:
    return (1 - white) * np.asarray(colour) + white * _WHITE
