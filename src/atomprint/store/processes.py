"""Blocks described by processes of their own, so that a structure that kills its process costs only itself."""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import atomprint
from atomprint.store.plan import Plan, settled
from atomprint.store.rows import StoreRow
from atomprint.store.shard import Shard
from atomprint.store.work import Task


class WorkerDiedError(Exception):
    """A process came to its end before its block did."""


class Poisoned:
    """Finds the rows that kill whoever describes them, and goes on without these.

    A subclass gives ``ask``, which raises :class:`WorkerDiedError` where the process of a task dies.
    """

    n_at_once: int

    def ask(self, task: Task) -> Shard | None:
        """Have a task carried out."""
        raise NotImplementedError

    def run(self, task: Task) -> Shard:
        """Describe a block, and return its shard when it is written."""
        for _ in range(2):  # once may be an accident
            with suppress(WorkerDiedError, MemoryError):
                return self._shard(task)
        poison = tuple(self._find(task, task.rows))
        try:
            return self._shard(replace(task, poison=poison))
        except (WorkerDiedError, MemoryError) as error:
            places = f"rows {task.rows[0].place} to {task.rows[-1].place} of {task.source}"
            raise RuntimeError(f"whoever describes {places} dies ({error}), and no row alone is to blame") from error

    def _shard(self, task: Task) -> Shard:
        shard = self.ask(task)
        assert shard is not None
        return shard

    def _find(self, task: Task, rows: Sequence[StoreRow]) -> list[tuple[int, str]]:
        """Return the rows that kill whoever describes them, found by halves."""
        try:
            self.ask(replace(task, rows=rows, write=False))
        except (WorkerDiedError, MemoryError) as error:
            if len(rows) == 1:
                why = str(error) if isinstance(error, WorkerDiedError) else "memory did not suffice for it"
                return [(rows[0].place, why)]
            middle = len(rows) // 2
            return [*self._find(task, rows[:middle]), *self._find(task, rows[middle:])]
        return []


class Processes(Poisoned):
    """Describes blocks in processes.

    Parameters
    ----------
    store : Path
        The store, with its plan in it.
    n_jobs : int
        Number of processes, which are started when they are needed.
    """

    def __init__(self, store: Path, n_jobs: int) -> None:
        self.store, self.n_at_once = store, n_jobs + 1  # the next one is at hand when a process is done
        self._idle: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        for _ in range(n_jobs):
            self._idle.put(None)
        self._lock = Lock()
        self._running: set[_Worker] = set()

    def ask(self, task: Task) -> Shard | None:
        """Have a task carried out by a process that is idle."""
        shard: Shard | None = self._ask(task)
        return shard

    def _ask(self, task: Task | Callable[[], Any]) -> Any:
        worker = self._idle.get()
        try:
            if worker is None:
                worker = _Worker(self.store)
                with self._lock:
                    self._running.add(worker)
            return worker.ask(task)
        except WorkerDiedError:
            with self._lock:
                self._running.discard(worker)
            worker = None
            raise
        finally:
            self._idle.put(worker)

    def settled(self, *arguments: Any, **options: Any) -> Plan:
        """Return what :func:`~atomprint.store.plan.settled` does, in one of the processes."""
        for _ in range(3):  # once or twice may be an accident
            with suppress(WorkerDiedError):
                plan: Plan = self._ask(partial(settled, *arguments, **options))
                return plan
        raise RuntimeError("processes die when they make the descriptor ready (--threads shows more)")

    def close(self) -> None:
        """End all processes."""
        with self._lock:
            for worker in self._running:
                worker.close()
            self._running.clear()


class _Worker:
    """A process of its own."""

    def __init__(self, store: Path) -> None:
        home = str(Path(atomprint.__file__).parents[1])
        path = os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "atomprint.store.worker", str(store.resolve())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )

    def ask(self, task: Task | Callable[[], Any]) -> Any:
        """Return the answer of the process, or raise what it has raised."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            pickle.dump(task, self._process.stdin, protocol=pickle.HIGHEST_PROTOCOL)
            self._process.stdin.flush()
            answer = pickle.load(self._process.stdout)
        except (OSError, EOFError, pickle.UnpicklingError):
            self.close()
            raise WorkerDiedError(_how_it_died(self._process.returncode)) from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """End the process."""
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                if stream is not None:
                    stream.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _how_it_died(code: int) -> str:
    if code < 0:
        with suppress(ValueError):
            return f"it kills the process that describes it ({signal.Signals(-code).name})"
    return f"it ends the process that describes it (exit status {code})"
