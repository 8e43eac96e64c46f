"""Labels of samples that belong together: by formula, prototype, space group …, or as the data set says."""

from __future__ import annotations

from collections.abc import Mapping
from string import ascii_uppercase
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from atomprint.chemistry.smiles import scaffold_of, smiles_of
from atomprint.chemistry.symmetry import quiet_spglib, spglib_cell, symmetry_dataset
from atomprint.datasets import Dataset
from atomprint.learn.task.batches import batches, once_per_dataset
from atomprint.learn.task.problem import Problem
from atomprint.structures import Batch
from atomprint.util.extras import require
from atomprint.util.validation import check_choice

# Ångström within which atoms are symmetric; the usual choice for relaxed structures.
_SYMPREC = 0.01

GROUPS: Mapping[str, str] = MappingProxyType(
    {
        "formula": "the same reduced formula",
        "chemical system": "the same elements",
        "element": "an element in common",
        "structure": "the same structure",
        "scaffold": "the same scaffold",
        "space group": "the same space group",
        "prototype": "the same prototype",
    }
)
"""By what samples can be grouped, for any data set that has it, and what the samples of a group then share. The
prototype is the anonymous formula with the space group and the number of atoms in the primitive cell; the scaffold of a
molecule is its rings and what joins them (Bemis and Murcko)."""


def group_labels(problem: Problem, group_by: str) -> npt.NDArray[np.str_]:
    """Return the group of each sample.

    Parameters
    ----------
    problem : Problem
        The samples.
    group_by : str
        A key of ``Dataset.groups``, or else one of :data:`GROUPS` (without ``"element"``, which is no partition). Space
        groups and prototypes that the data set does not have are found with spglib.

    Returns
    -------
    ndarray of str, shape (n_samples,)
        Samples with the same label belong together; empty where the label is not known, as for the space group of a
        molecule.

    Raises
    ------
    ImportError
        If symmetry must be found, and spglib is not installed.
    ValueError
        If there are no such groups.
    """
    dataset = problem.dataset
    check_choice("group_by", group_by, tuple(dict.fromkeys([*dataset.groups, *GROUPS])))
    if group_by in dataset.groups:
        by_structure = np.asarray(dataset.groups[group_by], dtype=np.str_)
    elif group_by == "structure":
        by_structure = np.arange(len(dataset)).astype(np.str_)
    elif group_by == "formula":
        by_structure = np.array(dataset.formulas, dtype=np.str_)
    elif group_by == "chemical system":
        by_structure = np.array(dataset.chemical_systems, dtype=np.str_)
    elif group_by == "scaffold":
        by_structure = _scaffolds(dataset)
    elif group_by == "element":
        raise ValueError("group_by 'element' is no partition: a sample belongs to several elements")
    else:
        if dataset.structures is None:
            raise ValueError(f"group_by {group_by!r} needs structures: {dataset.name!r} has only {dataset.kind}")
        space_groups, prototypes = _symmetry(dataset)
        by_structure = space_groups if group_by == "space group" else prototypes
        if (by_structure == "").all():
            raise ValueError(
                f"group_by {group_by!r} needs crystals: no structure of {dataset.name!r} has a space group"
            )
    return by_structure[problem.structures]


@once_per_dataset
def _scaffolds(dataset: Dataset) -> npt.NDArray[np.str_]:
    """Return the scaffolds of all molecules, as SMILES without stereo; of those without rings it is the whole."""
    found = []
    for row, item in enumerate(dataset.items):
        if dataset.kind == "compositions":
            raise ValueError(f"group_by 'scaffold' needs molecules: {dataset.name!r} has only compositions")
        try:
            found.append(scaffold_of(item) or f"no rings: {smiles_of(item, stereo=False)}")
        except ValueError as error:
            raise ValueError(f"group_by 'scaffold': {dataset.ids[row]!r}: {error}") from error
    return np.array(found, dtype=np.str_)


@once_per_dataset
def _symmetry(dataset: Dataset) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.str_]]:
    """Return the numbers of the space groups and the prototypes of all structures, empty where there is none."""
    spglib = require("spglib", "pymatgen", "finding space groups")
    space_groups, prototypes = [], []
    with quiet_spglib():
        for batch in batches(dataset.structures, range(len(dataset))):
            for s in range(len(batch)):
                number, n_primitive = _space_group(spglib, batch[s : s + 1])
                space_groups.append(number)
                formula = anonymous_formula(batch[s : s + 1].numbers)
                prototypes.append(f"{formula} {number} {n_primitive}" if number else "")
    return np.array(space_groups, dtype=np.str_), np.array(prototypes, dtype=np.str_)


def _space_group(spglib: Any, one: Batch) -> tuple[str, int]:
    """Return the number of the space group and of the atoms in the primitive cell, ``("", 0)`` if there is none."""
    if not one.pbc.all():
        return "", 0
    found = symmetry_dataset(spglib, spglib_cell(one), _SYMPREC)
    return ("", 0) if found is None else (str(found.number), int(found.mapping_to_primitive.max()) + 1)


def anonymous_formula(numbers: npt.NDArray[np.integer[Any]]) -> str:
    """Return a reduced formula with letters in place of elements, the rarest first, such as ``"ABC3"``."""
    counts = np.sort(np.unique(numbers, return_counts=True)[1])
    counts //= np.gcd.reduce(counts)
    letters = ascii_uppercase if len(counts) <= len(ascii_uppercase) else [f"X{i}_" for i in range(len(counts))]
    return "".join(
        letter + (str(count) if count > 1 else "") for letter, count in zip(letters, counts.tolist(), strict=False)
    )
