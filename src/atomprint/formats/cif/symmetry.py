"""Which space groups a block may mean: by its operations, its symbols and its number, weighed against each other."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import gemmi

from atomprint.formats.cif.blocks import Block, unquoted
from atomprint.formats.cif.groups import (
    Group,
    group_of,
    hall_group,
    listed_group,
    named_groups,
    numbered_groups,
    operation,
    standard,
)
from atomprint.util.types import FloatArray

_OPERATIONS = ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz")
_MAGNETIC = ("_space_group_symop_magn_operation_xyz", "_space_group_symop_magn_centering_xyz")
_HALL = ("_space_group_name_hall", "_symmetry_space_group_name_hall")
_NAMES = (
    "_space_group_name_h-m_alt",
    "_symmetry_space_group_name_h-m",
    "_space_group_name_h-m_full",
    "_space_group_name_h-m",
    "_symmetry_space_group_name_h-m_alt",
    "_symmetry_space_group_name_h-m_full",
)
_NUMBERS = ("_space_group_it_number", "_symmetry_int_tables_number")
_CODE = "_space_group_it_coordinate_system_code"
_TAGS = (*_OPERATIONS, *_MAGNETIC, *_HALL, *_NAMES, *_NUMBERS, _CODE)
_NO_NAMES = frozenset({"unknown", "none", "n/a", "na", "not given", "-", "?", "."})

Tiers = tuple[tuple[Group, ...], ...]


class Said(NamedTuple):
    """What a block says of its symmetry."""

    lists: tuple[tuple[str, ...], ...]
    hall: tuple[str, ...]
    names: tuple[str, ...]
    numbers: tuple[str, ...]
    code: str | None


def groups_of(block: Block, cell: FloatArray) -> tuple[Group, ...]:
    """Return the space groups that a block may mean, of which the cell has the symmetry.

    Returns
    -------
    tuple of Group
        Most often one. Several where the file leaves it open or contradicts itself: then the atoms have to decide.
        None where it says nothing.

    Raises
    ------
    ValueError
        If what it says is unknown, no group, or not that of the cell.
    """
    tiers = _tiers(tuple((tag, block.written(tag)) for tag in _TAGS if block.has(tag)))
    for tier in tiers:
        if fitting := tuple(group for group in tier if group.fits(cell)):
            return fitting
    if tiers:
        names = " or ".join(dict.fromkeys(group.name for group in tiers[0]))
        raise ValueError(f"its cell does not have the symmetry of its space group {names}")
    return ()


def _said(raws: Mapping[str, tuple[str, ...]]) -> Said:
    lists = [_triplets(raws, tag) for tag in _OPERATIONS]
    magnetic, centring = (_triplets(raws, tag) for tag in _MAGNETIC)
    if magnetic:
        lists.append(_combined(magnetic, centring))
    codes = _given(raws, (_CODE,))
    return Said(
        tuple(found for found in lists if found),
        _given(raws, _HALL),
        tuple(name for name in _given(raws, _NAMES) if name.lower() not in _NO_NAMES),
        _given(raws, _NUMBERS),
        codes[0] if codes else None,
    )


def _given(raws: Mapping[str, tuple[str, ...]], tags: tuple[str, ...]) -> tuple[str, ...]:
    found = [unquoted(raw) for tag in tags for raw in raws.get(tag, ())]
    return tuple(dict.fromkeys(" ".join(text.split()) for text in found if text is not None))


def _triplets(raws: Mapping[str, tuple[str, ...]], tag: str) -> tuple[str, ...]:
    column = [unquoted(raw) for raw in raws.get(tag, ())]
    texts = [text for text in column if text is not None]
    if texts and len(texts) < len(column):
        raise ValueError(f"{tag} must be an operation in each row, got '?'")
    if len(texts) % 3 == 0 and all(text.endswith(",") for k in (0, 1) for text in texts[k::3]):
        texts = ["".join(texts[k : k + 3]) for k in range(0, len(texts), 3)]  # x, y, z without quotes
    return tuple(texts)


def _combined(operations: tuple[str, ...], centring: tuple[str, ...]) -> tuple[str, ...]:
    """Return the operations of a magnetic group on the places of atoms; time reversal does nothing to these."""
    try:
        first = [gemmi.Op(text.rpartition(",")[0]) for text in operations]
        second = [gemmi.Op(text.rpartition(",")[0]) for text in centring] or [gemmi.Op("x,y,z")]
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"magnetic symmetry: {error}") from None
    return tuple(dict.fromkeys((move * op).wrap().triplet() for move in second for op in first))


@lru_cache(maxsize=2048)
def _tiers(written: tuple[tuple[str, tuple[str, ...]], ...]) -> Tiers:
    said = _said(dict(written))
    named, unknown = _named(said)
    if not said.lists:
        if unknown and not said.hall:
            raise ValueError(f"space group {unknown[0]!r} is unknown, and there are no operations")
        return named
    listed = [listed_group(triplets) for triplets in said.lists]
    group = listed[0]
    if group is None or any(other is None or other.keys != group.keys for other in listed):
        return _completed(said, named)
    settings = [other for tier in named for other in tier]
    if not settings or any(_agree(group, other) for other in settings):
        return ((group,),)
    # The operations of one group and the name of another.
    return ((group, *settings),)


def _agree(listed: Group, named: Group) -> bool:
    """Return whether a list is that of a named group, in any setting: which one, the list knows better."""
    if listed.number is not None:
        return listed.number == named.number
    return listed.point_group == named.point_group


def _completed(said: Said, named: Tiers) -> Tiers:
    """Return the named groups that a list of operations, which is none, is a part of."""
    listed = group_of("", [operation(triplet) for triplets in said.lists for triplet in triplets]).keys
    fitting = tuple(tier for tier in (tuple(g for g in tier if listed <= g.keys) for tier in named) if tier)
    if not fitting:
        of = f", nor a part of {named[0][0].name}" if named else ""
        raise ValueError(f"its symmetry operations are no group{of}: some are missing, or wrong")
    return fitting


def _named(said: Said) -> tuple[Tiers, list[str]]:
    """Return the groups that symbols and number mean, and the names that are unknown."""
    sources: list[Tiers] = [((hall_group(symbol),),) for symbol in said.hall]
    unknown = []
    for name in said.names:
        if tiers := named_groups(name):
            sources.append(tiers)
        else:
            unknown.append(name)
    chosen: Tiers = ()
    for tiers in sources:
        chosen = _both(chosen, tiers) if chosen else tiers
    for text in said.numbers:
        number = _number(text)
        settings = numbered_groups(number, said.code)
        if not chosen:
            chosen = (standard(settings),)
        elif not any(group.number == number for tier in chosen for group in tier):
            chosen = ((*(group for tier in chosen for group in tier), *standard(settings)),)
        elif said.code is not None:
            chosen = _both(chosen, (settings,))
    return chosen, unknown


def _both(first: Tiers, second: Tiers) -> Tiers:
    """Return the groups that two sources share; all of them where there are none."""
    keys = {group.keys for tier in second for group in tier}
    shared = tuple(tier for tier in (tuple(g for g in tier if g.keys in keys) for tier in first) if tier)
    return shared or ((*(g for tier in first for g in tier), *(g for tier in second for g in tier)),)


def _number(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 230:
        raise ValueError(f"the number of a space group must be in 1..230, got {text!r}")
    return int(text)
