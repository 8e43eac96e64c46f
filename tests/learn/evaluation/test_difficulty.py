import io

import numpy as np
import pytest
from helpers.problems import atoms_problem, features_of, problem_of
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LinearRegression

from atomprint.datasets import Dataset, Target
from atomprint.learn import Problem, conformal, evaluate, make_model, make_split
from atomprint.learn.estimators.difficulty import SIGNALS, Coordinates, Difficulty, Known
from atomprint.learn.estimators.widths import Widths
from atomprint.learn.evaluation.scaled import elements_of


class Zero(RegressorMixin, BaseEstimator):
    """Predicts 0 whatever it is given, so that errors are targets."""

    def fit(self, X, y):
        self.is_fitted_ = True
        return self

    def predict(self, X):
        return np.zeros(len(X))


def loud_and_quiet(n, seed=0):
    """Return features and targets whose errors are ten times as large where the second feature is positive."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    return X, 0.1 * (1 + 9 * (X[:, 1] > 0)) * rng.normal(size=n) - 5 * X[:, 0]


def judged(X, y, model=None, with_features=True, level=0.9, problem=None, **options):
    problem = problem_of(y) if problem is None else problem
    split = make_split(problem, **options)
    features = features_of(X)
    evaluation = evaluate(LinearRegression() if model is None else model, features, problem, split)
    return conformal(evaluation, problem, split, level, features if with_features else None), problem, split


def test_intervals_are_wide_where_errors_are_large_and_narrower_on_average():
    X, y = loud_and_quiet(1500)
    found, problem, split = judged(X, y, test_size=0.4)
    test = found.parts == "test"
    width, loud = (found.upper - found.lower)[test], X[split.test, 1] > 0
    assert width[loud].mean() > 4 * width[~loud].mean()
    assert found.mean_width.value < 0.85 * found.constant.mean_width.value
    assert found.coverage.value == pytest.approx(0.9, abs=0.03)
    inside = ((found.lower <= problem.y[found.indices]) & (problem.y[found.indices] <= found.upper))[test]
    assert min(inside[loud].mean(), inside[~loud].mean()) > 0.85
    plain = found.constant
    inside = ((plain.lower <= problem.y[plain.indices]) & (problem.y[plain.indices] <= plain.upper))[test]
    assert inside[loud].mean() < 0.85
    assert found.calibration.nominal == pytest.approx(found.calibration.observed, abs=0.06)
    low, high = found.half_widths
    assert low < found.half_width.value < high
    assert found.constant.half_widths is None
    assert "as the errors of samples suggest" in found.method
    # Without features nothing changes.
    same, *_ = judged(X, y, test_size=0.4, with_features=False)
    np.testing.assert_array_equal(same.lower, plain.lower)
    assert same.widths is None
    # What new samples get is what the test part got.
    row = split.test[:5]
    half = found.widths.half_widths(X[row], same.upper[test][:5] - same.half_width.value, elements_of(problem, row), {})
    assert 2 * half == pytest.approx(width[:5])


def test_an_element_that_is_predicted_badly_has_wider_intervals():
    rng = np.random.default_rng(0)
    n = 600
    hard = rng.uniform(size=n) < 0.15
    y = rng.normal(size=n) * np.where(hard, 5.0, 1.0)
    formulas = [f"{'Po' if bad else 'Na'}{i + 1}Cl" for i, bad in enumerate(hard)]
    target = Target(y, "eV", "Energy", "made up")
    problem = Problem.of(Dataset("toy", "Toy", None, tuple(formulas), {"e": target}, "", "", formulas), "e")
    found, *_ = judged(rng.normal(size=(n, 3)), y, Zero(), problem=problem, test_size=0)
    width, inside = found.upper - found.lower, (found.lower <= y[found.indices]) & (y[found.indices] <= found.upper)
    assert width[hard[found.indices]].mean() > 3 * width[~hard[found.indices]].mean()
    assert inside[hard[found.indices]].mean() > 0.82
    assert found.constant.coverage.value == pytest.approx(0.9, abs=0.02)


def test_a_group_with_exact_predictions_is_not_paid_for_by_the_others():
    rng = np.random.default_rng(1)
    n = 1500
    X = rng.normal(size=(n, 2))
    y = np.where(X[:, 0] > 0, 0.0, 3 + rng.normal(size=n))  # half of them 0, and predicted so

    class Known(Zero):
        def predict(self, X):
            return np.where(X[:, 0] > 0, 0.0, 3.0)

    found, *_ = judged(X, y, Known(), test_size=0)
    inside = (found.lower <= y[found.indices]) & (y[found.indices] <= found.upper)
    hard = y[found.indices] != 0
    assert inside[hard].mean() == pytest.approx(0.85, abs=0.04)  # 0.8 would be enough for 0.9 on average
    assert inside[~hard].all()


def test_no_interval_of_a_fold_is_made_with_its_own_truth():
    X, y = loud_and_quiet(700)
    problem = problem_of(y)
    split = make_split(problem, test_size=0)
    features = features_of(X)
    before = conformal(evaluate(Zero(), features, problem, split), problem, split, 0.9, features)
    own = before.parts == "fold 2"
    problem.y[before.indices[own]] *= 1.5
    after = conformal(evaluate(Zero(), features, problem, split), problem, split, 0.9, features)
    np.testing.assert_array_equal(after.lower[own], before.lower[own])
    assert not np.array_equal(after.lower[~own], before.lower[~own])


def test_small_data_have_one_width_and_say_so():
    X, y = loud_and_quiet(50)
    found, *_ = judged(X, y, test_size=0)
    assert found.widths is None
    assert found.why_constant == "widths by difficulty need 150 held-out errors, got 50"
    assert np.ptp(found.upper - found.lower) < 0.5 * (found.upper - found.lower).max()
    found, *_ = judged(X, y, test_size=0.2, n_folds=0)
    assert found.why_constant == "there is no cross-validation"
    # Where all samples are alike, a few of them do not make it look otherwise.
    rng = np.random.default_rng(0)
    found, *_ = judged(rng.normal(size=(200, 3)), rng.normal(size=200), Zero(), test_size=0)
    assert found.widths is None or found.mean_width.value < 1.1 * found.constant.mean_width.value
    found, *_ = judged(
        X[:0].tolist() + [[0.0]] * 90, np.zeros(90), Zero(), problem=problem_of(np.zeros(90)), test_size=0
    )
    assert "no table" in found.why_constant


def test_errors_that_are_all_nothing():
    X, _ = loud_and_quiet(200)
    found, *_ = judged(X, np.zeros(200), Zero(), test_size=0)
    assert found.why_constant == "all held-out errors are 0"
    assert found.coverage.value == 1


@pytest.mark.parametrize("kind", ["sparse", "missing", "constant", "kernel", "atoms"])
def test_tables_of_all_kinds(kind):
    from scipy import sparse

    X, y = loud_and_quiet(300)
    problem = problem_of(y)
    table = X.copy()
    if kind == "sparse":
        table = sparse.csr_array(np.where(X > 0, X, 0.0))
    elif kind == "missing":
        table[::3, 2] = np.nan
    elif kind == "constant":
        table = np.column_stack([X, np.full(300, 1e9), np.zeros(300)])
    elif kind == "atoms":
        problem = atoms_problem(n_structures=60)
        table = np.random.default_rng(0).normal(size=(len(problem), 3))
    elif kind == "kernel":
        table = np.exp(-((X[:, None] - X[None]) ** 2).sum(axis=2))
    coordinates = Coordinates.fit(table)
    found = coordinates.transform(table)
    assert np.isfinite(found).all()
    assert found.shape[0] == len(problem)
    np.testing.assert_allclose(coordinates.transform(table[:3]), found[:3], atol=1e-12)
    if kind in ("atoms", "constant"):
        split = make_split(problem, test_size=0)
        features = features_of(table)
        uncertainty = conformal(evaluate(Zero(), features, problem, split), problem, split, 0.9, features)
        assert np.isfinite(uncertainty.lower).all()
        assert uncertainty.coverage.value == pytest.approx(0.9, abs=0.05)


def test_widths_survive_a_file_and_damaged_ones_are_refused():
    X, y = loud_and_quiet(500)
    found, problem, _ = judged(X, y, test_size=0)
    arrays = found.widths.to_arrays()
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    buffer.seek(0)
    with np.load(buffer, allow_pickle=False) as read:
        again = Widths.from_arrays(dict(read))
    rows = np.arange(20)
    given = (X[:20], y[:20], elements_of(problem, rows), {})
    np.testing.assert_array_equal(again.half_widths(*given), found.widths.half_widths(*given))
    assert again.level == 0.9
    for name in arrays:
        with pytest.raises(ValueError, match="not complete"):
            Widths.from_arrays({key: value for key, value in arrays.items() if key != name})
    for name in ("weights", "references_errors", "coordinates_components", "bins_distance", "references_of_elements"):
        with pytest.raises(ValueError, match="wrong shapes"):
            Widths.from_arrays({**arrays, name: arrays[name][:-1]})
    with pytest.raises(ValueError, match="not finite"):
        Widths.from_arrays({**arrays, "weights": arrays["weights"] * np.nan})


def test_one_sample_is_told_as_among_many_and_far_ones_stay_bounded():
    X, y = loud_and_quiet(500)
    found, problem, _ = judged(X, y, test_size=0)
    elements = elements_of(problem, np.arange(500))
    together = found.widths.half_widths(X, y, elements, {})
    alone = np.concatenate([found.widths.half_widths(X[[i]], y[[i]], elements[[i]], {}) for i in range(5)])
    assert alone == pytest.approx(together[:5], rel=1e-9)
    far = found.widths.half_widths(1e9 * np.ones((1, 4)), np.array([1e12]), np.zeros((1, 119), dtype=bool), {})
    assert np.isfinite(far).all()
    assert far[0] > np.median(together)


def test_the_model_may_say_how_unsure_it_is():
    rng = np.random.default_rng(0)
    n = 600
    doubt = rng.lognormal(size=(n, 1))
    errors = np.abs(rng.normal(size=n)) * doubt[:, 0]
    known = Known(rng.normal(size=(n, 2)), rng.normal(size=n), np.ones((n, 119), dtype=bool), doubt)
    held = Difficulty.fit(known, errors, rng.normal(size=n), np.arange(n) % 5, np.arange(n))
    assert held.signals.shape == (n, len(SIGNALS) + 1)
    assert np.corrcoef(np.log(held.difficulties), np.log(doubt[:, 0]))[0, 1] > 0.9
    # What is not known says nothing.
    some = known.take(np.arange(50))
    without, _ = held.difficulty.of(some._replace(doubt=np.full((50, 1), np.nan)))
    assert np.ptp(np.log(without)) < 0.5 * np.ptp(np.log(held.difficulty.of(some)[0]))


def test_signs_of_doubt_of_a_forest_enter():
    X, y = loud_and_quiet(400)
    model = make_model("random_forest", n_estimators=20, random_state=0)
    found, problem, _ = judged(X, y, model, test_size=0)
    assert found.widths.expected.doubts == ("trees",)
    given = (X[:9], y[:9], elements_of(problem, np.arange(9)))
    sure, unsure = (found.widths.half_widths(*given, {"trees": np.full(9, std)}) for std in (0.01, 2.0))
    assert (sure < unsure).all()
