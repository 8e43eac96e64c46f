"""Energies of pairs of atoms by the species of the two, tabulated as splines for the compiled core."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from atomprint import _core
from atomprint.potentials.terms.compiled import CompiledPredictor
from atomprint.util.types import FloatArray


class PairTable(CompiledPredictor):
    """A sum over pairs of atoms of an energy V(r) that depends on the species of the two.

    V, or with ``over_distance`` r V, is a polynomial of degree 5 between equidistant distances, at which its value,
    slope and curvature are those given: it has two continuous derivatives everywhere, up to and at the last distance,
    beyond which it is zero. Half of a pair's energy is each of its atoms'.

    Parameters
    ----------
    species : tuple of int
        Atomic numbers, ascending.
    knots : mapping of pairs of int to ndarray of shape (n_knots, 3)
        By two atomic numbers in either order, V or r V, its first and its second derivative, in eV and Å, at n_knots
        equidistant distances from 0 to the range; as many for each pair. Pairs that are not there do not act on each
        other.
    ranges : mapping of pairs of int to float
        The last distance of each, in Å.
    over_distance : bool
        Whether r V is given, as is right for what grows without bound at short distances.
    known : ndarray, shape (n_species, n_species), optional
        Distances in Å for :attr:`KeptPredictor.nearest`: it is the shortest distance in units of these.

    Examples
    --------
    >>> import numpy as np
    >>> from ase.build import molecule
    >>> from atomprint.structures import as_batch
    >>> r = np.linspace(0, 2, 50)
    >>> soft = np.stack([(2 - r) ** 4, -4 * (2 - r) ** 3, 12 * (2 - r) ** 2], axis=1)
    >>> pairs = PairTable((1,), {(1, 1): soft}, {(1, 1): 2.0})
    >>> energies, gradient, strain = pairs.evaluate(as_batch(molecule("H2"), periodic=False))
    >>> energies.round(4)
    array([1.2716, 1.2716])
    """

    def __init__(
        self,
        species: tuple[int, ...],
        knots: Mapping[tuple[int, int], FloatArray],
        ranges: Mapping[tuple[int, int], float],
        over_distance: bool = False,
        known: FloatArray | None = None,
    ) -> None:
        table_of = np.full((len(species), len(species)), -1, dtype=np.int32)
        for table, (a, b) in enumerate(knots):
            i, j = species.index(a), species.index(b)
            table_of[i, j] = table_of[j, i] = table
        reach = [float(ranges[pair]) for pair in knots]
        tables = np.stack([_quintics(np.asarray(knots[pair]), end) for pair, end in zip(knots, reach, strict=True)])
        model = _core.PairTable(
            species=list(species),
            tables=tables,
            ranges=reach,
            table_of=table_of,
            over_distance=over_distance,
            known=[] if known is None else known.ravel().tolist(),
        )
        super().__init__(model, species)


def _quintics(knots: FloatArray, end: float) -> FloatArray:
    """Return the coefficients of the polynomials between knots, by powers of the part of the way to the next."""
    step = end / (len(knots) - 1)
    scaled = knots * step ** np.arange(3)
    v0, d0, c0 = scaled[:-1].T
    v1, d1, c1 = scaled[1:].T
    rise = v1 - v0
    a3 = 10 * rise - 6 * d0 - 4 * d1 - 1.5 * c0 + 0.5 * c1
    a4 = -15 * rise + 8 * d0 + 7 * d1 + 1.5 * c0 - c1
    a5 = 6 * rise - 3 * (d0 + d1) - 0.5 * (c0 - c1)
    return np.ascontiguousarray(np.stack([v0, d0, 0.5 * c0, a3, a4, a5], axis=1))
