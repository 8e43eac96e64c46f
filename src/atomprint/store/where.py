"""Conditions on the columns of a store, as people write them; nothing in them is run."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from atomprint.chemistry.formula import ATOMIC_NUMBERS, reduced_formula

Mask = npt.NDArray[np.bool_]
Masks = tuple[Mask, Mask]

_COMPARE: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_LONGEST = 10_000  # characters
ELEMENTS = "elements"
_LIST = ast.List | ast.Tuple | ast.Set
_SHAPE = "a condition compares columns with values, such as \"gap > 1 and 'O' in elements\""


@dataclass(frozen=True)
class Condition:
    """A condition on rows.

    Parameters
    ----------
    text : str
        As it was written.
    names : tuple of str
        The columns that it is about.
    """

    text: str
    names: tuple[str, ...]
    _tree: ast.expr

    @classmethod
    def read(cls, text: str) -> Condition:
        """Return the condition that a text describes; names that are no words stand between backticks.

        Raises
        ------
        ValueError
            If it is none.
        """
        if len(text) > _LONGEST:
            raise ValueError(f"a condition must have at most {_LONGEST} characters, got {len(text)}")
        quoted: dict[str, str] = {}

        def stand_in(found: re.Match[str]) -> str:
            return quoted.setdefault(found[1], f"quoted_{len(quoted)}_")

        try:
            tree = ast.parse(re.sub(r"`([^`]+)`", stand_in, text.strip()), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise ValueError(f"condition {text!r} cannot be read ({error}); {_SHAPE}") from None
        back = {name: column for column, name in quoted.items()}
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                node.id = back.get(node.id, node.id)
        names = dict.fromkeys(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
        made = cls(text, tuple(names), tree)
        made.of({name: np.zeros(0) for name in names if name != ELEMENTS} | {"formula": np.zeros(0, dtype=object)}, 0)
        return made

    def of(self, columns: Mapping[str, npt.NDArray[Any]], n: int) -> Mask:
        """Return for which of n rows it holds, given their columns; ``elements`` follow from ``"formula"``."""
        return _masks(self._tree, columns, n, self.text)[0]


def _masks(node: ast.expr, columns: Mapping[str, npt.NDArray[Any]], n: int, text: str) -> Masks:
    """Return for which rows it holds, and for which it does not; of others it is not known (S. C. Kleene's logic)."""
    if isinstance(node, ast.BoolOp):
        parts = [_masks(part, columns, n, text) for part in node.values]
        return _all(parts) if isinstance(node.op, ast.And) else _all([part[::-1] for part in parts])[::-1]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return _masks(node.operand, columns, n, text)[::-1]
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        return _all(
            [_compared(op, *pair, columns, n, text) for op, pair in zip(node.ops, pairwise(sides), strict=True)]
        )
    if isinstance(node, ast.Name) and node.id != ELEMENTS:
        column = columns[node.id]
        nothing = column.dtype.kind == "O" and all(item is None for item in column)
        if n and not nothing and not _is_of_answers(column):
            raise ValueError(f"condition {text!r} has {node.id!r} alone, which is not yes or no: compare it")
        return np.asarray(column == True), np.asarray(column == False)  # noqa: E712  # None is neither
    raise ValueError(f"condition {text!r} has {ast.unparse(node)!r} in it; {_SHAPE}")


def _all(parts: Sequence[Masks]) -> Masks:
    """Return for which rows all hold, and for which one does not."""
    holds, fails = zip(*parts, strict=True)
    return np.logical_and.reduce(holds), np.logical_or.reduce(fails)


def _compared(
    op: ast.cmpop, left: ast.expr, right: ast.expr, columns: Mapping[str, npt.NDArray[Any]], n: int, text: str
) -> Masks:
    if isinstance(op, ast.In | ast.NotIn):
        inside = _contained(left, right, columns, n, text)
        return inside if isinstance(op, ast.In) else inside[::-1]
    none = np.zeros(n, dtype=np.bool_)
    if type(op) not in _COMPARE:
        raise ValueError(f"condition {text!r}: {_SHAPE}")
    if _is_name(left, ELEMENTS):
        return _elements(op, right, columns, n, text)
    values = [_values(side, columns, text) for side in (left, right)]
    if any(_has_words(value) and all(item is None for item in value) for value in values):
        return none, none  # of such a column there is nothing here, be it of words or of numbers
    if _is_name(left, "formula") or _is_name(right, "formula"):
        values = [_formula(value) for value in values]
    words = [isinstance(value, str) or _has_words(value) for value in values]
    if n == 0:
        return none, none
    known = np.ones(n, dtype=np.bool_)
    for value in values:
        if _has_words(value):
            known &= np.array([item is not None for item in value], dtype=np.bool_)
        elif np.ndim(value):
            known &= value == value
    if words[0] != words[1]:
        number = next(side for side, is_word in zip((left, right), words, strict=True) if not is_word)
        word = left if number is right else right
        raise ValueError(
            f"condition {text!r} compares {ast.unparse(word)}, a word, with {ast.unparse(number)}, a number"
        )
    found = np.zeros(n, dtype=np.bool_)
    if words[0]:
        sides = [value[known] if np.ndim(value) else value for value in values]
        found[known] = np.asarray(_COMPARE[type(op)](*sides), dtype=np.bool_)
    else:
        with np.errstate(invalid="ignore"):
            found[:] = np.asarray(_COMPARE[type(op)](*values), dtype=np.bool_) & known
    return found, known & ~found


def _contained(left: ast.expr, right: ast.expr, columns: Mapping[str, npt.NDArray[Any]], n: int, text: str) -> Masks:
    """Return for which rows an element occurs, or a value is one of several."""
    if _is_name(right, ELEMENTS):
        symbol = _values(left, columns, text)
        if not isinstance(symbol, str) or symbol not in ATOMIC_NUMBERS:
            raise ValueError(f"condition {text!r}: elements have symbols, such as 'O', got {ast.unparse(left)}")
        return _held(columns, lambda held: symbol in held)
    if isinstance(right, _LIST):
        if not right.elts:
            return np.zeros(n, dtype=np.bool_), np.ones(n, dtype=np.bool_)
        return _all([_compared(ast.Eq(), left, item, columns, n, text)[::-1] for item in right.elts])[::-1]
    raise ValueError(f"condition {text!r}: what follows 'in' is elements, or a list of values; {_SHAPE}")


def _elements(op: ast.cmpop, right: ast.expr, columns: Mapping[str, npt.NDArray[Any]], n: int, text: str) -> Masks:
    """Return for which rows the set of elements is that of a list, or within it, or has all of it."""
    given = [_values(item, columns, text) for item in right.elts] if isinstance(right, _LIST) else None
    if given is None or not all(isinstance(symbol, str) and symbol in ATOMIC_NUMBERS for symbol in given):
        raise ValueError(
            f"condition {text!r}: elements are compared with a list of symbols, as in elements <= ['Na', 'Cl'], which "
            f"are no others, got {ast.unparse(right)}"
        )
    asked, compare = frozenset(given), _COMPARE[type(op)]
    return _held(columns, lambda held: compare(held, asked))


def _held(columns: Mapping[str, npt.NDArray[Any]], test: Callable[[frozenset[str]], bool]) -> Masks:
    sets = [elements_of(formula) for formula in columns["formula"]]
    known = np.array([bool(held) for held in sets], dtype=np.bool_)
    found = np.array([bool(held) and test(held) for held in sets], dtype=np.bool_)
    return found, known & ~found


@lru_cache(maxsize=1 << 16)
def elements_of(formula: str | None) -> frozenset[str]:
    """Return the elements of a reduced formula; none where it is not known."""
    return frozenset(re.findall("[A-Z][a-z]?", formula or ""))


def _values(node: ast.expr, columns: Mapping[str, npt.NDArray[Any]], text: str) -> Any:
    if isinstance(node, ast.Name) and node.id != ELEMENTS:
        column = columns[node.id]
        return column.astype(np.float64) if column.dtype.kind in "iufb" or _is_of_answers(column) else column
    if isinstance(node, ast.Constant) and isinstance(node.value, str | int | float):
        return node.value if isinstance(node.value, str) else float(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        return -float(_values(node.operand, columns, text))
    raise ValueError(f"condition {text!r} has {ast.unparse(node)!r} in it; {_SHAPE}")


def _formula(value: Any) -> Any:
    """Return a formula as the store has it."""
    return reduced_formula(value) if isinstance(value, str) else value


def _is_of_answers(column: npt.NDArray[Any]) -> bool:
    """Return whether a column has yes and no, and perhaps nothing known; numbers and words have not."""
    if column.dtype.kind == "b":
        return True
    known = [item for item in column if item is not None] if column.dtype.kind == "O" else []
    return bool(known) and all(isinstance(item, bool | np.bool_) for item in known)


def _has_words(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "O"


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
