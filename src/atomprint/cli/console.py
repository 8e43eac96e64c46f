"""What all commands share: messages for people, progress, tables, options."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Annotated, Any

import typer
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.style import Style
from rich.table import Table
from rich.text import Text

from atomprint.util.progress import Progress
from atomprint.util.text import counted, visible


class PlainConsole(Console):
    """A console that shows what it is given: ids, names and paths are neither markup nor commands to the terminal."""

    def render_str(
        self,
        text: str,
        *,
        style: str | Style = "",
        justify: Any = None,
        overflow: Any = None,
        **_: Any,
    ) -> Text:
        """Return text as it is, with what would steer the terminal written out."""
        return Text(visible(text), style, justify=justify, overflow=overflow)


console = PlainConsole(highlight=False, emoji=False, markup=False)


def styled(*parts: str | tuple[str, str]) -> Text:
    """Return a line of several parts: text, or text and its style."""
    shown = [visible(part) if isinstance(part, str) else (visible(part[0]), part[1]) for part in parts]
    return Text.assemble(*shown)


_MIN_TEXT = 10  # characters of a column of text, where there are as many

Structure = Annotated[
    str | None, typer.Option("--structure", help="Column with the structures, or with the names of their files.")
]
Folder = Annotated[Path | None, typer.Option("--folder", help="Folder of the files that the column names.")]
Jobs = Annotated[int | None, typer.Option("--jobs", "-j", help="Number of threads; -1 means all cores.")]
Trust = Annotated[
    list[str] | None,
    typer.Option(
        "--trust",
        help="A class of another package that the model may hold, such as mypackage.MyDescriptor; may be repeated. "
        "Name only what you know: its code is run.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace the results of an old run in the folder.")]
Minutes = Annotated[
    float | None,
    typer.Option("--minutes", help="How long it may take; what does not fit is left out, and said."),
]
Pretrained = Annotated[
    list[str] | None,
    typer.Option(
        "--pretrained",
        help='Add embeddings of a pretrained potential, such as "sevennet-0"; may be repeated.',
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="ENTRY=VALUE", help="Replace an entry, such as models.ridge.alpha=0.1."),
]


GOES_ON = "what was finished is kept, and the same command goes on from there"


@contextmanager
def messages(stopped: str = "nothing half-written was left behind") -> Iterator[None]:
    """Turn errors that a user can mend into one line, and Ctrl-C into an exit, where it is said what becomes of it."""
    try:
        yield
    except BrokenPipeError:  # of what reads the output, such as head: it has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    except (OSError, ValueError, TypeError, ImportError, RuntimeError) as error:
        text = str(error)
        if isinstance(error, OSError) and error.strerror:
            text = error.strerror if error.filename is None else f"{error.strerror}: {error.filename}"
        print(f"atomprint: {visible(text)}", file=sys.stderr)
        raise typer.Exit(1) from error
    except MemoryError as error:
        print("atomprint: there is not enough memory for this", file=sys.stderr)
        raise typer.Exit(1) from error
    except (LookupError, AttributeError, ArithmeticError, AssertionError) as error:
        if os.environ.get("ATOMPRINT_TRACEBACK"):
            raise
        print(
            f"atomprint: a fault of atomprint itself, please report it: {visible(f'{type(error).__name__}: {error}')} "
            "(ATOMPRINT_TRACEBACK=1 shows where)",
            file=sys.stderr,
        )
        raise typer.Exit(70) from error
    except KeyboardInterrupt:
        print(f"atomprint: stopped; {stopped}", file=sys.stderr)
        raise typer.Exit(130) from None


class Clock:
    """Tell how long a piece of work has taken, and about how long what is left of it will take."""

    def __init__(self) -> None:
        self._start = self._since = monotonic()
        self._total: int | None = None
        self._first = 0

    def elapsed(self) -> str:
        """Return the time since the start, in words."""
        return _duration(monotonic() - self._start)

    def left(self, done: int, total: int | None) -> str:
        """Return in words what is left if steps go on as they did since this total was heard of first."""
        if total != self._total:
            self._since, self._total, self._first = monotonic(), total, done
        if not total or done <= self._first or done >= total:
            return ""
        each = (monotonic() - self._since) / (done - self._first)
        return f"about {_duration(each * (total - done))} left"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


@contextmanager
def progress_bar(patience: float = 0.0) -> Iterator[Progress]:
    """Show what is being done, for how long, and how much of it is left if that is known.

    A terminal shows a bar. Elsewhere, such as in the file of a batch job, each step is a line when it is finished; a
    step that counts on and on, such as bytes, is one now and then.

    Parameters
    ----------
    patience : float
        Seconds that a step has to take to be worth a line.
    """
    clock = Clock()
    if not console.is_terminal:
        lines = _Lines(clock, patience)
        yield lines
        lines.finish()
        return
    bar = Bar(
        SpinnerColumn(),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[count]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.description}", markup=False),
        console=console,
        transient=True,
    )
    with bar:
        task = bar.add_task("Starting", total=None, count="", left="")

        def show(step: str, done: int, total: int | None) -> None:
            known: dict[str, Any] = {"completed": done, "total": total, "count": f"{done} of {total}"} if total else {}
            bar.update(task, description=step, left=clock.left(done, total), **known)

        yield show


class _Lines:
    """Print a line for each step that is finished: a :data:`Progress`."""

    _OFTEN = 10.0  # seconds between lines about a step that is not finished

    def __init__(self, clock: Clock, patience: float) -> None:
        self._clock, self._patience = clock, patience
        self._step = ""
        self._began = self._said = monotonic()

    def __call__(self, step: str, done: int, total: int | None) -> None:
        left, now = self._clock.left(done, total), monotonic()
        if step != self._step:
            self._finished(left)
            over = total is not None and 0 < total <= done  # that all is done is no step
            self._step, self._began, self._said = "" if over else step, now, now
        elif now - self._said >= self._OFTEN:
            self._said = now
            self._print(f"{step}: {done:,} of {total:,}" if total else step, left)

    def finish(self) -> None:
        """Say that the last step is finished, too."""
        self._finished("")

    def _finished(self, left: str) -> None:
        if self._step and monotonic() - self._began >= self._patience:
            self._print(f"{self._step} ({_duration(monotonic() - self._began)})", left)

    def _print(self, words: str, left: str) -> None:
        console.print(
            f"[{self._clock.elapsed():>7}] {words}{f'; {left}' if left else ''}",
            soft_wrap=True,
            style="dim",
        )


def table(
    headers: Sequence[str], rows: Iterable[Sequence[Any]], numeric_from: int = 99, *, one_line: bool = False
) -> Table:
    """Return a table; columns from ``numeric_from`` on are aligned to the right and never wrapped.

    Cells are text, never markup. With ``one_line`` that of a first column which would take a second line is cut off.
    """
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    cells = [[cell if isinstance(cell, Text) else Text(visible(str(cell))) for cell in row] for row in rows]
    longest = [
        max(cell_len(line) for text in (header, *(str(row[column]) for row in cells)) for line in text.split("\n"))
        for column, header in enumerate(headers)
    ]
    if one_line:
        room = max(_MIN_TEXT, console.width - 2 - sum(width + 3 for width in longest[1:]))
        for row in cells:
            row[0].truncate(room, overflow="ellipsis")
    for column, header in enumerate(headers):
        made.add_column(
            Text(visible(header)),
            justify="right" if column >= numeric_from else "left",
            overflow="fold",
            # Text gives way to numbers, but never letter by letter.
            min_width=None if column >= numeric_from else min(longest[column], _MIN_TEXT),
            no_wrap=column >= numeric_from,
        )
    for row in cells:
        made.add_row(*row)
    return made


def tell_damage(damaged: Mapping[str, str]) -> None:
    """Say which shards of a store are damaged: what is known of it is without their rows."""
    for name, wrong in damaged.items():
        console.print(styled((f"shard {name}: ", "red"), wrong), soft_wrap=True)
    if damaged:
        console.print(f"{counted(len(damaged), 'shard')} damaged: the command that built the store mends them.")
