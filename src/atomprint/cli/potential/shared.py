"""What all commands on potentials share: their options, a model from its file, and what is told and written."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atomprint.cli.console import console
from atomprint.util.files import check_writable

if TYPE_CHECKING:
    from ase import Atoms

    from atomprint.potentials import Potential

DEFAULT_OUTPUT = Path("atomprint-potential")

Model = Annotated[Path, typer.Option("--model", "-m", help="A potential that was fitted, or its folder.")]


def load(path: Path, jobs: int | None, trusted: Sequence[str] | None) -> Potential:
    """Return the potential in a file, or in the folder of a fit, with so many threads."""
    from atomprint.potentials import load_potential
    from atomprint.potentials.report.run import MODEL_FILE

    if path.is_dir():
        path = path / MODEL_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"no potential at {path}: fit one (atomprint potential fit), or say where it is (--model)"
        )
    potential = load_potential(path, trusted=trusted or ())
    return potential if jobs is None else potential.set_params(n_jobs=jobs)


def say(notes: Sequence[str], warnings: Sequence[str]) -> None:
    """Show what was found, and what may be a mistake."""
    for text in notes:
        console.print(text, style="dim", soft_wrap=True)
    for text in warnings:
        console.print(f"Warning: {text}", style="yellow", soft_wrap=True)


@contextmanager
def told() -> Iterator[list[str]]:
    """Collect warnings, each once, to be shown at the end."""
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield said
    said += dict.fromkeys(str(each.message) for each in caught if issubclass(each.category, UserWarning))


def on_cells(potential: Potential) -> list[str]:
    """Return in a sentence that cells are not known well, where a potential was fitted without stresses."""
    if potential.model_.summary.get("labels", {}).get("stress", 0):
        return []
    return ["The potential was fitted to data without stresses: cells and pressures are not to be relied upon."]


def check_place(place: Path, force: bool) -> None:
    """Raise, before any work, if a file is there already, or its folder is not."""
    if place.exists() and not force:
        raise FileExistsError(f"{place} is there already; --force replaces it")
    check_writable(place)


def check_species_of(what: str, symbols: Sequence[str], known: Sequence[str]) -> None:
    """Raise, before any work, if something has elements that the training data do not have."""
    if unknown := [symbol for symbol in symbols if symbol not in known]:
        raise ValueError(
            f"{what} has {', '.join(unknown)}, which the training data do not have: these have {', '.join(known)}"
        )


def write_structures(place: Path, structures: Sequence[Atoms]) -> None:
    """Write structures in the form that the ending of a file tells."""
    from ase.io import write

    from atomprint.util.files import written_atomically

    with written_atomically(place) as temporary:
        if place.suffix in (".extxyz", ".xyz"):
            write(temporary, list(structures), format="extxyz")
        else:
            from ase.io.formats import filetype

            write(temporary, list(structures), format=filetype(place.name, read=False))
