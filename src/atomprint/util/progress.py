"""How far a piece of work has come: the one kind of function that all of the package tells it to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[str, int, int | None], None]
"""Called with a few words about the step, how many steps (bytes, rows) are done, and how many there are, if known."""


def silent(step: str, done: int, total: int | None) -> None:
    """Tell nothing; a :data:`Progress`."""


class Steps:
    """Count the steps of a piece of work, and tell each as it begins.

    Parameters
    ----------
    progress : Progress
        Told what is done next, and how many of all steps are done.
    total : int
        The number of all steps.
    """

    def __init__(self, progress: Progress, total: int) -> None:
        self.total = total
        self._progress = progress
        self._done = 0

    def __call__(self, step: str) -> None:
        """Tell the next step."""
        self._progress(step, self._done, self.total)
        self._done += 1

    def part(self, prefix: str = "") -> Progress:
        """Return what to hand to a part of the work, each of whose steps is one of these."""
        return lambda step, done, total: self(prefix + step)
