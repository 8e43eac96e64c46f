"""Trajectories: the same atoms in frames that come at even times, streamed, and what follows from their motion."""

from typing import TYPE_CHECKING

from atomprint.util.door import door

if TYPE_CHECKING:
    from atomprint.trajectories.correlation import autocorrelation, correlation_time
    from atomprint.trajectories.diffusion import Diffusion, MeanSquareDisplacement, mean_square_displacement
    from atomprint.trajectories.statistics import change_points, rolling
    from atomprint.trajectories.time_series import TimeSeries, WindowError, windows
    from atomprint.trajectories.trajectory import FrameError, Trajectory, unwrapped
    from atomprint.trajectories.velocities import Spectrum, VelocityAutocorrelation, velocity_autocorrelation

__getattr__, __dir__ = door(__name__)

__all__ = [
    "Diffusion",
    "FrameError",
    "MeanSquareDisplacement",
    "Spectrum",
    "TimeSeries",
    "Trajectory",
    "VelocityAutocorrelation",
    "WindowError",
    "autocorrelation",
    "change_points",
    "correlation_time",
    "mean_square_displacement",
    "rolling",
    "unwrapped",
    "velocity_autocorrelation",
    "windows",
]
