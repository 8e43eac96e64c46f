"""Work on threads of Python, for what releases the interpreter's lock most of the time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextvars import copy_context
from typing import Any, TypeVar

from atomprint import _core

T = TypeVar("T")
R = TypeVar("R")


def in_order(function: Callable[[T], R], items: Iterable[T], n_threads: int) -> Iterator[R]:
    """Yield what a function returns for each item, while other threads are at the next ones.

    Parameters
    ----------
    function : callable
        Called for several items at once.
    items : iterable
        Asked for in the thread of the caller, and never more than ``n_threads`` ahead of what is yielded.
    n_threads : int
        Number of threads; with one all is done in the thread of the caller, when it is asked for.

    Yields
    ------
    object
        In the order of the items. The first error in this order, which may be one of the items themselves, is raised in
        place of its result; what has not begun by then is left undone, as it is where the caller stops before the end.
    """
    if n_threads <= 1:
        yield from map(function, items)
        return
    from concurrent.futures import Future, ThreadPoolExecutor

    begun: deque[Future[Any]] = deque()
    stop = _core.Stop()

    def run(item: T) -> R:
        with stop:
            return function(item)

    with ThreadPoolExecutor(n_threads) as pool:
        try:
            remaining, more, error = iter(items), True, None
            while more or begun:
                while more and len(begun) <= n_threads:
                    try:
                        item = next(remaining)
                    except StopIteration:
                        more = False
                    except Exception as found:
                        more, error = False, found
                    else:
                        begun.append(pool.submit(copy_context().run, run, item))
                if begun:
                    yield begun.popleft().result()
            if error is not None:
                raise error
        finally:
            stop.set()  # and nobody waits for what is not wanted any more
            for one in begun:
                one.cancel()
