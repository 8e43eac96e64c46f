"""What is chosen besides coefficients, and the prior of these that follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from atomprint.potentials.fitting.factors import merged, no_rows
from atomprint.util.types import FloatArray


@dataclass(frozen=True)
class Hyperparameters:
    """What is chosen besides the coefficients.

    Parameters
    ----------
    sigma_energy : float
        Of an energy in eV, for each square root of an atom.
    sigma_forces : float
        Of a component of a force, in eV/Å.
    sigma_stress : float
        Of a component of a stress, in eV/Å^3.
    regularisation : float
        Factor of the prior.
    power : float
        The prior of a function grows with this power of 1 + its degree.
    """

    sigma_energy: float
    sigma_forces: float
    sigma_stress: float
    regularisation: float
    power: float

    @property
    def sigmas(self) -> tuple[float, float, float]:
        """Of energies, forces and stresses."""
        return self.sigma_energy, self.sigma_forces, self.sigma_stress


class Prior:
    """How large coefficients may be, from how fast their functions vary.

    Parameters
    ----------
    degrees : ndarray, shape (n_columns,)
        Of the functions.
    scales : ndarray, shape (n_columns,)
        By which coefficients are multiplied before they are compared: the rms of the forces of each function.
    blocks : sequence of (int, ndarray)
        First column and rows of priors that are given as such, in place of degrees.
    """

    def __init__(self, degrees: FloatArray, scales: FloatArray, blocks: Sequence[tuple[int, FloatArray]] = ()) -> None:
        self.degrees, self.scales = degrees, scales
        self.blocks = [(first, _triangle_of(rows)) for first, rows in blocks]

    def factor(self, hyper: Hyperparameters) -> FloatArray:
        """Return the rows of the prior: an upper triangle, with a column of zeros for the target."""
        n = len(self.degrees)
        found = no_rows(n + 1)
        np.fill_diagonal(found[:n, :n], hyper.regularisation * (1 + self.degrees) ** hyper.power * self.scales)
        for first, rows in self.blocks:
            own = slice(first, first + len(rows))
            found[own, own] = hyper.regularisation * rows
        return found

    # In units of the prior its rows are a diagonal.

    def diagonal(self, hyper: Hyperparameters) -> FloatArray:
        """Return the diagonal of the rows of the prior, for coefficients in units of it."""
        found = hyper.regularisation * (1 + self.degrees) ** hyper.power
        for first, rows in self.blocks:
            found[first : first + len(rows)] = hyper.regularisation
        return found

    def to_units(self, rows: FloatArray) -> None:
        """Change rows, with the target last, to what multiplies coefficients in units of the prior."""
        from scipy.linalg import solve_triangular

        n = len(self.degrees)
        scales = self.scales.copy()
        for first, block in self.blocks:
            scales[first : first + len(block)] = 1.0
        rows[:, :n] /= scales
        for first, block in self.blocks:
            own = slice(first, first + len(block))
            rows[:, own] = solve_triangular(block, rows[:, own].T, trans="T", check_finite=False).T

    def from_units(self, coefficients: FloatArray) -> FloatArray:
        """Return coefficients that are given in units of the prior."""
        from scipy.linalg import solve_triangular

        found = coefficients / self.scales
        for first, block in self.blocks:
            own = slice(first, first + len(block))
            found[own] = solve_triangular(block, coefficients[own], check_finite=False)
        return found


def _triangle_of(rows: FloatArray) -> FloatArray:
    """Return the triangle of rows, with as many rows as columns."""
    n = rows.shape[1]
    if rows.shape[0] == n and not np.tril(rows, -1).any():
        return rows
    return np.triu(merged(no_rows(n), np.array(rows, order="F"), 0))
