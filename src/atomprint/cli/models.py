"""``atomprint predict``, ``evaluate`` and ``info``: what saved models are good for."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atomprint.cli.console import Folder, Jobs, Structure, Trust, console, messages, progress_bar, styled, table
from atomprint.cli.train import EXAMPLES
from atomprint.util.text import counted, csv_text, share, shown, with_unit

if TYPE_CHECKING:
    from atomprint.workflow.saved.predictions import Predictions

Model = Annotated[Path, typer.Option("--model", "-m", help="A model that atomprint train saved, or its folder.")]
_DEFAULT = Path("atomprint-run")


def predict(
    structures: Annotated[list[str], typer.Argument(help="Files with structures, formulas, or a table of either.")],
    model: Model = _DEFAULT,
    structure: Structure = None,
    folder: Folder = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="CSV or JSON file for the predictions, with all columns.")
    ] = None,
    skip: Annotated[
        bool, typer.Option("--skip", help="Leave out what cannot be predicted, instead of stopping.")
    ] = False,
    sort: Annotated[
        str | None,
        typer.Option(
            "--sort",
            metavar="COLUMN",
            help="Sort by a column, such as distance, from the smallest; from the largest with a minus before it.",
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option("--top", min=1, help="Only the first so many; without --sort those of the largest prediction."),
    ] = None,
    trust: Trust = None,
    jobs: Jobs = None,
) -> None:
    """Predict a property of new structures with a saved model."""
    with messages():
        from atomprint.util.files import write_atomically
        from atomprint.workflow.saved.container import find_model
        from atomprint.workflow.saved.load import load_model

        loaded = load_model(find_model(model), trusted=trust or ())
        with progress_bar(patience=1.0) as progress:
            found = loaded.predict(
                structures,
                structure=structure,
                folder=folder,
                on_error="skip" if skip else "raise",
                n_jobs=-1 if jobs is None else jobs,
                progress=progress,
            )
        if sort is not None or top is not None:
            found = _sorted(found, sort, top)
        if output is not None:
            if output.suffix == ".json":
                text: str | Iterator[str] = (
                    json.dumps(found.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
                )
            elif output.suffix == ".csv":
                text = _csv(found)
            else:
                raise ValueError(f"--output must end in .csv or .json, got {output.name!r}")
            write_atomically(output, text)
        _show(found, 50)
        if output is not None:
            console.print(f"Wrote {output}", soft_wrap=True)


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


def _sorted(found: Predictions, sort: str | None, top: int | None) -> Predictions:
    """Return predictions in the order of a column; what has no value there comes last."""
    from atomprint.util.validation import meant

    column, largest_first = (found.target, True) if sort is None else (sort.removeprefix("-"), sort.startswith("-"))
    rows = _rows(found)
    names = list(dict.fromkeys(name for row in rows for name in row))
    if sort is not None and sort in names:  # a name that begins with a minus
        column, largest_first = sort, False
    if column not in names:
        raise ValueError(f"--sort must be one of {', '.join(names)}, got {column!r}{meant(column, names)}")
    known = [i for i, row in enumerate(rows) if row.get(column) is not None]
    known.sort(key=lambda i: rows[i][column], reverse=largest_first)
    chosen = set(known)
    order = [*known, *(i for i in range(len(rows)) if i not in chosen)]
    return found.take(order[:top])


def _csv(found: Predictions) -> Iterator[str]:
    rows = _rows(found)
    return csv_text(list(dict.fromkeys(name for row in rows for name in row)), rows)


_MOST_WARNINGS = 10


def _show(found: Predictions, most: int) -> None:
    seen = 0 if found.in_training is None else int(found.in_training.sum())
    hidden = {"structure", "warnings"} if seen else {"structure", "warnings", "in_training"}
    rows = [{name: value for name, value in row.items() if name not in hidden} for row in _rows(found)]
    headers = list(dict.fromkeys(name for row in rows for name in row))
    console.print(
        table(
            [with_unit(name, found.unit * (name == found.target)) for name in headers],
            [[shown(row.get(name)) for name in headers] for row in rows[:most]],
        )
    )
    if len(rows) > most:
        console.print(f"and {len(rows) - most} more: give --output to have them all")
    unusual = [(name, said) for name, said in zip(found.ids, found.warnings, strict=True) if said]
    for name, said in unusual[:_MOST_WARNINGS]:
        console.print(f"{name}: {'; '.join(said)}", style="yellow")
    if len(unusual) > _MOST_WARNINGS:
        console.print(f"and {len(unusual) - _MOST_WARNINGS} more with warnings: give --output to have them all")
    if found.at_least is not None:
        console.print(
            f"What is below {found.at_least:g} was set to {found.at_least:g}: {found.target} is not less than that in "
            "training, nor can it be.",
            style="dim",
        )
    if seen:
        console.print(
            f"{share(seen, len(rows), 'row')} in_training: the model was fitted to that, and tells what it remembers. "
            "How good it is on new ones, and intervals, which are for these, cannot be seen there.",
            style="dim",
        )


def evaluate(
    data: Annotated[Path, typer.Argument(help="Structures or formulas with the true values, as for atomprint init.")],
    model: Model = _DEFAULT,
    target: Annotated[
        str | None, typer.Option("--target", "-t", help="Column or key; by default that of the model.")
    ] = None,
    structure: Structure = None,
    folder: Folder = None,
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
        from atomprint.workflow.saved.container import find_model
        from atomprint.workflow.saved.evaluate import evaluate_model
        from atomprint.workflow.saved.load import load_model

        loaded = load_model(find_model(model), trusted=trust or ())
        section = DataSection(
            path=str(data),
            target=target or loaded.card.target,
            structure=structure,
            folder=None if folder is None else str(folder),
            formula=formula,
            classes=loaded.card.classes,
            on_error="skip" if skip else "raise",
        )
        with progress_bar(patience=1.0) as progress:
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
            (with_unit(specs[name].title, unit * specs[name].in_unit), *(c[name] for c in columns))
            for name in result.metrics.values
        ]
        console.print(table(headers, rows, 1))
        if output is not None:
            write_atomically(output, json.dumps(result.to_dict(), indent=1, ensure_ascii=False) + "\n")
            console.print(f"Wrote {output}", soft_wrap=True)
        if n := len(dataset.failures):
            first = "; ".join(f"{failure.place}: {failure.reason}" for failure in dataset.failures[:3])
            console.print(f"Left out: {counted(n, 'row')} ({first}{'; …' if n > 3 else ''}).")
        for sentence in dataset.notes:
            console.print(sentence, style="dim")
        if result.warning:
            console.print(f"Warning: {result.warning}", style="bold yellow")
        for sentence in result.notes:
            console.print(sentence, style="dim")


def info(
    model: Annotated[Path, typer.Argument(help="A model that atomprint train saved, or its folder.")] = _DEFAULT,
    everything: Annotated[bool, typer.Option("--json", help="Print all that is known of it, as JSON.")] = False,
    trust: Trust = None,
) -> None:
    """Show what a saved model predicts, what it was trained on, and how good it is, in ten lines."""
    with messages():
        from atomprint.workflow.saved.container import find_model
        from atomprint.workflow.saved.load import load_model
        from atomprint.workflow.saved.pipeline import taken_by

        loaded = load_model(find_model(model), trusted=trust or ())
        if everything:
            print(json.dumps(loaded.info(), ensure_ascii=False, indent=1, default=str, allow_nan=False))
            return
        where = "" if model == _DEFAULT else f" --model {shlex.quote(str(model))}"
        new = EXAMPLES[taken_by(loaded.pipeline)]
        for head, text in (*loaded.in_short(), ("use", f"atomprint predict {new}{where}")):
            console.print(styled((f"{head:>10}", "bold"), "  ", text), soft_wrap=True)
