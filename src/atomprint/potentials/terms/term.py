"""What a potential is a sum of: energies that are linear in their coefficients, and fixed ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, TypeAlias, runtime_checkable

import numpy as np

from atomprint.ragged import offsets_of
from atomprint.structures import Batch
from atomprint.util.types import FloatArray

State: TypeAlias = dict[str, Any]
"""What a file can hold: None, truth values, numbers, words, arrays, and lists and dicts (by words) of these."""

Evaluated: TypeAlias = tuple[FloatArray, FloatArray, FloatArray]
"""Energies of the atoms, shape (n_atoms,), in eV; dE/dx, shape (n_atoms, 3), in eV/Å; dE/dstrain, shape
(n_structures, 3, 3), symmetric, in eV. Forces are minus the second, stresses the third divided by the volume."""

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
"""Which entries of dE/dstrain the last six rows of a structure are: xx, yy, zz, yz, xz, xy."""

VOIGT_OF_NINE = np.array([3 * a + b for a, b in VOIGT])
"""The same entries of a matrix whose nine numbers are in one row."""


@dataclass(frozen=True)
class Training:
    """What a term may know of the training set before it is fitted.

    Parameters
    ----------
    structures : Batch
        The training structures, checked.
    species : tuple of int
        Ascending atomic numbers of all of them.
    inner : mapping of pairs of int to pairs of float
        By two atomic numbers, in both orders: the distances in Å between which a term is to be switched on, as a core
        takes over below. The term is zero with two continuous derivatives below the first, and whole above the second.
        Empty where nothing takes over.
    random_state : int
        Seed of whatever is drawn.
    """

    structures: Batch
    species: tuple[int, ...]
    inner: Mapping[tuple[int, int], tuple[float, float]] = field(default_factory=dict)
    random_state: int = 0
    n_jobs: int = 1


class Predictor(Protocol):
    """A part of the energy with its coefficients. Any number of threads may use it at once.

    It may also have ``prepare(batch, n_jobs)``, whose result has ``evaluate(positions, cells)``, which returns
    :data:`Evaluated` for the same atoms elsewhere, and may keep their neighbours.
    """

    def evaluate(self, batch: Batch, n_jobs: int = 1) -> Evaluated:
        """Return energies of atoms and their derivatives."""


@runtime_checkable
class PreparedTerm(Protocol):
    """A part of the energy, E = sum_k c_k B_k, whose functions B are settled and whose coefficients c are to be found.

    Attributes
    ----------
    n_functions : int
        How many functions there are, of all species.
    species : tuple of int
        The atomic numbers that it knows, ascending.
    cutoff : float
        Beyond this distance in Å no atom has a say in the energy of another.
    degrees : ndarray, shape (n_functions,)
        How fast each function varies, at least 0: smooth functions are preferred. Not used with ``prior_factor``.
    prior_factor : ndarray, shape (n_rows, n_functions), or None
        Rows of a prior of its own, :math:`|F c|^2`: the transposed Cholesky factor of the kernel between sparse points,
        with the scale of the kernel in it.
    """

    n_functions: int
    species: tuple[int, ...]
    cutoff: float
    degrees: FloatArray

    @property
    def prior_factor(self) -> FloatArray | None:
        """See above."""

    def rows(self, batch: Batch, out: FloatArray, n_jobs: int = 1) -> None:
        """Write what the functions contribute to energies, forces and strain derivatives.

        Parameters
        ----------
        batch : Batch
            Structures, checked, of known species.
        out : ndarray of float64, shape (sum of 1 + 3 n_atoms + 6, n_functions)
            Written to, whatever is in it. For each structure one row of B, 3 n_atoms of -dB/dx (atom by atom, x y z),
            six of dB/dstrain (see :data:`VOIGT`). Numbers of a row are next to each other, but rows need not be: they
            may be columns of a wider array.
        n_jobs : int
            Number of threads.
        """

    def sums(self, batch: Batch, out: FloatArray, n_jobs: int = 1) -> None:
        """Write B of each structure alone, the first of its rows: ``out`` has shape (n_structures, n_functions)."""

    def atoms(self, batch: Batch, out: FloatArray, n_jobs: int = 1) -> None:
        """Write what the functions contribute to the energy of each atom: ``out`` has shape (n_atoms, n_functions)."""

    def predictor(self, coefficients: FloatArray) -> Predictor:
        """Return the part of the energy that has these coefficients, shape (n_functions,)."""

    def state(self) -> State:
        """Return all that :meth:`from_state` needs to make the same term again, bit for bit."""

    @classmethod
    def from_state(cls, state: State) -> Self:
        """Return the term with this state; raise ``ValueError`` if it is none."""


@runtime_checkable
class Term(Protocol):
    """Parameters of a part of the energy, from which the training set makes a :class:`PreparedTerm`."""

    def prepare(self, training: Training) -> PreparedTerm:
        """Settle the functions; neither the term nor the training set is changed."""


def row_offsets(batch: Batch) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return where the rows of each structure begin and the last end: 1 + 3 n_atoms + 6 of each."""
    return offsets_of(7 + 3 * batch.n_atoms)


def voigt(matrices: FloatArray) -> FloatArray:
    """Return symmetric parts of matrices, shape (n, 3, 3), as rows of six; see :data:`VOIGT`."""
    return np.stack([0.5 * (matrices[:, a, b] + matrices[:, b, a]) for a, b in VOIGT], axis=1)
