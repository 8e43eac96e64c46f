"""Which keys labels are under: one that is named, the only one, or one that says what all others say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from ase import Atoms

from atomprint.formats.labels import label_kind, label_of_row, words_of
from atomprint.potentials.labels.items import Collected, Item
from atomprint.potentials.labels.labelled import PLURAL

Key: TypeAlias = str | Sequence[str] | None
"""Name of a key; several, of which each structure's first is taken; ``""`` for none; None to find it."""

ARGUMENTS = {"energy": "energy_key", "forces": "forces_key", "stress": "stress_key"}
UNITS = {"energy": "eV", "forces": "eV/Å", "stress": "eV/Å^3"}
_SAME = 1e-6  # eV, eV/Å, eV/Å^3: labels that differ by less are the same, but for how they were printed
_PRINTED = 1e-7  # and so do those that differ by less of their size, as of single precision


def as_keys(key: Key, argument: str) -> tuple[str, ...] | None:
    """Return keys as a tuple, which is empty for none; None if they are to be found."""
    if key is None:
        return None
    keys = (key,) if isinstance(key, str) or not isinstance(key, Iterable) else tuple(key)
    for name in keys:
        if not isinstance(name, str):
            raise TypeError(f"{argument} must be a name or several names, got {name!r}")
    return tuple(name for name in keys if name)


def choose(
    kind: str, asked: tuple[str, ...] | None, items: list[Item], told: Collected
) -> tuple[str, list[Any]] | None:
    """Return the key of a label and its values, in the file's own units; None if there is none, or none is wanted."""
    if asked == ():
        return None
    argument = ARGUMENTS[kind]
    names: dict[str, None] = {}
    for item in items:
        names.update(dict.fromkeys(item.row.names()))
    if asked is not None:
        missing = [name for name in asked if name not in names]
        if missing:
            raise ValueError(f"{argument}: no key {missing[0]!r}: there are {listed(names)}")
        meant = {meaning: name for name in asked if (meaning := _meaning(name, kind))}
        if len(meant) > 1:
            one, other = [*meant.values()][:2]
            raise ValueError(
                f"{argument} must name keys of one kind, but {one!r} and {other!r} differ in sign or size by their "
                "names: give one of them, or convert the other"
            )
        columns = {name: _column(name, kind, items) for name in asked}
        values: list[Any] = [None] * len(items)
        for s in range(len(items)):
            for name in asked:
                value, problem = columns[name][s]
                if problem:
                    told.refuse(items, s, problem)
                elif value is not None and values[s] is None:
                    values[s] = value
        return " or ".join(asked), values
    wanted = {"energy": ("energy",), "forces": ("forces", "gradient"), "stress": ("stress", "virial")}[kind]
    candidates = {}
    for name in names:
        if label_kind(name) in wanted:
            column = _column(name, label_kind(name), items)
            if any(value is not None for value, _ in column) or (any(problem for _, problem in column)):
                candidates[name] = column
    if kind == "energy":
        for name in candidates:
            candidates[name] = _without_zeros(name, candidates[name], names, items, told)
        candidates = {name: column for name, column in candidates.items() if any(map(any, column))}
    # Of names that only look like it, such as that of a table, nothing can be read at all.
    readable = {name: column for name, column in candidates.items() if any(value is not None for value, _ in column)}
    candidates = readable or candidates
    if not candidates:
        return None
    best = max(candidates, key=lambda name: sum(value is not None for value, _ in candidates[name]))
    if len(candidates) > 1:
        best = _only(kind, candidates, items, told)
    for s, (_, problem) in enumerate(candidates[best]):
        if problem:
            told.refuse(items, s, problem)
    return best, [value for value, _ in candidates[best]]


def _without_zeros(name: str, column: _Column, names: Iterable[str], items: list[Item], told: Collected) -> _Column:
    """Return energies but for those of files that have nothing but 0 for atoms with forces: readers put it there."""
    zeros = [file for file, own in _by_file(items).items() if all(column[s] == (0.0, "") for s in own)]
    forces = [_column(other, "forces", items) for other in names if label_kind(other) == "forces"] if zeros else []
    moved = {items[s].file for part in forces for s, (value, _) in enumerate(part) if np.any(np.nan_to_num(value))}
    if not (zeros := [file for file in zeros if file in moved]):
        return column
    where = f" of {', '.join(zeros)}" if any(zeros) else ""
    told.warnings.append(
        f"Energies ({name!r}){where} are all 0, though there are forces: they are not used. "
        f"energy_key={name!r} uses them."
    )
    return [(None, "") if item.file in zeros else cell for item, cell in zip(items, column, strict=True)]


def _by_file(items: list[Item]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for s, item in enumerate(items):
        found.setdefault(item.file, []).append(s)
    return found


def _meaning(name: str, kind: str) -> str:
    """Return what the values of a key are by its name, of what its kind may be; empty where that is not told."""
    if kind == "energy":
        return "per atom" if {"per", "atom"} <= words_of(name) else "in all"
    if kind == "forces":
        return "gradient" if label_kind(name) == "gradient" else "forces"
    return label_kind(name)


_Column: TypeAlias = list[tuple[Any, str]]


def _column(name: str, kind: str, items: list[Item]) -> _Column:
    """Return the values of a key for all structures, and what is wrong with each."""
    found: _Column = []
    for item in items:
        try:
            found.append((label_of_row(item.row, name, kind, len(item.atoms)), ""))
        except ValueError as error:
            found.append((None, str(error)))
    return found


def _only(kind: str, candidates: Mapping[str, _Column], items: list[Item], told: Collected) -> str:
    """Return the key that has all that the others have; raise where they differ, or none of them has."""
    argument = ARGUMENTS[kind]
    has = {name: {s for s, (value, _) in enumerate(column) if value is not None} for name, column in candidates.items()}
    # Of a stress and a virial, the sign of the stress is known.
    best = max(candidates, key=lambda name: (len(has[name]), label_kind(name) in ARGUMENTS))
    signed = {name: _comparable(kind, name, column, items) for name, column in candidates.items()}
    listed = "; ".join(f"{name!r} in {len(has[name])} of {len(items)} structures" for name in candidates)
    for other in candidates:
        if other == best:
            continue
        for s in sorted(has[best] & has[other]):
            one, two = signed[best][s], signed[other][s]
            # A virial and a stress are the same whatever its sign.
            loose = kind == "stress" and label_kind(best) != label_kind(other)
            gap = min(_gap(one, two), _gap(one, -two) if loose else np.inf)
            size = 0.0 if loose else float(np.nanmax(np.abs(one), initial=0.0))
            if gap > max(_SAME, _PRINTED * size):
                raise ValueError(
                    f"{argument} must be given, since several keys may be meant and they differ: {listed}; "
                    f"of {items[s].place}, {best!r} and {other!r} differ by {gap:.3g} {UNITS[kind]}"
                    + (
                        ". Forces are mostly the derivative of the free energy"
                        if any("free" in words_of(name) for name in (best, other))
                        else ""
                    )
                )
        if not has[other] <= has[best]:
            both = f"({best!r}, {other!r})"
            raise ValueError(
                f"{argument} must be given, since no key has all {PLURAL[kind]}: {listed}. "
                f"{argument}={both} takes the first that a structure has; one name leaves the other out"
            )
    same = ", ".join(repr(name) for name in candidates if name != best)
    told.notes.append(f"{PLURAL[kind].capitalize()} are those of {best!r}; {same} says the same.")
    return best


def _comparable(kind: str, name: str, column: _Column, items: list[Item]) -> list[Any]:
    values = [value for value, _ in column]
    if label_kind(name) == "gradient":
        return [None if value is None else -value for value in values]
    if label_kind(name) == "virial":
        return [
            None if value is None else value / max(abs(float(np.linalg.det(_cell(item.atoms)))), 1e-12)
            for value, item in zip(values, items, strict=True)
        ]
    return values


def _cell(atoms: Any) -> Any:
    if isinstance(atoms, Atoms):
        return atoms.cell.array
    lattice = getattr(atoms, "lattice", None)
    return np.zeros((3, 3)) if lattice is None else lattice.matrix


def _gap(one: Any, two: Any) -> float:
    difference = np.abs(np.asarray(one) - np.asarray(two))
    return float(np.nanmax(difference, initial=0.0)) if np.isfinite(difference).any() else 0.0


def listed(names: Iterable[str], most: int = 30) -> str:
    """Return keys in a sentence."""
    known = list(names)
    rest = f" and {len(known) - most} more" if len(known) > most else ""
    return (", ".join(map(repr, known[:most])) + rest) or "none"


def none_found(items: list[Item], asked: Mapping[str, Key]) -> str:
    """Return in a sentence that there are no labels, and what there is."""
    names = dict.fromkeys(name for item in items for name in item.row.names())
    there = f"there are the keys {listed(names)}" if names else "nothing is said of them"
    what = f"structures have no energies, forces or stresses: {there}"
    if any(asked.values()):
        return f"{what}, and none of those that were asked for has a value"
    if any(getattr(item.atoms, "calc", None) is not None for item in items):
        return f"{what}. They have a calculator, which was not asked to compute: call get_forces() of each before"
    return f"{what}; energy_key, forces_key and stress_key say which of them are labels"


def tell_unused(told: Collected, items: list[Item], asked: Mapping[str, Key], found: Mapping[str, Any]) -> None:
    """Note energies that are there but per atom by their name, which nobody asked for."""
    if asked["energy"] is not None or "energy" in found:
        return
    names = dict.fromkeys(name for item in items for name in item.row.names())
    if per_atom := next((name for name in names if {"energy", "per", "atom"} <= words_of(name)), ""):
        told.notes.append(f"No energies are used: {per_atom!r} is per atom, and may be given as energy_key.")
