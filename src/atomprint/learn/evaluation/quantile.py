"""The size of a residual that a new one exceeds no more often than a level says, whatever their distribution."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from atomprint.learn.splits.groups import GROUPS, group_labels
from atomprint.learn.splits.split import Split
from atomprint.learn.task.metrics import Metric
from atomprint.learn.task.problem import Problem
from atomprint.util.types import Array, Indices


def conformal_quantile(scores: npt.ArrayLike, level: float, groups: Array | None = None) -> Metric:
    """Return the smallest score that bounds a new one at a level, or say that there are too few for the level.

    Of n scores on their own that is the ceil((n + 1) level)-th smallest. With groups of scores that are alike, each
    score has the weight of its group, 1 / (number of groups + 1), divided by the size of the group.
    """
    values = np.asarray(scores, dtype=np.float64)
    _, group, sizes = np.unique(
        np.arange(len(values)) if groups is None else groups, return_inverse=True, return_counts=True
    )
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(1 / sizes[group[order]]) >= (len(sizes) + 1) * level - 1e-9  # 10 * 0.9 is 9, despite rounding
    if reached.any():
        return Metric(float(values[order[np.argmax(reached)]]))
    needed = f"at least {math.ceil(level / (1 - level) - 1e-9)}"
    if groups is None:
        return Metric(None, f"a level of {level:g} needs {needed} held-out residuals, got {len(values)}")
    return Metric(None, f"a level of {level:g} needs held-out residuals of {needed} groups, got {len(sizes)}")


def groups_of(problem: Problem, split: Split) -> Indices | None:
    """Return the group of each sample, if parts of the split are made of groups of samples that are alike."""
    own = problem.dataset.groups
    if split.method == "group" and (split.group_by in own or split.group_by in GROUPS.keys() - {"element"}):
        return np.unique(group_labels(problem, str(split.group_by)), return_inverse=True)[1]
    return problem.structures if problem.atoms is not None else None
