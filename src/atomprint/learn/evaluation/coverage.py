"""How often intervals hold the truth, group by group: by element, symmetry, size, prediction and distance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols

from atomprint.learn.evaluation.breakdown import size_bins
from atomprint.learn.evaluation.intervals import Uncertainty
from atomprint.learn.evaluation.scaled import elements_of
from atomprint.learn.splits.groups import group_labels
from atomprint.learn.task.metrics import format_number
from atomprint.learn.task.problem import Problem
from atomprint.util.extras import installed
from atomprint.util.types import Array, FloatArray, JsonObject, Mask

ENOUGH = 50
"""Samples of a group from which on its coverage says something: by chance alone it is off by 0.04 then."""

_MOST_STRUCTURES = 5000  # whose symmetry is found for this alone
_MOST_LABELS = 40  # of a group that the data set has
_CRYSTAL_SYSTEMS = {
    "triclinic": 2,
    "monoclinic": 15,
    "orthorhombic": 74,
    "tetragonal": 142,
    "trigonal": 167,
    "hexagonal": 194,
    "cubic": 230,
}  # and the number of the last space group of each


@dataclass(frozen=True, slots=True)
class CoverageRow:
    """Intervals of some of the samples.

    Parameters
    ----------
    label : str
        Which samples.
    n : int
        How many.
    coverage : float
        Share of them whose truth is inside.
    mean_width : float
        Mean width of their intervals in the unit of the target, or mean number of classes in their sets.
    constant : float or None
        Share of them whose truth is inside intervals of one width; None for classes, or where they have one.
    """

    label: str
    n: int
    coverage: float
    mean_width: float
    constant: float | None

    def to_dict(self) -> JsonObject:
        """Return plain numbers and words, for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class GroupCoverage:
    """Coverage of the same intervals, grouped in several ways.

    Parameters
    ----------
    level : float
        The share that is promised, on average over all samples.
    tables : mapping of str to sequence of CoverageRow
        By "element" (a sample counts for each element that it has), by "crystal system" and "space group" where these
        are known or found quickly, by the groups of the data set, by "number of atoms", and up to ten equal parts by
        their "prediction" and by their "distance" from those that intervals are made from. Groups of fewer than 50
        samples are left out.
    """

    level: float
    tables: Mapping[str, Sequence[CoverageRow]]

    @property
    def least(self) -> float:
        """What a group must hold so as not to fall short: misses are twice as many as promised at most."""
        return max(0.0, 1 - 2 * (1 - self.level))

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return sum(map(len, self.tables.values()))

    def short(self) -> list[tuple[str, CoverageRow]]:
        """Return the groups that fall short, and what they are of, the worst first."""
        found = [(kind, row) for kind, rows in self.tables.items() for row in rows if row.coverage < self.least]
        return sorted(found, key=lambda item: item[1].coverage)

    def sentence(self, most: int = 8) -> str:
        """Return in words which groups fall short."""
        if not self.n_groups:
            return f"No group has the {ENOUGH} samples that would say something."
        rule = f"less than {100 * self.least:.0f} %"
        if not (short := self.short()):
            return f"Of {self.n_groups} groups of {ENOUGH} or more samples none holds {rule} of its true values."
        named = [f"{kind} {row.label} {100 * row.coverage:.0f} % ({row.n:,} samples)" for kind, row in short[:most]]
        more = f" and {len(short) - most} more" if len(short) > most else ""
        return (
            f"Of {self.n_groups} groups of {ENOUGH} or more samples {len(short)} hold {rule} of their true values: "
            f"{', '.join(named)}{more}. Trust intervals less there."
        )

    def to_dict(self) -> JsonObject:
        """Return plain numbers and words, for JSON."""
        return {
            "level": self.level,
            "least": self.least,
            "short": [{"by": kind, **row.to_dict()} for kind, row in self.short()],
            "tables": {name: [row.to_dict() for row in rows] for name, rows in self.tables.items()},
        }


def coverage_by_group(found: Uncertainty, problem: Problem) -> GroupCoverage | None:
    """Group the samples that coverage is about, and count in each group whose truth is inside.

    Parameters
    ----------
    found : Uncertainty
        Intervals, or sets of classes.
    problem : Problem
        The samples.

    Returns
    -------
    GroupCoverage or None
        None if there are no intervals.
    """
    judged = found.parts == "test" if found.checked_on == "test part" else np.ones(len(found.parts), dtype=bool)
    truth = problem.y[found.indices]
    constant = None
    if found.sets is not None:
        inside = found.sets[np.arange(len(truth)), truth.astype(np.intp)]
        width = found.sets.sum(axis=1).astype(np.float64)
    elif found.lower is not None and found.upper is not None and np.isfinite(found.upper[judged]).all():
        inside, width = _inside(found, truth), found.upper - found.lower
        constant = None if found.constant is None else _inside(found.constant, truth)
    else:
        return None
    tables = {}
    for kind, groups in _groups(found, problem, judged):
        rows = [
            CoverageRow(
                label,
                int(own.sum()),
                float(inside[own].mean()),
                float(width[own].mean()),
                None if constant is None else float(constant[own].mean()),
            )
            for label, own in groups
            if own.sum() >= ENOUGH
        ]
        if len(rows) > 1 or (rows and kind == "element"):
            tables[kind] = rows
    return GroupCoverage(found.level, tables)


def _inside(found: Uncertainty, truth: FloatArray) -> Mask:
    assert found.lower is not None
    assert found.upper is not None
    slack = 1e-12 * np.abs(truth)  # of a truth that is an end
    return np.asarray((found.lower - slack <= truth) & (truth <= found.upper + slack))


def _groups(found: Uncertainty, problem: Problem, judged: Mask) -> Iterator[tuple[str, list[tuple[str, Mask]]]]:
    """Yield ways to group predictions: labels, and which predictions have each."""
    samples = found.indices
    rows = problem.structures[samples]
    contains = elements_of(problem, samples)
    elements = np.flatnonzero((contains & judged[:, None]).any(axis=0))
    yield "element", [(chemical_symbols[z], contains[:, z] & judged) for z in elements]
    for name, labels in _labels(problem).items():
        own = labels[samples]
        different = [label for label in np.unique(own[judged]) if label]
        if name == "crystal system":
            different = [label for label in _CRYSTAL_SYSTEMS if label in different] or different
        elif name == "space group":
            different.sort(key=lambda label: (len(label), label))
        yield name, [(str(label), (own == label) & judged) for label in different]
    if problem.dataset.structures is not None:
        sizes = problem.dataset.n_atoms[rows]
        known = np.where(judged, sizes, sizes[judged][0])
        yield "number of atoms", [(label, own & judged) for label, own in size_bins(known)]
    if found.guess is not None:
        yield "prediction", _tenths(found.guess, judged, problem.target.unit)
    if found.distances is not None:
        yield "distance", _tenths(found.distances, judged)


def _tenths(values: FloatArray, judged: Mask, unit: str | None = None) -> list[tuple[str, Mask]]:
    """Return ten parts of about the same size; fewer where samples are few, or many values are the same."""
    n_parts = min(10, max(2, int(judged.sum()) // ENOUGH))
    edges = np.unique(np.quantile(values[judged], np.linspace(0, 1, n_parts + 1)[1:-1]))
    places = np.searchsorted(edges, values)
    parts = []
    size = float(np.abs(values[judged]).max())
    for place in range(len(edges) + 1):
        own = (places == place) & judged
        if own.any():
            low, high = (format_number(float(end), like=size) for end in (values[own].min(), values[own].max()))
            label = low if low == high else f"{low} to {high}"
            parts.append((f"{label} {unit}" if unit else label, own))
    return parts


def _labels(problem: Problem) -> dict[str, Array]:
    """Return groups of samples by what they are: those of the data set, and symmetry."""
    dataset = problem.dataset
    found = {
        name: group_labels(problem, name)
        for name in dataset.groups
        if 1 < len(set(dataset.groups[name])) <= _MOST_LABELS or name in ("space group", "crystal system")
    }
    if "space group" not in found and _has_quick_symmetry(problem):
        try:
            found["space group"] = group_labels(problem, "space group")
        except ValueError:  # molecules have none
            return found
    if "crystal system" not in found and all(label.isdigit() or not label for label in found.get("space group", ["-"])):
        names, last = list(_CRYSTAL_SYSTEMS), list(_CRYSTAL_SYSTEMS.values())
        numbers = np.array([int(label or 0) for label in found["space group"]])
        systems = np.array(["", *names])[np.where(numbers > 0, np.searchsorted(last, numbers) + 1, 0)]
        found = {"crystal system": systems, **found}
    return found


def _has_quick_symmetry(problem: Problem) -> bool:
    structures = problem.dataset.structures
    return structures is not None and len(structures) <= _MOST_STRUCTURES and installed("spglib")
