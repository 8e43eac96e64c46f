"""Several cotangents at once: what each alone gives, in every form that cotangents have."""

import numpy as np
import pytest
from ase.build import molecule
from helpers.registry import HAS_NO_DERIVATIVES, REGISTRY, SMALL, some_structures
from scipy import sparse
from sklearn.base import clone

from atomprint.descriptors import SOAP, Descriptor
from atomprint.descriptors.engine.arguments import Gradient
from atomprint.layout import Block, Layout

SMOOTH = [name for name in REGISTRY if name not in HAS_NO_DERIVATIVES]


@pytest.fixture(params=SMOOTH)
def name(request):
    return request.param


@pytest.fixture
def descriptor(name):
    return REGISTRY[name]


def weights_for(X, rng):
    """Return random weights in the shape of features."""
    return [rng.normal(size=x.shape) for x in X] if isinstance(X, list) else rng.normal(size=X.shape)


def close(found, wanted):
    assert type(found) is type(wanted)
    if isinstance(wanted, list):
        assert len(found) == len(wanted)
        for x, y in zip(found, wanted, strict=True):
            close(x, y)
    else:
        np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-12 * np.abs(wanted).max())


def test_each_is_what_it_gives_alone(name, descriptor):
    structures, rng = some_structures(name), np.random.default_rng(0)
    for given in (structures, structures[0], structures[:1] * 2):
        X = descriptor.create(given)
        several = [weights_for(X, rng) for _ in range(3)]
        wanted = [descriptor.vjp(given, weights) for weights in several]
        forms = [several, tuple(several)] + ([np.array(several)] if not isinstance(X, list) else [])
        for form in forms:
            found = descriptor.vjp(given, form, return_descriptor=True, several=True, n_jobs=2)
            for k in range(3):
                close(found.positions[k], wanted[k].positions)
                close(found.strain[k], wanted[k].strain)
            close(found.descriptor, X)
        assert isinstance(found.positions, type(wanted[0].positions))
        by_strain = descriptor.vjp(given, several[:1], wrt="strain", several=True)
        assert by_strain.positions is None
        close(by_strain.strain, wanted[0].strain[None])


def test_in_parts(name, descriptor, monkeypatch):
    structures, rng = some_structures(name), np.random.default_rng(0)
    X = descriptor.create(structures)
    several = [weights_for(X, rng) for _ in range(2)]
    wanted = descriptor.vjp(structures, several, several=True)
    for module in ("parts", "pooled", "numerical"):
        monkeypatch.setattr(f"atomprint.descriptors.engine.{module}._CHUNK_BYTES", 1)
    thin = clone(descriptor).set_params(sparse=True)
    as_sparse = [
        [sparse.csr_array(x) for x in weights] if isinstance(weights, list) else sparse.coo_array(weights)
        for weights in several
    ]
    found = thin.vjp(structures, [as_sparse[0], several[1]], return_descriptor=True, several=True)
    close(found.positions, wanted.positions)
    close(found.strain, wanted.strain)
    found = descriptor.vjp(structures, several, several=True, verbose=True)
    close(found.positions, wanted.positions)


class Distances(Descriptor):
    """A descriptor without analytical derivatives."""

    def __init__(self):
        self._initialise({})

    def _n_features(self):
        return 2

    def _layout(self):
        return Layout("Distances", [Block((), ["r", "r2"])])

    def _compute(self, call, out):
        for s in range(len(call)):
            r = call.batch[s].get_all_distances()
            out[s] = r.sum(), (r**2).sum()


@pytest.mark.filterwarnings("ignore:.*derivatives are numerical")
def test_numerical_derivatives():
    rng, atoms = np.random.default_rng(0), [molecule("H2O"), molecule("NH3")]
    several = rng.normal(size=(3, 2, 2))
    found = Distances().vjp(atoms, several, several=True)
    for k in range(3):
        alone = Distances().vjp(atoms, several[k])
        close(found.positions[k], alone.positions)
        close(found.strain[k], alone.strain)


def test_out_for_several():
    soap, rng = SOAP(**SMALL), np.random.default_rng(0)
    for atoms in ([molecule("H2O")] * 2, [molecule("H2O"), molecule("NH3")], molecule("H2O")):
        several = [weights_for(soap.create(atoms), rng) for _ in range(2)]
        wanted = soap.vjp(atoms, several, several=True)
        n_atoms = sum(map(len, atoms)) if isinstance(atoms, list) else 3
        out = Gradient(np.full((2, n_atoms, 3), np.nan), np.full(wanted.strain.shape, np.nan))
        found = soap.vjp(atoms, several, several=True, out=out)
        close(found.positions, wanted.positions)
        assert found.strain is out.strain
        np.testing.assert_array_equal(out.positions, np.array([np.concatenate(x) for x in wanted.positions])
                                      if isinstance(atoms, list) else wanted.positions)  # fmt: skip


def test_bad_several():
    soap, atoms = SOAP(**SMALL), molecule("H2O")
    X = soap.create(atoms)
    for given, error, message in (
        (3.0, TypeError, "cotangents must be a sequence of several, got float"),
        ([], ValueError, "cotangents must be at least one of several, got none"),
        (X, ValueError, rf"item 0 of cotangents: cotangents must have shape \(3, {X.shape[1]}\)"),
        ([X, X * np.nan], ValueError, "item 1 of cotangents: structure 0: cotangents must be finite"),
    ):
        with pytest.raises(error, match=message):
            soap.vjp(atoms, given, several=True)
    with pytest.raises(TypeError, match="several must be"):
        soap.vjp(atoms, [X], several=3)
    with pytest.raises(ValueError, match=r"out\.positions must have shape \(2, 3, 3\), got \(3, 3\)"):
        soap.vjp(atoms, [X, X], several=True, out=Gradient(np.zeros((3, 3))))


@pytest.mark.parametrize("form", [list, np.array, lambda several: [several[0], sparse.coo_array(several[1])]])
@pytest.mark.parametrize("wrong", [np.nan, 1e300])
def test_what_is_looked_at_afterwards_is_named(form, wrong, monkeypatch):
    monkeypatch.setattr("atomprint.descriptors.engine.differentiate._MANY_COTANGENTS", 0)
    soap, atoms = SOAP(**SMALL, dtype="float32"), [molecule("H2O")] * 2
    several = np.zeros((2, *soap.create(atoms).shape))
    several[1, 1, 2, 0] = wrong
    with pytest.raises(ValueError, match="item 1 of cotangents: structure 1: cotangents must be finite, row 2 is not"):
        soap.vjp(atoms, form(several), several=True)


@pytest.mark.parametrize("name", ["soap", "soap-mixed", "acsf", "lmbtr-periodic"], indirect=True)
def test_lists_are_read_where_they_are(name, descriptor, monkeypatch):
    structures = some_structures(name)
    X = descriptor.create(structures)
    weights = [w.astype(x.dtype) for w, x in zip(weights_for(X, np.random.default_rng(0)), X, strict=True)]
    wanted = descriptor.vjp(structures, weights, return_descriptor=True)
    monkeypatch.setattr("atomprint.descriptors.engine.differentiate._MANY_COTANGENTS", 0)
    for given in (weights, [np.asfortranarray(w) for w in weights], [w.astype("longdouble") for w in weights]):
        found = descriptor.vjp(structures, given, return_descriptor=True)
        close(found.positions, wanted.positions)
        close(found.strain, wanted.strain)
        close(found.descriptor, X)


def test_what_is_wrong_with_lists_is_named(monkeypatch):
    monkeypatch.setattr("atomprint.descriptors.engine.differentiate._MANY_COTANGENTS", 0)
    soap, structures = SOAP(**SMALL), [molecule("H2O"), molecule("CH4")]
    weights = soap.create(structures)
    with pytest.raises(ValueError, match=r"out\.strain must not share memory with the cotangents"):
        soap.vjp(structures, weights, wrt="strain", out=Gradient(None, weights[1].ravel()[:18].reshape(2, 3, 3)))
    weights[1][2, 0] = np.inf
    for sparse_rows in (False, True):
        with pytest.raises(ValueError, match="structure 1: cotangents must be finite, row 2 is not"):
            soap.set_params(sparse=sparse_rows).vjp(structures, weights, return_descriptor=sparse_rows)
