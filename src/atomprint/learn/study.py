"""One target of one data set, several descriptors, several models: the same split, every result kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator

from atomprint.datasets import Dataset, Target
from atomprint.layout import symbols_of
from atomprint.learn.evaluate import Evaluation, Fold, evaluate
from atomprint.learn.importance import GroupImportance, feature_groups, group_importance, top_features
from atomprint.learn.models import MODELS, make_model
from atomprint.learn.split import Split
from atomprint.structures import as_batch


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
        The model that is best by the first figure of merit in cross-validation (on the test part if there are no folds),
        which ``importance`` is about.
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
        return self.dataset.targets[self.target_name]

    @property
    def title(self) -> str:
        """Data set and target in words."""
        return f"{self.dataset.title}: {self.target.title.lower()}"

    def best(self) -> tuple[Trial, str]:
        """Return the features and the model with the smallest mean absolute error in cross-validation."""
        trial = min(self.trials, key=lambda trial: _cv_mae(trial.evaluations[trial.best]))
        return trial, trial.best

    def caveats(self) -> list[str]:
        """Return, in words, what limits how far these results can be trusted."""
        return list(_caveats(self))

    def predictions(self) -> list[dict[str, Any]]:
        """Return every prediction that was made of a sample that the model had not seen."""
        return [
            {
                "dataset": self.dataset.name,
                "target": self.target_name,
                "unit": self.target.unit,
                "features": features,
                "model": model,
                "part": part,
                "id": self.dataset.ids[index],
                "true": float(self.target.values[index]),
                "predicted": float(predicted),
            }
            for features, model, evaluation in self.evaluations()
            for part, fold in evaluation.parts()
            for index, predicted in zip(fold.indices, fold.y_pred, strict=True)
        ]

    def evaluations(self) -> Iterator[tuple[str, str, Evaluation]]:
        """Yield features, model and result of the baseline and of all trials; features are "none" for the former."""
        yield "none", "dummy", self.baseline
        for trial in self.trials:
            for model, evaluation in trial.evaluations.items():
                yield trial.features.key, model, evaluation

    def to_dict(self) -> dict[str, Any]:
        """Return all results in plain types, for JSON."""
        ids = np.array(self.dataset.ids)
        best_trial, best_model = self.best()
        return {
            "dataset": {
                "name": self.dataset.name,
                "title": self.dataset.title,
                "n_structures": len(self.dataset),
                "description": self.dataset.description,
                "source": self.dataset.source,
            },
            "target": {
                "name": self.target_name,
                "title": self.target.title,
                "unit": self.target.unit,
                "definition": self.target.definition,
            },
            "question": self.question,
            "caveats": self.caveats(),
            "split": {
                "seed": self.split.seed,
                "train": ids[self.split.train].tolist(),
                "test": ids[self.split.test].tolist(),
                "folds": [ids[predict].tolist() for _, predict in self.split.folds],
            },
            "best": {"features": best_trial.features.key, "model": best_model},
            "baseline": _evaluation_to_dict(self.baseline),
            "trials": [_trial_to_dict(trial) for trial in self.trials],
        }


def run_study(
    dataset: Dataset,
    target: str,
    features: Sequence[Features],
    models: Mapping[str, BaseEstimator],
    split: Split,
    *,
    question: str = "",
    n_repeats: int = 10,
    n_jobs: int = 1,
    progress: Callable[[str], None] = lambda step: None,
) -> Study:
    """Test all models on all features, and explain the best model for each.

    Parameters
    ----------
    dataset : Dataset
        The structures and targets.
    target : str
        Name of the target, which must be known for all structures.
    features : sequence of Features
        Features of all structures.
    models : mapping of str to estimator
        Models by their names in :data:`~atomprint.learn.models.MODELS`, without the baseline, which is always there.
    split : Split
        The samples for training and testing.
    question : str
        See :class:`Study`.
    n_repeats : int
        How often each group of features is scrambled to find its importance.
    n_jobs : int
        Number of threads, which share the folds; -1 means all cores.
    progress : callable
        Called with a few words before each step.

    Returns
    -------
    Study
    """
    y = dataset.targets[target].values
    baseline = evaluate(make_model("dummy"), features[0].values, y, split)
    trials = []
    for given in features:
        evaluations = {}
        for name, model in models.items():
            progress(f"{given.title}, {MODELS[name].title.lower()}")
            evaluations[name] = evaluate(model, given.values, y, split, n_jobs)
        best = min(models, key=lambda name: _cv_mae(evaluations[name]))
        progress(f"{given.title}, importance")
        importance = {
            kind: group_importance(
                evaluations[best].estimator,
                given.values[split.test],
                y[split.test],
                groups,
                n_repeats=n_repeats,
                seed=split.seed,
            )
            for kind, groups in feature_groups(given.names).items()
        }
        forest = evaluations.get("random_forest")
        top = top_features(given.names, forest.estimator.feature_importances_) if forest else []
        trials.append(Trial(given, evaluations, best, importance, top))
    return Study(dataset, target, question, split, baseline, trials)


def plain(value: Any) -> Any:
    """Return parameters of any kind as types that JSON knows."""
    if isinstance(value, BaseEstimator):
        return {"class": type(value).__name__} | {k: plain(v) for k, v in value.get_params(deep=False).items()}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, list | tuple | set):
        return [plain(v) for v in value]
    return value if isinstance(value, str | int | float | bool) or value is None else repr(value)


def _cv_mae(evaluation: Evaluation) -> float:
    mean = evaluation.cross_validation["mae"].mean.value
    return np.inf if mean is None else mean


def _trial_to_dict(trial: Trial) -> dict[str, Any]:
    features = trial.features
    return {
        "features": {
            "key": features.key,
            "title": features.title,
            "description": features.description,
            "shape": list(features.values.shape),
            "seconds": features.seconds,
            "parameters": features.parameters,
        },
        "models": {name: _evaluation_to_dict(evaluation) for name, evaluation in trial.evaluations.items()},
        "importance": {
            "model": trial.best,
            "method": "increase of the mean absolute error on the test part when a group of features is scrambled",
            "groups": {
                kind: [{"group": g.label, "mean": g.mean, "std": g.std, "n_features": g.n_features} for g in groups]
                for kind, groups in trial.importance.items()
            },
        },
        "top_features_random_forest": [{"feature": name, "importance": value} for name, value in trial.top],
    }


def _evaluation_to_dict(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "parameters": plain(evaluation.estimator),
        "cross_validation": {k: v.to_dict() for k, v in evaluation.cross_validation.items()},
        **{part: _fold_to_dict(fold) for part, fold in evaluation.parts()},
    }


def _fold_to_dict(fold: Fold) -> dict[str, Any]:
    return {
        "n_samples": len(fold.indices),
        **fold.metrics.to_dict(),
        "chosen": plain(fold.chosen),
        "seconds": fold.seconds,
    }


def _caveats(study: Study) -> Iterator[str]:
    n, n_test = len(study.dataset), len(study.split.test)
    if n < 1000:
        sizes = sorted({len(predict) for _, predict in study.split.folds})
        yield (
            f"Little data: {n} structures, of which {n_test} are in the test part and "
            f"{' or '.join(map(str, sizes))} in each fold. A single structure can move a figure visibly: compare "
            "differences with the spread over folds, and read nothing into the last digit."
        )
    batch = as_batch(study.dataset.structures, periodic=False)
    elements = [set(batch.numbers[a:b].tolist()) for a, b in zip(batch.offsets, batch.offsets[1:], strict=False)]
    trained = set().union(*(elements[i] for i in study.split.train))
    tested = set().union(*(elements[i] for i in study.split.test))
    unseen = sorted(tested - trained)
    if unseen == sorted(tested):
        yield (
            "No element of the test part occurs in the training part. Only what is known about elements beforehand "
            "(their properties) can carry over from one to the other."
        )
    elif unseen:
        yield f"In the test part but not in the training part: {', '.join(symbols_of(unseen))}."
    counts = Counter(z for i in study.split.train for z in elements[i])
    rare = sorted(z for z in counts if counts[z] < 5)
    if len(rare) < len(counts) / 2 and rare:
        yield (
            "Rare elements: "
            + ", ".join(f"{symbols_of([z])[0]} ({counts[z]})" for z in rare)
            + " occur in fewer than 5 training structures (number in parentheses); expect large errors there."
        )
