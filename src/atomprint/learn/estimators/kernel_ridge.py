"""Kernel ridge regression that chooses its parameters itself, for ten samples or a hundred thousand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from scipy import sparse
from scipy.linalg import cho_solve
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from atomprint.learn.estimators.novelty import MAX_KNOWN, ProcessSpread
from atomprint.learn.estimators.relevance import Choices, Relevance, choose_relevance
from atomprint.learn.estimators.similarity import (
    Similarity,
    check_candidates,
    check_choices,
    factorise,
    part_of,
    subset,
    try_candidates,
    validated,
)
from atomprint.learn.estimators.twins import twins
from atomprint.learn.task.blocks import Blocks, TakesBlocks, check_blocks
from atomprint.util.draw import some_of
from atomprint.util.leave_one_out import leave_one_out
from atomprint.util.registry import public
from atomprint.util.types import FloatArray, Samples, Targets
from atomprint.util.validation import check_integer, check_real


@public("KernelRidgeCV", version=1)
class KernelRidgeCV(TakesBlocks, RegressorMixin, BaseEstimator):
    r"""Kernel ridge regression that chooses its kernel, length scale and regularisation by leave-one-out.

    The choice is made in ``fit``, from the training samples alone, so that an outer cross-validation stays honest.
    With the eigenvectors of a kernel matrix *K* the leave-one-out errors of all regularisations cost next to
    nothing: for :math:`G = (K + \alpha I)^{-1}` and centred targets *y* they are :math:`(G y)_i / G_{ii}` [1]_.
    The mean of the targets, the scale of features and the unit of length are those of all training samples, for each
    that is left out too. Samples that are the same, such as atoms that symmetry makes equivalent, are left out
    together.

    Features joined of several blocks, such as those of a composition and of a structure, are weighed: see ``blocks``
    and :func:`~atomprint.learn.estimators.relevance.choose_relevance`.

    Parameters
    ----------
    kernels : sequence of {"rbf", "laplacian", "matern52"}, or ("precomputed",)
        :math:`\exp(-|x - x'|_2^2 / 2 s^2)` and :math:`\exp(-|x - x'|_1 / s)`, and Matérn's
        :math:`(1 + r + r^2 / 3) \exp(-r)` with :math:`r = \sqrt{5} |x - x'|_2 / s`. With "precomputed" X is the kernel
        matrix between samples, in ``predict`` that between samples and those of the fit.
    length_scales : sequence of float
        Choices of *s*, in units of the mean distance between training samples. Of three or more, an end that is best is
        followed up to three steps beyond.
    alphas : sequence of float
        Choices of the regularisation, to be compared with 1, the similarity of a sample with itself (with the mean
        of these for a precomputed kernel). Ends are followed as for ``length_scales``.
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
    blocks : mapping of str to (int, int), or sequence of (int, int), optional
        First and one-past-last column of each block of features. Each is centred and divided by one number, such that
        samples differ as much in one block as in another; then a weight for each is chosen, and a scaling, by the
        leave-one-out errors of half of the samples, 500 to 1000 of them. Default: the blocks of joined features, if it
        is fitted by :func:`~atomprint.learn.evaluate`; otherwise all features are one block and stay as they are.
    n_components : int, optional
        Principal components of each block, at most, between which distances are measured. Default: all features.
    block_weights : sequence of float
        Choices for the weight of a block, of which only ratios matter; 0 drops it. With no choices all features are
        one block.

    Attributes
    ----------
    best_params_ : dict
        ``kernel``, ``alpha`` and, unless precomputed, ``length_scale`` (relative) and ``scaling`` with the smallest
        leave-one-out error. With several blocks also "weight of NAME" for each, the largest of them 1, and "scaling of
        NAME" instead of ``scaling`` where scalings differ.
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
        blocks: Blocks | Sequence[tuple[int, int]] | None = None,
        n_components: int | None = None,
        block_weights: Sequence[float] = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0),
    ) -> None:
        self.kernels = kernels
        self.length_scales = length_scales
        self.alphas = alphas
        self.scalings = scalings
        self.n_search = n_search
        self.max_exact = max_exact
        self.n_centers = n_centers
        self.random_state = random_state
        self.blocks = blocks
        self.n_components = n_components
        self.block_weights = block_weights

    def fit(self, X: Samples, y: Targets) -> Self:
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

        Raises
        ------
        TypeError, ValueError
            If a parameter is wrong, or blocks do not cover the features; the message names it.
        """
        check_candidates(self.kernels, self.length_scales, self.scalings)
        check_choices("alphas", self.alphas, lambda name, value: check_real(name, value, above=0))
        for name in ("n_search", "max_exact", "n_centers"):
            check_integer(name, getattr(self, name), 2)
        X, y = validated(self, X, y)
        self.y_mean_ = float(np.mean(y))
        targets = y - self.y_mean_
        rows = subset(X.shape[0], self.n_search, self.random_state)
        relevance = self._relevance(X, targets)
        self.weighting_ = None if relevance is None else relevance.blocks
        if self.weighting_ is not None:
            X = self.weighting_.transform(X)
        weights = self._choose(part_of(X, rows, "precomputed" in self.kernels), targets[rows], relevance)
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
        known = some_of(len(self.centers_), MAX_KNOWN)
        rows = self.centers_[known]
        matrix = self.similarity_.matrix(part_of(X, rows, "precomputed" in self.kernels))
        self.spread_ = ProcessSpread.fit(matrix, targets[rows], self.best_params_["alpha"], known)
        return self

    def predict(self, X: Samples, return_std: bool = False) -> Targets:
        """Predict the targets of samples.

        Parameters
        ----------
        X : array or sparse array of shape (n_samples, n_features)
            Features, or the kernel between these samples and those of the fit.
        return_std : bool
            Whether to return the standard deviation of the Gaussian process with the same kernel and noise as well: how
            far samples are from those of the fit, as the kernel sees it, in the unit of the targets. It is estimated
            (:class:`~atomprint.learn.estimators.novelty.ProcessSpread`), and not calibrated.

        Returns
        -------
        mean : ndarray of float64, shape (n_samples,)
        std : ndarray of float64, shape (n_samples,)
            Only with ``return_std``.

        Raises
        ------
        ValueError
            If ``return_std`` is asked of a model in a file of an earlier version, which cannot tell.
        """
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", accept_large_sparse=False, reset=False)
        precomputed = self.best_params_["kernel"] == "precomputed"
        if precomputed:
            X = X[:, self.centers_]
        elif self.weighting_ is not None:
            X = self.weighting_.transform(X)
        if return_std and not hasattr(self, "spread_"):
            raise ValueError("return_std needs a model that was fitted by this version: fit it anew")
        out, std = np.empty(X.shape[0]), np.empty(X.shape[0] if return_std else 0)
        for rows, kernel in self.similarity_.blocks(X, None if precomputed else self.X_fit_):
            out[rows] = kernel @ self.dual_coef_
            if return_std:
                std[rows] = self.spread_.std(kernel)
        out += self.y_mean_
        return (out, std) if return_std else out

    @property
    def unit_(self) -> float:
        """Mean distance between training samples."""
        return self.similarity_.unit

    def _relevance(self, X: Samples, targets: FloatArray) -> Relevance | None:
        """Return how blocks are projected and what they weigh; None if features stay as they are."""
        weighed = not isinstance(self.block_weights, Sequence | np.ndarray) or len(self.block_weights) > 0
        if weighed:
            check_choices("block_weights", self.block_weights, lambda name, value: check_real(name, value, at_least=0))
            if not max(self.block_weights) > 0:
                raise ValueError(f"block_weights must hold at least one choice > 0, got {self.block_weights!r}")
        n_components = None if self.n_components is None else check_integer("n_components", self.n_components, 1)
        blocks = {} if self.blocks is None else check_blocks(self.blocks, X.shape[1])
        if not weighed or not blocks:
            blocks = {"features": (0, X.shape[1])}
        if len(blocks) == 1 and n_components is None:
            return None
        if "precomputed" in self.kernels:
            raise ValueError("blocks and n_components are for kernels of features, kernels must not be 'precomputed'")
        if n_components is not None and sparse.issparse(X):
            raise ValueError(f"n_components must be None for sparse features, got {n_components}")
        choices = Choices(
            self.kernels, self.length_scales, self.alphas, self.scalings, self.block_weights if weighed else (1.0,)
        )
        return choose_relevance(X, targets, blocks, choices, n_components, self.n_search, self.random_state)

    def _choose(self, X: Samples, targets: FloatArray, relevance: Relevance | None) -> FloatArray:
        """Set the best parameters, and return the weights of these samples."""
        kernels, length_scales, scalings = self.kernels, self.length_scales, self.scalings
        if relevance is not None:
            kernels, length_scales, scalings = [relevance.kernel], relevance.length_scales, ["none"]
        best, weights_of_best = np.inf, targets
        together = None if "precomputed" in kernels else twins(X, targets)

        def is_better(similarity: Similarity, matrix: FloatArray) -> bool:
            nonlocal best, weights_of_best
            score, alpha, weights = leave_one_out(matrix, targets, self.alphas, together)
            if not score < best:
                return False
            best, weights_of_best = score, weights
            self.similarity_ = similarity
            self.best_params_ = similarity.parameters() | {"alpha": alpha}
            return True

        try_candidates(X, kernels, length_scales, scalings, is_better)
        if relevance is not None:
            del self.best_params_["scaling"]
            self.best_params_ |= relevance.parameters
        self.best_score_ = best
        return weights_of_best

    def _project(self, X: Samples, targets: FloatArray) -> FloatArray:
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

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = "precomputed" in self.kernels
        tags.input_tags.sparse = not tags.input_tags.pairwise and self.n_components is None
        return tags
