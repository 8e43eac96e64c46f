"""Pooling by channels of the centres' elements: which environments go with which kind of atom."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from atomprint.ragged import locate, offsets_of, owners, split, totals
from atomprint.structures import StructureError

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
        return replace(
            self,
            offsets=offsets - offsets[0],
            amounts=self.amounts[own],
            rows=self.rows[own],
        )

    @property
    def methods(self) -> tuple[str, ...]:
        """Reductions within each group: a weighted sum."""
        return ("sum",)

    @property
    def n_groups(self) -> int:
        """Number of groups of each structure: for each channel one for each method."""
        return self.table.shape[1] * len(self.kinds)

    @property
    def is_linear(self) -> bool:
        """Whether pooled features are weighted sums, with weights that do not depend on the features."""
        return True

    def weights(self) -> npt.NDArray[np.float64]:
        """Return the weight of each centre in each group, shape (n_centers, n_groups)."""
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
                parts.append(shares * (channels - np.repeat(means, counts, axis=0)))
        return np.stack(parts, axis=2).reshape(len(channels), -1)

    def matrix(self) -> sparse.csr_array:
        """Return the matrix that pools features, shape (n_structures * n_groups, n_centers)."""
        weights, counts = self.weights(), np.diff(self.offsets)
        # Each structure has a block of n_groups rows and as many columns as centres.
        indices = np.concatenate(
            [np.tile(rows, self.n_groups) for rows in split(np.arange(len(weights)), self.offsets)]
        )
        values = np.concatenate([own.T.ravel() for own in split(weights, self.offsets)])
        bounds = offsets_of(np.repeat(counts, self.n_groups))
        return sparse.csr_array((values, indices, bounds), shape=(len(self) * self.n_groups, len(weights)))

    def __call__(self, values: Any) -> Any:
        """Pool features.

        Parameters
        ----------
        values : ndarray or sparse array, shape (n_centers, n_features)
            Features of all centres.

        Returns
        -------
        ndarray or scipy.sparse.csr_array, shape (n_structures, n_groups * n_features)

        Raises
        ------
        ValueError
            If features are not finite, or too large to be added; the message names the structure.
        """
        dtype = values.dtype if values.dtype.kind == "f" else np.dtype(np.float64)
        given = sparse.csr_array(values) if sparse.issparse(values) else values
        with np.errstate(invalid="ignore", over="ignore"):  # what these would warn of is found below
            out = (self.matrix() @ given).reshape((len(self), -1)).astype(dtype)
        if sparse.issparse(out):
            out = sparse.csr_array(out)
        finite = np.isfinite(out.data if sparse.issparse(out) else out)
        if not finite.all():
            ends = out.indptr if sparse.issparse(out) else np.arange(len(self) + 1) * out.shape[1]
            s = locate(ends, int(np.argmin(finite)))[0]
            raise StructureError(s, None, "features must be finite, and their sum within range")
        return out

    def repeat(self, n: int) -> ChannelPlan:
        """Return the plan for ``n`` copies of all structures, one after the other."""
        ends = (np.arange(n)[:, None] * self.offsets[-1] + self.offsets[1:]).ravel()
        return replace(
            self,
            offsets=np.concatenate([[0], ends]),
            amounts=np.tile(self.amounts, n),
            rows=np.tile(self.rows, n),
        )

    def terms(
        self, values: npt.NDArray[Any] | None = None
    ) -> Iterator[tuple[npt.NDArray[np.int64], list[npt.NDArray[np.float64]]]]:
        """Yield for each group the derivatives of pooled features by the features of each centre.

        Yields
        ------
        groups : ndarray of int64, shape (n_centers,)
            Group, counted over all structures, to which a centre contributes.
        slopes : list of one ndarray of float64, shape (n_centers, 1)
            The derivative of the pooled features of this group.
        """
        weights = self.weights()
        structure = owners(self.offsets)
        for g in range(self.n_groups):
            yield structure * self.n_groups + g, [weights[:, g, None]]
