"""Commands that run potentials: relaxation and dynamics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atomprint.cli.console import Force, Trust, console, messages, progress_bar, table
from atomprint.cli.potential.shared import (
    DEFAULT_OUTPUT,
    Model,
    check_place,
    check_species_of,
    load,
    on_cells,
    say,
    told,
    write_structures,
)
from atomprint.util.text import counted
from atomprint.util.validation import check_choice

if TYPE_CHECKING:
    from ase import Atoms

    from atomprint.potentials import Potential

_LINES = 20  # of a run of dynamics


def relax(
    structures: Annotated[list[Path], typer.Argument(help="Structures to relax: CIF, POSCAR, extxyz …")],
    model: Model = DEFAULT_OUTPUT,
    cell: Annotated[
        bool, typer.Option("--cell/--fixed-cell", help="Whether the cell relaxes too, where it repeats.")
    ] = True,
    pressure: Annotated[float, typer.Option("--pressure", help="In GPa, on the cell.")] = 0.0,
    fmax: Annotated[float, typer.Option("--fmax", min=0.0, help="Largest force that is left, in eV/Å.")] = 0.001,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Most steps for each structure.")] = 500,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File for the relaxed structures, in any form that ASE writes."),
    ] = None,
    trust: Trust = None,
    force: Force = False,
) -> None:
    """Relax positions and cells; write the structures with energies, forces, stresses and expected errors."""
    with messages():
        potential = load(model, 1, trust)
        items = _structures(structures, potential)
        place = output or structures[0].with_name(f"{structures[0].name.split('.')[0]}-relaxed.extxyz")
        check_place(place, force)
        _check_form(place)
        from atomprint.potentials import relax as relax_atoms

        rows, relaxed, said = [], [], []
        with progress_bar(patience=1.0) as progress:
            for number, (name, atoms) in enumerate(items):
                progress("Relaxing", number, len(items))
                with told() as warned:
                    found = relax_atoms(potential, atoms, cell=cell, pressure=pressure, fmax=fmax, steps=steps)
                said += [f"{name}: {text}" for text in warned]
                if not found.converged:
                    done = counted(found.n_steps, "step")
                    said.append(f"{name}: not relaxed to {fmax:g} eV/Å after {done} (--steps allows more).")
                if found.grade > 1:
                    said.append(f"{name} is beyond the training data (grade {found.grade:.2g}): expect larger errors.")
                n, own = len(atoms), found.atoms
                own.info |= {"energy_std": found.energy_std, "grade": found.grade}
                volume = f"{own.get_volume() / n:.4f}" if own.pbc.any() and own.cell.rank == 3 else "–"
                numbers = (
                    f"{own.get_potential_energy():.4f}",
                    f"{found.gained:.4f}",
                    f"{1000 * found.energy_std / n:.2g}",
                )
                rows.append((name, *numbers, volume, f"{found.n_steps}"))
                relaxed.append(own)
        write_structures(place, relaxed)
        if cell and any(own.pbc.any() for own in relaxed):
            said += on_cells(potential)
        heads = ("", "energy\neV", "gained\neV", "expected error\nmeV/atom", "volume\nÅ^3/atom", "steps")
        console.print(table(heads, rows, 1, one_line=True))
        say((), list(dict.fromkeys(said)))
        console.print(f"Wrote {place}", soft_wrap=True)


def md(
    structure: Annotated[Path, typer.Argument(help="The structure to begin with; of several, the last.")],
    model: Model = DEFAULT_OUTPUT,
    temperature: Annotated[float, typer.Option("--temperature", "-T", min=0.0, help="In K.")] = 300.0,
    ensemble: Annotated[
        str, typer.Option("--ensemble", help="nve, nvt (Langevin), npt (Martyna-Tobias-Klein) or npt-berendsen.")
    ] = "nvt",
    pressure: Annotated[float, typer.Option("--pressure", help="In GPa, for npt.")] = 0.0,
    steps: Annotated[int, typer.Option("--steps", min=1, help="How many steps.")] = 1000,
    timestep: Annotated[float, typer.Option("--timestep", min=0.0, help="In fs.")] = 1.0,
    repeat: Annotated[int, typer.Option("--repeat", min=1, help="Repeat the cell so often along each vector.")] = 1,
    every: Annotated[int, typer.Option("--every", min=1, help="Write each so many steps.")] = 10,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Extended xyz file for the frames.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of velocities and of the thermostat.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last frame of the output file.")] = False,
    trust: Trust = None,
    force: Force = False,
) -> None:
    """Run molecular dynamics; write frames with energies, forces and velocities."""
    with messages("the frames so far are in the file, and --resume goes on from the last"):
        from atomprint.potentials import dynamics, last_frame
        from atomprint.potentials.simulation.dynamics import ENSEMBLES

        check_choice("--ensemble", ensemble, ENSEMBLES)
        if timestep <= 0:
            raise ValueError(f"--timestep must be above 0, got {timestep:g}")
        potential = load(model, 1, trust)
        place = output or structure.with_name(f"{structure.name.split('.')[0]}-md.extxyz")
        if place.suffix not in (".extxyz", ".xyz"):
            raise ValueError(f"--output must end in .extxyz, got {place.name!r}")
        if resume:
            if not place.exists():
                raise FileNotFoundError(f"--resume: no such file: {str(place)!r}")
            atoms, done = last_frame(place)
            before = 1000 * atoms.info.get("time_ps", done * timestep / 1000) / max(done, 1)
            if done and abs(before - timestep) > 1e-6 * timestep:
                raise ValueError(f"--timestep must be {before:g}, as of the steps in {place.name}, got {timestep:g}")
        else:
            check_place(place, force)
            atoms, done = _structures([structure], potential)[-1][1], 0
            if repeat > 1:
                atoms = atoms.repeat([repeat if periodic else 1 for periodic in atoms.pbc])
        if done >= steps:
            raise ValueError(f"--steps must be above {done}, where {place.name} ends, got {steps}")
        if not done:
            place.unlink(missing_ok=True)
        with progress_bar(patience=1.0) as progress, told() as said:
            moments = dynamics(
                potential,
                atoms,
                steps=steps,
                temperature=temperature,
                ensemble=ensemble,
                pressure=pressure,
                timestep=timestep,
                done=done,
                every=every,
                look_every=max(1, (steps - done) // _LINES),
                write=place,
                random_state=seed,
                progress=progress,
            )
        rows = [
            (
                f"{moment.step:,}",
                f"{moment.time:.3f}",
                f"{moment.temperature:.0f}",
                f"{moment.potential:.5f}",
                f"{moment.total:.5f}",
                f"{moment.grade:.2f}",
            )
            for moment in moments
        ]
        if (grade := max(moment.grade for moment in moments)) > 1:
            said.append(f"the run went beyond the training data (grade up to {grade:.2g}): expect larger errors there.")
        if ensemble.startswith("npt"):
            said += on_cells(potential)
        heads = ("step", "time\nps", "temperature\nK", "potential energy\neV/atom", "total energy\neV/atom", "grade")
        console.print(table(heads, rows, 0))
        say((), list(dict.fromkeys(said)))
        console.print(f"Wrote {place}", soft_wrap=True)


def _structures(paths: Sequence[Path], potential: Potential) -> list[tuple[str, Atoms]]:
    """Return the structures of files by names, as Atoms of one's own, of elements that a potential knows."""
    from ase.data import chemical_symbols

    from atomprint.structures import as_batch, read_structures

    found = []
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(2, "no such file", str(path))
        atoms = read_structures(path)
        found += [(path.name if len(atoms) == 1 else f"{path.name}#{k}", item) for k, item in enumerate(atoms)]
    batch = as_batch([item for _, item in found], periodic=None)
    known = [chemical_symbols[z] for z in potential.model_.species]
    for s, (name, _) in enumerate(found):
        numbers = batch.numbers[batch.offsets[s] : batch.offsets[s + 1]]
        check_species_of(name, [chemical_symbols[z] for z in sorted({*numbers.tolist()})], known)
    return [(name, atoms) for (name, _), atoms in zip(found, batch, strict=True)]


def _check_form(place: Path) -> None:
    """Raise, before any work, if ASE knows no form by the ending of a file."""
    from ase.io.formats import UnknownFileTypeError, filetype, ioformats

    if place.suffix in (".extxyz", ".xyz"):
        return
    try:
        form = ioformats.get(filetype(place.name, read=False))
    except UnknownFileTypeError:
        form = None
    if form is None or not form.can_write:
        raise ValueError(f"--output must end in .extxyz, .cif, .vasp or what else ASE writes, got {place.name!r}")
