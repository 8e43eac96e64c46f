"""A cutoff that fits the density of the training structures."""

from __future__ import annotations

import numpy as np

from atomprint.neighbours import find_pairs
from atomprint.structures import Batch

_CUTOFFS = 3.5, 6.5  # Å
_OF_MOLECULES = 4.5  # Å
_FARTHEST = 8.0  # Å, up to which neighbours are counted
_SOME = 50  # structures that are looked at


def typical_cutoff(batch: Batch, n_neighbours: int = 35) -> float:
    """Return the distance in Å within which an atom of these structures has about so many neighbours, from 3.5 to 6.5.

    It is the median of at most 50 structures; those whose atoms have fewer neighbours within 8 Å, as molecules, count
    as 4.5 Å.

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
    reach = []
    for s, n_atoms in enumerate(some.n_atoms):
        distances = np.sort(found.distances[bounds[s] : bounds[s + 1]])
        enough = n_neighbours * int(n_atoms)
        reach.append(distances[enough] if len(distances) > enough else _OF_MOLECULES)
    return round(float(np.clip(np.median(reach), *_CUTOFFS)), 1)
