"""Which keys of files hold energies, forces and stresses, and what their values are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from atomprint.formats.source import Row
from atomprint.formats.values import is_missing, is_number, number_of
from atomprint.util.types import FloatArray

KINDS = ("energy", "forces", "stress")
"""What a potential is fitted to."""

# Words by which something is another energy, or none.
_OTHER_ENERGIES = re.compile(
    r"above|activation|adsorption|atom|atomic|atomi[sz]ation|band|barrier|binding|bond|cohesive|correction|correlation"
    r"|cutoff|delta|diff|difference|dispersion|e0|entropy|error|exchange|exfoliation|fermi|formation|gap|hull|hydration"
    r"|interaction|ioni[sz]ation|isolated|kinetic|lattice|mask|max|min|nuclear|per|point|reaction|reference|repulsion"
    r"|self|shift|shifted|sigma|solvation|std|strain|surface|thermal|threshold|tolerance|uncertainty|units?|var"
    r"|variance|vdw|weights?|zero|zpe"
)
_OTHER_FORCES = re.compile(
    r"abs|average|constants?|convergence|error|fmax|mask|max|maximum|mean|min|norm|rms|sigma|std|threshold|tolerance"
    r"|uncertainty|units?|var|variance|weights?"
)
_ENERGIES = {"energy", "etot", "toten", "e"}
_NAMES = {
    "forces": {"force", "forces"},
    "gradient": {"gradient", "gradients", "grad"},
    "virial": {"virial", "virials"},
    "stress": {"stress"},
}
_MASKS = re.compile(r"(?:.*_)?force_?mask|mask_?forces?")


def label_kind(name: str) -> str:
    """Return which label a key is by its name: ``"energy"``, ``"forces"``, ``"gradient"``, ``"stress"``, ``"virial"``.

    Empty if it is none, such as ``"formation_energy"``, ``"energy_per_atom"``, ``"max_force"``, ``"stress_weight"``.
    """
    words = words_of(name)
    for kind, usual in _NAMES.items():
        if words & usual:
            return "" if any(map(_OTHER_FORCES.fullmatch, words)) else kind
    if words & _ENERGIES or {"e", "tot"} <= words:
        return "" if name == "e" or any(map(_OTHER_ENERGIES.fullmatch, words)) else "energy"
    return ""


def words_of(name: str) -> frozenset[str]:
    """Return the words of a key in lower case: ``"dftEnergy"`` has ``"dft"`` and ``"energy"``."""
    bare = re.sub(r"[(\[][^()\[\]]*[)\]]\s*$", "", name.rpartition(".")[2])
    return frozenset(re.split(r"[\s_\-./:]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", bare).strip("_ ").lower()))


def is_mask(name: str) -> bool:
    """Return whether a key tells which forces are to be used."""
    return _MASKS.fullmatch(name.lower()) is not None


def label_of_row(row: Row, name: str, kind: str, n_atoms: int) -> float | FloatArray | None:
    """Return the value of a label, in the units and with the sign that it has in the file.

    Parameters
    ----------
    row : Row
        The structure with what its file says of it.
    name, kind : str
        The key, and what it holds, see :func:`label_kind`.
    n_atoms : int
        How many atoms the structure has.

    Returns
    -------
    float, ndarray or None
        A number; an array of shape (n_atoms, 3); for a stress or a virial one of shape (3, 3), where six numbers are
        xx, yy, zz, yz, xz, xy. None where there is none, nan where a number is missing.

    Raises
    ------
    ValueError
        If it is no number, or not as many as there must be.
    """
    raw = row.get(name)
    if raw is None or (isinstance(raw, str) and is_missing(raw)):
        return None
    values = _numbers(raw, name)
    if kind == "energy":
        if values.size != 1:
            raise ValueError(f"{name!r} must be one number, got {values.size}")
        return float(values.reshape(())[()])
    if kind in ("forces", "gradient"):
        if values.size != 3 * n_atoms or values.ndim > 2:
            raise ValueError(
                f"{name!r} must be three numbers for each of {n_atoms} atoms, got an array of shape {values.shape}"
            )
        return values.reshape(n_atoms, 3)
    if values.shape == (6,) or values.shape == (1, 6):
        return values.reshape(6)[[0, 5, 4, 5, 1, 3, 4, 3, 2]].reshape(3, 3)
    if values.size != 9 or values.ndim > 2:
        raise ValueError(f"{name!r} must be six or nine numbers, got an array of shape {values.shape}")
    return values.reshape(3, 3)


def _numbers(raw: Any, name: str) -> FloatArray:
    if isinstance(raw, str):
        if not is_number(raw):
            raise ValueError(f"{name!r} must be a number, got {raw[:40]!r}")
        return np.array(number_of(raw))
    if isinstance(raw, (bool | np.bool_, Mapping)):
        raise ValueError(f"{name!r} must be a number, got {repr(raw)[:40]}")
    try:
        values = np.asarray(raw)
        if values.dtype.kind in "OUS":  # strings, None among numbers
            flat = [
                np.nan if item is None or (isinstance(item, str) and is_missing(item)) else _number(item, name)
                for item in np.ravel(values).tolist()
            ]
            values = np.array(flat).reshape(values.shape)
    except (TypeError, OverflowError) as error:
        raise ValueError(f"{name!r} must be numbers, got {repr(raw)[:40]}") from error
    except ValueError as error:
        if str(error).startswith(repr(name)):
            raise
        raise ValueError(f"{name!r} must be numbers in rows of the same length, got {repr(raw)[:40]}") from error
    if values.dtype.kind not in "iuf":
        raise ValueError(f"{name!r} must be numbers, got {repr(raw)[:40]}")
    return values.astype(np.float64)


def _number(item: Any, name: str) -> float:
    if isinstance(item, str) and not is_number(item):
        raise ValueError(f"{name!r} must be numbers, got {item[:40]!r}")
    return number_of(item)
