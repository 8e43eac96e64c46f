"""Least squares under inequalities, which give way where they would cost too much."""

from __future__ import annotations

import numpy as np

from atomprint.util.types import FloatArray

_STEPS = 60
_HALVINGS = 40
_CLOSE = 0.01  # of a sigma: differences that do not matter


class Inequalities:
    """The least squares ``|R x - z|^2`` with a penalty ``(max(0, target - row x) / sigma)^2`` for each of some rows.

    With the rows that are not fulfilled, divided by their sigmas, it is an ordinary least squares again.

    Parameters
    ----------
    triangle : ndarray, shape (n_columns + 1, n_columns + 1)
        R, with z in the last column; below it may be anything.
    """

    def __init__(self, triangle: FloatArray) -> None:
        n = len(triangle) - 1
        self._r, self._z = triangle[:n, :n], triangle[:n, n].copy()
        # R^-T of each row, and the Gram matrix of these: all that is needed of the rows.
        self._moves, self._gram = np.zeros((n, 0)), np.zeros((0, 0))
        self.targets, self.sigmas, self._forces = np.zeros(0), np.zeros(0), np.zeros(0)
        self.converged = True  # whether the last solution is the best

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.targets)

    @property
    def coefficients(self) -> FloatArray:
        """The solution of the last :meth:`solve`."""
        from scipy.linalg import solve_triangular

        found: FloatArray = solve_triangular(self._r, self._z + self._moves @ self._forces, check_finite=False)
        return found

    def rows(self) -> FloatArray:
        """Return the rows that are not fulfilled by the last solution, over their sigmas, with the target last."""
        held = np.flatnonzero(self._forces > 0)
        rows = np.empty((len(held), len(self._r) + 1))
        rows[:, :-1] = self._moves[:, held].T @ np.triu(self._r)
        rows[:, -1] = self.targets[held]
        rows /= self.sigmas[held, None]
        return rows

    def add(self, rows: FloatArray, targets: FloatArray, sigmas: FloatArray) -> None:
        """Demand more."""
        from scipy.linalg import solve_triangular

        moves = solve_triangular(self._r, rows.T, trans="T", check_finite=False)
        across = self._moves.T @ moves
        self._gram = np.block([[self._gram, across], [across.T, moves.T @ moves]])
        self._moves = np.hstack([self._moves, moves])
        self.targets, self.sigmas = np.append(self.targets, targets), np.append(self.sigmas, sigmas)
        self._forces = np.append(self._forces, np.zeros(len(targets)))

    def keep(self, n: int) -> None:
        """Forget all but the first n."""
        self._gram, self._moves = self._gram[:n, :n], self._moves[:, :n]
        self.targets, self.sigmas, self._forces = self.targets[:n], self.sigmas[:n], self._forces[:n]

    def solve(self) -> FloatArray:
        """Return the coefficients, by Newton's method with the best step of each, of which there are at most 60."""
        from scipy.linalg import solve

        missing = self.targets - self._moves.T @ self._z  # without any of these
        forces, variances = self._forces, self.sigmas**2
        shift = self._gram @ forces
        for _ in range(_STEPS):
            held = missing > shift
            own = np.flatnonzero(held)
            wanted = np.zeros(len(forces))
            if len(own):
                square = self._gram[np.ix_(own, own)] + np.diag(variances[own])
                wanted[own] = solve(square, missing[own], assume_a="pos", check_finite=False)
            step = wanted - forces
            by_step = self._gram @ step
            share = _best_share(forces, step, by_step, missing - shift, variances)
            forces, shift = forces + share * step, shift + share * by_step
            if share == 1 and np.array_equal(missing > shift, held):
                break
        self._forces = np.where(missing > shift, (missing - shift) / variances, 0.0)
        left = np.abs(self._gram @ (self._forces - forces))  # zero for the best, but for rounding
        self.converged = bool((left <= _CLOSE * self.sigmas).all())
        return self.coefficients


def _best_share(
    forces: FloatArray, step: FloatArray, by_step: FloatArray, missing: FloatArray, variances: FloatArray
) -> float:
    """Return how much of a step is best, up to all of it: what is minimised is convex along it."""

    def slope(share: float) -> float:
        held = np.maximum(missing - share * by_step, 0) / variances
        return float((forces + share * step - held) @ by_step)

    if slope(1.0) <= 1e-12 * abs(slope(0.0)):
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return low
