"""The error that is to be expected of a prediction, from the features that the model is given; as it is saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from atomprint.learn.estimators.difficulty import SIGNALS, Coordinates, Difficulty, Known, References
from atomprint.util.types import Array, FloatArray, Mask, Samples

_NOTHING: Mapping[str, FloatArray] = {}


def stacked(signs: Mapping[str, FloatArray], names: Sequence[str], n: int) -> FloatArray:
    """Return signs of doubt as columns, shape (n, n_names); nan where there is none of a name."""
    found = np.full((n, len(names)), np.nan)
    for column, name in zip(found.T, names, strict=True):
        if name in signs:
            column[:] = signs[name]
    return found


@dataclass(frozen=True, eq=False)
class Expected:
    """What errors of samples that a model had not seen say of a new one.

    Parameters
    ----------
    coordinates : Coordinates
        Of features.
    difficulty : Difficulty
        In these coordinates.
    doubts : tuple of str
        The model's own signs of doubt that enter, see :func:`~atomprint.learn.models.doubt.predict_with_doubt`.
    """

    coordinates: Coordinates
    difficulty: Difficulty
    doubts: tuple[str, ...] = ()

    @property
    def n_features(self) -> int:
        """Number of features."""
        return len(self.coordinates.center)

    def known(self, X: Samples, guess: FloatArray, elements: Mask, signs: Mapping[str, FloatArray]) -> Known:
        """Return what is known of samples.

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
        return Known(self.coordinates.transform(X), guess, elements, stacked(signs, self.doubts, len(guess)))

    def errors(
        self, X: Samples, guess: FloatArray, elements: Mask, signs: Mapping[str, FloatArray] = _NOTHING
    ) -> FloatArray:
        """Return the expected errors of samples, shape (n,), from what :meth:`known` is given."""
        return self.difficulty.of(self.known(X, guess, elements, signs))[0]

    def to_arrays(self) -> dict[str, Array]:
        """Return all that is needed to make this again, as arrays for ``numpy.savez``."""
        own = vars(self.difficulty)
        found = {name: own[name] for name in own if name != "references"}
        found |= {f"references_{name}": value for name, value in vars(self.difficulty.references).items()}
        found |= {f"coordinates_{name}": value for name, value in vars(self.coordinates).items()}
        found["doubts"] = np.array(self.doubts, dtype=np.str_)
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
            references = References(**_part(References, arrays, "references_"))
            made = cls(
                Coordinates(**_part(Coordinates, arrays, "coordinates_")),
                Difficulty(references, **_part(Difficulty, arrays, "", without="references")),
                tuple(str(name) for name in np.atleast_1d(arrays["doubts"])),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"the errors to be expected are not complete: {error}") from error
        made._check()
        return made

    def _check(self) -> None:
        n, k, p = self.n_features, len(self.coordinates.components), len(SIGNALS) + len(self.doubts)
        own, references = self.difficulty, self.difficulty.references
        m = len(references.errors)
        shapes = [
            (self.coordinates.scale, (n,)),
            (self.coordinates.components, (k, n)),
            (references.coordinates, (m, k)),
            (references.truth, (m,)),
            (references.least_doubt, (len(self.doubts),)),
            (references.at_knots, references.knots.shape),
            *((part, (p,)) for part in (own.center, own.scale, own.lower, own.upper, own.weights)),
        ]
        if (
            not m
            or references.knots.ndim != 1
            or references.of_elements.ndim != 1
            or any(part.shape != shape for part, shape in shapes)
        ):
            raise ValueError("the errors to be expected have arrays of wrong shapes")
        numbers = [
            *vars(references).values(),
            *vars(own).values(),
            self.coordinates.center,
            self.coordinates.components,
        ]
        unknown = (references, own.scale, references.of_elements)  # one may be infinite, or not known
        if not all(np.isfinite(part).all() for part in numbers if not any(part is one for one in unknown)):
            raise ValueError("the errors to be expected hold numbers that are not finite")
        if not references.floor > 0:
            raise ValueError("the errors to be expected have a least one that cannot be")


def _part(kind: type, arrays: Mapping[str, Array], prefix: str, without: str = "") -> dict[str, Any]:
    """Return the fields of a class from arrays; numbers where it has numbers."""
    found: dict[str, Any] = {}
    for item in fields(kind):
        if item.name == without:
            continue
        value = np.asarray(arrays[prefix + item.name])
        found[item.name] = float(value) if item.type == "float" else value if item.type == "Array" else value * 1.0
    return found
