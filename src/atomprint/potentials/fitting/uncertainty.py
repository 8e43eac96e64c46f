"""How far off a potential may be: from the triangle of its fit, calibrated on folds that were left out.

A row b of a structure, its energy or a component of a force, has the variance ``|R^-T b|^2`` of what the labels leave
open, R being the triangle of the fit. That and the noise are by far too small where functions are few for the data, as
errors are then not of noise but of the form: so both are scaled by what the errors of left-out folds are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from atomprint.potentials.fitting.factors import ENERGY, FORCES, KINDS, STRESS, Factors, packed, unpacked
from atomprint.potentials.fitting.prior import Hyperparameters, Prior
from atomprint.potentials.fitting.solver import Solution, solve
from atomprint.potentials.terms.term import State
from atomprint.util.types import FloatArray

_COVERAGE = 0.9
_QUANTILE = 1.6448536269514722  # of the normal distribution: within so many sigmas are 90 %
_NOISE = (0.0, 1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)
_FEWEST = 8  # errors from which a scale can be told


@dataclass(frozen=True)
class Calibration:
    """What makes an expected error out of a variance: ``scale * sqrt(variance + noise * sigma^2)``.

    Parameters
    ----------
    scale, noise : float
        Such that 90 % of the errors on left-out folds are within 1.645 times the expected one.
    coverage : float
        Share of those within, where scale and noise are from the other folds; nan where there were too few.
    """

    scale: float
    noise: float
    coverage: float


class Uncertainty:
    """Expected errors of predictions.

    Parameters
    ----------
    triangle : ndarray
        R of the fit, packed.
    hyper : Hyperparameters
        Of the fit.
    calibrations : tuple of Calibration
        Of energies, forces and stresses.
    largest : float
        The largest uncalibrated standard deviation of an energy per atom in the training data, in eV: of 1024 drawn
        structures where there are more.
    """

    def __init__(
        self, triangle: FloatArray, hyper: Hyperparameters, calibrations: tuple[Calibration, ...], largest: float
    ) -> None:
        self.triangle, self.hyper, self.calibrations, self.largest = triangle, hyper, calibrations, largest
        self._whole: FloatArray | None = None

    def variances(self, rows: FloatArray) -> FloatArray:
        """Return ``|R^-T b|^2`` of each row."""
        if self._whole is None:
            self._whole = unpacked(self.triangle)
        return variances(self._whole, rows)

    def of_energies(self, sums: FloatArray, n_atoms: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the expected errors of energies in eV, and how far each is beyond the training data.

        Parameters
        ----------
        sums : ndarray, shape (n_structures, n_functions)
            Sums of the functions over structures.
        n_atoms : ndarray, shape (n_structures,)
            Number of their atoms.

        Returns
        -------
        errors, grades : ndarray, shape (n_structures,)
            A grade above 1 says that less is known of the energy per atom than of that of any training structure.
        """
        found = self.variances(sums)
        grades = np.sqrt(found) / n_atoms / self.largest if self.largest > 0 else np.zeros(len(sums))
        return self._errors(ENERGY, found, np.sqrt(n_atoms)), grades

    def of_forces(self, rows: FloatArray) -> FloatArray:
        """Return the expected errors of components of forces in eV/Å."""
        return self._errors(FORCES, self.variances(rows), 1.0)

    def of_stresses(self, rows: FloatArray) -> FloatArray:
        """Return the expected errors of components of stresses in eV/Å^3, whose rows are divided by the volume."""
        return self._errors(STRESS, self.variances(rows), 1.0)

    def _errors(self, kind: int, found: FloatArray, factor: FloatArray | float) -> FloatArray:
        own, sigma = self.calibrations[kind], self.hyper.sigmas[kind]
        errors: FloatArray = own.scale * np.sqrt(found + own.noise * (sigma * factor) ** 2)
        return errors

    def committee(self, coefficients: FloatArray, n_members: int, random_state: int = 0) -> FloatArray:
        """Return coefficients of potentials that the labels tell apart as little: draws from R.

        Their spread is calibrated as energies are, but without noise.

        Parameters
        ----------
        coefficients : ndarray, shape (n_functions,)
            Of the fit.
        n_members : int
            How many.
        random_state : int
            Seed of the draws.

        Returns
        -------
        ndarray, shape (n_members, n_functions)
        """
        from scipy.linalg import solve_triangular

        drawn = np.random.default_rng(random_state).standard_normal((len(coefficients), n_members))
        moves = solve_triangular(unpacked(self.triangle), drawn, check_finite=False)
        members: FloatArray = coefficients + self.calibrations[ENERGY].scale * moves.T
        return members

    def state(self) -> State:
        """Return what :meth:`from_state` takes."""
        numbers = np.array([[c.scale, c.noise, c.coverage] for c in self.calibrations])
        return {"triangle": self.triangle, "calibrations": numbers, "largest": self.largest}

    @classmethod
    def from_state(cls, state: State, hyper: Hyperparameters, n_functions: int) -> Self:
        """Return the uncertainty with this state."""
        if state["triangle"].shape != (n_functions * (n_functions + 1) // 2,):
            raise ValueError(f"the triangle of {n_functions} functions has another size")
        if state["calibrations"].shape != (len(KINDS), 3):
            raise ValueError(f"calibrations must have shape {(len(KINDS), 3)}, got {state['calibrations'].shape}")
        calibrations = tuple(Calibration(*numbers) for numbers in state["calibrations"].tolist())
        return cls(state["triangle"], hyper, calibrations, float(state["largest"]))


def variances(triangle: FloatArray, rows: FloatArray) -> FloatArray:
    """Return ``|R^-T b|^2`` of each row."""
    from scipy.linalg import solve_triangular

    n = rows.shape[1]
    found = solve_triangular(triangle[:n, :n], rows.T, trans="T", check_finite=False)
    return np.einsum("ij,ij->j", found, found)


def calibrated(
    factors: Factors, prior: Prior, hyper: Hyperparameters
) -> tuple[Solution, Uncertainty, list[FloatArray]]:
    """Return the fit to all rows, its uncertainty, and the coefficients of the fits without each fold.

    Parameters
    ----------
    factors : Factors
        Of the rows.
    prior : Prior
        Of the coefficients.
    hyper : Hyperparameters
        Of the fit.
    """
    n = factors.n_columns
    errors = [np.zeros(len(samples.rows)) for samples in factors.samples]
    found = [np.zeros(len(samples.rows)) for samples in factors.samples]
    left_out = []
    for fold in range(factors.n_folds if factors.n_folds > 1 else 0):
        solution = solve(factors, prior, hyper, fold)
        left_out.append(solution.coefficients)
        for kind, samples in enumerate(factors.samples):
            own = samples.folds == fold
            rows = samples.rows[own]
            errors[kind][own] = rows[:, :n] @ solution.coefficients - rows[:, n]
            found[kind][own] = variances(solution.triangle, rows[:, :n])
    calibrations = []
    for kind in range(len(KINDS)):
        samples = factors.samples[kind]
        noise = np.full(len(samples.rows), hyper.sigmas[kind] ** 2)
        if kind == ENERGY:
            noise = noise * samples.n_atoms
        if factors.n_folds < 2 or len(noise) < _FEWEST:
            calibrations.append(Calibration(1.0, 1.0, np.nan))
            continue
        scale, share = _fitted(errors[kind], found[kind], noise)
        within, judged = np.zeros(len(noise), dtype=bool), np.zeros(len(noise), dtype=bool)
        for fold in range(factors.n_folds):
            own = samples.folds == fold
            if (~own).sum() >= _FEWEST:
                judged |= own
                a, b = _fitted(errors[kind][~own], found[kind][~own], noise[~own])
                within[own] = np.abs(errors[kind][own]) <= _QUANTILE * a * np.sqrt(found[kind][own] + b * noise[own])
        calibrations.append(Calibration(scale, share, float(within[judged].mean()) if judged.any() else np.nan))
    fitted = solve(factors, prior, hyper)
    whole = fitted.triangle
    energies = factors.samples[ENERGY]
    largest = 0.0
    if len(energies.rows):
        of_training = variances(whole, energies.rows[:, :n])
        largest = float(np.max(np.sqrt(of_training) / energies.n_atoms))
    triangle = packed(np.asfortranarray(whole[:n, :n]))
    return fitted, Uncertainty(triangle, hyper, tuple(calibrations), largest), left_out


def _fitted(errors: FloatArray, found: FloatArray, noise: FloatArray) -> tuple[float, float]:
    """Return scale and share of the noise.

    The share is the most likely one of errors with exponential tails, as those of forces have; the scale is such that
    90 % of the errors are within what 90 % of normal ones are.
    """
    size = np.abs(errors)
    best = (np.inf, 1.0, 1.0)
    for share in _NOISE:
        sigmas = np.sqrt(found + share * noise)
        if not (sigmas > 0).all():
            continue
        ratio = size / sigmas
        loss = float(np.log(sigmas).mean() + np.log(max(ratio.mean(), 1e-300)))
        if loss < best[0]:
            best = loss, float(np.quantile(ratio, _COVERAGE) / _QUANTILE), share
    return max(best[1], 1e-12), best[2]
