"""Files of molecules: lines of SMILES, and the records of SD and mol files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

from ase import Atoms

from atomprint.chemistry.smiles import quiet_rdkit
from atomprint.formats.opening import BROKEN, open_text
from atomprint.formats.roles import is_usual
from atomprint.formats.source import PEEK, Row
from atomprint.util.extras import require

SMILES_FILES = (".smi", ".smiles", ".ism")
MOL_FILES = (".sdf", ".sd", ".mol")

_DATUM = re.compile(r">.*?<(.+?)>")


def read_smiles_file(path: Path) -> Iterator[Row]:
    """Yield a row for each line of SMILES.

    The SMILES ends at the first blank; what follows is the ``"name"``. If the first line begins with the word SMILES,
    it has the names of all columns, which tabs or else blanks divide. Empty lines, and lines that start with ``#``, are
    left out.

    Raises
    ------
    ValueError
        If the file is no text.
    """
    names = ["smiles", "name"]
    try:
        with open_text(path) as file:
            lines = ((number, line) for number, line in enumerate(file, 1) if line.strip() and line[0] != "#")
            for place, (number, line) in enumerate(lines):
                tabs = "\t" in line.strip()
                if place == 0 and is_usual(line.split()[0], "smiles"):
                    names = line.strip().split("\t") if tabs else line.split()
                    continue
                cells = line.strip().split("\t") if tabs else line.split(maxsplit=len(names) - 1)
                yield Row(dict(zip(names, map(str.strip, cells), strict=False)), line=number)
    except BROKEN as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from error


def read_mol_file(path: Path, notes: list[str]) -> Iterator[Row]:
    """Yield a row for each molecule of an SD or mol file: its ``"smiles"``, ``"title"`` and data items.

    If all of the first hundred have coordinates in space of all their atoms, rows have structures, too.

    Raises
    ------
    ImportError
        If RDKit is not installed.
    ValueError
        If the file is no text.
    """
    try:
        with open_text(path) as file:
            rows = (_row(lines, number) for number, lines in _records(file))
            first = list(islice(rows, PEEK))
            read = [row for row in first if row.problem is None]
            solid = bool(read) and all(row.structure is not None for row in read)
            if not solid:
                notes.append(f"Molecules of {path.name} are read by their bonds: not all atoms have places in space.")
            for row in chain(first, rows):
                yield row if solid else replace(row, structure=None)
    except BROKEN as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from error


def _records(file: IO[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines of each record, and the number of the first."""
    lines: list[str] = []
    start = 1
    for number, line in enumerate(file, 1):
        if line.startswith("$$$$"):
            yield start, lines
            lines, start = [], number + 1
        else:
            lines.append(line.rstrip("\n"))
    if any(line.strip() for line in lines):
        yield start, lines


def _row(lines: list[str], start: int) -> Row:
    end = next((place for place, line in enumerate(lines) if line.startswith("M  END")), len(lines) - 1)
    fields = _data(lines[end + 1 :])
    title = lines[0].strip() if lines else ""
    fields = {name: value for name, value in fields.items() if not is_usual(name, "smiles")}
    if title:
        fields = {"title": title, **fields}
    chem = require("rdkit.Chem", "rdkit", "reading SD and mol files")
    with quiet_rdkit():
        mol = chem.MolFromMolBlock("\n".join(lines[: end + 1]) + "\n", removeHs=False)
        if mol is None or mol.GetNumAtoms() == 0:
            why = "has no atoms" if mol is not None else "cannot be read by RDKit"
            return Row(fields, problem=("read", f"the molecule {title!r} {why}"), line=start)
        smiles = chem.MolToSmiles(chem.RemoveHs(mol))
    return Row({"smiles": smiles, **fields}, structure=_atoms(mol), line=start)


def _data(lines: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    name = None
    for line in lines:
        if (match := _DATUM.match(line)) is not None:
            name = match[1]
            found[name] = ""
        elif name is not None and line.strip():
            found[name] = f"{found[name]}\n{line.strip()}".strip()
        else:
            name = None
    return found


def _atoms(mol: Any) -> Atoms | None:
    """Return the structure of a molecule; None if it is flat, or has hydrogens that are nowhere."""
    if not mol.GetNumConformers() or not mol.GetConformer().Is3D():
        return None
    if any(atom.GetNumImplicitHs() or atom.GetNumExplicitHs() or not atom.GetAtomicNum() for atom in mol.GetAtoms()):
        return None
    return Atoms([atom.GetAtomicNum() for atom in mol.GetAtoms()], mol.GetConformer().GetPositions())
