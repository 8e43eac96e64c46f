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
_DOTS = "·•⋅∙*×"
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_SIGNS = "+-−–⁺⁻"
_CHARGES = _SIGNS + "^⁰¹²³⁴⁵⁶⁷⁸⁹"
_NO_CHARGES = "charges are not part of a composition: leave them out"
ATOMIC_NUMBERS = {**{symbol: z for symbol, z in atomic_numbers.items() if z > 0}, "D": 1, "T": 1}
"""Atomic numbers of all elements by their symbols; deuterium and tritium are hydrogen."""

_NO_SYMBOL = "this must be a chemical symbol, a number or a bracket"
_NUMBER = re.compile(r"[0-9]+(?:/[0-9]+|(?:\.[0-9]+)?(?:[eE]-[0-9]+)?)")
_PHASE = re.compile(r"\s*\((?:s|l|g|aq|cr|am)\)\s*$")
# The 5H2O of CuSO4.5H2O, after a dot that could be a decimal point.
_WATER = re.compile(r"[0-9]+(?:/[0-9]+|\.[0-9]+)?\s*(?P<open>\(?)[HD]2O(?(open)\)?)\s*(?=$|[.·•⋅∙*×])")
# The 2SiO2 of 3Al2O3.2SiO2, likewise: a part that is no water has a factor of one digit.
_PART = re.compile(r"[2-9](?P<part>[A-Z(\[{][^.·•⋅∙*×]*)")
# A decimal that is no dot between parts.
_DECIMAL = re.compile(r"(?<![0-9])[01]\.[0-9]|[0-9]\.[0-9][0-9]")
_TWO_STOPS = re.compile(r"[0-9]+\.(?!0\.)[0-9]+\.[0-9]")
# A full stop between a symbol or a bracket and a digit: a decimal point, unless what stands before can be a compound.
_BARE_STOP = re.compile(r"(?:([A-Z][a-z]?)|[)\]}])\.[0-9]$")
_GASES = ("H2", "N2", "O2", "Cl2", "Br2", "I2", "He", "Ne", "Ar", "Kr", "Xe")
_ROMAN = re.compile(r"\((?:I{1,3}|IV|VI{0,3})\)")  # an oxidation state
_ANIONS = ("H", "C", "N", "O", "F", "P", "S", "Cl", "As", "Se", "Br", "Te", "I")
_MOLECULES = (
    "NH3 CH3OH C2H5OH HF HCl HBr HI HNO3 H2SO4 CO CO2 SO2 SO3 H2S H2O2 N2H4 CH4N2O C3H7NO C4H8O C4H8O2 C2H6OS C5H5N "
    "C2H3N C3H6O C6H6 C7H8 C6H12 CHCl3 CH2Cl2 CCl4 C2H8N2 C4H10O C3H8O CH4N2S HCOOH CH3COOH P2O5 P4O10 As2O3 As2O5 "
    "SeO2 TeO2 TeO3 I2O5 N2O5"
)
_CHARGE = re.compile(r"[A-Za-z)\]}](\s*\d*[+⁺]|\^?\s?\d*[-−–⁻]|[-−–]\d+|[⁰¹²³⁴⁵⁶⁷⁸⁹]+[⁺⁻])$")

# What people write that is no formula, and what helps; tried in this order on the whole text.
_ADVICE: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.DOTALL), advice)
    for pattern, advice in (
        (r"[-+−]?[\d.,/]*\d([eE][-+]?\d+)?", "this is a number"),
        (r"\d+[A-Z]['′]{0,2}-.+", "leave out the name of the polytype: SiC for 4H-SiC"),
        (r"([α-ωa-z]|alpha|beta|gamma|delta|theta|eta)['′]?-[A-Z(\[].*", "leave out the name of the phase"),
        (
            r"(.*[^\sA-Za-z])?[-−–+±]\s*[xyzwnδ](?![a-z]).*|.*[·•⋅∙*×.\s]\s*[xyzn]\s*\(?[HD]2O.*|.*δ.*",
            "an unknown amount must be given as a number",
        ),
        (r".*%.*", "give the amounts of the atoms, and no per cent"),
        (
            r"[A-Z][a-z]?\d*(\.\d+)?([-−–]\d+(\.\d+)?[A-Z][a-z]?)+(\s.*|\(.*)?"
            r"|\d+(\.\d+)?[A-Z][a-z]?([-−–]\d+(\.\d+)?[A-Z][a-z]?)+(\s.*|\(.*)?"
            r"|[A-Z][a-z]?\d+(\.\d+)?([-−–][A-Z][a-z]?\d+(\.\d+)?)+(\s.*|\(.*)?",
            "this looks like an alloy in per cent: give the amounts of the atoms, as in Fe70Cr19Ni11",
        ),
        (r".*[\w)\]}]\s*:\s*\w.*", "give the amounts with the dopant, as in SrTi0.99Nb0.01O3"),
        (r".*[\w)\]}]\s*\(0*\d{3,4}\).*", "leave out the surface"),
        (r"[A-Z][a-z]?(\s*[-−–/,;]\s*[A-Z][a-z]?)+", "elements alone have no amounts"),
        (r".*(<|_|\$|\\).*", "write numbers without signs around them, as in Fe2O3"),
        (r"[^A-Z]*[a-z][^A-Z]*", "symbols begin with a capital letter, as in NaCl, and names are not read"),
        (r"[A-Z0-9]*[A-Z]{2}[A-Z0-9]*", "the second letter of a symbol is a small one, as in NaCl"),
        (r".*[a-z]{3,}.*", "names are not read"),
        (
            r".*[\w)\]}](\s*[-−–/,;]\s*|\s+[+x]?\s*)(\d[\d.]*\s*)?[A-Z(\[{].*",
            "join parts by a dot, as in CuSO4·5H2O or 0.7BiFeO3·0.3BaTiO3",
        ),
    )
)


def atomic_number(symbol: Any) -> int:
    """Return the atomic number of an element, or raise a ValueError if this is no symbol of one."""
    if symbol not in ATOMIC_NUMBERS:
        raise ValueError(f"{symbol!r} is not a chemical element")
    return ATOMIC_NUMBERS[symbol]


GROUPS = frozenset({"Bh", "Cd", "Cf", "Cn", "Co", "Hf", "Ho", "Hs", "Nd", "Nh", "No", "Po"})
"""Symbols that in capitals are groups of atoms, or names of an atom, too."""

# Names of atoms in proteins, with a number behind them: carbon epsilon, and so on.
_PLACES = frozenset({"Ce", "He", "Hg", "Ne", "Sg"})
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
        If it is none of these, or may be another element or a group of atoms in capitals (``"CO"``, ``"HG1"``).

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
        if (
            len(symbol) == 2
            and word[:2].isupper()
            and (symbol in GROUPS or (symbol in _PLACES and word[2:3].isdecimal()))
        ):
            raise ValueError(
                f"{word[:40]!r} may be {symbol}, or {symbol[0]} by its place or in a group: write {symbol}"
            )
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
    these amounts in front of a dot. It also joins compounds where the second is a usual solvent or has an element of
    the first, as in ``"CaCl2.4CH3OH"`` and ``"3Al2O3.2SiO2"``, unless there are other decimals; what could be either is
    refused. Decimals need a digit before the point, and where ``.5`` may be one, it is refused. A phase behind a
    formula (``"(s)"``, ``"(aq)"``) is passed over.

    Examples
    --------
    >>> parse_formula("CuSO4.5H2O")
    {'Cu': 1.0, 'S': 1.0, 'O': 9.0, 'H': 10.0}
    >>> parse_formula("Mg(Al0.5Fe0.5)2O4")
    {'Mg': 1.0, 'Al': 1.0, 'Fe': 1.0, 'O': 4.0}
    """
    if not isinstance(formula, str):
        raise TypeError(f"formula must be a string, got {formula!r}")
    if (known := getattr(formula, "composition", None)) is not None:  # of SMILES, which are text, too
        return {symbol: float(amount) for symbol, amount in known.items()}
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
        self.text = _PHASE.sub("", formula.translate(_SUBSCRIPTS))  # one character each, so that places stay the same
        self.at = self.start = 0

    def parse(self) -> dict[str, float]:
        total: dict[str, float] = {}
        before: dict[str, float] = {}
        dot = -1
        while True:
            self._skip_blanks()
            factor = self._amount(before_dot=False) if self._peek().isdigit() else 1.0
            self.start = self.at
            part = self._part()
            self._check_stop(dot, before, part)
            _add(total, part, factor)
            if self.at == len(self.text):
                return total
            before, dot = part, self.at
            self.at += 1

    def _check_stop(self, dot: int, before: Mapping[str, float], after: Mapping[str, float]) -> None:
        """Raise if a full stop between two parts is the point of a decimal without a digit before it: Na.5CoO2."""
        symbol = _BARE_STOP.search(self.text[: dot + 2]) if dot > 0 else None
        if symbol is None or re.match(r"0\.[0-9]", self.text[dot + 1 :]):  # a decimal of its own follows
            return
        gas = len(after) == 1 and self.text[self.start : self.at].strip() in _GASES
        compound = len(before) > 1 and (symbol[1] is None or symbol[1] in _ANIONS)
        if not compound or not (len(after) > 1 or gas) or _DECIMAL.search(self.text[:dot]):
            self._fail("this full stop may be a decimal point or join two parts: write 0.5 for .5, and · between", dot)

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
                opened = stack[-1].at
                roman = _ROMAN.fullmatch(self.text[opened : self.at + 1])
                if roman is not None and self.text[:opened].rstrip()[-1:].isalpha():  # behind an element
                    self._fail(f"{roman[0]} may be an oxidation state: write an element without brackets", opened)
                self.at += 1
                inner, (amounts, _, _) = amounts, stack.pop()
                _add(amounts, inner, self._amount(closed=not stack))
            else:
                symbol = self._symbol()
                _add(amounts, {symbol: 1.0}, self._amount(closed=not stack))
        if stack and char == "." and self.text[self.at + 1 : self.at + 2].isdigit():
            self._fail("in brackets nothing is joined, and a decimal has a digit before its point")
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
        if self._peek() in _CHARGES and self._peek():
            reason = self._no_charges()
        elif re.match(r"\d+\s*[+−–⁺⁻-]\s*$", self.text[self.at :]):
            reason = _NO_CHARGES
        elif self._peek().isdigit():
            reason = "a number must follow a symbol or a bracket"
        else:
            reason = _NO_SYMBOL
        return self._fail(reason)

    def _amount(self, before_dot: bool = True, closed: bool = False) -> float:
        """Read a number, 1 where there is none.

        ``before_dot`` if a dot may join another part to it, and ``closed`` if that may be any part and not only water.
        """
        begin = self.at
        self._skip_blanks()
        found = _NUMBER.match(self.text, self.at)
        if found is None:
            return 1.0
        number, start = found.group(), self.at
        if before_dot and start > begin and re.match(r"[A-Z(\[{]", self.text[found.end() :]):
            self._fail("a number between blanks and a symbol may belong to either")
        whole, point, _ = number.partition(".")
        if before_dot and point:
            if _TWO_STOPS.match(self.text, self.at):
                self._fail("one of two full stops is a decimal point, and either may be: write the other as ·")
            after = self.at + len(whole) + 1
            if int(whole) > 1 and (_WATER.match(self.text, after) or (closed and self._joins(whole, after))):
                number = whole
        self.at += len(number)
        top, slash, bottom = number.partition("/")
        if slash and not float(bottom):
            self._fail("a quotient must not divide by 0", start)
        if self._peek() in tuple(_SIGNS):
            self._fail(self._no_charges())
        value = float(top) / float(bottom) if slash else float(number)
        if value > 1e12:
            self._fail("an amount must be at most 1e12", start)
        return value

    def _joins(self, whole: str, after: int) -> bool:
        """Return whether the full stop before a place joins two compounds, or raise where it may be a decimal point."""
        found = _PART.match(self.text, after)
        elsewhere = self.text[: self.at] + " " + self.text[after:]
        if found is None or _DECIMAL.search(elsewhere) or "." in self.text[self.start : self.at]:
            return False
        try:
            first = parse_formula(self.text[self.start : self.at + len(whole)])
            second = parse_formula(found["part"])
        except ValueError:
            return False
        if len(first) < 2 or len(second) < 2:
            return False
        if any(second == parse_formula(molecule) for molecule in _MOLECULES.split()):
            return True
        last = re.search(r"([A-Z][a-z]?|[)\]}])\s*$", self.text[: self.at])
        ends = last is not None and (last[1] in _ANIONS or last[1] in _BRACKETS.values())
        begins = next(iter(second))
        if not ends or begins in ("O", "F", "Cl", "Br"):
            return False
        alike = bool(first.keys() & second.keys())
        if not alike or (begins in _ANIONS and not found["part"].startswith(("NH4", "(NH4"))):
            self._fail("this full stop may be a decimal point or join two compounds: write the latter as ·", after - 1)
        return alike

    def _no_charges(self) -> str:
        """Return what is wrong with a sign: a charge, unless the text is of another kind that has signs."""
        return _NO_SYMBOL if self._advice() else _NO_CHARGES

    def _advice(self) -> str:
        """Return what helps where something is written that is no formula; empty where nothing is known to."""
        text = self.text.strip()[:200]
        if _CHARGE.search(text) and not _ADVICE[0][0].fullmatch(text):
            return ""
        if self._peek() in tuple("xyzwnδ") and self.at and not text.islower():
            return "an unknown amount must be given as a number"
        return next((advice for pattern, advice in _ADVICE if pattern.fullmatch(text)), "")

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _skip_blanks(self) -> None:
        while self._peek().isspace():
            self.at += 1

    def _fail(self, reason: str, at: int | None = None) -> NoReturn:
        at = self.at if at is None else at
        what = f"{self.formula[at]!r} at position {at}" if at < len(self.formula) else "its end"
        advice = "" if reason == _NO_CHARGES else self._advice()
        shown = repr(self.formula if len(self.formula) <= 100 else f"{self.formula[:97]}...")
        raise ValueError(f"formula {shown}: {reason}, got {what}{advice and f': {advice}'}")


def _add(total: dict[str, float], amounts: dict[str, float], factor: float) -> None:
    for symbol, amount in amounts.items():
        total[symbol] = total.get(symbol, 0.0) + factor * amount
