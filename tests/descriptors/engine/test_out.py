"""Results in arrays of the caller: the very numbers, wherever they are written to, and nothing else is touched."""

from dataclasses import replace

import numpy as np
import pytest
from ase.build import molecule
from helpers.registry import HAS_NO_DERIVATIVES, REGISTRY, SMALL, some_structures
from sklearn.base import clone

from atomprint.descriptors import SOAP, CoulombMatrix
from atomprint.descriptors.engine.arguments import Gradient
from atomprint.structures import as_batch


@pytest.fixture(params=REGISTRY)
def name(request):
    return request.param


@pytest.fixture
def descriptor(name):
    return REGISTRY[name]


def flat(X, n_axes=1):
    """Return a result, where it is a list with all rows one after the other, each of so many axes."""
    return np.concatenate([x.reshape(-1, *x.shape[x.ndim - n_axes :]) for x in X]) if isinstance(X, list) else X


def full(shape, dtype=np.float64):
    """Return an array of numbers that are no features."""
    return np.full(shape, np.nan, dtype=dtype)


def equal(found, wanted):
    assert type(found) is type(wanted)
    for x, y in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(x, y)


def test_create_writes_what_it_returns(name, descriptor):
    structures = some_structures(name)
    for given in (structures, structures[0], structures[:1] * 2):
        wanted = descriptor.create(given)
        out = full(flat(wanted).shape)
        found = descriptor.create(given, out=out)
        equal(found, wanted)
        np.testing.assert_array_equal(out, flat(wanted))
        assert (found is out) == isinstance(wanted, np.ndarray)
        assert all(np.shares_memory(x, out) for x in ([found] if found is out else found))
        rounded = full(out.shape, np.float32)
        descriptor.create(given, out=rounded, n_jobs=2)
        np.testing.assert_array_equal(rounded, out.astype(np.float32))
    rows = full((wanted.size // wanted.shape[-1], wanted.shape[-1]))
    equal(descriptor.create(structures[:1] * 2, out=rows, verbose=True), wanted)


def test_create_of_single_precision(name, descriptor):
    single = clone(descriptor).set_params(dtype="float32")
    wanted = single.create(some_structures(name)[0])
    out = full(wanted.shape, np.float32)
    assert single.create(some_structures(name)[0], out=out) is out
    np.testing.assert_array_equal(out, wanted)
    with pytest.raises(TypeError, match="out must have dtype float32, got float64"):
        single.create(some_structures(name)[0], out=full(wanted.shape))


def test_derivatives_are_written(name, descriptor):
    if name in HAS_NO_DERIVATIVES:
        pytest.skip("there are no derivatives")
    structures, both = some_structures(name), ("strain", "positions")
    for given in (structures, structures[0]):
        wanted = descriptor.derivatives(given, wrt=both)
        out = tuple(full(flat(x, n).shape) for x, n in zip(wanted, (3, 2, 1), strict=True))
        found = descriptor.derivatives(given, wrt=both, out=out)
        for x, y, array, n in zip(found, wanted, out, (3, 2, 1), strict=True):
            equal(x, y)
            np.testing.assert_array_equal(array, flat(y, n))
        alone = full(flat(wanted[1], 2).shape)
        equal(descriptor.derivatives(given, return_descriptor=False, out=alone), wanted[1])

        weights = [np.cos(x) for x in wanted[2]] if isinstance(wanted[2], list) else np.cos(wanted[2])
        gradient = descriptor.vjp(given, weights, return_descriptor=True)
        out = Gradient(*(full(flat(x).shape) for x in gradient))
        found = descriptor.vjp(given, weights, return_descriptor=True, out=out)
        for x, y, array in zip(found, gradient, out, strict=True):
            equal(x, y)
            np.testing.assert_array_equal(array, flat(y))
        narrow = Gradient(descriptor=full(out.descriptor.shape, np.float32))
        found = descriptor.vjp(given, weights, return_descriptor=True, out=narrow)
        np.testing.assert_array_equal(narrow.descriptor, out.descriptor.astype(np.float32))
        np.testing.assert_allclose(flat(found.positions), out.positions, rtol=1e-12, atol=1e-12)


def test_a_memory_map_is_filled(tmp_path):
    soap, atoms = SOAP(**SMALL, average="inner"), [molecule("H2O"), molecule("NH3")]
    table = np.lib.format.open_memmap(tmp_path / "table.npy", "w+", np.float32, (5, soap.get_number_of_features()))
    assert np.shares_memory(soap.create(atoms, out=table[1:3]), table)
    table.flush()
    kept = np.load(tmp_path / "table.npy")
    np.testing.assert_array_equal(kept[1:3], soap.create(atoms).astype(np.float32))
    assert not kept[[0, 3, 4]].any()
    with pytest.raises(ValueError, match="out must be writeable"):
        soap.create(atoms, out=np.load(tmp_path / "table.npy", mmap_mode="r")[:2])


def test_rounding_does_not_depend_on_the_size_of_parts(monkeypatch):
    acsf, atoms = REGISTRY["acsf"], [molecule("CH3CH2OH"), molecule("H2O"), molecule("C6H6")]
    wanted = np.concatenate(acsf.create(atoms)).astype(np.float32)
    monkeypatch.setattr("atomprint.descriptors.engine.parts._ROUNDED_BYTES", 1)
    out = full(wanted.shape, np.float32)
    acsf.create(atoms, out=out)
    np.testing.assert_array_equal(out, wanted)


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        ([[0.0]], TypeError, "out must be a NumPy array, got list"),
        (np.zeros((2, 16), dtype=int), TypeError, "out must have dtype float64 or float32, got int64"),
        (np.zeros((2, 16), dtype=">f8"), TypeError, "out must have dtype float64 or float32, got >f8"),
        (np.zeros((2, 17)), ValueError, r"out must have shape \(2, 16\), got \(2, 17\)"),
        (np.zeros((16, 2)).T, ValueError, "out must be C-contiguous, got strides"),
        (np.zeros(2 * 128 + 1, dtype=np.uint8)[1:].view(np.float64).reshape(2, 16), ValueError, "C-contiguous"),
    ],
)
def test_bad_arrays_are_errors(out, error, message):
    with pytest.raises(error, match=message):
        CoulombMatrix(4).create([molecule("H2O"), molecule("NH3")], out=out)


def test_shapes_that_are_asked_for():
    soap, n = SOAP(**SMALL), SOAP(**SMALL).get_number_of_features()
    with pytest.raises(ValueError, match=rf"out must have shape \(2, 3, {n}\) or \(6, {n}\), got \(6,\)"):
        soap.create([molecule("H2O")] * 2, out=np.zeros(6))
    with pytest.raises(ValueError, match=rf"out must have shape \(7, {n}\), got \(2, 4, {n}\)"):
        soap.create([molecule("H2O"), molecule("NH3")], out=np.zeros((2, 4, n)))
    with pytest.raises(ValueError, match="out must be left out with sparse=True"):
        SOAP(**SMALL, sparse=True).create(molecule("H2O"), out=np.zeros((3, n)))
    with pytest.raises(ValueError, match="out must be left out with sparse=True"):
        SOAP(**SMALL, sparse=True).derivatives(molecule("H2O"), out=(np.zeros((3, 3, 3, n)), None))
    with pytest.raises(TypeError, match="out must be one array for each of positions, descriptor, got a ndarray"):
        soap.derivatives(molecule("H2O"), out=np.zeros((3, 3, 3, n)))
    with pytest.raises(TypeError, match=r"out\[0\] must be a NumPy array, got int"):
        soap.derivatives(molecule("H2O"), out=(3, None))
    with pytest.raises(TypeError, match="out must be a Gradient of arrays, got tuple"):
        soap.vjp(molecule("H2O"), np.zeros((3, n)), out=(None, None, None))
    with pytest.raises(ValueError, match=r"out\.strain must be None where strain is not asked for"):
        soap.vjp(molecule("H2O"), np.zeros((3, n)), wrt="positions", out=Gradient(strain=np.zeros((3, 3))))
    with pytest.raises(TypeError, match=r"out\.positions must have dtype float64, got float32"):
        soap.vjp(molecule("H2O"), np.zeros((3, n)), out=Gradient(np.zeros((3, 3), dtype=np.float32)))


def test_what_is_read_is_not_written_to():
    matrix, given = CoulombMatrix(3), as_batch([molecule("H2O")] * 3, periodic=False)
    batch = replace(given, positions=given.positions.copy())
    with pytest.raises(ValueError, match="out must not share memory with the structures"):
        matrix.create(batch, out=batch.positions.ravel().reshape(3, 9))
    weights = np.ones((3, 9))
    with pytest.raises(ValueError, match=r"out\.positions must not share memory with the cotangents"):
        matrix.vjp(batch, weights, out=Gradient(weights.reshape(3, 3, 3)))
    shared = np.zeros((3, 3, 3))
    with pytest.raises(ValueError, match=r"out\.strain must not share memory with another array of out"):
        matrix.vjp(batch, weights, out=Gradient(shared, shared))
