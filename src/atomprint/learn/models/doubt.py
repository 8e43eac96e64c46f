"""Predictions beside the model's own signs of doubt, in one pass: what varies inside it, what it has not learnt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import BaggingRegressor, ExtraTreesRegressor, RandomForestRegressor
from sklearn.preprocessing import StandardScaler
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted

from atomprint.learn.estimators.ensemble import EnsembleRegressor
from atomprint.learn.estimators.forest import MedianExtraTrees
from atomprint.learn.estimators.gaussian_process import GaussianProcess
from atomprint.learn.estimators.kernel_ridge import KernelRidgeCV
from atomprint.learn.estimators.log_target import LogScaler
from atomprint.learn.estimators.network import ResidualNetworkRegressor
from atomprint.learn.estimators.two_part import TwoPartTrees
from atomprint.util.estimators import layers, unwrap
from atomprint.util.types import Estimator, FloatArray, Samples

Signs = dict[str, FloatArray]
"""Signs of doubt by name, each of shape (n_samples,), larger where there is more doubt."""

TREES, SEEDS, MEMBERS, PROCESS, LAYER = "trees", "seeds", "members", "process", "last layer"
CLASSES = "other classes"
"""Of classifiers: the probability of all classes but the one that is predicted."""


class Judged(NamedTuple):
    """What a model predicts, and its doubts.

    Parameters
    ----------
    values : ndarray of float64, shape (n_samples,)
        The same as ``predict`` returns.
    signs : dict of str to ndarray
        As far as the model has them: the standard deviation between its ``trees``, between ``seeds`` or ``members``, or
        that of the Gaussian ``process`` that a kernel stands for, all in the unit of the target; distances to training
        samples in the ``last layer`` of a network. Those of a member of an ensemble are named "trees of NAME". None of
        them is calibrated.
    """

    values: FloatArray
    signs: Signs


def predict_with_doubt(model: Estimator, X: Samples) -> Judged:
    """Predict the targets of samples by a fitted regressor, and tell what it is in doubt about.

    Parameters
    ----------
    model : estimator
        A fitted model such as :func:`~atomprint.learn.make_model` returns.
    X : array or sparse array, shape (n_samples, n_features)
        Features, or the kernel between samples and those of the fit.

    Returns
    -------
    Judged
        Without signs for models that have none.
    """
    before, inner = unwrap(model)
    judge = next((own for kinds, own in _JUDGES if isinstance(inner, kinds)), None)
    scaled = [layer.transformer_ for layer in layers(model) if isinstance(layer, TransformedTargetRegressor)]
    if judge is None or not all(isinstance(scaler, StandardScaler | LogScaler) for scaler in scaled):
        return Judged(np.asarray(model.predict(X)), {})
    for transformer in before:
        X = transformer.transform(X)
    values, signs = judge(inner, X)
    for scaler in reversed(scaled):
        values = scaler.inverse_transform(values[:, None])[:, 0]
        # Of logarithms what a small change of them is in numbers.
        factor = float(scaler.scale_[0]) * (values if isinstance(scaler, LogScaler) else 1.0)
        signs = {name: sign if name.startswith(LAYER) else factor * sign for name, sign in signs.items()}
    return Judged(values, signs)


def as_logs(values: FloatArray, signs: Signs) -> tuple[FloatArray, Signs]:
    """Return the logarithms of predictions, all larger than 0, and the signs of doubt in units of these."""
    relative = {name: sign if name.startswith(LAYER) else sign / values for name, sign in signs.items()}
    return np.log(values), relative


def standard_deviation(model: Estimator, X: Samples) -> FloatArray | None:
    """Return the standard deviation of predictions by a fitted regressor's own account.

    Parameters
    ----------
    model : estimator
        A fitted model such as :func:`~atomprint.learn.make_model` returns.
    X : array, shape (n_samples, n_features)
        Features.

    Returns
    -------
    ndarray of float64, shape (n_samples,), or None
        That of a Gaussian process, or between the trees of a forest, the seeds of a model or the members of an
        ensemble with their weights (if only one of these counts, by its own account), which is no measure of the error,
        but larger where that is likely to be. None for models without any of these.
    """
    return own_standard_deviation(model, predict_with_doubt(model, X).signs)


def own_standard_deviation(model: Estimator, signs: Signs) -> FloatArray | None:
    """Return what :func:`standard_deviation` does, from the signs that a model has given."""
    _, inner = unwrap(model)
    if isinstance(inner, EnsembleRegressor) and len(inner.members_) == 1:
        ((name, member),) = inner.members_.items()
        return own_standard_deviation(member, {key.removesuffix(f" of {name}"): sign for key, sign in signs.items()})
    own = (MEMBERS, SEEDS, TREES, *((PROCESS,) if isinstance(inner, GaussianProcess) else ()))
    return next((signs[name] for name in own if name in signs), None)


def _forest(forest: Any, X: Samples) -> Judged:
    """Add up the trees in the order of scikit-learn, so that not a bit is another."""
    check_is_fitted(forest)
    if forest.n_outputs_ != 1 or not hasattr(forest, "_validate_X_predict"):
        return Judged(np.asarray(forest.predict(X)), {})
    X = forest._validate_X_predict(X)
    total, squares, first, n = np.zeros(X.shape[0]), np.zeros(X.shape[0]), None, len(forest.estimators_)
    shifted = np.zeros(X.shape[0])  # sums of what is left of large numbers
    for tree in forest.estimators_:
        guess = tree.tree_.predict(X)[:, 0]
        total += guess
        first = guess if first is None else first
        guess = guess - first
        shifted += guess
        squares += guess * guess
    total /= n
    return Judged(total, {TREES: np.sqrt(np.maximum(squares / n - (shifted / n) ** 2, 0))})


def _median_forest(forest: MedianExtraTrees | TwoPartTrees, X: Samples) -> Judged:
    values, std = forest.predict_with_std(X)
    return Judged(values, {TREES: std})


def _kernel_ridge(model: KernelRidgeCV, X: Samples) -> Judged:
    if not hasattr(model, "spread_"):  # of a file of an earlier version
        return Judged(model.predict(X), {})
    values, std = model.predict(X, return_std=True)
    return Judged(values, {PROCESS: std})


def _gaussian_process(model: GaussianProcess, X: Samples) -> Judged:
    if not model.constant_diagonal_:
        return Judged(np.asarray(model.predict(X)), {})
    values, std = model.predict(X, return_std=True)
    return Judged(np.asarray(values), {PROCESS: std})


def _network(model: ResidualNetworkRegressor, X: Samples) -> Judged:
    if not hasattr(model, "near_"):
        return Judged(model.predict(X), {})
    values, distances = model.predict_with_distance(X)
    return Judged(values, {LAYER: distances})


def _seeds(bag: BaggingRegressor, X: Samples) -> Judged:
    # One that was imported by its path may give each of its models a part of the features.
    parts = zip(bag.estimators_, bag.estimators_features_, strict=True)
    guesses = np.array([one.predict(_safe_indexing(X, columns, axis=1)) for one, columns in parts])
    if guesses.ndim != 2:
        return Judged(np.asarray(bag.predict(X)), {})
    return Judged(np.asarray(sum(guesses) / len(guesses)), {SEEDS: guesses.std(axis=0)})


def _ensemble(ensemble: EnsembleRegressor, X: Samples) -> Judged:
    check_is_fitted(ensemble)
    weights = np.array([ensemble.weights_[name] for name in ensemble.members_])
    found = {name: predict_with_doubt(member, X) for name, member in ensemble.members_.items()}
    guesses = np.array([ensemble.limited(judged.values) for judged in found.values()])
    signs = {f"{key} of {name}": sign for name, judged in found.items() for key, sign in judged.signs.items()}
    if len(found) > 1:
        signs[MEMBERS] = np.sqrt(weights @ (guesses - weights @ guesses) ** 2)
    return Judged(ensemble.combined(weights, guesses), signs)


_JUDGES: tuple[tuple[Any, Callable[[Any, Any], Judged]], ...] = (
    ((MedianExtraTrees, TwoPartTrees), _median_forest),
    ((ExtraTreesRegressor, RandomForestRegressor), _forest),
    (KernelRidgeCV, _kernel_ridge),
    (GaussianProcess, _gaussian_process),
    (ResidualNetworkRegressor, _network),
    (BaggingRegressor, _seeds),
    (EnsembleRegressor, _ensemble),
)
