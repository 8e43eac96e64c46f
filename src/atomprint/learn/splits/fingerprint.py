"""Which structures of a data set are the same, whatever their orientation, order of atoms and cell."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.spatial import KDTree

from atomprint.datasets import Dataset
from atomprint.learn.task.batches import batches
from atomprint.neighbours import find_pairs
from atomprint.ragged import offsets_of, places
from atomprint.structures import Batch, counted_from
from atomprint.util.types import FloatArray, Indices

# Neighbours of each atom that are compared. Close packings differ from the 19th neighbour on; with 64, about one in a
# hundred pairs of Materials Project that are called the same is not, all of them stackings or within the tolerance.
_N_NEIGHBOURS = 64
# Crystals with more volume per atom, in Å³, may have vacuum in their cells, of which the amount means nothing.
_DENSE = 40.0
# Where all distances agree within t, volumes do within about 3 t / r; r is at least 2 Å for this many neighbours.
_VOLUME_SLACK = 1.5


class Fingerprint(NamedTuple):
    """Distances from the atoms of a structure to their nearest neighbours.

    Parameters
    ----------
    mean : ndarray of float64, shape (n_species * n_columns,)
        For each species, averages over its atoms of the distances to the first, second, … neighbour of the first
        species, of the second and so on, in Å.
    columns : ndarray of float64, shape (n_atoms, n_columns)
        The distances themselves, one species after the other; within a species each column is sorted.
    n_units : int
        Formula units in the structure.
    """

    mean: FloatArray
    columns: FloatArray
    n_units: int


def fingerprint(one: Batch) -> Fingerprint:
    """Describe the only structure of a batch by distances to nearest neighbours.

    Rotation, reflection, translation, the order of atoms and the choice of cell, even of a supercell, change nothing.
    If atoms move by up to d, no number changes by more than 2 d: averages over atoms are the average minimum distances
    of Widdowson et al., MATCH Commun. Math. Comput. Chem. 87, 529 (2022), here for each pair of species; columns keep
    what averages hide, such as the one atom of a large cell that has moved.

    Parameters
    ----------
    one : Batch
        A batch of one structure.

    Returns
    -------
    Fingerprint
    """
    species, kinds, counts = np.unique(one.numbers, return_inverse=True, return_counts=True)
    n, n_units = len(kinds), int(np.gcd.reduce(counts))
    # As many neighbours of each species as its share: the same for all structures with this formula.
    wanted = -(-_N_NEIGHBOURS * counts // n)
    starts = offsets_of(wanted)
    distances = np.zeros((n, starts[-1]))
    # In a molecule there may be fewer: then the last distances stay 0.
    needed = wanted if one.pbc.any() else np.minimum(wanted, counts - np.eye(len(counts), dtype=int))[kinds]
    for centers, neighbours, found in _growing_spheres(one):
        order = np.lexsort((found, kinds[neighbours], centers))
        groups = (centers * len(species) + kinds[neighbours])[order]
        sizes = np.bincount(groups, minlength=n * len(species))
        if (sizes.reshape(n, -1) < needed).any():
            continue
        rank = places(offsets_of(sizes))
        kind = groups % len(species)
        near = rank < wanted[kind]
        distances[(groups // len(species))[near], (starts[kind] + rank)[near]] = found[order][near]
        break
    rows = [np.sort(distances[kinds == kind], axis=0) for kind in range(len(species))]
    return Fingerprint(np.concatenate([block.mean(axis=0) for block in rows]), np.concatenate(rows), n_units)


def same_structure(one: Fingerprint, other: Fingerprint, tolerance: float) -> bool:
    """Return whether all distances of two structures with the same reduced formula agree within a tolerance in Å."""
    whole = math.lcm(one.n_units, other.n_units)
    a, b = (np.repeat(each.columns, whole // each.n_units, axis=0) for each in (one, other))
    return bool(np.abs(a - b).max() <= tolerance)


def find_same(dataset: Dataset, rows: Indices, tolerance: float) -> Indices:
    """Return all pairs of structures that are the same.

    Parameters
    ----------
    dataset : Dataset
        A data set with structures.
    rows : ndarray of int
        The structures to compare, ascending.
    tolerance : float
        How far distances may differ, in Å.

    Returns
    -------
    ndarray of int, shape (n_pairs, 2)
        Pairs of ``rows``, the smaller one first.
    """
    formulas = np.array(dataset.formulas, dtype=np.str_)[rows]
    pairs: list[tuple[int, int]] = []
    shared = _shared(formulas)
    batch = _concatenate(list(batches(dataset.structures, rows[shared])))
    if batch is None:
        return np.empty((0, 2), dtype=np.intp)
    for group in _comparable(batch, formulas[shared], tolerance):
        prints = []
        for s in group:
            with counted_from(int(rows[shared[s]])):
                prints.append(fingerprint(batch[s : s + 1]))
        near = KDTree(np.stack([each.mean for each in prints])).query_pairs(
            tolerance * (1 + 1e-9), p=np.inf, output_type="ndarray"
        )
        for a, b in near.tolist():
            if same_structure(prints[a], prints[b], tolerance):
                first, second = sorted((group[a], group[b]))
                pairs.append((int(rows[shared[first]]), int(rows[shared[second]])))
    return np.array(sorted(pairs), dtype=np.intp).reshape(-1, 2)


def _growing_spheres(one: Batch) -> Iterator[tuple[Indices, Indices, FloatArray]]:
    """Yield centres, neighbours and distances within larger and larger cutoffs, without end."""
    cutoff = 6.0
    if one.pbc.all():
        volume = abs(float(np.linalg.det(one.cells[0]))) / len(one.numbers)
        cutoff = 1.25 * (3 * _N_NEIGHBOURS * volume / (4 * math.pi)) ** (1 / 3)
    while True:
        found = find_pairs(one, cutoff)
        yield found.first, found.second, found.distances
        cutoff *= 1.25


def _shared(formulas: npt.NDArray[np.str_]) -> Indices:
    """Return the places of formulas that occur more than once."""
    _, inverse, counts = np.unique(formulas, return_inverse=True, return_counts=True)
    return np.flatnonzero(counts[inverse] > 1)


def _comparable(batch: Batch, formulas: npt.NDArray[np.str_], tolerance: float) -> Iterator[list[int]]:
    """Yield groups of structures that could be the same: of one formula, periodicity and, roughly, volume."""
    n_atoms = batch.n_atoms
    dimensions = batch.pbc.sum(axis=1)
    per_atom = np.abs(np.linalg.det(batch.cells)) / n_atoms
    sizes = np.zeros(len(batch))  # logarithms of volumes; only those that are close are compared
    dense = (dimensions == 3) & (per_atom < _DENSE)
    sizes[dense] = np.log(per_atom[dense])
    sizes[dimensions == 0] = 1e3 * n_atoms[dimensions == 0]  # molecules must have as many atoms
    _, codes = np.unique(formulas, return_inverse=True)
    kinds = codes * 8 + dimensions * 2 + dense
    order = np.lexsort((sizes, kinds))
    apart = (np.diff(kinds[order]) != 0) | (np.diff(sizes[order]) > _VOLUME_SLACK * tolerance)
    for group in np.split(order, np.flatnonzero(apart) + 1):
        if len(group) > 1:
            yield group.tolist()


def _concatenate(runs: Sequence[Batch]) -> Batch | None:
    if not runs:
        return None
    return Batch(
        np.concatenate([run.numbers for run in runs]),
        np.concatenate([run.positions for run in runs]),
        offsets_of(np.concatenate([run.n_atoms for run in runs])),
        np.concatenate([run.cells for run in runs]),
        np.concatenate([run.pbc for run in runs]),
    )
