"""What the models of a study rely on, measured on samples that they have not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.svm import SVC, SVR

from atomprint.learn.estimators.gaussian_process import GaussianProcess
from atomprint.learn.estimators.kernel_ridge import KernelRidgeCV
from atomprint.learn.evaluation.evaluate import Evaluation, targets
from atomprint.learn.evaluation.feature_groups import Groups, feature_groups
from atomprint.learn.evaluation.importance import (
    N_REPEATS,
    Importance,
    Part,
    impurity_importance,
    pooled_importance,
    shapley_importance,
    top_features,
)
from atomprint.learn.models.anatomy import innermost
from atomprint.learn.splits.split import Split
from atomprint.learn.task.features import Features
from atomprint.learn.task.problem import Problem
from atomprint.util.budget import Clock
from atomprint.util.types import Indices, Samples

_N_EXPLAINED = 1000  # samples that are scrambled, at most
_N_COMPARED = 200  # the same for models that compare each sample with all that they were fitted to
_COMPARING = (KernelRidgeCV, GaussianProcess, SVR, SVC, KNeighborsRegressor, KNeighborsClassifier)
_N_SHAPLEY = 200  # samples whose Shapley values are computed, at most
_N_GROUPS = 30  # groups of features that are shown for each way to group them, at most


def explain(
    evaluation: Evaluation,
    given: Features,
    problem: Problem,
    split: Split,
    *,
    n_repeats: int = N_REPEATS,
    shap: bool = False,
) -> tuple[Importance | None, Importance | None]:
    """Return what a model relies on, by permutation and by Shapley values.

    Parameters
    ----------
    evaluation : Evaluation
        Of the model, with the models of its folds if there is no test part.
    given : Features
        What it was given.
    problem, split : Problem, Split
        The samples and their parts.
    n_repeats : int
        How often each group of features is scrambled; 0 for not at all.
    shap : bool
        Whether to compute Shapley values.

    Returns
    -------
    importance, shapley : Importance or None
        None if not asked for, for features without names, and for models whose Shapley values take too long.
    """
    if len(given.names) == 0 or given.pairwise or not (n_repeats or shap):
        return None, None
    groups = feature_groups(given.names if given.meanings is None else given.meanings)
    parts, where = _unseen(evaluation, given, problem, split)
    return (
        _permuted(parts, where, groups, problem, n_repeats, split.seed) if n_repeats else None,
        _shapley(parts, where, groups, problem) if shap else None,
    )


def seconds_of_importance(
    evaluation: Evaluation, given: Features, problem: Problem, split: Split, clock: Clock
) -> float:
    """Return about how long it takes to scramble each group of features once, by predictions that are timed."""
    if len(given.names) == 0 or given.pairwise:
        return 0.0
    parts, _ = _unseen(evaluation, given, problem, split)
    start = clock()
    for part in parts:
        part.model.predict(part.X)
    groups = feature_groups(given.names if given.meanings is None else given.meanings)
    return (clock() - start) * sum(len(members) for members in groups.values())


def most_used(evaluations: Mapping[str, Evaluation], best: str, given: Features) -> tuple[str, list[tuple[str, float]]]:
    """Return the features that a model of trees uses most, and the key of this model; empty if there is none."""
    name = with_impurity(evaluations, best)
    if not name or len(given.names) == 0:
        return "", []
    owner = evaluations[name]
    models = [owner.estimator] if owner.estimator is not None else owner.fold_estimators
    shares = [impurity_importance(model) for model in models]
    return name, top_features(given.names, np.mean([share for share in shares if share is not None], axis=0))


def with_impurity(evaluations: Mapping[str, Evaluation], best: str) -> str:
    """Return the model of trees whose impurities are shown: the best model, or the first; empty if there is none."""
    for name in (best, *evaluations):
        models = [evaluations[name].estimator, *evaluations[name].fold_estimators]
        if any(model is not None and impurity_importance(model) is not None for model in models):
            return name
    return ""


def _unseen(evaluation: Evaluation, given: Features, problem: Problem, split: Split) -> tuple[list[Part], str]:
    """Return models with samples that they have not seen: the test part, or the folds if there is none."""
    y = targets(problem)
    models = [evaluation.estimator] if evaluation.test is not None else list(evaluation.fold_estimators)
    compares = any(isinstance(inner, _COMPARING) for model in models for inner in innermost(model))
    most_of_all = _N_COMPARED if compares else _N_EXPLAINED
    rng = np.random.default_rng(split.seed)

    def some(rows: Indices, most: int) -> Indices:
        return rows if len(rows) <= most else np.sort(rng.choice(rows, most, replace=False))

    if evaluation.test is not None:
        pairs, where = [(models[0], split.train, some(split.test, most_of_all))], "the test part"
    else:
        most = -(-most_of_all // len(split.folds))
        pairs = [(model, fit, some(predict, most)) for model, (fit, predict) in zip(models, split.folds, strict=True)]
        where = "the folds, each with the model that has not seen it"
    parts = [Part(model, _dense(given.take(rows, fit)), y[rows]) for model, fit, rows in pairs]
    n_all = len(split.test) if evaluation.test is not None else sum(len(predict) for _, predict in split.folds)
    n = sum(len(part.y) for part in parts)
    return parts, where + (f" ({n} samples of it, drawn at random)" if n < n_all else "")


def _dense(X: Samples) -> Samples:
    return X.toarray() if hasattr(X, "toarray") else X


def _permuted(
    parts: Sequence[Part], where: str, groups: Mapping[str, Groups], problem: Problem, n_repeats: int, seed: int
) -> Importance:
    figure = "increase of the mean absolute error" if problem.kind == "regression" else "drop of the balanced accuracy"
    return Importance(
        f"{figure} on {where} when a group of features is scrambled among the samples; {n_repeats} times",
        problem.target.unit if problem.kind == "regression" else "",
        {
            way: pooled_importance(parts, members, kind=problem.kind, n_repeats=n_repeats, n_best=_N_GROUPS, seed=seed)
            for way, members in groups.items()
        },
        {way: len(members) for way, members in groups.items()},
    )


def _shapley(parts: Sequence[Part], where: str, groups: Mapping[str, Groups], problem: Problem) -> Importance | None:
    model, X, _ = parts[0]
    try:
        found = {way: shapley_importance(model, X[:_N_SHAPLEY], members)[:_N_GROUPS] for way, members in groups.items()}
    except ValueError:
        return None
    return Importance(
        "mean size of the Shapley values, summed over the features of a group, of up to "
        f"{_N_SHAPLEY} samples of {where if len(parts) == 1 else 'the first fold'}: how far the group moves a "
        "prediction",
        problem.target.unit if problem.kind == "regression" else "",
        found,
        {way: len(members) for way, members in groups.items()},
    )
