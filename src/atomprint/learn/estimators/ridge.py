"""Ridge regression whose choices for the regularisation have no hard end."""

from __future__ import annotations

from typing import Any, Self

from sklearn.linear_model import RidgeCV

from atomprint.util.beyond import beyond
from atomprint.util.registry import public
from atomprint.util.types import Samples, Targets

_LEAST = 1e-4  # for features with standard deviation 1, less is next to no regularisation


@public("WideningRidgeCV", version=1)
class WideningRidgeCV(RidgeCV):
    """Ridge regression that tries more regularisations beyond an end of its ``alphas`` that turns out best.

    Parameters and attributes are those of scikit-learn's ``RidgeCV``; ``alpha_`` can be up to three steps beyond
    ``alphas`` (:func:`~atomprint.util.beyond.beyond`).
    """

    alphas: Any

    def fit(self, X: Samples, y: Targets, sample_weight: Targets = None) -> Self:
        """Fit the model, and once more with other choices if the best is at an end of ``alphas``."""
        super().fit(X, y, sample_weight)
        if farther := list(beyond(self.alphas, float(self.alpha_), _LEAST)):
            given, self.alphas = self.alphas, [float(self.alpha_), *farther]
            try:
                super().fit(X, y, sample_weight)
            finally:
                self.alphas = given
        return self
