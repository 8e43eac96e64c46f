"""A second opinion on whether two crystals are the same: pymatgen maps the atoms of one onto the other."""

from __future__ import annotations

from typing import Any

from ase import Atoms

from atomprint.util.extras import require


class Verifier:
    """Ask ``StructureMatcher`` of pymatgen, with its own tolerances, whether crystals match.

    Parameters
    ----------
    scale : bool
        Whether crystals of different volumes may match.

    Raises
    ------
    ImportError
        If pymatgen is not installed.
    """

    def __init__(self, scale: bool) -> None:
        matching = require("pymatgen.analysis.structure_matcher", "pymatgen", "verify=True")
        self._core = require("pymatgen.core", "pymatgen", "verify=True")
        self._matcher = matching.StructureMatcher(scale=scale)

    def __call__(self, one: Atoms, other: Atoms) -> bool:
        """Return whether two structures match; those that do not repeat in three directions are not judged, and do."""
        if not (one.pbc.all() and other.pbc.all()):
            return True
        return bool(self._matcher.fit(self._structure(one), self._structure(other)))

    def _structure(self, atoms: Atoms) -> Any:
        return self._core.Structure(atoms.cell.array, atoms.numbers, atoms.get_scaled_positions(wrap=False))
