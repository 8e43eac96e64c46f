"""Structures with what is said of them, from files and objects."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from atomprint.formats.deepmd import is_deepmd
from atomprint.formats.folders import row_of
from atomprint.formats.judge import close_pairs
from atomprint.formats.opening import plain_name
from atomprint.formats.reading import open_source
from atomprint.formats.roles import choose_roles
from atomprint.formats.source import Row
from atomprint.formats.structures import atoms_of, dump_without_units
from atomprint.structures import Batch, StructureError, as_batch, is_structure
from atomprint.util.text import counted

# Files by whose names programs tell what they calculated; a later one in a folder says the same as one before.
_OUTPUTS = ("vasprun", "OUTCAR")
_TRAJECTORIES = (".traj", ".lammpstrj", ".db")


def calculations(folder: Path) -> list[Path]:
    """Return the files of calculations in a folder and those below, one for each; none where all are xyz files."""
    found: list[Path] = []
    others: list[Path] = []
    for place in [folder, *sorted(path for path in folder.rglob("*") if path.is_dir())]:
        files = sorted(path for path in place.iterdir() if path.is_file() and not path.name.startswith("."))
        files = [path for path in files if path.name.lower() != "thumbs.db"]  # of Windows
        for output in _OUTPUTS:
            if named := [path for path in files if re.match(rf"{output}(?![a-z])", path.name)]:
                found += named
                break
        found += [place] if is_deepmd(place) else []
        found += [path for path in files if Path(plain_name(path.name)).suffix.lower() in _TRAJECTORIES]
        others += [path for path in files if plain_name(path.name).lower().endswith((".xyz", ".extxyz"))]
    return [*found, *others] if found else []


class Item(NamedTuple):
    """A structure, its row, and where it comes from."""

    atoms: Any
    row: Row
    place: str
    file: str = ""


class Collected:
    """Reads structures, and keeps what there is to say of them.

    Parameters
    ----------
    skip : bool
        Whether to leave out what cannot be read, and say so.
    """

    def __init__(self, skip: bool) -> None:
        self.skip = skip
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self.left: list[str] = []
        self.stale: list[str] = []
        self.bad: dict[int, str] = {}

    def items(self, structures: Any) -> list[Item]:
        """Return structures with what is said of each."""
        if isinstance(structures, str | PathLike):
            found = self._of_path(Path(structures), Path(structures).name)
        elif is_structure(structures):
            found = [self._of_object(structures, 0)]
        elif isinstance(structures, Batch):
            found = [Item(atoms, Row(structure=atoms), f"structure {s}") for s, atoms in enumerate(structures)]
        elif isinstance(structures, Iterable):
            found, given = [], list(structures)
            names = Counter(Path(item).name for item in given if isinstance(item, str | PathLike))
            for item in given:
                if isinstance(item, str | PathLike):
                    name = Path(item).name
                    found += self._of_path(Path(item), name if names[name] == 1 else str(item))
                else:
                    found.append(self._of_object(item, len(found)))
        else:
            raise TypeError(
                f"structures must be files or structures, or a sequence of these, got {type(structures).__name__}"
            )
        if not found:
            why = f": {self.left[0]}" if self.left else ""
            raise ValueError(f"structures must hold at least one structure that can be read{why}")
        return found

    def _of_path(self, path: Path, name: str) -> list[Item]:
        """Return the structures of a file, or of a folder of other files or of calculations."""
        if not path.is_dir() or is_deepmd(path) or not (runs := calculations(path)):
            return self._of_file(path, name)
        inside = [str(run.relative_to(path)) for run in runs]
        more = f" and {len(runs) - 3} more" if len(runs) > 3 else ""
        self.notes.append(f"{name} has {counted(len(runs), 'calculation')}: {', '.join(inside[:3])}{more}.")
        found = []
        for run, place in zip(runs, inside, strict=True):
            try:
                found += self._of_file(run, f"{name}/{place}")
            except ValueError as error:
                if not self.skip:
                    raise
                self.left.append(str(error))
        return found

    def _of_file(self, path: Path, name: str) -> list[Item]:
        _, source = open_source(path)
        self.notes += source.notes
        if path.is_file() and dump_without_units(path):
            self.warnings.append(
                f"{name} does not say its units, and is read as if they were LAMMPS' 'metal' (Å, eV, eV/Å): "
                "dump_modify with units yes writes them."
            )
        roles = choose_roles(source, targets={}, structure=None, formula=None, id_=None, groups={})
        if not roles.has_structures:
            raise ValueError(f"{name} has formulas, but no structures")
        found = []
        for number, row in enumerate(source.rows):
            line = "" if row.line is None else f" (line {row.line})"
            place = f"{name}, structure {number}{f' ({row.id})' if row.id else line}"
            try:
                if row.problem is not None:
                    raise ValueError(row.problem[1])
                raw = row.structure if roles.structure is None else row.get(roles.structure)
                atoms = atoms_of(raw, path.parent, allow_close=True)
            except ValueError as error:
                if not self.skip:
                    raise ValueError(f"{place}: {error}") from error
                self.left.append(f"{place}: {error}")
                continue
            found.append(Item(atoms, self._fresh(row, atoms, place), place, name))
        return found

    def _of_object(self, item: Any, index: int) -> Item:
        place = f"structure {index}"
        if isinstance(item, Atoms):
            return Item(item, self._fresh(row_of(item), item, place), place)
        fields = getattr(item, "properties", None)
        arrays = getattr(item, "site_properties", None)
        fields, arrays = (dict(said) if isinstance(said, Mapping) else {} for said in (fields, arrays))
        return Item(item, Row(fields, item, arrays), place)

    def _fresh(self, row: Row, atoms: Any, place: str) -> Row:
        """Return a row without results of a calculator that belong to other positions."""
        calc = getattr(atoms, "calc", None)
        of = getattr(calc, "atoms", None)
        results = getattr(calc, "results", None)
        if not results or not isinstance(of, Atoms):
            return row
        if (
            len(of) == len(atoms)
            and np.array_equal(of.numbers, atoms.numbers)
            and np.array_equal(of.positions, atoms.positions)
            and np.array_equal(of.cell.array, atoms.cell.array)
            and np.array_equal(of.pbc, atoms.pbc)
        ):
            return row
        self.stale.append(place)
        return row_of(atoms.copy())

    def batch(self, items: list[Item]) -> tuple[Batch, list[Item]]:
        """Return structures as a batch, and those that are in it."""
        try:
            return as_batch([item.atoms for item in items], periodic=None), items
        except StructureError as error:
            if not self.skip:
                raise ValueError(f"{items[error.index].place}: {error.reason}") from error
        kept = []
        for item in items:
            try:
                as_batch([item.atoms], periodic=None)
            except StructureError as error:
                self.left.append(f"{item.place}: {error.reason}")
            else:
                kept.append(item)
        if not kept:
            raise ValueError(f"structures must hold at least one structure that can be used; {self.left[0]}")
        return as_batch([item.atoms for item in kept], periodic=None), kept

    def refuse_close(self, batch: Batch) -> None:
        """Leave out structures with atoms that are nearer than any in matter."""
        for s, atom, other, distance, _ in close_pairs(batch.core()):
            z = batch.numbers[batch.offsets[s] :]
            one, two = (f"{i} ({chemical_symbols[z[i]]})" for i in (atom, other))
            reason = f"atoms {one} and {two} are {distance:.3g} Å apart, nearer than atoms come (allow_close uses them)"
            self.bad.setdefault(s, reason)

    def leave_out(self, items: list[Item]) -> None:
        """Note structures whose labels cannot be read."""
        self.left += [f"{items[s].place}: {reason}" for s, reason in sorted(self.bad.items())]

    def refuse(self, items: list[Item], s: int, problem: str) -> None:
        """Raise what is wrong with the label of a structure, or leave that out."""
        if not self.skip:
            raise ValueError(f"{items[s].place}: {problem}")
        self.bad.setdefault(s, problem)
