"""How high the energies of a data set are, and how much higher structures that are denser should be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from atomprint.potentials.labels.labelled import LabelledStructures
from atomprint.potentials.labels.references import find_references
from atomprint.potentials.short_range.repulsion import Repulsion
from atomprint.potentials.terms.pair_table import PairTable
from atomprint.potentials.terms.sums import Offsets
from atomprint.ragged import totals
from atomprint.structures import Batch
from atomprint.util.types import FloatArray

_WIDE_RANGE = (1.0, 2.0)  # where the repulsion fades that crowding is measured by, in units of `Repulsion.near`


@dataclass(frozen=True)
class Level:
    """How high the energies of a data set are.

    Parameters
    ----------
    energies : dict of int to float
        Of an atom of each element in the data, by atomic number, in eV: the least squares over all structures.
    lowest : float
        Lowest energy of a structure above the sum of these, in eV for an atom.
    typical : float
        How far half of the structures are above that at least.
    """

    energies: dict[int, float]
    lowest: float
    typical: float = 0.0

    @classmethod
    def of(cls, labels: LabelledStructures) -> Level | None:
        """Return that of some labels; None where no structure has an energy."""
        there = np.isfinite(labels.energies)
        if not there.any():
            return None
        found = find_references(labels, "fitted").energies
        batch = labels.structures
        own = totals(Offsets(found).of(batch), batch.offsets)
        above = ((labels.energies - own) / batch.n_atoms)[there]
        return cls(found, float(above.min()), float(np.median(above) - above.min()))

    def lowest_of(self, batch: Batch) -> FloatArray:
        """Return the energies in eV that structures would have as the lowest in the data."""
        return totals(Offsets(self.energies).of(batch) + self.lowest, batch.offsets)


class Crowding:
    """How much nearer to each other atoms are than in some data: in eV, of a repulsion that reaches to neighbours.

    It is that of nuclei (:func:`~atomprint.potentials.short_range.repulsion.zbl`), which fades at one to two times the
    distances at which the functions of a fit are whole.

    Parameters
    ----------
    core : Repulsion
        What takes over at short distances.
    batch : Batch
        The data.
    n_jobs : int
        Number of threads.
    """

    def __init__(self, core: Repulsion, batch: Batch, n_jobs: int = 1) -> None:
        wide = core.inner_ranges[..., 1:] * np.array(_WIDE_RANGE)
        self.repulsion: PairTable = Repulsion(core.species, core.shortest, wide, core.inner_ranges).table()
        self._n_jobs = n_jobs
        energies = self.repulsion.evaluate(batch, n_jobs)[0]
        self._typical, self._largest = np.zeros(119), np.zeros(119)
        for z in core.species:
            own = energies[batch.numbers == z]
            self._typical[z], self._largest[z] = np.median(own), own.max()

    def of(self, batch: Batch) -> tuple[FloatArray, FloatArray]:
        """Return the crowding of structures in eV: summed over atoms, above that of most of the data, and of all."""
        typical, largest = (totals(each, batch.offsets) for each in self.of_atoms(batch))
        return typical, largest

    def of_atoms(self, batch: Batch) -> tuple[FloatArray, FloatArray]:
        """Return the same of each atom."""
        energies = self.repulsion.evaluate(batch, self._n_jobs)[0]
        typical, largest = (np.maximum(energies - table[batch.numbers], 0) for table in (self._typical, self._largest))
        return typical, largest
