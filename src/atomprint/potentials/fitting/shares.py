"""How structures share their energy among atoms, of which labels say little: evenly, where nothing else is known.

Labels are of whole structures. Where all of these have about the same composition, an energy of some tens of eV may go
from each atom of one element to those of another, and forces and stresses do not change either. Where the composition
is another, as locally in a liquid, such energies no longer cancel. So a fit has rows of single atoms, too: the energy
of an atom above its reference is to be the mean of its structure. Their errors are wide, and their sum over a structure
is zero: they take nothing from the labels.
"""

from __future__ import annotations

import numpy as np

from atomprint.potentials.fitting.factors import Rows
from atomprint.ragged import chunks
from atomprint.structures import Batch
from atomprint.util.types import FloatArray

_SIGMA = 1.0  # eV, of the energy of an atom: as much as atoms of one structure differ
_MOST = 1500  # atoms
_OF_STRUCTURE = 4  # of these, at most
_TOGETHER = 1024  # atoms, whose functions are evaluated at a time


def shared_rows(source: Rows, batch: Batch, known: FloatArray, *, random_state: int = 0, n_jobs: int = 1) -> FloatArray:
    """Return rows of some atoms, drawn at random, that hold their energies near the means of their structures.

    Parameters
    ----------
    source : Rows
        The functions.
    batch : Batch
        The structures.
    known : ndarray, shape (n_atoms,)
        In eV: what is added to the fitted energy of each atom, without its reference.
    random_state : int
        Seed of which atoms are drawn.
    n_jobs : int
        Number of threads.

    Returns
    -------
    ndarray, shape (n, n_functions + 1)
        Divided by their sigmas, with the target last.
    """
    rng = np.random.default_rng(random_state)
    order = rng.permutation(np.flatnonzero(batch.n_atoms > 1))
    taken = np.cumsum(np.minimum(batch.n_atoms[order], _OF_STRUCTURE))
    order = np.sort(order[: int(np.searchsorted(taken, _MOST)) + 1])
    some = batch.pick(order)
    found = [np.empty((0, source.n_functions + 1))]
    for start, stop in chunks(some.offsets, _TOGETHER):
        part = some[start:stop]
        rows = np.empty((len(part.numbers), source.n_functions + 1))
        source.atoms(part, rows[:, :-1], n_jobs)
        for s, first, last in zip(order[start:stop], part.offsets[:-1], part.offsets[1:], strict=True):
            rows[first:last, -1] = -known[batch.offsets[s] : batch.offsets[s + 1]]
            chosen = first + rng.permutation(last - first)[:_OF_STRUCTURE]
            found.append(rows[chosen] - rows[first:last].mean(axis=0))
    return np.concatenate(found) / _SIGMA
