"""Compositions as means over channels of the elements: fractions, embeddings, properties."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase.data import chemical_symbols

from atomprint.chemistry.elements import PropertyChannels, channel_table, check_channels
from atomprint.descriptors.composition.contract import CompositionDescriptor, CompositionError, Contents, FloatArray
from atomprint.layout import Axis, Block, Layout, symbols_of
from atomprint.ragged import locate, totals
from atomprint.util.registry import public
from atomprint.util.validation import check_bool, check_species


@public("CompositionChannels", version=1, in_recipes=True)
class CompositionChannels(CompositionDescriptor):
    r"""Mean of channels of the elements over a composition; no coordinates are needed.

    With the fractions :math:`f_i` of the elements of a composition, and the number :math:`e_{ik}` of element i in
    channel k, the features are :math:`\sum_i f_i e_{ik}`; as a sum, with amounts in place of fractions.

    Parameters
    ----------
    channels : "species", ElementEmbedding, PropertyChannels, or list of these
        The channels; ``"species"`` has one for each element, of which the mean is the element's fraction.
    species : sequence of str or int, optional
        Chemical symbols or atomic numbers that may occur. Left out, they are learnt in ``fit``.
    average : bool
        Whether to take the mean. False: the sum, for properties that grow with size; with ``"species"`` that is the
        number of atoms of each element.

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

    def __init__(self, channels: Any = "species", species: Any = None, average: bool = True) -> None:
        self._initialise(locals())

    def __sklearn_is_fitted__(self) -> bool:
        return self.species is not None or hasattr(self, "species_")

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

    def _learn(self, contents: Contents) -> None:
        found = tuple((np.unique(contents.elements) + 1).tolist())
        self.species_ = found if self.species is None else check_species(self.species)

    def _features(self, contents: Contents) -> FloatArray:
        species = np.array(self._species())
        unknown = np.flatnonzero(~np.isin(contents.elements + 1, species))
        if len(unknown):
            which = locate(contents.offsets, unknown[0])[0]
            known, symbol = symbols_of(self._species()), chemical_symbols[contents.elements[unknown[0]] + 1]
            raise CompositionError(which, None, f"species must be one of {', '.join(known)}, got {symbol}")
        table = channel_table(self.channels, self._species())[1]
        used = table[np.searchsorted(species, contents.elements + 1)]
        weights = contents.fractions if self.average else contents.amounts
        return totals(weights[:, None] * used, contents.offsets)

    def _validate(self) -> None:
        check_channels(self.channels)
        check_bool("average", self.average)
        if self.species is not None:
            channel_table(self.channels, check_species(self.species))

    def _species(self) -> tuple[int, ...]:
        if self.species is not None:
            return check_species(self.species)
        if not hasattr(self, "species_"):
            from sklearn.exceptions import NotFittedError

            raise NotFittedError("CompositionChannels: species is not known: give it or call fit first")
        return self.species_
