"""What each feature is: counts, names and the place of every species, from one object for each descriptor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from ase.data import chemical_symbols


@dataclass(frozen=True)
class Block:
    """A run of consecutive features that belong to one combination of species (or channels).

    Parameters
    ----------
    key : tuple of str
        The species or channels, in the order in which the features hold them.
    labels : sequence of str
        What tells the features of the block apart, such as ``"n=1 n'=2 l=0"``.
    """

    key: tuple[str, ...]
    labels: Sequence[str]


class Layout:
    """The features of a descriptor, block by block.

    Parameters
    ----------
    prefix : str
        First part of every feature name.
    blocks : sequence of Block
        All blocks, in the order of the features.
    """

    def __init__(self, prefix: str, blocks: Sequence[Block]) -> None:
        self.prefix = prefix
        self.blocks = tuple(blocks)
        ends = np.cumsum([len(block.labels) for block in self.blocks])
        self._slices: Mapping[tuple[str, ...], slice] = {
            block.key: slice(int(end) - len(block.labels), int(end))
            for block, end in zip(self.blocks, ends, strict=True)
        }
        self.n_features = int(ends[-1])

    def names(self) -> npt.NDArray[np.object_]:
        """Return one name for each feature, such as ``"SOAP C-O n=1 n'=2 l=3"``."""
        return np.array(
            [
                " ".join(part for part in (self.prefix, "-".join(block.key), label) if part)
                for block in self.blocks
                for label in block.labels
            ],
            dtype=object,
        )

    def location(self, key: Sequence[Any]) -> slice:
        """Return the slice of features that belong to a combination of species, in either order.

        Raises
        ------
        ValueError
            If the descriptor has no features for this combination.
        """
        symbols = tuple(_symbol(item) for item in key)
        found = self._slices.get(symbols, self._slices.get(symbols[::-1]))
        if found is None:
            known = ", ".join("-".join(k) for k in list(self._slices)[:10])
            raise ValueError(f"species: no features for {'-'.join(symbols)}; there are features for {known}")
        return found


def _symbol(item: Any) -> str:
    if isinstance(item, str):
        return item
    if isinstance(item, int | np.integer) and 0 < item < len(chemical_symbols):
        return chemical_symbols[int(item)]
    raise ValueError(f"species must be chemical symbols or atomic numbers, got {item!r}")


def pair_keys(symbols: Sequence[str]) -> list[tuple[str, str]]:
    """Return all unordered pairs of symbols, first symbol first, in the order of the features."""
    return [(a, b) for i, a in enumerate(symbols) for b in symbols[i:]]


def symbols_of(numbers: Sequence[int]) -> tuple[str, ...]:
    """Return the chemical symbols of atomic numbers."""
    return tuple(chemical_symbols[z] for z in numbers)
