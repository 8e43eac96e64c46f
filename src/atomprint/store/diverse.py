"""Rows that stand for all of a store: each far from those before, or each with what those before lack."""

from __future__ import annotations

import numpy as np

from atomprint.pooling.sampling import farthest_of
from atomprint.store.index import SearchIndex
from atomprint.util.types import Array, FloatArray, Indices
from atomprint.util.validation import check_choice, check_integer

METHODS = ("farthest", "cur")
_NOTHING = 1e-6  # of the largest length: what is left of a row that is a combination of others, but for rounding


def diverse(index: SearchIndex, n: int, method: str, among: Indices | None) -> Indices:
    """Return rows in the order of choice; see :meth:`~atomprint.store.FeatureStore.diverse`."""
    n = check_integer("n", n, 1)
    check_choice("method", method, METHODS)
    x, squares = index.components, index.squares
    if among is not None:
        x, squares = x[among], squares[among]
    if not len(x):
        return np.empty(0, dtype=np.intp)
    n = min(n, len(x))
    chosen = _farthest(x, squares, n) if method == "farthest" else _cur(x, n)
    return chosen if among is None else among[chosen]


def _farthest(x: Array, squares: Array, n: int) -> Indices:
    """Choose by distance, beginning with the row nearest to the mean."""

    def away(row: int, nearest: FloatArray) -> FloatArray:
        found = squares - 2 * (x @ x[row])
        found += squares[row]
        return np.maximum(found, 0).astype(np.float64)

    return farthest_of(len(x), n, int(np.argmin(squares)), away).astype(np.intp)


def _cur(x: Array, n: int) -> Indices:
    """Choose by leverage, as G. Imbalzano et al., J. Chem. Phys. 148, 241730 (2018).

    Each row is that with the largest part along the direction in which rows differ most, once what the rows before
    have is taken from all. Where nothing is left, it begins again with the rows that are not chosen.
    """
    gram = np.zeros((x.shape[1], x.shape[1]))
    for start in range(0, len(x), 1 << 14):
        part = x[start : start + (1 << 14)].astype(np.float64)
        gram += part.T @ part
    scale = float(np.sqrt(np.trace(gram)))
    free = np.ones(len(x), dtype=bool)
    left = np.eye(len(gram))  # projects on what the chosen rows of this round do not have
    rest = gram
    chosen: list[int] = []
    while len(chosen) < n:
        values, vectors = np.linalg.eigh(left @ rest @ left)
        if values[-1] <= (_NOTHING * scale) ** 2:
            if np.trace(left) == len(gram):  # equal rows, of which none has anything to itself
                chosen += np.flatnonzero(free)[: n - len(chosen)].tolist()
                break
            left = np.eye(len(gram))
            own = x[np.array(chosen)].astype(np.float64)
            rest = gram - own.T @ own
            continue
        score = np.abs(x @ vectors[:, -1].astype(np.float32))
        score[~free] = -1
        row = int(np.argmax(score))
        chosen.append(row)
        free[row] = False
        direction = left @ x[row].astype(np.float64)
        length = float(np.linalg.norm(direction))
        if length > 0:
            left = left - np.outer(direction, direction) / length**2
    return np.array(chosen, dtype=np.intp)
