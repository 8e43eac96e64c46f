"""Steinhardt's order parameters of the bonds around atoms."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from atomprint.descriptors.ace_basis.coupling import real_coupling
from atomprint.descriptors.engine.call import Array, Call
from atomprint.descriptors.engine.local import LocalDescriptor
from atomprint.descriptors.engine.pairs import PairBlock
from atomprint.descriptors.engine.parts import parts
from atomprint.descriptors.structural.bonds import faded
from atomprint.descriptors.structural.harmonics import harmonics_and_gradients, real_harmonics
from atomprint.layout import Axis, Block, Layout
from atomprint.neighbours import Pairs, find_around
from atomprint.structures import StructureError, counted_from
from atomprint.util.overlap import in_order
from atomprint.util.registry import public
from atomprint.util.types import FloatArray
from atomprint.util.validation import check_bool, check_integer, check_length, check_real

IndexArray = npt.NDArray[np.int64]

_HIGHEST = 20
_NOTHING = 1e-7  # order parameters below it are rounding
_EQUAL = 1e-7  # distances that differ by less of their size are equal
_COINCIDENT = 1e-5  # Å, as anywhere
_PART_BYTES = 16 * 2**20  # of what is kept for each bond
_BONDS = 24  # of an atom, about


class _Bonds(NamedTuple):
    """Bonds of points to atoms, sorted by the points, with their weights."""

    point: IndexArray
    atom: IndexArray  # among all atoms of the batch
    end: IndexArray  # the same, among those whose bonds are known, too
    shift: IndexArray
    vectors: FloatArray
    directions: FloatArray
    lengths: FloatArray
    weights: FloatArray
    slopes: FloatArray  # of the weights by the lengths
    n: int  # points

    def totals(self) -> FloatArray:
        return np.bincount(self.point, self.weights, minlength=self.n).astype(np.float64)

    def summed(self, values: FloatArray) -> FloatArray:
        """Return sums over the bonds of each point, of which there are ``values``; points without bonds have zeros."""
        found = np.zeros((self.n, *values.shape[1:]))
        if len(self.point):
            starts = np.flatnonzero(np.diff(self.point, prepend=-1))
            found[self.point[starts]] = np.add.reduceat(values, starts, axis=0)
        return found


@public("SteinhardtParameters", version=1, in_recipes=True)
class SteinhardtParameters(LocalDescriptor):
    r"""Order parameters of the directions of bonds around an atom, by Steinhardt, Nelson and Ronchetti.

    From the spherical harmonics of the directions to the neighbours,

    .. math:: q_{lm} = \frac{\sum_j w(r_j) Y_{lm}(\hat{\mathbf r}_j)}{\sum_j w(r_j)}, \qquad
        q_l = \sqrt{\frac{4\pi}{2l + 1} \sum_m |q_{lm}|^2}, \qquad
        \hat w_l = \frac{\sum_{m_1 + m_2 + m_3 = 0} \begin{pmatrix} l & l & l \\ m_1 & m_2 & m_3 \end{pmatrix}
        q_{lm_1} q_{lm_2} q_{lm_3}}{\big(\sum_m |q_{lm}|^2\big)^{3/2}}

    tell how atoms are packed [1]_: 12 neighbours have :math:`q_6` = 0.575 and :math:`\hat w_6` = -0.013 in fcc, 0.485
    and -0.012 in hcp, 0.663 and -0.170 in an icosahedron.

    Parameters
    ----------
    q : sequence of int, optional
        Degrees l of the :math:`q_l`, 0 to 20. None for none.
    w : sequence of int, optional
        Degrees l of the :math:`\hat w_l`, which are zero for odd l, and so even. None for none.
    r_cut : float
        Cutoff in Å.
    cutoff_width : float, optional
        With it, the weight w of a neighbour goes to zero as a cosine between r_cut - cutoff_width and r_cut (in Å), so
        that parameters are continuous. Without it the weight is 1.
    n_nearest : int, optional
        Only so many neighbours count, those nearest; of equally distant ones at the end of this list each counts for
        the same share. A centre must have as many within ``r_cut``. Not with ``cutoff_width``.
    averaged : bool
        Whether :math:`q_{lm}` is first averaged over the centre and its neighbours, with the weights 1 and w [2]_,
        which tells crystals from liquids better.
    periodic : "auto" or bool
        As for :class:`SOAP`.
    centers, pooling
        As for :class:`SOAP`; ``pooling=("mean", "std")`` makes one row for each structure.
    sparse : bool
        Whether to return SciPy sparse arrays.
    dtype : {"float64", "float32"}
        Precision of the result; it is computed in double precision.
    n_jobs : int
        Number of threads; -1 means all cores.

    Notes
    -----
    All elements are alike. Without neighbours all parameters are 0. So is :math:`\hat w_l` where :math:`q_l` is below
    1e-7, which is nothing but rounding; as a quotient it jumps there.

    Derivatives are analytical, at fixed sets of neighbours where there is no ``cutoff_width``. At :math:`q_l = 0` they
    are taken as 0.

    References
    ----------
    .. [1] P. J. Steinhardt, D. R. Nelson, M. Ronchetti, Phys. Rev. B 28 (1983) 784.
    .. [2] W. Lechner, C. Dellago, J. Chem. Phys. 129 (2008) 114707.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from atomprint.descriptors import SteinhardtParameters
    >>> SteinhardtParameters(r_cut=3.0).create(bulk("Cu")).round(4)
    array([[ 0.1909,  0.5745, -0.1593, -0.0132]])
    """

    _adds_up = False

    def __init__(
        self,
        q: Sequence[int] | None = (4, 6),
        w: Sequence[int] | None = (4, 6),
        r_cut: float = 3.5,
        cutoff_width: float | None = None,
        n_nearest: int | None = None,
        averaged: bool = False,
        periodic: bool | str = "auto",
        centers: Any = None,
        pooling: Any = None,
        sparse: bool = False,
        dtype: Any = "float64",
        n_jobs: int | None = 1,
    ) -> None:
        self._initialise(locals())

    def _validate(self) -> None:
        super()._validate()
        q, w = _degrees("q", self.q), _degrees("w", self.w)
        if not q and not w:
            raise ValueError("q must be given where w is None, got None in both")
        if odd := [l for l in w if l % 2]:
            raise ValueError(f"w must have even degrees, as others are zero, got {odd[0]}")
        r_cut = check_length("r_cut", self.r_cut)
        if self.cutoff_width is not None and check_real("cutoff_width", self.cutoff_width, above=0) > r_cut:
            raise ValueError(f"cutoff_width must be <= r_cut = {r_cut:g}, got {self.cutoff_width:g}")
        if self.n_nearest is not None:
            check_integer("n_nearest", self.n_nearest, 1)
            if self.cutoff_width is not None:
                raise ValueError(f"cutoff_width must be None with n_nearest, got {self.cutoff_width:g}")
        check_bool("averaged", self.averaged)

    def _n_features(self) -> int:
        return len(self._kinds())

    def _kinds(self) -> list[tuple[str, int]]:
        """Return what each feature is, "q" or "w" and its degree."""
        return [(kind, int(l)) for kind in ("q", "w") for l in _degrees(kind, getattr(self, kind))]

    def _layout(self) -> Layout:
        texts = [f"{kind}{l}" for kind, l in self._kinds()]
        return Layout(type(self).__name__, [Block((), [Axis("order parameters", texts)])])

    # -----------------------------------------------------------------------------------------------------------------

    def _compute(self, call: Call, out: Array) -> None:
        starts = call.computed

        def compute(one: tuple[int, int, int, Call]) -> None:
            first, row, stop, part = one
            with counted_from(first):
                out[row:stop] = self._features(part)

        def rows() -> Any:
            row = 0
            for first, part in parts(call, starts, _BONDS * 8 * self._n_harmonics(), _PART_BYTES):
                stop = row + len(part.centers.points)
                yield first, row, stop, part
                row = stop

        deque(in_order(compute, rows(), call.n_threads), maxlen=0)

    def _n_harmonics(self) -> int:
        return sum(2 * l + 1 for l in self._all_degrees())

    def _all_degrees(self) -> list[int]:
        return sorted({l for _, l in self._kinds()})

    def _bonds(self, call: Call, pairs: Pairs, offsets: IndexArray, atoms: IndexArray) -> _Bonds:
        """Return the bonds of points that structures own by ``offsets`` and that are these atoms of theirs, or -1."""
        point = offsets[pairs.structures] + pairs.first
        # The atom of a centre is no neighbour of it, wherever it is.
        themselves = (atoms[point] == pairs.second) & ~pairs.shifts.any(axis=1) | (pairs.distances < _COINCIDENT)
        kept = np.flatnonzero(~themselves)
        atom = call.batch.offsets[pairs.structures] + pairs.second
        weights, slopes = np.ones(len(pairs)), np.zeros(len(pairs))
        n = int(offsets[-1])
        if self.cutoff_width is not None:
            weights, slopes = faded(pairs.distances, self.r_cut - self.cutoff_width, self.r_cut)
        elif self.n_nearest is not None:
            weights = self._nearest(point[kept], pairs.distances[kept], n, offsets, atoms)
            kept, weights = kept[weights > 0], weights[weights > 0]
            weights, slopes = _spread(weights, kept, len(pairs)), slopes
        lengths = pairs.distances[kept]
        directions = pairs.vectors[kept] / lengths[:, None]
        return _Bonds(
            point[kept], atom[kept], atom[kept], pairs.shifts[kept], pairs.vectors[kept], directions, lengths,
            weights[kept], slopes[kept], n,
        )  # fmt: skip

    def _nearest(
        self, point: IndexArray, lengths: FloatArray, n: int, offsets: IndexArray, atoms: IndexArray
    ) -> FloatArray:
        """Return the weights of bonds where only some of the nearest count."""
        wanted, counts = int(self.n_nearest), np.bincount(point, minlength=n)
        if counts.size and counts.min() < wanted:
            few = int(np.argmin(counts))
            s = int(np.searchsorted(offsets, few, side="right")) - 1
            where = int(atoms[few]) if atoms[few] >= 0 else None
            rule = f"must have n_nearest = {wanted} neighbours within r_cut = {self.r_cut:g}, got {counts[few]}"
            raise StructureError(s, where, rule)
        order = np.lexsort((lengths, point))
        starts = np.concatenate([[0], np.cumsum(counts)])[:-1]
        last = lengths[order[starts + wanted - 1]] if n else np.empty(0)  # of the last that counts
        tied = np.abs(lengths - last[point]) <= _EQUAL * last[point]
        nearer = (lengths < last[point]) & ~tied
        share = (wanted - np.bincount(point, nearer, minlength=n)) / np.maximum(
            np.bincount(point, tied, minlength=n), 1
        )
        return np.where(nearer, 1.0, np.where(tied, share[point], 0.0))

    def _both(self, call: Call) -> tuple[_Bonds, _Bonds | None]:
        """Return the bonds of the centres and, for averages, those of all atoms at their ends."""
        reach, batch = float(self.r_cut), call.batch
        around = self._bonds(call, call.pairs(reach), call.centers.offsets, call.centers.atoms)
        if not self.averaged:
            return around, None
        ends, place = np.unique(around.atom, return_inverse=True)
        offsets = np.searchsorted(ends, batch.offsets)
        pairs = find_around(batch, batch.positions[ends], offsets, reach, call.n_threads)
        own = ends - np.repeat(batch.offsets[:-1], np.diff(offsets))
        return around._replace(end=place), self._bonds(call, pairs, offsets, own)

    def _features(self, call: Call) -> FloatArray:
        """Return the features of all centres."""
        around, of_atoms = self._both(call)
        moments = {l: self._moments(l, around, of_atoms) for l in self._all_degrees()}
        return np.column_stack([_FUNCTIONS[kind](moments[l])[0] for kind, l in self._kinds()])

    def _moments(self, l: int, around: _Bonds, of_atoms: _Bonds | None) -> FloatArray:
        """Return q_lm of all centres, with real harmonics: shape (n_centres, 2 l + 1)."""
        own = _mean(around, real_harmonics(around.directions, l))
        if of_atoms is None:
            return own
        neighbours = _mean(of_atoms, real_harmonics(of_atoms.directions, l))
        total = around.summed(around.weights[:, None] * neighbours[around.end])
        return (own + total) / (1 + around.totals())[:, None]

    def _pairs(self, call: Call) -> Sequence[PairBlock]:
        n = self._n_features()
        around, of_atoms = self._both(call)
        values = np.zeros((len(around.point), 3, n))
        if of_atoms is not None:
            second = _second(around, of_atoms)
            beyond = np.zeros((len(second.bond), 3, n))
        for l in self._all_degrees():
            moments = self._moments(l, around, of_atoms)
            harmonics, gradients = harmonics_and_gradients(around.directions, l)
            kinds = enumerate(self._kinds())
            slopes = [(k, _FUNCTIONS[kind](moments)[1]) for k, (kind, degree) in kinds if degree == l]  # by q_lm
            if of_atoms is None:
                by_vector = _bond_slopes(around, harmonics, gradients, moments)
                for column, slope in slopes:
                    values[:, :, column] = np.einsum("pam,pm->pa", by_vector, slope[around.point])
                continue
            own = _mean(around, harmonics)
            others, other_gradients = harmonics_and_gradients(of_atoms.directions, l)
            neighbours = _mean(of_atoms, others)
            total = 1 + around.totals()
            by_vector = _bond_slopes(around, harmonics, gradients, own)  # of the centre's own q_lm
            by_weight = neighbours[around.end] - moments[around.point]
            by_vector += (around.slopes[:, None] * around.directions)[:, :, None] * by_weight[:, None, :]
            by_other = _bond_slopes(of_atoms, others, other_gradients, neighbours)
            for column, slope in slopes:
                scaled = slope / total[:, None]
                values[:, :, column] = np.einsum("pam,pm->pa", by_vector, scaled[around.point])
                step = np.einsum("pam,pm->pa", by_other[second.bond], scaled[around.point[second.first]])
                step *= around.weights[second.first][:, None]
                beyond[:, :, column] = step
                np.subtract.at(values[:, :, column], second.first, step)
        point, atom, shift, vectors = around.point, around.atom, around.shift, around.vectors
        if of_atoms is not None:
            point = np.concatenate([point, around.point[second.first]])
            atom = np.concatenate([atom, of_atoms.atom[second.bond]])
            shift = np.concatenate([shift, around.shift[second.first] + of_atoms.shift[second.bond]])
            vectors = np.concatenate([vectors, around.vectors[second.first] + of_atoms.vectors[second.bond]])
            point, atom, shift, vectors, values = _merged(point, atom, shift, vectors, np.concatenate([values, beyond]))
        structures = np.searchsorted(call.centers.offsets, point, side="right") - 1
        return [
            PairBlock(
                0,
                np.arange(n),
                values.astype(call.dtype),
                structures,
                point - call.centers.offsets[structures],
                atom - call.batch.offsets[structures],
                shift,
                vectors,
            )
        ]


class _Second(NamedTuple):
    """Bonds of neighbours: pairs of a bond of a centre and one of the atom at its end."""

    first: IndexArray
    bond: IndexArray


def _second(around: _Bonds, of_atoms: _Bonds) -> _Second:
    counts = np.bincount(of_atoms.point, minlength=of_atoms.n)
    starts = np.concatenate([[0], np.cumsum(counts)])[:-1]
    own = counts[around.end]
    first = np.repeat(np.arange(len(own)), own)
    place = np.arange(len(first)) - np.repeat(np.cumsum(own) - own, own)
    return _Second(first, starts[around.end][first] + place)


def _merged(
    point: IndexArray, atom: IndexArray, shift: IndexArray, vectors: FloatArray, values: FloatArray
) -> tuple[IndexArray, IndexArray, IndexArray, FloatArray, FloatArray]:
    """Return pairs of a centre and an image of an atom, each once, with the sums of their derivatives."""
    key = np.column_stack([point, atom, shift])
    order = np.lexsort(key.T[::-1])
    starts = np.flatnonzero(np.any(np.diff(key[order], axis=0, prepend=-(2**60)) != 0, axis=1))
    first = order[starts]
    sums = np.add.reduceat(values[order], starts, axis=0) if len(starts) else values
    return point[first], atom[first], shift[first], vectors[first], sums


def _spread(values: FloatArray, places: IndexArray, n: int) -> FloatArray:
    found = np.zeros(n)
    found[places] = values
    return found


def _degrees(name: str, given: Any) -> tuple[int, ...]:
    """Return checked degrees, none for None."""
    if given is None:
        return ()
    if isinstance(given, np.ndarray) and given.ndim == 1:
        given = given.tolist()
    if not isinstance(given, list | tuple | range):
        raise TypeError(f"{name} must be a sequence of integers, got {given!r}")
    found = tuple(check_integer(f"{name}[{k}]", l, 0, _HIGHEST) for k, l in enumerate(given))
    if not found:
        raise ValueError(f"{name} must be None or hold at least one degree, got {given!r}")
    if len(set(found)) < len(found):
        raise ValueError(f"{name} must be different from each other, got {found}")
    return found


def _mean(bonds: _Bonds, harmonics: FloatArray) -> FloatArray:
    """Return the weighted means of harmonics over the bonds of each point; zeros where there are none."""
    totals = bonds.totals()
    sums = bonds.summed(bonds.weights[:, None] * harmonics)
    return np.divide(sums, totals[:, None], out=np.zeros_like(sums), where=totals[:, None] > 0)


def _bond_slopes(bonds: _Bonds, harmonics: FloatArray, gradients: FloatArray, means: FloatArray) -> FloatArray:
    """Return the derivatives of the means by the vectors of bonds, shape (n_bonds, 3, 2 l + 1)."""
    found = gradients * (bonds.weights / bonds.lengths)[:, None, None]
    found += (bonds.slopes[:, None] * bonds.directions)[:, :, None] * (harmonics - means[bonds.point])[:, None, :]
    totals = bonds.totals()[bonds.point]
    return np.divide(found, totals[:, None, None], out=np.zeros_like(found), where=totals[:, None, None] > 0)


def _length(moments: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return q_l, and its derivative by q_lm."""
    factor = 4 * np.pi / moments.shape[1]
    length = np.sqrt(factor * (moments**2).sum(axis=1))
    return length, factor * moments / np.where(length > _NOTHING, length, np.inf)[:, None]


def _third(moments: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the normalised w_l, and its derivative by q_lm."""
    n = moments.shape[1]
    coupling = real_coupling(n // 2, n // 2, n // 2) / np.sqrt(n)
    # Term by term: products of matrices would depend on how many centres there are, by rounding.
    parts, coupled = moments.T.copy(), np.zeros((n, len(moments)))
    for a, b, c in np.argwhere(coupling).tolist():
        if a <= b:
            coupled[c] += (coupling[a, b, c] * (1 if a == b else 2)) * parts[a] * parts[b]
    coupled = coupled.T
    square = (moments**2).sum(axis=1)
    there = 4 * np.pi / n * square > _NOTHING**2
    square = np.where(there, square, np.inf)
    third = (coupled * moments).sum(axis=1)
    values = third / square**1.5
    slopes = 3 * coupled / square[:, None] ** 1.5 - 3 * (values / square)[:, None] * moments
    return values, slopes


_FUNCTIONS = {"q": _length, "w": _third}
