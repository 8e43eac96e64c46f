"""Some of many samples, drawn at random and always the same ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from atomprint.util.types import Indices


def some_of(n: int, size: int, seed: Any = 0) -> Indices:
    """Return ``size`` of n places in ascending order, or all of them if there are no more."""
    if n <= size:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, size, replace=False))
