"""``atomprint init``, ``train`` and ``report``."""

from __future__ import annotations

import json
import shlex
import webbrowser
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from atomprint.cli.console import (
    GOES_ON,
    Folder,
    Force,
    Jobs,
    Minutes,
    Pretrained,
    Set,
    Structure,
    console,
    messages,
    progress_bar,
    styled,
    table,
)

if TYPE_CHECKING:
    from atomprint.learn.study.result_table import ResultRow
    from atomprint.learn.study.study import Study
    from atomprint.learn.task.metrics import Metric, Spread

RECIPE = Path("recipe.toml")
DEFAULT_OUTPUT = Path("atomprint-run")
EXAMPLES = {"structures": "structures.cif", "molecules": "CCO", "compositions": "TiO2"}


def init(
    data: Annotated[
        Path | None,
        typer.Argument(help="Your data: CSV, Parquet, extxyz, a folder of CIFs …  Without it: crystals to try out."),
    ] = None,
    target: Annotated[str | None, typer.Option("--target", "-t", help="Column or key to predict.")] = None,
    structure: Structure = None,
    folder: Folder = None,
    pretrained: Pretrained = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="File for the recipe.")] = RECIPE,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
) -> None:
    """Write a recipe for atomprint train that suits the data, with the reasons for each choice as comments."""
    with messages():
        from atomprint.workflow.recipes.template import recipe_for

        if output.exists() and not force:
            raise FileExistsError(f"{output} is there already; --force replaces it")
        from atomprint.util.files import write_atomically

        text, notes = recipe_for(
            data,
            target,
            relative_to=output.parent,
            structure=structure,
            folder=folder,
            pretrained=tuple(pretrained or ()),
        )
        write_atomically(output, text)
        for note in notes:
            console.print(note)
        bold = (str(output), "bold"), (f"atomprint train {output}", "bold")
        console.print(styled("Wrote ", bold[0], ". Look through it, then run: ", bold[1]))


def train(
    recipe: Annotated[
        Path, typer.Argument(help="TOML file, as atomprint init writes it; or data, and a recipe is chosen for them.")
    ] = RECIPE,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for the results.")] = None,
    target: Annotated[str | None, typer.Option("--target", "-t", help="Column or key to predict.")] = None,
    structure: Structure = None,
    folder: Folder = None,
    pretrained: Pretrained = None,
    force: Force = False,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of everything that is random.")] = None,
    jobs: Jobs = None,
    minutes: Minutes = None,
    changes: Set = None,
) -> None:
    """Train and test the models of a recipe; write a report, the predictions and the best model."""
    with messages(GOES_ON):
        from atomprint.util.files import WholeFolder
        from atomprint.workflow.recipes.own_data import describe_data
        from atomprint.workflow.recipes.recipe import Recipe
        from atomprint.workflow.runs.train import FILES
        from atomprint.workflow.runs.train import train as run_recipe

        if recipe.suffix.lower() == ".toml":
            given = Recipe.read(recipe, changes or ())
        else:
            described = describe_data(recipe, target, structure=structure, folder=folder)
            for note in described.notes:
                console.print(note)
            given = Recipe.of(described, changes or ())
        options: dict[str, Any] = {"output": output and str(output), "seed": seed, "n_jobs": jobs}
        options["minutes"] = minutes
        options["pretrained"] = tuple(pretrained) if pretrained else None
        given = replace(given, **{name: value for name, value in options.items() if value is not None})
        if target is not None:
            given = replace(given, data=replace(given.data, target=target))
        # If there is no place for the results, that should be known before the work.
        with WholeFolder(given.output, force=force, own=FILES) as place, progress_bar() as progress:
            run = run_recipe(given, progress, place.kept)
            progress("Report", 0, None)
            files = run.write(place)
        for reason in run.reasons:
            console.print(reason, style="dim")
        show_study(run.study)
        show_memory(run.peak_memory)
        show_end(run.study, files)


def show_study(study: Study) -> None:
    """Print figures of merit, coverage of intervals and times of all models of a study, a line for each."""
    from atomprint.learn.task.metrics import METRICS, primary_metric
    from atomprint.learn.task.wild import wild_sentence
    from atomprint.report.naming import as_shown

    kind, unit = study.problem.kind, study.problem.target.unit
    first = study.metric
    second = "r2" if kind == "regression" else "roc_auc"
    second = primary_metric(kind) if second == first else second
    by_folds, by_test = bool(study.baseline.folds), study.baseline.test is not None
    rows = []
    for row in study.rows:
        features, model = study.titles_of(row.features, row.model)
        nested = study.nested and row.role == "result"
        cells = ["chosen in training parts" if nested else f"{model}, {features}" if features else model]
        for name in (first, second):
            folds = as_shown(study, row.evaluation, name, row.evaluation.cross_validation[name]) if by_folds else None
            found = row.evaluation.test
            test = as_shown(study, row.evaluation, name, found.metrics[name]) if found is not None else None
            if name == first:
                cells += [figure(item) for item in (folds, test) if item is not None]
            else:  # its spread would make two lines of one
                cells.append(figure(test if folds is None else getattr(folds, "mean", folds)))
        rows.append(in_style([*cells, *coverage_and_time(row)], row.role))
    title = METRICS[kind][first].title.replace(" ", "\n")
    headers = ["", *(f"{title}\n{part}" for part, there in (("folds", by_folds), ("test", by_test)) if there)]
    headers.append(f"{METRICS[kind][second].title}\n{'folds' if by_folds else 'test'}")
    console.print(styled("\n", (study.problem.title, "bold"), f": {study.split.description or study.split.method}"))
    console.print(table([*headers, *COVERAGE_AND_TIME], rows, numeric_from=1, one_line=True))
    if unit and METRICS[kind][first].in_unit:
        console.print(f"{METRICS[kind][first].title}: {METRICS[kind][first].description}, in {unit}.", style="dim")
    for sentence in study.left_out:
        console.print(sentence, style="yellow")
    wild = wild_sentence(study.problem)
    if wild:
        console.print(f"Warning: {wild}", style="bold yellow")
    decided = [sentence] if (sentence := study.decision_in_words()) else []
    said = (*coverage_and_time_in_words(study), *choice_in_words(study), *decided, *study.leakage_in_words())
    for sentence in said:
        console.print(sentence, style="dim")


def figure(item: Spread | Metric | None) -> str:
    """Return a figure of merit for a cell; the report says why there is none."""
    metric: Any = getattr(item, "mean", item)
    return "–" if metric is None or metric.value is None else str(item)


def show_end(study: Study, files: Mapping[str, Path]) -> None:
    """Print which model is best, where the report is, and what to do next."""
    from atomprint.learn.task.metrics import METRICS
    from atomprint.report.naming import best_title

    name = study.metric
    spec, own = METRICS[study.kind][name], study.chosen
    unit = f" {study.target.unit}" if spec.in_unit and study.target.unit else ""
    said = [f"{figure(own.cross_validation[name])}{unit} in cross-validation"] if own.folds else []
    said += [] if own.test is None else [f"{figure(own.test.metrics[name])}{unit} on the test part"]
    model = files["model.atomprint"]
    new = EXAMPLES[study.dataset.kind]
    where = "" if model.parent == DEFAULT_OUTPUT else f" --model {shlex.quote(str(model.parent))}"
    lines = {
        "best": f"{best_title(study)}: {spec.title} {', '.join(said)}",
        "report": str(files["report.html"]),
        "next": f"atomprint predict {new}{where}",
    }
    others = [name for name in files if name != "report.html"]
    console.print(f"\nAlso in {model.parent}: {', '.join(others)}", style="dim", soft_wrap=True)
    for head, text in lines.items():
        console.print(styled((f"{head:>6}", "bold"), "  ", text), soft_wrap=True)


def in_style(cells: Sequence[str], role: str) -> list[Text]:
    """Return the cells of a row: bold for what to judge by."""
    return [Text(cell, style="bold" if role == "result" else "") for cell in cells]


COVERAGE_AND_TIME = ("truth\ninside", "time")


def coverage_and_time(row: ResultRow) -> tuple[str, str]:
    """Return the coverage of the intervals, and the time of features and models, as cells."""
    coverage = "–" if row.coverage.value is None else f"{100 * row.coverage.value:.0f} %"
    return coverage, f"{row.seconds_features + row.seconds_models:.1f} s"


def coverage_and_time_in_words(study: Study) -> list[str]:
    """Return what the columns of :func:`coverage_and_time` are."""
    said = []
    if study.uncertainty is not None:
        things = "sets of classes" if study.problem.kind == "classification" else "intervals"
        where = "of the test part" if len(study.split.test) else "of all folds"
        said.append(f"Truth inside: share of true values in the {100 * study.uncertainty.level:g} % {things}, {where}.")
    return [*said, "Time: of the features and of all fits and predictions, added up."]


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
    methods: Annotated[
        bool, typer.Option("--methods", help="Print what a paper has to say: text, and BibTeX of all that was used.")
    ] = False,
) -> None:
    """Show the results of runs, side by side."""
    with messages():
        if methods:
            from atomprint.report.methods import methods_text

            for run in runs:
                print(methods_text(_methods(run)))
            return
        rows: list[tuple[str, ...]] = []
        notes: list[str] = []
        first: tuple[str, dict[str, Any]] | None = None
        for run in runs:
            name = run.name or str(run)
            for study in _results(run):
                try:
                    title, *row = _best_row(study)
                    first = first or (name, study)
                    if differs := _differences(first[1], study):
                        notes.append(f"{name} and {first[0]} differ: {differs}")
                except (KeyError, TypeError, StopIteration, AttributeError) as error:
                    raise ValueError(
                        f"{run / 'results.json'} is not as atomprint train writes it: {error!r}"
                    ) from error
                rows.append((name, *row))
                console.print(styled((str(run), "bold"), f": {title}"), soft_wrap=True)
        console.print(table(("run", "best", "baseline", "folds", "test"), rows, 2))
        if notes:
            console.print("Not all runs are of the same data: their figures do not compare.", style="bold yellow")
        for note in notes:
            console.print(note, soft_wrap=True)
        for run in runs:
            page = (run / "report.html").resolve()
            console.print(f"{page}", soft_wrap=True)
            if show:
                webbrowser.open(page.as_uri())


def _methods(run: Path) -> dict[str, Any]:
    """Return the methods of a run."""
    _results(run)
    path = run / "run.json"
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["methods"]
    except FileNotFoundError:
        raise FileNotFoundError(f"{run} has no run.json: it is not a folder that atomprint train wrote") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} has no methods in it: train again, this is of an earlier version") from error
    return found


def _results(run: Path) -> list[dict[str, Any]]:
    """Return the studies in the results of a run."""
    path = run / "results.json"
    if not run.exists():
        raise FileNotFoundError(2, "no such file", str(run))
    if not path.is_file():
        raise FileNotFoundError(f"{run} has no results.json: it is not a folder that atomprint train wrote")
    try:
        studies: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["studies"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} has no studies in it: it is not from atomprint train ({error!r})") from error
    return studies


def _differences(study: dict[str, Any], other: dict[str, Any]) -> str:
    """Return where the data of two studies differ, empty if their figures compare."""
    found = []
    for what, mine, theirs in (
        ("data", _data_in_words(study), _data_in_words(other)),
        ("target", _target_in_words(study), _target_in_words(other)),
    ):
        if mine != theirs:
            found.append(f"{what}: {theirs}, not {mine}")
    for what, own, given in (
        ("test part", study["split"]["test"], other["split"]["test"]),
        ("samples of the folds", [*chain(*study["split"]["folds"])], [*chain(*other["split"]["folds"])]),
    ):
        if set(own) != set(given):
            found.append(f"{what}: {len(set(own) & set(given)):,} of {len(given):,} are the same")
    return "; ".join(found)


def _data_in_words(study: dict[str, Any]) -> str:
    data = study["dataset"]
    return f"{data['title']} ({data['source']}), {data['n_samples']:,} samples"


def _target_in_words(study: dict[str, Any]) -> str:
    target = study["target"]
    return target["title"] + (f" ({target['unit']})" if target["unit"] else "")


def _best_row(study: dict[str, Any]) -> tuple[str, ...]:
    """Return title, best features and model, and figures of merit of a study in ``results.json``."""
    from atomprint.learn.task.metrics import METRICS, primary_metric

    target, best = study["target"], study["best"]
    metric = study.get("metric") or primary_metric(target["kind"])
    spec = METRICS[target["kind"]][metric]
    trial = next(t for t in study["trials"] if t["features"]["key"] == best["features"])
    own, base = study.get("chosen") or trial["models"][best["model"]], study["baseline"]
    features, model = trial["features"].get("title", best["features"]), study["models"][best["model"]]["title"]
    title, unit = f"{model}, {features}", f" in {target['unit']}" if target["unit"] and spec.in_unit else ""
    often = f" (most often {title})" if study.get("chosen") else ""
    return (
        f"{study['dataset']['title']}: {target['title']}, {spec.title}{unit}{often}",
        "chosen in training parts" if study.get("chosen") else title,
        _figure(base, metric),
        _figure({"cross_validation": own.get("cross_validation")}, metric),
        _figure({"test": own.get("test")}, metric),
    )


def _figure(evaluation: dict[str, Any], metric: str) -> str:
    """Return a figure of merit: the mean over folds with its spread, or else that of the test part."""
    from atomprint.learn.task.metrics import Metric, Spread

    found: Any = (evaluation.get("cross_validation") or {}).get(metric)
    if isinstance(found, dict) and isinstance(found.get("mean"), int | float):
        std = found.get("std")
        return str(
            Spread(Metric(found["mean"]), Metric(std if isinstance(std, int | float) else None), found["n_folds"])
        )
    value = (evaluation.get("test") or {}).get(metric)
    return str(Metric(value)) if isinstance(value, int | float) else "–"
