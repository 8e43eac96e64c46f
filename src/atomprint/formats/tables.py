"""Rows of tables: text with commas, semicolons, tabs or blanks between cells, and Parquet."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import IO

from atomprint.formats.opening import BROKEN, open_text, plain_name
from atomprint.formats.source import Row
from atomprint.formats.values import is_number
from atomprint.util.extras import require

TEXT_TABLES = (".csv", ".tsv", ".txt", ".dat")

# A CIF of some 2000 atoms is longer than the 131072 characters that the csv module allows in a cell by itself.
_LONGEST_CELL = 2**31 - 1


def read_table(path: Path) -> Iterator[Row]:
    """Yield the rows of a text table or a Parquet file.

    Raises
    ------
    ImportError
        If it is a Parquet file, and pyarrow is missing.
    ValueError
        If the file has no header and no row.
    """
    if path.suffix.lower() == ".parquet":
        yield from _read_parquet(path)
        return
    with open_text(path) as file:
        yield from read_text_table(path.name, file)


def read_text_table(name: str, file: IO[str]) -> Iterator[Row]:
    """Yield the rows of an open text table; its name tells how it is written.

    Files that end in .csv and .tsv have cells between commas and tabs, or what else the first line has (``;`` or a
    tab); .txt and .dat blanks. If a cell of the first line is a number, there is no header, and the columns are
    ``"0"``, ``"1"`` and so on. Lines that are empty, and in .txt and .dat those that start with ``#``, are left out.
    """
    try:
        lines = iter(file)
        first = next((line for line in lines if line.strip()), None)
        if first is None:
            raise ValueError(f"{name} is empty")
        lines = chain([first], lines)
        ending = Path(plain_name(name)).suffix.lower()
        records = _split_blanks(lines) if ending in (".txt", ".dat") else _split(lines, _delimiter(ending, first))
        header = next(records)
        if not _is_header(header):
            records = chain([header], records)
            header = [str(column) for column in range(len(header))]
        if len(set(header)) != len(header):
            twice = next(column for column in header if header.count(column) > 1)
            raise ValueError(f"{name}: columns must have different names, got {twice!r} twice")
        for record in records:
            if len(record) == len(header):
                yield Row(dict(zip(header, record, strict=True)))
            elif record:
                yield Row(
                    dict(zip(header, record, strict=False)),
                    problem=("read", f"the row has {len(record)} cells, but there are {len(header)} columns"),
                )
    except (csv.Error, *BROKEN) as error:
        raise ValueError(f"{name} cannot be read: {error}") from error


def _delimiter(ending: str, first: str) -> str:
    if ending == ".tsv" or ("\t" in first and "," not in first):
        return "\t"
    return ";" if ";" in first and "," not in first else ","


def _split(lines: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
    return iter(csv.reader(lines, delimiter=delimiter, strict=True))


def _split_blanks(lines: Iterable[str]) -> Iterator[list[str]]:
    return (re.split(r"\s+", line.strip()) for line in lines if line.strip() and not line.lstrip().startswith("#"))


def _is_header(cells: Sequence[str]) -> bool:
    # Columns that pandas named by their places: 0, 1, 2, perhaps after an index without a name.
    if cells and [cell for cell in cells if cell] == [str(i) for i in range(sum(map(bool, cells)))]:
        return True
    return not any(is_number(cell) for cell in cells)


def _read_parquet(path: Path) -> Iterator[Row]:
    parquet = require("pyarrow.parquet", "data", "a Parquet file")
    try:
        with parquet.ParquetFile(path) as file:
            # What pandas calls an index without a name.
            columns = [name for name in file.schema_arrow.names if not re.fullmatch(r"__index_level_\d+__", name)]
            for batch in file.iter_batches(batch_size=1000, columns=columns):
                yield from map(Row, batch.to_pylist())
    except (ValueError, OSError) as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from error
