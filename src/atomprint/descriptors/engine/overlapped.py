"""Many structures, of which some are read while others are computed: reading takes one thread, whatever there are."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from atomprint.descriptors.engine.call import Array, Call
from atomprint.structures import Structures, Warn
from atomprint.util.overlap import in_order

# Structures of a part: reading them takes less time than threads take to notice, and much more than a call.
_TOGETHER = 512
_LONG = 8 * _TOGETHER


def is_long(structures: Structures) -> bool:
    """Return whether these are so many, still to be read, that the threads are worth it."""
    return isinstance(structures, list | tuple) and len(structures) >= _LONG


def compute_overlapped(
    read: Callable[[Sequence[Any], Warn], Call],
    compute: Callable[[Call, Array], None],
    structures: Sequence[Any],
    out: Array,
    n_threads: int,
) -> list[str] | None:
    """Compute the features of structures that each have one row, and return what there is to warn of.

    Parts of the structures are read, checked and computed one after the other, each on a thread of its own: while one
    reads, which only one can, the others compute. Where anything is wrong the result is None: who reads all in order
    finds what is to be said of that.

    Parameters
    ----------
    read : callable
        Makes a call of some structures, and tells its second argument what there is to warn of among them.
    compute : callable
        The hook ``_compute``.
    structures : sequence of structures
        All of them.
    out : ndarray, shape (n_structures, n_features)
        Array to fill.
    n_threads : int
        Number of threads.
    """
    told: list[str] = []

    def one(first: int) -> None:
        part = structures[first : first + _TOGETHER]
        compute(read(part, told.append), out[first : first + len(part)])

    try:
        deque(in_order(one, range(0, len(structures), _TOGETHER), n_threads), maxlen=0)
    except (ValueError, TypeError):
        return None
    return told
