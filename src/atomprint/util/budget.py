"""Time that a piece of work may take, by a clock that tests can replace."""

from __future__ import annotations

import math
from collections.abc import Callable
from time import monotonic

Clock = Callable[[], float]


class Budget:
    """Seconds that may be spent, counted from when this is made.

    Parameters
    ----------
    minutes : float, optional
        How many; None for as many as it takes.
    clock : callable
        Returns the time in seconds.

    Attributes
    ----------
    at_the_end : float
        Seconds that are kept for what comes last, the report and the files.

    Examples
    --------
    >>> now = [0.0]
    >>> budget = Budget(2, lambda: now[0])
    >>> now[0] = 90.0
    >>> budget.left, budget.allows(20), budget.allows(40)
    (30.0, True, False)
    """

    def __init__(self, minutes: float | None = None, clock: Clock = monotonic) -> None:
        self.minutes = minutes
        self.clock = clock
        self.at_the_end = 15.0
        self._start = clock()

    @property
    def limited(self) -> bool:
        """Whether there is an end to it."""
        return self.minutes is not None

    @property
    def left(self) -> float:
        """Seconds that are left; negative where more were spent, infinite without an end."""
        return math.inf if self.minutes is None else 60 * self.minutes - (self.clock() - self._start)

    def allows(self, seconds: float) -> bool:
        """Return whether something that takes so long can still be done."""
        return seconds <= self.left
