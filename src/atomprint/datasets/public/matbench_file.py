"""Reading the files of Matbench: pandas' JSON with pymatgen's dictionaries in it, of any length."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from atomprint.chemistry.formula import parse_formula
from atomprint.datasets.failures import Failure, Failures
from atomprint.datasets.public.archives import AGAIN, DataFileError, damage_reported
from atomprint.datasets.public.batch_builder import BatchBuilder
from atomprint.datasets.public.cache import cache_folder, sha256_of
from atomprint.datasets.public.entry import Entry, TargetInfo
from atomprint.datasets.public.finish import check_rest
from atomprint.formats.opening import open_binary
from atomprint.formats.pymatgen_dict import read_pymatgen_dict
from atomprint.structures import Batch
from atomprint.util.extras import require
from atomprint.util.progress import Progress
from atomprint.util.types import FloatArray, Indices, PathOrStr

_FORMAT = 1  # of the copies that load faster; to be raised when what is in them changes
_ARRAYS = ("positions", "numbers", "offsets", "cells", "pbc")  # in the order of Batch.arrays
_GROUPS = {"spg_num": "space group", "crys_sys": "crystal system"}


@dataclass(frozen=True)
class TaskRows:
    """What a file says.

    Parameters
    ----------
    inputs : Batch or tuple of str
        Structures or compositions of the rows that could be read.
    kept : ndarray of int
        Which rows these are, counted from 0.
    values : ndarray of float64
        The target of all rows; nan where it is not known or could not be read.
    failures : tuple of Failure
        Why the other rows could not be read.
    ids : tuple of str or None
        Names of all rows, if the file gives any.
    groups : mapping of str to ndarray of str
        Labels of all rows.
    """

    inputs: Batch | tuple[str, ...]
    kept: Indices
    values: FloatArray
    failures: tuple[Failure, ...]
    ids: tuple[str, ...] | None = None
    groups: Mapping[str, npt.NDArray[np.str_]] = field(default_factory=dict)


class _Rows:
    """Takes rows one by one, and knows what to do with those that cannot be read."""

    def __init__(self, place: Path, found: Entry, on_error: str, progress: Progress) -> None:
        self.place, self.found, self.progress = place, found, progress
        self.failures = Failures(str(place), on_error)
        self.batch, self.formulas = BatchBuilder(), list[str]()
        self.kept, self.values = list[int](), list[float]()

    def add(self, of: Any, value: Any, structure: bool, id: str | None = None) -> None:
        """Add a row: what it is of, and its value."""
        row = len(self.values)
        self.values.append(np.nan)
        step = "target"
        try:
            self.values[row] = _number(value, bool(next(iter(self.found.targets.values())).classes))
            step = "structure" if structure else "composition"
            if structure:
                self.batch.append(*read_pymatgen_dict(of, periodic=True))
            else:
                parse_formula(of)
                self.formulas.append(of)
            self.kept.append(row)
        except (ValueError, TypeError) as error:
            self.failures.add(row, id or str(row), step, error)
        if row % 500 == 499:
            self.progress(f"read {self.place.name}", row + 1, self.found.rows)

    def table(self, structure: bool, ids: Sequence[str] | None = None, **groups: Any) -> TaskRows:
        """Return all of them."""
        check_rest(self.failures, len(self.kept))
        self.progress(f"read {self.place.name}", len(self.values), len(self.values))
        return TaskRows(
            self.batch.build() if structure else tuple(self.formulas),
            np.array(self.kept, dtype=np.intp),
            np.array(self.values),
            tuple(self.failures),
            None if ids is None else tuple(ids),
            groups,
        )


def read_task(place: Path, found: Entry, cache: PathOrStr | None, on_error: str, progress: Progress) -> TaskRows:
    """Read a file of a task, or the arrays that were read from it before; see ``load_matbench``."""
    ready = _ready(place, found, cache) if found.kind == "structures" else None
    table = None if ready is None else _load_ready(ready)
    if table is not None:
        known = Failures(str(place), on_error)
        for failure in table.failures:
            known.add(failure.row, failure.id, failure.step, failure.reason)
        return table
    rows = _Rows(place, found, on_error, progress)
    with damage_reported(place):
        with open_binary(place) as file:
            start = file.read(4096).lstrip()
        if not start.startswith(b"{"):
            raise DataFileError(f"{place} must be a JSON file of Matbench, got one that starts with {start[:20]!r}")
        split = start[1:].lstrip().split(b'"')[1:2] in ([b"index"], [b"columns"], [b"data"])
        with open_binary(place) as file:
            table = (_read_split if split else _read_columns)(file, rows)
    if ready is not None and isinstance(table.inputs, Batch) and table.ids is None:
        _save_ready(ready, table)
    return table


def _read_split(file: IO[bytes], rows: _Rows) -> TaskRows:
    """Read ``{"columns": ["structure", "e_form"], "index": [...], "data": [[..., 1.0], ...]}`` as a stream."""
    ijson = require("ijson", "data", "reading a file of Matbench")
    try:
        columns: list[str] = next(ijson.items(file, "columns"), [])
        of, value = _columns(columns, next(iter(rows.found.targets.values())), rows)
        file.seek(0)
        for row in ijson.items(file, "data.item", use_float=True):
            if len(row) != len(columns):
                raise DataFileError(f"{rows.place} must have {len(columns)} values in each row, got {len(row)}")
            rows.add(row[of], row[value], columns[of] == "structure")
    except ijson.JSONError as error:
        raise DataFileError(f"{rows.place} is truncated or damaged ({error}): {AGAIN}") from error
    return rows.table(columns[of] == "structure")


def _read_columns(file: IO[bytes], rows: _Rows) -> TaskRows:
    """Read ``{"composition": {"0": "NaCl"}, "e_form": {"0": -1.0}}``, pandas' own default, from memory."""
    try:
        data = json.load(file)
    except json.JSONDecodeError as error:
        raise DataFileError(f"{rows.place} is truncated or damaged ({error}): {AGAIN}") from error
    if not all(isinstance(column, dict) for column in data.values()):
        raise DataFileError(f"{rows.place} must be a table in pandas' JSON: for each column a value by row")
    columns = list(data)
    of, value = (columns[i] for i in _columns(columns, next(iter(rows.found.targets.values())), rows))
    keys = list(data[of])
    ids = [str(data["mbid"][key]) for key in keys] if "mbid" in data else None
    for at, key in enumerate(keys):
        rows.add(data[of][key], data[value].get(key), of == "structure", None if ids is None else ids[at])
    groups = {title: np.array([str(data[c].get(key, "")) for key in keys]) for c, title in _GROUPS.items() if c in data}
    return rows.table(of == "structure", ids, **groups)


def _columns(columns: Sequence[str], info: TargetInfo, rows: _Rows) -> tuple[int, int]:
    ((name, _),) = rows.found.targets.items()
    kinds = [kind for kind in ("structure", "composition") if kind in columns]
    target = info.column or name
    if not kinds or target not in columns:
        raise DataFileError(
            f"{rows.place} must have a column structure or composition and a column {target!r}, got {list(columns)}"
        )
    return columns.index(kinds[0]), columns.index(target)


def _number(value: Any, is_class: bool) -> float:
    if value is None:
        return np.nan
    if isinstance(value, bool | int | float) and (not is_class or value in (0, 1)):
        return float(value)
    raise ValueError(f"the target must be {'true or false' if is_class else 'a number'}, got {value!r:.60}")


def _ready(place: Path, found: Entry, cache: PathOrStr | None) -> Path | None:
    """Return where the arrays read from a file are kept; None without pooch, which knows where the cache is."""
    try:
        return cache_folder(cache) / "read" / f"{found.name}-{sha256_of(place)[:16]}-{_FORMAT}.npz"
    except ImportError:
        return None


def _save_ready(ready: Path, table: TaskRows) -> None:
    """Keep the arrays, where that is possible: without them it only takes longer."""
    assert isinstance(table.inputs, Batch)
    failures = json.dumps([[f.row, f.id, f.step, f.reason] for f in table.failures])
    arrays: dict[str, Any] = dict(zip(_ARRAYS, table.inputs.arrays(), strict=True))
    with suppress(OSError):
        ready.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=ready.parent) as folder:
            new = Path(folder) / ready.name
            np.savez(new, kept=table.kept, values=table.values, failures=np.array(failures), **arrays)
            os.replace(new, ready)


def _load_ready(ready: Path) -> TaskRows | None:
    """Return the arrays, or None if there are none or they are damaged."""
    try:
        with open(ready, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            positions, numbers, offsets, cells, pbc = (arrays[name] for name in _ARRAYS)
            failures = tuple(Failure(*fields) for fields in json.loads(str(arrays["failures"])))
            return TaskRows(Batch(numbers, positions, offsets, cells, pbc), arrays["kept"], arrays["values"], failures)
    except (OSError, EOFError, ValueError, TypeError, KeyError, zipfile.BadZipFile):
        return None
