"""Vectors of elements that are learnt from targets."""

import numpy as np
import pytest
from ase.build import bulk
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline

from atomprint.descriptors import SOAP, LearnedEmbedding
from atomprint.elements import ElementEmbedding, element_similarity
from atomprint.learn import make_model
from atomprint.testing import check_derivatives

METALS = ("Li", "Na", "K", "Rb", "Cu", "Ag", "Au", "Ca", "Sr", "Ba", "Zn", "Cd")
ANIONS = ("F", "Cl", "Br", "I", "O", "S", "Se", "Te")
SMALL = {"r_cut": 4.0, "n_max": 3, "l_max": 2, "periodic": True, "average": "outer"}


def salts(n, seed=0):
    """Return rock salts and their targets: what the two elements do to each other, and the distance between them."""
    rng = np.random.default_rng(seed)
    structures, y = [], []
    strength = dict(zip(METALS + ANIONS, np.random.default_rng(1).normal(size=20), strict=True))
    for _ in range(n):
        metal, anion, a = rng.choice(METALS), rng.choice(ANIONS), 5 + rng.random()
        structures.append(bulk(metal + anion, "rocksalt", a=a))
        y.append(strength[metal] * strength[anion] + strength[metal] + 5 / a)
    return structures, np.array(y)


def shares(structures):
    found = np.zeros((len(structures), 103))
    for row, atoms in zip(found, structures, strict=True):
        np.add.at(row, atoms.numbers - 1, 1 / len(atoms))
    return found


def test_sums_over_elements_and_pairs_are_those_of_kernel_ridge():
    structures, y = salts(60)
    embedding = LearnedEmbedding(3).fit(structures, y)
    f = shares(structures)
    k = f @ element_similarity(embedding.properties, embedding.length_scale) @ f.T
    oracle = KernelRidge(alpha=embedding.alpha_, kernel="precomputed").fit(k + k**2, y - y.mean())
    found = embedding.mean_ + f @ embedding.linear_ + np.einsum("na,ab,nb->n", f, embedding.pairs_, f)
    assert found == pytest.approx(oracle.predict(k + k**2) + y.mean(), abs=1e-8)


def test_regularisation_has_the_smallest_error_of_fits_without_each_sample():
    structures, y = salts(25)
    y = y + np.random.default_rng(0).normal(size=25)
    f = shares(structures)
    k = f @ element_similarity(LearnedEmbedding().properties, 0.4) @ f.T
    k = k + k**2
    errors = {}
    for factor in np.logspace(-6, 2.5, 18):  # with three steps beyond the end
        alpha = factor * np.trace(k) / 25
        centred, left = y - y.mean(), []
        for i in range(25):
            rest = np.delete(np.arange(25), i)
            dual = np.linalg.solve(k[np.ix_(rest, rest)] + alpha * np.eye(24), centred[rest])
            left.append(k[i, rest] @ dual - centred[i])
        errors[alpha] = np.mean(np.abs(left))
    assert LearnedEmbedding(3).fit(structures, y).alpha_ == pytest.approx(min(errors, key=errors.get))


def test_channels_are_a_constant_contributions_and_the_strongest_interactions():
    structures, y = salts(100)
    embedding = LearnedEmbedding(5).fit(structures, y)
    occur = sorted({int(z) for atoms in structures for z in atoms.numbers})
    table = embedding.matrix(occur)
    assert embedding.names(occur) == ["constant", "contribution", "channel1", "channel2", "channel3"]
    assert (table[:, 0] == 1).all()
    assert table[:, 1:].std(axis=0) == pytest.approx(np.ones(4))
    assert np.corrcoef(table[:, 1], embedding.linear_[np.array(occur) - 1])[0, 1] == pytest.approx(1)
    values, vectors = np.linalg.eigh(embedding.pairs_)
    for channel, which in enumerate(np.argsort(-np.abs(values))[:3]):
        expected = vectors[np.array(occur) - 1, which]
        assert abs(np.corrcoef(table[:, 2 + channel], expected)[0, 1]) == pytest.approx(1)
    assert np.isfinite(embedding.matrix(["H", "Pb"])).all()  # elements never seen


def test_what_is_learnt_tells_more_than_tabulated_properties():
    structures, y = salts(160)
    errors = {}
    for embedding in (LearnedEmbedding(4), ElementEmbedding(4)):
        species = sorted(METALS + ANIONS)
        model = make_pipeline(
            SOAP(**SMALL, species=species, species_embedding=embedding), make_model("kernel_ridge", random_state=0)
        )
        fitted = model.fit(structures[:100], y[:100])
        errors[type(embedding)] = np.abs(fitted.predict(structures[100:]) - y[100:]).mean()
    assert errors[LearnedEmbedding] < 0.6 * errors[ElementEmbedding]


def test_targets_of_a_fold_have_no_part_in_its_embedding():
    structures, y = salts(60)
    species = sorted(METALS + ANIONS)
    model = make_pipeline(SOAP(**SMALL, species=species, species_embedding=LearnedEmbedding(3)), make_model("ridge"))
    folds = [(np.arange(20, 60), np.arange(20)), (np.arange(40), np.arange(40, 60))]
    garbage = y.copy()
    garbage[:20] = 1e3 * np.random.default_rng(0).normal(size=20)
    found = [clone(model).fit([structures[i] for i in folds[0][0]], given[folds[0][0]]) for given in (y, garbage)]
    assert (found[0].predict(structures[:20]) == found[1].predict(structures[:20])).all()
    learnt = found[0].named_steps["soap"].species_embedding_
    expected = LearnedEmbedding(3).fit(structures[20:], y[20:])
    assert learnt.table_ == pytest.approx(expected.table_)
    assert np.isfinite(cross_val_predict(model, structures, y, cv=3)).all()


def test_a_fitted_embedding_serves_without_targets():
    structures, y = salts(40)
    embedding = LearnedEmbedding(3).fit([atoms.get_chemical_formula() for atoms in structures], y)
    soap = SOAP(**SMALL, species_embedding=embedding).fit(structures)
    table = SOAP(**SMALL, species=soap.species_, species_embedding=embedding.matrix(soap.species_))
    assert soap.create(structures) == pytest.approx(table.create(structures))
    assert soap.get_feature_names_out()[0].startswith("SOAP constant-constant")
    refitted = clone(soap).fit(structures, -y)
    assert refitted.species_embedding_.linear_ == pytest.approx(-embedding.linear_)
    assert soap.species_embedding is embedding


def test_derivatives_go_through_the_channels():
    structures, y = salts(20)
    soap = SOAP(r_cut=4.0, n_max=2, l_max=1, periodic=True, species_embedding=LearnedEmbedding(3)).fit(structures, y)
    check_derivatives(soap, structures[:2])


def test_random_parts_of_many_samples_are_repeatable():
    structures, y = salts(60)
    first, again = (LearnedEmbedding(3, max_samples=30, random_state=1).fit(structures, y) for _ in range(2))
    assert (first.table_ == again.table_).all()
    assert np.abs(first.linear_ - LearnedEmbedding(3).fit(structures, y).linear_).max() > 0


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_channels": 0}, ValueError, "n_channels must be >= 1, got 0"),
        ({"n_channels": 5}, ValueError, "n_channels must be <= 4 for compositions of 2 elements, got 5"),
        ({"length_scale": 0}, ValueError, "length_scale must be > 0, got 0"),
        ({"properties": ["colour"]}, ValueError, "properties must be one of .* got 'colour'"),
        ({"max_samples": 1}, ValueError, "max_samples must be >= 2, got 1"),
    ],
)
def test_wrong_parameters(options, error, message):
    with pytest.raises(error, match=message):
        LearnedEmbedding(**({"n_channels": 2} | options)).fit(["NaCl", "NaCl3", "Na"], [1.0, 2.0, 0.0])


def test_wrong_data():
    with pytest.raises(ValueError, match="one target for each of 2 compositions, got 3"):
        LearnedEmbedding(2).fit(["NaCl", "Na"], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="y must be finite, got nan for composition 1"):
        LearnedEmbedding(2).fit(["NaCl", "Na"], [1.0, np.nan])
    with pytest.raises(NotFittedError, match="call fit with them first"):
        LearnedEmbedding(2).matrix(["Na"])
    structures, _ = salts(5)
    with pytest.raises(ValueError, match="species_embedding must be fitted if there are no targets"):
        SOAP(**SMALL, species_embedding=LearnedEmbedding(2)).fit(structures)
    with pytest.raises(NotFittedError, match="LearnedEmbedding learns from targets"):
        SOAP(**SMALL, species=list(METALS + ANIONS), species_embedding=LearnedEmbedding(2)).create(structures)
