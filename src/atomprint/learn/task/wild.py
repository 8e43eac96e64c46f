"""Targets so far from all others that they may be mistakes: placeholders, values in another unit, slips of a key."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atomprint.learn.task.problem import Problem
from atomprint.util.types import FloatArray, Indices, JsonObject, Mask

_FAR = 20.0  # quartiles from the median, 13 standard deviations of a normal distribution
_MARGIN = 2.0  # quartiles of logarithms beyond the largest of as many normal numbers
_QUARTILE = 0.6745  # of a normal distribution
# How many times as far from the median as the farthest of the rest:
_GAP = 3.0  # if logarithms are far too
_WIDE_GAP = 5.0  # if values have both signs, or are few
_ANY_GAP = 10.0  # whatever logarithms say, if these are spread by less than a factor of e,
_VAST_GAP = 100.0  # or by more
_GULF = 100.0  # if more than a twentieth of all different values are far
_FEW = 5  # different values, for quartiles
_SHARE = 0.25  # of all samples, and of all values: more of them are no exception
_PLACEHOLDERS = -np.array([1.0, 9.0, 99.0, 999.0, 9999.0, 99999.0])
# A 0 stands for "not known" if no other value is closer to 0 than a share of the median, and few are 0.
_CLEAR, _RARE = 0.2, 0.1
_ALIKE = 0.2  # spread of values for each atom, if these are what is alike
_N_NAMED = 5


def far_values(y: FloatArray, sizes: npt.ArrayLike | None = None) -> Indices:
    """Return the samples whose values are far from those of all others.

    Parameters
    ----------
    y : ndarray of float64, shape (n,)
        Finite numbers.
    sizes : array-like, shape (n,), optional
        Numbers of atoms. A total energy that is usual for each atom is not far: its structure is large or small.

    Returns
    -------
    ndarray of int
        In ascending order. A value is far if it is more than 20 times as far from the median as the quartile on its
        side, and many times as far as any that is not: 3 times if its logarithm is far, too, 5 times among values of
        both signs, else 10 to 100 times. Values count once, however often they occur, so that many zeros do not hide
        how far others spread. The only negative value is far if it is one that stands for "not known", such as -1, and
        so is a rare 0 where all others are clear of it.

    Notes
    -----
    Skewed and heavy tails are not far: among 100 to 10,000 numbers from a normal, an exponential, a log-normal
    (deviations of 1 and 2 in logarithms) or a t distribution (3 degrees of freedom) one is in at most 3 of 100 cases.
    """
    values, inverse, counts = np.unique(y, return_inverse=True, return_counts=True)
    far = _far(values) | _placeholder(values, counts)
    if counts[far].sum() > _SHARE * len(y):
        return np.empty(0, dtype=np.intp)
    found = np.flatnonzero(far[inverse])
    return found if sizes is None or len(found) == 0 else found[~_of_their_size(y / np.asarray(sizes), found)]


def _of_their_size(each: FloatArray, found: Indices) -> Mask:
    """Return which of some samples are as usual for each atom, if these values are much alike."""
    rest = np.delete(each, found)
    low, middle, high = np.quantile(rest, [0.25, 0.5, 0.75]).tolist()
    if high - low > _ALIKE * abs(middle):
        return np.zeros(len(found), dtype=bool)
    slack = _ALIKE * abs(middle)
    return np.asarray((each[found] >= rest.min() - slack) & (each[found] <= rest.max() + slack))


def _far(values: FloatArray) -> Mask:
    """Return which of different values, in ascending order, are far from the others."""
    if len(values) < _FEW:
        return _far_of_few(values)
    middle = np.median(values)
    above, below = _quartiles(values)
    far = np.zeros(len(values), dtype=bool)
    for side, own, other in ((1, above, below), (-1, below, above)):
        distance = side * (values - middle)
        order = np.argsort(distance)[np.sum(distance < 0) :]
        reach = distance[order]
        gaps = reach[1:] / np.maximum(reach[:-1], 1e-9 * reach[1:])
        n_beyond = np.arange(len(gaps), 0, -1)
        wanted = np.where(n_beyond <= max(0.05 * len(values), 2), _gaps(values, side)[order[1:]], _GULF)
        is_far = (reach[1:] > _FAR * max(own, 0.25 * other)) & (gaps >= wanted) & (n_beyond < _SHARE * len(values))
        far[order[1 + int(np.argmax(is_far)) :]] = is_far.any()
    return far


def _gaps(values: FloatArray, side: int) -> FloatArray:
    """Return how wide the gap before each of different values must be on a side of the median."""
    wanted = np.full(len(values), _WIDE_GAP)
    sign = 1 if (values > 0).sum() >= (values < 0).sum() else -1
    own = sign * values > 0
    if own.sum() < _FEW or (own | (values == 0)).mean() < 0.9:
        return wanted
    logarithms = np.log(np.abs(values[own]))
    above, below = _quartiles(logarithms)
    outwards = side * sign  # towards larger or smaller magnitudes
    limit = math.sqrt(2 * math.log(len(logarithms))) / _QUARTILE + _MARGIN
    scale = above if outwards > 0 else below
    beyond = outwards * (logarithms - np.median(logarithms)) > limit * scale
    near, wide = (_GAP if len(values) >= 4 * _FEW else _WIDE_GAP), (_ANY_GAP if scale < 1 else _VAST_GAP)
    wanted[own] = np.where(beyond, near, wide)
    return wanted


def _quartiles(values: FloatArray) -> tuple[float, float]:
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
    return high - middle, middle - low


def _far_of_few(values: FloatArray) -> Mask:
    far = np.zeros(len(values), dtype=bool)
    if len(values) > 2:
        for place, rest in ((0, values[1:]), (-1, values[:-1])):
            far[place] = np.abs(values[place] - rest).min() > _FAR * np.ptp(rest)
    return far


def _placeholder(values: FloatArray, counts: Indices) -> Mask:
    """Return which of different values, in ascending order, stand for "not known" and for nothing else."""
    far = np.zeros(len(values), dtype=bool)
    if len(values) < _FEW:
        return far
    far[0] = values[0] in _PLACEHOLDERS and values[1] >= 0
    size = np.abs(values[(values != 0) & ~far])
    if len(size) >= 4 * _FEW and (values[0] >= 0 or values[-1] <= 0) and size.min() > _CLEAR * np.median(size):
        far |= (values == 0) & (counts < _RARE * counts.sum())
    return far


@dataclass(frozen=True, slots=True)
class WildTarget:
    """A sample whose target is far from those of all others.

    Parameters
    ----------
    sample : int
        Index of the sample.
    id : str
        Its name.
    row : int
        Its structure or composition: index into the data set.
    line : int or None
        Where that begins in its file, as an editor counts; None where there are no lines.
    value : float
        The target.
    """

    sample: int
    id: str
    row: int
    line: int | None
    value: float

    def __str__(self) -> str:
        names = [f"row {self.row}" if self.id == str(self.row) else self.id]
        if self.line is not None:
            names.append(f"line {self.line}")
        return f"{self.value:g} ({', '.join(names)})"

    def to_dict(self) -> JsonObject:
        """Return all of it in types of JSON."""
        return {"id": self.id, "row": self.row, "line": self.line, "value": self.value}


def wild_targets(problem: Problem) -> list[WildTarget]:
    """Return the samples of a problem whose targets are far from all others, see :func:`far_values`."""
    if problem.target.classes:
        return []
    dataset, structures = problem.dataset, problem.structures
    sizes = None if dataset.structures is None or problem.atoms is not None else dataset.n_atoms[structures]
    found = far_values(problem.y, sizes).tolist()
    ids = problem.ids if found else []
    return [
        WildTarget(i, ids[i], row, None if dataset.lines is None else dataset.lines[row], float(problem.y[i]))
        for i in found
        for row in [int(structures[i])]
    ]


def wild_sentence(problem: Problem) -> str:
    """Return which targets are far from all others, and what to do about them; empty if none is."""
    found = wild_targets(problem)
    if not found:
        return ""
    rest = np.delete(problem.y, [one.sample for one in found])
    unit = f" {problem.target.unit}" if problem.target.unit else ""
    named = ", ".join(map(str, found[:_N_NAMED]))
    more = f" and {len(found) - _N_NAMED} more" if len(found) > _N_NAMED else ""
    values, stand = ("value is", "it stands") if len(found) == 1 else ("values are", "they stand")
    return (
        f"{len(found)} {values} far from all others of {problem.target_name}, which are {rest.min():.4g} to "
        f"{rest.max():.4g}{unit} (median {np.median(rest):.4g}): {named}{more}. Such values spoil fits and figures: if "
        f"{stand} for 'not known', leave the cell empty; a slip, or another unit, can be mended."
    )
