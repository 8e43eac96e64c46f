"""Commented recipes for data that a user has."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import tomlkit

from atomprint.descriptors import PretrainedEmbedding
from atomprint.learn.task.metrics import METRICS
from atomprint.learn.task.problem import Problem
from atomprint.learn.task.wild import wild_sentence
from atomprint.util.text import counted
from atomprint.workflow.recipes.completion import complete
from atomprint.workflow.recipes.data import DataSection
from atomprint.workflow.recipes.own_data import DescribedData, describe_data
from atomprint.workflow.recipes.recipe import Recipe
from atomprint.workflow.recipes.sections import as_toml, comment, toml_text
from atomprint.workflow.saved.pretrained import seen_in_training

_HEAD = """\
# A recipe for atomprint train: everything that a run depends on. Lines that begin with # are choices and reasons.

title = {title}
seed = 0                    # of everything that is random: the same recipe gives the same numbers
n_jobs = -1                 # threads; -1 means all cores
output = "atomprint-run"    # folder for the report, the predictions and the model

"""

_OWN_DATA = """\
[data]
path = {path}
{columns}target = {target}{target_note}
unit = {unit}                   # of the target, for plots and tables{unit_note}
# title = "Band gap"        # the target in words
{classes}   # if the target is a category; the positive class last
# groups = ["prototype"]    # further columns, for [split]
# sample = 1000             # only so many rows, to try things out
on_error = "raise"          # "skip" leaves out rows that cannot be used, and lists them in the report

"""

_KNOWN_DATA = """\
[data]
name = {name}               # atomprint data list shows others
target = {target}
# path = "crystals.csv"     # your own data instead of a name; then also:
# structure = "cif"         # the column with the structures, or formula = "formula"
# unit = "GPa"

"""

_CLASSES = """\
[target]
threshold = {threshold}    # of a class to be predicted: chosen for "f1" …, a number for two classes, or "none"

"""

_NUMBERS = """\
[target]
transform = {transform}          # "log": models learn logarithms; "try": each model is there for both

"""

_SPLIT = """\
[split]
method = "{split.method}"           # or "stratified", "group", "time", "official"
test_size = {split.test_size}             # set aside, and predicted once; 0 for cross-validation alone
n_folds = {split.n_folds}                 # cross-validation within the rest, by which models are compared
# group_by = "formula"      # for "group": or "chemical system", "element" (each left out in turn), "space group" …

"""

_OTHER_MODELS = """\
# [models.ridge]            # further models to compare, each tried with all features
# [models.my_own]
# type = "sklearn.linear_model.HuberRegressor"    # any estimator by its import path, with its parameters below

"""

_SEARCH = """\
[search]
method = "{search.method}"             # "grid", "random" or "optuna": hyperparameters chosen within each training part
# n_iter = {search.n_iter}

"""

_EVALUATION = """\
[evaluation]
learning_curve = {learning_curve}
n_repeats = {evaluation.n_repeats}               # how often features are scrambled for their importance
level = {evaluation.level}                 # share of true values that prediction intervals are to hold
metric = {metric}    # by which models are compared: {metrics}
"""


def recipe_for(
    data: Path | None,
    target: str | None,
    *,
    relative_to: Path,
    structure: str | None = None,
    folder: Path | None = None,
    pretrained: tuple[str, ...] = (),
) -> tuple[str, list[str]]:
    """Return the text of a recipe chosen by the form of data, with the reasons as comments, and notes for the user.

    Parameters
    ----------
    data : path or None
        The user's file or folder, or the name of a data set that atomprint knows; None for data that come along.
    target : str or None
        Column or key to predict; None to look for it.
    relative_to : path
        Folder of the recipe, to which its paths are relative.
    structure, folder : optional
        See :func:`~atomprint.workflow.recipes.own_data.describe_data`.
    pretrained : tuple of str
        As of a :class:`Recipe`.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file or column, or nothing in it can be a target; the message lists what there is.
    """
    if data is None:
        described = DescribedData(DataSection(name="dcdft", target="bulk_modulus"), "Bulk moduli of the elements")
    else:
        described = describe_data(data, target, structure=structure, folder=folder)
    section, notes = described.section, list(described.notes)
    recipe = Recipe(replace(section, on_error="skip"), pretrained=pretrained)
    dataset = recipe.data.load()
    recipe, why = complete(recipe, dataset)
    section = replace(section, target=recipe.data.target)
    if dataset.failures and section.path is not None:
        n = len(dataset.failures)
        shown = "; ".join(f"{failure.place}: {failure.reason}" for failure in dataset.failures[:3])
        notes.append(
            f"{counted(n, 'row')} cannot be used ({shown}{f'; and {n - 3} more' if n > 3 else ''}): "
            'set on_error = "skip" in [data] to leave them out.'
        )
    notes += dataset.notes
    notes += why["data"]
    problem = Problem.of(dataset, str(section.target))
    notes += seen_in_training([PretrainedEmbedding(name) for name in pretrained], problem)
    wild = wild_sentence(problem)
    notes += [f"Warning: {wild}"] if wild else []
    evaluation, tables = recipe.evaluation, recipe.to_dict()
    parts = [
        _HEAD.format(title=_quoted(described.title or f"{section.target} of {section.name}")),
        comment(why["data"]),
        _KNOWN_DATA.format(name=_quoted(str(section.name)), target=_quoted(str(section.target)))
        if section.path is None
        else _own(described, relative_to),
        _target(recipe, why),
        _SPLIT.format(split=recipe.split),
        comment(why["features"]),
        toml_text({"features": tables["features"]}) + "\n",
        comment(why["models"]),
        toml_text({"models": tables["models"]}) + "\n",
        _OTHER_MODELS,
        comment(why["search"]),
        _SEARCH.format(search=recipe.search),
        comment(why["evaluation"]),
        _EVALUATION.format(
            evaluation=evaluation,
            learning_curve=str(evaluation.learning_curve).lower(),
            metric=_quoted(str(evaluation.metric)),
            metrics=", ".join(METRICS[problem.kind]),
        ),
    ]
    return "".join(parts), notes


def _target(recipe: Recipe, why: Mapping[str, tuple[str, ...]]) -> str:
    """Return the section on how numbers are learnt, or classes are decided."""
    section = recipe.target
    text = _NUMBERS.format(transform=_quoted(str(section.transform)))
    if section.threshold is not None:
        text = _CLASSES.format(threshold=tomlkit.item(section.threshold).as_string())
    return comment(why.get("target", ())) + text


def _own(described: DescribedData, relative_to: Path) -> str:
    section = described.section
    folder = None if section.folder is None else Path(os.path.relpath(section.folder, relative_to)).as_posix()
    columns = {"structure": section.structure, "folder": folder, "formula": section.formula, "id": section.id}
    others = described.others[:5]
    return _OWN_DATA.format(
        path=_quoted(Path(os.path.relpath(str(section.path), relative_to)).as_posix()),
        columns=toml_text(as_toml(columns)),
        target=_quoted(str(section.target)),
        target_note=f"    # or {', '.join(map(_printable, others))}" if others else "",
        unit=_quoted(section.unit or ""),
        classes='classes = ["0", "1"]     ' if section.classes else '# classes = ["no", "yes"]',
        unit_note="; guessed from the name of the target" if section.unit else "",
    )


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)


def _quoted(text: str) -> str:
    """Return text as a string of TOML."""
    return tomlkit.item(text).as_string()
