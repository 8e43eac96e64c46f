"""Velocity autocorrelation and spectra against oscillators that have a formula, and against ASE's vibrations."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.emt import EMT
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS
from ase.vibrations import Vibrations
from scipy.integrate import trapezoid

from atomprint.trajectories import FrameError, Trajectory, velocity_autocorrelation


def oscillators(periods, n_frames=2000, step=1.0, amplitude=0.1):
    """Return atoms that swing along x, each with a period of its own in fs, and start at a phase of its own."""
    phases = np.arange(len(periods)) * 1.3
    frames = []
    for k in range(n_frames):
        angles = 2 * np.pi * k * step / periods + phases
        frame = Atoms("Ar" * len(periods), positions=np.arange(len(periods))[:, None] * [0.0, 3.0, 0.0])
        frame.positions[:, 0] = amplitude * np.sin(angles)
        velocities = np.zeros((len(periods), 3))
        velocities[:, 0] = amplitude * 2 * np.pi / periods * np.cos(angles)
        frame.set_velocities(velocities / units.fs)
        frames.append(frame)
    return Trajectory(frames, time_step=step)


def test_harmonic_oscillators():
    periods = np.array([40.0, 80.0])
    found = velocity_autocorrelation(oscillators(periods), 400)
    speeds = 0.1 * 2 * np.pi / periods
    wanted = 0.5 * speeds**2 * np.cos(2 * np.pi * found.times[:, None] / periods)
    # A mean over phases of a swing that is cut somewhere: right to about a period of the whole.
    np.testing.assert_allclose(found.samples, wanted, atol=0.03 * speeds.max() ** 2)
    np.testing.assert_allclose(found.values, found.samples.mean(axis=1))


@pytest.mark.parametrize("differences", [False, True])
@pytest.mark.parametrize("window", ["hann", "blackman", "none"])
def test_spectra_have_a_peak_at_each_frequency(differences, window):
    periods = np.array([10.0, 25.0])
    trajectory = oscillators(periods)
    spectrum = velocity_autocorrelation(trajectory, 500, differences=differences).spectrum(window)
    width = spectrum.frequencies[1]
    assert width == pytest.approx(1000 / (2 * 500))
    modes = trapezoid(spectrum.density, spectrum.frequencies)
    assert modes == pytest.approx(6)
    shares = []
    for period in periods:
        near = np.abs(spectrum.frequencies - 1000 / period) < 8
        peak = spectrum.frequencies[near][spectrum.density[near].argmax()]
        assert abs(peak - 1000 / period) <= width / 2 + 1e-9
        shares.append(spectrum.density[near].sum() * width / 6)
    # By energy, as the square of the frequency: amplitudes are the same.
    np.testing.assert_allclose(shares, periods**-2 / (periods**-2).sum(), atol=0.02)
    np.testing.assert_allclose(spectrum.wavenumbers[1], 1e12 * width / 2.99792458e10, rtol=1e-9)


def test_differences_correlate_as_velocities_where_frames_are_close():
    trajectory = oscillators(np.array([200.0]))
    found = velocity_autocorrelation(trajectory, 300, differences=True)
    wanted = velocity_autocorrelation(trajectory, 300)
    np.testing.assert_allclose(found.values, wanted.values, atol=2e-3 * wanted.values[0])


def test_a_molecule_vibrates_as_ase_says(tmp_path):
    molecule = Atoms("CO", positions=[[0, 0, 0], [0, 0, 1.15]])
    molecule.calc = EMT()
    BFGS(molecule, logfile=None).run(fmax=1e-4)
    vibrations = Vibrations(molecule, name=str(tmp_path / "vib"))
    vibrations.run()
    wanted = vibrations.get_frequencies().real.max()  # 1/cm
    molecule.set_momenta([[0, 0, 0.05], [0, 0, -0.05]])
    frames = []
    run = VelocityVerlet(molecule, 0.5 * units.fs)
    run.attach(lambda: frames.append(molecule.copy()), interval=2)
    run.run(1000)
    for differences in (False, True):
        spectrum = velocity_autocorrelation(Trajectory(frames, time_step=1.0), 240, differences=differences).spectrum()
        peak = spectrum.wavenumbers[spectrum.density.argmax()]
        assert abs(peak - wanted) < spectrum.wavenumbers[1]


def test_what_is_refused():
    still = Trajectory([Atoms("Ar")] * 5, time_step=1.0)
    with pytest.raises(FrameError, match="frame 0 must have velocities, got none: differences=True takes"):
        velocity_autocorrelation(still, 2)
    found = velocity_autocorrelation(still, 2, differences=True)
    with pytest.raises(ValueError, match="velocities that are not zero"):
        found.spectrum()
    with pytest.raises(ValueError, match="window must be one of 'hann', 'blackman', 'none', got 'hamming'"):
        found.spectrum("hamming")
    with pytest.raises(ValueError, match="max_lag must be less than the frames of the trajectory, 4, got 4"):
        velocity_autocorrelation(still, 4, differences=True)
