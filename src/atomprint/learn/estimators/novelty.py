"""How new samples are to what a model has learnt with: the variance of its process, the distance in its last layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh
from scipy.spatial.distance import cdist
from sklearn.utils import gen_batches

from atomprint.util.draw import some_of
from atomprint.util.registry import public
from atomprint.util.types import FloatArray, Indices

MAX_KNOWN = 1500  # samples whose kernel is decomposed, drawn at random from more
_N_DIRECTIONS = 200
_SMALL_NOISE = 1e-5
_MAX_NEAR = 1000  # samples that distances in a layer are measured to
_N_COORDINATES = 32
_N_NEIGHBORS = 5
_ROWS = 1024  # samples that are compared at once


@public("ProcessSpread", version=1)
@dataclass(frozen=True, eq=False)
class ProcessSpread:
    r"""The standard deviation of the Gaussian process that kernel ridge regression is the mean of.

    With the kernel *K* between training samples and :math:`k` between these and a new one the variance is
    :math:`s^2 (1 + \alpha - k^T (K + \alpha I)^{-1} k)` [1]_; of the sum over the eigenvectors of *K* the 200 leading
    terms are kept, so that samples that are like none of these directions count as unknown.

    Parameters
    ----------
    known : ndarray of int
        Places of the training samples that are compared with, at most 1500 of them.
    directions : ndarray of float32 or float64, shape (n_known, n_directions)
        Eigenvectors, each divided by :math:`\sqrt{\lambda + \alpha}`; in double precision where the variance of known
        samples is less than the rounding of single precision.
    noise : float
        :math:`\alpha`.
    amplitude : float
        *s*, in the unit of the targets.

    References
    ----------
    .. [1] C. E. Rasmussen and C. K. I. Williams, Gaussian Processes for Machine Learning, MIT Press (2006), eq. 2.26.
    """

    known: Indices
    directions: npt.NDArray[Any]
    noise: float
    amplitude: float

    @classmethod
    def fit(cls, matrix: FloatArray, targets: FloatArray, noise: float, known: Indices) -> Self:
        """Decompose the kernel between the known samples.

        Parameters
        ----------
        matrix : ndarray of float64, shape (n_known, n_known)
            The kernel, which is overwritten.
        targets : ndarray of float64, shape (n_known,)
            Centred targets of these samples.
        noise : float
            As for the class.
        known : ndarray of int, shape (n_known,)
            Places of these samples among those of the fit.
        """
        n = len(matrix)
        first = max(0, n - _N_DIRECTIONS)
        values, vectors = eigh(matrix, subset_by_index=[first, n - 1], overwrite_a=True, check_finite=False)
        directions = vectors / np.sqrt(np.maximum(values, 0) + noise)
        explained = float(((targets @ directions) ** 2).sum())  # of the targets, by these directions
        precise = np.float64 if noise < _SMALL_NOISE else np.float32
        return cls(known, directions.astype(precise), noise, float(np.sqrt(explained / n)))

    def std(self, kernel: FloatArray) -> FloatArray:
        """Return the standard deviation for rows of the kernel between new samples and all of the fit."""
        rows = kernel if kernel.shape[1] == len(self.known) else kernel[:, self.known]
        explained = np.einsum("nd,nd->n", found := rows @ self.directions, found)
        return np.asarray(self.amplitude * np.sqrt(np.maximum(1 + self.noise - explained, self.noise)))


@public("NearestInLayer", version=1)
@dataclass(frozen=True, eq=False)
class NearestInLayer:
    """The distance of samples to the nearest training samples, as a layer of a network sees them.

    Parameters
    ----------
    center : ndarray of float32, shape (n_units,)
        Mean of the training samples.
    components : ndarray of float32, shape (n_units, n_components)
        Their principal components, at most 32.
    reference : ndarray of float32, shape (n, n_components + 1)
        Coordinates of up to 1000 training samples; the last one is the length of what the components leave out.
    """

    center: npt.NDArray[np.float32]
    components: npt.NDArray[np.float32]
    reference: npt.NDArray[np.float32]

    @classmethod
    def fit(cls, units: npt.NDArray[Any]) -> Self:
        """Learn from the units of training samples, shape (n, n_units)."""
        center = units.mean(axis=0)
        _, _, axes = np.linalg.svd(units - center, full_matrices=False)
        components = np.ascontiguousarray(axes[:_N_COORDINATES].T, dtype=np.float32)
        made = cls(center.astype(np.float32), components, np.empty((0, 0), dtype=np.float32))
        return cls(made.center, components, made._coordinates(units))

    def _coordinates(self, units: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        z = units - self.center
        scores = z @ self.components
        rest = np.sqrt(np.maximum((z**2).sum(axis=1) - (scores**2).sum(axis=1), 0))
        return np.column_stack([scores, rest]).astype(np.float32)

    def distances(self, units: npt.NDArray[Any]) -> FloatArray:
        """Return the mean distance to the 5 nearest training samples, shape (n,)."""
        coordinates, found = self._coordinates(units), np.empty(len(units))
        k = min(_N_NEIGHBORS, len(self.reference))
        for rows in gen_batches(len(units), _ROWS):
            apart = cdist(coordinates[rows], self.reference)
            found[rows] = np.partition(apart, k - 1, axis=1)[:, :k].mean(axis=1)
        return found


def near_rows(n: int) -> Indices:
    """Return the training samples, of n, that distances in a layer are measured to."""
    return some_of(n, _MAX_NEAR)
