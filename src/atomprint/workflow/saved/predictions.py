"""What a model says about new structures, and how far to trust it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from atomprint.datasets.failures import Failure
from atomprint.util.extras import require
from atomprint.util.notebook import MOST_ROWS, card
from atomprint.util.plain import finite_or_none
from atomprint.util.text import shown, with_unit

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions, one row for each structure, or for each atom.

    What could not be predicted has one row too: its value is nan, and ``failures`` says why.

    Parameters
    ----------
    target, title, unit : str
        What is predicted, as in the card of the model.
    classes : tuple of str
        Names of the classes; empty for a number.
    ids : tuple of str
        Name of each row; atoms are named ``"<structure>/<atom>"``.
    structures : ndarray of int, shape (n,)
        The structure that each row is or belongs to, counted from 0.
    atoms : ndarray of int, shape (n,), or None
        For a target of atoms: the atom of each row; -1 for a structure that could not be predicted.
    values : ndarray of float64, shape (n,)
        Numbers in ``unit``, or indices of classes.
    lower, upper : ndarray of float64, shape (n,), or None
        Interval that is to hold the truth with probability ``level``; None if the model has none.
    level : float or None
        Such as 0.9.
    probabilities : ndarray of float64, shape (n, n_classes), or None
        Of all classes; None for numbers, and for models without probabilities.
    sets : ndarray of bool, shape (n, n_classes), or None
        Which classes are in the set that is to hold the truth with probability ``level``.
    in_domain : ndarray of bool, shape (n,)
        Whether the sample is like those of the training; see :class:`~atomprint.workflow.Domain`.
    distance : ndarray of float64, shape (n,)
        Distance to the training set; nan where it is not known.
    warnings : tuple of tuple of str, length n
        What is unusual about each row, in sentences; why there is no prediction, where there is none.
    failures : tuple of Failure
        Structures that could not be predicted, with ``on_error="skip"``.
    at_least : float or None
        What the target cannot be less than, such as 0 for a band gap, if predictions or intervals were cut off there.
    in_training : ndarray of bool, shape (n,), or None
        Whether the model was fitted to this structure or composition: then it says what it remembers, and intervals,
        which are for new samples, mean little. None for files of models that do not know their training set.
    doubt : ndarray of float64, shape (n,), or None
        How unusual the sample is by all signs together, the model's own (trees or members that disagree, the variance
        of its process) and those of features and geometry: above 1, which 5 % of new samples like those of the training
        exceed, it is outside the domain. nan where there is no prediction; None for models that do not know.
    """

    target: str
    title: str
    unit: str
    classes: tuple[str, ...]
    ids: tuple[str, ...]
    structures: Indices
    atoms: Indices | None
    values: FloatArray
    lower: FloatArray | None
    upper: FloatArray | None
    level: float | None
    probabilities: FloatArray | None
    sets: npt.NDArray[np.bool_] | None
    in_domain: npt.NDArray[np.bool_]
    distance: FloatArray
    warnings: tuple[tuple[str, ...], ...]
    failures: tuple[Failure, ...] = ()
    at_least: float | None = None
    in_training: npt.NDArray[np.bool_] | None = None
    doubt: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        outside = int((~self.in_domain).sum()) - len(self.failures)
        parts = [f"{len(self)} of {self.target!r}", f"{outside} outside the training domain" if outside else ""]
        parts.append(f"{len(self.failures)} failed" if self.failures else "")
        return f"Predictions({', '.join(part for part in parts if part)})"

    def _repr_html_(self) -> str:
        rows = [self._row(i) for i in range(min(len(self), MOST_ROWS))]
        headers = list(dict.fromkeys(name for row in rows for name in row))
        cells = [[_cell(row.get(name)) for name in headers] for row in rows]
        return card(with_unit(self.title, self.unit), [("", repr(self))], headers, cells, n_rows=len(self))

    @property
    def labels(self) -> npt.NDArray[np.object_]:
        """Names of the predicted classes; None where there is no prediction.

        Raises
        ------
        ValueError
            If numbers are predicted.
        """
        if not self.classes:
            raise ValueError(f"target {self.target!r} is a number and has no classes")
        return np.array([self.classes[int(v)] if np.isfinite(v) else None for v in self.values], dtype=object)

    def of_structure(self, structure: int) -> FloatArray:
        """Return the predicted values of one structure: of all its atoms in their order, or its only one."""
        return self.values[self.structures == structure]

    def take(self, rows: Sequence[int]) -> Self:
        """Return some of the rows, in the order in which they are named."""
        places = np.asarray(rows, dtype=np.intp)
        own: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, np.ndarray):
                own[item.name] = value[places]
            elif item.name in ("ids", "warnings"):
                own[item.name] = tuple(value[place] for place in places)
        kept = {int(structure) for structure in own["structures"]}
        return replace(self, **own, failures=tuple(failure for failure in self.failures if failure.row in kept))

    def to_dict(self) -> dict[str, Any]:
        """Return everything in types of JSON, one dict a row under ``"rows"``; None stands for nan."""
        return {
            "target": self.target,
            "title": self.title,
            "unit": self.unit,
            "classes": list(self.classes),
            "level": self.level,
            "rows": [self._row(i) for i in range(len(self))],
            "failures": [failure.to_dict() for failure in self.failures],
        }

    def to_pandas(self) -> pd.DataFrame:
        """Return a table with one row for each prediction.

        Returns
        -------
        pandas.DataFrame
            Columns ``id``, the name of the target (numbers or names of classes), ``lower`` and ``upper``,
            ``p(<class>)`` and ``set``, as far as the model has them, ``in_domain``, ``distance``, ``doubt``,
            ``in_training`` and ``warnings``; for atoms ``structure`` and ``atom`` too.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        pd = require("pandas", "data", "to_pandas")
        columns: dict[str, Any] = {"id": list(self.ids)}
        if self.atoms is not None:
            columns |= {"structure": self.structures, "atom": self.atoms}
        columns[self.target if self.target not in _COLUMNS else "prediction"] = (
            self.labels if self.classes else self.values
        )
        if self.lower is not None:
            columns |= {"lower": self.lower, "upper": self.upper}
        if self.probabilities is not None:
            columns |= {f"p({name})": self.probabilities[:, i] for i, name in enumerate(self.classes)}
        if self.sets is not None:
            columns["set"] = [", ".join(self._set(i)) for i in range(len(self))]
        columns |= {"in_domain": self.in_domain, "distance": self.distance}
        if self.doubt is not None:
            columns["doubt"] = self.doubt
        if self.in_training is not None:
            columns["in_training"] = self.in_training
        columns["warnings"] = ["; ".join(sentences) for sentences in self.warnings]
        return pd.DataFrame(columns)

    def _set(self, i: int) -> list[str]:
        return [] if self.sets is None else [name for name, own in zip(self.classes, self.sets[i], strict=True) if own]

    def _row(self, i: int) -> dict[str, Any]:
        value = finite_or_none(self.values[i])
        row: dict[str, Any] = {"id": self.ids[i], "structure": int(self.structures[i])}
        if self.atoms is not None:
            row["atom"] = int(self.atoms[i])
        row["value"] = self.classes[int(value)] if self.classes and value is not None else value
        if self.lower is not None and self.upper is not None:
            row |= {"lower": finite_or_none(self.lower[i]), "upper": finite_or_none(self.upper[i])}
        if self.probabilities is not None:
            row["probabilities"] = {
                name: finite_or_none(p) for name, p in zip(self.classes, self.probabilities[i], strict=True)
            }
        if self.sets is not None:
            row["set"] = self._set(i)
        row |= {"in_domain": bool(self.in_domain[i]), "distance": finite_or_none(self.distance[i])}
        if self.doubt is not None:
            row["doubt"] = finite_or_none(self.doubt[i])
        if self.in_training is not None:
            row["in_training"] = bool(self.in_training[i])
        return row | {"warnings": list(self.warnings[i])}


_COLUMNS = {"id", "structure", "atom", "lower", "upper", "set", "in_domain", "distance", "doubt", "in_training"}
_COLUMNS |= {"warnings"}


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {shown(p)}" for name, p in value.items())
    return "; ".join(value) if isinstance(value, list) else shown(value)
