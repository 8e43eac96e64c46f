"""``atomprint screen``: the best of very many candidates, by saved models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from atomprint.cli.console import Jobs, Trust, console, messages, progress_bar, table
from atomprint.util.text import counted, shown

GOES_ON = "what was predicted is kept, and the same command goes on from there"


def screen(
    arguments: Annotated[
        list[str],
        typer.Argument(metavar="MODEL... SOURCE...", help="Models or folders of runs, then stores, files or folders."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for report, tables and structures.")] = Path(
        "atomprint-screening"
    ),
    where: Annotated[
        str | None,
        typer.Option(help="Which candidates pass, such as \"gap > 1 and e_form < 0.05 and 'Pb' not in elements\"."),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(help="Column that is to be small, or large with a minus before it; several make fronts."),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many.")] = 100,
    in_domain: Annotated[bool, typer.Option("--in-domain", help="Only what is like the training samples.")] = False,
    max_doubt: Annotated[
        float | None,
        typer.Option("--max-doubt", help="Only what no model is more in doubt about; 1 ends the domain."),
    ] = None,
    new: Annotated[bool, typer.Option("--new", help="Only what no model was trained with.")] = False,
    cautious: Annotated[bool, typer.Option("--cautious", help="Rank by the worse ends of intervals.")] = False,
    select: Annotated[
        str | None, typer.Option(help="What to compute next: improvement, uncertainty or diversity.")
    ] = None,
    structure: Annotated[str | None, typer.Option(help="Column with the structures.")] = None,
    formula: Annotated[str | None, typer.Option(help="Column with the formulas.")] = None,
    id_: Annotated[str | None, typer.Option("--id", help="Column with the names of rows.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Read only so many rows of each file.")] = None,
    trust: Trust = None,
    jobs: Jobs = None,
) -> None:
    """Predict many candidates, and report the best of those that pass."""
    with messages(GOES_ON):
        from atomprint.screening.page import write_screening
        from atomprint.screening.run import screen as run
        from atomprint.util.extras import require

        require("matplotlib", "report", "the report")  # before long work
        models, sources = _sorted(arguments)
        if output.exists() and not output.is_dir():
            raise FileExistsError(f"--output {str(output)!r} is a file: give the name of a folder")
        with progress_bar() as progress:
            found = run(
                models,
                sources,
                where=where,
                by=by or None,
                top=top,
                in_domain=in_domain,
                max_doubt=max_doubt,
                new=new,
                cautious=cautious,
                select=select,
                folder=output,
                structure=structure,
                formula=formula,
                id=id_,
                limit=limit,
                trusted=trust or (),
                n_jobs=-1 if jobs is None else jobs,
                progress=progress,
            )
            progress("Writing the report", 0, None)
            settings = {
                "models": models,
                "candidates": sources,
                "where": where,
                "in the domain of all models": in_domain,
                "doubt at most": max_doubt,
                "not trained with": new,
                "by the worse ends of intervals": cautious,
                "to compute next, by": select,
                "at most": top,
            }
            written = write_screening(found, output, "Screening", settings)
        names = ["rank", "id", "formula", *dict.fromkeys(objective.column for objective in found.objectives)]
        if found.objectives and len(found):
            rows = [[shown(row[name]) for name in names] for row in found.best.slice(0, 10).to_pylist()]
            console.print(table(names, rows, 3))
        console.print(
            f"{counted(found.n, 'candidate')}: {found.n_passed:,} passed, {found.n_outside:,} outside the domain, "
            f"{found.n_failed:,} not predicted",
            soft_wrap=True,
        )
        for why, n in list(found.failures.items())[:3]:
            console.print(f"not predicted ({n:,}): {why}", style="dim", markup=False, soft_wrap=True)
        console.print(f"Wrote {', '.join(written)} in {output}", soft_wrap=True, markup=False)


def _sorted(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return which arguments are models, and which are sources."""
    from atomprint.workflow.saved.container import MODEL_FILE

    models = [name for name in arguments if name.endswith(".atomprint") or (Path(name) / MODEL_FILE).is_file()]
    sources = [name for name in arguments if name not in models]
    if not models:
        raise ValueError(f"there is no model among {', '.join(arguments)}: a file .atomprint, or the folder of a run")
    if not sources:
        raise ValueError("there is nothing to screen: give stores, files or folders after the models")
    return models, sources
