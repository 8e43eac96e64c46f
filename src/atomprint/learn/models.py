"""Models by name, with defaults that suit descriptors and small data sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import RandomForestRegressor
from sklearn.metrics import pairwise_distances
from sklearn.utils.validation import check_is_fitted, validate_data

from atomprint.validation import check_choice, check_n_jobs, check_real

# Distance between two rows of features, and similarity as a function of the distance in units of the length scale.
_KERNELS: Mapping[str, tuple[str, Callable[[Any], Any]]] = MappingProxyType(
    {
        "rbf": ("euclidean", lambda x: np.exp(-0.5 * x**2)),
        "laplacian": ("manhattan", lambda x: np.exp(-x)),
    }
)


class KernelRidgeCV(RegressorMixin, BaseEstimator):
    r"""Kernel ridge regression that chooses its kernel, length scale and regularisation by leave-one-out.

    The choice is made in ``fit``, from the training samples alone, so that an outer cross-validation stays honest.
    With the eigenvectors of a kernel matrix *K* the leave-one-out errors of all regularisations cost next to
    nothing: for :math:`G = (K + \alpha I)^{-1}` and centred targets *y* they are :math:`(G y)_i / G_{ii}` [1]_.
    The mean of the targets and the unit of length are those of all training samples, for each that is left out too.

    Parameters
    ----------
    kernels : sequence of {"rbf", "laplacian"}
        :math:`\exp(-|x - x'|_2^2 / 2 s^2)` and :math:`\exp(-|x - x'|_1 / s)`.
    length_scales : sequence of float
        Choices of *s*, in units of the mean distance between training samples: features may have any common
        scale, but should have one.
    alphas : sequence of float
        Choices of the regularisation, to be compared with 1, the similarity of a sample with itself.

    Attributes
    ----------
    best_params_ : dict
        ``kernel``, ``length_scale`` (relative) and ``alpha`` with the smallest leave-one-out error.
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
    """

    def __init__(
        self,
        kernels: Sequence[str] = ("rbf", "laplacian"),
        length_scales: Sequence[float] = (0.3, 1.0, 3.0, 10.0, 30.0),
        alphas: Sequence[float] = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0),
    ) -> None:
        self.kernels = kernels
        self.length_scales = length_scales
        self.alphas = alphas

    def fit(self, X: Any, y: Any) -> Self:
        """Choose the parameters and learn the weights.

        Parameters
        ----------
        X : array or sparse array of shape (n_samples, n_features)
            Features.
        y : array of shape (n_samples,)
            Targets.

        Returns
        -------
        self
        """
        kernels = [check_choice("kernels", kernel, tuple(_KERNELS)) for kernel in self.kernels]
        scales = [check_real("length_scales", scale, above=0) for scale in self.length_scales]
        alphas = [check_real("alphas", alpha, above=0) for alpha in self.alphas]
        for name in ("kernels", "length_scales", "alphas"):
            if len(getattr(self, name)) == 0:
                raise ValueError(f"{name} must hold at least one choice, got none")
        X, y = validate_data(
            self, X, y, accept_sparse="csr", accept_large_sparse=False, y_numeric=True, ensure_min_samples=2
        )
        self.X_fit_ = X
        self.y_mean_ = float(np.mean(y))
        targets = y - self.y_mean_
        best = np.inf
        for kernel in kernels:
            metric, similarity = _KERNELS[kernel]
            distances = pairwise_distances(X, metric=metric)
            unit = _mean_distance(distances)
            for scale in scales:
                values, vectors = np.linalg.eigh(similarity(distances / (scale * unit)))
                values = np.maximum(values, 0)  # rounding
                projected = vectors.T @ targets
                for alpha in alphas:
                    inverse = 1 / (values + alpha)
                    weights = vectors @ (inverse * projected)
                    errors = weights / (vectors**2 @ inverse)
                    score = float(np.mean(np.abs(errors)))
                    if score < best:
                        best = score
                        self.dual_coef_ = weights
                        self.best_params_ = {"kernel": kernel, "length_scale": scale, "alpha": alpha}
                        self.unit_ = unit
        self.best_score_ = best
        return self

    def predict(self, X: Any) -> npt.NDArray[np.float64]:
        """Predict the targets of samples.

        Parameters
        ----------
        X : array or sparse array of shape (n_samples, n_features)
            Features.

        Returns
        -------
        ndarray of float64, shape (n_samples,)
        """
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", accept_large_sparse=False, reset=False)
        best: dict[str, Any] = self.best_params_
        metric, similarity = _KERNELS[best["kernel"]]
        distances = pairwise_distances(X, self.X_fit_, metric=metric)
        kernel = similarity(distances / (best["length_scale"] * self.unit_))
        return np.asarray(kernel @ self.dual_coef_ + self.y_mean_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _mean_distance(distances: npt.NDArray[np.float64]) -> float:
    n = len(distances)
    return float(distances.sum() / (n * (n - 1))) or 1.0  # all samples alike: any scale will do


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model that can be asked for by name.

    Parameters
    ----------
    title : str
        Name for people.
    description : str
        What it does, in one sentence.
    make : callable
        Takes ``random_state`` and ``n_jobs`` and returns an estimator that is not fitted.
    """

    title: str
    description: str
    make: Callable[[int | None, int], BaseEstimator]


MODELS: Mapping[str, ModelSpec] = MappingProxyType(
    {
        "dummy": ModelSpec(
            "Mean of the training part",
            "the baseline: always predicts the mean of the training targets, which a model must beat to be of use",
            lambda random_state, n_jobs: DummyRegressor(strategy="mean"),
        ),
        "kernel_ridge": ModelSpec(
            "Kernel ridge",
            "interpolates between similar training samples; kernel, length scale and regularisation are "
            "chosen by leave-one-out within the training part",
            lambda random_state, n_jobs: KernelRidgeCV(),
        ),
        "random_forest": ModelSpec(
            "Random forest",
            "averages many decision trees, each grown on a resampled training set; nothing is tuned",
            lambda random_state, n_jobs: RandomForestRegressor(
                n_estimators=200, max_features="sqrt", random_state=random_state, n_jobs=n_jobs
            ),
        ),
    }
)
"""The models that :func:`make_model` knows."""


def make_model(name: str, random_state: int | None = None, n_jobs: int = 1) -> BaseEstimator:
    """Return a model that is not fitted yet.

    Parameters
    ----------
    name : str
        One of :data:`MODELS`.
    random_state : int, optional
        Seed of models that draw random numbers.
    n_jobs : int
        Number of threads of models that use several; -1 means all cores.

    Returns
    -------
    estimator
        A scikit-learn regressor.

    Raises
    ------
    ValueError
        If there is no such model.
    """
    return MODELS[check_choice("model", name, tuple(MODELS))].make(random_state, check_n_jobs(n_jobs))
