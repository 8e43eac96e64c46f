"""``atomprint store pick`` and ``map``: rows that stand for all, and where rows are beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atomprint.cli.console import console, messages, progress_bar, tell_damage
from atomprint.util.text import counted, csv_text

if TYPE_CHECKING:
    import numpy as np

    from atomprint.store import FeatureStore

Store = Annotated[Path, typer.Argument(help="Folder of the store.")]
Where = Annotated[str | None, typer.Option("--where", help="Only of rows such as \"gap > 1 and 'O' in elements\".")]
Scaling = Annotated[str | None, typer.Option("--scaling", help="How features are compared: unit, standard or none.")]

_MOST = 3000  # structures of a page, unless it is said


def pick(
    store: Store,
    number: Annotated[int, typer.Option("--number", "-n", min=1, help="How many rows.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write: .csv, or .extxyz with structures and targets.")
    ],
    method: Annotated[
        str, typer.Option("--method", help="farthest: each far from those before; cur: what those before lack.")
    ] = "farthest",
    where: Where = None,
    scaling: Scaling = None,
) -> None:
    """Choose rows that stand for all of a store, such as those to compute first."""
    with messages():
        from atomprint.store import FeatureStore
        from atomprint.util.files import write_atomically

        if output.suffix not in (".csv", ".extxyz"):
            raise ValueError(f"--output must end in .csv or .extxyz, got {output.name!r}")
        opened = FeatureStore.open(store)
        tell_damage(opened.damaged)
        with progress_bar(patience=1.0) as progress:
            opened.searcher(scaling, progress)
        rows = opened.diverse(number, method=method, where=where, scaling=scaling)
        if output.suffix == ".csv":
            write_atomically(output, csv_text(opened.summary, opened.table(opened.summary, rows).to_pylist()))
        else:
            _write_structures(output, opened, rows)
        console.print(f"Wrote {output}: {counted(len(rows), 'row')}, in the order of choice", soft_wrap=True)


def map_(
    store: Store,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="File to write: .png, .svg or .pdf, or .html with structures to look at."),
    ],
    method: Annotated[
        str, typer.Option("--method", help="pca: principal components; umap: what is alike is together.")
    ] = "pca",
    colour: Annotated[
        str | None, typer.Option("--colour", "--color", help="Column by which points are coloured.")
    ] = None,
    where: Where = None,
    most: Annotated[
        int | None,
        typer.Option("--most", min=3, help=f"Draw no more rows, chosen at random. Default: {_MOST} for .html."),
    ] = None,
    n_neighbours: Annotated[int, typer.Option("--neighbours", min=2, help="That UMAP looks at.")] = 15,
    scaling: Scaling = None,
) -> None:
    """Draw all rows of a store as points, near to those that are like them."""
    with messages():
        from atomprint.store import FeatureStore

        opened = FeatureStore.open(store)
        tell_damage(opened.damaged)
        with progress_bar(patience=1.0) as progress:
            opened.searcher(scaling, progress)
            progress("Making the map", 0, None)
            if most is None and output.suffix == ".html":
                most = _MOST
            made = opened.map(method=method, where=where, most=most, n_neighbours=n_neighbours, scaling=scaling)
            made.write(output, colour)
        of = f" of {made.n_all:,}, chosen at random (--most)" if len(made) < made.n_all else ""
        console.print(f"Wrote {output}: {counted(len(made), 'row')}{of}", soft_wrap=True)


def _write_structures(path: Path, store: FeatureStore, rows: np.ndarray) -> None:
    from ase.io import write

    from atomprint.util.files import written_atomically

    frames = list(store.structures(rows))
    for atoms, row in zip(frames, store.table(["id", *store.targets], rows).to_pylist(), strict=True):
        atoms.info.update({name: value for name, value in row.items() if value is not None})
    with written_atomically(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        write(file, frames, format="extxyz")
