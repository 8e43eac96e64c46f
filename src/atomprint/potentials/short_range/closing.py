"""Closing holes of a potential: arrangements denser than any in the data that it takes to be better than all of these.

A fit of functions of many atoms goes astray where no data hold it, and a relaxation or molecular dynamics may fall in.
A repulsion of pairs alone does not prevent that: between the shortest distances of the data and those where the
functions of the fit are switched off, these are large and many. So pseudo-structures are put among the data
(:meth:`~atomprint.potentials.Repulsion.pseudo_structures`); more of them where the fit still has holes
(:func:`close_holes`); and then other crystals and the dimers are looked at
(:func:`~atomprint.potentials.short_range.scan.scan_holes`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement

import numpy as np
import numpy.typing as npt

from atomprint.potentials.fitting.factors import Factors, merged
from atomprint.potentials.fitting.prior import Hyperparameters, Prior
from atomprint.potentials.fitting.solver import Solution, errors_of, held_out_errors, solve
from atomprint.potentials.short_range.level import Level
from atomprint.potentials.short_range.repulsion import PseudoStructures, Repulsion
from atomprint.potentials.terms.sums import Offsets, Sum
from atomprint.structures import Batch
from atomprint.util.types import FloatArray

_COST = 0.2  # of squared errors of structures that were left out: so much those of the data may grow by closing holes
_ROUNDS = 10
_LEAST = 0.001  # of the sigma of a pseudo-structure, for one that is a hole time and again
_POOL_BYTES = 1 << 27
_BONDS = 5.0  # eV: so much dimers and trimers may be bound, besides half of their repulsion


def close_holes(
    source: Sum,
    factors: Factors,
    prior: Prior,
    hyper: Hyperparameters,
    core: Repulsion,
    offsets: Offsets,
    level: Level | None,
    *,
    periodic: bool,
    seed: int,
    n_jobs: int = 1,
) -> None:
    """Add rows of pseudo-structures to the factors of a fit, so that it has no holes, or fewer.

    Parameters
    ----------
    source : Sum
        The terms.
    factors, prior, hyper
        Of the fit to the data. The factors are changed: they hold the rows.
    core : Repulsion
        What takes over at short distances.
    offsets : Offsets
        Energies of single atoms, to which the terms add.
    level : Level or None
        How high the energies of the data are.
    periodic : bool
        Whether structures repeat.
    seed : int
        Of what is drawn.
    n_jobs : int
        Number of threads.
    """
    n_folds = len(factors.parts)
    always, more = (
        Pool.of(core.pseudo_structures(count, draw, periodic=periodic), core, offsets, level, n_jobs)
        for draw, count in enumerate(pool_sizes(source.n_functions, len(core.species)), seed)
    )

    def errors(x: FloatArray) -> FloatArray:
        return errors_of(factors, [x] * n_folds)

    solution = solve(factors, prior, hyper)
    typical = held_out_errors(factors, prior, hyper) if n_folds > 1 else errors(solution.coefficients)
    allowed = np.sqrt(errors(solution.coefficients) ** 2 + _COST * typical**2)
    rows = closing_rows(source, solution, errors, allowed, always, more, n_jobs)
    factors.hold(rows)
    # Nor may structures that were left out get worse, of which a fit to few data knows less.
    while n_folds > 1 and rows.size and np.abs(rows).max() > 1e-9:
        if not (held_out_errors(factors, prior, hyper) ** 2 > (1 + 1.5 * _COST) * typical**2).any():
            break
        rows /= 3
        factors.hold(rows)


@dataclass(frozen=True)
class Pool:
    """Pseudo-structures, with what else there is of their energies.

    Parameters
    ----------
    rows : PseudoStructures
        As they are fitted: what the fitted terms should make of them.
    fixed : ndarray, shape (n_structures,)
        Energies of the core and of single atoms, in eV.
    limits : ndarray, shape (n_structures,)
        Below these total energies in eV they are holes.
    inner, outer : ndarray of int64, shape (n,)
        Dimers that are holes too where they are not above others, which are a little longer.
    """

    rows: PseudoStructures
    fixed: FloatArray
    limits: FloatArray
    inner: npt.NDArray[np.int64]
    outer: npt.NDArray[np.int64]

    @classmethod
    def of(cls, pseudo: PseudoStructures, core: Repulsion, offsets: Offsets, level: Level | None, n_jobs: int) -> Pool:
        """Return pseudo-structures as they are fitted: crystals above those of the data, clusters above atoms."""
        batch = pseudo.structures
        starts, crystal = batch.offsets[:-1], np.arange(len(batch)) < pseudo.n_crystals
        alone = np.add.reduceat(offsets.of(batch), starts)
        typical = alone if level is None else np.add.reduceat(Offsets(level.energies).of(batch), starts)
        fixed = alone + np.add.reduceat(core.evaluate(batch, n_jobs)[0], starts)
        wanted = pseudo.energies + np.where(crystal, typical, alone)
        # The denser they are the farther above all data they should be, as others are not quite like them.
        above = 0.1 * pseudo.energies
        limits = typical + (-np.inf if level is None else level.lowest) * batch.n_atoms + above
        limits[~crystal] = (alone + 0.5 * pseudo.energies - _BONDS)[~crystal]
        return cls(replace(pseudo, energies=wanted - fixed), fixed, limits, *_dimers(batch, crystal, core))


def _dimers(
    batch: Batch, crystal: npt.NDArray[np.bool_], core: Repulsion
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return indices of dimers that are to repel each other, and of the next longer ones."""
    inner: list[int] = []
    outer: list[int] = []
    own = np.flatnonzero((batch.n_atoms == 2) & ~crystal)
    start = batch.offsets[own]
    lengths = np.linalg.norm(batch.positions[start + 1] - batch.positions[start], axis=1)
    for first, second in combinations_with_replacement(core.species, 2):
        of_pair = np.flatnonzero((batch.numbers[start] == first) & (batch.numbers[start + 1] == second))
        of_pair = of_pair[np.argsort(lengths[of_pair], kind="stable")]
        near = of_pair[lengths[of_pair] < 0.9 * core.near[first, second]]
        inner += own[near].tolist()
        outer += own[of_pair[1 : len(near) + 1]].tolist()
    return np.array(inner, dtype=np.int64), np.array(outer, dtype=np.int64)


def pool_sizes(n_functions: int, n_species: int) -> tuple[int, int]:
    """Return how many crystals are fitted to in any case, and among how many more holes are looked for."""
    n_pairs = n_species * (n_species + 1) // 2
    most = max(200, _POOL_BYTES // (8 * (n_functions + 1)))
    always = int(np.clip(n_functions // 4, 60, 200))
    return min(always * (1 + n_pairs) // 2, most), min(int(np.clip(2 * n_functions, 150, 2500)) * n_pairs, most)


def closing_rows(
    source: Sum,
    solution: Solution,
    errors: Callable[[FloatArray], FloatArray],
    allowed: FloatArray,
    always: Pool,
    more: Pool,
    n_jobs: int = 1,
) -> FloatArray:
    """Return rows of pseudo-structures, divided by their sigmas, with which a fit has no holes, or fewer.

    Those that are holes after a fit with the others get a third of their sigma, and so on until there are none. Where
    all of this would cost the data more than is allowed, sigmas stay larger.

    Parameters
    ----------
    source : Sum
        The terms.
    solution : Solution
        The fit to the data.
    errors : callable
        Of coefficients: the errors of each kind of label, nan where there are none.
    allowed : ndarray
        How large these may get.
    always : Pool
        What is fitted to in any case.
    more : Pool
        Among which holes are looked for.
    n_jobs : int
        Number of threads.

    Returns
    -------
    ndarray, shape (n_rows, n_functions + 1)
        With the target last.
    """
    from scipy.linalg import solve_triangular

    n, first, pools = source.n_functions, len(always.limits), (always, more)
    rows = np.empty((first + len(more.limits), n + 1))
    source.sums(always.rows.structures, rows[:first, :n], n_jobs)
    source.sums(more.rows.structures, rows[first:, :n], n_jobs)
    rows[:, n] = np.concatenate([pool.rows.energies for pool in pools])
    fixed, limits = (np.concatenate([getattr(pool, name) for pool in pools]) for name in ("fixed", "limits"))
    least = _LEAST * np.concatenate([pool.rows.sigmas for pool in pools])
    of_data = np.triu(solution.triangle)

    def holes_of(energies: FloatArray) -> npt.NDArray[np.bool_]:
        found = energies < limits
        start = 0
        for pool in pools:
            own = energies[start : start + len(pool.limits)]
            falling = pool.inner[own[pool.inner] <= own[pool.outer]]
            found[start + falling] = True
            start += len(own)
        return found

    def fitted(sigmas: FloatArray) -> tuple[FloatArray, npt.NDArray[np.bool_], bool]:
        """Return rows with finite sigmas, which structures are holes of a fit to them too, and whether it is dear."""
        used = np.isfinite(sigmas)
        scaled = rows[used] / sigmas[used, None]
        whole = merged(np.array(of_data, order="F"), np.array(scaled, order="F"), 0)
        x = solve_triangular(whole[:n, :n], whole[:n, n])
        return scaled, holes_of(rows[:, :n] @ x + fixed), bool((errors(x) > allowed).any())

    sigmas = np.where(np.arange(len(rows)) < first, least / _LEAST, np.inf)
    for _ in range(_ROUNDS):
        scaled, holes, dear = fitted(sigmas)
        if not dear:
            break
        sigmas *= 3
    else:
        return scaled[:0]
    for _ in range(_ROUNDS):
        again = np.where(np.isfinite(sigmas), np.maximum(sigmas / 3, least), least / _LEAST)
        changed = np.where(holes, again, sigmas)
        if np.array_equal(changed, sigmas):
            break
        trial, holes, dear = fitted(changed)
        if dear:
            break
        sigmas, scaled = changed, trial
    return scaled
