"""Derivatives by positions and strain: all forms, all descriptors, and a descriptor as a user would write it."""

import copy
import itertools
import pickle
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from ase import Atoms
from ase.build import add_adsorbate, bulk, fcc111, molecule
from helpers.registry import NEEDS_CELL, REGISTRY, VARIANTS, some_structures
from scipy import sparse
from sklearn.base import clone

from atomprint.descriptors import SOAP, CoulombMatrix, DensityGrid, Descriptor, EwaldSumMatrix, LocalDescriptor
from atomprint.descriptors.engine.pairs import PairBlock, PairJacobian
from atomprint.layout import Block, Layout
from atomprint.pooling import Pooling
from atomprint.sampling import CenterSampler
from atomprint.structures import Batch, StructureError, as_batch
from atomprint.testing import check_derivatives
from atomprint.util.validation import check_real, check_species

# A descriptor of a user, with exact derivatives in a few lines of NumPy -----------------------------------------------

ETAS = np.array([0.02, 0.1, 0.3])
TILT = np.array([0.3, -0.5, 0.8])  # makes features that do change with rotations, so that strain shows all its parts


class Bumps(LocalDescriptor):
    """For each species sum_j (1 + t.d) exp(-eta d^2) f(d), with d from centre to atom and f(d) = (1 - d^2 / r_cut^2)^3.

    It gives features and their derivatives by pairs; all that is tested here follows from these.
    """

    def __init__(
        self,
        species=None,
        r_cut=4.0,
        periodic=False,
        centers=None,
        pooling=None,
        sparse=False,
        dtype="float64",
        n_jobs=1,
    ):
        self._initialise(locals())

    def _validate(self):
        check_real("r_cut", self.r_cut, above=0)
        if self.species is not None:
            check_species(self.species)
        self._pooling()

    def _pooling(self):
        return None if self.pooling is None else super()._pooling()

    def _n_features(self):
        return len(self._species()) * len(ETAS)

    def _layout(self):
        return Layout("Bumps", [Block((str(z),), [f"eta={eta}" for eta in ETAS]) for z in self._species()])

    def _terms(self, call):
        """Yield for every neighbour: species, structure, centre, atom, shift, vector, value and slope of its term."""
        batch, centers, species = call.batch, call.centers, call.species
        for s in range(len(batch)):
            cell, first = batch.cells[s], batch.offsets[s]
            n = [0, 0, 0]
            if batch.pbc[s].any():
                heights = 1 / np.linalg.norm(np.linalg.pinv(cell), axis=0)
                spread = np.ptp(np.vstack([batch.positions, centers.points]), axis=0).max()
                n = np.where(batch.pbc[s], np.ceil((self.r_cut + spread) / heights), 0).astype(int)
            for shift in itertools.product(*(range(-k, k + 1) for k in n)):
                for c in range(centers.offsets[s], centers.offsets[s + 1]):
                    d = batch.positions[first : batch.offsets[s + 1]] + shift @ cell - centers.points[c]
                    for j in np.flatnonzero((d**2).sum(axis=1) < self.r_cut**2):
                        r2, tilt = d[j] @ d[j], 1 + TILT @ d[j]
                        fade, gauss = 1 - r2 / self.r_cut**2, np.exp(-ETAS * r2)
                        value = tilt * gauss * fade**3
                        slope = np.outer(TILT, gauss * fade**3) + 2 * np.outer(
                            d[j], tilt * gauss * (-ETAS * fade**3 - 3 * fade**2 / self.r_cut**2)
                        )
                        yield species[first + j], s, c, j, shift, d[j], value, slope

    def _compute(self, call, out):
        out[:] = 0
        for z, _, c, _, _, _, value, _ in self._terms(call):
            out[c].reshape(-1, len(ETAS))[z] += value

    def _pairs(self, call):
        terms = list(self._terms(call))
        blocks = []
        for k, z in enumerate(self._species()):
            own = [term for term in terms if term[0] == k]
            columns = list(zip(*own, strict=True)) if own else [()] * 8
            structures = np.array(columns[1], dtype=np.int64)
            blocks.append(
                PairBlock(
                    species=z,
                    features=k * len(ETAS) + np.arange(len(ETAS)),
                    values=np.array(columns[7], dtype=self.dtype).reshape(-1, 3, len(ETAS)),
                    structures=structures,
                    centers=np.array(columns[2], dtype=np.int64) - call.centers.offsets[structures],
                    atoms=np.array(columns[3], dtype=np.int64),
                    shifts=np.array(columns[4], dtype=np.int64).reshape(-1, 3),
                    vectors=np.array(columns[5]).reshape(-1, 3),
                )
            )
        return blocks


class Plain(Descriptor):
    """Sum of distances and their squares: a user's descriptor that gives features only."""

    def __init__(self):
        self._initialise({})

    def _validate(self):
        pass

    def _n_features(self):
        return 2

    def _layout(self):
        return Layout("Plain", [Block((), ["r", "r2"])])

    def _compute(self, call, out):
        batch = call.batch
        for s in range(len(batch)):
            r = batch.positions[batch.offsets[s] : batch.offsets[s + 1]]
            d = np.linalg.norm(r[:, None] - r[None], axis=-1)
            out[s] = d.sum(), (d**2).sum()


SPECIES = ["H", "C", "N", "O", "Na", "Cl"]


def rattled(atoms, seed=0, size=0.1):
    """Return a copy in a general position: nothing in it is equal by symmetry."""
    atoms = atoms.copy()
    atoms.positions += np.random.default_rng(seed).normal(0, size, atoms.positions.shape)
    return atoms


def skewed():
    """A triclinic cell smaller than the cutoff, with atoms outside it."""
    atoms = bulk("NaCl", "zincblende", 5.0)
    atoms.set_cell(atoms.cell.array + np.array([[0, 0.3, 0], [0.2, 0, 0.4], [0, 0, 0.5]]), scale_atoms=True)
    atoms.positions += [[11.0, -7.0, 3.0], [-9.0, 20.0, 1.0]]
    return rattled(atoms)


def slab():
    """Two layers with an atom above, periodic along two vectors."""
    atoms = fcc111("Na", (1, 1, 2), a=4.4, vacuum=4.0)
    add_adsorbate(atoms, "O", 1.6, "bridge")
    assert atoms.pbc.tolist() == [True, True, False]
    return rattled(atoms, 2)


def salt():
    """A cell with as many different environments as atoms."""
    return rattled(bulk("NaCl", "rocksalt", 5.3, cubic=True)[:4], 3)


MOLECULE = rattled(molecule("CH3OH"))
STRUCTURES = {"molecule": MOLECULE, "skewed": skewed(), "slab": slab(), "salt": salt()}
WATER = [molecule("H2O"), molecule("NO2"), molecule("CO2")]
OXYGENS = [[0], [1, 2], [1, 2]]


def parts(result):
    """Return a result for several structures as one dense array for each."""
    result = result.toarray() if sparse.issparse(result) else result
    return [x.toarray() if sparse.issparse(x) else np.asarray(x) for x in result]


# All descriptors ---------------------------------------------------------------------------------------------------


def differentiable(name):
    descriptor = clone(REGISTRY[name])
    # A lattice sum jumps where a term passes its cutoff, by as much as its accuracy.
    return descriptor.set_params(accuracy=1e-13) if "accuracy" in descriptor.get_params() else descriptor


def has_derivatives(descriptor):
    try:
        descriptor._check_differentiable()
    except ValueError:
        return False
    return True


def has_no_pairs(descriptor):
    """Return whether its rows depend on more than the vectors from their centre, as those of a network do."""
    return isinstance(descriptor, LocalDescriptor) and not descriptor._has_pairs()


ALL = {name: differentiable(name) for name in REGISTRY} | {
    "bumps": Bumps(SPECIES, r_cut=4.1),
    "bumps-pooled": Bumps(SPECIES, r_cut=4.1, pooling=("sum", "max")),
}
SMOOTH = [name for name, descriptor in ALL.items() if has_derivatives(descriptor)]
SUDDEN = sorted(set(ALL) - set(SMOOTH))


@pytest.fixture(params=SMOOTH)
def name(request):
    return request.param


@pytest.fixture
def descriptor(name):
    return ALL[name]


def structures_for(name):
    return [rattled(atoms, seed, 0.15) for seed, atoms in enumerate(some_structures(name))]


def test_all_descriptors(name, descriptor):
    # Without attach a pair of equal atoms gives equal features to both, and a kink to their deviation.
    kinked = getattr(descriptor, "pooling", None) is not None
    report = check_derivatives(descriptor, structures_for(name), attach=True if kinked else (True, False))
    assert not report.constant
    assert max(report.errors.values()) <= 1e-6


def test_float32(name, descriptor):
    single = clone(descriptor).set_params(dtype="float32")
    atoms = structures_for(name)[:2]
    for array in single.derivatives(atoms, wrt=("positions", "strain")):
        assert {part.dtype for part in (array if isinstance(array, list) else [array])} == {np.dtype(np.float32)}
    check_derivatives(single, atoms, attach=True)


def test_sparse(name, descriptor, monkeypatch):
    atoms = structures_for(name)
    wanted = descriptor.derivatives(atoms, wrt=("positions", "strain"))
    weights = descriptor.create(atoms)
    gradient = descriptor.vjp(atoms, weights)
    thin = clone(descriptor).set_params(sparse=True)
    for chunk in (2**24, 1):  # in one piece, and cut as finely as possible
        monkeypatch.setattr("atomprint.descriptors.engine.parts._CHUNK_BYTES", chunk)
        found = thin.derivatives(atoms, wrt=("positions", "strain"))
        for a, b in zip(wanted, found, strict=True):
            for x, y in zip(
                [a] if isinstance(b, sparse.sparray) else a, b if isinstance(b, list) else [b], strict=True
            ):
                assert isinstance(y, sparse.sparray)
                assert x.shape == y.shape
                np.testing.assert_allclose(y.toarray(), x, atol=1e-13 * np.abs(x).max())
        alone = thin.vjp(atoms[0], thin.create(atoms[0]))
        np.testing.assert_allclose(alone.positions, gradient.positions[0], atol=1e-12)
        for given in (weights, thin.create(atoms)):
            again = thin.vjp(atoms, given, return_descriptor=True)
            for x, y in zip(gradient[:2], again[:2], strict=True):
                for p, q in zip(x, y, strict=True):
                    np.testing.assert_allclose(p, q, atol=1e-12 * np.abs(p).max())
            for x, y in zip(parts(again.descriptor), parts(weights), strict=True):
                np.testing.assert_array_equal(x, y)


def test_lists_single_structures_and_threads(name, descriptor):
    atoms = structures_for(name)
    weights = descriptor.create(atoms)
    listed = descriptor.derivatives(atoms, return_descriptor=False, wrt=("positions", "strain"))
    gradient = descriptor.vjp(atoms, weights, return_descriptor=True)
    threaded = descriptor.derivatives(atoms, return_descriptor=False, wrt=("positions", "strain"), n_jobs=3)
    for s, one in enumerate(atoms):
        alone = descriptor.derivatives(one, wrt=("positions", "strain"))
        np.testing.assert_array_equal(alone[2], descriptor.create(one))
        own = descriptor.vjp(one, weights[s])
        assert own.positions.shape == (len(one), 3)
        assert own.strain.shape == (3, 3)
        assert own.descriptor is None
        np.testing.assert_allclose(own.positions, gradient.positions[s], atol=1e-12 * np.abs(own.positions).max())
        np.testing.assert_allclose(own.strain, gradient.strain[s], atol=1e-12 * np.abs(own.strain).max())
        np.testing.assert_array_equal(gradient.descriptor[s], weights[s])
        for k in range(2):
            np.testing.assert_allclose(listed[k][s], alone[k], atol=1e-13 * np.abs(alone[k]).max())
            np.testing.assert_allclose(threaded[k][s], alone[k], atol=1e-13 * np.abs(alone[k]).max())
    (only,) = descriptor.derivatives(atoms[:1], return_descriptor=False)
    np.testing.assert_allclose(only, listed[0][0], atol=1e-13 * np.abs(only).max())
    assert descriptor.vjp(atoms, weights, wrt="strain").positions is None
    assert descriptor.vjp(atoms, weights, wrt=("positions",)).strain is None
    swapped = descriptor.derivatives(atoms[0], wrt=("strain", "positions"), return_descriptor=False)
    assert [array.shape[-3] for array in swapped] == [3, len(atoms[0])]


def test_selected_atoms_are_slices(name, descriptor):
    atoms = structures_for(name)
    for given in ({}, {"attach": True}) if isinstance(descriptor, LocalDescriptor) else ({},):
        derivatives = partial(descriptor.derivatives, return_descriptor=False, **given)
        everything = derivatives(atoms)
        place = everything[0].ndim - 3  # the axis of the atoms, in a list of arrays or without the leading axis
        for s, one in enumerate(atoms):
            last = len(one) - 1
            for change, kept in (
                ({"include": [0]}, [0]),
                ({"include": [last, 0]}, [last, 0] if last else [0]),
                ({"exclude": [0]}, list(range(1, last + 1))),
                ({"include": []}, []),
                ({"exclude": []}, list(range(last + 1))),
            ):
                if last == 0 and change == {"include": [last, 0]}:
                    continue
                found = derivatives(one, **change)
                np.testing.assert_allclose(found, np.take(everything[s], kept, axis=place), atol=1e-13)
        both = derivatives(atoms, include=[[0], None, [1]])
        for s, kept in enumerate(([0], range(len(atoms[1])), [1])):
            np.testing.assert_allclose(both[s], np.take(everything[s], list(kept), axis=place), atol=1e-13)
        same = derivatives(atoms, include=[0])
        for s in range(len(atoms)):
            np.testing.assert_allclose(same[s], np.take(everything[s], [0], axis=place), atol=1e-13)


def test_numerical_derivatives_agree(name, descriptor):
    atoms = structures_for(name)[:2]
    for a, n in zip(
        descriptor.derivatives(atoms, method="analytical", wrt=("positions", "strain")),
        descriptor.derivatives(atoms, method="numerical", wrt=("positions", "strain")),
        strict=True,
    ):
        for x, y in zip(a, n, strict=True):
            np.testing.assert_allclose(x, y, atol=1e-7 * np.abs(y).max())


def test_jacobian_sums_to_the_dense_derivatives(name, descriptor):
    atoms = structures_for(name)
    if has_no_pairs(descriptor):
        with pytest.raises(ValueError, match="no derivatives by pairs: call derivatives or vjp"):
            descriptor.jacobian(atoms)
        return
    jacobian = descriptor.jacobian(atoms)
    assert jacobian.n_features == descriptor.get_number_of_features()
    by_values = PairJacobian(jacobian.blocks, jacobian._call)  # without the descriptor's faster ways to sums
    for attach in (True, False):
        if isinstance(descriptor, LocalDescriptor):
            wanted = descriptor.derivatives(atoms, attach=attach, wrt=("positions", "strain"), return_descriptor=False)
            sums = [each.dense(("positions", "strain"), attach=attach) for each in (jacobian, by_values)]
            for one in ("strain", ("strain",)):
                alone = jacobian.dense(one, attach=attach)
                assert len(alone) == len(atoms)
                np.testing.assert_array_equal(alone[0], sums[0][1][0])
        else:
            wanted = (descriptor.derivatives(atoms, return_descriptor=False),)
            sums = [(each.dense(),) for each in (jacobian, by_values)]
        for found in sums:
            for a, b in zip(wanted, found, strict=True):
                for x, y in zip(a, b, strict=True):
                    np.testing.assert_allclose(y, x, atol=1e-11 * np.abs(x).max())


def test_some_rows_of_a_jacobian(name, descriptor):
    atoms = structures_for(name)
    if has_no_pairs(descriptor):
        with pytest.raises(ValueError, match="no derivatives by pairs: call derivatives or vjp"):
            descriptor.jacobian(atoms)
        return
    rng = np.random.default_rng(0)
    jacobian, whole = (descriptor.jacobian(atoms) for _ in range(2))
    n, n_features = len(jacobian), jacobian.n_features
    everything = np.zeros((n, 3, n_features))
    first = 0
    for block in whole.blocks:
        everything[first : first + len(block)][:, :, block.features] = block.values
        first += len(block)
    assert first == n
    pairs, features = rng.integers(-n, n, 20), rng.integers(-n_features, n_features, 7)
    for each in (jacobian, whole):  # before and after their values are there
        np.testing.assert_array_equal(each.rows(pairs), everything[pairs])
        np.testing.assert_array_equal(each.rows(slice(5, 9), features), everything[5:9][:, :, features])
        np.testing.assert_array_equal(each.rows(features=[]), everything[:, :, :0])
    assert jacobian.rows([], features).shape == (0, 3, 7)
    block = max(jacobian.blocks, key=len)
    np.testing.assert_array_equal(block.rows([-1, 0]), block.values[[-1, 0]])
    np.testing.assert_array_equal(block.rows(), block.values)
    for wrong in ({"pairs": [n]}, {"features": [n_features]}, {"features": [0.5]}):
        with pytest.raises(IndexError, match=next(iter(wrong))):
            jacobian.rows(**wrong)


def test_a_jacobian_is_that_of_its_time():
    atoms, soap = molecule("CH3OH"), SOAP(species=["H", "C", "O"], r_cut=4.0, n_max=3, l_max=2)
    weights, wanted = soap.create(atoms), soap.jacobian(atoms)
    jacobian = soap.jacobian(atoms)
    values = [block.values for block in wanted.blocks]
    gradient, dense = soap.vjp(atoms, weights), soap.derivatives(atoms, return_descriptor=False)
    soap.set_params(n_max=5, r_cut=3.0)
    atoms.positions += 0.1
    np.testing.assert_array_equal(jacobian.contract(weights).positions, gradient.positions)
    np.testing.assert_array_equal(jacobian.dense(), dense)
    for block, value in zip(jacobian.blocks, values, strict=True):
        np.testing.assert_array_equal(block.values, value)
        assert block.values is block.values


@pytest.mark.parametrize("name", ["soap", "soap-mixed", "soap-outer", "acsf", "lmbtr"])
def test_a_jacobian_is_that_of_the_arrays_of_its_time(name):
    """With other numbers of neighbours afterwards, what is computed later would go to places that are not there."""
    descriptor, atoms = ALL[name], structures_for(name)[0]
    given = as_batch(atoms, periodic=None)
    batch = Batch(*(array.copy() for array in given._fields()), single=given.single)
    jacobian, wanted = (descriptor.jacobian(each) for each in (batch, given))
    batch.positions[:] = batch.positions[0] + 0.3 * (batch.positions - batch.positions[0])
    for block, expected in zip(jacobian.blocks, wanted.blocks, strict=True):
        np.testing.assert_array_equal(block.values, expected.values)
    np.testing.assert_array_equal(jacobian.dense(), wanted.dense())


@pytest.mark.parametrize("name", ["soap", "soap-outer", "acsf", "lmbtr", "mbtr", "pooled"])
@pytest.mark.parametrize("copied", [lambda given: pickle.loads(pickle.dumps(given)), copy.deepcopy])
def test_copies_of_a_jacobian_hold_its_numbers(name, copied):
    own = SOAP(3.0, 2, 1, species=["H", "C", "O"], pooling=Pooling("mean", weights=lambda atoms: np.ones(len(atoms))))
    descriptor = own if name == "pooled" else ALL[name]
    atoms = [molecule("CH3OH"), molecule("H2O")] if name == "pooled" else structures_for(name)
    jacobian = descriptor.jacobian(atoms)
    found = copied(jacobian)
    for block, wanted in zip(found.blocks, jacobian.blocks, strict=True):
        np.testing.assert_array_equal(block.values, wanted.values)
        np.testing.assert_array_equal(block.rows(slice(2)), wanted.rows(slice(2)))
    for block, wanted in zip(found.dense(), jacobian.dense(), strict=True):
        np.testing.assert_allclose(block, wanted, atol=1e-11 * np.abs(wanted).max())
    features = descriptor.create(atoms)
    weights = [np.cos(x) for x in features] if isinstance(features, list) else np.cos(features)
    for each, wanted in zip(*(one.contract(weights, "positions").positions for one in (found, jacobian)), strict=True):
        np.testing.assert_allclose(each, wanted, rtol=0, atol=1e-11 * max(1.0, np.abs(wanted).max()))


STEPS = {"coordination-hard", "warren-cowley-sharp"}  # constant but where an atom passes an edge


@pytest.mark.parametrize("name", sorted(set(VARIANTS) - STEPS))
def test_more_variants(name):
    descriptor = clone(VARIANTS[name])
    if "accuracy" in descriptor.get_params():
        descriptor.set_params(accuracy=1e-13)
    if has_derivatives(descriptor):
        assert not check_derivatives(descriptor, structures_for(name)).constant
    else:
        with pytest.raises(ValueError, match="derivatives"):
            descriptor.derivatives(structures_for(name))


@pytest.mark.parametrize("name", SUDDEN)
def test_no_derivatives(name):
    atoms, weights = structures_for(name)[0], np.zeros(REGISTRY[name].get_number_of_features())
    for method in ("auto", "analytical", "numerical"):
        with pytest.raises(ValueError, match="derivatives"):
            ALL[name].derivatives(atoms, method=method)
    with pytest.raises(ValueError, match="derivatives"):
        ALL[name].vjp(atoms, weights)
    with pytest.raises(ValueError, match="derivatives"):
        ALL[name].jacobian(atoms)


@pytest.mark.filterwarnings("ignore:.* apart, more than 1.5 sigma")  # of a grid, in cells this large
def test_the_same_checks_as_create(name, descriptor):
    def calls(structures):
        yield lambda: descriptor.create(structures)
        yield lambda: descriptor.derivatives(structures)
        yield lambda: descriptor.derivatives(structures, method="numerical")
        yield lambda: descriptor.vjp(structures, [])
        yield lambda: descriptor.jacobian(structures)

    bad = [
        [],
        Atoms(cell=[1, 1, 1], pbc=True),
        [Atoms("H2", positions=[[0, 0, 0], [np.nan, 0, 0]], cell=[4, 4, 4])],
        [Atoms("H2", positions=[[1, 0, 0], [1, 0, 0]], cell=[4, 4, 4])],
        3,
    ]
    if descriptor.get_params().keys() & {"species", "n_atoms_max"}:  # else any elements and sizes will do
        bad.append([bulk("C").repeat(3)[:10], Atoms("U10", positions=np.arange(30).reshape(10, 3), cell=[40, 40, 40])])
    if name in NEEDS_CELL:
        bad += [[bulk("C"), molecule("H2O")], Atoms("H", cell=[[1, 0, 0], [2, 0, 0], [0, 0, 1]], pbc=True)]
    for structures in bad:
        messages = set()
        for call in calls(structures):
            with pytest.raises((ValueError, TypeError)) as error:
                call()
            messages.add((error.type, str(error.value)))
        assert len(messages) == 1
    for call in (descriptor.derivatives, descriptor.jacobian):
        with pytest.raises(ValueError, match="n_jobs must not be 0"):
            call(structures_for(name), n_jobs=0)


def test_bad_arguments(name, descriptor):
    atoms = structures_for(name)
    rule = "wrt must be 'positions', 'strain' or a tuple of both, got "
    for wrt in ("cell", (), ("positions", "positions"), 3, ("strain", "cell"), (["strain"],)):
        with pytest.raises(ValueError, match=rule):
            descriptor.derivatives(atoms, wrt=wrt)
        with pytest.raises(ValueError, match=rule):
            descriptor.vjp(atoms, descriptor.create(atoms), wrt=wrt)
    with pytest.raises(ValueError, match="method must be one of 'auto', 'analytical', 'numerical', got 'exact'"):
        descriptor.derivatives(atoms, method="exact")
    if isinstance(descriptor, LocalDescriptor):
        with pytest.raises(TypeError, match="attach must be True or False, got 1"):
            descriptor.vjp(atoms, descriptor.create(atoms), attach=1)
        with pytest.raises(TypeError, match="attach must be True or False, got 'yes'"):
            descriptor.derivatives(atoms, attach="yes")
        for attach in (np.True_, np.False_):
            found, wanted = (descriptor.derivatives(atoms, attach=a)[0] for a in (attach, bool(attach)))
            np.testing.assert_array_equal(found[0], wanted[0])
            descriptor.vjp(atoms, descriptor.create(atoms), attach=attach)
    with pytest.raises(TypeError, match="return_descriptor must be True or False, got None"):
        descriptor.derivatives(atoms, return_descriptor=None)
    with pytest.raises(ValueError, match="layout must be one of 'pairs', got 'dense'"):
        descriptor.jacobian(atoms, layout="dense")
    n = len(atoms[1])
    for change, error, message in (
        ({"include": [0], "exclude": [0]}, ValueError, "include and exclude must not be given together"),
        ({"include": [n + 99]}, ValueError, f"structure 0: include: atom index must be in 0..{len(atoms[0]) - 1}, got"),
        ({"exclude": [[0], [n], None]}, ValueError, f"structure 1: exclude: atom index must be in 0..{n - 1}, got {n}"),
        ({"include": [[0], [-1], None]}, ValueError, f"structure 1: include: atom index must be in 0..{n - 1}, got -1"),
        ({"include": [None, [1, 0, 1], None]}, ValueError, "structure 1: include: atom indices must differ, got 1"),
        ({"include": [0.0]}, TypeError, "structure 0: include must hold atom indices, got 0.0"),
        ({"exclude": [True]}, TypeError, "structure 0: exclude must hold atom indices, got True"),
        ({"include": [[0], [0]]}, ValueError, "include must be one list of atom indices for all structures, or one"),
        ({"include": [[0], 0, [0]]}, ValueError, "include must be one list of atom indices for all structures, or"),
        ({"include": 0}, TypeError, "include must be a list of atom indices"),
        ({"exclude": "0"}, TypeError, "exclude must be a list of atom indices"),
    ):
        with pytest.raises(error, match=message):
            descriptor.derivatives(atoms, **change)


@pytest.mark.parametrize("options", [{}, {"pooling": "mean"}, {"dtype": "float32"}, {"average": "inner"}])
@pytest.mark.parametrize("wrt", ["positions", ("positions", "strain")])
def test_one_bad_cotangent_of_very_many(options, wrt):
    soap = SOAP(species=list(range(1, 60)), r_cut=3.0, n_max=4, l_max=2, compression="off", **options)
    structures = [molecule("CH3CH2OH")] * 2
    X = soap.create(structures)
    assert X.size > 2**17
    for bad in (np.nan, np.inf):
        weights = np.ones_like(X)
        weights[1, ..., soap.get_location(("C", "O")).start + 5] = bad
        for kinds in ([1], [0, 1]):  # several, of which the last is bad
            given = np.stack([weights if k else np.ones_like(X) for k in kinds])
            with pytest.raises(
                ValueError, match=f"item {len(kinds) - 1} of cotangents: structure 1: cotangents must be"
            ):
                soap.vjp(structures, given, wrt=wrt, several=True)
        with pytest.raises(ValueError, match="structure 1: cotangents must be finite, row 0 is not"):
            soap.vjp(structures, weights, wrt=wrt)
        # What does not matter may be anything.
        weights = np.ones_like(X)
        weights[..., soap.get_location(("He", "Xe")).start] = bad
        assert np.isfinite(soap.vjp(structures, weights, wrt=wrt).positions).all()


def test_bad_cotangents(name, descriptor):
    atoms = structures_for(name)
    X = descriptor.create(atoms)
    with pytest.raises(ValueError, match=r"cotangents must "):
        descriptor.vjp(atoms, parts(X)[:-1])
    with pytest.raises(ValueError, match=r"cotangents must "):
        descriptor.vjp(atoms, X[0])
    with pytest.raises(ValueError, match=r"cotangents must have shape \(.*\), that of the features, got \(2,\)"):
        descriptor.vjp(atoms[0], [1.0, 2.0])
    with pytest.raises(TypeError, match="cotangents must be real numbers, got dtype complex128"):
        descriptor.vjp(atoms[0], X[0] * 1j)
    bad = [x.copy() for x in X]
    bad[1][..., 1] = np.nan
    with pytest.raises(ValueError, match="structure 1: cotangents must be finite, row 0 is not"):
        descriptor.vjp(atoms, bad if isinstance(X, list) else np.array(bad))
    if isinstance(X, list):
        bad = [x[:, :-1] if s == 2 else x for s, x in enumerate(X)]
        with pytest.raises(ValueError, match=r"structure 2: cotangents must have shape \(.*\), that of the features"):
            descriptor.vjp(atoms, bad)
        with pytest.raises(ValueError, match="cotangents must be a list with one array of shape"):
            descriptor.vjp(atoms, np.zeros(3))


def test_translation_and_torque(name, descriptor):
    if isinstance(descriptor, Bumps | DensityGrid):
        pytest.skip("changes with rotations, or with translations")
    atoms = structures_for(name)
    X = descriptor.create(atoms)
    tilt = np.linspace(1, 2, descriptor.get_number_of_features())  # the length of normalised features is constant
    weights = [x * tilt for x in X] if isinstance(X, list) else X * tilt
    for attach in (True, False) if isinstance(descriptor, LocalDescriptor) else (None,):
        positions = descriptor.vjp(atoms, weights, **({} if attach is None else {"attach": attach})).positions
        for s, g in enumerate(positions):
            scale = np.abs(g).max()
            assert scale > 0
            if attach is not False:
                np.testing.assert_allclose(g.sum(axis=0), 0, atol=1e-11 * len(g) * scale)
                if name not in NEEDS_CELL:
                    np.testing.assert_allclose(np.cross(atoms[s].positions, g).sum(axis=0), 0, atol=1e-10 * scale)
    # Rotating a crystal together with its cell changes nothing: strain derivatives are symmetric.
    for strain in descriptor.vjp(atoms, X).strain:
        np.testing.assert_allclose(strain, strain.T, atol=1e-10 * np.abs(strain).max())


# SOAP, in all combinations -----------------------------------------------------------------------------------------

SMALL = {"species": SPECIES, "r_cut": 2.9, "n_max": 2, "l_max": 2, "sigma": 0.4}


def check_soap(atoms, options, **arguments):
    soap = SOAP(**SMALL | {"periodic": bool(atoms.pbc.any())} | options)
    assert not check_derivatives(soap, atoms, **arguments).constant


@pytest.mark.parametrize("structure", ["molecule", "skewed"])
@pytest.mark.parametrize("rbf", ["gto", "polynomial"])
@pytest.mark.parametrize("average", ["off", "inner", "outer"])
@pytest.mark.parametrize("compression", ["off", "mu2", "mu1nu1", "crossover"])
@pytest.mark.parametrize("cutoff_width", [None, 1.0])
def test_soap(structure, rbf, average, compression, cutoff_width):
    options = {"rbf": rbf, "average": average, "compression": compression, "cutoff_width": cutoff_width}
    check_soap(STRUCTURES[structure], options)


SOAP_OPTIONS = {
    "many": {"n_max": 5, "l_max": 7},
    "one": {"n_max": 1, "l_max": 0},
    "wide": {"sigma": 1.0},
    "embedding": {"species_embedding": np.random.default_rng(0).normal(size=(6, 2))},
    "embedding-mu1nu1": {"species_embedding": np.random.default_rng(0).normal(size=(6, 2)), "compression": "mu1nu1"},
    "embedding-inner": {"species_embedding": np.random.default_rng(0).normal(size=(6, 2)), "average": "inner"},
    "mu2-weights": {
        "compression": {"mode": "mu2", "species_weighting": dict(zip(SPECIES, range(1, 7), strict=True))},
        "average": "inner",
    },
    "poly": {"weighting": {"function": "poly", "r0": 4.0, "m": 2}},
    "poly-inside": {"weighting": {"function": "poly", "r0": 2.5, "m": 1}},
    "pow": {"weighting": {"function": "pow", "r0": 1.3, "m": 4, "c": 2.0, "d": 0.5}},
    "exp": {"weighting": {"function": "exp", "r0": 1.3}},
    "exp_decay": {"weighting": {"function": "exp_decay", "r0": 1.3, "c": 2.0}},
    "exp_decay-smooth": {"weighting": {"function": "exp_decay", "r0": 1.3}, "cutoff_width": 2.0, "average": "inner"},
    "pooled-mean": {"pooling": "mean"},
    "pooled-all": {"pooling": ("sum", "max", "min", "std")},
    "pooled-species": {"pooling": Pooling(("mean", "std"), by_species=True, weights="mass")},
    "pooled-max": {"pooling": Pooling("max", by_species=True), "sparse": True},
    "sparse": {"sparse": True},
    "sparse-outer": {"sparse": True, "average": "outer"},
    "float32": {"dtype": "float32"},
    "float32-inner": {"dtype": "float32", "average": "inner", "rbf": "polynomial"},
    "float32-pooled": {"dtype": "float32", "pooling": ("mean", "std")},
}


@pytest.mark.parametrize("structure", ["molecule", "salt", "slab"])
@pytest.mark.parametrize("option", SOAP_OPTIONS)
@pytest.mark.filterwarnings("ignore:SOAP weighting 'exp' grows")
def test_soap_options(structure, option):
    # Without attach, the two atoms of a pair may have equal features, which is a kink of some poolings; and "exp" has a
    # cusp on the centre, around which differences converge slowly.
    attach = True if "pooled" in option or "exp" in option else (True, False)
    check_soap(STRUCTURES[structure], SOAP_OPTIONS[option], attach=attach)


@pytest.mark.parametrize(
    ("weighting", "attach"),
    [
        # Where its weight at distance zero is not w0, an atom that leaves its centre changes the features at once.
        ({"w0": 0.3}, True),
        ({"function": "pow", "r0": 1.3, "m": 4, "w0": 2.0}, True),
        ({"function": "pow", "r0": 1.3, "m": 4, "c": 2.0, "w0": 2.0}, (True, False)),
    ],
)
def test_soap_with_a_weight_of_the_centre(weighting, attach):
    for atoms in (MOLECULE, STRUCTURES["salt"]):
        check_soap(atoms, {"weighting": weighting}, attach=attach)


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("average", ["off", "inner", "outer"])
def test_soap_centres(structure, average):
    atoms = STRUCTURES[structure]
    for centers in (
        [1],
        [2, 0] if len(atoms) > 2 else [1, 0],
        [0, 0],
        [atoms.positions[1]],  # exactly on an atom
        [[0.1, 0.3, 0.2], atoms.positions.mean(axis=0) + 0.2],
        [[31.0, -8.0, 0.5], atoms.positions[0]],  # outside the cell
    ):
        if structure == "molecule" and np.max(centers) > 20:
            continue
        check_soap(atoms, {"average": average}, centers=centers)


def test_a_point_on_an_atom_is_that_atom_as_a_fixed_centre():
    for atoms in STRUCTURES.values():
        soap = SOAP(**SMALL, periodic=bool(atoms.pbc.any()))
        by_index = soap.derivatives(atoms, centers=[1], attach=False, return_descriptor=False)
        for attach in (True, False):
            by_point = soap.derivatives(atoms, centers=[atoms.positions[1]], attach=attach, return_descriptor=False)
            np.testing.assert_allclose(by_point, by_index, atol=1e-12)
        attached = soap.derivatives(atoms, centers=[1], attach=True, return_descriptor=False)
        assert np.abs(attached - by_index).max() > 1e-3
        # Only the atom of the centre makes a difference.
        others = [k for k in range(len(atoms)) if k != 1]
        np.testing.assert_allclose(attached[:, others], by_index[:, others], atol=1e-12)


def test_soap_of_several_structures_at_once():
    soap = SOAP(**SMALL, periodic=True, average="inner")
    check_derivatives(soap, [STRUCTURES["skewed"], STRUCTURES["salt"], STRUCTURES["slab"]], centers=[[1], None, [0, 2]])
    soap = SOAP(**SMALL, periodic=True)
    check_derivatives(soap, [STRUCTURES["skewed"], STRUCTURES["salt"], STRUCTURES["slab"]], centers=[[1], None, []])


# Shapes ------------------------------------------------------------------------------------------------------------


def test_shapes_of_the_introductory_example():
    soap = SOAP(species=["H", "C", "N", "O"], r_cut=5.0, n_max=8, l_max=6)
    derivatives, descriptor = soap.derivatives(WATER, centers=OXYGENS)
    assert [array.shape for array in derivatives] == [(1, 3, 3, 3696), (2, 3, 3, 3696), (2, 3, 3, 3696)]
    assert [array.shape for array in descriptor] == [(1, 3696), (2, 3696), (2, 3696)]
    alone = soap.derivatives(WATER[1], [1, 2], [0], None, "auto", False, True)
    assert alone.shape == (2, 1, 3, 3696)


def test_shapes():
    bumps, n = Bumps(SPECIES), 6 * len(ETAS)
    three, six = WATER, [*WATER, MOLECULE]
    both = {"wrt": ("positions", "strain")}

    def shapes(result):
        return [array.shape if hasattr(array, "shape") else [one.shape for one in array] for array in result]

    assert shapes(bumps.derivatives(three[0])) == [(3, 3, 3, n), (3, n)]
    assert shapes(bumps.derivatives(three, **both)) == [(3, 3, 3, 3, n), (3, 3, 3, 3, n), (3, 3, n)]
    assert shapes(bumps.derivatives(three, include=[0], **both)) == [(3, 3, 1, 3, n), (3, 3, 3, 3, n), (3, 3, n)]
    ragged = bumps.derivatives(six, **both)
    assert shapes(ragged)[0] == [(3, 3, 3, n)] * 3 + [(6, 6, 3, n)]
    assert shapes(ragged)[1] == [(3, 3, 3, n)] * 3 + [(6, 3, 3, n)]
    assert shapes(bumps.derivatives(six, centers=[[0]] * 4, **both))[1:] == [(4, 1, 3, 3, n), (4, 1, n)]
    assert shapes(bumps.derivatives(three, centers=OXYGENS, exclude=[[1, 2], [0, 2], [0, 1]]))[0] == [
        (1, 1, 3, n),
        (2, 1, 3, n),
        (2, 1, 3, n),
    ]
    assert shapes(bumps.derivatives(three[0], centers=[]))[0] == (0, 3, 3, n)
    pooled = Bumps(SPECIES, pooling="sum")
    assert shapes(pooled.derivatives(six, **both)) == [[(3, 3, n)] * 3 + [(6, 3, n)], (4, 3, 3, n), (4, n)]
    thin = Bumps(SPECIES, sparse=True)
    assert shapes(thin.derivatives(three, **both))[:2] == [(3, 3, 3, 3, n), (3, 3, 3, 3, n)]
    assert shapes(thin.derivatives(three[0], **both))[:2] == [(3, 3, 3, n), (3, 3, 3, n)]
    assert shapes(thin.derivatives(three, centers=[[], [0], []]))[0] == [(0, 3, 3, n), (1, 3, 3, n), (0, 3, 3, n)]
    assert shapes(Bumps(SPECIES, sparse=True, pooling="sum").derivatives(three[0], **both))[:2] == [
        (3, 3, n),
        (3, 3, n),
    ]
    gradient = bumps.vjp(six, bumps.create(six))
    assert [g.shape for g in gradient.positions] == [(3, 3)] * 3 + [(6, 3)]
    assert gradient.strain.shape == (4, 3, 3)
    assert bumps.vjp(three, bumps.create(three)).positions.shape == (3, 3, 3)
    assert bumps.vjp(as_batch(three[0], periodic=False), bumps.create(three[0])).positions.shape == (3, 3)


def test_pairs():
    atoms = [STRUCTURES["skewed"], STRUCTURES["salt"]]
    bumps = Bumps(SPECIES, r_cut=4.1, periodic=True)
    jacobian = bumps.jacobian(atoms, [[1], [0, 3]])
    assert repr(jacobian) == f"PairJacobian(2 structures, {sum(map(len, jacobian.blocks))} pairs, 18 features)"
    for block in jacobian.blocks:
        assert block.values.shape == (len(block), 3, len(ETAS))
        for p in range(len(block)):
            one = atoms[block.structures[p]]
            centre = [[1], [0, 3]][block.structures[p]][block.centers[p]]
            assert one.numbers[block.atoms[p]] == block.species
            image = one.positions[block.atoms[p]] + block.shifts[p] @ one.cell.array
            np.testing.assert_allclose(image - one.positions[centre], block.vectors[p], atol=1e-12)
    coulomb = CoulombMatrix(3, permutation="none").jacobian(WATER)
    (block,) = coulomb.blocks
    assert block.values.shape == (9, 3, 9)
    assert block.structures.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert block.atoms.tolist() == [0, 1, 2] * 3
    assert (block.centers == -1).all()
    assert not block.shifts.any()
    with pytest.raises(ValueError, match="wrt must be 'positions': without centres"):
        coulomb.dense("strain")


def test_centres_are_checked_as_in_create():
    bumps = Bumps(SPECIES)
    for centers in ([0, 7], [[np.nan, 0, 0]], [0, [0.0, 0.0, 0.0]], 3, "a", [0.5]):
        messages = set()
        for call in (
            lambda centers=centers: bumps.create(WATER[0], centers),
            lambda centers=centers: bumps.derivatives(WATER[0], centers),
            lambda centers=centers: bumps.vjp(WATER[0], [], centers),
            lambda centers=centers: bumps.jacobian(WATER[0], centers),
        ):
            with pytest.raises((ValueError, TypeError)) as error:
                call()
            messages.add((error.type, str(error.value)))
        assert len(messages) == 1


def test_centres_from_a_sampler():
    atoms = [rattled(one) for one in WATER]
    given, sampled = Bumps(SPECIES), Bumps(SPECIES, centers=CenterSampler(species=["O"]))
    for structures, centers in ((atoms, OXYGENS), (atoms[1], OXYGENS[1])):
        for method in ("analytical", "numerical"):
            wanted = given.derivatives(structures, centers, method=method, attach=True)
            found = sampled.derivatives(structures, method=method, attach=True)
            for a, b in zip(wanted, found, strict=True):
                for x, y in zip(a, b, strict=True):
                    np.testing.assert_array_equal(x, y)


def test_structures_from_a_generator():
    multiplicities = [atoms.copy() for atoms in WATER]
    for atoms in multiplicities:
        atoms.new_array("wyckoff_multiplicity", np.arange(1, 4))
    for change in ({"centers": CenterSampler(species=["O"])}, {"pooling": Pooling("mean", weights="multiplicity")}):
        bumps = Bumps(SPECIES, **change)
        features = bumps.create(multiplicities)
        for a, b in zip(parts(bumps.create(iter(multiplicities))), parts(features), strict=True):
            np.testing.assert_array_equal(a, b)
        wanted, found = (bumps.vjp(given, features).strain for given in (multiplicities, iter(multiplicities)))
        np.testing.assert_array_equal(found, wanted)


def test_unknown_species():
    atoms = [molecule("H2O"), molecule("NH3")]
    for method in ("auto", "numerical"):
        with pytest.raises(ValueError, match="structure 1, atom 0: species must be one of H, O, got N"):
            Bumps(["H", "O"]).derivatives(atoms, method=method)
    with pytest.raises(ValueError, match="structure 1, atom 0: species must be one of H, O, got N"):
        SOAP(species=["H", "O"], r_cut=3.0).derivatives(atoms, method="numerical")


# Numerical derivatives ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attach", [True, False])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_numerical_derivatives_are_those_of_create(attach, dtype):
    soap = SOAP(**SMALL, periodic=True, dtype=dtype)
    atoms, h = STRUCTURES["salt"], 1e-4
    exact = SOAP(**SMALL, periodic=True)
    by_position, by_strain = soap.derivatives(
        atoms, method="numerical", attach=attach, wrt=("positions", "strain"), return_descriptor=False
    )
    points = None if attach else atoms.positions

    def slope(move):
        plus, minus = (move(atoms.copy(), sign * h) for sign in (1, -1))
        return (exact.create(*plus) - exact.create(*minus)) / (2 * h)

    def displaced(atoms, h):
        atoms.positions[2, 1] += h
        return atoms, points

    def strained(atoms, h):
        e = np.eye(3)
        e[0, 2] += h
        atoms.set_cell(atoms.cell.array @ e.T)
        atoms.positions[:] = atoms.positions @ e.T
        return atoms, None if attach else points @ e.T

    # The reference has an error of h^2 / 6 times the third derivative. Rounding of float32 features, divided by the
    # step, is felt where these are large and change little.
    rtol, rounding = (2e-6, 0) if dtype == "float64" else (1e-3, 1e-6 * np.abs(exact.create(atoms)).max())
    for found, expected, step in (
        (by_position[:, 2, 1], slope(displaced), 2e-2),
        (by_strain[:, 0, 2], slope(strained), 5e-3),
    ):
        np.testing.assert_allclose(found, expected, atol=rtol * np.abs(expected).max() + rounding / step)


def test_a_descriptor_without_analytical_derivatives():
    plain = Plain()
    with pytest.warns(UserWarning, match="Plain has no analytical derivatives: derivatives are numerical") as caught:
        derivatives, features = plain.derivatives(WATER)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="Plain has no analytical derivatives") as caught:
        gradient = plain.vjp(WATER, features)
    assert caught[0].filename == __file__
    np.testing.assert_allclose(gradient.positions, np.einsum("sf,skcf->skc", features, derivatives), atol=1e-9)
    for s, atoms in enumerate(WATER):
        r = atoms.positions
        expected = 4 * (len(r) * r - r.sum(axis=0))
        np.testing.assert_allclose(derivatives[s, ..., 1], expected, atol=1e-10)
    np.testing.assert_array_equal(plain.derivatives(WATER, method="numerical")[0], derivatives)
    rule = "method must be 'auto' or 'numerical', got 'analytical': Plain has no analytical derivatives"
    with pytest.raises(ValueError, match=rule):
        plain.derivatives(WATER, method="analytical")


def test_a_local_descriptor_with_other_hooks():
    class WithoutPairs(Bumps):
        _pairs = LocalDescriptor._pairs

        def _jacobian(self, *arguments):
            Bumps(**self.get_params())._jacobian(*arguments)

    class WithoutAny(Bumps):
        _pairs = LocalDescriptor._pairs

    assert not check_derivatives(WithoutPairs(SPECIES), MOLECULE).constant
    with pytest.raises(ValueError, match="WithoutPairs has no derivatives by pairs: call derivatives or vjp"):
        WithoutPairs(SPECIES).jacobian(MOLECULE)
    with pytest.warns(UserWarning, match="WithoutAny has no analytical derivatives"):
        found = WithoutAny(SPECIES).derivatives(MOLECULE, return_descriptor=False)
    expected = Bumps(SPECIES).derivatives(MOLECULE, return_descriptor=False)
    np.testing.assert_allclose(found, expected, atol=1e-8)


def test_verbose_shows_progress(capsys):
    bumps = Bumps(SPECIES)
    X = bumps.create(WATER)
    derivatives, _ = bumps.derivatives(WATER, verbose=True)
    assert capsys.readouterr().err.endswith("Bumps: 3 of 3 structures\n")
    np.testing.assert_allclose(derivatives, bumps.derivatives(WATER, return_descriptor=False), atol=1e-14)
    bumps.vjp(WATER, X, verbose=True)
    assert capsys.readouterr().err.endswith("Bumps: 3 of 3 structures\n")


def test_structures_are_not_changed():
    copies = [atoms.copy() for atoms in WATER]
    bumps = Bumps(SPECIES)
    X = bumps.create(WATER)
    kept = X.copy()
    for method in ("analytical", "numerical"):
        bumps.derivatives(WATER, method=method)
    bumps.vjp(WATER, X)
    assert copies == WATER
    np.testing.assert_array_equal(X, kept)


# Pooling -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", ["mean", ("max", "mean", "min", "std"), Pooling(("std", "sum"), weights="mass")])
@pytest.mark.parametrize("structure", ["molecule", "salt"])
def test_pooled(pooling, structure):
    atoms = STRUCTURES[structure]
    assert not check_derivatives(Bumps(SPECIES, 5.7, bool(atoms.pbc.any()), pooling=pooling), atoms).constant


def test_pooled_by_species_and_with_weights():
    atoms = [MOLECULE, rattled(molecule("NH3"), 1)]
    weights = Pooling(("mean", "std"), weights=[[0.5, 0, 1, 2, 1, 3], [1, 2, 3, 4]])
    for pooling in (Pooling(("mean", "max"), by_species=True), weights):
        check_derivatives(Bumps(SPECIES, pooling=pooling), atoms)
    single = Bumps(SPECIES, pooling=Pooling("mean", weights=weights.weights[:1]))
    check_derivatives(single, atoms[:1])
    with pytest.raises(ValueError, match="weights must hold one array for each structure, got 2 for 1"):
        Bumps(SPECIES, pooling=weights).derivatives(atoms[:1])


def test_pooled_in_many_pieces(monkeypatch):
    pooled = Bumps(SPECIES, pooling=("mean", "std"))
    atoms = [MOLECULE, rattled(molecule("NH3"), 1)]
    expected = pooled.derivatives(atoms, wrt=("strain", "positions"))
    monkeypatch.setattr("atomprint.descriptors.engine.pooled._CHUNK_BYTES", 1)
    for a, b in zip(expected, pooled.derivatives(atoms, wrt=("strain", "positions")), strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_allclose(x, y, atol=1e-14)


def test_kinks_of_pooling():
    # Two atoms of a kind, far from others, have equal features: the deviation is zero and has no derivative.
    atoms = Atoms("H2", positions=[[0, 0, 0], [0, 0, 1.0]])
    soap_like = Bumps(["H"])
    x = soap_like.create(atoms)
    values = np.vstack([x[:1], x[:1] * (1 + 1e-16), x[:1] * (1 - 1e-16)])
    plan = Pooling(("max", "min", "std", "mean"))._plan(np.array([0, 3]))
    centers, rows, (largest, smallest, deviation, mean) = zip(*plan.entries(values), strict=True)
    assert [each.tolist() for each in centers] == [[0, 1, 2]] * 4
    assert [each.tolist() for each in rows] == [[k] * 3 for k in range(4)]
    np.testing.assert_array_equal(largest.sum(axis=0), 1)
    np.testing.assert_array_equal(smallest.sum(axis=0), 1)
    np.testing.assert_array_equal(deviation, 0)
    np.testing.assert_allclose(mean, 1 / 3)
    ties = np.array([[1.0, 2.0], [1.0, 3.0], [0.0, 3.0]])
    largest, smallest, *_ = (slopes for _, _, slopes in plan.entries(ties))
    assert largest.tolist() == [[1, 0], [0, 1], [0, 0]]
    assert smallest.tolist() == [[0, 1], [0, 0], [1, 0]]


@pytest.mark.parametrize("given", [{}, {"sparse": True}, {"pooling": ("mean", "std")}])
def test_errors_in_parts_and_copies_count_the_structures_that_were_given(given, monkeypatch):
    class Fussy(Bumps):
        def _compute(self, call, out):
            for s in range(len(call)):
                if 7 in call.batch[s].numbers:
                    raise StructureError(s, None, "must have no nitrogen")
            super()._compute(call, out)

        def _pairs(self, call):
            self._compute(call, np.empty((call.n_rows, call.n_features)))
            return super()._pairs(call)

    monkeypatch.setattr("atomprint.descriptors.engine.parts._CHUNK_BYTES", 1)
    structures = [molecule("H2O"), molecule("CO2"), molecule("HCN"), molecule("H2O")]
    fussy, plain = Fussy(SPECIES, **given), Bumps(SPECIES, **given)
    X = plain.create(structures)
    for call in (
        lambda: fussy.create(structures),
        lambda: fussy.derivatives(structures),
        lambda: fussy.derivatives(structures, method="numerical"),
        lambda: fussy.vjp(structures, X),
        lambda: fussy.create(structures, verbose=True),
    ):
        with pytest.raises(StructureError, match="structure 2 must have no nitrogen") as caught:
            call()
        assert caught.value.index == 2


# The check itself ----------------------------------------------------------------------------------------------------


class Wrong(Bumps):
    """Bumps with a mistake in its derivatives."""

    mistake = ""

    def _jacobian(self, call, out):
        plain, (positions, strain, features), selection = Bumps(**self.get_params()), out, call.selection
        plain._jacobian(replace(call, attach=call.attach and self.mistake != "own centre"), out)
        if positions is not None:
            first = selection.row_offsets[0] + np.flatnonzero(selection.slots == 0)
            positions[first] *= {"factor": 1.001, "nan": np.nan}.get(self.mistake, 1)
            positions *= {"sign": -1, "zero": 0, "zero positions": 0}.get(self.mistake, 1)
        if strain is not None:
            strain *= {"zero": 0, "no strain": 0, "strain sign": -1}.get(self.mistake, 1)
            if self.mistake == "strain term":
                strain[:, 0, 1] = 0
            if self.mistake == "transposed":
                strain[:] = strain.swapaxes(1, 2).copy()
        if self.mistake == "features" and features is not None:
            features += 1e-6

    def _vjp(self, call, cotangents, out):
        super()._vjp(call, cotangents, out)
        positions, strain, _ = out
        if self.mistake == "vjp factor":
            positions[0] *= 1.001
        if self.mistake == "vjp strain":
            strain[0] *= 1.001
        if self.mistake == "vjp added":
            positions += 1e-5


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("sign", "attach=True: positions, structure 0: derivatives against differences at"),
        ("factor", "attach=True: positions, structure 0: derivatives against differences at"),
        ("nan", "positions, structure 0: .*nan"),
        ("zero", "attach=True: positions, structure 0: derivatives are all zero, but differences of the features"),
        ("zero positions", "positions, structure 0: derivatives are all zero"),
        ("no strain", "strain, structure 0: derivatives are all zero"),
        ("strain sign", "strain, structure 0: derivatives against differences"),
        ("strain term", "strain, structure 0: derivatives against differences"),
        ("transposed", "strain, structure 0: derivatives against differences"),
        ("own centre", "attach=True: positions, structure 0: derivatives against differences"),
        ("features", "features of structure 0: derivatives against create"),
        ("vjp factor", "attach=True: positions, structure 0: vjp against contracted derivatives"),
        ("vjp added", "attach=True: positions, structure 0: vjp against contracted derivatives"),
        ("vjp strain", "strain, structure 0: vjp against contracted derivatives"),
    ],
)
def test_mistakes_are_found(mistake, message, monkeypatch):
    monkeypatch.setattr(Wrong, "mistake", mistake)
    # Without the derivatives by pairs, which would contradict at once.
    monkeypatch.setattr(Wrong, "_has_pairs", lambda self: False)
    with pytest.raises(AssertionError, match=message):
        check_derivatives(Wrong(SPECIES), [MOLECULE])


@pytest.mark.parametrize("mistake", ["sign", "factor", "zero", "no strain", "own centre", "vjp factor"])
def test_derivatives_by_pairs_are_compared(mistake, monkeypatch):
    monkeypatch.setattr(Wrong, "mistake", mistake)
    with pytest.raises(AssertionError, match=r"jacobian|all zero|contracted"):
        check_derivatives(Wrong(SPECIES), MOLECULE)


def test_no_mistakes_are_found_where_there_are_none(monkeypatch):
    monkeypatch.setattr(Wrong, "_has_pairs", lambda self: False)
    report = check_derivatives(Wrong(SPECIES), [MOLECULE])
    assert not report.constant
    assert report.rtol == 1e-6
    assert str(report).startswith("derivatives agree, relative errors (allowed: 1e-06):\n  derivatives against create")
    assert max(report.errors.values()) < 1e-7
    # What is allowed can be changed.
    monkeypatch.setattr(Wrong, "mistake", "factor")
    report = check_derivatives(Wrong(SPECIES), [MOLECULE], rtol=1e-2)
    assert 1e-6 < report.errors["derivatives against differences"] < 1e-2
    assert report.rtol == 1e-2


def test_constant_features_have_zero_derivatives(monkeypatch):
    alone = Atoms("Na", cell=[9, 9, 9], pbc=True)
    assert check_derivatives(Bumps(SPECIES, 4.0, True), alone, attach=True).constant

    class Drifting(Wrong):
        def _jacobian(self, call, out):
            super()._jacobian(call, out)
            if out.positions is not None:
                out.positions[:] += 1e-4

    monkeypatch.setattr(Drifting, "_has_pairs", lambda self: False)
    with pytest.raises(AssertionError, match="derivatives against differences"):
        check_derivatives(Drifting(SPECIES, 4.0, True), alone, attach=True, wrt="positions")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_rounding_of_constant_features_is_no_mistake(dtype):
    # All neighbours of the only atom move with it: contributions cancel, to rounding. No Na: features that are zero.
    alone = Atoms("Na", positions=[[50.3, -20, 7]], cell=[[1.9, 0.2, 0], [0.4, 2, 0.1], [0, 0.3, 1.8]], pbc=True)
    for change in ({}, {"average": "inner"}, {"average": "outer"}):
        soap = SOAP(**SMALL, periodic=True, dtype=dtype, **change)
        for centers in ([0, 0], [alone.positions[0]]):
            check_derivatives(soap, alone, centers=centers)
    assert check_derivatives(EwaldSumMatrix(3, accuracy=1e-13, dtype=dtype), alone, wrt="positions").constant
    nothing = SOAP(**SMALL, species_embedding=np.zeros((6, 2)), dtype=dtype)
    assert check_derivatives(nothing, MOLECULE).constant


def test_features_that_jump_are_no_mistake_of_the_derivatives():
    x = MOLECULE.positions[0, 0]

    class Stepped(Bumps):
        def _compute(self, call, out):
            super()._compute(call, out)
            first = call.batch.positions[call.batch.offsets[:-1], 0]
            out[:] += np.repeat(first > x, np.diff(call.centers.offsets))[:, None]

    with pytest.raises(AssertionError, match="positions, structure 0: features are not smooth here"):
        check_derivatives(Stepped(SPECIES), MOLECULE)


def test_errors_of_the_descriptor_pass_through():
    with pytest.raises(ValueError, match="species must be one of H, got"):
        check_derivatives(Bumps(["H"]), MOLECULE)
    with pytest.raises(ValueError, match="wrt must be"):
        check_derivatives(Bumps(["H"]), MOLECULE, wrt="cell")
    with pytest.warns(UserWarning, match="no analytical derivatives"):
        check_derivatives(Plain(), MOLECULE)
