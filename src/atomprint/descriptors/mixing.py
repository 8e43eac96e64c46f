"""Channels that mix the densities of the species, for the descriptors that take a ``species_embedding``."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from atomprint.chemistry.elements import ElementEmbedding, PropertyChannels
from atomprint.descriptors.engine.compiled import CompiledDescriptor
from atomprint.descriptors.learned_embedding import LearnedEmbedding
from atomprint.structures import Structures
from atomprint.util.types import FloatArray
from atomprint.util.validation import check_species

LARGEST_WEIGHT = 1e6  # of a species: products of such densities still fit into float32


class MixesSpecies(CompiledDescriptor, auto_wrap_output_keys=None):  # type: ignore[call-arg]  # scikit-learn's
    """A descriptor with the parameter ``species_embedding``, which may be learnt in ``fit``."""

    species: Any
    species_embedding: Any

    def fit(self, X: Structures, y: Any = None) -> Self:
        """Check the parameters, and learn ``species`` and a ``LearnedEmbedding`` if there is one.

        Parameters
        ----------
        X : sequence of structures
            Structures as for :meth:`create`.
        y : array of shape (n_structures,), optional
            Targets, for a ``LearnedEmbedding`` alone.

        Returns
        -------
        self
        """
        embedding = self.species_embedding
        if isinstance(embedding, LearnedEmbedding):
            if y is None and not embedding.__sklearn_is_fitted__():
                raise ValueError(
                    "species_embedding must be fitted if there are no targets, from which a LearnedEmbedding learns, "
                    f"got {embedding!r}"
                )
            from sklearn.base import clone

            self.__dict__.pop("periodic_", None)  # which is learnt anew
            X = self._read(X)
            self.species_embedding_ = embedding if y is None else clone(embedding).fit(X, y)
        return super().fit(X, y)

    def settle_embedding(self, species: tuple[int, ...]) -> None:
        """Put the vectors of an embedding that was learnt in its place: files hold parameters, not what was learnt.

        Parameters
        ----------
        species : tuple of int
            Ascending atomic numbers, unless ``species`` was given.
        """
        if isinstance(self.species_embedding, LearnedEmbedding):
            given = self.species
            self.species_embedding = self._mixing(species if given is None else check_species(given))

    def _mixing(self, species: tuple[int, ...]) -> FloatArray | None:
        """Return the (n_species, n_channels) matrix that mixes the species; None where there is no embedding."""
        given = self._embedding()
        if given is None:
            return None
        if isinstance(given, ElementEmbedding | PropertyChannels | LearnedEmbedding):
            matrix = given.matrix(species)
        else:
            try:
                matrix = np.asarray(given)
            except ValueError:  # rows of different lengths
                matrix = np.empty(0, dtype=object)
        if matrix.ndim != 2 or matrix.dtype.kind not in "fiu" or len(matrix) != len(species) or matrix.shape[1] < 1:
            raise ValueError(
                f"species_embedding must be numbers of shape (n_species, n_channels) with n_species = {len(species)}, "
                f"got shape {matrix.shape} of {matrix.dtype}"
            )
        if not (np.abs(matrix) <= LARGEST_WEIGHT).all():
            raise ValueError(
                f"species_embedding must be finite and at most {LARGEST_WEIGHT:g}, got {matrix.tolist()!r}"
            )
        return np.ascontiguousarray(matrix, dtype=np.float64)

    def _mixed_names(self, species: tuple[int, ...], n_channels: int) -> tuple[str, ...]:
        """Return the names of the channels of an embedding."""
        embedding = self.species_embedding
        if isinstance(embedding, PropertyChannels | LearnedEmbedding):
            return tuple(embedding.names(species))
        return tuple(f"channel{k + 1}" for k in range(n_channels))

    def _embedding(self) -> Any:
        """Return the embedding that is used: the one given, or the one that was learnt after it."""
        if isinstance(self.species_embedding, LearnedEmbedding):
            return getattr(self, "species_embedding_", self.species_embedding)
        return self.species_embedding
