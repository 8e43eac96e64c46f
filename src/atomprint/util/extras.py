"""Packages that only some installations have."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any


def require(module: str, extra: str, by: str = "this") -> Any:
    """Return a module, or raise an ``ImportError`` that says what needs it and how to install it."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise
        raise ImportError(f"{by} needs {error.name}, which is not installed: {how_to_install(extra)}") from error


def how_to_install(extra: str) -> str:
    """Return the commands that install what an extra of the package holds."""
    return f"pip install 'atomprint[{extra}]' (in a clone of atomprint: pip install '.[{extra}]')"


def installed(*modules: str) -> bool:
    """Return whether all of these modules can be imported; none of them is."""
    return all(find_spec(module) is not None for module in modules)
