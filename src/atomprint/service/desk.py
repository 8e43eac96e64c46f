"""What all routes share: models, limits, threads and counters of one service."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from starlette.requests import Request

from atomprint.service.known import Known
from atomprint.service.metrics import Metrics
from atomprint.service.settings import Limits
from atomprint.service.shelf import Shelf
from atomprint.service.work import Ticket, Workers

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Desk:
    """What a service works with.

    Parameters
    ----------
    shelf : Shelf
        The models.
    limits : Limits
        What is refused.
    workers : Workers
        The threads.
    metrics : Metrics
        The counters.
    known : Known or None
        Known materials to compare with.
    """

    shelf: Shelf
    limits: Limits
    workers: Workers
    metrics: Metrics
    known: Known | None = None

    async def work(self, request: Request, work: Callable[[Ticket], T]) -> T:
        """Return what a piece of work for a request returns, done on a thread."""
        return await self.workers.run(work, self.limits.seconds, request.state.gone)
