"""From features to models that are tested and explained: metrics, models, evaluation, importance, report."""

from atomprint.learn.evaluate import Evaluation, evaluate, make_split
from atomprint.learn.importance import feature_groups, group_importance, top_features
from atomprint.learn.metrics import METRICS, Metric, Metrics, regression_metrics
from atomprint.learn.models import MODELS, KernelRidgeCV, make_model
from atomprint.learn.problem import Problem
from atomprint.learn.split import Split

__all__ = [
    "METRICS",
    "MODELS",
    "Evaluation",
    "KernelRidgeCV",
    "Metric",
    "Metrics",
    "Problem",
    "Split",
    "evaluate",
    "feature_groups",
    "group_importance",
    "make_model",
    "make_split",
    "regression_metrics",
    "top_features",
]
