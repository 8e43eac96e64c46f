"""What networks learn of structures or atoms, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from atomprint.ragged import Offsets
from atomprint.structures import StructureError
from atomprint.util.types import Array
from atomprint.util.validation import check_bool


@dataclass(frozen=True, eq=False)
class Targets:
    """Targets of structures, or of their atoms.

    Parameters
    ----------
    values : ndarray, shape (n_structures,) or (n_structures, n_targets), or sequence of ndarray
        Of each structure its row, or an array of those of its atoms. Integers stay integers.
    per_atom : bool
        Whether they are those of atoms.
    """

    values: Array | Sequence[Array]
    per_atom: bool

    @classmethod
    def of(cls, structures: Any, y: Any, per_atom: bool, n: int) -> Targets | None:
        """Return targets as :class:`GraphDataset` takes them, or raise where they are not usable."""
        check_bool("per_atom", per_atom)
        if y is None:
            return None
        if isinstance(y, str):
            y, per_atom = _named(structures, y)
        if isinstance(y, Mapping | Set):
            raise TypeError(f"y must be a sequence, got a {type(y).__name__}")
        column = hasattr(y, "columns") and len(y.columns) == 1  # a table of one target is this target
        y = y.to_numpy() if hasattr(y, "to_numpy") else y
        y = y.ravel() if column else y
        if np.ma.is_masked(y):
            raise ValueError("y must have all values, got an array with a mask: leave out what is not known")
        if not hasattr(y, "__len__"):
            y = [y] if n == 1 else y
        if not hasattr(y, "__len__") or len(y) != n:
            got = len(y) if hasattr(y, "__len__") else repr(y)
            raise ValueError(f"y must have one value for each of {n} structures, got {got}")
        if per_atom:
            return cls([_finite(s, row, per_atom) for s, row in enumerate(y)], per_atom)
        if n and not isinstance(y, np.ndarray):
            shapes = [np.shape(row) for row in y]
            other = next((s for s, shape in enumerate(shapes) if shape != shapes[0]), None)
            if other is not None:
                rule = f"shape must be that of structure 0, {shapes[0]}, got {shapes[other]}"
                rule += ": per_atom=True is for values of atoms"
                raise StructureError(other, None, rule, argument="y")
        values = np.asarray(y)
        if values.dtype.kind not in "biuf" or values.ndim not in (1, 2) or not np.isfinite(values).all():
            for s, row in enumerate(values.tolist()):
                _finite(s, row, per_atom)
            raise TypeError(f"y must be numbers of shape (n,) or (n, n_targets), got {values.dtype} of {values.shape}")
        return cls(_plain(values), per_atom)

    def pick(self, indices: npt.NDArray[np.int64], offsets: Offsets) -> Array:
        """Return those of some structures, or of all atoms of these.

        Parameters
        ----------
        indices : ndarray of int64, shape (n,)
            Of the structures.
        offsets : ndarray of int64, shape (n + 1,)
            Where the atoms of each of them begin.
        """
        if not self.per_atom:
            return np.asarray(self.values)[indices]
        rows = [self.values[s] for s in indices]
        for k, (row, n) in enumerate(zip(rows, np.diff(offsets), strict=True)):
            if len(row) != n:
                raise StructureError(
                    k, None, f"must have one value for each of {n} atoms, got {len(row)}", argument="y"
                )
        return np.concatenate(rows)


def _named(structures: Any, name: str) -> tuple[Any, bool]:
    """Return a target of a data set, and whether it is one of atoms."""
    known = getattr(structures, "targets", None)
    if known is None:
        raise TypeError(f"y must be values, or the name of a target of a data set, got {name!r}")
    if name not in known:
        raise ValueError(f"y must be one of the targets {', '.join(map(repr, known))}, got {name!r}")
    target = known[name]
    is_class = target.classes and target.level == "structure" and np.isfinite(target.values).all()
    return target.values.astype(np.int64) if is_class else target.values, target.level == "atom"


def _finite(s: int, row: Any, per_atom: bool) -> Array:
    try:
        values = _plain(np.asarray(row))
    except (TypeError, ValueError):
        raise StructureError(s, None, f"must be a number, got {row!r:.40}", argument="y") from None
    if per_atom and values.ndim not in (1, 2):
        raise StructureError(s, None, f"must have one value for each atom, got {row!r:.40}", argument="y")
    if not np.isfinite(values).all():
        raise StructureError(s, None, f"must be finite, got {row!r:.40}: leave out what is not known", argument="y")
    return values


def _plain(values: Array) -> Array:
    """Return numbers as integers or floats of eight bytes."""
    whole = values.dtype.kind in "bi" or (values.dtype.kind == "u" and values.max(initial=0) <= np.iinfo(np.int64).max)
    return values.astype(np.int64 if whole else np.float64)
