"""What training samples had next to nothing of does not make predictions that are larger by orders of magnitude."""

import numpy as np
import pandas as pd
import pytest
from ase.collections import dcdft
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from atomprint.datasets import Dataset, Target
from atomprint.descriptors import (
    ACSF,
    LMBTR,
    MBTR,
    SOAP,
    AngularDistribution,
    PowderDiffraction,
    RadialDistribution,
    ValleOganov,
)
from atomprint.learn import BoundedScaler, Problem, make_model
from atomprint.workflow import TrainedModel, assemble, load_model


@parametrize_with_checks([BoundedScaler()])
def test_it_is_an_estimator(estimator, check):
    check(estimator)


def test_it_is_the_scaler_of_sklearn_up_to_its_reach():
    rng = np.random.default_rng(0)
    X = rng.normal(3.0, 2.0, size=(40, 4)).astype(np.float32)
    X[:, 3] = 7.0
    plain, bounded = StandardScaler().fit(X), BoundedScaler(reach=3.0).fit(X)
    others = rng.normal(3.0, 6.0, size=(300, 4)).astype(np.float32)
    scaled, found = plain.transform(others), bounded.transform(others)
    limits = 3 * np.abs(plain.transform(X)).max(axis=0)
    within = np.abs(scaled) <= limits
    np.testing.assert_array_equal(found[within], scaled[within])
    assert found.dtype == np.float32
    assert 0 < (~within[:, :3]).sum() < 300
    np.testing.assert_allclose(np.abs(found), np.minimum(np.abs(scaled), limits), rtol=1e-6)
    assert (found[:, 3] == 0).all()  # training samples did not differ
    parts = BoundedScaler(reach=3.0)
    for rows in (slice(0, 10), slice(10, 25), slice(25, 40)):
        parts.partial_fit(X[rows])
    np.testing.assert_allclose(parts.limits_, bounded.limits_, rtol=1e-6)
    assert np.array_equal(BoundedScaler().fit(X[:5]).fit(X).limits_, BoundedScaler().fit(X).limits_)


def test_features_that_are_missing_are_passed_over():
    X = np.random.default_rng(0).normal(size=(30, 2))
    gaps = X.copy()
    gaps[3, 0] = np.nan
    whole, found = BoundedScaler(2.0).fit(np.delete(X, 3, axis=0)), BoundedScaler(2.0).fit(gaps)
    assert found.limits_[0] == pytest.approx(whole.limits_[0])
    assert BoundedScaler(2.0).partial_fit(gaps[:4]).partial_fit(gaps[4:]).limits_ == pytest.approx(found.limits_)
    assert np.isfinite(found.transform(10 * X)).all()
    assert np.isnan(found.transform(gaps)).sum() == 1


def test_tables_are_made_if_asked():
    rows = np.random.default_rng(0).normal(size=(30, 2))
    X = pd.DataFrame(rows, columns=["a", "b"])
    found = BoundedScaler(2.0).set_output(transform="pandas").fit(X).transform(10 * X)
    assert list(found.columns) == ["a", "b"]
    np.testing.assert_allclose(found.to_numpy(), BoundedScaler(2.0).fit(rows).transform(10 * rows), rtol=1e-12)


def test_a_reach_below_one_is_refused():
    with pytest.raises(ValueError, match=r"reach must be >= 1, got 0\.5"):
        BoundedScaler(reach=0.5).fit(np.ones((3, 1)))


DISTANCES = {"geometry": {"function": "distance"}, "grid": {"min": 1.0, "max": 7.0, "n": 80, "sigma": 0.1}}
DISTANCES["weighting"] = {"function": "exp", "scale": 0.5, "threshold": 1e-3}
DESCRIPTORS = {
    "radial": RadialDistribution(partial=False),
    "angular": AngularDistribution(partial=False),
    "pattern": PowderDiffraction(n=91),
    "MBTR": MBTR(**DISTANCES),
    "LMBTR": LMBTR(**DISTANCES, pooling="mean"),
    "Valle-Oganov": ValleOganov([14], "distance", 80, 0.1, 7.0),
    "ACSF": ACSF(r_cut=6.0, g2_params=[[100.0, r] for r in (1.5, 2.0, 2.5, 3.0, 3.5)], pooling="mean"),
    "SOAP": SOAP(r_cut=5.0, n_max=4, l_max=4, sigma=0.3, pooling="mean"),
}
MODELS = {
    "ridge": {},
    "lasso": {"alpha": 0.1},
    "svm": {},
    "k_neighbors": {},
    "kernel_ridge": {},
    "gaussian_process": {"kernels": ["rbf"], "length_scales": [1.0]},
    "mlp": {},
}


@pytest.fixture(scope="module")
def elements():
    """Return crystals of the elements as if all were silicon, and the bulk moduli (GPa) of what they are."""
    made = [dcdft[name] for name in dcdft.names]
    for atoms in made:
        atoms.set_atomic_numbers([14] * len(atoms))
    return made, np.array([dcdft.data[name]["wien2k_B"] for name in dcdft.names])


@pytest.fixture(scope="module", params=list(DESCRIPTORS))
def table(request, elements):
    descriptor = DESCRIPTORS[request.param]
    return descriptor.fit(elements[0]).transform(elements[0])


@pytest.mark.parametrize("model", list(MODELS))
def test_models_of_few_crystals_stay_within_what_moduli_can_be(model, table, elements):
    y = elements[1]
    for seed in (0, 1):
        order = np.random.default_rng(seed).permutation(len(y))
        train, test = order[:32], order[32:]
        fitted = make_model(model, random_state=0, **MODELS[model]).fit(table[train], y[train])
        assert np.abs(fitted.predict(table[test])).max() < 5 * np.ptp(y[train])


def test_networks_with_residuals_do_so_too(elements):
    crystals, y = elements
    X = RadialDistribution(partial=False).fit_transform(crystals)
    order = np.random.default_rng(0).permutation(len(y))
    fitted = make_model("resnet", random_state=0, width=16, n_epochs=10).fit(X[order[:32]], y[order[:32]])
    assert np.abs(fitted.predict(X[order[32:]])).max() < 5 * np.ptp(y[order[:32]])


def test_with_the_scaler_of_sklearn_they_would_not(elements):
    crystals, y = elements
    X = RadialDistribution(partial=False).fit_transform(crystals)
    order = np.random.default_rng(0).permutation(len(y))
    train, test = order[:32], order[32:]
    plain = make_pipeline(StandardScaler(), Ridge()).fit(X[train], y[train])
    assert np.abs(plain.predict(X[test])).max() > 1e6 * np.ptp(y)


def test_sums_over_atoms_are_extrapolated_to_larger_structures():
    rng = np.random.default_rng(1)
    parts = rng.uniform(0.5, 1.5, size=(60, 4))
    X = parts * rng.integers(5, 10, size=60)[:, None]
    weights = np.array([1.0, -2.0, 3.0, 0.5])
    model = make_model("ridge").fit(X, X @ weights)
    np.testing.assert_allclose(model.predict(4 * X), 4 * X @ weights, rtol=0.02, atol=0.02 * np.abs(X @ weights).max())


def test_a_saved_model_says_that_such_a_sample_is_outside(elements, tmp_path):
    crystals, y = elements
    order = np.random.default_rng(0).permutation(len(y))
    train = [crystals[k] for k in order[:32]]
    dataset = Dataset(
        "p", "P", train, tuple(map(str, range(32))), {"modulus": Target(y[order[:32]], "GPa", "B", "")}, "", ""
    )
    problem = Problem.of(dataset, "modulus")
    features = RadialDistribution(partial=False)
    table = features.fit_transform(train)
    made = TrainedModel.of(assemble(features, make_model("ridge").fit(table, problem.y)), problem, table=table)
    saved = load_model(made.save(tmp_path / "m.atomprint"))
    others = [crystals[k] for k in order[32:]]
    largest = np.abs(table).max(axis=0)
    new = (features.transform(others) > 1e4 * largest).any(axis=1)
    assert 1 <= new.sum() < 20
    assert not saved.predict(others).in_domain[new].any()
