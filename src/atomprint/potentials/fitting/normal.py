"""Fits without each fold by normal equations, for the choice of hyperparameters alone.

A trial of sigmas and priors costs ``K^3 / 3`` for each fold, a quarter of what merging triangles does. Squares of
columns lose half of the digits, which is enough to compare errors: columns are taken in units of the prior, in which
what it adds to the diagonal is above what rounding takes away, and the few directions in which energies vary most (all
are about the same multiple of the number of atoms) are merged as rows. Where it is not, triangles are merged after all
(:func:`~atomprint.potentials.fitting.solver.solve`), as they always are for coefficients that are kept.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from atomprint.potentials.fitting.factors import ENERGY, FORCES, STRESS, Factors, Part, merged, unpacked
from atomprint.potentials.fitting.prior import Hyperparameters, Prior
from atomprint.util.types import FloatArray

_LARGEST = 8  # directions of the rows of energies of a fold
_SMALLEST = 2e-14  # of a square, that what is left of it by all other columns may be: rounding leaves 1e-15

Chosen = npt.NDArray[np.int64] | None
"""Ascending columns that there are, or None for all."""


class NormalEquations:
    """Squares of the rows of each fold, in units of the prior.

    Parameters
    ----------
    factors : Factors
        Of the rows.
    prior : Prior
        Of the coefficients.
    sigma_forces, sigma_stress : float
        The same in all fits.
    """

    def __init__(self, factors: Factors, prior: Prior, sigma_forces: float, sigma_stress: float) -> None:
        self._prior, self._n = prior, factors.n_columns
        self._rest: list[FloatArray] = []
        self._energies: list[tuple[FloatArray, FloatArray]] = []
        for parts in factors.parts:
            rest = np.zeros((self._n + 1, self._n + 1), order="F")
            for kind, sigma in ((FORCES, sigma_forces), (STRESS, sigma_stress)):
                rows = self._rows(parts[kind])
                rows *= 1 / sigma
                _add_squares(rest, rows, 1.0)
            self._rest.append(rest)
            self._energies.append(_parted(self._rows(parts[ENERGY])))
        held = factors.held()
        prior.to_units(held)
        self._held = np.zeros_like(held)
        _add_squares(self._held, held, 1.0)

    def coefficients(self, hyper: Hyperparameters, without: int, chosen: Chosen = None) -> FloatArray | None:
        """Return the least squares of the rows of all folds but one; None where rounding has its way.

        Parameters
        ----------
        hyper : Hyperparameters
            Of the fit; sigmas of forces and stresses are those given before.
        without : int
            The fold.
        chosen : ndarray of int64, optional
            Columns that there are, ascending; coefficients of others are zero. Default: all.
        """
        from scipy.linalg import lapack, solve_triangular

        own = np.arange(self._n) if chosen is None else chosen
        kept = np.append(own, self._n)
        n, weight = len(own), 1 / hyper.sigma_energy
        squares = np.array(self._held if chosen is None else self._held[np.ix_(kept, kept)], order="F")
        merging = []
        for fold, (few, most) in enumerate(self._energies):
            if fold != without:
                squares += self._rest[fold] if chosen is None else self._rest[fold][np.ix_(kept, kept)]
                if len(most) > self._n:
                    squares += weight**2 * (most if chosen is None else most[np.ix_(kept, kept)])
                else:
                    _add_squares(squares, most if chosen is None else np.asfortranarray(most[:, kept]), weight**2)
                merging.append(weight * few[:, kept])
        squares[np.arange(n), np.arange(n)] += self._prior.diagonal(hyper)[own] ** 2
        squares[n, n] = 1 + 2 * squares[n, n]  # does not matter, but that rounding is not to make it negative
        sizes = np.diag(squares)[:n].copy()
        triangle, info = lapack.dpotrf(squares, overwrite_a=True, clean=False)
        if info != 0 or (np.diag(triangle)[:n] ** 2 < _SMALLEST * sizes).any():
            return None
        triangle = merged(triangle, np.asfortranarray(np.concatenate(merging)), 0)
        found = np.zeros(self._n)
        found[own] = solve_triangular(triangle[:n, :n], triangle[:n, n], check_finite=False)
        return self._prior.from_units(found)

    def _rows(self, part: Part) -> FloatArray:
        """Return rows, or the triangle of them, in units of the prior."""
        rows = np.array(part.array, order="F") if part.array.ndim == 2 else unpacked(part.array)
        self._prior.to_units(rows)
        return rows


def _parted(rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return rows that have the same squares: a few that are by far the largest, and the others.

    Where these are many, in their place the products of their columns: K + 1 rows.
    """
    count = min(_LARGEST, len(rows))
    directions = np.random.default_rng(0).standard_normal((rows.shape[1], count))
    for _ in range(2):
        left = np.linalg.qr(rows @ directions)[0]
        few = left.T @ rows
        directions = few.T
    rows -= left @ few
    if len(rows) <= rows.shape[1] // 2:
        return few, rows
    squares = np.zeros((rows.shape[1], rows.shape[1]), order="F")
    _add_squares(squares, rows, 1.0)
    return few, squares


def _add_squares(out: FloatArray, rows: FloatArray, factor: float) -> None:
    """Add the products of all columns of rows, or of an upper triangle, to the upper triangle of ``out``."""
    from scipy.linalg import blas, lapack

    if len(rows) == rows.shape[1] and not np.tril(rows, -1).any():
        # LAPACK has U U^T: with rows and columns in reverse order that of R^T is U.
        found, info = lapack.dlauum(np.asfortranarray(rows[::-1, ::-1].T), lower=0, overwrite_c=True)
        assert info == 0
        out += factor * np.triu(found)[::-1, ::-1].T
    elif len(rows):
        blas.dsyrk(factor, rows, beta=1.0, c=out, trans=1, overwrite_c=True)
