"""A store that is open: its rows by number, without any more of it in memory than is asked for."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from atomprint.store.describe import RESERVED, in_words
from atomprint.store.packing import COLUMNS, unpacked
from atomprint.store.plan import Plan
from atomprint.store.shard import Shard, shards_of
from atomprint.store.where import ELEMENTS, Condition
from atomprint.structures import Batch
from atomprint.util.extras import require
from atomprint.util.progress import Progress, silent
from atomprint.util.types import Array, PathOrStr
from atomprint.util.validation import check_integer, meant

Rows = slice | range | Sequence[int] | npt.NDArray[Any] | None
"""Numbers of rows, in any order; None is all of them."""


@dataclass(frozen=True)
class StoreInfo:
    """What a store holds.

    Parameters
    ----------
    plan : Plan
        Descriptor, parameters, species, names of features.
    n_rows, n_failed, n_shards, n_bytes : int
        How many rows could be described, and could not be; shards; bytes on the disk.
    sources : mapping of str to (int, int)
        Rows that could be described, and that could not be, by files.
    targets : tuple of str
        What is known of structures.
    failures : mapping of str to int
        Rows that could not be described, by what failed and why, the most frequent first.
    damaged : mapping of str to str
        Shards that cannot be read, and why. Whether others are what was written is for :meth:`FeatureStore.verify`.
    """

    plan: Plan
    n_rows: int
    n_failed: int
    n_shards: int
    n_bytes: int
    sources: dict[str, tuple[int, int]]
    targets: tuple[str, ...]
    failures: dict[str, int]
    damaged: dict[str, str]


class OpenStore:
    """Rows of a store; what is public is :class:`~atomprint.store.FeatureStore`, which searches them besides.

    Rows are numbered in the order of the names of their files, and in these as they come; those that could not be
    described have no number (:meth:`failures`). A store that is open does not change, whatever is added to its folder
    meanwhile.
    """

    def __init__(self, folder: Path, plan: Plan, shards: Sequence[Shard], damaged: dict[str, str]) -> None:
        self.folder, self.plan, self.damaged = folder, plan, damaged
        self._all = tuple(shards)
        self.shards = tuple(shard for shard in shards if shard.n_rows)
        self.offsets = np.cumsum([0, *(shard.n_rows for shard in self.shards)])
        self._features: dict[int, Any] = {}

    @classmethod
    def open(cls, path: PathOrStr) -> Self:
        """Return a store, as it is now.

        Raises
        ------
        FileNotFoundError
            If there is none.
        ValueError
            If ``store.json`` is damaged. Shards that cannot be read are left out, and listed in ``damaged``.
        """
        folder = Path(path)
        plan = Plan.read(folder)
        return cls(folder, plan, *shards_of(folder))

    def __len__(self) -> int:
        return int(self.offsets[-1])

    def __repr__(self) -> str:
        size = f"{len(self):,} rows, {self.n_features:,} features"
        return f"{type(self).__name__}({str(self.folder)!r}: {size}, {self.plan.descriptor})"

    @property
    def n_features(self) -> int:
        """Number of features."""
        return len(self.plan.names)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features."""
        return self.plan.names

    @cached_property
    def ids(self) -> npt.NDArray[np.object_]:
        """Name of each row, shape (n_rows,)."""
        return np.asarray(self.table(["id"]).column("id").to_numpy(zero_copy_only=False), dtype=object)

    @cached_property
    def _kinds(self) -> dict[str, bool]:
        """Names of the columns that shards have, and whether one of them has words."""
        found: dict[str, bool] = {}
        for shard in self.shards:
            for name, worded in _column_kinds(shard):
                found[name] = found.get(name, False) or worded
        return {name: worded for name, worded in found.items() if name not in ("failure", "reason", *COLUMNS)}

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns of :meth:`table`, but for those of the structures themselves."""
        return (*self._kinds, "source", "key")

    @property
    def worded(self) -> frozenset[str]:
        """Names of the columns that have words, and no numbers."""
        return frozenset(("source", "key", *(name for name, worded in self._kinds.items() if worded)))

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of what is known of structures."""
        return tuple(name for name in self.columns if name not in RESERVED)

    @property
    def summary(self) -> tuple[str, ...]:
        """Names of the columns that tell a row to people: id, SMILES, formula, number of atoms, targets, if any."""
        return (*(name for name in ("id", "smiles", "formula", "n_atoms") if name in self.columns), *self.targets)

    def table(self, columns: Sequence[str] | None = None, rows: Rows = None) -> Any:
        """Return what is known of rows, as a ``pyarrow.Table``.

        Parameters
        ----------
        columns : sequence of str, optional
            Of ``"id"``, ``"formula"`` (reduced), ``"n_atoms"``, ``"source"`` (name of the file), ``"place"`` (number of
            the row there), ``"line"``, ``"content"`` (digest of the structure), ``"key"`` (of structure, parameters and
            version) and the targets. Default: all. A column that a file does not have is null for its rows.
        rows : sequence of int, optional
            Which rows. Default: all.

        Raises
        ------
        ValueError
            If there is no such column.
        """
        pa = require("pyarrow", "data", "a store")
        wanted = list(self.columns if columns is None else columns)
        found = []
        for shard, picked in self._parts(rows):
            # Each shard has the places of its rows, and perhaps nothing else of what is wanted.
            table = shard.table(
                ["place", *(name for name in wanted if name not in ("key", "place"))] + ["content"] * ("key" in wanted)
            )
            if "source" in wanted:
                table = table.append_column("source", pa.array([shard.source] * table.num_rows, pa.string()))
            if "key" in wanted:
                keys = [self._key(content) for content in table.column("content").to_pylist()]
                table = table.append_column("key", pa.array(keys, pa.string()))
            found.append(table if picked is None else table.take(pa.array(picked)))
        if not found:
            found = [pa.table({name: pa.array([], pa.string() if name == "id" else pa.null()) for name in wanted})]
        table = joined(found)
        for name in wanted:
            if name not in table.column_names:
                if name not in self.columns:
                    raise ValueError(f"columns must be of {', '.join(self.columns)}, got {name!r}")
                table = table.append_column(name, pa.nulls(table.num_rows))
        return self._in_order(table.select(wanted), rows)

    def features(self, rows: Rows = None) -> Array | Any:
        """Return the features of rows, read from the disk when they are used.

        Parameters
        ----------
        rows : sequence of int, slice or None
            Which rows. Those of one shard in a row are a view of the file.

        Returns
        -------
        ndarray or csr_array, shape (n_rows, n_features)
            A copy where several shards are joined: :meth:`blocks` needs no more memory than a shard.
        """
        parts = []
        for at, picked in self._numbered_parts(rows):
            values = self._shard_features(at)
            parts.append(values if picked is None else values[_as_slice(picked)])
        if len(parts) == 1:
            found = parts[0]
        elif self.plan.sparse:
            from scipy.sparse import csr_array, vstack

            empty = csr_array((0, self.n_features), dtype=self.plan.dtype)
            found = csr_array(vstack([*parts, empty], format="csr"))
        else:
            found = np.concatenate([np.empty((0, self.n_features), dtype=self.plan.dtype), *parts])
        back = self._back(rows)
        return found if back is None else found[back]

    def structures(self, rows: Rows = None) -> Batch:
        """Return the structures of rows, as they were described.

        Raises
        ------
        ValueError
            If the store is of formulas.
        """
        if self.plan.inputs != "structures":
            raise ValueError(f"{str(self.folder)!r} is a store of formulas, and has no structures")
        return unpacked(self._structure_table(rows))

    def blocks(self, size: int | None = None) -> Iterator[StoreBlock]:
        """Yield all rows, some at a time.

        Parameters
        ----------
        size : int, optional
            How many at a time, at most. Default: a shard.
        """
        if size is not None:
            check_integer("size", size, 1)
        for first, last in pairwise(self.offsets.tolist()):
            for start in range(first, last, size or last - first):
                yield StoreBlock(self, range(start, min(last, start + (size or last - first))))

    def where(self, condition: str) -> npt.NDArray[np.intp]:
        """Return the numbers of the rows that a condition holds for, such as ``"gap > 1 and 'O' in elements"``.

        Names are those of columns, and ``elements``; there are comparisons, ``and``, ``or``, ``not``, ``in`` and
        brackets. Elements are compared as sets: ``elements <= ['Na', 'Cl']`` has these and no others. What is not known
        fulfils no condition.

        Raises
        ------
        ValueError
            If there is no such column, or the condition cannot be read.
        """
        asked = Condition.read(condition)
        known = (*self.columns, ELEMENTS)
        for name in asked.names:
            if name not in known:
                raise ValueError(
                    f"condition {condition!r}: there is no {name!r}, but {', '.join(known)}{meant(name, known)}"
                )
        wanted = list(dict.fromkeys("formula" if name == ELEMENTS else name for name in asked.names))
        found = [np.zeros(0, dtype=np.intp)]
        for block in self.blocks():
            table = block.table(wanted or ["id"])
            columns = {name: table.column(name).to_numpy(zero_copy_only=False) for name in wanted}
            found.append(block.rows.start + np.flatnonzero(asked.of(columns, len(block))))
        return np.concatenate(found)

    def failures(self) -> Any:
        """Return the rows that could not be described, as a ``pyarrow.Table``: id, source, place and reason."""
        pa = require("pyarrow", "data", "a store")
        wanted = ("id", "place", "line", "failure", "reason")
        tables = []
        for shard in self._all:
            if shard.n_failed:
                table = shard.table(wanted, failed=True)
                tables.append(table.append_column("source", pa.array([shard.source] * table.num_rows, pa.string())))
        if not tables:
            return pa.table({name: pa.array([], pa.string()) for name in (*wanted, "source")})
        return pa.concat_tables(tables, promote_options="permissive")

    def verify(self) -> dict[str, str]:
        """Return the shards that are damaged, and what is wrong with each; building the store again mends them."""
        found = dict(self.damaged)
        for shard in self._all:
            if (wrong := shard.damage()) is not None:
                found[shard.name] = wrong
        return found

    def export(self, path: PathOrStr, *, where: str | None = None, progress: Progress = silent) -> int:
        """Write features, and what is known of structures, to a file that other programs read.

        Parameters
        ----------
        path : path
            ``.parquet``, ``.csv`` and ``.csv.gz`` have a row for each structure, with its id, formula, targets and then
            its features; ``.npz`` has the arrays ``features`` and ``names``, and one for each column; so has ``.zarr``
            (needs zarr). It gets its name when it is complete.
        where : str, optional
            Only rows that a condition holds for, see :meth:`where`.
        progress : Progress
            Told the number of rows that are written.

        Returns
        -------
        int
            Number of rows.

        Raises
        ------
        ValueError
            If the file has another ending, or a table of so many columns would be of no use.
        ImportError
            If a package is missing.
        """
        from atomprint.store.export import export

        return export(self, path, where=where, progress=progress)

    @property
    def info(self) -> StoreInfo:
        """What the store holds."""
        sources: dict[str, tuple[int, int]] = {}
        failures: Counter[str] = Counter()
        n_bytes = 0
        for shard in self._all:
            rows, failed = sources.get(shard.source, (0, 0))
            sources[shard.source] = rows + shard.n_rows, failed + shard.n_failed
            failures.update(shard.failures)
            n_bytes += sum(path.stat().st_size for path in shard.folder.iterdir())
        return StoreInfo(
            self.plan,
            len(self),
            sum(shard.n_failed for shard in self._all),
            len(self._all),
            n_bytes,
            sources,
            self.targets,
            dict(failures.most_common()),
            self.damaged,
        )

    def _key(self, content: bytes) -> str:
        return hashlib.blake2b(content + bytes.fromhex(self.plan.digest), digest_size=16).hexdigest()

    def _shard_features(self, at: int) -> Any:
        if at not in self._features:
            self._features[at] = self.shards[at].features()
        return self._features[at]

    def _structure_table(self, rows: Rows) -> Any:
        pa = require("pyarrow", "data", "a store")
        found = []
        for shard, picked in self._parts(rows):
            table = shard.table(COLUMNS)
            found.append(table if picked is None else table.take(pa.array(picked)))
        if not found:
            raise ValueError("rows must name at least one row, got none")
        return self._in_order(pa.concat_tables(found), rows)

    def _parts(self, rows: Rows) -> Iterator[tuple[Shard, npt.NDArray[np.intp] | None]]:
        for at, picked in self._numbered_parts(rows):
            yield self.shards[at], picked

    def _numbered_parts(self, rows: Rows) -> Iterator[tuple[int, npt.NDArray[np.intp] | None]]:
        """Yield the shards that rows are in, and which of theirs, ascending; None for all of a shard."""
        if rows is None:
            for at in range(len(self.shards)):
                yield at, None
            return
        chosen = np.unique(self._numbers(rows))
        owner = np.searchsorted(self.offsets, chosen, side="right") - 1
        for at in np.unique(owner).tolist():
            own = chosen[owner == at] - self.offsets[at]
            yield at, None if len(own) == self.shards[at].n_rows else own

    def _numbers(self, rows: Rows) -> npt.NDArray[np.intp]:
        if isinstance(rows, slice):
            return np.arange(len(self))[rows]
        chosen = np.asarray(rows)
        if chosen.dtype == np.bool_ and chosen.shape == (len(self),):
            return np.flatnonzero(chosen)
        if chosen.size == 0:
            return np.zeros(0, dtype=np.intp)
        if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
            raise TypeError(f"rows must be integers, got an array of {chosen.dtype} with shape {chosen.shape}")
        outside = (chosen < -len(self)) | (chosen >= len(self))
        if outside.any():
            raise IndexError(f"row must be in {-len(self)}..{len(self) - 1}, got {chosen[outside][0]}")
        return np.where(chosen < 0, chosen + len(self), chosen).astype(np.intp)

    def _back(self, rows: Rows) -> npt.NDArray[np.intp] | None:
        """Return where each of the rows is among them without repetition, ascending; None if that is their order."""
        if rows is None:
            return None
        chosen = self._numbers(rows)
        unique, back = np.unique(chosen, return_inverse=True)
        return None if len(unique) == len(chosen) and (back == np.arange(len(chosen))).all() else back

    def _in_order(self, table: Any, rows: Rows) -> Any:
        back = self._back(rows)
        return table if back is None else table.take(back)


@dataclass(frozen=True)
class StoreBlock:
    """Some rows of a store, one after the other.

    Parameters
    ----------
    store : OpenStore
        The store.
    rows : range
        Their numbers.
    """

    store: OpenStore
    rows: range

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def features(self) -> Array | Any:
        """Their features, a view of the file, shape (n_rows, n_features)."""
        return self.store.features(self.rows)

    @property
    def structures(self) -> Batch:
        """Their structures."""
        return self.store.structures(self.rows)

    def table(self, columns: Sequence[str] | None = None) -> Any:
        """Return what is known of them; see :meth:`OpenStore.table`."""
        return self.store.table(columns, self.rows)


def joined(tables: Sequence[Any]) -> Any:
    """Return tables as one; a column that has words in one of them has words in all."""
    pa = require("pyarrow", "data", "a store")
    worded = {field.name for table in tables for field in table.schema if field.type == pa.string()}
    found = []
    for table in tables:
        for at, field in enumerate(table.schema):
            if field.name in worded and field.type == pa.float64():
                words = pa.array(in_words(table.column(at).to_pylist()), pa.string())
                table = table.set_column(at, field.name, words)
        found.append(table)
    return pa.concat_tables(found, promote_options="permissive")


def _as_slice(picked: npt.NDArray[np.intp]) -> Any:
    """Return ascending numbers as a slice, which copies nothing, where they follow each other."""
    if len(picked) and picked[-1] - picked[0] + 1 == len(picked):
        return slice(int(picked[0]), int(picked[-1]) + 1)
    return picked


def _column_kinds(shard: Shard) -> list[tuple[str, bool]]:
    pa, parquet = (require(name, "data", "a store") for name in ("pyarrow", "pyarrow.parquet"))
    try:
        schema = parquet.read_schema(shard.folder / "rows.parquet")
        return [(str(field.name), field.type == pa.string()) for field in schema]
    except (OSError, ValueError) as error:
        raise ValueError(f"shard {shard.name} is damaged: {error} (atomprint store verify)") from error
