"""``atomprint store``: features of many structures in a folder, built piece by piece."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from atomprint.cli.console import Jobs, console, messages, progress_bar, styled, table, tell_damage
from atomprint.util.text import counted

app = typer.Typer(help="Features of many structures in a folder, built piece by piece.", no_args_is_help=True)

GOES_ON = "what was described is kept, and the same command goes on from there"

Store = Annotated[Path, typer.Argument(help="Folder of the store.")]
Sources = Annotated[
    list[str],
    typer.Argument(help="Files or folders that init takes; optimade:mp asks a server."),
]
Structure = Annotated[str | None, typer.Option(help="Column with the structures, or with the names of their files.")]
Formula = Annotated[str | None, typer.Option(help="Column with the formulas.")]
Id = Annotated[str | None, typer.Option("--id", help="Column with the names of rows.")]
Targets = Annotated[
    list[str] | None,
    typer.Option("--target", "-t", help="Column or key to keep; may be repeated. Default: all that have numbers."),
]
Beside = Annotated[str | None, typer.Option("--table", help="For a folder of files: its table.")]
Folder = Annotated[Path | None, typer.Option("--folder", help="For a table: the folder of its files.")]
Filter = Annotated[
    str, typer.Option("--filter", help="For OPTIMADE servers: such as 'elements HAS \"O\" AND nelements=2'.")
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Read only so many rows of each file.")]
MaxFailures = Annotated[
    str, typer.Option("--max-failures", help="Stop where a larger share of rows fails, such as 5% or 0.05.")
]
Array = Annotated[
    str | None, typer.Option("--array", metavar="I/N", help="Of N jobs with the same arguments this is I, from 1.")
]
Slurm = Annotated[
    Path | None,
    typer.Option("--slurm", help="Make the store, and write a script for Slurm that fills it."),
]
SlurmJobs = Annotated[int, typer.Option("--slurm-jobs", min=1, help="Number of jobs of the script.")]
Prune = Annotated[
    bool, typer.Option("--prune", help="Remove rows of files of these names that are not in them any more.")
]
OnDask = Annotated[
    str | None,
    typer.Option("--dask", metavar="ADDRESS", help="Use a Dask cluster: its scheduler, or its file."),
]
Threads = Annotated[
    bool, typer.Option("--threads", help="Describe in this process: a structure that kills it stops everything.")
]


@app.command()
def build(
    store: Store,
    sources: Sources,
    descriptor: Annotated[
        str | None, typer.Option("--descriptor", "-d", help="Such as SOAP (the default) or ElementProperty.")
    ] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", metavar="NAME=VALUE", help='A parameter, such as r_cut=5.0 or pooling="mean".'),
    ] = None,
    species: Annotated[
        str | None,
        typer.Option(help="Elements that structures may have, such as 'Na Cl'; or else all files are read before."),
    ] = None,
    structure: Structure = None,
    formula: Formula = None,
    id_: Id = None,
    targets: Targets = None,
    beside: Beside = None,
    folder: Folder = None,
    limit: Limit = None,
    filter_: Filter = "",
    max_failures: MaxFailures = "5%",
    allow_close: Annotated[
        bool, typer.Option("--allow-close", help="Take structures with atoms nearer than any in matter, too.")
    ] = False,
    block: Annotated[int | None, typer.Option(min=1, help="Rows of a shard, for a new store.")] = None,
    array: Array = None,
    slurm: Slurm = None,
    slurm_jobs: SlurmJobs = 16,
    prune: Prune = False,
    threads: Threads = False,
    dask: OnDask = None,
    jobs: Jobs = None,
) -> None:
    """Describe structures, and keep features, structures and targets; the same command goes on where it was stopped."""
    with messages(GOES_ON):
        given: dict[str, Any] = {"descriptor": descriptor, "allow_close": allow_close, "block": block}
        given["prune"] = prune
        given["species"] = None if species is None else species.replace(",", " ").split()
        way = _executor(threads, dask)
        reading = _reading(structure, formula, id_, targets, beside, folder, limit, filter_)
        _build(
            store,
            sources,
            parameters or (),
            given,
            reading,
            max_failures,
            array,
            slurm,
            slurm_jobs,
            way,
            jobs,
        )


@app.command()
def add(
    store: Store,
    sources: Sources,
    structure: Structure = None,
    formula: Formula = None,
    id_: Id = None,
    targets: Targets = None,
    beside: Beside = None,
    folder: Folder = None,
    limit: Limit = None,
    filter_: Filter = "",
    max_failures: MaxFailures = "5%",
    array: Array = None,
    slurm: Slurm = None,
    slurm_jobs: SlurmJobs = 16,
    prune: Prune = False,
    threads: Threads = False,
    dask: OnDask = None,
    jobs: Jobs = None,
) -> None:
    """Add the structures of more files to a store, described as its others are."""
    with messages(GOES_ON):
        from atomprint.store import Plan

        given = {"allow_close": Plan.read(store).allow_close, "prune": prune}
        way = _executor(threads, dask)
        reading = _reading(structure, formula, id_, targets, beside, folder, limit, filter_)
        _build(store, sources, (), given, reading, max_failures, array, slurm, slurm_jobs, way, jobs)


@app.command()
def info(
    store: Store,
    failures: Annotated[bool, typer.Option("--failures", help="List all rows that could not be described.")] = False,
) -> None:
    """Show what is in a store."""
    with messages():
        from atomprint.store import FeatureStore
        from atomprint.util.memory import size_of

        opened = FeatureStore.open(store)
        found = opened.info
        plan = found.plan
        console.print(styled((str(store), "bold"), f"  {plan.descriptor}, {counted(len(plan.names), 'feature')}"))
        rows = [
            ("rows", f"{found.n_rows:,} described, {found.n_failed:,} failed"),
            ("size", f"{size_of(found.n_bytes)} in {counted(found.n_shards, 'shard')} of up to {plan.block} rows"),
            ("features", f"{plan.dtype}{', sparse' if plan.sparse else ''}"),
            *((name, _in_words(value)) for name, value in sorted(plan.parameters.items()) if name != "species"),
            ("elements", f"{len(plan.species)}: {', '.join(plan.species)}" if plan.species else "any"),
            ("targets", ", ".join(found.targets) or "none"),
            (
                "numbers of",
                ", ".join(f"{name} (version {number})" for name, number in plan.numbers.items()) or "others",
            ),
        ]
        console.print(table(("what", "value"), rows))
        console.print(
            table(
                ("source", "described", "failed"), [(k, f"{n:,}", f"{m:,}") for k, (n, m) in found.sources.items()], 1
            )
        )
        if found.failures:
            shown = list(found.failures.items())[:10]
            console.print(table(("why rows failed", "rows"), [(reason, f"{count:,}") for reason, count in shown], 1))
        if failures:
            for row in opened.failures().to_pylist():
                where = f"line {row['line']}" if row.get("line") is not None else f"row {row['place']}"
                console.print(
                    f"{row['source']}, {where} ({row['id']}): {row['failure']}: {row['reason']}", soft_wrap=True
                )
        tell_damage(found.damaged)


@app.command()
def verify(store: Store) -> None:
    """Compare all shards with their checksums; the exit status is 1 if one is damaged."""
    with messages():
        from atomprint.store import FeatureStore

        opened = FeatureStore.open(store)
        found = opened.verify()
        if found:
            tell_damage(found)
            raise typer.Exit(1)
        console.print(
            f"{store}: {counted(len(opened), 'row')} in {counted(opened.info.n_shards, 'shard')}, all as written"
        )


@app.command()
def export(
    store: Store,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write: .parquet, .csv, .csv.gz, .npz or .zarr.")
    ],
    where: Annotated[str | None, typer.Option(help="Only rows such as \"gap > 1 and 'O' in elements\".")] = None,
) -> None:
    """Write the rows of a store to a file that other programs read."""
    with messages():
        from atomprint.store import FeatureStore

        opened = FeatureStore.open(store)
        tell_damage(opened.damaged)
        with progress_bar() as progress:
            n = opened.export(output, where=where, progress=progress)
        console.print(f"Wrote {output}: {counted(n, 'row')}, {counted(opened.n_features, 'feature')}", soft_wrap=True)


def _reading(
    structure: str | None,
    formula: str | None,
    id_: str | None,
    targets: list[str] | None,
    beside: str | None,
    folder: Path | None,
    limit: int | None,
    filter_: str,
) -> dict[str, Any]:
    names = {"structure": structure, "formula": formula, "id": id_, "targets": targets or None, "table": beside}
    return {**names, "folder": folder, "limit": limit, "filter": filter_}


def _build(
    store: Path,
    sources: list[str],
    parameters: Any,
    given: dict[str, Any],
    reading: dict[str, Any],
    max_failures: str,
    array: str | None,
    slurm: Path | None,
    slurm_jobs: int,
    executor: str,
    jobs: int | None,
) -> None:
    from atomprint.store import build_store
    from atomprint.store.slurm import script
    from atomprint.util.files import write_atomically
    from atomprint.util.objects import parameters_of

    if slurm is not None and array is not None:
        raise ValueError("--slurm writes a script that gives --array itself: give one of them")
    with progress_bar() as progress:
        built = build_store(
            store,
            sources,
            parameters=parameters_of(parameters),
            max_failures=_share(max_failures),
            n_jobs=-1 if jobs is None else jobs,
            executor=executor,
            array=_array(array) if slurm is None else (0, slurm_jobs),
            progress=progress,
            **given,
            **reading,
        )
    if slurm is not None:
        write_atomically(slurm, script(_own_arguments(), store, slurm_jobs))
        console.print(f"Wrote {slurm}: submit it with: sbatch {shlex.quote(str(slurm))}", soft_wrap=True)
        return
    console.print(f"{store}: {counted(built.n_rows, 'row')} described, {built.n_failed} failed", soft_wrap=True)
    if built.n_kept:
        console.print(f"{counted(built.n_kept, 'row')} were there before.", style="dim")
    if built.n_stale:
        console.print(
            f"{counted(built.n_stale, 'row')} in the store are of files with these names, but not in them now: --prune "
            "removes them, if they are not of other files.",
            soft_wrap=True,
        )
    for reason, count in list(built.failures.items())[:5]:
        console.print(f"{counted(count, 'row')}: {reason}", style="dim", soft_wrap=True)


def _own_arguments() -> list[str]:
    """Return the command that is running, by this Python, without what is about scripts."""
    words, kept, skip = sys.argv[1:], [], False
    for word in words:
        if skip:
            skip = False
        elif word in ("--slurm", "--slurm-jobs"):
            skip = True
        elif not word.startswith(("--slurm=", "--slurm-jobs=")):
            kept.append(word)
    return [sys.executable, "-m", "atomprint.cli", *kept]


def _executor(threads: bool, dask: str | None) -> str:
    if threads and dask is not None:
        raise ValueError("--threads and --dask are two ways: give one of them")
    return "threads" if threads else "processes" if dask is None else f"dask:{dask}"


def _share(text: str) -> float:
    try:
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise ValueError(f"--max-failures must be a share such as 5% or 0.05, got {text!r}") from None


def _array(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 0 <= int(number) <= int(count) > 0):
        raise ValueError(f"--array must look like 3/16, from 0/16, which makes the store alone, to 16/16, got {text!r}")
    return int(number), int(count)


def _in_words(value: Any) -> str:
    if isinstance(value, dict) and "type" in value:
        return f"{value['type']}({', '.join(f'{k}={v}' for k, v in value.items() if k != 'type')})"
    return str(value)
