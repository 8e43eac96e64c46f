"""What a model is asked about: structures, compositions, files and data sets, as rows with names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

from atomprint.chemistry.contents import is_composition
from atomprint.chemistry.smiles import Smiles
from atomprint.datasets import Dataset, Failure
from atomprint.datasets.files.read import read_items
from atomprint.formats.molecules import MOL_FILES, SMILES_FILES
from atomprint.formats.opening import plain_name
from atomprint.structures import Batch, is_structure, kind_of
from atomprint.util.items import items_of
from atomprint.workflow.saved.pipeline import KINDS

_TABLES = (".csv", ".tsv", ".parquet", *SMILES_FILES, *MOL_FILES)
_ENDINGS = re.compile(
    r"\.(csv|tsv|txt|dat|smi|smiles|ism|sd|parquet|xlsx?|jsonl?|ya?ml|toml|m?cif|mmcif|(e|ext)?xyz|vasp|poscar|contcar|pdb|xsf|res|cfg|"
    r"traj|db|gen|mol|sdf|cell|in|out|log|gz|bz2|xz|zip|tar|tgz|np[yz]|h5|hdf5|atomprint)",
    re.IGNORECASE,
)


@dataclass(frozen=True, eq=False)
class Inputs:
    """Rows to be predicted.

    Parameters
    ----------
    items : sequence or Batch
        Structures or compositions, or a :class:`~atomprint.datasets.Failure` in place of what could not be read.
    ids : sequence of str
        A name for each.
    """

    items: Any
    ids: Sequence[str]

    def __len__(self) -> int:
        return len(self.ids)

    def part(self, start: int, stop: int) -> Any:
        """Return a run of the items."""
        if isinstance(self.items, Batch | list):
            return self.items[start:stop]
        return [self.items[i] for i in range(start, stop)]  # a sequence that reads when asked


def read_inputs(
    given: Any, taken: str, *, structure: str | None = None, folder: str | PathLike[str] | None = None
) -> Inputs:
    """Return what can be predicted as rows.

    Parameters
    ----------
    given : structure or composition, sequence of these, path of a file or a folder, or Dataset
        A table of pandas, Polars or Arrow with one column is this column.
        Files hold one or more structures that ASE reads; of a folder all files are read. A single CSV, TSV or Parquet
        file is a table with a column of structures or formulas.
    taken : {"structures", "molecules", "compositions"}
        What the model takes. Text is then SMILES or a formula, unless it names a file.
    structure : str, optional
        For a table: the column with the structures, with the names of their files, or with SMILES.
    folder : path, optional
        The folder of these files.

    Returns
    -------
    Inputs
        Files are named after themselves (``"run.xyz#3"`` for the fourth structure in one), rows of a data set by their
        ids, all else by number.

    Raises
    ------
    ValueError
        If there is nothing, a table has several columns, or a data set has only compositions where structures are
        needed.
    TypeError
        If it is none of these.
    FileNotFoundError
        If there is no such file; one of several that is not there is a Failure.
    """
    if isinstance(given, Dataset):
        if given.structures is None and KINDS.index(taken) < KINDS.index(given.kind):
            raise ValueError(f"the model needs {taken}, data set {given.name!r} has only {given.kind}")
        return Inputs(given.items, given.ids)
    structures = taken == "structures"
    if isinstance(given, Batch):
        return Inputs(given, _numbered(len(given)))
    if _is_one(given):
        given = [given]
    else:
        given = items_of("structures" if structures else "compositions", given)
        if not isinstance(given, Iterable):
            raise TypeError(
                f"structures must be a structure, a composition, a path or a sequence, got {kind_of(given)}"
            )
        given = list(given)
    items: list[Any] = []
    ids: list[str] = []
    for item in given:
        if isinstance(item, Smiles) or (
            taken == "molecules" and isinstance(item, str) and not _names_a_file(item, taken)
        ):
            ids.append(str(item))
            items.append(Smiles(item))
        elif isinstance(item, str | PathLike) and (structures or _names_a_file(item, taken)):
            for name, found in _of_path(Path(item), taken, len(given) == 1, structure, folder):
                ids.append(name)
                items.append(replace(found, row=len(items)) if isinstance(found, Failure) else found)
        else:
            ids.append(item if isinstance(item, str) else str(len(items)))
            items.append(item)
    if not items:
        raise ValueError("structures must hold at least one structure or composition, got none")
    return Inputs(items, ids)


def _of_path(
    path: Path, taken: str, alone: bool, structure: str | None, folder: str | PathLike[str] | None
) -> list[tuple[str, Any]]:
    """Return names and items of what is at a path; if it is one of several, what is wrong with it."""
    molecules = taken == "molecules"
    if alone and not path.exists():
        raise FileNotFoundError(
            f"no such file or folder: {str(path)!r}"
            + ("" if _names_a_file(str(path), taken) else f"; the model needs {taken}, a formula is not enough")
        )
    many = path.is_dir() or (alone and _is_table(path))
    try:
        column = {"smiles": structure} if molecules and not folder else {"structure": structure, "folder": folder}
        found = read_items(path, **column)
        for _, item in found:
            kind = "molecules" if isinstance(item, Smiles) else "compositions"
            if isinstance(item, str) and KINDS.index(taken) < KINDS.index(kind):
                raise ValueError(f"the model needs {taken}, data set {path.stem!r} has only {kind}")
    except (ValueError, OSError) as error:
        if alone and many:
            raise
        return [(path.name, Failure(0, path.name, "read", str(error)))]
    if many:
        return found
    if len(found) == 1 and found[0][0] == "0":
        return [(path.name, found[0][1])]
    return [(f"{path.name}#{name}", item) for name, item in found]


def _is_one(given: Any) -> bool:
    return isinstance(given, PathLike) or is_structure(given) or is_composition(given)


def _names_a_file(given: str | PathLike[str], taken: str) -> bool:
    """Return whether text is the name of a file, be it there or not, and no formula or SMILES."""
    if isinstance(given, PathLike) or Path(given).exists():
        return True
    bonds = taken == "molecules"  # whose stereo is written with slashes
    return (not bonds and ("/" in given or "\\" in given)) or _ENDINGS.fullmatch(Path(given).suffix) is not None


def _is_table(path: Path) -> bool:
    return Path(plain_name(path.name)).suffix.lower() in _TABLES


def _numbered(n: int) -> list[str]:
    return [str(i) for i in range(n)]
