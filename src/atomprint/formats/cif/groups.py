"""Space groups as operations: from lists of them, and from all the ways to name one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import gemmi
import numpy as np
import numpy.typing as npt

from atomprint.util.types import FloatArray

_DEN = gemmi.Op.DEN
_MOST = 800  # operations of one list: 192 of a cubic group, times a supercell of 4
_METRIC_TOLERANCE = 0.01
"""How far a cell may be from the symmetry of its group: half a per cent of a length, half a degree."""

_DECIMAL = re.compile(r"[0-9]*\.[0-9]+")
_TRIPLET = re.compile(r"[xyzXYZ0-9+\-/.,\s*]+")


@dataclass(frozen=True, eq=False)
class Group:
    """A space group in one setting.

    Parameters
    ----------
    name : str
        As people read it.
    rotations : ndarray of int, shape (n, 3, 3)
        What the operations do to columns of fractional coordinates; the first is the identity.
    translations : ndarray of int, shape (n, 3)
        In 1/24 of lattice vectors, from 0 to 23.
    number : int or None
        Which of the 230 types it is, None if gemmi's table does not have the setting.
    """

    name: str
    rotations: npt.NDArray[np.int64]
    translations: npt.NDArray[np.int64]
    number: int | None = field(default=None)

    def __len__(self) -> int:
        return len(self.rotations)

    @cached_property
    def keys(self) -> frozenset[int]:
        """The operations, each as a number: two groups are the same if these are."""
        return frozenset(_keys(self.rotations, self.translations).tolist())

    @cached_property
    def table(self) -> npt.NDArray[np.int64]:
        """Index of the product of two operations, modulo lattice vectors; -1 where the group lacks it."""
        return _products(self.rotations, self.translations)

    def cosets(self, subset: tuple[int, ...]) -> npt.NDArray[np.int64] | None:
        """Return one operation of each coset of some operations, None if these are no subgroup."""
        if subset not in self._cosets:
            own = np.array(subset)
            closed = np.isin(self.table[np.ix_(own, own)], own).all()
            first = self.table[:, own].min(axis=1) == np.arange(len(self))
            self._cosets[subset] = first.nonzero()[0] if closed else None
        return self._cosets[subset]

    @cached_property
    def _cosets(self) -> dict[tuple[int, ...], npt.NDArray[np.int64] | None]:
        return {}

    @cached_property
    def point_group(self) -> Counter[tuple[int, int]]:
        """How often each kind of rotation occurs, whatever the axes and the centring: by determinant and trace."""
        return Counter((round(np.linalg.det(r)), round(np.trace(r))) for r in self._point_operations)

    @cached_property
    def _point_operations(self) -> FloatArray:
        return np.unique(self.rotations.reshape(-1, 9), axis=0).reshape(-1, 3, 3).astype(np.float64)

    def fits(self, cell: FloatArray) -> bool:
        """Return whether the lattice with these vectors has the symmetry."""
        if len(self) == 1:
            return True
        metric = cell @ cell.T
        turned = np.einsum("nki,kl,nlj->nij", self._point_operations, metric, self._point_operations)
        lengths = np.sqrt(np.diag(metric))
        return bool((np.abs(turned - metric) <= _METRIC_TOLERANCE * np.outer(lengths, lengths)).all())


def _keys(rotations: npt.NDArray[np.int64], translations: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    digits = rotations.reshape(*rotations.shape[:-2], 9) + 2
    return digits @ (5 ** np.arange(9)) * _DEN**3 + translations @ (_DEN ** np.arange(3))


def _products(rotations: npt.NDArray[np.int64], translations: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    keys = _keys(rotations, translations)
    order = np.argsort(keys)
    turned = rotations[:, None] @ rotations[None]
    moved = (np.einsum("aij,bj->abi", rotations, translations) + translations[:, None]) % _DEN
    wanted = _keys(np.clip(turned, -2, 2), moved)
    places = np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)
    return np.where(keys[order[places]] == wanted, order[places], -1)


def group_of(name: str, operations: Iterable[Any], number: int | None = None) -> Group:
    """Return the group of gemmi's operations, which must be one."""
    unique = {(tuple(map(tuple, op.rot)), tuple(t % _DEN for t in op.tran)): None for op in operations}
    rotations = np.array([rotation for rotation, _ in unique], dtype=np.int64) // _DEN
    translations = np.array([translation for _, translation in unique], dtype=np.int64)
    identity = (rotations == np.eye(3, dtype=np.int64)).all(axis=(1, 2)) & ~translations.any(axis=1)
    order = np.argsort(~identity, kind="stable")
    return Group(name, rotations[order], translations[order], number)


TRIVIAL = group_of("P 1", [gemmi.Op("x,y,z")], 1)
"""The group of a cell in which every atom is listed."""


@lru_cache(maxsize=4096)
def operation(triplet: str) -> Any:
    """Return gemmi's operation for a text such as ``-x+1/2, y, z``.

    Raises
    ------
    ValueError
        If it is none that maps a lattice onto itself, or its translation is no multiple of 1/24.
    """
    try:
        if not _TRIPLET.fullmatch(triplet):
            raise ValueError("it must be made of x, y, z and fractions")
        for decimal in _DECIMAL.findall(triplet):  # gemmi takes the nearest multiple, however far
            off, digits = abs(float(decimal) - round(float(decimal) * _DEN) / _DEN), len(decimal.partition(".")[2])
            if off > (1e-9 if digits < 2 else 1.001 * 10.0**-digits):  # rounded or cut
                raise ValueError(f"{decimal} is no multiple of 1/24")
        op = gemmi.Op(triplet)
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"symmetry operation {triplet!r}: {error}") from None
    rotation = np.array(op.rot) / _DEN
    if abs(round(np.linalg.det(rotation), 6)) != 1 or (rotation != rotation.round()).any() or abs(rotation).max() > 2:
        raise ValueError(f"symmetry operation {triplet!r} does not map a lattice onto itself")
    return op


@lru_cache(maxsize=1024)
def listed_group(triplets: tuple[str, ...]) -> Group | None:
    """Return the group that a list of operations is, None if it is none; a missing identity is added.

    Raises
    ------
    ValueError
        If one of them is no operation, or there are too many.
    """
    if len(triplets) > _MOST:
        raise ValueError(f"there are {len(triplets)} symmetry operations, more than any group has")
    group = group_of("", [gemmi.Op("x,y,z"), *map(operation, triplets)])
    if (group.table < 0).any():
        return None
    unique = {op.triplet(): op for op in (gemmi.Op(triplet).wrap() for triplet in ("x,y,z", *triplets))}
    known = gemmi.find_spacegroup_by_ops(gemmi.GroupOps(list(unique.values())))
    if known is None:
        return Group(f"a group of {len(group)} operations", group.rotations, group.translations)
    return Group(known.xhm(), group.rotations, group.translations, known.number)


@lru_cache(maxsize=1024)
def hall_group(symbol: str) -> Group:
    """Return the group of a Hall symbol.

    Raises
    ------
    ValueError
        If it is none.
    """
    try:
        operations = gemmi.symops_from_hall(symbol)
        known = gemmi.find_spacegroup_by_ops(operations)
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"Hall symbol {symbol!r} is unknown: {error}") from None
    return group_of(f"Hall {symbol}", operations, known.number if known is not None else None)


@lru_cache(maxsize=1024)
def named_groups(name: str) -> tuple[tuple[Group, ...], ...]:
    """Return the groups that a Hermann-Mauguin symbol may mean, in tiers: the first that the cell allows counts.

    Parameters
    ----------
    name : str
        Short or full, with or without blanks, with an origin (``:1``, ``S``, ``origin choice 2``) or axes (``:H``,
        ``R``), or without, when it means each of them.

    Returns
    -------
    tuple of tuple of Group
        Empty if the name is unknown.
    """
    symbol, choice = _normal(name)
    settings: list[Any] = []
    for form in (symbol, _shortened(symbol)):
        found = gemmi.find_spacegroup_by_name(form)  # knows C m c e for C m c a, and F m 3 m for F m -3 m, too
        settings += [] if found is None else [sg for sg in _by_short_name()[_compact(found.hm)] if sg.hm == found.hm]
        if found is not None and form[0] in "Hh":  # H 3 2 is a name for hexagonal axes alone
            choice = choice or "H"
        settings += _by_short_name().get(_compact(form), ())
    settings = [sg for sg in settings if choice in ("", sg.ext) and _spaced_alike(symbol, sg.hm)]
    tiers: dict[str, dict[str, Group]] = {}  # P 2 has its axis along b, unless the cell says along c
    for sg in settings:
        tiers.setdefault(sg.hm, {})[sg.xhm()] = _table_group(sg)
    return tuple(tuple(tier.values()) for tier in tiers.values())


@lru_cache(maxsize=512)
def numbered_groups(number: int, code: str | None) -> tuple[Group, ...]:
    """Return the settings of a number of the International Tables, the standard one first, with each origin and axes.

    Parameters
    ----------
    number : int
        From 1 to 230.
    code : str or None
        What ``_space_group_IT_coordinate_system_code`` says of origin, axes and cell.

    Raises
    ------
    ValueError
        If there is no such setting.
    """
    settings = [sg for sg in _table() if sg.number == number]
    if code is not None:
        origin, axes = re.fullmatch(r"([12hr]?)(.*)", code.strip().lower()).groups()  # type: ignore[union-attr]
        settings = [
            sg
            for sg in settings
            if origin in ("", sg.ext.lower()) and axes in ("" if origin else None, sg.qualifier.lower() or "abc")
        ]
        if not settings:
            raise ValueError(f"_space_group_IT_coordinate_system_code {code!r} is unknown for space group {number}")
    return tuple(map(_table_group, settings))


def standard(groups: tuple[Group, ...]) -> tuple[Group, ...]:
    """Return the first of some settings, with each of its origins and axes."""
    symbol, _, _ = groups[0].name.partition(":")
    return tuple(group for group in groups if group.name.partition(":")[0] == symbol)


@lru_cache(maxsize=1)
def _table() -> tuple[Any, ...]:
    return tuple(gemmi.spacegroup_table())


@lru_cache(maxsize=1)
def _by_short_name() -> dict[str, list[Any]]:
    """Return the settings in gemmi's table by their names without blanks, monoclinic ones without their 1s, too."""
    names: dict[str, list[Any]] = {}
    for sg in _table():
        short = "".join(part for part in sg.hm.split() if part != "1") if 2 < sg.number < 16 else sg.hm
        for name in {_compact(sg.hm), _compact(short)}:
            names.setdefault(name, []).append(sg)
    return names


@lru_cache(maxsize=600)
def _group_of_setting(place: int) -> Group:
    sg = _table()[place]
    return group_of(sg.xhm(), sg.operations(), sg.number)


def _table_group(sg: Any) -> Group:
    return _group_of_setting(_places()[sg.hall, sg.xhm()])


@lru_cache(maxsize=1)
def _places() -> dict[tuple[str, str], int]:
    return {(sg.hall, sg.xhm()): place for place, sg in enumerate(_table())}


def _compact(name: str) -> str:
    return "".join(name.split()).lower()


def _spaced_alike(name: str, symbol: str) -> bool:
    """Return whether the blanks in a name do not speak against a symbol, as those of ``P 31 2`` against ``P 3 1 2``."""
    for form in (symbol, " ".join(part for part in symbol.split() if part != "1")):
        if _compact(form) == _compact(name):
            given, meant = _gaps(re.sub(r"\s*/\s*", "/", name)), _gaps(form)
            text = _compact(form)
            digits = (text[gap - 1].isdigit() and text[gap].isdigit() for gap in meant - given)
            return given <= meant and not (given - {1} and any(digits))
    return True


def _gaps(name: str) -> set[int]:
    """Return where a name has blanks, counted in the name without them."""
    gaps, at = set(), 0
    for part in name.split()[:-1]:
        at += len(part)
        gaps.add(at)
    return gaps


_BAR = re.compile(r"\\(?:bar|overline|=)\s*\{?\s*([1-6])\}?")
_MARKS = re.compile(r"[~_{}$\\]|</?su[bp]>", re.IGNORECASE)
_SCREW = re.compile(r"(?<=[1-6])\(([1-5])\)")
_REMARK = re.compile(r"\s*[(\[]\s*(?:no\.?|nr\.?|#|it)?\s*[0-9]{1,3}\s*[)\]]\s*$", re.IGNORECASE)
_ORIGIN = re.compile(r"(?:\s*:\s*|[\s(,]+(?:origin(?:\s*choice)?\s*|o))([12])\s*\)?\s*$", re.IGNORECASE)
_AXES = re.compile(r"[\s:(,]+(hexagonal|rhombohedral)(?:\s*axes)?\s*\)?\s*$", re.IGNORECASE)
_ICSD = re.compile(r"(?<=.)[\s:]*([SZ])$")  # no symbol ends with these letters
_CHOSEN_AXES = re.compile(r"\s*:\s*([HRhr])$")
_RHOMBOHEDRAL = re.compile(r"(?<=[1-6mcn])\s*([HR])$")


def _normal(name: str) -> tuple[str, str]:
    """Return a name as gemmi takes it, and the origin or axes that it states: 1, 2, H, R or nothing."""
    name = _SCREW.sub(r"\1", _MARKS.sub("", _BAR.sub(r"-\1", name)))
    name = _REMARK.sub("", name).strip().strip("'\"")
    for form in (_ORIGIN, _AXES, _ICSD, _CHOSEN_AXES, _RHOMBOHEDRAL):
        if found := form.search(name):
            choice = found[1][0].upper()
            return name[: found.start()].strip(), {"S": "1", "Z": "2"}.get(choice, choice)
    return name, ""


_FULL = (
    re.compile(r"([pabcfi])2[1]?/([a-z])2[1]?/([a-z])2[1]?/([a-z])"),
    re.compile(r"([pfi])[24][1-3]?/([a-z])-?3(?:2/([a-z]))?"),
    re.compile(r"([pr])(-3)(1?)2/([a-z])(1?)"),
    re.compile(r"([pi])([46][1-5]?/[a-z])2[1]?/([a-z])2[1]?/([a-z])"),
)


def _shortened(name: str) -> str:
    """Return the short name for a full one, as Fm-3m for F 4/m -3 2/m; names of other forms as they are."""
    compact = _compact(name)
    for place, form in enumerate(_FULL):
        if found := form.fullmatch(compact):
            parts = [part or "" for part in found.groups()]
            if place == 1:
                parts.insert(2, "-3")
            return parts[0].upper() + "".join(parts[1:])
    return name
