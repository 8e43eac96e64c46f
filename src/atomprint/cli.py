"""The command line: ``atomprint demo``. Needs the extra ``cli``; what a command needs beyond is imported in it."""

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any


def main() -> None:
    """Run the command line."""
    for module in ("typer", "rich"):
        _require(module, "cli")
    _app()()


def _require(module: str, extra: str) -> None:
    """Leave with a word on what to install if a module is missing."""
    if find_spec(module) is None:
        print(
            f"atomprint: this command needs {module}, which is not installed. "
            f"Install it with: pip install 'atomprint[{extra}]'",
            file=sys.stderr,
        )
        raise SystemExit(1)


def _app() -> Any:
    import typer

    app = typer.Typer(
        help="From atomic structures to descriptors, and from descriptors to tested models.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )

    def show_version(asked: bool) -> None:
        if asked:
            print(f"atomprint {import_module('atomprint').__version__}")
            raise typer.Exit

    @app.callback()
    def options(
        version: Annotated[
            bool,
            typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and exit."),
        ] = False,
    ) -> None: ...

    @app.command()
    def demo(
        output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the report.", file_okay=False)] = Path(
            "atomprint-demo"
        ),
        jobs: Annotated[int, typer.Option("--jobs", "-j", help="Number of threads; -1 means all cores.")] = -1,
        seed: Annotated[
            int, typer.Option("--seed", min=0, max=2**32 - 1, help="Seed of everything that is random.")
        ] = 0,
        quick: Annotated[
            bool, typer.Option("--quick", help="Few structures and small models, to try things out.")
        ] = False,
    ) -> None:
        """Describe real molecules and crystals, train and test models, and write a report.

        The data come with ASE; no network is used.
        """
        _require("matplotlib", "report")
        if jobs == 0:
            raise typer.BadParameter(
                "must not be 0: give a number of threads, or -1 for all cores", param_hint="--jobs"
            )
        try:
            _demo(output, jobs, seed, quick)
        except OSError as error:  # no place to write to
            print(f"atomprint: {error}", file=sys.stderr)
            raise typer.Exit(1) from error

    return app


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


if __name__ == "__main__":
    main()
