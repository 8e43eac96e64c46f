"""Which features a model relies on, summed up to what a chemist reads: species pairs, radial and angular channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import BaggingClassifier, BaggingRegressor

from atomprint.learn.evaluation.feature_groups import Groups
from atomprint.learn.models.anatomy import learns_logs, target_scale
from atomprint.learn.task.blocks import seen_columns
from atomprint.util.estimators import unwrap
from atomprint.util.extras import require
from atomprint.util.types import Array, Estimator, FloatArray, Indices, JsonObject
from atomprint.util.validation import check_choice, check_integer

N_REPEATS = 5
"""How often a group of features is scrambled, unless one is told otherwise."""


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

    def to_dict(self) -> JsonObject:
        """Return method, unit and figures in plain types, for JSON."""
        return {
            "method": self.method,
            "unit": self.unit,
            "groups": {
                way: [{"group": g.label, "mean": g.mean, "std": g.std, "n_features": g.n_features} for g in groups]
                for way, groups in self.groups.items()
            },
            "n_groups": dict(self.n_groups),
        }


class Part(NamedTuple):
    """A fitted model, and features and targets of samples that it has not seen."""

    model: Estimator
    X: Array
    y: Array


def group_importance(
    model: Estimator,
    X: Array,
    y: npt.ArrayLike,
    groups: Groups,
    *,
    kind: str = "regression",
    n_repeats: int = N_REPEATS,
    n_best: int | None = None,
    seed: int = 0,
) -> list[GroupImportance]:
    """Measure importance by permutation: scramble a whole group of features over the samples, and predict again.

    Features of a group are moved together, which keeps how they are related: correlated features cannot stand in for
    each other as they do when permuted one by one.

    Parameters
    ----------
    model : estimator
        A fitted model.
    X : ndarray, shape (n_samples, n_features)
        Features, best of samples that the model has not seen.
    y : array-like of float, shape (n_samples,)
        Targets, or the classes as the model knows them.
    groups : mapping of str to ndarray of int
        Columns of each group.
    kind : {"regression", "classification"}
        Whether the figure is the increase of the mean absolute error, in the unit of the target, or the drop of the
        balanced accuracy.
    n_repeats : int
        How often each group is scrambled.
    n_best : int, optional
        If there are more groups, scramble each once, and only this many of those that cost most ``n_repeats`` times.
    seed : int
        Seed of the permutations; all groups are scrambled by the same ones.

    Returns
    -------
    list of GroupImportance
        The most important first.
    """
    return pooled_importance(
        [Part(model, X, np.asarray(y))], groups, kind=kind, n_repeats=n_repeats, n_best=n_best, seed=seed
    )


def pooled_importance(
    parts: Sequence[Part],
    groups: Groups,
    *,
    kind: str = "regression",
    n_repeats: int = N_REPEATS,
    n_best: int | None = None,
    seed: int = 0,
) -> list[GroupImportance]:
    """Measure importance by permutation for several models, each with samples of its own, such as those of folds.

    Parameters
    ----------
    parts : sequence of Part
        The models. Features are scrambled within each part, and the figure is that of all samples together.
    groups, kind, n_repeats, n_best, seed
        See :func:`group_importance`.

    Returns
    -------
    list of GroupImportance
        The most important first.
    """
    n_repeats = check_integer("n_repeats", n_repeats, 1)
    check_choice("kind", kind, ("regression", "classification"))
    rng = np.random.default_rng(seed)
    orders = [[rng.permutation(len(part.X)) for part in parts] for _ in range(n_repeats)]
    unscrambled = [part.model.predict(part.X) for part in parts]
    reference = _loss(kind, parts, unscrambled)
    scratch = [part.X.copy() for part in parts]

    def cost(columns: Indices, repeats: int) -> FloatArray:
        """Return by how much the loss grows, for each repeat."""
        if all((part.X[:, columns] == part.X[:1, columns]).all() for part in parts):
            return np.zeros(repeats)  # scrambling changes nothing
        losses = []
        for order in orders[:repeats]:
            guesses = []
            for part, X, rows, before in zip(parts, scratch, order, unscrambled, strict=True):
                X[:, columns] = part.X[np.ix_(rows, columns)]
                # Most samples that lack an element still lack it afterwards: those need not be predicted again.
                changed = (X[:, columns] != part.X[:, columns]).any(axis=1)
                guess = before.copy()
                if changed.any():
                    guess[changed] = part.model.predict(X[changed])
                guesses.append(guess)
            losses.append(_loss(kind, parts, guesses) - reference)
        for part, X in zip(parts, scratch, strict=True):
            X[:, columns] = part.X[:, columns]
        return np.array(losses)

    labels = list(groups)
    if n_best is not None and len(labels) > n_best:
        first = np.array([cost(groups[label], 1)[0] for label in labels])
        labels = [labels[k] for k in np.argsort(-first, kind="stable")[:n_best]]
    result = []
    for label in labels:
        costs = cost(groups[label], n_repeats)
        result.append(GroupImportance(label, float(costs.mean()), float(costs.std()), len(groups[label])))
    return sorted(result, key=lambda item: -item.mean)


def _loss(kind: str, parts: Sequence[Part], guesses: Sequence[Array]) -> float:
    truth, guess = np.concatenate([part.y for part in parts]), np.concatenate(guesses)
    if kind == "regression":
        return float(np.mean(np.abs(guess - truth)))
    right = guess == truth  # the balanced accuracy, of the classes that there are
    return 1 - float(np.mean([right[truth == label].mean() for label in np.unique(truth)]))


def shapley_importance(
    model: Estimator, X: Array, groups: Groups, *, background: Array | None = None
) -> list[GroupImportance]:
    """Sum Shapley values of features within groups: how far a group moves predictions.

    Shapley values add up, so that the value of a group for one sample is the sum over its features. The figure is the
    mean of its absolute value over samples (and over classes, if there are several), in the unit of the prediction: of
    the target, for classification of a probability (random forest) or a log-odds ratio (boosting, logistic regression).

    Parameters
    ----------
    model : estimator
        A fitted model of trees (decision tree, random forest, boosting) or a linear one, as
        :func:`~atomprint.learn.make_model` returns them.
    X : ndarray, shape (n_samples, n_features)
        Features of the samples to explain.
    groups : mapping of str to ndarray of int
        Columns of each group.
    background : ndarray, shape (n, n_features), optional
        Samples that linear models are compared with. Default: ``X``.

    Returns
    -------
    list of GroupImportance
        The most important first; ``std`` is the standard deviation over samples.

    Raises
    ------
    ImportError
        If shap is not installed.
    ValueError
        If the model is of another kind: exact values would take too long; or it sees other features, such as principal
        components.
    """
    shap = require("shap", "shap", "finding Shapley values")
    transformers, inner = unwrap(model)
    n_features = X.shape[1]
    seen = seen_columns(transformers, n_features)
    if learns_logs(model):
        raise ValueError("Shapley values of a model of logarithms add up to those: take the importance by permutation")
    if seen is None:
        raise ValueError("Shapley values are for models that see the features themselves: take those by permutation")
    background = X if background is None else background
    for step in transformers:
        X, background = step.transform(X), step.transform(background)
    if hasattr(inner, "coef_") and hasattr(inner, "intercept_") and np.ndim(inner.coef_) <= 2:
        values = shap.LinearExplainer(inner, background).shap_values(X)
    elif _is_of_trees(inner):
        values = shap.TreeExplainer(inner).shap_values(X, check_additivity=False)
    else:
        raise ValueError(
            f"Shapley values are for models of trees and linear models, got {type(inner).__name__}: "
            "take the importance by permutation"
        )
    values = np.asarray(values, dtype=np.float64) * target_scale(model)
    of_all = np.zeros((len(X), n_features, values.size // max(X.size, 1)))  # one value for each output
    of_all[:, seen] = values.reshape(len(X), X.shape[1], -1)
    result = []
    for label, columns in groups.items():
        sizes = np.abs(of_all[:, columns].sum(axis=1)).mean(axis=1)
        result.append(GroupImportance(label, float(sizes.mean()), float(sizes.std()), len(columns)))
    return sorted(result, key=lambda item: -item.mean)


def _is_of_trees(model: Estimator) -> bool:
    if hasattr(model, "tree_") or hasattr(model, "_predictors") or hasattr(model, "get_booster"):
        return True
    parts = np.ravel(getattr(model, "estimators_", []))
    return len(parts) > 0 and hasattr(parts[0], "tree_") and not isinstance(model, BaggingClassifier | BaggingRegressor)


def impurity_importance(model: Estimator) -> FloatArray | None:
    """Return the share of each feature in what the splits of a model of trees remove, shape (n_features,).

    For a random forest that is the variance or Gini impurity, for XGBoost the gain; 0 for features of blocks that the
    model does not see. None for models without it, or of principal components.
    """
    transformers, inner = unwrap(model)
    values = getattr(inner, "feature_importances_", None)
    if values is None:
        return None
    n_features = transformers[0].n_features_in_ if transformers else len(values)
    seen = seen_columns(transformers, n_features)
    if seen is None:
        return None
    shares = np.zeros(n_features)
    shares[seen] = values
    return shares


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
