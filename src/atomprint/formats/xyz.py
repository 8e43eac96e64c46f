"""Structures from xyz and extended xyz."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from ase import Atoms
from ase.calculators.calculator import all_properties
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import chemical_symbols

from atomprint.chemistry.formula import element_of_label

_PLAIN = "species:S:1:pos:R:3"
_OF_STRUCTURES = ("energy", "free_energy", "stress", "dipole", "magmom", "dielectric_tensor", "polarization")
_NAMES = {"species": "symbols", "pos": "positions", "z": "numbers", "charge": "charges"}
_MATRICES = ("stress", "virial")  # nine numbers by columns, as the lattice
_TRUTH = {
    "T": True,
    "F": False,
    **{word: word.lower() == "true" for word in ["true", "True", "TRUE", "false", "False", "FALSE"]},
}
_OTHER_CELLS = ("cell", "unit_cell", "unitcell", "box", "lattice_vectors", "cell_vectors")
_OTHER_PERIODS = ("periodic", "periodicity", "boundary", "boundary_conditions", "periodic_boundary_conditions")
_QUOTES = {'"': '"', "'": "'", "{": "}", "[": "]"}
_WORD = re.compile(r"[^\s=,\"'{}\[\]\\]+")
_FORTRAN = re.compile(r"(?<=[\d.])[dD](?=[+-]?\d)")


class Frame(NamedTuple):
    """The lines of one structure, and the number of the first, counted from 1."""

    start: int
    lines: list[str]


def split_xyz(lines: Iterable[str]) -> Iterator[Frame]:
    """Yield the lines of each structure of an xyz file.

    Raises
    ------
    ValueError
        If a line that must hold a number of atoms does not, or the last structure is cut short. Where one structure is
        broken, nobody can tell where the next begins.
    """
    numbered = enumerate(lines, 1)
    frame: list[str] = []
    wanted = start = 0
    for number, line in numbered:
        # Lattice vectors after the atoms, in the form of ADF.
        if len(frame) < wanted or (frame and line.lstrip().startswith("VEC")):
            frame.append(line)
            continue
        if frame:
            yield Frame(start, frame)
            frame = []
        count = line.strip()
        if not count:
            if any(rest.strip() for _, rest in numbered):
                raise ValueError(f"line {number} must be the number of atoms of a structure, got an empty line")
            break
        if not (count.isascii() and count.isdecimal() and len(count) < 19):
            raise ValueError(f"line {number} must be the number of atoms of a structure, got {count[:40]!r}")
        frame, wanted, start = [line], int(count) + 2, number
    if len(frame) < wanted and frame:
        raise ValueError(f"the structure from line {start} on must have {wanted - 2} atoms, but the file ends before")
    if frame:
        yield Frame(start, frame)


def read_xyz_frame(frame: Frame) -> Atoms:
    """Return one structure, with what its second line says in ``info``, or as results of a calculator.

    Symbols may be labels (``C2``, ``Fe3+``), D and T, or atomic numbers; numbers may have Fortran's exponents. A stress
    has six numbers in Voigt's order (xx, yy, zz, yz, xz, xy) or nine, a virial six or nine.

    Raises
    ------
    ValueError
        If it is broken; the message names the line.
    """
    start, lines = frame
    vectors = [line.split() for line in lines[2:] if line.lstrip().startswith("VEC")]
    end = len(lines) - len(vectors)
    comment = lines[1].strip() if len(lines) > 1 else ""
    info: dict[str, Any] = {"comment": comment} if comment else {}
    if not vectors and "=" in comment:
        try:
            info = read_comment(comment)
        except ValueError as error:
            if re.search(r"\b(lattice|properties|pbc)\s*=", comment, re.IGNORECASE):
                raise ValueError(f"line {start + 1}: {error}") from error  # else a remark, as it may be in plain xyz
    cell, pbc = _cell_of(info, vectors, start)
    columns = _columns(str(info.pop("Properties", info.pop("properties", _PLAIN))), start)
    rows = [line.split() for line in lines[2:end]]
    strict = comment.lower().find("properties=") >= 0
    width = sum(count for _, _, count in columns)
    for line, row in enumerate(rows, start + 2):
        if len(row) < width or (strict and len(row) > width):
            raise ValueError(
                f"line {line} must have {width} values for an atom, got {len(row)}: {' '.join(row)[:60]!r}"
            )
    arrays = _arrays(columns, rows, start)
    if len(rows) == 0:
        raise ValueError(f"the structure from line {start} on must have at least one atom, got none")
    numbers = _numbers(arrays, comment, start)
    if "positions" not in arrays or arrays["positions"].shape != (len(rows), 3):
        raise ValueError(f"line {start + 1}: Properties must have positions (pos:R:3)")
    atoms = Atoms(numbers, positions=arrays.pop("positions"), cell=cell, pbc=pbc)
    results: dict[str, Any] = {}
    for name, array in arrays.items():
        if name in all_properties:
            results[name] = array
        elif name in atoms.arrays:
            atoms.arrays[name] = array
        else:
            atoms.new_array(name, array)
    for name in [name for name in info if name in _OF_STRUCTURES and _is_numeric(info[name])]:
        value = np.asarray(info.pop(name), dtype=np.float64)
        results[name] = value[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]] if value.shape == (3, 3) else value
        if value.ndim == 0:
            results[name] = float(value)
    atoms.info = info
    if results:
        atoms.calc = SinglePointCalculator(atoms)
        atoms.calc.results.update(results)
    return atoms


def read_comment(text: str) -> dict[str, Any]:
    """Return the keys and values of the second line of extended xyz.

    Values are numbers, truth values (``T``, ``F``, ``true`` ...), several of these, JSON (``_JSON {...}``) or words;
    a key without one is true. Quotes of four kinds hold what has blanks in it.

    Raises
    ------
    ValueError
        If quotes are not closed, or a key occurs twice with different values.
    """
    found: dict[str, Any] = {}
    at = 0

    def token() -> tuple[str, bool]:
        """Read a word or what is quoted, up to a blank or an equals sign."""
        nonlocal at
        parts, quoted = [], False
        while at < len(text) and not text[at].isspace() and text[at] != "=":
            char = text[at]
            if char in _QUOTES:
                part, quoted = _quoted(text, at), True
                at += len(part)
                part = part if char in "[{" and char in part[1:] else part[1:-1]
                parts.append(re.sub(r"\\(.)", r"\1", part) if char in "\"'" else part)
            elif char == "\\" and at + 1 < len(text):
                parts.append(text[at + 1])
                at += 2
            else:
                parts.append(char)
                at += 1
        return "".join(parts), quoted

    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        key, _ = token()
        rest = _after_blanks(text, at)
        if rest < len(text) and text[rest] == "=":
            at = _after_blanks(text, rest + 1)
            value, quoted = token()
            while at < len(text) and text[at] == "=" and not quoted:  # a value with an equals sign in it
                at += 1
                value = f"{value}={token()[0]}"
            read = value if key.lower() in ("properties", "comment", "name", "smiles", "uid") else _value(value)
        else:
            read = True
        if key in _MATRICES and np.shape(read) == (9,):
            read = np.array(read, dtype=np.float64).reshape(3, 3, order="F")
        if key in found and not np.array_equal(found[key], read):
            raise ValueError(f"key {key!r} occurs twice, with different values")
        if key:
            found[key] = read
    return found


def _after_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _quoted(text: str, at: int) -> str:
    """Return what begins with a quote or a bracket, with its closing one; brackets may be nested."""
    opening, closing, depth, place = text[at], _QUOTES[text[at]], 0, at
    while place < len(text):
        if text[place] == "\\" and opening in "\"'":
            place += 1
        elif text[place] == closing and (depth == 1 or opening == closing) and place > at:
            return text[at : place + 1]
        elif text[place] == opening and opening != closing:
            depth += 1
        elif text[place] == closing and opening != closing:
            depth -= 1
        place += 1
    raise ValueError(f"{text[at : at + 20]!r} is not closed by {closing!r}")


def _value(text: str) -> Any:
    if text.startswith("_JSON"):
        try:
            value = json.loads(text[5:])
        except ValueError as error:
            raise ValueError(f"{text[:40]!r} is no JSON: {error}") from error
        array = np.array(value) if isinstance(value, list) else value
        return array if isinstance(array, np.ndarray) and array.dtype.kind in "ifb" else value
    words = re.findall(r"[^\s,\[\]]+", text) if text[:1] == "[" else re.findall(r"[^\s,]+", text)
    if not words:
        return text
    if all(word in _TRUTH for word in words):
        truth = [_TRUTH[word] for word in words]
        return truth[0] if len(truth) == 1 else truth
    numbers = _floats(words)
    if numbers is None:
        return text
    if all(re.fullmatch(r"[+-]?\d{1,18}", word) for word in words):
        numbers = np.array(words, dtype=np.int64)
    return numbers[0] if len(words) == 1 else numbers


def _floats(words: Sequence[str]) -> npt.NDArray[Any] | None:
    """Return words as numbers, with exponents of Fortran too; None if one is none."""
    if any("_" in word for word in words):  # which Python allows between digits
        return None
    try:
        return np.array(words, dtype=np.float64)
    except ValueError:
        pass
    try:
        return np.array([_FORTRAN.sub("e", word) for word in words], dtype=np.float64)
    except ValueError:
        return None


def _is_numeric(value: Any) -> bool:
    return not isinstance(value, str | bool | Mapping) and np.asarray(value).dtype.kind in "iuf"


def _cell_of(info: dict[str, Any], vectors: Sequence[Sequence[str]], start: int) -> tuple[Any, Any]:
    """Return the cell, None without one, and along which vectors it repeats; both are taken out of the keys."""
    cell: Any
    if vectors:
        cell = np.zeros((3, 3))
        for place, words in enumerate(vectors):
            row = _floats(words[1:])
            if place > 2 or words[0] != f"VEC{place + 1}" or row is None or len(row) != 3:
                raise ValueError(f"the structure from line {start} on: {' '.join(words)!r} is no lattice vector")
            cell[place] = row
        return cell, [place < len(vectors) for place in range(3)]
    taken = {key.lower(): info.pop(key) for key in list(info) if key.lower() in ("lattice", "pbc")}
    cell = taken.get("lattice")
    others = [key for key in info if key.lower() in _OTHER_CELLS and np.size(info[key]) == 9]
    if cell is None and others:  # else a crystal would be a molecule
        raise ValueError(f"line {start + 1}: {others[0]} has nine numbers, but a cell is told by Lattice")
    if cell is not None:
        cell = np.asarray(cell, dtype=np.float64) if _is_numeric(cell) else None
        if cell is None or cell.shape not in ((9,), (3,), (3, 3)):
            raise ValueError(f"line {start + 1}: Lattice must have nine numbers, got {_shown(taken['lattice'])}")
        cell = np.diag(cell) if cell.shape == (3,) else cell.reshape(3, 3)
    pbc = taken.get("pbc", cell is not None)
    if np.shape(pbc) not in ((), (3,)) or isinstance(pbc, str) or set(np.ravel(pbc).tolist()) - {0, 1}:
        raise ValueError(f"line {start + 1}: pbc must have three truth values, got {_shown(pbc)}")
    for key in info:
        if key.lower() in _OTHER_PERIODS and not _agrees(info[key], pbc):
            raise ValueError(
                f"line {start + 1}: {key} is {_shown(info[key])}, but whether a cell repeats is told by pbc"
            )
    return cell, np.broadcast_to(np.asarray(pbc, dtype=bool), 3)


def _agrees(value: Any, pbc: Any) -> bool:
    """Return whether a key that tells where a structure repeats, if it does, says the same as pbc."""
    return np.asarray(value).dtype.kind != "b" or bool(np.all(np.asarray(value) == np.asarray(pbc, dtype=bool)))


def _shown(value: Any) -> str:
    return repr(value.tolist() if isinstance(value, np.ndarray | np.generic) else value)[:60]


def _columns(text: str, start: int) -> list[tuple[str, str, int]]:
    """Return name, type and width of each of the columns that Properties tells."""
    parts = text.split(":")
    found = []
    for name, kind, count in zip(parts[::3], parts[1::3], parts[2::3], strict=False):
        if kind not in tuple("RISL") or not re.fullmatch(r"[1-9]\d{0,3}", count) or not name:
            break
        found.append((_NAMES.get(name.lower(), name), kind, int(count)))
    names = [name for name, _, _ in found]
    if 3 * len(found) != len(parts) or len(set(names)) != len(names):
        raise ValueError(
            f"line {start + 1}: Properties must be like {_PLAIN!r} with different names, got {text[:80]!r}"
        )
    return found


def _arrays(columns: Sequence[tuple[str, str, int]], rows: Sequence[Sequence[str]], start: int) -> dict[str, Any]:
    arrays: dict[str, Any] = {}
    first = 0
    for name, kind, count in columns:
        words = [row[first : first + count] for row in rows]
        flat = [word for row in words for word in row]
        array: Any
        if kind == "S" or name in ("symbols", "numbers"):
            array = np.array(flat, dtype=object)
        elif kind == "L":
            array = np.array([_TRUTH.get(word, {"1": True, "0": False}.get(word)) for word in flat], dtype=object)
            array = array.astype(bool) if None not in array else None
        else:
            array = _floats(flat)
            if kind == "I" and array is not None:
                array = array.astype(np.int64) if (array == np.round(array)).all() else None
        if array is None:
            for line, row in enumerate(words, start + 2):
                if any(_floats([word]) is None for word in row):
                    raise ValueError(
                        f"line {line}: {name} must be {'numbers' if kind in 'RI' else 'T or F'}, got {' '.join(row)!r}"
                    )
            raise ValueError(
                f"the structure from line {start} on: {name} must be {'integers' if kind == 'I' else 'T or F'}"
            )
        arrays[name] = array if count == 1 else array.reshape(len(rows), count)
        first += count
    return arrays


def _numbers(arrays: dict[str, Any], comment: str, start: int) -> list[int]:
    """Return the atomic numbers, and take what tells them out of the arrays."""
    given = [arrays.pop(name) for name in ("symbols", "numbers") if name in arrays]
    if not given:
        raise ValueError(f"line {start + 1}: Properties must have species:S:1 or Z:I:1")
    found = []
    for words in given:
        numbers = []
        for line, word in enumerate(words, start + 2):
            try:
                numbers.append(element_of_label(word))
            except ValueError as error:
                raise ValueError(f"line {line}: {error}") from None
        found.append(numbers)
    if found[0] != found[-1]:
        at = next(i for i, pair in enumerate(zip(*found, strict=True)) if len(set(pair)) > 1)
        first, second = (chemical_symbols[numbers[at]] for numbers in found)
        raise ValueError(f"line {start + 2 + at}: the symbol is {first}, but the atomic number that of {second}")
    if all(str(word).isdecimal() for word in given[0]):
        kinds = sorted(set(found[0]))
        if comment.startswith("Atoms. Timestep") or (len(kinds) > 1 and kinds == list(range(1, len(kinds) + 1))):
            raise ValueError(
                f"the structure from line {start} on has {', '.join(map(str, kinds))} for elements: these look like "
                "the types of a simulation (LAMMPS), not like atomic numbers; write symbols"
            )
    return found[0]
