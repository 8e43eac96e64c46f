"""Some items of a sequence that may be long, or slow to read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from atomprint.util.types import Indices


class Chosen(Sequence[Any]):
    """Some items of a sequence, which is asked for each only when it is wanted.

    Parameters
    ----------
    items : sequence
        All items.
    indices : ndarray of int
        Which of them, in which order.
    """

    def __init__(self, items: Sequence[Any], indices: Indices) -> None:
        self.items = items
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, key: Any) -> Any:
        chosen = self.indices[key]
        return Chosen(self.items, chosen) if isinstance(key, slice) else self.items[int(chosen)]


def pick_items(items: Any, indices: Indices) -> Any:
    """Return some items of a sequence: a list of them, what its own method ``pick`` gives, or a :class:`Chosen`."""
    if items is None:
        return None
    if isinstance(items, list | tuple):
        return [items[i] for i in indices]
    if hasattr(items, "pick") and (np.diff(indices) > 0).all():
        return items.pick(indices)
    if isinstance(items, Chosen):
        return Chosen(items.items, items.indices[indices])
    return Chosen(items, indices)
