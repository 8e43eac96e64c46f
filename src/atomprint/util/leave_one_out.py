"""How much to regularise kernel ridge regression, by the errors of fits without each sample."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from atomprint.util.beyond import beyond
from atomprint.util.types import FloatArray

_LEAST = 1e-8  # of the mean similarity of a sample with itself: less is next to no regularisation


def leave_one_out(matrix: FloatArray, targets: FloatArray, alphas: Sequence[float]) -> tuple[float, float, FloatArray]:
    r"""Return the regularisation of kernel ridge regression with the smallest mean absolute leave-one-out error.

    Parameters
    ----------
    matrix : ndarray, shape (n, n)
        Kernel matrix.
    targets : ndarray of float64, shape (n,)
        Centred targets.
    alphas : sequence of float
        Regularisations; if the best is at an end, larger or smaller ones are tried, too (:func:`beyond`).

    Returns
    -------
    score, alpha : float
        The error, in the unit of the targets, and the regularisation.
    weights : ndarray of float64, shape (n,)
        The weights of the samples with it.

    Notes
    -----
    With :math:`G = (K + \alpha I)^{-1}` the errors are :math:`(G y)_i / G_{ii}`; C. E. Rasmussen and C. K. I. Williams,
    Gaussian Processes for Machine Learning, MIT Press (2006), eq. 5.12.
    """
    values, vectors = np.linalg.eigh(matrix)
    values = np.maximum(values, 0)  # rounding
    projected = vectors.T @ targets
    squares = vectors**2

    def judged(alpha: float) -> tuple[float, float, FloatArray]:
        inverse = 1 / (values + alpha)
        weights = vectors @ (inverse * projected)
        return float(np.mean(np.abs(weights / (squares @ inverse)))), alpha, weights

    best = min((judged(float(alpha)) for alpha in alphas), key=lambda found: found[0])
    for alpha in beyond(alphas, best[1], _LEAST * float(np.mean(np.diagonal(matrix)))):
        found = judged(alpha)
        if not found[0] < best[0]:
            break
        best = found
    return best
