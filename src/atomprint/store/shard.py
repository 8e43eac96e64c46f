"""A shard: a folder with some rows of a store, complete before it gets its name, and with checksums."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import numpy.typing as npt

from atomprint.store.packing import LEAVES
from atomprint.util.extras import require
from atomprint.util.files import locked, sync, unlocked
from atomprint.util.memory import size_of
from atomprint.util.npz import read_npz, write_npz

SHARDS = "shards"
"""Name of the folder of a store that has a folder for each shard."""
DENSE, SPARSE, ROWS, ABOUT = "features.npy", "features.npz", "rows.parquet", "shard.json"
_PARTIAL = ".partial-"


@dataclass(frozen=True)
class ShardContent:
    """Rows that are described.

    Parameters
    ----------
    features : ndarray or csr_array, shape (n_rows, n_features)
        Of the rows that could be described.
    table : mapping of str to pyarrow.Array
        Columns of these, and below them of the rows that failed.
    source : str
        Name of the file or folder that they are from.
    first : int
        Number of the first row there.
    failures : mapping of str to int
        How many rows failed, by what they failed at and why.
    """

    features: Any
    table: Mapping[str, Any]
    source: str
    first: int
    failures: Mapping[str, int]


@dataclass(frozen=True)
class Shard:
    """A shard on the disk.

    Parameters
    ----------
    name : str
        Digest of what it was made from.
    folder : Path
        Where it is.
    source : str
        Name of the file or folder that its rows are from.
    first : int
        Number of its first row there.
    n_rows, n_failed : int
        How many rows could be described, and how many could not.
    failures : mapping of str to int
        These, by what they failed at and why.
    sums : mapping of str to str
        Checksums of its files by their names.
    """

    name: str
    folder: Path
    source: str
    first: int
    n_rows: int
    n_failed: int
    failures: Mapping[str, int]
    sums: Mapping[str, str]

    @classmethod
    def read(cls, folder: Path) -> Shard:
        """Return what a shard says of itself.

        Raises
        ------
        ValueError
            If it is damaged; whether its files are what they were is for :meth:`damage` to tell.
        """
        try:
            about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
            counts = {str(reason): int(count) for reason, count in about["failures"].items()}
            return cls(
                folder.name,
                folder,
                str(about["source"]),
                int(about["first"]),
                int(about["rows"]),
                int(about["failed"]),
                counts,
                {str(name): str(found) for name, found in about["sums"].items()},
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"shard {folder.name} is damaged: {ABOUT} cannot be read ({error})") from error

    def damage(self) -> str | None:
        """Return what is wrong with the files of the shard; None if they are what they were when they were written."""
        for name, known in self.sums.items():
            try:
                found = checksum(self.folder / name)
            except OSError as error:
                return f"{name} cannot be read: {error.strerror}"
            if found != known:
                return f"{name} is not what was written: its checksum is {found}, and must be {known}"
        return None

    def features(self) -> Any:
        """Return the features, mapped from the disk, shape (n_rows, n_features)."""
        if SPARSE in self.sums:
            from scipy.sparse import csr_array

            path = self.folder / SPARSE
            about = read_npz(path, {"shape": np.int64, "type": np.uint8}, mmap=False)
            of_data, of_indices = map(np.dtype, about["type"].tobytes().decode().split())
            found = read_npz(path, {"data": of_data, "indices": of_indices, "indptr": of_indices}, mmap=True)
            rows, columns = about["shape"].tolist()
            return csr_array((found["data"], found["indices"], found["indptr"]), shape=(rows, columns))
        try:
            return np.asarray(np.load(self.folder / DENSE, mmap_mode="r", allow_pickle=False))
        except (OSError, ValueError, EOFError) as error:
            raise ValueError(f"shard {self.name} is damaged: {DENSE}: {error} (atomprint store verify)") from error

    def table(self, columns: Sequence[str] | None = None, *, failed: bool = False) -> Any:
        """Return columns of the rows that could be described, or of those that failed, as a ``pyarrow.Table``.

        Columns that the shard does not have are left out.
        """
        parquet = require("pyarrow.parquet", "data", "a store")
        try:
            with parquet.ParquetFile(self.folder / ROWS, memory_map=True) as file:
                wanted = columns
                if columns is not None:
                    there = set(file.schema_arrow.names)
                    wanted = [name for name in columns if name in there]
                table = file.read(columns=wanted, use_threads=False)
        except (OSError, ValueError) as error:
            raise ValueError(f"shard {self.name} is damaged: {ROWS}: {error} (atomprint store verify)") from error
        return table.slice(self.n_rows) if failed else table.slice(0, self.n_rows)


def checksum(path: Path) -> str:
    """Return the BLAKE2 digest of a file, 128 bits in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def shards_of(store: Path) -> tuple[list[Shard], dict[str, str]]:
    """Return the shards of a store in the order of their rows, and what is wrong with those that cannot be read."""
    found, damaged = [], {}
    folder = store / SHARDS
    for name in sorted(os.listdir(folder)) if folder.is_dir() else ():
        try:
            found.append(Shard.read(folder / name))
        except ValueError as error:
            damaged[name] = str(error)
    return sorted(found, key=lambda shard: (shard.source, shard.first, shard.name)), damaged


def intact(store: Path, name: str) -> Shard | None:
    """Return a shard that is there and what it was when it was written; None if there is none."""
    try:
        shard = Shard.read(store / SHARDS / name)
    except ValueError:
        return None
    return shard if shard.damage() is None else None


@contextmanager
def work_folder(store: Path) -> Iterator[Path]:
    """Give a hidden folder of a store to write in, which nobody else uses, and remove it in the end."""
    while True:
        work = Path(mkdtemp(prefix=_PARTIAL, dir=store))
        with suppress(BlockingIOError):  # somebody who cleans up has taken it for one that was left behind
            handle = locked(work)
            break
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        unlocked(handle)


def sweep(store: Path) -> None:
    """Remove what processes that were killed have left behind; what others are at work on stays."""
    for work in store.glob(f"{_PARTIAL}*"):
        with suppress(OSError):
            handle = locked(work)
            shutil.rmtree(work, ignore_errors=True)
            unlocked(handle)


def put_file(store: Path, name: str, text: str) -> bool:
    """Write a file of a store, complete before it gets its name, unless it is there; return whether it was not."""
    with work_folder(store) as work:
        path = work / "new"
        try:
            path.write_text(text, encoding="utf-8")
            sync(path)
        except OSError as error:  # which tells no name
            raise OSError(error.errno, error.strerror, str(store / name)) from error
        (store / name).parent.mkdir(exist_ok=True)
        try:
            os.link(path, store / name)
        except FileExistsError:
            return False
        except OSError:  # a file system without links
            if (store / name).exists():
                return False
            path.replace(store / name)
        sync((store / name).parent)
    return True


def remove_shards(store: Path, shards: Sequence[Shard]) -> None:
    """Take shards out of a store, each in one step."""
    if shards:
        with work_folder(store) as work:
            for shard in shards:
                shard.folder.rename(work / shard.name)


def write_shard(store: Path, name: str, content: ShardContent) -> Shard:
    """Write a shard; where there is one of this name already, it stays if it is intact.

    Raises
    ------
    OSError
        If it cannot be written, as on a full disk; nothing of it is left behind.
    """
    try:
        with work_folder(store) as work:
            new = work / "shard"
            _write_files(new, content)
            target = store / SHARDS / name
            target.parent.mkdir(exist_ok=True)
            try:
                new.rename(target)
            except OSError:
                if intact(store, name) is None:
                    if not target.exists():
                        raise
                    target.rename(work / "damaged")
                    new.rename(target)
            sync(target.parent)
            return Shard.read(target)
    except OSError as error:
        reason = error.strerror or str(error)
        free = size_of(shutil.disk_usage(store).free) if store.is_dir() else "nothing"
        raise OSError(
            f"a shard of {str(store)!r} cannot be written: {reason} ({free} of disk left); the shards before it are "
            "kept, and the same command goes on from there"
        ) from error


def _write_files(new: Path, content: ShardContent) -> None:
    pa = require("pyarrow", "data", "a store")
    new.mkdir()
    features = _write_features(new, content.features)
    table = pa.table(dict(content.table))
    _write_rows(new / ROWS, table)
    n_failed = sum(content.failures.values())
    about = {
        "rows": table.num_rows - n_failed,
        "failed": n_failed,
        "source": content.source,
        "first": content.first,
        "failures": dict(sorted(content.failures.items())),
        "sums": {file: checksum(new / file) for file in (features, ROWS)},
    }
    (new / ABOUT).write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for path in (*new.iterdir(), new):
        sync(path)


def _write_features(folder: Path, features: Any) -> str:
    if not hasattr(features, "tocsr"):
        rows = np.ascontiguousarray(features)
        with (folder / DENSE).open("wb") as file:
            head = {"descr": rows.dtype.str, "fortran_order": False, "shape": rows.shape}
            np.lib.format.write_array_header_1_0(file, head)
            file.write(rows.reshape(-1).view(np.uint8).data)  # numpy.save says nothing where the disk is full
        return DENSE
    matrix = features.tocsr()
    # Not all that takes sparse features takes 64 bits.
    of = np.dtype(np.int32 if max(matrix.nnz, *matrix.shape) < 2**31 else np.int64)
    arrays: dict[str, npt.NDArray[Any]] = {
        "shape": np.array(matrix.shape, dtype=np.int64),
        "type": np.frombuffer(f"{matrix.dtype.str} {of.str}".encode(), dtype=np.uint8),
        "data": np.ascontiguousarray(matrix.data),
        "indices": np.ascontiguousarray(matrix.indices, dtype=of),
        "indptr": np.ascontiguousarray(matrix.indptr, dtype=of),
    }
    write_npz(folder / SPARSE, arrays)
    return SPARSE


def _write_rows(path: Path, table: Any) -> None:
    parquet = require("pyarrow.parquet", "data", "a store")
    # Of numbers that hardly repeat, first bytes are alike: beside each other they take the least room.
    split = {leaf: "BYTE_STREAM_SPLIT" for name, leaf in LEAVES.items() if name in table.column_names}
    repeated = [name for name in ("failure", "reason", "pbc") if name in table.column_names]
    parquet.write_table(
        table,
        path,
        compression="zstd",
        compression_level=3,
        use_dictionary=repeated,
        column_encoding=split or None,
        write_statistics=False,
        store_schema=False,
        row_group_size=max(1, table.num_rows),
    )
