"""Pair tables of the compiled core, and the neighbours that it keeps while atoms move."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from atomprint.neighbours import find_pairs
from atomprint.potentials.terms.pair_table import PairTable
from atomprint.structures import StructureError, as_batch

SPECIES = (1, 8, 14)


def power(r, end, scale):
    """Return scale (1 - r / end)^4 with its first two derivatives: smooth to zero at the end."""
    u = np.clip(1 - r / end, 0, None)
    return scale * np.stack([u**4, -4 * u**3 / end, 12 * u**2 / end**2], axis=1)


RANGES = {(1, 1): 2.0, (1, 8): 2.6, (8, 8): 3.5, (14, 14): 4.1}
SCALES = {(1, 1): 3.0, (1, 8): -2.0, (8, 8): 1.0, (14, 14): 0.7}


@pytest.fixture(scope="module")
def table():
    knots = {pair: power(np.linspace(0, end, 60), end, SCALES[pair]) for pair, end in RANGES.items()}
    return PairTable(SPECIES, knots, RANGES)


def triclinic(seed=0):
    rng = np.random.default_rng(seed)
    cell = np.diag([3.1, 3.6, 4.4]) + rng.normal(0, 0.4, (3, 3))
    return Atoms("OHHO", rng.uniform(0, 1, (4, 3)) @ cell, cell=cell, pbc=True)


STRUCTURES = [
    molecule("H2O"),
    triclinic(),
    bulk("Si"),
    Atoms("Si"),
    Atoms("OH", [[0, 0, 0], [0, 0, 1.1]], cell=[2.2, 2.5, 9], pbc=[True, True, False]),
    Atoms("Si2", [[0, 0, 0], [40, -30, 0.3]], cell=[5, 6, 7], pbc=True),
]


def naive(batch, seed=None):
    """Return energies of atoms, gradient and strain derivative by a loop over pairs of another search."""
    found = find_pairs(batch, 4.1)
    energies, gradient = np.zeros(len(batch.numbers)), np.zeros((len(batch.numbers), 3))
    strain = np.zeros((len(batch), 3, 3))
    for s, i, j, r, d in zip(found.structures, found.first, found.second, found.distances, found.vectors, strict=True):
        i, j = i + batch.offsets[s], j + batch.offsets[s]
        pair = tuple(sorted((batch.numbers[i], batch.numbers[j])))
        if pair in RANGES and r < RANGES[pair]:
            value, slope, _ = power(np.array([r]), RANGES[pair], SCALES[pair])[0]
            energies[i] += value / 2
            gradient[j] += slope / 2 * d / r
            gradient[i] -= slope / 2 * d / r
            strain[s] += slope / 2 * np.outer(d, d) / r
    return energies, gradient, strain


def test_it_is_the_sum_over_pairs(table):
    batch = as_batch(STRUCTURES, periodic=None)
    for got, wanted in zip(table.evaluate(batch), naive(batch), strict=True):
        np.testing.assert_allclose(got, wanted, atol=2e-6)
        assert abs(wanted).max() > 0.1


def energy(table, atoms):
    return table.evaluate(as_batch(atoms, periodic=None))[0].sum()


@pytest.mark.parametrize("atoms", STRUCTURES, ids=str)
def test_derivatives_are_finite_differences(table, atoms):
    rng = np.random.default_rng(1)
    _, gradient, strain = table.evaluate(as_batch(atoms, periodic=None))
    step, direction, shear = 1e-5, rng.normal(size=(len(atoms), 3)), rng.normal(size=(3, 3))
    moved = []
    for sign in (1, -1):
        one, other = atoms.copy(), atoms.copy()
        one.positions += sign * step * direction
        map_ = np.eye(3) + sign * step * shear.T
        other.set_cell(other.cell @ map_)
        other.positions = other.positions @ map_
        moved.append((energy(table, one), energy(table, other)))
    by_positions, by_strain = (np.array(moved[0]) - moved[1]) / (2 * step)
    np.testing.assert_allclose((gradient * direction).sum(), by_positions, atol=1e-7)
    np.testing.assert_allclose((strain[0] * shear).sum(), by_strain, atol=1e-7)


def test_what_grows_without_bound_is_tabulated_times_the_distance():
    end = 1.5
    knots = power(np.linspace(0, end, 40), end, 14.4)
    table = PairTable((1,), {(1, 1): knots}, {(1, 1): end}, over_distance=True)
    for r in (1e-2, 0.3, 1.0, 1.49):
        energies, gradient, _ = table.evaluate(as_batch(Atoms("H2", [[0, 0, 0], [r, 0, 0]]), periodic=False))
        value, slope, _ = power(np.array([r]), end, 14.4)[0]
        np.testing.assert_allclose(energies.sum(), value / r, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(gradient[1, 0], (slope - value / r) / r, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("n_jobs", [2, 5])
def test_no_result_depends_on_threads(table, n_jobs):
    batch = as_batch([bulk("Si") * (5, 5, 4), triclinic(3) * (3, 3, 3)], periodic=None)
    for one, several in zip(table.evaluate(batch), table.evaluate(batch, n_jobs), strict=True):
        np.testing.assert_array_equal(one, several)


def test_kept_neighbours_give_what_new_ones_do(table):
    rng = np.random.default_rng(5)
    atoms = [triclinic(1) * (2, 1, 1), molecule("H2O"), bulk("Si") * (2, 1, 1)]
    kept = table.prepare(as_batch(atoms, periodic=None), skin=0.5)
    for step in range(30):
        for one in atoms:
            one.positions += rng.normal(0, 0.03, one.positions.shape) + 0.2  # a drift needs no new list
            if one.pbc.any():
                one.set_cell(one.cell @ (np.eye(3) + rng.normal(0, 0.004, (3, 3))), scale_atoms=step % 2 == 0)
        batch = as_batch(atoms, periodic=None)
        for got, wanted in zip(kept.evaluate(batch.positions, batch.cells), table.evaluate(batch), strict=True):
            np.testing.assert_allclose(got, wanted, atol=1e-11)
    assert 6 <= kept.n_lists <= 45


def test_an_atom_that_comes_from_afar_is_not_missed(table):
    atoms = Atoms("Si2", [[0, 0, 0], [0, 0, 5.0]])
    kept = table.prepare(as_batch(atoms, periodic=False), skin=0.6)
    for z in (5.0, 4.75, 4.4, 4.0, 3.0, 9.0, 4.05):
        atoms.positions[1, 2] = z
        energies, _, _ = kept.evaluate(atoms.positions, np.zeros((1, 3, 3)))
        assert (energies.sum() > 0) == (z < 4.1)
        np.testing.assert_array_equal(energies, table.evaluate(as_batch(atoms, periodic=False))[0])


def test_a_cell_that_shrinks_brings_new_neighbours(table):
    atoms = bulk("Si", a=7.0)
    kept = table.prepare(as_batch(atoms), skin=0.6)
    for scale in np.linspace(1, 0.6, 25):
        other = atoms.copy()
        other.set_cell(atoms.cell * scale, scale_atoms=True)
        energies, _, strain = kept.evaluate(other.positions, other.cell.array[None])
        wanted = table.evaluate(as_batch(other))
        np.testing.assert_allclose(energies, wanted[0], atol=1e-12)
        np.testing.assert_allclose(strain, wanted[2], atol=1e-12)
    assert energies.min() > 0.1
    assert kept.n_lists < 15


def test_a_species_that_is_not_known_is_named(table):
    with pytest.raises(StructureError, match="structure 1, atom 0: species must be among H, O, Si, got Fe"):
        table.evaluate(as_batch([molecule("H2O"), bulk("Fe")], periodic=None))
    with pytest.raises(StructureError, match="got Fe"):
        table.prepare(as_batch(bulk("Fe")))


@pytest.mark.parametrize(
    ("positions", "cells", "rule"),
    [
        (np.full((2, 3), np.nan), np.eye(3)[None] * 5, "positions and cell must be finite"),
        (np.full((2, 3), 1e9), np.eye(3)[None] * 5, "positions and cell must be finite and within 1e7 Å"),
        (np.zeros((3, 3)), np.eye(3)[None] * 5, "must be those of the structures that were prepared"),
        (np.array([[0, 0, 0], [1.0, 1, 1]]), np.zeros((1, 3, 3)), "cell must have a non-zero volume"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(table, positions, cells, rule):
    kept = table.prepare(as_batch(bulk("Si")))
    with pytest.raises(ValueError, match=rule):
        kept.evaluate(positions.astype(np.float64), cells)
