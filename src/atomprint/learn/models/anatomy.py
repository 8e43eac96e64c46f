"""What is inside a fitted model: the model proper, what it has chosen, how sure it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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

from atomprint.learn.estimators.ensemble_base import Ensemble
from atomprint.util.estimators import layers, unwrap
from atomprint.util.types import Estimator


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
