"""``atomprint benchmark``: the official folds of Matbench."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from atomprint.cli.console import Jobs, Set, console, messages, progress_bar, table
from atomprint.cli.train import show_study


def benchmark(
    task: Annotated[str, typer.Argument(help="Such as matbench_perovskites.")],
    data: Annotated[
        Path | None, typer.Option("--data", help="A copy of the task's file; else it is downloaded.")
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option("--recipe", help='Features and models, or "auto"; else those that come with atomprint.'),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for the results.")] = None,
    jobs: Jobs = None,
    changes: Set = None,
) -> None:
    """Test models on the official five folds of Matbench, beside published figures."""
    with messages():
        from atomprint.workflow.benchmark import benchmark_recipe, comparison, run_benchmark, write_submission
        from atomprint.workflow.recipe import Recipe

        if recipe is None:
            given = benchmark_recipe(task, changes or ())
        elif str(recipe) == "auto":
            given = Recipe.auto(task, overrides=changes or ())
        else:
            given = Recipe.read(recipe, changes or ())
        given = replace(given, output=str(output or f"atomprint-{task}"))
        if jobs is not None:
            given = replace(given, n_jobs=jobs)
        folder = Path(given.output)
        folder.mkdir(parents=True, exist_ok=True)
        with progress_bar() as progress:
            run = run_benchmark(task, recipe=given, path=None if data is None else str(data), progress=progress)
            progress("Report", 0, 0)
            files = run.write(folder)
        show_study(run.study)
        unit = run.study.problem.target.unit
        metric = "balanced accuracy" if run.study.problem.kind == "classification" else f"MAE ({unit})"
        rows = []
        for row, own in comparison(run.study, task):
            cells = (f"{row.model}{' (this run)' if own else ''}", row.given, f"{row.figure:.4f}")
            rows.append([f"[bold]{cell}[/bold]" for cell in cells] if own else list(cells))
        console.print(f"\n[bold]{task}[/bold], mean over the official five folds")
        console.print(table(("model", "from", metric), rows, 2))
        trial, model = run.study.best()
        submission = folder / "matbench-results.json"
        write_submission(submission, run.study, task, features=trial.features.key, model=model)
        for name, path in (*files.items(), ("submission", submission)):
            console.print(f"{name:>16}  {path}", soft_wrap=True)
