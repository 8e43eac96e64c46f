"""Least squares from triangles, against the same with all rows at once."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from ase import Atoms
from scipy.stats import multivariate_normal

from atomprint.potentials import Solver
from atomprint.potentials.fitting import factors
from atomprint.potentials.fitting.factors import Targets, memory_needed, reduce_rows
from atomprint.potentials.fitting.left_out import leave_out
from atomprint.potentials.fitting.normal import NormalEquations
from atomprint.potentials.fitting.prior import Hyperparameters, Prior
from atomprint.potentials.fitting.shares import shared_rows
from atomprint.potentials.fitting.solver import (
    held_out_errors,
    log_evidence,
    scales_of,
    solve,
    solve_kinds,
)
from atomprint.structures import as_batch
from atomprint.util.memory import NotEnoughMemoryError

HYPER = Hyperparameters(0.002, 0.05, 3e-4, 0.3, 1.5)


class Drawn:
    """Rows that are drawn at random for each structure, of very different scales."""

    def __init__(self, n_functions, seed=0, stop=None):
        self.n_functions, self.seed, self.stop, self.calls = n_functions, seed, stop, 0

    def rows(self, batch, out, n_jobs=1):
        self.calls += 1
        if self.calls == self.stop:
            raise KeyboardInterrupt
        row = 0
        for s, n in enumerate(batch.n_atoms):
            rng = np.random.default_rng([self.seed, int(1e6 * batch.positions[batch.offsets[s], 0])])
            own = rng.standard_normal((7 + 3 * n, self.n_functions)) * 10.0 ** np.linspace(0, -9, self.n_functions)
            out[row : row + len(own)] = own
            row += len(own)

    def sums(self, batch, out, n_jobs=1):
        rows = np.empty((int(np.sum(7 + 3 * batch.n_atoms)), self.n_functions))
        self.rows(batch, rows)
        out[:] = rows[np.cumsum([0, *(7 + 3 * batch.n_atoms[:-1])])]

    def atoms(self, batch, out, n_jobs=1):
        out[:] = np.random.default_rng(self.seed).standard_normal(out.shape)


@pytest.fixture
def problem(monkeypatch):
    monkeypatch.setattr(factors, "_ROWS", 32)
    rng = np.random.default_rng(3)
    structures = [Atoms(f"H{2 + k % 3}", positions=rng.random((2 + k % 3, 3)), cell=[5] * 3) for k in range(23)]
    batch = as_batch(structures, periodic=None)
    n, n_atoms = len(batch), len(batch.numbers)
    energies, forces, stresses = rng.standard_normal(n), rng.standard_normal((n_atoms, 3)), rng.standard_normal((n, 6))
    energies[4], forces[7, 1], forces[20:30], stresses[3] = np.nan, np.nan, np.nan, np.nan
    targets = Targets(energies, forces, stresses, rng.uniform(0.5, 2, (n, 3)), np.full(n, 125.0))
    folds = rng.permutation(n) % 4
    return batch, targets, folds


def held(n_functions):
    """Return rows, with their targets, that are in every fit."""
    scales = np.append(10.0 ** np.linspace(0, -9, n_functions), 1.0)
    return np.random.default_rng(5).standard_normal((3, n_functions + 1)) * scales / [[0.5], [1.0], [2.0]]


def reduced(source, problem):
    found = reduce_rows(source, *problem)
    found.hold("some", held(source.n_functions))
    return found


def whole(source, problem, hyper, without=None, kinds=(0, 1, 2)):
    """Return all rows with their targets, divided by sigmas."""
    batch, targets, folds = problem
    found = []
    for s in range(len(batch)):
        if folds[s] == without:
            continue
        n, own = int(batch.n_atoms[s]), slice(batch.offsets[s], batch.offsets[s + 1])
        rows = np.empty((7 + 3 * n, source.n_functions))
        source.rows(batch[s : s + 1], rows)
        rows[-6:] /= targets.volumes[s]
        labels = np.concatenate([[targets.energies[s]], targets.forces[own].ravel(), targets.stresses[s]])
        kind = np.repeat([0, 1, 2], [1, 3 * n, 6])
        sigmas = np.array([hyper.sigma_energy * np.sqrt(n), hyper.sigma_forces, hyper.sigma_stress])
        scale = (sigmas / targets.weights[s])[kind]
        keep = np.isfinite(labels) & np.isin(kind, kinds)
        found.append((np.column_stack([rows, labels]) / scale[:, None])[keep])
    return np.concatenate(found if len(kinds) < 3 else [*found, held(source.n_functions)])


def prior_of(found, n):
    return Prior(np.arange(n) / 3.0, scales_of(found, [slice(0, n)]))


@pytest.mark.parametrize("n_functions", [5, 60])
def test_triangles_give_the_least_squares_of_all_rows(problem, n_functions):
    source = Drawn(n_functions)
    found = reduced(source, problem)
    prior = prior_of(found, n_functions)
    for without in (None, 0, 1, 2, 3):
        rows = whole(source, problem, HYPER, without)
        system = np.concatenate([rows, prior.factor(HYPER)])
        # Columns of one length, so that the answer itself is as good as can be.
        scales = np.linalg.norm(system[:, :-1], axis=0)
        expected = np.linalg.lstsq(system[:, :-1] / scales, system[:, -1], rcond=None)[0] / scales
        x = solve(found, prior, HYPER, without).coefficients
        np.testing.assert_allclose(
            x * scales, expected * scales, rtol=1e-9, atol=1e-9 * np.abs(expected * scales).max()
        )
    counts = [np.isfinite(array).sum() for array in (problem[1].energies, problem[1].forces, problem[1].stresses)]
    np.testing.assert_array_equal(found.counts, counts)
    rows = whole(source, problem, HYPER, kinds=(1,))
    system = np.concatenate([rows, prior.factor(HYPER)])
    scales = np.linalg.norm(system[:, :-1], axis=0)
    expected = np.linalg.lstsq(system[:, :-1] / scales, system[:, -1], rcond=None)[0] / scales
    alone = solve_kinds(found, prior, HYPER, (1,)).coefficients
    np.testing.assert_allclose(alone * scales, expected * scales, atol=1e-9 * np.abs(expected * scales).max())


def test_errors_of_left_out_folds_are_those_of_fits_without_them(problem):
    batch, targets, folds = problem
    source = Drawn(40)
    found = reduced(source, problem)
    prior = prior_of(found, 40)
    one = Hyperparameters(1.0, 1.0, 1.0, 0.3, 1.5)
    errors = [[], [], []]
    for s, fold in enumerate(folds):
        x = np.append(solve(found, prior, HYPER, fold).coefficients, -1)
        atoms = slice(batch.offsets[s], batch.offsets[s + 1])
        labels = targets.energies[s : s + 1], targets.forces[atoms], targets.stresses[s : s + 1]
        own = Targets(*labels, np.ones((1, 3)), targets.volumes[s : s + 1])
        for kind in range(3):
            rows = whole(source, (batch[s : s + 1], own, folds[s : s + 1]), one, kinds=(kind,))
            errors[kind] += list(np.abs(rows @ x) / (np.sqrt(batch.n_atoms[s]) if kind == 0 else 1))
    expected = [np.sqrt((np.sort(kind)[: int(np.ceil(0.95 * len(kind)))] ** 2).mean()) for kind in errors]
    np.testing.assert_allclose(held_out_errors(found, prior, HYPER), expected, rtol=1e-7)


@pytest.mark.parametrize("n_functions", [5, 60])
def test_structures_that_are_left_out_are_predicted_by_fits_without_them(problem, n_functions):
    batch, targets, folds = problem
    source = Drawn(n_functions)
    found = reduced(source, problem)
    prior = prior_of(found, n_functions)
    same_as = np.where(np.arange(len(batch)) == 9, 2, np.arange(len(batch)))
    values = leave_out(source, batch, targets, same_as, folds, solve(found, prior, HYPER), HYPER)
    one = Hyperparameters(1.0, 1.0, 1.0, 0.3, 1.5)
    for first in np.unique(same_as):
        system = np.concatenate([whole(source, (batch, targets, same_as), HYPER, first), prior.factor(HYPER)])
        triangle = np.linalg.qr(system, mode="r")
        inverse = np.linalg.inv(triangle[:n_functions, :n_functions])
        x = np.append(inverse @ triangle[:n_functions, n_functions], -1)
        # The rows of these alone, without weights.
        others = np.where(same_as == first, -1, 0)
        labels = targets.energies, targets.forces, targets.stresses
        plain = batch, Targets(*labels, np.ones((len(batch), 3)), targets.volumes), others
        for kind, of_kind in enumerate(values):
            rows = whole(source, plain, one, without=0, kinds=(kind,))
            own = of_kind.structures == first
            if kind == 0:
                rows *= np.sqrt(of_kind.n_atoms[own])[:, None]
            np.testing.assert_allclose(of_kind.errors[own], rows @ x, rtol=1e-6)
            np.testing.assert_allclose(of_kind.variances[own], ((rows[:, :-1] @ inverse) ** 2).sum(axis=1), rtol=1e-6)


def test_evidence_is_that_of_a_normal_distribution(problem):
    batch, targets, folds = problem
    labels = targets.energies, targets.forces, targets.stresses
    targets = Targets(*labels, np.ones((len(batch), 3)), targets.volumes)
    source = Drawn(6)
    found = reduce_rows(source, batch, targets, folds)
    prior = prior_of(found, 6)
    hyper = Hyperparameters(0.3, 1.5, 0.7, 0.8, 1.0)
    one = Hyperparameters(1.0, 1.0, 1.0, 0.8, 1.0)
    kinds = [whole(source, (batch, targets, folds), one, kinds=(kind,)) for kind in range(3)]
    counts, rows = [len(kind) for kind in kinds], np.concatenate(kinds)
    noise = np.repeat(hyper.sigmas, counts) ** 2
    weights = np.linalg.inv(prior.factor(hyper)[:6, :6])
    covariance = rows[:, :6] @ weights @ weights.T @ rows[:, :6].T + np.diag(noise)
    expected = multivariate_normal(np.zeros(len(rows)), covariance).logpdf(rows[:, 6])
    assert log_evidence(found, prior, hyper) == pytest.approx(expected, rel=1e-9)


def test_priors_may_be_given_as_rows():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((9, 5))
    prior = Prior(np.zeros(8), np.ones(8), [(2, rows)])
    factor = prior.factor(HYPER)
    np.testing.assert_allclose(factor[2:7, 2:7].T @ factor[2:7, 2:7], 0.09 * rows.T @ rows)
    assert not np.tril(factor, -1).any()


def test_a_fit_that_was_killed_goes_on_to_the_same_numbers(problem, monkeypatch, tmp_path):
    monkeypatch.setattr(factors, "_SECONDS", 0.0)
    monkeypatch.setattr(factors, "_SHARE", 0.0)
    straight = reduce_rows(Drawn(20), *problem)
    path = tmp_path / "fit.checkpoint"
    n_calls = 0
    for stop in (2, 4, 7):  # killed again and again
        source = Drawn(20, stop=stop)
        with pytest.raises(KeyboardInterrupt):
            reduce_rows(source, *problem, checkpoint=path, fingerprint="one")
        n_calls += stop - 1
        assert path.exists()
    with pytest.raises(ValueError, match="is of another fit"):
        reduce_rows(Drawn(20), *problem, checkpoint=path, fingerprint="other")
    source = Drawn(20)
    resumed = reduce_rows(source, *problem, checkpoint=path, fingerprint="one")
    again = Drawn(20)
    reduce_rows(again, *problem)
    assert n_calls + source.calls == again.calls
    assert not path.exists()
    for one, other in zip(straight.parts, resumed.parts, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a.array, b.array)
            assert a.n_rows == b.n_rows
    for a, b in zip(straight.samples, resumed.samples, strict=True):
        np.testing.assert_array_equal(a.rows, b.rows)
        np.testing.assert_array_equal(a.folds, b.folds)
        np.testing.assert_array_equal(a.n_atoms, b.n_atoms)
    path.write_bytes(b"PK\x03\x04 and so on")
    with pytest.raises(ValueError, match="damaged"):
        reduce_rows(Drawn(20), *problem, checkpoint=path, fingerprint="one")


def test_the_choice_takes_what_is_given_and_finds_the_rest(problem):
    source = Drawn(12)
    found = reduced(source, problem)
    prior = prior_of(found, 12)
    fixed = Solver(sigma_energy=0.01, regularisation=2.0, power=0.5).choose(found, prior)
    assert fixed == Hyperparameters(0.01, 0.05, fixed.sigma_stress, 2.0, 0.5)
    told = []
    chosen = Solver().choose(found, prior, lambda *step: told.append(step))
    start = Hyperparameters(0.002, 0.05, chosen.sigma_stress, 0.03, 1.0)
    losses = [np.log(held_out_errors(found, prior, hyper)).sum() for hyper in (chosen, start)]
    assert losses[0] <= losses[1]
    assert told[-1][1] == told[-1][2] > 3
    by_evidence = Solver(criterion="evidence", power=1.0).choose(found, prior)
    assert log_evidence(found, prior, by_evidence) >= log_evidence(found, prior, start)


@pytest.mark.parametrize("n_functions", [6, 12, 40])
def test_normal_equations_are_as_good_as_triangles(problem, n_functions):
    found = reduced(Drawn(n_functions), problem)
    block = np.linalg.cholesky(np.eye(3) + 0.5).T
    prior = Prior(np.arange(n_functions) % 5.0, scales_of(found, [slice(0, n_functions)]), [(2, block)])
    normal = NormalEquations(found, prior, HYPER.sigma_forces, HYPER.sigma_stress)
    for fold in range(found.n_folds):
        exact = solve(found, prior, HYPER, fold).coefficients * prior.scales
        np.testing.assert_allclose(normal.coefficients(HYPER, fold) * prior.scales, exact, atol=1e-8 * abs(exact).max())
    # Some of the columns: as if those of others were nothing.
    some = np.array([0, 2, 3, 4])
    for parts in found.parts:
        for part in parts:
            part.array = np.array(part.array if part.array.ndim == 2 else factors.unpacked(part.array), order="C")
            part.array[:, np.setdiff1d(np.arange(n_functions), some)] = 0
    found.hold("some", np.zeros((0, n_functions + 1)))
    normal = NormalEquations(found, prior, HYPER.sigma_forces, HYPER.sigma_stress)
    exact = solve(found, prior, HYPER, 1).coefficients
    np.testing.assert_allclose(normal.coefficients(HYPER, 1, some), exact, atol=1e-8 * abs(exact).max())
    # Without a prior that holds them, columns that are the same cannot be told apart.
    for parts in found.parts:
        for part in parts:
            part.array[:, 3] = part.array[:, 2]
    weak = replace(HYPER, regularisation=1e-9)
    prior = Prior(np.zeros(n_functions), np.ones(n_functions))
    assert NormalEquations(found, prior, HYPER.sigma_forces, HYPER.sigma_stress).coefficients(weak, 0) is None


def test_many_functions_are_looked_at_by_the_smoothest_first(problem, monkeypatch):
    found = reduced(Drawn(30), problem)
    prior = prior_of(found, 30)
    monkeypatch.setattr("atomprint.potentials.fitting.solver._SMOOTHEST", 10)
    chosen = Solver().choose(found, prior)
    losses = [
        np.log(held_out_errors(found, prior, replace(chosen, regularisation=value * chosen.regularisation))).sum()
        for value in (0.1, 1.0, 100.0)
    ]
    assert losses[1] <= min(losses) + 0.1


def test_folds_share_out_types_and_keep_what_is_the_same_together():
    types = ["a"] * 40 + ["b"] * 8
    same = np.arange(48)
    same[5] = same[41] = 3
    folds = Solver().folds(types, same)
    assert folds[5] == folds[41] == folds[3]
    assert (np.bincount(folds[:40], minlength=4) >= 9).all()
    assert (np.bincount(np.delete(folds[40:], 1), minlength=4) >= 1).all()
    np.testing.assert_array_equal(folds, Solver().folds(types, same))


def test_too_much_memory_is_told_before(problem, monkeypatch):
    needed = memory_needed(10_000, 4, [1000, 100_000, 6000], 700)
    assert 4e9 < needed < 2e10
    monkeypatch.setattr(factors, "available_memory", lambda: 10**9)
    more_rows = memory_needed(10_000, 4, [10**6, 10**9, 6 * 10**6], 700)
    assert more_rows < 1.6 * needed  # they are streamed: only functions need memory
    with pytest.raises(NotEnoughMemoryError, match=r"10000 functions and 4 folds take .* GB .*, and 1 GB are left"):
        factors.check_memory(needed, 10_000, 4)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"sigma_forces": 0}, "sigma_forces must be > 0, got 0"),
        ({"regularisation": -1.0}, "regularisation must be > 0, got -1.0"),
        ({"n_folds": 1}, "n_folds must be >= 2, got 1"),
        ({"criterion": "best"}, "criterion must be"),
    ],
)
def test_parameters_are_checked(parameters, message):
    with pytest.raises(ValueError, match=message):
        Solver(**parameters)


def test_shares_hold_single_atoms_and_leave_sums_as_they_are(problem):
    source, batch = Drawn(12), problem[0]
    known = np.random.default_rng(1).standard_normal(len(batch.numbers))
    rows = shared_rows(source, batch, known)
    assert rows.shape == (len(batch.numbers), 13)  # all atoms are drawn, as structures have no more than four
    np.testing.assert_allclose(np.add.reduceat(rows, batch.offsets[:-1]), 0, atol=1e-12)
    of_atoms = np.empty((len(batch.numbers), 12))
    source.atoms(batch, of_atoms)
    x = np.random.default_rng(2).standard_normal(12)
    energies = of_atoms @ x + known
    for start, stop in pairwise(batch.offsets):
        own = energies[start:stop]
        found = rows[start:stop, :-1] @ x - rows[start:stop, -1]
        np.testing.assert_allclose(np.sort(found), np.sort(own - own.mean()), atol=1e-12)
