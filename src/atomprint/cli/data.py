"""``atomprint data``: the data sets that atomprint knows, and what is in a file of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from atomprint.cli.console import console, messages, progress_bar, table

app = typer.Typer(help="List, fetch and look at data sets.", no_args_is_help=True)

Offline = Annotated[bool, typer.Option("--offline", help="Use what is in the cache; no network.")]


@app.command("list")
def list_() -> None:
    """List the data sets that atomprint knows."""
    with messages():
        from atomprint.datasets import REGISTRY, cache_folder

        folder = cache_folder()
        rows = []
        for name, entry in REGISTRY.items():
            here = all((folder / file.name).is_file() for file in entry.files)
            rows.append((name, entry.title, "yes" if here else "no", f"{entry.rows:,}" if entry.rows else "–"))
        console.print(table(("name", "what", "here", "rows"), rows, 3))


@app.command()
def fetch(names: Annotated[list[str], typer.Argument(help="Data sets to download.")], offline: Offline = False) -> None:
    """Download data sets to the cache, for later use without network."""
    with messages():
        from atomprint.datasets import fetch as download

        for name in names:
            with progress_bar() as progress:
                paths = download(name, offline=offline or None, progress=progress)
            for path in paths:
                console.print(f"{name}: {path}", soft_wrap=True)
            if not paths:
                console.print(f"{name}: comes with ASE, nothing to download")


@app.command()
def show(
    data: Annotated[str, typer.Argument(help="A data set that atomprint knows, or a file or folder of yours.")],
    target: Annotated[list[str] | None, typer.Option("--target", "-t", help="Column or key; may be repeated.")] = None,
    structure: Annotated[str | None, typer.Option(help="Column with the structures.")] = None,
    formula: Annotated[str | None, typer.Option(help="Column with the formulas.")] = None,
    rows: Annotated[int, typer.Option("--rows", "-n", min=0, help="How many rows to show.")] = 5,
    offline: Offline = False,
) -> None:
    """Show the first rows of a data set, its targets, units and counts."""
    with messages():
        from atomprint.datasets import REGISTRY, inspect_file, load, read_dataset

        if data in REGISTRY and not Path(data).exists():
            dataset = load(data, **({"offline": True} if offline and REGISTRY[data].files else {}))
        else:
            found = inspect_file(data, structure=structure, formula=formula)
            targets = target or found.numeric
            dataset = read_dataset(data, targets=targets, structure=structure, formula=formula, on_error="skip")
        console.print(str(dataset.summary()), soft_wrap=True)
        if rows:
            console.print(str(dataset.preview(rows)), soft_wrap=True)
