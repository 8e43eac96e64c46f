"""What to compute next: where a better value, or what the model does not know, is likeliest to be found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from atomprint.pooling.sampling import farthest_point
from atomprint.screening.scoring import Judge
from atomprint.util.types import FloatArray, Indices
from atomprint.workflow.saved.distances import dense_rows

SELECTIONS = ("improvement", "uncertainty", "diversity")


def expected_improvement(judge: Judge, columns: Mapping[str, Any], largest: bool) -> FloatArray:
    """Return by how much a row is expected to be better than all training samples, in the unit of the target.

    A prediction is taken to be normally distributed with the width of its interval (D. R. Jones et al., J. Global
    Optim. 13, 455 (1998), eq. 15); that of a model of logarithms lognormally, with the prediction as its median.

    Raises
    ------
    ValueError
        If the model has no interval, or predicts classes.
    """
    card = judge.model.card
    if card.training.target_range is None or f"{judge.name}_lower" not in columns or card.interval is None:
        raise ValueError(f"select: improvement needs numbers with intervals, and {judge.name!r} has none")
    mean, lower, upper = (_floats(columns[f"{judge.name}{end}"]) for end in ("", "_lower", "_upper"))
    best = card.training.target_range[1 if largest else 0]
    quantile = float(ndtri(0.5 + card.interval.level / 2))
    if card.interval.of_logs:
        with np.errstate(divide="ignore"):  # an interval that starts at what rounds to 0
            width = np.maximum(np.log(upper / mean), np.log(mean / lower)) / quantile
        return _gain_of_lognormal(mean, width, best, largest)
    # Where an interval was cut off, such as at a gap of 0, its other half is whole.
    width = np.maximum(upper - mean, mean - lower) / quantile
    return _gain_of_normal(mean, width, best, largest)


def _gain_of_normal(mean: FloatArray, width: FloatArray, best: float, largest: bool) -> FloatArray:
    gain = mean - best if largest else best - mean
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(width > 0, gain / width, np.inf * np.sign(gain))
        density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
        return np.where(width > 0, gain * ndtr(z) + width * density, np.maximum(gain, 0.0))


def _gain_of_lognormal(median: FloatArray, width: FloatArray, best: float, largest: bool) -> FloatArray:
    """Return what is expected beyond the best value of numbers whose logarithms have a standard deviation.

    For the largest that is the expected payoff of a call on a lognormal price, for the smallest that of a put.
    """
    sign = 1.0 if largest else -1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        z = sign * np.log(median / best) / width
        mean = median * np.exp(width**2 / 2)
        gain = sign * (mean * ndtr(z + sign * width) - best * ndtr(z))
        return np.where(width > 0, np.maximum(gain, 0.0), np.maximum(sign * (median - best), 0.0))


def unknown(judges: Any, columns: Mapping[str, Any]) -> FloatArray:
    """Return how little models know of rows: the largest of their doubts, or of the distances to their training.

    Distances are taken where one of the models tells no doubt.
    """
    if all(f"{judge.name}_doubt" in columns for judge in judges):
        return np.nan_to_num(_floats(columns["doubt"]), nan=-np.inf)
    found = [_floats(columns[f"{judge.name}_distance"]) for judge in judges]
    return np.max(np.nan_to_num(found, nan=-np.inf), axis=0)


def spread_out(features: Any, n: int) -> Indices:
    """Return rows each of which is as far as can be from those before it, from the first on; columns count alike."""
    x = dense_rows(features)
    width = x.std(axis=0)
    x = (x - x.mean(axis=0)) / np.where(width > 0, width, 1.0)
    return farthest_point(x, n).astype(np.intp)


def _floats(values: Any) -> FloatArray:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
