"""Structures from what files hold: texts, dictionaries and paths, to plain ASE Atoms."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from atomprint.chemistry.formula import atomic_number
from atomprint.formats.cif import crystal_of_cif, crystals_of_cif
from atomprint.formats.opening import plain_name, read_text
from atomprint.formats.pymatgen_dict import read_pymatgen_dict


def atoms_of(raw: Any, folder: Path | None = None) -> Any:
    """Return a structure of any form as Atoms; an object of another package is returned as it is.

    Parameters
    ----------
    raw : object
        ASE ``Atoms``; a pymatgen object, or the dictionary of one (``as_dict``) or its JSON text; attributes of an
        OPTIMADE structure; a dictionary of JARVIS atoms; the text of a CIF, POSCAR or xyz file; or the path of a file.
    folder : Path or None
        Where relative paths start.

    Raises
    ------
    ValueError
        If it is no structure, or is disordered. Whether descriptors could use it is not looked at.
    """
    if raw is None:
        raise ValueError("there is no structure")
    if isinstance(raw, bytes):
        raw = raw.decode()
    if isinstance(raw, str):
        return _of_text(raw, folder)
    return _of_mapping(raw) if isinstance(raw, Mapping) else raw


def frames_of_file(path: Path) -> Iterator[Atoms]:
    """Yield the structures in a file as ASE reads them, with their calculators and arrays.

    Raises
    ------
    ValueError
        If the file cannot be read up to its end.
    """
    from ase.io import iread

    name = plain_name(path.name).lower()
    if name.endswith((".cif", ".xyz", ".extxyz")):
        yield from frames_of_text(path.name, read_text(path))
        return
    done = 0
    try:
        for atoms in iread(path, index=":"):
            yield atoms
            done += 1
    except Exception as error:  # ASE's readers raise whatever they meet
        raise ValueError(
            f"{path.name}: ASE cannot read structure {done}, nor what comes after it: {error!r}"
        ) from error


def frames_of_text(name: str, text: str) -> list[Atoms]:
    """Return the structures in the text of a file with a given name; see :func:`frames_of_file`."""
    from ase.io import read
    from ase.io.formats import filetype

    plain = plain_name(name).lower()
    if plain.endswith(".cif"):
        return crystals_of_cif(text)
    if plain.endswith((".xyz", ".extxyz")):
        return [frame_of_xyz(frame) for frame in split_xyz(text.splitlines(keepends=True))]
    try:
        return list(read(StringIO(text), index=":", format=filetype(plain_name(name), read=False)))
    except Exception as error:
        raise ValueError(f"{name}: ASE cannot read this: {error!r}") from error


def split_xyz(lines: Iterable[str]) -> Iterator[str]:
    """Yield the text of each frame of an xyz file, given its lines.

    Raises
    ------
    ValueError
        If a line that must hold a number of atoms does not, or the last frame is cut short. Where one frame is
        broken, nobody can tell where the next begins.
    """
    numbered = enumerate(lines, 1)
    frame: list[str] = []
    wanted = start = 0
    for number, line in numbered:
        # Lattice vectors after the atoms, in a form that ASE reads.
        if len(frame) < wanted or (frame and line.lstrip().startswith("VEC")):
            frame.append(line)
            continue
        if frame:
            yield "".join(frame)
            frame = []
        if not line.strip():
            if any(rest.strip() for _, rest in numbered):
                raise ValueError(f"line {number} must be the number of atoms of a structure, got an empty line")
            break
        if not line.strip().isdecimal():
            raise ValueError(f"line {number} must be the number of atoms of a structure, got {line.strip()[:40]!r}")
        frame, wanted, start = [line], int(line) + 2, number
    if len(frame) < wanted and frame:
        raise ValueError(f"the structure from line {start} on must have {wanted - 2} atoms, but the file ends before")
    if frame:
        yield "".join(frame)


def frame_of_xyz(text: str) -> Atoms:
    """Return the structure in the text of one frame of a plain or extended xyz file."""
    from ase.io.extxyz import read_xyz

    try:
        (atoms,) = read_xyz(StringIO(text), slice(None))
    except Exception as error:  # ASE's readers raise whatever they meet
        raise ValueError(f"this is no xyz that ASE can read: {error!r}") from error
    return atoms


def _of_text(text: str, folder: Path | None) -> Any:
    stripped = text.strip()
    if stripped.startswith("{"):
        try:
            return _of_mapping(json.loads(stripped))
        except json.JSONDecodeError as error:
            raise ValueError(f"this is no JSON: {error}") from error
    if "_cell_length_a" in stripped or stripped.startswith("data_"):
        return crystal_of_cif(text)
    first, newline, _ = stripped.partition("\n")
    if newline:
        return _only(frames_of_text("text.xyz" if first.strip().isdecimal() else "POSCAR", text), "this text")
    path = (folder or Path()) / stripped
    if not stripped or not path.is_file():
        raise ValueError(f"this is neither a structure nor the path of a file: {stripped[:80]!r}")
    return _only(list(frames_of_file(path)), path.name)


def _only(frames: Sequence[Atoms], name: str) -> Atoms:
    if len(frames) != 1:
        raise ValueError(f"{name} must hold one structure, got {len(frames)}")
    return frames[0]


def _of_mapping(raw: Mapping[str, Any]) -> Atoms:
    for keys, make in (
        ({"sites"}, _of_pymatgen),
        ({"cartesian_site_positions", "species_at_sites"}, _of_optimade),
        ({"lattice_mat", "coords", "elements"}, _of_jarvis),
    ):
        if keys <= raw.keys():
            try:
                return make(raw)
            except (KeyError, TypeError, IndexError, AttributeError) as error:
                raise ValueError(f"this dictionary is no structure: {error!r}") from error
    raise ValueError(f"a dictionary of a structure must be of pymatgen, OPTIMADE or JARVIS, got the keys {list(raw)}")


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
        symbols, shares = species["chemical_symbols"], species["concentration"]
        if len(symbols) != 1 or abs(float(shares[0]) - 1) > 1e-3:
            parts = dict(zip(symbols, shares, strict=False))
            raise ValueError(f"this structure is disordered: species {species['name']!r} is {parts}")
        symbols_of[species["name"]] = symbols[0]
    symbols = [symbols_of.get(name, name) for name in raw["species_at_sites"]]
    vectors = raw.get("lattice_vectors") or [[None] * 3] * 3
    cell = np.array([[0.0 if x is None else x for x in vector] for vector in vectors], dtype=np.float64)
    periods = raw.get("dimension_types")
    pbc = [bool(x) for x in periods] if periods is not None else cell.any(axis=1)
    return Atoms(numbers=_numbers(symbols), positions=raw["cartesian_site_positions"], cell=cell, pbc=pbc)


def _of_jarvis(raw: Mapping[str, Any]) -> Atoms:
    """Return atoms in the form of JARVIS-DFT, ``jarvis.core.atoms.Atoms.to_dict``."""
    cell = np.array(raw["lattice_mat"], dtype=np.float64)
    positions = np.array(raw["coords"], dtype=np.float64).reshape(-1, 3)
    positions = positions if raw.get("cartesian") else positions @ cell
    return Atoms(numbers=_numbers(raw["elements"]), positions=positions, cell=cell, pbc=True)


def _numbers(symbols: Iterable[str]) -> list[int]:
    return [atomic_number(symbol.strip()) for symbol in symbols]
