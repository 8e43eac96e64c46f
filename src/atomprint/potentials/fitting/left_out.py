"""Errors of structures by fits without them, one after the other: exactly, from the triangle of the fit to all.

With B the rows of a structure divided by their sigmas, r what the fit leaves of their targets and H = B (R^T R)^-1 B^T,
the fit without the structure leaves (I - H)^-1 r, and what it does not know of the rows is (I - H)^-1 H. It has nearly
as many data as the fit to all. That matters where data are few: with more of them errors fall, but more slowly than
what the fit does not know, and so a fit without a whole fold has another ratio of the two.

Where B has more rows than columns, (I - H)^-1 = I + C^T (I - C C^T)^-1 C with C = R^-T B^T.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from atomprint.potentials.fitting.factors import ENERGY, KINDS, IntArray, Rows, Targets, block_of_rows, labelled_rows
from atomprint.potentials.fitting.prior import Hyperparameters
from atomprint.potentials.fitting.solver import Solution
from atomprint.structures import Batch
from atomprint.util.types import FloatArray

_MOST = 24576  # rows that are left out, and of a structure: each costs K^2
_AT_ONCE = 1024
_ROUNDING = 1e-12  # of I - H


@dataclass(frozen=True)
class LeftOut:
    """Values of one kind, by fits without the structure of each.

    Parameters
    ----------
    errors : ndarray, shape (n,)
        Predicted minus known: energies in eV, forces in eV/Å, stresses in eV/Å^3.
    variances : ndarray, shape (n,)
        What the fit does not know, in the squares of these units, as far as sigmas are right.
    n_atoms : ndarray, shape (n,)
        Of the structure of each.
    structures : ndarray of int64, shape (n,)
        Which structure each is of; those that are left out together have one number.
    """

    errors: FloatArray
    variances: FloatArray
    n_atoms: FloatArray
    structures: IntArray

    def where(self, chosen: npt.NDArray[np.bool_]) -> LeftOut:
        """Return some of the values."""
        return LeftOut(self.errors[chosen], self.variances[chosen], self.n_atoms[chosen], self.structures[chosen])


def leave_out(
    source: Rows,
    batch: Batch,
    targets: Targets,
    same_as: npt.NDArray[np.integer[Any]],
    folds: IntArray,
    solution: Solution,
    hyper: Hyperparameters,
    *,
    random_state: int = 0,
    n_jobs: int = 1,
) -> list[LeftOut]:
    """Leave structures out of a fit, one at a time, at random where there are many, and none of thousands of atoms.

    Parameters
    ----------
    source : Rows
        What makes the rows.
    batch : Batch
        The structures.
    targets : Targets
        Their labels.
    same_as : ndarray of int, shape (n_structures,)
        Index of the first structure that is the same: these are left out together.
    folds : ndarray of int64, shape (n_structures,)
        The fold of each: those of a fold have all types of configurations, and come before those of the next.
    solution : Solution
        The fit to all.
    hyper : Hyperparameters
        Of the fit.
    random_state : int
        Seed of which structures are left out.
    n_jobs : int
        Number of threads that make rows.

    Returns
    -------
    list of LeftOut
        By kind.
    """
    order = np.random.default_rng(random_state).permutation(np.unique(same_as))
    order = order[np.argsort(folds[order], kind="stable")]
    sizes = np.bincount(same_as, weights=7 + 3 * batch.n_atoms)
    order = order[sizes[order] <= _MOST]
    found: list[list[tuple[FloatArray, ...]]] = [[] for _ in KINDS]
    waiting: list[npt.NDArray[np.intp]] = []
    n_rows = n_waiting = 0
    for k, first in enumerate(order):
        waiting.append(np.flatnonzero(same_as == first))
        own = int(sizes[first])
        n_rows, n_waiting = n_rows + own, n_waiting + own
        last = k + 1 == len(order) or n_rows >= _MOST
        if n_waiting >= _AT_ONCE or last:
            _leave_out(source, batch, targets, waiting, solution, hyper, n_jobs, found)
            waiting, n_waiting = [], 0
        if last:
            break
    said = []
    for parts in found:
        errors, variances, n_atoms, of = (np.concatenate([np.empty(0), *each]) for each in _columns(parts))
        said.append(LeftOut(errors, variances, n_atoms, of.astype(np.int64)))
    return said


def _columns(parts: list[tuple[FloatArray, ...]]) -> list[list[FloatArray]]:
    return [[part[column] for part in parts] for column in range(4)]


def _leave_out(
    source: Rows,
    batch: Batch,
    targets: Targets,
    groups: list[npt.NDArray[np.intp]],
    solution: Solution,
    hyper: Hyperparameters,
    n_jobs: int,
    found: list[list[tuple[FloatArray, ...]]],
) -> None:
    """Leave out groups of structures, each alone, and add what there is to find."""
    from scipy.linalg import LinAlgError, solve_triangular

    n = source.n_functions
    together = np.concatenate(groups)
    block = block_of_rows(source, batch.pick(together), n_jobs)
    rows, sigmas, kinds, owners = [], [], [], []
    start = 0
    for s in together.tolist():
        stop = start + 7 + 3 * int(batch.n_atoms[s])
        for kind, of_kind, there, factor in labelled_rows(targets, batch, s, block[start:stop]):
            rows.append(of_kind[there])
            sigmas.append(np.full(len(rows[-1]), hyper.sigmas[kind] / factor))
            kinds.append(np.full(len(rows[-1]), kind))
            owners.append(np.full(len(rows[-1]), s))
        start = stop
    if not rows:
        return
    whole, sigma, kind_of, owner = np.concatenate(rows), *map(np.concatenate, (sigmas, kinds, owners))
    del block, of_kind, rows  # which are as large
    whole /= sigma[:, None]
    residuals = whole[:, :n] @ solution.coefficients - whole[:, n]
    known = solve_triangular(solution.triangle[:n, :n], whole[:, :n].T, trans="T", check_finite=False)
    for group in groups:
        own = np.flatnonzero(np.isin(owner, group))
        if not len(own):
            continue
        try:
            moved, excess = _without(known[:, own], residuals[own])
        except LinAlgError:  # nothing else in the data says anything of a combination of the rows
            continue
        errors, variances = moved * sigma[own], excess * sigma[own] ** 2
        for kind in range(len(KINDS)):
            chosen = kind_of[own] == kind
            n_atoms = batch.n_atoms[owner[own][chosen]].astype(np.float64)
            found[kind].append((errors[chosen], variances[chosen], n_atoms, np.full(len(n_atoms), float(group[0]))))


def _without(known: FloatArray, residuals: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return (I - C^T C)^-1 r and the diagonal of (I - C^T C)^-1 - I, C having a column for each row that is left out.

    Raises
    ------
    LinAlgError
        If there is no inverse.
    """
    from scipy.linalg import cholesky, solve_triangular

    wide = known.shape[1] > known.shape[0]
    rest = -(known @ known.T if wide else known.T @ known)
    rest[np.diag_indices_from(rest)] += 1 + _ROUNDING
    lower = cholesky(rest, lower=True, overwrite_a=True, check_finite=False)
    half = solve_triangular(lower, known if wide else np.eye(len(rest)), lower=True, check_finite=False)
    squares = np.einsum("ij,ij->j", half, half)
    moved: FloatArray = half.T @ (half @ residuals)
    return (residuals + moved, squares) if wide else (moved, np.maximum(squares - 1, 0))


def noise(values: LeftOut, kind: int, hyper: Hyperparameters) -> FloatArray:
    """Return the square of the sigma of each value."""
    found: FloatArray = np.full(len(values.errors), hyper.sigmas[kind] ** 2)
    return found * values.n_atoms if kind == ENERGY else found
