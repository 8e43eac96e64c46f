"""Correlations by Fourier transforms, against sums as they are written."""

import numpy as np
import pytest

from atomprint.trajectories import autocorrelation, correlation_time
from atomprint.trajectories.correlation import Correlator


def direct(values, max_lag):
    n = len(values)
    return np.array(
        [sum(values[t] * values[t + lag] for t in range(n - lag)) / (n - lag) for lag in range(max_lag + 1)]
    )


@pytest.mark.parametrize("shape", [(2,), (50,), (51, 3), (40, 2, 3)])
@pytest.mark.parametrize("subtract", [True, False])
def test_autocorrelation_is_the_sum(shape, subtract):
    series = np.random.default_rng(0).normal(1.0, 2.0, shape)
    centred = series - series.mean(axis=0) if subtract else series
    for lag in (None, 0, 1, shape[0] - 1):
        wanted = direct(centred, shape[0] // 2 if lag is None else lag)
        found = autocorrelation(series, lag, subtract_mean=subtract, normalized=False)
        np.testing.assert_allclose(found, wanted, atol=1e-12)
        found = autocorrelation(series, lag, subtract_mean=subtract)
        np.testing.assert_allclose(found, wanted / wanted[0], atol=1e-12)


def test_a_series_that_does_not_change_is_not_correlated():
    series = np.full((100, 2), 0.1)
    series[:, 1] += np.arange(100)
    found = autocorrelation(series)
    assert (found[:, 0] == 0).all()
    assert found[0, 1] == 1


def test_long_rows_are_transformed_in_parts(monkeypatch):
    series = np.random.default_rng(0).normal(size=(30, 7))
    wanted = autocorrelation(series)
    monkeypatch.setattr("atomprint.trajectories.correlation._CHUNK", 100)
    np.testing.assert_allclose(autocorrelation(series), wanted, atol=1e-13)


def test_correlation_time_of_a_known_process():
    rng = np.random.default_rng(0)
    kept, n = np.array([0.0, 0.5, 0.9]), 40_000
    noise = rng.normal(size=(n, 3))
    series = np.zeros((n, 3))
    for t in range(1, n):
        series[t] = kept * series[t - 1] + noise[t]
    wanted = 0.5 * (1 + kept) / (1 - kept)  # of x' = kept x + noise
    np.testing.assert_allclose(correlation_time(series), wanted, rtol=0.08)
    assert np.isnan(correlation_time(np.ones(50)))


@pytest.mark.parametrize("n", [1, 9, 300, 1000])
@pytest.mark.parametrize("max_lag", [0, 1, 7, 200])
@pytest.mark.parametrize("kind", ["product", "square"])
def test_streams_are_correlated_as_a_whole(n, max_lag, kind):
    values = np.random.default_rng(n).normal(size=(n, 2, 3)).cumsum(axis=0) + 100.0
    correlator = Correlator(kind, max_lag, (2, 3))
    for frame in values:
        correlator.add(frame)
    correlator.finish()
    for lag in range(min(max_lag, n - 1) + 1):
        first, second = values[: n - lag], values[lag:]
        wanted = first * second if kind == "product" else (second - first) ** 2
        assert correlator.counts[lag] == n - lag
        size = max(1.0, np.abs(wanted).max())
        np.testing.assert_allclose(correlator.sums[lag] / (n - lag), wanted.sum(axis=2).mean(axis=0), atol=1e-9 * size)
    assert (correlator.counts[n:] == 0).all()


def test_what_is_refused():
    for message, series, given in [
        ("at least two frames", [1.0], {}),
        ("at least two frames", 1.0, {}),
        ("finite, got nan in frame 1", [1.0, np.nan], {}),
        ("max_lag must be <= 1, got 2", [1.0, 2.0], {"max_lag": 2}),
    ]:
        with pytest.raises(ValueError, match=message):
            autocorrelation(series, **given)
