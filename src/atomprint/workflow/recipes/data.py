"""From the ``[data]`` of a recipe to a data set."""

from __future__ import annotations

import numpy as np

from atomprint.datasets import REGISTRY, Dataset, load, read_dataset
from atomprint.util.validation import check_choice
from atomprint.workflow.recipes.recipe import DataSection


def load_data(section: DataSection, seed: int) -> Dataset:
    """Load a data set that atomprint knows, or read the user's own.

    Parameters
    ----------
    section : DataSection
        Which.
    seed : int
        Seed of the choice of rows, if ``section.sample`` asks for some only.

    Returns
    -------
    Dataset

    Raises
    ------
    ValueError
        If the data set, the columns or a row are not usable; the message names them.
    FileNotFoundError
        If there is no such file.
    """
    if section.name is not None:
        for entry in ("structure", "formula", "id", "unit", "title", "format"):
            if getattr(section, entry) is not None:
                raise ValueError(f"data.{entry} belongs to files of your own, not to data set {section.name!r}")
        check_choice("data.name", section.name, tuple(REGISTRY))
        options = {"path": section.path, "on_error": section.on_error} if REGISTRY[section.name].files else {}
        dataset = load(section.name, **options)
    else:
        target = section.target
        if target is None:
            raise ValueError("data.target must name the column or key to predict")
        dataset = read_dataset(
            str(section.path),
            targets=target,
            structure=section.structure,
            formula=section.formula,
            id=section.id,
            groups=section.groups,
            units={} if section.unit is None else {target: section.unit},
            titles={} if section.title is None else {target: section.title},
            classes={target: section.classes} if section.classes else {},
            format=section.format,
            on_error=section.on_error,
        )
    if section.sample is None or section.sample >= len(dataset):
        return dataset
    rows = np.random.default_rng(seed).choice(len(dataset), section.sample, replace=False)
    return dataset.take(np.sort(rows))
