"""What a data set holds, in numbers and in small tables of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from atomprint.datasets.target import Label, Target
from atomprint.formats.labels import FoundLabel
from atomprint.util.plain import plain
from atomprint.util.types import JsonObject

TARGETS = ("target", "unit", "known", "unknown", "values")


@dataclass(frozen=True)
class TargetSummary:
    """What is known of one property.

    Parameters
    ----------
    title, unit, kind, level : str
        See :class:`~atomprint.datasets.Target`.
    n_known, n_unknown : int
        For how many structures it is known, and for how many not.
    minimum, median, maximum : float or None
        Over all known values (of all atoms); None for classes, or if nothing is known.
    counts : mapping of str to int
        How many structures (or atoms) are in each class; empty for a number.
    n_atoms : int or None
        For how many atoms it is known; None for a property of structures.
    """

    title: str
    unit: str
    kind: str
    level: str
    n_known: int
    n_unknown: int
    minimum: float | None
    median: float | None
    maximum: float | None
    counts: Mapping[str, int]
    n_atoms: int | None

    @classmethod
    def of(cls, target: Target) -> TargetSummary:
        """Count what is known of a property."""
        known = target.known
        if target.level == "atom":
            values = np.concatenate([np.asarray(target.values[s], dtype=np.float64) for s in known] or [np.zeros(0)])
            values = values[np.isfinite(values)]
        else:
            values = np.asarray(target.values[known], dtype=np.float64)
        is_number = not target.classes and len(values) > 0
        return cls(
            title=target.title,
            unit=target.unit,
            kind=target.kind,
            level=target.level,
            n_known=len(known),
            n_unknown=len(target.values) - len(known),
            minimum=float(values.min()) if is_number else None,
            median=float(np.median(values)) if is_number else None,
            maximum=float(values.max()) if is_number else None,
            counts={label: int((values == index).sum()) for index, label in enumerate(target.classes)},
            n_atoms=len(values) if target.level == "atom" else None,
        )


@dataclass(frozen=True)
class Summary:
    """What a data set holds; ``str`` gives it as text.

    Parameters
    ----------
    name, title, licence : str
        See :class:`~atomprint.datasets.Dataset`.
    kind : {"structures", "molecules", "compositions"}
        What it has of each row.
    n : int
        Number of structures, molecules or compositions.
    targets : mapping of str to TargetSummary
        Its properties.
    elements : mapping of str to int
        In how many rows each element occurs, in the order of atomic numbers.
    n_formulas, n_chemical_systems : int
        How many different reduced formulas and sets of elements there are.
    n_atoms : (int, float, int) or None
        Least, median and largest number of atoms; None for compositions.
    groups : mapping of str to int
        How many labels each grouping has.
    n_folds : int
        Number of official folds.
    failures : mapping of str to int
        How many rows were left out, by the step that failed.
    labels : tuple of FoundLabel
        Energies, forces and stresses of the file, with their keys and units.
    """

    name: str
    title: str
    licence: str
    kind: str
    n: int
    targets: Mapping[str, TargetSummary]
    elements: Mapping[str, int]
    n_formulas: int
    n_chemical_systems: int
    n_atoms: tuple[int, float, int] | None
    groups: Mapping[str, int]
    n_folds: int
    failures: Mapping[str, int]
    labels: tuple[FoundLabel, ...] = ()

    def to_dict(self) -> JsonObject:
        """Return all of it as what JSON can hold."""
        return dict(plain(self))

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield what there is to say, as pairs of what it is about and what is said; targets are not among these."""
        yield "", f"{self.n_formulas} different formulas, {self.n_chemical_systems} chemical systems"
        if self.n_atoms is not None:
            yield "atoms in a structure", "{} to {}, median {:g}".format(*(self.n_atoms[i] for i in (0, 2, 1)))
        listed = " ".join(f"{symbol} {count}" for symbol, count in self.elements.items())
        yield f"{len(self.elements)} elements (in how many {self.kind})", listed
        yield from ((f"group {name!r}", f"{count} labels") for name, count in self.groups.items())
        if self.n_folds:
            yield "official folds", str(self.n_folds)
        if self.labels:
            yield "labels for potentials", ", ".join(map(str, self.labels))
        yield from ((f"left out, since {step} failed", str(count)) for step, count in self.failures.items())

    def __str__(self) -> str:
        lines = [f"{self.title}: {self.n} {self.kind}"]
        lines += [f"  {head}: {text}" if head else f"  {text}" for head, text in self.lines()]
        if self.targets:
            lines += ["", *text_table(TARGETS, self.target_rows()).splitlines()]
        return "\n".join(lines)

    def target_rows(self) -> list[tuple[str, ...]]:
        """Return a row for each property, with the columns ``TARGETS``."""
        rows: list[tuple[str, ...]] = []
        for name, target in self.targets.items():
            known = str(target.n_known) if target.n_atoms is None else f"{target.n_known} ({target.n_atoms} atoms)"
            if target.counts:
                values = ", ".join(f"{label}: {count}" for label, count in target.counts.items())
            elif target.median is None:
                values = "none"
            else:
                values = f"{target.minimum:.6g} to {target.maximum:.6g}, median {target.median:.6g}"
            rows.append((name, target.unit, known, str(target.n_unknown), values))
        return rows


def text_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows of text below headers, in columns of equal width."""
    lines = [[" ".join(str(cell).split()) for cell in row] for row in (headers, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def shown(value: Label) -> str:
    """Return a value of a target as a cell of a table; "?" if it is not known."""
    if value is None:
        return "?"
    if isinstance(value, np.ndarray):
        return f"{np.isfinite(value).sum()} of {len(value)} atoms"
    if isinstance(value, float):
        return "?" if np.isnan(value) else f"{value:.6g}"
    return str(value)
