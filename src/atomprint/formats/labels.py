"""Which keys of files hold energies, forces and stresses, and what their values are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms

from atomprint.formats.source import Row
from atomprint.formats.values import is_missing, is_number, number_of
from atomprint.util.types import FloatArray

_UNITS = {"energy": "eV", "forces": "eV/Å", "gradient": "eV/Å", "stress": "eV/Å^3", "virial": "eV"}
_PLURAL = {
    "energy": "energies",
    "forces": "forces",
    "gradient": "derivatives of the energy",
    "stress": "stresses",
    "virial": "virials",
}
_OTHER_UNITS = {
    "Ha": {"ha", "hartree", "hartrees", "au"},
    "Ry": {"ry", "rydberg"},
    "kcal/mol": {"kcal", "kcalmol"},
    "kJ/mol": {"kj", "kjmol"},
    "meV": {"mev"},
    "GPa": {"gpa"},
    "kbar": {"kbar", "kb"},
}

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


@dataclass(frozen=True, slots=True)
class FoundLabel:
    """A key of a file with energies, forces or stresses.

    Parameters
    ----------
    kind : {"energy", "forces", "gradient", "stress", "virial"}
        What it holds.
    key : str
        Its name.
    unit : str
        The unit that it has by its name, else that in which such keys are mostly written: eV and Å.
    """

    kind: str
    key: str
    unit: str

    def __str__(self) -> str:
        return f"{_PLURAL[self.kind]} ({self.key!r}, {self.unit})"


def find_labels(rows: Sequence[Row], names: Iterable[str]) -> tuple[FoundLabel, ...]:
    """Return which keys hold energies, forces and stresses, as some rows show it."""
    found = []
    for name in names:
        if (kind := label_kind(name)) and any(_is_label(row, name, kind) for row in rows):
            found.append(FoundLabel(kind, name, told_unit(name, kind) or _UNITS[kind]))
    order = list(_UNITS)
    return tuple(sorted(found, key=lambda label: order.index(label.kind)))


def labels_sentence(labels: Sequence[FoundLabel], file: str) -> str:
    """Return in words which forces and stresses a file has, and what fits a potential to them; empty without any."""
    if {label.kind for label in labels} <= {"energy"}:
        return ""
    listed = ", ".join(map(str, labels))
    return f"The file has {listed}: a potential for relaxation and dynamics is fitted by atomprint potential fit {file}"


def told_unit(name: str, kind: str) -> str:
    """Return the unit that the name of a label tells, if it is another than that of this package; else empty."""
    bracketed = re.search(r"[(\[]\s*([^()\[\]]+?)\s*[)\]]\s*$", name)
    words = words_of(name) | (words_of(bracketed[1]) if bracketed else frozenset())
    unit = next((unit for unit, known in _OTHER_UNITS.items() if words & known), "")
    if kind in ("forces", "gradient") and unit:
        return f"{unit}/{'bohr' if words & {'bohr', 'au'} else 'Å'}"
    return unit


def _is_label(row: Row, name: str, kind: str) -> bool:
    """Return whether a row has a value of the right shape."""
    atoms = row.structure
    n_atoms = len(atoms) if isinstance(atoms, Atoms) else None
    try:
        if n_atoms is None and kind in ("forces", "gradient"):
            shape = np.shape(row.get(name))
            return len(shape) == 2 and shape[1] == 3
        return label_of_row(row, name, kind, n_atoms or 0) is not None
    except ValueError:
        return False


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
        return matrices_of_six(values.reshape(6))
    if values.size != 9 or values.ndim > 2:
        raise ValueError(f"{name!r} must be six or nine numbers, got an array of shape {values.shape}")
    return values.reshape(3, 3)


def matrices_of_six(numbers: FloatArray) -> FloatArray:
    """Return symmetric matrices, shape (..., 3, 3), of six numbers each: xx, yy, zz, yz, xz, xy."""
    found: FloatArray = numbers[..., [0, 5, 4, 5, 1, 3, 4, 3, 2]]
    return found.reshape(*numbers.shape[:-1], 3, 3)


def _numbers(raw: Any, name: str) -> FloatArray:
    if isinstance(raw, str):
        if raw.lstrip().startswith("["):  # a list in a cell of a table
            try:
                return _numbers(json.loads(raw.replace("nan", "NaN")), name)
            except (json.JSONDecodeError, RecursionError) as error:
                raise ValueError(f"{name!r} must be a number or a list, got {raw[:40]!r}") from error
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
