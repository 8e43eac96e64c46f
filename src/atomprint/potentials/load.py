"""Potentials from files."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import atomprint.descriptors  # noqa: F401  # which files may name, too
from atomprint.potentials.base import Potential
from atomprint.potentials.fitted.files import Classes, read_state
from atomprint.potentials.fitted.model import Model
from atomprint.util.registry import KNOWN
from atomprint.util.types import PathOrStr


def load_potential(path: PathOrStr, *, trusted: Iterable[str] = ()) -> Potential:
    """Return the potential that :meth:`Potential.save` has written.

    Parameters
    ----------
    path : path
        The file.
    trusted : iterable of str
        Import paths of classes of other packages that it may hold, such as ``"mypackage.MyDescriptor"``. Their code is
        run: name only what you know.

    Raises
    ------
    FileNotFoundError, PermissionError
        If there is no such file, or it may not be read.
    ValueError
        If it is no such file, is damaged, is of a later version of atomprint, or holds a class that is neither of
        atomprint nor trusted.
    """
    classes = Classes(_is_public, {trusted} if isinstance(trusted, str) else {*trusted})
    state, checksum = read_state(path, classes)
    try:
        potential = state["potential"]
        if not isinstance(potential, Potential):
            raise ValueError("there is no potential in it")
        potential.model_ = Model.from_state(state["model"], classes)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, MemoryError) as error:
        raise ValueError(f"{str(path)!r} cannot be read as a potential: {error}") from error
    potential.model_.summary["checksum"] = checksum
    return potential


def _is_public(name: str) -> bool:
    """Return whether files may name a class of this package, which is imported with all that it is made of."""
    door = sys.modules[__package__]
    if name in door.__all__:
        getattr(door, name)
    return name in KNOWN
