"""Windows that move along a series, and the frames at which it changes."""

import sys

import numpy as np
import pytest

from atomprint.trajectories import change_points, rolling


@pytest.mark.parametrize(("window", "step"), [(1, 1), (2, 1), (7, 3), (30, 1)])
def test_rolling_statistics_are_those_of_numpy(window, step, monkeypatch):
    monkeypatch.setattr("atomprint.trajectories.statistics._CHUNK", 50)
    series = np.random.default_rng(0).normal(5, 1, (30, 2))
    names = ["std", "mean", "min", "max", "slope", "memory"]
    found = rolling(series, window, names, step=step)
    starts = range(0, 30 - window + 1, step)
    assert found.shape == (len(starts), 6, 2)
    for row, start in zip(found, starts, strict=True):
        part = series[start : start + window]
        wanted = [part.std(axis=0), part.mean(axis=0), part.min(axis=0), part.max(axis=0)]
        np.testing.assert_allclose(row[:4], wanted, atol=1e-12)
        slopes = np.polyfit(np.arange(window), part, 1)[0] if window > 1 else np.zeros(2)
        np.testing.assert_allclose(row[4], slopes, atol=1e-12)
        centred = part - part.mean(axis=0)
        memory = (centred[1:] * centred[:-1]).sum(axis=0) / (centred**2).sum(axis=0) if window > 1 else np.zeros(2)
        np.testing.assert_allclose(row[5], memory, atol=1e-12)
    np.testing.assert_allclose(rolling(series[:, 0], window, names, step=step), found[:, :, 0], atol=1e-12)


def test_a_series_that_does_not_change_has_no_memory():
    assert rolling(np.full(9, 0.1), 5, ["memory", "std"])[:, 0].tolist() == [0.0] * 5


def test_rolling_refuses():
    for message, given in [
        ("window must not have more frames than the series, 3, got 4", {"window": 4}),
        ("window must be >= 1", {"window": 0}),
        ("statistics must be one of", {"window": 2, "statistics": ["median"]}),
        ("value that is not in frame 1", {"series": [1, np.inf, 2], "window": 1}),
    ]:
        with pytest.raises(ValueError, match=message):
            rolling(**{"series": [1.0, 2.0, 3.0]} | given)


def test_change_points_are_found():
    pytest.importorskip("ruptures")
    rng = np.random.default_rng(0)
    series = np.concatenate([np.full(30, 0.0), np.full(25, 2.0), np.full(35, 1.0)])[:, None] + [[0.0, 1.0]]
    series += rng.normal(0, 0.3, series.shape)
    np.testing.assert_allclose(change_points(series, 2), [30, 55], atol=1)
    np.testing.assert_allclose(change_points(series), [30, 55], atol=1)
    np.testing.assert_allclose(change_points(series[:, 0], model="rbf", penalty=5.0), [30, 55], atol=2)
    assert len(change_points(rng.normal(size=(80, 2)))) == 0


def test_change_points_refuse(monkeypatch):
    for message, given in [
        ("must not be given together", {"n_changes": 1, "penalty": 2.0}),
        ("penalty must be given for model 'rbf'", {"model": "rbf"}),
        ("n_changes must be <= 4, got 5", {"n_changes": 5}),
        ("be finite, got values that are not", {"series": [1, np.nan, 2]}),
        ("2 min_size frames at least, 4, got 3", {"series": [1, 1.5, 2]}),
    ]:
        with pytest.raises(ValueError, match=message):
            change_points(**{"series": np.arange(10.0)} | given)
    monkeypatch.setitem(sys.modules, "ruptures", None)
    with pytest.raises(ImportError, match=r"change_points needs ruptures.*atomprint\[changes\]"):
        change_points(np.arange(10.0))
