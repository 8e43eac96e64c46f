"""From features to models that are tested and explained: metrics, models, evaluation, importance, report."""

from typing import TYPE_CHECKING

from atomprint.util.door import door

if TYPE_CHECKING:
    from atomprint.learn.estimators.bounded_scaler import BoundedScaler
    from atomprint.learn.estimators.ensemble import EnsembleClassifier, EnsembleRegressor
    from atomprint.learn.estimators.gaussian_process import GaussianProcess
    from atomprint.learn.estimators.kernel_ridge import KernelRidgeCV
    from atomprint.learn.evaluation.breakdown import Breakdown, break_down
    from atomprint.learn.evaluation.curve import LearningCurve, learning_curve
    from atomprint.learn.evaluation.evaluate import Evaluation, FitError, Fold, evaluate
    from atomprint.learn.evaluation.feature_groups import feature_groups
    from atomprint.learn.evaluation.importance import Importance, group_importance, top_features
    from atomprint.learn.evaluation.intervals import Uncertainty
    from atomprint.learn.evaluation.nested_choice import Choice
    from atomprint.learn.evaluation.uncertainty import conformal
    from atomprint.learn.models.catalogue import MODELS
    from atomprint.learn.models.make import make_model
    from atomprint.learn.models.search import Interval, Search
    from atomprint.learn.splits.leakage import Leakage, find_leakage
    from atomprint.learn.splits.split import Split, inner_folds, make_split
    from atomprint.learn.study.run import run_study
    from atomprint.learn.study.study import Study, Trial
    from atomprint.learn.task.features import Features, meanings_of
    from atomprint.learn.task.metrics import (
        METRICS,
        Metric,
        Metrics,
        classification_metrics,
        compute_metrics,
        regression_metrics,
    )
    from atomprint.learn.task.noise import DropNoise
    from atomprint.learn.task.problem import Problem

__getattr__, __dir__ = door(__name__)

__all__ = [
    "METRICS",
    "MODELS",
    "BoundedScaler",
    "Breakdown",
    "Choice",
    "DropNoise",
    "EnsembleClassifier",
    "EnsembleRegressor",
    "Evaluation",
    "Features",
    "FitError",
    "Fold",
    "GaussianProcess",
    "Importance",
    "Interval",
    "KernelRidgeCV",
    "Leakage",
    "LearningCurve",
    "Metric",
    "Metrics",
    "Problem",
    "Search",
    "Split",
    "Study",
    "Trial",
    "Uncertainty",
    "break_down",
    "classification_metrics",
    "compute_metrics",
    "conformal",
    "evaluate",
    "feature_groups",
    "find_leakage",
    "group_importance",
    "inner_folds",
    "learning_curve",
    "make_model",
    "make_split",
    "meanings_of",
    "regression_metrics",
    "run_study",
    "top_features",
]
