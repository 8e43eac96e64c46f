"""``atomprint demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from atomprint.cli.console import GOES_ON, Force, console, messages, progress_bar, styled
from atomprint.cli.train import show_study
from atomprint.util.extras import missing, require


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the report.", file_okay=False)] = Path(
        "atomprint-demo"
    ),
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Number of threads; -1 means all cores.")] = -1,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Seed of everything that is random.")] = 0,
    force: Force = False,
    quick: Annotated[bool, typer.Option("--quick", help="Few structures and small models, to try things out.")] = False,
) -> None:
    """Describe real molecules and crystals, train and test models, and write a report.

    The data come with ASE; no network is used.
    """
    if jobs == 0:
        raise typer.BadParameter("must not be 0: give a number of threads, or -1 for all cores", param_hint="--jobs")
    with messages(GOES_ON):
        require("matplotlib", "report")
        from atomprint.workflow.runs.demo import run_demo

        with progress_bar() as progress:
            report, files = run_demo(output, n_jobs=jobs, seed=seed, quick=quick, force=force, progress=progress)
        for study in report.studies:
            show_study(study)
        console.print(f"\nSeed {seed}, {report.settings['seconds']:g} s.", style="dim")
        console.print(styled("Report: ", (str(files["report.html"].resolve()), "bold")), soft_wrap=True)
        if extras := "; ".join(f"{extra} ({what})" for extra, what in missing()):
            console.print(styled(("\nNot installed: ", "bold"), f"{extras}. To add one: pip install 'atomprint[NAME]'"))
