"""What descriptors keep between calls is never older than their parameters."""

import threading

import numpy as np
import pytest
from ase.build import molecule
from helpers.registry import DISTANCES, FUNCTIONS, REGISTRY, SMALL, SPECIES, some_structures
from scipy.sparse import issparse
from sklearn.base import clone

from atomprint.descriptors import ACSF, MBTR, SOAP, CoulombMatrix, LearnedEmbedding
from atomprint.elements import ElementEmbedding, PropertyChannels
from atomprint.pooling import Pooling
from atomprint.util.memo import memo_of


def _plain(features):
    return features.toarray() if issparse(features) else features


def _learn(soap, targets):
    soap.fit([molecule(name) for name in ("H2O", "NH3", "CH4", "CO2")], targets)


@pytest.mark.parametrize(
    ("descriptor", "change"),
    [
        (SOAP(**SMALL | {"species": ["H", "C", "O"]}), lambda soap: soap.species.append("F")),
        (SOAP(**SMALL | {"species": ["H", "C", "O"]}), lambda soap: soap.species.insert(0, "He")),
        (SOAP(**SMALL), lambda soap: setattr(soap, "n_max", 2)),
        (SOAP(**SMALL), lambda soap: soap.set_params(l_max=1, dtype="float32")),
        (SOAP(**SMALL), lambda soap: setattr(soap, "sparse", True)),
        (SOAP(**SMALL), lambda soap: setattr(soap, "average", "inner")),
        (SOAP(**SMALL), lambda soap: soap.set_params(pooling="sum")),
        (SOAP(**SMALL, weighting={"w0": 0.5}), lambda soap: soap.weighting.update(w0=2.0)),
        (
            SOAP(**SMALL, compression={"mode": "mu2", "species_weighting": dict.fromkeys(SPECIES, 1.0)}),
            lambda soap: soap.compression["species_weighting"].update(O=3.0),
        ),
        (SOAP(**SMALL, species_embedding=np.ones((6, 2))), lambda soap: soap.species_embedding.__setitem__((0, 0), 2)),
        (SOAP(**SMALL, species_embedding=np.eye(6).tolist()), lambda soap: soap.species_embedding[0].__setitem__(1, 2)),
        (
            SOAP(**SMALL, species_embedding=ElementEmbedding(3)),
            lambda soap: setattr(soap.species_embedding, "n_channels", 2),
        ),
        (
            SOAP(**SMALL, species_embedding=PropertyChannels(["period", "group"])),
            lambda soap: soap.species_embedding.properties.append("mass"),
        ),
        (SOAP(**SMALL, pooling=Pooling("mean")), lambda soap: setattr(soap.pooling, "method", "sum")),
        (
            SOAP(**SMALL, pooling=Pooling("sum", weights={"H": 1, "C": 1, "O": 1})),
            lambda soap: soap.pooling.weights.update(H=2),
        ),
        (SOAP(**SMALL, centers=[0, 1, 2]), lambda soap: soap.centers.pop()),
        (ACSF(**FUNCTIONS | {"g2_params": [[1.0, 2.0]]}), lambda acsf: acsf.g2_params.append([1.0, 1.0])),
        (ACSF(**FUNCTIONS | {"g2_params": np.ones((2, 2))}), lambda acsf: acsf.g2_params.__setitem__((0, 0), 2)),
        (MBTR(**DISTANCES, species=SPECIES), lambda mbtr: mbtr.grid.update(n=7)),
        (MBTR(terms=[DISTANCES], species=SPECIES), lambda mbtr: mbtr.terms[0]["weighting"].update(scale=1.0)),
        (CoulombMatrix(9), lambda coulomb: setattr(coulomb, "permutation", "eigenspectrum")),
        (CoulombMatrix(9), lambda coulomb: setattr(coulomb, "n_atoms_max", 10)),
    ],
)  # fmt: skip
def test_changes_of_parameters_are_seen_at_once(descriptor, change):
    descriptor, ethanol = clone(descriptor), molecule("CH3CH2OH")
    before = _plain(descriptor.create(ethanol))
    assert np.array_equal(_plain(descriptor.create(ethanol)), before)
    change(descriptor)
    after, expected = descriptor.create(ethanol), clone(descriptor).create(ethanol)
    assert type(after) is type(expected)
    assert after.dtype == expected.dtype
    assert np.array_equal(_plain(after), _plain(expected))
    if not issparse(after):
        ones = np.ones_like(after)
        assert np.array_equal(descriptor.vjp(ethanol, ones).positions, clone(descriptor).vjp(ethanol, ones).positions)


def test_what_is_learnt_anew_is_seen():
    embedding = LearnedEmbedding(3).fit(["H2O", "CH4", "CO2"], [1.0, 2.0, 3.0])
    mixed, ethanol = SOAP(**SMALL, species_embedding=embedding), molecule("CH3CH2OH")
    before = mixed.create(ethanol)
    embedding.fit(["H2O", "CH4", "CO2"], [2.0, 1.0, 5.0])
    after = mixed.create(ethanol)
    assert not np.array_equal(after, before)
    assert np.array_equal(SOAP(**SMALL, species_embedding=embedding).create(ethanol), after)
    soap = SOAP(**SMALL | {"species": None}, species_embedding=LearnedEmbedding(3))
    water = molecule("H2O")
    results = []
    for targets in ([1.0, 2.0, 3.0, 4.0], [4.0, 1.0, 3.0, 0.0]):
        _learn(soap, targets)
        results.append(soap.create(water))
        fresh = clone(soap)
        _learn(fresh, targets)
        assert np.array_equal(fresh.create(water), results[-1])
    assert not np.array_equal(*results)
    acsf = ACSF(**FUNCTIONS | {"species": None})
    assert acsf.fit([water]).create(water).shape[1] < acsf.fit([molecule("CH3CH2OH")]).create(water).shape[1]


@pytest.mark.parametrize("name", REGISTRY)
def test_nothing_is_made_twice(name):
    descriptor, structures = clone(REGISTRY[name]), some_structures(name)
    descriptor.create(structures)
    prepared = descriptor._prepared()
    descriptor.create(structures[:2])
    assert descriptor._prepared() is prepared
    assert memo_of(clone(descriptor)) is not memo_of(descriptor)


@pytest.mark.parametrize("name", ["soap", "soap-pooled", "acsf", "mbtr", "coulomb"])
def test_threads_start_with_nothing_made(name):
    descriptor, structures = clone(REGISTRY[name]), some_structures(name)
    expected, found = clone(descriptor).create(structures[0]), []

    def work():
        found.extend(descriptor.create(structures[0]) for _ in range(20))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 80
    assert all(np.array_equal(each, expected) for each in found)
