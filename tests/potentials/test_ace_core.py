"""The fused pass of ACE against the descriptor that it is made of, which has tests of its own."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from ase.build import bulk
from descriptors.test_ace_core import CHANNELS, NUMBERS, CoreAce, ace, structures

from atomprint import _core
from atomprint.descriptors import SOAP
from atomprint.potentials.terms.compiled import CompiledPredictor
from atomprint.potentials.terms.pair_table import PairTable
from atomprint.potentials.terms.term import VOIGT
from atomprint.structures import as_batch
from atomprint.testing import instruction_set, instruction_sets

MODELS = {"float64": _core.AcePotential64, "float32": _core.AcePotential32}
# Relative to the largest number; in float32 sums of some hundred terms that partly cancel.
ERRORS = {"float64": 1e-13, "float32": 3e-6}


def weights(basis):
    return np.random.default_rng(0).normal(size=(len(NUMBERS), basis.n_functions))


def predictor(name, dtype="float64"):
    core, basis, _ = ace(name)
    return CompiledPredictor(MODELS[dtype](core, weights(basis)), tuple(NUMBERS))


@pytest.mark.parametrize("isa", instruction_sets())
@pytest.mark.parametrize("dtype", MODELS)
@pytest.mark.parametrize("name", CHANNELS)
def test_it_is_the_weighted_sum_of_features(name, dtype, isa):
    batch = as_batch(structures(), periodic=None)
    kinds = np.searchsorted(NUMBERS, batch.numbers)
    rows = [weights(ace(name)[1])[kinds[start:stop]] for start, stop in pairwise(batch.offsets)]
    found = CoreAce(name).vjp(batch, rows, return_descriptor=True)
    wanted = (
        np.concatenate([(x * w).sum(axis=1) for x, w in zip(found.descriptor, rows, strict=True)]),
        np.concatenate([np.asarray(x).reshape(-1, 3) for x in found.positions]),
        found.strain,
    )
    with instruction_set(isa):
        got = predictor(name, dtype).evaluate(batch)
    for value, exact in zip(got, wanted, strict=True):
        np.testing.assert_allclose(value, exact, rtol=0, atol=ERRORS[dtype] * abs(exact).max())
        assert abs(exact).max() > 0.1


def test_functions_stop_growing_beyond_limits_of_the_density():
    core, basis, _ = ace("mixed")
    atoms = structures()
    batch = as_batch([*atoms, *(bulk("SiC", "zincblende", a=a) for a in (3.4, 2.4, 1.9))], periodic=None)
    densities = np.empty(len(batch.numbers))
    _core.AceRows(core).densities(batch.core(), densities, 1)
    limits = [float(np.quantile(densities[batch.numbers == z], 0.5)) for z in NUMBERS]
    own = weights(basis)
    free, limited = (
        CompiledPredictor(_core.AcePotential64(core, own, given), tuple(NUMBERS)) for given in ([], limits)
    )
    found, without = limited.evaluate(batch), free.evaluate(batch)
    below = densities <= np.array(limits)[np.searchsorted(NUMBERS, batch.numbers)]
    assert 0 < below.sum() < len(below)
    np.testing.assert_array_equal(found[0][below], without[0][below])
    assert (found[0] != without[0])[~below].all()
    dense = slice(batch.offsets[-2], batch.offsets[-1])
    assert abs(found[0][dense]).max() < 0.05 * abs(without[0][dense]).max()
    # Rows are of the same functions, and derivatives are those of energies.
    rows = np.empty((int((7 + 3 * batch.n_atoms).sum()), 2 * basis.n_functions))
    _core.AceRows(core, limits).rows(batch.core(), rows, 1)
    start = 0
    for s, (first, last) in enumerate(pairwise(batch.offsets)):
        got, start = rows[start : start + 7 + 3 * (last - first)] @ own.ravel(), start + 7 + 3 * (last - first)
        strain = [found[2][s][place] for place in VOIGT]
        wanted = np.concatenate([[found[0][first:last].sum()], -found[1][first:last].ravel(), strain])
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-12 * max(1, abs(wanted).max()))
    step, move = 1e-5, np.random.default_rng(1).normal(size=batch.positions.shape)
    ends = [limited.evaluate(batch.moved(batch.positions + k * step * move, batch.cells))[0] for k in (-2, -1, 1, 2)]
    slopes = np.add.reduceat((ends[0] - 8 * ends[1] + 8 * ends[2] - ends[3]) / (12 * step), batch.offsets[:-1])
    wanted = np.add.reduceat((found[1] * move).sum(axis=1), batch.offsets[:-1])
    np.testing.assert_allclose(slopes, wanted, rtol=1e-7, atol=1e-7 * abs(wanted).max())
    with pytest.raises(ValueError, match="limits must be none, or one of each species"):
        _core.AceRows(core, [1.0])
    with pytest.raises(ValueError, match="limits must be positive"):
        _core.AcePotential64(core, own, [1.0, 0.0])


def test_no_result_depends_on_threads_or_on_other_structures():
    model = predictor("mixed")
    batch = as_batch(structures(), periodic=None)
    together = model.evaluate(batch)
    for one, several in zip(together, model.evaluate(batch, 4), strict=True):
        np.testing.assert_array_equal(one, several)
    for s in range(len(batch)):
        own = slice(batch.offsets[s], batch.offsets[s + 1])
        energies, gradient, strain = model.evaluate(batch[s : s + 1])
        np.testing.assert_array_equal(energies, together[0][own])
        np.testing.assert_array_equal(gradient, together[1][own])
        np.testing.assert_array_equal(strain[0], together[2][s])


def test_atoms_that_move_are_followed():
    rng = np.random.default_rng(2)
    model, atoms = predictor("full"), bulk("SiC", "zincblende", a=4.4) * (2, 2, 1)
    kept = model.prepare(as_batch(atoms))
    for _ in range(12):
        atoms.rattle(0.06, rng=rng)
        atoms.set_cell(atoms.cell @ (np.eye(3) + rng.normal(0, 0.01, (3, 3))), scale_atoms=True)
        batch = as_batch(atoms)
        for got, wanted in zip(kept.evaluate(batch.positions, batch.cells), model.evaluate(batch), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-12 * max(1, abs(wanted).max()))
    assert 2 <= kept.n_lists <= 11


def test_threads_that_share_kept_neighbours_wait_for_each_other():
    model, atoms = predictor("one"), bulk("Si", a=5.4) * (5, 5, 5)
    kept = model.prepare(as_batch(atoms))
    places = []
    for seed in range(8):
        atoms.rattle(0.5, seed=seed)  # so that each call lists neighbours again
        places.append(as_batch(atoms))
    wanted = [model.evaluate(batch) for batch in places]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda batch: kept.evaluate(batch.positions, batch.cells), places * 4))
    for got, exact in zip(found, wanted * 4, strict=True):
        np.testing.assert_allclose(got[0], exact[0], rtol=0, atol=1e-11 * abs(exact[0]).max())


def test_pairs_are_those_of_the_same_cutoff():
    core, basis, _ = ace("full")
    batch = as_batch(structures(), periodic=None)
    near = PairTable(NUMBERS, {(6, 6): np.zeros((3, 3))}, {(6, 6): 1.0})
    prepared = near._model.prepare(batch.core(), 0.5)
    out = np.empty(len(batch.numbers)), np.empty((len(batch.numbers), 3)), np.empty((len(batch), 3, 3))
    with pytest.raises(ValueError, match="same cutoff"):
        _core.AcePotential64(core, weights(basis)).evaluate_moved(prepared, batch.positions, batch.cells, *out, 1)


def test_what_has_no_atoms_is_written_too():
    core, basis, _ = ace("full")
    offsets, numbers, positions = (
        np.array([0, 0, 2, 2]),
        np.array([6, 14], np.int32),
        np.array([[0, 0, 0], [0, 0, 1.5]]),
    )
    batch = _core.Batch(positions, numbers, offsets, np.zeros((3, 3, 3)), np.zeros((3, 3), bool))
    energies, gradient, strain = np.empty(2), np.empty((2, 3)), np.full((3, 3, 3), np.nan)
    _core.AcePotential64(core, weights(basis)).evaluate(batch, energies, gradient, strain, 1)
    assert not strain[[0, 2]].any()
    assert strain[1].any()
    of_empty = np.r_[0:7, 20:27]
    soap = SOAP(species=NUMBERS, r_cut=3.0, n_max=2, l_max=1)
    n_features = soap.get_number_of_features()
    points = [_core.SparsePoints(points=np.ones((2, n_features)))] * 2
    gap = _core.Gap64(soap._calculator(), np.ones(n_features), 2.0, points)
    for rows, n_columns in ((_core.AceRows(core), 2 * basis.n_functions), (gap, 4)):
        out = np.full((27, n_columns), np.nan)
        rows.rows(batch, out, 1)
        assert not out[of_empty].any()
        assert np.isfinite(out).all()
        nothing = _core.Batch(positions[:0], numbers[:0], offsets[:1], np.zeros((0, 3, 3)), np.zeros((0, 3), bool))
        rows.rows(nothing, np.empty((0, n_columns + 2))[:, 1:-1], 1)


def test_points_where_no_atoms_are_have_features():
    core, basis, _ = ace("mixed")
    empty = _core.Batch(
        np.zeros((0, 3)), np.zeros(0, np.int32), np.zeros(2, int), np.zeros((1, 3, 3)), np.zeros((1, 3), bool)
    )
    features = np.full((2, basis.n_functions), np.nan)
    _core.Ace64(core).compute(empty, _core.Centers(np.zeros((2, 3)), np.full(2, -1), np.array([0, 2])), features, 1)
    np.testing.assert_array_equal(features, 0)


def test_weights_have_to_fit_the_basis():
    with pytest.raises(ValueError, match=r"weights must have shape \(n_species, n_functions\)"):
        _core.AcePotential64(ace("full")[0], np.zeros((2, 3)))


def test_numbers_of_models_are_finite_in_their_precision():
    core, basis, _ = ace("full")
    bad = weights(basis)
    bad[1, 2] = np.nan
    with pytest.raises(ValueError, match="weights must be finite"):
        _core.AcePotential64(core, bad)
    bad[1, 2] = 1e39
    _core.AcePotential64(core, bad)
    with pytest.raises(ValueError, match="weights must be smaller for numbers in single precision"):
        _core.AcePotential32(core, bad)
    given = {"species": [1], "ranges": [2.0], "table_of": np.zeros((1, 1), np.int32), "over_distance": False}
    with pytest.raises(ValueError, match="coefficients of tables must be finite"):
        _core.PairTable(tables=np.full((1, 1, 6), np.inf), known=[], **given)
    for known in (0.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="known distances must be > 0 and finite"):
            _core.PairTable(tables=np.zeros((1, 1, 6)), known=[known], **given)
    soap = SOAP(species=NUMBERS, r_cut=3.0, n_max=2, l_max=1)
    n = soap.get_number_of_features()
    points = _core.SparsePoints(points=np.full((2, n), np.nan))
    with pytest.raises(ValueError, match="sparse points, their basis and their coefficients must be finite"):
        _core.Gap64(soap._calculator(), np.ones(n), 2.0, [points] * 2)
    with pytest.raises(ValueError, match="weights of features must be finite"):
        _core.Gap64(soap._calculator(), np.full(n, np.inf), 2.0, [_core.SparsePoints(points=np.ones((2, n)))] * 2)


def test_arrays_that_are_not_aligned_or_not_contiguous_are_refused():
    core, basis, _ = ace("full")
    model = _core.AcePotential64(core, weights(basis))
    batch = as_batch(structures()[:1], periodic=None)
    n = len(batch.numbers)
    odd = np.zeros(24 * n + 1, np.uint8)[1:].view(np.float64).reshape(n, 3)
    for gradient in (odd, np.empty((n, 6))[:, ::2], np.empty((3, n)).T):
        with pytest.raises(TypeError, match="incompatible function arguments"):
            model.evaluate(batch.core(), np.empty(n), gradient, np.empty((1, 3, 3)), 1)
    rows = _core.AceRows(core)
    shape = 3 * n + 7, rows.n_columns
    for out in (
        np.zeros(8 * shape[0] * shape[1] + 1, np.uint8)[1:].view(np.float64).reshape(shape),
        np.empty((shape[0], 2 * shape[1]))[:, ::2],
        np.empty(shape)[::-1],
        np.empty(shape[::-1]).T,
    ):
        with pytest.raises((TypeError, ValueError), match=r"incompatible function arguments|columns without gaps"):
            rows.rows(batch.core(), out, 1)
