"""Molecular dynamics with a potential, by ASE's integrators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms, units

from atomprint.potentials.base import Potential
from atomprint.potentials.simulation.frames import append_frame
from atomprint.potentials.simulation.limits import check_forces
from atomprint.util.files import check_writable
from atomprint.util.progress import Progress, silent
from atomprint.util.types import PathOrStr
from atomprint.util.validation import check_choice, check_integer, check_real

ENSEMBLES = ("nve", "nvt", "npt", "npt-berendsen")
_FRICTION = 0.01  # 1/fs
_TEMPERATURE_TIME, _PRESSURE_TIME = 100.0, 1000.0  # fs
_COMPRESSIBILITY = 0.01  # 1/GPa, of the barostat: a wrong one changes how fast the volume settles, not where
_HOT, _SURELY_HOT = 20.0, 1e4  # times the temperature that is asked for, and K beyond: small cells vary a lot
_WIDE = 10.0  # times the volume at the start


@dataclass(frozen=True)
class Moment:
    """A moment of a run.

    Parameters
    ----------
    step : int
        How many steps have been made.
    time : float
        In ps.
    temperature : float
        In K.
    potential, total : float
        Energies in eV for an atom.
    grade : float
        How far the structure is beyond the training data, if above 1.
    """

    step: int
    time: float
    temperature: float
    potential: float
    total: float
    grade: float


def dynamics(
    potential: Potential,
    atoms: Atoms,
    *,
    steps: int,
    temperature: float = 300.0,
    ensemble: str = "nvt",
    pressure: float = 0.0,
    timestep: float = 1.0,
    done: int = 0,
    every: int = 10,
    look_every: int = 100,
    write: PathOrStr | None = None,
    random_state: int = 0,
    progress: Progress = silent,
) -> list[Moment]:
    """Run molecular dynamics.

    Parameters
    ----------
    potential : Potential
        Fitted.
    atoms : Atoms
        Is moved. It gets velocities if ``done`` is 0, else has them.
    steps : int
        How many steps there are in the end.
    temperature : float
        In K, of the first velocities and of the thermostat.
    ensemble : {"nve", "nvt", "npt", "npt-berendsen"}
        Constant energy; Langevin's thermostat, with which the whole may drift; the barostat of Martyna, Tobias and
        Klein with chains of thermostats, which has the fluctuations of the ensemble; Berendsen's thermostat and
        barostat, whose fluctuations are too small, but which settles a volume that is far off without swinging. The
        shape of the cell stays as it is.
    pressure : float
        In GPa, for the last two.
    timestep : float
        In fs.
    done : int
        How many steps have been made before.
    every, look_every : int
        A frame is written, and a moment is noted, each so many steps.
    write : path, optional
        An extended xyz file to which frames are appended; a run that was killed goes on from its
        :func:`~atomprint.potentials.last_frame`.
    random_state : int
        Seed of velocities and thermostat.
    progress : Progress
        Told how many steps are made.

    Returns
    -------
    list of Moment

    Raises
    ------
    ValueError
        If a number is out of range, or the structure cannot be predicted.
    OSError
        If the file cannot be written, before anything is computed.
    RuntimeError
        If the run explodes: forces beyond 10000 eV/Å or not finite, a temperature 20 times and 10000 K above the one
        asked for, or ten times the volume. The frames before are in the file.
    """
    check_choice("ensemble", ensemble, ENSEMBLES)
    check_real("temperature", temperature, at_least=0)
    check_real("timestep", timestep, above=0)
    check_real("pressure", pressure)
    check_integer("steps", steps, done + 1)
    check_integer("every", every, 1)
    check_integer("look_every", look_every, 1)
    if pressure and not ensemble.startswith("npt"):
        raise ValueError(f"pressure is for ensembles with a barostat, got {pressure:g} GPa for {ensemble!r}")
    if ensemble.startswith("npt"):
        if not (atoms.pbc.all() and atoms.cell.rank == 3):
            raise ValueError(f"ensemble {ensemble!r} is for structures that repeat in three directions")
        check_real("temperature", temperature, above=0)  # by which the thermostat divides
    if write is not None:
        check_writable(write)
    rng = np.random.default_rng([random_state, done])
    atoms.calc = potential.calculator()
    if done == 0:
        _give_velocities(atoms, temperature, rng)
    run = _integrator(ensemble, atoms, timestep * units.fs, temperature, pressure, rng)
    moments: list[Moment] = []
    hottest, widest = _HOT * temperature + _SURELY_HOT, _WIDE * atoms.cell.volume

    def wild(step: int) -> str:
        return f"run has gone wild at step {step}" + (f", after the last frame of {write}" if write else "")

    def look() -> None:
        step = done + int(run.nsteps)
        if step == done > 0:
            return  # the last frame of a run that goes on
        check_forces(atoms, wild(step))
        heat = float(atoms.get_temperature())
        if not heat <= hottest:
            raise RuntimeError(f"the {wild(step)}: atoms have {heat:.3g} K, where {temperature:g} K were asked for")
        if atoms.cell.volume > widest:
            raise RuntimeError(
                f"the {wild(step)}: the cell has {atoms.cell.volume:.3g} Å^3, {_WIDE:g} times as at first"
            )
        if write is not None and (step % every == 0 or step == steps):
            append_frame(write, atoms, step, step * timestep / 1000)
        if step % look_every == 0 or step == steps:
            energy, kinetic = atoms.get_potential_energy() / len(atoms), atoms.get_kinetic_energy() / len(atoms)
            grade = float(np.ravel(potential.grades(atoms)[1])[0])
            moments.append(Moment(step, step * timestep / 1000, heat, energy, energy + kinetic, grade))
            progress("Molecular dynamics", step, steps)

    run.attach(look, interval=1)
    try:
        run.run(steps - done)
    except ValueError as error:  # of the calculator: atoms that are nowhere, or at the same place
        if run.nsteps == 0:
            raise
        raise RuntimeError(f"the {wild(done + int(run.nsteps))}: {error}") from error
    return moments


def _give_velocities(atoms: Atoms, temperature: float, rng: np.random.Generator) -> None:
    """Draw velocities of a temperature, at which the whole neither moves nor, if nothing repeats, turns."""
    masses = atoms.get_masses()[:, None]
    momenta = rng.normal(size=(len(atoms), 3)) * np.sqrt(masses)
    if len(atoms) > 1:
        momenta -= masses / masses.sum() * momenta.sum(axis=0)
    if len(atoms) > 2 and not atoms.pbc.any():
        places = atoms.positions - atoms.get_center_of_mass()
        inertia = np.einsum("i,ij,ik->jk", masses[:, 0], places, places)
        inertia = np.trace(inertia) * np.eye(3) - inertia
        turning = np.linalg.lstsq(inertia, np.cross(places, momenta).sum(axis=0), rcond=1e-8)[0]
        momenta -= masses * np.cross(turning, places)
    kinetic = 0.5 * float(np.sum(momenta**2 / masses))
    if kinetic > 0:
        momenta *= np.sqrt(1.5 * len(atoms) * units.kB * temperature / kinetic)
    atoms.set_momenta(momenta)


def _integrator(ensemble: str, atoms: Atoms, step: float, temperature: float, pressure: float, rng: Any) -> Any:
    from ase.md.langevin import Langevin
    from ase.md.nptberendsen import NPTBerendsen
    from ase.md.verlet import VelocityVerlet

    makers: dict[str, Callable[[], Any]] = {
        "nve": lambda: VelocityVerlet(atoms, step),
        "nvt": lambda: Langevin(
            atoms,
            step,
            temperature_K=temperature,
            friction=_FRICTION / units.fs,
            fixcm=False,  # which would give other fluctuations than those of the ensemble
            rng=rng,
        ),
        "npt": lambda: _martyna(atoms, step, temperature, pressure),
        "npt-berendsen": lambda: NPTBerendsen(
            atoms,
            step,
            temperature_K=temperature,
            pressure_au=pressure * units.GPa,
            taut=_TEMPERATURE_TIME * units.fs,
            taup=_PRESSURE_TIME * units.fs,
            compressibility_au=_COMPRESSIBILITY / units.GPa,
        ),
    }
    return makers[ensemble]()


def _martyna(atoms: Atoms, step: float, temperature: float, pressure: float) -> Any:
    try:
        from ase.md.nose_hoover_chain import IsotropicMTKNPT
    except ImportError:
        from importlib.metadata import version

        raise ImportError(
            f"ensemble 'npt' needs ASE 3.25 or newer, this is {version('ase')}: 'npt-berendsen' works with it"
        ) from None
    if atoms.constraints:
        raise ValueError("ensemble 'npt' is for structures without constraints: 'npt-berendsen' takes them")
    return IsotropicMTKNPT(
        atoms,
        step,
        temperature_K=temperature,
        pressure_au=pressure * units.GPa,
        tdamp=_TEMPERATURE_TIME * units.fs,
        pdamp=_PRESSURE_TIME * units.fs,
    )
