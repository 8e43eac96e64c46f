"""What follows from the attributes of an object, kept beside it while these are the same."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from operator import call, is_
from typing import Any, TypeVar

import numpy as np

from atomprint.util.parameters import CheckedParameters

T = TypeVar("T")


class Memo:
    """What follows from the attributes that an object has; see :func:`memo_of`.

    Parameters
    ----------
    owner : object
        Whose attributes they are.
    """

    def __init__(self, owner: CheckedParameters) -> None:
        key = id(owner)
        self._owner: Callable[[], CheckedParameters | None] = weakref.ref(owner, lambda _: _KEPT.pop(key, None))
        self._made: dict[str, Any] = {}
        try:
            self._had: _Attributes | None = _Attributes(owner)
        except (_UnknownError, RecursionError):
            self._had = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _of_nobody, ()

    def holds(self, owner: CheckedParameters) -> bool:
        """Return whether this is for these very attributes of this object."""
        return self._owner() is owner and self._had is not None and self._had.hold(owner)

    def once(self, name: str, make: Callable[[], T]) -> T:
        """Return what has this name, which is made the first time from the attributes of the object alone."""
        try:
            found: T = self._made[name]
            return found
        except KeyError:
            pass  # so that errors of what makes it are not those of another
        found, owner = make(), self._owner()
        if owner is not None and self.holds(owner):  # and no other thread has changed it meanwhile
            found = self._made.setdefault(name, found)
        return found


def _of_nobody() -> Memo:
    """Return a memo that keeps nothing: copies know no owner."""
    memo = object.__new__(Memo)
    memo._owner, memo._had, memo._made = lambda: None, None, {}
    return memo


def memo_of(owner: CheckedParameters) -> Memo:
    """Return what follows from the attributes of an object.

    It is that of the last time if all of them have the values that they had then: the same objects and, of lists,
    dicts, arrays and objects with parameters, the same in them. Else it is empty; so it is whenever something is of a
    kind of which nobody knows whether it can change, or very large. It belongs to the object and is none of its
    attributes, so that neither clones nor pickles have it. Any number of threads may use it.
    """
    memo = _KEPT.get(id(owner))
    if memo is None or not memo.holds(owner):
        memo = Memo(owner)
        if memo.holds(owner):
            _KEPT[id(owner)] = memo
    return memo


class _UnknownError(Exception):
    """There is something of which nobody knows whether it can change."""


class _Attributes:
    """The attributes that an object had."""

    def __init__(self, owner: CheckedParameters) -> None:
        attributes = vars(owner).copy()
        self._names, self._values = list(attributes), tuple(attributes.values())
        checks = (_checks(value) for name, value in attributes.items() if name not in owner._unwatched)
        self._checks = [check for of_one in checks for check in of_one]

    def hold(self, owner: CheckedParameters) -> bool:
        """Return whether it still has them."""
        attributes = owner.__dict__
        return (
            list(attributes) == self._names
            and all(map(is_, attributes.values(), self._values))
            and all(map(call, self._checks))
        )


_KEPT: dict[int, Memo] = {}  # by the id of their owners

# To look at more in each call would take longer than to make what follows from it.
_LONGEST, _LARGEST = 1000, 2**16  # items, bytes

_CONSTANT = (type(None), bool, int, float, complex, str, bytes, range, np.number, np.bool_, np.str_, np.dtype, type)


def _checks(value: Any) -> Iterator[Callable[[], bool]]:
    """Yield functions that tell whether a value is what it is now; none for one that cannot change."""
    kind = type(value)
    if issubclass(kind, _CONSTANT):
        return
    if (kind is list or kind is tuple) and len(value) <= _LONGEST:
        items = tuple(value)
        if kind is list:
            yield lambda: _are(tuple(value), items)
        for item in items:
            yield from _checks(item)
    elif kind is dict and len(value) <= _LONGEST:
        items = (*value, *value.values())
        yield lambda: _are((*value, *value.values()), items)
        for item in items:
            yield from _checks(item)
    elif kind is np.ndarray and not value.dtype.hasobject and value.nbytes <= _LARGEST:
        what = value.shape, value.dtype, value.tobytes()
        yield lambda: (value.shape, value.dtype, value.tobytes()) == what
    elif isinstance(value, CheckedParameters):
        attributes = _Attributes(value)
        yield lambda: attributes.hold(value)
    else:
        raise _UnknownError


def _are(items: Sequence[Any], others: Sequence[Any]) -> bool:
    return len(items) == len(others) and all(map(is_, items, others))
