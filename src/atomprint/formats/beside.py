"""Structure files beside a table that names them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from atomprint.formats.folders import is_structure_file, places_of
from atomprint.formats.roles import is_usual
from atomprint.formats.source import Row

_MOST_FOLDERS = 200


def files_beside(path: Path, rows: Sequence[Row], column: str | None) -> tuple[Path, str] | None:
    """Return the folder of the files that a table names, and the column with their names; None if there is none.

    The folder is that of the table, or one in it. Nothing is guessed where a column has whole structures, or paths
    that lead somewhere from the table.

    Parameters
    ----------
    path : Path
        The table.
    rows : sequence of Row
        Its first rows.
    column : str or None
        The column, if it is known.

    Raises
    ------
    ValueError
        If there are several such folders or columns, and they do not mean the same files.
    """
    names = [name for name in rows[0].fields if column in (None, name)] if rows else []
    cells = {name: [str(row.fields.get(name) or "").strip() for row in rows] for name in names}
    cells = {
        name: [value for value in values if value]
        for name, values in cells.items()
        if not any("\n" in value or len(value) > 255 for value in values)
    }
    found: dict[tuple[Path, str], list[str]] = {}
    for folder in _folders(path.absolute().parent):
        places = places_of(_files(folder))
        for name, values in cells.items():
            files = [places[value][0] for value in values if value in places]
            # A formula beside a file called after it need not name it.
            enough = len(values) if is_usual(name, "formula") else len(values) / 2
            if files and len(files) >= enough:
                found[folder, name] = files
    if not found:
        return None
    if len({(folder, *files) for (folder, _), files in found.items()}) > 1:
        folders = list(dict.fromkeys(folder.name for folder, _ in found))
        columns = list(dict.fromkeys(name for _, name in found))
        raise ValueError(
            f"files of structures are named in {', '.join(map(repr, columns))}, and are in "
            f"{', '.join(map(repr, folders))}: give the column as structure, and the folder as folder"
        )
    return next(iter(found))


def _folders(place: Path) -> list[Path]:
    try:
        inside = sorted(Path(entry.path) for entry in os.scandir(place) if entry.is_dir() and entry.name[0] != ".")
    except OSError:
        return []
    return [place, *inside] if len(inside) <= _MOST_FOLDERS else [place]


def _files(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if is_structure_file(entry.name) and entry.name[0] != ".")
    except OSError:
        return []
