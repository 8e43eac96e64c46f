"""What all commands share: messages for people, progress, tables, options."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table

from atomprint.util.progress import Progress

console = Console(highlight=False)

_MIN_TEXT = 10  # characters of a column of text, where there are as many

Jobs = Annotated[int | None, typer.Option("--jobs", "-j", help="Number of threads; -1 means all cores.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="ENTRY=VALUE", help="Replace an entry, such as models.ridge.alpha=0.1."),
]


@contextmanager
def messages() -> Iterator[None]:
    """Turn errors that a user can mend into one line, and Ctrl-C into an exit."""
    try:
        yield
    except (OSError, ValueError, TypeError, ImportError, RuntimeError) as error:
        text = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) and error.strerror else str(error)
        print(f"atomprint: {text}", file=sys.stderr)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        print("atomprint: stopped; nothing half-written was left behind", file=sys.stderr)
        raise typer.Exit(130) from None


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show what is being done, for how long, and how much of it is left if that is known."""
    bar = Bar(
        SpinnerColumn(),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[count]}"),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
        console=console,
        transient=True,
    )
    with bar:
        task = bar.add_task("Starting", total=None, count="")

        def show(step: str, done: int, total: int | None) -> None:
            known: dict[str, Any] = {"completed": done, "total": total, "count": f"{done} of {total}"} if total else {}
            bar.update(task, description=step, **known)

        yield show


@contextmanager
def results_folder(folder: Path) -> Iterator[None]:
    """Make a folder for results before the work, and take it away again if the work fails and left nothing in it."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with suppress(OSError):  # a folder with something in it stays, and those above it
            for path in missing:
                path.rmdir()
        raise


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]], numeric_from: int = 99) -> Table:
    """Return a table; columns from ``numeric_from`` on are aligned to the right and never wrapped."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    cells = [[str(cell) for cell in row] for row in rows]
    for column, header in enumerate(headers):
        longest = max(len(line) for text in (header, *(row[column] for row in cells)) for line in text.split("\n"))
        made.add_column(
            header,
            justify="right" if column >= numeric_from else "left",
            overflow="fold",
            # Text gives way to numbers, but never letter by letter.
            min_width=None if column >= numeric_from else min(longest, _MIN_TEXT),
            no_wrap=column >= numeric_from,
        )
    for row in cells:
        made.add_row(*row)
    return made
