"""Pooling by channels of the centres' elements: which environments go with which kind of atom."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from atomprint.pooling.weights import Entries, RowWeights, check_finite
from atomprint.ragged import offsets_of, totals
from atomprint.util.rounding import LEFT_OF_CANCELLING

CHANNEL_METHODS = ("mean", "sum", "covariance")


@dataclass(frozen=True, slots=True)
class ChannelPlan:
    """A pooling by channels made ready for given centres, before their features exist.

    All pooled features are weighted sums over the centres of a structure, for each channel and method with weights of
    its own. Weights of single centres are made for the structures at hand only: with many channels all of them would
    take more memory than the features.

    Parameters
    ----------
    kinds : tuple of str
        "mean", "sum", "covariance".
    offsets : ndarray of int, shape (n_structures + 1,)
        Structure ``s`` owns the rows ``offsets[s]`` to ``offsets[s + 1]``.
    amounts : ndarray of float64, shape (n_centers,)
        Weights of the centres, whatever their element.
    rows : ndarray of int, shape (n_centers,)
        Row of each centre's element in the table.
    table : ndarray of float64, shape (n_species, n_channels)
        Channels of the elements.
    """

    kinds: tuple[str, ...]
    offsets: npt.NDArray[np.integer[Any]]
    amounts: npt.NDArray[np.float64]
    rows: npt.NDArray[np.integer[Any]]
    table: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, structures: slice) -> ChannelPlan:
        """Return the plan for a run of consecutive structures."""
        start, stop, _ = structures.indices(len(self))
        offsets = self.offsets[start : stop + 1]
        own = slice(offsets[0], offsets[-1])
        return replace(self, offsets=offsets - offsets[0], amounts=self.amounts[own], rows=self.rows[own])

    @property
    def n_rows(self) -> int:
        """Number of pooled rows of each structure: for each channel one for each method."""
        return self.table.shape[1] * len(self.kinds)

    @property
    def is_linear(self) -> bool:
        """Whether pooled features are weighted sums, with weights that do not depend on the features."""
        return True

    def row_weights(self) -> RowWeights:
        """Return the pooling as a sparse matrix."""
        channels = self.table[self.rows]
        counts = np.diff(self.offsets)
        shares = (self.amounts / np.repeat(totals(self.amounts, self.offsets), counts))[:, None]
        parts = []
        for kind in self.kinds:
            if kind == "sum":
                parts.append(self.amounts[:, None] * channels)
            elif kind == "mean":
                parts.append(shares * channels)
            else:
                means = totals(shares * channels, self.offsets)
                deviations = channels - np.repeat(means, counts, axis=0)
                deviations[np.abs(deviations) < LEFT_OF_CANCELLING * np.abs(channels).max()] = 0  # all of one element
                parts.append(shares * deviations)
        weights = np.stack(parts, axis=2).reshape(len(channels), -1)
        centers, rows = np.nonzero(weights)
        offsets = offsets_of(np.count_nonzero(weights, axis=1))
        return RowWeights(offsets, rows, weights[centers, rows], self.n_rows)

    def __call__(self, values: Any) -> Any:
        """Pool features.

        Parameters
        ----------
        values : ndarray or sparse array, shape (n_centers, n_features)
            Features of all centres.

        Returns
        -------
        ndarray or scipy.sparse.csr_array, shape (n_structures, n_rows * n_features)

        Raises
        ------
        ValueError
            If features are not finite, or too large to be added; the message names the structure.
        """
        out = self.row_weights().pool(values, self.offsets)
        check_finite(out)
        return out

    def repeat(self, n: int) -> ChannelPlan:
        """Return the plan for ``n`` copies of all structures, one after the other."""
        ends = (np.arange(n)[:, None] * self.offsets[-1] + self.offsets[1:]).ravel()
        return replace(
            self, offsets=np.concatenate([[0], ends]), amounts=np.tile(self.amounts, n), rows=np.tile(self.rows, n)
        )

    def entries(self, values: Any = None) -> Iterator[Entries]:
        """Yield the derivatives of pooled features, which do not depend on these."""
        yield self.row_weights().entries()
