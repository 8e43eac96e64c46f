"""A cutoff that fits the density of the training structures."""

from __future__ import annotations

import numpy as np

from atomprint.formats.judge import RADII
from atomprint.neighbours import find_pairs
from atomprint.structures import Batch
from atomprint.util.types import Indices

_CUTOFFS = 3.5, 6.5  # Å
_OF_MOLECULES = 4.5  # Å
_OF_PIECES = 7.0  # Å: by cross-validation on clusters of argon and of water, whose errors are a fifth of those with 4.5
_BOND = 1.3  # of the sum of covalent radii
_FARTHEST = 8.0  # Å, up to which neighbours are counted
_SOME = 50  # structures that are looked at


def typical_cutoff(batch: Batch, n_neighbours: int = 35) -> float:
    """Return the distance in Å within which an atom of these structures has about so many neighbours, from 3.5 to 6.5.

    It is the median of at most 50 structures; those whose atoms have fewer neighbours within 8 Å count as 4.5 Å, as
    molecules, and as 7 Å where they are several pieces without bonds between them, which hold together over farther
    distances. Lone atoms do not count.

    Parameters
    ----------
    batch : Batch
        Structures.
    n_neighbours : int
        Neighbours of an atom, on average over its structure.
    """
    some = batch.pick(np.unique(np.linspace(0, len(batch) - 1, _SOME).astype(np.int64)))
    found = find_pairs(some, _FARTHEST)
    bounds = np.searchsorted(found.structures, np.arange(len(some) + 1))
    reach = list[float]()
    for s, n_atoms in enumerate(some.n_atoms):
        own, enough = slice(bounds[s], bounds[s + 1]), n_neighbours * int(n_atoms)
        distances = np.sort(found.distances[own])
        if len(distances) > enough:
            reach.append(float(np.clip(distances[enough], *_CUTOFFS)))
        elif n_atoms > 1 or len(distances):
            z = some.numbers[some.offsets[s] : some.offsets[s + 1]]
            bonds = _BOND * (RADII[z[found.first[own]]] + RADII[z[found.second[own]]])
            near = found.distances[own] < bonds
            pieces = _count_pieces(int(n_atoms), found.first[own][near], found.second[own][near])
            reach.append(_OF_MOLECULES if pieces == 1 else _OF_PIECES)
    return round(float(np.median(reach)), 1) if reach else _OF_MOLECULES


def _count_pieces(n_atoms: int, first: Indices, second: Indices) -> int:
    """Return how many groups of atoms there are without a pair between them."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = coo_array((np.ones(len(first), dtype=bool), (first, second)), shape=(n_atoms, n_atoms))
    return int(connected_components(pairs, directed=False, return_labels=False))
