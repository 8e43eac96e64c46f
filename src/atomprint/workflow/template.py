"""Commented recipes for data that a user has."""

from __future__ import annotations

import os
from pathlib import Path

from atomprint.datasets import Dataset, inspect_file, read_dataset

_HEAD = """\
# A recipe for atomprint train: everything that a run depends on. Lines that begin with # are choices.

title = {title}
seed = 0                    # of everything that is random: the same recipe gives the same numbers
n_jobs = -1                 # threads; -1 means all cores
output = "atomprint-run"    # folder for the report, the predictions and the model

"""

_OWN_DATA = """\
[data]
path = {path}
{columns}target = {target}{target_note}
unit = {unit}                   # of the target, for plots and tables
# title = "Band gap"        # the target in words
# classes = ["no", "yes"]   # if the target is a category; the positive class last
# groups = ["prototype"]    # further columns, for [split]
# sample = 1000             # only so many rows, to try things out
on_error = "raise"          # "skip" leaves out rows that cannot be used, and lists them in the report

"""

_KNOWN_DATA = """\
[data]
name = "dcdft"              # crystals of 71 elements that come with ASE; atomprint data list shows others
target = "bulk_modulus"
# path = "crystals.csv"     # your own data instead of a name; then also:
# structure = "cif"         # the column with the structures, or formula = "formula"
# unit = "GPa"

"""

_SPLIT = """\
[split]
method = "random"           # or "stratified", "group", "time", "official"
test_size = 0.2             # set aside, and predicted once; 0 for cross-validation alone
n_folds = 5                 # cross-validation within the rest, by which models are compared
# group_by = "formula"      # for "group": or "chemical system", "element" (each left out in turn), "space group" …

"""

_COMPOSITION = """\
[features.composition]      # statistics over the properties of the elements; no structure is needed
type = "ElementProperty"
missing = "impute"

"""

_STRUCTURE = """\
[features.soap]             # neighbours of each atom, averaged over the atoms
type = "SOAP"
r_cut = 5.0                 # Å
n_max = 4
l_max = 3
sigma = 0.5                 # Å
pooling = "mean"
species_embedding = {{ type = "ElementEmbedding", n_channels = {n_channels} }}    # mixes similar elements

[features.both]
join = ["composition", "soap"]

"""

_MODELS = """\
[models.random_forest]

[models.kernel_ridge]

# [models.hist_gradient_boosting]
# [models.ridge]
# [models.my_own]
# type = "sklearn.linear_model.HuberRegressor"    # any estimator by its import path, with its parameters below

[search]
method = "none"             # "grid", "random" or "optuna": hyperparameters chosen within each training part
# n_iter = 20

[evaluation]
learning_curve = true
level = 0.9                 # share of true values that prediction intervals are to hold
# n_choose = 5000           # samples of a training part on which models are compared, if there is no test part
"""


def recipe_for(data: Path | None, target: str | None, *, relative_to: Path) -> tuple[str, list[str]]:
    """Return the text of a recipe, and notes for the user.

    Parameters
    ----------
    data : path or None
        The user's file or folder; None for data that come along.
    target : str or None
        Column or key to predict; None to look for it.
    relative_to : path
        Folder of the recipe, to which its paths are relative.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file or column, or nothing in it can be a target; the message lists what there is.
    """
    if data is None:
        head = _HEAD.format(title=_quoted("Bulk moduli of the elements"))
        structure = _STRUCTURE.format(n_channels=4)
        return head + _KNOWN_DATA + _SPLIT + _COMPOSITION + structure + _MODELS, []
    found = inspect_file(data)
    notes = []
    if target is None:
        if not found.numeric:
            raise ValueError(
                f"{data}: no column of numbers to predict among {', '.join(found.columns)}: name one with --target"
            )
        target = found.numeric[-1]
        if len(found.numeric) > 1:
            notes.append(f"Target: {target}. Others that could be: {', '.join(found.numeric[:-1])} (see --target)")
    elif target not in found.columns:
        raise ValueError(f"{data}: no column or key {target!r}: there are {', '.join(found.columns)}")
    dataset = read_dataset(
        data, targets=target, structure=found.structure, formula=found.formula, id=found.id, on_error="skip"
    )
    if dataset.failures:
        first = dataset.failures[0]
        notes.append(
            f"{len(dataset.failures)} rows cannot be used, the first is row {first.row} ({first.reason}): "
            'set on_error = "skip" to leave them out'
        )
    columns = "".join(
        f"{name} = {_quoted(value)}\n"
        for name, value in (("structure", found.structure), ("formula", found.formula), ("id", found.id))
        if value is not None
    )
    body = _OWN_DATA.format(
        path=_quoted(Path(os.path.relpath(data, relative_to)).as_posix()),
        columns=columns,
        target=_quoted(target),
        target_note=_note(found.numeric, target),
        unit=_quoted(""),
    )
    features = _COMPOSITION
    if dataset.structures is not None:
        features += _STRUCTURE.format(n_channels=_channels(dataset))
    notes.append(f"{len(dataset)} {'compositions' if dataset.structures is None else 'structures'} in {data}")
    head = _HEAD.format(title=_quoted(f"{target} of {data.name}"))
    models = _MODELS
    if dataset.targets[target].kind == "classification":  # kernel ridge is for numbers
        models = models.replace("# [models.hist_gradient_boosting]\n", "").replace(
            "[models.kernel_ridge]", "[models.hist_gradient_boosting]"
        )
    return head + body + _SPLIT + features + models, notes


def _note(numeric: tuple[str, ...], target: str) -> str:
    others = [name for name in numeric if name != target]
    return f"    # or {', '.join(others[:5])}" if others else ""


def _channels(dataset: Dataset) -> int:
    """Return how many channels an embedding should have: fewer than elements, and few enough to be quick."""
    return max(1, min(len(dataset.elements), 6))


def _quoted(text: str) -> str:
    """Return text as a string of TOML."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in escaped) + '"'
