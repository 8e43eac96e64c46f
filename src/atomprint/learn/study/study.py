"""Results for one target of one data set: trials of features and models, and what they are judged by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from atomprint.datasets import Dataset, Target
from atomprint.learn.evaluation.breakdown import Breakdown
from atomprint.learn.evaluation.coverage import GroupCoverage, coverage_by_group
from atomprint.learn.evaluation.curve import LearningCurve
from atomprint.learn.evaluation.evaluate import Evaluation
from atomprint.learn.evaluation.importance import Importance
from atomprint.learn.evaluation.intervals import Uncertainty
from atomprint.learn.evaluation.nested_choice import CHOSEN, CHOSEN_TITLE, Choice
from atomprint.learn.evaluation.uncertainty import conformal
from atomprint.learn.models.decided import decision_in_words
from atomprint.learn.splits.leakage import Leakage
from atomprint.learn.splits.split import Split
from atomprint.learn.study import caveats
from atomprint.learn.study.familiar import Familiarity, measure_familiarity
from atomprint.learn.study.result_table import ResultRow, coverage_of_parts, prediction_rows
from atomprint.learn.task.features import Features
from atomprint.learn.task.metrics import METRICS, Metric, primary_metric
from atomprint.learn.task.problem import Problem
from atomprint.learn.task.wild import wild_targets
from atomprint.util.plain import plain
from atomprint.util.types import Array, Indices, JsonObject


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
        The model that ``importance`` is about: that preferred most often in the choice within each training part if
        there is one, else the best by the figure of merit of the study in cross-validation.
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

    def to_dict(self) -> JsonObject:
        """Return features, figures of all models and importances in plain types, for JSON."""
        features = self.features
        return {
            "features": {
                "key": features.key,
                "title": features.title,
                "description": features.description,
                "shape": list(getattr(features.values, "shape", [len(features)])),
                "pairwise": features.pairwise,
                "seconds": features.seconds,
                "parameters": plain(features.parameters),
            },
            "models": {name: evaluation.to_dict() for name, evaluation in self.evaluations.items()},
            "best": self.best,
            "importance": self.importance and {"model": self.best, **self.importance.to_dict()},
            "shap": self.shap and {"model": self.best, **self.shap.to_dict()},
            "top_features": {
                "model": self.top_model,
                "features": [{"feature": name, "importance": value} for name, value in self.top],
            },
        }


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
        Of the model that :meth:`best` gives; None if it was not asked for.
    uncertainty : Uncertainty or None
        Of the predictions of ``chosen``; None if it was not asked for.
    breakdown : Breakdown
        Errors of ``chosen`` by element, chemistry and size, on the samples that :meth:`held_out` gives.
    models : mapping of str to str
        Titles of the models by their keys, which are those of ``Trial.evaluations``, and "dummy".
    parameters : mapping of str to dict
        Parameters of the models as they were given, by their keys, in plain types.
    choice : Choice or None
        What was chosen within each training part. None where nothing has to be chosen there: a single model on a
        single set of features, or a test part beside the folds, which choose.
    metric : str
        The figure of merit by which models are compared, a key of :data:`~atomprint.learn.METRICS`. Default: the first
        of its kind.
    left_out : tuple of str
        What was left out to end in time, in sentences.

    Raises
    ------
    ValueError
        If there are several candidates and the samples that judge them would choose among them.
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
    choice: Choice | None = None
    metric: str = ""
    left_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "metric", self.metric or primary_metric(self.problem.kind))
        n = sum(len(trial.evaluations) for trial in self.trials)
        if self.choice is None and needs_choice(self.split, n):
            raise ValueError(f"choice must be given: the samples that judge {n} models must not choose among them")

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
        """Return the features and the model to use for new samples.

        Those chosen most often within the training parts or, where a test part judges, the best by ``metric`` in
        cross-validation.
        """
        return best_of(self.trials, self.choice, self.metric)

    @property
    def nested(self) -> bool:
        """Whether each fold has its own choice of features and model, so that ``chosen`` is no single model."""
        return self.choice is not None and bool(self.split.folds)

    @cached_property
    def chosen(self) -> Evaluation:
        """The result to judge by.

        Where each fold has its own choice, for each fold the predictions of the features and the model that were chosen
        within its training samples (named in :attr:`Fold.chosen <atomprint.learn.Fold>`); else the result of
        :meth:`best`.
        """
        return judged_by(self.trials, self.choice, self.metric)

    def held_out(self) -> tuple[str, Indices, Array]:
        """Return the predictions to judge by; see ``chosen`` and :meth:`Evaluation.held_out`."""
        return self.chosen.held_out()

    def caveats(self) -> list[str]:
        """Return, in words, what limits how far these results can be trusted."""
        models = [(name, e) for trial in self.trials for name, e in trial.evaluations.items()]
        return [
            *self.left_out,
            *dict.fromkeys(note for trial in self.trials for note in trial.features.notes),
            *caveats.of_targets(self.problem),
            *caveats.of_size(self.problem, self.split),
            *caveats.of_choice(self.split, self.choice, len(models)),
            *caveats.of_edges(self.chosen, self.parameters, self.best()[1]),
            *caveats.of_elements(self.problem, self.split),
            *self.leakage_in_words(),
            *caveats.of_extrapolation(self.problem, self.chosen),
            *caveats.of_probabilities(self.problem, self.split, models, self.models),
        ]

    def decision_in_words(self) -> str:
        """Return how the best model decides between classes; empty if it takes the most probable one."""
        trial, model = self.best()
        fitted = trial.evaluations[model].estimator
        chosen = [fold.chosen for _, fold in self.chosen.parts()]
        return "" if fitted is None else decision_in_words(fitted, self.target.classes, chosen)

    @cached_property
    def familiarity(self) -> tuple[Familiarity, ...]:
        """Errors of ``chosen`` for formulas, structures and groups that were fitted too, beside those for new ones."""
        return measure_familiarity(self.problem, self.split, self.leakage, self.chosen)

    def leakage_in_words(self) -> list[str]:
        """Return what the parts of the split share, and what that does to errors, as measured."""
        return [*self.leakage.sentences(), *(said for one in self.familiarity for said in one.sentences())]

    def evaluations(self) -> Iterator[tuple[str, str, Evaluation]]:
        """Yield features, model and result of the baseline, of all trials and, if nested, of the choice.

        Features are "none" for the baseline; features and model are "chosen" for the choice within each training part.
        """
        yield "none", "dummy", self.baseline
        for trial in self.trials:
            for model, evaluation in trial.evaluations.items():
                yield trial.features.key, model, evaluation
        if self.nested:
            yield CHOSEN, CHOSEN, self.chosen

    @cached_property
    def coverage(self) -> GroupCoverage | None:
        """How often intervals of ``uncertainty`` hold the truth, group by group; None if there are none."""
        return None if self.uncertainty is None else coverage_by_group(self.uncertainty, self.problem)

    @cached_property
    def rows(self) -> tuple[ResultRow, ...]:
        """A row for each of :meth:`evaluations`: coverage of its intervals, and times."""
        of_features = {trial.features.key: trial.features.seconds for trial in self.trials}
        rows = []
        for features, model, evaluation in self.evaluations():
            result = evaluation is self.chosen
            seconds = sum(fold.seconds_fit + fold.seconds_predict for _, fold in evaluation.parts())
            spent = of_features.get(features, 0.0)
            if result and self.choice is not None:
                spent, seconds = sum(of_features.values()), seconds + self.choice.seconds
            bounds = self._bounds(features, evaluation)
            coverage, by_part = Metric(None, "it was not asked for"), {}
            if bounds is not None:
                coverage, by_part = bounds.coverage, coverage_of_parts(bounds, self.problem)
            role = "baseline" if evaluation is self.baseline else "result" if result else "candidate"
            rows.append(ResultRow(features, model, evaluation, role, coverage, by_part, spent, seconds))
        return tuple(rows)

    def _bounds(self, features: str, evaluation: Evaluation) -> Uncertainty | None:
        """Return the uncertainty of one of the results, at the level of that of ``chosen``."""
        if self.uncertainty is None or evaluation is self.chosen:
            return self.uncertainty
        table = next((trial.features for trial in self.trials if trial.features.key == features), None)
        return conformal(evaluation, self.problem, self.split, self.uncertainty.level, table)

    def titles_of(self, features: str, model: str) -> tuple[str, str]:
        """Return the titles of keys that :meth:`evaluations` gives; those of the features are empty if it has none."""
        if model == CHOSEN:
            return "", CHOSEN_TITLE
        titles = {trial.features.key: trial.features.title for trial in self.trials}
        return titles.get(features, ""), self.models[model]

    def predictions(self) -> Iterator[JsonObject]:
        """Yield every prediction that was made of a sample that the model had not seen, one at a time.

        Yields
        ------
        dict
            With ``dataset``, ``target``, ``unit``, ``features``, ``model``, ``part``, ``id``, ``true`` and
            ``predicted``. For regression ``lower`` and ``upper``, the ends of the interval of ``Uncertainty.level``, or
            None. For classification ``true`` and ``predicted`` are names of classes, and there are
            ``probability <class>`` and ``set``, the names in the conformal set separated by "|", or None.
        """
        for features, model, evaluation in self.evaluations():
            yield from prediction_rows(self.problem, features, model, evaluation, self._bounds(features, evaluation))

    def to_dict(self) -> JsonObject:
        """Return all results in plain types, for JSON; there is no nan in them.

        Under "split" are the names of the samples of each part; "train" is None where they are those of "folds".
        """
        dataset, target, split = self.dataset, self.target, self.split
        ids = np.array(self.problem.ids)
        best_trial, best_model = self.best()
        return {
            "dataset": {
                "name": dataset.name,
                "title": dataset.title,
                "n_structures": len(dataset),
                "n_samples": len(self.problem),
                "description": dataset.description,
                "source": dataset.source,
                "licence": dataset.licence,
            },
            "target": {
                "name": self.target_name,
                "title": target.title,
                "unit": target.unit,
                "definition": target.definition,
                "kind": self.kind,
                "level": target.level,
                "classes": list(target.classes),
            },
            "question": self.question,
            "metric": self.metric,
            "left_out": list(self.left_out),
            "decision": self.decision_in_words(),
            "caveats": self.caveats(),
            "wild_targets": [one.to_dict() for one in wild_targets(self.problem)],
            "split": {
                "seed": split.seed,
                "method": split.method,
                "description": split.description,
                "train": None if _cover_train(split) else ids[split.train].tolist(),
                "test": ids[split.test].tolist(),
                "fold_names": list(split.fold_names),
                "folds": [ids[predict].tolist() for _, predict in split.folds],
            },
            "leakage": {**self.leakage.to_dict(), "familiarity": [one.to_dict() for one in self.familiarity]},
            "models": {
                key: {"title": title, "parameters": self.parameters.get(key, {})} for key, title in self.models.items()
            },
            "best": {"features": best_trial.features.key, "model": best_model},
            "choice": self.choice and self.choice.to_dict(),
            "chosen": self.chosen.to_dict() if self.nested else None,
            "baseline": self.baseline.to_dict(),
            "trials": [trial.to_dict() for trial in self.trials],
            "learning_curve": self.learning_curve and self.learning_curve.to_dict(),
            "rows": [row.to_dict() for row in self.rows],
            "uncertainty": self.uncertainty and self.uncertainty.to_dict(),
            "breakdown": self.breakdown.to_dict(),
            "coverage_by_group": self.coverage and self.coverage.to_dict(),
        }


def score(evaluation: Evaluation, name: str) -> float:
    """Return a figure of merit, in cross-validation or else on the test part; larger is better."""
    if evaluation.folds:
        value = evaluation.cross_validation[name].mean.value
    else:
        value = evaluation.test.metrics[name].value if evaluation.test else None
    if value is None:
        return -np.inf
    return value if METRICS[evaluation.kind][name].larger_is_better else -value


def needs_choice(split: Split, n_candidates: int) -> bool:
    """Return whether candidates must be compared within each training part, as nothing else can choose among them."""
    return n_candidates > 1 and not (split.folds and len(split.test))


def best_of(trials: Sequence[Trial], choice: Choice | None, metric: str) -> tuple[Trial, str]:
    """Return the features and the model to use for new samples; see :meth:`Study.best`."""
    if choice is not None:
        features, model = choice.best
        return next(trial for trial in trials if trial.features.key == features), model
    trial = max(trials, key=lambda trial: score(trial.evaluations[trial.best], metric))
    return trial, trial.best


def judged_by(trials: Sequence[Trial], choice: Choice | None, metric: str) -> Evaluation:
    """Return the result to judge by; see ``Study.chosen``."""
    if choice is None:
        trial, model = best_of(trials, None, metric)
        return trial.evaluations[model]
    return choice.assemble({(trial.features.key, name): e for trial in trials for name, e in trial.evaluations.items()})


def _cover_train(split: Split) -> bool:
    """Return whether the predicted samples of the folds are those of the training part: no need to list it then."""
    return bool(split.folds) and np.array_equal(np.unique(np.concatenate([p for _, p in split.folds])), split.train)
