"""Bonds from distances: how much of a neighbour an atom is."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from atomprint.chemistry.charges import likely_charges
from atomprint.chemistry.elements import N_ELEMENTS
from atomprint.chemistry.radii import COVALENT, METALLIC
from atomprint.structures import Batch
from atomprint.util.types import FloatArray

WHOLE, NONE = 1.15, 1.35
"""Of the sum of two covalent radii: where a bond begins to fade, and where there is none."""

RADII = np.array([0.0, *(COVALENT[z] for z in range(1, N_ELEMENTS + 1))])
"""Covalent radii in Å by atomic number."""


def faded(r: FloatArray, begin: FloatArray | float, end: FloatArray | float) -> tuple[FloatArray, FloatArray]:
    """Return weights that are 1 up to one distance and go to zero as a cosine until another, and their slopes.

    Parameters
    ----------
    r : ndarray, shape (n,)
        Distances in Å.
    begin, end : float or ndarray, shape (n,)
        Where to begin and to end, in Å; where both are the same the weight has a step.
    """
    width = np.broadcast_to(np.asarray(end - begin), r.shape)
    phase = np.divide(np.pi * (r - begin), width, out=np.where(r < end, 0.0, np.pi), where=width > 0).clip(0, np.pi)
    slopes = np.divide(-np.pi / 2 * np.sin(phase), width, out=np.zeros_like(r), where=width > 0)
    return (1 + np.cos(phase)) / 2, slopes


def charges_of(batch: Batch, given: Mapping[int, float] | None = None) -> FloatArray:
    """Return the charges of all atoms: as given, by atomic number, or likely ones for the formula of each structure."""
    charges, table = np.zeros(len(batch.numbers)), np.zeros(N_ELEMENTS + 1)
    for z, charge in ({} if given is None else given).items():
        table[z] = charge
    if given is not None:
        return table[batch.numbers]
    for s in range(len(batch)):
        atoms = slice(batch.offsets[s], batch.offsets[s + 1])
        elements, counts = np.unique(batch.numbers[atoms], return_counts=True)
        formula = counts // np.gcd.reduce(counts)
        table[elements] = likely_charges(tuple(elements.tolist()), tuple(formula.tolist()))
        charges[atoms] = table[batch.numbers[atoms]]
    return charges


def metal_ions(numbers: npt.NDArray[np.int32], charges: FloatArray) -> npt.NDArray[np.bool_]:
    """Return which atoms are cations of metals: these do not bond with each other, however large they are."""
    return _METALS[numbers] & (charges > 0)


_METALS = np.isin(np.arange(N_ELEMENTS + 1), [*METALLIC, 50, 82, 83, 84, 87, 88, 89])  # and Sn, Pb, Bi, Po, Fr, Ra, Ac
