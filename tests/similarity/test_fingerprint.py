import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc100, fcc111, molecule
from ase.geometry import get_distances
from helpers.copies import copy_of, perovskite

from atomprint.similarity import fingerprints
from atomprint.similarity.fingerprint import N_NEIGHBOURS

TOLERANCE = 0.05


def prints(*structures):
    return fingerprints(list(structures))


def same(one, other, tolerance=TOLERANCE):
    first, second = prints(one, other)
    return first.distance(second) <= tolerance


STRUCTURES = {
    "rocksalt": bulk("NaCl", "rocksalt", 5.64),
    "wurtzite": bulk("ZnS", "wurtzite", 3.8),
    "perovskite": perovskite(shift=0.03),
    "hcp": bulk("Mg", "hcp", 3.2, c=5.2),
    "ethanol": molecule("CH3CH2OH"),
    "water": molecule("H2O"),
    "far apart": Atoms("H2OHe", [[0, 0, 0], [0, 0, 1], [0, 1, 0], [30, 0, 0]]),
    "atom": Atoms("He"),
}


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize("seed", range(6))
def test_copies_are_the_same(name, seed):
    atoms = STRUCTURES[name]
    assert same(atoms, copy_of(atoms, seed), tolerance=1e-8)


def test_one_atom_of_many_that_has_moved_is_seen():
    # Averages over atoms change by less than the tolerance: sorted distances tell.
    atoms = bulk("Ni", "fcc", 3.52, cubic=True).repeat(4)
    moved = atoms.copy()
    moved.positions[17, 0] += 0.3
    one, other = prints(atoms, moved)
    assert np.abs(one.mean - other.mean).max() < TOLERANCE / 5
    assert not same(atoms, moved)


def test_snapshots_of_one_simulation_are_different_structures():
    atoms = bulk("Ni", "fcc", 3.52, cubic=True).repeat(3)
    snapshots = [atoms.copy() for _ in range(2)]
    for seed, snapshot in enumerate(snapshots):
        snapshot.rattle(0.1, seed=seed)
    assert not same(*snapshots)


@pytest.mark.parametrize("name", ["perovskite", "wurtzite", "ethanol"])
def test_nothing_changes_by_more_than_twice_what_atoms_move(name):
    atoms = STRUCTURES[name]
    atoms = atoms.repeat(2) if atoms.pbc.all() else atoms
    rng = np.random.default_rng(0)
    for size in (1e-3, 1e-2, 0.1):
        step = rng.normal(size=(len(atoms), 3))
        moved = atoms.copy()
        moved.positions += size * step / np.linalg.norm(step, axis=1, keepdims=True)
        one, other = prints(atoms, moved)
        change = np.abs(one.columns - other.columns).max()
        assert 0.2 * size < change <= 2 * size
        assert np.abs(one.mean - other.mean).max() <= change


def naive_fingerprint(atoms):
    """Return sorted distances by species, from a supercell that is much too large."""
    symbols = sorted(set(atoms.numbers))
    large = atoms.repeat(9)
    large.positions -= 4 * atoms.cell.array.sum(axis=0)
    distances = get_distances(atoms.positions, large.positions)[1]
    columns = []
    for center in symbols:
        rows = []
        for i in np.flatnonzero(atoms.numbers == center):
            row = []
            for z in symbols:
                n = int(np.ceil(N_NEIGHBOURS * np.mean(atoms.numbers == z)))
                found = np.sort(distances[i, large.numbers == z])
                row.extend(found[found > 1e-6][:n])
            rows.append(row)
        columns.append(np.sort(rows, axis=0))
    return np.concatenate(columns)


@pytest.mark.parametrize("name", ["rocksalt", "wurtzite", "perovskite", "hcp"])
def test_distances_are_those_of_a_naive_search(name):
    (found,) = prints(STRUCTURES[name])
    assert found.columns == pytest.approx(naive_fingerprint(STRUCTURES[name]), abs=1e-9)


def test_structures_that_repeat_in_a_plane_only():
    slab = fcc111("Cu", (1, 1, 3), vacuum=None)
    larger = slab.repeat((3, 2, 1))
    larger.rotate(25, "z", rotate_cell=True)
    assert slab.pbc.tolist() == [True, True, False]
    assert same(slab, larger, 1e-8)
    assert not same(slab, fcc100("Cu", (1, 1, 3), vacuum=None))


def test_agreement_with_pymatgen():
    matcher = pytest.importorskip("pymatgen.analysis.structure_matcher")
    adaptor = pytest.importorskip("pymatgen.io.ase").AseAtomsAdaptor
    structures = [
        *(bulk("NaCl", kind, a) for kind, a in (("rocksalt", 5.64), ("cesiumchloride", 3.4), ("zincblende", 6.0))),
        copy_of(bulk("NaCl", "rocksalt", 5.64), 1),
        copy_of(bulk("NaCl", "zincblende", 6.0), 2),
        bulk("NaCl", "wurtzite", 4.24),
        bulk("NaCl", "rocksalt", 5.9),
    ]
    judge = matcher.StructureMatcher(ltol=0.01, stol=0.02, angle_tol=1, scale=False, primitive_cell=True)
    theirs = [adaptor.get_structure(atoms) for atoms in structures]
    for i in range(len(structures)):
        for j in range(i):
            assert same(structures[i], structures[j]) == bool(judge.fit(theirs[i], theirs[j])), (i, j)
