"""Chemical formulas: from text to the amount of each element, and back to a text that compares."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from functools import cache, lru_cache
from math import gcd, lcm
from typing import Any, NamedTuple, NoReturn

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from atomprint.chemistry.elements import N_ELEMENTS, pauling_electronegativity

_BRACKETS = {"(": ")", "[": "]", "{": "}"}
_DOTS = "·•⋅∙*"
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_CHARGES = "+-−–^⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹"
_NO_CHARGES = "charges are not part of a composition: leave them out"
ATOMIC_NUMBERS = {**{symbol: z for symbol, z in atomic_numbers.items() if z > 0}, "D": 1, "T": 1}
"""Atomic numbers of all elements by their symbols; deuterium and tritium are hydrogen."""

_NUMBER = re.compile(r"[0-9]+(?:/[0-9]+|\.[0-9]+)?")
# The 5H2O of CuSO4.5H2O, after a dot that could be a decimal point.
_WATER = re.compile(r"[0-9]+(?:/[0-9]+|\.[0-9]+)?\s*(?P<open>\(?)[HD]2O(?(open)\)?)\s*(?=$|[.·•⋅∙*])")


def atomic_number(symbol: Any) -> int:
    """Return the atomic number of an element, or raise a ValueError if this is no symbol of one."""
    if symbol not in ATOMIC_NUMBERS:
        raise ValueError(f"{symbol!r} is not a chemical element")
    return ATOMIC_NUMBERS[symbol]


_LABEL = re.compile(r"([A-Za-z]{1,2})(?:\d{0,4}(?:[+-]\d?|\d?[+-])?|[+-]\d?|[_:].*)'*")
_NO_ATOMS = frozenset(("x", "xx", "q", "du", "dum", "dummy", "bq", "gh", "vac", "va", "lp", "m", "mw", "ghost"))


def element_of_label(label: str) -> int:
    """Return the atomic number of what a file of structures calls an atom.

    Parameters
    ----------
    label : str
        A symbol in any writing (``"Fe"``, ``"FE"``, ``"fe"``), D or T, with what names of sites have behind it: a
        number, a charge, or anything after an underscore or a colon (``"C2"``, ``"Fe3+"``, ``"O2-"``, ``"Na_pv"``);
        or an atomic number.

    Raises
    ------
    ValueError
        If it is none of these.

    Examples
    --------
    >>> [element_of_label(label) for label in ("C2", "Fe3+", "D", "CL", "8")]
    [6, 26, 1, 17, 8]
    """
    word = str(label).strip()
    if word.isascii() and word.isdecimal():
        if len(word) < 4 and 1 <= int(word) < len(chemical_symbols):
            return int(word)
        raise ValueError(f"atomic number must be in 1..{len(chemical_symbols) - 1}, got {word[:20]}")
    found = _LABEL.fullmatch(word)
    symbol = found[1].capitalize() if found else ""
    if symbol in ATOMIC_NUMBERS:
        return ATOMIC_NUMBERS[symbol]
    if re.split(r"[\d_:(]", word.lower())[0] in _NO_ATOMS:
        raise ValueError(f"{word[:40]!r} is a place-holder and no atom: leave it out")
    raise ValueError(f"{word[:40]!r} is not a chemical element")


def parse_formula(formula: str) -> dict[str, float]:
    """Return how much of each element a formula has.

    Parameters
    ----------
    formula : str
        Symbols with amounts, which may be decimals or quotients (``"Li0.5CoO2"``, ``"(YBa2)1/3"``); brackets of three
        kinds, nested (``"K4[Fe(CN)6]"``); parts joined by a centred dot, an asterisk or a full stop, each with a factor
        in front (``"CuSO4·5H2O"``, ``"3CdSO4*8H2O"``); subscripts (``"H₂O"``); blanks between these. D and T are H.

    Returns
    -------
    dict
        Amount of each element by its symbol, in the order of the formula. Elements with an amount of 0 are left out.

    Raises
    ------
    TypeError
        If ``formula`` is not a string.
    ValueError
        If it is no formula, or has a charge or nothing in it; the message shows where.

    Notes
    -----
    A full stop between digits is a decimal point, as in ``"La0.7Sr0.3MnO3"``, but joins parts where what follows is an
    amount of water, as in ``"CuSO4.5H2O"``, unless the digits before are 0 or 1, as in ``"Na0.5H2O"``: nobody writes
    these amounts in front of a dot. Decimals need a digit before the point.

    Examples
    --------
    >>> parse_formula("CuSO4.5H2O")
    {'Cu': 1.0, 'S': 1.0, 'O': 9.0, 'H': 10.0}
    >>> parse_formula("Mg(Al0.5Fe0.5)2O4")
    {'Mg': 1.0, 'Al': 1.0, 'Fe': 1.0, 'O': 4.0}
    """
    if not isinstance(formula, str):
        raise TypeError(f"formula must be a string, got {formula!r}")
    amounts = {symbol: amount for symbol, amount in _Parser(formula).parse().items() if amount > 0}
    if not amounts:
        raise ValueError(f"formula {formula!r}: there must be some of an element, got none")
    return amounts


def reduced_formula(composition: str | Mapping[str, float]) -> str:
    """Return the formula with the smallest whole numbers, the same for all ways to write one composition.

    Parameters
    ----------
    composition : str or mapping
        A formula, see :func:`parse_formula`, or the amount of each element by its symbol.

    Returns
    -------
    str
        Symbols in the order of increasing Pauling electronegativity, as in ``"NaCl"`` or ``"Fe2O3"``, without brackets;
        amounts are divided by their greatest common divisor, and left out if they are 1. An element is
        ``"O"``, not ``"O2"``. Amounts that are no whole numbers are taken as fractions with denominators up to 10000:
        ``"Li0.5CoO2"`` becomes ``"LiCo2O4"``.

    Raises
    ------
    TypeError, ValueError
        If it is no formula, or an amount is not finite and positive.

    Examples
    --------
    >>> reduced_formula("O4Ti2"), reduced_formula({"O": 1.0, "H": 2.0}), reduced_formula("La0.7Sr0.3MnO3")
    ('TiO2', 'H2O', 'Sr3La7Mn10O30')
    """
    amounts = parse_formula(composition) if isinstance(composition, str) else composition
    return _reduced(tuple(amounts.items()))


def chemical_system(composition: str | Mapping[str, float]) -> str:
    """Return the elements of a composition in the order of the alphabet, joined as in ``"Cl-Na"``.

    See :func:`reduced_formula` for the parameter and the errors.
    """
    amounts = parse_formula(composition) if isinstance(composition, str) else composition
    return "-".join(sorted(amounts))


@lru_cache(maxsize=1 << 16)
def _reduced(amounts: tuple[tuple[str, float], ...]) -> str:
    order = _order()
    for symbol, amount in amounts:
        if symbol not in order:
            raise ValueError(f"composition must be of chemical elements, got {symbol!r}")
        if not 0 < amount < float("inf"):
            raise ValueError(f"composition: the amount of {symbol} must be finite and > 0, got {amount}")
    if not amounts:
        raise ValueError("composition must have at least one element, got none")
    symbols, values = zip(*sorted(amounts, key=lambda item: order[item[0]]), strict=True)
    if all(float(value).is_integer() for value in values):
        numbers = [int(value) for value in values]
    else:
        fractions = [Fraction(value).limit_denominator(10_000) or Fraction(value) for value in values]
        scale = lcm(*(fraction.denominator for fraction in fractions))
        numbers = [int(fraction * scale) for fraction in fractions]
    divisor = gcd(*numbers)
    return "".join(
        symbol if number == divisor else f"{symbol}{number // divisor}"
        for symbol, number in zip(symbols, numbers, strict=True)
    )


@cache
def _order() -> dict[str, tuple[float, str]]:
    """Return what sorts the elements; of those beyond Lr nothing is known, and they count as Lr."""
    values = pauling_electronegativity()
    values[np.isnan(values)] = 1.2  # Pm, Eu, Tb and Yb, whose neighbours have 1.1 to 1.27
    return {
        chemical_symbols[z]: (float(values[min(z, N_ELEMENTS) - 1]), chemical_symbols[z])
        for z in range(1, len(chemical_symbols))
    }


class _Open(NamedTuple):
    """What surrounds a bracket: its amounts, and the bracket with its place."""

    amounts: dict[str, float]
    bracket: str
    at: int


class _Parser:
    """One pass over a formula, with a stack of open brackets."""

    def __init__(self, formula: str) -> None:
        self.formula = formula
        self.text = formula.translate(_SUBSCRIPTS)  # one character each, so that places stay the same
        self.at = 0

    def parse(self) -> dict[str, float]:
        total: dict[str, float] = {}
        while True:
            self._skip_blanks()
            factor = self._amount(before_dot=False) if self._peek().isdigit() else 1.0
            _add(total, self._part(), factor)
            if self.at == len(self.text):
                return total
            self.at += 1  # the dot

    def _part(self) -> dict[str, float]:
        start = self.at
        amounts: dict[str, float] = {}
        stack: list[_Open] = []
        while True:
            self._skip_blanks()
            char = self._peek()
            if char == "" or char in _DOTS or char == ".":
                break
            if char in _BRACKETS:
                stack.append(_Open(amounts, char, self.at))
                amounts = {}
                self.at += 1
            elif char in _BRACKETS.values():
                if not stack or _BRACKETS[stack[-1].bracket] != char:
                    self._fail(f"{char!r} closes no bracket")
                if not amounts:
                    self._fail("there must be something in brackets")
                self.at += 1
                inner, (amounts, _, _) = amounts, stack.pop()
                _add(amounts, inner, self._amount())
            else:
                symbol = self._symbol()
                _add(amounts, {symbol: 1.0}, self._amount())
        if stack:
            self._fail(f"{stack[-1].bracket!r} is not closed", stack[-1].at)
        if not amounts:
            self._fail("a symbol or a bracket must follow", max(start, self.at))
        return amounts

    def _symbol(self) -> str:
        for length in (2, 1):
            symbol = self.text[self.at : self.at + length]
            if len(symbol) == length and (symbol in ATOMIC_NUMBERS):
                self.at += length
                return chemical_symbols[ATOMIC_NUMBERS[symbol]]
        if self._peek() in _CHARGES:
            reason = _NO_CHARGES
        elif self._peek().isdigit():
            reason = "a number must follow a symbol or a bracket"
        else:
            reason = "this must be a chemical symbol, a number or a bracket"
        return self._fail(reason)

    def _amount(self, before_dot: bool = True) -> float:
        """Read a number, 1 where there is none; ``before_dot`` if a dot may join another part to it."""
        self._skip_blanks()
        found = _NUMBER.match(self.text, self.at)
        if found is None:
            return 1.0
        number, start = found.group(), self.at
        whole, point, _ = number.partition(".")
        if before_dot and point and int(whole) > 1 and _WATER.match(self.text, self.at + len(whole) + 1):
            number = whole
        self.at += len(number)
        top, slash, bottom = number.partition("/")
        if slash and not float(bottom):
            self._fail("a quotient must not divide by 0", start)
        if self._peek() in tuple("+-−–⁺⁻"):
            self._fail(_NO_CHARGES)
        value = float(top) / float(bottom) if slash else float(number)
        if value > 1e12:
            self._fail("an amount must be at most 1e12", start)
        return value

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _skip_blanks(self) -> None:
        while self._peek().isspace():
            self.at += 1

    def _fail(self, reason: str, at: int | None = None) -> NoReturn:
        at = self.at if at is None else at
        what = f"{self.formula[at]!r} at position {at}" if at < len(self.formula) else "its end"
        raise ValueError(f"formula {self.formula!r}: {reason}, got {what}")


def _add(total: dict[str, float], amounts: dict[str, float], factor: float) -> None:
    for symbol, amount in amounts.items():
        total[symbol] = total.get(symbol, 0.0) + factor * amount
