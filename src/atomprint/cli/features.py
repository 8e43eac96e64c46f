"""``atomprint featurize``: descriptors of structures as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from atomprint.cli.console import Jobs, console, messages, progress_bar


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
    with messages():
        from atomprint.workflow.runs.featurize import featurize as compute
        from atomprint.workflow.runs.featurize import write_features

        with progress_bar() as progress:
            features = compute(
                structures,
                descriptor,
                parameters or (),
                structure=structure,
                formula=formula,
                on_error="skip" if skip else "raise",
                n_jobs=-1 if jobs is None else jobs,
                progress=progress,
            )
            progress("Writing", 0, None)
            write_features(output, features)
        n, width = features.values.shape
        console.print(f"Wrote {output}: {n} rows, {width} features", soft_wrap=True)
        for failure in features.failures:
            console.print(f"left out row {failure.row} ({failure.id}): {failure.step}: {failure.reason}", style="dim")
