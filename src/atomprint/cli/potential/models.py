"""Commands that fit potentials, compare them with data, and show what they are."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atomprint.cli.console import GOES_ON, Force, Jobs, Trust, console, messages, progress_bar, styled, table
from atomprint.cli.potential.shared import (
    DEFAULT_OUTPUT,
    Model,
    check_place,
    check_species_of,
    load,
    say,
    told,
    write_structures,
)
from atomprint.util.text import counted, with_unit
from atomprint.util.validation import check_choice, meant

if TYPE_CHECKING:
    from atomprint.potentials import LabelledStructures, Potential
    from atomprint.potentials.report.comparison import Comparison

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
            say(labels.notes, labels.warnings)
            tests = {}
            for number, path in enumerate(test or ()):
                name = "test set" if len(test or ()) == 1 else f"test set {number + 1} ({path.name})"
                tests[name] = _read([path], options | {"config_key": config_key}, skip)
                say((), [f"{name}: {warning}" for warning in tests[name].warnings])
                check_species_of(f"the {name}", tests[name].species, labels.species)
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
        say((), [text for text in run.report.warnings if text not in labels.warnings])
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
    trust: Trust = None,
    force: Force = False,
) -> None:
    """Compare a potential with energies, forces and stresses that it was not fitted to."""
    with messages():
        from ase.data import chemical_symbols

        from atomprint.potentials.report.comparison import compare
        from atomprint.util.files import write_atomically

        if output is not None and output.suffix not in (".json", ".extxyz", ".xyz"):
            raise ValueError(f"--output must end in .json or .extxyz, got {output.name!r}")
        if output is not None:
            check_place(output, force)
        potential = load(model, jobs, trust)
        keys = {"energy_key": energy_key, "forces_key": forces_key, "stress_key": stress_key}
        options = {name: _as_key(key) for name, key in keys.items()}
        options |= {"stress_convention": stress_convention, "config_key": config_key}
        labels = _read(data, options, skip)
        console.print(f"{labels.summary()}.", soft_wrap=True)
        say(labels.notes, [*labels.warnings, *_other_keys(potential, labels)])
        known = [chemical_symbols[z] for z in potential.model_.species]
        check_species_of(", ".join(path.name for path in data), labels.species, known)
        with progress_bar(patience=1.0) as progress, told() as said:
            progress("Predicting", 0, None)
            found = compare(potential, labels, "these structures")
        _show([found])
        _show_kinds(found)
        say((), said)
        if output is not None:
            if output.suffix == ".json":
                write_atomically(output, json.dumps(found.to_dict(), indent=1, ensure_ascii=False) + "\n")
            else:
                _write_predictions(output, found)
            console.print(f"Wrote {output}", soft_wrap=True)


def info(
    model: Annotated[Path, typer.Argument(help="A potential that was fitted, or its folder.")] = DEFAULT_OUTPUT,
    everything: Annotated[bool, typer.Option("--json", help="Print all that is known of it, as JSON.")] = False,
    trust: Trust = None,
) -> None:
    """Show what a potential was fitted to, how good it is, and what is in its file."""
    with messages():
        from dataclasses import asdict

        from ase.data import chemical_symbols

        potential = load(model, None, trust)
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
        where = "" if model == DEFAULT_OUTPUT else f" --model {shlex.quote(str(model))}"
        for head, text in (*potential.in_short(), ("use", f"atomprint potential relax structure.cif{where}")):
            console.print(styled((f"{head:>10}", "bold"), "  ", text), soft_wrap=True)


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
        if symbol.strip() in found:
            raise ValueError(f"--reference must name each element once, got {symbol.strip()!r} twice")
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
        text = _as_options(str(error))
        names = ", ".join(path.name for path in paths)
        raise ValueError(f"{names}: {text}" if text.startswith("structures have no") else text) from error


def _as_options(text: str) -> str:
    """Return a message on arguments as one on the options that give them."""
    text = re.sub(r"(\w+)_key=\('([^']*)', '([^']*)'\)", r"--\1-key \2 --\1-key \3", text)
    text = re.sub(r"(\w+)_(key|convention)=", r"--\1-\2=", text)
    text = re.sub(r"(?<!\w)max_force\b", "--max-force", text)
    return re.sub(r"(?<!\w)(energy|forces|stress|config)_(key|convention)\b", r"--\1-\2", text)


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
                rows.append((comparison.title, with_unit(quantity.title, quantity.unit), *numbers, f"{found.n:,}"))
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
    write_structures(output, structures)
