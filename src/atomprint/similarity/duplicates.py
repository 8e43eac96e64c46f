"""Structures that are there more than once, and what is left without them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from atomprint.chemistry.contents import each_counted
from atomprint.chemistry.formula import reduced_formula
from atomprint.similarity.fingerprint import N_NEIGHBOURS
from atomprint.similarity.near import Near
from atomprint.similarity.verify import Verifier
from atomprint.structures import Batch, StructureError, Structures, as_batch
from atomprint.util.progress import Progress, silent
from atomprint.util.types import FloatArray, Indices
from atomprint.util.validation import check_bool, check_integer, check_n_jobs, check_real

TOLERANCE = 0.05
"""In Å: beyond the noise of relaxations, below the differences between phases."""


@dataclass(frozen=True, eq=False, slots=True)
class Group:
    """Structures that are the same.

    Parameters
    ----------
    formula : str
        Reduced.
    rows : ndarray of int
        Which structures, ascending; the first stands for all.
    distances : ndarray of float64
        From the first, in Å.
    """

    formula: str
    rows: Indices
    distances: FloatArray

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, eq=False)
class Duplicates:
    """Groups of structures that are the same.

    Parameters
    ----------
    formulas : tuple of str
        Reduced formula of each structure.
    first : ndarray of int, shape (n_structures,)
        For each structure the one that stands for its group, which is the earliest; itself, if it is that or alone.
    distances : ndarray of float64, shape (n_structures,)
        From that one, in Å.
    tolerance : float
        The largest that a distance could be, in Å.
    """

    formulas: tuple[str, ...]
    first: Indices
    distances: FloatArray
    tolerance: float

    def __len__(self) -> int:
        return len(self.groups)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """Those of two and more structures, in the order of their first ones."""
        order = np.argsort(self.first, kind="stable")
        runs = np.split(order, np.flatnonzero(np.diff(self.first[order])) + 1)
        return tuple(Group(self.formulas[run[0]], run, self.distances[run]) for run in runs if len(run) > 1)

    @property
    def unique(self) -> Indices:
        """The first structure of each group, and those that are alone, ascending."""
        return np.flatnonzero(self.first == np.arange(len(self.first)))

    @property
    def polymorphs(self) -> dict[str, Indices]:
        """Unique structures by reduced formula, for each formula that has more than one."""
        found: dict[str, list[int]] = {}
        for row in self.unique.tolist():
            found.setdefault(self.formulas[row], []).append(row)
        return {formula: np.array(rows) for formula, rows in found.items() if len(rows) > 1}


def find_duplicates(
    structures: Structures,
    *,
    tolerance: float = TOLERANCE,
    scale: bool = False,
    verify: bool = False,
    n_neighbours: int = N_NEIGHBOURS,
    n_jobs: int = 1,
    progress: Progress = silent,
) -> Duplicates:
    """Find structures that are the same, whatever their orientation, order of atoms and cell.

    Each group has a first structure, and all others are within the tolerance of that one; of two structures that are
    first in their groups none is within the tolerance of the other. So no chain of small steps, as of a simulation,
    becomes one group, and of what is left out each has a likeness that is kept.

    Parameters
    ----------
    structures : structure or sequence of structures
        Of any kind that descriptors take. Only those of one reduced formula and with as many periodic directions are
        compared, and molecules only with those of as many atoms.
    tolerance : float
        How far distances between atoms may differ, in Å; see :class:`Fingerprint`.
    scale : bool
        Whether structures that differ in size alone count as the same: both are brought to the same mean distance.
    verify : bool
        Whether crystals must also match by ``StructureMatcher`` of pymatgen, which tells those from each other that
        have the same distances, and takes about 5 ms for each pair within the tolerance. (Extra ``pymatgen``.)
    n_neighbours : int
        Neighbours of each atom that are compared. More tell stackings with longer periods from each other.
    n_jobs : int
        Number of threads; -1 means all cores.
    progress : callable, optional
        Told how many structures of formulas that occur more than once have been compared.

    Returns
    -------
    Duplicates

    Raises
    ------
    ValueError, TypeError
        If a structure is not usable; the message names it.
    ImportError
        If ``verify`` is asked for and pymatgen is not installed.

    Notes
    -----
    Mirror images count as the same, as they have the same energy: also the two forms of a chiral crystal or molecule.

    Examples
    --------
    >>> from ase.build import bulk
    >>> rocksalt, caesium_chloride = bulk("NaCl", "rocksalt", 5.64), bulk("NaCl", "cesiumchloride", 3.4)
    >>> found = find_duplicates([rocksalt, caesium_chloride, rocksalt.repeat((1, 2, 3))])
    >>> [group.rows.tolist() for group in found.groups], found.unique.tolist()
    ([[0, 2]], [0, 1])
    """
    tolerance = check_real("tolerance", tolerance, above=0)
    check_bool("scale", scale)
    verifier = Verifier(scale) if check_bool("verify", verify) else None
    n_neighbours, n_threads = check_integer("n_neighbours", n_neighbours, 1), check_n_jobs(n_jobs)
    batch = as_batch(structures, periodic=None)
    formulas = tuple(reduced_formula(one) for one in each_counted(batch))
    first, distances = np.arange(len(batch)), np.zeros(len(batch))
    runs = list(comparable(batch, formulas))
    total, done = sum(map(len, runs)), 0
    for rows in runs:
        progress("Comparing structures", done, total)
        with counted_among(rows):
            near = Near(batch.pick(rows), tolerance, scale, n_neighbours, n_threads)
        accept = None if verifier is None else _Pairwise(verifier, batch, rows)
        for members, away in near.groups(accept):
            first[rows[members]] = rows[members[0]]
            distances[rows[members]] = away
        done += len(rows)
    progress("Comparing structures", total, total)
    return Duplicates(formulas, first, distances, tolerance)


@contextmanager
def counted_among(rows: Indices) -> Iterator[None]:
    """Within a ``with`` block that works on some structures, make errors tell the index among all of them."""
    try:
        yield
    except StructureError as error:
        error.index = int(rows[error.index])
        raise


def comparable(batch: Batch, formulas: Sequence[str]) -> Iterator[Indices]:
    """Yield runs of structures that could be the same: of one formula and periodicity, and molecules of one size."""
    codes = np.unique(np.asarray(formulas, dtype=np.str_), return_inverse=True)[1]
    periods = batch.pbc.sum(axis=1)
    sizes = np.where(periods == 0, batch.n_atoms, 0)
    order = np.lexsort((sizes, periods, codes))
    keys = np.stack([codes, periods, sizes])[:, order]
    for run in np.split(order, np.flatnonzero((np.diff(keys) != 0).any(axis=0)) + 1):
        if len(run) > 1:
            yield run


class _Pairwise:
    """Which pairs of a run of structures a verifier accepts."""

    def __init__(self, verifier: Verifier, batch: Batch, rows: Indices) -> None:
        self._verifier, self._batch, self._rows = verifier, batch, rows

    def __call__(self, one: int, others: Indices) -> npt.NDArray[np.bool_]:
        first = self._batch[int(self._rows[one])]
        found = [self._verifier(first, self._batch[int(self._rows[other])]) for other in others.tolist()]
        return np.array(found, dtype=np.bool_)
