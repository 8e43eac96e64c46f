"""The rows of a path, whatever is there."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from ase import Atoms

from atomprint.formats.beside import files_beside
from atomprint.formats.deepmd import is_deepmd, read_deepmd
from atomprint.formats.folders import is_structure_file, read_database, read_files, read_frames
from atomprint.formats.json_files import read_json, read_json_lines
from atomprint.formats.members import ARCHIVES
from atomprint.formats.molecules import MOL_FILES, SMILES_FILES, read_mol_file, read_smiles_file
from atomprint.formats.opening import plain_name
from atomprint.formats.roles import Roles, choose_roles, is_usual
from atomprint.formats.source import PEEK, Row, Source
from atomprint.formats.structures import atoms_of
from atomprint.formats.tables import OTHER_TABLES, TEXT_TABLES, read_table
from atomprint.util.extras import installed
from atomprint.util.types import PathOrStr
from atomprint.util.validation import check_choice, check_integer

FORMATS = ("table", "frames", "files", "json", "json lines", "ase db", "deepmd", "smiles", "sdf")


def open_source(
    path: Path,
    *,
    format: str | None = None,
    table: PathOrStr | None = None,
    folder: PathOrStr | None = None,
    structure: str | None = None,
    formula: str | None = None,
    limit: int | None = None,
) -> tuple[str, Source]:
    """Return the format of a file, and its rows, of which the first are read; see :func:`read_dataset`."""
    if not path.exists():
        raise FileNotFoundError(f"path: no such file or folder: {str(path)!r}")
    form = _format(path) if format is None else check_choice("format", format, FORMATS)
    notes: list[str] = []
    files = paths = None
    if form == "table":
        try:
            if folder is None and structure is None and formula is None:
                paths = _paths_of(path)
            files = _files_of(path, folder, paths if structure is None else structure, formula)
        except ValueError as error:
            raise ValueError(error if str(error).startswith(path.name) else f"{path.name}: {error}") from error
    elif folder is not None:
        raise ValueError(f"folder is for a table that names structure files, and {path.name} is none")
    if files is None:
        rows = _open(path, form, table, structure or None, notes)
    else:
        form = "files"
        if not files[0].is_dir():
            raise FileNotFoundError(f"folder: no such folder: {str(files[0])!r}")
        # What was guessed is right beside the table; whoever names a folder may mean folders in it, too.
        rows = read_files(files[0], path, files[1] or None, notes, within=folder is not None)
        if folder is None:
            notes.append(f"Structures are the files in {files[0].name} that column {files[1]!r} names.")
    if paths is not None:
        notes.append(f"Structures are the files of which column {paths!r} has the paths.")
    if limit is not None:
        rows = islice(rows, check_integer("limit", limit, 1))
    found = Source(rows, "column" if form == "table" or files is not None else "key", notes, files, paths)
    if not found.first:
        raise ValueError(f"{path.name} has no rows")
    if (problem := found.first[0].problem) and not found.names and all(row.problem for row in found.first):
        raise ValueError(f"{path.name}: no row can be read; row 0: {': '.join(problem)}")
    return form, found


def _paths_of(path: Path) -> str | None:
    """Return the column of a table with paths of structure files, of which ``files_beside`` knows bare names alone.

    None if there is none, or if a column is called after structures.
    """
    first = list(islice(read_table(path), PEEK))
    if not first or any(is_usual(name, "structure") for name in first[0].fields):
        return None
    found = []
    for name in first[0].fields:
        there = [value for row in first if isinstance(value := row.fields.get(name), str) and value.strip()]
        leading = sum(value.strip() != Path(value.strip()).name and _leads(path.parent, value) for value in there)
        if leading and leading >= len(there) / 2 and is_structure_file(there[0].strip()):
            found.append(name)
    if len(found) > 1:
        raise ValueError(f"paths of structures are in {', '.join(map(repr, found))}: give the column as structure")
    return found[0] if found else None


def _files_of(
    path: Path, folder: PathOrStr | None, structure: str | None, formula: str | None
) -> tuple[Path, str] | None:
    """Return folder and column of the structure files that a table names, told or guessed; None if there are none."""
    if folder is not None:
        return Path(folder), structure or ""
    if structure == "" or (structure is None and formula is not None):
        return None
    first = list(islice(read_table(path), PEEK))
    column = structure
    if column is None and first:
        usual = [name for name in first[0].fields if is_usual(name, "structure")]
        column = usual[0] if len(usual) == 1 else None
    if column is not None and any(_leads(path.parent, row.fields.get(column)) for row in first):
        return None
    return files_beside(path, first, column)


def _leads(folder: Path, value: object) -> bool:
    """Return whether a cell is the path of a file."""
    try:
        return isinstance(value, str) and 0 < len(value.strip()) < 1000 and (folder / value.strip()).is_file()
    except (OSError, ValueError):
        return False


def structures_of(path: Path) -> Iterator[Atoms]:
    """Yield the structures of all rows of a path, read one after the other where the format allows.

    Raises
    ------
    ValueError
        If a row has none, or one that cannot be read; the message names the row.
    """
    _, found = open_source(path)
    roles = choose_roles(found, targets={}, structure=None, formula=None, id_=None, groups={})
    if not roles.has_structures:
        raise ValueError(f"{path.name} has {'SMILES' if roles.smiles else 'formulas'}, but no structures")
    for number, row in enumerate(found.rows):
        yield _structure(row, roles, path, number)


def _structure(row: Row, roles: Roles, path: Path, number: int) -> Atoms:
    try:
        if row.problem is not None:
            raise ValueError(": ".join(row.problem))
        return atoms_of(row.structure if roles.structure is None else row.get(roles.structure), path.parent)
    except ValueError as error:
        raise ValueError(f"{path.name}, row {number}{f' ({row.id})' if row.id else ''}: {error}") from error


def _format(path: Path) -> str:
    name = path.name.lower()
    if path.is_dir() and is_deepmd(path):
        return "deepmd"
    if path.is_dir() and name.startswith("set.") and is_deepmd(path.parent):
        raise ValueError(f"{path.name} is a part of a system of DeePMD-kit: give the folder that it is in")
    if path.is_dir() or name.endswith(ARCHIVES):
        return "files"
    ending = Path(plain_name(name)).suffix
    if ending in TEXT_TABLES or ending == ".parquet":
        return "table"
    if ending in SMILES_FILES:
        return "smiles"
    if ending in MOL_FILES and installed("rdkit"):  # ASE reads one molecule, and no data items
        return "sdf"
    return {".json": "json", ".jsonl": "json lines", ".ndjson": "json lines", ".db": "ase db"}.get(ending, "frames")


def _open(path: Path, form: str, table: PathOrStr | None, column: str | None, notes: list[str]) -> Iterator[Row]:
    if form == "files":
        return read_files(path, None if table is None else Path(table), column, notes)
    if (what := OTHER_TABLES.get(Path(plain_name(path.name)).suffix.lower())) and form == "frames":
        raise ValueError(f"{path.name} is {what}")
    if table is not None:
        raise ValueError(f"table is for a folder or an archive of files, and {path.name} is neither")
    readers = {
        "table": read_table,
        "frames": read_frames,
        "deepmd": read_deepmd,
        "json": read_json,
        "json lines": read_json_lines,
        "ase db": read_database,
        "smiles": read_smiles_file,
    }
    if form == "sdf":
        return read_mol_file(path, notes)
    return readers[form](path)
