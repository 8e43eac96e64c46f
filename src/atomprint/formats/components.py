"""Which targets are components of vectors and tensors, which turn with a structure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from atomprint.formats.source import Row

_PART = re.compile(r"(.+?)(?:\[\d+\])+")
_INDEX = re.compile(r"\[(\d)\]$")

# What turns, by its name; and what does not, though there are three of it.
_FLAT = r"forces?|gradients?|velocit(?:y|ies)|momenta|positions?|displacements?"
_VECTORS = (
    rf"{_FLAT}|dipoles?|momentum|moments?|coordinates?|torques?|polari[sz]ations?|magneti[sz]ations?|magmoms?|spins?"
    r"|(?:electric_|magnetic_|e_|b_)?fields?|currents?|vectors?"
)
_TENSORS = (
    r"stress(?:es)?|virials?|strains?|tensors?|hessians?|quadrupoles?|polari[sz]abilit(?:y|ies)|born\w*|dielectric\w*"
    r"|pressures?|piezo\w*|inertia"
)
_TURNS, _IS_FLAT, _IS_TENSOR = (
    re.compile(rf"(?:.*_)?(?:{names})(?:_.*)?") for names in (f"{_VECTORS}|{_TENSORS}", _FLAT, _TENSORS)
)
_MEASURES = re.compile(r".*(norm|length|magnitude|absolute|eigen|principal|invariant|trace).*")
_THREES = re.compile(r".*(frequenc|angle|abc|modul|gap|rotational|kpoint|mesh|energ|shape|size|count|number|shares?).*")

# Columns of plain numbers: dipole_x, fx, stress_xy, virial_0.
_COLUMN = re.compile(
    rf"(?:(?:(?:.*_)?(?:{_TENSORS})|.+_|s|sigma|e|eps|epsilon|alpha|p|q)_?(?P<axes>[xyz][xyz])"
    rf"|(?:(?:.*_)?(?:{_VECTORS}|{_TENSORS})(?:_.*?)?|f|v|mu|[mpd]_)_?(?P<axis>[xyz])"
    r"|(?:.*_)?(?:forces?|gradients?|velocit(?:y|ies)|dipoles?|dipole_moments?|virials?|stress(?:es)?)_?(?P<index>\d))"
)


def vector_of(key: str, rows: Sequence[Row]) -> str:
    """Return the name of the vector or tensor that a target is a component of; empty if it is none.

    Parameters
    ----------
    key : str
        Column or key: ``"dipole[0]"``, ``"stress[1][2]"``, or a column of plain numbers such as ``"dipole_x"``.
    rows : sequence of Row
        Some rows, for the shapes of arrays: three numbers for a structure or for each atom are a vector, unless their
        name tells that they are not, such as ``"eigenvalues"``.
    """
    found = _PART.fullmatch(key)
    if found is None:
        return vector_in_name(key)
    name = found[1]
    known = [(np.shape(value), name in row.arrays) for row in rows if (value := row.get(name)) is not None]
    words = _words(name)
    if not known or _MEASURES.fullmatch(words):
        return ""
    shapes = [shape for shape, _ in known]
    if all(len(shape) == 1 for shape in shapes):
        if any(of_atoms for _, of_atoms in known):  # a number for each atom
            return ""
        if len(set(shapes)) > 1:  # as long as there are atoms, or three times
            flat = _IS_FLAT.fullmatch(words) and all(shape[0] % 3 == 0 for shape in shapes)
            return name if flat else ""
    last = {shape[-1] for shape in shapes if shape}
    if last == {3}:
        return name if _TURNS.fullmatch(words) or not _THREES.fullmatch(words) else ""
    return name if last <= {6, 9} and _IS_TENSOR.fullmatch(words) else ""


def check_names(y: Any) -> None:
    """Raise if targets say by their names that they are components of vectors: a series or table of pandas.

    Raises
    ------
    ValueError
        With the name of the first that is one.
    """
    names = getattr(y, "columns", None)
    for name in [getattr(y, "name", None)] if names is None else list(names):
        if isinstance(name, str) and (vector := vector_in_name(_INDEX.sub(r"_\1", name))):
            raise ValueError(
                f"y: {name!r} is a component of {vector!r}, which turns with the structure, and features that do not "
                "turn cannot tell it: predict the length of the vector, another number that does not turn, or the "
                "energy, whose derivatives are forces and stress (atomprint potential fit). Where the axes are those "
                "of a crystal, give y.to_numpy()"
            )


def vector_in_name(name: str) -> str:
    """Return the name of the vector or tensor of which a column is a component by its name; empty if it is none."""
    bare = re.sub(r"[(\[]\s*([xyz]{1,2})\s*[)\]]", r"_\1", name.strip())
    bare = re.sub(r"\s*[(\[][^()\[\]]*[)\]]\s*$", "", bare)  # a unit
    found = _COLUMN.fullmatch(_words(bare))
    if found is None or _MEASURES.fullmatch(_words(bare)):
        return ""
    end = found["axis"] or found["axes"] or found["index"]
    return bare[: -len(end)].rstrip(" _-./") or name


def _words(name: str) -> str:
    return re.sub(r"[\s\-./]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)).strip("_").lower()
