"""Vectors and truth values as dictionaries of structures hold them, in lists of anything."""

from __future__ import annotations

from typing import Any

import numpy as np

from atomprint.util.types import FloatArray


def vectors(values: Any, n: int, what: str) -> FloatArray:
    """Return rows of three numbers as an array of shape (n, 3).

    Raises
    ------
    ValueError
        If they are not that, or not finite; the message says ``what`` they are.
    """
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{what} must be {n} rows of three numbers, got {repr(values)[:60]}") from None
    if array.shape != (n, 3):
        raise ValueError(f"{what} must be {n} rows of three numbers, got the shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{what} must be finite numbers, got {array[~np.isfinite(array).all(axis=1)][0].tolist()}")
    return array


def periods(values: Any, what: str = "pbc") -> tuple[bool, bool, bool]:
    """Return along which lattice vectors a structure repeats.

    Raises
    ------
    ValueError
        If they are not three truth values, or 0 and 1.
    """
    if not isinstance(values, list | tuple | np.ndarray) or len(values) != 3 or any(x not in (0, 1) for x in values):
        raise ValueError(f"{what} must be three of true and false, got {repr(values)[:60]}")
    a, b, c = (bool(x) for x in values)
    return a, b, c
