"""Rows of JSON files: lists of records, tables of pandas, databases of ASE, pymatgen objects and OPTIMADE entries."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from atomprint.formats.folders import read_database
from atomprint.formats.opening import BROKEN, open_binary, open_text
from atomprint.formats.roles import is_usual
from atomprint.formats.source import Row
from atomprint.formats.structures import is_structure_dict
from atomprint.formats.values import kind_of
from atomprint.util.text import kind_in_words

_OF_STRUCTURES = (
    "sites",
    "lattice",
    "@module",
    "@class",
    "numbers",
    "positions",
    "cell",
    "pbc",
    "lattice_mat",
    "coords",
)


def read_json_lines(path: Path) -> Iterator[Row]:
    """Yield the rows of a file with a JSON record on each line, as of OPTIMADE.

    Lines that are no structure (``"x-optimade"``, ``"info"``, ``"references"``) are left out. A line that is no JSON is
    a row with a problem.
    """
    try:
        with open_text(path) as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    record = json.loads(line, object_pairs_hook=_once)
                except (ValueError, RecursionError) as error:
                    yield Row(problem=("read", f"line {number} is no JSON: {error}"), line=number)
                    continue
                if isinstance(record, Mapping) and not _is_remark(record):
                    yield replace(row_of_record(record), line=number)
                elif not isinstance(record, Mapping):
                    what = f"line {number} must be a record, got {kind_in_words(record)}"
                    yield Row(problem=("read", what), line=number)
    except BROKEN as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from error


def _is_remark(record: Mapping[str, Any]) -> bool:
    return "x-optimade" in record or (
        "type" in record
        and "id" in record
        and record["type"] != "structures"
        and ("attributes" in record or "properties" in record)
    )


def read_json(path: Path) -> Iterator[Row]:
    """Yield the rows of a JSON file, of whichever form it is.

    Raises
    ------
    ValueError
        If it is no JSON, or of no form that is known.
    """
    try:
        with open_binary(path) as file:
            start = file.read(200).decode("utf-8", errors="replace")
    except BROKEN as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from error
    if re.match(r'\s*\{\s*"(index|columns|data)"\s*:\s*\[', start) and (rows := _streamed(path)) is not None:
        yield from rows
        return
    try:
        content = _load(path)
    except _SeveralError:
        yield from read_json_lines(path)
        return
    if isinstance(content, list):
        if content and all(isinstance(record, list) for record in content):
            raise ValueError(f"{path.name} has no names of columns: write it with orient='records', for example")
        yield from (row_of_record(record) for record in content)
    elif not isinstance(content, Mapping):
        raise ValueError(f"{path.name} must hold a list or a mapping, got {kind_in_words(content)}")
    elif "nextid" in content and "ids" in content:
        yield from read_database(path)
    elif isinstance(content.get("columns"), list) and isinstance(content.get("data"), list):
        yield from _split_rows(content["columns"], content.get("index"), content["data"])
    elif _is_record(content):
        yield row_of_record(content)
    elif content and all(isinstance(value, Mapping) for value in content.values()):
        yield from _nested(content)
    elif len(lists := [value for value in content.values() if _is_records(value)]) == 1:
        yield from _labelled(content, lists[0])
    elif any(is_usual(key) for key in content):
        yield row_of_record(content)
    else:
        raise ValueError(
            f"{path.name} must be a list of records, a table of pandas, "
            f"an ASE database, a pymatgen object or OPTIMADE, got a mapping with the keys {list(content)[:10]}"
        )


class _SeveralError(Exception):
    """A file that holds one JSON text after the other."""


def _load(path: Path) -> Any:
    try:
        with open_text(path) as file:
            return json.load(file, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and error.lineno == 2:
            raise _SeveralError from error
        raise ValueError(f"{path.name} is no JSON: {error}") from error
    except RecursionError as error:
        raise ValueError(f"{path.name} is nested too deeply") from error
    except BROKEN as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a mapping, or raise where a key occurs twice: all but the last value would be lost."""
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in found if keys.count(key) > 1)
        raise ValueError(f"a mapping must have different keys, got {twice!r} twice")
    return found


def _is_records(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(record, Mapping) for record in value)


def _labelled(content: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    """Yield rows of a list of records, with their names where it is a table of pandas (orient ``table``)."""
    schema = content.get("schema")
    keys = schema.get("primaryKey") if isinstance(schema, Mapping) else None
    key = keys[0] if isinstance(keys, list) and len(keys) == 1 else None
    for record in records:
        rest = {name: value for name, value in record.items() if name != key}
        yield row_of_record(rest, "" if key is None else _label(record.get(key)))


def _streamed(path: Path) -> Iterator[Row] | None:
    """Return the rows of a table in pandas' ``split`` form one at a time; None if there is no ijson to do that."""
    try:
        import ijson
    except ImportError:
        return None

    def items(prefix: str) -> Iterator[Any]:
        try:
            with open_binary(path) as file:
                yield from ijson.items(file, prefix, use_float=True)
        except BROKEN as error:
            raise ValueError(f"{path.name} cannot be read: {error}") from error

    try:
        columns, index = (next(items(name), None) for name in ("columns", "index"))  # and no further than they go
    except ijson.JSONError:
        return None
    index = index if isinstance(index, list) else []
    if not isinstance(columns, list) or not columns:
        return None  # another form, that has "data" too

    def rows() -> Iterator[Row]:
        done = 0
        try:
            for row in _split_rows(columns, index, items("data.item")):
                yield row
                done += 1
        except ijson.JSONError:
            # NaN, which Python writes, is no JSON and unknown to ijson.
            yield from _split_rows(columns, index[done:], _load(path)["data"][done:])

    return rows()


def _split_rows(columns: Sequence[Any], index: Sequence[Any] | None, data: Any) -> Iterator[Row]:
    for number, cells in enumerate(data):
        name = _label(index[number]) if index and number < len(index) else ""
        if not isinstance(cells, list) or len(cells) != len(columns):
            yield Row(id=name, problem=("read", f"the row must be a list of {len(columns)} cells"))
        else:
            yield row_of_record(dict(zip(map(str, columns), cells, strict=True)), name)


def _nested(content: Mapping[str, Mapping[str, Any]]) -> Iterator[Row]:
    """Yield the rows of ``{column: {row: value}}``, ``{id: record}`` or ``{id: {id: record}}``, whichever it is."""
    inner = [value for values in content.values() for value in values.values()]
    are_records = bool(inner) and all(isinstance(value, Mapping) and _is_record(value) for value in inner)
    if are_records and not any(_is_record(values) for values in content.values()):  # by material and frame
        for outer, values in content.items():
            yield from (row_of_record(record, f"{outer}/{name}") for name, record in values.items())
        return
    if not _has_columns_outside(content):
        yield from (row_of_record(record, _label(name)) for name, record in content.items())
        return
    labels = dict.fromkeys(label for values in content.values() for label in values)
    for label in labels:
        yield row_of_record({column: values.get(label) for column, values in content.items()}, _label(label))


def _has_columns_outside(content: Mapping[str, Mapping[str, Any]]) -> bool:
    """Return whether the outer keys of a mapping of mappings name the columns, and not the inner ones.

    Names tell, as those of structures and formulas; numbers, which are rows; or values, which are alike in a column.
    """
    inside = dict.fromkeys(key for values in content.values() for key in values)
    if any(_is_record(values) for values in content.values()):
        return False
    for tells in (is_usual, str.isdecimal):
        outer, inner = any(map(tells, content)), any(map(tells, inside))
        if outer != inner:
            return outer if tells is is_usual else inner
    by_column = [{kind_of(value) for value in values.values()} - {"missing"} for values in content.values()]
    by_key = [{kind_of(values.get(key)) for values in content.values()} - {"missing"} for key in inside]
    return max(map(len, by_column), default=0) <= 1 < max(map(len, by_key), default=0)


def _is_record(content: Mapping[str, Any]) -> bool:
    """Return whether a mapping is a structure, or has one beside its properties."""
    if _is_structure(content):
        return True
    attributes, structure = content.get("attributes"), content.get("structure")
    if isinstance(attributes, Mapping) and "cartesian_site_positions" in attributes:
        return True
    return isinstance(structure, str) or (isinstance(structure, Mapping) and is_structure_dict(structure))


def _label(index: Any) -> str:
    """Return the label of a row of pandas; a row number is no name."""
    return "" if str(index).isdecimal() else str(index)


def row_of_record(record: Any, name: str = "") -> Row:
    """Return a record of JSON, such as an entry of OPTIMADE, as a row."""
    if not isinstance(record, Mapping):
        return Row(id=name, problem=("read", f"a record must be a mapping, got {kind_in_words(record)}"))
    if "attributes" in record and "cartesian_site_positions" in (record["attributes"] or {}):  # OPTIMADE
        return Row(
            record["attributes"],
            record["attributes"],
            id=name or str(record.get("id") or record["attributes"].get("immutable_id") or ""),
        )
    if _is_structure(record):
        fields = {key: value for key, value in record.items() if key not in _OF_STRUCTURES}
        properties = record.get("properties")
        return Row({**fields, **properties} if isinstance(properties, Mapping) else fields, record, id=name)
    if str(record.get("@class", "")).startswith("Computed"):  # pymatgen's ComputedStructureEntry
        data = record.get("data")
        entry = {key: value for key, value in record.items() if not key.startswith("@") and key != "data"}
        fields = {**data, **entry} if isinstance(data, Mapping) else entry
        return Row(fields, record.get("structure"), id=name or str(record.get("entry_id") or ""))
    return Row(record, id=name)


def _is_structure(record: Mapping[str, Any]) -> bool:
    return isinstance(record.get("sites"), list) or (is_structure_dict(record) and "atoms" not in record)
