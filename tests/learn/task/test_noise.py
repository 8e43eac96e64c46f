"""Features that are nothing but rounding are found, and no others."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from atomprint.learn import DropNoise
from atomprint.learn.task.blocks import keeps_columns, seen_columns
from atomprint.learn.task.noise import noise_floor

N = 50


def column(scale=1.0, seed=0, at=0.0):
    return at + scale * np.random.default_rng(seed).normal(size=N)


def varies(*columns, **parameters):
    return DropNoise(**parameters).fit(np.column_stack(columns)).varies_.tolist()


@parametrize_with_checks([DropNoise(), DropNoise(keep=True)])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def test_what_cancellation_leaves_is_no_feature():
    left = column(1e-16, seed=1)
    assert varies(column(at=3), left, np.ones(N), np.ones(N) + left, np.zeros(N)) == [True, False, False, False, False]
    assert varies(column(1e3), column(1e-13, seed=1)) == [True, False]
    assert varies(column(1e3), column(1e-13, seed=1), relative=False) == [True, True]


def test_small_units_and_rare_signals_stay():
    rare = np.zeros(N)
    rare[7] = 1e-6  # an element that one of the samples has a little of
    radii = 1e-10 * (1 + 0.1 * np.arange(N))  # in metres
    assert varies(column(1e3, at=1e4), rare, radii, column(1e-8, seed=2)) == [True] * 4
    assert varies(column(1e-30), column(1e-31, seed=1)) == [True, True]  # all are small alike
    assert varies(column(1e-5, at=1e3), np.arange(N), np.arange(N) % 2 == 0) == [True] * 3


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_what_was_written_down_is_no_rounding_however_large_others_are(kind, dtype):
    rng = np.random.default_rng(0)
    carriers = rng.uniform(1, 3, 40) * 1e20
    small = [
        rng.integers(0, 2, 40), np.eye(1, 40)[0], rng.integers(0, 30, 40), np.round(rng.normal(size=40), 3),
        np.where(rng.random(40) < 0.5, 0, 1.5e-30), rng.choice([-2.25e-30, 4.5e-30, 0], 40),
    ]  # fmt: skip
    X = np.column_stack([carriers, *small, rng.normal(size=40)]).astype(dtype)
    varies = DropNoise().fit(kind(X)).varies_
    assert varies.all()  # the last one has all digits, but the size of others that were written down
    assert DropNoise().fit(kind(X[:, [0, -1]])).varies_.tolist() == [True, False]  # left of 1e20, for all that is known
    alternating = np.where(np.arange(40) % 2, 1e-17, -2e-17)  # somebody's idea of rounding
    assert DropNoise().fit(kind(np.column_stack([small[3], alternating]))).varies_.tolist() == [True, False]
    left = np.column_stack([rng.normal(size=40), 1e-17 * rng.normal(size=40), small[-1]]).astype(dtype)
    assert DropNoise().fit(kind(left)).varies_.tolist() == [True, False, True]


def test_whole_numbers_are_exact():
    large = np.where(np.arange(N) % 2, 10_000_000.0, 10_000_001.0)
    assert varies(large) == [True]
    assert DropNoise().fit(large[:, None].astype(np.int64)).varies_.tolist() == [True]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_single_precision_is_seen_in_double_too(dtype):
    """Numbers of float32 that were made float64 on the way are as uncertain as before."""
    noisy = (0.1 + column(3e-8)).astype(np.float32)
    assert len(set(noisy.tolist())) > 5
    X = np.column_stack([noisy, column().astype(np.float32)]).astype(dtype)
    assert DropNoise().fit(X).varies_.tolist() == [False, True]


def test_gaps_tell_samples_apart():
    gaps, empty = np.ones(N), np.full(N, np.nan)
    gaps[3] = np.nan
    assert varies(column(), gaps, empty) == [True, True, False]


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array, sparse.csc_array, sparse.csr_matrix])
def test_left_out_or_kept_as_zeros(kind):
    X = np.column_stack([column(), column(1e-17, seed=1), np.full(N, 4.0), column(seed=2)])
    X[0, 0] = 0
    dropped, kept = DropNoise().fit_transform(kind(X)), DropNoise(keep=True).fit_transform(kind(X))
    assert sparse.issparse(dropped) == sparse.issparse(kept) == (kind is not np.asarray)
    dense = [part.toarray() if sparse.issparse(part) else part for part in (dropped, kept)]
    assert (dense[0] == X[:, [0, 3]]).all()
    assert (dense[1] == X * [1, 0, 0, 1]).all()
    assert kept.dtype == dropped.dtype == X.dtype


def test_what_was_constant_in_training_stays_so():
    X = np.column_stack([column(), np.ones(N)])
    clean = DropNoise(keep=True).fit(X)
    assert (clean.transform(X + 1)[:, 1] == 0).all()
    assert X[0, 1] == 1  # what was given is left as it is


def test_if_nothing_varies_one_feature_of_zeros_remains():
    X = np.full((N, 3), 0.1) + np.random.default_rng(0).normal(size=(N, 3)) * 1e-17
    clean = DropNoise().fit(X)
    assert clean.transform(X).tolist() == [[0.0]] * N
    assert len(clean.get_feature_names_out()) == 1
    model = make_pipeline(DropNoise(), StandardScaler(), Ridge()).fit(X, np.arange(N))
    assert model.predict(X) == pytest.approx(np.full(N, (N - 1) / 2))


def test_names_and_data_frames():
    X = pd.DataFrame({"a": column(), "b": np.ones(N), "c": column(seed=2)})
    clean = DropNoise().set_output(transform="pandas").fit(X)
    assert clean.transform(X).columns.tolist() == clean.get_feature_names_out().tolist() == ["a", "c"]
    assert seen_columns([clean], 3).tolist() == [0, 2]
    assert not keeps_columns(clean)
    assert keeps_columns(DropNoise(keep=True))
    kept = DropNoise(keep=True).set_output(transform="pandas").fit_transform(X)
    assert kept.columns.tolist() == ["a", "b", "c"]


def test_the_floor_is_what_is_compared_with():
    X = np.column_stack([column(1e3), column(1e-13, seed=1), np.full(N, 2.0)])
    floor = noise_floor(X)
    assert floor.shape == (3,)
    assert (np.ptp(X, axis=0) > floor).tolist() == DropNoise().fit(X).varies_.tolist()


@pytest.mark.parametrize(
    ("given", "message"), [({"tolerance": -1}, "tolerance must be"), ({"keep": 1}, "keep must be")]
)
def test_wrong_parameters_are_named(given, message):
    with pytest.raises((TypeError, ValueError), match=message):
        DropNoise(**given).fit(np.ones((3, 2)))
