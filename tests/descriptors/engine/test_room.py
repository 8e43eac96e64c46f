"""Results that do not fit into the memory that is left, which the tests choose."""

import warnings

import numpy as np
import pytest
from ase.build import molecule
from helpers.registry import SMALL
from scipy import sparse
from sklearn.base import clone

from atomprint.descriptors import ACSF, MBTR, SOAP, CoulombMatrix
from atomprint.pooling import LocalFeatures
from atomprint.util.memory import NotEnoughMemoryError

WATER = [molecule("H2O"), molecule("H2O2"), molecule("H2O")]
MANY = ["H", "C", "N", "O", "F", "Na", "Cl", "S", "P"]


@pytest.fixture
def left(monkeypatch):
    def leave(n_bytes):
        monkeypatch.setattr("atomprint.descriptors.engine.room._ALWAYS_FITS", 1)
        monkeypatch.setattr("atomprint.descriptors.engine.room.available_memory", lambda: n_bytes)

    return leave


def bytes_of(X):
    return sum(x.nbytes for x in X) if isinstance(X, list) else X.nbytes


DISTANCES = {
    "geometry": {"function": "distance"},
    "grid": {"min": 0, "max": 3, "n": 12, "sigma": 0.1},
    "weighting": {"function": "exp", "scale": 1.0, "threshold": 1e-3},
}


@pytest.mark.parametrize(
    "descriptor",
    [
        SOAP(**SMALL | {"species": MANY}),
        SOAP(**SMALL | {"species": MANY}, average="outer"),
        SOAP(**SMALL | {"species": MANY}, compression="mu1nu1", pooling=("mean", "max")),
        ACSF(r_cut=3.0, species=MANY, g2_params=[[1, 1]], g4_params=[[1, 1, 1]]),
        MBTR(**DISTANCES, species=MANY),
    ],
)
def test_it_is_sparse_where_that_fits(descriptor, left):
    wanted = descriptor.create(WATER)
    thin = clone(descriptor).set_params(sparse=True).create(WATER)
    left(bytes_of(wanted))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not any(map(sparse.issparse, descriptor.create(WATER)))
    left(bytes_of(wanted) - 1)
    with pytest.warns(UserWarning, match=rf"{type(descriptor).__name__}: \d+ rows of \d+ features take .* dense and"):
        found = descriptor.create(WATER)
    assert type(found) is type(thin)
    for x, y in zip(found, thin, strict=True):
        assert sparse.issparse(x)
        np.testing.assert_array_equal(x.toarray(), y.toarray())
    with pytest.warns(UserWarning, match="the result is sparse. Say so by sparse=True, or take iter_create"):
        table = descriptor.transform(WATER)
    assert sparse.issparse(table.values if isinstance(table, LocalFeatures) else table)
    left(100)
    with pytest.raises(
        NotEnoughMemoryError, match=r"at most .* sparse; 100 bytes of memory are left: take iter_create"
    ):
        descriptor.create(WATER)
    out = np.empty((sum(map(len, wanted)) if isinstance(wanted, list) else len(wanted), wanted[0].shape[-1]))
    descriptor.create(WATER, out=out)


def test_the_bound_is_kept(left):
    soap = SOAP(**SMALL | {"species": MANY})
    stored = sum(x.data.nbytes + x.indices.nbytes for x in clone(soap).set_params(sparse=True).create(WATER))
    left(1.2 * stored)  # each centre sees both elements of its structure, and symmetry makes some zeros
    with pytest.warns(UserWarning, match="the result is sparse"):
        soap.create(WATER)
    left(0.9 * stored)
    with pytest.raises(NotEnoughMemoryError):
        soap.create(WATER)


def test_what_has_no_zeros_is_an_error(left):
    left(100)
    for descriptor in (
        CoulombMatrix(4),
        SOAP(3.0, 2, 1, species=["H", "O"], species_embedding=np.ones((2, 1))),
        SOAP(3.0, 2, 1, species=MANY, compression="mu2", average="inner"),
    ):
        with pytest.raises(
            MemoryError, match=r"take .* dense and, .*, at most .* sparse; 100 bytes of memory are left"
        ):
            descriptor.create(WATER)
    with pytest.raises(
        ValueError, match=r"create.*out=.* for a memory map, species_embedding=… or pooling=… for fewer"
    ):
        SOAP(3.0, 2, 1, species=["H", "O"]).create(WATER)


def test_dense_derivatives_that_do_not_fit_are_an_error(left):
    soap, atoms = SOAP(**SMALL), WATER[0]
    positions, strain, X = soap.derivatives(atoms, wrt=("positions", "strain"))
    left(positions.nbytes + strain.nbytes)
    soap.derivatives(atoms, wrt=("positions", "strain"), return_descriptor=False)
    left(positions.nbytes + strain.nbytes - 1)
    n = X.shape[1]
    with pytest.raises(NotEnoughMemoryError, match=f"dense derivatives, 9 x 3 x {n} and 3 x 3 x 3 x {n} numbers, take"):
        soap.derivatives(atoms, wrt=("positions", "strain"))
    soap.derivatives(atoms, include=[0])
    assert sparse.issparse(clone(soap).set_params(sparse=True).derivatives(atoms, return_descriptor=False))
    left(1)
    out = np.empty_like(positions)
    assert soap.derivatives(atoms, return_descriptor=False, out=out) is out


def test_nothing_is_asked_of_the_system_for_small_results(monkeypatch):
    def asked():
        raise AssertionError

    monkeypatch.setattr("atomprint.descriptors.engine.room.available_memory", asked)
    SOAP(**SMALL).derivatives(WATER)
    monkeypatch.setattr("atomprint.descriptors.engine.room._ALWAYS_FITS", 1)
    monkeypatch.setattr("atomprint.descriptors.engine.room.available_memory", lambda: None)  # it is not known
    SOAP(**SMALL).derivatives(WATER)
