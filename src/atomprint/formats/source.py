"""What all files of data are read as: rows of named values, each perhaps with a structure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

_PART = re.compile(r"(.+)\[(\d+)\]")
_NORM = ".norm"
PEEK = 100
"""How many rows are looked at to guess what columns hold."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table, one structure of a file, one record.

    Parameters
    ----------
    fields : mapping of str to object
        What the row says, by the name of the column or key; values as they are in the file.
    structure : object
        Its structure if it is not in a field, in a form that :func:`to_atoms` takes.
    arrays : mapping of str to ndarray
        Values for each atom.
    id : str
        The name that it has by itself, such as that of its file; empty if it has none.
    problem : (str, str) or None
        If it could not be read: the step that failed, and why.
    line : int or None
        The line of its file on which it begins, counted from 1 as editors do; None where there are no lines.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    structure: Any = None
    arrays: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""
    problem: tuple[str, str] | None = None
    line: int | None = None

    def names(self) -> Iterator[str]:
        """Yield all names that :meth:`get` knows, but for those of components."""
        for name, value in self.fields.items():
            yield name
            if isinstance(value, Mapping):
                yield from (f"{name}.{key}" for key in value)
        yield from self.arrays
        if (sites := self._sites()) and isinstance(sites[0], Mapping):
            yield from sites[0].get("properties") or ()

    def get(self, name: str) -> Any:
        """Return a value by its name, None if there is none.

        Besides the names of fields and arrays these are ``"outer.inner"`` for a field that is a mapping, ``"name[2]"``
        for a component of a vector or of each vector of an array, ``"name.norm"`` for its length, and names of site
        properties of pymatgen structures.
        """
        if name in self.arrays:
            return self.arrays[name]
        if name in self.fields:
            return self.fields[name]
        outer, dot, inner = name.partition(".")
        if dot and isinstance(self.fields.get(outer), Mapping):
            return self.fields[outer].get(inner)
        sites = self._sites()
        if sites and isinstance(sites[0], Mapping) and name in (sites[0].get("properties") or ()):
            return [site["properties"].get(name) for site in sites]
        if (component := _PART.fullmatch(name)) and (vector := self.get(component[1])) is not None:
            array, index = np.asarray(vector), int(component[2])
            if array.ndim == 0 or array.ndim > 2 or index >= array.shape[-1]:
                raise ValueError(f"{name!r} does not exist: {component[1]!r} has shape {array.shape}")
            return array.take(index, axis=-1)
        if name.endswith(_NORM) and (vector := self.get(name.removesuffix(_NORM))) is not None:
            array = np.asarray(vector)
            if array.ndim == 0 or array.shape[-1] != 3 or array.dtype.kind not in "fiu":
                raise ValueError(f"{name!r} does not exist: {name.removesuffix(_NORM)!r} has shape {array.shape}")
            return np.linalg.norm(array, axis=-1)
        return None

    def _sites(self) -> Sequence[Any]:
        sites = self.structure.get("sites") if isinstance(self.structure, Mapping) else None
        return sites if isinstance(sites, list) else ()


class Source:
    """Rows from one place, of which the first have been looked at.

    Parameters
    ----------
    rows : iterator of Row
        All rows, read as they are asked for.
    noun : {"column", "key"}
        What a named value is called. All rows have the same columns, but any row may lack a key.
    notes : list of str
        Remarks that reading adds, for the description of the data set.
    files : (Path, str) or None
        For a table that names structure files, their folder and the column with their names.
    paths : str or None
        For a table with paths of structure files in a column that is not called after structures, that column.
    """

    def __init__(
        self,
        rows: Iterator[Row],
        noun: str,
        notes: list[str] | None = None,
        files: tuple[Path, str] | None = None,
        paths: str | None = None,
    ) -> None:
        self.first = list(islice(rows, PEEK))
        self.rows = chain(self.first, rows)
        self.noun = noun
        self.files = files
        self.paths = paths
        self.notes = notes if notes is not None else []
        self.names: dict[str, None] = {}  # in the order in which they were met
        for row in self.first:
            self.meet(row)

    def meet(self, row: Row) -> None:
        """Note which names a row has."""
        self.names.update(dict.fromkeys(row.names()))

    def has(self, name: str) -> bool:
        """Return whether a row that was met has a value of this name."""
        component = _PART.fullmatch(name)
        if name in self.names or name.removesuffix(_NORM) in self.names:
            return True
        return component is not None and self.has(component[1])

    def missing(self, what: str, name: str) -> ValueError:
        """Return the error that a name does not exist, which lists the names that do."""
        return ValueError(f"{what}: no {self.noun} {name!r}: there are {self.listed()}")

    def listed(self) -> str:
        """Return all names that were met, for messages."""
        return ", ".join(map(repr, self.names)) or "none"
