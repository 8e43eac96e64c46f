"""Candidates of a search among many millions of rows, by an inverted file of faiss: fast, and not certain."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from atomprint.util.extras import require
from atomprint.util.files import sync
from atomprint.util.types import Array, FloatArray, Indices

_NAME = "ivf-{}.faiss"  # with its size
_LISTS = 4  # times the square root of the number of rows: lists that rows are sorted into
_PROBED = 32  # that are looked at
_TRAINED = 64  # rows for each list that its place is found from


class InvertedFile:
    """Components of the rows of a store, sorted into lists by what they are near to.

    Parameters
    ----------
    components : ndarray of float32, shape (n_rows, n_components)
        Of all rows.
    folder : Path or None
        Where the file is kept; None keeps none.

    Raises
    ------
    ImportError
        If faiss is not installed.
    """

    def __init__(self, components: Array, folder: Path | None) -> None:
        self._faiss = require("faiss", "faiss", "approximate=True")
        found = None if folder is None else self._read(folder, components.shape)
        self._index = self._made(components, folder) if found is None else found

    def nearest(self, projected: FloatArray, n: int, among: Indices | None) -> Indices:
        """Return about the n rows whose components are nearest to some, of all or among some; ascending."""
        options: dict[str, Any] = {"nprobe": _PROBED}
        if among is not None:
            options["sel"] = self._faiss.IDSelectorBatch(among.astype(np.int64))
        asked = self._faiss.SearchParametersIVF(**options)
        found = self._index.search(projected.astype(np.float32)[None], n, params=asked)[1][0]
        return np.sort(found[found >= 0]).astype(np.intp)

    def _made(self, components: Array, folder: Path | None) -> Any:
        n, width = components.shape
        n_lists = max(1, min(int(_LISTS * np.sqrt(n)), n // 39))  # fewer than 39 rows each are too few for faiss
        index = self._faiss.IndexIVFFlat(self._faiss.IndexFlatL2(width), width, n_lists)
        sample = np.unique(np.linspace(0, n - 1, min(n, _TRAINED * n_lists)).astype(np.intp))
        index.train(np.ascontiguousarray(components[sample]))
        for start in range(0, n, 1 << 16):
            index.add(np.ascontiguousarray(components[start : start + (1 << 16)]))
        if folder is not None:
            with suppress(OSError, RuntimeError), TemporaryDirectory(prefix=".partial-", dir=folder) as own:
                new = Path(own) / "new"  # where it cannot be written, it lives in memory
                self._faiss.write_index(index, str(new))
                sync(new)
                new.replace(folder / _NAME.format(new.stat().st_size))
        return index

    def _read(self, folder: Path, shape: tuple[int, ...]) -> Any:
        for path in folder.glob(_NAME.format("*")):
            if path.name != _NAME.format(path.stat().st_size):  # faiss would read beyond the end
                continue
            with suppress(RuntimeError):
                found = self._faiss.read_index(str(path), self._faiss.IO_FLAG_MMAP | self._faiss.IO_FLAG_READ_ONLY)
                if (found.ntotal, found.d) == shape:
                    return found
        return None
