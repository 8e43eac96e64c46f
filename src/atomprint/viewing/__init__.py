"""Structures in three dimensions, for notebooks and pages; nothing has to be installed and no network is needed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from html import escape
from importlib import resources

import numpy as np
from ase.data import chemical_symbols, covalent_radii
from ase.symbols import Symbols

from atomprint.util.files import write_atomically
from atomprint.util.text import counted
from atomprint.util.types import PathOrStr, Structure
from atomprint.util.validation import check_integer
from atomprint.viewing.scene import BALL, COLOURS, EDGES, Scene

__all__ = ["View", "show"]

_STYLE = "html, body { margin: 0; height: 100% } canvas { display: block; width: 100%; height: 100%; cursor: grab; \
touch-action: pan-y; outline: none; background: #fff }"


def show(structure: Structure, *, size: int = 320) -> View:
    """Show a structure in three dimensions, where a cell of a notebook ends with it.

    Drag it, or use the arrow keys, to turn it; the wheel brings it nearer once it has been clicked, a double click puts
    it back. Atoms on the faces of a cell are repeated on those opposite, and colours are Jmol's.

    Parameters
    ----------
    structure : Atoms, pymatgen Structure or Molecule, or path
        One structure, of at most 1000 atoms.
    size : int
        Width and height in pixels.

    Returns
    -------
    View
        What a notebook shows; ``save`` writes it as a page.

    Raises
    ------
    ValueError
        If there is not one structure, or it has too many atoms to be seen.

    Examples
    --------
    >>> from ase.build import molecule
    >>> show(molecule("C2H6"))
    View(C2H6, 8 atoms)
    """
    return View(Scene.of(structure), check_integer("size", size, 50, 4000))


@dataclass(frozen=True, eq=False, repr=False)
class View:
    """A structure in three dimensions, as :func:`show` makes it."""

    scene: Scene = field(repr=False)
    size: int

    def __repr__(self) -> str:
        return f"View({self._formula()}, {counted(self.scene.n_atoms, 'atom')})"

    def _repr_html_(self) -> str:
        page, side = escape(self.page(), quote=True), f"{self.size}px"
        looks = f"width: {side}; max-width: 100%; height: {side}; border: 1px solid #d5dae0; border-radius: 6px"
        title = escape(f"{self._formula()} in three dimensions")
        frame = f'<iframe srcdoc="{page}" title="{title}" sandbox="allow-scripts" style="{looks}"></iframe>'
        return f"<div>{frame}<br>{self._legend()}</div>"

    def page(self) -> str:
        """Return a page of HTML with nothing but the picture, and all that it needs in it."""
        title = escape(f"{self._formula()}, {counted(self.scene.n_atoms, 'atom')}")
        data = json.dumps(self._data())
        script = resources.files("atomprint.viewing").joinpath("turn.js").read_text(encoding="utf-8")
        return (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
            f'</head><body><canvas tabindex="0" role="img" aria-label="{title}, in three dimensions"></canvas>'
            f'<script>{script}\nview(document.querySelector("canvas"), {data});</script></body></html>'
        )

    def save(self, path: PathOrStr) -> None:
        """Write it as a page of HTML that needs no network.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        write_atomically(path, self.page())

    def _elements(self) -> list[int]:
        return sorted(set(self.scene.numbers.tolist()))

    def _formula(self) -> str:
        return str(Symbols(self.scene.numbers[: self.scene.n_atoms]).get_chemical_formula("metal"))

    def _legend(self) -> str:
        dot = "display: inline-block; width: .75em; height: .75em; border-radius: 50%; border: 1px solid #0006"
        items = (
            f'<i style="{dot}; background: {_colour(z)}"></i> {chemical_symbols[z]}&emsp;' for z in self._elements()
        )
        return f"<small>{''.join(items)}</small>"

    def _data(self) -> dict[str, object]:
        elements, corners = self._elements(), self.scene.corners()
        return {
            "points": self.scene.points.round(3).tolist(),
            "kinds": np.searchsorted(elements, self.scene.numbers).tolist(),
            "colours": [_colour(z) for z in elements],
            "radii": (BALL * covalent_radii[elements]).round(3).tolist(),
            "bonds": self.scene.bonds.tolist(),
            "edges": [corners[[i, j]].round(3).tolist() for i, j in EDGES] if len(corners) else [],
        }


def _colour(z: int) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in COLOURS[z])
