"""Blocks described by a Dask cluster, whose workers may die."""

from __future__ import annotations

import pickle
from functools import lru_cache
from pathlib import Path
from typing import Any

from atomprint.store.plan import RECORD, Plan
from atomprint.store.processes import Poisoned, WorkerDiedError
from atomprint.store.shard import Shard
from atomprint.store.work import Task, carry_out
from atomprint.util.extras import require

SCHEME = "dask:"
"""What the name of an executor begins with that is a cluster: ``dask:tcp://10.0.0.1:8786``, or a scheduler's file."""


class Dask(Poisoned):
    """Describes blocks on the workers of a Dask cluster, which must see the folder of the store.

    Parameters
    ----------
    store : Path
        The store, with its plan in it.
    address : str
        Of the scheduler, or the name of the file that it writes (``.json``).
    """

    def __init__(self, store: Path, address: str) -> None:
        distributed = require("distributed", "dask", "a Dask cluster")
        self.store = store.resolve()
        try:
            known = {"scheduler_file": address} if address.endswith(".json") else {"address": address}
            self._client = distributed.Client(**known, timeout=30, set_as_default=False)
        except OSError as error:
            raise OSError(f"there is no Dask scheduler at {address!r}: {error}") from error
        self._killed = distributed.KilledWorker
        # Twice as many as there are workers, so that the next block is at hand; they may come later, too.
        self.n_at_once = max(8, 2 * sum(self._client.ncores().values()))

    def ask(self, task: Task) -> Shard | None:
        """Have a task carried out by a worker; Dask gives it to another one where that dies."""
        # As bytes: arrays that Dask sends by itself lie anywhere in memory when they arrive, and may not be aligned.
        packed = pickle.dumps(task, protocol=4)
        future = self._client.submit(_carry_out, str(self.store), packed, pure=False)
        try:
            shard: Shard | None = future.result()
        except self._killed:
            raise WorkerDiedError("it kills the Dask worker that describes it") from None
        return shard

    def close(self) -> None:
        """Take leave of the cluster, which goes on."""
        self._client.close()


@lru_cache(maxsize=8)
def _prepared(store: str, digest: str) -> tuple[Plan, Any]:
    plan = Plan.read(Path(store))
    return plan, plan.transformer()


def _carry_out(store: str, packed: bytes) -> Shard | None:
    if not (Path(store) / RECORD).is_file():
        raise FileNotFoundError(f"a Dask worker does not see {store!r}: the store must be in a folder that all share")
    plan, transformer = _prepared(store, (Path(store) / RECORD).read_text(encoding="utf-8"))
    return carry_out(Path(store), plan, transformer, pickle.loads(packed))
