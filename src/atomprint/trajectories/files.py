"""Frames of trajectories, read one after the other: extended xyz, XDATCAR, dumps of LAMMPS, and what ASE reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers
from ase.units import fs

from atomprint.formats.opening import BROKEN, open_text, plain_name
from atomprint.formats.xyz import read_xyz_frame, split_xyz
from atomprint.util.types import FloatArray
from atomprint.util.validation import check_choice, species_number

FORMATS = ("extxyz", "traj", "xdatcar", "lammps")
_SYSTEMS = {"metal": 1e-3 / fs, "real": 1 / fs}  # Å of both; Å/ps and Å/fs in ASE's units of velocity
_POSITIONS = (("xu", "yu", "zu"), ("xsu", "ysu", "zsu"), ("x", "y", "z"), ("xs", "ys", "zs"))


def format_of(path: Path) -> str | None:
    """Return which of the formats a file has, by its name and its first line; None for others."""
    name = plain_name(path.name).lower()
    if name.endswith((".xyz", ".extxyz")):
        return "extxyz"
    if name.endswith(".traj"):
        return "traj"
    if name.startswith("xdatcar"):
        return "xdatcar"
    if path.is_file():
        with open_text(path) as file:
            if file.read(5) == "ITEM:":
                return "lammps"
    return None


def frames_of(
    path: Path, format: str | None, species: Sequence[str | int] | None, units: str | None
) -> Iterator[Atoms]:
    """Yield the frames of a file, with their steps in ``info["step"]`` where it has them.

    Parameters
    ----------
    path : Path
        The file; it may be compressed.
    format : str, optional
        One of :data:`FORMATS`. Default: told by the file; what is none of them is left to ASE.
    species, units
        See :class:`~atomprint.trajectories.Trajectory`.

    Raises
    ------
    ValueError
        If a frame is broken; the message names it.
    """
    kind = format_of(path) if format is None else check_choice("format", format, FORMATS)
    if kind != "lammps":
        for name, value in (("species", species), ("units", units)):
            if value is not None:
                raise ValueError(f"{name} is for dumps of LAMMPS, got {value!r} for {path.name}")
    done = 0
    try:
        if kind in (None, "traj"):
            from ase.io import iread

            for atoms in iread(path, index=":", format=kind):
                yield atoms
                done += 1
            return
        with open_text(path) as file:
            for atoms in _of_lammps(file, species, units) if kind == "lammps" else _READERS[str(kind)](file):
                yield atoms
                done += 1
    except (*BROKEN, Exception) as error:  # ASE's readers raise whatever they meet
        if isinstance(error, FileNotFoundError | PermissionError):
            raise
        raise ValueError(f"{path.name}, frame {done}: {error}") from error


def _of_xyz(file: IO[str]) -> Iterator[Atoms]:
    for frame in split_xyz(file):
        yield read_xyz_frame(frame)


def _of_xdatcar(file: IO[str]) -> Iterator[Atoms]:
    """Yield frames of VASP's file: a head, again before each frame where the cell changes, and fractions of it."""
    symbols: list[str] = []
    cell = np.zeros((3, 3))
    while line := file.readline():
        if not line.strip():
            if any(rest.strip() for rest in file):
                raise ValueError("an empty line where a frame must begin")
            return
        if "configuration" not in line.lower():
            head = [file.readline().split() for _ in range(6)]
            scale, vectors, names, counts = head[0], head[1:4], head[4], head[5]
            try:
                cell = np.array(vectors, dtype=np.float64)
                factor = float(scale[0])
                numbers = [int(count) for count in counts]
            except (ValueError, IndexError):
                raise ValueError(f"the head after {line.strip()[:40]!r} is broken") from None
            if cell.shape != (3, 3) or len(numbers) != len(names) or not names:
                raise ValueError(f"the head after {line.strip()[:40]!r} is broken")
            cell *= factor if factor > 0 else (-factor / abs(np.linalg.det(cell))) ** (1 / 3)  # then it is a volume
            elements = [name.split("_")[0].split("/")[0] for name in names]
            symbols = [element for element, n in zip(elements, numbers, strict=True) for _ in range(n)]
            line = file.readline()
        if not symbols or not line.strip().lower().startswith(("direct", "cartesian")):
            raise ValueError(f"a frame must begin with 'Direct configuration', got {line.strip()[:40]!r}")
        fractions = _numbers_of(file, len(symbols), 3)
        if line.strip().lower().startswith("cartesian"):
            yield Atoms(symbols, positions=fractions, cell=cell, pbc=True)
        else:
            yield Atoms(symbols, positions=fractions @ cell, cell=cell, pbc=True)


def _numbers_of(file: IO[str], n_lines: int, n_columns: int) -> FloatArray:
    """Return the first numbers of the next lines."""
    rows = [line.split()[:n_columns] for line in islice(file, n_lines)]
    if len(rows) < n_lines or any(len(row) < n_columns for row in rows):
        raise ValueError(f"it ends within its {n_lines} atoms, or has less than {n_columns} numbers for one")
    return np.array(rows, dtype=np.float64)


def _of_lammps(file: IO[str], species: Sequence[str | int] | None, given: str | None) -> Iterator[Atoms]:
    """Yield frames of a dump as text: positions of any kind, followed across the cell where there are images."""
    items: dict[str, list[str]] = {}
    system = given
    while line := file.readline():
        if not line.startswith("ITEM:"):
            if not line.strip():
                continue
            raise ValueError(f"a line must begin with ITEM:, got {line.strip()[:40]!r}")
        words = line.split()
        name = " ".join(word for word in words[1:] if word.isupper() or word == "OF")
        if name == "ATOMS":
            n_atoms = int(items["NUMBER OF ATOMS"][0])
            rows = [row.split() for row in islice(file, n_atoms)]
            if len(rows) < n_atoms or any(len(row) < len(words) - 2 for row in rows):
                raise ValueError(f"it ends within its {n_atoms} atoms")
            yield _of_dump(items, words[2:], rows, species, _system(system))
            continue
        count = 3 if name == "BOX BOUNDS" else 1
        items[name] = [row.strip() for row in islice(file, count)]
        if len(items[name]) < count:
            raise ValueError(f"it ends within {name}")
        if name == "BOX BOUNDS":
            items["BOUNDARIES"] = words[3:]
        if name == "UNITS":
            told = items["UNITS"][0]
            if given is not None and told != given:
                raise ValueError(f"units must be those of the file, {told!r}, got {given!r}")
            system = told


def _system(units: str | None) -> str:
    if units not in _SYSTEMS:
        told = "the file does not tell its units" if units is None else f"units {units!r} are not read"
        raise ValueError(f"{told}: give units=, one of {', '.join(map(repr, _SYSTEMS))}")
    return units


def _of_dump(
    items: dict[str, list[str]], columns: list[str], rows: list[list[str]], species: Any, system: str
) -> Atoms:
    """Return one frame of a dump, its atoms in the order of their ids."""
    table = {name: [row[k] for row in rows] for k, name in enumerate(columns)}

    def numbers(*names: str) -> FloatArray:
        return np.array([table[name] for name in names], dtype=np.float64).T

    cell, origin, pbc = _box(items)
    found = next((names for names in _POSITIONS if table.keys() >= {*names}), None)
    if found is None:
        raise ValueError(f"it has no positions, but the columns {', '.join(columns)}")
    positions = numbers(*found)
    if found[0].startswith("xs"):
        positions = positions @ cell  # fractions are of the cell, from its origin
    else:
        positions -= origin
    if "u" not in found[0] and table.keys() >= {"ix", "iy", "iz"}:
        positions += numbers("ix", "iy", "iz") @ cell
    atoms = Atoms(_elements(table, species), positions=positions, cell=cell, pbc=pbc)
    if "mass" in table:
        atoms.set_masses(numbers("mass")[:, 0])
    if table.keys() >= {"vx", "vy", "vz"}:
        atoms.set_velocities(numbers("vx", "vy", "vz") * _SYSTEMS[system])
    if "id" in table:
        order = np.argsort(np.array(table["id"], dtype=np.int64), kind="stable")
        atoms = atoms[order]
    atoms.info["step"] = int(items["TIMESTEP"][0])
    return atoms


def _box(items: dict[str, list[str]]) -> tuple[FloatArray, FloatArray, list[bool]]:
    """Return cell, origin and periodicity; of a skewed cell LAMMPS tells the bounds of what it fills."""
    labels = items["BOUNDARIES"]
    bounds = np.array([row.split() for row in items["BOX BOUNDS"]], dtype=np.float64)
    pbc = [label == "pp" for label in labels[-3:]]
    if labels[:2] == ["abc", "origin"]:
        return bounds[:, :3], bounds[:, 3], pbc
    low, high = bounds[:, 0].copy(), bounds[:, 1].copy()
    cell = np.zeros((3, 3))
    if bounds.shape[1] == 3:
        xy, xz, yz = bounds[:, 2]
        low[0] -= min(0.0, xy, xz, xy + xz)
        high[0] -= max(0.0, xy, xz, xy + xz)
        low[1] -= min(0.0, yz)
        high[1] -= max(0.0, yz)
        cell[1, 0], cell[2, 0], cell[2, 1] = xy, xz, yz
    cell[np.diag_indices(3)] = high - low
    return cell, low, pbc


def _elements(table: dict[str, list[str]], species: Sequence[str | int] | None) -> list[int]:
    """Return atomic numbers: of elements that the dump names, of its types, or of its masses."""
    if species is not None:
        if "type" not in table:
            raise ValueError("species is for dumps with types of atoms, and this one has none")
        known = [species_number(item) for item in species]
        types = [int(kind) for kind in table["type"]]
        if not 1 <= min(types) <= max(types) <= len(known):
            raise ValueError(f"species must name an element for each type of atom, {max(types)}, got {len(known)}")
        return [known[kind - 1] for kind in types]
    if "element" in table:
        unknown = next((name for name in table["element"] if name not in atomic_numbers), None)
        if unknown is not None:
            raise ValueError(f"{unknown!r} is not a chemical element: give species=, the element of each type")
        return [int(atomic_numbers[name]) for name in table["element"]]
    if "mass" in table:
        masses = np.array(table["mass"], dtype=np.float64)
        gaps = np.abs(masses[:, None] - atomic_masses[None, 1:])
        if gaps.min(axis=1).max() > 0.05:
            raise ValueError(f"{masses[gaps.min(axis=1).argmax()]:g} is the mass of no element: give species=")
        return [int(z) for z in gaps.argmin(axis=1) + 1]
    raise ValueError("it has types of atoms and no elements: give species=, the element of each type")


_READERS = {"extxyz": _of_xyz, "xdatcar": _of_xdatcar}
