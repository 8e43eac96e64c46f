"""Plots of data, models and their errors: functions that return figures of matplotlib and need no display."""

from atomprint.report.plots.classes import confusion, discrimination, reliability
from atomprint.report.plots.data import periodic_table, sizes, target_distribution
from atomprint.report.plots.explain import breakdown, calibration, coverage, importance, widths
from atomprint.report.plots.models import comparison, errors_by_prediction, learning_curve, parity, residuals
from atomprint.report.plots.style import data_uri, looks, svg

__all__ = [
    "breakdown",
    "calibration",
    "comparison",
    "confusion",
    "coverage",
    "data_uri",
    "discrimination",
    "errors_by_prediction",
    "importance",
    "learning_curve",
    "looks",
    "parity",
    "periodic_table",
    "reliability",
    "residuals",
    "sizes",
    "svg",
    "target_distribution",
    "widths",
]
