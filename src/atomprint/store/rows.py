"""Rows of files as they come, not read any further than is needed to tell them from others."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from atomprint.chemistry.smiles import Smiles
from atomprint.formats.opening import plain_name
from atomprint.formats.reading import open_source
from atomprint.formats.roles import Names, choose_roles, named
from atomprint.formats.source import Row, Source
from atomprint.formats.structures import atoms_of
from atomprint.formats.values import BadValueError, column_kind, kind_of, label_of, number_of
from atomprint.store import mp_api, optimade
from atomprint.util.plain import plain
from atomprint.util.progress import Progress, silent
from atomprint.util.types import PathOrStr

Value = float | str | None

_LONGEST_WORDS = 100  # characters: what is longer is a text, and no property


@dataclass(frozen=True, slots=True)
class StoreRow:
    """A row that is to be described.

    Parameters
    ----------
    place : int
        Its number in its source.
    id : str
        Its name.
    content : object
        Its structure, in a form that :func:`~atomprint.formats.structures.atoms_of` takes, or its formula.
    values : mapping of str to (float, str or None)
        What is known of it: numbers and words by the names of targets.
    problem : (str, str) or None
        If it could not be read: the step that failed, and why.
    line : int or None
        The line of its file on which it begins.
    """

    place: int
    id: str
    content: Any
    values: Mapping[str, Value] = field(default_factory=dict)
    problem: tuple[str, str] | None = None
    line: int | None = None

    def digest(self) -> bytes:
        """Return a digest of all that a shard has of the row, and of what it is described from."""
        digest = hashlib.blake2b(digest_size=16)
        about = [self.place, self.id, list(self.values.items()), self.problem, self.line]
        digest.update(json.dumps(about, separators=(",", ":")).encode("utf-8", "backslashreplace"))
        digest.update(_bytes(self.content))
        return digest.digest()


def _bytes(content: Any) -> bytes:
    """Return a structure or a formula, as it came, as bytes that tell it from others."""
    if isinstance(content, str):
        return b"text " + content.encode("utf-8", "backslashreplace")
    if isinstance(content, Atoms):
        arrays = (content.numbers, content.positions, content.cell.array, content.pbc)
        return b"atoms " + b"|".join(np.ascontiguousarray(array).tobytes() for array in arrays)
    return b"object " + json.dumps(plain(content), sort_keys=True, separators=(",", ":")).encode()


@dataclass(frozen=True, eq=False)
class RowSource:
    """Rows of one file or folder, read as they are asked for.

    Parameters
    ----------
    name : str
        What the store calls it: the name of the file or folder.
    rows : iterator of StoreRow
        All of them; asked for once.
    first : sequence of StoreRow
        Some of the first, which have been read already.
    has_structures : bool
        Whether there are structures, and not formulas alone.
    columns : mapping of str to bool
        What is known of rows, by its name, and whether it is words, by a look at the first rows.
    """

    name: str
    rows: Iterator[StoreRow]
    first: Sequence[StoreRow]
    has_structures: bool
    columns: Mapping[str, bool]


@dataclass(frozen=True)
class Reading:
    """How sources are read; see :func:`~atomprint.datasets.read_dataset`.

    Parameters
    ----------
    structure, formula, id : str, optional
        Names of columns or keys.
    targets : names, optional
        Columns or keys to keep. Default: all that have numbers or truth values.
    table, folder : path, optional
        For a folder of files its table; for a table the folder of its files.
    limit : int, optional
        Read only so many rows of each.
    filter : str
        What is asked of OPTIMADE servers, such as ``'elements HAS "O"'``.
    pages : Path, optional
        Where pages of servers are kept, unless :meth:`open` is told.
    words : bool
        Whether to keep columns of short words, too, where no ``targets`` are named.
    """

    structure: str | None = None
    formula: str | None = None
    id: str | None = None
    targets: Names | None = None
    table: PathOrStr | None = None
    folder: PathOrStr | None = None
    limit: int | None = None
    filter: str = ""
    pages: Path | None = None
    words: bool = False

    def open(self, place: Path | str, pages: Path | None = None, progress: Progress = silent) -> RowSource:
        """Return the rows of a source, of which the first are read.

        Parameters
        ----------
        place : Path or str
            A file or a folder; or ``"optimade:…"`` or ``"mp-api:…"``.
        pages : Path, optional
            Where pages of servers are kept.
        progress : Progress
            Told how many structures were fetched.

        Raises
        ------
        FileNotFoundError, ImportError, ValueError
            If there is no such file, a package that reads it is missing, or no row of it can be found.
        """
        if isinstance(place, str):
            return self._remote(place, pages or self.pages or Path(), progress)
        form, found = open_source(
            place,
            table=self.table,
            folder=self.folder,
            structure=self.structure,
            formula=self.formula,
            limit=self.limit,
        )
        column = self.structure if form != "files" else None
        return self._rows(found, place.name or place.absolute().name, place.parent, column)

    def _remote(self, place: str, pages: Path, progress: Progress) -> RowSource:
        query = None if place.startswith(mp_api.SCHEME) else optimade.Query(place, filter=self.filter)
        name = place if query is None else query.name
        kept = pages / hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
        rows = mp_api.rows_of(place, kept) if query is None else optimade.rows_of(query, kept, progress=progress)
        found = Source(rows if self.limit is None else islice(rows, self.limit), "key")
        if not found.first:
            raise ValueError(f"{name} has no structures")
        if all(row.problem for row in found.first):
            raise ValueError(f"{name}: no row can be read; row 0: {': '.join(found.first[0].problem or ())}")
        return self._rows(found, name, Path(), None)

    def _rows(self, found: Source, source: str, folder: Path, structure: str | None) -> RowSource:
        asked = None if self.targets is None else named("targets", self.targets)
        try:
            roles = choose_roles(
                found,
                targets=asked or {},
                structure=structure,
                formula=self.formula,
                id_=self.id,
                groups={},
            )
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from error
        taken = {roles.structure, roles.id, roles.smiles, *(() if roles.has_structures else (roles.formula,))}
        worded: set[str] = set()
        if asked is None:
            targets, worded = _told(found, taken, self.words)
        else:
            targets = asked
        column = roles.structure if roles.has_structures else roles.smiles or roles.formula
        stem = source if ":" in source else plain_name(source).split(".")[0]

        def row_of(number: int, row: Row) -> StoreRow:
            name = row.id or f"{stem}:{number}"
            if row.problem is not None:
                return StoreRow(number, name, None, {}, row.problem, row.line)
            values: dict[str, Value] = {}
            try:
                if roles.id is not None:
                    name = label_of(row.get(roles.id)) or name
                content = row.structure if column is None else row.get(column)
                if roles.has_structures:
                    content = _loaded(content, folder)
                elif roles.smiles and isinstance(content, str):
                    content = Smiles(content)
                for target, key in targets.items():
                    raw = row.get(key)
                    values[target] = _word(raw) if target in worded else _value(raw, target, strict=asked is not None)
            except BadValueError as error:
                return StoreRow(number, name, None, {}, ("id", str(error)), row.line)
            except ValueError as error:
                return StoreRow(number, name, None, {}, ("read", str(error)), row.line)
            return StoreRow(number, name, content, values, None, row.line)

        first = [row_of(number, row) for number, row in enumerate(found.first)]
        rows = (row_of(number, row) for number, row in enumerate(found.rows))
        columns = {name: any(isinstance(row.values.get(name), str) for row in first) for name in targets}
        return RowSource(source, rows, first, roles.has_structures, columns)


REMOTE = (optimade.SCHEME, mp_api.SCHEME)
"""What sources begin with that are no files."""


def place_of(source: PathOrStr) -> Path | str:
    """Return a source as a path, or as it is where it is none."""
    return source if isinstance(source, str) and source.startswith(REMOTE) else Path(source)


def blocks(rows: Iterator[StoreRow], size: int) -> Iterator[list[StoreRow]]:
    """Yield rows in blocks of so many, the last one with those that are left."""
    block: list[StoreRow] = []
    for row in rows:
        block.append(row)
        if len(block) == size:
            yield block
            block = []
    if block:
        yield block


def _told(found: Source, taken: set[str | None], words: bool) -> tuple[dict[str, str], set[str]]:
    """Return the names of all values that are numbers or truth values, by a look at the first rows; and short words."""
    names = dict.fromkeys(name for row in found.first for name in row.fields if name not in taken)
    targets, worded = {}, set()
    for name in names:
        if name.lower() in ("", "index", "unnamed: 0"):
            continue
        raws = [row.fields.get(name) for row in found.first]
        if column_kind(raws) in ("number", "boolean"):
            targets[name] = name
        elif words and all(map(_is_short, raws)) and any(map(_word, raws)):
            targets[name] = name
            worded.add(name)
    return targets, worded


def _is_short(raw: Any) -> bool:
    """Return whether a value is a number or some words, and no text."""
    if isinstance(raw, str):
        return len(raw) <= _LONGEST_WORDS and "\n" not in raw
    return kind_of(raw) in ("missing", "boolean", "number")


def _word(raw: Any) -> str | None:
    try:
        return None if kind_of(raw) == "missing" else label_of(raw)
    except BadValueError:
        return None


def _value(raw: Any, target: str, *, strict: bool) -> Value:
    if type(raw) is float and math.isfinite(raw):
        return raw
    kind = kind_of(raw)
    if kind == "number":
        return number_of(raw)
    if kind == "boolean":
        return float(str(raw).strip().lower() == "true")
    if kind == "word" and strict:
        return str(raw).strip()
    if kind == "missing" or not strict:
        return None
    raise ValueError(f"target {target!r} must be a number or a word, got {repr(raw)[:60]}")


def _loaded(content: Any, folder: Path) -> Any:
    """Return a structure that is in a file of its own, and others as they are: a worker may not see the file."""
    if isinstance(content, str) and "\n" not in content and 0 < len(content) < 1000 and content.lstrip()[:1] != "{":
        try:
            there = (folder / content.strip()).is_file()
        except (OSError, ValueError):
            there = False
        return atoms_of(content, folder, allow_close=True) if there else content
    return content
