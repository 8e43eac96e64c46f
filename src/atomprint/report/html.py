"""Building blocks of a page. Text is escaped unless it is :class:`Html`, so that no name can break the page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, TypeAlias

from atomprint.learn.task.metrics import Metric, Spread
from atomprint.report.plots.style import data_uri

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Html(str):
    """Text that is HTML already and is not escaped any more."""

    __slots__ = ()


Markup: TypeAlias = "str | Iterable[Markup] | None"
"""Text, HTML, several of them, or nothing."""


@dataclass(frozen=True)
class Section:
    """A part of a page with a heading and an entry in the table of contents.

    Parameters
    ----------
    id : str
        Anchor, unique on the page.
    title : str
        Heading.
    body : Html
        What follows it.
    sections : sequence of Section
        Sections one level below.
    folded : bool
        Whether only the heading is seen until somebody opens it.
    """

    id: str
    title: str
    body: Html
    sections: Sequence[Section] = ()
    folded: bool = False

    def html(self, level: int = 2) -> Html:
        """Return the section with all sections below it."""
        heading, below = tag(f"h{level}", self.title), [s.html(level + 1) for s in self.sections]
        if self.folded:
            return tag(
                "details", tag("summary", heading), self.body, below, id=self.id, class_=f"section level-{level}"
            )
        return tag("section", heading, self.body, below, id=self.id)

    def contents(self) -> Html:
        """Return the entry of the table of contents."""
        below = tag("ul", [section.contents() for section in self.sections]) if self.sections else None
        return tag("li", tag("a", self.title, href=f"#{self.id}"), below)


def join(content: Markup) -> Html:
    """Return content as HTML: text is escaped, items of a sequence follow each other."""
    if content is None:
        return Html()
    if isinstance(content, Html):
        return content
    if isinstance(content, str):
        return Html(escape(content))
    return Html("".join(join(item) for item in content))


def tag(name: str, *content: Markup, **attributes: str | int | None) -> Html:
    """Return an element; ``class_`` is ``class``, and attributes that are None are left out."""
    given = "".join(
        f' {key.rstrip("_")}="{escape(str(value))}"' for key, value in attributes.items() if value is not None
    )
    return Html(f"<{name}{given}>{''.join(join(item) for item in content)}</{name}>")


def paragraph(*content: Markup, class_: str | None = None) -> Html:
    """Return a paragraph."""
    return tag("p", *content, class_=class_)


def bold(*content: Markup) -> Html:
    """Return content that stands out."""
    return tag("b", *content)


def bullets(items: Iterable[Markup]) -> Html:
    """Return a list."""
    return tag("ul", [tag("li", item) for item in items], class_="bullets")


def folded(summary: Markup, *content: Markup) -> Html:
    """Return content of which only a line is seen until somebody opens it."""
    return tag("details", tag("summary", summary), *content)


def definitions(entries: Iterable[tuple[Markup, Markup]]) -> Html:
    """Return terms and what is to be said of each."""
    return tag("dl", [join((tag("dt", term), tag("dd", words))) for term, words in entries])


def image(figure: Figure, alt: str) -> Html:
    """Return a plot, with what it shows in words for those who cannot see it."""
    width, height = figure.get_size_inches() * 96
    return Html(f'<img src="{data_uri(figure)}" alt="{escape(alt)}" width="{width:.0f}" height="{height:.0f}">')


def captioned(figure: Figure, alt: str, *caption: Markup, large: bool = False) -> Html:
    """Return a plot with words below it; a large one is not made smaller than it can be read, but scrolled."""
    words, picture = join(caption), image(figure, alt)
    picture = tag("div", picture, class_="large") if large else picture
    return tag("figure", picture, tag("figcaption", words) if words else None)


def side_by_side(*content: Markup) -> Html:
    """Return items beside each other where there is room."""
    return tag("div", *content, class_="row")


def table(
    headers: Sequence[Markup],
    rows: Iterable[Sequence[Markup]],
    *,
    numeric_from: int = 99,
    numeric_until: int = 99,
    spans: Sequence[tuple[str, int]] = (),
    caption: Markup = None,
) -> Html:
    """Return a table.

    Parameters
    ----------
    headers : sequence of content
        Heads of the columns; empty for a table without heads, the first column of which names the rows.
    rows : iterable of sequences of content
        The cells.
    numeric_from, numeric_until : int
        First column of numbers, which are aligned to the right, and first column after them.
    spans : sequence of (str, int)
        Heads above the heads, with the number of columns that each spans.
    caption : content
        What the table shows.
    """

    def cells(name: str, row: Sequence[Markup]) -> Html:
        scope = "col" if name == "th" else None
        return join(
            tag("th", cell, scope="row")
            if not headers and column == 0
            else tag(name, cell, scope=scope, class_="n" if numeric_from <= column < numeric_until else None)
            for column, cell in enumerate(row)
        )

    above = tag("tr", [tag("th", t, colspan=n, scope="colgroup") for t, n in spans], class_="span") if spans else None
    head = tag("thead", above, tag("tr", cells("th", headers))) if headers else None
    body = tag("tbody", [tag("tr", cells("td", row)) for row in rows])
    return tag(
        "div", tag("table", tag("caption", tag("span", caption)) if caption else None, head, body), class_="table"
    )


def figure_of_merit(item: Spread | Metric) -> Html:
    """Return a figure of merit; the reason where there is none is seen when the pointer rests on it."""
    metric = item.mean if isinstance(item, Spread) else item
    return tag("span", "–", title=metric.reason) if metric.value is None else join(minus(str(item)))


def sentence(text: str) -> str:
    """Return text that begins with a capital letter and ends with a full stop."""
    text = text.strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) or not text else '.'}"


def minus(number: str) -> str:
    """Return text in which negative numbers have a proper minus sign; hyphens stay."""
    return re.sub(r"(?<![\w)\]])-(?=[\d.])", "−", number)
