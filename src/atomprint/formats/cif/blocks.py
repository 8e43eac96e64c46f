"""The text of a CIF as data blocks with values and columns by their tags; read by gemmi."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import gemmi

# A number of CIF, perhaps with its standard uncertainty in brackets, and a quotient, which is none but clear.
_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?:\(\d+\))?")
_QUOTIENT = re.compile(r"([+-]?\d+)/([1-9]\d*)")
_PLAIN = frozenset("+-.0123456789eE")
_NOTHING = frozenset({"", "?", "."})
_QUOTES = frozenset("'\";")
_WHERE = re.compile(r"string:(\d+)(?::\d+\(\d+\))?(?: in [^:]*)?: *(.*)", re.DOTALL)

# Characters of typesetters that have a meaning. All others beyond ASCII, as in names of authors, become an asterisk,
# which is no symbol and no number.
_TYPESET = str.maketrans({"−": "-", "–": "-", "\u00a0": " ", "\u2009": " ", "\u202f": " ", "\u200b": ""})
_FOREIGN = re.compile(r"[^\x00-\x7f]")
_OVERLINED = re.compile(r"([1346])[\u0304\u0305]")


class Block:
    """A data block.

    Tags are in lower case, with ``_`` for the dot of newer dictionaries: ``_atom_site_fract_x`` is
    ``_atom_site.fract_x``, too.
    """

    __slots__ = ("_block", "_cells", "_columns", "_document", "_twice", "_values", "name")

    def __init__(self, document: Any, block: Any) -> None:
        self._document, self._block = document, block  # these own what the loops refer to
        self.name: str = block.name.strip()
        items = list(block)
        pairs = [item.pair for item in items]
        given = [(_tag(pair[0]), pair[1]) for pair in pairs if pair is not None]
        self._values: dict[str, str] = dict(given)
        self._columns: dict[str, tuple[Any, int]] = {}
        self._cells: dict[int, list[str]] = {}
        self._twice: set[str] = set()
        if len(self._values) < len(given):
            self._twice.update(tag for tag, value in given if self._values[tag] != value)
        for item, pair in zip(items, pairs, strict=True):
            if pair is None and (loop := item.loop) is not None:
                for at, name in enumerate(loop.tags):
                    tag = _tag(name)
                    if tag in self._columns:
                        self._twice.add(tag)
                    self._columns[tag] = (loop, at)

    def text(self) -> str:
        """Return the block as text."""
        return str(self._block.as_string())

    def tags(self) -> Iterator[str]:
        """Yield the tags of all values and columns."""
        yield from self._values
        yield from self._columns

    def value(self, *tags: str) -> str | None:
        """Return the first value that is given under one of these tags; None if there is none.

        Raises
        ------
        ValueError
            If there are two that differ.
        """
        for tag in tags:
            if (raw := self._values.get(tag)) is not None:
                if tag in self._twice:
                    raise ValueError(f"{tag} is given twice, with different values")
                if (text := unquoted(raw)) is not None:
                    return text
            elif tag in self._columns:
                given = {text for text in self.column(tag) or () if text is not None}
                if len(given) > 1:
                    raise ValueError(f"{tag} must have one value, got {sorted(given)[:3]}")
                if given:
                    return given.pop()
        return None

    def number(self, *tags: str) -> float | None:
        """Return the first number that is given under one of these tags; see :meth:`value`."""
        for tag in tags:
            if (text := self.value(tag)) is not None:
                try:
                    return number(text)
                except ValueError as error:
                    raise ValueError(f"{tag}: {error}") from None
        return None

    def numbers(self, tags: Sequence[str]) -> list[float | None]:
        """Return the number of each tag, None where it is not given."""
        raws = [self._values.get(tag) for tag in tags]
        if None not in raws and not self._twice and _PLAIN.issuperset("".join(raws)):  # type: ignore[arg-type]
            try:
                return list(map(float, raws))  # type: ignore[arg-type]
            except ValueError:
                pass
        return [self.number(tag) for tag in tags]

    def raw(self, tag: str) -> Sequence[str] | None:
        """Return a column as it is written, with quotes; a single value is a column of one."""
        if tag in self._twice:
            raise ValueError(f"{tag} is given twice")
        found = self._columns.get(tag)
        if found is None:
            return [self._values[tag]] if tag in self._values else None
        loop, at = found
        place = id(loop)
        if place not in self._cells:
            self._cells[place] = loop.values
        return self._cells[place][at :: loop.width()]

    def written(self, tag: str) -> tuple[str, ...]:
        """Return all that is given under a tag as it is written, in a form that can be looked up."""
        value = self._values.get(tag)
        return tuple(self.raw(tag) or ()) if value is None or tag in self._twice else (value,)

    def column(self, tag: str) -> list[str | None] | None:
        """Return a column as texts, None in place of what is not known."""
        values = self.raw(tag)
        if values is None:
            return None
        if _QUOTES.isdisjoint("".join(values)):
            return [None if value in _NOTHING else value for value in values]
        return [unquoted(value) for value in values]

    def has(self, tag: str) -> bool:
        """Return whether there is a value or a column of this tag."""
        return tag in self._values or tag in self._columns

    def loop_of(self, tag: str) -> int | None:
        """Return a number for the loop in which a tag is, 0 for a single value, None if there is none."""
        found = self._columns.get(tag)
        return id(found[0]) if found is not None else 0 if tag in self._values else None


def read_blocks(text: str) -> list[Block]:
    """Return the data blocks of a CIF.

    Raises
    ------
    ValueError
        If the text breaks the rules of the format; the message names the line.
    """
    if "\n" not in text and "\\n" in text:  # as some tables hold it
        text = text.replace("\\r", "").replace("\\n", "\n")
    text = text.removeprefix("\ufeff").rstrip("\x00\x1a \t\r\n") + "\n"
    if not text.isascii():
        text = _FOREIGN.sub("*", _OVERLINED.sub(r"-\1", text).translate(_TYPESET))
    try:
        document = gemmi.cif.read_string(text, 0)
    except (ValueError, RuntimeError) as error:
        found = _WHERE.fullmatch(str(error))
        reason = f"line {found[1]}: {found[2].strip()}" if found else str(error)
        raise ValueError(f"this is no CIF that can be read: {reason}") from None
    return [Block(document, block) for block in document]


@lru_cache(maxsize=4096)
def _tag(name: str) -> str:
    return name.lower().replace(".", "_")


def unquoted(raw: str) -> str | None:
    """Return a value without its quotes; None for ``?``, ``.`` and nothing."""
    if raw[:1] in _QUOTES:
        raw = gemmi.cif.as_string(raw).strip()
    return None if raw in _NOTHING else raw


def number(text: str) -> float:
    """Return a number, which may have an uncertainty in brackets, or be a quotient such as ``1/3``."""
    if _PLAIN.issuperset(text):
        try:
            return float(text)
        except ValueError:
            pass
    if found := _NUMBER.fullmatch(text):
        return float(found[1])
    if found := _QUOTIENT.fullmatch(text):
        return int(found[1]) / int(found[2])
    raise ValueError(f"{text!r} is no number{' (a decimal comma?)' if ',' in text else ''}")


def numbers(raw: Sequence[str]) -> list[float | None]:
    """Return a column of numbers, None in place of what is not known."""
    if _PLAIN.issuperset("".join(raw)):
        try:
            return list(map(float, raw))
        except ValueError:
            pass
    return [None if (text := unquoted(value)) is None else number(text) for value in raw]


def unit_of(raw: str) -> float:
    """Return what the last digit of a number counts, which bounds how far it was rounded."""
    text = unquoted(raw) or ""
    _, _, decimals = text.partition("(")[0].partition(".")
    if "/" in text or not decimals.isdecimal():
        return 0.0
    return float(10.0 ** -len(decimals))
