"""Descriptors that are prepared for structures whose atoms move compute what they would without."""

import pickle
import threading

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from helpers.registry import HAS_NO_DERIVATIVES, NEEDS_CELL, REGISTRY, SMALL, some_structures
from sklearn.base import clone

from atomprint.descriptors import SOAP, EwaldSumMatrix, LocalDescriptor
from atomprint.pooling import Pooling
from atomprint.sampling import CenterSampler
from atomprint.structures import Batch, StructureError


def _moved(structures, seed):
    """Return copies with other positions and cells."""
    rng = np.random.default_rng(seed)
    copies = [atoms.copy() for atoms in structures]
    for atoms in copies:
        strain = np.eye(3) + 0.02 * rng.normal(size=(3, 3))
        atoms.set_cell(atoms.cell @ strain)
        atoms.positions += rng.normal(0, 0.05, atoms.positions.shape)
    return copies


def _same(a, b):
    if isinstance(a, list):
        return len(a) == len(b) and all(map(_same, a, b))
    return a is b is None or (type(a) is type(b) and np.array_equal(a, b) and a.dtype == b.dtype)


def _arrays(structures):
    return np.concatenate([atoms.positions for atoms in structures]), np.array([atoms.cell[:] for atoms in structures])


@pytest.mark.parametrize("name", REGISTRY)
@pytest.mark.parametrize("single", [True, False])
def test_it_computes_what_the_descriptor_does(name, single):
    descriptor, structures = clone(REGISTRY[name]), some_structures(name)
    start = structures[0] if single else structures
    evaluator = descriptor.prepare(start)
    for seed in range(3):
        copies = _moved(structures[:1] if single else structures, seed)
        positions, cells = _arrays(copies)
        given = copies[0] if single else copies
        cell = cells[0] if single else cells
        features = descriptor.create(given)
        assert _same(evaluator.create(positions, cell), features)
        if name in HAS_NO_DERIVATIVES:
            continue
        rng = np.random.default_rng(seed)
        weights = [rng.normal(size=x.shape).astype(x.dtype) for x in features] if isinstance(features, list) else None
        weights = rng.normal(size=features.shape).astype(features.dtype) if weights is None else weights
        for options in ({}, {"wrt": "positions", "return_descriptor": True}):
            found, expected = (
                evaluator.vjp(positions, weights, cell, **options),
                descriptor.vjp(given, weights, **options),
            )
            assert all(map(_same, found, expected))
    # The cell is that of the beginning where none is given.
    own = start.copy() if single else [atoms.copy() for atoms in start]
    for atoms in [own] if single else own:
        atoms.positions += 0.03
    assert _same(evaluator.create(_arrays([own] if single else own)[0]), descriptor.create(own))


POINTS = np.array([[0.1, 0.2, 0.3], [1.0, 0.0, 0.0]])
SAMPLER = CenterSampler(n=4, method="random", random_state=1)


@pytest.mark.parametrize("centers", [[1], [8, 0, 3], POINTS, list(range(9)), SAMPLER])
@pytest.mark.parametrize("options", [{}, {"pooling": ("mean", "max")}, {"average": "inner"}, {"dtype": "float32"}])
def test_centers_that_are_atoms_go_with_them(centers, options):
    soap, ethanol = SOAP(**SMALL, **options), molecule("CH3CH2OH")
    evaluator = soap.prepare(ethanol, centers)
    chosen = centers([ethanol])[0] if callable(centers) else centers
    for seed in range(2):
        (copy,) = _moved([ethanol], seed)
        features = soap.create(copy, chosen)
        single = evaluator.create(copy.positions)
        assert np.array_equal(single.reshape(features.shape), features)
        weights = np.ones_like(single)
        for attach in (True, False):
            found = evaluator.vjp(copy.positions, weights, attach=attach)
            expected = soap.vjp(copy, weights.reshape(features.shape), chosen, attach=attach)
            assert np.array_equal(found.positions, expected.positions)


def test_several_cotangents():
    soap, (water,) = SOAP(**SMALL), _moved([molecule("H2O")], 0)
    weights = np.random.default_rng(0).normal(size=(2, *soap.create(water).shape))
    found = soap.prepare(molecule("H2O")).vjp(water.positions, weights, several=True)
    assert all(map(_same, found, soap.vjp(water, weights, several=True)))


def test_some_centers_of_several_structures():
    soap, structures = SOAP(**SMALL), [molecule("CH3CH2OH"), molecule("H2O"), molecule("NH3")]
    centers = [[3, 1], None, [[0.0, 0.0, 0.5]]]
    copies = _moved(structures, 0)
    evaluator = soap.prepare(structures, centers)
    assert _same(evaluator.create(_arrays(copies)[0]), soap.create(copies, centers))


def test_options_of_a_call_follow_the_cell():
    salt, ewald = bulk("NaCl", "rocksalt", 5.64), EwaldSumMatrix(n_atoms_max=4)
    (copy,) = _moved([salt], 0)
    for given in ({}, {"accuracy": 1e-3}, {"r_cut": 6.0, "g_cut": 2.0, "a": 0.4}):
        evaluator = ewald.prepare(salt, **given)
        assert np.array_equal(evaluator.create(copy.positions, copy.cell), ewald.create(copy, **given))


def test_neither_parameters_nor_structures_reach_it_later():
    soap, water = (
        SOAP(**SMALL | {"species": ["H", "O"]}, pooling=Pooling("sum", weights={"H": 1, "O": 2})),
        molecule("H2O"),
    )
    evaluator, positions = soap.prepare(water), water.positions.copy()
    expected = soap.create(water)
    soap.species.append("F")
    soap.pooling.weights["H"] = 5
    soap.n_max = 1
    water.positions += 1
    water.numbers[:] = 6
    assert np.array_equal(evaluator.create(positions), expected)


def test_what_is_given_is_neither_kept_nor_changed():
    ethanol = molecule("CH3CH2OH")
    evaluator = SOAP(**SMALL).prepare(ethanol)
    positions = ethanol.positions.copy()
    features, out = evaluator.create(positions), np.empty((9, SOAP(**SMALL).get_number_of_features()))
    assert evaluator.create(positions, out=out) is out
    assert np.array_equal(out, features)
    positions += 0.1 * np.arange(9)[:, None]
    assert not np.array_equal(evaluator.create(positions), features)
    assert np.array_equal(evaluator.create(ethanol.positions), features)
    # Other types and layouts.
    assert np.array_equal(evaluator.create(np.asfortranarray(ethanol.positions)), features)
    assert np.array_equal(evaluator.create(ethanol.positions.tolist()), features)
    assert not np.array_equal(evaluator.create(np.rint(ethanol.positions * 3).astype(int)), features)


@pytest.mark.parametrize(
    ("positions", "error", "message"),
    [
        (np.zeros((8, 3)), ValueError, r"positions must have shape \(9, 3\), got \(8, 3\)"),
        (np.zeros(27), ValueError, r"positions must have shape \(9, 3\), got \(27,\)"),
        ([[0.0, 1.0, 2.0], [0.0]], ValueError, r"positions must have shape \(9, 3\)"),
        (None, ValueError, r"positions must have shape \(9, 3\), got \(\)"),
        (np.zeros((9, 3)), StructureError, "structure 0, atoms 0 and 1: atoms must not coincide"),
        (np.zeros((9, 3), dtype=complex), TypeError, "positions must be real numbers, got complex128"),
        (np.full((9, 3), "x"), TypeError, "positions must be real numbers"),
    ],
)
def test_positions_that_are_of_no_use(positions, error, message):
    evaluator = SOAP(**SMALL).prepare(molecule("CH3CH2OH"))
    with pytest.raises(error, match=message):
        evaluator.create(positions)
    with pytest.raises(error, match=message):
        evaluator.vjp(positions, np.ones((9, SOAP(**SMALL).get_number_of_features())))


@pytest.mark.parametrize("name", REGISTRY)
@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e8])
def test_positions_are_checked_as_ever(name, wrong):
    descriptor, structures = clone(REGISTRY[name]), some_structures(name)
    evaluator = descriptor.prepare(structures)
    positions, cells = _arrays(structures)
    positions[len(structures[0]) + 1, 2] = wrong
    with pytest.raises(StructureError, match="structure 1, atom 1: position must be finite and within 1e7"):
        evaluator.create(positions, cells)
    if name in NEEDS_CELL:
        positions, cells = _arrays(structures)
        cells[2, 0] = wrong
        with pytest.raises(StructureError, match="structure 2: cell must be finite"):
            evaluator.create(positions, cells)
        cells[2] = 0
        with pytest.raises(StructureError, match="structure 2"):
            evaluator.create(positions, cells)


def test_cells_and_cotangents_that_are_of_no_use():
    salt = bulk("NaCl", "rocksalt", 5.64)
    soap = SOAP(**SMALL, periodic=True)
    evaluator, features = soap.prepare(salt), soap.create(salt)
    with pytest.raises(ValueError, match=r"cell must have shape \(3, 3\), got \(1, 3, 3\)"):
        evaluator.create(salt.positions, salt.cell[:][None])
    with pytest.raises(ValueError, match=r"cell must have shape \(1, 3, 3\), got \(3, 3\)"):
        soap.prepare([salt]).create(salt.positions, salt.cell)
    with pytest.raises(StructureError, match="cell must have a non-zero volume"):
        evaluator.create(salt.positions, np.ones((3, 3)))
    with pytest.raises(ValueError, match="cotangents must have shape"):
        evaluator.vjp(salt.positions, features[:1])
    with pytest.raises(ValueError, match="cotangents must be finite, row 1 is not"):
        evaluator.vjp(salt.positions, np.where([[False], [True]], np.nan, features))
    with pytest.raises(ValueError, match="wrt must be"):
        evaluator.vjp(salt.positions, features, wrt="cell")
    with pytest.raises(TypeError, match="attach must be True or False"):
        evaluator.vjp(salt.positions, features, attach="yes")
    with pytest.raises(StructureError, match="species must be one of"):
        SOAP(**SMALL).prepare(Atoms("Xe"))


def test_cells_do_not_matter_where_they_are_ignored():
    soap, water = SOAP(**SMALL, periodic=False), molecule("H2O")
    evaluator = soap.prepare(water)
    assert np.array_equal(evaluator.create(water.positions, 2 * np.eye(3)), soap.create(water))


@pytest.mark.parametrize("name", REGISTRY)
def test_it_can_be_pickled(name):
    descriptor, structures = clone(REGISTRY[name]), some_structures(name)
    centers = ([[1, 0], [0], None],) if isinstance(descriptor, LocalDescriptor) else ()
    evaluator = descriptor.prepare(structures, *centers)
    positions, cells = _arrays(_moved(structures, 0))
    expected = evaluator.create(positions, cells)
    other = pickle.loads(pickle.dumps(evaluator))
    assert _same(other.create(positions, cells), expected)
    assert repr(other) == repr(evaluator)


@pytest.mark.parametrize("name", ["soap", "soap-pooled", "mbtr", "coulomb-eigenspectrum", "lmbtr-periodic"])
def test_threads_may_share_it(name):
    descriptor, structures = clone(REGISTRY[name]), some_structures(name)
    evaluator, found = descriptor.prepare(structures[0]), {}
    moved = [_moved(structures[:1], seed)[0] for seed in range(8)]
    expected = [descriptor.create(atoms) for atoms in moved]

    def work(thread):
        for _ in range(5):
            for seed, atoms in enumerate(moved):
                found[thread, seed] = evaluator.create(atoms.positions, atoms.cell)

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 32
    assert all(np.array_equal(features, expected[seed]) for (_, seed), features in found.items())


def test_arrays_that_change_afterwards_do_not_matter():
    salt = bulk("NaCl", "rocksalt", a=5.64)
    batch = Batch.from_arrays(salt.numbers, salt.positions, salt.cell[:], pbc=True)
    evaluator = SOAP(species=["Na", "Cl"], r_cut=4.0, n_max=3, l_max=2, periodic=True).prepare(batch)
    before = evaluator.create(salt.positions)
    batch.cells[:] *= 1.1
    batch.numbers[:] = 17
    np.testing.assert_array_equal(evaluator.create(salt.positions), before)
