"""Quick forests say what scikit-learn's say, to the last bit."""

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from atomprint.learn import EnsembleRegressor
from atomprint.workflow.saved.forests import quickened

X = np.random.default_rng(0).normal(size=(60, 4))


@pytest.mark.parametrize(
    "forest", [ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor]
)
@pytest.mark.parametrize("labels", [(0, 1), ("a", "b", "c")])
def test_a_quick_forest_is_the_same(forest, labels):
    y = X.sum(axis=1)
    if "Classifier" in forest.__name__:
        y = np.array(labels)[np.arange(60) % len(labels)]
    model = make_pipeline(StandardScaler(), forest(7, random_state=0)).fit(X, y)
    quick = quickened(model)
    assert np.array_equal(quick.predict(X), model.predict(X))
    assert quick.predict(X).dtype == model.predict(X).dtype
    if hasattr(model, "predict_proba"):
        assert np.array_equal(quick.predict_proba(X), model.predict_proba(X))
    assert type(quick[-1]).__name__ == forest.__name__
    assert type(model[-1]) is forest


def test_forests_within_an_ensemble_are_quick_and_the_original_stays():
    members = [("trees", ExtraTreesRegressor(5, random_state=0)), ("ridge", Ridge())]
    model = EnsembleRegressor(members, "mean").fit(X, X[:, 0])
    quick = quickened(model)
    assert np.array_equal(quick.predict(X), model.predict(X))
    assert type(model.members_["trees"]) is ExtraTreesRegressor


def test_several_outputs_are_left_to_scikit_learn():
    model = ExtraTreesRegressor(3, random_state=0).fit(X, X[:, :2])
    assert np.array_equal(quickened(model).predict(X), model.predict(X))
