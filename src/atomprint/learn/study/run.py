"""One target of one data set, several descriptors, several models: the same split, every result kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import get_tags

from atomprint.learn.evaluation.breakdown import break_down
from atomprint.learn.evaluation.curve import learning_curve
from atomprint.learn.evaluation.evaluate import Evaluation, check_samples, evaluate, fit_estimator, with_models
from atomprint.learn.evaluation.explain import explain, most_used, seconds_of_importance
from atomprint.learn.evaluation.importance import N_REPEATS
from atomprint.learn.evaluation.nested_choice import CHOSEN, Candidate, Choice, choose
from atomprint.learn.evaluation.uncertainty import conformal
from atomprint.learn.models.catalogue import MODELS
from atomprint.learn.models.make import make_model
from atomprint.learn.splits.leakage import find_leakage
from atomprint.learn.splits.split import Split
from atomprint.learn.study.study import Study, Trial, best_of, judged_by, needs_choice, score
from atomprint.learn.task.features import Features
from atomprint.learn.task.metrics import METRICS, primary_metric
from atomprint.learn.task.problem import Problem
from atomprint.util.budget import Budget
from atomprint.util.estimators import unwrap
from atomprint.util.plain import plain
from atomprint.util.progress import Progress, Steps, silent
from atomprint.util.store import NOTHING_KEPT, Store
from atomprint.util.validation import check_choice, check_n_jobs


def takes_kernel(model: BaseEstimator) -> bool:
    """Return whether a model is given a kernel between samples, and not features."""
    return bool(get_tags(model).input_tags.pairwise)


def count_steps(n_features: int, n_candidates: int, split: Split, *, curve: bool = True) -> int:
    """Return how often :func:`run_study` calls ``progress``; candidates are pairs of features and a model for them."""
    n_parts = len(split.parts())
    n_chosen = n_candidates * n_parts if needs_choice(split, n_candidates) else 0
    return 1 + n_chosen + n_candidates * n_parts + n_features + int(curve)


def run_study(
    problem: Problem,
    features: Sequence[Features],
    models: Mapping[str, BaseEstimator],
    split: Split,
    *,
    question: str = "",
    titles: Mapping[str, str] = MappingProxyType({}),
    n_repeats: int = N_REPEATS,
    curve: bool = True,
    level: float | None = 0.9,
    shap: bool = False,
    metric: str | None = None,
    n_choose: int = 5000,
    n_jobs: int = 1,
    progress: Progress = silent,
    store: Store = NOTHING_KEPT,
    budget: Budget | None = None,
    left_out: Sequence[str] = (),
) -> Study:
    """Test all models on all features, and explain the best model for each.

    No choice is made on the samples that judge it. With folds and a test part the folds choose and the test part
    judges. Otherwise, if there are several models or features, :func:`choose` compares them
    within the training samples of each fold (or of the test part), and what was chosen there predicts the fold.

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
        Level of the uncertainty; None for none.
    shap : bool
        Whether to sum Shapley values over groups of features, where the best model for them is of trees or linear.
    metric : str, optional
        The figure of merit by which models are compared, a key of :data:`~atomprint.learn.METRICS`. Default: the first.
    n_choose : int
        The most samples of a training part on which models and features are compared to choose among them.
    n_jobs : int
        Number of threads, which share the folds; -1 means all cores. Results do not depend on it.
    progress : Progress
        Called as each step begins; there are as many as :func:`count_steps` says.
    store : Store
        Where results of fits are kept, so that a study that was stopped goes on where it was.
    budget : Budget, optional
        What there is time for: models beyond the first (and those that were chosen), importance and learning curve are
        left out, or features scrambled less often, if they are expected to take longer than what is left. Nothing is
        stopped halfway. Default: all of it.
    left_out : sequence of str
        What was left out before for want of time, in sentences.

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
    _check_given(problem, features, models, split)
    metric = primary_metric(problem.kind) if metric is None else metric
    check_choice("metric", metric, tuple(METRICS[problem.kind]))
    candidates = [candidate for given in features for candidate in _candidates(given, models)]
    tell = Steps(progress, count_steps(len(features), len(candidates), split, curve=curve))
    tell("baseline")
    # A baseline sees no feature: one column of zeros is enough.
    blind = Features("none", "none", "", np.zeros((len(problem), 1)), ["none"], 0.0, {})
    baseline = evaluate(make_model("dummy", problem.kind), blind, problem, split, name="dummy")
    choice = None
    if needs_choice(split, len(candidates)):
        choice = choose(
            candidates,
            problem,
            split,
            metric=metric,
            n_choose=n_choose,
            n_jobs=n_jobs,
            progress=tell.part(),
            store=store,
        )
    time = _Time(Budget() if budget is None else budget, [*left_out])
    named = {name: _title(name, titles) for name in ("dummy", *models)}
    trials = []
    for given in features:
        own = {name: model for of, name, model in candidates if of is given}
        evaluations, best = _tested(own, given, problem, split, named, choice, metric, n_jobs, tell, store, time)
        tell(f"{given.title}, importance")
        often = time.repeats(evaluations[best], given, problem, split, n_repeats)
        importance, shapley = explain(
            evaluations[best], given, problem, split, n_repeats=often, shap=shap and often == n_repeats
        )
        top_model, top = most_used(evaluations, best, given)
        done = {name: replace(evaluation, fold_estimators=()) for name, evaluation in evaluations.items()}
        trials.append(Trial(given, done, best, importance, shapley, top, top_model))
    trial, name = best_of(trials, choice, metric)
    if trial.evaluations[name].estimator is None:  # for whoever wants to predict with it
        label = f"model {name!r}, all samples"
        whole = fit_estimator(models[name], trial.features, problem, split, split.train, label, check_n_jobs(n_jobs))
        evaluation = replace(trial.evaluations[name], estimator=whole)
        trials[trials.index(trial)] = replace(trial, evaluations={**trial.evaluations, name: evaluation})
    learnt = None
    if curve and time.for_curve(trial.features.key, name, split):
        tell("learning curve")
        learnt = learning_curve(
            models[name], trial.features, problem, split, metric=metric, n_jobs=n_jobs, name=name, store=store
        )
    judged = judged_by(trials, choice, metric)
    _, indices, y_pred = judged.held_out()
    return Study(
        problem,
        question,
        split,
        find_leakage(problem, split),
        baseline,
        trials,
        learnt,
        None if level is None else conformal(judged, problem, split, level, trial.features),
        break_down(problem, indices, y_pred),
        named,
        {name: plain(model) for name, model in models.items()},
        choice,
        metric,
        tuple(time.left_out),
    )


_CURVE = (1.85, 3)  # a learning curve: shares of the samples, added up, and folds


class _Time:
    """What there is time for, and what was left out."""

    def __init__(self, budget: Budget, left_out: list[str]) -> None:
        self.budget = budget
        self.left_out = left_out
        self.seconds: dict[tuple[str, str], float] = {}  # of each model in all parts

    def allows(self, seconds: float) -> bool:
        """Return whether something can be done, and after it the last fit and the report."""
        return self.budget.allows(seconds + self.budget.at_the_end + max(self.seconds.values(), default=0.0) / 2)

    def for_another(self, title: str) -> bool:
        """Return whether there is time for another model, by the longest so far."""
        if not self.budget.limited or self.allows(max(self.seconds.values(), default=0.0)):
            return True
        self.left_out.append(f"Models: without {title}, for which there was no time.")
        return False

    def repeats(self, best: Evaluation, given: Features, problem: Problem, split: Split, asked: int) -> int:
        """Return how often features can be scrambled."""
        if not self.budget.limited or not asked:
            return asked
        each = seconds_of_importance(best, given, problem, split, self.budget.clock)
        often = next((n for n in (asked, 1) if self.allows(n * each)), 0)
        if often < asked:
            how = f"scrambled once instead of {asked} times" if often else "not scrambled"
            self.left_out.append(f"Importance: features are {how}.")
        return often

    def for_curve(self, features: str, model: str, split: Split) -> bool:
        """Return whether there is time for a learning curve."""
        shares, folds = _CURVE
        parts = len(split.parts())
        seconds = self.seconds.get((features, model), 0.0) * shares * min(folds, parts) / parts
        if not self.budget.limited or self.allows(seconds):
            return True
        self.left_out.append("Learning curve: there is none.")
        return False


def _check_given(
    problem: Problem, features: Sequence[Features], models: Mapping[str, BaseEstimator], split: Split
) -> None:
    """Raise unless there is something to test, under names that can be told apart."""
    if not features or not models:
        raise ValueError(f"there must be features and models, got {len(features)} and {len(models)}")
    for key, what in (("dummy", "the baseline"), (CHOSEN, "the choice within each training part")):
        if key in models:
            raise ValueError(f"models must not have the key {key!r}, which is that of {what}")
    if not split.folds and len(split.test) == 0:
        raise ValueError("split must have folds or a test part, got neither")
    for what, keys in (("features", [given.key for given in features]), ("models", list(models))):
        if len(set(keys)) < len(keys):
            raise ValueError(f"{what} must have different keys, got {', '.join(keys)}")
    for given in features:
        check_samples(given, problem)


def _tested(
    models: Mapping[str, BaseEstimator],
    given: Features,
    problem: Problem,
    split: Split,
    titles: Mapping[str, str],
    choice: Choice | None,
    metric: str,
    n_jobs: int,
    tell: Steps,
    store: Store,
    time: _Time,
) -> tuple[dict[str, Evaluation], str]:
    """Return the results of models on one set of features, and which of them is to be explained."""
    preferred = "" if choice is None else choice.best_model(given.key)
    evaluations: dict[str, Evaluation] = {}
    best = ""
    for name, model in models.items():
        title = f"{given.title}, {titles[name]}"
        tell(title)
        needed = choice is not None and (given.key, name) in (*choice.winners, choice.best)
        if evaluations and not needed and not time.for_another(title):
            continue
        start = time.budget.clock()
        evaluations[name] = evaluate(
            model,
            given,
            problem,
            split,
            n_jobs,
            _fits(tell, title),
            name=f"features {given.key!r}, model {name!r}",
            keep_fold_estimators=len(split.test) == 0,
            refit=False,
            compare_folds=True,
            store=store,
        )
        time.seconds[given.key, name] = time.budget.clock() - start
        if choice is None:
            best = max(evaluations, key=lambda key: score(evaluations[key], metric))
        else:
            best = preferred if preferred in evaluations else name
        # Models of folds are kept no longer than they may be needed; forests of many samples are large.
        for key in evaluations.keys() - {best, _of_trees(evaluations, models)}:
            evaluations[key] = replace(evaluations[key], fold_estimators=())
    for key in {best, _of_trees([best, *evaluations], models)} - {""}:
        label = f"features {given.key!r}, model {key!r}"
        evaluations[key] = with_models(evaluations[key], models[key], given, problem, split, label)
    return evaluations, best


def _of_trees(names: Iterable[str], models: Mapping[str, BaseEstimator]) -> str:
    """Return the first of some models that knows how much its splits by each feature bring; empty if none does."""
    return next((name for name in names if hasattr(type(unwrap(models[name])[1]), "feature_importances_")), "")


def _candidates(given: Features, models: Mapping[str, BaseEstimator]) -> list[Candidate]:
    suited = [Candidate(given, name, m) for name, m in models.items() if takes_kernel(m) == given.pairwise]
    if not suited:
        raise ValueError(
            f"features {given.key!r}: no model takes "
            + ("a kernel between samples" if given.pairwise else "features that are not a kernel")
        )
    return suited


def _fits(tell: Steps, title: str) -> Progress:
    """Return what to call after each fit, which tells of all but the last."""
    return lambda _, done, total: tell(f"{title}, {done} of {total} fits done") if done != total else None


def _title(name: str, titles: Mapping[str, str]) -> str:
    return titles.get(name) or (MODELS[name].title if name in MODELS else name)
