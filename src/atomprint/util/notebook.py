"""How objects are shown in notebooks: a title, a few lines, a table. All text is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

_LINE = "text-align: left; vertical-align: top; padding: .1em .8em .1em 0;"
MOST_ROWS = 10
"""Rows of a table that are shown."""


def card(
    title: str,
    lines: Iterable[tuple[str, str]] = (),
    headers: Sequence[str] = (),
    rows: Sequence[Sequence[str]] = (),
    *,
    n_rows: int | None = None,
) -> str:
    """Return a piece of HTML.

    Parameters
    ----------
    title : str
        Heading.
    lines : iterable of (str, str)
        Heads and texts; those without a text are left out.
    headers, rows : sequence of str, and of these
        A table below.
    n_rows : int, optional
        How many rows there are, where not all are given: what is missing is said.

    Returns
    -------
    str
    """
    parts = [f"<b>{escape(title)}</b>"]
    told = [(head, text) for head, text in lines if text]
    if told:
        parts += ["<table>", *(_row("td", line, first="th") for line in told), "</table>"]
    if rows:
        parts += ["<table>", _row("th", headers), *(_row("td", row) for row in rows), "</table>"]
        if n_rows is not None and n_rows > len(rows):
            parts.append(f"<small>{n_rows - len(rows):,} more</small>")
    return f"<div>{''.join(parts)}</div>"


def _row(name: str, cells: Sequence[str], first: str | None = None) -> str:
    names = [first or name, *[name] * (len(cells) - 1)]
    inner = "".join(f'<{n} style="{_LINE}">{escape(cell)}</{n}>' for n, cell in zip(names, cells, strict=True))
    return f"<tr>{inner}</tr>"
