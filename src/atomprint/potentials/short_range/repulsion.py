"""The repulsive core of a potential: a fixed energy of pairs, which takes over where atoms are nearer than in any data.

Nuclei repel each other by a screened Coulomb force, which the universal potential of Ziegler, Biersack and Littmark
(ZBL) gives within some per cent for all pairs of elements. A fit knows nothing of distances that its data do not hold,
and may go anywhere there; so below them its functions are switched off (:attr:`Repulsion.inner_ranges`), and this core
is switched on. It is taken off the labels before a fit, so that a fit does not see it where both overlap.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement, product
from typing import Any

import numpy as np
import numpy.typing as npt
from ase.data import chemical_symbols

from atomprint.formats.judge import RADII
from atomprint.neighbours import Pairs, find_pairs
from atomprint.potentials.terms.pair_table import PairTable
from atomprint.structures import Batch, StructureError, Structures, as_batch
from atomprint.util.validation import check_n_jobs, check_species

__all__ = ["Repulsion", "zbl"]

Floats = npt.NDArray[np.float64]

# J. F. Ziegler, J. P. Biersack, U. Littmark, The Stopping and Range of Ions in Solids, Pergamon (1985).
_SHARES = (0.18175, 0.50986, 0.28022, 0.02817)
_DECAYS = (3.19980, 0.94229, 0.40290, 0.20162)
_LENGTH, _POWER = 0.46850, 0.23  # Å: 0.8854 Bohr radii
_COULOMB = 14.3996454  # e^2 / (4 pi epsilon_0) in eV Å

# In units of the shortest distance of a pair of species in the training data: where the core begins to fade and where
# it ends, and where the functions of the fit begin and where they are whole.
ZBL_RANGE = (0.50, 1.00)
INNER_RANGE = (0.70, 1.00)
_KNOTS = 1001  # of tables: where ZBL begins to fade is one of them
_TOGETHER = 128  # structures, whose pairs are in memory at a time
_SAME = 5e-3  # so much nearer is no news

FURTHEST = 1.3
"""So much of the sum of the covalent radii stands for the shortest distance of pairs that come no nearer."""

CLOSEST = 0.3
"""So much of it does where atoms come nearer, as in no matter: ZBL alone is right there."""

REACH = 1.5
"""Pairs are looked for up to so much of the sum of their covalent radii; those that are not found never meet."""


def zbl(first: npt.ArrayLike, second: npt.ArrayLike, distances: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Return the universal screened repulsion of two nuclei.

    ``E(r) = e^2 / (4 pi epsilon_0) Z1 Z2 / r phi(r / a)`` with ``a = 0.46850 Å / (Z1^0.23 + Z2^0.23)`` and ``phi(x) =
    0.18175 exp(-3.1998 x) + 0.50986 exp(-0.94229 x) + 0.28022 exp(-0.4029 x) + 0.02817 exp(-0.20162 x)``
    (J. F. Ziegler, J. P. Biersack, U. Littmark, The Stopping and Range of Ions in Solids, 1985).

    Parameters
    ----------
    first, second : array_like
        Atomic numbers.
    distances : array_like
        In Å, above 0.

    Returns
    -------
    energy, slope : ndarray
        In eV, and its derivative in eV/Å.

    Examples
    --------
    >>> energy, slope = zbl(14, 14, [0.5, 1.0, 2.0])
    >>> energy.round(3)
    array([470.493,  50.974,   2.407])
    """
    r = np.asarray(distances, dtype=np.float64)
    z1, z2 = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    inverse = (z1**_POWER + z2**_POWER) / _LENGTH
    x = r * inverse
    phi, slope = np.zeros_like(x), np.zeros_like(x)
    for share, decay in zip(_SHARES, _DECAYS, strict=True):
        part = share * np.exp(-decay * x)
        phi += part
        slope -= decay * part
    coulomb = _COULOMB * z1 * z2 / r
    return coulomb * phi, coulomb * (slope * inverse - phi / r)


def fading(distances: Floats, start: Floats, end: Floats) -> tuple[Floats, Floats]:
    """Return what falls from 1 at ``start`` to 0 at ``end`` with two continuous derivatives, and its slope."""
    width = end - start
    t = np.clip((distances - start) / width, 0, 1)
    return 1 - t**3 * (10 - 15 * t + 6 * t * t), -30 * (t * (1 - t)) ** 2 / width


@dataclass(frozen=True, eq=False, slots=True)
class Repulsion:
    """A repulsion of all pairs of some species at short distances: ZBL, which fades to zero.

    :meth:`fit` chooses the ranges by the training data. Where a pair of species comes no nearer than 1.3 times the sum
    of its covalent radii, or never meets, this stands for its shortest distance.

    Parameters
    ----------
    species : tuple of int
        Atomic numbers, ascending.
    shortest : ndarray, shape (n_species, n_species)
        Shortest distance of each pair of species in the training data in Å; inf where they do not meet within 1.5
        times the sum of their covalent radii.
    zbl_ranges : ndarray, shape (n_species, n_species, 2)
        In Å: from where to where the repulsion of a pair fades, by a polynomial with two continuous derivatives.
    inner_ranges : ndarray, shape (n_species, n_species, 2)
        In Å: below the first the functions of a fit are zero for the pair, from the second on they are whole.

    Examples
    --------
    >>> from ase.build import bulk
    >>> core = Repulsion.fit([bulk("Si", a=a) for a in (5.0, 5.43, 5.8)])
    >>> core.shortest.round(3)
    array([[2.165]])
    >>> core.inner_ranges.round(3)
    array([[[1.516, 2.165]]])
    """

    species: tuple[int, ...]
    shortest: Floats
    zbl_ranges: Floats
    inner_ranges: Floats

    def __post_init__(self) -> None:
        n = len(self.species)
        if n == 0 or list(self.species) != sorted(set(self.species)):
            raise ValueError(f"Repulsion: species must be ascending atomic numbers, got {self.species}")
        for name, shape in (("shortest", (n, n)), ("zbl_ranges", (n, n, 2)), ("inner_ranges", (n, n, 2))):
            array = getattr(self, name)
            if array.shape != shape or not np.array_equal(array, np.swapaxes(array, 0, 1)) or not (array > 0).all():
                raise ValueError(f"Repulsion: {name} must be positive, symmetric and of shape {shape}, got {array}")
            if len(shape) == 3 and not (np.isfinite(array).all() and (array[..., 0] < array[..., 1]).all()):
                raise ValueError(f"Repulsion: {name} must be finite and ascend, got {array.tolist()}")

    @classmethod
    def fit(cls, structures: Structures, *, species: Iterable[Any] | None = None, n_jobs: int = 1) -> Repulsion:
        """Choose the ranges by the shortest distances of some structures.

        Parameters
        ----------
        structures : structure or sequence of structures
            The training data.
        species : iterable of symbols or atomic numbers, optional
            For which elements; by default, for those that are there.
        n_jobs : int
            Number of threads.

        Returns
        -------
        Repulsion

        Raises
        ------
        ValueError, TypeError
            If the structures are not usable, or have an element that is not among the species.
        """
        batch = as_batch(structures, periodic=None)
        known = tuple(np.unique(batch.numbers).tolist()) if species is None else tuple(sorted(check_species(species)))
        kinds = _kinds(known, batch)
        bonds = np.array([[RADII[a] + RADII[b] for b in known] for a in known])
        found = find_pairs(batch, REACH * float(bonds.max()), check_n_jobs(n_jobs))
        shortest = np.full(bonds.shape, np.inf)
        first, second = _ends(batch, found, kinds)
        np.minimum.at(shortest, (first, second), found.distances)
        shortest[shortest > REACH * bonds] = np.inf
        shortest = np.minimum(shortest, shortest.T)  # each pair is seen from both ends, to the last bit or nearly so
        near = np.clip(shortest, CLOSEST * bonds, FURTHEST * bonds)[..., None]
        return cls(known, shortest, near * np.array(ZBL_RANGE), near * np.array(INNER_RANGE))

    @property
    def r_cut(self) -> float:
        """Distance in Å from which on all pairs have no energy."""
        return float(self.zbl_ranges.max())

    @property
    def inner(self) -> dict[tuple[int, int], tuple[float, float]]:
        """The inner ranges by two atomic numbers, in both orders."""
        pairs = product(enumerate(self.species), repeat=2)
        return {
            (a, b): (float(self.inner_ranges[i, j, 0]), float(self.inner_ranges[i, j, 1])) for (i, a), (j, b) in pairs
        }

    def curve(self, first: Any, second: Any, distances: npt.ArrayLike) -> tuple[Floats, Floats]:
        """Return the energy of a pair in eV at some distances in Å, and its slope in eV/Å.

        Parameters
        ----------
        first, second : str or int
            The two elements: symbols or atomic numbers.
        distances : array_like
            In Å, above 0.
        """
        a, b = (self._kind(check_species([one])[0]) for one in (first, second))
        return self._of(np.asarray(a), np.asarray(b), np.asarray(distances, dtype=np.float64))

    def evaluate(self, structures: Structures, n_jobs: int = 1) -> tuple[Floats, Floats, Floats]:
        """Return the energy of structures, and how it changes as atoms move and cells are strained.

        Parameters
        ----------
        structures : structure or sequence of structures
            Of the species of this core.
        n_jobs : int
            Number of threads.

        Returns
        -------
        energies : ndarray, shape (n_atoms,)
            Of all atoms of all structures, in eV; each has half of each of its pairs.
        gradient : ndarray, shape (n_atoms, 3)
            dE/dx in eV/Å: the forces with the other sign.
        strain : ndarray, shape (n_structures, 3, 3)
            dE/dstrain in eV, symmetric: the stress times the volume.

        Raises
        ------
        StructureError
            If a structure has another species.
        """
        batch = as_batch(structures, periodic=None)
        kinds = _kinds(self.species, batch)
        energies, gradient = np.zeros(len(batch.numbers)), np.zeros((len(batch.numbers), 3))
        strain = np.zeros((len(batch), 3, 3))
        n_threads = check_n_jobs(n_jobs)
        for begin in range(0, len(batch), _TOGETHER):
            part = batch[begin : begin + _TOGETHER]
            atoms = slice(int(batch.offsets[begin]), int(batch.offsets[begin]) + len(part.numbers))
            found = find_pairs(part, self.r_cut, n_threads)
            first, second = _ends(part, found, kinds[atoms])
            energy, slope = self._of(first, second, found.distances)
            pull = (0.5 * slope / found.distances)[:, None] * found.vectors
            start = part.offsets[found.structures]
            np.add.at(energies[atoms], start + found.first, 0.5 * energy)
            np.add.at(gradient[atoms], start + found.second, pull)
            np.add.at(gradient[atoms], start + found.first, -pull)
            np.add.at(strain, begin + found.structures, pull[:, :, None] * found.vectors[:, None, :])
        return energies, gradient, strain

    def table(self) -> PairTable:
        """Return this energy as the compiled core evaluates it, to 1e-8 of what nuclei without electrons have.

        It tells the shortest distance in units of those below which :meth:`closer` finds something.
        """
        knots, ranges = {}, {}
        for (i, a), (j, b) in combinations_with_replacement(enumerate(self.species), 2):
            start, end = self.zbl_ranges[i, j]
            r = np.linspace(0, end, _KNOTS)
            inverse = (a**_POWER + b**_POWER) / _LENGTH
            terms = np.array(_SHARES)[:, None] * np.exp(-np.outer(_DECAYS, r) * inverse)
            q, q1, q2 = (
                _COULOMB * a * b * (terms * (-np.array(_DECAYS)[:, None] * inverse) ** k).sum(axis=0) for k in range(3)
            )
            t = np.clip((r - start) / (end - start), 0, 1)
            f, f1 = fading(r, start, end)
            f2 = -60 * t * (1 - t) * (1 - 2 * t) / (end - start) ** 2
            knots[a, b] = np.stack([q * f, q1 * f + q * f1, q2 * f + 2 * q1 * f1 + q * f2], axis=1)
            ranges[a, b] = float(end)
        return PairTable(self.species, knots, ranges, over_distance=True, known=self._limits())

    def _limits(self) -> Floats:
        """Return the distances below which atoms are nearer than in any of the training data."""
        bonds = np.array([[RADII[a] + RADII[b] for b in self.species] for a in self.species])
        limits: Floats = np.minimum(self.shortest, REACH * bonds) * (1 - _SAME)
        return limits

    def closer(self, structures: Structures, n_jobs: int = 1) -> list[str]:
        """Return where atoms are nearer than those of the same two species in any of the training data.

        Distances above 1.5 times the sum of the covalent radii do not count.

        Parameters
        ----------
        structures : structure or sequence of structures
            Of the species of this core.
        n_jobs : int
            Number of threads.

        Returns
        -------
        list of str
            For each pair of species for which this is so, one line about its shortest distance.

        Examples
        --------
        >>> from ase.build import bulk
        >>> core = Repulsion.fit(bulk("Si"))
        >>> core.closer([bulk("Si"), bulk("Si", a=4.6)])
        ['structure 1, atoms 0 and 1: Si and Si are 1.992 Å apart, training data have at least 2.351 Å']
        """
        batch = as_batch(structures, periodic=None)
        kinds = _kinds(self.species, batch)
        limits = self._limits()
        found = find_pairs(batch, float(limits.max()), check_n_jobs(n_jobs))
        first, second = _ends(batch, found, kinds)
        near = np.flatnonzero(found.distances < limits[first, second])
        told: list[str] = []
        seen: set[tuple[int, int]] = set()
        for at in near[np.argsort(found.distances[near] / limits[first, second][near], kind="stable")]:
            pair = min(first[at], second[at]), max(first[at], second[at])
            if pair in seen:
                continue
            seen.add(pair)
            one, other = (chemical_symbols[self.species[kind]] for kind in pair)
            known = self.shortest[pair]
            have = (
                f"at least {known:.3f} Å" if np.isfinite(known) else f"none within {limits[pair] / (1 - _SAME):.2f} Å"
            )
            told.append(
                f"structure {found.structures[at]}, atoms {found.first[at]} and {found.second[at]}: {one} and {other} "
                f"are {found.distances[at]:.3f} Å apart, training data have {have}"
            )
        return told

    def warn_closer(self, structures: Structures, n_jobs: int = 1) -> bool:
        """Warn where :meth:`closer` finds something, and return whether it does."""
        if told := self.closer(structures, n_jobs):
            what = "atoms are nearer than in any of the training data, where the repulsive core takes over"
            warnings.warn(f"{what}: {'; '.join(told)}", stacklevel=3)
        return bool(told)

    @property
    def near(self) -> dict[tuple[int, int], float]:
        """By two atomic numbers: from where on in Å the functions of a fit are whole, about the shortest distance."""
        return {pair: stop for pair, (_, stop) in self.inner.items()}

    def state(self) -> dict[str, Any]:
        """Return plain numbers and arrays from which :meth:`from_state` makes this core again."""
        return {
            "species": list(self.species),
            "shortest": self.shortest,
            "zbl_ranges": self.zbl_ranges,
            "inner_ranges": self.inner_ranges,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Repulsion:
        """Return the core whose :meth:`state` this is; raises ``ValueError`` if it is of none."""
        ranges = (np.array(state[name], dtype=np.float64) for name in ("shortest", "zbl_ranges", "inner_ranges"))
        return cls(tuple(int(z) for z in state["species"]), *ranges)

    def _kind(self, number: int) -> int:
        if number not in self.species:
            known = ", ".join(chemical_symbols[z] for z in self.species)
            raise ValueError(f"species must be among {known}, got {chemical_symbols[number]}")
        return self.species.index(number)

    def _of(self, first: npt.NDArray[Any], second: npt.NDArray[Any], distances: Floats) -> tuple[Floats, Floats]:
        """Return energy and slope of pairs, whose species are given as indices."""
        numbers = np.array(self.species)
        ranges = self.zbl_ranges[first, second]
        energy, slope = zbl(numbers[first], numbers[second], distances)
        share, fall = fading(distances, ranges[..., 0], ranges[..., 1])
        return energy * share, slope * share + energy * fall


def _kinds(species: tuple[int, ...], batch: Batch) -> npt.NDArray[np.int64]:
    """Return the index of each atom's species, or raise at the first atom that is of none."""
    place = np.full(len(chemical_symbols), -1, dtype=np.int64)
    place[list(species)] = np.arange(len(species))
    kinds = place[batch.numbers]
    if (kinds < 0).any():
        structure, atom = batch.locate(int(np.argmax(kinds < 0)))
        known = ", ".join(chemical_symbols[z] for z in species)
        symbol = chemical_symbols[batch.numbers[batch.offsets[structure] + atom]]
        raise StructureError(structure, atom, f"species must be among {known}, got {symbol}")
    return kinds


def _ends(
    batch: Batch, found: Pairs, kinds: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the index of the species of both ends of pairs."""
    start = batch.offsets[found.structures]
    return kinds[start + found.first], kinds[start + found.second]
