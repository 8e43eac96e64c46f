"""Fingerprints of structures: sorted distances between their atoms, which any way to write a structure leaves alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from atomprint import _core
from atomprint.ragged import offsets_of
from atomprint.structures import Batch, Structures, as_batch, counted_from
from atomprint.util.types import FloatArray, Indices, Structure
from atomprint.util.validation import check_bool, check_integer, check_n_jobs

N_NEIGHBOURS = 64
"""Neighbours of each atom that are compared. Close packings differ from the 19th neighbour on; with 64, about one in a
hundred pairs of Materials Project that are called the same is not, all of them stackings or within the tolerance."""

_SUMMARY = 256  # numbers of a summary, about
_RUN = 256  # structures described at once, of which all distances are in memory


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """Distances from the atoms of a structure to their nearest neighbours.

    Rotation, reflection, translation, the order of atoms and the choice of cell, even of a supercell, change nothing.
    If atoms move by up to d, no number changes by more than 2 d. Averages over atoms are the average minimum distances
    of Widdowson et al., MATCH Commun. Math. Comput. Chem. 87, 529 (2022), here for each pair of species; columns keep
    what averages hide, such as the one atom of a large cell that has moved.

    Mirror images have the same fingerprint, and so have the few structures that differ in angles alone and in none of
    these distances (homometric ones), or only beyond the neighbours that are counted.

    Parameters
    ----------
    species : ndarray of int, shape (n_species,)
        Atomic numbers, ascending.
    counts : ndarray of int, shape (n_species,)
        Atoms of each.
    columns : ndarray of float64, shape (n_atoms, n_columns)
        Distances to the first, second, … neighbour of the first species, of the second and so on, in Å: as many of
        each species as its share. Rows are atoms, one species after the other; within a species each column is sorted.
        Where a molecule has fewer neighbours, the last distances are 0.
    n_periodic : int
        Directions in which the structure repeats.
    """

    species: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    columns: FloatArray
    n_periodic: int

    @cached_property
    def n_units(self) -> int:
        """Formula units in the structure."""
        return int(np.gcd.reduce(self.counts))

    @property
    def mean(self) -> FloatArray:
        """Averages over the atoms of each species, shape (n_species * n_columns,), in Å."""
        return np.concatenate([block.mean(axis=0) for block in np.split(self.columns, np.cumsum(self.counts)[:-1])])

    @cached_property
    def length(self) -> float:
        """The mean of all distances, in Å, by which structures are scaled."""
        return float(self.columns.mean()) or 1.0  # of one atom alone there are none

    def distance(self, other: Fingerprint, *, scale: bool = False) -> float:
        """Return the largest difference of distances between atoms, in Å.

        Parameters
        ----------
        other : Fingerprint
            Of another structure, made with as many neighbours.
        scale : bool
            Whether to bring both to the same mean distance first, in the middle between theirs, so that only shape
            counts and not size.

        Returns
        -------
        float
            0 where structures are the same. If atoms of one move by up to d, it changes by at most 2 d. Infinite where
            reduced formulas, numbers of periodic directions or, of molecules, numbers of atoms differ.
        """
        if self._key != other._key:
            return math.inf
        scales = (1.0, 1.0)
        if check_bool("scale", scale):
            middle = math.sqrt(self.length * other.length)
            scales = (middle / self.length, middle / other.length)
        return _core.largest_difference(self.columns, self.counts, scales[0], other.columns, other.counts, scales[1])

    @cached_property
    def _key(self) -> tuple[Any, ...]:
        """What the fingerprints of all structures have in common that are compared with this one."""
        units = self.n_units if self.n_periodic else 1
        return self.n_periodic, self.columns.shape[1], self.species.tobytes(), (self.counts // units).tobytes()


class Summary(NamedTuple):
    """Of columns of the fingerprint of a structure, for each species: the mean, the least and the largest.

    None of these differs by more between two structures than their fingerprints do, by ``Fingerprint.distance``.
    """

    species: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    numbers: FloatArray
    """Shape (3, n_species, n_kept), in Å: of all columns where they are few, else of some."""
    length: float
    """As that of :class:`Fingerprint`."""


def fingerprints(structures: Structures, *, n_neighbours: int = N_NEIGHBOURS, n_jobs: int = 1) -> list[Fingerprint]:
    """Describe structures by the distances between their atoms; see :class:`Fingerprint`.

    Parameters
    ----------
    structures : structure or sequence of structures
        Crystals, layers, wires and molecules of any kind that descriptors take. They repeat where they say so.
    n_neighbours : int
        Neighbours of each atom, shared among the species by their amounts, rounded up.
    n_jobs : int
        Number of threads over structures; -1 means all cores.

    Returns
    -------
    list of Fingerprint

    Raises
    ------
    ValueError, TypeError
        If a structure is not usable, or its cell is too flat to find neighbours; the message names it.

    Examples
    --------
    >>> from ase.build import bulk
    >>> small, large = fingerprints([bulk("NaCl", "rocksalt", 5.64), bulk("NaCl", "rocksalt", 5.66, cubic=True)])
    >>> round(small.distance(large), 4), round(small.distance(large, scale=True), 4)
    (0.0245, 0.0)
    """
    n_neighbours = check_integer("n_neighbours", n_neighbours, 1)
    batch = as_batch(structures, periodic=None)
    return [one for run in _runs(batch) for one in _described(*run, n_neighbours, check_n_jobs(n_jobs))]


def distance(one: Structure, other: Structure, *, scale: bool = False, n_neighbours: int = N_NEIGHBOURS) -> float:
    """Return how far two structures are from being the same, in Å: see :meth:`Fingerprint.distance`."""
    first, second = fingerprints([one, other], n_neighbours=n_neighbours)
    return first.distance(second, scale=scale)


def summaries(batch: Batch, n_neighbours: int, n_threads: int) -> list[Summary]:
    """Return the summaries of the fingerprints of structures that have been checked."""
    found = []
    for first, run in _runs(batch):
        with counted_from(first):
            n_species, n_columns, species, counts, numbers, _ = _core.neighbour_distances(
                run.core(), n_neighbours, False, n_threads
            )
        kinds = offsets_of(n_species)
        places = offsets_of(3 * n_species * n_columns)
        for s in range(len(run)):
            own = slice(kinds[s], kinds[s + 1])
            table = numbers[places[s] : places[s + 1]].reshape(3, n_species[s], n_columns[s])
            length = float(counts[own] @ table[0].mean(axis=1) / counts[own].sum()) or 1.0
            step = -(-table.size // _SUMMARY)  # every so many columns, from the last on, which differ most
            found.append(Summary(species[own], counts[own], table[:, :, ::-1][:, :, ::step].copy(), length))
    return found


def differences(prints: list[Fingerprint], pairs: Indices, scale: bool, n_threads: int = 1) -> FloatArray:
    """Return the distances of pairs of comparable fingerprints, in Å."""
    lengths = np.array([one.length if scale else 1.0 for one in prints])
    columns, counts = np.concatenate([one.columns for one in prints]), np.stack([one.counts for one in prints])
    out = np.empty(len(pairs))
    _core.distance_differences(columns, counts, 1 / lengths, np.ascontiguousarray(pairs), out, n_threads)
    return np.asarray(out * np.sqrt(lengths[pairs[:, 0]] * lengths[pairs[:, 1]]))


def _described(first: int, run: Batch, n_neighbours: int, n_threads: int) -> Iterator[Fingerprint]:
    with counted_from(first):
        n_species, n_columns, species, counts, _, columns = _core.neighbour_distances(
            run.core(), n_neighbours, True, n_threads
        )
    kinds, places = offsets_of(n_species), offsets_of(run.n_atoms * n_columns)
    periods = run.pbc.sum(axis=1)
    for s in range(len(run)):
        own = slice(kinds[s], kinds[s + 1])
        table = columns[places[s] : places[s + 1]].reshape(-1, n_columns[s])
        yield Fingerprint(species[own], counts[own], table, int(periods[s]))


def _runs(batch: Batch) -> Iterator[tuple[int, Batch]]:
    return ((start, batch[start : start + _RUN]) for start in range(0, len(batch), _RUN))
