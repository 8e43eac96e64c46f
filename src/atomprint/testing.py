"""Checks and switches for tests, of this package and of code built on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from atomprint import _core


def instruction_sets() -> list[str]:
    """Return the instruction sets that the kernels can use on this machine, slowest first.

    The fastest is in use unless the environment variable ``ATOMPRINT_ISA`` names another.
    """
    return _core.instruction_sets()


@contextmanager
def instruction_set(name: str) -> Iterator[None]:
    """Use the kernels compiled for one instruction set within a ``with`` block, in all threads.

    Parameters
    ----------
    name : str
        One of :func:`instruction_sets`.
    """
    before = _core.instruction_set()
    _core.use_instruction_set(name)
    try:
        yield
    finally:
        _core.use_instruction_set(before)
