"""Compositions as means over channels of the elements: fractions, embeddings, properties."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from ase.data import chemical_symbols
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.exceptions import NotFittedError

from atomprint.chemistry.contents import is_composition
from atomprint.chemistry.elements import PropertyChannels, channel_table, check_channels
from atomprint.descriptors.composition.element_property import CompositionError, Compositions, FloatArray, flatten
from atomprint.layout import Axis, Block, HasLayout, Layout, symbols_of
from atomprint.ragged import locate, totals
from atomprint.structures import Batch
from atomprint.util.registry import public
from atomprint.util.validation import check_species


@public("CompositionChannels", version=1, in_recipes=True)
class CompositionChannels(HasLayout, TransformerMixin, BaseEstimator):
    r"""Mean of channels of the elements over a composition; no coordinates are needed.

    With the fractions :math:`f_i` of the elements of a composition, and the number :math:`e_{ik}` of element i in
    channel k, the features are :math:`\sum_i f_i e_{ik}`.

    Parameters
    ----------
    channels : "species", ElementEmbedding, PropertyChannels, or list of these
        The channels; ``"species"`` has one for each element, of which the mean is the element's fraction.
    species : sequence of str or int, optional
        Chemical symbols or atomic numbers that may occur. Left out, they are learnt in ``fit``.

    Attributes
    ----------
    species_ : tuple of int
        Atomic numbers of the elements.

    See Also
    --------
    atomprint.descriptors.ElementProperty : other statistics of properties than the mean
    atomprint.pooling.pooling.Pooling : the same channels for environments of atoms

    Examples
    --------
    >>> from atomprint.descriptors import CompositionChannels
    >>> CompositionChannels(species=["O", "Ti"]).create("TiO2").round(3)
    array([0.667, 0.333])
    """

    def __init__(self, channels: Any = "species", species: Any = None) -> None:
        self.channels = channels
        self.species = species
        self._validate()

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name and check them together; nothing is changed if one of them is wrong."""
        trial = clone(self)
        BaseEstimator.set_params(trial, **params)
        trial._validate()
        super().set_params(**params)
        return self

    def create(self, compositions: Compositions) -> FloatArray:
        """Compute the features.

        Parameters
        ----------
        compositions : composition or sequence of compositions
            As for :meth:`ElementProperty.create <atomprint.descriptors.ElementProperty.create>`.

        Returns
        -------
        ndarray of float64, shape (n_channels,) or (n_compositions, n_channels)
            A single composition gives no leading axis; a sequence gives one, whatever its length.

        Raises
        ------
        ValueError, TypeError
            If something is not a composition, or has an element that is not among ``species``; the message names it.
        """
        single = is_composition(compositions) or (isinstance(compositions, Batch) and compositions.single)
        flat, species = flatten(compositions), np.array(self._species())
        unknown = np.flatnonzero(~np.isin(flat.elements + 1, species))
        if len(unknown):
            which = locate(flat.offsets, unknown[0])[0]
            known, symbol = symbols_of(self._species()), chemical_symbols[flat.elements[unknown[0]] + 1]
            raise CompositionError(which, None, f"species must be one of {', '.join(known)}, got {symbol}")
        table = channel_table(self.channels, self._species())[1]
        used = table[np.searchsorted(species, flat.elements + 1)]
        features: FloatArray = totals(flat.fractions[:, None] * used, flat.offsets)
        return features[0] if single else features

    def fit(self, X: Compositions, y: Any = None) -> Self:
        """Learn which elements there are, if ``species`` was left out.

        Parameters
        ----------
        X : sequence of compositions
            As for :meth:`create`.
        y : ignored

        Returns
        -------
        self
        """
        self._validate()
        found = tuple((np.unique(flatten(X).elements) + 1).tolist())
        self.species_ = found if self.species is None else check_species(self.species)
        return self

    def transform(self, X: Compositions) -> FloatArray:
        """Compute the features of a sequence of compositions, always with a leading axis; see :meth:`create`."""
        return np.atleast_2d(self.create(X))

    def __sklearn_is_fitted__(self) -> bool:
        return self.species is not None or hasattr(self, "species_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.requires_fit = not self.__sklearn_is_fitted__()
        return tags

    # -----------------------------------------------------------------------------------------------------------

    def _layout(self) -> Layout:
        species = self._species()
        blocks = []
        for part in check_channels(self.channels):
            if isinstance(part, str):
                blocks += [Block((symbol,), [""]) for symbol in symbols_of(species)]
            else:
                way = "element properties" if isinstance(part, PropertyChannels) else "element channels"
                blocks.append(Block((), [Axis(way, part.names(species))]))
        return Layout("CompositionChannels", blocks)

    def _validate(self) -> None:
        check_channels(self.channels)
        if self.species is not None:
            channel_table(self.channels, check_species(self.species))

    def _species(self) -> tuple[int, ...]:
        if self.species is not None:
            return check_species(self.species)
        if not hasattr(self, "species_"):
            raise NotFittedError("CompositionChannels: species is not known: give it or call fit first")
        return self.species_
