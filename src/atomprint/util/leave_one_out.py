"""How much to regularise kernel ridge regression, by the errors of fits without each sample."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from atomprint.util.beyond import beyond
from atomprint.util.types import FloatArray, Indices

_LEAST = 1e-8  # of the mean similarity of a sample with itself: less is next to no regularisation


def leave_one_out(
    matrix: FloatArray, targets: FloatArray, alphas: Sequence[float], together: Indices | None = None
) -> tuple[float, float, FloatArray]:
    r"""Return the regularisation of kernel ridge regression with the smallest mean absolute leave-one-out error.

    Parameters
    ----------
    matrix : ndarray, shape (n, n)
        Kernel matrix.
    targets : ndarray of float64, shape (n,)
        Centred targets.
    alphas : sequence of float
        Regularisations; if the best is at an end, larger or smaller ones are tried, too (:func:`beyond`).
    together : ndarray of int, shape (n,), optional
        Labels; samples with the same one are left out together.

    Returns
    -------
    score, alpha : float
        The error, in the unit of the targets, and the regularisation.
    weights : ndarray of float64, shape (n,)
        The weights of the samples with it.

    Notes
    -----
    With :math:`G = (K + \alpha I)^{-1}` the errors are :math:`(G y)_i / G_{ii}`, of several samples left out together
    :math:`G_{ss}^{-1} (G y)_s`; C. E. Rasmussen and C. K. I. Williams,
    Gaussian Processes for Machine Learning, MIT Press (2006), eq. 5.12.
    """
    values, vectors = np.linalg.eigh(matrix)
    values = np.maximum(values, 0)  # rounding
    projected = vectors.T @ targets
    squares = vectors**2
    several = [] if together is None else _several(together)

    def judged(alpha: float) -> tuple[float, float, FloatArray]:
        inverse = 1 / (values + alpha)
        weights = vectors @ (inverse * projected)
        errors = weights / (squares @ inverse)
        for some in several:
            errors[some] = np.linalg.solve((vectors[some] * inverse) @ vectors[some].T, weights[some])
        return float(np.mean(np.abs(errors))), alpha, weights

    best = min((judged(float(alpha)) for alpha in alphas), key=lambda found: found[0])
    for alpha in beyond(alphas, best[1], _LEAST * float(np.mean(np.diagonal(matrix)))):
        found = judged(alpha)
        if not found[0] < best[0]:
            break
        best = found
    return best


def _several(labels: Indices) -> list[Indices]:
    """Return the places of each label that there is more than once."""
    order = np.argsort(labels, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    return [part for part in parts if len(part) > 1]
