"""Which element the symbol or the label of a site means."""

from __future__ import annotations

import re
from collections.abc import Set
from functools import lru_cache

from ase.data import atomic_numbers

from atomprint.chemistry.formula import GROUPS

SYMBOLS = {symbol: z for symbol, z in atomic_numbers.items() if z > 0}
EXACT = {**SYMBOLS, "D": 1}
"""Atomic numbers by the symbols that mean nothing else. T may be tritium or the place of a tetrahedron."""

_CHARGE = r"(?:val|[0-9.]*[+-][0-9.]*|[0-9]+|\((?:[IVX]+|[0-9]+)\))?"
_TYPE = re.compile(rf"([A-Za-z]+?){_CHARGE}")
_ISOTOPE = re.compile(r"[0-9]{1,3}([A-Z][a-z]?)")
_LABEL = re.compile(r"([A-Za-z]+)(.*)")
_SEVERAL = re.compile(r"[(\[]?([A-Z][a-z]?)[0-9.+-]*\s*[/,&|]\s*([A-Z][a-z]?)(?![a-z]).*")
_TWO = re.compile(r"([A-Z][a-z])([A-Z][a-z])(?![a-z]).*")
_NOTHING = re.compile(r"v_.*|(?!xe$)(?:va|vac|vacancy|x|xx|q|du|dum|dummy|cg|cen)[0-9]*[a-z]?", re.IGNORECASE)
_WITH_HYDROGEN = re.compile(r"(?:nh[1-4]|h2o|hoh|ho|o[-(]?h\)?[1-3]?|ow|wat|water|ch[1-3])[^a-z]*[a-z]?", re.IGNORECASE)

_WATER = re.compile(r"w[0-9(][^a-z]*[a-z]?|w", re.IGNORECASE)  # if its symbol says oxygen


@lru_cache(maxsize=1 << 15)
def sure_element(symbol: str | None, label: str | None) -> int:
    """Return the atomic number of a symbol with a label such as Fe12, 0 where more has to be asked."""
    if symbol is None or label is None or symbol not in EXACT or not label.startswith(symbol):
        return 0
    return EXACT[symbol] if label[len(symbol) :].isdecimal() or label == symbol else 0


def with_hydrogen(label: str | None, z: int) -> bool:
    """Return whether a label is that of a group, such as water, although the site is taken for one element."""
    if label is None or z not in (6, 7, 8):  # Ho1 is holmium, unless its symbol says oxygen
        return False
    return _WITH_HYDROGEN.fullmatch(label) is not None or (z == 8 and _WATER.fullmatch(label) is not None)


@lru_cache(maxsize=1 << 14)
def element_of(symbol: str | None, label: str | None, stated: Set[str] | None) -> int:
    """Return the atomic number of a site.

    Parameters
    ----------
    symbol, label : str or None
        What the file gives as ``_atom_site_type_symbol`` and ``_atom_site_label``.
    stated : set of str or None
        The symbols in the formula of the file, as they are written there; None if there is none. It decides where
        a symbol or a label alone leaves it open.

    Raises
    ------
    ValueError
        If it is no element, or may be several.
    """
    if label is not None:
        _refuse_several(label)
    if symbol is not None:
        return _of_symbol(symbol, stated)
    if label is not None:
        return _of_label(label, stated)
    raise ValueError("it has neither a symbol nor a label")


def _refuse_several(label: str) -> None:
    for form in (_SEVERAL, _TWO):
        found = form.fullmatch(label)
        if found and found[1] in SYMBOLS and found[2] in SYMBOLS:
            raise ValueError(f"by its name {label!r} it holds both {found[1]} and {found[2]}")


def _of_symbol(symbol: str, stated: Set[str] | None) -> int:
    _refuse_several(symbol)
    if isotope := _ISOTOPE.fullmatch(symbol):
        symbol = isotope[1]
    found = _TYPE.fullmatch(symbol)
    letters = found[1] if found else ""
    if letters in EXACT:
        return EXACT[letters]
    if letters in ("T", "t"):
        if stated is not None and not stated.isdisjoint(("T", "D", "H")):
            return 1
        raise ValueError(f"{symbol!r} may be tritium or the site of a tetrahedron: write H")
    element = letters.capitalize()
    if element in EXACT and (letters.isupper() or letters.islower()):
        if element in GROUPS and (stated is None or element not in stated):
            raise ValueError(f"{symbol!r} may be {element} or a group of atoms, and no formula says which")
        return EXACT[element]
    raise ValueError(_no_element(symbol))


def _of_label(label: str, stated: Set[str] | None) -> int:
    found = _LABEL.fullmatch(label.lstrip("(["))
    if found is None or _NOTHING.fullmatch(label):
        raise ValueError(_no_element(label))
    letters = found[1]
    proper = letters[0].isupper() and not letters[1:2].isupper()
    pair, single = letters[:2].capitalize() if len(letters) > 1 else "", letters[0].upper()
    options = [element for element in (pair, single) if element in EXACT]
    if stated is not None:
        hydrogen = not stated.isdisjoint(("H", "D"))
        given = [element for element in options if element in stated or (hydrogen and element in ("H", "D"))]
        if len(given) == 1 or (given and proper):
            return EXACT[given[0]]
    elif letters[2:3].islower() and len(options) == 2:  # Cap may be an apical carbon
        pass
    elif options and (pair in EXACT if len(letters) > 1 and (proper or len(options) == 1) else len(letters) == 1):
        return EXACT[options[0]]
    if not options:
        raise ValueError(_no_element(label))
    may = " or ".join(options)
    if stated is None:
        raise ValueError(f"its label {label!r} may mean {may}, and there is neither a type symbol nor a formula")
    raise ValueError(f"its label {label!r} may mean {may}, and the formula has {', '.join(sorted(stated))}")


def _no_element(text: str) -> str:
    return f"{text!r} is no chemical element (a group of atoms, a vacancy, a dummy or a mixture?)"
