"""Principal components of features, some of the way to equal weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from scipy.linalg import eigh
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import gen_batches
from sklearn.utils.validation import check_is_fitted, validate_data

from atomprint.learn.task.blocks import Blocks, TakesBlocks, check_blocks, check_known, check_names
from atomprint.util.registry import public
from atomprint.util.types import Array, FloatArray, Samples, Targets
from atomprint.util.validation import check_integer, check_real

_BLOCK = 2048  # rows whose products are added up at once


@public("Projection", version=1)
class Projection(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    r"""Leading principal components of the features, scaled between their natural weight and equal weight.

    Component k, whose variance over the training samples is :math:`\lambda_k`, is divided by
    :math:`\lambda_k^{w}`: with w = 0 distances between samples are those of the features, with w = 0.5 all components
    weigh the same (whitening). In between, directions in which samples differ little, which often tell more than
    their size suggests, gain weight without those that are noise taking over.

    Products of samples are taken in the type of the features, float32 or float64, and added up in float64.

    Parameters
    ----------
    n_components : int
        Number of components, at most; no more than there are features, or samples but one.
    whiten : float
        w, 0 to 0.5.

    Attributes
    ----------
    mean_ : ndarray, shape (n_features,)
        Mean of the training samples.
    components_ : ndarray, shape (n_features, n_components_)
        What centred samples are multiplied by, the leading component first.
    variances_ : ndarray of float64, shape (n_components_,)
        :math:`\lambda_k`. Components below 1e-7 of the first, which are rounding, are left out.
    n_features_in_ : int
        Number of features.
    """

    def __init__(self, n_components: int = 500, whiten: float = 0.0) -> None:
        self.n_components = n_components
        self.whiten = whiten

    def fit(self, X: Samples, y: Targets = None) -> Self:
        """Find the components.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            Features.
        y : ignored

        Returns
        -------
        self
        """
        n_components = check_integer("n_components", self.n_components, 1)
        whiten = check_real("whiten", self.whiten, at_least=0)
        if whiten > 0.5:
            raise ValueError(f"whiten must be between 0 and 0.5, got {whiten:g}")
        X = self._checked(X, reset=True)
        n, n_features = X.shape
        self.mean_ = X.mean(axis=0, dtype=np.float64).astype(X.dtype)
        values, vectors = _principal(X, self.mean_, min(n_components, n_features, n - 1))
        kept = values > 1e-7 * values[0]
        kept[0] = True  # of samples that are all alike
        self.variances_ = np.maximum(values[kept], 0)
        largest = np.argmax(np.abs(vectors), axis=0)  # a component has no sign: make this entry positive
        vectors = vectors * np.sign(vectors[largest, np.arange(vectors.shape[1])])
        scales = np.where(self.variances_ > 0, self.variances_, 1.0) ** -whiten
        self.components_ = (vectors[:, kept] * scales).astype(X.dtype)
        return self

    def transform(self, X: Samples) -> Array:
        """Return the components of samples, shape (n_samples, n_components_)."""
        check_is_fitted(self)
        X = self._checked(X, reset=False)
        return np.asarray((X - self.mean_) @ self.components_)

    @property
    def n_components_(self) -> int:
        """Number of components."""
        return int(self.components_.shape[1])

    @property
    def _n_features_out(self) -> int:
        return self.n_components_

    def _checked(self, X: Samples, reset: bool) -> Array:
        return np.asarray(
            validate_data(self, X, dtype=[np.float64, np.float32], reset=reset, ensure_min_samples=2 if reset else 1)
        )


@public("ProjectBlocks", version=1)
class ProjectBlocks(TakesBlocks, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Leading principal components of each of some blocks of joined features, after the other features as they are.

    For models that are to see the few features of some blocks one by one, but of thousands in another, such as
    covariances, only how samples differ in them. Features of such a block are not scaled first: those that vary little
    count for little.

    Parameters
    ----------
    names : sequence of str
        Names of the blocks.
    n_components, whiten
        As for :class:`Projection`, of each block. By default components weigh the same.
    blocks : mapping of str to (int, int), optional
        First and one-past-last column of each block. Default: those of the features, which
        :func:`~atomprint.learn.evaluate` sees to.

    Attributes
    ----------
    projections_ : list of Projection
        Of each block, in the order of the names.
    columns_ : list of (int, int)
        Where they are.
    kept_ : ndarray of bool, shape (n_features,)
        Which features stay as they are.
    n_features_in_ : int
        Number of features.

    Raises
    ------
    ValueError
        In ``fit``, if the features have no such block.
    """

    def __init__(
        self, names: Sequence[str], n_components: int = 300, whiten: float = 0.5, blocks: Blocks | None = None
    ) -> None:
        self.names = names
        self.n_components = n_components
        self.whiten = whiten
        self.blocks = blocks

    def fit(self, X: Samples, y: Targets = None) -> Self:
        """Find the components.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            Joined features.
        y : ignored

        Returns
        -------
        self
        """
        names = check_names("projection: blocks", self.names)
        X = np.asarray(validate_data(self, X, dtype=[np.float64, np.float32], ensure_min_samples=2))
        known = {} if self.blocks is None else check_blocks(self.blocks, X.shape[1])
        check_known(names, known)
        self.columns_ = [known[name] for name in names]
        self.kept_ = np.ones(X.shape[1], dtype=bool)
        self.projections_ = []
        for start, stop in self.columns_:
            self.kept_[start:stop] = False
            self.projections_.append(Projection(self.n_components, self.whiten).fit(X[:, start:stop]))
        return self

    def transform(self, X: Samples) -> Array:
        """Return the other features and the components, shape (n_samples, n_features_out)."""
        check_is_fitted(self)
        X = np.asarray(validate_data(self, X, dtype=[np.float64, np.float32], reset=False))
        pairs = zip(self.projections_, self.columns_, strict=True)
        components = [projection.transform(X[:, slice(*own)]) for projection, own in pairs]
        return np.concatenate([X[:, self.kept_], *components], axis=1)

    @property
    def _n_features_out(self) -> int:
        return int(self.kept_.sum()) + sum(projection.n_components_ for projection in self.projections_)


def _principal(X: Array, mean: Array, n_components: int) -> tuple[FloatArray, FloatArray]:
    """Return the largest variances, and their directions as columns of length 1.

    Of n samples and p features the smaller table of products is decomposed, p by p or n by n: they share their
    eigenvalues, and the eigenvectors of one, taken through the samples, are those of the other.
    """
    n, n_features = X.shape
    few = n < n_features
    size = min(n, n_features)
    products = np.zeros((size, size))
    for part in gen_batches(max(n, n_features), _BLOCK):
        block = (X[:, part] - mean[part]).T if few else X[part] - mean
        products += block.T @ block
    products /= n
    values, vectors = eigh(
        products, subset_by_index=[size - n_components, size - 1], overwrite_a=True, check_finite=False, driver="evr"
    )
    values, vectors = values[::-1], vectors[:, ::-1]
    if few:
        parts = [(X[:, part] - mean[part]).T @ vectors for part in gen_batches(n_features, _BLOCK)]
        vectors = np.concatenate(parts)
        lengths = np.linalg.norm(vectors, axis=0)
        vectors /= np.where(lengths > 0, lengths, 1.0)
    return values, vectors
