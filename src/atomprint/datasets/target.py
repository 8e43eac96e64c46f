"""A property of structures or of their atoms: its values, its unit and what exactly it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atomprint.util.types import FloatArray, Indices

Label = float | str | FloatArray | None
"""A value as people read it: a number, the name of a class, a number for each atom, or None if it is not known."""


@dataclass(frozen=True, eq=False)
class Target:
    """A property with one value for each structure, or for each atom.

    Parameters
    ----------
    values : ndarray, shape (n_structures,)
        Numbers (float64) in ``unit``; nan where the property is not known. If there are ``classes``, indices into
        them, nan where the class is not known. For ``level="atom"`` an array of objects: for each structure an array of
        float64, shape (n_atoms,), with nan for atoms of which the property is not known, or None.
    unit : str
        Such as ``"kcal/mol"``; empty for classes and numbers without a unit.
    title : str
        The property in words, as axes of plots show it.
    definition : str
        What exactly the numbers are: conditions, method, sign.
    classes : tuple of str
        Names of the classes if the property is a category, in the order of their indices; empty for a number. For
        two classes the second is the positive one.
    level : {"structure", "atom"}
        What has the property.
    vector : str
        The vector or tensor that the property is a component of, if it is one.
    """

    values: FloatArray | npt.NDArray[np.object_]
    unit: str
    title: str
    definition: str
    classes: tuple[str, ...] = ()
    level: str = "structure"
    vector: str = ""

    @property
    def kind(self) -> str:
        """``"classification"`` if there are classes, else ``"regression"``."""
        return "classification" if self.classes else "regression"

    @property
    def known(self) -> Indices:
        """Indices of the structures for which the property is known (of one atom at least)."""
        if self.level == "atom":
            return np.flatnonzero([v is not None and bool(np.isfinite(v).any()) for v in self.values])
        return np.flatnonzero(np.isfinite(self.values))

    def label(self, index: int) -> Label:
        """Return the value of one structure as people read it: the name of its class, None if that is not known."""
        value = self.values[index]
        if self.level == "atom":
            return value
        if not self.classes:
            return float(value)
        return self.classes[int(value)] if np.isfinite(value) else None
