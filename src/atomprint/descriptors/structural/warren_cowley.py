"""Short-range order of alloys by Warren and Cowley."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from atomprint.descriptors.engine.call import Call
from atomprint.descriptors.engine.whole import Slopes, WholeStructures, by_pairs
from atomprint.descriptors.structural.bonds import faded
from atomprint.layout import Axis, Block, Layout, pair_keys, symbols_of
from atomprint.neighbours import find_pairs
from atomprint.util.registry import public
from atomprint.util.types import FloatArray
from atomprint.util.validation import check_length, check_real


@public("WarrenCowley", version=1, in_recipes=True)
class WarrenCowley(WholeStructures):
    r"""Short-range order parameters of Warren and Cowley: which elements are neighbours more often than by chance.

    With the share :math:`p_{AB}` of atoms B among the neighbours of atoms A in a shell, and the share :math:`c_B` of
    atoms B in the structure,

    .. math:: \alpha_{AB} = 1 - \frac{p_{AB}}{c_B}

    is 0 in a random alloy, negative where A and B attract each other, and at most 1, where A has no neighbours B [1]_.

    Parameters
    ----------
    shells : sequence of float
        Outer radii of the shells in Å, ascending; the first one begins at 0.
    width : float
        In Å: between radius - width / 2 and radius + width / 2 atoms go over from a shell to the next one, or out of
        the last one, smoothly, as a cosine. 0 for sharp edges.
    species : sequence of str or int, optional
        All species that may occur. Default: learnt in :meth:`fit`.
    periodic : "auto" or bool
        As for :class:`SOAP`.
    sparse : bool
        Whether to return SciPy sparse arrays.
    dtype : {"float64", "float32"}
        Precision of the result; it is computed in double precision.
    n_jobs : int
        Number of threads; -1 means all cores.

    Notes
    -----
    Where there are no atoms A or B, or no neighbours of A in the shell, :math:`\alpha_{AB}` is 0. Both
    :math:`\alpha_{AB}` and :math:`\alpha_{BA}` are features, as they differ where A and B have different numbers of
    neighbours. Derivatives are analytical, and zero with sharp edges.

    References
    ----------
    .. [1] J. M. Cowley, Phys. Rev. 77 (1950) 669.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from atomprint.descriptors import WarrenCowley
    >>> order = WarrenCowley(shells=[2.7, 3.2], species=["Ni", "Al"])
    >>> features = order.create(bulk("NiAl", "cesiumchloride", a=2.89))
    >>> for name, value in zip(order.get_feature_names_out()[2:4], features[2:4]):
    ...     print(name, value.round(6))
    WarrenCowley Al-Ni of Al by Ni to 2.7 -1.0
    WarrenCowley Al-Ni of Al by Ni to 3.2 1.0
    """

    _adds_up = False

    def __init__(
        self,
        shells: Sequence[float] = (3.4,),
        width: float = 0.2,
        species: Any = None,
        periodic: bool | str = "auto",
        sparse: bool = False,
        dtype: Any = "float64",
        n_jobs: int | None = 1,
    ) -> None:
        self._initialise(locals())

    def _validate(self) -> None:
        super()._validate()
        radii = self._radii()
        width = check_real("width", self.width, at_least=0)
        if (np.diff([0.0, *radii]) < width).any():
            raise ValueError(f"shells must be at least width = {width:g} apart, got {self.shells!r}")

    def _radii(self) -> tuple[float, ...]:
        given = self.shells.tolist() if isinstance(self.shells, np.ndarray) else self.shells
        if not isinstance(given, list | tuple):
            raise TypeError(f"shells must be a sequence of numbers, got {self.shells!r}")
        radii = tuple(check_length(f"shells[{k}]", radius) for k, radius in enumerate(given))
        if not radii or any(a >= b for a, b in pairwise(radii)):
            raise ValueError(f"shells must be at least one radius, ascending, got {self.shells!r}")
        return radii

    def _reach(self) -> float:
        return self._radii()[-1] + float(self.width) / 2

    def _ways(self) -> list[tuple[int, int]]:
        """Return the ordered pairs of species, by their places, in the order of the features."""
        n = len(self._species())
        return [way for a in range(n) for b in range(a, n) for way in ([(a, b)] if a == b else [(a, b), (b, a)])]

    def _n_features(self) -> int:
        return len(self._species()) ** 2 * len(self._radii())

    def _layout(self) -> Layout:
        blocks, radii = [], self._radii()
        groups = [f"to {radius:g} Å" for radius in radii]
        for a, b in pair_keys(symbols_of(self._species())):
            texts = [f"of {x} by {y} to {r:g}" for x, y in ([(a, b)] if a == b else [(a, b), (b, a)]) for r in radii]
            blocks.append(Block((a, b), [Axis("shells of order", texts, groups * (len(texts) // len(radii)))]))
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

    # -----------------------------------------------------------------------------------------------------------------

    def _values(self, one: Call) -> FloatArray:
        return self._order(one, False).values

    def _slopes(self, one: Call) -> Slopes:
        return self._order(one, True)

    def _order(self, one: Call, with_slopes: bool) -> Slopes:
        species, n = one.species, len(self._species())
        shares = np.bincount(species, minlength=n) / len(species)
        pairs = find_pairs(one.batch, self._reach())
        radii, r, edge = self._radii(), pairs.distances, float(self.width) / 2
        within = [faded(r, radius - edge, radius + edge) for radius in radii]
        of, by = species[pairs.first], species[pairs.second]
        ways = self._ways()
        values = np.zeros((len(ways), len(radii)))
        slopes = np.zeros((len(r), len(ways), len(radii)) if with_slopes else (0, 0, 0))
        for k, (weights, changes) in enumerate(within):
            if k:
                weights, changes = weights - within[k - 1][0], changes - within[k - 1][1]
            sums = np.bincount(of * n + by, weights, minlength=n * n).reshape(n, n)
            totals = sums.sum(axis=1)
            for column, (a, b) in enumerate(ways):
                if totals[a] > 0 and shares[b] > 0:
                    share = sums[a, b] / totals[a]
                    values[column, k] = 1 - share / shares[b]
                    if with_slopes:
                        own = (of == a) * ((by == b) - share)
                        slopes[:, column, k] = -own * changes / (totals[a] * shares[b])
        if not with_slopes:
            return Slopes(values.ravel(), np.empty(0), np.empty(0))
        by_vector = (pairs.vectors / r[:, None])[:, :, None] * slopes.reshape(len(r), 1, values.size)
        zeros = np.zeros(len(r), dtype=np.int64)
        positions, strain = by_pairs(by_vector, pairs.vectors, pairs.first, pairs.second, zeros, len(species), 1)
        return Slopes(values.ravel(), positions, strain[0])
