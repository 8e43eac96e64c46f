"""What is inside a fitted model: the model proper, what it has chosen, how sure it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LassoCV, RidgeCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from atomprint.learn.catalogue import Calibrated
from atomprint.learn.gaussian_process import GaussianProcess

FORESTS = (RandomForestRegressor, ExtraTreesRegressor, RandomForestClassifier, ExtraTreesClassifier)


def unwrap(model: Any) -> tuple[list[Any], Any]:
    """Return what stands before the model proper, and this, without searches and transformations of the target.

    Parameters
    ----------
    model : estimator
        A fitted model such as :func:`make_model` returns.

    Returns
    -------
    transformers : list
        Fitted transformers of the features.
    model : estimator
        The fitted model that sees their result; its targets may be scaled.
    """
    before: list[Any] = []
    while True:
        if hasattr(model, "best_estimator_"):
            model = model.best_estimator_
        elif isinstance(model, Pipeline):
            before += [step for _, step in model.steps[:-1] if step not in (None, "passthrough")]
            model = model.steps[-1][1]
        elif isinstance(model, TransformedTargetRegressor) and hasattr(model, "regressor_"):
            model = model.regressor_
        elif isinstance(model, Calibrated) and hasattr(model, "calibrated_classifiers_"):
            model = model.calibrated_classifiers_[0].estimator
        else:
            return before, model


def target_scale(model: Any) -> float:
    """Return by what a fitted regressor divides its targets before the model proper sees them; 1 for not at all."""
    while not isinstance(model, TransformedTargetRegressor):
        if hasattr(model, "best_estimator_"):
            model = model.best_estimator_
        elif isinstance(model, Pipeline):
            model = model.steps[-1][1]
        else:
            return 1.0
    return float(model.transformer_.scale_[0]) if isinstance(model.transformer_, StandardScaler) else 1.0


def chosen_parameters(model: Any) -> dict[str, Any]:
    """Return the hyperparameters that a fitted model has chosen, by a search or by itself; empty if none."""
    chosen: dict[str, Any] = {}
    if hasattr(model, "best_estimator_") and hasattr(model, "best_params_"):
        chosen = {name.rpartition("__")[2]: value for name, value in model.best_params_.items()}
    _, inner = unwrap(model)
    if isinstance(inner, RidgeCV | LassoCV):
        chosen["alpha"] = float(inner.alpha_)
    return chosen | dict(getattr(inner, "best_params_", {}))


def standard_deviation(model: Any, X: Any) -> npt.NDArray[np.float64] | None:
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
        That of a Gaussian process, or between the trees of a random forest, which is no measure of the error, but
        larger where that is likely to be. None for models without either.
    """
    before, inner = unwrap(model)
    if isinstance(inner, GaussianProcess):
        if not inner.constant_diagonal_:
            return None
    elif not isinstance(inner, RandomForestRegressor | ExtraTreesRegressor):
        return None
    for transformer in before:
        X = transformer.transform(X)
    if isinstance(inner, GaussianProcess):
        return np.asarray(target_scale(model) * inner.predict(X, return_std=True)[1])
    X = np.asarray(X, dtype=np.float32)  # as trees want it, once
    # About the prediction, which need not be the mean.
    mean, squares = inner.predict(X), np.zeros(len(X))
    for tree in inner.estimators_:
        squares += (tree.predict(X, check_input=False) - mean) ** 2
    return np.asarray(target_scale(model) * np.sqrt(squares / len(inner.estimators_)))
