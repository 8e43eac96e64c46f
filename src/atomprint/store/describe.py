"""A block of rows, described: features, structures and columns of those that can be, reasons for the others."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols

from atomprint.chemistry.formula import ATOMIC_NUMBERS, parse_formula, reduced_formula
from atomprint.chemistry.smiles import Smiles
from atomprint.formats.structures import atoms_of
from atomprint.formats.values import label_of
from atomprint.store.packing import COLUMNS, EMPTY, packed
from atomprint.store.plan import Plan, fitted
from atomprint.store.rows import StoreRow
from atomprint.store.shard import ShardContent
from atomprint.structures import Batch, as_batch, attempt, reason_of
from atomprint.util.extras import require

FORMAT = "3"  # of shards: another one gives them other names


class Failed(NamedTuple):
    """A row that could not be described."""

    row: StoreRow
    step: str
    reason: str


def name_of(plan: Plan, source: str, rows: Sequence[StoreRow]) -> str:
    """Return the name of the shard of some rows: a digest of all that is in it, before any of it is made."""
    digest = hashlib.blake2b(
        f"{FORMAT} {plan.digest} {plan.inputs} {plan.allow_close} {source}".encode(), digest_size=16
    )
    for row in rows:
        digest.update(row.digest())
    return digest.hexdigest()


def describe(
    plan: Plan, transformer: Any, source: str, rows: Sequence[StoreRow], poison: Iterable[tuple[int, str]] = ()
) -> ShardContent:
    """Return what a shard of some rows holds.

    Parameters
    ----------
    plan : Plan
        How rows are described.
    transformer : transformer
        What :meth:`Plan.transformer` makes.
    source : str
        Name of the file or folder that they are from.
    rows : sequence of StoreRow
        The rows.
    poison : iterable of (int, str)
        Places of rows that are not to be touched, and why.
    """
    failures: list[Failed] = []
    read, items = _read(plan, rows, dict(poison), failures)
    kept, parts = _described(plan, transformer, read, items, failures)
    features = _joined(plan, parts)
    if not plan.sparse and len(kept) and not np.isfinite(features).all():
        good = np.isfinite(features).all(axis=1)
        failures += [
            Failed(read[at], "features", "a feature is not finite")
            for at, fine in zip(kept, good, strict=True)
            if not fine
        ]
        kept, features = [at for at, fine in zip(kept, good, strict=True) if fine], features[good]
    failures.sort(key=lambda failed: failed.row.place)
    table = _table(plan, [read[at] for at in kept], [items[at] for at in kept], failures)
    counts = Counter(f"{failed.step}: {failed.reason}" for failed in failures)
    return ShardContent(features, table, source, rows[0].place, counts)


def _read(
    plan: Plan, rows: Sequence[StoreRow], poison: dict[int, str], failures: list[Failed]
) -> tuple[list[StoreRow], list[Any]]:
    """Return the rows that are structures, molecules or formulas, and these."""
    read, items = [], []
    for row in rows:
        try:
            if row.place in poison:
                failures.append(Failed(row, "process", poison[row.place]))
                continue
            if row.problem is not None:
                failures.append(Failed(row, *row.problem))
                continue
            if plan.inputs == "compositions":
                item: Any = text_of(row.content)
                parse_formula(item)
            elif plan.inputs == "molecules":
                item = Smiles(str(row.content).strip())
                parse_formula(item)
            else:
                item = atoms_of(row.content, allow_close=plan.allow_close)
        except ValueError as error:
            failures.append(Failed(row, _STEPS[plan.inputs], str(error)))
            continue
        read.append(row)
        items.append(item)
    return read, items


def _described(
    plan: Plan, transformer: Any, read: Sequence[StoreRow], items: list[Any], failures: list[Failed]
) -> tuple[list[int], list[Any]]:
    """Return which of the rows could be described, and their features, in runs."""
    kept: list[int] = []

    def compute(run: Sequence[int]) -> Any:
        given: Any = [items[at] for at in run]
        if plan.inputs == "structures":
            given = as_batch(given, periodic=None)
        made = fitted(transformer, given).transform(given)
        if made.shape != (len(run), len(plan.names)):
            raise ValueError(f"features have shape {made.shape}, and must have {(len(run), len(plan.names))}")
        kept.extend(run)
        return made

    def failed(at: int, error: Exception) -> None:
        failures.append(Failed(read[at], "features", reason_of(error)))

    if not read:
        return [], []
    parts = attempt(range(len(read)), compute, failed)
    return kept, [part for part in parts if part is not None]


def _joined(plan: Plan, parts: list[Any]) -> Any:
    if plan.sparse:
        from scipy.sparse import csr_array, vstack

        empty = csr_array((0, len(plan.names)), dtype=plan.dtype)
        return csr_array(vstack([*parts, empty], format="csr"))
    if len(parts) == 1:
        return np.asarray(parts[0], dtype=plan.dtype)
    return np.concatenate([np.empty((0, len(plan.names)), dtype=plan.dtype), *parts]).astype(plan.dtype, copy=False)


def content_digests(batch: Batch) -> list[bytes]:
    """Return a digest of each structure: elements, positions, cell and periodicity, bit by bit."""
    numbers, positions, cells, pbc = (
        np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        for array in (batch.numbers, batch.positions, batch.cells, batch.pbc)
    )
    found = []
    for place, (first, last) in enumerate(zip(batch.offsets[:-1].tolist(), batch.offsets[1:].tolist(), strict=True)):
        digest = hashlib.blake2b(numbers[4 * first : 4 * last], digest_size=16)
        digest.update(positions[24 * first : 24 * last])
        digest.update(cells[72 * place : 72 * place + 72])
        digest.update(pbc[3 * place : 3 * place + 3])
        found.append(digest.digest())
    return found


@lru_cache(maxsize=10_000)
def _formula(counts: tuple[tuple[int, int], ...]) -> str:
    return reduced_formula({chemical_symbols[number]: float(count) for number, count in counts})


def text_of(content: Any) -> str:
    """Return what a row without a structure has: SMILES as they are, a formula without blanks around it."""
    return content if isinstance(content, Smiles) else str(content).strip()


def formulas_of(batch: Batch) -> list[str]:
    """Return the reduced formula of each structure."""
    numbers = batch.numbers.tolist()
    ends = batch.offsets.tolist()
    spans = (numbers[first:last] for first, last in pairwise(ends))
    return [_formula(tuple(sorted(Counter(span).items()))) for span in spans]


def _table(plan: Plan, rows: list[StoreRow], items: list[Any], failures: list[Failed]) -> dict[str, Any]:
    """Return the columns of a shard: those of the rows that are described, and of the others below them."""
    pa = require("pyarrow", "data", "a store")
    n_failed = len(failures)
    every = [*rows, *(failed.row for failed in failures)]
    none = [None] * n_failed
    columns: dict[str, Any] = {
        "id": pa.array([_text(row.id) for row in every], pa.string()),
        "place": pa.array([row.place for row in every], pa.int64()),
    }
    if any(row.line is not None for row in every):
        columns["line"] = pa.array([row.line for row in every], pa.int64())
    if plan.inputs == "structures":
        batch = as_batch(items, periodic=None) if items else EMPTY
        columns["content"] = pa.array([*content_digests(batch), *none], pa.binary(16))
        columns["formula"] = pa.array([*formulas_of(batch), *none], pa.string())
        columns["n_atoms"] = pa.array([*batch.n_atoms.tolist(), *none], pa.int32())
    else:
        formulas = list(map(reduced_formula, items))
        texts = [item.canonical for item in items] if plan.inputs == "molecules" else formulas
        digests = [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts]
        columns["content"] = pa.array([*digests, *none], pa.binary(16))
        columns["formula"] = pa.array([*formulas, *none], pa.string())
        if plan.inputs == "molecules":
            columns["smiles"] = pa.array([*map(str, items), *none], pa.string())
    for name in dict.fromkeys(name for row in every for name in row.values):
        values = [row.values.get(name) for row in every]
        words = any(isinstance(value, str) for value in values)
        of = pa.string() if words else pa.float64()
        given = in_words(values) if words else values
        columns[name if name not in RESERVED else f"target {name}"] = pa.array(given, of)
    columns["failure"] = pa.array([None] * len(rows) + [failed.step for failed in failures], pa.string())
    columns["reason"] = pa.array([None] * len(rows) + [_text(failed.reason) for failed in failures], pa.string())
    if plan.inputs == "structures":
        columns |= packed(batch, n_failed)
    return columns


_STEPS = {"structures": "structure", "molecules": "smiles", "compositions": "formula"}
RESERVED = frozenset(
    ("id", "place", "line", "content", "formula", "smiles", "n_atoms", "failure", "reason", "source", "key", *COLUMNS)
)
"""Names of columns that are no targets."""

_SUM = re.compile(r"^_chemical_formula_sum[ \t]+(?:'([^'\n]+)'|\"([^\"\n]+)\"|([\w.]+))[ \t\r]*$", re.MULTILINE)
_SYMBOL = re.compile(r"[A-Z][a-z]?")


def elements_of(content: Any, *, sizes: bool) -> tuple[set[str], int, bool] | None:
    """Return elements, number of atoms and whether it repeats of a structure that can be read, and else None.

    Unless ``sizes`` are asked for, the elements of a CIF are those of its formula, which its atoms must have, too.
    """
    if not sizes and isinstance(content, str) and (found := _SUM.search(content)) is not None:
        symbols = _SYMBOL.findall(found[1] or found[2] or found[3])
        if symbols and all(symbol in ATOMIC_NUMBERS for symbol in symbols):
            return {chemical_symbols[ATOMIC_NUMBERS[symbol]] for symbol in symbols}, 0, True
    try:
        atoms = atoms_of(content, allow_close=True)
        batch = atoms if isinstance(atoms, Atoms) else as_batch([atoms], periodic=None)[0]
    except (ValueError, TypeError):
        return None
    return set(batch.symbols), len(batch), bool(batch.pbc.any())


def elements_of_formula(content: Any) -> set[str] | None:
    """Return the elements of a formula that can be read, and else None."""
    try:
        return set(parse_formula(text_of(content))) & set(atomic_numbers)
    except ValueError:
        return None


def _text(text: str) -> str:
    """Return text that a table can hold: names of files may have bytes that are none."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def in_words(values: Iterable[float | str | None]) -> list[str | None]:
    """Return values of a column that has words somewhere: numbers as labels, to the last digit."""
    return [None if value is None else label_of(value) for value in values]
