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
from atomprint.formats.source import Row


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
                    record = json.loads(line)
                except json.JSONDecodeError as error:
                    yield Row(problem=("read", f"line {number} is no JSON: {error}"), line=number)
                    continue
                if isinstance(record, Mapping) and not _is_remark(record):
                    yield replace(_row(record), line=number)
                elif not isinstance(record, Mapping):
                    what = f"line {number} must be a record, got a {type(record).__name__}"
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
    content = _load(path)
    if isinstance(content, list):
        yield from (_row(record) for record in content)
    elif not isinstance(content, Mapping):
        raise ValueError(f"{path.name} must hold a list or a mapping, got {type(content).__name__}")
    elif "nextid" in content and "ids" in content:
        yield from read_database(path)
    elif {"columns", "data"} <= content.keys():
        yield from _split_rows(content["columns"], content.get("index"), content["data"])
    elif _is_structure(content) or "structure" in content or "attributes" in content:
        yield _row(content)
    elif isinstance(content.get("data"), list):  # an answer of an OPTIMADE server
        yield from (_row(record) for record in content["data"])
    elif content and all(isinstance(value, Mapping) for value in content.values()):
        yield from _nested(content)
    else:
        raise ValueError(
            f"{path.name} must be a list of records, a table of pandas, "
            f"an ASE database, a pymatgen object or OPTIMADE, got a mapping with the keys {list(content)[:10]}"
        )


def _load(path: Path) -> Any:
    try:
        with open_text(path) as file:
            return json.load(file)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path.name} is no JSON: {error}") from error
    except BROKEN as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from error


def _streamed(path: Path) -> Iterator[Row] | None:
    """Return the rows of a table in pandas' ``split`` form one at a time; None if there is no ijson to do that."""
    try:
        import ijson
    except ImportError:
        return None

    def items(prefix: str) -> Iterator[Any]:
        with open_binary(path) as file:
            yield from ijson.items(file, prefix, use_float=True)

    try:
        columns, index = list(items("columns.item")), list(items("index.item"))
    except ijson.JSONError:
        return None
    if not columns:
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
            yield _row(dict(zip(map(str, columns), cells, strict=True)), name)


def _nested(content: Mapping[str, Mapping[str, Any]]) -> Iterator[Row]:
    """Yield rows of ``{column: {row: value}}`` if the inner keys are numbers, else of ``{id: record}``."""
    labels = list(next(iter(content.values())))
    if labels and all(re.fullmatch(r"\d+", label) for label in labels):
        for label in labels:
            yield _row({column: values.get(label) for column, values in content.items()}, _label(label))
    else:
        yield from (_row(record, name) for name, record in content.items())


def _label(index: Any) -> str:
    """Return the label of a row of pandas; a row number is no name."""
    return "" if str(index).isdecimal() else str(index)


def _row(record: Any, name: str = "") -> Row:
    if not isinstance(record, Mapping):
        return Row(id=name, problem=("read", f"a record must be a mapping, got {type(record).__name__}"))
    if "attributes" in record and "cartesian_site_positions" in (record["attributes"] or {}):  # OPTIMADE
        return Row(record["attributes"], record["attributes"], id=name or str(record.get("id", "")))
    if _is_structure(record):
        fields = {key: value for key, value in record.items() if key not in ("sites", "lattice", "@module", "@class")}
        properties = record.get("properties")
        return Row({**fields, **properties} if isinstance(properties, Mapping) else fields, record, id=name)
    if str(record.get("@class", "")).startswith("Computed"):  # pymatgen's ComputedStructureEntry
        data = record.get("data")
        entry = {key: value for key, value in record.items() if not key.startswith("@") and key != "data"}
        fields = {**data, **entry} if isinstance(data, Mapping) else entry
        return Row(fields, record.get("structure"), id=name or str(record.get("entry_id") or ""))
    return Row(record, id=name)


def _is_structure(record: Mapping[str, Any]) -> bool:
    return isinstance(record.get("sites"), list)
