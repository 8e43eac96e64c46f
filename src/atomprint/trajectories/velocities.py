"""How long atoms remember their velocities, and the spectrum of their vibrations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.units import fs

from atomprint.trajectories.diffusion import correlated_segments
from atomprint.trajectories.trajectory import FrameError, Trajectory, positions_of
from atomprint.util.types import FloatArray
from atomprint.util.validation import check_bool, check_choice, check_integer

_THZ = 1000.0  # of 1/fs
_WAVENUMBER = 33.35640951981521  # 1/cm of a THz
_WINDOWS = ("hann", "blackman", "none")


@dataclass(frozen=True, eq=False)
class Spectrum:
    """A density of vibrational states.

    Parameters
    ----------
    frequencies : ndarray, shape (n_frequencies,)
        From 0 to the highest that the time between frames lets one see, in THz.
    density : ndarray, shape (n_frequencies,)
        Modes in a THz. Over all frequencies it sums up to 3 for each atom.
    """

    frequencies: FloatArray
    density: FloatArray

    @property
    def wavenumbers(self) -> FloatArray:
        """The frequencies, in 1/cm."""
        return self.frequencies * _WAVENUMBER


@dataclass(frozen=True, eq=False)
class VelocityAutocorrelation:
    """Correlation of the velocities of atoms with those some time later, over all times to begin at.

    Parameters
    ----------
    times : ndarray, shape (n_lags,)
        In fs, from 0 on.
    samples : ndarray, shape (n_lags, n_atoms)
        Mean of v(t) · v(t + time) of each atom, in Å²/fs².
    masses : ndarray, shape (n_atoms,)
        In u.
    differences : bool
        Whether velocities are differences of positions.
    """

    times: FloatArray
    samples: FloatArray
    masses: FloatArray
    differences: bool = False

    @property
    def values(self) -> FloatArray:
        """The mean over atoms, in Å²/fs², shape (n_lags,)."""
        return self.samples.mean(axis=1)

    def spectrum(self, window: str = "hann") -> Spectrum:
        r"""Return the density of vibrational states: the cosine transform, each atom weighted with its mass.

        Parameters
        ----------
        window : {"hann", "blackman", "none"}
            By which the correlation is taken to zero at the longest lag: it widens peaks to about 1 / longest time
            (1.5 with Blackman's), and keeps what is cut off from making ripples around them.

        Returns
        -------
        Spectrum

        Notes
        -----
        At equilibrium each mode has the same energy, and the density says how many there are at each frequency. It is
        not a spectrum of absorption, which weighs modes by what they do to dipoles. Differences of positions damp what
        moves fast by :math:`(\sin x / x)^2, x = \pi \nu \Delta t`, which is taken out again. Of two atoms and more that
        neither drift nor turn as a whole, no modes are missing: the others count more.
        """
        check_choice("window", window, _WINDOWS)
        from scipy.fft import dct

        n = len(self.times)
        phase = np.pi * np.arange(n) / max(n - 1, 1)
        taper = {
            "hann": 0.5 + 0.5 * np.cos(phase),
            "blackman": 0.42 + 0.5 * np.cos(phase) + 0.08 * np.cos(2 * phase),
            "none": np.ones(n),
        }[window]
        correlated = self.samples @ self.masses
        if n < 3 or not correlated[0] > 0:
            raise ValueError("a spectrum must be of velocities that are not zero at two lags at least, besides 0")
        step = self.times[1]
        density = np.asarray(dct(taper * correlated, type=1)) * 2 * step / correlated[0]
        frequencies = np.arange(n) / (2 * (n - 1) * step)
        width = frequencies[1]
        if self.differences:
            density /= np.sinc(frequencies * step) ** 2
        ends = np.ones(n)
        ends[[0, -1]] = 0.5
        density *= 3 * self.samples.shape[1] / (width * _THZ * (ends @ density))
        return Spectrum(frequencies * _THZ, density)


def velocity_autocorrelation(
    trajectory: Trajectory,
    max_lag: int | None = None,
    *,
    atoms: Any = None,
    differences: bool = False,
) -> VelocityAutocorrelation:
    """Correlate the velocities of atoms with those some time later.

    Frames are read one after the other, and 2 ``max_lag`` of them are kept.

    Parameters
    ----------
    trajectory : Trajectory
        Frames with velocities (or momenta).
    max_lag : int, optional
        Longest lag, in frames. Default: half of the frames.
    atoms : str, sequence of str or sequence of int, optional
        Elements or indices of the atoms. Default: all.
    differences : bool
        Whether velocities are those between frames, differences of positions that are followed across periodic
        boundaries: for files that have no velocities. Frames then have to come several times in the shortest period.

    Returns
    -------
    VelocityAutocorrelation

    Raises
    ------
    ValueError, TypeError
        If an argument or a frame is not usable, or frames have no velocities.
    """
    chosen = trajectory.chosen(atoms)
    if check_bool("differences", differences):
        found = _differences(trajectory, chosen)
        if max_lag is None:
            max_lag = max(1, (trajectory.n_frames - 1) // 2)
    else:
        found = _velocities(trajectory, chosen)
    if max_lag is not None:
        check_integer("max_lag", max_lag, 1)
    (correlator,) = correlated_segments("product", found, trajectory, max_lag, 1, (len(chosen), 3))
    samples = correlator.means()
    times = trajectory.interval * np.arange(len(samples), dtype=np.float64)
    return VelocityAutocorrelation(times, samples, trajectory.first.get_masses()[chosen], differences)


def _velocities(trajectory: Trajectory, atoms: Any) -> Iterator[FloatArray]:
    for index, frame in enumerate(trajectory):
        if "momenta" not in frame.arrays:
            rule = "must have velocities, got none: differences=True takes those between frames"
            raise FrameError(trajectory.start + trajectory.every * index, None, rule)
        velocities = frame.get_velocities()[atoms] * fs
        if not np.isfinite(velocities).all():
            raise FrameError(trajectory.start + trajectory.every * index, None, "must have velocities that are finite")
        yield velocities


def _differences(trajectory: Trajectory, atoms: Any) -> Iterator[FloatArray]:
    before = None
    for places in positions_of(trajectory, atoms):
        if before is not None:
            yield (places - before) / trajectory.interval
        before = places
