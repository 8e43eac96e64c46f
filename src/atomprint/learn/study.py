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
from atomprint.learn.evaluate import Evaluation, Progress, check_samples, evaluate, fit_estimator
from atomprint.learn.explain import explain, most_used, with_impurity
from atomprint.learn.features import Features
from atomprint.learn.importance import Importance
from atomprint.learn.leakage import Leakage, find_leakage
from atomprint.learn.metrics import METRICS, primary_metric
from atomprint.learn.models import MODELS, make_model
from atomprint.learn.problem import Problem
from atomprint.learn.split import Split
from atomprint.learn.summary import caveats, plain, predictions, study_to_dict
from atomprint.learn.uncertainty import Uncertainty, conformal

Indices = npt.NDArray[np.intp]

__all__ = ["Features", "Study", "Trial", "count_steps", "plain", "run_study"]


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

    def predictions(self) -> Iterator[dict[str, Any]]:
        """Yield every prediction that was made of a sample that the model had not seen, one at a time.

        Yields
        ------
        dict
            With ``dataset``, ``target``, ``unit``, ``features``, ``model``, ``part``, ``id``, ``true`` and
            ``predicted``. For regression ``lower`` and ``upper``, the ends of the interval of ``Uncertainty.level``, or
            None. For classification ``true`` and ``predicted`` are names of classes, and there are
            ``probability <class>`` and ``set``, the names in the conformal set separated by "|", or None.
        """
        return predictions(self)

    def to_dict(self) -> dict[str, Any]:
        """Return all results in plain types, for JSON; there is no nan in them.

        Under "split" are the names of the samples of each part; "train" is None where they are those of "folds".
        """
        return study_to_dict(self)


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
            needed = {best, with_impurity(evaluations, best)}
            for key in evaluations.keys() - needed:
                evaluations[key] = replace(evaluations[key], fold_estimators=())
        progress(f"{given.title}, importance")
        importance, shapley = explain(evaluations[best], given, problem, split, n_repeats=n_repeats, shap=shap)
        top_model, top = most_used(evaluations, best, given)
        done = {name: replace(evaluation, fold_estimators=()) for name, evaluation in evaluations.items()}
        trials.append(Trial(given, done, best, importance, shapley, top, top_model))
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
