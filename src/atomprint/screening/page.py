"""What a screening found, as files: a page, tables and structures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from atomprint.report.drawing import draw_structure
from atomprint.report.html import Html, Section, captioned, image, join, minus, paragraph, side_by_side, table, tag
from atomprint.report.plots import style
from atomprint.report.style import PAGE, STYLE
from atomprint.screening.run import Screening
from atomprint.util.extras import require
from atomprint.util.files import written_atomically
from atomprint.util.plain import plain
from atomprint.util.text import counted, csv_text, shown, with_unit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHOWN = 50  # rows of the table on the page
_DRAWN = 12
_POINTS = 4000  # candidates that a picture shows
_HIDDEN = ("source", "place", "problem")
_OF_EACH = ("_in_domain", "_distance", "_doubt", "_in_training")  # of models: what all of them say is enough on a page


def write_screening(found: Screening, folder: Path, title: str, settings: Mapping[str, Any]) -> dict[str, Path]:
    """Write ``report.html``, ``best.csv``, ``best.extxyz`` for structures, ``candidates.parquet``, ``screening.json``.

    Parameters
    ----------
    found : Screening
        What was found.
    folder : Path
        Where to; made if it is not there.
    title : str
        Heading of the page.
    settings : mapping
        What was asked for.

    Returns
    -------
    dict of str to Path
        The files by name; each is written under a temporary name first.
    """
    parquet = require("pyarrow.parquet", "data", "screening")
    folder.mkdir(parents=True, exist_ok=True)
    rows = found.best.to_pylist()
    told = {
        "n_candidates": found.n,
        "n_failed": found.n_failed,
        "n_outside_domain": found.n_outside,
        "n_passed": found.n_passed,
        "failures": dict(list(found.failures.items())[:100]),
        "settings": dict(settings),
    }
    texts: dict[str, Any] = {
        "best.csv": csv_text(found.best.column_names, rows),
        "screening.json": json.dumps(plain(told), indent=1, ensure_ascii=False) + "\n",
        "report.html": str(page(found, title, settings)),
    }
    written = {}
    for name, text in texts.items():
        with written_atomically(folder / name) as temporary:
            temporary.write_text(text if isinstance(text, str) else "".join(text), encoding="utf-8")
        written[name] = folder / name
    with written_atomically(folder / "candidates.parquet") as temporary:
        parquet.write_table(found.table, temporary)
    written["candidates.parquet"] = folder / "candidates.parquet"
    (folder / "best.extxyz").unlink(missing_ok=True)  # of a screening before this one
    kept = [(row, item) for row, item in zip(rows, found.structures, strict=True) if not isinstance(item, str)]
    if kept:
        from ase.io import write

        frames = []
        for row, structure in kept:
            frame = structure.copy()
            frame.info = {"id": row["id"], "rank": row["rank"]}
            frame.info |= {objective.column: row[objective.column] for objective in found.objectives}
            frames.append(frame)
        with written_atomically(folder / "best.extxyz") as temporary:
            write(temporary, frames, format="extxyz")
        written["best.extxyz"] = folder / "best.extxyz"
    return written


def page(found: Screening, title: str, settings: Mapping[str, Any]) -> Html:
    """Return the page on a screening."""
    sections = [Section("what", "What was asked for", _asked(found, settings))]
    if len(found):
        sections += [Section("best", "The best", _best(found)), Section("where", "Among all", _among(found))]
    if found.failures:
        listed = list(found.failures.items())[:20]
        body = table(("why", "candidates"), [(why, f"{n:,}") for why, n in listed], numeric_from=1)
        sections.append(Section("failed", "Not predicted", body))
    lead = (
        f"{counted(found.n, 'candidate')}, of which {found.n_passed:,} passed all conditions; "
        f"{found.n_outside:,} were outside the domain of a model, and {found.n_failed:,} could not be predicted."
    )
    return Html(
        PAGE.format(
            title=join(title),
            style=STYLE,
            lead=join(lead),
            contents=join([section.contents() for section in sections]),
            main=join([section.html() for section in sections]),
            footer=join("A prediction is no measurement: intervals are for samples like those of the training."),
        )
    )


def _asked(found: Screening, settings: Mapping[str, Any]) -> Html:
    rows = [(name, _words(value)) for name, value in settings.items() if value not in (None, False, ())]
    return table((), [*rows, ("best is", " and ".join(map(str, found.objectives)))])


def _best(found: Screening) -> Html:
    details = {f"{name}{end}" for name in found.units for end in _OF_EACH}
    names = [name for name in found.best.column_names if name not in _HIDDEN and name not in details]
    if found.best.column("doubt").null_count == len(found):
        names.remove("doubt")
    rows = found.best.slice(0, _SHOWN).select(names).to_pylist()
    cells = [[_cell(row[name]) for name in names] for row in rows]
    parts = []
    for row, structure in list(zip(rows, found.structures, strict=False))[:_DRAWN]:
        if not isinstance(structure, str):
            parts.append(tag("figure", _drawn(structure, row["formula"]), tag("figcaption", _caption(found, row))))
    more = len(found) - len(rows)
    return join(
        [
            side_by_side(parts) if parts else None,
            table(
                [_titled(found, name) for name in names],
                cells,
                numeric_from=names.index("formula") + 1,
                numeric_until=names.index("in_domain"),
            ),
            paragraph(f"{more:,} more are in best.csv.", class_="note") if more else None,
        ]
    )


def _titled(found: Screening, name: str) -> str:
    return with_unit(name, found.units.get(name, ""))


def _caption(found: Screening, row: Mapping[str, Any]) -> str:
    values = ", ".join(f"{objective.column} {_cell(row[objective.column])}" for objective in found.objectives)
    return f"{row['rank']}. {row['formula']} ({row['id']}): {values}"


def _drawn(structure: Any, formula: str) -> Html:
    try:
        return image(draw_structure(structure), f"Structure of {formula}")
    except ValueError as error:  # too large to be seen
        return paragraph(f"Not drawn: {error}", class_="note")


def _among(found: Screening) -> Html:
    pictures = [captioned(_histogram(found, objective.column), f"All values of {objective.column}",
                          f"{objective.column} of all candidates (grey) and of the best (blue).")
                for objective in found.objectives]  # fmt: skip
    if len(found.objectives) > 1:
        x, y = found.objectives[0].column, found.objectives[1].column
        words = f"{y} over {x}: some candidates (grey) and the best (blue)."
        pictures.append(captioned(_plane(found, x, y), words, words))
    return side_by_side(pictures)


def _floats(source: Any, name: str) -> Any:
    return source.column(name).to_numpy(zero_copy_only=False).astype(np.float64)


def _histogram(found: Screening, name: str) -> Figure:
    values, best = _floats(found.table, name), _floats(found.best, name)
    values = values[np.isfinite(values)]
    edges = np.histogram_bin_edges(values, bins=min(60, max(8, int(np.sqrt(len(values))))))
    with style.figure(4.4, 2.8) as figure:
        ax = figure.add_subplot()
        ax.hist(values, edges.tolist(), color="0.75", log=len(values) > 1000)
        ax.hist(best[np.isfinite(best)], edges.tolist(), color="C0")
        ax.set_xlabel(_titled(found, name))
        ax.set_ylabel("candidates")
    return figure


def _plane(found: Screening, x: str, y: str) -> Figure:
    some = np.unique(np.linspace(0, found.n - 1, min(found.n, _POINTS)).astype(np.intp))
    large = 40 if len(some) < 100 else 12
    with style.figure(4.4, 3.4) as figure:
        ax = figure.add_subplot()
        ax.scatter(
            _floats(found.table, x)[some], _floats(found.table, y)[some], s=large / 2, color="0.75", rasterized=True
        )
        ax.scatter(_floats(found.best, x), _floats(found.best, y), s=large, color="C0")
        ax.set_xlabel(_titled(found, x))
        ax.set_ylabel(_titled(found, y))
    return figure


def _cell(value: Any) -> str:
    return minus(shown(value)) if isinstance(value, float) else shown(value)


def _words(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(str, value))
    return "yes" if value is True else str(value)
