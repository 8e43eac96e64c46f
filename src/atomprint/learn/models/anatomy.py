"""What is inside a fitted model: the model proper, what it has chosen, how sure it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LassoCV, RidgeCV
from sklearn.preprocessing import StandardScaler
from sklearn.utils import _safe_indexing

from atomprint.learn.estimators.ensemble import EnsembleRegressor
from atomprint.learn.estimators.ensemble_base import Ensemble
from atomprint.learn.estimators.gaussian_process import GaussianProcess
from atomprint.util.estimators import layers, unwrap
from atomprint.util.types import Estimator, FloatArray, Samples


def innermost(model: Estimator) -> Iterator[Estimator]:
    """Yield the model proper; of an ensemble that of each member, of several seeds that of each seed."""
    _, inner = unwrap(model)
    if isinstance(inner, Ensemble):
        for member in getattr(inner, "members_", dict(inner.members)).values():
            yield from innermost(member)
    elif isinstance(inner, BaggingClassifier | BaggingRegressor):
        for one in getattr(inner, "estimators_", [inner.estimator]):
            yield from innermost(one)
    else:
        yield inner


def is_forest(model: Estimator) -> bool:
    """Return whether a model proper is the mean of decision trees that are grown independently of each other."""
    return isinstance(
        model, RandomForestClassifier | RandomForestRegressor | ExtraTreesClassifier | ExtraTreesRegressor
    )


def target_scale(model: Estimator) -> float:
    """Return by what a fitted regressor divides its targets before the model proper sees them; 1 for not at all."""
    scaled = next((layer for layer in layers(model) if isinstance(layer, TransformedTargetRegressor)), None)
    scaler = None if scaled is None else scaled.transformer_
    return float(scaler.scale_[0]) if isinstance(scaler, StandardScaler) else 1.0


def chosen_parameters(model: Estimator) -> dict[str, Any]:
    """Return the hyperparameters that a fitted model has chosen, by a search or by itself; empty if none.

    Those of an ensemble are the weights of its members, such as ``weight of ridge``, and what the members that count
    have chosen, such as ``alpha of ridge``.
    """
    chosen: dict[str, Any] = {}
    if hasattr(model, "best_estimator_") and hasattr(model, "best_params_"):
        chosen = {name.rpartition("__")[2]: value for name, value in model.best_params_.items()}
    _, inner = unwrap(model)
    if isinstance(inner, RidgeCV | LassoCV):
        chosen["alpha"] = float(inner.alpha_)
    if isinstance(inner, Ensemble) and hasattr(inner, "members_"):
        if inner.scores_ and inner.combine in inner.criteria:
            chosen |= {f"weight of {name}": weight for name, weight in inner.weights_.items()}
        if getattr(inner, "threshold_", None) is not None:
            chosen["threshold"] = inner.threshold_
        for name, member in inner.members_.items():
            chosen |= {f"{key} of {name}": value for key, value in chosen_parameters(member).items()}
    return chosen | dict(getattr(inner, "best_params_", {}))


def standard_deviation(model: Estimator, X: Samples) -> FloatArray | None:
    """Return the standard deviation of predictions by a fitted regressor's own account.

    Parameters
    ----------
    model : estimator
        A fitted model such as :func:`make_model` returns.
    X : array, shape (n_samples, n_features)
        Features.

    Returns
    -------
    ndarray of float64, shape (n_samples,), or None
        That of a Gaussian process, or between the trees of a forest, the seeds of a model or the members of an
        ensemble with their weights (if only one of these counts, by its own account), which is no measure of the error,
        but larger where that is likely to be. None for models without any of these.
    """
    before, inner = unwrap(model)
    if isinstance(inner, GaussianProcess) and not inner.constant_diagonal_:
        return None
    if not is_forest(inner) and not isinstance(inner, GaussianProcess | BaggingRegressor | EnsembleRegressor):
        return None
    for transformer in before:
        X = transformer.transform(X)
    found: Any
    if isinstance(inner, GaussianProcess):
        found = inner.predict(X, return_std=True)[1]
    elif isinstance(inner, EnsembleRegressor):
        found = _between_members(inner, X)
    elif isinstance(inner, BaggingRegressor):
        found = _between_seeds(inner, X)
    else:
        found = _between_trees(inner, X)
    return None if found is None else np.asarray(target_scale(model) * found)


def _between_members(ensemble: EnsembleRegressor, X: Samples) -> FloatArray | None:
    if len(ensemble.members_) == 1:
        return standard_deviation(next(iter(ensemble.members_.values())), X)
    weights, guesses = ensemble.member_predictions(X)
    return np.asarray(np.sqrt(weights @ (guesses - weights @ guesses) ** 2))


def _between_seeds(bag: BaggingRegressor, X: Samples) -> FloatArray:
    # One that was imported by its path may give each of its models a part of the features.
    parts = zip(bag.estimators_, bag.estimators_features_, strict=True)
    return np.asarray(np.std([one.predict(_safe_indexing(X, columns, axis=1)) for one, columns in parts], axis=0))


def _between_trees(forest: Estimator, X: Samples) -> FloatArray:
    X = np.asarray(X, dtype=np.float32)  # as trees want it, once
    # About the prediction, which need not be the mean.
    mean, squares = forest.predict(X), np.zeros(len(X))
    for tree in forest.estimators_:
        squares += (tree.predict(X, check_input=False) - mean) ** 2
    return np.asarray(np.sqrt(squares / len(forest.estimators_)))
