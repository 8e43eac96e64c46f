"""What is inside a fitted model: the model proper, what it has chosen, how sure it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from atomprint.learn.estimators.log_target import LogScaler
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


def learns_logs(model: Estimator) -> bool:
    """Return whether a model learns the logarithms of its targets; of an ensemble, whether all of its members do."""
    for layer in layers(model):
        if isinstance(layer, TransformedTargetRegressor) and isinstance(layer.transformer, LogScaler):
            return True
        if isinstance(layer, Ensemble):
            members = getattr(layer, "members_", dict(layer.members))
            return len(members) > 0 and all(learns_logs(member) for member in members.values())
    return False


def target_scale(model: Estimator) -> float:
    """Return by what a fitted regressor divides its targets before the model proper sees them; 1 for not at all."""
    scaled = next((layer for layer in layers(model) if isinstance(layer, TransformedTargetRegressor)), None)
    scaler = None if scaled is None else scaled.transformer_
    return float(scaler.scale_[0]) if isinstance(scaler, StandardScaler) else 1.0


def decision(model: Estimator, classes: Sequence[str] = ()) -> dict[str, float]:
    """Return the thresholds of a fitted classifier that does not simply take the most probable class; else none.

    Parameters
    ----------
    model : estimator
        A fitted model.
    classes : sequence of str
        Names of the classes, if those that the model knows are their indices.

    Returns
    -------
    dict of str to float
        For two classes ``threshold``, which the probability of the second one must exceed. For more, for each class
        ``threshold of NAME``: that with the largest probability in units of its threshold is predicted.
    """
    decided = [layer for layer in layers(model) if getattr(layer, "threshold", None) is not None]
    owner = next((layer for layer in decided if hasattr(layer, "thresholds_")), None)
    if owner is None:
        return {}
    found = owner.thresholds_.tolist()
    if len(found) == 2:
        return {"threshold": found[1]}
    labels = [classes[label] if classes and not isinstance(label, str) else label for label in owner.classes_.tolist()]
    return {f"threshold of {label}": threshold for label, threshold in zip(labels, found, strict=True)}


def chosen_parameters(model: Estimator, classes: Sequence[str] = ()) -> dict[str, Any]:
    """Return the hyperparameters that a fitted model has chosen, by a search or by itself; empty if none.

    Those of an ensemble are the weights of its members, such as ``weight of ridge``, and what the members that count
    have chosen, such as ``alpha of ridge``. For ``classes`` and thresholds see :func:`decision`.
    """
    chosen: dict[str, Any] = {}
    if hasattr(model, "best_estimator_") and hasattr(model, "best_params_"):
        chosen = {name.rpartition("__")[2]: value for name, value in model.best_params_.items()}
    _, inner = unwrap(model)
    chosen |= decision(model, classes)
    if isinstance(inner, RidgeCV | LassoCV):
        chosen["alpha"] = float(inner.alpha_)
    if isinstance(inner, Ensemble) and hasattr(inner, "members_"):
        if inner.scores_ and inner.combine in inner.criteria:
            chosen |= {f"weight of {name}": weight for name, weight in inner.weights_.items()}
        for name, member in inner.members_.items():
            chosen |= {f"{key} of {name}": value for key, value in chosen_parameters(member).items()}
    return chosen | dict(getattr(inner, "best_params_", {}))
