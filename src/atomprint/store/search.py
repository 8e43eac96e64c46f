"""Rows of a store that are most like a structure: found by principal components, settled by all features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from atomprint.chemistry.contents import amounts_of, each_counted, is_composition
from atomprint.chemistry.smiles import Smiles
from atomprint.store.explain import Explainer, Explanation
from atomprint.store.index import SearchIndex
from atomprint.store.metric import Metric
from atomprint.store.opened import OpenStore
from atomprint.store.plan import fitted
from atomprint.store.where import elements_of
from atomprint.structures import Batch, as_batch
from atomprint.util.progress import Progress, silent
from atomprint.util.sparse import dense
from atomprint.util.types import Array, FloatArray, Indices

_REFINED = 50  # rows that are compared by all features, at least
_MOST = 2000  # at most
_RESCORED = 20_000  # rows whose components are compared once more, without rounding of large numbers
_ROUNDING = 1e-6  # of squared lengths, of float32
_TOGETHER = 16  # queries


@dataclass(frozen=True, eq=False)
class Hits:
    """Rows of a store that are most like a query, the nearest first.

    Parameters
    ----------
    searcher : Searcher
        What has found them.
    rows : ndarray of int, shape (n_hits,)
        Numbers of rows.
    distances : ndarray of float64, shape (n_hits,)
        Of all features, scaled as the search scales them.
    exact : bool
        Whether it is certain that no other row is nearer.
    query : ndarray of float64, shape (n_features,)
        Features of the query, as they are compared.
    elements : frozenset of str, optional
        Of the query, where they are known.
    row : int, optional
        Its number, if it is a row of the store.
    """

    searcher: Searcher
    rows: Indices
    distances: FloatArray
    exact: bool
    query: FloatArray
    elements: frozenset[str] | None = None
    row: int | None = None

    @property
    def store(self) -> OpenStore:
        """The store that they are rows of."""
        return self.searcher.store

    @property
    def metric(self) -> Metric:
        """How far rows are from each other."""
        return self.searcher.index.basis.metric

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def ids(self) -> list[str]:
        """Names of the rows."""
        return [str(name) for name in self.table(["id"]).column("id").to_pylist()]

    def table(self, columns: Sequence[str] | None = None) -> Any:
        """Return what is known of the rows, as a ``pyarrow.Table``; see :meth:`OpenStore.table`."""
        return self.store.table(columns, self.rows)

    def structures(self) -> Batch:
        """Return the structures of the rows."""
        return self.store.structures(self.rows)

    def explain(self, place: int = 0) -> Explanation:
        """Return what makes up the distance of a hit: which elements, pairs of these, shells and so on.

        Parameters
        ----------
        place : int
            Of the hit, from 0.
        """
        if not -len(self) <= place < len(self):
            raise IndexError(f"place must be of one of {len(self)} hits, got {place}")
        features = self.metric.apply(self.store.features(self.rows[[place]]))
        found = self.searcher.explainer(dense(features)[0] - self.query)
        asked, each = self._elements
        if asked is None:
            return found
        own = each[place]
        return replace(found, gained=tuple(sorted(own - asked)), lost=tuple(sorted(asked - own)))

    @cached_property
    def _elements(self) -> tuple[frozenset[str] | None, list[frozenset[str]]]:
        """Elements of the query, if they are known, and of each hit."""
        rows = [*self.rows.tolist(), *([] if self.row is None else [self.row])]
        each = [elements_of(formula) for formula in self.store.table(["formula"], rows).column("formula").to_pylist()]
        return self.elements if self.row is None else each.pop(), each


class Searcher:
    """Search in one store with one metric; made by :meth:`~atomprint.store.FeatureStore.search`.

    Parameters
    ----------
    store : OpenStore
        The store, with one row at least.
    scaling : str
        See :class:`~atomprint.store.metric.Metric`.
    progress : Progress
        Told how much of a new index is done.
    """

    def __init__(self, store: OpenStore, scaling: str, progress: Progress = silent) -> None:
        if not len(store):
            raise ValueError(f"{str(store.folder)!r} has no rows that could be found")
        self.store = store
        self.index = SearchIndex.of(store, scaling, progress)

    @cached_property
    def _transformer(self) -> Any:
        return self.store.plan.transformer()

    @cached_property
    def explainer(self) -> Explainer:
        """What says in words what makes up a distance."""
        return Explainer(self.store.plan.meanings())

    def describe(self, query: Any) -> tuple[Array, list[frozenset[str]]]:
        """Return the features of structures or formulas that are asked about, and their elements."""
        items = _items(query, self.store.plan.inputs)
        held = each_counted(items) if isinstance(items, Batch) else list(map(amounts_of, items))
        known = self.store.plan.species
        for place, amounts in enumerate(held):
            if foreign := [symbol for symbol in amounts if known and symbol not in known]:
                raise ValueError(
                    f"query {place} has {', '.join(foreign)}, which the store does not know: its elements are "
                    f"{', '.join(known)}"
                )
        return dense(fitted(self._transformer, items).transform(items)), list(map(frozenset, held))

    def nearest(self, asked: Asked, k: int, among: Indices | None = None, approximate: bool = False) -> list[Hits]:
        """Return the rows nearest to each of several queries.

        Parameters
        ----------
        asked : Asked
            The queries. What is a row of the store is not found itself.
        k : int
            How many rows for each.
        among : ndarray of int, optional
            The rows that may be found, ascending. Default: all.
        approximate : bool
            Whether to take what an inverted file gives, without looking at all rows.
        """
        found = []
        basis = self.index.basis
        for start in range(0, len(asked.features), _TOGETHER):
            part = asked.features[start : start + _TOGETHER]
            if not np.isfinite(part).all():
                raise ValueError("features of a query must be finite")
            queries, projected = basis.metric.apply(part), basis.project(part)
            bounds = None if approximate else self._bounds(projected, among)
            for at, query in enumerate(queries):
                row = None if asked.rows is None else int(asked.rows[start + at])
                if bounds is None:
                    rows, distances, exact = self._probed(query, projected[at], k, among, row)
                else:
                    own = np.ascontiguousarray(bounds[:, at])
                    if row is not None:
                        own[row if among is None else among == row] = np.inf
                    rows, distances, exact = self._settled(query, projected[at], own, k, among)
                elements = asked.elements[start + at]
                found.append(Hits(self, rows, distances, exact, query, elements, row))
        return found

    def _bounds(self, projected: FloatArray, among: Indices | None) -> Array:
        """Return about the squares of the distances of components, shape (n_rows, n_queries)."""
        components, squares = self.index.components, self.index.squares
        q = projected.astype(np.float32).T
        if among is None or 4 * len(among) > len(components):
            found = components @ np.ascontiguousarray(q)
            found, squares = (found, squares) if among is None else (found[among], squares[among])
        else:
            found, squares = components[among] @ np.ascontiguousarray(q), squares[among]
        found *= -2
        found += squares[:, None]
        found += np.einsum("cq,cq->q", q, q)
        return np.asarray(found)

    def _settled(
        self, query: FloatArray, projected: FloatArray, bounds: Array, k: int, among: Indices | None
    ) -> tuple[Indices, FloatArray, bool]:
        """Return the nearest rows by all features, given bounds of the squares of distances, but for rounding."""
        able = int(np.isfinite(bounds).sum())
        k, n = min(k, able), min(able, max(_REFINED, 2 * k))
        squares: dict[int, float] = {}  # of the distances of rows that have been compared by all features
        exact = True
        limit = float(np.partition(bounds, n - 1)[n - 1]) if k else -np.inf
        slack = _ROUNDING * float(projected @ projected + self.index.largest)
        while k:
            places = np.flatnonzero(bounds <= limit + slack)
            if len(places) > _RESCORED:
                exact, places = False, places[np.argpartition(bounds[places], _RESCORED)[:_RESCORED]]
            exact &= self._refine(query, projected, places if among is None else among[places], k, n, squares)
            worst = _kth(squares, k)
            if not exact or worst <= limit:
                break
            limit = worst  # rows with bounds below it may be nearer
        best = sorted(squares, key=lambda row: (squares[row], row))[:k]
        distances = np.sqrt([squares[row] for row in best])
        return np.array(best, dtype=np.intp), distances, exact

    def _probed(
        self, query: FloatArray, projected: FloatArray, k: int, among: Indices | None, own: int | None
    ) -> tuple[Indices, FloatArray, bool]:
        """Return rows that are about the nearest, of the candidates that an inverted file gives."""
        n = max(_REFINED, 4 * k)
        squares: dict[int, float] = {}
        if among is None or len(among):
            rows = self.index.inverted.nearest(projected, n + 1, among)
            self._refine(query, projected, rows if own is None else rows[rows != own], k, n, squares)
        best = sorted(squares, key=lambda row: (squares[row], row))[:k]
        return np.array(best, dtype=np.intp), np.sqrt([squares[row] for row in best]), False

    def _refine(
        self, query: FloatArray, projected: FloatArray, rows: Indices, k: int, n: int, squares: dict[int, float]
    ) -> bool:
        """Compare those of some rows by all features that may be among the nearest; return whether these were all."""
        away = np.sqrt(((self.index.components[rows] - projected) ** 2).sum(axis=1))
        rounding = 2e-7 * float(np.sqrt(projected @ projected) + np.sqrt(self.index.largest))
        order = np.argsort(away, kind="stable")
        rows, least = rows[order], np.maximum(away[order] - rounding, 0) ** 2
        for start in range(0, len(rows), n):
            worst = _kth(squares, k)
            if least[start] > worst:
                break
            if len(squares) >= max(_MOST, n):
                return False
            near = rows[start : start + n][least[start : start + n] <= worst]
            new = np.array([row for row in near.tolist() if row not in squares], dtype=np.intp)
            if len(new):
                difference = dense(self.index.basis.metric.apply(self.store.features(new))) - query
                squares |= zip(new.tolist(), np.einsum("rf,rf->r", difference, difference).tolist(), strict=True)
        return True


class Asked(NamedTuple):
    """What is asked about: features, elements if they are known, numbers if it is rows of the store, whether it is one.

    The shape of the features is (n_queries, n_features).
    """

    features: Array
    elements: Sequence[frozenset[str] | None]
    rows: Indices | None
    single: bool


def asked_about(searcher: Searcher, query: Any) -> Asked:
    """Return the features of what is asked about; see :meth:`~atomprint.store.FeatureStore.search`."""
    store = searcher.store
    if _are_rows(query):
        rows = np.atleast_1d(np.asarray(query, dtype=np.intp))
        if (wrong := (rows < 0) | (rows >= len(store))).any():
            raise IndexError(f"query must be a row in 0..{len(store) - 1}, got {rows[wrong][0]}")
        return Asked(dense(store.features(rows)), [None] * len(rows), rows, np.ndim(query) == 0)
    if isinstance(query, np.ndarray) and query.dtype.kind == "f":
        if query.ndim not in (1, 2) or query.shape[-1] != store.n_features:
            shape = f"({store.n_features},) or (n_queries, {store.n_features})"
            raise ValueError(f"features of a query must have shape {shape}, got {query.shape}")
        features = np.atleast_2d(query)
        return Asked(features, [None] * len(features), None, query.ndim == 1)
    features, elements = searcher.describe(query)
    return Asked(features, elements, None, len(features) == 1 and not isinstance(query, list | tuple))


def _are_rows(query: Any) -> bool:
    if isinstance(query, np.ndarray):
        return query.dtype.kind in "iu"
    if isinstance(query, list | tuple | range):
        return len(query) > 0 and all(isinstance(item, int | np.integer) for item in query)
    return isinstance(query, int | np.integer) and not isinstance(query, bool)


def _items(query: Any, inputs: str) -> Any:
    """Return structures as a batch, or molecules or formulas as a list."""
    if inputs == "molecules":
        return [Smiles(one) for one in ([query] if isinstance(query, str) else query)]
    if inputs == "compositions":
        return [query] if is_composition(query) else list(query)
    return as_batch(query, periodic=None)


def _kth(squares: dict[int, float], k: int) -> float:
    return float(np.partition(list(squares.values()), k - 1)[k - 1]) if len(squares) >= k else np.inf
