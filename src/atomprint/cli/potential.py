"""``atomprint potential``: fit, evaluate, look at and run interatomic potentials."""

from __future__ import annotations

import json
import re
import shlex
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atomprint.cli.console import GOES_ON, Force, Jobs, console, messages, progress_bar, styled, table
from atomprint.util.files import check_writable
from atomprint.util.text import counted
from atomprint.util.validation import check_choice, meant

if TYPE_CHECKING:
    from ase import Atoms

    from atomprint.potentials import LabelledStructures, Potential
    from atomprint.potentials.report.comparison import Comparison

app = typer.Typer(
    help="Interatomic potentials: fitted to energies, forces and stresses, and run.", no_args_is_help=True
)

DEFAULT_OUTPUT = Path("atomprint-potential")
_LINES = 20  # of a run of dynamics

Model = Annotated[Path, typer.Option("--model", "-m", help="A potential that was fitted, or its folder.")]
EnergyKey = Annotated[list[str] | None, typer.Option("--energy-key", help="Key of energies; '' uses none.")]
ForcesKey = Annotated[list[str] | None, typer.Option("--forces-key", help="Key of forces; '' uses none.")]
StressKey = Annotated[list[str] | None, typer.Option("--stress-key", help="Key of stresses or virials; '' uses none.")]
Convention = Annotated[
    str | None,
    typer.Option(
        "--stress-convention",
        help="What the numbers of the stress key are: stress (eV/Å^3, positive in tension), -stress, virial (eV, -V "
        "times that), -virial.",
    ),
]
ConfigKey = Annotated[str | None, typer.Option("--config-key", help="Key of the type of configuration.")]
MaxForce = Annotated[
    float, typer.Option("--max-force", help="Structures with a force beyond this, in eV/Å, are not used; inf uses all.")
]
Skip = Annotated[bool, typer.Option("--skip", help="Leave out structures that cannot be read, and say which.")]


@app.command()
def fit(
    data: Annotated[
        list[Path], typer.Argument(help="Structures with energies, forces or stresses: extxyz, ASE's trajectories …")
    ],
    model: Annotated[
        str, typer.Option("--model", help="ace: linear atomic cluster expansion; gap: sparse Gaussian process.")
    ] = "ace",
    test: Annotated[
        list[Path] | None,
        typer.Option("--test", help="Structures to test on, which are not fitted to; may be repeated."),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")] = DEFAULT_OUTPUT,
    energy_key: EnergyKey = None,
    forces_key: ForcesKey = None,
    stress_key: StressKey = None,
    stress_convention: Convention = None,
    config_key: ConfigKey = None,
    cutoff: Annotated[float | None, typer.Option("--cutoff", help="How far atoms see each other, in Å.")] = None,
    reference: Annotated[
        list[str] | None,
        typer.Option(
            "--reference", metavar="ELEMENT=EV", help="Energy of an atom alone, in eV; may be repeated. Or: fitted."
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", metavar="PARAMETER=VALUE", help="Another parameter, such as size=large."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of everything that is random.")] = 0,
    jobs: Jobs = None,
    max_force: MaxForce = 200.0,
    skip: Skip = False,
    force: Force = False,
) -> None:
    """Fit a potential to energies, forces and stresses; write it with a report."""
    with messages(GOES_ON):
        from atomprint.potentials.report.run import FILES, fit_potential
        from atomprint.util.files import WholeFolder

        keys = {"energy_key": energy_key, "forces_key": forces_key, "stress_key": stress_key}
        options = {name: _as_key(key) for name, key in keys.items()}
        options |= {"stress_convention": stress_convention, "config_key": config_key}
        options["max_force"] = None if max_force == float("inf") else max_force
        potential = _made(model, cutoff, _references(reference), changes or (), seed, 1 if jobs is None else jobs)
        with WholeFolder(output, force=force, own=FILES) as place, progress_bar() as progress:
            progress("Reading data", 0, None)
            labels = _read(data, options, skip)
            console.print(f"{labels.summary()}.", soft_wrap=True)
            _say(labels.notes, labels.warnings)
            tests = {}
            for number, path in enumerate(test or ()):
                name = "test set" if len(test or ()) == 1 else f"test set {number + 1} ({path.name})"
                tests[name] = _read([path], options | {"config_key": config_key}, skip)
                _say((), [f"{name}: {warning}" for warning in tests[name].warnings])
                _check_species(tests[name], labels, name)
            names = ", ".join(path.name for path in data)
            settings = {"data": names, "test": ", ".join(str(path) for path in test or ()) or "none", "model": model}
            run = fit_potential(
                potential,
                labels,
                tests,
                title=f"Potential from {names}",
                settings={**settings, "seed": seed},
                progress=progress,
                keep=place.kept,
            )
            progress("Report", 0, None)
            files = run.write(place)
        _show(run.report.comparisons)
        _say((), [text for text in run.report.warnings if text not in labels.warnings])
        if run.report.speed is not None:
            console.print(
                f"A step takes {run.report.speed.microseconds:.3g} µs an atom on one core "
                f"({counted(run.potential.model_.terms.n_functions, 'function')}).",
                style="dim",
            )
        folder = files["report.html"].parent
        where = "" if folder == DEFAULT_OUTPUT else f" --model {shlex.quote(str(folder))}"
        console.print(styled(("report", "bold"), "  ", str(files["report.html"])), soft_wrap=True)
        console.print(
            styled(("  next", "bold"), "  ", f"atomprint potential relax structure.cif{where}"), soft_wrap=True
        )


@app.command()
def evaluate(
    data: Annotated[list[Path], typer.Argument(help="Structures with energies, forces or stresses.")],
    model: Model = DEFAULT_OUTPUT,
    energy_key: EnergyKey = None,
    forces_key: ForcesKey = None,
    stress_key: StressKey = None,
    stress_convention: Convention = None,
    config_key: ConfigKey = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="JSON file for the figures, or extxyz file for predictions.")
    ] = None,
    skip: Skip = False,
    jobs: Jobs = None,
    force: Force = False,
) -> None:
    """Compare a potential with energies, forces and stresses that it was not fitted to."""
    with messages():
        from atomprint.potentials.report.comparison import compare
        from atomprint.util.files import write_atomically

        if output is not None and output.suffix not in (".json", ".extxyz", ".xyz"):
            raise ValueError(f"--output must end in .json or .extxyz, got {output.name!r}")
        if output is not None:
            _check_place(output, force)
        potential = _loaded(model, jobs)
        keys = {"energy_key": energy_key, "forces_key": forces_key, "stress_key": stress_key}
        options = {name: _as_key(key) for name, key in keys.items()}
        options |= {"stress_convention": stress_convention, "config_key": config_key}
        labels = _read(data, options, skip)
        console.print(f"{labels.summary()}.", soft_wrap=True)
        _say(labels.notes, [*labels.warnings, *_other_keys(potential, labels)])
        with progress_bar(patience=1.0) as progress, _told() as said:
            progress("Predicting", 0, None)
            found = compare(potential, labels, "these structures")
        _show([found])
        _show_kinds(found)
        _say((), said)
        if output is not None:
            if output.suffix == ".json":
                write_atomically(output, json.dumps(found.to_dict(), indent=1, ensure_ascii=False) + "\n")
            else:
                _write_predictions(output, found)
            console.print(f"Wrote {output}", soft_wrap=True)


@app.command()
def info(
    model: Annotated[Path, typer.Argument(help="A potential that was fitted, or its folder.")] = DEFAULT_OUTPUT,
    everything: Annotated[bool, typer.Option("--json", help="Print all that is known of it, as JSON.")] = False,
) -> None:
    """Show what a potential was fitted to, how good it is, and what is in its file."""
    with messages():
        from dataclasses import asdict

        from ase.data import chemical_symbols

        potential = _loaded(model, None)
        fitted = potential.model_
        if everything:
            from atomprint.util.plain import plain

            told = {
                "class": type(potential).__name__,
                "parameters": potential.get_params(deep=False),
                "n_functions": fitted.terms.n_functions,
                "cutoff": fitted.cutoff,
                "species": [chemical_symbols[z] for z in fitted.species],
                "references": {chemical_symbols[z]: energy for z, energy in fitted.reference_energies.items()},
                "hyperparameters": asdict(fitted.hyperparameters),
                "training": fitted.summary,
            }
            print(json.dumps(plain(told), indent=1, ensure_ascii=False))
            return
        for head, text in _card(potential, model):
            console.print(styled((f"{head:>10}", "bold"), "  ", text), soft_wrap=True)


@app.command()
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
    force: Force = False,
) -> None:
    """Relax positions and cells; write the structures with energies, forces, stresses and expected errors."""
    with messages():
        potential, items = _loaded(model, 1), _structures(structures)
        place = output or structures[0].with_name(f"{structures[0].name.split('.')[0]}-relaxed.extxyz")
        _check_place(place, force)
        _check_form(place)
        from atomprint.potentials import relax as relax_atoms

        rows, relaxed, said = [], [], []
        with progress_bar(patience=1.0) as progress:
            for number, (name, atoms) in enumerate(items):
                progress("Relaxing", number, len(items))
                with _told() as warned:
                    found = relax_atoms(potential, atoms, cell=cell, pressure=pressure, fmax=fmax, steps=steps)
                said += [f"{name}: {text}" for text in warned]
                if not found.converged:
                    said.append(
                        f"{name}: not relaxed to {fmax:g} eV/Å after {found.n_steps} steps (--steps allows more)."
                    )
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
        _write(place, relaxed)
        heads = ("", "energy\neV", "gained\neV", "expected error\nmeV/atom", "volume\nÅ^3/atom", "steps")
        console.print(table(heads, rows, 1, one_line=True))
        _say((), list(dict.fromkeys(said)))
        console.print(f"Wrote {place}", soft_wrap=True)


@app.command()
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
    force: Force = False,
) -> None:
    """Run molecular dynamics; write frames with energies, forces and velocities."""
    with messages("the frames so far are in the file, and --resume goes on from the last"):
        from atomprint.potentials import dynamics, last_frame
        from atomprint.potentials.simulation.dynamics import ENSEMBLES

        check_choice("--ensemble", ensemble, ENSEMBLES)
        if timestep <= 0:
            raise ValueError(f"--timestep must be above 0, got {timestep:g}")
        potential = _loaded(model, 1)
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
            _check_place(place, force)
            atoms, done = _structures([structure])[-1][1], 0
            if repeat > 1:
                atoms = atoms.repeat([repeat if periodic else 1 for periodic in atoms.pbc])
        if done >= steps:
            raise ValueError(f"--steps must be above {done}, where {place.name} ends, got {steps}")
        if not done:
            place.unlink(missing_ok=True)
        with progress_bar(patience=1.0) as progress, _told() as said:
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
        heads = ("step", "time\nps", "temperature\nK", "potential energy\neV/atom", "total energy\neV/atom", "grade")
        console.print(table(heads, rows, 0))
        _say((), list(dict.fromkeys(said)))
        console.print(f"Wrote {place}", soft_wrap=True)


def _made(model: str, cutoff: float | None, references: Any, changes: Sequence[str], seed: int, jobs: int) -> Potential:
    """Return a potential with parameters, not fitted."""
    from atomprint.potentials import LinearACE, Solver, SparseGP

    kinds: dict[str, Any] = {"ace": LinearACE, "gap": SparseGP}
    kind = kinds[check_choice("--model", model, tuple(kinds))]
    common: dict[str, Any] = {"references": references, "solver": Solver(random_state=seed), "n_jobs": jobs}
    given: dict[str, Any] = {"r_cut": cutoff}
    names = [name for name in kind._get_param_names() if name not in {*common, "r_cut", "ace", "soap"}]
    for change in changes:
        name, sign, text = change.partition("=")
        if not sign or name not in names:
            listed = ", ".join(f"{each}=…" for each in names)
            raise ValueError(f"--set must be one of {listed}, got {change!r}{meant(name, names)}")
        try:
            given[name] = json.loads(text)
        except ValueError:
            given[name] = text
    made: Potential = kind(**given, **common)
    return made


def _references(given: Sequence[str] | None) -> Any:
    """Return reference energies from options."""
    if not given:
        return None
    if list(given) == ["fitted"]:
        return "fitted"
    found = {}
    for text in given:
        symbol, sign, number = text.partition("=")
        try:
            found[symbol.strip()] = float(number)
        except ValueError:
            sign = ""
        if not sign:
            raise ValueError(f"--reference must be like Si=-0.81, or 'fitted', got {text!r}")
    return found


def _as_key(given: Sequence[str] | None) -> Any:
    """Return a key from an option that may be repeated; one alone as a word."""
    return None if not given else given[0] if len(given) == 1 else tuple(given)


def _read(paths: Sequence[Path], options: dict[str, Any], skip: bool) -> LabelledStructures:
    from atomprint.potentials import read_labels

    for path in paths:
        if not path.exists():
            raise FileNotFoundError(2, "no such file", str(path))
    try:
        return read_labels(list(paths), on_error="skip" if skip else "raise", **options)
    except ValueError as error:
        raise ValueError(_as_options(str(error))) from error


def _as_options(text: str) -> str:
    """Return a message on arguments as one on the options that give them."""
    text = re.sub(r"(\w+)_key=\('([^']*)', '([^']*)'\)", r"--\1-key \2 --\1-key \3", text)
    text = re.sub(r"(\w+)_(key|convention)=", r"--\1-\2=", text)
    return re.sub(r"(?<!\w)(energy|forces|stress|config)_(key|convention)\b", r"--\1-\2", text)


def _say(notes: Sequence[str], warnings: Sequence[str]) -> None:
    for text in notes:
        console.print(text, style="dim", soft_wrap=True)
    for text in warnings:
        console.print(f"Warning: {text}", style="yellow", soft_wrap=True)


@contextmanager
def _told() -> Iterator[list[str]]:
    """Collect warnings, each once, to be shown at the end."""
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield said
    said += dict.fromkeys(str(each.message) for each in caught if issubclass(each.category, UserWarning))


def _check_species(test: LabelledStructures, labels: LabelledStructures, name: str) -> None:
    if unknown := [symbol for symbol in test.species if symbol not in labels.species]:
        raise ValueError(
            f"the {name} has {', '.join(unknown)}, which the training data do not have: these have "
            f"{', '.join(labels.species)}"
        )


def _loaded(path: Path, jobs: int | None) -> Potential:
    from atomprint.potentials import load_potential
    from atomprint.potentials.report.run import MODEL_FILE

    if path.is_dir():
        path = path / MODEL_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"no potential at {path}: fit one (atomprint potential fit), or say where it is (--model)"
        )
    potential = load_potential(path)
    return potential if jobs is None else potential.set_params(n_jobs=jobs)


def _structures(paths: Sequence[Path]) -> list[tuple[str, Atoms]]:
    """Return the structures of files by names, as Atoms of one's own."""
    from atomprint.structures import as_batch, read_structures

    found = []
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(2, "no such file", str(path))
        atoms = read_structures(path)
        found += [(path.name if len(atoms) == 1 else f"{path.name}#{k}", item) for k, item in enumerate(atoms)]
    batch = as_batch([item for _, item in found], periodic=None)
    return [(name, atoms) for (name, _), atoms in zip(found, batch, strict=True)]


def _check_place(place: Path, force: bool) -> None:
    if place.exists() and not force:
        raise FileExistsError(f"{place} is there already; --force replaces it")
    check_writable(place)


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


def _write(place: Path, structures: Sequence[Atoms]) -> None:
    from ase.io import write

    from atomprint.util.files import written_atomically

    with written_atomically(place) as temporary:
        if place.suffix in (".extxyz", ".xyz"):
            write(temporary, list(structures), format="extxyz")
        else:
            from ase.io.formats import filetype

            write(temporary, list(structures), format=filetype(place.name, read=False))


def _show(comparisons: Sequence[Comparison]) -> None:
    """Print the errors of each comparison."""
    from atomprint.potentials.report.comparison import QUANTITIES

    if not comparisons:
        console.print(
            "There are too few structures to leave some out: how large errors are is not known.", style="yellow"
        )
        return
    rows = []
    for comparison in comparisons:
        for quantity in QUANTITIES:
            if (found := comparison.figures().get(quantity.name)) is not None:
                numbers = (f"{value:.3g}" for value in (found.mae, found.rmse, found.largest))
                rows.append((comparison.title, f"{quantity.title} ({quantity.unit})", *numbers, f"{found.n:,}"))
    console.print(table(("", "", "MAE", "RMSE", "largest", "values"), rows, 2))


def _other_keys(potential: Potential, labels: LabelledStructures) -> list[str]:
    """Return in sentences which labels are under other keys than those that were fitted to."""
    fitted = potential.model_.summary.get("keys", {})
    return [
        f"{kind} is that of {key!r}, and the potential was fitted to {fitted[kind]!r}: is it the same?"
        for kind, key in labels.keys.items()
        if kind != "config_type" and fitted.get(kind, key) != key
    ]


def _show_kinds(comparison: Comparison) -> None:
    """Print the errors of each type of configuration."""
    from atomprint.potentials.report.comparison import QUANTITIES

    kinds = comparison.by_kind()
    if not kinds:
        return
    shown = [q for q in QUANTITIES if any(q.name in found for found in kinds.values())]
    rows = []
    for kind, found in kinds.items():
        cells = [f"{found[q.name].rmse:.3g}" if q.name in found else "–" for q in shown]
        rows.append((kind or "not said", *cells))
    console.print(table(("RMSE", *(f"{q.title}\n{q.unit}" for q in shown)), rows, 1))


def _write_predictions(output: Path, found: Comparison) -> None:
    """Write structures with known and predicted labels, under names of their own."""
    labels, structures = found.labels, []
    batch = labels.structures
    for s, atoms in enumerate(batch):
        own = slice(int(batch.offsets[s]), int(batch.offsets[s + 1]))
        if labels.config_types[s]:
            atoms.info["config_type"] = labels.config_types[s]
        for name, each in (("known", labels), ("predicted", found)):
            atoms.info[f"{name}_energy"] = float(each.energies[s])
            atoms.arrays[f"{name}_forces"] = each.forces[own]
            if labels.volumes[s] > 0:
                atoms.info[f"{name}_stress"] = each.stresses[s]
        structures.append(atoms)
    _write(output, structures)


def _card(potential: Potential, path: Path) -> Iterator[tuple[str, str]]:
    """Yield what a person wants to know of a potential, in ten lines."""
    from ase.data import chemical_symbols

    fitted, summary = potential.model_, potential.model_.summary
    yield "potential", f"{type(potential).__name__} with {counted(fitted.terms.n_functions, 'function')}"
    yield "elements", ", ".join(chemical_symbols[z] for z in fitted.species)
    yield "cutoff", f"{fitted.cutoff:.3g} Å"
    counts, keys = summary.get("labels", {}), summary.get("keys", {})
    listed = ", ".join(
        f"{counts[kind]:,} {kind} ({keys[kind]})" for kind in ("energy", "forces", "stress") if kind in keys
    )
    yield (
        "fitted to",
        f"{counted(summary['n_structures'], 'structure')}, {counted(summary['n_atoms'], 'atom')}: {listed}",
    )
    errors = summary.get("cross_validation", {})
    scale = {"energies": (1000.0, "meV/atom"), "forces": (1.0, "eV/Å"), "stresses": (160.21766208, "GPa")}
    said = [f"{name} {scale[name][0] * own['mae']:.3g} {scale[name][1]}" for name, own in errors.items()]
    yield "error", f"mean absolute, in cross-validation: {', '.join(said)}" if said else "not measured"
    references = ", ".join(f"{chemical_symbols[z]} {energy:.4f} eV" for z, energy in fitted.reference_energies.items())
    yield "references", f"{summary.get('references', {}).get('kind', '')}: {references}"
    yield "units", "Å, eV, eV/Å, eV/Å^3 (stress, positive in tension)"
    yield "checksum", str(summary.get("checksum", ""))[:16]
    where = "" if path == DEFAULT_OUTPUT else f" --model {shlex.quote(str(path))}"
    yield "use", f"atomprint potential relax structure.cif{where}"
