"""Public packages whose names are imported when they are asked for, so that each command pays for what it uses."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from collections.abc import Callable
from functools import cache
from typing import Any


def door(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a package that says where its names come from if ``TYPE_CHECKING``.

    Parameters
    ----------
    package : str
        Name of the package, ``__name__`` in its ``__init__.py``.
    """

    @cache
    def get(name: str) -> Any:
        if name not in places():
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(places()[name]), name)

    @cache
    def places() -> dict[str, str]:
        found: Any = importlib.util.find_spec(package)
        branches = (node.body for node in ast.parse(found.loader.get_source(package)).body if isinstance(node, ast.If))
        imports = (node for body in branches for node in body if isinstance(node, ast.ImportFrom))
        return {alias.name: str(node.module) for node in imports for alias in node.names}

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *places()})

    return get, names
