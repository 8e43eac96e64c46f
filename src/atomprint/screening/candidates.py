"""What is screened, some rows at a time: of files as they come, or of a store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from atomprint.chemistry.formula import reduced_formula
from atomprint.formats.structures import atoms_of
from atomprint.store import FeatureStore
from atomprint.store.describe import formulas_of
from atomprint.store.rows import Reading, StoreRow, blocks, place_of
from atomprint.structures import as_batch
from atomprint.util.types import PathOrStr

_ROWS = 1000  # of a block
_OF_STORES = ("id", "source", "place", "line", "key", "content", "formula", "n_atoms")


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

    def __len__(self) -> int:
        return len(self.ids)


def of_store(store: FeatureStore) -> Iterator[Candidates]:
    """Yield the rows of a store; last, without places, what failed: rows, and shards that are damaged."""
    kept = [name for name in store.columns if name not in _OF_STORES]
    for shard, first in zip(store.shards, store.offsets.tolist(), strict=False):
        for start in range(0, shard.n_rows, _ROWS):
            stop = min(start + _ROWS, shard.n_rows)
            rows = range(first + start, first + stop)
            has_structures = store.plan.inputs == "structures"
            table = store.table(["id", "formula", *(["n_atoms"] if has_structures else []), *kept], rows)
            formulas = table.column("formula").to_pylist()
            yield Candidates(
                f"{shard.name} {start} {stop}",
                str(store.folder),
                rows,
                table.column("id").to_pylist(),
                store.structures(rows) if has_structures else formulas,
                range(len(rows)),
                {},
                formulas,
                table.column("n_atoms").to_pylist() if has_structures else [None] * len(rows),
                {name: table.column(name).to_pylist() for name in kept},
            )
    failures = [
        (row["id"], f"{row['failure']}: {row['reason']}")
        for row in store.failures().select(["id", "failure", "reason"]).to_pylist()
    ]
    failures += store.damaged.items()  # of which not even the number of rows is known
    if failures:
        yield Candidates(
            hashlib.blake2b(repr(failures).encode("utf-8", "backslashreplace"), digest_size=16).hexdigest(),
            str(store.folder),
            [None] * len(failures),
            [name for name, _ in failures],
            [],
            [],
            {at: f"in the store: {why}" for at, (_, why) in enumerate(failures)},
            [None] * len(failures),
            [None] * len(failures),
            {},
        )


def of_file(place: PathOrStr, reading: Reading) -> Iterator[Candidates]:
    """Yield the rows of a file or a folder, in its order."""
    source = reading.open(place_of(place))
    for rows in blocks(source.rows, _ROWS):
        yield _read(str(place), rows, source.has_structures)


def items_of(source: PathOrStr | FeatureStore, reading: Reading, places: Sequence[int]) -> list[Any]:
    """Return the structures or formulas of some rows of a source, by their numbers in it; these can be read."""
    if isinstance(source, FeatureStore):
        if source.plan.inputs == "structures":
            return list(source.structures(places))
        return list(source.table(["formula"], places).column("formula").to_pylist())
    opened, wanted = reading.open(place_of(source)), {*places}
    found: dict[int, Any] = {}
    for row in opened.rows:
        if row.place in wanted:
            found[row.place] = atoms_of(row.content) if opened.has_structures else str(row.content).strip()
            if len(found) == len(wanted):
                break
    return [found[place] for place in places]


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
                reduced_formula(str(row.content).strip())
            items.append(atoms_of(row.content) if structures else str(row.content).strip())
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
