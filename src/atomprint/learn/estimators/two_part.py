"""Trees for targets that are often exactly the smallest one: first whether, then how much."""

from __future__ import annotations

from typing import Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.utils.validation import check_is_fitted, validate_data

from atomprint.learn.estimators.forest import MedianExtraTrees
from atomprint.util.registry import public
from atomprint.util.types import FloatArray, Samples, Targets
from atomprint.util.validation import check_integer

_MAX_FEATURES_CLASSIFIER = 0.3  # as of extra_trees for classes


@public("TwoPartTrees", version=1)
class TwoPartTrees(RegressorMixin, BaseEstimator):
    r"""A classifier that tells whether a target is the smallest one, and a regressor for those that are not [1]_.

    Half of the measured band gaps are 0: whether a compound is a metal is one question, how large the gap of the others
    is another. With the probability *p* of a target above the smallest one, by extremely randomised trees, and
    the distribution of such targets, by others that saw no more than these (:class:`MedianExtraTrees`), the prediction
    is the median of both together: the smallest target for :math:`p \le 1/2`, else the quantile :math:`1 - 1 / (2p)` of
    the distribution. Where no two samples have the smallest target there is only the regressor.

    Parameters
    ----------
    n_estimators : int
        Trees of each part.
    max_features : int, float or str
        Features that a split of the regressor chooses from, as for scikit-learn's trees.
    random_state : int or None
        Seed.
    n_jobs : int, optional
        Threads.

    Attributes
    ----------
    floor_ : float
        The smallest target.
    classifier_ : ExtraTreesClassifier or None
        Whether a target is larger; None where there is nothing to tell apart.
    regressor_ : MedianExtraTrees or None
        How large those are; None if all are the same.
    n_features_in_ : int
        Number of features.

    References
    ----------
    .. [1] J. G. Cragg, "Some statistical models for limited dependent variables with application to the demand for
       durable goods", Econometrica 39, 829 (1971).
    """

    def __init__(
        self,
        n_estimators: int = 300,
        max_features: float | str = 0.5,
        *,
        random_state: int | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.n_estimators = n_estimators
        self.max_features = max_features
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(self, X: Samples, y: Targets) -> Self:
        """Grow the trees.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Features.
        y : array of shape (n_samples,)
            Targets.

        Returns
        -------
        self
        """
        n_estimators = check_integer("n_estimators", self.n_estimators, 1)
        X, y = validate_data(self, X, y, y_numeric=True, dtype=[np.float64, np.float32])
        y = np.asarray(y, dtype=np.float64)
        self.floor_ = float(y.min())
        above = y > self.floor_
        common = {"random_state": self.random_state, "n_jobs": self.n_jobs}
        self.classifier_ = self.regressor_ = None
        if len(y) - above.sum() < 2:  # a smallest target that occurs once is one like any other
            above[:] = True
        elif above.any():
            trees = ExtraTreesClassifier(n_estimators, max_features=_MAX_FEATURES_CLASSIFIER, **common)
            self.classifier_ = trees.fit(X, above)
        if above.any():
            regressor = MedianExtraTrees(n_estimators, max_features=self.max_features, **common)
            self.regressor_ = regressor.fit(X[above], y[above])
        return self

    def predict(self, X: Samples) -> FloatArray:
        """Predict the median of the target, shape (n_samples,).

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Features.
        """
        return self._judged(X, False)[0]

    def predict_with_std(self, X: Samples) -> tuple[FloatArray, FloatArray]:
        """Predict the median of the target, and the standard deviation of its distribution about that.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Features.

        Returns
        -------
        (ndarray, ndarray) of float64, shape (n_samples,)
            The distribution is the smallest target with the probability :math:`1 - p`, else what the trees of the
            regressor say.
        """
        return self._judged(X, True)

    def _judged(self, X: Samples, with_std: bool) -> tuple[FloatArray, FloatArray]:
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        found, std = np.full(len(X), self.floor_), np.zeros(len(X))
        if self.regressor_ is None:
            return found, std
        p = np.ones(len(X)) if self.classifier_ is None else self.classifier_.predict_proba(X)[:, 1]
        above = p > 0.5
        rows = np.flatnonzero(p > 0 if with_std else above)
        if not len(rows):
            return found, std
        level = np.where(above, 1 - 0.5 / np.maximum(p, 0.5), 0.0)[rows]
        if with_std:
            about = np.where(above, np.nan, self.floor_)[rows]
            quantiles, of_trees = self.regressor_.predict_with_std(X[rows], level, about)
        else:
            quantiles = self.regressor_.predict_quantile(X[rows], level)
        found[rows] = np.where(above[rows], quantiles, self.floor_)
        if with_std:
            std[rows] = np.sqrt(p[rows] * of_trees**2 + (1 - p[rows]) * (found[rows] - self.floor_) ** 2)
        return found, std
