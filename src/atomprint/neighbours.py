"""Pairs of atoms within a cutoff: the neighbour search of the descriptors, for everyone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atomprint import _core
from atomprint.ragged import places
from atomprint.structures import Batch, Structures, as_batch
from atomprint.util.memory import NotEnoughMemoryError, available_memory, size_of
from atomprint.util.validation import check_n_jobs, check_real

__all__ = ["Pairs", "pairs"]

_BYTES = 150  # for each pair, twice while they are gathered
_ANY_NUMBER = 2**62


@dataclass(frozen=True, eq=False, slots=True)
class Pairs:
    """Pairs of atoms, each seen from both of its ends: sorted by structure, first atom, second atom and shift.

    Parameters
    ----------
    structures : ndarray of int64, shape (n_pairs,)
        Index of the structure.
    first, second : ndarray of int64, shape (n_pairs,)
        Indices of the two atoms within their structure.
    shifts : ndarray of int64, shape (n_pairs, 3)
        The periodic image of the second atom, in lattice vectors.
    vectors : ndarray of float64, shape (n_pairs, 3)
        From the first atom to that image of the second, ``positions[second] + shift @ cell - positions[first]``, in Å.
    distances : ndarray of float64, shape (n_pairs,)
        Their lengths, in Å.
    """

    structures: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]
    shifts: npt.NDArray[np.int64]
    vectors: npt.NDArray[np.float64]
    distances: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.first)


def pairs(structures: Structures, r_cut: float, n_jobs: int = 1) -> Pairs:
    """Find all pairs of atoms that are closer than a cutoff.

    Parameters
    ----------
    structures : structure or sequence of structures
        ``ase.Atoms``, pymatgen ``Structure`` or ``Molecule``, files that ASE reads, or a
        :class:`~atomprint.structures.Batch`. Periodic boundary conditions are kept where a structure has them; the cell
        may be of any shape, and smaller than the cutoff: then an atom is a neighbour of its own images, too.
    r_cut : float
        Cutoff in Å; pairs exactly at it do not count.
    n_jobs : int
        Number of threads; -1 means all cores.

    Returns
    -------
    Pairs

    Raises
    ------
    ValueError, TypeError
        If a structure or the cutoff is not usable, or the cutoff reaches too many images of a small cell.
    NotEnoughMemoryError
        If the pairs do not fit into memory.

    Examples
    --------
    >>> from ase.build import bulk, molecule
    >>> found = pairs([molecule("H2O"), bulk("NaCl", "rocksalt", 5.64)], r_cut=3.0)
    >>> found.distances[found.structures == 0].round(2)
    array([0.97, 0.97, 0.97, 1.53, 0.97, 1.53])
    """
    cutoff, n_threads = check_real("r_cut", r_cut, above=0), check_n_jobs(n_jobs)
    return find_neighbours(as_batch(structures, periodic=None), cutoff, n_threads)


def find_pairs(batch: Batch, r_cut: float, n_threads: int = 1) -> Pairs:
    """Return what :func:`pairs` does, for structures that have been checked."""
    return _search(batch, batch.positions, places(batch.offsets), batch.offsets, r_cut, n_threads)


def find_neighbours(
    batch: Batch,
    r_cut: float,
    n_threads: int = 1,
    *,
    radii: npt.NDArray[np.float64] | None = None,
    n_nearest: int | None = None,
    keep_ties: bool = True,
    tolerance: float = 0.0,
) -> Pairs:
    """Return those pairs within a cutoff that are neighbours by a rule, as seen from the first atom.

    Parameters
    ----------
    batch : Batch
        Structures that have been checked.
    r_cut : float
        Cutoff in Å.
    n_threads : int
        Number of threads.
    radii : ndarray of float64, shape (n_atoms,), optional
        In Å, of each atom: neighbours are closer than the sum of both radii, too.
    n_nearest : int, optional
        Of these only the nearest to each atom.
    keep_ties : bool
        Whether those that are as far as the last of the nearest are neighbours, too. Else the first of them, in the
        order of atoms and shifts, are taken until there are ``n_nearest``.
    tolerance : float
        In Å: distances that differ by no more are equal, for ties.

    Returns
    -------
    Pairs
        With ``n_nearest`` a pair need not be there from its other end.

    Raises
    ------
    NotEnoughMemoryError
        If the pairs do not fit into memory; none are kept then.
    StructureError
        If the cutoff reaches too many images of a small cell.
    """
    free = available_memory()
    return _search(
        batch, batch.positions, places(batch.offsets), batch.offsets, r_cut, n_threads,
        radii=radii, n_nearest=n_nearest or 0, keep_ties=keep_ties, tolerance=tolerance,
        most=_ANY_NUMBER if free is None else free // _BYTES,
    )  # fmt: skip


def find_around(
    batch: Batch, points: npt.NDArray[np.float64], offsets: npt.NDArray[np.int64], r_cut: float, n_threads: int = 1
) -> Pairs:
    """Return pairs of a point and an atom, with the index of the point among those of its structure as ``first``.

    Parameters
    ----------
    batch : Batch
        The structures.
    points : ndarray, shape (n_points, 3)
        Positions in Å. A point at the position of an atom is paired with it.
    offsets : ndarray of int64, shape (n_structures + 1,)
        Structure ``s`` owns the points ``offsets[s]`` to ``offsets[s + 1]``.
    r_cut, n_threads
        As for :func:`pairs`.
    """
    return _search(batch, points, None, offsets, r_cut, n_threads)


def _search(
    batch: Batch,
    points: npt.NDArray[np.float64],
    atoms: npt.NDArray[np.int64] | None,
    offsets: npt.NDArray[np.int64],
    r_cut: float,
    n_threads: int,
    *,
    radii: npt.NDArray[np.float64] | None = None,
    n_nearest: int = 0,
    keep_ties: bool = True,
    tolerance: float = 0.0,
    most: int = _ANY_NUMBER,
) -> Pairs:
    """Return the pairs of points and atoms; the points may stand for atoms, which are not paired with themselves."""
    centers = _core.Centers(points, np.full(len(points), -1) if atoms is None else atoms, offsets)
    try:
        found = _core.neighbour_pairs(
            batch.core(), centers, r_cut, atoms is None, radii, n_nearest, keep_ties, tolerance, most, n_threads
        )
    except MemoryError as error:
        if most == _ANY_NUMBER:
            raise
        left = f"which is what fits into {size_of(most * _BYTES)} of memory"
        raise NotEnoughMemoryError(f"r_cut = {r_cut:g} is too large: {error}, {left}") from None
    return Pairs(*found)
