"""How far atoms get: mean square displacements, and the diffusion coefficients that follow."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from atomprint.trajectories.correlation import Correlator
from atomprint.trajectories.trajectory import Trajectory, positions_of
from atomprint.util.types import FloatArray
from atomprint.util.validation import check_bool, check_integer, check_real

_CM2_PER_S = 0.1  # 1 Å²/fs
_LINEAR = (0.8, 1.2)


class Diffusion(NamedTuple):
    """A diffusion coefficient.

    Parameters
    ----------
    coefficient : float
        In cm²/s (1e-4 m²/s, 10 Å²/fs).
    error : float or None
        Its standard error; None where there is one sample only.
    exponent : float
        With which power of time displacements grow where the line was fitted: 1 of diffusion, 2 of free flight, 0 of
        atoms that stay at their places.
    begin, end : float
        Between which times the line was fitted, in fs.
    """

    coefficient: float
    error: float | None
    exponent: float
    begin: float
    end: float


@dataclass(frozen=True, eq=False)
class MeanSquareDisplacement:
    """Mean square displacements of atoms, over all times to begin at.

    Parameters
    ----------
    times : ndarray, shape (n_lags,)
        Time between the two frames, from 0 on, in fs.
    samples : ndarray, shape (n_lags, n_samples)
        In Å², of each atom in each segment of the trajectory, one segment after the other.
    n_axes : int
        Along how many axes.
    """

    times: FloatArray
    samples: FloatArray
    n_axes: int

    @property
    def values(self) -> FloatArray:
        """The mean over all atoms and segments, in Å², shape (n_lags,)."""
        return self.samples.mean(axis=1)

    @property
    def errors(self) -> FloatArray:
        """Standard error of the mean, from how samples differ, in Å²; nan of one sample."""
        return _standard_error(self.samples)

    def diffusion(self, begin: float | None = None, end: float | None = None) -> Diffusion:
        """Fit a line, whose slope is 2 d times the diffusion coefficient along d axes (Einstein's relation).

        Parameters
        ----------
        begin, end : float, optional
            Between which times, in fs. Default: a fifth of the longest time, and the longest.

        Returns
        -------
        Diffusion

        Raises
        ------
        ValueError
            If less than three times lie between.

        Warns
        -----
        UserWarning
            If displacements do not grow as the time does: then this is no diffusion yet, or none.

        Notes
        -----
        The error follows from the slopes of single samples: atoms, each in each segment. It takes these for
        independent, while atoms near each other move together, which makes the true error somewhat larger. Of a few
        atoms, take several segments. In a cell of length L a liquid of viscosity η diffuses more slowly than a large
        one, by 2.837 kT / 6π η L.
        """
        longest = float(self.times[-1])
        first = longest / 5 if begin is None else check_real("begin", begin, at_least=0)
        last = longest if end is None else check_real("end", end, above=first)
        slack = 1e-9 * longest
        own = (self.times >= first - slack) & (self.times <= last + slack) & (self.times > 0)
        if own.sum() < 3:
            raise ValueError(f"begin and end must have three times between them, got {first:g} and {last:g} fs")
        times, values = self.times[own], self.values[own]
        centred = times - times.mean()
        slopes = centred @ self.samples[own] / (centred @ centred)
        factor = _CM2_PER_S / (2 * self.n_axes)
        exponent = _exponent(times, values)
        if not _LINEAR[0] <= exponent <= _LINEAR[1]:
            warnings.warn(
                f"displacements grow with time to the power {exponent:.2f} between {first:g} and {last:g} fs: this is "
                "no diffusion, or none yet",
                UserWarning,
                stacklevel=2,
            )
        error = None if len(slopes) < 2 else float(_standard_error(slopes) * factor)
        return Diffusion(float(slopes.mean() * factor), error, exponent, first, last)


def mean_square_displacement(
    trajectory: Trajectory,
    max_lag: int | None = None,
    *,
    atoms: Any = None,
    axes: str = "xyz",
    unwrap: bool = True,
    remove_drift: bool = False,
    n_segments: int = 1,
) -> MeanSquareDisplacement:
    """Compute how far atoms get in some time, over all pairs of frames that are so far apart.

    Frames are read one after the other, and 2 ``max_lag`` of them are kept: 48 bytes for each lag and atom. The time
    grows with the logarithm of ``max_lag`` alone.

    Parameters
    ----------
    trajectory : Trajectory
        The frames.
    max_lag : int, optional
        Longest time, in frames. Default: half of a segment, for which a file is read once more to count the frames.
    atoms : str, sequence of str or sequence of int, optional
        Elements or indices of the atoms. Default: all.
    axes : str
        Along which axes, such as ``"z"`` or ``"xy"``.
    unwrap : bool
        Whether atoms are followed across periodic boundaries, see :func:`unwrapped`. Not needed where positions are not
        wrapped and the cell does not change.
    remove_drift : bool
        Whether the centre of mass of all atoms is held in place.
    n_segments : int
        Into how many parts of equal length the trajectory is cut, each of which has its own mean: samples for errors.

    Returns
    -------
    MeanSquareDisplacement

    Raises
    ------
    ValueError, TypeError
        If an argument or a frame is not usable, or a segment is not longer than ``max_lag``.

    Examples
    --------
    >>> from ase import Atoms
    >>> from atomprint.trajectories import Trajectory, mean_square_displacement
    >>> frames = [Atoms("Ar", [[0.2 * k % 10, 0, 0]], cell=[10] * 3, pbc=True) for k in range(100)]
    >>> moved = mean_square_displacement(Trajectory(frames, time_step=1.0), max_lag=50)
    >>> print(moved.times[-1], moved.values[-1].round(6))  # 0.2 Å/fs for 50 fs
    50.0 100.0
    """
    chosen = trajectory.chosen(atoms)
    columns = _axes(axes)
    check_bool("unwrap", unwrap)
    check_bool("remove_drift", remove_drift)
    correlators = correlated_segments(
        "square",
        (places[:, columns] for places in positions_of(trajectory, chosen, unwrap=unwrap, remove_drift=remove_drift)),
        trajectory,
        max_lag,
        check_integer("n_segments", n_segments, 1),
        (len(chosen), len(columns)),
    )
    samples = np.concatenate([correlator.means() for correlator in correlators], axis=1)
    samples[0] = 0
    return MeanSquareDisplacement(
        trajectory.interval * np.arange(len(samples), dtype=np.float64), samples, len(columns)
    )


def correlated_segments(
    kind: Any, frames: Any, trajectory: Trajectory, max_lag: int | None, n_segments: int, shape: tuple[int, int]
) -> list[Correlator]:
    """Return the sums of each segment of equal length; frames that are left at the end are not used."""
    length = None
    if max_lag is None or n_segments > 1:
        length = trajectory.n_frames // n_segments
        if length < 2:
            raise ValueError(f"n_segments must leave two frames to each, got {n_segments} for {trajectory.n_frames}")
    longest = length // 2 if max_lag is None and length else check_integer("max_lag", max_lag, 1)
    done: list[Correlator] = []
    current = Correlator(kind, longest, shape)
    count = 0
    for vectors in frames:
        current.add(vectors)
        count += 1
        if count == length:
            current.finish()
            done.append(current)
            if len(done) == n_segments:
                break
            current, count = Correlator(kind, longest, shape), 0
    if len(done) < n_segments:
        current.finish()
        done.append(current)
    if not done[-1].counts.all():
        raise ValueError(
            f"max_lag must be less than the frames of {'a segment' if n_segments > 1 else 'the trajectory'}, "
            f"{int(done[-1].counts[0])}, got {longest}"
        )
    return done


def _axes(axes: str) -> list[int]:
    if not isinstance(axes, str) or not axes or len(set(axes)) < len(axes) or not set(axes) <= set("xyz"):
        raise ValueError(f"axes must be some of the letters of 'xyz', got {axes!r}")
    return ["xyz".index(letter) for letter in axes]


def _standard_error(samples: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the standard error of the mean over the last axis."""
    n = samples.shape[-1]
    if n < 2:
        return np.full(samples.shape[:-1], np.nan)
    return np.asarray(samples.std(axis=-1, ddof=1) / np.sqrt(n))


def _exponent(times: FloatArray, values: FloatArray) -> float:
    """Return the slope of values over times on logarithmic axes; 0 where nothing moves."""
    if not (values > 0).all():
        return 0.0
    x = np.log(times)
    x = x - x.mean()
    return float(x @ np.log(values) / (x @ x))
