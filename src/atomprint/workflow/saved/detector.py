"""One number for all signs that a sample is new to a model, with a limit that few training samples exceed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from atomprint.learn.models.doubt import LAYER, MEMBERS, PROCESS, SEEDS, TREES, Signs
from atomprint.util.types import FloatArray, Mask

FALSE_ALARMS = 0.05
DISTANCE, GEOMETRY = "distance", "geometry"
_OUTSIDE_OF_MODEL = (DISTANCE, GEOMETRY)
_WEIGHT = 0.25  # of these, beside what the model says itself
_BODY = np.linspace(0, 0.9, 91)  # levels of the quantiles that are kept; beyond the last one there is a tail
_MIN_SAMPLES = 20
_LEAST_SHARE = 0.01  # of samples, that the limit is exceeded by even if geometry and ranges call many unusual
_PRIOR, _USUAL_SHAPE = 3.0, 0.3  # of tails, where samples are few
_TINY = 1e-12
_MOST = 50.0

_WORDS: Mapping[str, str] = {
    TREES: "the trees of the model disagree",
    SEEDS: "the model disagrees with itself from seed to seed",
    MEMBERS: "the members of the model disagree",
    PROCESS: "far from all training samples, as the kernel of the model sees it",
    LAYER: "far from all training samples, as the last layer of the network sees it",
    DISTANCE: "far from all training samples, as its features are",
    GEOMETRY: "of a geometry that is at the edge of what the training set has",
}


@dataclass(frozen=True, eq=False)
class Detector:
    r"""How unusual a sample is by all signs together; all arrays as they are saved.

    Each sign becomes the rarity :math:`-\log p`, where *p* is the share of samples of the training set, held out of the
    fit, that show at least as much of it; beyond the largest tenth of these the tail is taken to fall with a power of
    the sign, by Hill's estimate [1]_. The score is the mean rarity of what the model says itself (trees, members or
    seeds that disagree, the variance of its process, the distance in its last layer), and a quarter of the larger one
    of the distance between features and of the geometry. Its limit is such that it and what is outside by itself
    (elements, geometry, ranges) call 5 % of samples that were held out unusual.

    Parameters
    ----------
    names : ndarray of str, shape (n_signs,)
        The signs.
    quantiles : ndarray of float64, shape (n_signs, 91)
        What 0, 1, … 90 % of the samples held out do not exceed.
    shapes : ndarray of float64, shape (n_signs,)
        Mean of the logarithm of how often the last quantile goes into what exceeds it.
    limit : ndarray of float64, shape ()
        The score above which a sample is unusual.

    References
    ----------
    .. [1] B. M. Hill, Ann. Stat. 3, 1163 (1975).
    """

    names: npt.NDArray[np.str_]
    quantiles: FloatArray
    shapes: FloatArray
    limit: FloatArray

    @classmethod
    def fit(cls, signs: Signs, flagged: Mask) -> Self | None:
        """Learn from samples that were held out; None if they are too few, or the model gives no signs.

        Parameters
        ----------
        signs : dict of str to ndarray of float64, shape (n,)
            By what models say themselves, and under ``DISTANCE`` and ``GEOMETRY`` what is known besides; nan for a
            sample that was not held out.
        flagged : ndarray of bool, shape (n,)
            Which samples are called unusual without the score.
        """
        own = [name for name in signs if name not in _OUTSIDE_OF_MODEL]
        names = [*own, *(name for name in _OUTSIDE_OF_MODEL if name in signs)]
        if not own:
            return None
        table = np.column_stack([signs[name] for name in names])
        known = np.isfinite(table).all(axis=1)
        table, flagged = table[known], flagged[known]
        if len(table) < _MIN_SAMPLES:
            return None
        quantiles = np.quantile(table, _BODY, axis=0).T
        last = np.maximum(quantiles[:, -1], _TINY)
        beyond = np.log(np.maximum(table, last) / last)
        shapes = (beyond.sum(axis=0) + _PRIOR * _USUAL_SHAPE) / ((beyond > 0).sum(axis=0) + _PRIOR)
        made = cls(np.array(names), quantiles, shapes, np.array(np.inf))
        scores = made._scores(made._rarities(table))
        share = max((FALSE_ALARMS - flagged.mean()) / max(1 - flagged.mean(), _TINY), _LEAST_SHARE)
        rest = scores[~flagged] if not flagged.all() else scores
        return cls(made.names, quantiles, shapes, np.array(np.quantile(rest, 1 - share, method="higher")))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Make this from its arrays; raise KeyError if one is missing, ValueError if they do not fit together."""
        made = cls(
            np.asarray(arrays["names"]),
            *(np.asarray(arrays[name], dtype=np.float64) for name in ("quantiles", "shapes", "limit")),
        )
        n = len(made.names)
        if (
            made.names.dtype.kind != "U"
            or (made.names.shape, made.shapes.shape, made.limit.shape) != ((n,), (n,), ())
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
        return self._scores(rarities) / max(float(self.limit), _TINY)

    def _scores(self, rarities: FloatArray) -> FloatArray:
        of_model = ~np.isin(self.names, _OUTSIDE_OF_MODEL)
        rest = rarities[:, ~of_model].max(axis=1, initial=0.0)
        return np.asarray(rarities[:, of_model].mean(axis=1) + _WEIGHT * rest)

    def sentence(self, rarities: FloatArray, signs: Signs, row: int, unit: str) -> str:
        """Return what is most unusual about a sample that exceeds the limit."""
        worst = int(np.argmax(rarities[row]))
        name = str(self.names[worst])
        kind, _, member = name.partition(" of ")
        usual = float(max(self.quantiles[worst, -1], _TINY) * np.exp(self.shapes[worst] * np.log(0.1 / FALSE_ALARMS)))
        shown = f" {unit}" if unit and kind not in (LAYER, DISTANCE, GEOMETRY) else ""
        words = _WORDS.get(kind, f"unusual by {kind}") + (f" ({member})" if member else "")
        return f"{words}: {signs[name][row]:.3g}{shown}, usual up to {usual:.3g}{shown}"

    def told(self) -> Iterator[str]:
        """Yield the names of the signs."""
        yield from self.names.tolist()
