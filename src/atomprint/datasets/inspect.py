"""What is in a file of one's own: columns or keys, and which of them could be what."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from atomprint.datasets.columns import kind_of
from atomprint.datasets.local import open_source
from atomprint.datasets.roles import choose_roles


@dataclass(frozen=True, slots=True)
class FileContents:
    """Columns or keys of a file.

    Parameters
    ----------
    columns : tuple of str
        All names.
    numeric : tuple of str
        Those with numbers or truth values that are neither structures, formulas nor ids: targets, perhaps.
    structure, formula, id : str or None
        Where structures, formulas and names are; None where they are not in a column, or there are none.
    """

    columns: tuple[str, ...]
    numeric: tuple[str, ...]
    structure: str | None
    formula: str | None
    id: str | None


def inspect_file(
    path: str | PathLike[str], *, structure: str | None = None, formula: str | None = None
) -> FileContents:
    """Look at the first rows of a file, a folder or an archive.

    Parameters
    ----------
    path : path
        Anything that :func:`~atomprint.datasets.read_dataset` reads.
    structure, formula : str, optional
        Columns or keys with structures and formulas, if their names do not tell.

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
    _, found = open_source(Path(path), structure=structure)
    roles = choose_roles(found, targets={}, structure=structure, formula=formula, id_=None, groups={})
    taken = {roles.structure, roles.formula, roles.id}
    names = tuple(found.names)
    return FileContents(
        names,
        tuple(name for name in names if name not in taken and _is_numeric(row.get(name) for row in found.first)),
        roles.structure,
        roles.formula,
        roles.id,
    )


def _is_numeric(values: Iterable[object]) -> bool:
    kinds = {kind_of(value) for value in values} - {"missing"}
    return bool(kinds) and kinds <= {"number", "boolean"}
