"""Charges that the elements of a compound are likely to have."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from atomprint.chemistry.elements import N_ELEMENTS, element_properties
from atomprint.chemistry.oxidation_states import COMMON, OBSERVED
from atomprint.util.types import FloatArray

_PENALTY = 10.0  # of a net charge of 1 per atom, in units of the ionicity: neutrality counts for more
_FINE, _COARSE, _MANY = 1e-5, 1e-3, 5000  # charges closer than this are one; the coarser if there are many
_NEUTRAL = 1e-3  # of a net charge per atom


class NetCharges(NamedTuple):
    """Net charges per atom that elements can have together, and for each the best ionicity and how it comes about."""

    charge: FloatArray
    ionicity: FloatArray
    chosen: FloatArray  # shape (n_sums, n_elements)

    def best(self) -> int:
        """Return the place of that with which charges balance best, and electrons go where they are attracted."""
        return int(np.argmax(self.ionicity - _PENALTY * np.abs(self.charge)))


def net_charges(fractions: FloatArray, chi: FloatArray, states: list[tuple[int, ...]]) -> NetCharges:
    """Return all net charges, by dynamic programming: the ionicity is a sum over elements, too.

    Parameters
    ----------
    fractions : ndarray, shape (n_elements,)
        Shares of the atoms.
    chi : ndarray, shape (n_elements,)
        Electronegativities.
    states : list of tuple of int
        Charges that each element may have.
    """
    mean = fractions @ chi
    sums = NetCharges(np.zeros(1), np.zeros(1), np.empty((1, 0)))
    for fraction, own, allowed in zip(fractions, chi, states, strict=True):
        q = np.array(allowed, dtype=np.float64)
        charge = np.add.outer(sums.charge, fraction * q).ravel()
        ionicity = np.add.outer(sums.ionicity, fraction * q * (mean - own)).ravel()
        before, last = np.divmod(np.arange(len(charge)), len(q))
        grid = np.round(charge / (_COARSE if len(charge) > _MANY else _FINE))
        order = np.lexsort((-ionicity, grid))  # the best of each net charge comes first
        best = order[np.unique(grid[order], return_index=True)[1]]
        chosen = np.column_stack([sums.chosen[before[best]], q[last[best]]])
        sums = NetCharges(charge[best], ionicity[best], chosen)
    return sums


@lru_cache(maxsize=2**14)
def likely_charges(numbers: tuple[int, ...], counts: tuple[int, ...]) -> tuple[float, ...]:
    """Return the charges of the elements of a neutral compound, in e.

    Parameters
    ----------
    numbers : tuple of int
        Atomic numbers, 1 to 103, each once.
    counts : tuple of int
        Numbers of their atoms.

    Returns
    -------
    tuple of float
        Common oxidation states, or if these do not balance, observed ones. Where these do not balance either, as in
        compounds of mixed valence, the charges of the cations are scaled. All are 0 where there would be charges of one
        sign alone, as in metals.
    """
    fractions = np.array(counts) / sum(counts)
    chi = _ELECTRONEGATIVITY[np.array(numbers) - 1]
    if len(numbers) == 1:
        return (0.0,)
    charges = np.zeros(len(numbers))
    for table in (COMMON, OBSERVED):
        sums = net_charges(fractions, chi, [table.get(z) or (0,) for z in numbers])
        best = sums.best()
        charges = sums.chosen[best]
        if abs(sums.charge[best]) < _NEUTRAL:
            break
    cations, anions = charges > 0, charges < 0
    if not (cations.any() and anions.any()):
        return (0.0,) * len(numbers)
    of_cations, of_anions = (float(fractions[ions] @ charges[ions]) for ions in (cations, anions))
    return tuple(np.where(cations, charges * -of_anions / of_cations, charges).round(12).tolist())


_ELECTRONEGATIVITY = element_properties(range(1, N_ELEMENTS + 1), ["electronegativity"])[:, 0]
