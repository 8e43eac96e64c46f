"""Predictions, probabilities and intervals do not depend on how a structure is written."""

import numpy as np
import pytest
from helpers.invariance import changed, crystals, molecules

from atomprint.descriptors import SOAP, NeighbourStatistics
from atomprint.elements import ElementEmbedding
from atomprint.learn import MODELS, make_model
from atomprint.learn.models.doubt import standard_deviation
from atomprint.pooling import Pooling

EVERY = [(name, kind) for name, spec in MODELS.items() for kind in spec.kinds]
QUICK = {
    "ensemble": {"members": ["ridge", {"type": "extra_trees", "n_estimators": 20}], "n_folds": 1},
    "resnet": {"width": 32, "n_epochs": 40},
    "mlp": {"max_iter": 100},
    "random_forest": {"n_estimators": 20},
    "extra_trees": {"n_estimators": 20},
    "hist_gradient_boosting": {"max_iter": 20, "min_samples_leaf": 3},
    "xgboost": {"n_estimators": 20},
}
COVARIANCE = Pooling("covariance", channels=[ElementEmbedding(n_channels=2), "species"])


@pytest.fixture(scope="module")
def tables():
    """Return features of ideal structures, and of the same written in other ways."""
    made = []
    for given in (crystals(n=33), molecules(33)):
        periodic = bool(given[0].pbc.any())
        basis = {"r_cut": 4.0, "n_max": 3, "l_max": 2, "sigma": 0.5, "compression": "mu2", "periodic": periodic}
        descriptors = [
            SOAP(**basis, pooling=("mean", "std")).fit(given),
            SOAP(**basis, pooling=COVARIANCE).fit(given),
            NeighbourStatistics(r_cut=4.0, periodic=periodic).fit(given),
        ]
        several = [given, *(others for _, others in changed(given))]
        rows = [[descriptor.transform(some) for descriptor in descriptors] for some in several]
        # The covariances in float32, rounded once.
        made.append([np.hstack([first, second.astype(np.float32), third]) for first, second, third in rows])
    return made


@pytest.mark.parametrize(("name", "kind"), EVERY)
def test_predictions_are_those_of_the_same_structures(name, kind, tables):
    for X, *others in tables:
        y = np.random.default_rng(0).normal(size=len(X)) + X[:, 0] / X[:, 0].std()
        y = y / y.std() if kind == "regression" else (y > np.median(y)).astype(int)
        model = make_model(name, kind, random_state=0, **QUICK.get(name, {})).fit(X, y)
        predict = model.predict if kind == "regression" else model.predict_proba
        for Z in others:
            assert np.abs(predict(Z) - predict(X)).max() < 1e-6
            if kind == "regression" and standard_deviation(model, X) is not None:
                assert np.abs(standard_deviation(model, Z) - standard_deviation(model, X)).max() < 1e-6
