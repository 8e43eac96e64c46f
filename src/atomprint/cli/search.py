"""``atomprint search``: rows of a store that are most like a structure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atomprint.cli.console import console, messages, progress_bar, table, tell_damage
from atomprint.util.text import csv_text

if TYPE_CHECKING:
    from atomprint.store import FeatureStore, Hits

_FEW = 4  # targets that are shown


def search(
    store: Annotated[Path, typer.Argument(help="Folder of a store.", metavar="DIR")],
    queries: Annotated[
        list[str], typer.Argument(help="Files with structures, or formulas for a store of these; or ids in the store.")
    ],
    number: Annotated[int, typer.Option("--number", "-k", min=1, help="How many rows to find for each.")] = 10,
    where: Annotated[
        str | None,
        typer.Option("--where", help="Of which rows, such as \"gap > 1 and 'O' in elements and n_atoms < 20\"."),
    ] = None,
    scaling: Annotated[
        str | None, typer.Option("--scaling", help="How features are compared: unit, standard or none.")
    ] = None,
    approximate: Annotated[
        bool, typer.Option("--approximate", help="Look at a part of the rows only: for many millions of them.")
    ] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Say what makes up each distance.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="CSV file for all that is found.")] = None,
) -> None:
    """Find the structures of a store that are most like others."""
    with messages():
        from atomprint.store import FeatureStore
        from atomprint.util.files import write_atomically

        if output is not None and output.suffix != ".csv":
            raise ValueError(f"--output must end in .csv, got {output.name!r}")
        opened = FeatureStore.open(store)
        tell_damage(opened.damaged)
        rows: list[dict[str, Any]] = []
        with progress_bar(patience=1.0) as progress:
            found = [
                (
                    name,
                    opened.search(
                        query, number, where=where, scaling=scaling, approximate=approximate, progress=progress
                    ),
                )
                for text in queries
                for name, query in _queries(opened, text)
            ]
        for name, hits in found:
            if len(found) > 1:
                console.print(name, style="bold", soft_wrap=True)
            own = list(_rows(hits, explain))
            _show(own, opened)
            if not hits.exact and own:
                why = "not all were looked at" if approximate else "too many are about as far to compare them all"
                console.print(f"Other rows may be as near: {why}.", style="dim")
            rows += [{"query": name, **row} for row in own]
        if output is not None:
            columns = list(dict.fromkeys(["query", "rank", "distance", *(name for row in rows for name in row)]))
            write_atomically(output, csv_text(columns, rows))
            console.print(f"Wrote {output}", soft_wrap=True)


def _queries(store: FeatureStore, text: str) -> Iterator[tuple[str, Any]]:
    """Yield what a word on the command line asks about: structures of a file, a row of the store, or a formula."""
    import numpy as np

    if Path(text).exists() and store.plan.inputs == "structures":
        from atomprint.structures import read_structures

        frames = read_structures(text)
        for number, atoms in enumerate(frames):
            yield text if len(frames) == 1 else f"{text}, structure {number}", atoms
        return
    rows = np.flatnonzero(store.ids == text)
    if len(rows):
        yield text, int(rows[0])
    elif store.plan.inputs != "structures":
        yield text, text
    else:
        raise ValueError(f"{text!r} is neither a file nor the id of a row in {str(store.folder)!r}")


def _rows(hits: Hits, explain: bool) -> Iterator[dict[str, Any]]:
    for place, row in enumerate(hits.table(hits.store.summary).to_pylist()):
        words = {"explanation": str(hits.explain(place))} if explain else {}
        yield {"rank": place + 1, "distance": float(hits.distances[place]), **row, **words}


def _show(rows: list[dict[str, Any]], store: FeatureStore) -> None:
    if not rows:
        console.print("no row fulfils the condition")
        return
    targets = [name for name in store.targets if any(row[name] is not None for row in rows)][:_FEW]
    lines = [
        (row["id"], row["formula"], row.get("n_atoms", ""), f"{row['distance']:.4f}", *(_word(row[t]) for t in targets))
        for row in rows
    ]
    console.print(table(["id", "formula", "atoms", "distance", *targets], lines, 2))
    for row in rows:
        if "explanation" in row:
            console.print(f"{row['id']}: {row['explanation']}", soft_wrap=True)


def _word(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
