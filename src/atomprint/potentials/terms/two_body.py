"""Pair energies: Gaussian processes of the distance of two atoms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from atomprint.neighbours import find_pairs
from atomprint.potentials.terms.compiled import check_species_known
from atomprint.potentials.terms.cutoff import typical_cutoff
from atomprint.potentials.terms.pair_table import PairTable
from atomprint.potentials.terms.sums import Offsets
from atomprint.potentials.terms.term import VOIGT, Predictor, State, Training, row_offsets
from atomprint.ragged import chunks
from atomprint.structures import Batch
from atomprint.util.registry import public
from atomprint.util.types import FloatArray

_WIDTH = 1.5
"""Standard deviation of the kernel in steps from one sparse distance to the next."""

_JITTER = 1e-8
_KNOTS = 1001
_ATOMS = 4096  # at once


@dataclass(frozen=True)
class PairKernel:
    """An energy of pairs of atoms: for each pair of species a sparse Gaussian process of their distance.

    The kernel is exp(-(r - r')^2 / 2 w^2), times a function that goes smoothly to zero at the cutoff for each of the
    two distances.

    Parameters
    ----------
    r_cut : float, optional
        Cutoff in Å. Default: that of :func:`~atomprint.potentials.terms.cutoff.typical_cutoff`.
    n_sparse : int
        Sparse distances of each pair of species, from the shortest one in the training set to the cutoff.
    """

    r_cut: float | None = None
    n_sparse: int = 20

    def prepare(self, training: Training) -> PreparedPairKernel:
        """Choose the sparse distances."""
        ranges: dict[tuple[int, int], tuple[float, float, float]] = {}
        r_cut = typical_cutoff(training.structures) if self.r_cut is None else float(self.r_cut)
        shortest = _shortest(training, r_cut)
        for pair in combinations_with_replacement(training.species, 2):
            if pair in shortest:
                start, end = training.inner.get(pair, (0.0, 0.0))
                nearest = min(shortest[pair], 0.8 * r_cut)
                ranges[pair] = (max(nearest, float(start)), float(start), float(end))
        return PreparedPairKernel(training.species, r_cut, int(self.n_sparse), ranges)


def _shortest(training: Training, r_cut: float) -> dict[tuple[int, int], float]:
    """Return the shortest distance of each pair of species that is below the cutoff."""
    batch, found = training.structures, dict[tuple[int, int], float]()
    for start, stop in chunks(batch.offsets, _ATOMS):
        pairs = _Pairs(batch[start:stop], r_cut, training.n_jobs)
        for a, b in combinations_with_replacement(training.species, 2):
            own = pairs.of(a, b)
            if len(own):
                found[a, b] = min(found.get((a, b), np.inf), float(pairs.r[own].min()))
    return found


class _Pairs:
    """All pairs of some structures, each from both ends."""

    def __init__(self, batch: Batch, r_cut: float, n_jobs: int) -> None:
        found = find_pairs(batch, r_cut, n_jobs)
        first = batch.offsets[found.structures]
        self.structure, self.first = found.structures, first + found.first
        self.r, self.vectors = found.distances, found.vectors
        self._low = np.minimum(batch.numbers[self.first], batch.numbers[first + found.second])
        self._high = np.maximum(batch.numbers[self.first], batch.numbers[first + found.second])

    def of(self, a: int, b: int) -> npt.NDArray[np.int64]:
        """Return those of two species a <= b."""
        return np.flatnonzero((self._low == a) & (self._high == b))


def _step(r: FloatArray, start: float, end: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return a function that rises from 0 at ``start`` to 1 at ``end``, and its first and second derivative."""
    if end <= start:
        return np.ones_like(r), np.zeros_like(r), np.zeros_like(r)
    t, width = np.clip((r - start) / (end - start), 0.0, 1.0), end - start
    value = t**3 * (10 - 15 * t + 6 * t**2)
    return value, 30 * t**2 * (1 - t) ** 2 / width, 60 * t * (1 - t) * (1 - 2 * t) / width**2


@public("PreparedPairKernel", version=1)
class PreparedPairKernel:
    """:class:`PairKernel` with its sparse distances; a :class:`~atomprint.potentials.terms.term.PreparedTerm`.

    Parameters
    ----------
    species : tuple of int
        Atomic numbers, ascending.
    r_cut : float
        Cutoff in Å.
    n_sparse : int
        Sparse distances of each pair.
    ranges : dict of pairs of int to three floats
        By two atomic numbers, ascending: the first sparse distance, and the distances between which it is switched on.
    """

    def __init__(
        self,
        species: tuple[int, ...],
        r_cut: float,
        n_sparse: int,
        ranges: Mapping[tuple[int, int], tuple[float, float, float]],
    ) -> None:
        self.species, self.cutoff, self.n_sparse, self.ranges = species, r_cut, n_sparse, dict(ranges)
        self.n_functions = n_sparse * len(self.ranges)
        self.degrees = np.zeros(self.n_functions)

    def _distances(self, pair: tuple[int, int]) -> tuple[FloatArray, float]:
        """Return the sparse distances of a pair, and the width of the kernel."""
        at = np.linspace(self.ranges[pair][0], self.cutoff, self.n_sparse + 1)[:-1]  # at the cutoff there is nothing
        return at, _WIDTH * (self.cutoff - self.ranges[pair][0]) / self.n_sparse

    @property
    def prior_factor(self) -> FloatArray:
        """Transposed Cholesky factors of the kernels between the sparse distances."""
        factor = np.zeros((self.n_functions, self.n_functions))
        for k, pair in enumerate(self.ranges):
            at, width = self._distances(pair)
            kernel = np.exp(-0.5 * ((at[:, None] - at) / width) ** 2)
            kernel[np.diag_indices(len(at))] += _JITTER
            own = slice(k * self.n_sparse, (k + 1) * self.n_sparse)
            factor[own, own] = np.linalg.cholesky(kernel).T
        return factor

    def _functions(self, pair: tuple[int, int], r: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the functions of a pair at some distances, and their first and second derivatives."""
        at, width = self._distances(pair)
        u = (r[:, None] - at) / width
        g = np.exp(-0.5 * u**2)
        g1, g2 = -u / width * g, (u**2 - 1) / width**2 * g
        on, on1, on2 = (part[:, None] for part in _step(r, *self.ranges[pair][1:]))
        off, off1, off2 = (part[:, None] for part in _step(-r, -self.cutoff, -0.5 * self.cutoff))
        f, f1, f2 = on * off, on1 * off - on * off1, on2 * off - 2 * on1 * off1 + on * off2
        return g * f, g1 * f + g * f1, g2 * f + 2 * g1 * f1 + g * f2

    def rows(self, batch: Batch, out: FloatArray, n_jobs: int = 1) -> None:
        """Write what the functions contribute to energies, forces and strain derivatives."""
        check_species_known(batch, self.species)
        pairs, offsets = _Pairs(batch, self.cutoff, n_jobs), row_offsets(batch)
        of_atom = np.repeat(offsets[:-1] + 1 - 3 * batch.offsets[:-1], batch.n_atoms) + 3 * np.arange(
            len(batch.numbers)
        )
        out[:] = 0.0
        for k, pair in enumerate(self.ranges):
            own = pairs.of(*pair)
            if len(own) == 0:
                continue
            columns = out[:, k * self.n_sparse : (k + 1) * self.n_sparse]
            r, d = pairs.r[own], pairs.vectors[own]
            value, slope, _ = self._functions(pair, r)
            structure, atom = pairs.structure[own], of_atom[pairs.first[own]]
            _add(columns, offsets[structure], 0.5 * value)
            for a in range(3):
                _add(columns, atom + a, slope * (d[:, a] / r)[:, None])
            for row, (a, b) in enumerate(VOIGT):
                _add(columns, offsets[structure + 1] - 6 + row, 0.5 * slope * (d[:, a] * d[:, b] / r)[:, None])

    def sums(self, batch: Batch, out: FloatArray, n_jobs: int = 1) -> None:
        """Write the sum of each function over the pairs of each structure."""
        check_species_known(batch, self.species)
        out[:] = 0.0
        pairs = _Pairs(batch, self.cutoff, n_jobs)
        for k, pair in enumerate(self.ranges):
            own = pairs.of(*pair)
            if len(own):
                columns = out[:, k * self.n_sparse : (k + 1) * self.n_sparse]
                _add(columns, pairs.structure[own], 0.5 * self._functions(pair, pairs.r[own])[0])

    def atoms(self, batch: Batch, out: FloatArray, n_jobs: int = 1) -> None:
        """Write half of the sum of each function over the pairs of each atom."""
        check_species_known(batch, self.species)
        out[:] = 0.0
        pairs = _Pairs(batch, self.cutoff, n_jobs)
        for k, pair in enumerate(self.ranges):
            own = pairs.of(*pair)
            if len(own):
                columns = out[:, k * self.n_sparse : (k + 1) * self.n_sparse]
                _add(columns, pairs.first[own], 0.5 * self._functions(pair, pairs.r[own])[0])

    def predictor(self, coefficients: FloatArray) -> Predictor:
        """Return the energy that has these coefficients, as a table."""
        if not self.ranges:
            return Offsets({})
        r = np.linspace(0.0, self.cutoff, _KNOTS)
        knots = {}
        for k, pair in enumerate(self.ranges):
            own = coefficients[k * self.n_sparse : (k + 1) * self.n_sparse]
            knots[pair] = np.stack([part @ own for part in self._functions(pair, r)], axis=1)
        return PairTable(self.species, knots, dict.fromkeys(knots, self.cutoff))

    def state(self) -> State:
        """Return what :meth:`from_state` needs."""
        return {
            "species": list(self.species),
            "r_cut": self.cutoff,
            "n_sparse": self.n_sparse,
            "pairs": np.array(list(self.ranges), dtype=np.int64).reshape(-1, 2),
            "ranges": np.array(list(self.ranges.values())).reshape(-1, 3),
        }

    @classmethod
    def from_state(cls, state: State) -> Self:
        """Return the term with this state."""
        pairs: Any = map(tuple, state["pairs"].tolist())
        ranges: Any = map(tuple, state["ranges"].tolist())
        species = tuple(int(z) for z in state["species"])
        return cls(species, float(state["r_cut"]), int(state["n_sparse"]), dict(zip(pairs, ranges, strict=True)))


def _add(out: FloatArray, rows: npt.NDArray[np.int64], values: FloatArray) -> None:
    """Add values to rows that ascend, and may occur more than once."""
    first = np.flatnonzero(np.diff(rows, prepend=-1))
    out[rows[first]] += np.add.reduceat(values, first, axis=0)
