"""Structures of one formula that are within a tolerance of each other, without comparing each with each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
from scipy.spatial import KDTree

from atomprint.similarity.fingerprint import Fingerprint, differences, fingerprints, summaries
from atomprint.structures import Batch
from atomprint.util.types import FloatArray, Indices, Mask

_N_AXES = 12  # of the tree: the numbers that differ most
_BLOCK = 1 << 16  # pairs looked at together
_AT_ONCE = 64  # numbers of summaries
_KEPT = 1 << 28  # bytes of fingerprints that are kept for later comparisons

Accept: TypeAlias = Callable[[int, Indices], Mask]


class Near:
    """Structures of one reduced formula and periodicity, which are compared with each other.

    Summaries of fingerprints differ by no more than fingerprints, so that a tree of them finds all that may be near;
    only these are compared in full.

    Parameters
    ----------
    batch : Batch
        The structures, checked.
    tolerance : float
        In Å, see :meth:`~atomprint.similarity.Fingerprint.distance`.
    scale : bool
        Whether structures are brought to the same mean distance first.
    n_neighbours, n_threads : int
        As for :func:`~atomprint.similarity.fingerprints`.
    """

    def __init__(self, batch: Batch, tolerance: float, scale: bool, n_neighbours: int, n_threads: int) -> None:
        self._batch, self._tolerance, self._scale = batch, tolerance, scale
        self._n_neighbours, self._n_threads = n_neighbours, n_threads
        found = summaries(batch, n_neighbours, n_threads)
        lengths = np.array([each.length for each in found]) if scale else np.ones(len(found))
        self._numbers = np.stack([each.numbers.ravel() for each in found]) / lengths[:, None]
        order = np.argsort(-self._numbers.std(axis=0), kind="stable")
        self._numbers = np.ascontiguousarray(self._numbers[:, order])
        # Rounding of equal structures counts for nothing.
        self._reach = tolerance / lengths.min() * (1 + 1e-9) + 1e-9
        self._tree = KDTree(self._numbers[:, :_N_AXES])
        self._prints: dict[int, Fingerprint] = {}
        self._row_bytes = 8 * (n_neighbours + len(found[0].species))

    def pairs(self) -> Indices:
        """Return all pairs within the tolerance, ascending, the smaller index first; shape (n_pairs, 2)."""
        kept = [np.empty((0, 2), dtype=np.intp)]
        for start in range(0, len(self._numbers), 256):
            rows = np.arange(start, min(start + 256, len(self._numbers)))
            around = self._tree.query_ball_point(self._numbers[rows, :_N_AXES], self._reach, p=np.inf)
            first = np.repeat(rows, [len(each) for each in around])
            second = np.concatenate([np.asarray(each, dtype=np.intp) for each in around])
            candidates = np.stack([first, second], axis=1)[second > first]
            for at in range(0, len(candidates), _BLOCK):
                block = candidates[at : at + _BLOCK]
                kept.append(block[self._distances(block) <= self._tolerance])
        found = np.concatenate(kept)
        return found[np.lexsort(found.T[::-1])]

    def groups(self, accept: Accept | None = None) -> Iterator[tuple[Indices, FloatArray]]:
        """Yield groups that cover all: the first structure that is in none yet, and those within the tolerance of it.

        Parameters
        ----------
        accept : callable, optional
            Given a structure and others that are near to it, says which of these are the same, too.

        Yields
        ------
        members : ndarray of int
            Ascending: the first is what the others are near to.
        distances : ndarray of float64
            From it, in Å.
        """
        free = np.ones(len(self._numbers), dtype=bool)
        for first in range(len(self._numbers)):
            if not free[first]:
                continue
            around = np.array(self._tree.query_ball_point(self._numbers[first, :_N_AXES], self._reach, p=np.inf))
            around = np.sort(around[free[around] & (around > first)]).astype(np.intp)
            pairs = np.stack([np.full(len(around), first), around], axis=1)
            distances = self._distances(pairs)
            near = distances <= self._tolerance
            if accept is not None and near.any():
                near[near] = accept(first, around[near])
            members = np.concatenate([[first], around[near]])
            free[members] = False
            yield members, np.concatenate([[0.0], distances[near]])

    def _distances(self, pairs: Indices) -> FloatArray:
        """Return the distances of pairs, infinite where summaries say that they are too large."""
        out = np.full(len(pairs), np.inf)
        rows = np.arange(len(pairs))
        for start in range(0, self._numbers.shape[1], _AT_ONCE):
            one, other = (self._numbers[pairs[rows, side], start : start + _AT_ONCE] for side in (0, 1))
            rows = rows[(np.abs(one - other) <= self._reach).all(axis=1)]
        out[rows] = self._exact(pairs[rows])
        return out

    def _exact(self, pairs: Indices) -> FloatArray:
        if not len(pairs):
            return np.empty(0)
        wanted, places = np.unique(pairs, return_inverse=True)
        if len(pairs) > 1 and self._bytes(wanted) > _KEPT:
            middle = len(pairs) // 2
            return np.concatenate([self._exact(pairs[:middle]), self._exact(pairs[middle:])])
        return differences(self._described(wanted), places.reshape(-1, 2), self._scale, self._n_threads)

    def _described(self, structures: Indices) -> list[Fingerprint]:
        """Return the fingerprints of some structures, and keep them."""
        missing = [s for s in structures.tolist() if s not in self._prints]
        if self._bytes(np.array([*self._prints, *missing])) > _KEPT:
            self._prints.clear()
            missing = structures.tolist()
        if missing:
            found = fingerprints(self._batch.pick(missing), n_neighbours=self._n_neighbours, n_jobs=self._n_threads)
            self._prints.update(zip(missing, found, strict=True))
        return [self._prints[s] for s in structures.tolist()]

    def _bytes(self, structures: Indices) -> int:
        return int(self._batch.n_atoms[structures].sum()) * self._row_bytes
