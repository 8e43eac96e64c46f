"""What every loader returns: structures, what is known about each, and what that means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Target:
    """A property with one value for each structure.

    Parameters
    ----------
    values : ndarray of float64, shape (n_structures,)
        In ``unit``; nan where the property is not known.
    unit : str
        Such as ``"kcal/mol"``.
    title : str
        The property in words, as axes of plots show it.
    definition : str
        What exactly the numbers are: conditions, method, sign.
    """

    values: npt.NDArray[np.float64]
    unit: str
    title: str
    definition: str

    @property
    def known(self) -> npt.NDArray[np.intp]:
        """Indices of the structures for which the property is known."""
        return np.flatnonzero(np.isfinite(self.values))


@dataclass(frozen=True, eq=False)
class Dataset:
    """Structures and their properties.

    Parameters
    ----------
    name : str
        Short name, as loaders and files use it.
    title : str
        The data set in a few words.
    structures : sequence
        Structures of any kind that descriptors take.
    ids : tuple of str
        One unique name for each structure.
    targets : mapping of str to Target
        Properties by short name.
    description : str
        What the structures are.
    source : str
        Where the data come from and how to cite them.
    """

    name: str
    title: str
    structures: Sequence[Any]
    ids: tuple[str, ...]
    targets: Mapping[str, Target]
    description: str
    source: str

    def __post_init__(self) -> None:
        n = len(self.structures)
        if len(self.ids) != n or len(set(self.ids)) != n:
            raise ValueError(f"ids must be {n} different names, one for each structure, got {len(self.ids)}")
        for name, target in self.targets.items():
            if target.values.shape != (n,):
                raise ValueError(
                    f"target {name!r} must have one value for each of {n} structures, got shape {target.values.shape}"
                )

    def __len__(self) -> int:
        return len(self.structures)

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}: {len(self)} structures, targets {', '.join(self.targets)})"

    def take(self, indices: Iterable[int]) -> Dataset:
        """Return the data set with only some of its structures, in the given order."""
        chosen = list(indices)
        return replace(
            self,
            structures=[self.structures[i] for i in chosen],
            ids=tuple(self.ids[i] for i in chosen),
            targets={name: replace(target, values=target.values[chosen]) for name, target in self.targets.items()},
        )
