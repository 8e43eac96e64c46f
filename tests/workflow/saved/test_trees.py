"""Trees in model files: compact arrays, the same predictions to the last bit, and nothing that leads outside."""

import io
import zlib

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import (
    AdaBoostRegressor,
    BaggingRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from atomprint.learn import make_model
from atomprint.learn.estimators import bagged, forest
from atomprint.learn.estimators.bagged import BaggedClassifier, BaggedRegressor
from atomprint.learn.estimators.forest import MedianExtraTrees
from atomprint.workflow.saved import trees
from atomprint.workflow.saved.container import ModelFileError
from atomprint.workflow.saved.persist import PIPELINE, dump_pipeline, load_pipeline
from atomprint.workflow.saved.pipeline import assemble, with_n_jobs

RNG = np.random.default_rng(0)
X = np.round(RNG.normal(size=(400, 5)), 1)  # ties
NEW = RNG.normal(size=(300, 5))
Y = X[:, 0] + np.round(RNG.normal(size=400), 2)
LABELS = np.array(["a", "b", "c"])[(Y > 0).astype(int) + (Y > 1)]


def saved(model, y=Y, rows=X):
    pipeline = Pipeline([("features", StandardScaler()), ("model", model)]).fit(rows, y)
    members = dump_pipeline(pipeline)
    return pipeline, members, load_pipeline(members)


@pytest.fixture
def many(monkeypatch):
    """Few samples are enough for twigs, and for forests to be made of them."""
    monkeypatch.setattr(forest, "_MANY", 100)
    monkeypatch.setattr(bagged, "_MANY", 100)
    monkeypatch.setattr(trees, "_size", lambda arrays: 0 if "left" in arrays else 1)


def test_samples_are_kept_only_where_files_are_smaller(monkeypatch):
    monkeypatch.setattr(bagged, "_MANY", 100)
    _, members, loaded = saved(BaggedRegressor(1, random_state=0))
    with np.load(io.BytesIO(members["trees-0.npz"])) as file:
        assert not {"left", "rows"} & set(file.files)
    assert loaded[-1].bag_ is None
    assert dump_pipeline(loaded) == members


@pytest.mark.parametrize(
    ("model", "y"),
    [
        (ExtraTreesRegressor(7, random_state=0), Y),
        (ExtraTreesRegressor(4, min_samples_leaf=3, random_state=0), np.column_stack([Y, X[:, 1]])),
        (RandomForestRegressor(7, max_leaf_nodes=30, random_state=0), Y),
        (ExtraTreesClassifier(7, random_state=0), LABELS),
        (RandomForestClassifier(7, criterion="entropy", class_weight="balanced", random_state=0), LABELS),
        (RandomForestClassifier(3, max_depth=4, random_state=0), np.column_stack([LABELS, Y > 0])),
        (DecisionTreeRegressor(random_state=0), Y),
        (DecisionTreeRegressor(max_depth=1, random_state=0), np.ones(400)),  # a single leaf
        (BaggingRegressor(DecisionTreeRegressor(), 3, random_state=0), Y),
        (AdaBoostRegressor(n_estimators=3, random_state=0), Y),
        (GradientBoostingRegressor(n_estimators=5, random_state=0), Y),
        (MedianExtraTrees(7, random_state=0), Y),
    ],
)
def test_predictions_are_the_same_to_the_last_bit(model, y):
    pipeline, members, loaded = saved(model, y)
    assert np.array_equal(loaded.predict(NEW), pipeline.predict(NEW))
    again = dump_pipeline(loaded)
    assert all(again[name] == data for name, data in members.items() if name != PIPELINE)
    if hasattr(pipeline[-1], "feature_importances_"):
        importances = pipeline[-1].feature_importances_
        np.testing.assert_allclose(loaded[-1].feature_importances_, importances, rtol=1e-5, atol=1e-8)
    assert any(name.startswith("trees") for name in members) != isinstance(model, GradientBoostingRegressor)


def test_missing_features_go_where_they_went():
    rows = np.where(RNG.random(X.shape) < 0.2, np.nan, X)
    pipeline, _, loaded = saved(RandomForestRegressor(5, random_state=0), rows=rows)
    new = np.where(RNG.random(NEW.shape) < 0.3, np.nan, NEW)
    assert np.array_equal(loaded.predict(new), pipeline.predict(new))


def test_nodes_are_whole_again():
    pipeline, _, loaded = saved(ExtraTreesRegressor(3, min_samples_leaf=2, random_state=0))
    for one, other in zip(pipeline[-1].estimators_, loaded[-1].estimators_, strict=True):
        before, after = (tree.tree_.__getstate__()["nodes"] for tree in (one, other))
        for name in ("left_child", "right_child", "feature", "n_node_samples", "weighted_n_node_samples"):
            np.testing.assert_array_equal(after[name], before[name])
        np.testing.assert_allclose(after["impurity"], before["impurity"], atol=1e-6)
        np.testing.assert_allclose(other.tree_.value, one.tree_.value, rtol=1e-12, atol=1e-12)
        assert (after["threshold"] <= before["threshold"]).all()


def test_trees_with_twigs_are_small_and_grow_again_the_same(many):
    rows, y = RNG.normal(size=(3000, 5)), RNG.normal(size=3000)
    pipeline, members, loaded = saved(MedianExtraTrees(30, random_state=0), y, rows)
    assert pipeline[-1].ground_ is not None
    assert np.array_equal(loaded.predict(NEW), pipeline.predict(NEW))
    assert dump_pipeline(loaded) == members
    _, whole, _ = saved(ExtraTreesRegressor(30, random_state=0), y, rows)
    size = {name: sum(map(len, files.values())) for name, files in (("twigs", members), ("whole", whole))}
    assert size["twigs"] < size["whole"] / 3


FORESTS = {
    "numbers": (BaggedRegressor(9, max_features="sqrt", random_state=0), Y),
    "many in a leaf": (BaggedRegressor(5, min_samples_leaf=4, random_state=0), Y / 3),
    "not deep": (BaggedRegressor(2, max_depth=5, random_state=0), Y),
    "classes": (BaggedClassifier(9, random_state=0), LABELS),
    "two classes": (BaggedClassifier(9, criterion="entropy", min_samples_leaf=2, random_state=0), LABELS == "a"),
}


@pytest.mark.parametrize("name", list(FORESTS))
def test_forests_are_made_of_their_samples_again(name, many):
    model, y = FORESTS[name]
    pipeline, members, loaded = saved(model, y)
    plain = clone(model).__class__.__mro__[1](**model.get_params()).fit(pipeline[:-1].transform(X), y)
    with np.load(io.BytesIO(members["trees-0.npz"])) as file:
        assert {"left", "rows", "order"} <= set(file.files)
        assert "threshold" not in file.files
    predict = "predict_proba" if hasattr(model, "predict_proba") else "predict"
    expected = getattr(pipeline, predict)(NEW)
    assert np.array_equal(getattr(loaded, predict)(NEW), expected)
    assert np.array_equal(getattr(plain, predict)(pipeline[:-1].transform(NEW)), expected)  # that of scikit-learn
    assert {key: data for key, data in dump_pipeline(loaded).items() if key != PIPELINE} == {
        key: data for key, data in members.items() if key != PIPELINE
    }
    for one, other in zip(pipeline[-1].estimators_, loaded[-1].estimators_, strict=True):
        before, after = (tree.tree_.__getstate__()["nodes"] for tree in (one, other))
        for column in ("left_child", "right_child", "feature", "n_node_samples", "weighted_n_node_samples"):
            np.testing.assert_array_equal(after[column], before[column])
    np.testing.assert_allclose(loaded[-1].feature_importances_, pipeline[-1].feature_importances_, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", list(FORESTS))
def test_samples_without_a_feature_go_where_they_went(name, many):
    pipeline, _, loaded = saved(*FORESTS[name])
    new = np.where(RNG.random(NEW.shape) < 0.2, np.nan, NEW)
    assert loaded[-1].bag_ is not None
    assert np.array_equal(loaded.predict(new), pipeline.predict(new))
    assert not np.array_equal(loaded.predict(new), loaded.predict(np.nan_to_num(new)))


def test_forests_of_many_samples_are_small(many):
    rows, y = RNG.normal(size=(4000, 5)), RNG.normal(size=4000)
    size = {}
    for model in (BaggedRegressor(30, max_features="sqrt", random_state=0), RandomForestRegressor(30, random_state=0)):
        pipeline, members, loaded = saved(model, y, rows)
        assert np.array_equal(loaded.predict(NEW), pipeline.predict(NEW))
        size[type(model)] = sum(len(zlib.compress(data, 6)) for data in members.values())
    assert size[BaggedRegressor] < 0.5 * size[RandomForestRegressor]


def test_forests_that_do_not_follow_from_their_samples_are_kept_whole(many):
    for changes in ({"bootstrap": False}, {"max_samples": 0.5}, {"class_weight": "balanced"}):
        model = BaggedClassifier(3, random_state=0, **changes)
        pipeline, members, loaded = saved(model, LABELS)
        assert pipeline[-1].bag_ is None
        assert np.array_equal(loaded.predict_proba(NEW), pipeline.predict_proba(NEW))
    pipeline, _, _ = saved(BaggedRegressor(3, random_state=0))
    pipeline[-1].bag_.targets[:5] += 1.0  # so that they are no longer those of the trees
    pipeline[-1].bag_.rows[:] = pipeline[-1].bag_.rows[::-1].copy()
    members = dump_pipeline(pipeline)
    with np.load(io.BytesIO(members["trees-0.npz"])) as file:
        assert "threshold" in file.files
    assert np.array_equal(load_pipeline(members).predict(NEW), pipeline.predict(NEW))


@pytest.mark.parametrize(
    "changes",
    [
        {"left": lambda a: np.zeros_like(a)},
        {"left": lambda a: np.full_like(a, 255)},
        {"left": lambda a: a[:, 1:]},
        {"order": lambda a: np.zeros_like(a)},
        {"order": lambda a: a[:, :-1]},
        {"seeds": lambda a: a[:1]},
        {"seeds": lambda a: a + 1},
        {"rows": lambda a: a[:, :2]},
        {"copies": lambda a: a[1:]},
        {"is_leaf": lambda a: np.zeros_like(a)},
    ],
)
def test_samples_that_do_not_fit_their_forest_are_refused(changes, many):
    _, members, _ = saved(BaggedRegressor(3, random_state=0))
    with pytest.raises(ModelFileError):
        load_pipeline(damaged(members, **changes))


def damaged(members, **changes):
    """Return members with other arrays of trees."""
    with np.load(io.BytesIO(members["trees-0.npz"])) as file:
        arrays = {name: file[name] for name in file.files}
    arrays |= {name: change(arrays[name]) for name, change in changes.items()}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return {**members, "trees-0.npz": buffer.getvalue()}


@pytest.mark.parametrize("twigs", [False, True])
@pytest.mark.parametrize(
    "changes",
    [
        {"feature": lambda a: np.full_like(a, 5)},
        {"feature": lambda a: a[1:]},
        {"is_leaf": lambda a: np.zeros_like(a)},
        {"is_leaf": lambda a: np.full_like(a, 255)},
        {"is_leaf": lambda a: a[:1]},
        {"n_nodes": lambda a: a + 1},
        {"n_nodes": lambda a: -a},
        {"n_classes": lambda a: np.zeros_like(a)},
        {"sizes": lambda a: a * 0},
        {"threshold": lambda a: np.full_like(a, 255)},
        {"threshold": lambda a: a[:2]},
    ],
)
def test_trees_that_do_not_fit_together_are_refused(changes, twigs, monkeypatch):
    if twigs:
        monkeypatch.setattr(forest, "_MANY", 100)
    monkeypatch.setattr(bagged, "_MANY", 100)
    _, members, _ = saved(MedianExtraTrees(2, random_state=0))
    with pytest.raises(ModelFileError):
        load_pipeline(damaged(members, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": lambda a: np.full_like(a, 255)},
        {"rows": lambda a: a[:, :4]},
        {"copies": lambda a: a[1:]},
        {"copies": lambda a: a * 0 + 200},
        {"chance": lambda a: a - 2**40},
        {"seeds": lambda a: a[:1]},
    ],
)
def test_samples_that_do_not_fit_are_refused(changes, many):
    _, members, _ = saved(MedianExtraTrees(2, random_state=0))
    with pytest.raises(ModelFileError):
        load_pipeline(damaged(members, **changes))


def test_members_that_are_missing_or_not_used_are_refused():
    _, members, _ = saved(ExtraTreesRegressor(2, random_state=0))
    with pytest.raises(ModelFileError, match=r"there is no member 'trees-0\.npz'"):
        load_pipeline({PIPELINE: members[PIPELINE]})
    with pytest.raises(ModelFileError, match="nothing in it uses"):
        load_pipeline({**members, "trees-1.npz": members["trees-0.npz"]})
    with pytest.raises(ModelFileError):
        load_pipeline({**members, "trees-0.npz": b"PK"})


@pytest.mark.parametrize("kind", ["regression", "classification"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("random_forest", {"n_estimators": 5}),
        ("extra_trees", {"n_estimators": 5}),
        ("decision_tree", {}),
        ("k_neighbors", {}),
        ("ridge", {}),
        ("hist_gradient_boosting", {"max_iter": 3}),
        ("xgboost", {"n_estimators": 3}),
    ],
)
def test_files_do_not_depend_on_the_number_of_threads(name, options, kind):
    if name == "xgboost":
        pytest.importorskip("xgboost")
    y = Y if kind == "regression" else (Y > 0).astype(int)
    files = []
    for n_jobs in (1, 2):
        model = make_model(name, kind, random_state=0, n_jobs=n_jobs, **options)
        pipeline = Pipeline([("features", StandardScaler()), ("model", model)])
        files.append(dump_pipeline(with_n_jobs(assemble(pipeline[0].fit(X), pipeline.fit(X, y)[1]), 1)))
    assert files[0] == files[1]
