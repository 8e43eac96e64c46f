"""How errors fall as a fit gets more structures: from the triangles of the folds, without making rows again."""

from __future__ import annotations

from atomprint.potentials.fitting.factors import Factors
from atomprint.potentials.fitting.prior import Hyperparameters, Prior
from atomprint.potentials.fitting.solver import solved
from atomprint.util.types import FloatArray


def growing_fits(factors: Factors, prior: Prior, hyper: Hyperparameters) -> list[FloatArray]:
    """Return the coefficients of fits to one fold, to two folds and so on, to all but the first.

    Parameters
    ----------
    factors : Factors
        Of the rows.
    prior : Prior
        Of the coefficients.
    hyper : Hyperparameters
        Of the fit to all rows, which is kept.

    Returns
    -------
    list of ndarray, each of shape (n_columns,)
        As many as there are folds but one, the smallest fit first.
    """
    triangle, found = factors.held(), []
    for parts in factors.parts[1:]:
        for part, sigma in zip(parts, hyper.sigmas, strict=True):
            triangle = part.added(triangle, 1 / sigma)
        found.append(solved(triangle.copy(order="F"), prior, hyper).coefficients)
    return found
