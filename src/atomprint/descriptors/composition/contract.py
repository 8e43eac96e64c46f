"""What all features of compositions share: how compositions are read, and the contract of scikit-learn."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from atomprint.chemistry.contents import amounts_of, each_counted, is_composition
from atomprint.chemistry.elements import N_ELEMENTS
from atomprint.chemistry.formula import ATOMIC_NUMBERS
from atomprint.formats.components import check_names
from atomprint.layout import HasLayout
from atomprint.structures import Batch, StructureError
from atomprint.util.items import items_of
from atomprint.util.parameters import CheckedParameters
from atomprint.util.scikit import Transformer

FloatArray: TypeAlias = npt.NDArray[np.float64]

Compositions: TypeAlias = Any
"""One composition, or a sequence of them: a formula, a pymatgen ``Composition``, ``Structure`` or ``Molecule``, an
``ase.Atoms``, or a dict from symbols or atomic numbers to amounts."""


class Contents(NamedTuple):
    """Elements of several compositions, one composition after the other."""

    elements: npt.NDArray[np.int64]  # atomic numbers less one
    amounts: FloatArray
    fractions: FloatArray  # that sum to 1 for each composition
    offsets: npt.NDArray[np.int64]


class CompositionDescriptor(HasLayout, Transformer, CheckedParameters):
    """Base of the features of compositions: a scikit-learn transformer that needs no coordinates.

    A subclass gives ``_validate``, ``_layout`` and ``_features``.
    """

    @abstractmethod
    def _features(self, contents: Contents) -> FloatArray:
        """Return the features of all compositions, shape (n_compositions, n_features)."""

    def create(self, compositions: Compositions) -> FloatArray:
        """Compute the features.

        Parameters
        ----------
        compositions : composition or sequence of compositions
            Formulas (see :func:`atomprint.chemistry.formula.parse_formula`), pymatgen ``Composition``, ``Structure`` or
            ``Molecule`` (disordered ones, too), ``ase.Atoms``, dicts from symbols or atomic numbers to amounts, or a
            :class:`~atomprint.structures.Batch`. Only the ratios of the amounts matter, but to sums.

        Returns
        -------
        ndarray of float64, shape (n_features,) or (n_compositions, n_features)
            A single composition gives no leading axis; a sequence gives one, whatever its length.

        Raises
        ------
        ImportError
            If a property needs pymatgen, which is not installed.
        ValueError, TypeError
            If something is not a composition, or a property of an element is missing; the message names them.
        """
        compositions = _items(compositions)
        single = is_composition(compositions) or (isinstance(compositions, Batch) and compositions.single)
        features = self._features(flatten(compositions))
        return features[0] if single else features

    def fit(self, X: Compositions, y: Any = None) -> Self:
        """Check the parameters and the compositions, and learn which elements there are where that is left open.

        Parameters
        ----------
        X : sequence of compositions
            As for :meth:`create`.
        y : ignored
            But for the names of a series or table of pandas, which must not be components of vectors.

        Returns
        -------
        self
        """
        check_names(y)
        self._validate()
        self._learn(flatten(X))
        return self

    def _learn(self, contents: Contents) -> None:
        """Learn from the compositions of ``fit``; nothing by default."""

    def transform(self, X: Compositions) -> FloatArray:
        """Compute the features of a sequence of compositions, always with a leading axis; see :meth:`create`."""
        return np.atleast_2d(self.create(X))

    def fit_transform(self, X: Compositions, y: Any = None, **fit_params: Any) -> FloatArray:
        """Call ``fit`` and ``transform`` with the same compositions."""
        X = _items(X)
        return self.fit(X, y).transform(X)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.requires_fit = not self.__sklearn_is_fitted__()
        return tags


class CompositionError(StructureError):
    """A composition that cannot be used, as for structures."""

    noun = "composition"


class CompositionTypeError(CompositionError, TypeError):
    """Something in place of a composition that is none."""


def flatten(compositions: Compositions) -> Contents:
    """Read and check compositions."""
    compositions = _items(compositions)
    if isinstance(compositions, Batch):
        amounts = each_counted(compositions)
    else:
        if is_composition(compositions):
            compositions = [compositions]
        elif not isinstance(compositions, Iterable) or isinstance(compositions, bytes):
            raise TypeError(
                "compositions must be a formula, a dict, a pymatgen Composition or Structure, an ase.Atoms, or a "
                f"sequence of these, got {type(compositions).__name__}"
            )
        amounts = [_amounts(item, index) for index, item in enumerate(compositions)]
    if not amounts:
        raise ValueError("compositions must hold at least one composition, got none")
    elements, given, fractions, offsets = [], [], [], [0]
    for index, own in enumerate(amounts):
        total = sum(own.values())
        if not total > 0:
            raise CompositionError(index, None, "there must be some of an element, got none")
        for symbol, amount in own.items():
            z = ATOMIC_NUMBERS[symbol]
            if z > N_ELEMENTS:
                raise CompositionError(index, None, f"elements must be H to Lr, got {symbol}")
            if amount > 0:
                elements.append(z - 1)
                given.append(float(amount))
                fractions.append(amount / total)
        offsets.append(len(elements))
    return Contents(np.array(elements), np.array(given), np.array(fractions), np.array(offsets))


def _items(compositions: Compositions) -> Compositions:
    """Return compositions as they can be read several times; a dict is one."""
    return compositions if isinstance(compositions, Mapping) else items_of("compositions", compositions)


def _amounts(item: Any, index: int) -> dict[str, float]:
    try:
        return amounts_of(item)
    except (ValueError, TypeError) as error:
        kind = CompositionTypeError if isinstance(error, TypeError) else CompositionError
        raise kind(index, None, str(error)) from error
