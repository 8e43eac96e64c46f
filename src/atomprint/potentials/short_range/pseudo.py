"""Pseudo-data: dense structures with energies that are right by order of magnitude, and limits below which none is.

Most of these have no place in any data, and no energies are known; but it is known that atoms which are nearer than in
any of the data repel each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np

from atomprint.potentials.short_range import dense
from atomprint.potentials.short_range.level import Crowding, Level
from atomprint.potentials.short_range.repulsion import Repulsion
from atomprint.potentials.terms.sums import Offsets, evaluate_all
from atomprint.potentials.terms.term import Predictor
from atomprint.ragged import totals
from atomprint.structures import Batch, joined
from atomprint.util.types import FloatArray

_SHARES = (0.55, 1.3)
_CLUSTER_SHARES = (0.5, 1.15)
_FROM_DATA = 0.25  # of dense structures
_MOST_ATOMS = 8000  # of structures from data

# Dense structures: in units of their crowding above most of the data the energy; and its error, and that for an atom.
_RISE, _ERROR, _ERROR_ATOM = 0.7, 3.0, 6.0
# Clusters: the error of their repulsion, and that for an atom in eV.
_CLUSTER_ERROR, _CLUSTER_ERROR_ATOM = 2.0, 6.0
# Holes are below the lowest energy of the data and so much, in eV for an atom, as a function of the crowding above most
# of the data: its square at first, as true energies rise slowly near the data, and at last this share of it.
_LEAST, _ONSET = 0.2, 10.0
_LIFT = 2.0  # in units of that: where holes are to be lifted to
_GIVE = 0.1  # the error of that: of the crowding above all data and 1 eV for an atom
_GIVE_ATOM = 0.3  # the same for single atoms
_FEW, _ROOM = 0.01, 0.1  # atoms may be so much, in eV, below what this share of those of the data are below
_BONDS = 5.0  # eV: so much clusters may be bound, besides half of their repulsion
_DIMERS = np.linspace(0.3, 0.9, 61)  # in units of Repulsion.near: where dimers are to rise all the way
_SLOPE = 0.02  # of the repulsion: so much they rise at least


@dataclass(frozen=True)
class Demands:
    """Of some structures, or differences of two, what is wanted of the sum of the fitted terms.

    Parameters
    ----------
    energies, sigmas : ndarray, shape (n,)
        Wanted, and how wrong they may be, in eV.
    least : ndarray, shape (n,)
        Those that are below are holes; -inf where none can be told.
    """

    energies: FloatArray
    sigmas: FloatArray
    least: FloatArray


class PseudoData:
    """Draws pseudo-structures for a fit.

    Parameters
    ----------
    core : Repulsion
        What takes over at short distances.
    offsets : Offsets
        Energies of single atoms, to which the fitted terms add.
    level : Level or None
        How high the energies of the data are.
    batch : Batch
        The data.
    n_jobs : int
        Number of threads.
    """

    def __init__(self, core: Repulsion, offsets: Offsets, level: Level | None, batch: Batch, n_jobs: int = 1) -> None:
        self.core, self.level, self._batch, self._n_jobs = core, level, batch, n_jobs
        self._offsets = offsets
        self.table = core.table()
        self.crowding = Crowding(core, batch, n_jobs)
        self.periodic = bool(batch.pbc.any())

    def dense(self, count: int, seed: int) -> Batch:
        """Return about so many structures: crystals and packings, and some of the data that are made denser."""
        near, species = self.core.near, self.core.species
        from_data = round(_FROM_DATA * count)
        found = dense.crystals(species, near, count - from_data, _SHARES, seed, self.periodic)
        own = dense.compressed(self._batch, near, from_data, _SHARES, seed)
        fit = int(np.searchsorted(own.offsets, _MOST_ATOMS, side="right")) - 1
        return joined(found, own[:fit])

    def small(self, n_atoms: int, seed: int) -> Batch:
        """Return small structures of the data that have about so many atoms together, each at most once."""
        sizes = self._batch.n_atoms
        some = np.flatnonzero((sizes > 1) & (sizes <= n_atoms // 3))
        order = np.random.default_rng(seed).permutation(some)
        fit = int(np.searchsorted(np.cumsum(sizes[order]), n_atoms, side="right"))
        return self._batch.pick(order[:fit])

    def clusters(self, count: int, seed: int) -> Batch:
        """Return dimers at distances that are evenly spread, and so many trimers."""
        return dense.clusters(self.core.species, self.core.near, count, _CLUSTER_SHARES, seed, self.periodic)

    def of_dense(self, batch: Batch) -> tuple[Demands, Demands]:
        """Return energies that dense structures may have, and those that holes are to be lifted to."""
        above_most, above_all = self.crowding.of(batch)
        fixed, n_atoms = self._fixed(batch), batch.n_atoms
        rise = _LEAST * above_most**2 / (above_most + _ONSET * n_atoms)
        if self.level is None:
            lowest = totals(self._offsets.of(batch), batch.offsets)
            least = np.full(len(batch), -np.inf)
        else:
            lowest = self.level.lowest_of(batch)
            least = lowest + rise - fixed
        energies = lowest + _RISE * above_most - fixed
        sigmas = _ERROR * above_most + _ERROR_ATOM * np.sqrt(n_atoms) + _ERROR_ATOM / 2 * np.minimum(n_atoms, 8)
        lifted = Demands(lowest + _LIFT * rise - fixed, _GIVE * (n_atoms + above_all), least)
        return Demands(energies, sigmas, least), lifted

    def lowest_atoms(self, fitted: Sequence[Predictor], seed: int) -> FloatArray:
        """Return energies by atomic number, in eV, that few atoms of the data are below, by a fit."""
        order = np.random.default_rng(seed).permutation(len(self._batch))
        n = int(np.searchsorted(np.cumsum(self._batch.n_atoms[order]), _MOST_ATOMS)) + 1
        some = self._batch.pick(order[:n])
        energies = evaluate_all([*fitted, self.table, self._offsets], some, self._n_jobs)[0]
        found = np.full(119, np.inf)
        for z in np.unique(some.numbers):
            found[z] = np.quantile(energies[some.numbers == z], _FEW) - _ROOM
        return found

    def of_atoms(self, batch: Batch, lowest: FloatArray) -> Demands:
        """Return energies that atoms of dense structures which are too low are to be lifted to.

        Parameters
        ----------
        batch : Batch
            The structures.
        lowest : ndarray
            Of :meth:`lowest_atoms`.
        """
        above_most, above_all = self.crowding.of_atoms(batch)
        rise = _LEAST * above_most**2 / (above_most + _ONSET)
        base = lowest[batch.numbers] - evaluate_all([self.table, self._offsets], batch, self._n_jobs)[0]
        return Demands(base + _LIFT * rise, _GIVE_ATOM * (1 + above_all), base + rise)

    def of_clusters(self, batch: Batch) -> tuple[Demands, Demands]:
        """Return the same of dimers and trimers, whose atoms are alone but for each other."""
        repulsion = totals(self.crowding.repulsion.evaluate(batch, self._n_jobs)[0], batch.offsets)
        alone, fixed = totals(self._offsets.of(batch), batch.offsets), self._fixed(batch)
        least = alone + 0.5 * repulsion - _BONDS - fixed
        sigmas = _CLUSTER_ERROR_ATOM * batch.n_atoms + _CLUSTER_ERROR * repulsion
        return (
            Demands(alone + repulsion - fixed, sigmas, least),
            Demands(alone + 0.7 * repulsion - fixed, 0.1 * sigmas, least),
        )

    def dimers(self) -> tuple[Batch, Batch, Demands]:
        """Return dimers, such that are a little longer, and what is wanted of the differences of their energies."""
        pairs = list(combinations_with_replacement(self.core.species, 2))
        inner, outer = (
            dense.dimers(pairs, [self.core.near[pair] * part for pair in pairs], periodic=self.periodic)
            for part in (_DIMERS[:-1], _DIMERS[1:])
        )
        rise, known = (
            totals(table.evaluate(inner, self._n_jobs)[0], inner.offsets)
            - totals(table.evaluate(outer, self._n_jobs)[0], outer.offsets)
            for table in (self.crowding.repulsion, self.table)
        )
        return inner, outer, Demands(3 * _SLOPE * rise - known, _SLOPE * rise, _SLOPE * rise - known)

    def _fixed(self, batch: Batch) -> FloatArray:
        """Return what the fitted terms add to."""
        return totals(evaluate_all([self.table, self._offsets], batch, self._n_jobs)[0], batch.offsets)
