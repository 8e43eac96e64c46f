"""Choice of centres and of diverse feature vectors."""

import itertools

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.base import clone

from atomprint.sampling import CenterSampler, farthest_point
from atomprint.structures import Batch, as_batch

WATER, CO2 = molecule("H2O"), molecule("CO2")


def naive_farthest(squares, n, start):
    """Farthest-point sampling by its definition, from a matrix of squared distances."""
    chosen = [start]
    while len(chosen) < min(n, len(squares)):
        best, best_i = -1.0, -1
        for i in range(len(squares)):
            if i in chosen:
                continue
            nearest = min(squares[i][j] for j in chosen)
            if nearest > best:
                best, best_i = nearest, i
        chosen.append(best_i)
    return chosen


def covering(squares, chosen):
    """For each choice after the first, its squared distance from those before, and the largest possible."""
    for k in range(1, len(chosen)):
        nearest = squares[:, chosen[:k]].min(axis=1)
        yield nearest[chosen[k]], nearest.max()


def all_images(positions, cell, pbc, reach=6):
    """Squared distances to the nearest periodic image, by trying very many images."""
    ranges = [range(-reach, reach + 1) if periodic else [0] for periodic in pbc]
    shifts = np.array(list(itertools.product(*ranges))) @ np.asarray(cell)
    squares = np.empty((len(positions), len(positions)))
    for i, difference in enumerate(positions[:, None] - positions):
        squares[i] = ((difference[:, None] + shifts) ** 2).sum(axis=2).min(axis=1)
    return squares


# -------------------------------------------------------------------------------- candidates


def test_all_atoms():
    centers = CenterSampler()([WATER, CO2])
    assert [c.tolist() for c in centers] == [[0, 1, 2], [0, 1, 2]]
    assert all(c.dtype == np.int64 for c in centers)


def test_one_structure_and_a_batch_and_files(tmp_path):
    WATER.write(tmp_path / "water.xyz")
    for structures in (WATER, [WATER], as_batch(WATER, periodic=False), str(tmp_path / "water.xyz")):
        assert [c.tolist() for c in CenterSampler(species=["H"])(structures)] == [[1, 2]]


def test_species():
    centers = CenterSampler(species=["O", 6])([WATER, CO2, molecule("H2")])
    assert [c.tolist() for c in centers] == [[0], [0, 1, 2], []]


def test_indices():
    assert [c.tolist() for c in CenterSampler(indices=[2, 0])([WATER, CO2])] == [[2, 0], [2, 0]]
    assert [c.tolist() for c in CenterSampler(indices=np.array([1]))([WATER, CO2])] == [[1], [1]]
    assert [c.tolist() for c in CenterSampler(indices=[[1], (2, 1)])([WATER, CO2])] == [[1], [2, 1]]
    centers = CenterSampler(indices=[0, 2], species=["H"])([WATER, CO2])
    assert [c.tolist() for c in centers] == [[2], []]


@pytest.mark.parametrize("method", ["random", "farthest"])
def test_candidates_come_first(method):
    crystal = bulk("NaCl", "rocksalt", a=5.64, cubic=True).repeat(2)
    (centers,) = CenterSampler(method, n=5, species=["Cl"], indices=range(20), random_state=3)(crystal)
    assert len(set(centers.tolist())) == 5
    assert (crystal.numbers[centers] == 17).all()
    assert centers.max() < 20


@pytest.mark.parametrize("method", ["random", "farthest"])
def test_how_many(method):
    structures = [WATER, bulk("Cu", cubic=True).repeat(2), molecule("H2")]
    assert [len(c) for c in CenterSampler(method, n=5)(structures)] == [3, 5, 2]
    assert [len(c) for c in CenterSampler(method, fraction=0.25)(structures)] == [1, 8, 1]
    assert [len(c) for c in CenterSampler(method, fraction=1.0)(structures)] == [3, 32, 2]
    assert [len(c) for c in CenterSampler(method, n=5, species=["O"])(structures)] == [1, 0, 0]


# -------------------------------------------------------------------------------- seeds


@pytest.mark.parametrize("method", ["random", "farthest"])
def test_a_structure_keeps_its_centres_wherever_it_is(method):
    crystal = bulk("NaCl", "rocksalt", a=5.64, cubic=True).repeat(2)
    sampler = CenterSampler(method, n=6, random_state=11)
    (alone,) = sampler([crystal])
    _, behind, twice = sampler([WATER, crystal, crystal])
    np.testing.assert_array_equal(alone, behind)
    np.testing.assert_array_equal(alone, twice)
    np.testing.assert_array_equal(alone, clone(sampler)(crystal)[0])
    np.testing.assert_array_equal(alone, CenterSampler(method, n=6, random_state=np.int64(11))(crystal)[0])


def test_random_choice_ignores_positions_but_not_elements_or_seed():
    crystal = bulk("NaCl", "rocksalt", a=5.64, cubic=True).repeat(2)
    moved, other = crystal.copy(), crystal.copy()
    moved.rattle(0.1, seed=1)
    other.numbers[:] = np.where(crystal.numbers == 11, 12, 8)
    a, b, c = CenterSampler("random", n=6, random_state=0)([crystal, moved, other])
    np.testing.assert_array_equal(a, b)
    assert a.tolist() != c.tolist()
    assert a.tolist() != CenterSampler("random", n=6, random_state=1)(crystal)[0].tolist()
    assert a.tolist() == sorted(set(a.tolist()))


def test_a_generator_moves_on():
    crystal = bulk("Cu", cubic=True).repeat(3)
    sampler = CenterSampler("random", n=6, random_state=np.random.default_rng(5))
    first, second = sampler([crystal, crystal])
    assert first.tolist() != second.tolist()
    again = CenterSampler("random", n=6, random_state=np.random.default_rng(5))([crystal, crystal])
    np.testing.assert_array_equal(again, [first, second])


def test_no_seed():
    crystal = bulk("Cu", cubic=True).repeat(4)
    sampler = CenterSampler("random", n=20)
    assert sampler(crystal)[0].tolist() != sampler(crystal)[0].tolist()
    sampler = CenterSampler("farthest", n=20)
    assert sampler(crystal)[0].tolist() == sampler(crystal)[0].tolist()
    assert sampler(crystal)[0][0] == 0


def test_every_atom_is_drawn_as_often():
    crystal = bulk("Cu", cubic=True).repeat((1, 1, 2))
    rng = np.random.default_rng(0)
    counts = np.zeros(8)
    for centers in CenterSampler("random", n=4, random_state=rng)([crystal] * 2000):
        counts[centers] += 1
    # 2000 draws with probability 1/2: standard deviation 22.
    np.testing.assert_allclose(counts, 1000, atol=5 * 22)


# -------------------------------------------------------------------------------- farthest


@given(
    arrays(np.float64, st.tuples(st.integers(1, 12), st.integers(1, 4)), elements=st.integers(-5, 5)),
    st.integers(1, 14),
    st.data(),
)
def test_farthest_point_is_the_naive_loop(x, n, data):
    # Small integers: distances are exact, and ties and duplicates are common.
    start = data.draw(st.integers(0, len(x) - 1))
    squares = ((x[:, None] - x) ** 2).sum(axis=2)
    assert farthest_point(x, n, start).tolist() == naive_farthest(squares, n, start)


def test_farthest_point_in_blocks_and_other_types():
    rng = np.random.default_rng(1)
    x = rng.integers(-100, 100, size=(300, 3000)).astype(np.float64)
    squares = (x**2).sum(axis=1)
    squares = squares[:, None] + squares - 2 * x @ x.T
    expected = naive_farthest(squares, 6, 7)
    for dtype in (np.float64, np.float32, np.int64, np.int8):
        assert farthest_point(x.astype(dtype), 6, 7).tolist() == expected


def test_farthest_point_tells_near_duplicates_apart():
    x = np.array([[1.0, 0.0], [1.0, 1e-12], [1.0, 3e-12], [1.0, 0.0]])
    assert farthest_point(x, 4).tolist() == [0, 2, 1, 3]


def cells():
    """Cells from cubic to very skewed and flat."""
    entries = arrays(np.float64, (3, 3), elements=st.floats(-6, 6, allow_subnormal=False))

    def is_a_cell(cell):
        lengths = np.linalg.norm(cell, axis=1)
        return lengths.min() > 0.5 and abs(np.linalg.det(cell)) > 0.02 * lengths.prod()

    return entries.filter(is_a_cell)


@settings(max_examples=60)
@given(
    cells(),
    st.tuples(st.booleans(), st.booleans(), st.booleans()),
    st.integers(2, 9),
    st.integers(0, 2**32 - 1),
)
def test_farthest_atoms_in_any_cell(cell, pbc, n, seed):
    # Sheared further by whole lattice vectors, which leaves the lattice as it is.
    rng = np.random.default_rng(seed)
    positions = rng.uniform(-1, 2, size=(12, 3)) @ cell
    squares = all_images(positions, cell, pbc)
    sheared = np.array(cell)
    if pbc[0] and pbc[1]:
        sheared[1] += 3 * sheared[0]
    if pbc[1] and pbc[2]:
        sheared[2] -= 2 * sheared[1]
    # The oracle sees only so many images: check it against more of them.
    assume(np.allclose(squares, all_images(positions, cell, pbc, reach=9), rtol=1e-12))
    assume((squares + np.eye(len(squares))).min() > 1e-6)
    atoms = Atoms("H12", positions, cell=sheared, pbc=pbc)
    (chosen,) = CenterSampler("farthest", n=n)(atoms)
    assert len(set(chosen.tolist())) == n
    for distance, largest in covering(squares, chosen):
        assert distance == pytest.approx(largest, rel=1e-9)


def test_farthest_atoms_of_a_molecule_ignore_the_box():
    atoms = Atoms("H4", [[0, 0, 0], [1, 0, 0], [5, 0, 0], [9.5, 0, 0]], cell=[10, 10, 10])
    assert CenterSampler("farthest", n=2)(atoms)[0].tolist() == [0, 3]
    atoms.pbc = True
    assert CenterSampler("farthest", n=2)(atoms)[0].tolist() == [0, 2]
    batch = as_batch(atoms, periodic=False)
    assert CenterSampler("farthest", n=2)(batch)[0].tolist() == [0, 3]


def test_a_cell_that_is_smaller_than_the_structure():
    # Two atoms 2.6 cells apart are only 0.4 cells apart.
    atoms = Atoms("H3", [[0, 0, 0], [2.6, 0, 0], [0.45, 0, 0]], cell=[1, 1, 1], pbc=True)
    assert CenterSampler("farthest", n=2)(atoms)[0].tolist() == [0, 2]


def test_a_larger_sample_begins_with_the_smaller():
    atoms = bulk("Si").repeat((3, 3, 3))
    atoms.rattle(0.2, seed=0)
    small, large = (CenterSampler("farthest", n=n, random_state=4)(atoms)[0] for n in (5, 20))
    np.testing.assert_array_equal(small, large[:5])


def test_input_is_not_changed():
    atoms = bulk("Si").repeat(2)
    before = atoms.copy()
    CenterSampler("farthest", n=3)([atoms])
    assert atoms == before


# -------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"method": "best"}, ValueError, "method must be one of 'all', 'random', 'farthest', got 'best'"),
        (
            {"method": "random"},
            ValueError,
            "method 'random' needs either n or fraction, got n=None and fraction=None",
        ),
        ({"method": "farthest", "n": 2, "fraction": 0.5}, ValueError, "needs either n or fraction, got n=2"),
        ({"n": 2}, ValueError, "n must be None with method 'all', got 2"),
        ({"method": "random", "n": 0}, ValueError, "n must be >= 1, got 0"),
        ({"method": "random", "n": 1.5}, TypeError, "n must be an integer, got 1.5"),
        ({"method": "random", "fraction": 0.0}, ValueError, "fraction must be > 0, got 0.0"),
        ({"method": "random", "fraction": 1.5}, ValueError, "fraction must be <= 1, got 1.5"),
        ({"species": ["Xx"]}, ValueError, "species must be chemical symbols or atomic numbers, got 'Xx'"),
        ({"random_state": -1}, ValueError, "random_state must be >= 0, got -1"),
        ({"random_state": "seed"}, TypeError, "random_state must be an integer, got 'seed'"),
    ],
)
def test_bad_parameters(parameters, error, message):
    with pytest.raises(error, match=message):
        CenterSampler(**parameters)


def test_parameters_set_later_are_checked_too():
    sampler = CenterSampler()
    with pytest.raises(ValueError, match="needs either n or fraction"):
        sampler.set_params(method="random")
    sampler.method = "random"
    with pytest.raises(ValueError, match="needs either n or fraction"):
        sampler(WATER)


@pytest.mark.parametrize(
    ("indices", "error", "message"),
    [
        ([[0]], ValueError, "indices must hold one sequence for each structure, got 1 for 2 structures"),
        ([], ValueError, "indices must hold one sequence for each structure, got 0 for 2 structures"),
        ([[0], [3]], ValueError, r"indices: structure 1: index must be in 0..2, got 3"),
        ([[0], [-1]], ValueError, r"indices: structure 1: index must be in 0..2, got -1"),
        ([[0], [1, 1]], ValueError, r"indices: structure 1: must not repeat, got \[1, 1\]"),
        ([[0.0], [1.0]], TypeError, "indices: structure 0: must be a sequence of integers"),
        ([True, False], TypeError, "indices: structure 0: must be a sequence of integers"),
        ("01", TypeError, "indices must be a sequence of integers, or one for each structure, got '01'"),
        (3, TypeError, "indices must be a sequence of integers, or one for each structure, got 3"),
    ],
)
def test_bad_indices(indices, error, message):
    with pytest.raises(error, match=message):
        CenterSampler(indices=indices)([WATER, CO2])


def test_bad_structures():
    sampler = CenterSampler("farthest", n=2)
    with pytest.raises(ValueError, match="structures must hold at least one structure"):
        sampler([])
    with pytest.raises(TypeError, match=r"structure 0 must be an ase\.Atoms"):
        sampler([3])
    with pytest.raises(ValueError, match="structure 1, atom 0: position must be finite"):
        sampler([WATER, Atoms("H", [[np.nan, 0, 0]])])
    flat = Atoms("H2", [[0, 0, 0], [1, 0, 0]], cell=[[1, 0, 0], [2, 0, 0], [0, 0, 1]], pbc=True)
    with pytest.raises(ValueError, match="structure 1: cell must have a non-zero volume"):
        sampler([WATER, flat])
    with pytest.raises(ValueError, match="structure 0: cell must have a non-zero volume"):
        sampler(Atoms("H2", [[0, 0, 0], [1, 0, 0]], pbc=True))
    broken = Batch.from_arrays([1, 1], [[0, 0, 0], [1, 0, 0]], [[np.inf, 0, 0], [0, 1, 0], [0, 0, 1]], True)
    with pytest.raises(ValueError, match="structure 0: cell must be finite"):
        sampler(broken)


@pytest.mark.parametrize(
    ("features", "n", "start", "error", "message"),
    [
        (np.zeros(3), 1, 0, ValueError, r"features must have shape \(n_rows, n_features\) .*, got \(3,\)"),
        (np.zeros((0, 3)), 1, 0, ValueError, "at least one row"),
        ([[0.0], [np.nan]], 1, 0, ValueError, "features must be finite, row 1 is not"),
        ([["a"]], 1, 0, TypeError, "features must be real numbers"),
        (np.eye(2), 0, 0, ValueError, "n must be >= 1, got 0"),
        (np.eye(2), 1, 2, ValueError, "start must be a row in 0..1, got 2"),
        (np.eye(2), 1, -1, ValueError, "start must be >= 0, got -1"),
    ],
)
def test_bad_features(features, n, start, error, message):
    with pytest.raises(error, match=message):
        farthest_point(features, n, start)
