"""How much each of several models counts, found from predictions of samples that they have not seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import linprog
from sklearn.utils import check_random_state

from atomprint.util.types import FloatArray, Indices

_NEGLIGIBLE = 0.05  # a smaller weight is not worth a fit
_N_HALVES = 20
_MAX_HALF = 5000  # samples
_TINY = 1e-12  # in place of a probability of 0, whose logarithm is not finite
_GAP = 1e-5  # of the mean log-likelihood, in nats
_MAX_STEPS = 2000


def calm_weights(best: Callable[[Indices], FloatArray], n: int, random_state: Any = None) -> FloatArray:
    """Return the mean of the weights that are best on random halves of the samples, without the negligible ones.

    The best weights on few samples are those of chance: all for one model, or something for one that harms. Halves that
    contradict each other average to weights between theirs, so that models that are equally good share, and one that
    helps on few halves is left out. This is subagging [1]_ of the weights; the models are fitted once.

    Parameters
    ----------
    best : callable
        Takes places of samples, and returns weights that are not negative and sum to 1.
    n : int
        Number of samples.
    random_state : int or RandomState, optional
        Seed of the halves, of up to 5000 samples.

    Returns
    -------
    ndarray of float64, shape (n_models,)
        Not negative, with the sum 1; weights below 0.05 are 0.

    References
    ----------
    .. [1] P. Bühlmann, B. Yu, "Analyzing bagging", Ann. Stat. 30, 927 (2002).
    """
    random, size = check_random_state(random_state), min(max(1, n // 2), _MAX_HALF)
    halves = [np.sort(random.permutation(n)[:size]) for _ in range(_N_HALVES)]
    mean = np.mean([best(half) for half in halves], axis=0)
    kept = np.where(mean >= min(_NEGLIGIBLE, mean.max()), mean, 0.0)
    return np.asarray(kept / kept.sum())


def absolute_error_weights(predictions: FloatArray, y: FloatArray) -> FloatArray:
    r"""Return the convex weights of models whose weighted mean has the least mean absolute error.

    With residuals *R* of samples and models they minimise :math:`\sum_i |\sum_m R_{im} w_m|`, a linear programme [1]_.
    Solved is its dual, :math:`\max_d \min_m (R^T d)_m` with :math:`|d_i| \le 1`, which has one row for each model and
    not for each sample: seconds for a hundred thousand samples. Weights for stacking that are not negative and sum to
    one are those of [2]_.

    Parameters
    ----------
    predictions : ndarray of float64, shape (n_models, n_samples)
        Predictions of samples that the models have not seen.
    y : ndarray of float64, shape (n_samples,)
        The truth.

    Returns
    -------
    ndarray of float64, shape (n_models,)
        Not negative, with the sum 1.

    References
    ----------
    .. [1] H. M. Wagner, "Linear programming techniques for regression analysis", J. Am. Stat. Assoc. 54, 206 (1959).
    .. [2] L. Breiman, "Stacked regressions", Mach. Learn. 24, 49 (1996).
    """
    n_models, n = predictions.shape
    residuals = predictions - y
    size = float(np.mean(np.abs(residuals)))
    if size == 0:  # nothing to choose
        return np.full(n_models, 1 / n_models)
    found = linprog(  # variables u, d: maximise u with u - (R^T d)_m <= 0
        np.r_[-1.0, np.zeros(n)],
        A_ub=np.column_stack([np.ones(n_models), -residuals / size]),
        b_ub=np.zeros(n_models),
        bounds=[(None, None), *[(-1.0, 1.0)] * n],
        method="highs",
    )
    if not found.success:
        raise RuntimeError(f"weights of models could not be found: {found.message}")
    weights = np.maximum(-np.asarray(found.ineqlin.marginals), 0)
    return np.asarray(weights / weights.sum())


def likelihood_weights(probabilities: FloatArray) -> FloatArray:
    r"""Return the convex weights of classifiers whose mixture makes the true classes most likely.

    They minimise the log loss of :math:`\sum_m w_m p_{mi}`, which is convex, by expectation maximisation [1]_:
    :math:`w_m` is multiplied by :math:`g_m`, the mean over samples of :math:`p_{mi} / \sum_k w_k p_{ki}`. No weights
    have a loss that is smaller by more than :math:`\max_m g_m - 1`, which says when to stop.

    Parameters
    ----------
    probabilities : ndarray of float64, shape (n_models, n_samples)
        Probability of the true class of samples that the models have not seen.

    Returns
    -------
    ndarray of float64, shape (n_models,)
        Not negative, with the sum 1.

    References
    ----------
    .. [1] A. P. Dempster, N. M. Laird, D. B. Rubin, "Maximum likelihood from incomplete data via the EM algorithm",
       J. R. Stat. Soc. B 39, 1 (1977), section 4.3.
    """
    p = np.maximum(probabilities, _TINY)
    weights = np.full(len(p), 1 / len(p))
    for _ in range(_MAX_STEPS):
        gains = np.asarray((p / (weights @ p)).mean(axis=1))
        if gains.max() - 1 < _GAP:
            break
        weights *= gains
    return weights
