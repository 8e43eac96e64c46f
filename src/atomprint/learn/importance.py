"""Which features a model relies on, summed up to what a chemist reads: species pairs, radial and angular channels."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from ase.data import chemical_symbols

from atomprint.validation import check_integer

Groups = Mapping[str, npt.NDArray[np.intp]]

# "SOAP C-O n=1 n'=2 l=3", with a method of pooling before it, and "CoulombMatrix 0,1".
_SOAP = re.compile(r"SOAP (?P<pair>\S+) n=(?P<n>\d+) n'=(?P<m>\d+) l=(?P<l>\d+)$")
_SYMBOLS = frozenset(chemical_symbols[1:])
_MATRIX = re.compile(r"\S*Matrix (?P<i>\d+),(?P<j>\d+)$")


@dataclass(frozen=True, slots=True)
class GroupImportance:
    """How much a model relies on a group of features.

    Parameters
    ----------
    label : str
        The group.
    mean, std : float
        The figure that ``Importance.method`` describes: mean and standard deviation over repeats (over samples for
        Shapley values).
    n_features : int
        Number of features in the group.
    """

    label: str
    mean: float
    std: float
    n_features: int


@dataclass(frozen=True, eq=False)
class Importance:
    """How much a model relies on groups of features, for several ways to group them.

    Parameters
    ----------
    method : str
        What the figures are and on which samples they were measured, such as "increase of the mean absolute error on
        the test part when a group of features is scrambled among the samples".
    unit : str
        Unit of the figures: that of the target, or empty for shares.
    groups : mapping of str to list of GroupImportance
        For each way to group features ("elements", "species pairs", "radial channels" …) the groups, the most important
        first, the 30 most important at most.
    n_groups : mapping of str to int
        For each way, how many groups there are in all.
    """

    method: str
    unit: str
    groups: Mapping[str, list[GroupImportance]]
    n_groups: Mapping[str, int]


def feature_groups(names: Iterable[str]) -> dict[str, Groups]:
    """Sort features by their names into groups that have a meaning.

    Parameters
    ----------
    names : iterable of str
        Names as ``get_feature_names_out`` gives them.

    Returns
    -------
    dict of str to dict of str to ndarray of int
        For each way of grouping ("species pairs" or "element channels", "radial channels" and "angular channels" for
        SOAP, "rows of the matrix" for matrices, "features" for any other) the columns of each group. A feature that
        couples two radial channels or two rows is in both groups.
    """
    found: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for column, name in enumerate(names):
        if match := _SOAP.search(name):
            pair = match["pair"]
            kind = "species pairs" if set(pair.split("-")) <= _SYMBOLS else "element channels"
            found[kind][pair].append(column)
            for n in sorted({int(match["n"]), int(match["m"])}):
                found["radial channels"][f"n = {n}"].append(column)
            found["angular channels"][f"l = {match['l']}"].append(column)
        elif match := _MATRIX.search(name):
            for i in sorted({int(match["i"]), int(match["j"])}):
                found["rows of the matrix"][f"row {i}"].append(column)
        else:
            found["features"][name].append(column)
    return {kind: {label: np.array(columns) for label, columns in groups.items()} for kind, groups in found.items()}


def group_importance(
    model: Any,
    X: npt.NDArray[Any],
    y: npt.ArrayLike,
    groups: Groups,
    *,
    n_repeats: int = 10,
    seed: int = 0,
) -> list[GroupImportance]:
    """Measure importance by permutation: scramble a whole group of features over the samples, and predict again.

    Features of a group are moved together, which keeps how they are related: correlated features cannot stand in for
    each other as they do when permuted one by one.

    Parameters
    ----------
    model : estimator
        A fitted regressor.
    X : ndarray, shape (n_samples, n_features)
        Features, best of samples that the model has not seen.
    y : array-like of float, shape (n_samples,)
        Targets.
    groups : mapping of str to ndarray of int
        Columns of each group.
    n_repeats : int
        How often each group is scrambled.
    seed : int
        Seed of the permutations; all groups are scrambled by the same ones.

    Returns
    -------
    list of GroupImportance
        The most important first.
    """
    n_repeats = check_integer("n_repeats", n_repeats, 1)
    targets = np.asarray(y, dtype=np.float64)
    rng = np.random.default_rng(seed)
    orders = np.concatenate([rng.permutation(len(X)) for _ in range(n_repeats)])
    reference = float(np.mean(np.abs(model.predict(X) - targets)))
    stacked = np.tile(X, (n_repeats, 1))
    result = []
    for label, columns in groups.items():
        if (X[:, columns] == X[0, columns]).all():  # scrambling changes nothing
            result.append(GroupImportance(label, 0.0, 0.0, len(columns)))
            continue
        kept = stacked[:, columns]
        stacked[:, columns] = X[np.ix_(orders, columns)]
        errors = np.abs(model.predict(stacked).reshape(n_repeats, -1) - targets).mean(axis=1) - reference
        stacked[:, columns] = kept
        result.append(GroupImportance(label, float(errors.mean()), float(errors.std()), len(columns)))
    return sorted(result, key=lambda item: -item.mean)


def top_features(names: Sequence[str], importances: npt.ArrayLike, n: int = 10) -> list[tuple[str, float]]:
    """Return the most important features by name.

    Parameters
    ----------
    names : sequence of str
        Names of all features.
    importances : array-like of float, shape (n_features,)
        Such as ``feature_importances_`` of a random forest.
    n : int
        How many to return.

    Returns
    -------
    list of (str, float)
        Names and importances, the most important first; features of equal importance in their order.
    """
    values = np.asarray(importances, dtype=np.float64)
    if values.shape != (len(names),):
        raise ValueError(f"importances must have shape ({len(names)},), one for each name, got {values.shape}")
    order = np.argsort(-values, kind="stable")[:n]
    return [(str(names[i]), float(values[i])) for i in order]
