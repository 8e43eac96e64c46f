"""Descriptors of streams: the rows of ``create``, piece by piece, and no more is read than a piece needs."""

import itertools
import threading

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.io import write
from helpers.registry import REGISTRY, SMALL, some_structures
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from atomprint.datasets import Dataset
from atomprint.descriptors import SOAP, CoulombMatrix, EwaldSumMatrix
from atomprint.pooling import LocalFeatures, Pooling
from atomprint.sampling import CenterSampler
from atomprint.structures import StructureError, as_batch


@pytest.fixture(params=REGISTRY)
def name(request):
    return request.param


@pytest.fixture
def descriptor(name):
    return REGISTRY[name]


def values(X):
    """Return all rows of a table or of local features, dense."""
    rows = X.values if isinstance(X, LocalFeatures) else X
    return rows.toarray() if sparse.issparse(rows) else rows


def together(pieces):
    return np.concatenate([values(piece) for piece in pieces])


def test_pieces_are_the_rows_of_create(name, descriptor, monkeypatch):
    structures = some_structures(name) * 3
    wanted = values(descriptor.transform(structures))
    thin = clone(descriptor).set_params(sparse=True)
    for given in (descriptor, thin):
        for chunk, n in ((1, 9), (4, 3), (None, 1)):
            pieces = list(given.iter_create(iter(structures), chunk=chunk))
            assert len(pieces) == n
            assert {type(piece) for piece in pieces} == {type(given.transform(structures))}
            np.testing.assert_array_equal(together(pieces), wanted)
            if isinstance(pieces[0], LocalFeatures):
                assert list(itertools.chain(*(piece.structures for piece in pieces))) == structures
    batch = as_batch(structures, periodic=None)
    np.testing.assert_array_equal(together(descriptor.iter_create(batch, chunk=2)), wanted)
    monkeypatch.setattr("atomprint.descriptors.engine.stream._PIECE_BYTES", 1)
    for given in (structures, batch):
        pieces = list(descriptor.iter_create(given, n_jobs=2))
        assert len(pieces) == 9
        np.testing.assert_array_equal(together(pieces), wanted)


def test_pieces_are_bounded_by_their_bytes(monkeypatch):
    monkeypatch.setattr("atomprint.descriptors.engine.stream._PIECE_BYTES", 8 * 9 * 8)
    structures = [molecule("H2O")] * 20
    for given in (structures, as_batch(structures, periodic=False)):
        assert [len(piece) for piece in CoulombMatrix(3).iter_create(given)] == [8, 8, 4]
    local = SOAP(3.0, 1, 1, species=["H", "O"])
    row_bytes = 8 * local.get_number_of_features()
    monkeypatch.setattr("atomprint.descriptors.engine.stream._PIECE_BYTES", 7 * row_bytes)
    for given in (structures, as_batch(structures, periodic=False)):
        assert [len(piece) for piece in local.iter_create(given)] == [3] * 6 + [2]
    assert [len(piece) for piece in local.iter_create(structures, [[0]] * 20)] == [7, 7, 6]
    monkeypatch.setattr("atomprint.descriptors.engine.stream._PIECE_STRUCTURES", 15)
    monkeypatch.setattr("atomprint.descriptors.engine.stream._PIECE_BYTES", 10**9)
    assert [len(piece) for piece in CoulombMatrix(3).iter_create(structures)] == [15, 5]


def test_no_more_is_read_than_a_piece_needs():
    read = []

    def endless():
        for k in itertools.count():
            read.append(k)
            yield molecule("H2O")

    pieces = CoulombMatrix(3).iter_create(endless(), chunk=5)
    assert not read
    assert next(pieces).shape == (5, 9)
    assert len(read) == 5
    next(pieces)
    assert len(read) == 10


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_each_frame_of_atoms_that_move_on_is_a_structure_of_its_own(n_jobs):
    atoms, frames = molecule("CH3OH"), []

    def dynamics():
        for step in range(7):
            atoms.rattle(0.01, seed=step)
            frames.append(atoms.copy())
            yield atoms

    matrix = CoulombMatrix(6)
    rows = together(matrix.iter_create(dynamics(), chunk=3, n_jobs=n_jobs))
    np.testing.assert_array_equal(rows, matrix.create(frames))


def test_streams_of_all_kinds(tmp_path):
    matrix, structures = CoulombMatrix(4), [molecule("H2O"), molecule("NH3"), molecule("CO2")]
    wanted = matrix.create(structures)
    write(tmp_path / "all.xyz", structures)
    paths = []
    for k, atoms in enumerate(structures):
        paths.append(tmp_path / f"{k}.xyz")
        write(paths[-1], atoms)
    data = Dataset("some", "Some", structures, ("a", "b", "c"), {}, "", "")
    for given in (str(tmp_path / "all.xyz"), tmp_path / "all.xyz", paths, map(str, paths), data, tuple(structures)):
        np.testing.assert_allclose(together(matrix.iter_create(given, chunk=2)), wanted, rtol=1e-6)
    [piece] = matrix.iter_create(structures[0])
    np.testing.assert_array_equal(piece, wanted[:1])
    assert list(matrix.iter_create([])) == []


def test_centers_of_a_stream():
    soap, structures = SOAP(**SMALL), [molecule("H2O"), molecule("NH3"), molecule("CO2")] * 2
    centers = [[0], None, [[0.0, 0.1, 0.2]], [1, 0], [], [2]]
    wanted = soap.create(structures, centers)
    for theirs in (centers, iter(centers)):
        pieces = list(soap.iter_create(structures, theirs, chunk=4))
        for x, y in zip(itertools.chain(*pieces), wanted, strict=True):
            np.testing.assert_array_equal(x, y)
    default = clone(soap).set_params(centers=centers)
    np.testing.assert_array_equal(together(default.iter_create(structures, chunk=4)), np.concatenate(wanted))
    sampler = CenterSampler("random", n=2, random_state=0)
    assert [piece.offsets.tolist() for piece in soap.iter_create(structures, sampler, chunk=3)] == [[0, 2, 4, 6]] * 2
    with pytest.raises(ValueError, match="centers must have one item for each structure, got 2, and there are more"):
        list(soap.iter_create(structures, [[0]] * 2))
    with pytest.raises(ValueError, match="centers must have one item for each structure, got more, and there are 6"):
        list(soap.iter_create(structures, [[0]] * 7))
    with pytest.raises(TypeError, match="centers must be a function, or an iterable with an item for each"):
        soap.iter_create(structures, 3)


def test_errors_count_from_the_start():
    good, bad = molecule("H2O"), Atoms("H2", positions=np.zeros((2, 3)))
    soap = SOAP(**SMALL)
    for structures, message in (
        ([good] * 5 + [bad], "structure 5, atoms 0 and 1: atoms must not coincide"),
        ([good] * 5 + [3], "structure 5 must be an ase.Atoms.* got int"),
        ([good] * 4 + ["nowhere.xyz"], "structure 4: 'nowhere.xyz' is neither a structure nor the name of a file"),
        ([good] * 5 + [molecule("SO2")], "structure 5, atom 0: species must be one of"),
    ):
        pieces = soap.iter_create(iter(structures), chunk=2)
        next(pieces), next(pieces)
        with pytest.raises((ValueError, TypeError), match=message):
            list(pieces)
    for wrong in (7, [0.5], [[0.0]], [0, [1.0, 2.0, 3.0]], [9]):
        with pytest.raises(StructureError, match="structure 3"):
            list(soap.iter_create([good] * 4, [[0]] * 3 + [wrong], chunk=2))


def test_bad_arguments_are_errors_at_once():
    matrix = CoulombMatrix(3)
    with pytest.raises(ValueError, match="chunk must be >= 1, got 0"):
        matrix.iter_create([], chunk=0)
    with pytest.raises(TypeError, match="chunk must be an integer"):
        matrix.iter_create([], chunk=2.0)
    with pytest.raises(ValueError, match="n_jobs must not be 0"):
        matrix.iter_create([], n_jobs=0)
    with pytest.raises(TypeError, match=r"structures must be an .* got int"):
        matrix.iter_create(3)
    with pytest.raises(ValueError, match="'nowhere' is neither a structure nor the name of a file"):
        matrix.iter_create("nowhere")
    with pytest.raises(NotFittedError, match="species is not known"):
        SOAP(r_cut=3.0).iter_create([])
    with pytest.raises(NotFittedError, match="n_atoms_max is not known"):
        EwaldSumMatrix().iter_create([])


def test_functions_that_weigh_are_called_one_after_the_other():
    structures, threads = [molecule("H2O")] * 6, []

    def weigh(atoms):
        threads.append(threading.get_ident())
        return np.ones(len(atoms))

    pooled = SOAP(**SMALL, pooling=Pooling("mean", weights=weigh))
    assert len(list(pooled.iter_create(structures, chunk=1, n_jobs=2))) == 6
    assert set(threads) == {threading.get_ident()}
