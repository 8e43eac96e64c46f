"""How much to regularise kernel ridge regression, by the errors of fits without each sample."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from atomprint.util.types import FloatArray


def leave_one_out(matrix: FloatArray, targets: FloatArray, alphas: Sequence[float]) -> tuple[float, float, FloatArray]:
    r"""Return the regularisation of kernel ridge regression with the smallest mean absolute leave-one-out error.

    Parameters
    ----------
    matrix : ndarray, shape (n, n)
        Kernel matrix.
    targets : ndarray of float64, shape (n,)
        Centred targets.
    alphas : sequence of float
        Regularisations.

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
    best = (np.inf, float(alphas[0]), targets)
    for alpha in alphas:
        inverse = 1 / (values + alpha)
        weights = vectors @ (inverse * projected)
        score = float(np.mean(np.abs(weights / (vectors**2 @ inverse))))
        if score < best[0]:
            best = (score, float(alpha), weights)
    return best
