"""Known materials: a store that is searched for what is like a structure."""

from __future__ import annotations

import logging
from pathlib import Path
from threading import Lock
from typing import Any

from ase import Atoms

from atomprint.service.problems import Problem
from atomprint.store import FeatureStore
from atomprint.store.shard import SHARDS
from atomprint.util.plain import plain
from atomprint.util.text import in_words

_log = logging.getLogger("atomprint.service")
_MOST_EXPLAINED = 10


class Known:
    """A store, opened and ready to be searched.

    Parameters
    ----------
    folder : Path
        Of the store. Its index is made at the start, if there is none.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no store, or nothing in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = Lock()  # a search leaves things in the store for the next
        self._stamp = self._seen = self._now()
        self._store = self._opened()

    def _now(self) -> int:
        """Return when shards were added or removed the last time."""
        try:
            return (self.folder / SHARDS).stat().st_mtime_ns
        except OSError:
            return 0

    def look(self) -> None:
        """Open the store anew if it has changed, and has not changed since the last look: a build is then done."""
        now, before = self._now(), self._seen
        self._seen = now
        if now == before and now != self._stamp:
            self._stamp = now
            self.reload()

    def _opened(self) -> FeatureStore:
        store = FeatureStore.open(self.folder)
        store.searcher()
        store.search(0, 1)  # what is made at the first search
        return store

    def reload(self) -> None:
        """Open the store anew, for rows that were added; requests that have the old one keep it."""
        try:
            self._store = self._opened()
        except Exception as error:  # the service goes on with what it has
            _log.error("the store was not opened anew, the old one stays: %s", in_words(error))

    def about(self) -> dict[str, Any]:
        """Return what is to be known of the store, in types of JSON."""
        store = self._store
        return {
            "rows": len(store),
            "descriptor": store.plan.descriptor,
            "parameters": plain(dict(store.plan.parameters)),
            "inputs": store.plan.inputs,
            "elements": list(store.plan.species),
            "columns": list(store.columns),
            "targets": list(store.targets),
        }

    def similar(self, item: Any, k: int, where: str | None, *, explain: bool) -> dict[str, Any]:
        """Return the rows that are most like a structure or a composition, in types of JSON.

        Raises
        ------
        Problem
            422 if it cannot be described as the store is, or the condition cannot be read.
        """
        store = self._store
        if store.plan.inputs == "structures" and not isinstance(item, Atoms):
            raise Problem(422, "the store has structures, and a formula is not enough to find what is like it")
        with self._lock:
            try:
                hits = store.search(item, k, where=where)
                rows = hits.table(store.summary).to_pylist()
                words = [
                    str(hits.explain(place)) if explain and place < _MOST_EXPLAINED else None
                    for place in range(len(hits))
                ]
            except (ValueError, TypeError) as error:
                raise Problem(422, str(error)[:1000]) from error
        neighbours = [
            {
                "id": str(row["id"]),
                "formula": row["formula"],
                "n_atoms": row.get("n_atoms"),
                "distance": float(distance),
                "targets": {name: plain(row[name]) for name in store.targets},
                "explanation": said,
            }
            for row, distance, said in zip(rows, hits.distances, words, strict=True)
        ]
        return {"in_words": self._in_words(store, len(neighbours), hits.exact), "neighbours": neighbours}

    def _in_words(self, store: FeatureStore, n: int, exact: bool) -> str:
        if not n:
            return "No material in the store fulfils the condition."
        rest = "" if exact else " Others may be as near: too many are about as far to compare them all."
        return (
            f"The {n} of {len(store):,} materials in the store that are most like it by {store.plan.descriptor}; "
            f"a distance of 0 is the same.{rest}"
        )
