"""Whether structures repeat: what "auto" learns and keeps, and what is said where cells are ignored."""

import pickle
import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule, nanotube
from helpers.registry import ANGLES, DISTANCES
from sklearn.base import clone

from atomprint.descriptors import ACSF, LMBTR, MBTR, SOAP, LearnedEmbedding, NeighbourStatistics, ValleOganov
from atomprint.structures import as_batch

ALL = {
    "soap": SOAP(r_cut=4.0, n_max=2, l_max=2, average="outer"),
    "soap-inner": SOAP(r_cut=4.0, n_max=2, l_max=1, average="inner", dtype="float32"),
    "soap-embedded": SOAP(r_cut=4.0, n_max=2, l_max=1, average="inner", species_embedding=LearnedEmbedding(2)),
    "acsf": ACSF(4.0, g4_params=[[0.1, 1, 1]], pooling="mean"),
    "mbtr": MBTR(terms=[DISTANCES, ANGLES]),
    "lmbtr": LMBTR(**DISTANCES, pooling="sum"),
    "neighbours": NeighbourStatistics(4.0, cutoff_width=1.0),
}
CRYSTALS = [bulk("NaCl", "rocksalt", a) for a in (5.4, 5.6, 5.8)]
MOLECULES = [molecule("NaCl"), molecule("Na2"), molecule("Cl2")]
SLAB = fcc111("Na", (1, 1, 3), a=4.3, vacuum=3.0)
WIRE = nanotube(3, 0, symbol="Cl", bond=2.0)


def boxed(atoms):
    """The same atoms in a cell that does not repeat."""
    return Atoms(atoms.numbers, atoms.positions, cell=[5, 5, 5])


@pytest.fixture(params=ALL)
def descriptor(request):
    return clone(ALL[request.param])


def fitted(descriptor, structures):
    return descriptor.fit(structures, np.arange(len(structures)) * 1.0)


def values(descriptor, structures):
    return descriptor.transform(structures)


def test_crystals_are_told_apart_by_default(descriptor):
    X = values(fitted(descriptor, CRYSTALS), CRYSTALS)
    assert descriptor.periodic == "auto"
    assert descriptor.periodic_ is True
    assert np.abs(X[1] - X[0]).max() > 1e-4 * np.abs(X).max()
    explicit = values(fitted(clone(descriptor).set_params(periodic=True), CRYSTALS), CRYSTALS)
    np.testing.assert_array_equal(X, explicit)


@pytest.mark.parametrize(
    "structures", [[*CRYSTALS, *MOLECULES], [SLAB, *MOLECULES], [SLAB, WIRE], [boxed(MOLECULES[0]), CRYSTALS[0]]]
)
def test_mixed_sets_are_as_periodic_as_they_say(descriptor, structures):
    X = values(fitted(descriptor, structures), structures)
    assert descriptor.periodic_ is True
    known = {"species": descriptor.species_}
    if hasattr(descriptor, "species_embedding_"):
        known["species_embedding"] = descriptor.species_embedding_
    for structure, row in zip(structures, X, strict=True):
        alone = clone(descriptor).set_params(periodic=bool(structure.pbc.any()), **known)
        np.testing.assert_allclose(row, alone.create(structure), rtol=1e-12, atol=1e-12 * np.abs(X).max())


def test_learnt_from_molecules(descriptor):
    both = [*MOLECULES, boxed(MOLECULES[0])]
    X = values(fitted(descriptor, both), both)
    assert descriptor.periodic_ is False
    np.testing.assert_array_equal(X, values(fitted(clone(descriptor).set_params(periodic=False), both), both))
    with pytest.warns(UserWarning, match="periodic was learnt as False in fit, .*: the cells of 1 that do are ignored"):
        again = values(descriptor, [CRYSTALS[0], MOLECULES[0]])
    np.testing.assert_array_equal(again[1], X[0])
    np.testing.assert_allclose(again[0], values(descriptor, [boxed(CRYSTALS[0])])[0], rtol=1e-12)
    fitted(descriptor, CRYSTALS)  # learns anew, without a warning
    assert descriptor.periodic_ is True


def test_what_is_learnt_is_kept(descriptor):
    fitted(descriptor, MOLECULES)
    for twin in (pickle.loads(pickle.dumps(descriptor)), descriptor.set_params(sparse=False)):
        assert twin.get_params()["periodic"] == "auto"
        assert twin.periodic_ is False
    assert clone(descriptor).get_params()["periodic"] == "auto"
    assert not hasattr(clone(descriptor), "periodic_")


def test_nothing_fitted(descriptor):
    if isinstance(getattr(descriptor, "species_embedding", None), LearnedEmbedding):
        pytest.skip("is never without fit")
    descriptor.set_params(species=["Na", "Cl"])
    each = [CRYSTALS[0], MOLECULES[0], SLAB[[0, 1]]]
    X = descriptor.create(each)
    for structure, row in zip(each, X, strict=True):
        alone = clone(descriptor).set_params(periodic=bool(structure.pbc.any())).create(structure)
        np.testing.assert_allclose(row, alone, rtol=1e-12, atol=1e-12 * np.abs(X).max())
    ignoring = clone(descriptor).set_params(periodic=False)
    ignoring.create([*MOLECULES, CRYSTALS[0]])  # not all of them repeat
    calls = [ignoring.create, ignoring.derivatives, lambda s: ignoring.vjp(s, np.zeros((3, X.shape[1])))]
    for call in [*calls, clone(ignoring).set_params(species=None).fit]:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            call(CRYSTALS)
        told = [str(w.message) for w in said if "periodic" in str(w.message)]
        assert told == [
            "periodic is False, but all structures repeat: their cells are ignored; give periodic=True, or 'auto'"
        ]


def test_fitted_descriptors_with_periodic_false_do_not_repeat_the_warning(descriptor):
    descriptor.set_params(periodic=False)
    with pytest.warns(UserWarning, match="periodic is False, but all structures repeat"):
        fitted(descriptor, CRYSTALS)
    descriptor.transform(CRYSTALS)


def test_true_still_asks_for_cells(descriptor):
    with pytest.raises(ValueError, match="structure 0: a periodic descriptor needs a cell"):
        fitted(descriptor.set_params(periodic=True), MOLECULES)


def test_a_structure_that_repeats_but_has_no_cell(descriptor):
    with pytest.raises(ValueError, match="structure 1: cell must have a non-zero volume"):
        fitted(descriptor, [MOLECULES[0], Atoms("NaCl", [[0, 0, 0], [0, 0, 2.4]], pbc=True)])


def test_mbtr_without_a_cutoff():
    distances = {key: DISTANCES[key] for key in ("geometry", "grid")}
    for cls in (MBTR, LMBTR):
        descriptor = cls(**distances, species=["Na", "Cl"])
        assert len(descriptor.create(MOLECULES)) == 3
        with pytest.raises(
            ValueError, match="structure 1: repeats, so that weighting must have a function with a cutoff"
        ):
            descriptor.create([MOLECULES[0], CRYSTALS[0]])
        with pytest.raises(ValueError, match="must not be 'unity' with periodic=True"):
            cls(**distances, periodic=True)
    numbers = MBTR({"function": "atomic_number"}, {"min": 1, "max": 20, "n": 5, "sigma": 1}, species=["Na", "Cl"])
    assert np.isfinite(numbers.create(CRYSTALS)).all()


def test_valle_oganov_is_always_periodic():
    descriptor = ValleOganov(None, "distance", n=9, sigma=0.2, r_cut=5.0).fit(CRYSTALS)
    assert "periodic" not in descriptor.get_params()
    assert not hasattr(descriptor, "periodic_")
    assert np.ptp(descriptor.transform(CRYSTALS), axis=0).max() > 0.1
    by_mbtr = MBTR(**DISTANCES, species=["Na", "Cl"], normalization="valle_oganov")
    assert np.ptp(by_mbtr.create(CRYSTALS), axis=0).max() > 1e-6
    with pytest.raises(ValueError, match="structure 1: normalization 'valle_oganov' needs a cell with a volume"):
        by_mbtr.create([CRYSTALS[0], MOLECULES[0]])


def test_batches_are_not_changed():
    batch = as_batch(CRYSTALS)
    with pytest.warns(UserWarning, match="periodic is False"):
        ACSF(3.0, species=["Na", "Cl"], periodic=False).create(batch)
    assert batch.pbc.all()
    assert (np.abs(np.linalg.det(batch.cells)) > 10).all()
