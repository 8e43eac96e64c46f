"""``scipy.sparse``, which is imported when a sparse array is made: until then there is none."""

from __future__ import annotations

import importlib
import sys
from typing import Any

_MODULE = "scipy.sparse"


def issparse(array: object) -> bool:
    """Return whether something is a sparse array or matrix of SciPy."""
    found = getattr(sys.modules.get(_MODULE), "issparse", None)  # not there yet while another thread imports it
    return found is not None and bool(found(array))


def dense(array: Any) -> Any:
    """Return a sparse array as a dense one, and others as they are."""
    return array.toarray() if issparse(array) else array


def __getattr__(name: str) -> Any:
    """Return what ``scipy.sparse`` has by this name."""
    if name.startswith("__"):  # what Python asks of every module
        raise AttributeError(name)
    return getattr(importlib.import_module(_MODULE), name)
