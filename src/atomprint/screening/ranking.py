"""Which rows come first: by one objective, or by several of which none is worth more than another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from atomprint.util.types import FloatArray, Indices
from atomprint.util.validation import meant


@dataclass(frozen=True)
class Objective:
    """A column that is to be small or large.

    Parameters
    ----------
    column : str
        Its name.
    largest : bool
        Whether the largest is best.
    """

    column: str
    largest: bool = False

    @classmethod
    def read(cls, text: str, columns: Sequence[str]) -> Self:
        """Return the objective that a name stands for, with a minus before it where the largest is best.

        Raises
        ------
        ValueError
            If there is no such column.
        """
        if text in columns:
            return cls(text)
        name = text.removeprefix("-").strip()
        if name not in columns:
            raise ValueError(f"by must be of {', '.join(columns)}, got {name!r}{meant(name, columns)}")
        return cls(name, largest=text.startswith("-"))

    def __str__(self) -> str:
        return f"{'largest' if self.largest else 'smallest'} {self.column}"

    def costs(self, columns: Mapping[str, Any], cautious: bool = False) -> FloatArray:
        """Return what is to be small: the column, or minus it; nan where it is not known.

        Where ``cautious`` it is the worse end of the interval, if there is one.
        """
        end = f"{self.column}_{'lower' if self.largest else 'upper'}"
        values = columns[end if cautious and end in columns else self.column]
        try:
            found = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
        except (TypeError, ValueError):
            raise ValueError(f"by: {self.column!r} has words, which cannot be ranked") from None
        return -found if self.largest else found


def pareto_fronts(costs: FloatArray, most: int | None = None) -> Indices:
    """Return the front that each row is on: 0 for those that no other row beats in all that counts.

    Parameters
    ----------
    costs : ndarray, shape (n, n_objectives)
        To be small; rows that have nan are on no front.
    most : int, optional
        Stop when so many rows are on fronts.

    Returns
    -------
    ndarray of int, shape (n,)
        From 0; -1 for rows that are on none.
    """
    fronts = np.full(len(costs), -1, dtype=np.intp)
    left = np.flatnonzero(np.isfinite(costs).all(axis=1))
    left = left[np.lexsort(costs[left].T[::-1])]  # what beats a row comes before it
    front = done = 0
    while len(left) and (most is None or done < most):
        kept: list[int] = []
        best = np.empty((0, costs.shape[1]))
        for row in left.tolist():
            beaten = (best <= costs[row]).all(axis=1) & (best < costs[row]).any(axis=1)
            if not beaten.any():
                kept.append(row)
                best = np.vstack([best, costs[row]])
        fronts[kept] = front
        left = left[fronts[left] < 0]
        front, done = front + 1, done + len(kept)
    return fronts


def ranked(costs: FloatArray, most: int | None = None) -> tuple[Indices, Indices]:
    """Return rows from the best on, and the front of each: of one objective in its order, of several by fronts.

    Those on a front are in the order of the sum of their ranks.
    """
    known = np.asarray(np.isfinite(costs).all(axis=1))
    if costs.shape[1] == 1:
        order = np.argsort(costs[:, 0], kind="stable")
        order = order[known[order]][:most]
        return order, np.zeros(len(order), dtype=np.intp)
    fronts = pareto_fronts(costs, most)
    sums = np.zeros(len(costs))
    for column in costs.T:
        sums[np.argsort(column, kind="stable")] += np.arange(len(costs))
    order = np.lexsort([sums, fronts])
    order = order[fronts[order] >= 0][:most]
    return order, fronts[order]
