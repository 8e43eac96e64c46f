"""Work on threads, as much at once as was agreed: what does not fit is refused at once, what is late is given up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from time import monotonic
from typing import Any, TypeVar

from atomprint.service.problems import Problem

T = TypeVar("T")

_SMOOTHING = 0.1  # of the mean time that a piece of work takes


class Ticket:
    """Leave to go on with a piece of work, which whoever waits for it may take back.

    Parameters
    ----------
    seconds : float
        How long it is waited for.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.until = monotonic() + seconds
        self.cancelled = False

    def check(self) -> None:
        """Raise if nobody waits any more; to be called between steps that take time."""
        if self.cancelled or monotonic() > self.until:
            raise late(self.seconds)


def late(seconds: float) -> Problem:
    """Return the answer to what took too long."""
    return Problem(504, f"this took longer than {seconds:g} s and was given up: send fewer or smaller structures")


class Workers:
    """Threads with a queue that has an end.

    A thread cannot be stopped from outside. Work that is late is answered for at once, its thread goes on to the next
    ``check`` of its ticket, and counts as busy until then: no more is begun than there are threads.

    Parameters
    ----------
    n : int
        Number of threads.
    queue : int
        How much may wait for them.
    """

    def __init__(self, n: int, queue: int) -> None:
        self.n, self.queue = n, queue
        self._threads = ThreadPoolExecutor(n, thread_name_prefix="atomprint-work")
        self._lock = Lock()
        self._held = 0  # running and waiting
        self._running: set[Ticket] = set()
        self._mean = 0.1

    @property
    def running(self) -> int:
        """How much is worked on."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """How much waits."""
        return max(0, self._held - len(self._running))

    @property
    def stuck(self) -> bool:
        """Whether all threads are busy with what nobody waits for any more."""
        now = monotonic()
        with self._lock:
            late_ones = sum(ticket.cancelled or now > ticket.until for ticket in self._running)
        return late_ones >= self.n

    async def run(self, work: Callable[[Ticket], T], seconds: float, gone: asyncio.Event) -> T:
        """Return what a piece of work returns, done on a thread.

        Parameters
        ----------
        work : callable
            Is given its ticket.
        seconds : float
            How long may be waited for it.
        gone : Event
            Is set when the client has gone away, who is then waited for no longer.

        Raises
        ------
        Problem
            429 if the queue is full, 503 if all threads are stuck, 504 if it is late; whatever the work raises.
        """
        if self.stuck:
            raise Problem(503, "all threads are busy with work that is late: try again", retry_after=5, reason="stuck")
        with self._lock:
            if self._held >= self.n + self.queue:
                wait = self._mean * (self._held - self.n + 1) / self.n
                raise Problem(
                    429,
                    f"{self._held} requests are worked on or wait, and no more are taken: try again",
                    retry_after=min(wait, 60),
                    reason="queue_full",
                )
            self._held += 1
        ticket = Ticket(seconds)
        try:
            future = self._threads.submit(self._work, work, ticket)
        except RuntimeError as error:  # after close
            self._leave()
            raise Problem(503, "the service is stopping", retry_after=5, reason="stopping") from error
        future.add_done_callback(self._leave)
        result: asyncio.Future[Any] = asyncio.wrap_future(future)
        leaving: asyncio.Future[Any] = asyncio.ensure_future(gone.wait())
        try:
            await asyncio.wait([result, leaving], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if result.done():
                found: T = result.result()
                return found
            if gone.is_set():
                raise Problem(408, "the client has gone away", reason="client_gone")
            raise late(seconds)
        finally:
            ticket.cancelled = True
            leaving.cancel()
            future.cancel()  # if it has not begun
            result.add_done_callback(_heard)

    def _work(self, work: Callable[[Ticket], T], ticket: Ticket) -> T:
        ticket.check()
        started = monotonic()
        with self._lock:
            self._running.add(ticket)
        try:
            return work(ticket)
        finally:
            with self._lock:
                self._running.discard(ticket)
                self._mean += _SMOOTHING * (monotonic() - started - self._mean)

    def _leave(self, _: Future[T] | None = None) -> None:
        with self._lock:
            self._held -= 1

    def close(self, *, wait: bool = True) -> None:
        """Take no more, drop what waits, and wait for what is worked on."""
        self._threads.shutdown(wait=wait, cancel_futures=True)


def _heard(result: asyncio.Future[T]) -> None:
    """Take notice of an error that nobody waits for."""
    if not result.cancelled():
        result.exception()
