"""Honest tests of models: everything that is learnt is learnt inside each fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.model_selection import KFold, train_test_split
from sklearn.pipeline import Pipeline

from atomprint.learn.metrics import METRICS, Metrics, Spread, regression_metrics, spread
from atomprint.learn.split import Split
from atomprint.validation import check_integer, check_n_jobs, check_real

Indices = npt.NDArray[np.intp]


def make_split(n_samples: int, *, test_size: float = 0.2, n_folds: int = 5, seed: int = 0) -> Split:
    """Shuffle samples, set a test part aside, and cut the rest into folds.

    Parameters
    ----------
    n_samples : int
        Number of samples.
    test_size : float
        Share of the test part.
    n_folds : int
        Number of folds of the cross-validation.
    seed : int
        Seed of the shuffling.

    Returns
    -------
    Split

    Raises
    ------
    ValueError
        If the samples are too few for this.
    """
    n_samples = check_integer("n_samples", n_samples, 1)
    n_folds = check_integer("n_folds", n_folds, 2)
    test_size = check_real("test_size", test_size, above=0)
    n_test = int(np.ceil(test_size * n_samples))
    if n_samples - n_test < n_folds:
        raise ValueError(
            f"n_samples must leave at least n_folds = {n_folds} for training after {n_test} for testing, "
            f"got {n_samples}"
        )
    train, test = train_test_split(np.arange(n_samples), test_size=n_test, random_state=seed)
    folds = KFold(n_folds, shuffle=True, random_state=seed).split(train)
    return Split(np.sort(train), np.sort(test), tuple((np.sort(train[a]), np.sort(train[b])) for a, b in folds), seed)


@dataclass(frozen=True, eq=False)
class Fold:
    """One fit and what came of it.

    Parameters
    ----------
    indices : ndarray of int
        The samples predicted, none of which was seen in the fit.
    y_pred : ndarray of float
        Their predictions.
    metrics : Metrics
        Comparison with the truth.
    chosen : dict
        Hyperparameters chosen within the training samples, if any.
    seconds : float
        Time to fit and predict.
    """

    indices: Indices
    y_pred: npt.NDArray[np.float64]
    metrics: Metrics
    chosen: dict[str, Any]
    seconds: float


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A model in cross-validation and on the test part.

    Parameters
    ----------
    folds : tuple of Fold
        The folds of the cross-validation within the training part.
    test : Fold
        The test part, predicted by a model that was fitted to the whole training part.
    estimator : estimator
        That model.
    """

    folds: tuple[Fold, ...]
    test: Fold
    estimator: Any

    def parts(self) -> list[tuple[str, Fold]]:
        """Return the folds and the test part with their names: "fold 1", "fold 2", …, "test"."""
        return [*((f"fold {i}", fold) for i, fold in enumerate(self.folds, 1)), ("test", self.test)]

    @property
    def cross_validation(self) -> dict[str, Spread]:
        """Mean and spread of each figure of merit over the folds."""
        return {name: spread([fold.metrics[name] for fold in self.folds]) for name in METRICS["regression"]}


def evaluate(estimator: Any, X: Any, y: npt.ArrayLike, split: Split, n_jobs: int = 1) -> Evaluation:
    """Fit and test a model, fold by fold and then on the test part.

    Parameters
    ----------
    estimator : estimator
        A scikit-learn regressor or pipeline. It is cloned for each fit: scalers, selections and hyperparameters
        that it learns never see the samples that are then predicted.
    X : array, sparse array or sequence
        One row of features for each sample, or structures where the estimator begins with a descriptor.
    y : array-like of float, shape (n_samples,)
        Targets.
    split : Split
        From :func:`make_split`.
    n_jobs : int
        Number of threads, which share the folds; -1 means all cores. Results do not depend on it.

    Returns
    -------
    Evaluation
    """
    targets = np.asarray(y, dtype=np.float64)
    *folds, (test, fitted) = Parallel(n_jobs=check_n_jobs(n_jobs), prefer="threads")(
        delayed(_fit_and_predict)(estimator, X, targets, fit, predict)
        for fit, predict in (*split.folds, (split.train, split.test))
    )
    return Evaluation(tuple(fold for fold, _ in folds), test, fitted)


def _fit_and_predict(
    estimator: Any, X: Any, y: npt.NDArray[np.float64], train: Indices, test: Indices
) -> tuple[Fold, Any]:
    start = perf_counter()
    model = clone(estimator).fit(take(X, train), y[train])
    y_pred = np.asarray(model.predict(take(X, test)), dtype=np.float64)
    seconds = perf_counter() - start
    last = model.steps[-1][1] if isinstance(model, Pipeline) else model
    chosen = dict(getattr(last, "best_params_", {}))
    return Fold(test, y_pred, regression_metrics(y[test], y_pred), chosen, seconds), model


def take(X: Any, indices: Sequence[int] | Indices) -> Any:
    """Return some of the rows of an array, or some items of a sequence such as a list of structures."""
    return X[indices] if hasattr(X, "shape") else [X[i] for i in indices]
