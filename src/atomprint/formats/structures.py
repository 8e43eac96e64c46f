"""Structures from what files hold: texts, dictionaries and paths, to plain ASE Atoms."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from ase.geometry import cellpar_to_cell

from atomprint.chemistry.formula import element_of_label
from atomprint.formats.cif import crystal_of_cif, crystals_of_cif, is_cif
from atomprint.formats.judge import check_distances, check_occupancies
from atomprint.formats.opening import BROKEN, decode, open_binary, plain_name, read_text
from atomprint.formats.poscar import is_poscar, read_poscar
from atomprint.formats.pymatgen_dict import read_pymatgen_dict
from atomprint.formats.vectors import periods, vectors
from atomprint.formats.xyz import read_xyz_frame, split_xyz
from atomprint.util.text import in_words

_POSCAR = re.compile(r"(POSCAR|CONTCAR)([^a-z]|$)|.*[._-](POSCAR|CONTCAR)$", re.IGNORECASE)


def atoms_of(raw: Any, folder: Path | None = None, *, allow_close: bool = False) -> Any:
    """Return a structure of any form as Atoms; an object of another package is returned as it is.

    Parameters
    ----------
    raw : object
        ASE ``Atoms``; a pymatgen object, or the dictionary of one (``as_dict``) or its JSON text; attributes of an
        OPTIMADE structure; a dictionary of JARVIS atoms; the text of a CIF, POSCAR or xyz file; or the path of a file.
    folder : Path or None
        Where relative paths start.
    allow_close : bool
        Whether atoms may be nearer than any in matter.

    Raises
    ------
    ValueError
        If it is no structure, is disordered, or has atoms that are too close, see
        :func:`~atomprint.formats.judge.check_distances`. Whether descriptors could use it is not looked at else.
    """
    if raw is None:
        raise ValueError("there is no structure")
    if isinstance(raw, bytes):
        raw = decode(raw)
    if isinstance(raw, str) and is_cif(raw):
        return crystal_of_cif(raw, allow_close=allow_close)  # judges by itself, with the names of sites
    if isinstance(raw, str):
        raw = _of_text(raw, folder, allow_close)
    elif isinstance(raw, Mapping):
        raw = _of_mapping(raw)
    if isinstance(raw, Atoms) and not allow_close:
        _judge(raw)
    return raw


def _judge(atoms: Atoms) -> None:
    """Raise if atoms are too close or nowhere; what has no volume, and is no element, is left to who uses it."""
    cell, pbc = atoms.cell.array, atoms.pbc
    if not len(atoms):
        return
    if not (finite := np.isfinite(atoms.positions).all(axis=1)).all():
        atom = int(np.argmin(finite))
        raise ValueError(f"atom {atom}: position must be finite, got {atoms.positions[atom].tolist()}")
    if not np.isfinite(cell).all():
        raise ValueError(f"cell must be finite, got {cell.tolist()}")
    if not 1 <= atoms.numbers.min() <= atoms.numbers.max() < len(chemical_symbols) or (
        pbc.any() and not abs(np.linalg.det(cell)) > 0
    ):
        return
    if max(np.abs(atoms.positions).max(), np.abs(cell).max()) < 1e7:
        check_distances(atoms.numbers, atoms.positions, cell, pbc)


def frames_of_file(path: Path, *, allow_close: bool = False) -> Iterator[Atoms]:
    """Yield the structures in a file, with what it says of them in their info, calculators and arrays.

    Raises
    ------
    ValueError
        If the file cannot be read up to its end.
    """
    if reader_of(path.name) is not None:
        yield from frames_of_text(path.name, read_text(path), allow_close=allow_close)
        return
    from ase.io import iread
    from ase.io.formats import UnknownFileTypeError

    claimed = _claimed(path)
    _check_dump(path)
    done = 0
    try:
        for atoms in iread(path, index=":"):
            if done == 0 and claimed not in (None, len(atoms)):
                raise ValueError(f"its head says that it has {claimed} atoms, but there are {len(atoms)}")
            yield atoms
            done += 1
    except UnknownFileTypeError as error:
        raise ValueError(f"{path.name} is of a kind that ASE cannot read") from error
    except Exception as error:  # ASE's readers raise whatever they meet
        raise ValueError(
            f"{path.name}: ASE cannot read structure {done}, nor what comes after it: {in_words(error)}"
        ) from error


# Where files of other kinds say how many atoms they have: ASE believes it before it has seen them, or does not look.
_COUNTS: Mapping[str, re.Pattern[str]] = {
    ending: re.compile(pattern)
    for ending, pattern in (
        (".gro", r"[^\n]*\n\s*(\d+)"),
        (".gen", r"\s*(\d+)"),
        (".cube", r"[^\n]*\n[^\n]*\n\s*-?(\d+)"),
        (".cfg", r"Number of particles\s*=\s*(\d+)"),
        (".xsf", r"(?:[^\n]*\n)*?\s*PRIMCOORD[^\n]*\n\s*(\d+)"),
    )
}


def _claimed(path: Path) -> int | None:
    """Return how many atoms the head of a file says that it has, or raise if these are more than it has bytes."""
    pattern = _COUNTS.get(Path(plain_name(path.name)).suffix.lower())
    if pattern is None:
        return None
    try:
        with open_binary(path) as file:
            found = pattern.match(decode(file.read(5000)))
    except BROKEN as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from error
    if found is None:
        return None
    if len(found[1]) > 18 or (plain_name(path.name) == path.name and int(found[1]) > path.stat().st_size):
        raise ValueError(f"{path.name} says that it has {found[1][:20]} atoms, and is too short for these")
    return int(found[1])


def dump_without_units(path: Path) -> bool:
    """Return whether a file is a dump of LAMMPS that does not say its units."""
    lines = _head_of_dump(path)
    return bool(lines) and "ITEM: UNITS" not in lines


def _head_of_dump(path: Path) -> list[str]:
    """Return the first lines of a dump of LAMMPS; none of another file."""
    try:
        with open_binary(path) as file:
            start = file.read(20000)
    except BROKEN as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from error
    if not start.startswith((b"ITEM: TIMESTEP", b"ITEM: UNITS", b"ITEM: TIME")):
        return []
    return decode(start).splitlines()


def _check_dump(path: Path) -> None:
    """Raise for a dump of LAMMPS without elements, of which ASE makes the types atomic numbers, or in other units."""
    lines = _head_of_dump(path)
    units = next((after.strip() for line, after in pairwise(lines) if line == "ITEM: UNITS"), "metal")
    if units != "metal":
        raise ValueError(f"{path.name} is in LAMMPS' units {units!r}, and only those of 'metal' are read")
    columns = next((line.split()[2:] for line in lines if line.startswith("ITEM: ATOMS")), None)
    if columns and not {"element", "mass"} & {*columns}:
        raise ValueError(
            f"{path.name} has types of atoms and no elements: let LAMMPS write these (dump_modify element), got the "
            f"columns {', '.join(columns)}"
        )


def frames_of_text(name: str, text: str, *, allow_close: bool = False) -> list[Atoms]:
    """Return the structures in the text of a file with a given name; see :func:`frames_of_file`."""
    reader = reader_of(name)
    if reader is crystals_of_cif:
        return crystals_of_cif(text, allow_close=allow_close)
    if reader is not None:
        return reader(text)
    from ase.io import read
    from ase.io.formats import filetype

    try:
        return list(read(StringIO(text), index=":", format=filetype(plain_name(name), read=False)))
    except Exception as error:
        raise ValueError(f"{name}: ASE cannot read this: {in_words(error)}") from error


def is_poscar_name(name: str) -> bool:
    """Return whether a file without an ending that tells is a POSCAR or CONTCAR by its name."""
    return _POSCAR.match(name) is not None


def reader_of(name: str) -> Callable[[str], list[Atoms]] | None:
    """Return what reads the text of a file of a given name; None if that is left to ASE."""
    plain = plain_name(name)
    ending = Path(plain).suffix.lower()
    if ending in (".xyz", ".extxyz"):
        return lambda text: [read_xyz_frame(frame) for frame in split_xyz(text.splitlines(keepends=True))]
    if ending == ".cif":
        return crystals_of_cif
    if ending == ".json":
        return lambda text: [_of_mapping(mapping_of_text(text.strip()))]
    if ending in (".vasp", ".poscar", ".contcar") or is_poscar_name(plain):
        return lambda text: [read_poscar(text)]
    return None


def _of_text(text: str, folder: Path | None, allow_close: bool) -> Any:
    stripped = text.strip()
    if stripped.startswith("{"):
        return _of_mapping(mapping_of_text(stripped))
    if "\n" in stripped:
        if is_poscar(text.lstrip("\ufeff")):
            return read_poscar(text)
        if stripped.startswith(("Full Formula", "Structure Summary", "Molecule Summary", "Atoms(")):
            return _of_summary(stripped)
        if stripped.split("\n", 1)[0].strip().isdecimal():
            return _only([read_xyz_frame(frame) for frame in split_xyz(stripped.splitlines())], "this text")
        raise ValueError(f"this text is no CIF, POSCAR, xyz or JSON: {stripped[:60]!r}")
    if stripped.startswith("Atoms("):
        return _of_summary(stripped)
    path = (folder or Path()) / stripped
    try:
        there = bool(stripped) and path.is_file()
    except (OSError, ValueError):  # too long for a name, or with a null byte
        there = False
    if not there:
        raise ValueError(f"this is neither a structure nor the path of a file: {stripped[:80]!r}")
    return _only(list(frames_of_file(path, allow_close=allow_close)), path.name)


def mapping_of_text(text: str) -> Mapping[str, Any]:
    """Return a dictionary from JSON, or from what Python prints for one, as pandas writes it into a cell.

    Raises
    ------
    ValueError
        If it is neither.
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        try:
            found = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise ValueError(f"this is no JSON: {error}") from error
    except RecursionError:
        raise ValueError("this JSON is nested too deeply") from None
    if not isinstance(found, Mapping):
        raise ValueError(f"this must be a dictionary, got {text[:60]!r}")
    return found


_SUMMARY = re.compile(
    r"abc +:((?: +[-\d.]+){3})\nangles *:((?: +[-\d.]+){3})\n(?:pbc +:((?: +(?:True|False)){3})\n)?.*?"
    r"Sites \((\d+)\)\n *# +SP +a +b +c.*\n[- ]+\n(.*)",
    re.DOTALL,
)


def _of_summary(text: str) -> Atoms:
    """Return the crystal from what pymatgen prints for it, with six decimals."""
    found = _SUMMARY.search(text)
    if not text.startswith("Full Formula") or found is None:
        raise ValueError(
            f"this is what Python prints for a structure, without all of it: {text[:40]!r}; "
            "write its as_dict() as JSON, or a CIF"
        )
    abc, angles, pbc, count, sites = found.groups()
    rows = [line.split() for line in sites.splitlines() if line.strip()]
    if len(rows) != int(count) or any(row[0] != str(at) for at, row in enumerate(rows)):
        raise ValueError(f"this structure says that it has {count} sites, and shows {len(rows)}")
    if any(":" in row[1] or not _is_coordinates(row[2:5]) for row in rows):
        raise ValueError("this structure is disordered: a site holds several species")
    cell = cellpar_to_cell([*map(float, abc.split()), *map(float, angles.split())])
    positions = np.array([row[2:5] for row in rows], dtype=np.float64) @ cell
    numbers = [element_of_label(row[1]) for row in rows]
    return Atoms(numbers, positions, cell=cell, pbc=[word == "True" for word in pbc.split()] if pbc else True)


def _is_coordinates(words: Sequence[str]) -> bool:
    return len(words) == 3 and all(re.fullmatch(r"-?\d+\.?\d*(e-\d+)?", word) for word in words)


def _only(frames: Sequence[Atoms], name: str) -> Atoms:
    if len(frames) != 1:
        raise ValueError(f"{name} must hold one structure, got {len(frames)}")
    return frames[0]


def is_structure_dict(raw: Mapping[str, Any]) -> bool:
    """Return whether a dictionary has the keys of a structure, in a form that :func:`atoms_of` takes."""
    return any(keys <= raw.keys() for keys, _ in _DICTIONARIES) and isinstance(raw.get("sites", []), list)


def _of_mapping(raw: Mapping[str, Any]) -> Atoms:
    for keys, make in _DICTIONARIES:
        if keys <= raw.keys():
            try:
                return make(raw)
            except KeyError as error:
                raise ValueError(f"this dictionary is no structure: it has no {error.args[0]!r}") from None
            except (TypeError, IndexError, AttributeError, OverflowError):
                what = ", ".join(sorted(keys))
                raise ValueError(f"this dictionary is no structure: {what} hold something else") from None
    raise ValueError(
        f"a dictionary of a structure must be of pymatgen, OPTIMADE or JARVIS, or of ASE, got the keys {list(raw)[:10]}"
    )


def _of_pymatgen(raw: Mapping[str, Any]) -> Atoms:
    numbers, positions, cell, pbc = read_pymatgen_dict(raw)
    return Atoms(numbers, positions, cell=cell, pbc=pbc)


def _of_optimade(raw: Mapping[str, Any]) -> Atoms:
    """Return the structure of an OPTIMADE entry (specification 1.1, section 7.2) by its attributes."""
    strange = {"disorder", "implicit_atoms", "assemblies"} & set(raw.get("structure_features") or ())
    if strange:
        raise ValueError(f"this structure is not one set of atoms: its structure_features are {sorted(strange)}")
    symbols_of = {}
    for species in raw.get("species") or ():
        shares = {
            symbol: _number(share, "concentration")
            for symbol, share in zip(species["chemical_symbols"], species["concentration"], strict=False)
        }
        if species.get("attached"):
            raise ValueError(
                f"species {species['name']!r} has {species['attached']} attached, whose places are not given"
            )
        symbols_of[species["name"]] = check_occupancies(f"species {species['name']!r}", shares)
    symbols = [symbols_of.get(name, name) for name in raw["species_at_sites"]]
    numbers = _numbers(symbols)
    given = raw.get("lattice_vectors") or [[None] * 3] * 3
    cell = vectors([[0.0 if x is None else x for x in vector] for vector in given], 3, "lattice_vectors")
    dimensions = raw.get("dimension_types")
    pbc = periods(dimensions, "dimension_types") if dimensions is not None else cell.any(axis=1)
    positions = vectors(raw["cartesian_site_positions"], len(numbers), "cartesian_site_positions")
    return Atoms(numbers=numbers, positions=positions, cell=cell, pbc=pbc)


def _of_jarvis(raw: Mapping[str, Any]) -> Atoms:
    """Return atoms in the form of JARVIS-DFT, ``jarvis.core.atoms.Atoms.to_dict``."""
    numbers = _numbers(raw["elements"])
    cell = vectors(raw["lattice_mat"], 3, "lattice_mat")
    positions = vectors(raw["coords"], len(numbers), "coords")
    return Atoms(
        numbers=numbers, positions=positions if raw.get("cartesian") else positions @ cell, cell=cell, pbc=True
    )


def _number(value: Any, what: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{what} must be a number, got {repr(value)[:40]}") from None


def _numbers(symbols: Iterable[str]) -> list[int]:
    return [element_of_label(symbol) for symbol in symbols]


def _of_ase(raw: Mapping[str, Any]) -> Atoms:
    """Return atoms from the dictionary that ASE's ``Atoms.todict`` gives."""
    try:
        numbers = np.asarray(raw["numbers"])
    except ValueError:  # lists of different lengths
        numbers = np.zeros(0)
    if numbers.dtype.kind not in "iu" or numbers.ndim != 1:
        raise ValueError(f"numbers must be a list of integers, got {raw['numbers']!r:.60}")
    positions = vectors(raw["positions"], len(numbers), "positions")
    cell = None if raw.get("cell") is None else vectors(raw["cell"], 3, "cell")
    pbc = raw.get("pbc", False)
    return Atoms(numbers, positions=positions, cell=cell, pbc=pbc if isinstance(pbc, bool) else periods(pbc))


_DICTIONARIES: tuple[tuple[frozenset[str], Callable[[Mapping[str, Any]], Atoms]], ...] = (
    (frozenset(("sites",)), _of_pymatgen),
    (frozenset(("cartesian_site_positions", "species_at_sites")), _of_optimade),
    (frozenset(("lattice_mat", "coords", "elements")), _of_jarvis),
    (frozenset(("numbers", "positions")), _of_ase),
)
