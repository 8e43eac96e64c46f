import threading

import numpy as np
import pytest
from helpers.problems import Failing, atoms_problem, features_of, problem_of
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import LinearRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_info, threadpool_limits

from atomprint.datasets import Dataset, Target
from atomprint.descriptors import CoulombMatrix
from atomprint.learn import Features, FitError, Problem, Search, Split, evaluate, learning_curve, make_model, make_split
from atomprint.learn.evaluation import evaluate as evaluation
from atomprint.learn.evaluation.evaluate import fit_estimator
from atomprint.learn.task.metrics import METRICS


class Spy:
    """Writes down which samples an estimator sees in fit and in predict, known by their first feature."""

    seen: list[tuple[str, list[float]]] = []  # noqa: RUF012 - shared by all clones on purpose
    lock = threading.Lock()

    def note(self, what, X):
        with self.lock:
            self.seen.append((what, sorted(np.asarray(X)[:, 0].tolist())))


class SpyScaler(Spy, TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        self.note("fit scaler", X)
        return self

    def transform(self, X):
        return X


class SpyModel(Spy, RegressorMixin, BaseEstimator):
    def __init__(self, shift=0.0):
        self.shift = shift

    def fit(self, X, y):
        self.note("fit model", X)
        self.mean_ = np.mean(y)
        return self

    def predict(self, X):
        self.note("predict", X)
        return np.full(len(X), self.mean_ + self.shift)


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("method", ["grid", "random", "optuna"])
def test_nothing_that_is_learnt_ever_sees_a_sample_to_predict(method, n_jobs):
    if method == "optuna":
        pytest.importorskip("optuna")
    X = np.column_stack([np.arange(40.0), np.ones(40)])
    problem = problem_of(X[:, 0])
    split = make_split(problem, n_folds=3)
    search = Search(method, space={"spymodel__shift": [0.0, 1.0, 2.0]}, n_iter=3, n_folds=2)
    model = search.wrap(make_pipeline(SpyScaler(), SpyModel()), {}, "regression")
    Spy.seen.clear()
    evaluation = evaluate(model, features_of(X), problem, split, n_jobs)
    fits = [*split.folds, (split.train, split.test)]
    by_held_out = {tuple(predict.tolist()): set(fit.tolist()) for fit, predict in fits}
    final = [samples for what, samples in Spy.seen if what == "predict" and tuple(samples) in by_held_out]
    assert sorted(map(tuple, final)) == sorted(by_held_out)
    training = [set(fit.tolist()) for fit, _ in fits]
    for what, samples in Spy.seen:
        if what.startswith("fit"):
            assert any(set(samples) <= part for part in training)
        elif tuple(samples) not in by_held_out:  # of the search
            assert any(set(samples) < part for part in training)
    if n_jobs == 1:  # in order: everything before a fold is predicted was learnt within the samples of its fit
        start = 0
        for fit, predict in fits:
            end = Spy.seen.index(("predict", predict.tolist()))
            learnt = Spy.seen[start:end]
            assert set().union(*(samples for _, samples in learnt)) == set(fit.tolist())
            assert ("fit scaler", fit.tolist()) in learnt
            start = end + 1
    for fold, (_, predict) in zip(evaluation.folds, split.folds, strict=True):
        assert fold.indices.tolist() == predict.tolist()
        assert fold.chosen == {"shift": fold.chosen["shift"]}
        assert fold.seconds_fit >= 0
        assert fold.seconds_predict >= 0


def test_inner_folds_are_of_the_same_kind_as_the_outer_ones():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(12), 5)
    X = np.column_stack([groups, rng.normal(size=60)]).astype(float)
    y = rng.normal(size=12)[groups]
    dataset = Dataset(
        "toy",
        "Toy",
        None,
        tuple(f"s{i}" for i in range(60)),
        {"e": Target(y, "eV", "Energy", "")},
        "",
        "",
        [f"H{i + 1}O" for i in range(60)],
        {"batch": np.array([f"g{g}" for g in groups])},
    )
    problem = Problem.of(dataset, "e")
    split = make_split(problem, "group", group_by="batch", n_folds=3)
    search = Search("grid", space={"shift": [0.0, 1.0]}, n_folds=2)
    Spy.seen.clear()
    evaluate(search.wrap(SpyModel(), {}, "regression"), features_of(X), problem, split)
    fits = [set(samples) for what, samples in Spy.seen if what == "fit model"]
    assert len(fits) == 4 * (2 * 2 + 1)
    # No group is ever divided: not between the outer parts, and not between the inner ones.
    for what, samples in Spy.seen:
        counts = np.unique(samples, return_counts=True)[1]
        assert (counts == 5).all(), what


@pytest.mark.parametrize("name", ["kernel_ridge", "random_forest"])
def test_a_target_of_pure_chance_cannot_be_learnt(name):
    # Many features and few samples: a model, a scaler or a choice of hyperparameters that had seen the targets of
    # the held-out samples would find something here.
    rng = np.random.default_rng(5)
    X, y = rng.normal(size=(80, 400)), rng.normal(size=80)
    problem = problem_of(y)
    evaluation = evaluate(make_model(name, random_state=0), features_of(X), problem, make_split(problem))
    assert evaluation.cross_validation["r2"].mean.value < 0.1
    assert evaluation.test.metrics["r2"].value < 0.1


def test_a_selection_outside_the_folds_would_be_caught():
    # The same with a leak put in on purpose: features chosen by their correlation with all targets.
    rng = np.random.default_rng(5)
    X, y = rng.normal(size=(80, 2000)), rng.normal(size=80)
    leaked = X[:, np.argsort(-np.abs(X.T @ y))[:20]]
    problem = problem_of(y)
    evaluation = evaluate(make_model("kernel_ridge"), features_of(leaked), problem, make_split(problem))
    assert evaluation.cross_validation["r2"].mean.value > 0.3


def test_evaluation_takes_structures_and_a_descriptor_in_the_pipeline(molecules):
    structures = molecules * 3
    problem = problem_of(np.tile(np.arange(4.0), 3), structures=structures)
    model = make_pipeline(CoulombMatrix(n_atoms_max=9), LinearRegression())
    evaluation = evaluate(model, features_of(structures), problem, make_split(problem, n_folds=2))
    assert evaluation.test.metrics["mae"].value < 1e-6  # every molecule of the test part is also in the training part
    assert [part for part, _ in evaluation.parts()] == ["fold 1", "fold 2", "test"]


def test_splits_without_a_test_part_or_without_folds():
    X = np.arange(20.0)[:, None]
    problem = problem_of(X[:, 0])
    folds_only = evaluate(LinearRegression(), features_of(X), problem, make_split(problem, test_size=0, n_folds=4))
    assert folds_only.test is None
    assert len(folds_only.folds) == 4
    assert folds_only.estimator.predict([[100.0]]) == pytest.approx([100])
    assert folds_only.held_out()[0] == "folds"
    assert sorted(folds_only.held_out()[1]) == list(range(20))
    not_refitted = evaluate(
        LinearRegression(), features_of(X), problem, make_split(problem, test_size=0, n_folds=4), refit=False
    )
    assert not_refitted.estimator is None
    held_out = evaluate(LinearRegression(), features_of(X), problem, make_split(problem, n_folds=0))
    assert held_out.folds == ()
    assert held_out.held_out()[0] == "test part"
    assert held_out.cross_validation["mae"].mean.value is None
    with pytest.raises(ValueError, match="there is no cross-validation"):
        held_out.out_of_fold()


def test_kernels_between_samples_are_sliced_both_ways():
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(40, 3)), rng.normal(size=40)
    K = np.exp(-0.5 * ((X[:, None] - X) ** 2).sum(axis=2))
    problem = problem_of(y)
    split = make_split(problem, n_folds=3)
    for name in ("kernel_ridge", "svm", "gaussian_process"):
        evaluation = evaluate(make_model(name, pairwise=True), features_of(K, True), problem, split)
        train, test = split.folds[0]
        alone = make_model(name, pairwise=True).fit(K[np.ix_(train, train)], y[train])
        assert evaluation.folds[0].y_pred == pytest.approx(alone.predict(K[np.ix_(test, train)]))
    search = Search("grid", space={"C": [0.1, 10.0]}, n_folds=2)
    evaluation = evaluate(make_model("svm", pairwise=True, search=search), features_of(K, True), problem, split)
    assert set(evaluation.test.chosen) == {"C"}
    assert evaluation.folds[0].y_std is None
    gp = evaluate(make_model("gaussian_process", pairwise=True), features_of(K, True), problem, split)
    assert (gp.test.y_std > 0).all()


def test_targets_of_atoms_are_judged_over_atoms():
    problem = atoms_problem()
    assert len(problem) == 79
    split = make_split(problem, n_folds=3)
    X = np.column_stack([problem.structures, problem.atoms]).astype(float)
    evaluation = evaluate(LinearRegression(), features_of(X), problem, split)
    assert evaluation.test.metrics["mae"].value < 0.2
    assert len(evaluation.test.indices) == len(split.test)
    assert not set(problem.structures[split.train]) & set(problem.structures[split.test])


CLASSES = ("insulator", "semimetal", "metal")


def test_probabilities_are_those_of_all_classes_even_of_one_that_a_fold_has_not_seen():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(30, 2))
    y = np.repeat([0, 2], 15)
    y[4] = 1  # in the test part only
    problem = problem_of(y, CLASSES)
    train = np.array([i for i in range(30) if i % 4])
    split = Split(train, np.arange(0, 30, 4), ((train[::2], train[1::2]),), 0)
    evaluation = evaluate(make_model("ridge", "classification"), features_of(X), problem, split)
    for _, fold in evaluation.parts():
        assert fold.probabilities.shape == (len(fold.indices), 3)
        assert (fold.probabilities[:, 1] == 0).all()
        assert fold.probabilities.sum(axis=1) == pytest.approx(np.ones(len(fold.indices)))
        assert (np.argmax(fold.probabilities, axis=1) == fold.y_pred).all()
        assert fold.y_pred.dtype.kind == "i"
    assert set(evaluation.cross_validation) == set(METRICS["classification"])


def test_models_without_probabilities_have_none():
    rng = np.random.default_rng(3)
    problem = problem_of(np.tile([0, 1], 15), ("no", "yes"))
    evaluation = evaluate(RidgeClassifier(), features_of(rng.normal(size=(30, 2))), problem, make_split(problem))
    assert evaluation.test.probabilities is None
    assert evaluation.out_of_fold().probabilities is None
    assert evaluation.test.metrics["roc_auc"].value is None
    assert evaluation.test.metrics["roc_auc"].reason
    calibrated = evaluate(
        make_model("svm", "classification"), features_of(rng.normal(size=(30, 2))), problem, make_split(problem)
    )
    assert calibrated.test.metrics["roc_auc"].value is not None


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("fit", r"nonsense, fold \d: fitting 25 samples: ArithmeticError: the weights have run away"),
        ("predict", r"nonsense, fold \d: predicting \d+ samples: .*predictions must be finite, got nan for 's\d+'"),
        ("shape", r"nonsense, fold \d: .*predictions must have shape \(7,\), got \(7, 2\)"),
    ],
)
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_model_that_fails_is_named_with_its_fold(where, message, n_jobs):
    problem = problem_of(np.arange(40.0))
    split = make_split(problem)
    with pytest.raises(FitError, match=message):
        evaluate(Failing(where), features_of(np.ones((40, 1))), problem, split, n_jobs, name="nonsense")
    X = np.full((40, 1), np.nan)
    with pytest.raises(FitError, match=r"LinearRegression, fold 1: fitting 25 samples: ValueError: .*NaN"):
        evaluate(LinearRegression(), features_of(X), problem, split)


def test_features_of_other_samples_are_refused():
    problem = problem_of(np.arange(10.0))
    with pytest.raises(ValueError, match="'toy' must have one row for each of 10 samples of 'Toy: energy', got 9"):
        evaluate(LinearRegression(), features_of(np.ones((9, 1))), problem, make_split(problem))
    for kind, wrong in (("classification", problem), ("regression", problem_of([0, 1] * 5, ("no", "yes")))):
        with pytest.raises(ValueError, match=f"Bagged.* must be one for {wrong.kind}"):
            evaluate(make_model("random_forest", kind), features_of(np.ones((10, 1))), wrong, make_split(wrong))
    with pytest.raises(ValueError, match="a kernel between samples must be square"):
        features_of(np.ones((9, 8)), pairwise=True)
    with pytest.raises(ValueError, match="names must name each of 2 features, got 1"):
        Features("a", "", "", np.ones((3, 2)), ["x"], 0.0, {})


@pytest.mark.parametrize("name", ["random_forest", "hist_gradient_boosting", "kernel_ridge", "mlp"])
def test_results_do_not_depend_on_threads(name):
    rng = np.random.default_rng(4)
    X = rng.normal(size=(60, 4))
    problem = problem_of(X[:, 0] ** 2)
    split = make_split(problem, n_folds=3)
    one, two = (
        evaluate(make_model(name, random_state=0, n_jobs=n), features_of(X), problem, split, n_jobs=n) for n in (1, 2)
    )
    for (_, a), (_, b) in zip(one.parts(), two.parts(), strict=True):
        assert (a.y_pred == b.y_pred).all()


class ToldThreads(ExtraTreesRegressor):
    def fit(self, X, y):
        self.used_ = self.n_jobs
        return super().fit(X, y)


def test_forests_of_a_single_fit_use_all_threads_and_keep_one():
    X = np.random.default_rng(4).normal(size=(60, 4))
    problem = problem_of(X[:, 0] ** 2)
    model = make_pipeline(ToldThreads(5, random_state=0))
    one, two = (
        fit_estimator(model, features_of(X), problem, make_split(problem), np.arange(60), n_jobs=n) for n in (1, 2)
    )
    assert (one[-1].used_, two[-1].used_, two[-1].n_jobs) == (None, 2, 1)
    assert (one.predict(X) == two.predict(X)).all()


class ToldOpenMP(LinearRegression):
    used: list[int] = []  # noqa: RUF012 - shared by all clones on purpose

    def fit(self, X, y):
        self.used.extend(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "openmp")
        return super().fit(X, y)


@pytest.mark.parametrize("limit", [1, 2])
def test_models_that_take_all_threads_have_no_more_than_they_may(limit, monkeypatch):
    monkeypatch.setattr(evaluation, "cpu_count", lambda: 2)
    X = np.random.default_rng(4).normal(size=(30, 2))
    problem = problem_of(X[:, 0])
    ToldOpenMP.used.clear()
    with threadpool_limits(limit, user_api="openmp"):
        evaluate(ToldOpenMP(), features_of(X), problem, make_split(problem, n_folds=2), n_jobs=1)
    assert set(ToldOpenMP.used) == {limit}


def test_progress_is_told_in_order():
    problem = problem_of(np.arange(20.0))
    words = []
    split = make_split(problem, n_folds=2)
    evaluate(LinearRegression(), features_of(np.ones((20, 1))), problem, split, 2, lambda *step: words.append(step))
    assert words == [("fold 1", 1, 3), ("fold 2", 2, 3), ("test", 3, 3)]


def test_features_are_copied_once_for_each_fit_and_stay_as_they_are():
    X = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    kept = X.copy()
    seen = []

    class Look(LinearRegression):
        def fit(self, X, y):
            seen.append(X.dtype)
            X *= 0  # a model that ruins what it is given
            return super().fit(X, y)

    problem = problem_of(np.arange(50.0))
    evaluate(Look(), features_of(X), problem, make_split(problem))
    assert set(seen) == {np.dtype(np.float32)}
    assert (kept == X).all()


# Learning curves --------------------------------------------------------------------------------------------------


def test_learning_curves_use_nested_subsets_and_never_the_held_out_samples():
    X = np.column_stack([np.arange(60.0), np.ones(60)])
    problem = problem_of(X[:, 0])
    split = make_split(problem, n_folds=3)
    Spy.seen.clear()
    curve = learning_curve(SpyModel(), features_of(X), problem, split, fractions=(0.25, 0.5, 1.0), name="spy")
    fits = [set(samples) for what, samples in Spy.seen if what == "fit model"]
    for k, (fit, _) in enumerate(split.folds):
        small, half, whole = fits[3 * k : 3 * k + 3]
        assert small < half < whole == set(fit.tolist())
    predicts = [samples for what, samples in Spy.seen if what == "predict"]
    assert predicts[1::2] == [predict.tolist() for _, predict in split.folds for _ in range(3)]
    assert list(curve.sizes) == [8, 16, 32]
    assert [spread.n for spread in curve.test] == [3, 3, 3]
    assert (curve.metric, curve.model, curve.features) == ("mae", "spy", "toy")
    assert len(curve.to_dict()["points"]) == 3


def test_the_last_point_of_a_learning_curve_is_the_cross_validation():
    rng = np.random.default_rng(7)
    X = rng.normal(size=(80, 3))
    problem = problem_of(X[:, 0] + 0.1 * rng.normal(size=80))
    split = make_split(problem, n_folds=3)
    one, two = (learning_curve(make_model("ridge"), features_of(X), problem, split, n_jobs=n).to_dict() for n in (1, 2))
    assert one == two
    evaluation = evaluate(make_model("ridge"), features_of(X), problem, split)
    assert one["points"][-1]["test"] == evaluation.cross_validation["mae"].to_dict()
    assert one["points"][0]["test"]["mean"] > one["points"][-1]["test"]["mean"]


def test_learning_curves_keep_structures_whole_and_classes_in_proportion():
    problem = atoms_problem()
    split = make_split(problem, n_folds=2)
    X = np.column_stack([problem.structures, problem.atoms]).astype(float)
    Spy.seen.clear()
    learning_curve(SpyModel(), features_of(X), problem, split, fractions=(0.3,))
    for what, samples in Spy.seen:
        if what == "fit model":
            counts = np.unique(samples, return_counts=True)
            assert all(count == 4 or s == 3 for s, count in zip(*counts, strict=True))
    y = np.array([0] * 45 + [1] * 5)
    problem = problem_of(y, ("often", "rare"))
    split = make_split(problem, "stratified", n_folds=2)
    seen = []

    class Look(make_model("dummy", "classification").__class__):
        def fit(self, X, y):
            seen.append(y.tolist())
            return super().fit(X, y)

    learning_curve(Look(), features_of(np.ones((50, 1))), problem, split, fractions=(0.2, 0.5))
    assert all(1 in labels and labels.count(1) <= 2 for labels in seen)


def test_sizes_at_which_a_model_fails_have_a_reason():
    problem = problem_of(np.arange(40.0))
    X = np.arange(40.0)[:, None]
    model = make_model("k_neighbors", n_neighbors=9)
    curve = learning_curve(model, features_of(X), problem, make_split(problem, n_folds=0))
    assert curve.test[0].mean.value is None
    assert "n_neighbors" in curve.test[0].mean.reason
    assert curve.test[-1].mean.value is not None
    with pytest.raises(ValueError, match="fractions must be shares above 0 and at most 1"):
        learning_curve(model, features_of(X), problem, make_split(problem), fractions=(2.0,))
