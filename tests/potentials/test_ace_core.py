"""The fused pass of ACE against the descriptor that it is made of, which has tests of its own."""

from itertools import pairwise

import numpy as np
import pytest
from ase.build import bulk
from descriptors.test_ace_core import CHANNELS, NUMBERS, CoreAce, ace, structures

from atomprint import _core
from atomprint.potentials.compiled import CompiledPredictor
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


def test_weights_have_to_fit_the_basis():
    with pytest.raises(ValueError, match=r"weights must have shape \(n_species, n_functions\)"):
        _core.AcePotential64(ace("full")[0], np.zeros((2, 3)))
