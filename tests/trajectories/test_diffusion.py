"""Displacements against two loops, across boundaries and in cells that change; diffusion against what was put in."""

import warnings

import numpy as np
import pytest
from ase import Atoms

from atomprint.trajectories import FrameError, Trajectory, mean_square_displacement, unwrapped

CELL = np.array([[7.0, 0.0, 0.0], [2.0, 8.0, 0.0], [-1.0, 1.5, 9.0]])


def walk(n_frames=60, n_atoms=4, step=0.3, seed=0):
    """Return positions of atoms that walk at random."""
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 5, (1, n_atoms, 3)) + rng.normal(0, step, (n_frames, n_atoms, 3)).cumsum(axis=0)


def frames_of(places, cells, pbc=True, wrap=True):
    frames = []
    for positions, cell in zip(places, cells, strict=True):
        frame = Atoms("NaCl" * (positions.shape[0] // 2), positions=positions, cell=cell, pbc=pbc)
        if wrap:
            frame.wrap()
        frames.append(frame)
    return frames


def two_loops(places, max_lag):
    n = len(places)
    return np.array(
        [
            np.mean([((places[t + lag] - places[t]) ** 2).sum(axis=-1) for t in range(n - lag)], axis=0)
            for lag in range(max_lag + 1)
        ]
    )


@pytest.mark.parametrize("wrap", [True, False])
@pytest.mark.parametrize("pbc", [True, [True, False, True]])
def test_displacements_are_those_of_two_loops(wrap, pbc):
    places = walk()
    trajectory = Trajectory(frames_of(places, [CELL] * 60, pbc, wrap), time_step=5.0)
    for max_lag in (None, 1, 17, 59):
        found = mean_square_displacement(trajectory, max_lag)
        wanted = two_loops(places, 30 if max_lag is None else max_lag)
        np.testing.assert_allclose(found.samples, wanted, atol=1e-11)
        np.testing.assert_allclose(found.values, wanted.mean(axis=1), atol=1e-11)
        np.testing.assert_allclose(found.errors, wanted.std(axis=1, ddof=1) / 2, atol=1e-11)
        np.testing.assert_allclose(found.times, 5.0 * np.arange(len(wanted)))


def test_choices_of_atoms_axes_drift_and_segments():
    places = walk()
    trajectory = Trajectory(frames_of(places, [CELL] * 60), time_step=1.0)

    def found(**given):
        return mean_square_displacement(trajectory, 10, **given).samples

    np.testing.assert_allclose(found(atoms="Na"), two_loops(places[:, ::2], 10), atol=1e-11)
    np.testing.assert_allclose(found(atoms=[3, 1]), two_loops(places[:, [3, 1]], 10), atol=1e-11)
    np.testing.assert_allclose(found(axes="zx"), two_loops(places[:, :, [0, 2]], 10), atol=1e-11)
    masses = trajectory.first.get_masses()
    centre = np.einsum("tic,i->tc", places, masses)[:, None] / masses.sum()
    np.testing.assert_allclose(found(remove_drift=True), two_loops(places - centre, 10), atol=1e-11)
    parts = np.concatenate([two_loops(part, 10) for part in np.split(places, 3)], axis=1)
    np.testing.assert_allclose(found(n_segments=3), parts, atol=1e-11)


def test_atoms_are_followed_where_the_cell_changes():
    rng = np.random.default_rng(3)
    places = walk(200, step=0.25)
    breathing = 1 + 0.02 * rng.normal(size=200)[:, None, None]
    # Atoms walk as in space without cells; the cell around them breathes, and files have the places within it.
    frames = frames_of(places, CELL * breathing)
    found = np.array(list(unwrapped(Trajectory(frames, time_step=1.0))))
    # A wrapped place is another by whole lattice vectors, which breathe: what a step takes from it is at most these.
    steps, wanted = np.diff(found, axis=0), np.diff(places, axis=0)
    for frame, step, want, now, before in zip(range(1, 200), steps, wanted, frames[1:], frames, strict=False):
        images = np.rint((places[frame] - now.positions) @ np.linalg.inv(now.cell))
        images_before = np.rint((places[frame - 1] - before.positions) @ np.linalg.inv(before.cell))
        # r = w + n L: the step is what w does, where n changes a whole vector of the present cell is added
        own = now.positions - before.positions + (images - images_before) @ now.cell.array
        np.testing.assert_allclose(step, own, atol=1e-10)
        drift = np.abs(images_before @ (now.cell.array - before.cell.array)).max()
        np.testing.assert_allclose(step, want, atol=1e-10 + drift)


def test_a_breathing_cell_does_not_make_atoms_diffuse():
    # A crystal that flows through its cell: positions are as a barostat scales them, far from the first cell.
    rng = np.random.default_rng(0)
    fractions = rng.uniform(size=(4, 3)) + 50.0
    scales = 1 + 0.01 * rng.normal(size=400)
    cells = CELL * scales[:, None, None]
    frames = frames_of([fractions @ cell for cell in cells], cells, wrap=False)
    found = mean_square_displacement(Trajectory(frames, time_step=1.0), 50)
    naive = mean_square_displacement(Trajectory(frames, time_step=1.0), 50, unwrap=False)
    assert naive.values[-1] > 10  # Å², of atoms that do not move in their cell at all
    assert found.values[-1] < 0.05


def test_frames_that_are_too_far_apart_are_refused():
    trajectory = Trajectory(frames_of(walk(50, step=3.0), [CELL] * 50), time_step=1.0)
    with pytest.raises(FrameError, match=r"^frame \d+, atom \d: moved by 0.4\d lattice vectors since the frame before"):
        mean_square_displacement(trajectory, 5)


def test_diffusion_is_that_of_the_walk_and_its_error_is_honest():
    step, n_seeds = 0.3, 60
    wanted = step**2 / 2 / 4.0 * 0.1  # cm²/s, a frame each 4 fs
    deviations = []
    for seed in range(n_seeds):
        places = walk(80, 16, step, seed)
        trajectory = Trajectory(frames_of(places, [np.eye(3) * 30] * 80, wrap=seed % 2 == 0), time_step=4.0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # short walks do not always look as if they were diffusion
            found = mean_square_displacement(trajectory, 30, unwrap=seed % 2 == 0).diffusion(end=60.0)
        deviations.append((found.coefficient - wanted) / found.error)
    assert abs(np.mean(deviations)) < 4 / np.sqrt(n_seeds)
    assert 0.8 < np.std(deviations) < 1.35


def test_what_is_no_diffusion_is_said():
    rng = np.random.default_rng(0)
    solid = walk(1) + rng.normal(0, 0.1, (400, 4, 3))
    flight = np.arange(400)[:, None, None] * rng.normal(0, 0.01, (1, 4, 3))
    for places, exponent in ((solid, 0.0), (flight, 2.0)):
        moved = mean_square_displacement(Trajectory(frames_of(places, [CELL] * 400), time_step=1.0))
        with pytest.warns(
            UserWarning, match=rf"to the power -?{exponent:.1f}.* between 40 and 200 fs: this is no diffusion"
        ):
            found = moved.diffusion()
        assert abs(found.exponent - exponent) < 0.02
    with pytest.raises(ValueError, match=r"three times between them, got 198\.5 and 200 fs"):
        moved.diffusion(begin=198.5)
    one = mean_square_displacement(Trajectory(frames_of(flight, [CELL] * 400), time_step=1.0), atoms=[1])
    with pytest.warns(UserWarning, match="no diffusion"):
        assert one.diffusion().error is None


def test_memory_does_not_grow_with_the_trajectory():
    def run():
        rng = np.random.default_rng(0)
        atoms = Atoms("Ar20", positions=rng.uniform(0, 9, (20, 3)), cell=[9] * 3, pbc=True)
        for _ in range(2000):
            atoms.positions += rng.normal(0, 0.1, (20, 3))
            yield atoms

    import tracemalloc

    mean_square_displacement(Trajectory(run, time_step=1.0)[:500], 100)
    tracemalloc.start()
    mean_square_displacement(Trajectory(run, time_step=1.0)[:500], 100)
    few = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    long = mean_square_displacement(Trajectory(run, time_step=1.0), 100)
    many = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert many < 1.1 * few
    np.testing.assert_allclose(long.diffusion().coefficient, 0.1**2 / 2 * 0.1, rtol=0.1)


def test_what_is_refused():
    trajectory = Trajectory(frames_of(walk(20), [CELL] * 20), time_step=1.0)
    for message, given in [
        ("max_lag must be less than the frames of the trajectory, 20, got 20", {"max_lag": 20}),
        ("max_lag must be less than the frames of a segment, 5, got 6", {"max_lag": 6, "n_segments": 4}),
        ("max_lag must be >= 1, got 0", {"max_lag": 0}),
        ("n_segments must leave two frames to each, got 11 for 20", {"n_segments": 11}),
        ("atoms must be elements of the trajectory, got 'Cu'", {"atoms": "Cu"}),
        ("atoms must be <= 3, got 4", {"atoms": [4]}),
        ("different indices", {"atoms": [1, 1]}),
        ("axes must be some of the letters of 'xyz', got 'xa'", {"axes": "xa"}),
    ]:
        with pytest.raises(ValueError, match=message):
            mean_square_displacement(trajectory, **given)
