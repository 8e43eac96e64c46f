"""Closing holes of a potential: arrangements denser than any in the data that it takes to be better than all of these.

A fit of functions of many atoms goes astray where no data hold it, and a relaxation or molecular dynamics may fall in.
A repulsion of pairs alone does not prevent that: between the shortest distances of the data and those where the
functions of the fit are switched off, these are large and many. So pseudo-structures with wide errors are put among the
data (:mod:`atomprint.potentials.short_range.pseudo`); then more are drawn, again and again, and those that are holes
become inequalities of the fit, until there are none (:func:`close_holes`); and then other crystals and the dimers are
looked at (:func:`~atomprint.potentials.short_range.scan.scan_holes`).

What is drawn is dense, or what dynamics come to that start from the data. A structure is a hole where it is lower than
it may be, or where one of its atoms is: too low atoms among high ones may come together in another structure.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from ase import units
from ase.data import atomic_masses

from atomprint.potentials.fitting.factors import Factors, IntArray, merged
from atomprint.potentials.fitting.prior import Hyperparameters, Prior
from atomprint.potentials.fitting.solver import errors_of, held_out_errors, solve
from atomprint.potentials.short_range.dense import varied
from atomprint.potentials.short_range.inequalities import Inequalities
from atomprint.potentials.short_range.pseudo import Demands, PseudoData
from atomprint.potentials.terms.sums import Kept, Sum, evaluate_all
from atomprint.potentials.terms.term import Predictor
from atomprint.ragged import totals
from atomprint.structures import Batch, joined
from atomprint.util.types import FloatArray

_COST = 0.3  # of squared errors of structures that were left out: so much those of the data may grow by closing holes
_WIDER = 3.0  # the errors of pseudo-structures, where they would cost more
_TRIALS = 10
_ROUNDS = 8
_DRAWN = 2  # dense structures in a round, for each function and pair of elements
_DRAWN_OF_PAIR = (200, 1500)  # at least and at most for each pair
_MOST_DRAWN = 5000
_MOST_HOLES = 300  # of a round that become inequalities, the deepest
_SPARE = 300  # of inequalities, for what dynamics find
_MOST_BYTES = 1 << 26  # of inequalities
# Dynamics of small structures of the data: atoms, steps, and after how many of these energies are looked at.
_HEATED, _STEPS, _LOOK = 300, 300, 50
_HEAT = (0.1, 0.3)  # kT in eV
_TIMESTEP, _FRICTION = 2.0, 0.02  # fs and 1/fs
_FASTEST = 5.0  # in units of thermal velocities: forces that are wrong may be of any size

_NOT_CONVERGED = (
    "The fit under inequalities that close holes took more steps than it may: it is not the best there is, and more "
    "holes may be left."
)


def close_holes(
    source: Sum,
    factors: Factors,
    prior: Prior,
    hyper: Hyperparameters,
    pseudo: PseudoData,
    *,
    seed: int,
    n_jobs: int = 1,
) -> list[str]:
    """Add rows of pseudo-structures to the factors of a fit, so that it has no holes, or fewer.

    Parameters
    ----------
    source : Sum
        The terms.
    factors, prior, hyper
        Of the fit to the data. The factors are changed: they hold the rows.
    pseudo : PseudoData
        What draws the structures.
    seed : int
        Of what is drawn.
    n_jobs : int
        Number of threads.

    Returns
    -------
    list of str
        What there is to note.
    """
    n_folds = len(factors.parts)

    def errors(x: FloatArray) -> FloatArray:
        return errors_of(factors, [x] * n_folds)

    solution = solve(factors, prior, hyper)
    typical = held_out_errors(factors, prior, hyper) if n_folds > 1 else errors(solution.coefficients)
    allowed = np.sqrt(errors(solution.coefficients) ** 2 + _COST * typical**2)
    factors.forget()
    closing = Closing(source, pseudo, lambda x: not (errors(x) > allowed).any(), seed, n_jobs)
    rows = closing.rows(solution.triangle)
    factors.hold("closing", rows)
    # Nor may structures that were left out get worse, of which a fit to few data knows less: on average over the kinds
    # of labels, as these are weighed when sigmas are chosen.
    known = np.isfinite(typical) & (typical > 0)
    while n_folds > 1 and rows.size and np.abs(rows).max() > 1e-9:
        ratios = held_out_errors(factors, prior, hyper)[known] / typical[known]
        if np.log(np.maximum(ratios, 1e-300)).mean() < 0.5 * np.log(1 + 1.5 * _COST):
            break
        rows /= _WIDER
        factors.hold("closing", rows)
    return [] if closing.converged else [_NOT_CONVERGED]


def memory_of_closing(n_functions: int) -> int:
    """Return how many bytes inequalities take at most: with their Gram matrix, and copies as these grow."""
    n = _most_inequalities(n_functions)
    return 2 * 8 * n * (n_functions + n) + 6 * 8 * (n_functions + 1) ** 2


def _most_inequalities(n_functions: int) -> int:
    return min(2 * n_functions + _MOST_HOLES, _MOST_BYTES // (8 * n_functions))


class Closing:
    """The search for rows with which a fit has no holes.

    Parameters
    ----------
    source : Sum
        The terms.
    pseudo : PseudoData
        What draws structures.
    cheap : callable
        Whether coefficients do not cost the data too much.
    seed : int
        Of what is drawn.
    n_jobs : int
        Number of threads.
    """

    def __init__(
        self, source: Sum, pseudo: PseudoData, cheap: Callable[[FloatArray], bool], seed: int, n_jobs: int = 1
    ) -> None:
        self._source, self._pseudo, self._cheap, self._n_jobs = source, pseudo, cheap, n_jobs
        self._rng = np.random.default_rng(seed)
        self._dimers = pseudo.dimers()
        self._holes: Batch | None = None  # dense ones that have been found
        self.converged = True  # the fit under inequalities

    def rows(self, triangle: FloatArray) -> FloatArray:
        """Return rows over their sigmas, with the target last, for the fit with this triangle."""
        always = self._always()
        of_data = np.triu(triangle)
        for _ in range(_TRIALS):
            fit = Inequalities(merged(np.array(of_data, order="F"), np.array(always, order="F"), 0))
            if self._cheap(fit.coefficients):
                break
            always /= _WIDER
        else:
            return always[:0]
        lowest = None
        if self._pseudo.level is not None:
            lowest = self._pseudo.lowest_atoms(self._source.predictors(fit.coefficients), self._draw())
        demands = [self._demand_of_heated, self._demand_of_dense]
        for _ in range(_ROUNDS):
            for demand in tuple(demands):
                before = len(fit)
                demand(fit, lowest)
                if len(fit) == before:
                    demands.remove(demand)
                elif not self._cheap(fit.solve()):
                    self._widen(fit, before)
        self.converged = fit.converged
        return np.concatenate([always, fit.rows()])

    def _widen(self, fit: Inequalities, before: int) -> None:
        """Let the inequalities from some on give way, until they do not cost too much."""
        for _ in range(_TRIALS):
            fit.sigmas[before:] *= _WIDER
            if self._cheap(fit.solve()):
                return
        fit.keep(before)
        fit.solve()

    def _always(self) -> FloatArray:
        """Return the rows of structures that are fitted to in any case."""
        n = self._source.n_functions
        n_species = len(self._pseudo.core.species)
        count = int(np.clip(n // 4, 60, 400)) * (1 + n_species * (n_species + 1) // 2) // 2
        crystals = self._pseudo.dense(min(count, _MOST_DRAWN), self._draw())
        clusters = self._pseudo.clusters(max(1, 3 * count // 20), self._draw())
        wanted = self._pseudo.of_dense(crystals)[0], self._pseudo.of_clusters(clusters)[0]
        rows = np.empty((len(crystals) + len(clusters), n + 1))
        self._source.sums(joined(crystals, clusters), rows[:, :n], self._n_jobs)
        rows[:, n] = np.concatenate([part.energies for part in wanted])
        rows /= np.concatenate([part.sigmas for part in wanted])[:, None]
        return rows

    def _demand_of_dense(self, fit: Inequalities, lowest: FloatArray | None) -> None:
        """Draw structures, and add inequalities for those that are holes."""
        if self._room(fit) <= _SPARE:
            return
        n_species = len(self._pseudo.core.species)
        n_drawn = int(np.clip(_DRAWN * self._source.n_functions, *_DRAWN_OF_PAIR))
        count = min(n_drawn * n_species * (n_species + 1) // 2, _MOST_DRAWN)
        fitted = self._source.predictors(fit.coefficients)
        crystals = self._pseudo.dense(count, self._draw())
        if self._holes is not None:
            # Those that have been found, a little different.
            some = self._holes.pick(self._rng.integers(len(self._holes), size=count // 4))
            crystals = joined(crystals, varied(some, self._pseudo.core.near, self._draw()))
        clusters = self._pseudo.clusters(count // 10, self._draw())
        energies = evaluate_all(fitted, crystals, self._n_jobs)[0]
        holes = [self._add(fit, crystals, self._pseudo.of_dense(crystals)[1], totals(energies, crystals.offsets))]
        if lowest is not None:
            holes.append(self._add_atoms(fit, crystals, self._pseudo.of_atoms(crystals, lowest), energies))
        for found in holes:
            if found is not None:
                self._holes = found if self._holes is None else joined(self._holes, found)
        self._add(fit, clusters, self._pseudo.of_clusters(clusters)[1], self._energies(fitted, clusters))
        inner, outer, demands = self._dimers
        self._add(fit, inner, demands, self._energies(fitted, inner) - self._energies(fitted, outer), outer)

    def _demand_of_heated(self, fit: Inequalities, lowest: FloatArray | None) -> None:
        """Add inequalities for what dynamics find that start from small structures of the data."""
        small = self._pseudo.small(_HEATED, self._draw())
        if lowest is None or self._pseudo.level is None or not len(small):
            return
        fitted, heat = self._source.predictors(fit.coefficients), self._rng.uniform(*_HEAT, len(small))
        heated = self._heated(fitted, small, heat)
        demands = self._pseudo.of_dense(heated)[1]
        # kT / 2 for each way in which atoms may move, but for three standard deviations; at first half of that. It
        # is no more than atoms have in the data, as what is torn apart takes up no more energy.
        ways = 1.5 * (heated.n_atoms - 2)
        gained = np.tile(heat, len(heated) // len(small)) * np.maximum(ways - 3 * np.sqrt(ways), 0)
        gained = np.minimum(gained, self._pseudo.level.typical * heated.n_atoms)
        demands = Demands(demands.energies + gained, demands.sigmas, demands.least + 0.5 * gained)
        energies = evaluate_all(fitted, heated, self._n_jobs)[0]
        self._add(fit, heated, demands, totals(energies, heated.offsets))
        self._add_atoms(fit, heated, self._pseudo.of_atoms(heated, lowest), energies)

    def _heated(self, fitted: list[Predictor], batch: Batch, heat: FloatArray) -> Batch:
        """Return structures after some dynamics, from time to time, at temperatures given by kT in eV."""
        energy = np.repeat(heat, batch.n_atoms)[:, None]
        masses = atomic_masses[batch.numbers][:, None]
        parts, kept = [*fitted, self._pseudo.table], list[Batch]()
        kept_share = np.exp(-_FRICTION * _TIMESTEP)
        moving = Kept(parts, batch, self._n_jobs)
        positions, time = batch.positions.copy(), _TIMESTEP * units.fs
        velocities = np.sqrt(energy / masses) * self._rng.standard_normal(positions.shape)
        slopes = moving.evaluate(positions, batch.cells)[1]
        for step in range(_STEPS):
            velocities -= 0.5 * time * slopes / masses
            positions += 0.5 * time * velocities
            noise = np.sqrt((1 - kept_share**2) * energy / masses)
            velocities = kept_share * velocities + noise * self._rng.standard_normal(positions.shape)
            fastest = _FASTEST * np.sqrt(energy / masses)
            velocities = np.clip(velocities, -fastest, fastest)
            positions += 0.5 * time * velocities
            slopes = moving.evaluate(positions, batch.cells)[1]
            velocities -= 0.5 * time * slopes / masses
            if (step + 1) % _LOOK == 0:
                kept.append(batch.moved(positions.copy(), batch.cells))
        return joined(*kept)

    def _add(
        self, fit: Inequalities, batch: Batch, demands: Demands, energies: FloatArray, other: Batch | None = None
    ) -> Batch | None:
        """Add inequalities for structures that are holes, or differences of two that are, and return these."""
        holes = self._deepest(fit, demands, energies)
        if not len(holes):
            return None
        found = batch.pick(holes)
        rows = self._sums(found)
        if other is not None:
            rows -= self._sums(other.pick(holes))
        fit.add(rows, demands.energies[holes], demands.sigmas[holes])
        return found

    def _add_atoms(self, fit: Inequalities, batch: Batch, demands: Demands, energies: FloatArray) -> Batch | None:
        """Add inequalities for atoms that are too low, at most one of each structure, and return the structures."""
        depths = (demands.least - energies) / demands.sigmas
        deepest = np.lexsort((-depths, np.repeat(np.arange(len(batch)), batch.n_atoms)))[batch.offsets[:-1]]
        some = Demands(demands.energies[deepest], demands.sigmas[deepest], demands.least[deepest])
        holes = self._deepest(fit, some, energies[deepest])
        if not len(holes):
            return None
        found = batch.pick(holes)
        rows = np.empty((len(found.numbers), self._source.n_functions))
        self._source.atoms(found, rows, self._n_jobs)
        rows = rows[found.offsets[:-1] + deepest[holes] - batch.offsets[holes]]
        fit.add(rows, some.energies[holes], some.sigmas[holes])
        return found

    def _deepest(self, fit: Inequalities, demands: Demands, energies: FloatArray) -> IntArray:
        """Return which energies are too low: the lowest, as many as there is room for."""
        missing = demands.least - energies
        holes = np.flatnonzero(missing > 0)
        deepest = np.argsort(-missing[holes] / demands.sigmas[holes], kind="stable")
        return holes[deepest[: max(0, min(self._room(fit), _MOST_HOLES))]]

    def _room(self, fit: Inequalities) -> int:
        """Return how many more inequalities there may be."""
        return _most_inequalities(self._source.n_functions) - len(fit)

    def _energies(self, fitted: list[Predictor], batch: Batch) -> FloatArray:
        """Return what the fitted terms make of structures."""
        return totals(evaluate_all(fitted, batch, self._n_jobs)[0], batch.offsets)

    def _sums(self, batch: Batch) -> FloatArray:
        rows = np.empty((len(batch), self._source.n_functions))
        self._source.sums(batch, rows, self._n_jobs)
        return rows

    def _draw(self) -> int:
        return int(self._rng.integers(1 << 31))
