"""Whether the atoms of a cell are those that the formula and the number of formula units of a CIF want."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from atomprint.chemistry.formula import parse_formula, reduced_formula
from atomprint.formats.cif.symbols import SYMBOLS

_PART = re.compile(r"([A-Za-z]{1,2})([0-9]+\.?[0-9]*|\.[0-9]+|)")
_WRITTEN = frozenset({*SYMBOLS, "D", "T"})
_ROUNDING = 5e-3  # of amounts that are no whole numbers


class Formula(NamedTuple):
    """What a formula may mean.

    Parameters
    ----------
    text : str
        As it is written.
    readings : tuple of dict
        Amounts by symbol, D and T as H: one reading, or two where capitals leave open whether CO is cobalt.
    symbols : frozenset of str
        All symbols of all readings, and those that are written.
    """

    text: str
    readings: tuple[Mapping[str, float], ...]
    symbols: frozenset[str]


@lru_cache(maxsize=1 << 14)
def read_formula(text: str) -> Formula:
    """Return what a ``_chemical_formula_sum`` means.

    Raises
    ------
    ValueError
        If it is no formula.
    """
    parts = [_PART.fullmatch(part) for part in text.split()]
    written = [(part[1], float(part[2] or 1)) for part in parts if part]
    plain = bool(written) and all(parts)  # symbols with amounts between blanks, as the format wants it
    readings: list[Mapping[str, float]] = []
    problem = ""
    if plain and all(symbol in _WRITTEN for symbol, _ in written):
        readings.append(_summed(written))
    else:
        try:
            readings.append(parse_formula(text))
        except ValueError as error:
            problem = str(error)
    if plain and any(len(symbol) == 2 and symbol.isupper() for symbol, _ in written):
        capitals = [(symbol.capitalize(), amount) for symbol, amount in written]
        if all(symbol in _WRITTEN for symbol, _ in capitals):
            readings.append(_summed(capitals))
    readings = [amounts for amounts in readings if amounts]
    if not readings:
        raise ValueError(f"its _chemical_formula_sum is no formula: {problem}")
    symbols = frozenset(symbol for reading in readings for symbol in reading)
    return Formula(text, tuple(readings), symbols | ({symbol for symbol, _ in written} & {"D", "T"}))


def _summed(written: list[tuple[str, float]]) -> dict[str, float]:
    amounts: dict[str, float] = {}
    for symbol, amount in written:
        element = "H" if symbol in ("D", "T") else symbol
        amounts[element] = amounts.get(element, 0.0) + amount
    return {element: amount for element, amount in amounts.items() if amount > 0}


def check_composition(counts: Mapping[str, int], formula: Formula | None, units: float | None) -> None:
    """Raise if the atoms of a cell are not those of its formula.

    Parameters
    ----------
    counts : mapping
        How many atoms of each element are in the cell.
    formula : Formula or None
        What the file gives as their sum, or None.
    units : float or None
        How many formula units the file gives, or None. Some programs give the sum of the whole cell, and the number of
        units of its reduced formula.

    Raises
    ------
    ValueError
        If elements, their ratio or the number of formula units differ.
    """
    if formula is None:
        return
    reasons = [_difference(counts, amounts, units) for amounts in formula.readings]
    if None not in reasons:
        raise ValueError(reasons[0])


def fills_cell(counts: Mapping[str, int], formula: Formula | None, units: float | None) -> bool:
    """Return whether formula and number of formula units say that these are all atoms of the cell."""
    return (
        formula is not None
        and units is not None
        and any(_difference(counts, amounts, units) is None for amounts in formula.readings)
    )


def _difference(counts: Mapping[str, int], amounts: Mapping[str, float], units: float | None) -> str | None:
    if counts == amounts and (units is None or all(count % units == 0 for count in counts.values())):
        return None  # the whole cell, with the number of units of its reduced formula, if any
    whole = all(float(amount).is_integer() for amount in amounts.values())
    found = sum(counts.values()) / sum(amounts.values())  # formula units in the cell
    tolerance = 1e-9 if whole else _ROUNDING
    if counts.keys() != amounts.keys() or any(
        abs(counts[symbol] - found * amounts[symbol]) > tolerance * counts[symbol] for symbol in counts
    ):
        atoms = reduced_formula({symbol: float(count) for symbol, count in counts.items()})
        hydrogens = amounts.get("H", 0.0) * _without_hydrogen(counts) / max(_without_hydrogen(amounts), 1e-9)
        lost = {s: v for s, v in amounts.items() if s != "H"}
        missing = "some are missing, or wrong"
        if (
            lost
            and hydrogens > counts.get("H", 0)
            and _difference({s: n for s, n in counts.items() if s != "H"}, lost, None) is None
        ):
            missing = f"{hydrogens - counts.get('H', 0):g} hydrogen atoms of the cell have no place in it"
        stated = reduced_formula(amounts)
        return f"the atoms of this CIF make {atoms}, but its _chemical_formula_sum is {stated}: {missing}"
    if units is None or abs(found - units) <= max(tolerance, 1e-6) * units:
        return None
    return f"the cell holds {found:g} times its _chemical_formula_sum, but its _cell_formula_units_Z is {units:g}"


def _without_hydrogen(amounts: Mapping[str, float]) -> float:
    return sum(amount for symbol, amount in amounts.items() if symbol != "H")
