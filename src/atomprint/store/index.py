"""What makes a search fast: for each row its principal components, and the length of what they leave out."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from atomprint.store.ivf import InvertedFile
from atomprint.store.metric import Metric
from atomprint.store.opened import OpenStore
from atomprint.store.shard import work_folder
from atomprint.util import sparse
from atomprint.util.files import sync
from atomprint.util.npz import read_npz, write_npz
from atomprint.util.progress import Progress, silent
from atomprint.util.types import Array, FloatArray

FOLDER = "search"
"""Name of the folder of a store that has its indices."""
N_COMPONENTS = 128

_FORMAT = 1
_COMPONENTS, _BASIS, _ABOUT = "components.npy", "basis.npz", "index.json"
_SAMPLE = 4096  # rows that components are found from
_GROWTH = 4  # with so many times more rows they are found anew
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, EOFError)
_EXTRA, _ROUNDS = 16, 3  # more directions than components, and how often they are turned


@dataclass(frozen=True, eq=False)
class Basis:
    """Directions that the rows of a store differ in most.

    Parameters
    ----------
    metric : Metric
        What is done to features before.
    mean : ndarray of float64, shape (n_features,)
        Of the features, after that.
    axes : ndarray of float64, shape (n_components, n_features)
        Orthonormal, those that rows differ most in first.
    n_rows : int
        Of the store when they were found.
    """

    metric: Metric
    mean: FloatArray
    axes: FloatArray
    n_rows: int

    @classmethod
    def fit(cls, scaling: str, sample: Any, n_rows: int) -> Basis:
        """Find the principal components of some rows, by N. Halko et al., SIAM Rev. 53, 217 (2011)."""
        metric = Metric.fit(scaling, sample)
        x = metric.apply(sample)
        mean = np.asarray(x.mean(axis=0), dtype=np.float64).ravel()
        n = min(N_COMPONENTS, *x.shape)
        width = min(n + _EXTRA, *x.shape)
        turned = np.random.default_rng(0).normal(size=(x.shape[1], width))
        for _ in range(_ROUNDS):
            left = np.linalg.qr(x @ turned - mean @ turned)[0]
            turned = np.linalg.qr(x.T @ left - np.outer(mean, left.sum(axis=0)))[0]
        _, _, rotation = np.linalg.svd(x @ turned - mean @ turned, full_matrices=False)
        axes = np.ascontiguousarray((turned @ rotation.T).T[:n])
        # Signs are free: the largest part of each is positive.
        signs = np.sign(axes[np.arange(n), np.abs(axes).argmax(axis=1)])
        return cls(metric, mean, axes * signs[:, None], n_rows)

    def project(self, features: Any) -> FloatArray:
        """Return for rows of features their components, and the length of what these leave out; float64."""
        x = self.metric.apply(features)
        found = np.empty((x.shape[0], len(self.axes) + 1))
        if sparse.issparse(x):
            squares = np.asarray(x.multiply(x).sum(axis=1)).ravel() - 2 * (x @ self.mean) + self.mean @ self.mean
            found[:, :-1] = x @ self.axes.T - self.axes @ self.mean
        else:
            x -= self.mean
            squares = np.einsum("rf,rf->r", x, x)
            np.matmul(x, self.axes.T, out=found[:, :-1])
        inside = np.einsum("rc,rc->r", found[:, :-1], found[:, :-1])
        found[:, -1] = np.sqrt(np.maximum(squares - inside, 0))
        return found


@dataclass(frozen=True, eq=False)
class SearchIndex:
    """Rows of a store by their principal components.

    Parameters
    ----------
    basis : Basis
        Of the components.
    components : ndarray of float32, shape (n_rows, n_components + 1)
        Of all rows, and the length of what they leave out: their Euclidean distances are at most those of the rows.
    squares : ndarray of float32, shape (n_rows,)
        Of the lengths of these.
    folder : Path or None
        Where it is kept; None if it lives in memory.
    """

    basis: Basis
    components: Array
    squares: Array
    folder: Path | None = None

    @cached_property
    def largest(self) -> float:
        """The largest of the squares, by which rounding is judged; 0 if there are no rows."""
        return float(np.max(self.squares, initial=0.0))

    @cached_property
    def inverted(self) -> InvertedFile:
        """What finds candidates without looking at all rows."""
        return InvertedFile(self.components, self.folder)

    @classmethod
    def of(cls, store: OpenStore, scaling: str, progress: Progress = silent) -> SearchIndex:
        """Return the index of a store: the one that is kept beside its shards, or a new one, which is then kept.

        What an older one has of the same shards is taken over. Where nothing can be written, the index lives in memory.
        """
        folder = store.folder / FOLDER / _digest(store, scaling)
        kept = _read(folder, len(store))
        if kept is not None:
            return kept
        try:
            (store.folder / FOLDER).mkdir(exist_ok=True)
            with work_folder(store.folder) as work:
                new = work / "index"
                new.mkdir()
                _write(new, store, scaling, progress)
                with suppress(OSError):  # somebody else has made the same
                    new.rename(folder)
                sync(folder.parent)
            found = _read(folder, len(store))
            if found is None:  # a damaged one is there
                shutil.rmtree(folder, ignore_errors=True)
                return cls.of(store, scaling, progress)
            _sweep(folder)
            return found
        except OSError:
            return _in_memory(store, scaling, progress)


def _digest(store: OpenStore, scaling: str) -> str:
    text = f"{_FORMAT} {N_COMPONENTS} {store.plan.digest} {scaling} " + " ".join(shard.name for shard in store.shards)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _read(folder: Path, n_rows: int) -> SearchIndex | None:
    try:
        basis = _read_basis(folder)
        components = np.load(folder / _COMPONENTS, mmap_mode="r", allow_pickle=False)
    except _UNREADABLE:
        return None
    if components.shape != (n_rows, len(basis.axes) + 1) or components.dtype != np.float32:
        return None
    return SearchIndex(basis, components, _squares(components), folder)


def _squares(components: Array) -> Array:
    found = np.empty(len(components), dtype=np.float32)
    for start in range(0, len(components), 1 << 14):
        part = components[start : start + (1 << 14)]
        np.einsum("rc,rc->r", part, part, out=found[start : start + (1 << 14)])
    return found


def _read_basis(folder: Path) -> Basis:
    about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
    names = {"mean": np.float64, "axes": np.float64, "weights": np.float64}
    arrays = read_npz(folder / _BASIS, names, mmap=False)
    weights = arrays["weights"] if len(arrays["weights"]) else None
    return Basis(Metric(str(about["scaling"]), weights), arrays["mean"], arrays["axes"], int(about["fitted_rows"]))


def _write(folder: Path, store: OpenStore, scaling: str, progress: Progress) -> None:
    """Write all files of an index."""
    basis, known = _taken_over(store, scaling)
    with (folder / _COMPONENTS).open(
        "wb"
    ) as file:  # no memory map: on a full disk that would be the end of the process
        head = {"descr": np.dtype(np.float32).str, "fortran_order": False, "shape": (len(store), len(basis.axes) + 1)}
        np.lib.format.write_array_header_1_0(file, head)
        for part in _parts(store, basis, known, progress):
            file.write(part.reshape(-1).view(np.uint8).data)
    weights = np.empty(0) if basis.metric.weights is None else basis.metric.weights
    write_npz(folder / _BASIS, {"mean": basis.mean, "axes": basis.axes, "weights": weights})
    about = {
        "format": _FORMAT,
        "features": store.plan.digest,
        "scaling": scaling,
        "fitted_rows": basis.n_rows,
        "shards": [[shard.name, shard.n_rows] for shard in store.shards],
    }
    (folder / _ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    for path in (*folder.iterdir(), folder):
        sync(path)


def _in_memory(store: OpenStore, scaling: str, progress: Progress) -> SearchIndex:
    basis, known = _taken_over(store, scaling)
    out = np.concatenate([*_parts(store, basis, known, progress)])
    return SearchIndex(basis, out, _squares(out))


def _parts(store: OpenStore, basis: Basis, known: dict[str, Array], progress: Progress) -> Iterator[Array]:
    """Yield the components of all rows, in their order."""
    for shard, first, last in zip(store.shards, store.offsets[:-1].tolist(), store.offsets[1:].tolist(), strict=True):
        progress("Indexing", first, len(store))
        if shard.name in known:
            yield np.ascontiguousarray(known[shard.name], dtype=np.float32)
            continue
        for start in range(first, last, 1024):
            rows = range(start, min(last, start + 1024))
            yield np.ascontiguousarray(basis.project(store.features(rows)), dtype=np.float32)
    progress("Indexing", len(store), len(store))


def _taken_over(store: OpenStore, scaling: str) -> tuple[Basis, dict[str, Array]]:
    """Return a basis, and components by shards: of an older index if it still suits the store."""
    names = {shard.name for shard in store.shards}
    best: tuple[int, Basis, dict[str, Array]] | None = None
    for folder in sorted((store.folder / FOLDER).glob("*/")):
        with suppress(*_UNREADABLE):
            about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
            if (about["format"], about["features"], about["scaling"]) != (_FORMAT, store.plan.digest, scaling):
                continue
            basis = _read_basis(folder)
            if basis.n_rows * _GROWTH < len(store) or basis.axes.shape[1] != store.n_features:
                continue
            components = np.load(folder / _COMPONENTS, mmap_mode="r", allow_pickle=False)
            ends = np.cumsum([0, *(n for _, n in about["shards"])])
            if components.shape != (ends[-1], len(basis.axes) + 1):
                continue
            spans = zip(about["shards"], ends[:-1].tolist(), ends[1:].tolist(), strict=True)
            known = {str(name): components[a:b] for (name, _), a, b in spans if name in names}
            if best is None or len(known) > best[0]:
                best = len(known), basis, known
    if best is not None:
        return best[1], best[2]
    sample = store.features(np.unique(np.linspace(0, len(store) - 1, _SAMPLE).astype(np.intp)))
    return Basis.fit(scaling, sample, len(store)), {}


def _sweep(folder: Path) -> None:
    """Remove indices of what the store was before; what others have open stays readable to them."""
    own = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
    for other in _others(folder):
        with suppress(*_UNREADABLE):
            about = json.loads((other / _ABOUT).read_text(encoding="utf-8"))
            if about["scaling"] == own["scaling"] and set(map(tuple, about["shards"])) <= set(
                map(tuple, own["shards"])
            ):
                shutil.rmtree(other)


def _others(folder: Path) -> Iterator[Path]:
    return (other for other in folder.parent.iterdir() if other.name != folder.name)
