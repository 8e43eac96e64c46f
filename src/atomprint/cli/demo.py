"""``atomprint demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from atomprint.cli.console import messages
from atomprint.extras import require


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the report.", file_okay=False)] = Path(
        "atomprint-demo"
    ),
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Number of threads; -1 means all cores.")] = -1,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Seed of everything that is random.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="Few structures and small models, to try things out.")] = False,
) -> None:
    """Describe real molecules and crystals, train and test models, and write a report.

    The data come with ASE; no network is used.
    """
    if jobs == 0:
        raise typer.BadParameter("must not be 0: give a number of threads, or -1 for all cores", param_hint="--jobs")
    with messages():
        require("matplotlib", "report")
        _demo(output, jobs, seed, quick)


def _demo(output: Path, jobs: int, seed: int, quick: bool) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from atomprint.demo import run_demo
    from atomprint.learn.models import MODELS

    console = Console()
    bar = Progress(
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
        console=console,
        transient=True,
    )
    with bar:
        task = bar.add_task("Data")
        report, files = run_demo(
            output,
            n_jobs=jobs,
            seed=seed,
            quick=quick,
            progress=lambda step, done, total: bar.update(task, description=step, completed=done, total=total),
        )

    for study in report.studies:
        console.print(f"\n[bold]{study.title}[/bold], mean absolute error in {study.target.unit}", highlight=False)
        console.print(_errors(study))
        trial, model = study.best()
        best = trial.evaluations[model]
        console.print(
            f"Best: {trial.features.title}, {MODELS[model].title.lower()}. R² {best.cross_validation['r2']} over the "
            f"folds; test part: {best.test.metrics['r2']}",
            highlight=False,
        )
    console.print(
        "\nFolds: mean ± spread over the cross-validation. Test: structures set aside. "
        f"Seed {seed}, {report.settings['seconds']:g} s.",
        style="dim",
        highlight=False,
    )
    console.print(f"Report: [bold]{files['report.html'].resolve()}[/bold]", soft_wrap=True, highlight=False)


def _errors(study: Any) -> Any:
    """Return the table of mean absolute errors of a study: a row for each set of features."""
    from rich import box
    from rich.table import Table

    from atomprint.learn.models import MODELS

    models = list(study.trials[0].evaluations)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    for model in models:
        table.add_column(f"{MODELS[model].title}:\nfolds", justify="right", no_wrap=True)
        table.add_column("\ntest", justify="right", no_wrap=True)

    def cells(evaluation: Any) -> list[str]:
        return [str(evaluation.cross_validation["mae"]), str(evaluation.test.metrics["mae"])]

    best_trial, best_model = study.best()
    for trial in study.trials:
        row = [trial.features.title]
        for model, evaluation in trial.evaluations.items():
            bold = trial is best_trial and model == best_model
            row += [f"[bold]{cell}[/bold]" if bold else cell for cell in cells(evaluation)]
        table.add_row(*row)
    table.add_row(MODELS["dummy"].title, *cells(study.baseline) * len(models), style="dim")
    return table
