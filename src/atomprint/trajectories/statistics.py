"""Statistics of windows that move along a series, and the frames at which a series changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from atomprint.util.extras import require
from atomprint.util.types import FloatArray, Indices
from atomprint.util.validation import check_choice, check_integer, check_names, check_real

STATISTICS = ("mean", "std", "min", "max", "slope", "memory")
_CHUNK = 2**22  # numbers that are looked at once


def statistics_of(windows: FloatArray, statistics: Sequence[str]) -> FloatArray:
    """Return statistics over the last axis.

    Parameters
    ----------
    windows : ndarray, shape (..., n_frames)
        Values of each window.
    statistics : sequence of str
        Of :data:`STATISTICS`.

    Returns
    -------
    ndarray, shape (n_statistics, ...)
    """
    n = windows.shape[-1]
    found = np.empty((len(statistics), *windows.shape[:-1]))
    mean = windows.mean(axis=-1)
    for row, name in zip(found, statistics, strict=True):
        if name == "mean":
            row[...] = mean
        elif name in ("min", "max"):
            row[...] = windows.min(axis=-1) if name == "min" else windows.max(axis=-1)
        elif name == "std":
            row[...] = windows.std(axis=-1)
        elif name == "slope":
            times = np.arange(n) - (n - 1) / 2
            row[...] = windows @ (times / (times @ times if n > 1 else 1.0))
        else:
            row[...] = _memory(windows - mean[..., None], np.abs(mean))
    return found


def _memory(changes: FloatArray, size: FloatArray) -> FloatArray:
    """Return the correlation of neighbouring frames; 0 of what does not change."""
    total = (changes**2).sum(axis=-1)
    neighbours = (changes[..., 1:] * changes[..., :-1]).sum(axis=-1)
    known = total > changes.shape[-1] * (4 * np.finfo(np.float64).eps * size) ** 2
    return np.divide(neighbours, total, out=np.zeros_like(total), where=known)


def rolling(
    series: npt.ArrayLike, window: int, statistics: Sequence[str] = ("mean", "std"), *, step: int = 1
) -> FloatArray:
    """Return statistics of windows that move along a series.

    Parameters
    ----------
    series : array-like, shape (n_frames,) or (n_frames, n_features)
        Values of each frame.
    window : int
        Number of frames of a window.
    statistics : sequence of {"mean", "std", "min", "max", "slope", "memory"}
        ``"std"`` divides by the number of frames; ``"slope"`` is that of the best line, for each frame; ``"memory"``
        the correlation of neighbouring frames, between -1 and 1.
    step : int
        How many frames a window begins after the one before.

    Returns
    -------
    ndarray of float64, shape (n_windows, n_statistics) or (n_windows, n_statistics, n_features)
        Window k has the frames from k ``step`` on; there are none that are not full.

    Raises
    ------
    ValueError, TypeError
        If an argument is not usable, values are not finite, or there are less frames than a window has.

    Examples
    --------
    >>> from atomprint.trajectories import rolling
    >>> rolling([1.0, 2.0, 3.0, 5.0], 2, ["mean", "slope"])
    array([[1.5, 1. ],
           [2.5, 1. ],
           [4. , 2. ]])
    """
    values = np.asarray(series, dtype=np.float64)
    if values.ndim not in (1, 2):
        raise ValueError(f"series must have shape (n_frames,) or (n_frames, n_features), got {values.shape}")
    if not np.isfinite(values).all():
        frame = int(np.argmin(np.isfinite(values).reshape(len(values), -1).all(axis=1)))
        raise ValueError(f"series must be finite, got a value that is not in frame {frame}")
    check_integer("window", window, 1)
    check_integer("step", step, 1)
    names = check_names("statistics", statistics, STATISTICS)
    if len(values) < window:
        raise ValueError(f"window must not have more frames than the series, {len(values)}, got {window}")
    windows = np.lib.stride_tricks.sliding_window_view(values, window, axis=0)[::step]
    size = max(1, _CHUNK // max(1, int(np.prod(windows.shape[1:]))))
    parts = [statistics_of(windows[k : k + size], names) for k in range(0, len(windows), size)]
    return np.moveaxis(np.concatenate(parts, axis=1), 0, 1)


def change_points(
    series: npt.ArrayLike,
    n_changes: int | None = None,
    *,
    penalty: float | None = None,
    model: str = "l2",
    min_size: int = 2,
    jump: int = 1,
) -> Indices:
    """Return the frames at which a series begins to be another (extra ``changes``: ruptures).

    Parameters
    ----------
    series : array-like, shape (n_frames,) or (n_frames, n_features)
        Values of each frame. Features should have the same scale.
    n_changes : int, optional
        How many changes there are, which dynamic programming then puts where they fit best.
    penalty : float, optional
        What a change costs, where their number is not known (PELT): the squared differences from the means that it must
        save at least, with ``"l2"``. Default: 2 σ² d ln n, with the noise σ of differences between neighbouring frames,
        for d features; for models but ``"l2"`` it has to be given.
    model : {"l2", "l1", "rbf", "normal"}
        What changes: the mean; the median; the distribution; mean and covariances.
    min_size : int
        Least number of frames between changes.
    jump : int
        Only each so many frames can be one: 1 is exact and slow for thousands of frames.

    Returns
    -------
    ndarray of int
        First frame of each new regime, ascending.

    Raises
    ------
    ImportError
        If ruptures is not installed; the message names the extra.
    ValueError, TypeError
        If an argument is not usable.
    """
    values = np.asarray(series, dtype=np.float64)
    if values.ndim not in (1, 2) or not np.isfinite(values).all():
        got = values.shape if values.ndim not in (1, 2) else "values that are not"
        raise ValueError(f"series must have shape (n_frames,) or (n_frames, n_features) and be finite, got {got}")
    values = values.reshape(len(values), -1)
    check_choice("model", model, ("l2", "l1", "rbf", "normal"))
    check_integer("min_size", min_size, 1)
    check_integer("jump", jump, 1)
    if n_changes is not None and penalty is not None:
        raise ValueError(f"n_changes and penalty must not be given together, got {n_changes} and {penalty}")
    if n_changes is not None:
        check_integer("n_changes", n_changes, 1, max(1, len(values) // max(1, min_size) - 1))
    elif penalty is not None:
        check_real("penalty", penalty, above=0)
    elif model != "l2":
        raise ValueError(f"penalty must be given for model {model!r}: there is a default for 'l2' alone")
    if len(values) < 2 * min_size:
        raise ValueError(f"series must have 2 min_size frames at least, {2 * min_size}, got {len(values)}")
    ruptures: Any = require("ruptures", "changes", "change_points")
    if n_changes is not None:
        search = ruptures.Dynp(model=model, min_size=min_size, jump=jump).fit(values)
        found = search.predict(n_bkps=n_changes)
    else:
        # Differences between neighbours have twice the variance of noise, and few of them are changes.
        noise = np.median(np.abs(np.diff(values, axis=0)), axis=0) / (0.6745 * np.sqrt(2))
        cost = 2 * float((noise**2).sum()) * np.log(len(values)) if penalty is None else penalty
        if not cost > 0:
            raise ValueError("penalty must be given for a series whose neighbouring frames mostly are the same")
        found = ruptures.Pelt(model=model, min_size=min_size, jump=jump).fit(values).predict(pen=cost)
    return np.array(found[:-1], dtype=np.intp)
