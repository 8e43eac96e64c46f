"""Several terms as one, and the energies of single atoms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Self

import numpy as np

from atomprint import ragged
from atomprint.potentials.terms.term import Evaluated, Predictor, PreparedTerm, State, row_offsets
from atomprint.structures import Batch
from atomprint.util.registry import public
from atomprint.util.types import FloatArray

_WIDE = 1e-3  # 1/eV: energies of atoms may differ from their references by thousands of eV


@public("Constants", version=1)
class Constants:
    """An energy for each atom of a species, which does not depend on where it is: a :class:`PreparedTerm`.

    Parameters
    ----------
    species : sequence of int
        Ascending atomic numbers.
    """

    cutoff = 0.0

    def __init__(self, species: Sequence[int]) -> None:
        self.species = tuple(species)
        self.n_functions = len(self.species)
        self.degrees = np.zeros(self.n_functions)
        self.prior_factor: FloatArray | None = _WIDE * np.eye(self.n_functions)

    def rows(self, batch: Batch, out: FloatArray, n_jobs: int = 1) -> None:
        """Write rows as :meth:`PreparedTerm.rows` says."""
        out[:] = 0
        counts = np.empty((len(batch), self.n_functions))
        self.sums(batch, counts)
        out[row_offsets(batch)[:-1]] = counts

    def sums(self, batch: Batch, out: FloatArray, n_jobs: int = 1) -> None:
        """Write the number of atoms of each species."""
        for k, z in enumerate(self.species):
            out[:, k] = ragged.totals(batch.numbers == z, batch.offsets)

    def atoms(self, batch: Batch, out: FloatArray, n_jobs: int = 1) -> None:
        """Write 1 for the species of each atom."""
        out[:] = batch.numbers[:, None] == np.array(self.species)

    def predictor(self, coefficients: FloatArray) -> Predictor:
        """Return these energies."""
        return Offsets(dict(zip(self.species, coefficients.tolist(), strict=True)))

    def state(self) -> State:
        """Return the species."""
        return {"species": list(self.species)}

    @classmethod
    def from_state(cls, state: State) -> Self:
        """Return the term with this state."""
        return cls([int(z) for z in state["species"]])


class Offsets:
    """Energies of single atoms; a :class:`Predictor`.

    Parameters
    ----------
    energies : dict of int to float
        In eV by atomic number; 0 of all others.
    """

    def __init__(self, energies: dict[int, float]) -> None:
        self._table = np.zeros(119)
        self._table[list(energies)] = list(energies.values())

    def of(self, batch: Batch) -> FloatArray:
        """Return the energy of each atom."""
        found: FloatArray = self._table[batch.numbers]
        return found

    def evaluate(self, batch: Batch, n_jobs: int = 1) -> Evaluated:
        """Return energies of atoms, and derivatives that are zero."""
        return self.of(batch), np.zeros((len(batch.numbers), 3)), np.zeros((len(batch), 3, 3))


class Sum:
    """Several terms one after the other; it has the methods of one.

    Parameters
    ----------
    terms : sequence of PreparedTerm
        The terms.
    """

    def __init__(self, terms: Sequence[PreparedTerm]) -> None:
        self.terms = tuple(terms)
        bounds = ragged.offsets_of([term.n_functions for term in self.terms]).tolist()
        self.columns = [slice(start, stop) for start, stop in pairwise(bounds)]
        self.n_functions: int = bounds[-1]

    @property
    def degrees(self) -> FloatArray:
        """Those of all functions."""
        return np.concatenate([np.empty(0), *(term.degrees for term in self.terms)])

    @property
    def priors(self) -> list[tuple[int, FloatArray]]:
        """First column and rows of the priors that terms have of their own."""
        pairs = zip(self.terms, self.columns, strict=True)
        return [(own.start, term.prior_factor) for term, own in pairs if term.prior_factor is not None]

    def rows(self, batch: Batch, out: FloatArray, n_jobs: int = 1) -> None:
        """Write the rows of all terms."""
        for term, own in zip(self.terms, self.columns, strict=True):
            term.rows(batch, out[:, own], n_jobs)

    def sums(self, batch: Batch, out: FloatArray, n_jobs: int = 1) -> None:
        """Write the sums of all terms."""
        for term, own in zip(self.terms, self.columns, strict=True):
            term.sums(batch, out[:, own], n_jobs)

    def atoms(self, batch: Batch, out: FloatArray, n_jobs: int = 1) -> None:
        """Write what all terms contribute to the energy of each atom."""
        for term, own in zip(self.terms, self.columns, strict=True):
            term.atoms(batch, out[:, own], n_jobs)

    def predictors(self, coefficients: FloatArray) -> list[Predictor]:
        """Return the terms with their coefficients."""
        return [term.predictor(coefficients[own]) for term, own in zip(self.terms, self.columns, strict=True)]


def evaluate_all(parts: Iterable[Any], batch: Batch, n_jobs: int = 1) -> Evaluated:
    """Return the sum of what predictors and cores make of structures."""
    return _added(part.evaluate(batch, n_jobs) for part in parts)


class Kept:
    """Predictors and cores made ready for atoms that move, one call at a time.

    Parameters
    ----------
    parts : iterable of Predictor
        What is added up.
    batch : Batch
        The atoms.
    n_jobs : int
        Number of threads.

    Attributes
    ----------
    nearest : float
        Shortest distance between atoms at the last call in units of those that a core knows; inf without a core.
    """

    def __init__(self, parts: Iterable[Any], batch: Batch, n_jobs: int = 1) -> None:
        self._parts: list[Callable[[FloatArray, FloatArray], Evaluated]] = []
        self._kept: list[Any] = []
        self._constants = np.zeros(len(batch.numbers))
        self._n_structures = len(batch)
        for part in parts:
            if isinstance(part, Offsets):
                self._constants += part.of(batch)
            elif hasattr(part, "prepare"):
                prepared = part.prepare(batch, n_jobs)
                self._parts.append(prepared.evaluate)
                if hasattr(prepared, "nearest"):
                    self._kept.append(prepared)
            else:
                self._parts.append(_moving(part, batch, n_jobs))

    @property
    def nearest(self) -> float:
        """Shortest distance at the last call."""
        return min((prepared.nearest for prepared in self._kept), default=float("inf"))

    def evaluate(self, positions: FloatArray, cells: FloatArray) -> Evaluated:
        """Return energies of atoms and their derivatives at these positions and cells."""
        if not self._parts:
            return self._constants.copy(), np.zeros((len(self._constants), 3)), np.zeros((self._n_structures, 3, 3))
        energies, gradient, strain = self._parts[0](positions, cells)
        energies = energies + self._constants
        for part in self._parts[1:]:
            more = part(positions, cells)
            energies += more[0]
            gradient = gradient + more[1]
            strain = strain + more[2]
        return energies, gradient, strain


def _moving(part: Any, batch: Batch, n_jobs: int) -> Callable[[FloatArray, FloatArray], Evaluated]:
    def evaluate(positions: FloatArray, cells: FloatArray) -> Evaluated:
        found: Evaluated = part.evaluate(batch.moved(positions, cells), n_jobs)
        return found

    return evaluate


def _added(found: Iterator[Evaluated] | Iterable[Evaluated]) -> Evaluated:
    each = iter(found)
    energies, gradient, strain = (array.copy() for array in next(each))
    for more in each:
        energies += more[0]
        gradient += more[1]
        strain += more[2]
    return energies, gradient, strain


def totals(batch: Batch, found: Evaluated) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return energies, forces and stresses of what atoms and strain make."""
    volumes = np.abs(np.linalg.det(batch.cells))
    with np.errstate(divide="ignore", invalid="ignore"):
        stresses = np.where((volumes > 0)[:, None, None], found[2] / volumes[:, None, None], np.nan)
    return ragged.totals(found[0], batch.offsets), -found[1], stresses
