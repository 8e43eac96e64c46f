"""How densely atoms are packed: in each structure, and in those of a training set."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from atomprint import _core
from atomprint.chemistry.elements import N_ELEMENTS, element_properties
from atomprint.layout import symbols_of
from atomprint.structures import Batch
from atomprint.util.types import FloatArray, Mask
from atomprint.workflow.saved.distances import folds_of

MIN_STRUCTURES = 5  # to say anything about ranges

_N_NUMBERS = 119  # atomic numbers, 0 for nothing
_CUTOFF = 6.5  # Å: the largest distance of atoms that are called neighbours, 1.33 of the radii of two caesium atoms
_NEAR, _FAR, _BEYOND = 1.15, 1.4, 1.8  # sums of covalent radii: up to where neighbours count, and less and less
_DENSE = 4.0  # Å^3 per atom, less than in diamond: the cutoff shrinks with denser crystals
_APART = 3.0  # sums of radii: what is farther from everything is called so far

_TAIL = 0.005  # share of the training set that may be beyond each limit
_INSIDE = 0.97  # share of structures that were left out that is within all limits: else these are widened
_ENOUGH = 600  # structures from which on the training set itself shows its tails
_PRIOR = 0.5  # weight of covalent radii among sizes of elements, in structures
_SENTENCES = 2
_FAR_BEYOND = 3.0


class Contacts(NamedTuple):
    """The nearest neighbour of each atom: that of which the distance is least in sums of covalent radii."""

    first: npt.NDArray[np.int64]  # atomic numbers of the atoms
    second: npt.NDArray[np.int64]  # of their neighbours; 0 where there is none within the cutoff
    distances: FloatArray  # Å; nan where there is none


class Geometry(NamedTuple):
    """Quantities per atom, which no rotation, order of atoms, choice of cell or supercell changes."""

    n_repeats: int  # directions in which the structure repeats
    volume: float  # per atom, Å^3; nan unless it repeats in three directions
    shares: Mapping[int, float]  # of the elements among the atoms
    contacts: Contacts
    coordination: float  # mean over atoms: number of neighbours
    filling: float  # share of the volume that atoms fill as densely as it is around them; nan as for the volume
    lopsided: float  # mean over atoms: 0 if neighbours are all around, 1 if they are all on one side


def geometries(batch: Batch) -> list[Geometry]:
    """Measure structures.

    Parameters
    ----------
    batch : Batch
        Checked structures.

    Returns
    -------
    list of Geometry
        One for each.
    """
    volumes = np.abs(np.linalg.det(batch.cells)) / batch.n_atoms
    crystal = batch.pbc.all(axis=1)
    dense = crystal & (volumes < _DENSE)  # within less, since neighbours would be too many
    cutoffs = np.where(dense, _CUTOFF * np.cbrt(volumes / _DENSE), _CUTOFF)
    distances, others, means = _core.surroundings(batch.core(), _radii(), cutoffs, _NEAR, _FAR, _BEYOND)
    spheres = 32 / 105 * np.pi * cutoffs**3  # integrals of the weights that are summed to what is around
    with np.errstate(divide="ignore", invalid="ignore"):
        fillings = np.where(crystal, spheres / volumes / means[:, 1], math.nan)
    volumes = np.where(crystal, volumes, math.nan)
    numbers = batch.numbers.astype(np.int64)
    flat, repeats = numbers.tolist(), batch.pbc.sum(axis=1).tolist()
    quantities = zip(
        repeats, volumes.tolist(), means[:, 0].tolist(), fillings.tolist(), means[:, 2].tolist(), strict=True
    )
    found = []
    for (low, high), (n_repeats, volume, coordination, filling, lopsided) in zip(
        pairwise(batch.offsets.tolist()), quantities, strict=True
    ):
        counts = Counter(flat[low:high])
        shares = {z: counts[z] / (high - low) for z in sorted(counts)}
        contacts = Contacts(numbers[low:high], others[low:high], distances[low:high])
        found.append(Geometry(n_repeats, volume, shares, contacts, coordination, filling, lopsided))
    return found


@cache
def _radii() -> FloatArray:
    """Return covalent radii in Å by atomic number; elements beyond lawrencium are as large as it."""
    known = element_properties(range(1, N_ELEMENTS + 1), ["covalent_radius"])[:, 0]
    return np.concatenate([[np.nan], known, np.full(_N_NUMBERS - N_ELEMENTS - 1, known[-1])])


@dataclass(frozen=True, eq=False)
class Packing:
    """What is usual among training structures; all arrays as they are saved.

    A structure is measured by the volume per atom, alone and beside that of its elements in the training set; by its
    shortest distance, the mean distance of nearest neighbours, and that of the atom that is farthest from all others,
    in sums of radii that its elements have in the training set; by the share of the cell that atoms fill (a slab with
    vacuum in its cell is no crystal), by the number of neighbours, and by whether these are all around, as they are not
    where atoms are displaced. Limits leave out 0.5 % of the training structures at each end. Where these are fewer than
    600, limits lie farther out than these structures, since more of them would have spread further. All are widened as
    much as is needed for 97 % of structures that limits were not drawn from to be within all of them.

    Parameters
    ----------
    n_repeats : ndarray of int64
        In how many directions structures repeat.
    volumes : ndarray of float64, shape (119,)
        Volume of an atom of each element, in Å^3, so that volumes of structures are about sums of these; nan for
        elements that the training set does not have.
    radii : ndarray of float64, shape (119,)
        Radii of the elements in Å, so that distances of nearest neighbours are about sums of these; nan as above.
    lower, upper : ndarray of float64, shape (8,)
        Limits: logarithms, but for the last two; nan where nothing is known.
    """

    n_repeats: npt.NDArray[np.int64]
    volumes: FloatArray
    radii: FloatArray
    lower: FloatArray
    upper: FloatArray

    @classmethod
    def fit(cls, structures: Sequence[Geometry]) -> Self | None:
        """Learn what is usual; None if there are fewer than 5 structures."""
        found = cls.fit_and_judge(structures)
        return None if found is None else found[0]

    @classmethod
    def fit_and_judge(
        cls, structures: Sequence[Geometry], groups: npt.NDArray[Any] | None = None
    ) -> tuple[Self, FloatArray, Mask] | None:
        """Learn what is usual, and judge the structures themselves as if each were new; None if there are fewer than 5.

        Fewer are outside limits that they had a part in than of new ones: of 120 crystals of many kinds none, not 5 %.
        That is why limits for this are drawn from others, and it shows how much wider those from all of them must be.

        Parameters
        ----------
        structures : sequence of Geometry
            The training set.
        groups : ndarray, shape (n_structures,), optional
            Which of them are left out together. Default: each alone.

        Returns
        -------
        packing : Packing
            What is usual.
        novelty : ndarray of float64, shape (n_structures,)
            As :meth:`novelty` for new ones.
        outside : ndarray of bool, shape (n_structures,)
            Whether any measure is beyond a limit.
        """
        if len(structures) < MIN_STRUCTURES:
            return None
        volumes, radii = _Sizes.of_volumes(structures), _Sizes.of_distances(structures)
        values = np.array(  # of each by the sizes that the others give
            [_values(one, volumes.without(s), radii.without(s)) for s, one in enumerate(structures)]
        )
        lower, upper = _limits(values)
        folds, novelty = folds_of(np.arange(len(values)) if groups is None else groups), np.empty(len(values))
        for fold in np.unique(folds):
            own = folds == fold
            novelty[own] = _novelty(values[own], *((lower, upper) if own.all() else _limits(values[~own])))
        known = ~(np.isnan(values) & np.isfinite(lower)).any(axis=1)
        wider = max(1.0, float(np.quantile(novelty[known], _INSIDE, method="lower"))) if known.any() else 1.0
        middle, half = (lower + upper) / 2, wider * (upper - lower) / 2
        n_repeats = np.unique([one.n_repeats for one in structures])
        packing = cls(n_repeats, volumes.all, radii.all, middle - half, middle + half)
        return packing, novelty / wider, known & (novelty > wider)

    def measured(self, one: Geometry) -> FloatArray:
        """Return what a structure is measured as, shape (8,)."""
        return _values(one, self.volumes, self.radii)

    def novelty(self, values: FloatArray) -> FloatArray:
        """Return how near measures, shape (n, 8), are to a limit, the nearest: 0 in the middle between two, 1 at one.

        What cannot be measured, such as a distance between elements of unknown size, counts as far beyond.
        """
        return _novelty(values, self.lower, self.upper)

    def outside(self, values: FloatArray) -> npt.NDArray[np.bool_]:
        """Return which measures are beyond limits, of the same shape."""
        with np.errstate(invalid="ignore"):
            return np.asarray((values < self.lower) | (values > self.upper))

    def unusual(self, one: Geometry, values: FloatArray | None = None) -> list[str]:
        """Return what is unusual about a structure, in sentences, the most telling ones first; measures, if at hand."""
        values = self.measured(one) if values is None else values
        said = []
        if one.n_repeats not in self.n_repeats:
            seen = " or ".join(map(str, self.n_repeats.tolist()))
            said.append(f"repeats in {one.n_repeats} directions, structures of the training set in {seen}")
        outside = self.outside(values)
        outside[1] &= not outside[0]  # says no more
        if not outside.any():
            return said
        exact, lower, upper = _plain(values), _plain(self.lower), _plain(self.upper)
        for k in np.flatnonzero(outside)[:_SENTENCES].tolist():
            usual = f"usual in the training set: {_number(lower[k])} to {_number(upper[k])}"
            said.append(_sentence(k, one, self.radii, float(exact[k]), usual))
        return said

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Make this from its arrays; raise KeyError if one is missing, ValueError if they do not fit together."""
        made = cls(
            np.asarray(arrays["n_repeats"], dtype=np.int64),
            *(np.asarray(arrays[item.name], dtype=np.float64) for item in fields(cls)[1:]),
        )
        if (
            made.n_repeats.ndim != 1
            or {made.volumes.shape, made.radii.shape} != {(_N_NUMBERS,)}
            or {made.lower.shape, made.upper.shape} != {(len(_FLOORS),)}
        ):
            raise ValueError("the training domain has limits of wrong shapes")
        return made

    def to_dict(self) -> dict[str, Any]:
        """Return volumes and distances for people, in types of JSON."""
        low, high = _plain(self.lower), _plain(self.upper)
        named = {"volume_per_atom": 0, "shortest_distance_in_radii": 2, "neighbours": 6}
        known = {name: [float(low[k]), float(high[k])] for name, k in named.items() if np.isfinite(low[k])}
        return {"n_repeats": self.n_repeats.tolist(), **known}


# Less than this beyond the training set is never unusual: 2 % of distances, 6 % of volumes, one neighbour.
_FLOORS = (0.06, 0.06, 0.02, 0.02, 0.02, 0.06, 1.0, 0.03)
_N_LOGARITHMS = 6


def _values(one: Geometry, volumes: FloatArray, radii: FloatArray) -> FloatArray:
    """Return what has limits, in their order."""
    ratios = _ratios(one.contacts, radii)
    return np.array(
        [
            math.log(one.volume),
            math.log(one.volume / sum(share * volumes[z] for z, share in one.shares.items())),
            math.log(ratios.min()),
            math.log(ratios.mean()),
            math.log(ratios.max()),
            math.log(one.filling),
            one.coordination,
            one.lopsided,
        ]
    )


def _ratios(contacts: Contacts, radii: FloatArray) -> FloatArray:
    """Return the distance of the nearest neighbour of each atom in sums of radii; nan if one of these is not known."""
    alone = contacts.second == 0
    ratios = contacts.distances / (radii[contacts.first] + radii[contacts.second])
    return np.where(alone, np.where(np.isnan(radii[contacts.first]), np.nan, _APART), np.minimum(ratios, _APART))


def _plain(values: FloatArray) -> FloatArray:
    """Return quantities themselves in place of logarithms."""
    return np.append(np.exp(values[:_N_LOGARITHMS]), values[_N_LOGARITHMS:])


class _Sizes:
    """Sizes of elements of which quantities of structures are sums, and what they are if one structure is left out.

    They are found by least squares of relative errors, and drawn towards a guess: those of rare elements stay close.
    """

    def __init__(self, table: FloatArray, guess: FloatArray) -> None:
        """Fit sizes, shape (119,), so that rows of the table times them are 1; rows of zeros say nothing."""
        known = table.any(axis=1)
        self._elements = np.flatnonzero(table.any(axis=0))
        given = table[:, self._elements] * guess[self._elements]
        middle = np.median(given[known].sum(axis=1)) if known.any() else 1.0
        self._guess, given = guess[self._elements] / middle, given / middle
        self._given = given
        self._inverse = np.linalg.inv(given.T @ given + _PRIOR * np.eye(len(self._elements)))
        self._sizes = 1 + self._inverse @ (given.T @ (known - given.sum(axis=1)))
        influence = ((given @ self._inverse) * given).sum(axis=1)
        self._errors = (known - given @ self._sizes) / (1 - influence)
        self.all = self._spread(self._sizes)

    def without(self, structure: int) -> FloatArray:
        """Return the sizes that all structures but one give."""
        return self._spread(self._sizes - self._inverse @ self._given[structure] * self._errors[structure])

    def _spread(self, sizes: FloatArray) -> FloatArray:
        found = np.full(_N_NUMBERS, np.nan)
        found[self._elements] = np.maximum(sizes, 0.1) * self._guess
        return found

    @classmethod
    def of_volumes(cls, structures: Sequence[Geometry]) -> Self:
        """Return volumes of atoms in Å^3, guessed from the cubes of covalent radii."""
        table = np.zeros((len(structures), _N_NUMBERS))
        for row, one in zip(table, structures, strict=True):
            if np.isfinite(one.volume):
                row[list(one.shares)] = np.array(list(one.shares.values())) / one.volume
        return cls(table, _radii() ** 3)

    @classmethod
    def of_distances(cls, structures: Sequence[Geometry]) -> Self:
        """Return radii in Å, guessed as covalent radii."""
        table = np.zeros((len(structures), _N_NUMBERS))
        for row, one in zip(table, structures, strict=True):
            known = one.contacts.second > 0
            for numbers in (one.contacts.first[known], one.contacts.second[known]):
                row += np.bincount(numbers, 1 / one.contacts.distances[known], minlength=_N_NUMBERS)
            row /= max(int(np.count_nonzero(known)), 1)
        return cls(table, _radii())


def _novelty(values: FloatArray, lower: FloatArray, upper: FloatArray) -> FloatArray:
    half = np.maximum((upper - lower) / 2, 1e-12)
    found = np.abs(values - (upper + lower) / 2) / half
    return np.asarray(np.where(np.isnan(half), 0.0, np.nan_to_num(found, nan=_FAR_BEYOND)).max(axis=1))


def _limits(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return limits of measures, shape (n_structures, 8), at both ends."""
    found = [_ends(column[np.isfinite(column)], floor) for column, floor in zip(values.T, _FLOORS, strict=True)]
    lower, upper = np.array(found).T
    return lower, upper


def _ends(values: FloatArray, floor: float) -> tuple[float, float]:
    n = len(values)
    if n < MIN_STRUCTURES:
        return math.nan, math.nan
    tail = _TAIL if n * _TAIL >= 1 else 0.0
    low, middle, high = np.quantile(values, [tail, 0.5, 1 - tail]).tolist()
    beyond = max(math.log(_ENOUGH / n), 0.0) / (1.5 * math.log(n))
    return low - max(beyond * (middle - low), floor), high + max(beyond * (high - middle), floor)


def _sentence(k: int, one: Geometry, radii: FloatArray, value: float, usual: str) -> str:
    if k == 0:
        return f"volume per atom {_number(value)} Å^3; {usual} Å^3"
    if k == 1:
        return f"volume per atom {_number(one.volume)} Å^3, {_number(value)} of what its elements take up; {usual}"
    if k == 2:
        return f"shortest distance {_apart(one.contacts, int(np.argmin(_ratios(one.contacts, radii))), value)}; {usual}"
    if k == 3:
        return f"nearest neighbours are on average at {_number(value)} of the sum of their radii; {usual}"
    if k == 4:
        atom = int(np.argmax(_ratios(one.contacts, radii)))
        return f"the atom that is farthest from all others, {_apart(one.contacts, atom, value)}; {usual}"
    if k == 5:
        return f"atoms leave much of the cell empty, they fill {_number(value)} of it; {usual}"
    if k == 6:
        return f"{_number(value)} neighbours per atom; {usual}"
    return f"neighbours are on one side of atoms: {_number(value)}, where 0 is all around; {usual}"


def _apart(contacts: Contacts, atom: int, ratio: float) -> str:
    first, second = contacts.first[atom], contacts.second[atom]
    if second == 0:
        return f"of {symbols_of([int(first)])[0]} above {_CUTOFF:g} Å"
    names = " and ".join(symbols_of([int(first), int(second)]))
    return f"{contacts.distances[atom]:.2f} Å, between {names}, {_number(ratio)} of the sum of their radii"


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"
