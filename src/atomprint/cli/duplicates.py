"""``atomprint duplicates``: structures that are there more than once, and polymorphs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atomprint.cli.console import Folder, Jobs, Structure, console, messages, progress_bar, table, tell_damage
from atomprint.util.text import counted, csv_text

if TYPE_CHECKING:
    from atomprint.similarity import Duplicates, Group
    from atomprint.structures import Batch

_SHOWN = 50


def duplicates(
    files: Annotated[
        list[Path], typer.Argument(help="Structures: any files, folders and archives that init takes, and stores.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="CSV file for all groups, a line for each structure.")
    ] = None,
    tolerance: Annotated[
        float, typer.Option("--tolerance", help="How far distances between atoms may differ, in Å.")
    ] = 0.05,
    scale: Annotated[bool, typer.Option("--scale", help="Structures that differ in size alone are the same.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Crystals must match by StructureMatcher of pymatgen, too.")
    ] = False,
    polymorphs: Annotated[
        bool, typer.Option("--polymorphs", help="Show what is different among structures of one formula instead.")
    ] = False,
    structure: Structure = None,
    folder: Folder = None,
    jobs: Jobs = None,
) -> None:
    """Find structures that are the same, whatever their orientation, order of atoms and cell."""
    with messages():
        from atomprint.similarity import find_duplicates
        from atomprint.util.files import write_atomically

        if output is not None and output.suffix != ".csv":
            raise ValueError(f"--output must end in .csv, got {output.name!r}")
        ids, batch = _read(files, structure, folder)
        with progress_bar(patience=1.0) as progress:
            found = find_duplicates(
                batch,
                tolerance=tolerance,
                scale=scale,
                verify=verify,
                n_jobs=-1 if jobs is None else jobs,
                progress=progress,
            )
        groups = _polymorphs(found, batch, scale) if polymorphs else found.groups
        columns = ["group", "formula", "id", "atoms", "distance"]
        rows = list(_rows(groups, ids, batch))
        if rows:
            shown = [[row[name] for name in columns[:-1]] + [f"{row['distance']:.3f}"] for row in rows[:_SHOWN]]
            console.print(table([*columns[:-1], "distance (Å)"], shown, 3))
        if len(rows) > _SHOWN:
            console.print(f"and {len(rows) - _SHOWN} more: --output FILE.csv has all", style="dim")
        console.print(_sentence(found, groups, polymorphs), soft_wrap=True)
        if output is not None:
            write_atomically(output, csv_text(columns, rows))
            console.print(f"Wrote {output}", soft_wrap=True)


def _read(files: list[Path], structure: str | None, folder: Path | None) -> tuple[list[str], Batch]:
    """Return the names of all structures, with those of their files where some are the same, and the structures."""
    from atomprint.structures import as_batch, joined

    names: list[tuple[Path, str, bool]] = []
    batches = []
    for path in files:
        own, structures = _rows_of(path, structure, folder)
        if own:
            batches.append(as_batch(structures, periodic=None))
        names += [(path, name, len(own) == 1) for name in own]
    if not batches:
        raise ValueError("there are no structures to compare")
    ids = [str(path) if alone and len(files) > 1 else name for path, name, alone in names]
    if len(set(ids)) < len(ids):
        ids = [str(path) if alone else f"{path}:{name}" for path, name, alone in names]
    return ids, joined(*batches)


def _rows_of(path: Path, structure: str | None, folder: Path | None) -> tuple[list[str], Any]:
    """Return names and structures of a store, or of what else can be read."""
    if (path / "store.json").is_file():
        from atomprint.store import FeatureStore

        store = FeatureStore.open(path)
        tell_damage(store.damaged)
        return store.ids.tolist(), store.structures() if len(store) else []
    from atomprint.datasets import read_dataset

    data = read_dataset(path, targets=(), structure=structure, folder=folder, on_error="skip")
    if data.structures is None:
        raise ValueError(f"{path}: there are formulas only, and no structures to compare")
    for failure in data.failures:
        text = f"left out {path}, {failure.place}: {failure.step}: {failure.reason}"
        console.print(text, style="dim", soft_wrap=True)
    return list(data.ids), data.structures


def _rows(groups: tuple[Group, ...], ids: list[str], batch: Batch) -> Iterator[dict[str, Any]]:
    n_atoms = batch.n_atoms
    for number, group in enumerate(groups, 1):
        for row, distance in zip(group.rows.tolist(), group.distances.tolist(), strict=True):
            head = {"group": number, "formula": group.formula, "id": ids[row]}
            yield {**head, "atoms": int(n_atoms[row]), "distance": distance}


def _polymorphs(found: Duplicates, batch: Batch, scale: bool) -> tuple[Group, ...]:
    """Return unique structures by formula, with the distances from the first of each."""
    import numpy as np

    from atomprint.similarity import Group, fingerprints

    groups = []
    for formula, rows in found.polymorphs.items():
        first, *others = fingerprints(batch.pick(rows))
        away = [0.0, *(first.distance(other, scale=scale) for other in others)]
        groups.append(Group(formula, rows, np.array(away)))
    return tuple(groups)


def _sentence(found: Duplicates, groups: tuple[Group, ...], polymorphs: bool) -> str:
    n, n_unique = len(found.first), len(found.unique)
    if polymorphs:
        return (
            f"{counted(len(groups), 'formula')} of {counted(n, 'structure')} with more than one that differ by more "
            f"than {found.tolerance:g} Å"
        )
    if not groups:
        return f"{counted(n, 'structure')}, all different by more than {found.tolerance:g} Å"
    return (
        f"{counted(n, 'structure')}, {n_unique:,} of them different by more than {found.tolerance:g} Å; "
        f"{counted(len(groups), 'group')} of the same"
    )
