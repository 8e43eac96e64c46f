"""From tables of TOML to typed sections of a recipe and back; the message of a mistake says where it is."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

import tomlkit
from tomlkit.items import Array, Item

from atomprint.util.objects import parsed
from atomprint.util.validation import meant

T = TypeVar("T")

AUTO = "auto"
"""What stands in a recipe for features or models that are left to the data."""

_WIDTH = 120  # characters of a line
_TYPES: Mapping[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float), "bool": (bool,)}
_WORDS = {"str": "a string", "int": "an integer", "float": "a number", "bool": "true or false"}


def read_section(cls: type[T], table: Any, where: str, names: Iterable[str] = (), **defaults: Any) -> T:
    """Return the section that a table describes: a dataclass whose fields, or those named, are the entries.

    An error names the entry after ``where``; ``defaults`` are values that differ from those of the class.
    """
    if not isinstance(table, Mapping):
        raise TypeError(f"{where} must be a table, got {table!r}")
    types = entry_types(cls, names)
    check_entries(table, types, where)
    values = {name: typed(value, types[name], f"{where}.{name}") for name, value in table.items()}
    try:
        return cls(**{**defaults, **values})
    except (ValueError, TypeError) as error:
        text = str(error)
        raise type(error)(text if text.startswith(where) else f"{where}.{text}") from error


def entry_types(cls: Any, names: Iterable[str] = ()) -> dict[str, str]:
    """Return the types that the fields of a dataclass are annotated with, or those of some of them."""
    return {f.name: str(f.type) for f in fields(cls) if not names or f.name in names}


def check_entries(table: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    """Raise if a table has an entry that is not known."""
    known = list(known)
    for name in table:
        if name not in known:
            raise ValueError(
                f"{where + '.' if where else ''}{name} is not an entry of a recipe: {where or 'there'} may have "
                f"{', '.join(known)}{meant(name, known)}"
            )


def typed(value: Any, annotation: str, where: str) -> Any:
    """Return a value if it is of the type that a field is annotated with."""
    name = annotation.removesuffix(" | None")
    if name.startswith("tuple"):
        if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
            raise TypeError(f"{where} must be a list of strings, got {value!r}")
        return tuple(value)
    kinds = name.split(" | ")
    known = tuple(kind for name in kinds for kind in _TYPES[name])
    if not isinstance(value, known) or (isinstance(value, bool) and bool not in known):
        raise TypeError(f"{where} must be {' or '.join(_WORDS[kind] for kind in kinds)}, got {value!r}")
    return value


def named_tables(value: Any, where: str, example: str) -> dict[str, dict[str, Any]]:
    """Return the tables of ``[features]`` or ``[models]`` by their keys; none where they are left to the data."""
    if value == AUTO:
        return {}
    if isinstance(value, Mapping) and not value:
        raise ValueError(
            f"{where} must have at least one entry, such as [{where}.{example}], or be left out to be chosen"
        )
    if not isinstance(value, Mapping) or not all(isinstance(entry, Mapping) for entry in value.values()):
        raise TypeError(f'{where} must be "auto" or hold tables, such as [{where}.{example}], got {value!r}')
    return {str(key): dict(entry) for key, entry in value.items()}


def override(table: dict[str, Any], text: str) -> None:
    """Replace one entry of a table of tables, such as ``"models.forest.n_estimators=500"``."""
    name, equals, value = text.partition("=")
    parts = [part.strip() for part in name.split(".")]
    if not equals or not all(parts):
        raise ValueError(f"an override must look like models.forest.n_estimators=500, got {text!r}")
    for part in parts[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise ValueError(f"override {text!r}: {part} is not a table")
    table[parts[-1]] = parsed(value)


def as_toml(value: Any) -> Any:
    """Return tables and lists of what TOML can hold; entries that are None are left out."""
    if isinstance(value, Mapping):
        return {str(k): as_toml(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [as_toml(v) for v in value]
    return value


def toml_text(tables: Mapping[str, Any]) -> str:
    """Return entries and tables as the text of a TOML file, to be read and edited: what is short is on a line."""
    entries = sorted(tables.items(), key=lambda entry: isinstance(entry[1], Mapping))
    return tomlkit.dumps(_filled(tomlkit.document(), dict(entries), 0))


def _filled(table: Any, entries: Mapping[str, Any], depth: int) -> Any:
    """Return a document or table with entries; what does not fit on a line is a table, or has a line for each item."""
    for name, value in entries.items():
        made = _inline(value)
        long = len(f"{name} = {made.as_string()}") > _WIDTH
        if isinstance(value, Mapping) and (long or depth < 2):
            only_tables = depth == 0 and all(isinstance(entry, Mapping) for entry in value.values())
            made = _filled(tomlkit.table(only_tables), value, depth + 1)
        elif long and isinstance(made, Array):
            made.multiline(True)
        table.append(name, made)
    return table


def _inline(value: Any) -> Item:
    """Return a value on one line."""
    if isinstance(value, Mapping):
        table = tomlkit.inline_table()
        for name, entry in value.items():
            table.append(name, _inline(entry))
        return table
    if isinstance(value, list):
        array = tomlkit.array()
        array.extend(map(_inline, value))
        return array
    return tomlkit.item(value)


def comment(sentences: Iterable[str]) -> str:
    """Return sentences as comments of a TOML file, each beginning a line."""
    return "".join(
        textwrap.fill(" ".join(sentence.split()), 118, initial_indent="# ", subsequent_indent="# ") + "\n"
        for sentence in sentences
    )
