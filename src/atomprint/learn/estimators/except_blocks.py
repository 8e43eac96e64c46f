"""Steps that leave some blocks of joined features as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin, clone
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from atomprint.learn.task.blocks import Blocks, TakesBlocks, check_blocks, check_known, check_names
from atomprint.util.registry import public
from atomprint.util.types import Array, Estimator, Samples, Targets


@public("ExceptBlocks", version=1)
class ExceptBlocks(TakesBlocks, OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """A step, such as scaling, for all features but those of some blocks, for models that need these as they are.

    Parameters
    ----------
    names : sequence of str
        Names of these blocks of joined features.
    step : transformer
        What the other features go through; each must come out at its place.
    blocks : mapping of str to (int, int), optional
        First and one-past-last column of each block. Default: those of the features, which
        :func:`~atomprint.learn.evaluate` sees to.

    Attributes
    ----------
    others_ : ndarray of bool, shape (n_features,)
        Which features go through the step.
    step_ : transformer or None
        The fitted step; None if there are no other features.
    n_features_in_ : int
        Number of features.

    Raises
    ------
    ValueError
        In ``fit``, if the features have no such block.
    """

    def __init__(self, names: Sequence[str], step: Estimator, blocks: Blocks | None = None) -> None:
        self.names = names
        self.step = step
        self.blocks = blocks

    def fit(self, X: Samples, y: Targets = None) -> Self:
        """Fit the step.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Joined features.
        y : array of shape (n_samples,), optional
            Targets, for the step.

        Returns
        -------
        self
        """
        names = check_names("blocks", self.names)
        X = self._checked(X, reset=True)
        known = {} if self.blocks is None else check_blocks(self.blocks, X.shape[1])
        check_known(names, known)
        self.others_ = np.ones(X.shape[1], dtype=bool)
        for name in names:
            self.others_[slice(*known[name])] = False
        self.step_ = clone(self.step).fit(X[:, self.others_], y) if self.others_.any() else None
        return self

    def transform(self, X: Samples) -> Array:
        """Return the features, those outside of the blocks as the step makes them, shape (n_samples, n_features)."""
        check_is_fitted(self)
        X = self._checked(X, reset=False)
        if self.step_ is None:
            return X
        found = X.copy()
        found[:, self.others_] = self.step_.transform(X[:, self.others_])
        return found

    def _checked(self, X: Samples, reset: bool) -> Array:
        return np.asarray(
            validate_data(self, X, dtype=[np.float64, np.float32], reset=reset, ensure_all_finite="allow-nan")
        )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
