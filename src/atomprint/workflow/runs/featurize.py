"""Descriptors of structures as tables with names, in files that other programs read, written piece by piece."""

from __future__ import annotations

import csv
import math
import os
import shutil
import tempfile
import zipfile
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from atomprint.datasets import Dataset, Failure, read_dataset
from atomprint.descriptors.usual import usual_parameters
from atomprint.report import versions
from atomprint.structures import StructureError, attempt, reason_of
from atomprint.util.extras import require
from atomprint.util.files import WholeFolder, text_file, written_atomically
from atomprint.util.memory import available_memory, size_of
from atomprint.util.objects import parameters_of
from atomprint.util.progress import Progress, silent
from atomprint.util.store import Store
from atomprint.util.text import cell, counted
from atomprint.workflow.recipes.features import DescriptorSection, FeatureSet
from atomprint.workflow.runs.describe import drop_failures, inputs_of

FORMATS = (".parquet", ".csv", ".csv.gz", ".npz")

Pieces: TypeAlias = Generator[tuple[list[str], Any], None, None]
"""Names of rows, and their features, some at a time."""

_PIECE = 2**26  # bytes of features that are computed and written at once
_MAX_COLUMNS = 100_000  # of a table with a head: beyond, no program reads it in time
_TEXT = 20  # bytes of a number as text


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Features with the names of rows and columns.

    Parameters
    ----------
    values : ndarray, shape (n_rows, n_features)
        A row for each structure, or for each atom where the descriptor is local.
    ids : tuple of str
        Names of the rows; those of atoms are ``"<structure>/<atom>"``.
    names : tuple of str
        Names of the features.
    failures : tuple of Failure
        Structures that were left out.
    """

    values: npt.NDArray[Any]
    ids: tuple[str, ...]
    names: tuple[str, ...]
    failures: tuple[Failure, ...]


@dataclass(eq=False)
class FeatureStream:
    """Features that are computed piece by piece, as they are asked for.

    Parameters
    ----------
    dataset : Dataset
        The structures.
    given : FeatureSet
        What describes them; its transformer is fitted to all of them.
    chosen : mapping of str to object
        Parameters that nobody gave and the descriptor cannot do without.
    n_columns, n_rows : int
        Number of features and of rows, if no structure has to be left out.
    of_atoms : bool
        Whether rows are of atoms.
    itemsize : int
        Bytes of a number.
    on_error : {"raise", "skip"}
        Whether to leave out structures that cannot be described.
    failures : list of Failure
        Structures that were left out, known when all pieces are made.
    """

    dataset: Dataset
    given: FeatureSet
    chosen: Mapping[str, Any]
    n_columns: int
    n_rows: int
    of_atoms: bool
    itemsize: int
    on_error: str = "raise"
    failures: list[Failure] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """Names of the features."""
        return [str(name) for name in self.given.transformer.get_feature_names_out()]

    @property
    def n_bytes(self) -> int:
        """Bytes of all features."""
        return self.n_rows * self.n_columns * self.itemsize

    @property
    def step(self) -> int:
        """Number of structures of a piece."""
        return max(1, min(len(self.dataset), _PIECE * len(self.dataset) // max(self.n_bytes, 1)))

    @property
    def n_bytes_at_once(self) -> int:
        """About how many bytes of memory a piece takes, with what is made of it on the way to a file."""
        return 3 * math.ceil(self.n_bytes * self.step / max(len(self.dataset), 1))

    def sentence(self) -> str:
        """Return how large the table will be."""
        of = f"atoms of {counted(len(self.dataset), 'structure')}" if self.of_atoms else "structures"
        if self.dataset.structures is None:
            of = self.dataset.kind
        return (
            f"{counted(self.n_rows, 'row')} ({of}) of {counted(self.n_columns, 'column')}: {size_of(self.n_bytes)}, "
            f"computed and written in pieces that take about {size_of(self.n_bytes_at_once)} of memory."
        )

    def pieces(self, progress: Progress = silent, store: Store | None = None) -> Pieces:
        """Yield names of rows and their features, an array of shape (n, n_columns), some structures at a time.

        Parameters
        ----------
        progress : Progress
            Told the number of structures that are done.
        store : Store, optional
            Where pieces are kept, so that a run that was stopped does not make them again.
        """
        inputs, n, key = inputs_of(self.dataset), len(self.dataset), tuple(self.names)
        label = f"Computing {type(self.given.transformer).__name__}"
        self.failures.clear()

        def compute(run: Sequence[int]) -> tuple[list[str], Any]:
            values = self.given.transformer.transform([inputs[i] for i in run])
            return _rows(values, [self.dataset.ids[i] for i in run])

        def failed(row: int, error: Exception) -> None:
            if self.on_error == "raise":
                hint = "; --skip leaves such structures out" if isinstance(error, StructureError) else ""
                which = f"structure {row} ({self.dataset.ids[row]})"
                raise ValueError(f"{which} cannot be described: {reason_of(error)}{hint}") from error
            self.failures.append(self._failure(row, reason_of(error)))

        def make(run: range) -> dict[str, Any]:
            del self.failures[:]
            made = [part for part in attempt(run, compute, failed) if part is not None]
            ids = [name for part, _ in made for name in part]
            values = [rows for _, rows in made]
            lost = [[failure.row - run.start, failure.reason] for failure in self.failures]
            table = np.concatenate(values) if values else np.empty((0, self.n_columns))
            return {"values": table, "ids": ids, "lost": lost}

        lost: list[Failure] = []
        for start in range(0, n, self.step):
            run = range(start, min(start + self.step, n))
            progress(label, start, n)
            if store is None:
                piece = make(run)
            else:
                names = [self.dataset.ids[i] for i in run]
                made_from = (self.given.transformer, key, self.on_error, names, [_content(inputs[i]) for i in run])
                piece = store.result("features", made_from, partial(make, run))
            lost += [self._failure(run[place], why) for place, why in piece["lost"]]
            yield list(piece["ids"]), piece["values"]
        self.failures[:] = lost
        progress(label, n, n)

    def _failure(self, row: int, reason: str) -> Failure:
        line = None if self.dataset.lines is None else self.dataset.lines[row]
        return Failure(row, self.dataset.ids[row], "features", reason, line)


def plan_features(
    path: str | Path,
    descriptor: str = "SOAP",
    parameters: Iterable[str] = (),
    *,
    structure: str | None = None,
    formula: str | None = None,
    on_error: str = "raise",
    n_jobs: int = 1,
    progress: Progress = silent,
) -> FeatureStream:
    """Read structures and fit a descriptor to them; nothing is computed yet.

    Parameters are those of :func:`featurize`.
    """
    table = parameters_of(parameters)
    progress("Reading structures", 0, None)
    dataset = read_dataset(path, targets=(), structure=structure, formula=formula, on_error=on_error)
    chosen = usual_parameters(descriptor, table, len(dataset.elements))
    section = DescriptorSection("descriptor", descriptor, {**chosen, **table})
    given = section.suited_to(dataset).build(dataset, n_jobs)
    if given.pairwise:
        raise ValueError(f"descriptor must not be a kernel, got {descriptor!r}")
    try:
        given.transformer.fit(inputs_of(dataset))
    except (ValueError, TypeError) as error:
        if on_error == "raise":
            if isinstance(error, StructureError):
                raise ValueError(f"{error}; --skip leaves such structures out") from error
            raise
        dataset, failures = drop_failures(dataset, [given], progress)
        if not failures:
            raise
        given.transformer.fit(inputs_of(dataset))
    transformer: Any = given.transformer
    count = getattr(transformer, "get_number_of_features", None)
    n_columns = int(count()) if count is not None else len(transformer.get_feature_names_out())
    of_atoms = hasattr(transformer, "centers") and not _pools(transformer)
    n_rows = int(dataset.n_atoms.sum()) if of_atoms else len(dataset)
    if of_atoms and isinstance(transformer.centers, list | tuple):
        n_rows = min(n_rows, len(transformer.centers) * len(dataset))
    itemsize = np.dtype(getattr(transformer, "dtype", None) or np.float64).itemsize
    return FeatureStream(dataset, given, chosen, n_columns, n_rows, of_atoms, itemsize, on_error)


def featurize(
    path: str | Path,
    descriptor: str = "SOAP",
    parameters: Iterable[str] = (),
    *,
    structure: str | None = None,
    formula: str | None = None,
    on_error: str = "raise",
    n_jobs: int = 1,
    progress: Progress = silent,
) -> FeatureTable:
    """Compute a descriptor of all structures in a file or folder.

    Parameters
    ----------
    path : path
        Anything that :func:`~atomprint.datasets.read_dataset` reads.
    descriptor : str
        Name of a class of :mod:`atomprint.descriptors`.
    parameters : iterable of str
        Its parameters, such as ``"r_cut=5.0"``; values are TOML, or else text. Those that a descriptor cannot do
        without have values that suit most structures.
    structure, formula : str, optional
        Columns or keys, where the file has several.
    on_error : {"raise", "skip"}
        Whether to leave out structures that cannot be read or described.
    n_jobs : int
        Number of threads; -1 means all cores.
    progress : Progress
        Told the number of structures that are done.

    Returns
    -------
    FeatureTable

    Raises
    ------
    ValueError, TypeError
        If something cannot be read or described.
    MemoryError
        If the table is larger than the memory that is left; :func:`write_features` writes it piece by piece.
    """
    stream = plan_features(
        path, descriptor, parameters, structure=structure, formula=formula, on_error=on_error, n_jobs=n_jobs,
        progress=progress,
    )  # fmt: skip
    free = available_memory()
    if free is not None and stream.n_bytes > free:
        raise MemoryError(f"{stream.sentence()} There are {size_of(free)} of memory. {way_out(stream)}")
    pieces = list(stream.pieces(progress))
    ids = tuple(name for names, _ in pieces for name in names)
    values = np.concatenate([rows for _, rows in pieces])
    return FeatureTable(values, ids, tuple(stream.names), (*stream.dataset.failures, *stream.failures))


def _pools(transformer: Any) -> bool:
    return getattr(transformer, "pooling", None) is not None or getattr(transformer, "average", "off") != "off"


def way_out(stream: FeatureStream) -> str:
    """Return what makes a table smaller, in a sentence."""
    ways = []
    if stream.of_atoms:
        ways.append("-s pooling=mean has one row for each structure")
    name = type(stream.given.transformer).__name__
    if name == "SOAP":
        few = (
            "-s compression=mu2 sees where atoms are, whatever they are, in few columns",
            "-s 'species_embedding={type=\"ElementEmbedding\", n_channels=4}' mixes similar elements",
            "-s n_max=4 -s l_max=3 is coarser",
        )
        ways += few
    elif name in ("MBTR", "LMBTR", "ValleOganov", "ACSF"):
        ways.append("fewer elements or a coarser grid have fewer columns, and SOAP with -s compression=mu2 has few")
    return f"Smaller: {'; '.join(ways)}." if ways else ""


def check_fits(path: str | Path, stream: FeatureStream) -> None:
    """Raise unless a table of features can be written to a file.

    Raises
    ------
    ValueError
        If it has too many columns for a table, a piece of it does not fit into memory, or all of it not on the disk;
        the message names the way out.
    """
    path, suffix = Path(path), _format_of(path)
    if suffix != ".npz" and stream.n_columns > _MAX_COLUMNS:
        raise ValueError(
            f"{suffix} is not for more than {_MAX_COLUMNS:,} columns, and there are {stream.n_columns:,}: write .npz. "
            + way_out(stream)
        )
    free = available_memory()
    if free is not None and stream.n_bytes_at_once > 0.8 * free:
        raise ValueError(f"{stream.sentence()} There are {size_of(free)} of memory. {way_out(stream)}")
    on_disk = stream.n_bytes + stream.n_rows * stream.n_columns * (
        _TEXT if suffix.startswith(".csv") else stream.itemsize
    )
    left = shutil.disk_usage(path.absolute().parent).free if path.absolute().parent.is_dir() else None
    if left is not None and on_disk > left:
        raise ValueError(f"{stream.sentence()} There are {size_of(left)} of disk left for {path}. {way_out(stream)}")


def _rows(values: Any, ids: Sequence[str]) -> tuple[list[str], npt.NDArray[Any]]:
    """Return names of rows, and a plain array of them."""
    if hasattr(values, "toarray"):
        values = values.toarray()
    if isinstance(values, np.ndarray) and values.ndim == 2:
        return list(ids), values
    names = [f"{name}/{atom}" for name, rows in zip(ids, values, strict=True) for atom in range(len(rows))]
    return names, np.concatenate([rows.toarray() if hasattr(rows, "toarray") else np.asarray(rows) for rows in values])


def _content(item: Any) -> Any:
    """Return what a digest is made of: a structure as it is, or a composition in words."""
    return item if hasattr(item, "positions") else str(item)


def _format_of(path: Path) -> str:
    suffix = next((s for s in sorted(FORMATS, key=len, reverse=True) if path.name.endswith(s)), None)
    if suffix is None:
        raise ValueError(f"the file must end in one of {', '.join(FORMATS)}, got {path.name!r}")
    return suffix


def write_features(path: str | Path, features: FeatureStream, progress: Progress = silent) -> int:
    """Compute features and write them to a file, which is complete before it gets its name.

    Pieces that are made are kept beside the file until it is complete: a run that was stopped goes on from there.

    Parameters
    ----------
    path : path
        ``.parquet``, ``.csv`` and ``.csv.gz`` have a column ``id`` and one for each feature; ``.npz`` has the arrays
        ``values``, ``ids`` and ``names``.
    features : FeatureStream
        What to write.
    progress : Progress
        Told the number of structures that are done.

    Returns
    -------
    int
        Number of rows that were written.
    """
    path = Path(path)
    suffix = _format_of(path)
    write = {".parquet": _write_parquet, ".npz": _write_npz}.get(suffix, _write_csv)
    with WholeFolder(path.with_name(f"{path.name}.parts")) as folder, written_atomically(path) as temporary:
        pieces = features.pieces(progress, Store(folder.kept, versions()))
        with closing(pieces):
            return write(temporary, pieces, features.names, suffix)


def _write_csv(path: Path, pieces: Pieces, names: list[str], suffix: str) -> int:
    n = 0
    with text_file(path, packed=suffix == ".csv.gz") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", *map(cell, names)])
        for ids, values in pieces:
            writer.writerows([cell(name), *row] for name, row in zip(ids, values.tolist(), strict=True))
            n += len(ids)
    return n


def _write_parquet(path: Path, pieces: Pieces, names: list[str], suffix: str) -> int:
    pa = require("pyarrow", "data")
    parquet = require("pyarrow.parquet", "data")
    n, writer = 0, None
    try:
        for ids, values in pieces:
            columns = [pa.array(ids, pa.string()), *(pa.array(column) for column in np.ascontiguousarray(values.T))]
            table = pa.Table.from_arrays(columns, names=["id", *names])
            writer = writer or parquet.ParquetWriter(path, table.schema)
            writer.write_table(table)
            n += len(ids)
    finally:
        if writer is not None:
            writer.close()
    return n


def _write_npz(path: Path, pieces: Pieces, names: list[str], suffix: str) -> int:
    ids: list[str] = []
    dtype = np.dtype(np.float64)
    # How many rows there are is known at the end, and stands at the beginning: they wait in a file of their own.
    with tempfile.TemporaryFile(dir=path.parent) as rows:
        for own, values in pieces:
            if len(own):
                dtype = values.dtype
                rows.write(np.ascontiguousarray(values).data)
                ids += own
        rows.seek(0, os.SEEK_SET)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            with archive.open("values.npy", "w", force_zip64=True) as file:
                head = {"descr": dtype.str, "fortran_order": False, "shape": (len(ids), len(names))}
                np.lib.format.write_array_header_1_0(file, head)
                shutil.copyfileobj(rows, file, 2**24)
            for name, column in (("ids", ids), ("names", names)):
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, np.array(column, dtype=np.str_), allow_pickle=False)
    return len(ids)
