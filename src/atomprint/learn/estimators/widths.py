"""Intervals that are as wide as predictions are difficult, as a saved model makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from atomprint.learn.estimators.difficulty import SIGNALS, Known
from atomprint.learn.estimators.expected import Expected
from atomprint.util.types import Array, FloatArray, Mask, Samples

BINS = ("prediction", "difficulty", "distance")
"""By what samples are sorted into bins, see :class:`Factors`."""


@dataclass(frozen=True, eq=False)
class Factors:
    """By what a difficulty is multiplied to give half of the width of an interval.

    Parameters
    ----------
    everywhere : float
        The least factor.
    edges, of_bins : mapping of str to ndarray
        For each of ``"prediction"``, ``"difficulty"`` and ``"distance"`` the ends of bins, ascending, and the least
        factor in each bin, one more.
    of_elements : ndarray of float64, shape (119,)
        The least factor of samples with each element.
    """

    everywhere: float
    edges: Mapping[str, FloatArray]
    of_bins: Mapping[str, FloatArray]
    of_elements: FloatArray

    def of(self, known: Known, difficulties: FloatArray, signals: FloatArray) -> FloatArray:
        """Return the factor of each sample: the largest that holds for it."""
        found = np.where(known.elements, self.of_elements, 0.0).max(axis=1, initial=self.everywhere)
        for name, values in binned(known, difficulties, signals).items():
            found = np.maximum(found, self.of_bins[name][np.searchsorted(self.edges[name], values)])
        return np.asarray(found)


def binned(known: Known, difficulties: FloatArray, signals: FloatArray) -> dict[str, FloatArray]:
    """Return the numbers by which samples are sorted into bins."""
    distance = signals[:, SIGNALS.index("distance to the 5 nearest samples")]
    return dict(zip(BINS, (known.guess, difficulties, distance), strict=True))


@dataclass(frozen=True, eq=False)
class Widths:
    """Half of the width of the interval around a new prediction, from the features that the model is given.

    Parameters
    ----------
    level : float
        The share of new samples whose truth is to be inside.
    expected : Expected
        The error that is to be expected.
    factors : Factors
        By what it is multiplied.
    """

    level: float
    expected: Expected
    factors: Factors

    def half_widths(self, X: Samples, guess: FloatArray, elements: Mask, signs: Mapping[str, FloatArray]) -> FloatArray:
        """Return half of the width of the interval of each sample, from what :meth:`Expected.known` is given."""
        known = self.expected.known(X, guess, elements, signs)
        difficulties, signals = self.expected.difficulty.of(known)
        return difficulties * self.factors.of(known, difficulties, signals)

    def to_arrays(self) -> dict[str, Array]:
        """Return all that is needed to make this again, as arrays for ``numpy.savez``."""
        factors = self.factors
        found = self.expected.to_arrays() | {"level": np.asarray(self.level), "of_elements": factors.of_elements}
        found["everywhere"] = np.asarray(factors.everywhere)
        for name in factors.edges:
            found |= {f"edges_{name}": factors.edges[name], f"bins_{name}": factors.of_bins[name]}
        return found

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Self:
        """Make this from what :meth:`to_arrays` returned.

        Raises
        ------
        ValueError
            If an array is missing, is not finite, or shapes do not fit together.
        """
        try:
            edges, bins = (
                {name: np.asarray(arrays[f"{what}_{name}"], dtype=np.float64) for name in BINS}
                for what in ("edges", "bins")
            )
            of_elements = np.asarray(arrays["of_elements"], dtype=np.float64)
            factors = Factors(float(arrays["everywhere"]), edges, bins, of_elements)
            made = cls(float(arrays["level"]), Expected.from_arrays(arrays), factors)
        except (KeyError, TypeError) as error:
            raise ValueError(f"the widths of intervals are not complete: {error}") from error
        made._check()
        return made

    def _check(self) -> None:
        factors, references = self.factors, self.expected.difficulty.references
        bins = all(factors.of_bins[name].shape == (len(factors.edges[name]) + 1,) for name in BINS)
        if not bins or references.of_elements.shape != factors.of_elements.shape:
            raise ValueError("the widths of intervals have arrays of wrong shapes")
        numbers = [*factors.edges.values(), *factors.of_bins.values(), factors.of_elements]
        if not (np.isfinite(factors.everywhere) and all(np.isfinite(part).all() for part in numbers)):
            raise ValueError("the widths of intervals hold numbers that are not finite")
        if not 0 < self.level < 1:
            raise ValueError(f"the widths of intervals have the level {self.level:g}")
