"""How much each structure counts in a fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from atomprint.potentials.labels.labelled import LabelledStructures
from atomprint.util.types import FloatArray

Weights: TypeAlias = Mapping[str, float | Sequence[float]] | npt.ArrayLike | None
"""By which the sigmas of structures are divided: by type of configuration, or an array with one number (or three, for
energy, forces and stress) for each structure."""


def checked_weights(given: Weights, labels: LabelledStructures) -> FloatArray:
    """Return three weights for each structure, checked."""
    n = len(labels)
    found = np.ones((n, 3))
    if given is None:
        return found
    if isinstance(given, Mapping):
        known = sorted(set(labels.config_types))
        if known == [""] and not {*given} <= {""}:
            raise ValueError(
                f"weights: types of configuration are named ({', '.join(map(repr, given))}), but structures have none: "
                "config_key is the key that tells them, such as 'config_type'; or give a number for each structure"
            )
        for name, weight in given.items():
            if name not in known:
                raise ValueError(
                    f"weights: there is no type of configuration {name!r}, only {', '.join(map(repr, known))}"
                )
            own = np.asarray(weight, dtype=np.float64)
            if own.shape not in ((), (3,)):
                raise ValueError(f"weights: one number or three must be given for {name!r}, got {weight!r}")
            found[[kind == name for kind in labels.config_types]] = own
    else:
        array = np.asarray(given, dtype=np.float64)
        if array.shape not in ((n,), (n, 3)):
            raise ValueError(f"weights must have shape ({n},) or ({n}, 3), got {array.shape}")
        found[:] = array[:, None] if array.ndim == 1 else array
    if not (np.isfinite(found).all() and (found >= 0).all()):
        raise ValueError(f"weights must be finite and >= 0, got {found[~(np.isfinite(found) & (found >= 0))][0]}")
    return found
