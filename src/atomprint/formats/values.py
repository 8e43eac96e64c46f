"""Columns of raw values, as files hold them, to targets and labels."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from atomprint.util.types import Array

Classes = Sequence[Any] | Mapping[Any, str]
"""Values of classes in their order, or names of classes by value."""

# "1D3" is Fortran's. A minus may be the character of typesetters.
_NUMBER = re.compile(r"[+−–-]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][+−–-]?\d+)?", re.ASCII)
_COMMA = re.compile(r"[+−–-]?\d+,\d+(?:[eE][+−–-]?\d+)?", re.ASCII)
_THOUSANDS = re.compile(r"[+−–-]?\d{1,3}(?:,\d{3})+", re.ASCII)
_TO_FLOAT = str.maketrans("−–dD", "--ee")
# "Na" is sodium.
_MISSING = frozenset(
    {
        "",
        "?",
        "nan",
        "NaN",
        "NAN",
        "na",
        "NA",
        "n/a",
        "N/A",
        "#N/A",
        "<NA>",
        "null",
        "Null",
        "NULL",
        "none",
        "None",
        "NONE",
    }
)
# "12 eV", "5,1" and "<3": numbers with a unit, with a decimal comma, or not quite numbers.
_LIKE_NUMBER = re.compile(r"[<>~≈±+−–-]?\s*[.,]?\d")
# What stands where there is nothing, without being a usual word for that.
_NOTHING = re.compile(r"[-−–—./*?_]+|n\.?\s?[ad]\.?|tbd|unknown|missing", re.IGNORECASE)
_MANY_CLASSES = 20


class BadValueError(ValueError):
    """A value that a target cannot have."""


class Column(NamedTuple):
    """A column that was read.

    Parameters
    ----------
    values : ndarray
        As in :class:`~atomprint.datasets.Target`; nan or None at bad rows too.
    classes : tuple of str
        Names of the classes; empty for numbers.
    level : {"structure", "atom"}
        What has the property.
    bad : mapping of int to str
        What is wrong in which rows.
    """

    values: Array
    classes: tuple[str, ...]
    level: str
    bad: Mapping[int, str]


def is_number(text: str) -> bool:
    """Return whether a text is a number in decimal notation."""
    return _NUMBER.fullmatch(text.strip()) is not None


def number_of(raw: Any) -> float:
    """Return a value of the kind ``"number"`` as a float; infinite if it is too large for one."""
    try:
        return float(raw.strip().translate(_TO_FLOAT) if isinstance(raw, str) else raw)
    except OverflowError:
        return math.inf


def with_points(raws: Sequence[Any]) -> Sequence[Any]:
    """Return the values of a column with points for decimal commas, if it has these.

    It has, where words are like ``"5,2"``, no other number in the column has a point, and not all of them may have
    a comma after thousands, as ``"1,234"``.
    """
    words = [raw.strip() for raw in raws if isinstance(raw, str)]
    commas = [word for word in words if _COMMA.fullmatch(word)]
    if not commas or all(map(_THOUSANDS.fullmatch, commas)):
        return raws
    if any("." in word and is_number(word) for word in words) or any(isinstance(raw, float) for raw in raws):
        return raws
    return [raw.replace(",", ".") if isinstance(raw, str) and _COMMA.fullmatch(raw.strip()) else raw for raw in raws]


def column_kind(raws: Sequence[Any]) -> str:
    """Return what a column holds: a kind of :func:`kind_of`, ``"missing"`` if nothing is known, or ``"mixed"``.

    Numbers with some words among them are numbers, if they are at least half, where dashes and the like do not count;
    truth values of any writing are booleans. What does not fit is for :func:`read_column` to name.
    """
    kinds = Counter(kind_of(raw) for raw in with_points(raws))
    del kinds["missing"]
    if not kinds:
        return "missing"
    if set(kinds) == {"boolean", "number"} and _all_truth(raws):
        return "boolean"
    if set(kinds) <= {"number", "boolean", "word"} and kinds["number"]:
        words = [str(raw).strip() for raw in raws if kind_of(raw) == "word"]
        others = sum(not (_NOTHING.fullmatch(word) or _LIKE_NUMBER.match(word)) for word in words) + kinds["boolean"]
        if kinds["number"] >= others:
            return "number"
    return next(iter(kinds)) if len(kinds) == 1 else "mixed"


def _all_truth(raws: Sequence[Any]) -> bool:
    """Return whether all numbers among values are 0 or 1."""
    return all(number_of(raw) in (0, 1) for raw in raws if kind_of(raw) == "number")


def is_missing(raw: Any) -> bool:
    """Return whether a raw value says that nothing is known: None, nan, or a word for these."""
    if isinstance(raw, str):
        return raw.strip() in _MISSING
    return raw is None or bool(raw != raw)  # nan, and pandas.NaT


def kind_of(raw: Any) -> str:
    """Return ``"missing"``, ``"boolean"``, ``"number"``, ``"word"``, ``"array"`` or ``"other"``."""
    if isinstance(raw, np.generic | np.ndarray) and raw.ndim == 0:
        raw = raw.item()
    if isinstance(raw, np.ndarray | list | tuple):
        return "array"
    if is_missing(raw):
        return "missing"
    if isinstance(raw, bool) or (isinstance(raw, str) and raw.strip().lower() in ("true", "false")):
        return "boolean"
    if isinstance(raw, Real | Decimal) or (isinstance(raw, str) and is_number(raw)):
        return "number"
    return "word" if isinstance(raw, str) else "other"


def label_of(raw: Any) -> str:
    """Return a raw value as a label: empty if nothing is known, ``"194"`` for 194.0; any word is a label."""
    if isinstance(raw, str):
        return raw.strip()
    kind = kind_of(raw)
    if kind in ("array", "other"):
        raise BadValueError(f"a label must be a word or a number, got {_short(raw)}")
    return "" if kind == "missing" else _text(raw)


def read_column(
    raws: Sequence[Any], n_atoms: Sequence[int] | None, classes: Classes | None = None, numbers: bool = False
) -> Column:
    """Return the values of a target.

    Numbers, and texts that are numbers, stay numbers. Booleans become the classes ``"False"`` and ``"True"``, words
    become classes in the order of the alphabet, unless ``classes`` gives the order. Arrays have a number for each
    atom. Values that do not fit the rest are reported in ``bad``: words among numbers above all.

    Parameters
    ----------
    raws : sequence
        One value for each row, as the file has it.
    n_atoms : sequence of int or None
        Number of atoms of each structure; None if there are only compositions.
    classes : sequence, mapping or None
        All values in the order of the classes, or a name for each value.
    numbers : bool
        Whether it must be numbers, since it has a unit.

    Raises
    ------
    ValueError
        If words differ so much from row to row that they are no classes, or two of them in their capitals only.
    """
    raws = with_points(raws)
    kinds = [kind_of(raw) for raw in raws]
    if "array" in kinds:
        return _read_arrays(raws, kinds, n_atoms)
    if classes is not None:
        return _read_classes(raws, classes)
    bad = {row: f"the value is {_short(raws[row])}" for row, kind in enumerate(kinds) if kind == "other"}
    known = set(kinds) - {"missing", "other"}
    if not numbers and "boolean" in known and known <= {"boolean", "number"} and _all_truth(raws):
        column = _read_classes(
            [_text(raw).lower() if kind in known else None for raw, kind in zip(raws, kinds, strict=True)],
            {"false": "False", "true": "True", "0": "False", "1": "True"},
        )
        return column._replace(bad=bad)
    if numbers or "number" in known:
        return _read_numbers(raws, kinds, bad)
    words = [_text(raw) if kind in ("boolean", "word") else None for raw, kind in zip(raws, kinds, strict=True)]
    for row, word in enumerate(words):
        if word is not None and _LIKE_NUMBER.match(word):
            bad[row] = f"the value must be a number, got {_short(word)}; if it is a class, give classes={_advice(word)}"
            words[row] = None
    if {word.casefold() for word in words if word is not None} in ({"yes", "no"}, {"y", "n"}, {"t", "f"}):
        words = [None if word is None else word.capitalize() for word in words]
    names = sorted({word for word in words if word is not None})
    n_known = sum(word is not None for word in words)
    spelled: dict[str, str] = {}
    for name in names:
        if (other := spelled.setdefault(name.casefold(), name)) != name:
            what = f"the classes {other!r} and {name!r} differ in capitals only"
            raise ValueError(f"{what}: write them alike, or give classes=")
    if len(names) > _MANY_CLASSES and 2 * len(names) > n_known:
        raise ValueError(
            f"the values are words, such as {', '.join(map(repr, names[:3]))}, and {len(names)} of {n_known} are "
            "different: these are no classes; give classes= if they are"
        )
    if not names:
        return Column(np.full(len(raws), np.nan), (), "structure", bad)
    return _read_classes(words, names)._replace(bad=bad)


def _read_numbers(raws: Sequence[Any], kinds: Sequence[str], bad: dict[int, str]) -> Column:
    values, hint = np.full(len(raws), np.nan), _classes_meant(raws, kinds)
    for row, (raw, kind) in enumerate(zip(raws, kinds, strict=True)):
        if kind == "number":
            values[row] = number_of(raw)
            if not np.isfinite(values[row]):
                bad[row] = f"a number must be finite, got {str(raw)[:60]}"
                values[row] = np.nan
        elif kind not in ("missing", "other"):
            bad[row] = f"the value must be a number, got {_short(raw)}{_advice(raw) or hint}"
    return Column(values, (), "structure", bad)


def _classes_meant(raws: Sequence[Any], kinds: Sequence[str]) -> str:
    """Return what to do where more values are words than numbers, as with classes one of which is named "1"."""
    words = [_text(raw) for raw, kind in zip(raws, kinds, strict=True) if kind == "word"]
    numbers = [_text(raw) for raw, kind in zip(raws, kinds, strict=True) if kind == "number"]
    names = sorted({*words, *numbers})
    if not 0 < len(numbers) <= len(words) or len(names) > _MANY_CLASSES or any(word[0].isdigit() for word in words):
        return ""
    return f"; {len(words)} of {len(words) + len(numbers)} are words: if they are classes, give classes={names}"


def _advice(raw: Any) -> str:
    """Return what a word among numbers may mean, and why it is not taken for a number."""
    word = str(raw).strip()
    if _THOUSANDS.fullmatch(word) or re.fullmatch(r"[+-]?\d{1,3}([.' ]\d{3})+,\d+|[+-]?\d{1,3}(,\d{3})+\.\d+", word):
        return ": is the comma before decimals, or between thousands?"
    if _COMMA.fullmatch(word):
        return ": other numbers of the column have a decimal point, this a comma"
    return ""


def _read_classes(raws: Sequence[Any], classes: Classes) -> Column:
    named = dict(classes) if isinstance(classes, Mapping) else {value: _text(value) for value in classes}
    if isinstance(classes, str) or len(named) != len(classes):
        raise ValueError(f"classes must be different values, got {classes!r}")
    names = tuple(dict.fromkeys(map(str, named.values())))  # several values may have one name
    index_of = {_key(value): names.index(str(name)) for value, name in named.items()}
    values, bad = np.full(len(raws), np.nan), {}
    for row, raw in enumerate(raws):
        key = _key(raw)
        if key in index_of:
            values[row] = index_of[key]
        elif not is_missing(raw):
            bad[row] = f"the value must be one of {', '.join(map(repr, named))}, got {_short(raw)}"
    return Column(values, names, "structure", bad)


def _read_arrays(raws: Sequence[Any], kinds: Sequence[str], n_atoms: Sequence[int] | None) -> Column:
    values, bad = np.empty(len(raws), dtype=object), {}
    for row, (raw, kind) in enumerate(zip(raws, kinds, strict=True)):
        if kind == "missing":
            continue
        if kind != "array" or n_atoms is None:
            bad[row] = f"the value must be a number for each atom, got {_short(raw)}"
            continue
        if isinstance(raw, np.ndarray) and raw.dtype.kind in "fiu":
            raw = raw.astype(np.float64)
        parts = [kind_of(x) for x in np.asarray(raw, dtype=object).ravel()]
        shape = np.shape(raw)
        if shape != (n_atoms[row],):
            hint = "; one of them is asked for by name[0]" if len(shape) > 1 or n_atoms[row] > 1 else ""
            hint = "; lengths of vectors are asked for by name.norm" if shape[-1:] == (3,) else hint
            bad[row] = (
                f"the value must be a number for each of {n_atoms[row]} atoms, got an array of shape {shape}{hint}"
            )
        elif set(parts) <= {"number", "missing"}:
            array = np.array(
                [np.nan if part == "missing" else number_of(x) for x, part in zip(raw, parts, strict=True)],
                dtype=np.float64,
            )
            if np.isinf(array).any():
                bad[row] = f"numbers must be finite, got {array[np.isinf(array)][0]}"
            else:
                values[row] = array
        else:
            bad[row] = f"the values of the atoms must be numbers, got {_short(raw)}"
    return Column(values, (), "atom", bad)


def _key(value: Any) -> Any:
    """Return what values that mean the same class have in common: 1, 1.0 and "1"."""
    kind = kind_of(value)
    if kind == "number":
        return number_of(value)
    return _text(value).lower() if kind == "boolean" else str(value).strip()


def _text(raw: Any) -> str:
    if isinstance(raw, Real) and not isinstance(raw, bool | np.bool_ | int) and float(raw).is_integer():
        return str(int(raw))  # type: ignore[call-overload]
    return str(raw).strip()


def _short(raw: Any) -> str:
    text = repr(raw)
    return text if len(text) <= 60 else f"{text[:57]}..."
