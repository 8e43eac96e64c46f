"""Honest tests of models: everything that is learnt is learnt inside each fold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, cpu_count, delayed
from sklearn.base import BaseEstimator, is_classifier, is_regressor
from threadpoolctl import threadpool_info, threadpool_limits

from atomprint.learn.models.anatomy import chosen_parameters, innermost, is_forest, learns_logs
from atomprint.learn.models.doubt import Signs, own_standard_deviation, predict_with_doubt
from atomprint.learn.models.search import with_inner_folds, without_inner_folds
from atomprint.learn.splits.split import Split
from atomprint.learn.task.blocks import with_blocks
from atomprint.learn.task.features import Features
from atomprint.learn.task.metrics import METRICS, Metrics, Spread, compute_metrics, spread
from atomprint.learn.task.problem import Problem
from atomprint.util.draw import some_of
from atomprint.util.estimators import unwrap
from atomprint.util.plain import plain
from atomprint.util.progress import Progress, silent
from atomprint.util.store import NOTHING_KEPT, Kept, Store
from atomprint.util.types import Array, Estimator, FloatArray, Indices, JsonObject
from atomprint.util.validation import check_n_jobs

_MAX_ALSO = 1000  # samples of the test part


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
        Standard deviation by the model's own account (between the trees of a forest or the members of an ensemble, or
        of a Gaussian process), which is not calibrated; None for models without one.
    signs : dict of str to ndarray of float64, shape (n,)
        All signs of doubt that the model gives, see :func:`~atomprint.learn.models.doubt.predict_with_doubt`.
    metrics : Metrics
        Comparison with the truth.
    chosen : dict
        Hyperparameters chosen within the samples of the fit, if any.
    seconds_fit, seconds_predict : float
        Time to fit and to predict.
    of_test : ndarray of float64
        What the model of a fold says of samples of the test part, of up to 1000 drawn at random, the same for all
        folds; empty if that was not asked for, without a test part, and for classes.
    """

    indices: Indices
    y_pred: Array
    probabilities: FloatArray | None
    y_std: FloatArray | None
    signs: Signs
    metrics: Metrics
    chosen: dict[str, Any]
    seconds_fit: float
    seconds_predict: float
    of_test: FloatArray = field(default_factory=lambda: np.empty(0))

    def to_dict(self) -> JsonObject:
        """Return figures, choices and times in plain types, for JSON."""
        return {
            "n_samples": len(self.indices),
            **self.metrics.to_dict(),
            "chosen": plain(self.chosen),
            "seconds_fit": self.seconds_fit,
            "seconds_predict": self.seconds_predict,
        }


class Predicted(NamedTuple):
    """What a fitted model says of some samples, as in :class:`Fold`."""

    values: Array
    probabilities: FloatArray | None
    std: FloatArray | None
    signs: Signs


class OutOfFold(NamedTuple):
    """Predictions of all samples that are in a fold, by the models that have not seen them.

    Samples that are in several folds, such as structures with two elements when each element is left out once,
    occur several times.
    """

    indices: Indices
    folds: Indices  # the fold that each was predicted in, counted from 0
    y_pred: Array
    probabilities: FloatArray | None
    y_std: FloatArray | None
    signs: Signs  # those that every fold has


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
    of_logs : bool
        Whether the model learns the logarithms of its targets, so that it is their errors that are of one size.
    """

    kind: str
    folds: tuple[Fold, ...]
    test: Fold | None
    estimator: Estimator
    fold_names: tuple[str, ...] = ()
    fold_estimators: tuple[Estimator, ...] = ()
    of_logs: bool = False

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
            joined([fold.probabilities for fold in self.folds]),
            joined([fold.y_std for fold in self.folds]),
            {
                name: np.concatenate([fold.signs[name] for fold in self.folds])
                for name in self.folds[0].signs
                if all(name in fold.signs for fold in self.folds)
            },
        )

    def held_out(self) -> tuple[str, Indices, Array]:
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

    def to_dict(self) -> JsonObject:
        """Return the figures of all folds and of the test part in plain types, for JSON."""
        folds = self.parts()[: len(self.folds)]
        return {
            "cross_validation": {k: v.to_dict() for k, v in self.cross_validation.items()},
            "folds": [{"name": name, **fold.to_dict()} for name, fold in folds],
            "test": self.test and self.test.to_dict(),
        }


def joined(parts: list[FloatArray | None]) -> FloatArray | None:
    """Return what all models of a list gave as one array, or None if one of them gave nothing."""
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if len(known) == len(parts) else None


def evaluate(
    estimator: BaseEstimator,
    features: Features,
    problem: Problem,
    split: Split,
    n_jobs: int = 1,
    progress: Progress = silent,
    *,
    name: str = "",
    keep_fold_estimators: bool = False,
    refit: bool = True,
    compare_folds: bool = False,
    store: Store = NOTHING_KEPT,
) -> Evaluation:
    """Fit and test a model, fold by fold and then on the test part.

    Parameters
    ----------
    estimator : estimator
        A scikit-learn regressor or classifier, such as :func:`~atomprint.learn.make_model` returns. It is cloned
        for each fit: scalers, selections and hyperparameters that it learns never see the samples that are then
        predicted. A search or an ensemble is given inner folds of the same kind as those of the split.
    features : Features
        Features of all samples, a kernel between them, or structures for models that begin with a descriptor.
    problem : Problem
        The samples and their targets.
    split : Split
        Indices of samples for each fit.
    n_jobs : int
        Number of threads, which share the fits; -1 means all cores. Results do not depend on it.
    progress : Progress
        Called after each fit with its name, such as ``"fold 3"``, and the numbers of fits done and in all.
    name : str
        Name of the model for error messages. Default: its class.
    keep_fold_estimators : bool
        Whether to keep the models of the folds.
    refit : bool
        Whether to fit the model to the whole training part where there is no test part to need it.
    compare_folds : bool
        Whether to ask the models of the folds about the test part, too (``Fold.of_test``).
    store : Store
        Where results of fits are kept. Models are not: where a result was found, there is None for the model, see
        :func:`with_models`.

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
    check_samples(features, problem)
    label = name or type(unwrap(estimator)[1]).__name__
    right, wrong = (is_regressor, is_classifier) if problem.kind == "regression" else (is_classifier, is_regressor)
    if wrong(estimator) and not right(estimator):
        raise ValueError(f"{label} must be one for {problem.kind}, as {problem.title!r} is")
    fits = split.parts()
    if refit and not len(split.test):
        fits.append(("training part", split.train, split.test))
    n_threads = check_n_jobs(n_jobs)
    share = cores_for_each(n_threads, len(fits))
    also = _some_of_test(split) if compare_folds and problem.kind == "regression" else split.test[:0]
    results = Parallel(n_jobs=n_threads, prefer="threads", return_as="generator")(
        delayed(_fit_and_predict)(
            estimator,
            features,
            problem,
            split,
            train,
            test,
            also if k < len(split.folds) else split.test[:0],
            f"{label}, {part}",
            keep_fold_estimators or k == len(split.folds),
            share,
            store,
        )
        for k, (part, train, test) in enumerate(fits)
    )
    done = []
    for k, result in enumerate(results, 1):
        done.append(result)
        progress(fits[k - 1][0], k, len(fits))
    folds, (test, fitted) = done[: len(split.folds)], done[-1] if len(done) > len(split.folds) else (None, None)
    return Evaluation(
        problem.kind,
        tuple(fold for fold, _ in folds if fold is not None),
        test,
        fitted,
        tuple(split.fold_names),
        tuple(model for _, model in folds) if keep_fold_estimators else (),
        learns_logs(estimator),
    )


def _some_of_test(split: Split) -> Indices:
    """Return the samples of the test part that the models of the folds are asked about, too."""
    return np.sort(split.test[some_of(len(split.test), _MAX_ALSO, split.seed)])


def cores_for_each(n_threads: int, n_fits: int) -> int:
    """Return how many cores each of several fits at once may use, for models that take all that they can get."""
    return max(1, allowed_threads("openmp", cpu_count()) // min(n_threads, n_fits))


def allowed_threads(user_api: str, n_threads: int) -> int:
    """Return a number of threads, or fewer if no more are allowed to OpenMP or to linear algebra.

    By ``OMP_NUM_THREADS`` and the like, or by a limit of the caller: threads that share a core wait for each other, and
    boosting takes many times as long on two as on one.

    Parameters
    ----------
    user_api : {"openmp", "blas"}
        What is to have them.
    n_threads : int
        How many are wanted.
    """
    return min([n_threads, *(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == user_api)])


def check_samples(features: Features, problem: Problem) -> None:
    """Raise if there is not one row of features for each sample of a problem."""
    if len(features) != len(problem):
        raise ValueError(
            f"features {features.key!r} must have one row for each of {len(problem)} samples of {problem.title!r}, got "
            f"{len(features)}"
        )


def fit_estimator(
    estimator: BaseEstimator,
    features: Features,
    problem: Problem,
    split: Split,
    train: Indices,
    label: str = "",
    n_jobs: int = 1,
) -> Estimator:
    """Fit a clone of a model to some samples, and to nothing else.

    Parameters
    ----------
    estimator : estimator
        The model, which is left as it is; a search or an ensemble is given inner folds of the same kind as those of the
        split, and models that make use of blocks those of the features.
    features, problem : Features, Problem
        All samples.
    split : Split
        The split that ``train`` comes from.
    train : ndarray of int
        The samples to fit.
    label : str
        Name of model and fold for the error message.
    n_jobs : int
        Threads that forests may use for the fit, at least; trees do not depend on it.

    Returns
    -------
    estimator
        The fitted clone.

    Raises
    ------
    FitError
        If the model fails.
    """
    with _failures(label, f"fitting {len(train)} samples"):
        anew = None if features.learnt is None else lambda fit: features.take(train, train[fit])
        model = with_inner_folds(with_blocks(estimator, features.blocks), problem, train, split, anew)
        forests = [inner for inner in innermost(model) if is_forest(inner)]
        for forest in forests if n_jobs > 1 else ():
            forest.n_jobs = n_jobs
        model.fit(features.take(train), targets(problem)[train])
        without_inner_folds(model, estimator)
        # Several threads would add up the trees in the order in which they finish.
        for forest in (*forests, *(inner for inner in innermost(model) if is_forest(inner))):
            forest.n_jobs = 1
        return model


def targets(problem: Problem) -> Array:
    """Return targets as models take them: float64, or indices of classes."""
    return problem.y if problem.kind == "regression" else problem.y.astype(np.intp)


def predict(
    model: Estimator, features: Features, problem: Problem, train: Indices, rows: Indices, label: str = ""
) -> Predicted:
    """Predict samples with a fitted model.

    Parameters
    ----------
    model : estimator
        The fitted model.
    features, problem : Features, Problem
        All samples.
    train : ndarray of int
        The samples that the model was fitted to.
    rows : ndarray of int
        The samples to predict.
    label : str
        Name of model and fold for the error message.

    Returns
    -------
    Predicted

    Raises
    ------
    FitError
        If the model fails, or predicts numbers that are not finite.
    """
    with _failures(label, f"predicting {len(rows)} samples"):
        X = features.take(rows, train)
        if problem.kind == "regression":
            found = predict_with_doubt(model, X)
            guess = np.asarray(found.values, dtype=np.float64)
            if guess.shape != (len(rows),):
                raise ValueError(f"predictions must have shape ({len(rows)},), got {guess.shape}")
            bad = np.flatnonzero(~np.isfinite(guess))
            if len(bad):
                raise ValueError(f"predictions must be finite, got {guess[bad[0]]} for {problem.ids[rows[bad[0]]]!r}")
            return Predicted(guess, None, own_standard_deviation(model, found.signs), found.signs)
        guess = np.asarray(model.predict(X)).astype(np.intp)
        if not hasattr(model, "predict_proba"):
            return Predicted(guess, None, None, {})
        # A class that is not among the samples of the fit has no column of its own.
        probabilities = np.zeros((len(rows), len(problem.target.classes)))
        probabilities[:, np.asarray(model.classes_, dtype=np.intp)] = model.predict_proba(X)
        return Predicted(guess, probabilities, None, {})


@contextmanager
def _failures(label: str, doing: str) -> Iterator[None]:
    """Name model and fold in whatever goes wrong in other people's code."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, FitError):
        raise
    except Exception as error:
        raise FitError(f"{label}: {doing}: {type(error).__name__}: {error}") from error


def _fit_and_predict(
    estimator: BaseEstimator,
    features: Features,
    problem: Problem,
    split: Split,
    train: Indices,
    test: Indices,
    also: Indices,
    label: str,
    keep: bool,
    n_threads: int,
    store: Store,
) -> tuple[Fold | None, Estimator]:
    model: Estimator = None

    def make() -> Kept:
        nonlocal model
        with threadpool_limits(n_threads, user_api="openmp"):  # a setting of this very thread
            start = perf_counter()
            model = fit_estimator(estimator, features, problem, split, train, label)
            fitted = perf_counter()
            if len(test) == 0:
                return {}
            given = predict(model, features, problem, train, test, label)
            end = perf_counter()
            of_test = predict(model, features, problem, train, also, label).values if len(also) else np.empty(0)
        return {
            "guess": given.values,
            "probabilities": given.probabilities,
            "std": given.std,
            "names": list(given.signs),
            "signs": np.array(list(given.signs.values())),
            "chosen": chosen_parameters(model, problem.target.classes),
            "of_test": of_test,
            "seconds": (fitted - start, end - fitted),
        }

    if len(test) == 0:
        make()
        return None, model
    parts = [(train, test), (train, also)] if len(also) else [(train, test)]
    found = store.result("fit", made_from(estimator, features, problem, split, parts), make)
    guess, probabilities = found["guess"], found["probabilities"]
    metrics = compute_metrics(problem.kind, problem.y[test], guess, probabilities, problem.target.classes)
    signs = dict(zip(found["names"], found["signs"], strict=True))
    seconds = tuple(found["seconds"])
    fold = Fold(test, guess, probabilities, found["std"], signs, metrics, found["chosen"], seconds[0], seconds[1])
    fold = replace(fold, of_test=found["of_test"])
    return fold, model if keep else None


def made_from(
    estimator: BaseEstimator,
    features: Features,
    problem: Problem,
    split: Split,
    parts: Sequence[tuple[Indices, Indices]],
) -> tuple[Any, ...]:
    """Return all that the result of fits depends on, for :meth:`Store.result`."""
    given = (features.values, features.pairwise, features.blocks)
    return (estimator, *given, problem.dataset, problem.target_name, split.seed, split.method, split.group_by, parts)


def with_models(
    evaluation: Evaluation, estimator: BaseEstimator, features: Features, problem: Problem, split: Split, label: str
) -> Evaluation:
    """Return an evaluation with the models that it lacks because their results were found."""

    def fitted(train: Indices, part: str) -> Estimator:
        return fit_estimator(estimator, features, problem, split, train, f"{label}, {part}")

    models = [
        fitted(train, "a fold") if model is None else model
        for model, (train, _) in zip(evaluation.fold_estimators, split.folds, strict=False)
    ]
    whole = evaluation.estimator
    if whole is None and evaluation.test is not None:
        whole = fitted(split.train, "training part")
    return replace(evaluation, estimator=whole, fold_estimators=tuple(models))
