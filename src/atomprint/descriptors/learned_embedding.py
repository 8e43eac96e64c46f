"""Vectors of the elements that are learnt from what is to be predicted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from atomprint.chemistry.elements import (
    DEFAULT_PROPERTIES,
    N_ELEMENTS,
    check_property_names,
    element_similarity,
    rows_of,
)
from atomprint.descriptors.composition.contract import Compositions, flatten
from atomprint.ragged import owners
from atomprint.util.leave_one_out import leave_one_out
from atomprint.util.parameters import CheckedParameters
from atomprint.util.registry import public
from atomprint.util.validation import check_integer, check_real

FloatArray = npt.NDArray[np.float64]

_ALPHAS = np.logspace(-6, 1, 15)  # in units of the mean similarity of a composition with itself


@public("LearnedEmbedding", version=1, in_recipes=True)
class LearnedEmbedding(CheckedParameters):
    r"""Embedding of the elements that is learnt from targets: elements that act alike get similar vectors.

    A Gaussian process is fitted to the compositions, the shares :math:`f_a` of the elements, with the kernel

    .. math:: k(f, g) = f^T K g + (f^T K g)^2

    in which *K* is the similarity of the elements in their tabulated properties, as in
    :class:`~atomprint.elements.ElementEmbedding`. Its mean is a sum over elements and pairs of them,

    .. math:: y(f) = y_0 + \sum_a f_a \theta_a + \sum_{ab} f_a \Theta_{ab} f_b,

    and the channels are a constant, which tells where atoms are; the contribution :math:`\theta_a` of each element; and
    those eigenvectors of :math:`\Theta` whose eigenvalues are largest in magnitude, which tell how elements act on each
    other. All but the constant are scaled to a standard deviation of 1 over the elements of the training samples.
    Elements that do not occur there get vectors, too, after elements with similar properties.

    Given to :class:`~atomprint.descriptors.SOAP` or :class:`~atomprint.descriptors.ACE` as ``species_embedding``, it is
    fitted with it: in a pipeline within a cross-validation, to the training part alone. So it is in recipes, which make
    such features anew for each training part.

    Parameters
    ----------
    n_channels : int
        Number of channels: 1 is the constant alone, 2 has the contributions as well. At most two more than there are
        elements.
    properties : sequence of str
        Names of properties; see :func:`~atomprint.elements.element_properties`.
    length_scale : float
        By how many standard deviations, in the root mean square over the properties, two elements may differ and still
        be alike before anything is learnt.
    max_samples : int
        Of more samples than these, a random part is used: the time grows with their number cubed.
    random_state : int or RandomState, optional
        Seed of this part.

    Attributes
    ----------
    table_ : ndarray of float64, shape (103, n_channels)
        Vectors of H to Lr.
    mean_, linear_, pairs_ : float, ndarray of shape (103,), ndarray of shape (103, 103)
        :math:`y_0`, :math:`\theta` and :math:`\Theta`, in the unit of the target.
    alpha_ : float
        Regularisation with the smallest mean absolute leave-one-out error.

    Notes
    -----
    That the channels of species should be optimised for a target was shown in [1]_, where this was done by searching;
    here they come from a linear system. Targets should not grow with the number of atoms, since only shares of elements
    enter: energies per atom, not energies.

    References
    ----------
    .. [1] M. J. Willatt, F. Musil, M. Ceriotti, "Feature optimization for atomistic machine learning yields a
       data-driven construction of the periodic table of the elements", Phys. Chem. Chem. Phys. 20, 29661 (2018).

    Examples
    --------
    >>> formulas = ["NaCl", "KCl", "NaBr", "KBr", "LiCl"]
    >>> embedding = LearnedEmbedding(n_channels=3).fit(formulas, [-2.1, -2.2, -1.9, -2.0, -2.1])
    >>> embedding.matrix(["Na", "K"]).shape
    (2, 3)
    """

    _unwatched = ("random_state", "mean_", "linear_", "pairs_")

    def __init__(
        self,
        n_channels: int = 8,
        properties: Sequence[str] = DEFAULT_PROPERTIES,
        length_scale: float = 0.4,
        *,
        max_samples: int = 2000,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self._initialise(locals())

    def _validate(self) -> None:
        check_integer("n_channels", self.n_channels, 1)
        check_property_names(self.properties)
        check_real("length_scale", self.length_scale, above=0)
        check_integer("max_samples", self.max_samples, 2)
        if self.random_state is not None and not isinstance(self.random_state, np.random.RandomState):
            check_integer("random_state", self.random_state, 0, 2**32 - 1)

    def fit(self, X: Compositions, y: Any) -> Self:
        """Learn the vectors.

        Parameters
        ----------
        X : sequence of compositions, shape (n_samples,)
            Formulas, structures and whatever else :class:`~atomprint.descriptors.ElementProperty` takes.
        y : array of shape (n_samples,)
            Targets, numbers.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If a parameter is out of its range, something is not a composition, or a target is missing.
        """
        from sklearn.utils import check_random_state, column_or_1d

        self._validate()
        n_channels = int(self.n_channels)
        shares = _shares(X)
        if y is None:
            raise ValueError("species_embedding: a LearnedEmbedding learns from targets: y must be given, got None")
        y = np.asarray(column_or_1d(y), dtype=np.float64)
        if len(y) != len(shares):
            raise ValueError(f"y must have one target for each of {len(shares)} compositions, got {len(y)}")
        if not np.isfinite(y).all():
            which = int(np.flatnonzero(~np.isfinite(y))[0])
            raise ValueError(f"y must be finite, got {y[which]} for composition {which}")
        occur = shares.any(axis=0)
        if n_channels > occur.sum() + 2:
            raise ValueError(
                f"n_channels must be <= {occur.sum() + 2} for compositions of {occur.sum()} elements, got {n_channels}"
            )
        if len(y) > self.max_samples:
            drawn = check_random_state(self.random_state).choice(len(y), int(self.max_samples), replace=False)
            shares, y = shares[drawn], y[drawn]
        known = shares @ element_similarity(self.properties, float(self.length_scale))
        products = known @ shares.T
        self.mean_ = float(y.mean())
        similarity = products + products**2
        alphas = _ALPHAS * np.trace(similarity) / len(y)
        _, self.alpha_, dual = leave_one_out(similarity, y - self.mean_, alphas.tolist())
        self.linear_ = known.T @ dual
        self.pairs_ = (known * dual[:, None]).T @ known
        values, vectors = np.linalg.eigh(self.pairs_)
        vectors = vectors[:, np.argsort(-np.abs(values), kind="stable")]
        # An eigenvector has no sign: make its largest component positive.
        vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(N_ELEMENTS)])
        learnt = np.column_stack([self.linear_, vectors])[:, : n_channels - 1]
        spread = learnt[occur].std(axis=0)
        learnt = learnt / np.where(spread > 0, spread, 1.0)
        self.table_: FloatArray = np.column_stack([np.ones(N_ELEMENTS), learnt])
        return self

    def matrix(self, species: Sequence[str | int]) -> FloatArray:
        """Return the vectors of given elements.

        Parameters
        ----------
        species : sequence of str or int
            Chemical symbols or atomic numbers up to lawrencium (103).

        Returns
        -------
        ndarray of float64, shape (n_species, n_channels)

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        if not self.__sklearn_is_fitted__():
            from sklearn.exceptions import NotFittedError

            raise NotFittedError("LearnedEmbedding learns from targets: call fit with them first")
        return np.asarray(self.table_[rows_of(species)])

    def names(self, species: Sequence[str | int]) -> list[str]:
        """Return the names of the channels, the same for all elements."""
        n = int(self.n_channels)
        return ["constant", "contribution", *(f"channel{k + 1}" for k in range(n - 2))][:n]

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "table_")


def _shares(X: Compositions) -> FloatArray:
    """Return the share of each element, shape (n_samples, N_ELEMENTS)."""
    flat = flatten(X)
    shares = np.zeros((len(flat.offsets) - 1, N_ELEMENTS))
    shares[owners(flat.offsets), flat.elements] = flat.fractions
    return shares
