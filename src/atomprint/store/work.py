"""Who describes blocks: threads of this process, processes of their own, or a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from atomprint.store.describe import describe
from atomprint.store.plan import Plan
from atomprint.store.rows import StoreRow
from atomprint.store.shard import Shard, write_shard


@dataclass(frozen=True)
class Task:
    """A block that is to be described and written.

    Parameters
    ----------
    name : str
        Name of its shard.
    source : str
        Name of the file or folder that it is from.
    rows : sequence of StoreRow
        Its rows.
    poison : tuple of (int, str)
        Places of rows that are not to be touched, and why.
    write : bool
        Whether to write the shard, and not only to try.
    """

    name: str
    source: str
    rows: Sequence[StoreRow]
    poison: tuple[tuple[int, str], ...] = ()
    write: bool = True


class Executor(Protocol):
    """Describes blocks; called from several threads at once.

    Attributes
    ----------
    n_at_once : int
        How many tasks to give it at once.
    """

    n_at_once: int

    def run(self, task: Task) -> Shard:
        """Describe a block, and return its shard when it is written."""
        ...


def carry_out(store: Path, plan: Plan, transformer: Any, task: Task) -> Shard | None:
    """Describe a block and write its shard; None where it is only tried."""
    content = describe(plan, transformer, task.source, task.rows, task.poison)
    return write_shard(store, task.name, content) if task.write else None


class Threads:
    """Describes blocks on threads of this process.

    Parameters
    ----------
    store : Path
        The store.
    plan : Plan
        What it holds.
    n_jobs : int
        Number of threads.
    """

    def __init__(self, store: Path, plan: Plan, n_jobs: int) -> None:
        self.store, self.plan, self.n_at_once = store, plan, n_jobs
        self._transformer = plan.transformer()

    def run(self, task: Task) -> Shard:
        """Describe a block, and return its shard when it is written."""
        shard = carry_out(self.store, self.plan, self._transformer, task)
        assert shard is not None
        return shard
