"""Potentials that the compiled core evaluates: what all of them share."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from ase.data import chemical_symbols

from atomprint.potentials.terms.term import Evaluated
from atomprint.structures import Batch, StructureError
from atomprint.util.types import FloatArray

SKIN = 0.6
"""By how many Å beyond the cutoff neighbours are kept while atoms move."""


def check_species_known(batch: Batch, species: tuple[int, ...]) -> None:
    """Raise ``StructureError`` at the first atom that is none of the species."""
    known = np.zeros(len(chemical_symbols), dtype=np.bool_)
    known[list(species)] = True
    if not known[batch.numbers].all():
        structure, atom = batch.locate(int(np.argmin(known[batch.numbers])))
        symbol = chemical_symbols[batch.numbers[batch.offsets[structure] + atom]]
        names = ", ".join(chemical_symbols[z] for z in species)
        raise StructureError(structure, atom, f"species must be among {names}, got {symbol}")


class CompiledPredictor:
    """A part of the energy that a model of the compiled core computes. Any number of threads may use it at once.

    Parameters
    ----------
    model : object
        Of the compiled core, with ``evaluate``, ``prepare`` and ``evaluate_moved``.
    species : tuple of int
        The atomic numbers that it knows.
    """

    def __init__(self, model: Any, species: tuple[int, ...]) -> None:
        self._model, self.species = model, species

    @property
    def cutoff(self) -> float:
        """Distance in Å from which on atoms have no say in each other's energy."""
        return float(self._model.cutoff)

    def evaluate(self, batch: Batch, n_jobs: int = 1) -> Evaluated:
        """Return energies of atoms and their derivatives.

        Parameters
        ----------
        batch : Batch
            Checked structures.
        n_jobs : int
            Number of threads; no result depends on it.

        Raises
        ------
        StructureError
            If an atom is of no known species.
        """
        check_species_known(batch, self.species)
        out = _results(batch)
        self._model.evaluate(batch.core(), *out, n_jobs)
        return out

    def prepare(self, batch: Batch, n_jobs: int = 1, skin: float = SKIN) -> KeptPredictor:
        """Return the same for these atoms elsewhere, which keeps their neighbours.

        Parameters
        ----------
        batch : Batch
            Checked structures, of which the species and the directions that repeat matter.
        n_jobs : int
            Number of threads.
        skin : float
            By how many Å beyond the cutoff neighbours are kept.
        """
        check_species_known(batch, self.species)
        return KeptPredictor(self._model, batch, n_jobs, skin)


class KeptPredictor:
    """A potential for atoms that move: calls wait for each other. See :meth:`CompiledPredictor.prepare`.

    Attributes
    ----------
    nearest : float
        Shortest distance between atoms at the last call, in units of those that the model knows, inf if it knows none
        or no two atoms are within its cutoff.
    """

    nearest = float("inf")

    def __init__(self, model: Any, batch: Batch, n_jobs: int, skin: float) -> None:
        self._batch, self._n_jobs = batch.fixed(), n_jobs
        self._run, self._kept = model.evaluate_moved, model.prepare(self._batch.core(), skin)

    @property
    def n_lists(self) -> int:
        """How often neighbours of a structure were listed."""
        return int(self._kept.n_lists)

    def evaluate(self, positions: npt.NDArray[np.float64], cells: npt.NDArray[np.float64]) -> Evaluated:
        """Return energies of atoms and their derivatives.

        Parameters
        ----------
        positions : ndarray, shape (n_atoms, 3)
            Of all atoms, in Å.
        cells : ndarray, shape (n_structures, 3, 3)
            Lattice vectors as rows, in Å.
        """
        out = _results(self._batch)
        self.nearest = self._run(self._kept, positions, cells, *out, self._n_jobs)
        return out


def _results(batch: Batch) -> tuple[FloatArray, FloatArray, FloatArray]:
    n = len(batch.numbers)
    return np.empty(n), np.empty((n, 3)), np.empty((len(batch), 3, 3))
