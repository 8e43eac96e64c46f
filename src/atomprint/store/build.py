"""Build a store from files: block by block, in any order, as often as it takes."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from atomprint.store.cluster import SCHEME, Dask
from atomprint.store.describe import elements_of, elements_of_formula, name_of
from atomprint.store.plan import RECORD, Plan, Traits, needs, settled
from atomprint.store.processes import Processes
from atomprint.store.rows import REMOTE, Reading, RowSource, StoreRow, blocks, place_of
from atomprint.store.shard import Shard, intact, put_file, remove_shards, shards_of, sweep
from atomprint.store.work import Executor, Task, Threads
from atomprint.util.overlap import in_order
from atomprint.util.progress import Progress, silent
from atomprint.util.text import counted
from atomprint.util.types import PathOrStr
from atomprint.util.validation import check_choice, check_n_jobs, check_real

PAGES = "pages"
"""Name of the folder of a store that has what servers have answered."""

_FEW_FAILURES = 20  # stop nobody, whatever their share


class TooManyFailuresError(ValueError):
    """More rows of a source failed than were allowed for; what was described by then is kept."""


@dataclass(frozen=True)
class Built:
    """What a build has done.

    Parameters
    ----------
    n_rows, n_failed : int
        Rows that are in the store and are described, and that could not be, of all sources that were given.
    n_kept : int
        How many of all these were in the store before.
    n_stale : int
        Rows in the store of files with the names of these that are not in them any more, or are of other files.
    failures : mapping of str to int
        Rows that could not be described, by what failed and why, the most frequent first.
    """

    n_rows: int
    n_failed: int
    n_kept: int
    n_stale: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)


class Block(NamedTuple):
    """Rows that make a shard."""

    name: str
    source: str
    rows: list[StoreRow]


def build_store(
    path: PathOrStr,
    sources: PathOrStr | Sequence[PathOrStr],
    descriptor: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    *,
    species: Sequence[str] | None = None,
    structure: str | None = None,
    formula: str | None = None,
    id: str | None = None,
    targets: Any = None,
    table: PathOrStr | None = None,
    folder: PathOrStr | None = None,
    limit: int | None = None,
    filter: str = "",
    max_failures: float = 0.05,
    allow_close: bool = False,
    block: int | None = None,
    n_jobs: int = 1,
    executor: str | Executor = "threads",
    array: tuple[int, int] | None = None,
    prune: bool = False,
    progress: Progress = silent,
) -> Built:
    """Describe all structures of some files, and keep features, structures and targets in a folder.

    The rows of each file are taken in blocks; each becomes a shard, which gets its name, a digest of what it is made
    from, when it is complete. A build that was stopped, or killed, goes on where it was, two builds at once share the
    work if they get to the same block, and a build of more files adds their rows.

    Parameters
    ----------
    path : path
        The folder of the store; made if it is not there.
    sources : path or sequence of path
        What :func:`~atomprint.datasets.read_dataset` reads. They are read as a stream where the format allows. Or
        ``"optimade:mp"``, with the name or address of a server, whose pages are fetched once and kept in the store; or
        ``"mp-api:…"`` with conditions, by the client of the Materials Project.
    descriptor : str, optional
        Name of a class of :mod:`atomprint.descriptors`. Default: that of the store, or ``"SOAP"`` for a new one.
    parameters : mapping, optional
        Its parameters; tables with a ``type`` are objects. Where nobody says otherwise, a store has features of float32
        and the mean over atoms, and SOAP of more than eight elements has four channels that mix them.
    species : sequence of str, optional
        Elements that structures may have: others are failures. Default: all that occur, for which the files are read
        once before.
    structure, formula, id, table, folder, limit
        See :func:`~atomprint.datasets.read_dataset`; ``limit`` is for each file.
    targets : names, optional
        Columns or keys that are kept beside the features. Default: all that have numbers or truth values.
    filter : str
        For OPTIMADE servers, what is asked for, such as ``'elements HAS "O" AND nelements=2'``; default: all they have.
    max_failures : float
        Stop where a larger share of rows than this has failed, and more than twenty.
    allow_close : bool
        Whether atoms may be nearer than any in matter.
    block : int, optional
        Number of rows of a shard, for a new store. Default: about 16 MB of features.
    n_jobs : int
        Number of blocks that are described at once; -1 means all cores.
    executor : {"threads", "processes", "dask:ADDRESS"} or Executor
        Who describes blocks: threads of this process; processes, where a structure that kills its process costs only
        itself; or the workers of a Dask cluster that see the folder, by the address of its scheduler, or the name of
        the file that this writes.
    array : (int, int), optional
        ``(i, n)``: of n jobs with the same arguments this is number i, from 1, and does its share of the blocks. Number
        0 makes the store for the others, so that none of these has to look which elements there are.
    prune : bool
        Whether to remove the rows of files with the names of these that are not in them any more; rows of servers are
        always those of the last time.
    progress : Progress
        Told the number of rows that are done.

    Returns
    -------
    Built

    Raises
    ------
    FileNotFoundError, ImportError
        If there is no such file, or a package that reads it is missing.
    TooManyFailuresError
        If too many rows fail.
    ValueError, TypeError
        If the store has other parameters, which the message names; or an argument is wrong.
    """
    check_real("max_failures", max_failures, at_least=0, at_most=1)
    n_jobs = check_n_jobs(n_jobs)
    if isinstance(executor, str) and not executor.startswith(SCHEME):
        check_choice("executor", executor, ("threads", "processes", f"{SCHEME}ADDRESS"))
    if array is not None and not (isinstance(array, tuple) and len(array) == 2 and 0 <= array[0] <= array[1] > 0):
        raise ValueError(f"array must be (i, n) with i in 0..n, got {array!r}")
    store = Path(path)
    places = [place_of(source) for source in ([sources] if isinstance(sources, str | PathLike) else sources)]
    if not places:
        raise ValueError("sources must hold at least one file or folder, got none")
    if store.exists() and not store.is_dir():
        raise FileExistsError(f"{str(store)!r} is a file: give the name of a folder")
    if store.is_dir() and not (store / RECORD).exists():
        others = [found.name for found in store.iterdir() if found.name != PAGES and not found.name.startswith(".")]
        if others:
            raise FileExistsError(f"{str(store)!r} has something in it, and is no store: give another folder")
    reading = Reading(structure, formula, id, targets, table, folder, limit, filter)
    given = dict(parameters or {})
    if species is not None:
        given["species"] = list(species)
    count = _Count(max_failures)
    met: dict[str, set[str]] = {}
    with ExitStack() as stack:
        settle: Callable[..., Plan] = settled
        if executor == "processes":  # one of them makes the plan: what describes is not loaded here, too
            executor = stack.enter_context(closing(Processes(store, n_jobs)))
            settle = executor.settled
        kept: dict[str, Any] = {"allow_close": allow_close, "block": block, "settle": settle, "progress": progress}
        plan = plan_store(store, places, reading, descriptor, given, **kept)
        sweep(store)
        if array is not None and array[0] == 0:
            for place in places:
                if isinstance(place, str):  # a server, whose pages are then there for all jobs
                    deque(reading.open(place, store / PAGES, progress).rows, 0)
            return count.built(0)
        workers = stack.enter_context(_executor(executor, store, plan, n_jobs))
        todo = _blocks(store, plan, places, reading, array, met)
        for done, was_there in in_order(partial(_carry_out, store, workers), todo, workers.n_at_once):
            count.add(done, was_there)
            progress("Describing structures", count.n, None)
    whole = array is None and limit is None
    there = shards_of(store)[0] if whole else []
    left_over = [shard for shard in there if shard.name not in met.get(shard.source, {shard.name})]
    removed = [shard for shard in left_over if prune or shard.source.startswith(REMOTE)]
    remove_shards(store, removed)
    sweep(store)
    n_stale = sum(shard.n_rows + shard.n_failed for shard in left_over if shard not in removed)
    return count.built(n_stale)


def plan_store(
    store: Path,
    places: Sequence[Path | str],
    reading: Reading,
    descriptor: str | None,
    given: Mapping[str, Any],
    *,
    allow_close: bool = False,
    block: int | None = None,
    settle: Callable[..., Plan] = settled,
    progress: Progress = silent,
) -> Plan:
    """Return the plan of a store, which is made by ``settle`` if it is not there; see :func:`build_store`."""
    if (store / RECORD).is_file():
        plan = Plan.read(store)
        _check_same(store, plan, descriptor, given, allow_close, block, settle)
        return plan
    name = descriptor or "SOAP"
    traits = _traits(store, places, reading, needs(name, given), progress)
    plan = settle(name, given, traits, allow_close=allow_close, block=block)
    store.mkdir(parents=True, exist_ok=True)
    if not put_file(store, RECORD, plan.text()):  # somebody else was faster
        other = Plan.read(store)
        if found := other.differences(plan):
            raise ValueError(f"{store} was made by somebody else meanwhile, with other parameters: {'; '.join(found)}")
        return other
    return plan


def _check_same(
    store: Path,
    plan: Plan,
    descriptor: str | None,
    given: Mapping[str, Any],
    allow_close: bool,
    block: int | None,
    settle: Callable[..., Plan],
) -> None:
    """Raise if a store does not have the parameters that are given."""
    if descriptor not in (None, plan.descriptor):
        found = [f"descriptor is {plan.descriptor}, not {descriptor}"]
    else:
        traits = Traits(plan.species, None, 0, plan.inputs == "structures")
        kept = {**plan.parameters, **given}
        now = settle(plan.descriptor, kept, traits, allow_close=allow_close, block=plan.block)
        found = plan.differences(now)
    if block not in (None, plan.block):
        found.append(f"block is {plan.block}, not {block}")
    if found:
        raise ValueError(
            f"{str(store)!r} is a store with other parameters: {'; '.join(found)}. Give another folder, or the same "
            "parameters (atomprint store info shows them)"
        )


def _traits(
    store: Path, places: Sequence[Path | str], reading: Reading, needed: set[str], progress: Progress
) -> Traits:
    """Return what a plan needs to know of structures: of all if it must, else of the first of each file."""
    elements: set[str] = set()
    repeats: set[bool] = set()
    largest, n, has_structures = 0, 0, True
    sizes = "n_atoms_max" in needed
    for place in places:
        source = reading.open(place, store / PAGES, progress)
        has_structures &= source.has_structures
        rows = source.rows if needed & {"species", "n_atoms_max"} else iter(source.first)
        for row in rows:
            n += 1
            if n % 1000 == 0:
                progress("Looking which elements there are", n, None)
            if not source.has_structures:
                elements |= elements_of_formula(row.content) or set()
            elif row.problem is None and (found := elements_of(row.content, sizes=sizes)) is not None:
                elements |= found[0]
                largest = max(largest, found[1])
                repeats.add(found[2])
    if not elements:
        raise ValueError(f"{', '.join(map(str, places))}: no row can be read")
    from ase.data import atomic_numbers

    symbols = tuple(sorted(elements, key=atomic_numbers.__getitem__))
    return Traits(symbols, repeats.pop() if len(repeats) == 1 else None, largest, has_structures)


def _blocks(
    store: Path,
    plan: Plan,
    places: Sequence[Path | str],
    reading: Reading,
    array: tuple[int, int] | None,
    met: dict[str, set[str]],
) -> Iterator[Block]:
    """Yield the blocks of all sources that are this job's, and note the names of their shards by sources."""
    number = 0
    for place in places:
        source = reading.open(place, store / PAGES)
        _check_inputs(plan, source)
        names = met.setdefault(source.name, set())
        for rows in blocks(source.rows, plan.block):
            number += 1
            if array is None or (number - 1) % array[1] == array[0] - 1:
                name = name_of(plan, source.name, rows)
                names.add(name)
                yield Block(name, source.name, rows)


def _check_inputs(plan: Plan, source: RowSource) -> None:
    if source.has_structures and plan.inputs != "structures":
        what = "SMILES" if plan.inputs == "molecules" else "formulas"
        raise ValueError(f"{source.name} has structures, and this store is of {what}: give structure='' to read these")
    if not source.has_structures and plan.inputs == "structures":
        raise ValueError(f"{source.name} has formulas only, and this store is of structures")


def _carry_out(store: Path, workers: Executor, block: Block) -> tuple[Shard, bool]:
    """Return the shard of a block, and whether it was there before."""
    there = intact(store, block.name)
    if there is not None:
        return there, True
    return workers.run(Task(block.name, block.source, block.rows)), False


@contextmanager
def _executor(given: str | Executor, store: Path, plan: Plan, n_jobs: int) -> Iterator[Executor]:
    """Give who describes blocks, by name or as it is."""
    if not isinstance(given, str):
        yield given
    elif given == "threads":
        yield Threads(store, plan, n_jobs)
    else:
        with closing(Dask(store, given.removeprefix(SCHEME))) as others:
            yield others


class _Count:
    """What has been done, and whether too much of it has failed."""

    def __init__(self, max_failures: float) -> None:
        self.max_failures = max_failures
        self.n_rows = self.n_failed = self.n_kept = 0
        self.failures: Counter[str] = Counter()

    @property
    def n(self) -> int:
        return self.n_rows + self.n_failed

    def add(self, shard: Shard, was_there: bool) -> None:
        self.n_rows += shard.n_rows
        self.n_failed += shard.n_failed
        self.n_kept += (shard.n_rows + shard.n_failed) * was_there
        self.failures.update(shard.failures)
        if len(self.failures) > 1000:
            self.failures = Counter(dict(self.failures.most_common(500)))
        if self.n_failed > max(_FEW_FAILURES, self.max_failures * self.n):
            reason, count = self.failures.most_common(1)[0]
            raise TooManyFailuresError(
                f"{counted(self.n_failed, 'row')} of the first {self.n} failed, more than max_failures = "
                f"{self.max_failures:g} allows; most often ({count} times) {reason}. What was described is kept"
            )

    def built(self, n_stale: int) -> Built:
        return Built(self.n_rows, self.n_failed, self.n_kept, n_stale, dict(self.failures.most_common()))
