"""A store that is open, with what looks at its rows together: those nearest to a structure, diverse ones, a map."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from atomprint.store.diverse import diverse
from atomprint.store.metric import SCALINGS, usual_scaling
from atomprint.store.opened import OpenStore
from atomprint.store.search import Searcher, asked_about
from atomprint.util.progress import Progress, silent
from atomprint.util.types import Indices
from atomprint.util.validation import check_bool, check_choice, check_integer

if TYPE_CHECKING:
    from atomprint.store.map import StoreMap

Where = str | npt.ArrayLike | None
"""A condition, see :meth:`FeatureStore.where`, or the numbers of rows or a mask of them; None is all rows."""

_CONDITIONS = 32  # that are remembered


class FeatureStore(OpenStore):
    """Structures, their features and what is known of them, in a folder that :func:`build_store` has made.

    Rows are numbered in the order of the names of their files, and in these as they come; those that could not be
    described have no number (:meth:`failures`). A store that is open does not change, whatever is added to its folder
    meanwhile.

    Examples
    --------
    >>> from atomprint.store import build_store
    >>> built = build_store("mine.store", "mine.csv", "SOAP", {"r_cut": 4.0, "n_max": 4, "l_max": 3})
    >>> store = FeatureStore.open("mine.store")
    >>> rows = store.where("band_gap > 4.7 and 'Cl' in elements")
    >>> store.table(["formula", "band_gap"], rows).to_pydict()
    {'formula': ['NaCl', 'KCl'], 'band_gap': [5.0, 5.1]}
    >>> store.features(rows).shape
    (2, 1624)
    """

    def search(
        self,
        query: Any,
        k: int = 10,
        *,
        where: Where = None,
        scaling: str | None = None,
        approximate: bool = False,
        progress: Progress = silent,
    ) -> Any:
        """Return the rows that are most like a structure.

        Rows are compared by 128 principal components, which are kept beside the shards and made anew or extended when
        the store has changed; those that may be nearest are then compared by all features, at least fifty.

        Parameters
        ----------
        query : structure, int, ndarray, or sequence of these
            A structure of any kind that descriptors take, or a file with one; a formula for a store of formulas; the
            number of a row, which is then not found itself; features, float, of shape (n_features,). Or several of one
            kind: structures, numbers, or features of shape (n_queries, n_features).
        k : int
            How many rows to find; fewer where fewer fulfil the condition.
        where : str or array, optional
            Rows that may be found: a condition, such as ``"gap > 1 and 'O' in elements and n_atoms < 20"``
            (:meth:`where`), their numbers, or a mask.
        scaling : {"unit", "standard", "none"}, optional
            How features are scaled before their Euclidean distance is taken: rows to unit length, which is the distance
            of the cosine kernel; columns by their standard deviation, for features of different units; or not at all.
            Default: ``"standard"`` for descriptors of compositions, ``NeighbourStatistics``, ``StructureStatistics``,
            ``SpaceGroup`` and descriptors of others, else ``"unit"``.
        approximate : bool
            Whether to look at a part of the rows only, by an inverted file of faiss (extra ``faiss``): for many
            millions of rows, of which all take 24 ms a million. What is found is not certain to be nearest then.
        progress : Progress
            Told how much of an index is made, where there is none.

        Returns
        -------
        Hits, or list of Hits for several queries

        Raises
        ------
        ValueError, TypeError
            If the query cannot be described, such as one with an element that the store does not know, or the condition
            cannot be read.
        """
        searcher = self.searcher(scaling, progress)
        k = check_integer("k", k, 1)
        among = None if where is None else self._among(where)
        asked = asked_about(searcher, query)
        found = searcher.nearest(asked, k, among, check_bool("approximate", approximate))
        return found[0] if asked.single else found

    def diverse(self, n: int, *, method: str = "farthest", where: Where = None, scaling: str | None = None) -> Indices:
        """Return rows that stand for all, such as those to compute first or to look at.

        Parameters
        ----------
        n : int
            How many; all where there are fewer.
        method : {"farthest", "cur"}
            ``"farthest"`` takes the row nearest to the mean, and then each that is farthest from all before: they cover
            the store, its outliers first. ``"cur"`` takes the row with most along the direction in which rows differ
            most, and goes on with what is left when its part is taken from all: together they make up the others as
            well as so few can. Both compare principal components, as :meth:`search` does.
        where, scaling
            As for :meth:`search`.

        Returns
        -------
        ndarray of int
            Numbers of rows in the order of choice: of a larger number the first are those of a smaller one.
        """
        return diverse(self.searcher(scaling).index, n, method, None if where is None else self._among(where))

    def map(
        self,
        *,
        method: str = "pca",
        where: Where = None,
        most: int | None = None,
        n_neighbours: int = 15,
        scaling: str | None = None,
    ) -> StoreMap:
        """Return places of rows on a map, on which those are near to each other that are alike; it writes files.

        Parameters
        ----------
        method : {"pca", "umap"}
            The first principal components, or UMAP of all of them (extra ``umap``), which keeps neighbours together and
            says nothing of what is far.
        most : int, optional
            Take no more rows, drawn at random with a fixed seed. Default: all.
        n_neighbours : int
            Of each row that UMAP looks at.
        where, scaling
            As for :meth:`search`.

        Returns
        -------
        StoreMap
        """
        from atomprint.store.map import make_map  # and with it plots

        rows = np.arange(len(self)) if where is None else self._among(where)
        return make_map(self, self.searcher(scaling).index, rows, method, most, n_neighbours)

    @cached_property
    def _searchers(self) -> dict[str, Searcher]:
        return {}

    @cached_property
    def _scaling(self) -> str:
        return usual_scaling(self.plan)

    @cached_property
    def _conditions(self) -> dict[str, Indices]:
        return {}

    def searcher(self, scaling: str | None = None, progress: Progress = silent) -> Searcher:
        """Return what searches the store, with its index; it is kept for as long as the store is open."""
        scaling = self._scaling if scaling is None else check_choice("scaling", scaling, SCALINGS)
        if scaling not in self._searchers:
            self._searchers[scaling] = Searcher(self, scaling, progress)
        return self._searchers[scaling]

    def _among(self, where: Where) -> Indices:
        """Return the numbers of rows that a condition, numbers or a mask name, ascending."""
        if not isinstance(where, str):
            return np.unique(self._numbers(np.asarray(where)))
        if where not in self._conditions:
            if len(self._conditions) >= _CONDITIONS:
                self._conditions.pop(next(iter(self._conditions)))
            self._conditions[where] = self.where(where)
        return self._conditions[where]
