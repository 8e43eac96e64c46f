"""Intervals that are as wide as predictions are difficult, as a saved model makes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from atomprint.learn.estimators.difficulty import SIGNALS, Coordinates, Difficulty, Known, References
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


def stacked(signs: Mapping[str, FloatArray], names: Sequence[str], n: int) -> FloatArray:
    """Return signs of doubt as columns, shape (n, n_names); nan where there is none of a name."""
    found = np.full((n, len(names)), np.nan)
    for column, name in zip(found.T, names, strict=True):
        if name in signs:
            column[:] = signs[name]
    return found


@dataclass(frozen=True, eq=False)
class Widths:
    """Half of the width of the interval around a new prediction, from the features that the model is given.

    Parameters
    ----------
    level : float
        The share of new samples whose truth is to be inside.
    coordinates : Coordinates
        Of features.
    difficulty : Difficulty
        In these coordinates.
    factors : Factors
        By what it is multiplied.
    doubts : tuple of str
        The model's own signs of doubt that enter, see :func:`~atomprint.learn.models.doubt.predict_with_doubt`.
    """

    level: float
    coordinates: Coordinates
    difficulty: Difficulty
    factors: Factors
    doubts: tuple[str, ...] = ()

    @property
    def n_features(self) -> int:
        """Number of features."""
        return len(self.coordinates.center)

    def half_widths(self, X: Samples, guess: FloatArray, elements: Mask, signs: Mapping[str, FloatArray]) -> FloatArray:
        """Return half of the width of the interval of each sample.

        Parameters
        ----------
        X : array or sparse array of shape (n, n_features)
            Features, or the kernel between these samples and those of the fit.
        guess : ndarray of float64, shape (n,)
            Predictions.
        elements : ndarray of bool, shape (n, 119)
            Which elements there are in each; for an atom its own.
        signs : mapping of str to ndarray of float64, shape (n,)
            The model's own signs of doubt. One of :attr:`doubts` that is not there, such as that of a member of an
            ensemble that came to weigh nothing, is taken to be as usual.
        """
        known = Known(self.coordinates.transform(X), guess, elements, stacked(signs, self.doubts, len(guess)))
        difficulties, signals = self.difficulty.of(known)
        return difficulties * self.factors.of(known, difficulties, signals)

    def to_arrays(self) -> dict[str, Array]:
        """Return all that is needed to make this again, as arrays for ``numpy.savez``."""
        own = vars(self.difficulty)
        found = {"level": self.level, **{name: own[name] for name in own if name != "references"}}
        found |= {f"references_{name}": value for name, value in vars(self.difficulty.references).items()}
        found |= {f"coordinates_{name}": value for name, value in vars(self.coordinates).items()}
        found["doubts"] = np.array(self.doubts, dtype=np.str_)
        found |= {"everywhere": self.factors.everywhere, "of_elements": self.factors.of_elements}
        for name in self.factors.edges:
            found |= {f"edges_{name}": self.factors.edges[name], f"bins_{name}": self.factors.of_bins[name]}
        return {name: np.asarray(value) for name, value in found.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Self:
        """Make this from what :meth:`to_arrays` returned.

        Raises
        ------
        ValueError
            If an array is missing, is not finite, or shapes do not fit together.
        """
        try:
            coordinates = Coordinates(**_part(Coordinates, arrays, "coordinates_"))
            references = References(**_part(References, arrays, "references_"))
            difficulty = Difficulty(references, **_part(Difficulty, arrays, "", without="references"))
            edges, bins = (
                {name: np.asarray(arrays[f"{what}_{name}"], dtype=np.float64) for name in BINS}
                for what in ("edges", "bins")
            )
            of_elements = np.asarray(arrays["of_elements"], dtype=np.float64)
            factors = Factors(float(arrays["everywhere"]), edges, bins, of_elements)
            doubts = tuple(str(name) for name in np.atleast_1d(arrays["doubts"]))
            made = cls(float(arrays["level"]), coordinates, difficulty, factors, doubts)
        except (KeyError, TypeError) as error:
            raise ValueError(f"the widths of intervals are not complete: {error}") from error
        made._check()
        return made

    def _check(self) -> None:
        n, k, p = self.n_features, len(self.coordinates.components), len(SIGNALS) + len(self.doubts)
        own, factors = self.difficulty, self.factors
        references = own.references
        m = len(references.errors)
        shapes = [
            (self.coordinates.scale, (n,)),
            (self.coordinates.components, (k, n)),
            (references.coordinates, (m, k)),
            (references.truth, (m,)),
            (references.least_doubt, (len(self.doubts),)),
            (references.at_knots, references.knots.shape),
            (references.of_elements, factors.of_elements.shape),
            *((part, (p,)) for part in (own.center, own.scale, own.lower, own.upper, own.weights)),
            *((factors.of_bins[name], (len(factors.edges[name]) + 1,)) for name in BINS),
        ]
        if not m or references.knots.ndim != 1 or any(part.shape != shape for part, shape in shapes):
            raise ValueError("the widths of intervals have arrays of wrong shapes")
        numbers = [*vars(references).values(), *vars(own).values(), *factors.edges.values(), *factors.of_bins.values()]
        numbers += [self.coordinates.center, self.coordinates.components, factors.everywhere, factors.of_elements]
        unknown = (references, own.scale, references.of_elements)  # one may be infinite, or not known
        if not all(np.isfinite(part).all() for part in numbers if not any(part is one for one in unknown)):
            raise ValueError("the widths of intervals hold numbers that are not finite")
        if not 0 < self.level < 1 or not references.floor > 0:
            raise ValueError("the widths of intervals have a level or an error that cannot be")


def _part(kind: type, arrays: Mapping[str, Array], prefix: str, without: str = "") -> dict[str, Any]:
    """Return the fields of a class from arrays; numbers where it has numbers."""
    found: dict[str, Any] = {}
    for item in fields(kind):
        if item.name == without:
            continue
        value = np.asarray(arrays[prefix + item.name])
        found[item.name] = float(value) if item.type == "float" else value if item.type == "Array" else value * 1.0
    return found
