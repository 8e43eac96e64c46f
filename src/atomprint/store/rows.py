"""Rows of files as they come, not read any further than is needed to tell them from others."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from atomprint.formats.opening import plain_name
from atomprint.formats.reading import open_source
from atomprint.formats.roles import Names, choose_roles, named
from atomprint.formats.source import Row, Source
from atomprint.formats.structures import atoms_of
from atomprint.formats.values import BadValueError, column_kind, kind_of, label_of, number_of
from atomprint.util.plain import plain
from atomprint.util.types import PathOrStr

Value = float | str | None


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
    """

    name: str
    rows: Iterator[StoreRow]
    first: Sequence[StoreRow]
    has_structures: bool


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
    """

    structure: str | None = None
    formula: str | None = None
    id: str | None = None
    targets: Names | None = None
    table: PathOrStr | None = None
    folder: PathOrStr | None = None
    limit: int | None = None

    def open(self, path: PathOrStr) -> RowSource:
        """Return the rows of a path, of which the first are read.

        Raises
        ------
        FileNotFoundError, ImportError, ValueError
            If there is no such file, a package that reads it is missing, or no row of it can be found.
        """
        place = Path(path)
        form, found = open_source(
            place,
            table=self.table,
            folder=self.folder,
            structure=self.structure,
            formula=self.formula,
            limit=self.limit,
        )
        asked = None if self.targets is None else named("targets", self.targets)
        try:
            roles = choose_roles(
                found,
                targets=asked or {},
                structure=self.structure if form != "files" else None,
                formula=self.formula,
                id_=self.id,
                groups={},
            )
        except ValueError as error:
            raise ValueError(f"{place.name}: {error}") from error
        taken = {roles.structure, roles.id, *(() if roles.has_structures else (roles.formula,))}
        targets = _numbers(found, taken) if asked is None else asked
        column = roles.structure if roles.has_structures else roles.formula
        stem = plain_name(place.name).split(".")[0]

        def row_of(number: int, row: Row) -> StoreRow:
            name = row.id or f"{stem}:{number}"
            if row.problem is not None:
                return StoreRow(number, name, None, {}, row.problem, row.line)
            values: dict[str, Value] = {}
            try:
                if roles.id is not None:
                    name = label_of(row.get(roles.id)) or name
                content = row.structure if column is None else row.get(column)
                content = _loaded(content, place.parent) if roles.has_structures else content
                for target, key in targets.items():
                    values[target] = _value(row.get(key), target, strict=asked is not None)
            except BadValueError as error:
                return StoreRow(number, name, None, {}, ("id", str(error)), row.line)
            except ValueError as error:
                return StoreRow(number, name, None, {}, ("read", str(error)), row.line)
            return StoreRow(number, name, content, values, None, row.line)

        first = [row_of(number, row) for number, row in enumerate(found.first)]
        rows = (row_of(number, row) for number, row in enumerate(found.rows))
        return RowSource(place.name or place.absolute().name, rows, first, roles.has_structures)


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


def _numbers(found: Source, taken: set[str | None]) -> dict[str, str]:
    """Return the names of all values that are numbers or truth values, by a look at the first rows."""
    names = dict.fromkeys(name for row in found.first for name in row.fields if name not in taken)
    passed = ("", "index", "unnamed: 0")
    return {
        name: name
        for name in names
        if name.lower() not in passed
        and column_kind([row.fields.get(name) for row in found.first]) in ("number", "boolean")
    }


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
