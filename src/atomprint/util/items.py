"""What people have in place of a list: columns of tables, arrays with one column, generators, data sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import Any

import numpy as np


def items_of(name: str, given: Any) -> Any:
    """Return the items of an argument that is a sequence, whatever holds them; all else as it is.

    A table with one column is this column, whether it is of pandas, Polars or Arrow, or an array of shape (n, 1); an
    iterator is read to its end; a :class:`~atomprint.datasets.Dataset` has structures, or else compositions.

    Parameters
    ----------
    name : str
        What the argument is called; ``"compositions"`` and ``"molecules"`` may also be those of a data
        set.
    given : object
        The argument.

    Raises
    ------
    ValueError
        If a table or an array has several columns, or a data set has compositions only.
    TypeError
        If the items have no order (sets), or it is not known which are meant (dicts).
    """
    if isinstance(given, list | tuple | str):
        return given
    if isinstance(given, np.ndarray) and given.dtype.names is None:
        if given.ndim == 0:
            raise TypeError(f"{name} must be a sequence, got a single {given.dtype}")
        if given.ndim > 1 and (given.ndim > 2 or given.shape[1] != 1):
            raise ValueError(f"{name} must be one column, got an array of shape {given.shape}")
        return given.ravel()
    if isinstance(given, Iterator):
        return list(given)
    if hasattr(given, "structures") and hasattr(given, "compositions"):
        if given.structures is None and name not in ("compositions", "molecules"):
            raise ValueError(f"{name}: data set {given.name!r} has {given.kind} only")
        return given.compositions if given.structures is None else given.structures
    columns = _columns(given)
    if columns is not None:
        if len(columns) != 1:
            shown = ", ".join(map(repr, columns[:6])) + (", …" if len(columns) > 6 else "")
            got = f"the columns {shown}: choose one, as in table[{columns[0]!r}]" if columns else "no columns"
            raise ValueError(f"{name} must be one column, got a {type(given).__name__} with {got}")
        given = given[columns[0]]
    for method in ("to_pylist", "to_list"):  # of columns: Arrow; pandas, Polars
        if hasattr(given, method):
            return getattr(given, method)()
    if columns is not None:
        return list(given)
    if isinstance(given, Mapping):
        raise TypeError(f"{name} must be a sequence, got a {type(given).__name__}: give list(….values())")
    if isinstance(given, Set):
        raise TypeError(f"{name} must be a sequence, got a {type(given).__name__}, which has no order")
    return given


def _columns(given: Any) -> list[Any] | None:
    """Return the names of the columns of a table, None for what is no table."""
    if isinstance(given, np.ndarray):
        return list(given.dtype.names or ())
    names = getattr(given, "column_names", None)  # Arrow
    if names is None and hasattr(given, "__getitem__"):
        names = getattr(given, "columns", None)  # pandas, Polars
    return None if names is None or callable(names) or isinstance(names, str) else list(names)
