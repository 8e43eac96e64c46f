"""Coordination numbers and bond lengths of a whole structure."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from atomprint.descriptors.engine.call import Array, Call, Derivatives
from atomprint.descriptors.engine.contract import Descriptor
from atomprint.layout import Axis, Block, Layout, pair_keys, symbols_of
from atomprint.neighbours import Pairs, find_pairs
from atomprint.structures import counted_from
from atomprint.util.registry import public
from atomprint.util.validation import check_length, check_real

FloatArray = npt.NDArray[np.float64]
_Slopes: TypeAlias = tuple[int | slice, npt.NDArray[np.int64] | slice, FloatArray]  # columns, pairs, derivatives

_COORDINATION = tuple(f"coordination {name}" for name in ("mean", "std", "minimum", "maximum"))
_BONDS = tuple(f"bond length {name}" for name in ("mean", "std", "minimum"))
# Values that differ by less of their size are equal: the standard deviation has no derivative there.
_EQUAL = 1e-10


@public("NeighbourStatistics", version=1, in_recipes=True)
class NeighbourStatistics(Descriptor):
    r"""Coordination numbers and bond lengths: a few numbers that say how a structure is packed.

    Atoms closer than ``r_cut`` are neighbours. With weights w(r), which are 1 unless there is a ``cutoff_width``, atom
    *i* has the coordination number :math:`n_i = \sum_j w(r_{ij})`. The features are

    - of all atoms: mean, standard deviation, minimum and maximum of the coordination numbers; mean, standard deviation
      (both weighted with w) and minimum of the distances of neighbours;
    - of each pair of species A, B: the mean coordination of A by B and, if they differ, of B by A; mean, standard
      deviation and minimum of the distances of such neighbours.

    What there is none of gives 0: bond lengths without neighbours, coordination numbers of a species without atoms.

    Parameters
    ----------
    r_cut : float
        Cutoff in Å; pairs exactly at it do not count.
    cutoff_width : float, optional
        With it, w goes to zero as a cosine between r_cut - cutoff_width and r_cut (in Å), so that coordination numbers
        and mean bond lengths are continuous. Without it coordination numbers are integers, and have no slope.
    species : sequence of str or int, optional
        Chemical symbols or atomic numbers that may occur. Left out, they are learnt in ``fit``.
    periodic : "auto" or bool
        As for :class:`SOAP`.
    sparse : bool
        Whether to return SciPy sparse arrays.
    dtype : {"float64", "float32"}
        Precision of the result; it is computed in double precision.
    n_jobs : int
        Present as for all descriptors. There is too little to do for more than one thread.

    Notes
    -----
    Where two bonds are both the shortest, or two atoms both have the extreme coordination number, derivatives are those
    of the first; where all values are equal those of the standard deviation are 0. In crystals with equivalent atoms or
    lattice vectors these are kinks.

    Examples
    --------
    >>> from ase.build import bulk
    >>> statistics = NeighbourStatistics(r_cut=3.0, species=["Na", "Cl"], periodic=True)
    >>> features = statistics.create(bulk("NaCl", "rocksalt", 5.64))
    >>> for name, value in zip(statistics.get_feature_names_out()[:5], features[:5]):
    ...     print(name, value.round(2))
    NeighbourStatistics coordination mean 6.0
    NeighbourStatistics coordination std 0.0
    NeighbourStatistics coordination minimum 6.0
    NeighbourStatistics coordination maximum 6.0
    NeighbourStatistics bond length mean 2.82
    """

    _adds_up = False

    def __init__(
        self,
        r_cut: float = 3.0,
        cutoff_width: float | None = None,
        species: Any = None,
        periodic: bool | str = "auto",
        sparse: bool = False,
        dtype: str = "float64",
        n_jobs: int = 1,
    ) -> None:
        self._initialise(locals())

    def _validate(self) -> None:
        super()._validate()
        r_cut = check_length("r_cut", self.r_cut)
        if self.cutoff_width is not None and check_real("cutoff_width", self.cutoff_width, above=0) > r_cut:
            raise ValueError(f"cutoff_width must be <= r_cut = {r_cut:g}, got {self.cutoff_width:g}")

    def _n_features(self) -> int:
        n = len(self._species())
        return len(_COORDINATION) + len(_BONDS) + n * (1 + len(_BONDS)) + n * (n - 1) // 2 * (2 + len(_BONDS))

    def _layout(self) -> Layout:
        blocks = [Block((), [Axis("statistics", (*_COORDINATION, *_BONDS))])]
        for a, b in pair_keys(symbols_of(self._species())):
            ways = [(a, b)] if a == b else [(a, b), (b, a)]
            texts = [f"coordination of {x} by {y}" for x, y in ways]
            groups = ["coordination"] * len(ways)
            blocks.append(Block((a, b), [Axis("statistics", (*texts, *_BONDS), (*groups, *_BONDS))]))
        return Layout(type(self).__name__, blocks)

    def get_location(self, species: Any) -> slice:
        """Return where the features of a pair of species are.

        Parameters
        ----------
        species : pair of str or int
            Two chemical symbols or atomic numbers, in any order.

        Returns
        -------
        slice
            Into the features of a structure.
        """
        return self._layout().location(species)

    # -----------------------------------------------------------------------------------------------------------

    def _compute(self, call: Call, out: Array) -> None:
        for s in range(len(call)):
            with counted_from(s):
                out[s] = self._statistics(call[s : s + 1])[0]

    def _jacobian(self, call: Call, out: Derivatives) -> None:
        selection = call.selection
        for s in range(len(call)):
            with counted_from(s):
                values, pairs, terms = self._statistics(call[s : s + 1])
            slopes = np.zeros((len(pairs.distances), len(values)))
            for columns, chosen, by_distance in terms:
                slopes[chosen, columns] = by_distance
            if out.features is not None:
                out.features[s] = values
            unit = pairs.vectors / pairs.distances[:, None]
            if out.positions is not None:
                slots = selection.slots[call.batch.offsets[s] : call.batch.offsets[s + 1]]
                by_atom = np.zeros((len(slots), 3, len(values)))
                pulls = unit[:, :, None] * slopes[:, None, :]
                np.add.at(by_atom, pairs.second, pulls)
                np.subtract.at(by_atom, pairs.first, pulls)
                own = out.positions[selection.row_offsets[s] : selection.row_offsets[s + 1]]
                own[slots[slots >= 0]] += by_atom[slots >= 0].astype(own.dtype)
            if out.strain is not None:
                out.strain[s] += np.einsum("pa,pb,pf->abf", unit, pairs.vectors, slopes).astype(call.dtype)

    def _weights(self, distances: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the weights of neighbours, and their derivatives by the distance."""
        if self.cutoff_width is None:
            return np.ones_like(distances), np.zeros_like(distances)
        x = np.maximum((distances - self.r_cut) / self.cutoff_width + 1, 0) * np.pi
        return (1 + np.cos(x)) / 2, -np.sin(x) / 2 * np.pi / self.cutoff_width

    def _statistics(self, one: Call) -> tuple[FloatArray, Pairs, list[_Slopes]]:
        """Return the features of one structure, its pairs, and the derivatives of features by their distances.

        These are as large as the pairs times the features where they stand in one array, which few calls need.
        """
        pairs, species = find_pairs(one.batch, float(self.r_cut)), one.species
        weights, slopes = self._weights(pairs.distances)
        values, derivatives, everywhere = np.zeros(one.n_features), list[_Slopes](), slice(None)
        n, at = len(species), len(_COORDINATION)
        counts = np.bincount(pairs.first, weights, minlength=n)
        deviations = counts - counts.mean()
        std = float(np.sqrt((deviations**2).mean()))
        values[:at] = counts.mean(), std, counts.min(), counts.max()
        derivatives.append((0, everywhere, slopes / n))
        if std > _EQUAL * counts.max():
            derivatives.append((1, everywhere, deviations[pairs.first] * slopes / (n * std)))
        for column, extreme in ((2, np.argmin(counts)), (3, np.argmax(counts))):
            own = np.flatnonzero(pairs.first == extreme)
            derivatives.append((column, own, slopes[own]))

        def bonds(chosen: npt.NDArray[np.int64]) -> None:
            """Add the statistics of some distances."""
            nonlocal at
            of_bonds, by_distance = _bond_statistics(pairs.distances[chosen], weights[chosen], slopes[chosen])
            values[at : at + len(_BONDS)] = of_bonds
            derivatives.append((slice(at, at + len(_BONDS)), chosen, by_distance))
            at += len(_BONDS)

        bonds(np.arange(len(weights)))
        of, by = species[pairs.first], species[pairs.second]
        n_species = len(self._species())
        n_of = np.bincount(species, minlength=n_species)
        for a in range(n_species):
            for b in range(a, n_species):
                for x, y in [(a, b)] if a == b else [(a, b), (b, a)]:
                    chosen = np.flatnonzero((of == x) & (by == y))
                    if n_of[x]:
                        values[at] = weights[chosen].sum() / n_of[x]
                        derivatives.append((at, chosen, slopes[chosen] / n_of[x]))
                    at += 1
                bonds(np.flatnonzero((of == a) & (by == b)))  # those of b by a are the same
        return values, pairs, derivatives


def _bond_statistics(r: FloatArray, w: FloatArray, slopes: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return mean, standard deviation and minimum of distances r, and their derivatives, shape (n_pairs, 3)."""
    values, derivatives = np.zeros(3), np.zeros((len(r), 3))
    total = w.sum()
    if not total > 0:
        return values, derivatives
    mean = (w @ r) / total
    variance = (w @ (r - mean) ** 2) / total
    std = np.sqrt(variance)
    values[:] = mean, std, r.min()
    derivatives[:, 0] = (w + slopes * (r - mean)) / total
    if std > _EQUAL * mean:
        derivatives[:, 1] = (slopes * ((r - mean) ** 2 - variance) + 2 * w * (r - mean)) / (2 * std * total)
    derivatives[np.argmin(r), 2] = 1
    return values, derivatives
