"""Indices of sparse arrays: 32 bit where these suffice, which forests, SVMs and others of scikit-learn insist on."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from atomprint.util import sparse

_TOO_LARGE = 2**31


def narrowed(array: Any) -> Any:
    """Return a CSR or COO array with indices of 32 bit where all of them fit.

    SciPy keeps those of 64 bit once they are there, and makes them where it reshapes.

    Parameters
    ----------
    array : csr_array or coo_array
        Of any number of dimensions; its numbers are shared with what is returned.
    """
    # With more than two dimensions SciPy counts the entries in one run, in the type of the indices.
    if max(array.nnz, *array.shape, prod(array.shape) if array.ndim > 2 else 0) >= _TOO_LARGE:
        return array
    if array.format == "csr":
        indices, ends = (part.astype(np.int32, copy=False) for part in (array.indices, array.indptr))
        return sparse.csr_array((array.data, indices, ends), shape=array.shape)
    return coo_array(array.data, tuple(part.astype(np.int32, copy=False) for part in array.coords), array.shape)


def coo_array(data: Any, coords: tuple[Any, ...], shape: tuple[int, ...]) -> sparse.coo_array:
    """Return a COO array of entries that are all different and within its shape, with the indices as they are.

    SciPy widens those of more than two dimensions, and looks at each.
    """
    made = sparse.coo_array(shape, dtype=data.dtype)
    made.data, made.coords = data, coords
    return made
