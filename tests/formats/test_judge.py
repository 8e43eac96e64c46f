"""What is asked of every structure in a file."""

import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.neighborlist import neighbor_list

from atomprint.descriptors import CoulombMatrix, SineMatrix
from atomprint.formats.judge import RADII, check_distances, check_occupancies, close_pairs
from atomprint.structures import as_batch


@pytest.mark.parametrize("seed", range(6))
def test_the_closest_pair_is_that_of_a_plain_search(seed):
    """Cells narrower than the limit, skewed, open in some directions, more atoms than are compared pair by pair."""
    rng = np.random.default_rng(seed)
    for n_atoms in (1, 2, 7, 40, 80):
        cell = np.diag(rng.uniform(1, 9, 3)) + rng.uniform(-3, 3, (3, 3)) * (seed % 2)
        atoms = Atoms(rng.integers(1, 90, n_atoms), rng.random((n_atoms, 3)) @ cell, cell=cell, pbc=rng.random(3) < 0.7)
        i, j, distance = neighbor_list("ijd", atoms, 1.6)
        limit = np.maximum(0.5, 0.3 * (RADII[atoms.numbers[i]] + RADII[atoms.numbers[j]]))
        wanted = min((distance / limit)[distance < limit], default=None)
        found = close_pairs(as_batch([atoms], periodic=None).core())
        assert [pair[3] / pair[4] for pair in found] == pytest.approx([] if wanted is None else [wanted])


def test_of_each_structure_one_pair():
    good, bad = bulk("NaCl", "rocksalt", 5.6), bulk("NaCl", "rocksalt", 1.0)
    pairs = close_pairs(as_batch([good, bad, bad]).core())
    assert [pair[0] for pair in pairs] == [1, 2]


def test_messages_name_the_atoms():
    atoms = Atoms("HCH", [[0, 0, 0], [5, 0, 0], [0.3, 0, 0]])
    with pytest.raises(ValueError, match=r"atoms 0 \(H\) and 2 \(H\) are 0\.3 Å apart, nearer .* at least 0\.50 Å"):
        check_distances(atoms.numbers, atoms.positions, atoms.cell, atoms.pbc)
    with pytest.raises(ValueError, match="atoms a and c are"):
        check_distances(atoms.numbers, atoms.positions, atoms.cell, atoms.pbc, "abc".__getitem__)
    with pytest.raises(ValueError, match=r"atoms 0 \(Cu\) and 0 \(Cu\) are 0\.4 Å apart"):
        check_distances([29], np.zeros((1, 3)), np.diag([0.4, 5, 5]), np.ones(3, bool))
    for name in ("H2", "CH4", "LiF"):
        check_distances(molecule(name).numbers, molecule(name).positions, np.zeros((3, 3)), np.zeros(3, bool))


def test_structures_made_in_memory_get_one_warning():
    close = molecule("H2O")
    close.positions *= 0.3
    matrix = CoulombMatrix(n_atoms_max=3)
    with pytest.warns(
        UserWarning, match=r"structure 1, atoms 0 and 1 are 0\.291 Å apart.*; 2 structures have"
    ) as caught:
        matrix.create([molecule("H2"), close, close])
    assert len(caught) == 1
    with pytest.warns(UserWarning, match="nearer than atoms come"):
        SineMatrix(n_atoms_max=2).create(bulk("NaCl", "rocksalt", 1.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        matrix.create([molecule("H2"), molecule("H2O")])
        matrix.create(as_batch([close], periodic=False))  # has been read before


@pytest.mark.parametrize(
    ("shares", "told"),
    [({"Na": 0.5}, "'Na': 0.5"), ({"Na": 0.5, "K": 0.5}, "'Na': 0.5, 'K': 0.5"), ({"Na": 0.998}, "0.998"), ({}, "{}")],
)
def test_occupancies(shares, told):
    with pytest.raises(ValueError, match=f"disordered: site Na1 is .*{told}"):
        check_occupancies("site Na1", shares)
    for share in (0.999, 0.9991, 1.001):
        assert check_occupancies("site Na1", {"Na": share}) == "Na"
