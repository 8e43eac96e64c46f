"""From features to models that are tested and explained: metrics, models, evaluation, importance, report."""

from atomprint.learn.breakdown import Breakdown, break_down
from atomprint.learn.choice import Choice
from atomprint.learn.curve import LearningCurve, learning_curve
from atomprint.learn.ensemble import EnsembleClassifier, EnsembleRegressor
from atomprint.learn.evaluate import Evaluation, FitError, Fold, evaluate
from atomprint.learn.features import Features
from atomprint.learn.gaussian_process import GaussianProcess
from atomprint.learn.importance import Importance, feature_groups, group_importance, top_features
from atomprint.learn.kernel_ridge import KernelRidgeCV
from atomprint.learn.leakage import Leakage, find_leakage
from atomprint.learn.metrics import (
    METRICS,
    Metric,
    Metrics,
    classification_metrics,
    compute_metrics,
    regression_metrics,
)
from atomprint.learn.models import MODELS, make_model
from atomprint.learn.problem import Problem
from atomprint.learn.search import Interval, Search
from atomprint.learn.split import Split, inner_folds, make_split
from atomprint.learn.study import Study, Trial, run_study
from atomprint.learn.uncertainty import Uncertainty, conformal

__all__ = [
    "METRICS",
    "MODELS",
    "Breakdown",
    "Choice",
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
    "regression_metrics",
    "run_study",
    "top_features",
]
