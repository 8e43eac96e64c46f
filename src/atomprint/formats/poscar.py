"""Structures from VASP's POSCAR and CONTCAR, of versions 4 to 6."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from atomprint.chemistry.formula import element_of_label
from atomprint.util.types import FloatArray

_FORTRAN = re.compile(r"(?<=[\d.])[dD](?=[+-]?\d)")
_CONFIGURATION = re.compile(r"\s*Direct\s+configuration", re.IGNORECASE)  # as XDATCAR begins each structure
_VELOCITIES = ("lattice", "cartesian", "direct", "c", "k", "d")
_FLAGS = frozenset(("T", "F", ".TRUE.", ".FALSE.", "TRUE", "FALSE"))


def is_poscar(text: str) -> bool:
    """Return whether the second to fifth lines of a text are a scale and three lattice vectors."""
    lines = [line.split("!")[0].split() for line in text.splitlines()[:5]]
    if len(lines) < 5 or len(lines[1]) not in (1, 3):
        return False
    return all(len(line) >= 3 for line in lines[2:]) and all(
        _float(word) is not None for line in (lines[1], *(line[:3] for line in lines[2:])) for word in line
    )


def read_poscar(text: str) -> Atoms:
    """Return the crystal in the text of a POSCAR or CONTCAR; what follows the positions is passed over.

    Names of elements stand above the counts (VASP 5), with those of potentials (``Na_pv``) and hashes; else behind the
    positions, or in the first line (VASP 4).

    Raises
    ------
    ValueError
        If it is none, the elements are not named, or its counts do not fit the positions; the message names the line.
    """
    lines = text.splitlines()
    at = 0

    def words() -> list[str]:
        nonlocal at
        at += 1
        if at > len(lines):
            raise ValueError(f"this POSCAR ends after {len(lines)} lines, before its positions")
        return re.split(r"[!#]", lines[at - 1])[0].split()

    comment = lines[0].split() if lines else []
    at = 1
    scales = _floats(words(), at, (1, 3), "a scale")
    cell = np.array([_floats(words()[:3], at, (3,), "a lattice vector") for _ in range(3)])
    scale = _scale(scales, cell)
    cell = cell * scale
    named = words()
    names: list[str] | None = None
    counts = named
    if named and not named[0].isdecimal():
        names, counts = named, words()
    if not counts or not all(word.isascii() and word.isdecimal() and len(word) < 19 for word in counts):
        raise ValueError(f"line {at} of this POSCAR must have the numbers of atoms, got {' '.join(counts)[:60]!r}")
    numbers_of = [int(count) for count in counts]
    n = sum(numbers_of)
    if names is not None and len(names) != len(counts):
        raise ValueError(f"this POSCAR has {len(names)} names of elements, but {len(counts)} numbers of atoms")
    if n == 0 or n > len(lines) - at:
        raise ValueError(
            f"this POSCAR says that it has {n} atoms, and has {max(len(lines) - at - 1, 0)} lines for them"
        )
    mode = words()
    selective = bool(mode) and mode[0][:1] in "sS"
    if selective:
        mode = words()
    if not mode or mode[0][:1] not in tuple("cCkKdDfF"):
        raise ValueError(f"line {at} of this POSCAR must be Direct or Cartesian, got {' '.join(mode)[:40]!r}")
    first = at
    rows = [words() for _ in range(n)]
    positions = np.array([_floats(row[:3], first + 1 + i, (3,), "a position") for i, row in enumerate(rows)])
    _check_rest(lines, at, n)
    numbers = _numbers(names, comment, numbers_of, [_label(row, selective) for row in rows], first)
    if mode[0][:1] in "cCkK":
        return Atoms(numbers, positions=positions * scale, cell=cell, pbc=True)
    return Atoms(numbers, positions=positions @ cell, cell=cell, pbc=True)


def _check_rest(lines: Sequence[str], at: int, n: int) -> None:
    """Raise if what follows the positions is one more, or another structure, as in XDATCAR; velocities may follow."""
    rest = lines[at].split() if at < len(lines) else []
    if len(rest) >= 3 and all(_float(word) is not None for word in rest[:3]):
        raise ValueError(f"this POSCAR says that it has {n} atoms, but line {at + 1} is one more position")
    if any(_CONFIGURATION.match(line) for line in lines[at:]) or (
        rest and rest[0].lower() not in _VELOCITIES and is_poscar("\n".join(lines[at : at + 5]))
    ):
        raise ValueError(f"this POSCAR holds several structures, the second from line {at + 1} on")


def _scale(scales: FloatArray, cell: FloatArray) -> FloatArray | float:
    """Return what lengths are multiplied by: one number, or one along each axis; a negative one is minus the volume."""
    if len(scales) == 1 and scales[0] < 0:
        volume = abs(np.linalg.det(cell))
        if not volume > 0:
            raise ValueError("the cell of this POSCAR has no volume, which its scale should set")
        return float(np.cbrt(-scales[0] / volume))
    if not (scales > 0).all():
        raise ValueError(f"the scale of this POSCAR must be above 0, or one negative volume, got {scales.tolist()}")
    return scales if len(scales) == 3 else float(scales[0])


def _label(row: Sequence[str], selective: bool) -> str:
    """Return the word behind a position and its flags, empty if there is none."""
    flagged = len(row) >= 6 and all(word.upper() in _FLAGS for word in row[3:6])
    if selective and not flagged:
        raise ValueError(f"this POSCAR has selective dynamics: a position must have three flags, got {' '.join(row)!r}")
    return row[6 if flagged else 3] if len(row) > (6 if flagged else 3) else ""


def _numbers(
    names: Sequence[str] | None, comment: Sequence[str], counts: Sequence[int], labels: Sequence[str], first: int
) -> list[int]:
    behind = [_element(label) for label in labels]
    if names is None and all(behind):
        ends = np.cumsum(counts).tolist()
        for start, end in zip([0, *ends], ends, strict=False):
            if len(set(behind[start:end])) > 1:
                listed = ", ".join(labels[start:end])[:60]
                raise ValueError(f"by its numbers of atoms, this POSCAR has {end - start} of one element: {listed}")
        return behind
    if names is None:
        in_comment = [_element(word) for word in comment]
        if len(comment) != len(counts) or not all(in_comment):
            raise ValueError(
                "this POSCAR does not name its elements: give a line of symbols above the numbers of atoms "
                "(VASP 4 has them in POTCAR alone)"
            )
        kinds = in_comment
    else:
        kinds = []
        for name in names:
            if not (z := _element(re.split(r"[_/]", name)[0])):
                raise ValueError(f"this POSCAR names an element {name!r}, which is not one")
            kinds.append(z)
    numbers = [z for z, count in zip(kinds, counts, strict=True) for _ in range(count)]
    for at, (z, other) in enumerate(zip(numbers, behind, strict=True), first + 1):
        if other and other != z:
            symbols = chemical_symbols[other], chemical_symbols[z]
            raise ValueError(
                f"line {at} of this POSCAR says {symbols[0]}, but by its numbers of atoms it is {symbols[1]}"
            )
    return numbers


def _element(word: str) -> int:
    """Return the atomic number of a symbol or a label, 0 if it is none."""
    if not word[:1].isalpha():
        return 0
    try:
        return element_of_label(word)
    except ValueError:
        return 0


def _float(word: str) -> float | None:
    try:
        number = float(_FORTRAN.sub("e", word))
    except ValueError:
        return None
    return number if abs(number) < 1e100 and "_" not in word else None


def _floats(words: Sequence[str], line: int, lengths: tuple[int, ...], what: str) -> FloatArray:
    numbers = [_float(word) for word in words]
    if len(words) not in lengths or not all(number is not None and math.isfinite(number) for number in numbers):
        raise ValueError(f"line {line} of this POSCAR must be {what}, got {' '.join(words)[:60]!r}")
    return np.array(numbers, dtype=np.float64)
