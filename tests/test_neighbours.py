"""The neighbour search against ASE's, over cells, cutoffs and boundary conditions."""

from functools import lru_cache

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.neighborlist import neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st

from atomprint.neighbours import find_around, pairs
from atomprint.structures import as_batch


@lru_cache
def case(seed):
    """Return random atoms, a cutoff, and the pairs that ASE finds, in order; once for all instruction sets."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 40)) if seed % 5 else 300
    cell = rng.normal(size=(3, 3)) * rng.uniform(0.5, 4) + np.eye(3) * rng.uniform(2, 12)
    pbc = rng.random(3) < 0.6
    atoms = Atoms(np.ones(n), positions=rng.normal(size=(n, 3)) * 7, cell=cell, pbc=pbc)
    if abs(np.linalg.det(cell)) < 5:
        pytest.skip("degenerate random cell")
    cutoff = rng.uniform(0.5, 6.5)
    i, j, S = neighbor_list("ijS", atoms, cutoff)
    order = np.lexsort((*S.T[::-1], j, i))
    return atoms, cutoff, i[order], j[order], S[order]


@pytest.mark.usefixtures("each_instruction_set")
@pytest.mark.parametrize("seed", range(25))
def test_agrees_with_ase(seed):
    atoms, cutoff, i, j, S = case(seed)
    found = pairs(atoms, cutoff)
    np.testing.assert_array_equal(found.first, i)
    np.testing.assert_array_equal(found.second, j)
    np.testing.assert_array_equal(found.shifts, S)
    vectors = atoms.positions[found.second] + found.shifts @ atoms.cell.array - atoms.positions[found.first]
    np.testing.assert_allclose(found.vectors, vectors, atol=1e-12)
    np.testing.assert_allclose(found.distances, np.linalg.norm(vectors, axis=1), atol=1e-12)
    assert not found.structures.any()


@pytest.mark.parametrize("pbc", [(True, True, False), (False, False, True), (False, True, False)])
def test_slabs_and_wires_without_a_full_cell(pbc):
    # A slab or wire needs lattice vectors only where it repeats.
    rng = np.random.default_rng(0)
    cell = np.array([[3.0, 0.2, 0.1], [0.4, 3.5, 0.0], [0.3, 0.2, 4.0]])
    atoms = Atoms("H5", positions=rng.random((5, 3)) * 9, cell=cell, pbc=pbc)
    bare = atoms.copy()
    bare.set_cell(np.where(np.array(pbc)[:, None], cell, 0.0))
    i, j, *_ = neighbor_list("ijS", atoms, 5.0)
    for structure in (atoms, bare):
        found = pairs(structure, 5.0)
        assert sorted(zip(found.first, found.second, strict=True)) == sorted(zip(i, j, strict=True))


@settings(max_examples=40)
@given(
    shift=st.tuples(*[st.floats(-1e3, 1e3)] * 3),
    shell=st.sampled_from([(1.0, 6), (np.sqrt(2.0), 12 + 6), (2.0, 18 + 8 + 6 - 6)]),
)
def test_pair_at_the_cutoff_never_counts(shift, shell):
    # Distances of exactly 3 Å times the shell: whatever the rounding of the shifted positions, they stay out.
    atoms = bulk("Po", "sc", 3.0)
    atoms.positions += shift
    cutoff = 3.0 * shell[0]
    count = len(pairs(atoms, cutoff))
    assert count == len(pairs(bulk("Po", "sc", 3.0), cutoff))
    assert len(pairs(atoms, cutoff * (1 + 1e-8))) > count


def test_large_cell_in_linear_time_counts():
    # 10^5 atoms: correctness here; an all-pairs search would not finish.
    atoms = bulk("Si", cubic=True).repeat((24, 24, 20))
    found = pairs(atoms, 4.0, n_jobs=2)
    assert len(atoms) == 92160
    np.testing.assert_array_equal(np.bincount(found.first), 16)


NAMES = ("structures", "first", "second", "shifts", "vectors", "distances")


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_several_structures_are_their_pairs_one_after_the_other(n_jobs):
    structures = [molecule("CH3CH2OH"), Atoms("H"), bulk("NaCl", "rocksalt", 5.64).repeat(3), fcc111("Al", (1, 1, 3))]
    found = pairs(structures, 4.2, n_jobs)
    single = [pairs(atoms, 4.2) for atoms in structures]
    assert len(found) == sum(map(len, single)) == len(found.distances)
    np.testing.assert_array_equal(found.structures, np.repeat(np.arange(4), [len(each) for each in single]))
    for name in NAMES[1:]:
        np.testing.assert_array_equal(getattr(found, name), np.concatenate([getattr(each, name) for each in single]))
    for name in NAMES:
        np.testing.assert_array_equal(
            getattr(pairs(as_batch(structures, periodic=None), 4.2), name), getattr(found, name)
        )


def test_an_atom_alone_has_no_pairs():
    found = pairs(Atoms("H"), 3.0)
    assert len(found) == 0
    assert found.vectors.shape == found.shifts.shape == (0, 3)
    assert found.distances.shape == found.structures.shape == (0,)


def test_bad_input():
    for r_cut, error in ((0, ValueError), (-1.0, ValueError), (np.inf, ValueError), ("3", TypeError)):
        with pytest.raises(error, match="r_cut must be"):
            pairs(molecule("H2O"), r_cut)
    with pytest.raises(ValueError, match="n_jobs"):
        pairs(molecule("H2O"), 3.0, n_jobs=0)
    with pytest.raises(ValueError, match="structure 1, atom 1: position must be finite"):
        pairs([Atoms("H"), Atoms("H2", positions=[[0, 0, 0], [np.nan, 0, 0]])], 3.0)


def test_far_too_many_images_are_refused():
    with pytest.raises(ValueError, match="structure 0: the cutoff reaches more than 5e7 periodic images"):
        pairs(Atoms("H", cell=[0.01, 0.01, 0.01], pbc=True), 5.0)


def test_around_points_and_atoms():
    structures = [bulk("NaCl", "rocksalt", 5.6), molecule("H2O"), Atoms("H")]
    structures[0].rattle(0.1, seed=0)
    batch = as_batch(structures, periodic=None)
    # Around the atoms: their pairs, and each atom with itself.
    around, between = find_around(batch, batch.positions, batch.offsets, 4.5), pairs(batch, 4.5)
    selves = (around.first == around.second) & (around.shifts == 0).all(axis=1)
    assert selves.sum() == len(batch.numbers)
    assert not around.distances[selves].any()
    for name in NAMES:
        np.testing.assert_allclose(getattr(around, name)[~selves], getattr(between, name), atol=1e-12)
    # Around points, some far outside the cell, and none in the second structure.
    points = np.array([[9.0, -7.0, 3.0], [0.1, 0.2, 0.3], [0.0, 0.0, 0.5]])
    found = find_around(batch, points, np.array([0, 2, 2, 3]), 4.5)
    for number in (0, 1):
        probe = structures[0] + Atoms("X", positions=points[number : number + 1])
        j, distances = neighbor_list("ijd", probe, 4.5)[1:]
        i = neighbor_list("i", probe, 4.5)
        own = (found.structures == 0) & (found.first == number)
        np.testing.assert_allclose(np.sort(found.distances[own]), np.sort(distances[(i == 2) & (j < 2)]), atol=1e-9)
    assert found.structures[-1] == 2
    np.testing.assert_allclose(found.vectors[-1], [0, 0, -0.5])
