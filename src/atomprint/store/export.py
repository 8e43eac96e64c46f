"""A store as one file that other programs read, written shard by shard."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np

from atomprint.store.describe import in_words
from atomprint.util.extras import require
from atomprint.util.files import WholeFolder, text_file, written_atomically
from atomprint.util.progress import Progress, silent
from atomprint.util.sparse import dense
from atomprint.util.text import cell
from atomprint.util.types import PathOrStr

FORMATS = (".parquet", ".csv", ".csv.gz", ".npz", ".zarr")
_MAX_COLUMNS = 100_000  # of a table with a head: beyond, no program reads it in time


def export(store: Any, path: PathOrStr, *, where: str | None = None, progress: Progress = silent) -> int:
    """Write features, and what is known of structures, to a file; see :meth:`FeatureStore.export`."""
    path = Path(path)
    suffix = next((s for s in sorted(FORMATS, key=len, reverse=True) if path.name.lower().endswith(s)), None)
    if suffix is None:
        raise ValueError(f"the file must end in one of {', '.join(FORMATS)}, got {path.name!r}")
    if suffix not in (".npz", ".zarr") and store.n_features > _MAX_COLUMNS:
        raise ValueError(
            f"{suffix} is not for more than {_MAX_COLUMNS:,} columns, and there are {store.n_features:,} features: "
            "write .npz or .zarr"
        )
    rows = None if where is None else store.where(where)
    pieces = _Pieces(store, rows, progress)
    if suffix == ".zarr":
        _write_zarr(path, pieces)
        return pieces.n
    write = {".parquet": _write_parquet, ".npz": _write_npz}.get(suffix, _write_csv)
    with written_atomically(path) as temporary:
        write(temporary, pieces, suffix)
    return pieces.n


class _Pieces:
    """Rows of a store, a shard at a time: columns by name, and dense features."""

    def __init__(self, store: Any, rows: Any, progress: Progress) -> None:
        self.store, self.rows, self.progress = store, rows, progress
        self.columns = [name for name in store.columns if name not in ("content", "place", "line")]
        self.n = len(store) if rows is None else len(rows)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        done = 0
        for block in self.store.blocks():
            chosen: Any = block.rows
            if self.rows is not None:
                chosen = self.rows[np.searchsorted(self.rows, chosen.start) : np.searchsorted(self.rows, chosen.stop)]
            if len(chosen):
                self.progress("Writing", done, self.n)
                features = self.store.features(chosen)
                yield self.store.table(self.columns, chosen), features
                done += len(chosen)
        self.progress("Writing", self.n, self.n)

    def schema(self) -> Any:
        """Return the types of the columns: those of all rows."""
        pa = require("pyarrow", "data", "a store")
        types: dict[str, Any] = {}
        for shard in self.store.shards:
            for field in shard.table([name for name in self.columns if name not in ("source", "key")]).schema:
                known = types.get(field.name, field.type)
                types[field.name] = field.type if known == field.type else pa.string()
        return pa.schema([(name, types.get(name, pa.string())) for name in self.columns])


def _names(pieces: _Pieces) -> list[str]:
    """Return names of columns of features, which are not those of others."""
    taken = set(pieces.columns)
    return [f"feature {name}" if name in taken else name for name in pieces.store.names]


def _write_parquet(path: Path, pieces: _Pieces, suffix: str) -> None:
    pa = require("pyarrow", "data")
    parquet = require("pyarrow.parquet", "data")
    schema, names = pieces.schema(), _names(pieces)
    of = pa.from_numpy_dtype(np.dtype(pieces.store.plan.dtype))
    whole = pa.schema([*schema, *((name, of) for name in names)])
    with parquet.ParquetWriter(path, whole, compression="zstd") as writer:
        for table, features in pieces:
            columns = [_of_type(table.column(field.name), field.type) for field in schema]
            columns += [pa.array(column) for column in np.ascontiguousarray(dense(features).T)]
            writer.write_table(pa.Table.from_arrays(columns, schema=whole))


def _of_type(column: Any, of: Any) -> Any:
    """Return a column of a part as all of them have it: where others have words, numbers are labels."""
    pa = require("pyarrow", "data")
    if of == pa.string() and column.type == pa.float64():
        return pa.array(in_words(column.to_pylist()), of)
    return column.cast(of)


def _members(pieces: _Pieces) -> dict[str, str]:
    """Return what columns are called beside the features and their names, of which no two are called the same."""
    members = {
        name: f"target {name}" if name in ("features", "names") else name.replace("/", " ") for name in pieces.columns
    }
    if len(set(members.values())) < len(members):
        raise ValueError(f"two columns would have one name in the file: {', '.join(map(repr, members))}")
    return members


def _write_csv(path: Path, pieces: _Pieces, suffix: str) -> None:
    with text_file(path, packed=suffix == ".csv.gz") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([cell(name) for name in (*pieces.columns, *_names(pieces))])
        for table, features in pieces:
            known = [table.column(name).to_pylist() for name in pieces.columns]
            for row, values in zip(zip(*known, strict=True), dense(features).tolist(), strict=True):
                writer.writerow([*("" if value is None else cell(value) for value in row), *values])


def _write_npz(path: Path, pieces: _Pieces, suffix: str) -> None:
    columns: dict[str, list[Any]] = {name: [] for name in pieces.columns}
    members = _members(pieces)
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        with archive.open("features.npy", "w", force_zip64=True) as file:
            shape = (pieces.n, pieces.store.n_features)
            head = {"descr": np.dtype(pieces.store.plan.dtype).str, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, head)
            for table, features in pieces:
                file.write(np.ascontiguousarray(dense(features)).data)
                for name in columns:
                    columns[name] += table.column(name).to_pylist()
        arrays = [("names", list(pieces.store.names)), *((members[name], own) for name, own in columns.items())]
        for name, values in arrays:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, _array(values), allow_pickle=False)


def _array(values: Sequence[Any]) -> Any:
    """Return a column as an array that needs no pickle: words, or numbers with nan for what is not known."""
    if any(isinstance(value, str) for value in values):
        return np.array(["" if value is None else value for value in in_words(values)], dtype=np.str_)
    if None in values or any(isinstance(value, float) for value in values):
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    return np.array(values)


def _write_zarr(path: Path, pieces: _Pieces) -> None:
    zarr = require("zarr", "zarr", "the export to zarr")
    members = _members(pieces)
    with WholeFolder(path, force=False) as folder:

        def write(new: Path) -> None:
            group = zarr.open_group(str(new), mode="w")
            shape = (pieces.n, pieces.store.n_features)
            chunks = (max(1, min(pieces.store.plan.block, max(1, pieces.n))), shape[1])
            target = group.create_array("features", shape=shape, chunks=chunks, dtype=pieces.store.plan.dtype)
            group.attrs["names"] = list(pieces.store.names)
            columns: dict[str, list[Any]] = {name: [] for name in pieces.columns}
            start = 0
            for table, features in pieces:
                target[start : start + table.num_rows] = dense(features)
                start += table.num_rows
                for name in columns:
                    columns[name] += table.column(name).to_pylist()
            for name, values in columns.items():
                array = _array(values)
                if array.dtype.kind == "U":
                    array = array.astype(np.dtypes.StringDType())
                group.create_array(members[name], data=array)

        folder.write(write)
