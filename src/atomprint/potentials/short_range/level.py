"""How high the energies of a data set are, below which no structure that is denser should lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from atomprint.potentials.labels.labelled import LabelledStructures
from atomprint.potentials.labels.references import find_references
from atomprint.potentials.terms.sums import Offsets


@dataclass(frozen=True)
class Level:
    """How high the energies of a data set are.

    Parameters
    ----------
    energies : dict of int to float
        Of an atom of each element in the data, by atomic number, in eV: the least squares over all structures.
    lowest : float
        Lowest energy of a structure above the sum of these, in eV for an atom.
    """

    energies: dict[int, float]
    lowest: float

    @classmethod
    def of(cls, labels: LabelledStructures) -> Level | None:
        """Return that of some labels; None where no structure has an energy."""
        there = np.isfinite(labels.energies)
        if not there.any():
            return None
        found = find_references(labels, "fitted").energies
        batch = labels.structures
        own = np.add.reduceat(Offsets(found).of(batch), batch.offsets[:-1])
        return cls(found, float(((labels.energies - own) / batch.n_atoms)[there].min()))
