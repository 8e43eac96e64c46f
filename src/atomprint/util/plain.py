"""Values of any kind as what JSON can hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from atomprint.util.estimators import named_parts


def plain(value: object) -> Any:
    """Return a value as what JSON can hold, see :data:`Json`.

    Pipelines and unions become mappings of their parts, other estimators of their class and their parameters,
    dataclasses of their fields; arrays and all collections become lists, numbers of NumPy those of Python. Numbers that
    JSON does not know become words (``"nan"``, ``"inf"``), and so does everything else.
    """
    if hasattr(value, "get_params") and not isinstance(value, type):
        if parts := named_parts(value):
            return {name: plain(part) for name, part in parts.items()}
        return {"class": type(value).__name__} | {k: plain(v) for k, v in value.get_params(deep=False).items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, set | frozenset):
        return sorted(map(plain, value), key=str)
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float | bool) or value is None else repr(value)


def finite_or_none(value: float) -> float | None:
    """Return a number, None for one that JSON does not know."""
    return float(value) if math.isfinite(value) else None
