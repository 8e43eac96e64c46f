"""All commands."""

from __future__ import annotations

import os
from typing import Annotated

import typer

import atomprint
from atomprint.cli import (
    benchmark,
    data,
    demo,
    duplicates,
    features,
    models,
    potential,
    screen,
    search,
    serve,
    store,
    store_rows,
    train,
)

app = typer.Typer(
    help="From atomic structures to descriptors, and from descriptors to tested models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_version(asked: bool) -> None:
    if asked:
        print(f"atomprint {atomprint.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Use no network: data sets must be on this machine already.")
    ] = False,
) -> None:
    """Take the options that belong to no command."""
    if offline:
        os.environ["ATOMPRINT_OFFLINE"] = "1"


app.command("demo")(demo.demo)
app.command("init")(train.init)
app.command("train")(train.train)
app.command("report")(train.report)
app.command("predict")(models.predict)
app.command("evaluate")(models.evaluate)
app.command("info")(models.info)
app.command("benchmark")(benchmark.benchmark)
app.command("featurize")(features.featurize)
app.command("duplicates")(duplicates.duplicates)
app.command("screen")(screen.screen)
app.command("search")(search.search)
app.command("serve")(serve.serve)
app.add_typer(data.app, name="data")
app.add_typer(potential.app, name="potential")
store.app.command("pick")(store_rows.pick)
store.app.command("map")(store_rows.map_)
app.add_typer(store.app, name="store")
