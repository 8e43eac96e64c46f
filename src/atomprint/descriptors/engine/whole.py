"""Descriptors of whole structures in Python: one structure after the other, and the derivatives of each."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from atomprint.descriptors.engine.call import Call, Derivatives
from atomprint.descriptors.engine.contract import Descriptor
from atomprint.structures import counted_from
from atomprint.util.overlap import in_order

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]

_TOGETHER = 16  # structures that a thread takes


class Slopes(NamedTuple):
    """Features of one structure and their derivatives.

    Parameters
    ----------
    values : ndarray, shape (n_features,)
        The features.
    positions : ndarray, shape (n_atoms, 3, n_features)
        Derivatives by the positions, in 1/Å.
    strain : ndarray, shape (3, 3, n_features)
        Derivatives by the strain e that takes atoms and lattice vectors from r to (1 + e) r.
    """

    values: FloatArray
    positions: FloatArray
    strain: FloatArray


class WholeStructures(Descriptor):
    """A descriptor that gives the features of one structure, and their derivatives; loops and threads are here."""

    @abstractmethod
    def _values(self, one: Call) -> FloatArray:
        """Return the features of the only structure of a call."""

    def _slopes(self, one: Call) -> Slopes:
        """Return the features of the only structure of a call, with all derivatives."""
        raise NotImplementedError

    def _has_analytical(self) -> bool:
        return type(self)._slopes is not WholeStructures._slopes

    def _compute(self, call: Call, out: Any) -> None:
        def compute(start: int) -> None:
            for s in range(start, min(start + _TOGETHER, len(call))):
                with counted_from(s):
                    out[s] = self._values(call[s : s + 1])

        deque(in_order(compute, range(0, len(call), _TOGETHER), call.n_threads), maxlen=0)

    def _jacobian(self, call: Call, out: Derivatives) -> None:
        selection = call.selection
        for s in range(len(call)):
            with counted_from(s):
                found = self._slopes(call[s : s + 1])
            if out.features is not None:
                out.features[s] = found.values
            if out.positions is not None:
                slots = selection.slots[call.batch.offsets[s] : call.batch.offsets[s + 1]]
                own = out.positions[selection.row_offsets[s] : selection.row_offsets[s + 1]]
                own[slots[slots >= 0]] += found.positions[slots >= 0].astype(own.dtype)
            if out.strain is not None:
                out.strain[s] += found.strain.astype(out.strain.dtype)


def by_pairs(
    by_vector: FloatArray,
    vectors: FloatArray,
    first: IndexArray,
    second: IndexArray,
    structures: IndexArray,
    n_atoms: int,
    n_structures: int,
) -> tuple[FloatArray, FloatArray]:
    """Return derivatives by positions and strain from those by the vectors of pairs of atoms.

    Parameters
    ----------
    by_vector : ndarray, shape (n_pairs, 3, n_features)
        Derivatives by the vector from the first atom of a pair to the second.
    vectors : ndarray, shape (n_pairs, 3)
        These vectors, in Å.
    first, second : ndarray of int64, shape (n_pairs,)
        The atoms, among all.
    structures : ndarray of int64, shape (n_pairs,)
        The structure of each pair.
    n_atoms, n_structures : int
        How many there are.

    Returns
    -------
    positions : ndarray, shape (n_atoms, 3, n_features)
    strain : ndarray, shape (n_structures, 3, 3, n_features)
    """
    from scipy.sparse import csr_array  # here: the package is imported without SciPy

    n, n_features = len(first), by_vector.shape[2]
    flat, numbers = by_vector.reshape(n, 3 * n_features), np.arange(n)
    ends = csr_array((np.ones(n), (second, numbers)), shape=(n_atoms, n))
    ends = ends - csr_array((np.ones(n), (first, numbers)), shape=(n_atoms, n))
    sums = csr_array((np.ones(n), (structures, numbers)), shape=(n_structures, n))
    strain = np.empty((n_structures, 3, 3, n_features))
    for axis in range(3):
        strain[:, :, axis] = (sums @ (flat * vectors[:, axis, None])).reshape(n_structures, 3, n_features)
    return (ends @ flat).reshape(n_atoms, 3, n_features), strain
