"""One target of one data set, several descriptors, several models: the same split, every result kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.utils import get_tags

from atomprint.datasets import Dataset, Target
from atomprint.learn.breakdown import Breakdown, break_down
from atomprint.learn.curve import LearningCurve, learning_curve
from atomprint.learn.evaluate import Evaluation, Progress, check_samples, evaluate, fit_estimator, targets
from atomprint.learn.feature_groups import Groups, feature_groups
from atomprint.learn.features import Features
from atomprint.learn.importance import (
    Importance,
    Part,
    impurity_importance,
    pooled_importance,
    shapley_importance,
    top_features,
)
from atomprint.learn.leakage import Leakage, find_leakage
from atomprint.learn.metrics import METRICS, primary_metric
from atomprint.learn.models import MODELS, make_model
from atomprint.learn.problem import Problem
from atomprint.learn.split import Split
from atomprint.learn.summary import caveats, plain, study_to_dict
from atomprint.learn.uncertainty import Uncertainty, conformal

Indices = npt.NDArray[np.intp]

__all__ = ["Features", "Study", "Trial", "count_steps", "plain", "run_study"]

_N_EXPLAINED = 1000  # samples that are scrambled, at most
_N_SHAPLEY = 200  # samples whose Shapley values are computed, at most
_N_GROUPS = 30  # groups of features that are shown for each way to group them, at most


@dataclass(frozen=True, eq=False)
class Trial:
    """All models on one set of features.

    Parameters
    ----------
    features : Features
        What the models were given.
    evaluations : mapping of str to Evaluation
        Result of each model, by its key.
    best : str
        The model that is best by the first figure of merit in cross-validation (on the test part if there are no
        folds), which ``importance`` is about.
    importance : Importance or None
        What scrambling groups of features costs; ``importance.method`` says how it was measured and on which samples,
        ``importance.groups`` holds the figures, for each way to group features a list, the most important first. None
        for features that have no names, such as a kernel.
    shap : Importance or None
        Sums of Shapley values over the same groups, if they were asked for.
    top : list of (str, float)
        The most important single features, by the impurity that they remove in ``top_model``. Empty where there
        is no model of trees.
    top_model : str
        Key of that model; empty if there is none.
    """

    features: Features
    evaluations: Mapping[str, Evaluation]
    best: str
    importance: Importance | None
    shap: Importance | None
    top: list[tuple[str, float]]
    top_model: str


@dataclass(frozen=True, eq=False)
class Study:
    """Results for one target of one data set.

    Parameters
    ----------
    problem : Problem
        The samples and the target.
    question : str
        What is asked of the models, and what makes it a fair question.
    split : Split
        The samples for training and testing, the same for all.
    leakage : Leakage
        What the test part and the folds share with the samples that models are fitted to.
    baseline : Evaluation
        A model that learns nothing from features, for comparison.
    trials : sequence of Trial
        One for each set of features.
    learning_curve : LearningCurve or None
        Of the best model; None if it was not asked for.
    uncertainty : Uncertainty or None
        Of the predictions of the best model; None if it was not asked for.
    breakdown : Breakdown
        Errors of the best model by element, chemistry and size, on the samples that :meth:`held_out` gives.
    models : mapping of str to str
        Titles of the models by their keys, which are those of ``Trial.evaluations``, and "dummy".
    parameters : mapping of str to dict
        Parameters of the models as they were given, by their keys, in plain types.
    """

    problem: Problem
    question: str
    split: Split
    leakage: Leakage
    baseline: Evaluation
    trials: Sequence[Trial]
    learning_curve: LearningCurve | None
    uncertainty: Uncertainty | None
    breakdown: Breakdown
    models: Mapping[str, str]
    parameters: Mapping[str, Any]

    @property
    def dataset(self) -> Dataset:
        """The data set."""
        return self.problem.dataset

    @property
    def target_name(self) -> str:
        """Name of the target in the data set."""
        return self.problem.target_name

    @property
    def kind(self) -> str:
        """``"regression"`` or ``"classification"``."""
        return self.problem.kind

    @property
    def target(self) -> Target:
        """The property that is predicted."""
        return self.problem.target

    @property
    def title(self) -> str:
        """Data set and target in words."""
        return self.problem.title

    def best(self) -> tuple[Trial, str]:
        """Return the features and the model that are best by the first figure of merit in cross-validation."""
        trial = max(self.trials, key=lambda trial: score(trial.evaluations[trial.best]))
        return trial, trial.best

    def held_out(self) -> tuple[str, Indices, npt.NDArray[Any]]:
        """Return the predictions of the best model to judge it by; see :meth:`Evaluation.held_out`."""
        trial, model = self.best()
        return trial.evaluations[model].held_out()

    def caveats(self) -> list[str]:
        """Return, in words, what limits how far these results can be trusted."""
        return caveats(self)

    def evaluations(self) -> Iterator[tuple[str, str, Evaluation]]:
        """Yield features, model and result of the baseline and of all trials; features are "none" for the former."""
        yield "none", "dummy", self.baseline
        for trial in self.trials:
            for model, evaluation in trial.evaluations.items():
                yield trial.features.key, model, evaluation

    def predictions(self) -> list[dict[str, Any]]:
        """Return every prediction that was made of a sample that the model had not seen.

        Returns
        -------
        list of dict
            With ``dataset``, ``target``, ``unit``, ``features``, ``model``, ``part``, ``id``, ``true`` and
            ``predicted``. For regression ``lower`` and ``upper``, the ends of the interval of ``Uncertainty.level``, or
            None. For classification ``true`` and ``predicted`` are names of classes, and there are
            ``probability <class>`` and ``set``, the names in the conformal set separated by "|", or None.
        """
        return list(_predictions(self))

    def to_dict(self) -> dict[str, Any]:
        """Return all results in plain types, for JSON; there is no nan in them."""
        return study_to_dict(self)


def _predictions(study: Study) -> Iterator[dict[str, Any]]:
    problem = study.problem
    ids, classes = problem.ids, problem.target.classes
    for features, model, evaluation in study.evaluations():
        level = study.uncertainty.level if study.uncertainty else None
        bounds = conformal(evaluation, problem, study.split, level) if level and evaluation.parts() else None
        place = 0
        for part, fold in evaluation.parts():
            for k, sample in enumerate(fold.indices):
                row: dict[str, Any] = {
                    "dataset": problem.dataset.name,
                    "target": problem.target_name,
                    "unit": problem.target.unit,
                    "features": features,
                    "model": model,
                    "part": part,
                    "id": ids[sample],
                }
                if not classes:
                    row |= {"true": float(problem.y[sample]), "predicted": float(fold.y_pred[k])}
                    for name in ("lower", "upper"):
                        ends = getattr(bounds, name, None)
                        row[name] = None if ends is None or np.isnan(ends[place]) else float(ends[place])
                else:
                    row |= {"true": classes[int(problem.y[sample])], "predicted": classes[int(fold.y_pred[k])]}
                    for c, name in enumerate(classes):
                        p = fold.probabilities
                        row[f"probability {name}"] = None if p is None else float(p[k, c])
                    sets = bounds.sets if bounds else None
                    row["set"] = None if sets is None else "|".join(np.array(classes)[sets[place]])
                place += 1
                yield row


def score(evaluation: Evaluation) -> float:
    """Return the first figure of merit, in cross-validation or else on the test part; larger is better."""
    name = primary_metric(evaluation.kind)
    if evaluation.folds:
        value = evaluation.cross_validation[name].mean.value
    else:
        value = evaluation.test.metrics[name].value if evaluation.test else None
    if value is None:
        return -np.inf
    return value if METRICS[evaluation.kind][name].larger_is_better else -value


def count_steps(n_features: int, n_models: int, *, curve: bool = True) -> int:
    """Return how often :func:`run_study` calls ``progress``."""
    return n_features * (n_models + 1) + 1 + int(curve)


def run_study(
    problem: Problem,
    features: Sequence[Features],
    models: Mapping[str, BaseEstimator],
    split: Split,
    *,
    question: str = "",
    titles: Mapping[str, str] = MappingProxyType({}),
    n_repeats: int = 10,
    curve: bool = True,
    level: float | None = 0.9,
    shap: bool = False,
    n_jobs: int = 1,
    progress: Progress = lambda step: None,
) -> Study:
    """Test all models on all features, and explain the best model for each.

    Parameters
    ----------
    problem : Problem
        The samples and the target.
    features : sequence of Features
        Features of all samples. A kernel between samples goes to the models that take one, and to no others.
    models : mapping of str to estimator
        Models by keys of your choice, without the baseline, which is always there under the key "dummy". Those made
        with ``pairwise=True`` are given the kernels, all others the features.
    split : Split
        The samples for training and testing.
    question : str
        See :class:`Study`.
    titles : mapping of str to str
        Titles of the models by their keys. Default: those of :data:`~atomprint.learn.MODELS`, or the keys.
    n_repeats : int
        How often each group of features is scrambled to find its importance; 0 for not at all.
    curve : bool
        Whether to compute the learning curve of the best model.
    level : float, optional
        Level of the uncertainty of the best model; None for none.
    shap : bool
        Whether to sum Shapley values over groups of features, where the best model for them is of trees or linear.
    n_jobs : int
        Number of threads, which share the folds; -1 means all cores. Results do not depend on it.
    progress : callable
        Called with a few words before each step; :func:`count_steps` says how often.

    Returns
    -------
    Study

    Raises
    ------
    FitError
        If a model fails; the message names features, model and fold.
    ValueError
        If there is nothing to test, or features do not fit the problem or the models.
    """
    if not features or not models:
        raise ValueError(f"there must be features and models, got {len(features)} and {len(models)}")
    if "dummy" in models:
        raise ValueError("models must not have the key 'dummy', which is that of the baseline")
    if not split.folds and len(split.test) == 0:
        raise ValueError("split must have folds or a test part, got neither")
    for what, keys in (("features", [given.key for given in features]), ("models", list(models))):
        if len(set(keys)) < len(keys):
            raise ValueError(f"{what} must have different keys, got {', '.join(keys)}")
    options: dict[str, Any] = {"keep_fold_estimators": len(split.test) == 0, "refit": False}
    for given in features:
        check_samples(given, problem)
    progress("baseline")
    # A baseline sees no feature: one column of zeros is enough.
    blind = Features("none", "none", "", np.zeros((len(problem), 1)), ["none"], 0.0, {})
    baseline = evaluate(make_model("dummy", problem.kind), blind, problem, split, name="dummy")
    trials = []
    for given in features:
        suited = {name: model for name, model in models.items() if _takes_kernel(model) == given.pairwise}
        if not suited:
            raise ValueError(
                f"features {given.key!r}: no model takes "
                + ("a kernel between samples" if given.pairwise else "features that are not a kernel")
            )
        evaluations: dict[str, Evaluation] = {}
        for name, model in models.items():
            progress(f"{given.title}, {_title(name, titles)}")
            if name not in suited:
                continue
            evaluations[name] = evaluate(
                model, given, problem, split, n_jobs, name=f"features {given.key!r}, model {name!r}", **options
            )
            best = max(evaluations, key=lambda key: score(evaluations[key]))
            # Models of folds are kept no longer than they may be needed; forests of many samples are large.
            needed = {best, _with_impurity(evaluations, best)}
            for key in evaluations.keys() - needed:
                evaluations[key] = replace(evaluations[key], fold_estimators=())
        progress(f"{given.title}, importance")
        trials.append(_explained(given, evaluations, best, problem, split, n_repeats, shap))
    trial = max(trials, key=lambda trial: score(trial.evaluations[trial.best]))
    evaluation, model = trial.evaluations[trial.best], models[trial.best]
    if evaluation.estimator is None:  # for whoever wants to predict with it
        whole = fit_estimator(model, trial.features, problem, split, split.train, f"model {trial.best!r}, all samples")
        evaluation = replace(evaluation, estimator=whole)
        trials[trials.index(trial)] = replace(trial, evaluations={**trial.evaluations, trial.best: evaluation})
    learnt = None
    if curve:
        progress("learning curve")
        learnt = learning_curve(model, trial.features, problem, split, n_jobs=n_jobs, name=trial.best)
    _, indices, y_pred = evaluation.held_out()
    return Study(
        problem,
        question,
        split,
        find_leakage(problem, split),
        baseline,
        trials,
        learnt,
        None if level is None else conformal(evaluation, problem, split, level),
        break_down(problem, indices, y_pred),
        {name: _title(name, titles) for name in ("dummy", *models)},
        {name: plain(model) for name, model in models.items()},
    )


def _title(name: str, titles: Mapping[str, str]) -> str:
    return titles.get(name) or (MODELS[name].title if name in MODELS else name)


def _takes_kernel(model: BaseEstimator) -> bool:
    return bool(get_tags(model).input_tags.pairwise)


def _with_impurity(evaluations: Mapping[str, Evaluation], best: str) -> str:
    """Return the model of trees whose impurities are shown: the best model, or the first; empty if there is none."""
    for name in (best, *evaluations):
        models = [evaluations[name].estimator, *evaluations[name].fold_estimators]
        if any(model is not None and impurity_importance(model) is not None for model in models):
            return name
    return ""


def _explained(
    given: Features,
    evaluations: dict[str, Evaluation],
    best: str,
    problem: Problem,
    split: Split,
    n_repeats: int,
    shap: bool,
) -> Trial:
    """Return the trial with what its best model relies on, and without the models of its folds."""
    evaluation = evaluations[best]
    importance = shapley = None
    if len(given.names) and not given.pairwise:
        groups = feature_groups(given.names)
        parts, where = _unseen(evaluation, given, problem, split)
        if n_repeats:
            importance = _permuted(parts, where, groups, problem, n_repeats, split.seed)
        if shap:
            shapley = _shapley(parts, where, groups, problem)
    top, top_model = [], _with_impurity(evaluations, best)
    if top_model and len(given.names):
        owner = evaluations[top_model]
        models = [owner.estimator] if owner.estimator is not None else owner.fold_estimators
        shares = [impurity_importance(model) for model in models]
        top = top_features(given.names, np.mean([share for share in shares if share is not None], axis=0))
    done = {name: replace(entry, fold_estimators=()) for name, entry in evaluations.items()}
    return Trial(given, done, best, importance, shapley, top, top_model if top else "")


def _unseen(evaluation: Evaluation, given: Features, problem: Problem, split: Split) -> tuple[list[Part], str]:
    """Return models with samples that they have not seen: the test part, or the folds if there is none."""
    y = targets(problem)
    rng = np.random.default_rng(split.seed)

    def some(rows: Indices, most: int) -> Indices:
        return rows if len(rows) <= most else np.sort(rng.choice(rows, most, replace=False))

    if evaluation.test is not None:
        pairs, where = [(evaluation.estimator, some(split.test, _N_EXPLAINED))], "the test part"
    else:
        most = -(-_N_EXPLAINED // len(split.folds))
        pairs = [
            (model, some(predict, most))
            for model, (_, predict) in zip(evaluation.fold_estimators, split.folds, strict=True)
        ]
        where = "the folds, each with the model that has not seen it"
    parts = [Part(model, _dense(given.take(rows)), y[rows]) for model, rows in pairs]
    n_all = len(split.test) if evaluation.test is not None else sum(len(predict) for _, predict in split.folds)
    n = sum(len(part.y) for part in parts)
    return parts, where + (f" ({n} samples of it, drawn at random)" if n < n_all else "")


def _dense(X: Any) -> Any:
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
    """Return sums of Shapley values for the first model; None if there is no quick way to compute them."""
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
