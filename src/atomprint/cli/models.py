"""``atomprint predict``, ``evaluate`` and ``info``: what saved models are good for."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from atomprint.cli.console import Jobs, console, messages, progress_bar, table

if TYPE_CHECKING:
    from atomprint.workflow.saved.predictions import Predictions

Model = Annotated[Path, typer.Option("--model", "-m", help="A model that atomprint train saved, or its folder.")]
Trust = Annotated[
    list[str] | None,
    typer.Option(
        "--trust",
        help="A class of another package that the model may hold, such as mypackage.MyDescriptor; may be repeated. "
        "Name only what you know: its code is run.",
    ),
]
_DEFAULT = Path("atomprint-run")


def predict(
    structures: Annotated[list[str], typer.Argument(help="Files with structures, formulas, or a table of either.")],
    model: Model = _DEFAULT,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="CSV or JSON file for the predictions, with all columns.")
    ] = None,
    skip: Annotated[
        bool, typer.Option("--skip", help="Leave out what cannot be predicted, instead of stopping.")
    ] = False,
    trust: Trust = None,
    jobs: Jobs = None,
) -> None:
    """Predict a property of new structures with a saved model."""
    with messages():
        from atomprint.util.files import write_atomically
        from atomprint.workflow.saved.model import load_model

        loaded = load_model(_model_file(model), trusted=trust or ())
        with progress_bar() as progress:
            found = loaded.predict(
                structures, on_error="skip" if skip else "raise", n_jobs=-1 if jobs is None else jobs, progress=progress
            )
        if output is not None:
            if output.suffix == ".json":
                text = json.dumps(found.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
            elif output.suffix == ".csv":
                text = _csv(found)
            else:
                raise ValueError(f"--output must end in .csv or .json, got {output.name!r}")
            write_atomically(output, text)
        _show(found, 50)
        if output is not None:
            console.print(f"Wrote {output}", soft_wrap=True)


def _model_file(path: Path) -> Path:
    from atomprint.workflow.runs.train import MODEL_FILE

    if path.is_dir():
        path = path / MODEL_FILE
    if not path.is_file():
        raise FileNotFoundError(f"no model at {path}: train one, or say where it is with --model")
    return path


def _rows(found: Predictions) -> list[dict[str, Any]]:
    """Return a flat row for each prediction."""
    rows = []
    for row in found.to_dict()["rows"]:
        flat = {"id": row.pop("id"), found.target: row.pop("value")}
        for name, value in row.items():
            if isinstance(value, dict):
                flat |= {f"p({key})": each for key, each in value.items()}
            else:
                flat[name] = "; ".join(map(str, value)) if isinstance(value, list) else value
        rows.append(flat)
    return rows


def _csv(found: Predictions) -> str:
    buffer = io.StringIO()
    rows = _rows(found)
    writer = csv.DictWriter(buffer, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def _show(found: Predictions, most: int) -> None:
    seen = 0 if found.in_training is None else int(found.in_training.sum())
    hidden = {"structure"} if seen else {"structure", "in_training"}
    rows = [{name: value for name, value in row.items() if name not in hidden} for row in _rows(found)]
    headers = list(dict.fromkeys(name for row in rows for name in row))
    console.print(
        table(
            [f"{name} ({found.unit})" if name == found.target and found.unit else name for name in headers],
            [[_cell(row.get(name)) for name in headers] for row in rows[:most]],
        )
    )
    if len(rows) > most:
        console.print(f"and {len(rows) - most} more: give --output to have them all")
    if seen:
        console.print(
            f"{seen} of {len(rows)} rows are in_training: the model was fitted to them and tells what it remembers. "
            "How good it is on new ones, and intervals, which are for these, cannot be seen there.",
            style="dim",
        )


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "yes" if value is True else "no" if value is False else str(value)


def evaluate(
    data: Annotated[Path, typer.Argument(help="Structures or formulas with the true values, as for atomprint init.")],
    model: Model = _DEFAULT,
    target: Annotated[
        str | None, typer.Option("--target", "-t", help="Column or key; by default that of the model.")
    ] = None,
    structure: Annotated[str | None, typer.Option(help="Column with the structures.")] = None,
    formula: Annotated[str | None, typer.Option(help="Column with the formulas.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="JSON file for the figures and what is to be known of them.")
    ] = None,
    skip: Annotated[bool, typer.Option("--skip", help="Leave out rows that cannot be used.")] = False,
    trust: Trust = None,
    jobs: Jobs = None,
) -> None:
    """Compare the predictions of a saved model with known values that it has not seen."""
    with messages():
        from atomprint.learn.task.metrics import METRICS
        from atomprint.util.files import write_atomically
        from atomprint.workflow.recipes.data import DataSection
        from atomprint.workflow.saved.evaluate import evaluate_model
        from atomprint.workflow.saved.model import load_model

        loaded = load_model(_model_file(model), trusted=trust or ())
        section = DataSection(
            path=str(data),
            target=target or loaded.card.target,
            structure=structure,
            formula=formula,
            classes=loaded.card.classes,
            on_error="skip" if skip else "raise",
        )
        with progress_bar() as progress:
            progress("Reading data", 0, None)
            dataset = section.load()
            result = evaluate_model(loaded, dataset, str(section.target), n_jobs=-1 if jobs is None else jobs)
        unit = loaded.card.unit
        specs = METRICS[result.metrics.kind]
        headers, columns = ["metric", f"{result.n} samples"], [result.metrics]
        if result.unseen is not None and result.n_seen is not None:
            headers.append(f"{result.n - result.n_seen} not in training")
            columns.append(result.unseen)
        rows = [
            (specs[name].title + (f" ({unit})" if unit and specs[name].in_unit else ""), *(c[name] for c in columns))
            for name in result.metrics.values
        ]
        console.print(table(headers, rows, 1))
        if output is not None:
            write_atomically(output, json.dumps(result.to_dict(), indent=1, ensure_ascii=False) + "\n")
            console.print(f"Wrote {output}", soft_wrap=True, markup=False)
        if result.warning:
            console.print(f"Warning: {result.warning}", style="bold yellow")
        for sentence in result.notes:
            console.print(sentence, style="dim")


def info(
    model: Annotated[Path, typer.Argument(help="A model that atomprint train saved, or its folder.")] = _DEFAULT,
    trust: Trust = None,
) -> None:
    """Show what a saved model predicts, what it was trained on, and how good it is."""
    with messages():
        from atomprint.workflow.saved.model import load_model

        for name, value in _lines(load_model(_model_file(model), trusted=trust or ()).info()):
            console.print(f"[bold]{name}[/bold]  {escape(value)}", soft_wrap=True)


def _lines(info: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what a person wants to know of a model, without the recipe and the digits of digests."""
    for name, value in info.items():
        if name == "recipe" or value in (None, "", [], {}):
            continue
        if isinstance(value, dict):
            yield name, json.dumps(value, ensure_ascii=False, indent=1, default=str)
        elif isinstance(value, list | tuple):
            yield name, "; ".join(str(item) for item in value)
        else:
            yield name, str(value)
