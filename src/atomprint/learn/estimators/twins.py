"""Samples that are twice among those of a fit, which say nothing of how well one is predicted from others."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from atomprint.util.types import FloatArray, Indices, Samples

_FEATURES, _TARGET = 1e-5, 1e-3  # how far twins may be apart, in units of the spread of samples


def twins(X: Samples, targets: FloatArray) -> Indices | None:
    """Return which samples are one and the same, such as atoms of a crystal that symmetry makes equivalent.

    Parameters
    ----------
    X : array or sparse array of shape (n_samples, n_features)
        Features.
    targets : ndarray of float64, shape (n_samples,)
        Targets. Samples that differ in these alone, such as two polymorphs with one composition, are not the same.

    Returns
    -------
    ndarray of int, shape (n_samples,), or None
        Labels, the same for twins; None if all samples are different.
    """
    n = X.shape[0]
    dense = X.toarray() if sparse.issparse(X) else np.asarray(X)
    dense = np.asarray(dense, dtype=np.float64)
    center = dense.mean(axis=0)
    spread = float(np.sqrt(((dense - center) ** 2).sum(axis=1).mean()))
    step = _TARGET * float(targets.std())
    # Twins are next to each other in the order of any one number that features make.
    one = (dense - center) @ np.random.default_rng(0).normal(size=dense.shape[1])
    order = np.argsort(one, kind="stable")
    labels = np.arange(n)
    reach = 4 * _FEATURES * spread
    for place, row in enumerate(order):
        if labels[row] != row:
            continue
        for other in order[place + 1 :]:
            if one[other] - one[row] > reach:
                break
            close = np.linalg.norm(dense[other] - dense[row]) <= _FEATURES * spread
            if close and abs(targets[other] - targets[row]) <= step:
                labels[other] = labels[row]
    return labels if len(np.unique(labels)) < n else None
