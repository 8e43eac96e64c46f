"""Rows of tables: text with commas, semicolons, tabs or blanks between cells, and Parquet."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path
from typing import IO, NamedTuple

from atomprint.chemistry.formula import parse_formula
from atomprint.formats.opening import BROKEN, open_binary, open_text, plain_name
from atomprint.formats.roles import is_usual
from atomprint.formats.source import Row
from atomprint.formats.values import is_missing, is_number
from atomprint.util.extras import require

TEXT_TABLES = (".csv", ".tsv", ".txt", ".dat")

OTHER_TABLES: Mapping[str, str] = {
    **dict.fromkeys((".xlsx", ".xlsm", ".xls", ".ods", ".numbers"), "a spreadsheet: save the sheet as CSV"),
    **dict.fromkeys((".pkl", ".pickle", ".joblib"), "a pickle, which could run code: write to_parquet or to_json"),
    **dict.fromkeys((".feather", ".orc", ".h5", ".hdf5", ".mat", ".npz", ".npy"), "not read: write CSV or Parquet"),
    **dict.fromkeys((".html", ".htm", ".doc", ".docx", ".pdf", ".rtf"), "a document: put its table into a CSV file"),
    **dict.fromkeys((".rar", ".7z", ".lzma", ".zst"), "an archive that is not read: make a zip or tar of it"),
}
"""What other tables, documents and archives are, by the endings of their names, for messages."""

# A CIF of some 2000 atoms is longer than the 131072 characters that the csv module allows in a cell by itself.
_LONGEST_CELL = 2**31 - 1
_DELIMITERS = ",;\t|"
_PEEK = 20
"""How many rows are looked at to tell whether the first one has the names of columns."""


class _Record(NamedTuple):
    """Cells, and the line on which they begin, counted from 1."""

    line: int
    cells: list[str]


def read_table(path: Path) -> Iterator[Row]:
    """Yield the rows of a text table or a Parquet file.

    Raises
    ------
    ImportError
        If it is a Parquet file, and pyarrow is missing.
    ValueError
        If the file has no header and no row, or is no table.
    """
    if path.suffix.lower() == ".parquet":
        yield from _read_parquet(path)
        return
    try:
        with open_binary(path) as binary:
            start = binary.read(8)
        file = open_text(path)
    except BROKEN as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from error
    with file:
        if start.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
            raise ValueError(f"{path.name} is {OTHER_TABLES['.xlsx']}")
        yield from read_text_table(path.name, file)


def read_text_table(name: str, file: IO[str]) -> Iterator[Row]:
    """Yield the rows of an open text table; its name tells how it is written.

    Files that end in .csv and .tsv have cells between commas and tabs, or what else divides the first lines (``;``,
    ``|`` or a tab, or blanks where there is nothing else); .txt and .dat blanks. Whether the first line has the names
    of the columns is told by the lines below it: it has, if a word stands above numbers, or a number above words; it
    has not, if it is like the lines below. Without names columns are ``"0"``, ``"1"`` and so on. Empty lines are left
    out, and lines that start with ``#``, but for one that names the columns.
    """
    try:
        ending = Path(plain_name(name)).suffix.lower()
        lines = enumerate(file, 1)
        start = list(islice(((number, line) for number, line in lines if line.strip()), 2 * _PEEK))
        if not start:
            raise ValueError(f"{name} is empty")
        if any("\0" in line for _, line in start):
            raise ValueError(f"{name} is no text")
        records = _records(ending, start, lines)
        first = list(islice(records, _PEEK))
        if not first:
            raise ValueError(f"{name} is empty")
        width = Counter(len(record.cells) for record in first).most_common(1)[0][0]
        records = (r for r in chain(first, records) if len(r.cells) == width or not r.cells[0].startswith("#"))
        first = list(islice(records, _PEEK))
        if not first:
            raise ValueError(f"{name} is empty")
        while len(first) > 1 and first[0].cells[0].startswith("#") and _is_header([r.cells for r in first[1:]]):
            del first[0]  # a remark with as many commas
        records = chain(first, records)
        if _is_header([record.cells for record in first]):
            header = _names(next(records).cells)
        else:
            header = [str(column) for column in range(max(len(record.cells) for record in first[:1]))]
        if len(set(header)) != len(header):
            twice = next(column for column in header if header.count(column) > 1)
            raise ValueError(f"{name}: columns must have different names, got {twice!r} twice")
        for line, cells in records:
            fields = dict(zip(header, cells, strict=False))
            if len(cells) == len(header) or (len(cells) > len(header) and not any(cells[len(header) :])):
                yield Row(fields, line=line)
            else:
                reason = f"the row has {len(cells)} cells, but there are {len(header)} columns"
                yield Row(fields, problem=("read", reason), line=line)
    except (csv.Error, *BROKEN) as error:
        raise ValueError(f"{name} cannot be read: {error}") from error


def _records(ending: str, start: list[tuple[int, str]], lines: Iterator[tuple[int, str]]) -> Iterator[_Record]:
    """Yield the rows of a text that have a cell with something in it."""
    if ending in (".txt", ".dat") or _has_blanks_alone([line for _, line in start]):
        for number, line in chain(start, lines):
            if line.strip() and not line.lstrip().startswith("#"):
                yield _Record(number, re.split(r"\s+", line.strip()))
        return
    told = re.fullmatch(r"sep=(.)\s*", start[0][1])  # as spreadsheets write it
    delimiter = told[1] if told else _delimiter(ending, [line for _, line in start])
    if told:
        del start[0]
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
    texts = map(itemgetter(1), chain(start, lines))
    reader = csv.reader(texts, delimiter=delimiter, strict=True, skipinitialspace=True)
    n_start, numbers, n_read = len(start), [number for number, _ in start], 0
    for cells in reader:  # a record may go on over several lines
        begin = numbers[n_read] if n_read < n_start else numbers[-1] + n_read - n_start + 1
        n_read = reader.line_num
        if any(cell.strip() for cell in cells):
            yield _Record(begin, cells)


def _has_blanks_alone(lines: Sequence[str]) -> bool:
    """Return whether nothing but blanks can divide lines, and they divide all of them into as many words."""
    counts = {len(line.split()) for line in lines if not line.startswith("#")}
    return not any(set(_DELIMITERS + '"') & set(line) for line in lines) and len(counts) == 1 and counts != {1}


def _delimiter(ending: str, lines: Sequence[str]) -> str:
    """Return what divides the first line, outside of quotes, into as many cells as the next, the most if several do."""
    bare = [re.sub(r'"[^"]*"', "", line) for line in lines[:2]]
    usual = "\t" if ending == ".tsv" else ","

    def suits(delimiter: str) -> tuple[bool, bool, int]:
        counts = [line.count(delimiter) for line in bare]
        # Decimal commas divide a row, but no header, so that semicolons and tabs come first.
        return min(counts) > 0 and len(set(counts)) == 1, delimiter != ",", counts[0]

    found = [delimiter for delimiter in _DELIMITERS if bare[0].count(delimiter)]
    if not found:
        return usual
    if usual in found and suits(usual)[0] and not any(suits(d)[0] for d in found if d != usual):
        return usual
    return max(found, key=suits)


def _names(cells: Sequence[str]) -> list[str]:
    """Return names of columns; those without one are called by their place, as pandas does."""
    names = [cell.strip() for cell in cells]
    if len(names[0]) > 1:
        names[0] = names[0].lstrip("# ")
    return [name or f"unnamed: {place}" for place, name in enumerate(names)]


def _is_header(records: Sequence[Sequence[str]]) -> bool:
    """Return whether the first of some rows names the columns."""
    first, rest = records[0], records[1:]
    if any(is_usual(cell) for cell in first):
        return True
    counted = [cell for cell in first if cell] == [str(i) for i in range(sum(map(bool, first)))]  # as pandas names them
    votes = 0
    for column, cell in enumerate(first):
        below = [record[column] for record in rest if column < len(record) and not is_missing(record[column])]
        if not below or not cell.strip():
            continue
        numbers = [is_number(value) for value in below]
        if is_number(cell):
            votes += -1 if all(numbers) else len(first) * counted
        elif 2 * sum(numbers) > len(numbers):
            votes += -1 if is_missing(cell) else len(first)
        elif all(map(_is_content, below)):
            votes += -1 if _is_content(cell) else 1
    if votes:
        return votes > 0
    return not any(is_number(cell) for cell in first)


def _is_content(cell: str) -> bool:
    """Return whether a cell is a formula of a compound, the name of a file or a text of lines, as no name is."""
    if "\n" in cell or re.search(r"\w\.(cif|vasp|poscar|xyz|extxyz)$", cell.strip(), re.IGNORECASE):
        return True
    try:
        return len(parse_formula(cell)) > 1
    except ValueError:
        return False


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
