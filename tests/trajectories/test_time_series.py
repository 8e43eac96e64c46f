"""One row for each window: what is in it, against the functions that it is made of."""

import subprocess
import sys

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from atomprint.descriptors import SOAP, NeighbourStatistics
from atomprint.trajectories import (
    TimeSeries,
    Trajectory,
    mean_square_displacement,
    rolling,
    windows,
)


def a_run(n=30, seed=0, width=0.03):
    rng = np.random.default_rng(seed)
    atoms = bulk("NaCl", "rocksalt", 5.6, cubic=True)
    frames = []
    for _ in range(n):
        atoms.positions += rng.normal(0, width, (8, 3)) + np.array([0.2, 0, 0])  # a drift that is no displacement
        frame = atoms.copy()
        frame.wrap()
        frames.append(frame)
    return frames


def test_windows_move_along_a_trajectory():
    frames = a_run(11)
    trajectory = Trajectory(frames, time_step=1.0)
    for length, step in ((4, None), (4, 2), (3, 5), (11, 1), (12, 1)):
        found = list(windows(trajectory, length, step))
        starts = range(0, 11 - length + 1, step or length)
        assert len(found) == len(starts)
        for window, start in zip(found, starts, strict=True):
            assert [w.positions.tolist() for w in window] == [
                f.positions.tolist() for f in frames[start : start + length]
            ]
    one, other = list(windows(trajectory, 4, 2))[:2]
    assert one[2] is other[0]


def test_rows_are_statistics_of_the_descriptor_and_displacements():
    frames = a_run()
    trajectory = Trajectory(frames, time_step=1.0)
    statistics = ("mean", "std", "slope", "memory")
    descriptor = NeighbourStatistics(3.4, 1.0, periodic=True)
    series = TimeSeries(descriptor, statistics, lags=(1, 4))
    cut = list(windows(trajectory, 10, 5))
    rows = series.fit_transform(cut)
    features = descriptor.fit(frames).transform(frames)
    n = features.shape[1]
    assert rows.shape == (5, 4 * n + 4)
    np.testing.assert_allclose(rows[:, : 4 * n], rolling(features, 10, statistics, step=5).reshape(5, -1), atol=1e-9)
    for row, start in zip(rows, range(0, 25, 5), strict=True):
        for k, symbol in enumerate(("Na", "Cl")):
            part = Trajectory(frames[start : start + 10], time_step=1.0)
            moved = mean_square_displacement(part, 4, atoms=symbol, remove_drift=True)
            np.testing.assert_allclose(row[4 * n + 2 * k : 4 * n + 2 * k + 2], moved.values[[1, 4]], atol=1e-12)
    names = series.get_feature_names_out()
    assert names[0] == "mean NeighbourStatistics coordination mean"
    assert names[3 * n] == "memory NeighbourStatistics coordination mean"
    assert names[-1] == "TimeSeries Cl mean square displacement lag=4"
    assert len(names) == rows.shape[1] == series.get_number_of_features()
    meanings = series.get_feature_meanings()
    assert {("statistics over time", "slope"), ("elements", "Cl"), ("lags", "4 frames")} <= set(meanings.groups)
    np.testing.assert_array_equal(series.create(cut[2]), rows[2])
    np.testing.assert_array_equal(series.create(trajectory[10:20]), rows[2])
    np.testing.assert_array_equal(series.create(cut), rows)


def test_it_is_a_transformer_of_scikit_learn():
    trajectories = [Trajectory(a_run(40, seed, width), time_step=1.0) for seed, width in ((0, 0.01), (1, 0.1))]
    cut = [window for trajectory in trajectories for window in windows(trajectory, 8)]
    labels = np.repeat([0, 1], 5)
    soap = SOAP(r_cut=3.5, n_max=2, l_max=2, periodic=True, average="outer")
    model = make_pipeline(TimeSeries(soap, lags=[2]), LogisticRegression())
    assert model.fit(cut, labels).score(cut, labels) == 1
    again = clone(model).set_params(timeseries__descriptor__n_max=3, timeseries__lags=(1, 2))
    assert again[0].get_params()["descriptor__n_max"] == 3
    rows = again.fit(cut, labels)[0].transform(cut)
    assert rows.shape == (10, len(again[0].get_feature_names_out()))
    assert not hasattr(soap, "species_")  # the parameter stays as it was given


def test_what_is_refused():
    frames = a_run(6)
    series = TimeSeries(NeighbourStatistics(3.4, species=["Na", "Cl"]), lags=[3], species=["Na", "Cl"])
    for error, message, given in [
        (ValueError, "window 1 must have more frames than the longest lag, 3, got 3", [frames, frames[:3]]),
        (ValueError, "window 0 must have frames that are ase.Atoms, got none", [[]]),
        (TypeError, "window 1 must be a sequence of Atoms or a Trajectory, got Atoms", [frames, frames[0]]),
        (TypeError, "got one trajectory", Trajectory(frames, time_step=1.0)),
        (
            ValueError,
            "window 0: frame 2 must have the atoms of the first, 8, got 7",
            [[*frames[:2], frames[2][:7]] * 2],
        ),
        (ValueError, "at least one window, got none", []),
    ]:
        with pytest.raises(error, match=message):
            series.transform(given)
    with pytest.raises(ValueError, match="species must be one of Na, got Cl"):
        TimeSeries(lags=[1], species=["Na"]).transform([frames])
    with pytest.raises(ValueError, match="one row for each frame: give it pooling='mean'"):
        TimeSeries(SOAP(r_cut=3.0, n_max=2, l_max=1, species=["Na", "Cl"], periodic=True)).transform([frames])
    for error, message, given in [
        (ValueError, "descriptor or lags must be given, got neither", {}),
        (TypeError, "descriptor must be a Descriptor, got str", {"descriptor": "SOAP"}),
        (ValueError, r"lags\[0\] must be >= 1, got 0", {"lags": [0]}),
        (ValueError, "statistics must be one of", {"lags": [1], "statistics": ["median"]}),
    ]:
        with pytest.raises(error, match=message):
            TimeSeries(**given)
    far = [Atoms("Na", positions=[[2.2 * (k % 2), 0, 0]], cell=[5] * 3, pbc=True) for k in range(5)]
    with pytest.raises(ValueError, match=r"window 0: frame 1, atom 0: moved by 0\.44 lattice vectors"):
        TimeSeries(lags=[1], species=["Na"]).transform([far])


def test_it_is_a_transformer_before_scikit_learn_is_there():
    code = """
import sys
from ase.build import bulk
from atomprint.grids import Volume, VolumeStatistics
from atomprint.trajectories import TimeSeries
assert "sklearn" not in sys.modules
print(TimeSeries(lags=[1], species=["Cu"]).fit_transform([[bulk("Cu")] * 3]).shape)
print(VolumeStatistics(n_radii=2, r_max=1.0).fit_transform([Volume([[[1.0, 2.0]]], bulk("Cu"))]).shape)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["(1, 1)", "(1, 8)"]
