import json

import numpy as np
import pytest
from sklearn import metrics as reference
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from atomprint.descriptors import SOAP, CoulombMatrix
from atomprint.learn import (
    MODELS,
    KernelRidgeCV,
    evaluate,
    feature_groups,
    group_importance,
    make_model,
    make_split,
    regression_metrics,
    top_features,
)
from atomprint.learn.metrics import Metric, format_number, spread
from atomprint.learn.report import write_atomically

# Metrics ----------------------------------------------------------------------------------------------------------


def test_metrics_agree_with_scikit_learn():
    rng = np.random.default_rng(0)
    y, guess = rng.normal(size=(2, 50))
    found = regression_metrics(y, guess)
    assert found["mae"].value == pytest.approx(reference.mean_absolute_error(y, guess))
    assert found["rmse"].value == pytest.approx(reference.root_mean_squared_error(y, guess))
    assert found["r2"].value == pytest.approx(reference.r2_score(y, guess))
    assert found["max_error"].value == pytest.approx(reference.max_error(y, guess))


@pytest.mark.parametrize(
    ("y", "words"),
    [
        ([3.0], "R² needs at least 2 test samples, got 1"),
        ([5.0, 5.0, 5.0], "R² needs test targets that differ, got 3 times 5"),
        ([0.0, 5e-324], "R² needs test targets that differ, got 2 all close to 0"),
    ],
)
def test_undefined_r2_is_explained_in_words(y, words):
    found = regression_metrics(y, np.zeros(len(y)))
    assert found["r2"].value is None
    assert str(found["r2"]) == words
    assert words in str(found)
    assert "nan" not in str(found)
    assert found.to_dict()["r2"] == {"undefined": words}
    json.dumps(found.to_dict(), allow_nan=False)
    assert found["mae"].value == pytest.approx(np.mean(y))


@pytest.mark.parametrize(
    ("y", "guess", "message"),
    [
        ([], [], r"y_true must have shape \(n_samples,\) with at least one sample"),
        ([1.0, 2.0], [1.0], "y_pred must have as many values as y_true, 2, got 1"),
        ([1.0, 2.0], [1.0, np.nan], "y_pred must be finite, got nan"),
        ([[1.0]], [1.0], "y_true must have shape"),
    ],
)
def test_bad_input_of_metrics(y, guess, message):
    with pytest.raises(ValueError, match=message):
        regression_metrics(y, guess)


def test_spread_is_over_the_folds_in_which_a_metric_is_defined():
    found = spread([Metric(1.0), Metric(3.0), Metric(None, "no")])
    assert (found.mean.value, found.n) == (2.0, 2)
    assert found.std.value == pytest.approx(np.sqrt(2))
    assert str(found) == "2.00 ± 1.41"
    assert str(spread([Metric(None, "too few")])) == "too few"
    alone = spread([Metric(1.0)])
    assert str(alone) == "1"
    assert "at least 2 folds" in alone.std.reason


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (123.4, "123"),
        (12.34, "12.3"),
        (1.234, "1.23"),
        (0.0012, "0.0012"),
        (2.0, "2"),
        (0.456, "0.46"),
        (100.0, "100"),
        (0.0, "0"),
        (-3.14159, "-3.14"),
    ],
)
def test_numbers_have_about_three_digits(value, text):
    assert format_number(value) == text


# Evaluation -------------------------------------------------------------------------------------------------------


def test_split_covers_every_sample_once():
    split = make_split(53, test_size=0.2, n_folds=4, seed=3)
    assert sorted([*split.train, *split.test]) == list(range(53))
    assert sorted(np.concatenate([predict for _, predict in split.folds])) == split.train.tolist()
    for fit, predict in split.folds:
        assert sorted([*fit, *predict]) == split.train.tolist()
    again, other = (make_split(53, test_size=0.2, n_folds=4, seed=seed) for seed in (3, 4))
    assert (again.test == split.test).all()
    assert not (other.test == split.test).all()


def test_too_few_samples_for_a_split():
    with pytest.raises(ValueError, match="n_samples must leave at least n_folds = 5 for training after 1 for testing"):
        make_split(5)


class Recorder(TransformerMixin, BaseEstimator):
    """A scaler that writes down which samples it is fitted to, known by their first feature."""

    seen: list[list[float]] = []  # noqa: RUF012 - shared by all clones on purpose

    def fit(self, X, y=None):
        self.seen.append(X[:, 0].tolist())
        return self

    def transform(self, X):
        return X


def test_everything_that_is_learnt_is_learnt_inside_the_fold():
    X = np.column_stack([np.arange(30.0), np.ones(30)])
    split = make_split(30)
    Recorder.seen.clear()
    evaluation = evaluate(make_pipeline(Recorder(), LinearRegression()), X, X[:, 0], split)
    expected = [fit.tolist() for fit, _ in split.folds] + [split.train.tolist()]
    assert Recorder.seen == expected
    for fold, (_, predict) in zip(evaluation.folds, split.folds, strict=True):
        assert fold.indices.tolist() == predict.tolist()


@pytest.mark.parametrize("name", ["kernel_ridge", "random_forest"])
def test_a_target_of_pure_chance_cannot_be_learnt(name):
    # Many features and few samples: a model, a scaler or a choice of hyperparameters that had seen the targets of
    # the held-out samples would find something here.
    rng = np.random.default_rng(5)
    X, y = rng.normal(size=(80, 400)), rng.normal(size=80)
    evaluation = evaluate(make_model(name, random_state=0), X, y, make_split(80))
    assert evaluation.cross_validation["r2"].mean.value < 0.1
    assert evaluation.test.metrics["r2"].value < 0.1


def test_a_selection_outside_the_folds_would_be_caught():
    # The same with a leak put in on purpose: features chosen by their correlation with all targets.
    rng = np.random.default_rng(5)
    X, y = rng.normal(size=(80, 2000)), rng.normal(size=80)
    leaked = X[:, np.argsort(-np.abs(X.T @ y))[:20]]
    evaluation = evaluate(make_model("kernel_ridge"), leaked, y, make_split(80))
    assert evaluation.cross_validation["r2"].mean.value > 0.3


def test_evaluation_takes_structures_and_a_descriptor_in_the_pipeline(molecules):
    structures, y = molecules * 3, np.tile(np.arange(4.0), 3)
    model = make_pipeline(CoulombMatrix(n_atoms_max=9), LinearRegression())
    evaluation = evaluate(model, structures, y, make_split(12, n_folds=2))
    assert evaluation.test.metrics["mae"].value < 1e-6  # every molecule of the test part is also in the training part
    assert [part for part, _ in evaluation.parts()] == ["fold 1", "fold 2", "test"]


# Models -----------------------------------------------------------------------------------------------------------


@parametrize_with_checks([KernelRidgeCV()])
def test_kernel_ridge_is_a_scikit_learn_regressor(estimator, check):
    check(estimator)


def test_leave_one_out_errors_are_those_of_leaving_out_each_sample():
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(25, 3)), rng.normal(size=25)
    model = KernelRidgeCV(kernels=["rbf"], length_scales=[0.8], alphas=[0.05]).fit(X, y)
    # The unit of length and the mean of the targets come from all training samples, as in the fit.
    gamma = 0.5 / (0.8 * model.unit_) ** 2
    errors = []
    for i in range(25):
        rest = np.arange(25) != i
        one_out = KernelRidge(alpha=0.05, kernel="rbf", gamma=gamma).fit(X[rest], y[rest] - y.mean())
        errors.append(abs(one_out.predict(X[[i]])[0] - (y[i] - y.mean())))
    assert model.best_score_ == pytest.approx(np.mean(errors), rel=1e-9)
    whole = KernelRidge(alpha=0.05, kernel="rbf", gamma=gamma).fit(X, y - y.mean())
    assert model.predict(X[:4]) == pytest.approx(whole.predict(X[:4]) + y.mean(), rel=1e-9)


def test_kernel_ridge_chooses_what_suits_the_data():
    X = np.random.default_rng(2).uniform(-2, 2, size=(120, 1))
    smooth = KernelRidgeCV().fit(X[:80], np.sin(2 * X[:80, 0]))
    assert np.abs(smooth.predict(X[80:]) - np.sin(2 * X[80:, 0])).max() < 0.01
    assert smooth.best_params_["kernel"] == "rbf"
    rough = KernelRidgeCV().fit(X[:80], np.abs(X[:80, 0]))
    assert rough.best_params_["kernel"] == "laplacian"


def test_kernel_ridge_does_not_depend_on_the_unit_of_features():
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(2, 30, 4)), rng.normal(size=30)
    one, thousand = (KernelRidgeCV().fit(scale * X[0], y).predict(scale * X[1]) for scale in (1, 1000))
    assert one == pytest.approx(thousand, rel=1e-6)


def test_samples_that_are_all_alike_give_their_mean():
    model = KernelRidgeCV().fit(np.ones((4, 2)), [1.0, 2.0, 3.0, 4.0])
    assert model.predict(np.ones((1, 2))) == pytest.approx([2.5])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"kernels": ["cubic"]}, "kernels must be one of 'rbf', 'laplacian', got 'cubic'"),
        ({"alphas": [0.0]}, "alphas must be > 0, got 0.0"),
        ({"length_scales": [-1.0]}, "length_scales must be > 0, got -1.0"),
        ({"alphas": []}, "alphas must hold at least one choice"),
    ],
)
def test_bad_parameters_of_kernel_ridge(parameters, message):
    with pytest.raises(ValueError, match=message):
        KernelRidgeCV(**parameters).fit(np.eye(4), np.arange(4.0))


def test_models_by_name():
    for name in MODELS:
        clone(make_model(name, random_state=1, n_jobs=2)).fit(np.eye(4), np.arange(4.0)).predict(np.eye(4))
    with pytest.raises(ValueError, match="model must be one of"):
        make_model("oracle")


# Importance -------------------------------------------------------------------------------------------------------


def test_features_are_grouped_by_their_names():
    soap = SOAP(species=["C", "O"], r_cut=3.0, n_max=2, l_max=1, pooling="mean")
    groups = feature_groups(soap.get_feature_names_out())
    assert set(groups) == {"species pairs", "radial channels", "angular channels"}
    assert {pair: len(columns) for pair, columns in groups["species pairs"].items()} == {"C-C": 6, "C-O": 8, "O-O": 6}
    place = SOAP(species=["C", "O"], r_cut=3.0, n_max=2, l_max=1).get_location(("C", "O"))
    assert groups["species pairs"]["C-O"].tolist() == list(range(place.start, place.stop))
    assert sum(map(len, groups["angular channels"].values())) == 20
    # n=1 n'=2 counts for both radial channels.
    assert len(groups["radial channels"]["n = 1"]) == 2 * (2 + 3 + 2)

    embedded = SOAP(species=["C", "O"], r_cut=3.0, n_max=2, l_max=1, species_embedding=np.ones((2, 2)))
    assert "channel1-channel2" in feature_groups(embedded.get_feature_names_out())["element channels"]

    matrix = feature_groups(CoulombMatrix(n_atoms_max=3).get_feature_names_out())
    assert matrix["rows of the matrix"]["row 0"].tolist() == [0, 1, 2, 3, 6]
    assert feature_groups(["mass"])["features"]["mass"].tolist() == [0]


def test_importance_finds_the_group_that_matters():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 12))
    y = 3 * X[:, 4] + X[:, 5] + 0.1 * rng.normal(size=300)
    X[:, 6] = X[:, 4]  # a twin of the most important feature, in the same group
    X[:, 11] = 1.0
    groups = {"right": np.array([4, 5, 6]), "wrong": np.arange(4), "constant": np.array([11])}
    model = RandomForestRegressor(100, max_features=0.5, random_state=0).fit(X[:200], y[:200])
    before = X.copy()
    found = group_importance(model, X[200:], y[200:], groups, seed=1)
    assert found[0].label == "right"
    by_label = {group.label: group for group in found}
    assert by_label["right"].mean > 10 * abs(by_label["wrong"].mean)
    assert by_label["right"].mean > 1  # scrambling one of the twins alone costs less
    assert (by_label["constant"].mean, by_label["constant"].std) == (0.0, 0.0)
    assert (before == X).all()
    alone = group_importance(model, X[200:], y[200:], {"twin": np.array([6])}, seed=1)[0]
    assert alone.mean < by_label["right"].mean
    names = [f"x{i}" for i in range(12)]
    assert {name for name, _ in top_features(names, model.feature_importances_, 2)} == {"x4", "x6"}


def test_importance_is_what_the_definition_says():
    X, y = np.arange(6.0)[:, None], np.arange(6.0)
    model = LinearRegression().fit(X, y)
    (found,) = group_importance(model, X, y, {"all": np.array([0])}, n_repeats=1, seed=7)
    order = np.random.default_rng(7).permutation(6)
    assert found.mean == pytest.approx(np.mean(np.abs(X[order, 0] - y)))


def test_top_features_checks_the_length():
    with pytest.raises(ValueError, match=r"importances must have shape \(2,\)"):
        top_features(["a", "b"], [1.0])


# Files ------------------------------------------------------------------------------------------------------------


def test_files_are_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    write_atomically(path, "old")
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["report.html"]
    write_atomically(path, "new Å")
    assert path.read_text(encoding="utf-8") == "new Å"
