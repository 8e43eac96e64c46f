"""Rows of atoms that were dear to compute, kept in a folder by the content of their structures."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from atomprint.ragged import offsets_of
from atomprint.structures import Batch
from atomprint.util.npz import read_npz, write_npz

Array = npt.NDArray[Any]

_KEY_BYTES = 16
_MOST_BYTES = 4_000_000_000  # of a folder; what is oldest goes first


def user_cache() -> Path:
    """Return the folder for what can be computed again: ``ATOMPRINT_CACHE``, else below the system's of the user."""
    given = os.environ.get("ATOMPRINT_CACHE")
    if given:
        return Path(given).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", "~/AppData/Local")).expanduser() / "atomprint" / "Cache"
    if sys.platform == "darwin":
        return Path("~/Library/Caches/atomprint").expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "atomprint"


def keys_of(batch: Batch) -> list[bytes]:
    """Return a digest of each structure: elements, positions, cell and where it repeats, all digits of them."""
    bounds = batch.offsets.tolist()
    return [
        hashlib.blake2b(
            b"".join(
                part.tobytes()
                for part in (batch.numbers[a:b], batch.positions[a:b] + 0.0, batch.cells[s] + 0.0, batch.pbc[s])
            ),
            digest_size=_KEY_BYTES,
        ).digest()
        for s, (a, b) in enumerate(pairwise(bounds))
    ]


@lru_cache(maxsize=16)
def row_cache(folder: Path, width: int, dtype: np.dtype[Any]) -> RowCache:
    """Return the only :class:`RowCache` of a folder in this process, which need not learn again what is there."""
    return RowCache(folder, width, dtype)


class RowCache:
    """Rows by the digests of their structures, in a folder: any number of processes may use it at once.

    Each call of :meth:`keep` makes a file, complete before it has its name. What is damaged, or somebody has removed,
    is computed again. Where a folder grows beyond 4 GB the oldest files go.

    Parameters
    ----------
    folder : Path
        For rows of one network, in one precision.
    width : int
        Number of features of a row.
    dtype : dtype
        Of the features.
    """

    def __init__(self, folder: Path, width: int, dtype: np.dtype[Any]) -> None:
        self.folder = folder
        self._width = width
        self._dtype = dtype
        self._known: dict[bytes, tuple[Path, int]] = {}
        self._seen: set[str] = set()
        self._lock = Lock()

    def found(self, keys: Sequence[bytes]) -> Iterator[tuple[int, Array]]:
        """Yield the index of each key whose rows are there, and the rows; keys of one file come together."""
        with self._lock:
            self._look()
            by_file: dict[Path, list[tuple[int, int]]] = {}
            for index, key in enumerate(keys):
                if key in self._known:
                    path, place = self._known[key]
                    by_file.setdefault(path, []).append((index, place))
        for path, wanted in by_file.items():
            arrays = self._read(path)
            if arrays is None:
                continue
            held, offsets, rows = arrays
            for index, place in wanted:
                if place < len(held) and held[place].tobytes() == keys[index]:  # and not another file of this name
                    yield index, rows[offsets[place] : offsets[place + 1]]

    def keep(self, keys: Sequence[bytes], rows: Sequence[Array]) -> None:
        """Write the rows of structures to a new file; where that fails, as on a full disk, they are not kept."""
        name = hashlib.blake2b(b"".join(keys), digest_size=_KEY_BYTES).hexdigest()
        arrays: dict[str, Array] = {
            "keys": np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, _KEY_BYTES),
            "offsets": offsets_of([len(part) for part in rows]),
            "rows": np.ascontiguousarray(np.concatenate(rows), dtype=self._dtype),
        }
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._make_room()
            write_npz(self.folder / f"{name}.npz", arrays)

    def _look(self) -> None:
        """Learn what files have come since the last time."""
        with suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name in self._seen or not entry.name.endswith(".npz") or entry.name.startswith("."):
                    continue
                self._seen.add(entry.name)
                arrays = self._read(Path(entry.path))
                if arrays is not None:
                    self._known |= {key.tobytes(): (Path(entry.path), k) for k, key in enumerate(arrays[0])}

    def _read(self, path: Path) -> tuple[Array, Array, Array] | None:
        """Return keys, offsets and rows of a file; None if it is not there or damaged."""
        try:
            dtypes = {"keys": np.uint8, "offsets": np.int64, "rows": self._dtype}
            keys, offsets, rows = read_npz(path, dtypes, mmap=True).values()
        except (OSError, ValueError):
            return None
        shapes = keys.ndim == 2 and keys.shape[1] == _KEY_BYTES and offsets.shape == (len(keys) + 1,)
        if not shapes or rows.ndim != 2 or rows.shape[1] != self._width:
            return None
        rises = offsets[0] == 0 and offsets[-1] == len(rows) and bool((np.diff(offsets) >= 0).all())
        return (keys, offsets, rows) if rises else None

    def _make_room(self) -> None:
        """Remove the oldest files of a folder that has grown too large."""
        found = [(entry.stat().st_mtime, entry.stat().st_size, entry.path) for entry in os.scandir(self.folder)]
        left = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if left <= _MOST_BYTES:
                break
            with suppress(OSError):
                os.unlink(path)
            left -= size
