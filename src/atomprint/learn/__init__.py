"""From features to models that are tested and explained: metrics, models, evaluation, importance, report."""

from atomprint.learn.evaluate import Evaluation, Split, evaluate, make_split
from atomprint.learn.importance import feature_groups, group_importance, top_features
from atomprint.learn.metrics import Metric, RegressionMetrics, regression_metrics
from atomprint.learn.models import MODELS, KernelRidgeCV, make_model

__all__ = [
    "MODELS",
    "Evaluation",
    "KernelRidgeCV",
    "Metric",
    "RegressionMetrics",
    "Split",
    "evaluate",
    "feature_groups",
    "group_importance",
    "make_model",
    "make_split",
    "regression_metrics",
    "top_features",
]
