"""Searches for hyperparameters: what is tried, how, and within which folds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    ParameterGrid,
    ParameterSampler,
    RandomizedSearchCV,
    StratifiedKFold,
)
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils import _safe_indexing, check_random_state

from atomprint.learn.estimators.ensemble_base import Ensemble
from atomprint.learn.estimators.threshold import HOLDOUT, ThresholdClassifier
from atomprint.learn.splits.split import Split, inner_folds
from atomprint.learn.task.problem import Problem
from atomprint.util.beyond import beyond
from atomprint.util.estimators import named_parts, steps_before
from atomprint.util.extras import require
from atomprint.util.types import Estimator, Indices, Samples
from atomprint.util.validation import check_bool, check_choice, check_integer, check_real

METHODS = ("none", "grid", "random", "optuna")
SCORING = {"regression": "neg_mean_absolute_error", "classification": "balanced_accuracy"}


@dataclass(frozen=True, slots=True)
class Interval:
    """A range of a hyperparameter.

    Parameters
    ----------
    low, high : float
        Ends, both included.
    log : bool
        Whether orders of magnitude are what counts; then ``low`` must be > 0.
    integer : bool
        Whether it holds only whole numbers.

    Raises
    ------
    ValueError, TypeError
        If the ends are in the wrong order or do not suit ``log`` and ``integer``.
    """

    low: float
    high: float
    log: bool = False
    integer: bool = False

    def __post_init__(self) -> None:
        check_bool("log", self.log)
        for name in ("low", "high"):
            value = check_real(name, getattr(self, name), above=0 if self.log else None)
            if check_bool("integer", self.integer) and value != round(value):
                raise ValueError(f"{name} must be a whole number for integer=True, got {value:g}")
        if not self.low < self.high:
            raise ValueError(f"high must be > low = {self.low:g}, got {self.high:g}")

    def rvs(self, random_state: Any = None) -> float | int:
        """Draw a value; scikit-learn's ``RandomizedSearchCV`` calls this."""
        u = check_random_state(random_state).uniform()
        if self.integer:  # each number owns the stretch from half below to half above
            low, high = self.low - 0.5, self.high + 0.5
            drawn = low * (high / low) ** u if self.log else low + (high - low) * u
            return int(min(max(round(drawn), self.low), self.high))
        return float(self.low * (self.high / self.low) ** u if self.log else self.low + (self.high - self.low) * u)

    def grid(self, n: int = 4) -> list[float | int]:
        """Return up to ``n`` values spread evenly over the range, ends included."""
        values = np.geomspace(self.low, self.high, n) if self.log else np.linspace(self.low, self.high, n)
        return sorted({round(v) for v in values}) if self.integer else values.tolist()


SearchSpace = Mapping[str, "Interval | Sequence[Any]"]
"""What is tried for each hyperparameter: an :class:`Interval` or a list of choices."""


@dataclass(frozen=True)
class Search:
    """How hyperparameters are searched for; see :func:`~atomprint.learn.make_model`.

    A search is part of the model: it takes place within the samples that the model is fitted to. Where an end of what
    is tried turns out best, values beyond are tried, too (:func:`widen`).

    Parameters
    ----------
    method : {"none", "grid", "random", "optuna"}
        Not at all; all combinations (four values of each interval); combinations drawn at random; or proposed by
        Optuna's tree-structured Parzen estimator from what was found before (``pip install 'atomprint[optuna]'``).
    space : mapping, optional
        For each hyperparameter an :class:`Interval`, a dict with its parameters, or a list of choices. Default: the
        space of the model.
    n_iter : int
        How many combinations are tried; not used for "grid".
    n_folds : int
        Inner folds. :func:`~atomprint.learn.evaluate` makes them of the same kind as those of its split; otherwise
        they are shuffled, and stratified for classification.
    scoring : str, optional
        A name of scikit-learn's scores. Default: mean absolute error, or balanced accuracy.
    seed : int
        Seed of the combinations and the folds.
    """

    method: str = "random"
    space: Mapping[str, Any] | None = None
    n_iter: int = 20
    n_folds: int = 3
    scoring: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("method", self.method, METHODS)
        check_integer("n_iter", self.n_iter, 1)
        check_integer("n_folds", self.n_folds, 2)
        check_integer("seed", self.seed, 0)
        if self.space is not None:
            _read_space(self.space)

    def wrap(self, estimator: BaseEstimator, space: SearchSpace, kind: str, prefix: str = "") -> BaseEstimator:
        """Return an estimator that searches in its ``fit``, and then is the best it has found.

        Parameters
        ----------
        estimator : estimator
            The model.
        space : mapping
            Its default space, used if there is none of its own.
        kind : {"regression", "classification"}
            Kind of the problem.
        prefix : str
            What hyperparameters are called by in front of their names, such as ``"model__"``.

        Returns
        -------
        WideningGridSearch, WideningRandomSearch, OptunaSearch, or the estimator itself if nothing is searched
        """
        if self.method == "none":
            return estimator
        chosen = space if self.space is None else _read_space(self.space)
        known = estimator.get_params()
        for name in chosen:
            if prefix + name not in known:
                names = sorted(k.removeprefix(prefix) for k in known if k.startswith(prefix))
                raise ValueError(f"space: hyperparameters must be among {', '.join(names)}, got {name!r}")
        prefixed = {prefix + name: values for name, values in chosen.items()}
        folds = StratifiedKFold if kind == "classification" else KFold
        common: dict[str, Any] = {
            "scoring": self.scoring or SCORING[kind],
            "cv": folds(self.n_folds, shuffle=True, random_state=self.seed),
        }
        if self.method == "optuna":
            return OptunaSearch(estimator, prefixed, n_iter=self.n_iter, random_state=self.seed, **common)
        if self.method == "grid":
            grid = {name: v.grid() if isinstance(v, Interval) else list(v) for name, v in prefixed.items()}
            return WideningGridSearch(estimator, grid, error_score="raise", **common)
        n_iter = self.n_iter
        counts = [len(values) for values in prefixed.values() if not isinstance(values, Interval)]
        if len(counts) == len(prefixed):
            n_iter = min(n_iter, math.prod(counts))  # there are no more
        return WideningRandomSearch(
            estimator, prefixed, n_iter=n_iter, random_state=self.seed, error_score="raise", **common
        )


def _read_space(space: Any) -> SearchSpace:
    """Return a search space as it may be written in a recipe, checked."""
    if not isinstance(space, Mapping) or not space:
        raise TypeError(f"space must be a dict with at least one hyperparameter, got {space!r}")
    found: dict[str, Interval | Sequence[Any]] = {}
    for name, values in space.items():
        if isinstance(values, Interval):
            found[name] = values
        elif isinstance(values, Mapping):
            unknown = sorted(set(values) - {"low", "high", "log", "integer"})
            if unknown or not {"low", "high"} <= set(values):
                raise ValueError(
                    f"space: {name} must be a list, or a dict of low, high and perhaps log and integer, got {values!r}"
                )
            try:
                found[name] = Interval(**values)
            except (ValueError, TypeError) as error:
                raise type(error)(f"space: {name}: {error}") from None
        elif isinstance(values, list | tuple | np.ndarray) and len(values):
            found[name] = list(values)
        else:
            raise TypeError(f"space: {name} must be a list with at least one choice, or an interval, got {values!r}")
    return found


Evaluate: TypeAlias = Callable[[list[dict[str, Any]]], Mapping[str, Any]]
"""What scikit-learn's searches give a list of combinations to: it tries them, and returns all results so far."""


class WideningGridSearch(GridSearchCV):
    """All combinations, and more beyond an end that is best: see :func:`widen`."""

    def _run_search(self, evaluate_candidates: Evaluate) -> None:
        widen(evaluate_candidates, evaluate_candidates(list(ParameterGrid(self.param_grid))), self.param_grid)


class WideningRandomSearch(RandomizedSearchCV):
    """Combinations drawn at random, and more beyond an end near which the best is: see :func:`widen`."""

    def _run_search(self, evaluate_candidates: Evaluate) -> None:
        drawn = ParameterSampler(self.param_distributions, self.n_iter, random_state=self.random_state)
        widen(evaluate_candidates, evaluate_candidates(list(drawn)), self.param_distributions)


def widen(evaluate_candidates: Evaluate, results: Mapping[str, Any], space: SearchSpace) -> None:
    """Follow hyperparameters whose best value is an end of what was tried, as long as it gets better.

    Only those that count by orders of magnitude and are no whole numbers: others end where they can go no farther, such
    as shares at 1, or where they take too long, such as numbers of units. Within an interval, an end is the last sixth
    of its orders of magnitude. A value that the model refuses is an end, too.

    Parameters
    ----------
    evaluate_candidates : callable
        As scikit-learn gives it to ``_run_search``.
    results : mapping of str to sequence
        What it returned last.
    space : mapping
        What was tried for each hyperparameter.
    """
    for name, values in space.items():
        place = int(np.argmax(results["mean_test_score"]))
        best, score = results["params"][place], results["mean_test_score"][place]
        for value in _beyond(values, best[name]):
            try:
                found = evaluate_candidates([{**best, name: value}])
            except ValueError:
                break
            results = found
            if not results["mean_test_score"][-1] > score:
                break
            score = results["mean_test_score"][-1]


def _beyond(values: Interval | Sequence[Any], best: Any) -> Iterator[float]:
    """Yield values of a hyperparameter beyond the end near which the best is."""
    if isinstance(values, Interval):
        if not values.log or values.integer:
            return
        choices = values.grid()
        near = min(choices, key=lambda value: abs(math.log(value / best)))
        yield from (best * value / near for value in beyond(choices, near))
    elif all(isinstance(value, float) and value > 0 for value in values):
        ratios = [high / low for low, high in pairwise(sorted(set(values)))]
        if ratios and max(ratios) < 1.5 * min(ratios):  # evenly spread by orders of magnitude
            yield from beyond(values, best)


class OptunaSearch(BaseSearchCV):
    """Search for hyperparameters with Optuna's tree-structured Parzen estimator, in the manner of scikit-learn.

    Parameters
    ----------
    estimator : estimator
        The model.
    space : mapping
        For each hyperparameter an :class:`Interval` or a list of choices.
    n_iter : int
        How many combinations are tried.
    scoring : str
        A name of scikit-learn's scores.
    cv : int, cross-validation generator or list of (ndarray, ndarray)
        Inner folds.
    random_state : int, optional
        Seed of the sampler.

    Raises
    ------
    ImportError
        If Optuna is not installed.

    Notes
    -----
    Attributes are those of scikit-learn's ``GridSearchCV``. ``OptunaSearchCV`` would be a further package,
    optuna-integration, in which it is marked as experimental with a warning; and a list of choices may hold anything
    here, not only what Optuna can store.
    """

    def __init__(
        self,
        estimator: Estimator,
        space: SearchSpace,
        *,
        n_iter: int = Search.n_iter,
        scoring: str | None = None,
        cv: Any = Search.n_folds,
        random_state: int | None = None,
    ) -> None:
        super().__init__(estimator, scoring=scoring, cv=cv, error_score="raise")
        self.space = space
        self.n_iter = n_iter
        self.random_state = random_state

    def _run_search(self, evaluate_candidates: Evaluate) -> None:
        """Try what Optuna proposes, one combination after the other."""
        optuna = require("optuna", "optuna", "search method 'optuna'")
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            sampler = optuna.samplers.TPESampler(seed=self.random_state)
            study = optuna.create_study(direction="maximize", sampler=sampler)
            for _ in range(self.n_iter):
                trial = study.ask()
                parameters = {name: _suggest(trial, name, values) for name, values in self.space.items()}
                results = evaluate_candidates([parameters])
                study.tell(trial, float(results["mean_test_score"][-1]))
            widen(evaluate_candidates, results, self.space)
        finally:
            optuna.logging.set_verbosity(verbosity)


def _suggest(trial: Any, name: str, values: Interval | Sequence[Any]) -> Any:
    if not isinstance(values, Interval):  # choices may be anything, so Optuna is given their places
        return values[trial.suggest_categorical(name, range(len(values)))]
    if values.integer:
        return trial.suggest_int(name, int(values.low), int(values.high), log=values.log)
    return trial.suggest_float(name, values.low, values.high, log=values.log)


def with_inner_folds(
    estimator: Estimator,
    problem: Problem,
    train: Indices,
    like: Split,
    learnt_anew: Callable[[Indices], Samples] | None = None,
) -> Estimator:
    """Return a model whose search or ensemble, if it has one, works in folds of the same kind as those of a split.

    Parameters
    ----------
    estimator : estimator
        A model that is not fitted; it is left as it is.
    problem : Problem
        The samples.
    train : ndarray of int
        The samples that it will be fitted to, in this order.
    like : Split
        The outer split.
    learnt_anew : callable, optional
        Where features are learnt from targets: given some of these samples, as places among them, it returns the
        features of all of them, learnt from the targets of those alone. For inner folds of ensembles and thresholds.

    Returns
    -------
    estimator
        A clone.
    """
    model = clone(estimator)
    for owner in (model, *named_parts(model).values()):
        if isinstance(owner, BaseSearchCV):
            n_folds = 5 if owner.cv is None else getattr(owner.cv, "n_splits", owner.cv)
            if isinstance(n_folds, int):  # folds given one by one are left as they are
                owner.set_params(cv=inner_folds(problem, train, like, n_folds))
        elif isinstance(owner, Ensemble) and owner.needs_folds and owner.cv is None:
            owner.set_params(cv=_for_choices(problem, train, like, owner.n_folds, owner.holdout))
            owner.learnt_anew = learnt_anew
        elif isinstance(owner, ThresholdClassifier) and owner.needs_folds and owner.cv is None:
            owner.set_params(cv=_for_choices(problem, train, like, owner.inner_folds_for(len(train)), HOLDOUT))
            owner.learnt_anew = None if learnt_anew is None else _behind(model, learnt_anew)
    return model


def _behind(model: Estimator, learnt_anew: Callable[[Indices], Samples]) -> Callable[[Indices], Samples]:
    """Return features that are learnt anew as the last step of a pipeline sees them, behind steps fitted anew."""

    def table(fit: Indices) -> Samples:
        X = learnt_anew(fit)
        for _, step in steps_before(model):
            X = clone(step).fit(_safe_indexing(X, fit)).transform(X)
        return X

    return table


def _for_choices(
    problem: Problem, train: Indices, like: Split, n_folds: int, holdout: float
) -> list[tuple[Indices, Indices]]:
    """Return inner folds, or a single part held out."""
    if n_folds > 1:
        return inner_folds(problem, train, like, n_folds)
    # The last one: of folds by time, that is the one with the longest past.
    return inner_folds(problem, train, like, round(1 / holdout))[-1:]


def without_inner_folds(fitted: Estimator, estimator: Estimator) -> None:
    """Give what chooses in a fitted model back the folds that it was asked for, in which samples have no part.

    Parameters
    ----------
    fitted : estimator
        What :func:`with_inner_folds` returned, fitted.
    estimator : estimator
        What it was given.
    """
    given = (estimator, *named_parts(estimator).values())
    for owner, original in zip((fitted, *named_parts(fitted).values()), given, strict=True):
        if isinstance(owner, Ensemble | ThresholdClassifier):
            owner.set_params(cv=original.cv)
            owner.__dict__.pop("learnt_anew", None)
