"""Plots of data, models and their errors: functions that return figures of matplotlib and need no display."""

from atomprint.learn.plots.classes import confusion, discrimination, reliability
from atomprint.learn.plots.data import periodic_table, sizes, target_distribution
from atomprint.learn.plots.explain import breakdown, calibration, importance, widths
from atomprint.learn.plots.models import comparison, learning_curve, parity, residuals
from atomprint.learn.plots.style import data_uri, looks, svg

__all__ = [
    "breakdown",
    "calibration",
    "comparison",
    "confusion",
    "data_uri",
    "discrimination",
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
