"""Which environments stand for all others: sparse points of a Gaussian process."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from atomprint.util.types import FloatArray

SELECTIONS = ("farthest", "cur", "random")

_SAME = 1e-12  # squared distance of normalised features that are the same but for rounding


def choose_points(features: FloatArray, n: int, selection: str, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return which of some environments become sparse points.

    Parameters
    ----------
    features : ndarray, shape (n_environments, n_components)
        Normalised features.
    n : int
        How many are wanted; there are fewer where others are the same as those.
    selection : {"farthest", "cur", "random"}
        Each the farthest from those before, from the one that is farthest from the mean on; or drawn by leverage,
        which is how much an environment has of the directions in which few others lie; or drawn at random.
    rng : Generator
        Source of what is drawn.

    Returns
    -------
    ndarray of int64
        Rows of the features.

    References
    ----------
    M. W. Mahoney and P. Drineas, Proc. Natl. Acad. Sci. 106, 697 (2009), for "cur".
    """
    if selection == "farthest":
        return _farthest(features, n)
    _, first = np.unique(features.round(10), axis=0, return_index=True)
    distinct: npt.NDArray[np.int64] = np.sort(first)
    if len(distinct) <= n:
        return distinct
    weights = None
    if selection == "cur":
        x = features[distinct]
        values, vectors = np.linalg.eigh(x.T @ x)
        kept = values > 1e-12 * values[-1]
        weights = np.square(x @ (vectors[:, kept] / np.sqrt(values[kept]))).sum(axis=1)
        weights = np.maximum(weights, 1e-6)  # that as many as are wanted can be drawn
        weights /= weights.sum()
    return np.sort(rng.choice(distinct, n, replace=False, p=weights))


def _farthest(features: FloatArray, n: int) -> npt.NDArray[np.int64]:
    # In single precision, which is enough to tell who is far, and half the way from memory.
    x = np.ascontiguousarray(features, dtype=np.float32)
    squares = np.einsum("if,if->i", x, x)
    mean = x.mean(axis=0)
    start = int(np.argmax(squares - 2 * (x @ mean)))
    nearest = np.full(len(x), np.inf, dtype=np.float32)
    chosen: list[int] = []
    while len(chosen) < min(n, len(x)):
        chosen.append(start)
        np.minimum(nearest, squares + squares[start] - 2 * (x @ x[start]), out=nearest)
        start = int(np.argmax(nearest))
        # Differences of numbers near 1 say nothing below 1e-6.
        if nearest[start] < 1e-6 and np.square(features[chosen] - features[start]).sum(axis=1).min() < _SAME:
            break
    return np.array(chosen)
