"""Gaussian process regression on features, or on a kernel between structures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from scipy.linalg import cho_solve, solve_triangular
from scipy.optimize import minimize_scalar
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from atomprint.learn.estimators.similarity import (
    Similarity,
    check_candidates,
    factorise,
    part_of,
    subset,
    try_candidates,
    validated,
)
from atomprint.util.registry import public
from atomprint.util.types import FloatArray, Samples, Targets
from atomprint.util.validation import check_integer

_LOG_NOISE = (-10.0, 2.0)  # range of log10 of the noise, to be compared with 1, the similarity with itself


@public("GaussianProcess", version=1)
class GaussianProcess(RegressorMixin, BaseEstimator):
    r"""Gaussian process regression; kernel, length scale, amplitude and noise by marginal likelihood.

    The covariance of targets is :math:`s^2 (K + \alpha I)`, their mean is that of the training targets. For each
    choice of *K* its eigenvalues :math:`\lambda_i` give the log marginal likelihood as a function of the noise
    :math:`\alpha` alone, as the best amplitude is known ([1]_, eq. 2.30 with eq. 5.8 solved for it):

    .. math::
       \log p = -\frac{1}{2} \sum_i \log(\lambda_i + \alpha) - \frac{n}{2} \log(2 \pi s^2) - \frac{n}{2}, \qquad
       s^2 = \frac{1}{n} \sum_i \frac{(v_i^T y)^2}{\lambda_i + \alpha}.

    Unlike scikit-learn's ``GaussianProcessRegressor`` it needs no start values for length scales, which for thousands
    of features are hard to give, and takes precomputed kernels with noise.

    Parameters
    ----------
    kernels, length_scales, scalings
        Choices of the kernel; see :class:`~atomprint.learn.KernelRidgeCV`.
    n_search : int
        By how many training samples, drawn at random, kernel and noise are chosen if there are more.
    max_samples : int
        Number of training samples that is refused if exceeded: memory is their number squared times 16 bytes.
    random_state : int, optional
        Seed of the drawing.

    Attributes
    ----------
    best_params_ : dict
        ``kernel``, ``noise`` (:math:`\alpha`) and, unless precomputed, ``length_scale`` and ``scaling``.
    log_marginal_likelihood_ : float
        Of the samples that parameters were chosen by.
    amplitude_ : float
        *s*, in the unit of the targets.

    References
    ----------
    .. [1] C. E. Rasmussen and C. K. I. Williams, Gaussian Processes for Machine Learning, MIT Press (2006).
    """

    def __init__(
        self,
        kernels: Sequence[str] = ("rbf", "laplacian"),
        length_scales: Sequence[float] = (0.3, 0.55, 1.0, 1.7, 3.0, 5.5, 10.0, 30.0),
        scalings: Sequence[str] = ("none", "standard"),
        n_search: int = 1000,
        max_samples: int = 10_000,
        random_state: int | None = None,
    ) -> None:
        self.kernels = kernels
        self.length_scales = length_scales
        self.scalings = scalings
        self.n_search = n_search
        self.max_samples = max_samples
        self.random_state = random_state

    def fit(self, X: Samples, y: Targets) -> Self:
        """Choose kernel and noise, and condition on the samples.

        Parameters
        ----------
        X : array or sparse array of shape (n_samples, n_features)
            Features, or the kernel matrix.
        y : array of shape (n_samples,)
            Targets.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there are more than ``max_samples`` samples.
        """
        check_candidates(self.kernels, self.length_scales, self.scalings)
        check_integer("n_search", self.n_search, 2)
        check_integer("max_samples", self.max_samples, 2)
        X, y = validated(self, X, y)
        n = X.shape[0]
        if n > self.max_samples:
            raise ValueError(
                f"max_samples is {self.max_samples}, got {n} training samples: a Gaussian process needs a matrix of "
                "their number squared; take kernel_ridge, which works with a part of them, or raise max_samples"
            )
        self.y_mean_ = float(np.mean(y))
        targets = y - self.y_mean_
        pairwise = "precomputed" in self.kernels
        rows = subset(n, self.n_search, self.random_state)
        self._choose(part_of(X, rows, pairwise), targets[rows])
        matrix = self.similarity_.matrix(X)
        diagonal = np.diagonal(matrix)
        self.constant_diagonal_ = bool(np.ptp(diagonal) <= 1e-6)
        matrix[np.diag_indices(n)] += self.best_params_["noise"]
        self.factor_, _ = factorise(matrix)
        self.dual_coef_ = cho_solve((self.factor_, True), targets, check_finite=False)
        self.amplitude_ = float(np.sqrt(max(targets @ self.dual_coef_, 0.0) / n))
        if not pairwise:
            self.X_fit_ = self.similarity_.scaled(X)
        return self

    def predict(self, X: Samples, return_std: bool = False) -> Targets:
        """Predict the targets of samples.

        Parameters
        ----------
        X : array or sparse array of shape (n_samples, n_features)
            Features, or the kernel between these samples and those of the fit.
        return_std : bool
            Whether to return the standard deviation of the target of each sample as well, noise included.

        Returns
        -------
        mean : ndarray of float64, shape (n_samples,)
        std : ndarray of float64, shape (n_samples,)
            Only with ``return_std``.

        Raises
        ------
        ValueError
            If standard deviations are asked for and a precomputed kernel is not normalised: the similarity of a
            new sample with itself is then not known.
        """
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", accept_large_sparse=False, reset=False)
        if return_std and not self.constant_diagonal_:
            raise ValueError(
                "return_std needs a kernel with the same similarity of each sample with itself, such as "
                "normalize_kernel=True gives"
            )
        mean, variance = np.empty(X.shape[0]), np.empty(X.shape[0])
        for rows, kernel in self.similarity_.blocks(X, getattr(self, "X_fit_", None)):
            mean[rows] = kernel @ self.dual_coef_
            if return_std:
                half = solve_triangular(self.factor_, kernel.T, lower=True, check_finite=False)
                variance[rows] = 1 + self.best_params_["noise"] - np.einsum("mn,mn->n", half, half)
        mean += self.y_mean_
        if not return_std:
            return mean
        return mean, self.amplitude_ * np.sqrt(np.maximum(variance, self.best_params_["noise"]))

    def _choose(self, X: Samples, targets: FloatArray) -> None:
        best = -np.inf
        n = len(targets)

        def is_better(similarity: Similarity, matrix: FloatArray) -> bool:
            nonlocal best
            values, vectors = np.linalg.eigh(matrix)
            values = np.maximum(values, 0)  # rounding
            squares = (vectors.T @ targets) ** 2

            def loss(log_noise: float, values: FloatArray = values, squares: FloatArray = squares) -> float:
                total = values + 10**log_noise
                amplitude = max(float(np.mean(squares / total)), np.finfo(float).tiny)
                return 0.5 * float(np.log(total).sum() + n * (np.log(2 * np.pi * amplitude) + 1))

            found = minimize_scalar(loss, bounds=_LOG_NOISE, method="bounded", options={"xatol": 1e-4})
            if not -found.fun > best:
                return False
            best = -float(found.fun)
            self.similarity_ = similarity
            self.best_params_ = similarity.parameters() | {"noise": float(10**found.x)}
            return True

        try_candidates(X, self.kernels, self.length_scales, self.scalings, is_better)
        self.log_marginal_likelihood_ = best

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = "precomputed" in self.kernels
        tags.input_tags.sparse = not tags.input_tags.pairwise
        return tags
