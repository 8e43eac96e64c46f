"""Rows of structure files: frames of one file, files of a folder or an archive, and ASE databases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from io import StringIO
from itertools import chain, islice
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from ase import Atoms

from atomprint.formats.cif import split_cif
from atomprint.formats.members import Members, members_of
from atomprint.formats.opening import BROKEN, open_text, plain_name, read_text
from atomprint.formats.source import Row
from atomprint.formats.structures import frames_of_file, frames_of_text, is_poscar_name
from atomprint.formats.tables import TEXT_TABLES, read_table, read_text_table
from atomprint.formats.xyz import read_xyz_frame, split_xyz
from atomprint.util.text import in_words

_ENDINGS = (".cif", ".vasp", ".poscar", ".xyz", ".extxyz")
_NAMES = ("POSCAR", "CONTCAR")
# Read where a folder has no others: they may be something else.
_OTHER_ENDINGS = (".json", ".gen", ".xsf", ".res", ".pdb", ".cube", ".cell", ".mol", ".sdf")

_AT_ONCE = 1000  # rows of a database

# Results of ASE's calculators that atoms have, told by their names: a dipole of three atoms has three numbers too.
_OF_ATOMS = ("forces", "charges", "magmoms", "energies", "stresses")


def read_frames(path: Path) -> Iterator[Row]:
    """Yield a row for each structure in a file that ASE reads, with what the file says of it.

    A frame of an xyz file that is broken inside is a row with a problem.
    """
    if plain_name(path.name).lower().endswith((".xyz", ".extxyz")):
        try:
            with open_text(path) as file:
                for frame in split_xyz(file):
                    try:
                        row = row_of(read_xyz_frame(frame))
                    except ValueError as error:
                        row = Row(problem=("read", str(error)))
                    yield replace(row, line=frame.start)
        except (ValueError, *BROKEN) as error:  # where the next frame begins is not known
            raise ValueError(f"{path.name}: {error}") from error
    elif plain_name(path.name).lower().endswith(".cif"):
        try:
            blocks = split_cif(read_text(path))
        except ValueError as error:
            yield Row(problem=("read", str(error)))
        else:
            yield from (Row(structure=block) for block in blocks)  # to be read later, by several processes if asked
    else:
        yield from map(row_of, frames_of_file(path))


def row_of(atoms: Atoms, name: str = "") -> Row:
    """Return a structure of ASE as a row: info and results of its calculator by their keys, arrays of its atoms."""
    results = dict(atoms.calc.results) if atoms.calc is not None else {}
    per_atom = {key: value for key, value in results.items() if key in _OF_ATOMS}
    fields = {**atoms.info, **{key: value for key, value in results.items() if key not in per_atom}}
    # What ASE derives from a CIF or a POSCAR by itself, and no property.
    fields = {key: value for key, value in fields.items() if key not in ("spacegroup", "unit_cell", "occupancy")}
    arrays = {key: value for key, value in atoms.arrays.items() if key not in ("numbers", "positions")}
    return Row(fields, atoms, {**arrays, **per_atom}, id=name)


def read_database(path: Path) -> Iterator[Row]:
    """Yield the rows of an ASE database: key-value pairs, results of calculators, and what numbers its data hold."""
    from ase.db import connect
    from ase.db.row import AtomsRow

    def convert(row: AtomsRow) -> Row:
        atoms = row.toatoms()
        named = row_of(atoms)
        data = dict(row.data) if isinstance(row.data, Mapping) else {}
        arrays = {key: value for key, value in data.items() if np.shape(value)[:1] == (len(atoms),)}
        return Row(
            {**named.fields, **data, **row.key_value_pairs, "unique_id": row.unique_id},
            atoms,
            {**named.arrays, **arrays},
            id=str(row.id),
        )

    try:
        database = connect(path, use_lock_file=False)
        last = max((row.id for row in database.select(sort="-id", limit=1, include_data=False)), default=0)
        for first in range(1, last + 1, _AT_ONCE):  # which ASE has in memory, all that are asked for
            yield from map(convert, database.select(f"id>={first},id<{first + _AT_ONCE}"))
    except Exception as error:  # the database below raises whatever it meets
        raise ValueError(f"{path.name} is no ASE database that can be read: {in_words(error)}") from error


def read_files(
    path: Path, table: str | Path | None, column: str | None, notes: list[str], *, within: bool = True
) -> Iterator[Row]:
    """Yield the rows of a folder or an archive of structure files.

    Parameters
    ----------
    path : Path
        The folder, or the archive, which is read in memory and never unpacked.
    table : path or None
        A table beside the files, with a row for each: a name in the folder or archive, or a path. None is the only
        text table there is; without one, every structure is a row.
    column : str or None
        Which of its columns names the files, with or without their ending. None is the one that does.
    notes : list of str
        Where to note what is passed over: files that have no row, and files that are no structures.
    within : bool
        Whether to look into the folders of a folder, too.
    """
    texts, others = members_of(path, _is_wanted, within=within)
    structures = {name: text for name, text in texts.items() if is_structure_file(name) or name.endswith("/")}
    if not any(map(is_structure_file, structures)):  # forms that other files may have as well
        texts, others = members_of(path, _may_be_wanted, within=within)
        structures = {name: text for name, text in texts.items() if not _is_table(name)}
    if not structures:
        raise ValueError(f"{path.name} has no structure files: they end in {', '.join(_ENDINGS)}, or are POSCAR")
    rows, name_of_table = _table_rows(path, texts, table)
    if table is None and (passed := [name for name in texts if name not in structures and name != name_of_table]):
        others = [*others, *passed]
    if others := [name for name in others if not _is_hidden(name)]:
        notes.append(f"Passed over, by their names: {', '.join(others[:5])}{_and_more(others, 5)}.")
    if rows is None:
        for (name, text), id_ in zip(structures.items(), _ids(structures), strict=True):
            yield from _rows_of_file(name, text, id_)
        return
    yield from _joined(rows, structures, column, notes)


def _and_more(names: Sequence[str], shown: int) -> str:
    return f" and {len(names) - shown} more" if len(names) > shown else ""


def _joined(
    rows: Iterator[Row], files: Mapping[str, Callable[[], str]], column: str | None, notes: list[str]
) -> Iterator[Row]:
    places, ids = places_of(files), dict(zip(files, _ids(files), strict=True))
    first = list(islice(rows, 100))
    column = _file_column(first, places) if column is None else column
    used: set[str] = set()
    for row in chain(first, rows):
        name = str(row.fields.get(column, "")).strip()
        found = places.get(name)
        if row.problem is None and column not in row.fields:
            raise ValueError(f"no column {column!r} to name the files: there are {', '.join(map(repr, row.fields))}")
        if row.problem is not None:
            yield row
        elif not found:
            yield Row(row.fields, id=name, problem=("structure", f"there is no file {name!r}"), line=row.line)
        elif len(found) > 1:
            what = f"{name!r} may be each of {', '.join(found[:5])}{_and_more(found, 5)}"
            yield Row(row.fields, id=name, problem=("structure", what), line=row.line)
        else:
            used.add(found[0])
            yield replace(_row_of_file(found[0], files[found[0]], row.fields, ids[found[0]]), line=row.line)
    if unused := [name for name in files if name not in used]:
        listed = f"{', '.join(unused[:3])}{_and_more(unused, 3)}"
        notes.append(f"{len(unused)} of {len(files)} files have no row in the table. These are: {listed}.")


def _rows_of_file(name: str, text: Callable[[], str], id_: str) -> Iterator[Row]:
    """Yield a row for each structure in a file; several are counted."""
    try:
        content = text()
        if plain_name(name).lower().endswith(".cif"):
            blocks = split_cif(content)
            yield from (
                Row(structure=block, id=id_ if len(blocks) == 1 else f"{id_}#{i}") for i, block in enumerate(blocks)
            )
            return
        frames = frames_of_text(PurePosixPath(name).name, content)
    except ValueError as error:
        yield Row(id=id_, problem=("structure", str(error)))
        return
    yield from (row_of(atoms, id_ if len(frames) == 1 else f"{id_}#{i}") for i, atoms in enumerate(frames))


def _row_of_file(name: str, text: Callable[[], str], fields: Mapping[str, Any], id_: str) -> Row:
    rows = list(_rows_of_file(name, text, id_))
    if len(rows) != 1:
        return Row(fields, id=id_, problem=("structure", f"{name} must hold one structure, got {len(rows)}"))
    (row,) = rows
    return Row({**row.fields, **fields}, row.structure, row.arrays, id_, row.problem)


def places_of(names: Iterable[str]) -> dict[str, list[str]]:
    """Return which files a table may mean by a name: the path, the name alone, and either without its ending."""
    places: dict[str, list[str]] = {}
    for name in names:
        path = PurePosixPath(name)
        for alias in {name, path.name, plain_name(path.name), _bare(path.name), str(path.with_name(_bare(path.name)))}:
            places.setdefault(alias, []).append(name)
        if path.name in _NAMES:
            places.setdefault(path.parent.name, []).append(name)
    return places


def _file_column(rows: list[Row], places: Mapping[str, list[str]]) -> str:
    """Return the only column that names files."""
    columns = [name for name in (rows[0].fields if rows else {}) if any(_names(row, name, places) for row in rows)]
    if len(columns) != 1:
        listed = ", ".join(map(repr, rows[0].fields if rows else ()))
        what = "none does" if not columns else f"{', '.join(map(repr, columns))} do"
        raise ValueError(f"structure: give the column of the table that names the files, of {listed}: {what}")
    return columns[0]


def _names(row: Row, column: str, places: Mapping[str, list[str]]) -> bool:
    return str(row.fields.get(column, "")).strip() in places


def _table_rows(path: Path, texts: Members, table: str | Path | None) -> tuple[Iterator[Row] | None, str]:
    """Return the rows of a table, None if there is none, and its name among the members, empty if it is elsewhere."""
    if table is None:
        tables = [name for name in texts if PurePosixPath(plain_name(name)).suffix.lower() in (".csv", ".tsv")]
        if not tables:
            return None, ""
        if len(tables) > 1:
            raise ValueError(f"table: there are several in {path.name}, give one of {', '.join(map(repr, tables))}")
        table = tables[0]
    if str(table) in texts:
        name = str(table)
        return read_text_table(PurePosixPath(name).name, StringIO(texts[name](), newline="")), name
    if not Path(table).is_file():
        inside = [name for name in texts if not is_structure_file(name)]
        raise FileNotFoundError(f"table: no such file: {str(table)!r}; in {path.name} there are {inside}")
    return read_table(Path(table)), ""


def _is_hidden(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return any((part.startswith(".") and part not in (".", "..")) or part == "__MACOSX" for part in parts)


def _is_table(name: str) -> bool:
    return PurePosixPath(plain_name(name)).suffix.lower() in TEXT_TABLES


def _is_wanted(name: str) -> bool:
    return not _is_hidden(name) and (is_structure_file(name) or _is_table(name))


def _may_be_wanted(name: str) -> bool:
    return not _is_hidden(name) and (plain_name(name).lower().endswith(_OTHER_ENDINGS) or _is_table(name))


def is_structure_file(name: str) -> bool:
    """Return whether a file is one of structures by its name."""
    file = plain_name(PurePosixPath(name).name)
    return file.lower().endswith(_ENDINGS) or is_poscar_name(file)


def _bare(name: str) -> str:
    plain = plain_name(name)
    return PurePosixPath(plain).stem if plain.lower().endswith(_ENDINGS) else plain


def _ids(names: Iterable[str]) -> list[str]:
    """Return names without folders and endings, a POSCAR by its folder; whole paths if these would not differ."""
    # Names of files may hold bytes that are no text, which no table can hold.
    paths = [PurePosixPath(name.encode(errors="backslashreplace").decode()) for name in names]
    short = [path.parent.name if path.name in _NAMES and path.parent.name else _bare(path.name) for path in paths]
    return short if len(set(short)) == len(short) else list(map(str, paths))
