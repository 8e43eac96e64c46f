"""Relaxation and dynamics with a potential, by ASE's optimisers and integrators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units

from atomprint.potentials.base import Potential
from atomprint.util.progress import Progress, silent
from atomprint.util.types import PathOrStr
from atomprint.util.validation import check_choice, check_integer, check_real

ENSEMBLES = ("nve", "nvt", "npt")
_FRICTION = 0.01  # 1/fs
_TEMPERATURE_TIME, _PRESSURE_TIME = 100.0, 1000.0  # fs
_COMPRESSIBILITY = 0.01  # 1/GPa, of the barostat: a wrong one changes how fast the volume settles, not where
_LOST = 1e4  # eV/Å: no force of matter


@dataclass(frozen=True)
class Relaxed:
    """A structure that was relaxed.

    Parameters
    ----------
    atoms : Atoms
        With the calculator.
    converged : bool
        Whether forces (and stresses) came below what was asked for.
    n_steps : int
        How many steps it took.
    gained : float
        By how much the energy fell, in eV.
    energy_std, grade : float
        Expected error of the energy in eV, and how far it is beyond the training data, if above 1.
    """

    atoms: Atoms
    converged: bool
    n_steps: int
    gained: float
    energy_std: float
    grade: float


def relax(
    potential: Potential,
    atoms: Atoms,
    *,
    cell: bool = True,
    pressure: float = 0.0,
    fmax: float = 0.001,
    steps: int = 500,
) -> Relaxed:
    """Relax positions and, where it repeats, the cell.

    Parameters
    ----------
    potential : Potential
        Fitted.
    atoms : Atoms
        Is not changed.
    cell : bool
        Whether the cell relaxes too, along the vectors that repeat.
    pressure : float
        On the cell, in GPa.
    fmax : float
        Largest force that is left, in eV/Å; of a cell also the largest stress times the volume for an atom.
    steps : int
        Most steps.

    Raises
    ------
    ValueError
        If a number is out of range, or the structure cannot be predicted.
    RuntimeError
        If atoms run away: forces beyond 10000 eV/Å.
    """
    from ase.filters import FrechetCellFilter
    from ase.optimize import FIRE, LBFGS

    check_real("fmax", fmax, above=0)
    check_integer("steps", steps, 1)
    check_real("pressure", pressure)
    atoms = atoms.copy()
    atoms.calc = potential.calculator()
    before = float(atoms.get_potential_energy())
    moves: Any = atoms
    if cell and atoms.pbc.any() and atoms.cell.rank == 3:
        mask = np.outer(atoms.pbc, atoms.pbc)
        moves = FrechetCellFilter(atoms, mask=mask, scalar_pressure=pressure * units.GPa)
    n_steps, converged = 0, False
    # Most structures are near a minimum, where LBFGS is fastest; FIRE goes on from where it does not arrive.
    for optimiser, share in ((LBFGS, 0.6), (FIRE, 1.0)):
        left = steps - n_steps if share == 1.0 else max(1, round(share * steps))
        if converged or left < 1:
            break
        run = optimiser(moves, logfile=None)
        run.attach(lambda: _check_whole(atoms, "relaxation"))
        converged = bool(run.run(fmax=fmax, steps=left))
        n_steps += int(run.nsteps)
    std, grade = (float(np.ravel(value)[0]) for value in potential.grades(atoms))
    return Relaxed(atoms, converged, n_steps, before - float(atoms.get_potential_energy()), std, grade)


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
    ensemble : {"nve", "nvt", "npt"}
        Constant energy; Langevin's thermostat; Berendsen's thermostat and barostat.
    pressure : float
        In GPa, for ``"npt"``.
    timestep : float
        In fs.
    done : int
        How many steps have been made before.
    every, look_every : int
        A frame is written, and a moment is noted, each so many steps.
    write : path, optional
        An extended xyz file to which frames are appended.
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
    RuntimeError
        If the run explodes.
    """
    from ase.io import write as write_atoms

    check_choice("ensemble", ensemble, ENSEMBLES)
    check_real("temperature", temperature, at_least=0)
    check_real("timestep", timestep, above=0)
    check_real("pressure", pressure)
    check_integer("steps", steps, done + 1)
    if ensemble == "npt" and not (atoms.pbc.all() and atoms.cell.rank == 3):
        raise ValueError("ensemble 'npt' is for structures that repeat in three directions")
    if ensemble == "npt":
        check_real("temperature", temperature, above=0)  # by which the thermostat divides
    rng = np.random.default_rng([random_state, done])
    atoms.calc = potential.calculator()
    if done == 0:
        _give_velocities(atoms, temperature, rng)
    run = _integrator(ensemble, atoms, timestep * units.fs, temperature, pressure, rng)
    moments: list[Moment] = []

    def look() -> None:
        step = done + int(run.nsteps)
        if step == done > 0:
            return  # the last frame of a run that goes on
        if write is not None and (step % every == 0 or step == steps):
            frame = atoms.copy()
            frame.calc = atoms.calc
            frame.info |= {"step": step, "time_ps": step * timestep / 1000}
            write_atoms(Path(write), frame, format="extxyz", append=True)
        if step % look_every == 0 or step == steps:
            _check_whole(atoms, f"run, at step {step}")
            energy, kinetic = atoms.get_potential_energy() / len(atoms), atoms.get_kinetic_energy() / len(atoms)
            grade = float(np.ravel(potential.grades(atoms)[1])[0])
            time = step * timestep / 1000
            moments.append(Moment(step, time, float(atoms.get_temperature()), energy, energy + kinetic, grade))
            progress("Molecular dynamics", step, steps)

    run.attach(look, interval=1)
    run.run(steps - done)
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
            fixcm=len(atoms) > 1,  # which a lone atom is
            rng=rng,
        ),
        "npt": lambda: NPTBerendsen(
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


def _check_whole(atoms: Atoms, what: str) -> None:
    """Raise if atoms run away."""
    force = float(np.abs(atoms.get_forces(apply_constraint=False)).max())
    if not force < _LOST:
        raise RuntimeError(
            f"the {what} has gone wild: a force is {force:.3g} eV/Å. The structure may be far from the training "
            "data, or the steps too long"
        )
