"""How far off a potential may be: from the triangle of its fit, calibrated on structures that were left out.

A row b of a structure, its energy or a component of a force, has the variance ``|R^-T b|^2`` of what the labels leave
open, R being the triangle of the fit. That and the noise are by far too small where functions are few for the data, as
errors are then not of noise but of the form, and too large where the prior is wide: so both are scaled by what the
errors of structures are that were left out (:mod:`atomprint.potentials.fitting.left_out`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from atomprint.potentials.fitting.factors import ENERGY, FORCES, KINDS, STRESS, Samples, packed, unpacked
from atomprint.potentials.fitting.left_out import LeftOut, noise
from atomprint.potentials.fitting.prior import Hyperparameters
from atomprint.potentials.fitting.solver import Solution
from atomprint.potentials.terms.term import State
from atomprint.util.types import FloatArray

COVERAGE = 0.9
QUANTILE = 1.6448536269514722
"""Of the normal distribution: within so many sigmas are 90 %."""

_NOISE = (0.0, 1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)
_FEWEST = 8  # errors from which a scale can be told
_GROUPS = 10  # in which structures are judged, each by the others
_NEARLY_ALL = 0.95  # of the structures are within the training data, when they are left out


@dataclass(frozen=True)
class Calibration:
    """What makes an expected error out of a variance: ``scale * sqrt(variance + noise * sigma^2)``.

    Parameters
    ----------
    scale, noise : float
        Such that 90 % of the errors of structures that are left out are within 1.645 times the expected one.
    coverage : float
        Share of those within, where scale and noise are from the other structures; nan where there were too few.
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
        The uncalibrated standard deviation of an energy per atom, in eV, from which on structures are beyond the
        training data: the largest of structures that were fitted, of 1024 where there are more, or that of all but 5 %
        of those that were left out, whichever is larger.
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
            A grade above 1 says that less is known of the energy per atom than of that of any structure that was
            fitted, and of all but a few of them when they are left out.
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
        moves = draws(unpacked(self.triangle), n_members, random_state)
        members: FloatArray = coefficients + self.calibrations[ENERGY].scale * moves
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


def draws(triangle: FloatArray, n: int, random_state: int = 0) -> FloatArray:
    """Return how coefficients may differ as far as a square triangle says, shape (n, n_functions)."""
    from scipy.linalg import solve_triangular

    drawn = np.random.default_rng(random_state).standard_normal((len(triangle), n))
    found: FloatArray = solve_triangular(triangle, drawn, check_finite=False).T
    return found


def variances(triangle: FloatArray, rows: FloatArray) -> FloatArray:
    """Return ``|R^-T b|^2`` of each row."""
    from scipy.linalg import solve_triangular

    n = rows.shape[1]
    found = solve_triangular(triangle[:n, :n], rows.T, trans="T", check_finite=False)
    return np.einsum("ij,ij->j", found, found)


@dataclass(frozen=True)
class Judged:
    """Errors of structures that were left out, and what was expected of them by what the others say.

    Parameters
    ----------
    errors : ndarray, shape (n,)
        Predicted minus known: energies in eV, forces in eV/Å, stresses in eV/Å^3.
    expected : ndarray, shape (n,)
        Expected errors, by a calibration from other structures.
    n_atoms : ndarray, shape (n,)
        Of the structure of each.
    n_structures : int
        How many structures they are of.
    """

    errors: FloatArray
    expected: FloatArray
    n_atoms: FloatArray
    n_structures: int

    @property
    def coverage(self) -> float:
        """Share of the errors that are within 90 % intervals; nan of none."""
        return float((np.abs(self.errors) <= QUANTILE * self.expected).mean()) if len(self.errors) else np.nan


def calibrated(
    solution: Solution, hyper: Hyperparameters, energies: Samples, left_out: Sequence[LeftOut]
) -> tuple[Uncertainty, tuple[Judged, ...]]:
    """Return the uncertainty of a fit, and how right it is, by kind.

    Parameters
    ----------
    solution : Solution
        The fit.
    hyper : Hyperparameters
        With which it was made.
    energies : Samples
        Some rows of energies that were fitted to.
    left_out : sequence of LeftOut
        Structures that were left out, by kind.
    """
    n = len(solution.coefficients)
    noises = [noise(values, kind, hyper) for kind, values in enumerate(left_out)]
    fits = [_fitted(values, own) for values, own in zip(left_out, noises, strict=True)]
    # Of a kind with too few errors to tell, as those of another are.
    other = next((fit for fit in (fits[kind] for kind in (FORCES, ENERGY, STRESS)) if fit is not None), (1.0, 1.0))
    judged = tuple(_judged(values, own) for values, own in zip(left_out, noises, strict=True))
    calibrations = [Calibration(*(fit or other), own.coverage) for fit, own in zip(fits, judged, strict=True)]
    of_training = np.sqrt(variances(solution.triangle, energies.rows[:, :n])) / energies.n_atoms
    alone = np.sqrt(left_out[ENERGY].variances) / left_out[ENERGY].n_atoms
    usual = float(np.quantile(alone, _NEARLY_ALL, method="higher")) if len(alone) else 0.0
    largest = max(usual, float(of_training.max(initial=0.0)))
    triangle = packed(np.asfortranarray(solution.triangle[:n, :n]))
    return Uncertainty(triangle, hyper, tuple(calibrations), largest), judged


def _judged(values: LeftOut, noises: FloatArray) -> Judged:
    """Return errors beside expected ones, of each tenth of the structures by the others."""
    names, of = np.unique(values.structures, return_inverse=True)
    expected = np.full(len(of), np.nan)
    for group in range(min(_GROUPS, len(names))):
        own = of % _GROUPS == group
        if fit := _fitted(values.where(~own), noises[~own]):
            scale, share = fit
            expected[own] = scale * np.sqrt(values.variances[own] + share * noises[own])
    told = np.isfinite(expected)
    return Judged(values.errors[told], expected[told], values.n_atoms[told], len(np.unique(of[told])))


def _fitted(values: LeftOut, noises: FloatArray) -> tuple[float, float] | None:
    """Return scale and share of the noise, or None where there are too few errors to tell.

    The share is the most likely one of errors with exponential tails, as those of forces have; the scale is such that
    90 % of the errors are within what 90 % of normal ones are: a little more of those that are known, so that it is
    90 % of the next one (conformal prediction). Errors of one structure go together, so it is structures that count.
    """
    size = np.abs(values.errors)
    if len(size) < _FEWEST:
        return None
    level = min(1.0, COVERAGE * (1 + 1 / len(np.unique(values.structures))))
    best: tuple[float, float, float] | None = None
    for share in _NOISE:
        sigmas = np.sqrt(values.variances + share * noises)
        if not (sigmas > 0).all():
            continue
        ratio = size / sigmas
        loss = float(np.log(sigmas).mean() + np.log(max(ratio.mean(), 1e-300)))
        if best is None or loss < best[0]:
            best = loss, float(np.quantile(ratio, level, method="inverted_cdf") / QUANTILE), share
    assert best is not None  # for noise is not zero
    return max(best[1], 1e-12), best[2]
