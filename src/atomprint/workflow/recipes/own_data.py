"""From a file or the name of a data set to the ``[data]`` of a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path

from atomprint.datasets import REGISTRY, FileContents, inspect_file
from atomprint.formats.labels import labels_sentence
from atomprint.util.validation import meant
from atomprint.workflow.recipes.data import DataSection


@dataclass(frozen=True, slots=True)
class DescribedData:
    """The ``[data]`` of a recipe, and how it came about.

    Parameters
    ----------
    section : DataSection
        Which data, and what of them.
    title : str
        A title for the recipe; empty for that of the data set.
    others : tuple of str
        What else could be the target.
    notes : tuple of str
        What was guessed, in sentences.
    """

    section: DataSection
    title: str = ""
    others: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def describe_data(
    data: str | PathLike[str],
    target: str | None = None,
    *,
    structure: str | None = None,
    folder: str | PathLike[str] | None = None,
    smiles: str | None = None,
) -> DescribedData:
    """Return the ``[data]`` of a recipe for a file, a folder or a data set that atomprint knows.

    Parameters
    ----------
    data : path or str
        The file or folder; or the name of the data set, if there is no such file.
    target : str, optional
        Column or key to predict. Default: the likeliest one of a file; left to the run for a known data set.
    structure : str, optional
        Column with the structures, or with the names of their files.
    folder : path, optional
        The folder of these files.
    smiles : str, optional
        Column with SMILES, where its name does not say so.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file or column, or nothing in it can be a target; the message lists what there is.
    """
    path = Path(data)
    if fspath(data) in REGISTRY and not path.exists():
        return DescribedData(DataSection(name=fspath(data), target=target))
    found = inspect_file(path, structure=structure, folder=folder, smiles=smiles)
    notes = []
    if target is None:
        if not found.targets:
            raise ValueError(_nothing_to_predict(path, found))
        target = found.targets[0]
        if len(found.targets) > 1:
            notes.append(
                f"Target: {target}. Others that could be: {', '.join(found.targets[1:8])}"
                f"{' …' if len(found.targets) > 8 else ''} (see --target)."
            )
    elif not {target, target.partition("[")[0], target.removesuffix(".norm")} & set(found.columns):
        raise ValueError(
            f"{path}: no column or key {target!r}: there are {', '.join(found.columns)}{meant(target, found.columns)}"
        )
    unit = found.units.get(target)
    classes = ("0", "1") if target in found.binary else ()
    if classes:
        unit = None
        notes.append(
            f"Target: {target} is 0 or 1 everywhere, and taken as two classes; for a number, delete classes in [data]."
        )
    if found.folder is not None:
        notes.append(f"Structures: the files in {found.folder} that column {found.structure!r} names.")
    if unit is not None:
        notes.append(f"Unit: {unit}, guessed from the name {target!r}; change unit in [data] if it is another.")
    section = DataSection(
        path=str(path),
        target=target,
        structure=found.structure,
        folder=found.folder,
        formula=found.formula,
        smiles=found.smiles,
        id=found.id,
        unit=unit,
        classes=classes,
    )
    others = tuple(name for name in found.targets if name != target)
    return DescribedData(section, f"{target} of {path.name}", others, tuple(notes))


def _nothing_to_predict(path: Path, found: FileContents) -> str:
    there = ", ".join(found.columns) or "nothing but structures"
    if found.n_rows == 1:
        return (
            f"{path}: one structure without a property, and a model learns from many with one: give a table, an extxyz "
            f"file or a folder with a table of properties. Predict {path.name} with a trained model by: atomprint "
            f"predict {path.name}"
        )
    sentence = labels_sentence(found.labels, str(path))
    return f"{path}: no property to predict among {there}: name one with --target" + (
        f". {sentence}" if sentence else ""
    )
