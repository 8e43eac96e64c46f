"""Objects from tables with a ``type``: what recipes, commands and stores name in text."""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from atomprint.util.registry import KNOWN, import_class
from atomprint.util.validation import meant


def class_of(name: Any, where: str) -> type[Any]:
    """Return the class that a text names: one of atomprint, or any other by its import path.

    Raises
    ------
    ValueError
        If there is no such class; the message names the entry.
    """
    known = {key: found.cls for key, found in KNOWN.items() if found.in_recipes}
    if isinstance(name, str) and name in known:
        return known[name]
    if isinstance(name, str) and "." in name:
        return import_class(where, name, ("get_params",))
    if isinstance(name, str) and name in KNOWN and (samples := getattr(KNOWN[name].cls, "_samples", None)):
        raise ValueError(
            f"{where} must describe the structures or compositions that a recipe reads, got {name!r}, which describes "
            f"{samples}: give its rows to a model of scikit-learn"
        )
    raise ValueError(
        f"{where} must be one of {', '.join(map(repr, sorted(known)))}, or an import path such as "
        f"'mypackage.MyDescriptor', got {name!r}{meant(name, known)}"
    )


def make_object(
    table: Mapping[str, Any],
    where: str,
    n_jobs: int,
    part: Callable[[Mapping[str, Any], str, int], Any] | None = None,
) -> Any:
    """Return the object that a table with a type describes; tables in it that have a type are objects, too.

    Parameters
    ----------
    table : mapping
        ``type``, and parameters by name.
    where : str
        What it is, for messages.
    n_jobs : int
        Number of threads, for what takes one and is not given it.
    part : callable, optional
        Makes the objects within, given their table, where they are, and ``n_jobs``. Default: this function.

    Raises
    ------
    ValueError, TypeError
        If there is no such class or parameter, or a value is wrong; the message names the entry.
    """
    parameters = {name: value for name, value in table.items() if name != "type"}
    cls = class_of(table["type"], f"{where}.type")
    accepted = inspect.signature(cls).parameters
    for name in parameters:
        if name not in accepted:
            raise ValueError(
                f"{where}.{name} is not a parameter of {cls.__name__}, which takes {', '.join(sorted(accepted))}"
                f"{meant(name, accepted)}"
            )
    values = {name: _made(value, f"{where}.{name}", n_jobs, part or make_object) for name, value in parameters.items()}
    try:
        return cls(**({"n_jobs": n_jobs} if "n_jobs" in accepted else {}) | values)
    except (ValueError, TypeError) as error:  # of a class of others also one that is made from other arguments
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{where}: {error}") from error


def _made(value: Any, where: str, n_jobs: int, part: Callable[[Mapping[str, Any], str, int], Any]) -> Any:
    if isinstance(value, Mapping) and "type" in value:
        return part(value, where, n_jobs)
    if not isinstance(value, list) or not value or not isinstance(value[0], str | Mapping):
        return value
    return tuple(_made(item, f"{where}[{number}]", n_jobs, part) for number, item in enumerate(value))


def parsed(text: str) -> Any:
    """Return the value that text is in TOML, or else the text itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def parameters_of(texts: Iterable[str]) -> dict[str, Any]:
    """Return parameters by name from texts such as ``"r_cut=5.0"``, whose values are TOML, or else text.

    Raises
    ------
    ValueError
        If a text has no equals sign.
    """
    table: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"a parameter must look like r_cut=5.0, got {text!r}")
        table[name.strip()] = parsed(value)
    return table
