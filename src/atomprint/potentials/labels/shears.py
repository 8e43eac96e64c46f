"""In which order the six numbers of a stress are: programs differ in that of the shears, and files do not tell."""

from __future__ import annotations

from itertools import permutations

import numpy as np

from atomprint.potentials.labels.labelled import LabelledStructures
from atomprint.util.types import FloatArray

_ENOUGH = 6  # structures
_EXPLAINED = 0.7  # share of the squares of shears that another order must explain
_BETTER = 0.25  # of the squares that are left by the usual order
_NAMES = ("yz", "xz", "xy")


def other_order(labels: LabelledStructures, stresses: FloatArray) -> str:
    """Return in a sentence in which order shears would be what a fit says; empty where the usual one is right.

    Parameters
    ----------
    labels : LabelledStructures
        What is labelled.
    stresses : ndarray of shape (n, 3, 3)
        What a fit says, best one to other labels, in eV/Å^3.
    """
    given, found = (values[:, [1, 0, 0], [2, 2, 1]] for values in (labels.stresses, stresses))
    both = np.isfinite(given).all(axis=1) & np.isfinite(found).all(axis=1)
    given, found = given[both], found[both]
    whole = float(np.sum(given**2))
    if len(given) < _ENOUGH or whole < 1e-12:
        return ""
    left = {order: float(np.sum((given - found[:, order]) ** 2)) for order in permutations(range(3))}
    best = min(left, key=lambda order: left[order])
    if left[best] > (1 - _EXPLAINED) * whole or left[best] > _BETTER * left[0, 1, 2]:
        return ""
    key, told = labels.keys.get("stress", "stress"), ", ".join(_NAMES[k] for k in best)
    vasp = " (that of VASP)" if best == (2, 0, 1) else ""
    return (
        f"Shears of stresses ({key!r}) are what the other labels say if they are in the order {told}{vasp}: "
        f"six numbers must be xx, yy, zz, {', '.join(_NAMES)}."
    )
