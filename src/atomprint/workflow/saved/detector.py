"""One number for all signs that a prediction is likely to be wrong, with a limit that few training samples exceed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from atomprint.learn.models.doubt import CLASSES, LAYER, MEMBERS, PROCESS, SEEDS, TREES, Signs
from atomprint.util.types import FloatArray, Indices, Mask

FALSE_ALARMS = 0.05
ERRORS, DISTANCE, GEOMETRY = "expected error", "distance", "geometry"
_OUTSIDE_OF_MODEL = (ERRORS, DISTANCE, GEOMETRY)
_BODY = np.linspace(0, 0.9, 91)  # levels of the quantiles that are kept; beyond the last one there is a tail
_MIN_SAMPLES = 20
_LEAST_SHARE = 0.01  # of samples, that the limit is exceeded by even if geometry and ranges call many unusual
_PRIOR, _USUAL_SHAPE = 3.0, 0.3  # of tails, where samples are few
_WEIGHT, _STRENGTH = 0.5, 10.0  # sum of all weights where there are no errors to learn from, and how firmly it is held
_LEAST_WEIGHT = 0.1  # in units of that: what tells nothing among known kinds of samples may among others
_FLOOR = 0.03  # of the mean error: what is smaller is the same
_TINY = 1e-12
_MOST = 50.0

_WORDS: Mapping[str, str] = {
    TREES: "the trees of the model disagree",
    SEEDS: "the model disagrees with itself from seed to seed",
    MEMBERS: "the members of the model disagree",
    PROCESS: "far from all training samples, as the kernel of the model sees it",
    LAYER: "far from all training samples, as the last layer of the network sees it",
    CLASSES: "the model is hardly sure of the class: other classes have the probability",
    ERRORS: "the model was wrong on training samples like it, by the error that is to be expected",
    DISTANCE: "far from all training samples, as its features are",
    GEOMETRY: "of a geometry that is at the edge of what the training set has",
}
_WITHOUT_UNIT = (LAYER, DISTANCE, GEOMETRY, CLASSES)


@dataclass(frozen=True, eq=False)
class Detector:
    r"""How likely a prediction is to be wrong by all signs together; all arrays as they are saved.

    Each sign becomes the rarity :math:`-\log p`, where *p* is the share of samples of the training set, held out of the
    fit, that show at least as much of it; beyond the largest tenth of these the tail is taken to fall with a power of
    the sign, by Hill's estimate [1]_. The score is the sum of rarities times weights that are positive: more of a sign
    is never less doubt. Weights are those that make the errors of the samples held out likeliest if these are
    distributed exponentially, with the score as the logarithm of their mean; with few samples all signs count about the
    same. The limit is such that the score, and what is outside by itself (elements, geometry, ranges), call 5 % of
    samples of the same kind unusual.

    Parameters
    ----------
    names : ndarray of str, shape (n_signs,)
        The signs.
    quantiles : ndarray of float64, shape (n_signs, 91)
        What 0, 1, … 90 % of the samples held out do not exceed.
    shapes : ndarray of float64, shape (n_signs,)
        Mean of the logarithm of how often the last quantile goes into what exceeds it.
    weights : ndarray of float64, shape (n_signs,)
        How much each rarity counts.
    limit : ndarray of float64, shape ()
        The score above which a sample is unusual.

    References
    ----------
    .. [1] B. M. Hill, Ann. Stat. 3, 1163 (1975).
    """

    names: npt.NDArray[np.str_]
    quantiles: FloatArray
    shapes: FloatArray
    weights: FloatArray
    limit: FloatArray

    @classmethod
    def fit(cls, signs: Signs, flagged: Mask, errors: FloatArray, groups: Indices | None = None) -> Self | None:
        """Learn from samples that were held out; None if they are too few, or nothing is known of errors.

        Parameters
        ----------
        signs : dict of str to ndarray of float64, shape (n,)
            By what models say themselves, and under ``ERRORS``, ``DISTANCE`` and ``GEOMETRY`` what is known
            besides; nan for a sample that was not held out.
        flagged : ndarray of bool, shape (n,)
            Which samples are called unusual without the score.
        errors : ndarray of float64, shape (n,)
            Absolute errors of the predictions of samples held out, or for classes 1 where they were wrong; else nan.
        groups : ndarray of int, shape (n,), optional
            Groups of samples that are alike, each of which counts as one for the limit.
        """
        names = [name for name in signs if name not in _OUTSIDE_OF_MODEL]
        names += [name for name in _OUTSIDE_OF_MODEL if name in signs]
        if all(name in (DISTANCE, GEOMETRY) for name in names):
            return None
        table = np.column_stack([signs[name] for name in names])
        known = np.isfinite(table).all(axis=1) & np.isfinite(errors)
        table, flagged, errors = table[known], flagged[known], errors[known]
        groups = None if groups is None else groups[known]
        if len(table) < _MIN_SAMPLES:
            return None
        quantiles = np.quantile(table, _BODY, axis=0).T
        last = np.maximum(quantiles[:, -1], _TINY)
        beyond = np.log(np.maximum(table, last) / last)
        shapes = (beyond.sum(axis=0) + _PRIOR * _USUAL_SHAPE) / ((beyond > 0).sum(axis=0) + _PRIOR)
        made = cls(np.array(names), quantiles, shapes, np.ones(len(names)), np.array(np.inf))
        rarities = made._rarities(table)
        made = replace(made, weights=_weights(rarities, errors))
        return replace(made, limit=np.array(_limit(rarities @ made.weights, flagged, groups)))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Make this from its arrays; raise KeyError if one is missing, ValueError if they do not fit together."""
        parts = ("quantiles", "shapes", "weights", "limit")
        made = cls(np.asarray(arrays["names"]), *(np.asarray(arrays[name], dtype=np.float64) for name in parts))
        n = len(made.names)
        if (
            made.names.dtype.kind != "U"
            or (made.names.shape, made.shapes.shape, made.weights.shape, made.limit.shape) != ((n,), (n,), (n,), ())
            or made.quantiles.shape != (n, len(_BODY))
        ):
            raise ValueError("the training domain has signs of wrong shapes")
        return made

    def rarities(self, signs: Signs) -> FloatArray | None:
        """Return the rarity of each sign of samples, shape (n, n_signs); None if one of the signs is not given."""
        names = self.names.tolist()
        if any(name not in signs for name in names):
            return None
        return self._rarities(np.column_stack([signs[name] for name in names]))

    def _rarities(self, table: FloatArray) -> FloatArray:
        found = np.empty(table.shape)
        for k, (body, shape) in enumerate(zip(self.quantiles, self.shapes, strict=True)):
            column, last = table[:, k], max(body[-1], _TINY)
            found[:, k] = -np.log1p(-np.interp(column, body, _BODY))
            far = column > last
            found[far, k] = -np.log1p(-_BODY[-1]) + np.log(column[far] / last) / shape
        return np.minimum(np.nan_to_num(found, nan=0.0), _MOST)

    def scores(self, rarities: FloatArray) -> FloatArray:
        """Return the score of samples in units of its limit, shape (n,)."""
        return np.asarray(rarities @ self.weights / max(float(self.limit), _TINY))

    def sentence(self, rarities: FloatArray, signs: Signs, row: int, unit: str) -> str:
        """Return what counts most in the score of a sample that exceeds the limit."""
        worst = int(np.argmax(rarities[row] * self.weights))
        name = str(self.names[worst])
        kind, _, member = name.partition(" of ")
        usual = float(max(self.quantiles[worst, -1], _TINY) * np.exp(self.shapes[worst] * np.log(0.1 / FALSE_ALARMS)))
        shown = f" {unit}" if unit and kind not in _WITHOUT_UNIT else ""
        words = _WORDS.get(kind, f"unusual by {kind}") + (f" ({member})" if member else "")
        return f"{words}: {signs[name][row]:.3g}{shown}, usual up to {usual:.3g}{shown}"

    def told(self) -> Iterator[str]:
        """Yield the names of the signs."""
        yield from self.names.tolist()


def _weights(rarities: FloatArray, errors: FloatArray) -> FloatArray:
    """Return positive weights, by which the logarithm of the mean error grows with rarities."""
    n, k = rarities.shape
    usual = np.full(k, _WEIGHT / k)
    mean = float(errors.mean())
    if not mean > 0:
        return usual
    targets = errors / mean + _FLOOR

    def loss(w: FloatArray) -> tuple[float, FloatArray]:
        eta = np.clip(w[0] + rarities @ w[1:], -40, 40)
        ratio = targets * np.exp(-eta)
        slope, apart = (1 - ratio) / n, w[1:] - usual
        value = float((eta + ratio).mean() + _STRENGTH / (2 * n) * (apart**2).sum())
        return value, np.concatenate([[slope.sum()], slope @ rarities + _STRENGTH / n * apart])

    bounds = [(None, None), *((_LEAST_WEIGHT * weight, None) for weight in usual)]
    start = np.concatenate([[0.0], usual])
    return np.asarray(minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x[1:])


def _limit(scores: FloatArray, flagged: Mask, groups: Indices | None) -> float:
    """Return what the scores of new samples exceed, or they are flagged, with the probability of false alarms."""
    from atomprint.learn.evaluation.quantile import conformal_quantile  # which predictions do without

    found = conformal_quantile(np.where(flagged, np.inf, scores), 1 - FALSE_ALARMS, groups).value
    limit = np.inf if found is None else found
    rest = scores if flagged.all() else scores[~flagged]
    return min(limit, float(np.quantile(rest, 1 - _LEAST_SHARE, method="higher")))
