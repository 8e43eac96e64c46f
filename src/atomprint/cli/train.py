"""``atomprint init``, ``train`` and ``report``."""

from __future__ import annotations

import json
import webbrowser
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atomprint.cli.console import Jobs, Set, console, messages, progress_bar, results_folder, table

if TYPE_CHECKING:
    from atomprint.learn.study.result_table import ResultRow
    from atomprint.learn.study.study import Study

RECIPE = Path("recipe.toml")


def init(
    data: Annotated[
        Path | None,
        typer.Argument(help="Your data: CSV, Parquet, extxyz, a folder of CIFs …  Without it: crystals to try out."),
    ] = None,
    target: Annotated[str | None, typer.Option("--target", "-t", help="Column or key to predict.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="File for the recipe.")] = RECIPE,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
) -> None:
    """Write a recipe for atomprint train that suits the data, with the reasons for each choice as comments."""
    with messages():
        from atomprint.workflow.recipes.template import recipe_for

        if output.exists() and not force:
            raise FileExistsError(f"{output} is there already; --force replaces it")
        from atomprint.util.files import write_atomically

        text, notes = recipe_for(data, target, relative_to=output.parent)
        write_atomically(output, text)
        for note in notes:
            console.print(note, markup=False)
        console.print(f"Wrote [bold]{output}[/bold]. Look through it, then run: [bold]atomprint train {output}[/bold]")


def train(
    recipe: Annotated[
        Path, typer.Argument(help="TOML file, as atomprint init writes it; or data, and a recipe is chosen for them.")
    ] = RECIPE,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for the results.")] = None,
    target: Annotated[str | None, typer.Option("--target", "-t", help="Column or key to predict.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of everything that is random.")] = None,
    jobs: Jobs = None,
    changes: Set = None,
) -> None:
    """Train and test the models of a recipe; write a report, the predictions and the best model."""
    with messages():
        from atomprint.workflow.recipes.own_data import describe_data
        from atomprint.workflow.recipes.recipe import Recipe
        from atomprint.workflow.runs.train import train as run_recipe

        if recipe.suffix.lower() == ".toml":
            given = Recipe.read(recipe, changes or ())
        else:
            described = describe_data(recipe, target)
            for note in described.notes:
                console.print(note, markup=False)
            given = Recipe.of(described, changes or ())
        options: dict[str, Any] = {"output": output and str(output), "seed": seed, "n_jobs": jobs}
        given = replace(given, **{name: value for name, value in options.items() if value is not None})
        if target is not None:
            given = replace(given, data=replace(given.data, target=target))
        # If there is no place for the results, that should be known before the work.
        with results_folder(Path(given.output)), progress_bar() as progress:
            run = run_recipe(given, progress)
            progress("Report", 0, None)
            files = run.write()
        for reason in run.reasons:
            console.print(reason, style="dim", markup=False)
        show_study(run.study)
        show_memory(run.peak_memory)
        for name, path in files.items():
            console.print(f"{name:>16}  {path}", soft_wrap=True)


def show_study(study: Study) -> None:
    """Print figures of merit, coverage of intervals and times of all models of a study."""
    from atomprint.learn.task.metrics import METRICS, primary_metric
    from atomprint.learn.task.wild import wild_sentence

    kind, unit = study.problem.kind, study.problem.target.unit
    first = primary_metric(kind)
    second = "r2" if kind == "regression" else "roc_auc"
    rows = []
    for row in study.rows:
        nested = study.nested and row.role == "result"
        cells = ["chosen", "in training parts"] if nested else list(study.titles_of(row.features, row.model))
        for name in (first, second):
            folds = [str(row.evaluation.cross_validation[name])] if row.evaluation.folds else []
            test = [] if row.evaluation.test is None else [str(row.evaluation.test.metrics[name])]
            cells.append("\n".join([*folds, *test]))
        rows.append(in_style([*cells, *coverage_and_time(row)], row.role))
    parts = [*(["folds"] if study.baseline.folds else []), *(["test"] if study.baseline.test is not None else [])]
    headers = ["features", "model"]
    for name in (first, second):
        headers.append("\n".join([METRICS[kind][name].title.replace(" ", "\n"), *parts]))  # narrow, to leave room
    console.print(f"\n[bold]{study.problem.title}[/bold]: {study.split.description or study.split.method}")
    console.print(table([*headers, *COVERAGE_AND_TIME], rows, numeric_from=2))
    if unit and METRICS[kind][first].in_unit:
        console.print(f"{METRICS[kind][first].title}: {METRICS[kind][first].description}, in {unit}.", style="dim")
    wild = wild_sentence(study.problem)
    if wild:
        console.print(f"Warning: {wild}", style="bold yellow", markup=False)
    for sentence in (*coverage_and_time_in_words(study), *choice_in_words(study), *study.leakage.sentences()):
        console.print(sentence, style="dim")


def in_style(cells: list[str], role: str) -> list[str]:
    """Return the cells of a row: bold for what to judge by."""
    return [f"[bold]{cell}[/bold]" for cell in cells] if role == "result" else cells


COVERAGE_AND_TIME = ("truth\ninside", "time")


def coverage_and_time(row: ResultRow) -> tuple[str, str]:
    """Return the coverage with its range over the folds, and the times of features and models, as cells."""
    coverage = "–"
    if row.coverage.value is not None:
        coverage = f"{100 * row.coverage.value:.1f} %"
        if row.coverage_range is not None:
            coverage += "\n{:.0f}–{:.0f}".format(*(100 * share for share in row.coverage_range))
    return coverage, f"{row.seconds_features:.1f} s\n{row.seconds_models:.1f} s"


def coverage_and_time_in_words(study: Study) -> list[str]:
    """Return what the columns of :func:`coverage_and_time` are."""
    said = []
    if study.uncertainty is not None:
        things = "sets of classes" if study.problem.kind == "classification" else "intervals"
        where = "of the test part" if len(study.split.test) else "of all folds; below: smallest and largest of a fold"
        said.append(f"Truth inside: share of true values in the {100 * study.uncertainty.level:g} % {things}, {where}.")
    return [*said, "Time: of the features; below: of all fits and predictions, added up."]


def choice_in_words(study: Study) -> list[str]:
    """Return which row to read, where features and model were chosen within each training part."""
    from atomprint.learn.task.problem import lower

    if study.choice is None:
        return []
    if not study.nested:
        return [f"In bold, to judge by: {study.choice.description}. Other rows are for information only."]
    trial, model = study.best()
    n = sum(keys == study.choice.best for keys in study.choice.winners)
    return [
        f"In bold, to judge by: features and model {study.choice.description}. Rows of single models are for "
        "information only: to pick the best of them would be a choice on the samples that judge it.",
        f"Chosen for {n} of {len(study.choice.winners)} folds, and to use for new samples: {trial.features.title}, "
        f"{lower(study.models[model])}.",
    ]


def show_memory(peak: float | None) -> None:
    """Print the peak memory of the process."""
    if peak is not None:
        console.print(f"Peak memory of the whole run: {peak:.2f} GB.", style="dim")


def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of atomprint train, to show and compare.")],
    show: Annotated[bool, typer.Option("--open", help="Open the HTML reports in a browser.")] = False,
) -> None:
    """Show the results of runs, side by side."""
    with messages():
        rows = []
        for run in runs:
            results = _results(run)
            for study in results["studies"]:
                title, *row = _best_row(study)
                rows.append((run.name or str(run), *row))
                console.print(f"{run}: [bold]{title}[/bold]", soft_wrap=True)
        console.print(table(("run", "best", "metric", "baseline", "folds", "test"), rows, 3))
        for run in runs:
            page = (run / "report.html").resolve()
            console.print(f"{page}", soft_wrap=True)
            if show:
                webbrowser.open(page.as_uri())


def _results(run: Path) -> dict[str, Any]:
    path = run / "results.json"
    if not path.is_file():
        raise FileNotFoundError(f"{run} has no results.json: it is not a folder that atomprint train wrote")
    try:
        results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if "studies" not in results:
        raise ValueError(f"{path} has no studies in it: it is not from atomprint train")
    return results


def _best_row(study: dict[str, Any]) -> tuple[str, ...]:
    """Return title, best features and model, and figures of merit of a study in ``results.json``."""
    from atomprint.learn.task.metrics import METRICS, primary_metric

    target, best = study["target"], study["best"]
    metric = primary_metric(target["kind"])
    spec = METRICS[target["kind"]][metric]
    trial = next(t for t in study["trials"] if t["features"]["key"] == best["features"])
    own, base = study.get("chosen") or trial["models"][best["model"]], study["baseline"]
    title = f"{best['model']} on {best['features']}"
    return (
        f"{study['dataset']['title']}: {target['title']}",
        f"chosen in training parts, most often {title}" if study.get("chosen") else title,
        spec.title + (f" ({target['unit']})" if target["unit"] and spec.in_unit else ""),
        _figure(base, metric),
        _figure({"cross_validation": own.get("cross_validation")}, metric),
        _figure({"test": own.get("test")}, metric),
    )


def _figure(evaluation: dict[str, Any], metric: str) -> str:
    value: Any = None
    if (evaluation.get("cross_validation") or {}).get(metric):
        value = evaluation["cross_validation"][metric]["mean"]
    elif evaluation.get("test"):
        value = evaluation["test"][metric]
    return f"{value:.4g}" if isinstance(value, int | float) else "–"
