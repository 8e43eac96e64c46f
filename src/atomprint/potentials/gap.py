"""Sparse Gaussian processes on SOAP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import numpy as np

from atomprint import _core
from atomprint.descriptors import SOAP
from atomprint.potentials.compiled import CompiledPredictor, check_species_known
from atomprint.potentials.sparse_points import choose_points
from atomprint.potentials.terms import Predictor, State, Training
from atomprint.structures import Batch
from atomprint.util.types import FloatArray

_TAIL = 1e-11
"""Which part of the squared length of features may be left out by taking them to fewer components."""

_JITTER = 1e-8
"""Added to the kernel of a sparse point with itself, which is 1: far above what rounding makes of a kernel, and far
below what data are known to."""

_CANDIDATE_BYTES = 128 * 2**20
_PIECE_BYTES = 16 * 2**20


@dataclass(frozen=True, eq=False)
class SparsePoints:
    """The sparse points of one species.

    Parameters
    ----------
    basis : ndarray, shape (n_features, n_components)
        Orthonormal columns, in which the normalised features of all environments lie but for ``_TAIL``.
    points : ndarray, shape (n_points, n_components)
        Normalised features of the sparse points in this basis.
    """

    basis: FloatArray
    points: FloatArray


@dataclass(frozen=True)
class SoapKernel:
    """A part of the energy: a sparse Gaussian process with the kernel (x.x')^zeta between atoms of one species.

    Parameters
    ----------
    soap : SOAP
        Whose power spectrum x is, normalised; one row for each atom.
    zeta : float
        At least 1.
    n_sparse : int
        Sparse points of each species.
    selection : {"farthest", "cur", "random"}
        How they are chosen among the environments of the training set.
    """

    soap: SOAP
    zeta: float = 4.0
    n_sparse: int = 1000
    selection: str = "farthest"

    def prepare(self, training: Training) -> PreparedSoapKernel:
        """Choose the sparse points."""
        soap = SOAP(**{**self.soap.get_params(), "species": list(training.species)})
        rng = np.random.default_rng(training.random_state)
        features = _Features(soap)
        chosen = {
            z: _sparse_points(features, training, z, self.n_sparse, self.selection, rng) for z in training.species
        }
        return PreparedSoapKernel(soap, float(self.zeta), training.species, chosen)


class _Features:
    """Normalised weighted features of atoms."""

    def __init__(self, soap: SOAP) -> None:
        self.soap = soap
        self.calculator = soap._calculator()
        self.weights = feature_weights(soap)
        species = soap._species()
        nothing = np.zeros((0, len(self.weights)))
        self._model = _core.Gap64(
            self.calculator, self.weights, 1.0, [_core.SparsePoints(points=nothing) for _ in species]
        )

    def __call__(self, batch: Batch, n_jobs: int = 1) -> FloatArray:
        out = np.empty((len(batch.numbers), len(self.weights)))
        self._model.features(batch.core(), out, n_jobs)
        return out

    def pieces(self, batch: Batch) -> list[Batch]:
        """Return runs of structures whose features fit into little memory."""
        most = max(1, _PIECE_BYTES // (8 * len(self.weights)))
        found, start = [], 0
        while start < len(batch):
            stop = int(np.searchsorted(batch.offsets, batch.offsets[start] + most, side="right")) - 1
            stop = max(stop, start + 1)
            found.append(batch[start:stop])
            start = stop
        return found


def feature_weights(soap: SOAP) -> FloatArray:
    """Return by what to multiply features, so that products that occur twice in a power spectrum count twice."""
    mode, n = soap._compression()[0], int(soap.n_max)
    weights = []
    for block in soap._layout().blocks:
        same = mode == "mu2" or block.key[0] == block.key[-1]
        first, second = np.triu_indices(n) if same else np.divmod(np.arange(n * n), n)
        twice = (first != second) if same else np.full(n * n, mode != "mu1nu1")
        weights.append(np.tile(np.where(twice, np.sqrt(2.0), 1.0), int(soap.l_max) + 1))
    return np.concatenate(weights)


def _sparse_points(
    features: _Features, training: Training, z: int, n: int, selection: str, rng: np.random.Generator
) -> SparsePoints:
    batch = training.structures
    atoms = np.flatnonzero(batch.numbers == z)
    most = max(2 * n, _CANDIDATE_BYTES // (8 * len(features.weights)))
    if len(atoms) > most:
        atoms = np.sort(rng.choice(atoms, most, replace=False))
    candidates = np.empty((len(atoms), len(features.weights)))
    done = first = 0
    for piece in features.pieces(batch):
        last = first + len(piece.numbers)
        own = atoms[done : np.searchsorted(atoms, last)]
        if len(own):
            candidates[done : done + len(own)] = features(piece, training.n_jobs)[own - first]
        done, first = done + len(own), last
    basis = _basis(candidates)
    points = candidates @ basis
    return SparsePoints(basis, points[choose_points(points, n, selection, rng)])


def _basis(features: FloatArray) -> FloatArray:
    """Return orthonormal columns in which the rows lie but for ``_TAIL`` of their squared lengths."""
    n, n_features = features.shape
    values, vectors = np.linalg.eigh(features.T @ features if n_features <= n else features @ features.T)
    values, vectors = values[::-1], vectors[:, ::-1]
    left = values.clip(0.0).sum() - np.cumsum(values.clip(0.0))
    count = int(np.argmax(left <= _TAIL * values.clip(0.0).sum())) + 1
    if n_features > n:
        vectors = np.linalg.qr(features.T @ vectors[:, :count])[0]
    return np.ascontiguousarray(vectors[:, :count])


@dataclass(frozen=True, eq=False)
class PreparedSoapKernel:
    """:class:`SoapKernel` with its sparse points. A function is the sum of the kernels of all atoms with one of them.

    Parameters
    ----------
    soap : SOAP
        With its species.
    zeta : float
        Exponent of the kernel.
    species : tuple of int
        Atomic numbers, ascending.
    sparse : dict of int to SparsePoints
        The sparse points by atomic number.
    """

    soap: SOAP
    zeta: float
    species: tuple[int, ...]
    sparse: Mapping[int, SparsePoints]
    _features: _Features = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_features", _Features(self.soap))

    @property
    def n_functions(self) -> int:
        """Number of sparse points of all species."""
        return sum(len(own.points) for own in self.sparse.values())

    @property
    def cutoff(self) -> float:
        """Distance in Å beyond which no atom counts."""
        return float(self.soap._reach())

    @property
    def degrees(self) -> FloatArray:
        """Zeros: the kernel says what is smooth."""
        return np.zeros(self.n_functions)

    @cached_property
    def prior_factor(self) -> FloatArray:
        """Transposed Cholesky factors of the kernels between the sparse points of each species."""
        factor, first = np.zeros((self.n_functions, self.n_functions)), 0
        for own in self.sparse.values():
            kernel = _power(own.points @ own.points.T, self.zeta)
            kernel[np.diag_indices(len(kernel))] += _JITTER
            last = first + len(kernel)
            factor[first:last, first:last] = np.linalg.cholesky(kernel).T
            first = last
        return factor

    @cached_property
    def _model(self) -> Any:
        return self._core(self.zeta, [self._arrays(own) for own in self.sparse.values()])

    def _core(self, zeta: float, points: list[Any]) -> Any:
        return _core.Gap64(self._features.calculator, self._features.weights, zeta, points)

    def _arrays(self, own: SparsePoints, coefficients: FloatArray | None = None) -> Any:
        """Return the points in the form that takes least work."""
        n_features, n_components = own.basis.shape
        n = len(own.points)
        reduced = n_components * (n_features + n) < n_features * n
        points = own.points if reduced else own.points @ own.basis.T
        basis = own.basis if reduced else None
        if coefficients is not None and self.zeta == 1:
            points, basis = (coefficients @ own.points @ own.basis.T)[np.newaxis], None
            coefficients = np.ones(1)
        elif coefficients is not None and self.zeta == 2:
            form = own.points.T @ (coefficients[:, np.newaxis] * own.points)
            work = 2 * n_features * n_components + n_components**2, n_features**2, 2 * n_components * (n_features + n)
            if min(work) == work[1]:
                form = own.basis @ form @ own.basis.T
            if min(work) < work[2] or n == 0:
                basis = None if min(work) == work[1] else own.basis
                none = np.zeros((0, len(form)))
                return _core.SparsePoints(
                    points=none, basis=basis, coefficients=np.zeros(0), form=np.ascontiguousarray(form)
                )
        return _core.SparsePoints(points=np.ascontiguousarray(points), basis=basis, coefficients=coefficients)

    def rows(self, batch: Batch, out: FloatArray, n_jobs: int = 1) -> None:
        """Write what the functions contribute to energies, forces and strain derivatives."""
        check_species_known(batch, self.species)
        self._model.rows(batch.core(), out, n_jobs)

    def sums(self, batch: Batch, out: FloatArray, n_jobs: int = 1) -> None:
        """Write the sum of each function over the atoms of each structure."""
        check_species_known(batch, self.species)
        done = 0
        for piece in self._features.pieces(batch):
            x = self._features(piece, n_jobs)
            first = 0
            for z, own in self.sparse.items():
                kernel = _power((x[piece.numbers == z] @ own.basis) @ own.points.T, self.zeta)
                of_structure = np.repeat(np.arange(len(piece)), piece.n_atoms)[piece.numbers == z]
                sums = np.zeros((len(piece), len(own.points)))
                np.add.at(sums, of_structure, kernel)
                out[done : done + len(piece), first : first + len(own.points)] = sums
                first += len(own.points)
            done += len(piece)

    def predictor(self, coefficients: FloatArray) -> Predictor:
        """Return the part of the energy that has these coefficients."""
        points, first = [], 0
        for own in self.sparse.values():
            points.append(self._arrays(own, np.ascontiguousarray(coefficients[first : first + len(own.points)])))
            first += len(own.points)
        return CompiledPredictor(self._core(self.zeta, points), self.species)

    def state(self) -> State:
        """Return what :meth:`from_state` needs."""
        return {
            "soap": {name: value for name, value in self.soap.get_params().items() if name in _SOAP},
            "zeta": self.zeta,
            "species": list(self.species),
            "basis": [own.basis for own in self.sparse.values()],
            "points": [own.points for own in self.sparse.values()],
        }

    @classmethod
    def from_state(cls, state: State) -> Self:
        """Return the term with this state."""
        species = tuple(int(z) for z in state["species"])
        soap = SOAP(**state["soap"], species=list(species))
        sparse = {
            z: SparsePoints(basis, points)
            for z, basis, points in zip(species, state["basis"], state["points"], strict=True)
        }
        return cls(soap, float(state["zeta"]), species, sparse)


_SOAP = ("r_cut", "n_max", "l_max", "sigma", "rbf", "weighting", "compression", "cutoff_width")
"""Parameters of a SOAP that its numbers depend on."""


def _power(products: FloatArray, zeta: float) -> FloatArray:
    return products**zeta if zeta == int(zeta) else products.clip(0.0) ** zeta
