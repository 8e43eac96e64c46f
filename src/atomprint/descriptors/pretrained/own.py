"""Functions of a user in the place of a pretrained network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from atomprint.descriptors.pretrained.network import Array, FloatArray, Pullback
from atomprint.structures import Batch
from atomprint.util.validation import check_integer, check_species


class OwnModel:
    """What a callable gives, checked.

    Parameters
    ----------
    given : callable
        See :class:`~atomprint.descriptors.PretrainedEmbedding`.

    Raises
    ------
    TypeError, ValueError
        If it does not say which layers it has.
    """

    package = ""
    of_crystals = False

    def __init__(self, given: Any) -> None:
        layers = getattr(given, "layers", None)
        if not isinstance(layers, Mapping) or not layers:
            raise TypeError(
                "model must have an attribute layers where it is a callable: the number of features of each of its "
                f"layers by name, such as {{'layer 1': 64, 'energy': 1}}, got {layers!r}"
            )
        for name, width in layers.items():
            if not isinstance(name, str) or not name.strip():
                raise TypeError(f"model.layers must have texts as names, got {name!r}")
            check_integer(f"model.layers[{name!r}]", width, 1)
        self._given = given
        self.layers: Mapping[str, int] = dict(layers)
        self.name = str(getattr(given, "name", None) or getattr(given, "__name__", type(given).__name__))
        elements = getattr(given, "elements", None)
        self.elements = None if elements is None else frozenset(check_species(elements))
        identity = getattr(given, "identity", None)
        self.identity = None if identity is None else str(identity)
        self.differentiable = callable(getattr(given, "vjp", None))

    def rows(self, batch: Batch, dtype: np.dtype[Any], n_threads: int) -> Array:
        """Return the features of all atoms."""
        found = np.asarray(self._given(batch))
        self._check("features", found, (len(batch.numbers), sum(self.layers.values())))
        return found

    def linearised(self, batch: Batch, dtype: np.dtype[Any], n_threads: int) -> tuple[Array, Pullback]:
        """Return the features of all atoms, and what makes derivatives of cotangents."""

        def pullback(cotangents: Array) -> tuple[FloatArray, FloatArray]:
            positions, strain = map(np.asarray, self._given.vjp(batch, cotangents))
            self._check("vjp by positions", positions, (len(batch.numbers), 3))
            self._check("vjp by strain", strain, (len(batch), 3, 3))
            return positions, strain

        return self.rows(batch, dtype, n_threads), pullback

    def _check(self, what: str, found: Array, shape: tuple[int, ...]) -> None:
        if found.shape != shape or found.dtype.kind not in "iuf":
            raise ValueError(
                f"model {self.name!r} must return numbers of shape {shape} as {what}, got shape {found.shape} of "
                f"{found.dtype}"
            )
        if not np.isfinite(found).all():
            raise ValueError(f"model {self.name!r} must return finite numbers as {what}")
