"""What every loader returns: structures or compositions, what is known about each, and what that means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.intp]


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
    """

    values: npt.NDArray[Any]
    unit: str
    title: str
    definition: str
    classes: tuple[str, ...] = ()
    level: str = "structure"

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


@dataclass(frozen=True, slots=True)
class Failure:
    """One row that could not be read or described, and why.

    Parameters
    ----------
    row : int
        Where it is in its source, counted from 0.
    id : str
        Its name there, or its row as text.
    step : str
        What failed, such as ``"read"``, ``"structure"``, ``"target"`` or ``"features"``.
    reason : str
        The message.
    """

    row: int
    id: str
    step: str
    reason: str


@dataclass(frozen=True, eq=False)
class Dataset:
    """Structures or compositions and their properties.

    Parameters
    ----------
    name : str
        Short name, as loaders and files use it.
    title : str
        The data set in a few words.
    structures : sequence or None
        Structures of any kind that descriptors take; None if there are only compositions.
    ids : tuple of str
        One unique name for each structure.
    targets : mapping of str to Target
        Properties by short name.
    description : str
        What the structures are.
    source : str
        Where the data come from and how to cite them.
    compositions : sequence of str or None
        A formula for each structure; None if there are structures, whose formulas are then known.
    groups : mapping of str to ndarray of str
        Labels by which to keep structures together or apart, such as ``"space group"`` or ``"prototype"``; one for each
        structure, empty where it is not known.
    folds : tuple of (ndarray of int, ndarray of int)
        The official folds, if the data set has any: indices to fit, and indices to predict.
    licence : str
        Licence of the data.
    failures : tuple of Failure
        Rows that were left out, with ``on_error="skip"``.
    """

    name: str
    title: str
    structures: Any
    ids: tuple[str, ...]
    targets: Mapping[str, Target]
    description: str
    source: str
    compositions: Sequence[str] | None = None
    groups: Mapping[str, npt.NDArray[np.str_]] = field(default_factory=dict)
    folds: tuple[tuple[Indices, Indices], ...] = ()
    licence: str = ""
    failures: tuple[Failure, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.ids)
        if self.structures is None and self.compositions is None:
            raise ValueError("structures and compositions must not both be None")
        for what in ("structures", "compositions"):
            items = getattr(self, what)
            if items is not None and len(items) != n:
                raise ValueError(f"ids must name each of {len(items)} {what}, got {n}")
        if len(set(self.ids)) != n:
            raise ValueError(f"ids must be {n} different names, got {len(set(self.ids))}")
        for what, arrays in (
            ("target", {name: target.values for name, target in self.targets.items()}),
            ("group", self.groups),
        ):
            for name, values in arrays.items():
                if values.shape != (n,):
                    raise ValueError(
                        f"{what} {name!r} must have one value for each of {n} structures, got shape {values.shape}"
                    )

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        what = "compositions" if self.structures is None else "structures"
        return f"Dataset({self.name!r}: {len(self)} {what}, targets {', '.join(self.targets)})"

    def take(self, indices: Iterable[int]) -> Dataset:
        """Return the data set with only some of its structures, in the given order, and without official folds."""
        chosen = np.asarray(list(indices), dtype=np.intp)

        def pick(items: Any) -> Any:
            return None if items is None else [items[i] for i in chosen]

        return replace(
            self,
            structures=pick(self.structures),
            compositions=pick(self.compositions),
            ids=tuple(self.ids[i] for i in chosen),
            targets={name: replace(target, values=target.values[chosen]) for name, target in self.targets.items()},
            groups={name: labels[chosen] for name, labels in self.groups.items()},
            folds=(),
        )
