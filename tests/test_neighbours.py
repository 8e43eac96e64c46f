"""The neighbour search against ASE's, over cells, cutoffs and boundary conditions."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st

from atomprint import _core
from atomprint.structures import as_batch


def pairs(atoms: Atoms, cutoff: float):
    batch = as_batch(atoms, periodic=bool(atoms.pbc.any()))
    i, j, shift, vector = _core.neighbour_pairs(*batch.core(), batch.positions, cutoff)
    other = (i != j) | (shift != 0).any(axis=1)  # the point's own atom is a neighbour at distance zero
    return i[other], j[other], shift[other], vector[other]


@pytest.mark.usefixtures("each_instruction_set")
@pytest.mark.parametrize("seed", range(25))
def test_agrees_with_ase(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 40)) if seed % 5 else 300
    cell = rng.normal(size=(3, 3)) * rng.uniform(0.5, 4) + np.eye(3) * rng.uniform(2, 12)
    pbc = rng.random(3) < 0.6
    atoms = Atoms(np.ones(n), positions=rng.normal(size=(n, 3)) * 7, cell=cell, pbc=pbc)
    if abs(np.linalg.det(cell)) < 5:
        pytest.skip("degenerate random cell")
    cutoff = rng.uniform(0.5, 6.5)
    i, j, shift, vector = pairs(atoms, cutoff)
    ai, aj, aS = neighbor_list("ijS", atoms, cutoff)
    assert sorted(zip(i, j, *shift.T, strict=True)) == sorted(zip(ai, aj, *aS.T, strict=True))
    np.testing.assert_allclose(vector, atoms.positions[j] + shift @ cell - atoms.positions[i], atol=1e-12)


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
        assert sorted(zip(found[0], found[1], strict=True)) == sorted(zip(i, j, strict=True))


@settings(max_examples=40, deadline=None)
@given(
    shift=st.tuples(*[st.floats(-1e3, 1e3)] * 3),
    shell=st.sampled_from([(1.0, 6), (np.sqrt(2.0), 12 + 6), (2.0, 18 + 8 + 6 - 6)]),
)
def test_pair_at_the_cutoff_never_counts(shift, shell):
    # Distances of exactly 3 Å times the shell: whatever the rounding of the shifted positions, they stay out.
    atoms = bulk("Po", "sc", 3.0)
    atoms.positions += shift
    cutoff = 3.0 * shell[0]
    count = len(pairs(atoms, cutoff)[0])
    assert count == len(pairs(bulk("Po", "sc", 3.0), cutoff)[0])
    assert len(pairs(atoms, cutoff * (1 + 1e-8))[0]) > count


def test_large_cell_in_linear_time_counts():
    # 10^5 atoms: correctness here; an all-pairs search would not finish.
    atoms = bulk("Si", cubic=True).repeat((24, 24, 20))
    i, *_ = pairs(atoms, 4.0)
    assert len(atoms) == 92160
    np.testing.assert_array_equal(np.bincount(i), 16)


def test_far_too_many_images_are_refused():
    with pytest.raises(ValueError, match="more than 5e7 periodic images"):
        pairs(Atoms("H", cell=[0.01, 0.01, 0.01], pbc=True), 5.0)
