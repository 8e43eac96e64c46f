"""Correlations in time, by fast Fourier transforms, of series in memory and of streams."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from atomprint.util.types import FloatArray
from atomprint.util.validation import check_bool, check_integer

_CHUNK = 2**22  # numbers that are transformed at once


def autocorrelation(
    series: npt.ArrayLike, max_lag: int | None = None, *, subtract_mean: bool = True, normalized: bool = True
) -> FloatArray:
    r"""Return how a series is correlated with itself some frames later.

    :math:`C(\tau) = \frac{1}{n - \tau} \sum_{t < n - \tau} x_t x_{t + \tau}`, by Fourier transforms in n log n steps.

    Parameters
    ----------
    series : array-like, shape (n_frames,) or (n_frames, ...)
        What has a value, or an array of them, in each frame; axes but the first are series of their own.
    max_lag : int, optional
        Longest lag, in frames. Default: half of the frames.
    subtract_mean : bool
        Whether the mean over all frames is subtracted first.
    normalized : bool
        Whether the result is divided by its value at lag 0. A series that does not change, whose value is 0, has zeros.

    Returns
    -------
    ndarray of float64, shape (max_lag + 1, ...)

    Raises
    ------
    ValueError
        If there are less than two frames, values that are not finite, or a lag without pairs of frames.
    """
    values = _series(series)
    n = len(values)
    longest = n // 2 if max_lag is None else check_integer("max_lag", max_lag, 0, n - 1)
    mean = values.mean(axis=0)
    if check_bool("subtract_mean", subtract_mean):
        values = values - mean
    flat = np.ascontiguousarray(values.reshape(n, -1).T)
    found = np.empty((len(flat), longest + 1))
    for rows in _chunks(len(flat), n + longest):
        found[rows] = _correlated(flat[rows], flat[rows], longest)
    found /= n - np.arange(longest + 1)
    if check_bool("normalized", normalized):
        # What rounding leaves of a series that does not change is no fluctuation.
        smallest = n * (np.finfo(np.float64).eps * np.abs(mean).reshape(-1, 1)) ** 2
        changes = found[:, :1] > smallest
        found = np.divide(found, found[:, :1], out=np.zeros_like(found), where=changes)
    return found.T.reshape(longest + 1, *values.shape[1:])


def correlation_time(series: npt.ArrayLike) -> FloatArray:
    r"""Return after how many frames a series has forgotten its value.

    The integrated time :math:`\tau = \frac12 + \sum_{k=1}^{M} C(k)`, with the smallest window M >= 5 τ [1]_: n frames
    tell as much of the mean as n / 2 τ that do not depend on each other.

    Parameters
    ----------
    series : array-like, shape (n_frames,) or (n_frames, ...)
        As for :func:`autocorrelation`.

    Returns
    -------
    ndarray of float64, shape (...)
        In frames; 0.5 where frames do not depend on each other, nan where the series is shorter than 5 τ or does not
        change.

    References
    ----------
    .. [1] A. D. Sokal, in Functional Integration: Basics and Applications, Plenum, New York (1997) 131.
    """
    values = _series(series)
    correlated = autocorrelation(values, len(values) - 1)
    times = 0.5 + np.concatenate([np.zeros_like(correlated[:1]), np.cumsum(correlated[1:], axis=0)])
    windows = np.arange(len(times)).reshape(-1, *[1] * (values.ndim - 1))
    enough = windows >= 5 * times
    first = np.argmax(enough, axis=0)
    known = enough.any(axis=0) & (correlated[0] > 0)
    return np.where(known, np.take_along_axis(times, first[None], axis=0)[0], np.nan)


def _series(series: npt.ArrayLike) -> FloatArray:
    values = np.asarray(series, dtype=np.float64)
    if values.ndim == 0 or len(values) < 2:
        raise ValueError(f"series must have at least two frames along its first axis, got shape {values.shape}")
    if not np.isfinite(values).all():
        frame = int(np.argmin(np.isfinite(values).reshape(len(values), -1).all(axis=1)))
        raise ValueError(f"series must be finite, got {values[frame].tolist()} in frame {frame}"[:200])
    return values


def _correlated(origins: FloatArray, values: FloatArray, max_lag: int) -> FloatArray:
    """Return sums over t of origins[..., t] values[..., t + lag] for each lag; values beyond the last are zero."""
    from scipy.fft import irfft, next_fast_len, rfft

    length = next_fast_len(max(origins.shape[-1] + max_lag, values.shape[-1]), real=True)
    spectrum = np.conj(rfft(origins, length)) * rfft(values, length)
    return np.asarray(irfft(spectrum, length)[..., : max_lag + 1])


def _chunks(n_rows: int, length: int) -> list[slice]:
    """Return runs of rows of a length that are transformed together."""
    size = max(1, _CHUNK // max(1, length))
    return [slice(start, start + size) for start in range(0, n_rows, size)]


class Correlator:
    """Sums over all pairs of frames that are some lag apart, of a stream, with no more than 2 ``max_lag`` frames kept.

    Parameters
    ----------
    kind : {"product", "square"}
        Whether the scalar product of the vectors at both times is summed, or the square of their difference.
    max_lag : int
        Longest lag, in frames.
    shape : (int, int)
        Number of vectors of a frame, and of their components.
    """

    def __init__(self, kind: Literal["product", "square"], max_lag: int, shape: tuple[int, int]) -> None:
        self.kind, self.max_lag = kind, max_lag
        self.sums: FloatArray = np.zeros((max_lag + 1, shape[0]))
        self.counts: npt.NDArray[np.int64] = np.zeros(max_lag + 1, dtype=np.int64)
        self._kept = np.empty((*shape, max(2 * max_lag, 256)))
        self._filled = 0

    def add(self, vectors: FloatArray) -> None:
        """Add the next frame, an array of shape (n_vectors, n_components)."""
        self._kept[..., self._filled] = vectors
        self._filled += 1
        if self._filled == self._kept.shape[-1]:
            self._take(self._filled - self.max_lag)

    def finish(self) -> None:
        """Count the frames that are left as times to begin at."""
        while self._filled:
            self._take(min(self._filled, max(1, self._kept.shape[-1] - self.max_lag)))

    def _take(self, n_origins: int) -> None:
        """Count pairs whose first frame is one of the first that are kept, and forget these."""
        filled, lags = self._filled, np.arange(self.max_lag + 1)
        last = np.clip(filled - lags, 0, n_origins)  # so many first frames have a second one
        for rows in _chunks(len(self._kept), self._kept.shape[1] * (filled + self.max_lag)):
            values = self._kept[rows, :, :filled]
            if self.kind == "square":  # the same for other origins of space: near ones keep digits
                values = values - values[..., :1]
            found = _correlated(values[..., :n_origins], values, self.max_lag).sum(axis=1)
            if self.kind == "square":
                norms = np.zeros((len(values), filled + 1))
                np.cumsum((values**2).sum(axis=1), axis=1, out=norms[:, 1:])
                second = norms[:, np.minimum(lags + last, filled)] - norms[:, np.minimum(lags, filled)]
                found = norms[:, last] + second - 2 * found
            found[:, last == 0] = 0
            self.sums[:, rows] += found.T
        self.counts += last
        self._kept[..., : filled - n_origins] = self._kept[..., n_origins:filled]
        self._filled = filled - n_origins

    def means(self) -> FloatArray:
        """Return the mean over all pairs of frames for each lag and vector, shape (max_lag + 1, n_vectors)."""
        means = self.sums / self.counts[:, None]
        return np.maximum(means, 0) if self.kind == "square" else means
