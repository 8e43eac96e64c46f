"""Honest tests of models: everything that is learnt is learnt inside each fold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, clone

from atomprint.learn.features import Features
from atomprint.learn.metrics import METRICS, Metrics, Spread, compute_metrics, spread
from atomprint.learn.models import chosen_parameters, standard_deviation
from atomprint.learn.problem import Problem
from atomprint.learn.search import with_inner_folds
from atomprint.learn.split import Split
from atomprint.validation import check_n_jobs

Indices = npt.NDArray[np.intp]
Progress = Callable[[str], None]
"""Called with a few words about what was done or is done next."""


class FitError(RuntimeError):
    """A model that failed: the message says which one, in which fold, and why."""


@dataclass(frozen=True, eq=False)
class Fold:
    """One fit and what came of it.

    Parameters
    ----------
    indices : ndarray of int
        The samples predicted, none of which was seen in the fit.
    y_pred : ndarray, shape (n,)
        Their predictions: float64 in the unit of the target, or indices of classes.
    probabilities : ndarray of float64, shape (n, n_classes), or None
        Probabilities of the classes, in the order of ``Target.classes``; None for numbers, and for classifiers that
        do not know any.
    y_std : ndarray of float64, shape (n,), or None
        Standard deviation by the model's own account (between the trees of a forest, or of a Gaussian process), which
        is not calibrated; None for models without one.
    metrics : Metrics
        Comparison with the truth.
    chosen : dict
        Hyperparameters chosen within the samples of the fit, if any.
    seconds_fit, seconds_predict : float
        Time to fit and to predict.
    """

    indices: Indices
    y_pred: npt.NDArray[Any]
    probabilities: npt.NDArray[np.float64] | None
    y_std: npt.NDArray[np.float64] | None
    metrics: Metrics
    chosen: dict[str, Any]
    seconds_fit: float
    seconds_predict: float


class OutOfFold(NamedTuple):
    """Predictions of all samples that are in a fold, by the models that have not seen them.

    Samples that are in several folds, such as structures with two elements when each element is left out once,
    occur several times.
    """

    indices: Indices
    folds: Indices  # the fold that each was predicted in, counted from 0
    y_pred: npt.NDArray[Any]
    probabilities: npt.NDArray[np.float64] | None
    y_std: npt.NDArray[np.float64] | None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A model in cross-validation and on the test part.

    Parameters
    ----------
    kind : {"regression", "classification"}
        Kind of the problem.
    folds : tuple of Fold
        The folds of the cross-validation within the training part; empty if there are none.
    test : Fold or None
        The test part, predicted by ``estimator``; None if there is no test part.
    estimator : estimator or None
        The model fitted to the whole training part. None if that was not asked for.
    fold_names : tuple of str
        Names of the folds, "fold 1", "fold 2" … unless the split has others.
    fold_estimators : tuple of estimator
        The models of the folds; empty if they were not asked for.
    """

    kind: str
    folds: tuple[Fold, ...]
    test: Fold | None
    estimator: Any
    fold_names: tuple[str, ...] = ()
    fold_estimators: tuple[Any, ...] = ()

    def parts(self) -> list[tuple[str, Fold]]:
        """Return the folds and the test part, if there is one, with their names: "fold 1", "fold 2", …, "test"."""
        names = self.fold_names or tuple(f"fold {i}" for i in range(1, len(self.folds) + 1))
        return [*zip(names, self.folds, strict=True), *([("test", self.test)] if self.test else [])]

    @property
    def cross_validation(self) -> dict[str, Spread]:
        """Mean and spread of each figure of merit over the folds."""
        return {name: spread([fold.metrics[name] for fold in self.folds]) for name in METRICS[self.kind]}

    def out_of_fold(self) -> OutOfFold:
        """Return all predictions of the cross-validation.

        Raises
        ------
        ValueError
            If there is no cross-validation.
        """
        if not self.folds:
            raise ValueError("there is no cross-validation, and so no prediction out of a fold")
        return OutOfFold(
            np.concatenate([fold.indices for fold in self.folds]),
            np.repeat(np.arange(len(self.folds)), [len(fold.indices) for fold in self.folds]),
            np.concatenate([fold.y_pred for fold in self.folds]),
            _joined([fold.probabilities for fold in self.folds]),
            _joined([fold.y_std for fold in self.folds]),
        )

    def held_out(self) -> tuple[str, Indices, npt.NDArray[Any]]:
        """Return the predictions to judge the model by: of the test part if there is one, else of all folds.

        Returns
        -------
        name : str
            "test part" or "folds".
        indices : ndarray of int
            The samples.
        y_pred : ndarray
            Their predictions.
        """
        if self.test is not None:
            return "test part", self.test.indices, self.test.y_pred
        found = self.out_of_fold()
        return "folds", found.indices, found.y_pred


def _joined(parts: list[npt.NDArray[np.float64] | None]) -> npt.NDArray[np.float64] | None:
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if len(known) == len(parts) else None


def evaluate(
    estimator: BaseEstimator,
    features: Features,
    problem: Problem,
    split: Split,
    n_jobs: int = 1,
    progress: Progress | None = None,
    *,
    name: str = "",
    keep_fold_estimators: bool = False,
) -> Evaluation:
    """Fit and test a model, fold by fold and then on the test part.

    Parameters
    ----------
    estimator : estimator
        A scikit-learn regressor or classifier, such as :func:`~atomprint.learn.make_model` returns. It is cloned
        for each fit: scalers, selections and hyperparameters that it learns never see the samples that are then
        predicted. A search is given inner folds of the same kind as those of the split.
    features : Features
        Features of all samples, a kernel between them, or structures for models that begin with a descriptor.
    problem : Problem
        The samples and their targets.
    split : Split
        Indices of samples for each fit.
    n_jobs : int
        Number of threads, which share the fits; -1 means all cores. Results do not depend on it.
    progress : callable, optional
        Called after each fit with words such as ``"fold 3 of 5"``.
    name : str
        Name of the model for error messages. Default: its class.
    keep_fold_estimators : bool
        Whether to keep the models of the folds.

    Returns
    -------
    Evaluation
        For classification with probabilities where the model has a ``predict_proba``.

    Raises
    ------
    FitError
        If the model fails or predicts numbers that are not finite; the message names model and fold.
    ValueError
        If the features are not of these samples, or the model is of the wrong kind.
    """
    raise NotImplementedError
