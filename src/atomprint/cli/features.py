"""``atomprint featurize``: descriptors of structures as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from atomprint.cli.console import GOES_ON, Jobs, console, messages, progress_bar
from atomprint.util.text import counted


def featurize(
    structures: Annotated[Path, typer.Argument(help="Structures or formulas: any file or folder that init takes.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write: .parquet, .csv, .csv.gz or .npz.")],
    descriptor: Annotated[str, typer.Option("--descriptor", "-d", help="Such as SOAP or ElementProperty.")] = "SOAP",
    parameters: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", metavar="NAME=VALUE", help='A parameter, such as r_cut=5.0 or pooling="mean".'),
    ] = None,
    structure: Annotated[str | None, typer.Option(help="Column with the structures.")] = None,
    formula: Annotated[str | None, typer.Option(help="Column with the formulas.")] = None,
    skip: Annotated[bool, typer.Option("--skip", help="Leave out rows that cannot be used.")] = False,
    jobs: Jobs = None,
) -> None:
    """Compute a descriptor of structures and write it as a table with names."""
    with messages(GOES_ON):
        from atomprint.workflow.runs.featurize import check_fits, plan_features, write_features

        with progress_bar() as progress:
            stream = plan_features(
                structures,
                descriptor,
                parameters or (),
                structure=structure,
                formula=formula,
                on_error="skip" if skip else "raise",
                n_jobs=-1 if jobs is None else jobs,
                progress=progress,
            )
            for name, value in stream.chosen.items():
                console.print(f"{name} was not given: {_in_words(value)} is taken.", style="dim", markup=False)
            console.print(stream.sentence(), soft_wrap=True)
            check_fits(output, stream)
            n = write_features(output, stream, progress)
        console.print(
            f"Wrote {output}: {counted(n, 'row')}, {counted(stream.n_columns, 'feature')}", soft_wrap=True, markup=False
        )
        for failure in (*stream.dataset.failures, *stream.failures):
            text = f"left out {failure.place}: {failure.step}: {failure.reason}"
            console.print(text, style="dim", markup=False)


def _in_words(value: Any) -> str:
    if isinstance(value, dict) and "type" in value:
        return f"{value['type']}({', '.join(f'{k}={v}' for k, v in value.items() if k != 'type')})"
    return str(value)
