"""Closing holes of a potential: arrangements denser than any in the data that it takes to be better than all of these.

A fit of functions of many atoms goes astray where no data hold it, and a relaxation or molecular dynamics may fall in.
A repulsion of pairs alone does not prevent that: between the shortest distances of the data and those where the
functions of the fit are switched off, these are large and many. So pseudo-structures with wide errors are put among the
data (:mod:`atomprint.potentials.short_range.pseudo`); then more are drawn, again and again, and those that are holes
become inequalities of the fit, until there are none (:func:`close_holes`); and then other crystals and the dimers are
looked at (:func:`~atomprint.potentials.short_range.scan.scan_holes`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from atomprint.potentials.fitting.factors import Factors, merged
from atomprint.potentials.fitting.prior import Hyperparameters, Prior
from atomprint.potentials.fitting.solver import errors_of, held_out_errors, solve
from atomprint.potentials.short_range.dense import varied
from atomprint.potentials.short_range.inequalities import Inequalities
from atomprint.potentials.short_range.pseudo import Demands, PseudoData
from atomprint.potentials.terms.sums import Sum, evaluate_all
from atomprint.potentials.terms.term import Predictor
from atomprint.ragged import totals
from atomprint.structures import Batch, joined
from atomprint.util.types import FloatArray

_COST = 0.2  # of squared errors of structures that were left out: so much those of the data may grow by closing holes
_WIDER = 3.0  # the errors of pseudo-structures, where they would cost more
_TRIALS = 10
_ROUNDS = 15
_DRAWN = 2  # dense structures in a round, for each function and pair of elements
_DRAWN_OF_PAIR = (200, 1500)  # at least and at most for each pair
_MOST_DRAWN = 5000
_MOST_HOLES = 300  # of a round that become inequalities, the deepest
_MOST_BYTES = 1 << 26  # of inequalities


def close_holes(
    source: Sum,
    factors: Factors,
    prior: Prior,
    hyper: Hyperparameters,
    pseudo: PseudoData,
    *,
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
    pseudo : PseudoData
        What draws the structures.
    seed : int
        Of what is drawn.
    n_jobs : int
        Number of threads.
    """
    n_folds = len(factors.parts)

    def errors(x: FloatArray) -> FloatArray:
        return errors_of(factors, [x] * n_folds)

    solution = solve(factors, prior, hyper)
    typical = held_out_errors(factors, prior, hyper) if n_folds > 1 else errors(solution.coefficients)
    allowed = np.sqrt(errors(solution.coefficients) ** 2 + _COST * typical**2)
    factors.forget()
    rows = Closing(source, pseudo, lambda x: not (errors(x) > allowed).any(), seed, n_jobs).rows(solution.triangle)
    factors.hold(rows)
    # Nor may structures that were left out get worse, of which a fit to few data knows less: on average over the kinds
    # of labels, as these are weighed when sigmas are chosen.
    known = np.isfinite(typical) & (typical > 0)
    while n_folds > 1 and rows.size and np.abs(rows).max() > 1e-9:
        ratios = held_out_errors(factors, prior, hyper)[known] / typical[known]
        if np.log(np.maximum(ratios, 1e-300)).mean() < 0.5 * np.log(1 + 1.5 * _COST):
            break
        rows /= _WIDER
        factors.hold(rows)


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
        for _ in range(_ROUNDS):
            before = len(fit)
            self._demand(fit)
            if len(fit) == before:
                break
            if not self._cheap(fit.solve()):
                self._widen(fit, before)
                break
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

    def _demand(self, fit: Inequalities) -> None:
        """Draw structures, and add inequalities for those that are holes."""
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
        if (found := self._add(fit, fitted, crystals, self._pseudo.of_dense(crystals)[1])) is not None:
            self._holes = found if self._holes is None else joined(self._holes, found)
        self._add(fit, fitted, clusters, self._pseudo.of_clusters(clusters)[1])
        inner, outer, demands = self._dimers
        self._add(fit, fitted, inner, demands, outer)

    def _add(
        self, fit: Inequalities, fitted: list[Predictor], batch: Batch, demands: Demands, other: Batch | None = None
    ) -> Batch | None:
        """Add inequalities for structures that are holes, or differences of two that are, and return these."""
        missing = demands.least - self._energies(fitted, batch)
        if other is not None:
            missing += self._energies(fitted, other)
        n = self._source.n_functions
        room = min(2 * n + _MOST_HOLES, _MOST_BYTES // (8 * n)) - len(fit)
        holes = np.flatnonzero(missing > 0)
        deepest = np.argsort(-missing[holes] / demands.sigmas[holes], kind="stable")
        holes = holes[deepest[: min(room, _MOST_HOLES)]]
        if not len(holes):
            return None
        found = batch.pick(holes)
        rows = self._sums(found)
        if other is not None:
            rows -= self._sums(other.pick(holes))
        fit.add(rows, demands.energies[holes], demands.sigmas[holes])
        return found

    def _energies(self, fitted: list[Predictor], batch: Batch) -> FloatArray:
        """Return what the fitted terms make of structures."""
        return totals(evaluate_all(fitted, batch, self._n_jobs)[0], batch.offsets)

    def _sums(self, batch: Batch) -> FloatArray:
        rows = np.empty((len(batch), self._source.n_functions))
        self._source.sums(batch, rows, self._n_jobs)
        return rows

    def _draw(self) -> int:
        return int(self._rng.integers(1 << 31))
