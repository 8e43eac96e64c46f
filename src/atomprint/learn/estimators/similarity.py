"""Kernels between rows of features, as kernel models choose among them and compute them block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, solve_triangular
from sklearn.metrics import pairwise_distances
from sklearn.preprocessing import StandardScaler
from sklearn.utils import gen_batches
from sklearn.utils.validation import validate_data

from atomprint.util.beyond import beyond
from atomprint.util.draw import some_of
from atomprint.util.registry import public
from atomprint.util.types import Estimator, FloatArray, Indices, Samples, Targets
from atomprint.util.validation import check_choice, check_real


def _matern52(x: FloatArray) -> FloatArray:
    """Return (1 + r + r^2 / 3) exp(-r), r = sqrt(5) x; Rasmussen and Williams (2006), eq. 4.17."""
    r = np.sqrt(5) * x
    decay = np.exp(-r)
    r *= 1 + r / 3
    r += 1
    r *= decay
    return np.asarray(r)


# Distance between two rows of features, and similarity as a function of the distance in units of the length scale.
KERNELS: Mapping[str, tuple[str, Callable[[FloatArray], FloatArray]]] = MappingProxyType(
    {
        "rbf": ("euclidean", lambda x: np.asarray(np.exp(-0.5 * x**2))),
        "laplacian": ("manhattan", lambda x: np.asarray(np.exp(-x))),
        "matern52": ("euclidean", _matern52),
    }
)
SCALINGS = ("none", "standard")
_BLOCK_ENTRIES = 2**22  # 32 MiB of float64
_BLOCK_FEATURES = 2**24  # features that are scaled at once: 128 MiB
_BLOCK = 2048  # rows of a block of the Cholesky decomposition


@public("Similarity", version=1)
@dataclass(frozen=True, eq=False)
class Similarity:
    """A kernel with its parameters settled.

    Parameters
    ----------
    kernel : {"rbf", "laplacian", "matern52", "precomputed"}
        Which kernel; "precomputed" takes rows of a kernel matrix as they are.
    length_scale : float
        In units of ``unit``.
    unit : float
        Mean distance between the samples that it was settled with; for "precomputed" the mean similarity of a sample
        with itself, by which the matrix is divided.
    scaler : StandardScaler or None
        What features are divided by before.
    """

    kernel: str
    length_scale: float
    unit: float
    scaler: StandardScaler | None

    def scaled(self, X: Samples) -> Samples:
        """Return features as distances are measured between them."""
        return X if self.scaler is None else self.scaler.transform(X)

    def blocks(self, X: Samples, fitted: Estimator) -> Iterator[tuple[slice, FloatArray]]:
        """Yield the kernel between samples and the fitted ones (already scaled), some rows at a time.

        Parameters
        ----------
        X : array or sparse array, shape (n, n_features)
            Features, or rows of the kernel matrix.
        fitted : array or sparse array, shape (m, n_features)
            What :meth:`scaled` returned; not used for a precomputed kernel.

        Yields
        ------
        rows : slice
            Which of the samples.
        kernel : ndarray of float64, shape (len(rows), m)
        """
        precomputed = self.kernel == "precomputed"
        width = X.shape[1] if precomputed else fitted.shape[0]
        fitted = None if precomputed else fitted.astype(np.float64, copy=False)
        n_rows = min(_BLOCK_ENTRIES // width, _BLOCK_FEATURES // X.shape[1])
        for rows in gen_batches(X.shape[0], max(1, n_rows)):
            block = X[rows].astype(np.float64, copy=False)
            if precomputed:
                yield rows, block / self.unit
            else:
                metric, similarity = KERNELS[self.kernel]
                distances = pairwise_distances(self.scaled(block), fitted, metric=metric)
                distances /= self.length_scale * self.unit
                yield rows, similarity(distances)

    def parameters(self) -> dict[str, Any]:
        """Return what was settled, as models show it."""
        if self.kernel == "precomputed":
            return {"kernel": "precomputed"}
        scaling = "none" if self.scaler is None else "standard"
        return {"kernel": self.kernel, "length_scale": self.length_scale, "scaling": scaling}

    def matrix(self, X: Samples) -> FloatArray:
        """Return the kernel between all samples, shape (n, n), of features or of a precomputed kernel."""
        out = np.empty((X.shape[0], X.shape[0]))
        for rows, block in self.blocks(X, self.scaled(X)):
            out[rows] = block
        return out


def candidates(
    X: Samples, kernels: Sequence[str], length_scales: Sequence[float], scalings: Sequence[str]
) -> Iterator[tuple[Similarity, FloatArray]]:
    """Yield all choices of a kernel, and the kernel matrix between the rows of X that each gives."""
    if tuple(kernels) == ("precomputed",):
        X = np.asarray(X, dtype=np.float64)
        unit = float(np.mean(np.diagonal(X)))
        if not unit > 0:
            raise ValueError(f"a kernel matrix must have positive similarities on its diagonal, got a mean of {unit:g}")
        yield Similarity("precomputed", 1.0, unit, None), X / unit
        return
    for scaling in scalings:
        # Distances do not change with the mean, and sparse features stay sparse without it.
        scaler = StandardScaler(with_mean=False).fit(X) if scaling == "standard" else None
        scaled = (X if scaler is None else scaler.transform(X)).astype(np.float64, copy=False)
        for kernel in kernels:
            metric, similarity = KERNELS[kernel]
            distances = pairwise_distances(scaled, metric=metric)
            n = len(distances)
            unit = float(distances.sum() / (n * (n - 1))) or 1.0  # all samples alike: any scale will do
            for scale in length_scales:
                yield Similarity(kernel, float(scale), unit, scaler), similarity(distances / (scale * unit))


def try_candidates(
    X: Samples,
    kernels: Sequence[str],
    length_scales: Sequence[float],
    scalings: Sequence[str],
    is_better: Callable[[Similarity, FloatArray], bool],
) -> None:
    """Ask of each choice of a kernel, with its matrix, whether it is better than all before.

    If the length scale of the best is an end of those given, values beyond are tried, too, as long as they are better
    (:func:`~atomprint.util.beyond.beyond`).
    """
    best: Similarity | None = None
    for similarity, matrix in candidates(X, kernels, length_scales, scalings):
        if is_better(similarity, matrix):
            best = similarity
    if best is None or best.kernel == "precomputed":
        return
    scaling = "none" if best.scaler is None else "standard"
    for scale in beyond(length_scales, best.length_scale):
        if not all(is_better(*found) for found in candidates(X, [best.kernel], [scale], [scaling])):
            return


def check_candidates(kernels: Sequence[str], length_scales: Sequence[float], scalings: Sequence[str]) -> None:
    """Raise if choices of a kernel are not usable; the message names parameter, rule and value."""
    check_choices("kernels", kernels, lambda name, value: check_choice(name, value, (*KERNELS, "precomputed")))
    check_choices("length_scales", length_scales, lambda name, value: check_real(name, value, above=0))
    check_choices("scalings", scalings, lambda name, value: check_choice(name, value, SCALINGS))
    if "precomputed" in kernels and len(kernels) > 1:
        raise ValueError(f"kernels must not mix 'precomputed' with kernels of features, got {tuple(kernels)}")


def check_choices(name: str, choices: Iterable[Any], check: Callable[[str, Any], Any]) -> None:
    """Raise if there is no choice, or one of them is wrong."""
    if isinstance(choices, str) or not isinstance(choices, Sequence | np.ndarray):
        raise TypeError(f"{name} must be a sequence of choices, got {choices!r}")
    if len(choices) == 0:
        raise ValueError(f"{name} must hold at least one choice, got none")
    for choice in choices:
        check(name, choice)


def validated(model: Estimator, X: Samples, y: Targets) -> tuple[Any, FloatArray]:
    """Return the features, or the kernel matrix, and the targets that a model is given to fit, checked."""
    pairwise = "precomputed" in model.kernels
    sparse = False if pairwise else "csr"
    X, y = validate_data(
        model, X, y, accept_sparse=sparse, accept_large_sparse=False, y_numeric=True, ensure_min_samples=2
    )
    if pairwise and X.shape[0] != X.shape[1]:
        raise ValueError(f"a kernel matrix between samples must be square, got shape {X.shape}")
    return X, np.asarray(y, dtype=np.float64)


def part_of(X: Samples, rows: Indices | slice, pairwise: bool) -> Samples:
    """Return features of some samples, or the kernel between them."""
    return X[rows][:, rows] if pairwise else X[rows]


def subset(n: int, size: int, random_state: Any) -> Indices | slice:
    """Return ``size`` random samples of ``n`` in ascending order, or all of them if there are no more."""
    return slice(None) if n <= size else some_of(n, size, random_state)  # a slice copies nothing


def factorise(matrix: FloatArray) -> tuple[FloatArray, bool]:
    """Return the Cholesky factor of a positive definite matrix, for ``scipy.linalg.cho_solve``.

    Where rounding has made it indefinite, as little as needed is added to the diagonal. The matrix is overwritten: for
    20 000 samples it has 3 GB, and nobody wants two of them.
    """
    diagonal, jitter = np.diagonal(matrix).copy(), 0.0
    columns = matrix.T  # the same numbers, in the order of LAPACK
    while True:
        try:
            _factorise_blocks(columns)
            return columns, True
        except LinAlgError:
            jitter = 10 * jitter or 1e-14 * float(diagonal.max())
            if not jitter < float(diagonal.max()):
                raise
            for j in range(len(columns) - 1):  # the lower triangle is spoilt, the upper one is as it was
                columns[j + 1 :, j] = columns[j, j + 1 :]
            np.fill_diagonal(columns, diagonal + jitter)


def _factorise_blocks(matrix: FloatArray) -> None:
    """Replace the lower triangle by that of the Cholesky factor; the upper one, without the diagonal, stays as it is.

    Block after block (Golub and Van Loan, Matrix Computations, 4th ed., Johns Hopkins (2013), section 4.2.9), since
    OpenBLAS 0.3 crashes in ``dpotrf`` on several threads for matrices of more than about 18 000 rows.
    """
    n = len(matrix)
    for start in range(0, n, _BLOCK):
        stop = min(start + _BLOCK, n)
        own, _ = cho_factor(matrix[start:stop, start:stop], lower=True, check_finite=False)
        matrix[start:stop, start:stop] = own
        panel = solve_triangular(own, matrix[stop:, start:stop].T, lower=True, check_finite=False).T
        matrix[stop:, start:stop] = panel
        for first in range(stop, n, _BLOCK):
            last = min(first + _BLOCK, n)
            here = panel[first - stop : last - stop]
            matrix[first:last, first:last] -= np.tril(here @ here.T)
            matrix[last:, first:last] -= panel[last - stop :] @ here.T
