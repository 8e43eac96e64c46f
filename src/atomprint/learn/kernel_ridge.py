"""Kernel ridge regression that chooses its parameters itself, for ten samples or a hundred thousand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from scipy.linalg import cho_solve
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from atomprint.learn.similarity import (
    FloatArray,
    candidates,
    check_candidates,
    check_choices,
    factorise,
    part_of,
    subset,
    validated,
)
from atomprint.validation import check_integer, check_real


class KernelRidgeCV(RegressorMixin, BaseEstimator):
    r"""Kernel ridge regression that chooses its kernel, length scale and regularisation by leave-one-out.

    The choice is made in ``fit``, from the training samples alone, so that an outer cross-validation stays honest.
    With the eigenvectors of a kernel matrix *K* the leave-one-out errors of all regularisations cost next to
    nothing: for :math:`G = (K + \alpha I)^{-1}` and centred targets *y* they are :math:`(G y)_i / G_{ii}` [1]_.
    The mean of the targets, the scale of features and the unit of length are those of all training samples, for each
    that is left out too.

    Parameters
    ----------
    kernels : sequence of {"rbf", "laplacian", "matern52"}, or ("precomputed",)
        :math:`\exp(-|x - x'|_2^2 / 2 s^2)` and :math:`\exp(-|x - x'|_1 / s)`, and Matérn's
        :math:`(1 + r + r^2 / 3) \exp(-r)` with :math:`r = \sqrt{5} |x - x'|_2 / s`. With "precomputed" X is the kernel
        matrix between samples, in ``predict`` that between samples and those of the fit.
    length_scales : sequence of float
        Choices of *s*, in units of the mean distance between training samples.
    alphas : sequence of float
        Choices of the regularisation, to be compared with 1, the similarity of a sample with itself (with the mean
        of these for a precomputed kernel).
    scalings : sequence of {"none", "standard"}
        Whether to leave features as they are, which suits those with one unit such as SOAP, or to divide each by its
        standard deviation, which suits those with different units.
    n_search : int
        By how many training samples, drawn at random, parameters are chosen if there are more.
    max_exact : int
        Up to how many training samples all of them carry weights, which takes their number squared times 8 bytes.
    n_centers : int
        How many of them, drawn at random, carry weights if there are more (subset of regressors, [2]_); all samples
        are fitted all the same.
    random_state : int, optional
        Seed of the drawing.

    Attributes
    ----------
    best_params_ : dict
        ``kernel``, ``alpha`` and, unless precomputed, ``length_scale`` (relative) and ``scaling`` with the smallest
        leave-one-out error.
    best_score_ : float
        Their mean absolute leave-one-out error, the quantity that was minimised: how good the model is, only a
        cross-validation from outside can tell.
    unit_ : float
        Mean distance between training samples, by the chosen kernel's measure.
    n_features_in_ : int
        Number of features.

    References
    ----------
    .. [1] C. E. Rasmussen and C. K. I. Williams, Gaussian Processes for Machine Learning, MIT Press (2006),
       eq. 5.12.
    .. [2] Ibid., section 8.3.1.
    """

    def __init__(
        self,
        kernels: Sequence[str] = ("rbf", "laplacian"),
        length_scales: Sequence[float] = (0.3, 1.0, 3.0, 10.0, 30.0),
        alphas: Sequence[float] = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0),
        scalings: Sequence[str] = ("none", "standard"),
        n_search: int = 1000,
        max_exact: int = 20_000,
        n_centers: int = 5000,
        random_state: int | None = None,
    ) -> None:
        self.kernels = kernels
        self.length_scales = length_scales
        self.alphas = alphas
        self.scalings = scalings
        self.n_search = n_search
        self.max_exact = max_exact
        self.n_centers = n_centers
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Choose the parameters and learn the weights.

        Parameters
        ----------
        X : array or sparse array of shape (n_samples, n_features)
            Features, or the kernel matrix.
        y : array of shape (n_samples,)
            Targets.

        Returns
        -------
        self
        """
        check_candidates(self.kernels, self.length_scales, self.scalings)
        check_choices("alphas", self.alphas, lambda name, value: check_real(name, value, above=0))
        for name in ("n_search", "max_exact", "n_centers"):
            check_integer(name, getattr(self, name), 2)
        X, y = validated(self, X, y)
        self.y_mean_ = float(np.mean(y))
        targets = y - self.y_mean_
        rows = subset(X.shape[0], self.n_search, self.random_state)
        weights = self._choose(part_of(X, rows, "precomputed" in self.kernels), targets[rows])
        if isinstance(rows, slice):
            self.centers_ = np.arange(X.shape[0])
            self.dual_coef_ = weights
        elif X.shape[0] <= self.max_exact:
            self.centers_ = np.arange(X.shape[0])
            matrix = self.similarity_.matrix(X)
            matrix[np.diag_indices_from(matrix)] += self.best_params_["alpha"]
            self.dual_coef_ = cho_solve(factorise(matrix), targets, check_finite=False)
        else:
            self.centers_ = np.arange(X.shape[0])[subset(X.shape[0], self.n_centers, self.random_state)]
            self.dual_coef_ = self._project(X, targets)
        if self.best_params_["kernel"] != "precomputed":
            self.X_fit_ = self.similarity_.scaled(X[self.centers_])
        return self

    def predict(self, X: Any) -> FloatArray:
        """Predict the targets of samples.

        Parameters
        ----------
        X : array or sparse array of shape (n_samples, n_features)
            Features, or the kernel between these samples and those of the fit.

        Returns
        -------
        ndarray of float64, shape (n_samples,)
        """
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", accept_large_sparse=False, reset=False)
        precomputed = self.best_params_["kernel"] == "precomputed"
        if precomputed:
            X = X[:, self.centers_]
        out = np.empty(X.shape[0])
        for rows, kernel in self.similarity_.blocks(X, None if precomputed else self.X_fit_):
            out[rows] = kernel @ self.dual_coef_
        return out + self.y_mean_

    @property
    def unit_(self) -> float:
        """Mean distance between training samples."""
        return self.similarity_.unit

    def _choose(self, X: Any, targets: FloatArray) -> FloatArray:
        """Set the best parameters, and return the weights of these samples."""
        best, weights_of_best = np.inf, targets
        for similarity, matrix in candidates(X, self.kernels, self.length_scales, self.scalings):
            values, vectors = np.linalg.eigh(matrix)
            values = np.maximum(values, 0)  # rounding
            projected = vectors.T @ targets
            for alpha in self.alphas:
                inverse = 1 / (values + alpha)
                weights = vectors @ (inverse * projected)
                errors = weights / (vectors**2 @ inverse)
                score = float(np.mean(np.abs(errors)))
                if score < best:
                    best, weights_of_best = score, weights
                    self.similarity_ = similarity
                    self.best_params_ = similarity.parameters() | {"alpha": float(alpha)}
        self.best_score_ = best
        return weights_of_best

    def _project(self, X: Any, targets: FloatArray) -> FloatArray:
        r"""Return weights of the centres m for all samples n: :math:`(K_{mn} K_{nm} + \alpha K_{mm})^{-1} K_{mn} y`.

        In the eigenvectors of :math:`K_{mm}`, without those whose eigenvalues are so small that products with them,
        which go with the square, are rounding.
        """
        if self.best_params_["kernel"] == "precomputed":
            inner, given, fitted = X[np.ix_(self.centers_, self.centers_)], X[:, self.centers_], None
        else:
            inner, given = X[self.centers_], X
            fitted = self.similarity_.scaled(inner)
        m = len(self.centers_)
        values, vectors = np.linalg.eigh(self.similarity_.matrix(inner))
        kept = values > 10 * np.sqrt(np.finfo(np.float64).eps) * values[-1]
        basis = vectors[:, kept] / np.sqrt(values[kept])
        products, right = np.zeros((m, m)), np.zeros(m)
        for rows, kernel in self.similarity_.blocks(given, fitted):
            products += kernel.T @ kernel
            right += kernel.T @ targets[rows]
        matrix = basis.T @ products @ basis
        matrix[np.diag_indices_from(matrix)] += self.best_params_["alpha"]
        return np.asarray(basis @ cho_solve(factorise(matrix), basis.T @ right, check_finite=False))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = "precomputed" in self.kernels
        tags.input_tags.sparse = not tags.input_tags.pairwise
        return tags
