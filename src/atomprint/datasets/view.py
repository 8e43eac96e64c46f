"""What a data set holds, in numbers and in small tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from atomprint.datasets.dataset import Dataset, Failure, Target
from atomprint.util.validation import check_integer


@dataclass(frozen=True)
class TargetSummary:
    """What is known of one property.

    Parameters
    ----------
    title, unit, kind, level : str
        See :class:`~atomprint.datasets.dataset.Target`.
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


@dataclass(frozen=True)
class Summary:
    """What a data set holds; ``str`` gives it as text.

    Parameters
    ----------
    name, title, licence : str
        See :class:`~atomprint.datasets.dataset.Dataset`.
    kind : {"structures", "compositions"}
        What it has of each row.
    n : int
        Number of structures or compositions.
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

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as what JSON can hold."""
        return {**asdict(self), "n_atoms": None if self.n_atoms is None else list(self.n_atoms)}

    def __str__(self) -> str:
        lines = [f"{self.title}: {self.n} {self.kind}"]
        lines.append(f"  {self.n_formulas} different formulas, {self.n_chemical_systems} chemical systems")
        if self.n_atoms is not None:
            lines.append("  atoms in a structure: {} to {}, median {:g}".format(*(self.n_atoms[i] for i in (0, 2, 1))))
        listed = " ".join(f"{symbol} {count}" for symbol, count in self.elements.items())
        lines.append(f"  {len(self.elements)} elements (in how many {self.kind}): {listed}")
        lines += [f"  group {name!r}: {count} labels" for name, count in self.groups.items()]
        lines += [f"  {self.n_folds} official folds"] if self.n_folds else []
        lines += [f"  left out, since {step} failed: {count}" for step, count in self.failures.items()]
        if self.targets:
            lines += ["", *text_table(("target", "unit", "known", "unknown", "values"), self._rows()).splitlines()]
        return "\n".join(lines)

    def _rows(self) -> list[tuple[str, ...]]:
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


def summarise(dataset: Dataset) -> Summary:
    """Return what a data set holds; see :class:`Summary`."""
    systems = [system.split("-") for system in dataset.chemical_systems]
    occurring = Counter(element for system in systems for element in system)
    sizes = None
    if dataset.structures is not None and len(dataset):
        n_atoms = dataset.n_atoms
        sizes = (int(n_atoms.min()), float(np.median(n_atoms)), int(n_atoms.max()))
    return Summary(
        name=dataset.name,
        title=dataset.title,
        licence=dataset.licence,
        kind="compositions" if dataset.structures is None else "structures",
        n=len(dataset),
        targets={name: _summarise(target) for name, target in dataset.targets.items()},
        elements={element: occurring[element] for element in dataset.elements},
        n_formulas=len(set(dataset.formulas)),
        n_chemical_systems=len(set(dataset.chemical_systems)),
        n_atoms=sizes,
        groups={name: len(set(labels.tolist()) - {""}) for name, labels in dataset.groups.items()},
        n_folds=len(dataset.folds),
        failures=dict(Counter(failure.step for failure in dataset.failures)),
    )


def _summarise(target: Target) -> TargetSummary:
    known = target.known
    if target.level == "atom":
        values = np.concatenate([np.asarray(target.values[s], dtype=np.float64) for s in known] or [np.zeros(0)])
        values = values[np.isfinite(values)]
    else:
        values = np.asarray(target.values[known], dtype=np.float64)
    is_number = not target.classes and len(values) > 0
    return TargetSummary(
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


def preview(dataset: Dataset, n: int = 5) -> str:
    """Return the first ``n`` records of a data set as a table of text."""
    part = dataset[: check_integer("n", n, 0)]
    sizes = [] if part.structures is None else [part.n_atoms.astype(str).tolist()]
    headers = ["id", "formula", *["atoms"] * len(sizes)]
    headers += [f"{name} ({target.unit})" if target.unit else name for name, target in part.targets.items()]
    headers += list(part.groups)
    columns = [list(part.ids), list(part.formulas), *sizes]
    columns += [[_cell(target.label(i)) for i in range(len(part))] for target in part.targets.values()]
    columns += [labels.tolist() for labels in part.groups.values()]
    return text_table(headers, list(zip(*columns, strict=True)))


def failures_table(source: Dataset | Sequence[Failure], limit: int | None = 20) -> str:
    """Return which rows were left out, at which step and why, as a table of text.

    Parameters
    ----------
    source : Dataset or sequence of Failure
        What was read with ``on_error="skip"``, or its failures.
    limit : int or None
        How many rows to show at most; None for all.
    """
    failures = source.failures if isinstance(source, Dataset) else source
    if not failures:
        return "no row was left out"
    shown = failures[:limit]
    table = text_table(("row", "id", "step", "reason"), [(str(f.row), f.id, f.step, f.reason) for f in shown])
    more = len(failures) - len(shown)
    return f"{table}\n... and {more} more" if more else table


def text_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows of text below headers, in columns of equal width."""
    lines = [[" ".join(str(cell).split()) for cell in row] for row in (headers, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def to_pandas(dataset: Dataset, structures: bool | None = None) -> Any:
    """Return a data set as a data frame; see :meth:`~atomprint.datasets.dataset.Dataset.to_pandas`."""
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError("to_pandas needs pandas: pip install 'atomprint[data]'") from error
    if structures and dataset.structures is None:
        raise ValueError(f"structures: data set {dataset.name!r} has compositions only, and no structures")
    columns: dict[str, Any] = {}
    if structures is not False and dataset.structures is not None:
        columns["structure"] = _objects(dataset.structures)
    columns["formula"] = list(dataset.formulas)
    for name, target in dataset.targets.items():
        values: Any = target.values
        if target.level == "structure" and target.classes:
            codes = np.where(np.isfinite(values), values, -1).astype(int)
            values = pd.Categorical.from_codes(codes, categories=list(target.classes))
        columns[f"target {name}" if name in columns else name] = values
    for name, labels in dataset.groups.items():
        columns[f"group {name}" if name in columns else name] = labels.tolist()
    return pd.DataFrame(columns, index=pd.Index(dataset.ids, name="id", dtype=object))


def _objects(items: Any) -> Any:
    """Return items as an array of objects, which structures, being sequences, would not become by themselves."""
    array = np.empty(len(items), dtype=object)
    for index in range(len(items)):
        array[index] = items[index]
    return array


def _cell(value: Any) -> str:
    if value is None:
        return "?"
    if isinstance(value, np.ndarray):
        return f"{np.isfinite(value).sum()} of {len(value)} atoms"
    if isinstance(value, float):
        return "?" if np.isnan(value) else f"{value:.6g}"
    return str(value)
