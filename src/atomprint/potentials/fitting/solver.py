"""Least squares for potentials: coefficients, and the choice of sigmas and priors by cross-validation.

The coefficients x minimise ``|S^-1 (A x - y)|^2 + |P x|^2``. Rows of A are what the functions contribute to energies,
forces and stresses, S holds the sigmas of these labels, and P is the prior. All is done with the triangles of
:mod:`atomprint.potentials.fitting.factors`, without rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from ase.units import GPa

from atomprint.potentials.fitting.factors import ENERGY, FORCES, Factors, IntArray, merged
from atomprint.potentials.fitting.normal import Chosen, NormalEquations
from atomprint.potentials.fitting.prior import Hyperparameters, Prior
from atomprint.util.parameters import CheckedParameters
from atomprint.util.progress import Progress, silent
from atomprint.util.registry import public
from atomprint.util.types import FloatArray
from atomprint.util.validation import check_choice, check_integer, check_real

_SMOOTHEST = 1200  # functions with which hyperparameters are looked for first, where there are many more
_TYPICAL = 0.95  # of errors are looked at, the smallest
_WORTH = 0.1  # of the log of the product of errors: as good as no difference
_FLOOR = 1e-4  # of the largest scale: columns that the data hardly see are held back by the prior
_START = {"sigma_energy": 0.002, "regularisation": 0.03, "power": 1.0}
_POWERS = (1.0, 2.0)
_STEPS = {"regularisation": math.sqrt(10), "sigma_energy": 2.0}
_RANGE = {"regularisation": (1e-4, 1e3), "sigma_energy": (0.001, 0.1)}


def scales_of(factors: Factors, blocks: Sequence[slice]) -> FloatArray:
    """Return the scale of each column: the rms of its rows of forces, or of energies where there are no forces.

    Columns that hardly vary in the data get a floor, a share of the largest scale of their block.
    """
    found = factors.rms(FORCES if factors.counts[FORCES] else ENERGY)[:-1]
    for own in blocks:
        largest = found[own].max(initial=0.0)
        found[own] = np.maximum(found[own], _FLOOR * largest) if largest > 0 else 1.0
    return found


@dataclass(frozen=True)
class Solution:
    """Coefficients, and the triangle that says how well they are known.

    Parameters
    ----------
    coefficients : ndarray, shape (n_columns,)
        The least squares.
    triangle : ndarray, shape (n_columns + 1, n_columns + 1)
        R of the rows and the prior; below it may be anything.
    """

    coefficients: FloatArray
    triangle: FloatArray


def solve(factors: Factors, prior: Prior, hyper: Hyperparameters, without: int | None = None) -> Solution:
    """Return the least squares of all rows, or of those of all folds but one.

    Raises
    ------
    ValueError
        If the rows and the prior leave coefficients open.
    """
    return solved(factors.triangle(hyper.sigmas, without), prior, hyper)


def solve_kinds(factors: Factors, prior: Prior, hyper: Hyperparameters, kinds: Sequence[int]) -> Solution:
    """Return the least squares of the rows of some kinds alone."""
    return solved(factors.of_kinds(kinds, hyper.sigmas), prior, hyper)


def solved(triangle: FloatArray, prior: Prior, hyper: Hyperparameters) -> Solution:
    """Return the least squares of rows that are a triangle, which is written to.

    Raises
    ------
    ValueError
        If rows and prior leave coefficients open.
    """
    from scipy.linalg import LinAlgError, solve_triangular

    n = len(triangle) - 1
    whole = merged(triangle, prior.factor(hyper), n + 1)
    try:
        x = solve_triangular(whole[:n, :n], whole[:n, n], check_finite=False)
    except LinAlgError:
        x = np.full(n, np.nan)
    if not np.isfinite(x).all():
        raise ValueError(
            f"regularisation must be larger, as labels and prior leave coefficients open, got {hyper.regularisation:g}"
        )
    return Solution(x, whole)


def log_evidence(factors: Factors, prior: Prior, hyper: Hyperparameters) -> float:
    """Return the log of the probability of all labels, if noise and coefficients were as sigmas and prior say."""
    n, found = factors.n_columns, solve(factors, prior, hyper).triangle
    of_prior, of_all = np.abs(np.diag(prior.factor(hyper))[:n]), np.abs(np.diag(found))
    counts = factors.counts
    noise = counts @ np.log(hyper.sigmas) + 0.5 * counts.sum() * math.log(2 * math.pi)
    return float(np.log(of_prior).sum() - np.log(of_all[:n]).sum() - 0.5 * of_all[n] ** 2 - noise)


def held_out_errors(factors: Factors, prior: Prior, hyper: Hyperparameters) -> FloatArray:
    """Return the error of energies, forces and stresses of folds that were left out, nan where there are none.

    It is the rms error of the rows that were kept, without the largest 5 %: what is unlike all else in the data is
    extrapolated to when it is left out, by orders of magnitude that would outweigh everything. That of energies is per
    atom, in eV; of forces in eV/Å, of stresses in eV/Å^3.
    """
    return errors_of(factors, left_out_fits(factors, prior, hyper))


def left_out_fits(factors: Factors, prior: Prior, hyper: Hyperparameters) -> list[FloatArray]:
    """Return the coefficients of the fits without each fold."""
    return [solve(factors, prior, hyper, fold).coefficients for fold in range(factors.n_folds)]


def errors_of(factors: Factors, coefficients: Sequence[FloatArray], share: float = _TYPICAL) -> FloatArray:
    """Return the errors of the first folds with coefficients of their own, as :func:`held_out_errors`, of a share."""
    errors = []
    for kind, samples in enumerate(factors.samples):
        found = np.full(len(samples.rows), np.nan)
        for fold, x in enumerate(coefficients):
            own = samples.folds == fold
            found[own] = np.abs(samples.rows[own] @ np.append(x, -1.0))
        if kind == ENERGY:
            found /= samples.n_atoms
        errors.append(found[samples.folds < len(coefficients)])
    kept = [np.sort(array)[: math.ceil(share * len(array))] for array in errors]
    return np.array([np.sqrt((array**2).mean()) if len(array) else np.nan for array in kept])


@public("Solver", version=1)
class Solver(CheckedParameters):
    """How the coefficients of a potential are found.

    Parameters
    ----------
    sigma_energy : float, optional
        Expected error of energies in eV, for each square root of an atom. Default: chosen, from 0.002 on and
        not below 0.001: what is less would be noise of the reference, at the cost of forces.
    sigma_forces : float
        Expected error of the components of forces, in eV/Å. Only the ratios of the sigmas and of the regularisation
        matter to the coefficients.
    sigma_stress : float
        Expected error of the components of stresses, in eV/Å^3. Default: 0.05 GPa.
    regularisation : float, optional
        Factor of the prior, which holds ``regularisation * (1 + degree)^power`` times a coefficient near zero, in units
        in which the forces of its function have an rms of 1 eV/Å. Default: chosen, from 0.03 on; of those whose errors,
        multiplied over the kinds of labels, are within 10 % of the best, that which is best for what is unlike all
        other data.
    power : float, optional
        How much more functions that vary fast are held back. Default: 1 or 2, chosen.
    n_folds : int
        Number of folds of the cross-validation, from which all is chosen.
    criterion : {"cross-validation", "evidence"}
        What is chosen by. The first takes the smallest product of the errors of energies per atom, forces and stresses
        of structures that were left out: one per cent less in one kind is worth one per cent more in another, whatever
        the units. Each is the rms error without the largest 5 %, which are of what is unlike all other data.
        The second is the log of the probability of all labels if noise were as the sigmas say; that of real data is
        not, and it may go far wrong.
    random_state : int
        Seed of the folds.
    """

    def __init__(
        self,
        *,
        sigma_energy: float | None = None,
        sigma_forces: float = 0.05,
        sigma_stress: float = 0.05 * GPa,
        regularisation: float | None = None,
        power: float | None = None,
        n_folds: int = 4,
        criterion: str = "cross-validation",
        random_state: int = 0,
    ) -> None:
        self._initialise(locals())

    def _validate(self) -> None:
        for name in ("sigma_energy", "sigma_forces", "sigma_stress", "regularisation"):
            value = getattr(self, name)
            if value is not None or name in ("sigma_forces", "sigma_stress"):
                check_real(name, value, above=0)
        if self.power is not None:
            check_real("power", self.power, at_least=0, at_most=10)
        check_integer("n_folds", self.n_folds, 2, 100)
        check_choice("criterion", self.criterion, ("cross-validation", "evidence"))
        check_integer("random_state", self.random_state, 0)

    def folds(self, config_types: Sequence[str], same_as: npt.NDArray[np.integer[Any]]) -> IntArray:
        """Return the fold of each structure: at random, with each type of configuration shared out evenly.

        Parameters
        ----------
        config_types : sequence of str
            Of each structure.
        same_as : ndarray of int, shape (n_structures,)
            Index of the first structure that is the same: these are in one fold.
        """
        rng = np.random.default_rng(self.random_state)
        first = np.unique(same_as)
        _, of_type = np.unique(np.array([config_types[s] for s in first]), return_inverse=True)
        mixed = rng.permutation(len(first))
        by_type = mixed[np.argsort(of_type[mixed], kind="stable")]
        folds = np.zeros(len(same_as), dtype=np.int64)
        folds[first[by_type]] = np.arange(len(first)) % min(self.n_folds, len(first))
        return folds[same_as]

    def choose(self, factors: Factors, prior: Prior, progress: Progress = silent) -> Hyperparameters:
        """Return the best hyperparameters: those that are given, and for the others what a search from the start finds.

        Parameters
        ----------
        factors : Factors
            Of the rows.
        prior : Prior
            Of the coefficients.
        progress : Progress
            Told each trial.
        """
        given = {name: getattr(self, name) for name in self._get_param_names()}
        start = {name: value if given[name] is None else given[name] for name, value in _START.items()}
        best = Hyperparameters(sigma_forces=self.sigma_forces, sigma_stress=self.sigma_stress, **start)
        if self.criterion == "evidence":
            search = _Search(given, lambda hyper: (-log_evidence(factors, prior, hyper), 0.0), factors, prior, progress)
            return search.told(search.climb(best))
        if factors.n_folds < 2:
            return best
        normal = NormalEquations(factors, prior, self.sigma_forces, self.sigma_stress)
        kinds = np.flatnonzero(factors.counts)

        many = factors.n_columns >= 2 * _SMOOTHEST
        judged = min(2, factors.n_folds) if many else factors.n_folds

        def losses(hyper: Hyperparameters, columns: Chosen = None) -> tuple[float, float]:
            left_out = []
            for fold in range(factors.n_folds if columns is not None else judged):
                x = normal.coefficients(hyper, fold, columns)
                left_out.append(solve(factors, prior, hyper, fold).coefficients if x is None else x)
            typical, every = (errors_of(factors, left_out, share)[kinds] for share in (_TYPICAL, 1.0))
            return _log_product(typical), _log_product(every)

        if many and (few := _smoothest(prior)) is not None:
            # Many functions are begun with as well as the smoothest of them: these are good for a first look.
            best = _Search(given, lambda hyper: losses(hyper, few), factors, prior, progress).climb(best)
            given["power"] = best.power
        search = _Search(given, losses, factors, prior, progress)
        return search.told(search.strengthened(search.climb(best)))


class _Search:
    """Looks for hyperparameters that are not given, from a start on.

    Parameters
    ----------
    given : dict of str to any
        Parameters of the solver: those that are None are looked for.
    losses : callable
        Of hyperparameters: what is to be small, and the same with what is unlike all other data.
    factors, prior
        Of the fit.
    progress : Progress
        Told each trial.
    """

    def __init__(
        self,
        given: dict[str, Any],
        losses: Callable[[Hyperparameters], tuple[float, float]],
        factors: Factors,
        prior: Prior,
        progress: Progress,
    ) -> None:
        self._given, self._losses, self._progress = given, losses, progress
        counts = factors.counts
        self._has_power = bool(prior.degrees.any())  # else it means nothing
        self._has_ratio = bool(counts[ENERGY] and counts.sum() > counts[ENERGY])  # else it means nothing
        self._tried: dict[Hyperparameters, tuple[float, float]] = {}

    def climb(self, best: Hyperparameters) -> Hyperparameters:
        """Return the best that is found from this on, one hyperparameter after the other."""
        if self._given["power"] is None and self._has_power:
            each = [self._climbed(replace(best, power=power), "regularisation") for power in _POWERS]
            best = min(each, key=self._loss)
        else:
            best = self._climbed(best, "regularisation")
        if self._has_ratio:
            best = self._climbed(best, "sigma_energy")
            best = self._climbed(best, "regularisation")
        return best

    def strengthened(self, best: Hyperparameters) -> Hyperparameters:
        """Return that of these and those with more of the prior which is best for what is unlike all other data.

        Where data are dense, much more of the prior costs nothing.
        """
        equals = [best]
        while self._given["regularisation"] is None:
            value = equals[-1].regularisation * _STEPS["regularisation"]
            stronger = replace(best, regularisation=value)
            if value > _RANGE["regularisation"][1] or self._loss(stronger) > self._loss(best) + _WORTH:
                break
            equals.append(stronger)
        return min(equals, key=lambda hyper: self._tried[hyper][1]) if len(equals) > 1 else best

    def told(self, best: Hyperparameters) -> Hyperparameters:
        """Say that this is it."""
        self._progress("choice", len(self._tried), len(self._tried))
        return best

    def _loss(self, hyper: Hyperparameters) -> float:
        if hyper not in self._tried:
            self._progress("choice", len(self._tried), None)
            self._tried[hyper] = self._losses(hyper)
        return self._tried[hyper][0]

    def _climbed(self, best: Hyperparameters, name: str) -> Hyperparameters:
        """Return the best along one hyperparameter, in steps from where it is as long as that gets better."""
        if self._given[name] is not None:
            return best
        for factor in (_STEPS[name], 1 / _STEPS[name]):
            moved = best
            while True:
                value = getattr(moved, name) * factor
                if not _RANGE[name][0] <= value <= _RANGE[name][1]:
                    break
                trial = replace(moved, **{name: value})
                if self._loss(trial) >= self._loss(moved):
                    break
                moved = trial
            if moved is not best:
                return moved
        return best


def _smoothest(prior: Prior) -> IntArray | None:
    """Return the smoothest columns and all that have a prior of their own; None where those are many."""
    order = prior.degrees.copy()
    for first, rows in prior.blocks:
        order[first : first + len(rows)] = -1.0
    if (order < 0).sum() > _SMOOTHEST // 2:
        return None
    return np.sort(np.argsort(order, kind="stable")[:_SMOOTHEST])


def _log_product(errors: FloatArray) -> float:
    return float(np.log(np.maximum(errors, 1e-300)).sum())
