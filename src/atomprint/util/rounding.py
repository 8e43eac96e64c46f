"""What rounding leaves of sums whose terms cancel."""

from __future__ import annotations

from typing import Any

import numpy as np

LEFT_OF_CANCELLING = 2.0**-44
"""What is left of such a sum is below this share of the size of its terms; the same in cpp/core/pooling.hpp."""

_LEFT_IN_SINGLE, _LEFT_OF_EQUALS_IN_SINGLE = 2.0**-22, 2.0**-18


def left_of_cancelling(dtype: np.dtype[Any], *, equals: bool = False) -> float:
    """Return what is left of such a sum of numbers of a type, as a share of the size of its terms.

    Parameters
    ----------
    dtype : dtype
        Of what is added up: features of centres, the terms of which have cancelled.
    equals : bool
        Whether features that mean the same cancel, which have errors by themselves.
    """
    if np.dtype(dtype) != np.float32:
        return LEFT_OF_CANCELLING
    return _LEFT_OF_EQUALS_IN_SINGLE if equals else _LEFT_IN_SINGLE
