"""Text of others: where it is shown or written it is nothing but text."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

# What steers a terminal (also the direction of text), and halves of characters, which no file can hold; not new lines.
_STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")  # what spreadsheets take for a formula to carry out
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_OF_PYTHON = re.compile(
    r"NoneType|object (has|is|of|at|does|cannot)\b|out of range|out of bounds|to unpack|invalid literal"
    r"|could not convert"
    r"|unsupported operand|argument|unhashable|inhomogeneous|setting an array|not supported between|__\w+__"
    r"|cannot convert|must be real number|expected str|codec|broadcast"
)
_AT_ONCE = 10_000  # rows that are in memory as text at once


def in_words(error: BaseException, otherwise: str = "it is damaged, or of another form") -> str:
    """Return what an error says, in one line; something else where it speaks of the program that met it."""
    if isinstance(error, KeyError):
        return f"{error.args[0]!r} is missing" if error.args else otherwise
    if isinstance(error, MemoryError):
        return "it needs more memory than there is"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    said = " ".join(str(error).split())
    return otherwise if not said or isinstance(error, UnicodeError) or _OF_PYTHON.search(said) else said


def kind_in_words(value: Any) -> str:
    """Return what a value from JSON is called there."""
    names = {type(None): "null", bool: "true or false", str: "text", list: "a list", dict: "a mapping"}
    return names.get(type(value), "a number")


def counted(n: int, one: str) -> str:
    """Return a number with what it is of: 1 row, 2 rows."""
    return f"{n:,} {one}{'' if n == 1 else 's'}"


def share(n: int, n_all: int, one: str) -> str:
    """Return how many of all are meant, with the verb: 1 of 2 rows is, 2 of 2 rows are."""
    return f"{n:,} of {counted(n_all, one)} {'is' if n == 1 else 'are'}"


def with_unit(words: str, unit: str) -> str:
    """Return the name of a quantity with its unit, unless it has that already, as columns of tables often do."""
    given = any(words.endswith(f"{left}{unit}{right}") for left, right in ("()", "[]")) if unit else True
    return words if given else f"{words} ({unit})"


def visible(text: str) -> str:
    r"""Return text in which characters that would steer a terminal are written out, such as ``\x1b``."""
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape", "backslashreplace").decode(), text)


def shown(value: Any) -> str:
    """Return a value as tables for people have it: four digits, yes or no, a dash for nothing."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "yes" if value is True else "no" if value is False else str(value)


def cell(value: Any) -> Any:
    """Return what a cell of a CSV file holds: text that a spreadsheet would carry out has an apostrophe before it."""
    if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a CSV file piece by piece; a cell is empty where a row does not have the column."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(map(cell, columns))
    rows = iter(rows)
    while some := list(islice(rows, _AT_ONCE)):
        writer.writerows([cell(row.get(name)) for name in columns] for row in some)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()
