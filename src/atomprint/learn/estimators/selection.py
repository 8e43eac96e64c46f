"""The most different or the most telling features, chosen without a look at the targets."""

from __future__ import annotations

from typing import Self

import numpy as np
from scipy.linalg import eigh
from scipy.sparse.linalg import eigsh
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.utils import gen_batches
from sklearn.utils.validation import check_is_fitted, validate_data

from atomprint.util.registry import public
from atomprint.util.types import Array, FloatArray, Indices, Mask, Samples, Targets
from atomprint.util.validation import check_choice, check_integer

_BLOCK = 2048  # rows whose products are added up at once
_DENSE = 64  # features up to which all eigenvectors are found, which is quicker than iterating for one
_LEFT = 1e-10  # share of the largest variance below which a feature is a combination of those chosen before


@public("SelectFeatures", version=1)
class SelectFeatures(SelectorMixin, BaseEstimator):
    r"""Some of the features, which keep their meaning and names, unlike principal components.

    Features are centred first, so that constants are chosen last. Products of samples are added up once, n_samples
    times n_features²; then each choice takes n_features ("fps") or a few times n_features² operations ("cur").

    Parameters
    ----------
    n_features : int
        Number of features to keep, at most.
    method : {"cur", "fps"}
        "cur" takes, step by step, the feature with the largest entry in the leading right singular vector of the
        samples, and removes from all features what this one explains [1]_: few features from which the others
        follow linearly. "fps" starts with the feature of the largest variance and goes on with the one that is
        farthest, by the Euclidean distance of columns, from the nearest of those chosen before [2]_ [1]_: features
        that differ. Of features that are alike, such as scaled ones at the start of "fps", the first is taken.

    Attributes
    ----------
    chosen_ : ndarray of int, shape (n_chosen,)
        Columns in the order in which they were chosen; with "cur" fewer than asked for if the others are linear
        combinations of these.
    n_features_in_ : int
        Number of features.

    References
    ----------
    .. [1] G. Imbalzano, A. Anelli, D. Giofré, S. Klees, J. Behler, M. Ceriotti, "Automatic selection of atomic
       fingerprints and reference configurations for machine-learning potentials", J. Chem. Phys. 148, 241730 (2018).
    .. [2] Y. Eldar, M. Lindenbaum, M. Porat, Y. Y. Zeevi, "The farthest point strategy for progressive image sampling",
       IEEE Trans. Image Process. 6, 1305 (1997).

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(50, 2)) * [1.0, 3.0]
    >>> X = np.column_stack([x, x[:, 0] + x[:, 1]])  # the third feature follows from the others
    >>> len(SelectFeatures(3).fit(X).chosen_)
    2
    """

    def __init__(self, n_features: int = 500, method: str = "cur") -> None:
        self.n_features = n_features
        self.method = method

    def fit(self, X: Samples, y: Targets = None) -> Self:
        """Choose the features.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            Features.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there is no such method, or no feature is asked for.
        """
        wanted = check_integer("n_features", self.n_features, 1)
        choose = {"cur": _columns, "fps": _farthest}[check_choice("method", self.method, ("cur", "fps"))]
        X = validate_data(self, X, dtype=[np.float64, np.float32], ensure_min_samples=2)
        self.chosen_ = choose(_covariance(X), min(wanted, X.shape[1]))
        return self

    def _get_support_mask(self) -> Mask:
        check_is_fitted(self)
        mask = np.zeros(self.n_features_in_, dtype=bool)
        mask[self.chosen_] = True
        return mask


def _covariance(X: Array) -> FloatArray:
    """Return products of centred features, shape (n_features, n_features), divided by the number of samples."""
    mean = X.mean(axis=0, dtype=np.float64)
    products = np.zeros((X.shape[1], X.shape[1]))
    for rows in gen_batches(len(X), _BLOCK):
        block = X[rows] - mean
        products += block.T @ block
    return products / len(X)


def _columns(left: FloatArray, n: int) -> Indices:
    """Return features by the leading singular vector of what those before leave; ``left`` is used up."""
    least = _LEFT * left.diagonal().max()
    leading = np.ones(len(left))
    chosen: list[int] = []
    while len(chosen) < n:
        leading = _leading(left, leading)
        scores = np.where(left.diagonal() > least, np.abs(leading), -1.0)
        scores[chosen] = -1.0
        best = _first_largest(scores)
        if scores[best] < 0:  # the others follow from those that are chosen
            break
        chosen.append(best)
        column = left[:, best] / np.sqrt(left[best, best])
        left -= np.outer(column, column)
    return np.array(chosen or [0], dtype=np.intp)


def _leading(products: FloatArray, start: FloatArray) -> FloatArray:
    last = len(products) - 1
    if last < _DENSE:
        return np.asarray(eigh(products, subset_by_index=[last, last])[1][:, 0])
    return np.asarray(eigsh(products, k=1, which="LA", v0=start, tol=1e-6)[1][:, 0])


def _farthest(products: FloatArray, n: int) -> Indices:
    """Return features, each as far as possible from the nearest of those before."""
    sizes = products.diagonal()
    chosen = [_first_largest(sizes)]
    nearest = np.full(len(sizes), np.inf)
    while len(chosen) < n:
        last = chosen[-1]
        nearest = np.minimum(nearest, sizes + sizes[last] - 2 * products[last])
        nearest[chosen] = -1.0
        chosen.append(_first_largest(nearest))
    return np.array(chosen, dtype=np.intp)


def _first_largest(values: FloatArray) -> int:
    """Return where the largest value is; of values that differ by rounding alone, the first."""
    largest = values.max()
    return int(np.argmax(values >= largest - 1e-9 * abs(largest)))
