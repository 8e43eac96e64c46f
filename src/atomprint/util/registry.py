"""The classes that files know by name: in recipes, in saved models."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

_Class = TypeVar("_Class", bound=type[Any])


class Known(NamedTuple):
    """A class that files know by a name which does not change when the class moves."""

    cls: type[Any]
    version: int
    in_recipes: bool
    versions: Mapping[tuple[str, str], int] = MappingProxyType({})


_KNOWN: dict[str, Known] = {}

KNOWN: Mapping[str, Known] = MappingProxyType(_KNOWN)
"""All classes of atomprint that were marked as :func:`public`, by their public names."""


def public(
    name: str, *, version: int, versions: Mapping[tuple[str, str], int] | None = None, in_recipes: bool = False
) -> Callable[[_Class], _Class]:
    """Mark a class of atomprint as one that files may name.

    Parameters
    ----------
    name : str
        Its public name, which stays even where the class is moved or renamed: saved models hold it.
    version : int
        Version of the numbers that it makes. Raise it where the same parameters, or the same fitted state, begin to
        give other numbers: models that were saved before are then refused instead of being wrong.
    versions : dict, optional
        Others, by a parameter and its value, where only the numbers of such objects have changed.
    in_recipes : bool
        Whether ``[features]`` of a recipe may name it.

    Raises
    ------
    ValueError
        If another class has this name, or the class is not one of atomprint: those of others go by import path.
    """

    def mark(cls: _Class) -> _Class:
        if not cls.__module__.startswith("atomprint."):
            raise ValueError(f"public is for classes of atomprint, got {path_of(cls)}: name it by its import path")
        if name in _KNOWN and path_of(_KNOWN[name].cls) != path_of(cls):
            raise ValueError(
                f"the public name {name!r} must be given once, got {path_of(cls)} after {path_of(_KNOWN[name].cls)}"
            )
        _KNOWN[name] = Known(cls, version, in_recipes, versions or {})
        return cls

    return mark


def version_of(cls: type[Any]) -> int | None:
    """Return the version of the numbers that a class of atomprint makes, if it is :func:`public`."""
    return next((known.version for known in _KNOWN.values() if known.cls is cls), None)


def path_of(cls: type[Any]) -> str:
    """Return the import path of a class."""
    return f"{cls.__module__}.{cls.__qualname__}"


def import_class(what: str, path: str, methods: Sequence[str]) -> type[Any]:
    """Return a class of another package by its import path, such as ``"sklearn.svm.NuSVR"``.

    Parameters
    ----------
    what : str
        What it is for, at the beginning of messages.
    path : str
        Module and name, with a dot between.
    methods : sequence of str
        Names of the methods that it must have.

    Raises
    ------
    ValueError
        If it cannot be imported, or is no class with these methods.
    """
    module, _, attribute = path.rpartition(".")
    try:
        made: Any = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # a module of somebody else may raise anything
        raise ValueError(f"{what} {path!r} cannot be imported: {error}") from error
    if not inspect.isclass(made) or not all(hasattr(made, method) for method in methods):
        *others, last = methods
        needed = f"{', '.join(others)} and {last}" if others else last
        raise ValueError(f"{what} {path!r} must be a class with {needed}")
    return made
