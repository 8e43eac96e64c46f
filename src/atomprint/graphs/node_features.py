"""Numbers that say which element an atom is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from atomprint.chemistry.elements import N_ELEMENTS, ElementEmbedding, PropertyChannels, channel_table, check_channels
from atomprint.graphs.edge_features import rows
from atomprint.graphs.graphs import Graphs
from atomprint.structures import StructureError
from atomprint.util.parameters import CheckedParameters
from atomprint.util.types import FloatArray
from atomprint.util.validation import check_choice, check_species

NODE_FEATURES = ("properties", "one_hot")


class ElementFeatures(CheckedParameters):
    """A row of numbers for each element.

    Parameters
    ----------
    channels : {"properties", "one_hot"}, ElementEmbedding, PropertyChannels, or list of these
        ``"properties"``: tabulated properties (period, valence electrons, electronegativity, radius, ionisation
        energy), standardised over the table of elements; ``"one_hot"``: 1 for the element, 0 for all others, so that a
        network learns what an element is and knows nothing of one that it has not seen. Several are put side by side.
    species : sequence of str or int, optional
        Chemical symbols or atomic numbers that may occur, which makes one-hot rows short. Default: hydrogen to
        lawrencium.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from atomprint.graphs import NeighbourGraph
    >>> salt = NeighbourGraph(r_cut=3.0).create(bulk("NaCl", "rocksalt", 5.64))
    >>> ElementFeatures("one_hot", species=["Na", "Cl"])(salt)
    array([[1., 0.],
           [0., 1.]])
    """

    def __init__(self, channels: Any = "properties", species: Any = None) -> None:
        self._initialise(locals())

    def _validate(self) -> None:
        check_channels(self._parts())
        if self.species is not None:
            check_species(self.species)

    def _parts(self) -> list[Any]:
        given = self.channels if isinstance(self.channels, list | tuple) else [self.channels]
        known = {"properties": PropertyChannels(constant=False), "one_hot": "species"}
        for part in given:
            if isinstance(part, str):
                check_choice("channels", part, NODE_FEATURES)
            elif not isinstance(part, ElementEmbedding | PropertyChannels):
                allowed = "'properties', 'one_hot', an ElementEmbedding, PropertyChannels, or a list of these"
                raise TypeError(f"channels must be {allowed}, got {part!r}")
        return [known[part] if isinstance(part, str) else part for part in given]

    def _species(self) -> Sequence[int]:
        return range(1, N_ELEMENTS + 1) if self.species is None else check_species(self.species)

    @property
    def names(self) -> list[str]:
        """Names of the features."""
        return channel_table(self._parts(), self._species())[0]

    def __call__(self, graphs: Graphs) -> FloatArray:
        """Return the features of all atoms, shape (n_atoms, n_features).

        Raises
        ------
        StructureError
            If an atom is none of the elements.
        """
        species, numbers = list(self._species()), graphs.structures.numbers
        index = np.full(len(chemical_symbols), -1)
        index[species] = np.arange(len(species))
        found = index[numbers]
        if (found < 0).any():
            flat = int(np.argmax(found < 0))
            rule = f"element must be one of {self._shown()}, got {chemical_symbols[numbers[flat]]}"
            raise StructureError(*graphs.structures.locate(flat), rule)
        return np.asarray(channel_table(self._parts(), species)[1][found])

    def _shown(self) -> str:
        if self.species is None:
            return "hydrogen to lawrencium"
        return f"species {', '.join(chemical_symbols[z] for z in check_species(self.species))}"


NodeFeatures = Callable[[Graphs], Any]


def check_node_features(chosen: Any) -> NodeFeatures:
    """Return what makes features of atoms: itself, or that of a name, or raise."""
    try:
        return chosen if callable(chosen) else ElementFeatures(chosen)
    except (ValueError, TypeError) as error:
        raise type(error)(f"nodes: {error}") from None


def node_features(chosen: Any, graphs: Graphs) -> FloatArray:
    """Return the features of atoms that were chosen by name, or by what makes them.

    Raises
    ------
    ValueError, TypeError
        If a choice is unknown, an element is, or something else than a row for each atom is made.
    """
    return rows("nodes", check_node_features(chosen)(graphs), graphs.n_atoms)
