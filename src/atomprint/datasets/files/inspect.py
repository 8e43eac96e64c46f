"""What is in a file of one's own: columns or keys, and which of them could be what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atomprint.datasets.files.candidates import guess_unit, is_label, rank_targets
from atomprint.formats.labels import FoundLabel, find_labels
from atomprint.formats.reading import open_source
from atomprint.formats.roles import choose_roles
from atomprint.formats.source import PEEK
from atomprint.formats.values import column_kind, kind_of, number_of
from atomprint.util.types import PathOrStr


@dataclass(frozen=True, slots=True)
class FileContents:
    """Columns or keys of a file.

    Parameters
    ----------
    columns : tuple of str
        All names.
    numeric : tuple of str
        Those with numbers or truth values that are neither structures, formulas, ids nor row numbers.
    targets : tuple of str
        Those that may be properties to predict, numbers, classes or values of atoms, the likeliest first.
    units : mapping of str to str
        For numbers among these, the unit that the name tells or suggests; a guess.
    structure, formula, id : str or None
        Where structures, formulas and names are; None where they are not in a column, or there are none.
    n_rows : int
        How many rows were looked at: all, if they are few.
    folder : str or None
        For a table that names structure files in ``structure``: the folder they are in.
    binary : tuple of str
        Columns of numbers that are all 0 or 1, and both of them.
    labels : tuple of FoundLabel
        Energies, forces and stresses of structures, to which potentials are fitted.
    smiles : str or None
        Where SMILES are.
    """

    columns: tuple[str, ...]
    numeric: tuple[str, ...]
    targets: tuple[str, ...]
    units: Mapping[str, str]
    structure: str | None
    formula: str | None
    id: str | None
    n_rows: int
    folder: str | None = None
    binary: tuple[str, ...] = ()
    labels: tuple[FoundLabel, ...] = ()
    smiles: str | None = None


def inspect_file(
    path: PathOrStr,
    *,
    structure: str | None = None,
    formula: str | None = None,
    folder: PathOrStr | None = None,
    smiles: str | None = None,
) -> FileContents:
    """Look at the first rows of a file, a folder or an archive.

    Parameters
    ----------
    path : path
        Anything that :func:`~atomprint.datasets.read_dataset` reads.
    structure, formula : str, optional
        Columns or keys with structures and formulas, if their names do not tell.
    folder : path, optional
        For a table that names structure files: the folder they are in.
    smiles : str, optional
        Column or key with SMILES.

    Returns
    -------
    FileContents

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If there is nothing in it, or no way to tell where the structures or formulas are.
    """
    form, found = open_source(Path(path), structure=structure, formula=formula, folder=folder)
    column = structure if form != "files" else None
    roles = choose_roles(found, targets={}, structure=column, formula=formula, id_=None, groups={}, smiles=smiles)
    taken = {roles.structure, roles.formula, roles.smiles, roles.id}
    names = tuple(found.names)
    kinds = {name: column_kind([row.get(name) for row in found.first]) for name in names}
    numeric = (name for name in names if kinds[name] in ("number", "boolean"))
    binary = tuple(name for name in names if _is_binary([row.get(name) for row in found.first]))
    if binary and len(found.first) == PEEK:
        left = dict.fromkeys(binary)
        for row in found.rows:
            for name in list(left):
                value = row.get(name)
                if kind_of(value) != "missing" and not (kind_of(value) == "number" and number_of(value) in (0, 1)):
                    del left[name]
        binary = tuple(left)
    units = {name: guess_unit(name) for name in names if kinds[name] in ("number", "array")}
    return FileContents(
        names,
        tuple(name for name in numeric if name not in taken and not is_label(name)),
        rank_targets(found.first, names, taken),
        {name: unit for name, unit in units.items() if unit},
        roles.structure if found.files is None else (found.files[1] or structure),
        roles.formula,
        roles.id,
        len(found.first),
        None if found.files is None else str(found.files[0]),
        binary,
        find_labels(found.first, names) if roles.has_structures else (),
        roles.smiles,
    )


def _is_binary(raws: list[Any]) -> bool:
    """Return whether values are numbers that are all 0 or 1, and both of them, as far as they are known."""
    return {number_of(raw) if kind_of(raw) == "number" else -1 for raw in raws if kind_of(raw) != "missing"} == {0, 1}
