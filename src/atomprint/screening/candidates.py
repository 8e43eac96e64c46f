"""What is screened, some rows at a time: of files as they come, or of a store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

from atomprint.chemistry.formula import reduced_formula
from atomprint.chemistry.smiles import Smiles
from atomprint.formats.structures import atoms_of
from atomprint.store import FeatureStore
from atomprint.store.describe import formulas_of, text_of
from atomprint.store.plan import RECORD
from atomprint.store.rows import Reading, RowSource, StoreRow, blocks, place_of
from atomprint.structures import as_batch
from atomprint.util.types import PathOrStr

_ROWS = 1000  # of a block
_OPEN = 100  # files at once
_OF_STORES = ("id", "source", "place", "line", "key", "content", "formula", "smiles", "n_atoms")


@dataclass(frozen=True)
class Candidates:
    """Some rows that are to be judged.

    Parameters
    ----------
    name : str
        A digest of all that is known of them.
    source : str
        The file or store that they are from.
    places : sequence of int or None
        Their numbers in it; None for those that a store has only the failure of.
    ids : sequence of str
        Their names.
    items : Batch or list of str
        Structures or formulas of those that can be read.
    read : sequence of int
        Which these are.
    problems : mapping of int to str
        Why others cannot, by their positions.
    formulas : sequence of str or None
        Reduced formulas.
    n_atoms : sequence of int or None
        Numbers of atoms.
    columns : mapping of str to sequence
        What is known of them besides: numbers or words, None where it is not.
    store : FeatureStore or None
        The store that they are rows of, by their places, with their features.
    """

    name: str
    source: str
    places: Sequence[int | None]
    ids: Sequence[str]
    items: Any
    read: Sequence[int]
    problems: Mapping[int, str]
    formulas: Sequence[str | None]
    n_atoms: Sequence[int | None]
    columns: Mapping[str, Sequence[Any]]
    store: FeatureStore | None = None

    def __len__(self) -> int:
        return len(self.ids)


class Source(Protocol):
    """Where candidates are from.

    Attributes
    ----------
    name : str
        What it is called in tables.
    columns : mapping of str to bool
        What it knows of candidates besides their structures, by its name, and whether it is words.
    """

    name: str
    columns: Mapping[str, bool]

    def __iter__(self) -> Iterator[Candidates]:
        """Yield all candidates, some at a time."""
        ...

    def items(self, places: Sequence[int]) -> list[Any]:
        """Return the structures or formulas of some rows that can be read, by their numbers."""
        ...


class StoreSource:
    """The rows of a store; last, without places, what failed: rows, and shards that are damaged."""

    def __init__(self, store: FeatureStore) -> None:
        self.store, self.name = store, str(store.folder)
        self.columns: Mapping[str, bool] = {
            name: name in store.worded for name in store.columns if name not in _OF_STORES
        }

    def __iter__(self) -> Iterator[Candidates]:
        """Yield the rows of each shard, and what failed."""
        store = self.store
        for shard, first in zip(store.shards, store.offsets.tolist(), strict=False):
            for start in range(0, shard.n_rows, _ROWS):
                stop = min(start + _ROWS, shard.n_rows)
                rows = range(first + start, first + stop)
                has_structures = store.plan.inputs == "structures"
                known = [name for name in store.summary if name not in store.targets]
                texts = [] if has_structures or _column(store) in known else [_column(store)]
                table = store.table([*known, *texts, *self.columns], rows)
                formulas = table.column("formula").to_pylist()
                yield Candidates(
                    f"{shard.name} {start} {stop}",
                    self.name,
                    rows,
                    table.column("id").to_pylist(),
                    store.structures(rows) if has_structures else _texts(store, table),
                    range(len(rows)),
                    {},
                    formulas,
                    table.column("n_atoms").to_pylist() if has_structures else [None] * len(rows),
                    {name: table.column(name).to_pylist() for name in self.columns},
                    store,
                )
        failures = [
            (row["id"], f"{row['failure']}: {row['reason']}")
            for row in store.failures().select(["id", "failure", "reason"]).to_pylist()
        ]
        failures += store.damaged.items()  # of which not even the number of rows is known
        if failures:
            yield Candidates(
                hashlib.blake2b(repr(failures).encode("utf-8", "backslashreplace"), digest_size=16).hexdigest(),
                self.name,
                [None] * len(failures),
                [name for name, _ in failures],
                [],
                [],
                {at: f"in the store: {why}" for at, (_, why) in enumerate(failures)},
                [None] * len(failures),
                [None] * len(failures),
                {},
            )

    def items(self, places: Sequence[int]) -> list[Any]:
        """Return the structures or formulas of some rows."""
        if self.store.plan.inputs == "structures":
            return list(self.store.structures(places))
        return _texts(self.store, self.store.table([_column(self.store)], places))


class FileSource:
    """The rows of a file or a folder, in its order."""

    def __init__(self, place: PathOrStr, reading: Reading) -> None:
        self.name, self._reading = str(place), reading
        self._opened: RowSource | None = reading.open(place_of(place))
        self.columns: Mapping[str, bool] = self._opened.columns

    def close(self) -> None:
        """Close the file, which is opened again when its rows are asked for."""
        self._opened = None

    def _rows(self) -> RowSource:
        """Return the rows from the first on, for once."""
        opened, self._opened = self._opened, None
        return opened or self._reading.open(place_of(self.name))

    def __iter__(self) -> Iterator[Candidates]:
        """Yield the rows, and what is wrong with some."""
        source = self._rows()
        for rows in blocks(source.rows, _ROWS):
            yield _read(self.name, rows, source.has_structures)

    def items(self, places: Sequence[int]) -> list[Any]:
        """Return the structures or formulas of some rows, which are read again."""
        opened, wanted = self._rows(), {*places}
        found: dict[int, Any] = {}
        for row in opened.rows:
            if row.place in wanted:
                found[row.place] = atoms_of(row.content) if opened.has_structures else text_of(row.content)
                if len(found) == len(wanted):
                    break
        return [found[place] for place in places]


def _column(store: FeatureStore) -> str:
    """Return the column of a store without structures that says what its rows are."""
    return "smiles" if store.plan.inputs == "molecules" else "formula"


def _texts(store: FeatureStore, table: Any) -> list[Any]:
    found = table.column(_column(store)).to_pylist()
    return list(map(Smiles, found)) if store.plan.inputs == "molecules" else found


def opened(sources: Any, reading: Reading) -> dict[str, Source]:
    """Return sources by their names in tables, which are there and can be read.

    Raises
    ------
    FileNotFoundError, ImportError, ValueError
        As for :meth:`~atomprint.store.rows.Reading.open`.
    """
    given = [sources] if isinstance(sources, str | PathLike | FeatureStore) else list(sources)
    if not given:
        raise ValueError("sources must hold at least one file, folder or store, got none")
    if reading.pages is None and any(isinstance(place_of(one), str) for one in given if isinstance(one, str)):
        raise ValueError("folder must be given where sources are servers: their pages are kept in it")
    found: dict[str, Source] = {}
    for one in given:
        if not isinstance(one, FeatureStore) and (Path(one) / RECORD).is_file():
            one = FeatureStore.open(one)
        source: StoreSource | FileSource = (
            StoreSource(one) if isinstance(one, FeatureStore) else FileSource(one, reading)
        )
        if isinstance(source, FileSource) and len(found) >= _OPEN:
            source.close()
        found[source.name] = source
    return found


def _read(source: str, rows: Sequence[StoreRow], structures: bool) -> Candidates:
    digest = hashlib.blake2b(source.encode("utf-8", "backslashreplace"), digest_size=16)
    items: list[Any] = []
    read: list[int] = []
    problems: dict[int, str] = {}
    for at, row in enumerate(rows):
        digest.update(row.digest())
        try:
            if row.problem is not None:
                raise ValueError(row.problem[1])
            if not structures:
                reduced_formula(text_of(row.content))
            items.append(atoms_of(row.content) if structures else text_of(row.content))
        except ValueError as error:
            problems[at] = str(error)
        else:
            read.append(at)
    formulas: list[str | None] = [None] * len(rows)
    n_atoms: list[int | None] = [None] * len(rows)
    given: Any = items
    if structures and read:
        given = as_batch(items, periodic=None)
        for at, formula, n in zip(read, formulas_of(given), given.n_atoms.tolist(), strict=True):
            formulas[at], n_atoms[at] = formula, n
    elif read:
        for at, item in zip(read, items, strict=True):
            formulas[at] = reduced_formula(item)
    names = dict.fromkeys(name for row in rows for name in row.values)
    return Candidates(
        digest.hexdigest(),
        source,
        [row.place for row in rows],
        [row.id for row in rows],
        given,
        read,
        problems,
        formulas,
        n_atoms,
        {name: [row.values.get(name) for row in rows] for name in names},
    )
