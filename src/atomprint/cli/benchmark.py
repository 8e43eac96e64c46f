"""``atomprint benchmark``: the official folds of Matbench."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atomprint.cli.console import (
    GOES_ON,
    Force,
    Jobs,
    Minutes,
    Pretrained,
    Set,
    console,
    messages,
    progress_bar,
    styled,
    table,
)
from atomprint.cli.train import COVERAGE_AND_TIME, coverage_and_time, in_style, show_memory, show_study
from atomprint.util.text import with_unit

if TYPE_CHECKING:
    from atomprint.learn.study.study import Study
    from atomprint.learn.task.metrics import Spread


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
    force: Force = False,
    pretrained: Pretrained = None,
    jobs: Jobs = None,
    minutes: Minutes = None,
    changes: Set = None,
) -> None:
    """Test models on the official five folds of Matbench, beside published figures."""
    with messages(GOES_ON):
        from atomprint.util.files import WholeFolder
        from atomprint.workflow.recipes.recipe import Recipe
        from atomprint.workflow.runs.matbench import benchmark_recipe, run_benchmark, write_submission
        from atomprint.workflow.runs.train import FILES

        if recipe is None:
            given = benchmark_recipe(task, changes or ())
        elif str(recipe) == "auto":
            given = Recipe.auto(task, overrides=changes or ())
        else:
            given = Recipe.read(recipe, changes or ())
        given = replace(given, output=str(output or f"atomprint-{task}"))
        if pretrained:
            given = replace(given, pretrained=tuple(pretrained))
        if minutes is not None:
            given = replace(given, minutes=minutes)
        if jobs is not None:
            given = replace(given, n_jobs=jobs)
        with WholeFolder(given.output, force=force, own=FILES) as folder, progress_bar() as progress:
            source = None if data is None else str(data)
            run = run_benchmark(task, recipe=given, path=source, progress=progress, keep=folder.kept)
            progress("Report", 0, None)
            more = {"matbench-results.json": lambda path: write_submission(path, run.study, task)}
            files = run.write(folder, more=more)
        show_study(run.study)
        show_comparison(run.study, task, shipped=recipe is None or str(recipe) == "auto")
        show_memory(run.peak_memory)
        for name, path in files.items():
            console.print(f"{name:>16}  {path}", soft_wrap=True)


def show_comparison(study: Study, task: str, *, shipped: bool = True) -> None:
    """Print the results of a study beside published figures."""
    from atomprint.workflow.runs.matbench import comparison, standing

    classify = study.problem.kind == "classification"
    headers = [
        "model",
        "from",
        "balanced\naccuracy" if classify else with_unit("MAE", study.problem.target.unit),
        "fold 1",
    ]
    if classify:  # what leaderboards call rocauc is of predicted classes, and so the balanced accuracy
        headers += ["leader-\nboard’s\n“rocauc”", "true\nROC-\nAUC"]
    rows, sources = [], []
    for line in comparison(study, task):
        role = "" if line.row is None else line.row.role
        mark = {"": "", "candidate": " (this run, for information only)"}.get(role, " (this run)")
        spread = "" if line.spread is None else f" ± {line.spread:.4f}"
        first = "–" if line.first is None else f"{line.first:.4f}"
        cells = [f"{line.model}{mark}", line.given, f"{line.figure:.4f}{spread}", first]
        if classify:
            found = {} if line.row is None else line.row.evaluation.cross_validation
            cells += [
                _mean(found["leaderboard_rocauc"]) if found else f"{line.figure:.4f}",
                _mean(found["roc_auc"]) if found else "",
            ]
        cells += ["", ""] if line.row is None else coverage_and_time(line.row)
        rows.append(in_style(cells, role))
        if line.source is not None:
            note = f"; {line.source.note}" if line.source.note else ""
            sources.append(f"{line.model} ({line.source.year}): {line.source.source}{note}.")
    console.print(styled("\n", (task, "bold"), ", mean ± standard deviation over the official five folds"))
    console.print(table([*headers, *COVERAGE_AND_TIME], rows, 2))
    for sentence in standing(study, task, shipped=shipped):
        console.print(sentence)
    console.print(f"Sources: {' '.join(dict.fromkeys(sources))}", style="dim")


def _mean(spread: Spread) -> str:
    return "–" if spread.mean.value is None else f"{spread.mean.value:.4f}"
