"""Potentials: their accuracy on public data, what fits need, and how long a step takes, beside those of others.

Every fit runs in a process of its own, and so does every program whose steps are timed (``harness.py``, ``worker.py``,
``potential_programs.py``): these take turns, round after round, and the fastest round counts. The tables are printed as
Markdown; all numbers go to a file.

    python benchmarks/potentials.py --data ../shared/data/potentials --peers-python peers/bin/python --output out.json
    python benchmarks/potentials.py --cases 'fit-Si-*' 'step-*' --quick

Nothing is chosen by test sets: potentials have their defaults, those of the command line, but for what a case says, and
errors of cross-validation on the training set, by which they choose for themselves, stand beside those of the test.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from compare import processor
from harness import Setup, number, table

PEERS = ("ace_jax", "pyace", "lammps", "calorine", "quippy")
KINDS = {"energy": "energies", "forces": "forces", "stress": "stresses"}


@dataclass(frozen=True)
class Fit:
    """A potential that is fitted to a data set.

    Attributes
    ----------
    name : str
        For the table and ``--cases``.
    data : str
        Start of the names of the files with training and test structures.
    model : str
        Class of ``atomprint.potentials``, or what it is called in the table.
    options : dict
        Arguments other than the defaults.
    every : int
        Every so many training structures, from the first.
    program : str
        That fits it.
    arguments : list of str
        Of its command line.
    aims : dict of str to list of float
        Errors of the test in meV/atom, eV/Å and GPa that are wanted, then CPU seconds and MB of the fit.
    published : str
        Errors of others on the same test.
    long : bool
        Whether ``--quick`` leaves it out.
    """

    name: str
    data: str
    model: str
    options: dict[str, Any] = field(default_factory=dict)
    every: int = 1
    program: str = "atomprint"
    arguments: list[str] = field(default_factory=list)
    aims: dict[str, float] = field(default_factory=dict)
    published: str = ""
    long: bool = False


def aims(energy: float, forces: float, **more: float) -> dict[str, float]:
    """Put together what is wanted."""
    return {"energy": energy, "forces": forces, **more}


_OTHERS = {
    "Ni": "GAP 0.42 / 0.02, MTP 0.48 / 0.01, SNAP 0.78 / 0.038",
    "Cu": "GAP 0.46 / 0.01, MTP 0.41 / 0.01, SNAP 0.53 / 0.037",
    "Li": "GAP 0.49 / 0.01, MTP 0.49 / 0.01, SNAP 1.03 / 0.028",
    "Si": "GAP 2.91 / 0.07, MTP 2.21 / 0.06, SNAP 6.44 / 0.133",
}
_WANTED = {
    "Ni": aims(0.40, 0.015),
    "Cu": aims(0.30, 0.008),
    "Li": aims(0.49, 0.009),
    "Si": aims(2.3, 0.060, seconds=25, peak=500),
}
_INP = aims(0.16, 0.0085, stress=0.018, seconds=30, peak=1500)
FITS = [
    *(
        Fit(f"fit-{el}-ace", f"zuo2020_{el}", "LinearACE", aims=_WANTED[el], published=_OTHERS[el])
        for el in ("Ni", "Cu", "Li", "Si")
    ),
    *(
        Fit(f"fit-{el}-gp", f"zuo2020_{el}", "SparseGP", aims={"seconds": 20} if el == "Si" else {}, long=el != "Si")
        for el in ("Ni", "Cu", "Li", "Si")
    ),
    Fit("fit-Si-gp-zeta2", "zuo2020_Si", "SparseGP", {"zeta": 2.0}),
    Fit("fit-InP-ace", "inp2020", "LinearACE", {"size": 750}, every=3, aims=_INP),
    Fit(
        "fit-InP-ace-large",
        "inp2020",
        "LinearACE",
        {"size": "large"},
        aims=aims(0.12, 0.0060, stress=0.010),
        published="SNAP, training 3.31 / 0.0675 / 1.28",
        long=True,
    ),
    Fit("fit-InP-gp", "inp2020", "SparseGP", every=3, long=True),
    Fit(
        "fit-Si-ace-jax",
        "zuo2020_Si",
        "ace-jax",
        program="ace_jax",
        arguments=["--order", "4", "--max-degree", "15", "--rcut", "5.0"],
    ),
    Fit(
        "fit-InP-ace-jax",
        "inp2020",
        "ace-jax",
        every=3,
        program="ace_jax",
        arguments=["--order", "3", "--max-degree", "10", "--rcut", "5.0"],
        long=True,
    ),
]


@dataclass(frozen=True)
class Step:
    """Energy and forces of silicon whose atoms have moved a little.

    Attributes
    ----------
    name : str
        For the table and ``--cases``.
    program : str
        Which computes it.
    model : str
        What ``potential_programs.py`` takes as the model: the name of a fit, or a size.
    what : str
        For the table.
    options : dict
        Of the program.
    aim : float or None
        µs an atom that are wanted.
    """

    name: str
    program: str
    model: str
    what: str
    options: dict[str, Any] = field(default_factory=dict)
    aim: float | None = None


def _own(name: str, model: str, what: str, aim: float | None = None) -> list[Step]:
    ways = {"": "calculator", "-prepared": "prepared"}
    words = {"calculator": "calculator of ASE", "prepared": "prepared"}
    return [
        Step(f"step-{name}{end}", "atomprint", model, f"{what}, {words[way]}", {"way": way}, aim if end else None)
        for end, way in ways.items()
    ]


STEPS = [
    *_own("ace", "fit-Si-ace", "LinearACE", 12.0),
    *_own("gp", "fit-Si-gp", "SparseGP, zeta 4", 25.0),
    *_own("gp-zeta2", "fit-Si-gp-zeta2", "SparseGP, zeta 2", 14.0),
    Step("step-ace-jax", "ace_jax", "fit-Si-ace-jax", "ace-jax, calculator of ASE"),
    *(Step(f"step-pace-{n}", "pyace", str(n), f"PACE, {n} functions, calculator of ASE") for n in (300, 700, 1100)),
    *(Step(f"step-snap-{n}", "lammps", str(n), f"SNAP 2J = {n}, run of LAMMPS") for n in (6, 8)),
    Step("step-nep", "calorine", "30", "NEP, 30 neurons, calculator of ASE"),
    Step("step-quippy", "quippy", "150", "GAP of QUIP, 150 points, calculator of ASE"),
]
SIZES = (2, 4)  # cells along each side: 64 and 512 atoms


# Measuring -------------------------------------------------------------------------------------------------------


def fit(setup: Setup, case: Fit, data: Path) -> dict[str, Any] | None:
    """Fit in a fresh process."""
    if not setup.has(case.program):
        return None
    train, test = (str(data / f"{case.data}_{part}.extxyz.xz") for part in ("train", "test"))
    with setup.process(case.program) as process:
        return setup.attempt(process, "fit", case=asdict(case), train=train, test=test, folder=str(setup.folder))


def measure_steps(setup: Setup, cases: list[Step], data: Path) -> dict[str, dict[str, Any]]:
    """Time steps of all programs in turn; CPU µs of a step by the number of atoms."""
    found: dict[str, dict[str, Any]] = {}
    # A lone atom costs nothing but the call; with SparseGP all its points are read from memory for it.
    own = [case for case in cases if case.name == "step-ace-prepared"]
    alone = [Step(f"{one.name}-alone", one.program, one.model, "", {"way": "one atom"}) for one in own]
    for n_cells in SIZES:
        processes, times = {}, {}
        try:
            for case in [*cases, *(alone if n_cells == SIZES[0] else [])]:
                if not setup.has(case.program):
                    continue
                process = setup.start(case.program)
                options = dict(case.options)
                if case.program == "quippy":
                    options["train"] = str(data / "zuo2020_Si_train.extxyz.xz")
                asked = {"model": case.model, "n_cells": n_cells, "folder": str(setup.folder), **options}
                if (answer := setup.attempt(process, "step", **asked)) is None:
                    process.close()
                    continue
                processes[case.name], times[case.name] = process, [answer["n"]]
            for _ in range(setup.rounds):
                for name, process in processes.items():
                    times[name].append(process.ask("time_step", at_least=setup.at_least)["seconds"])
        finally:
            for process in processes.values():
                process.close()
        for name, (n_atoms, *seconds) in times.items():
            of_case = found.setdefault(name, {"steps": {}})
            of_case["steps"][str(8 * n_cells**3)] = {
                "us": 1e6 * min(seconds),
                "us_an_atom": 1e6 * min(seconds) / n_atoms,
            }
    return found


# Tables ----------------------------------------------------------------------------------------------------------


def _against(value: float | None, aim: float | None) -> str:
    if value is None:
        return "–"
    if aim is None:
        return number(value)
    return f"{number(value)} (≤ {number(aim)}{', missed' if value > aim else ''})"


def fit_table(results: dict[str, dict[str, Any]]) -> str:
    """Lay out the fits."""
    rows = []
    for case in FITS:
        result = results.get(case.name)
        if result is None:
            continue
        test, left_out = result["test"], result["cross-validation"]
        rows.append(
            [
                case.name.removeprefix("fit-"),
                f"{result['functions'] or '–'}",
                f"{result['structures']}",
                *(_against(test.get(kind), case.aims.get(kind)) for kind in KINDS),
                " / ".join(number(left_out.get(name)) for name in KINDS.values()) if left_out else "–",
                _against(result["seconds"], case.aims.get("seconds")),
                _against(result["peak"] and result["peak"] / 1e6, case.aims.get("peak")),
                case.published or "–",
            ]
        )
    header = [
        "fit",
        "functions",
        "structures",
        "energy",
        "forces",
        "stress",
        "cross-validation",
        "CPU s",
        "MB",
        "others",
    ]
    return table("Mean absolute errors of the test (meV/atom, eV/Å, GPa), and what the fit needs", header, rows)


def step_table(results: dict[str, dict[str, Any]]) -> str:
    """Lay out the steps, and what of a call is not arithmetic."""
    rows, calls = [], []
    for case in STEPS:
        result = results.get(case.name)
        if result is None:
            continue
        times = [result["steps"].get(str(8 * n**3), {}).get("us_an_atom") for n in SIZES]
        rows.append([case.what, *(_against(time, case.aim) for time in times)])
        prepared = results.get(f"{case.name}-prepared", {}).get("steps", {}).get("64")
        alone = results.get(f"{case.name}-prepared-alone", {}).get("steps", {}).get("64")
        if prepared and "64" in result["steps"]:
            beyond = result["steps"]["64"]["us"] - prepared["us"]
            lone = _against(alone["us"], 15.0) if alone else "–"
            calls.append([case.name.removeprefix("step-"), lone, _against(beyond, 45.0)])
    header = ["potential", *(f"{8 * n**3} atoms" for n in SIZES)]
    return "\n".join(
        [
            table("Energy and forces of silicon, one core (CPU µs an atom)", header, rows),
            table(
                "Of one call, beyond the arithmetic (CPU µs)", ["potential", "prepared", "calculator beyond it"], calls
            ),
        ]
    )


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shared = os.environ.get("ATOMPRINT_SHARED_DATA", "../shared/data")
    parser.add_argument("--data", type=Path, default=Path(shared, "potentials"), help="folder of the data sets")
    parser.add_argument(
        "--peers-python",
        default=os.environ.get("ATOMPRINT_POTENTIALS_PYTHON"),
        help="Python of the environment with other programs (default: $ATOMPRINT_POTENTIALS_PYTHON)",
    )
    parser.add_argument("--python", default=sys.executable, help="Python that has atomprint (default: this one)")
    parser.add_argument(
        "--cases", nargs="+", default=["*"], metavar="NAME", help="names or patterns such as 'fit-Si-*'"
    )
    parser.add_argument("--list", action="store_true", help="print the names of the cases and stop")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, and no long fits")
    parser.add_argument("--rounds", type=int, help="rounds in which the programs take turns")
    parser.add_argument("--models", type=Path, help="folder of models: kept there, and steps take those of fits before")
    parser.add_argument("--output", type=Path, help="JSON file for all raw numbers")
    parser.set_defaults(base_path=None, batch_seconds=None, batch_mb=0.0)
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    options = arguments()
    chosen = [
        case
        for case in (*FITS, *STEPS)
        if any(fnmatch.fnmatch(case.name, pattern) for pattern in options.cases)
        and not (options.quick and getattr(case, "long", False))
    ]
    if options.list:
        print("\n".join(case.name for case in chosen))
        return
    if not chosen:
        raise SystemExit(f"no case is called {' or '.join(options.cases)}; --list shows the names")
    with tempfile.TemporaryDirectory() as folder:
        if options.models:
            options.models.mkdir(parents=True, exist_ok=True)
        setup = Setup(options, options.models or Path(folder), PEERS)
        start = time.monotonic()
        report: dict[str, Any] = {
            "machine": {"processor": processor(), "cores": os.cpu_count()},
            "versions": setup.versions,
            "fits": {},
            "steps": {},
        }
        steps = [case for case in chosen if isinstance(case, Step)]
        fits = [case for case in chosen if isinstance(case, Fit)]
        for case in fits:
            print(f"fitting {case.name} ...", file=sys.stderr, flush=True)
            if (result := fit(setup, case, options.data)) is not None:
                report["fits"][case.name] = result
            if options.output:
                options.output.write_text(json.dumps(report, indent=1) + "\n")
        if steps:
            print("timing steps ...", file=sys.stderr, flush=True)
            report["steps"] = measure_steps(setup, steps, options.data)
        report["seconds"] = time.monotonic() - start
        if options.output:
            options.output.write_text(json.dumps(report, indent=1) + "\n")
    print(f"{report['machine']['processor']}, one core")
    for module, versions in setup.versions.items():
        print(f"- {module}: " + ", ".join(f"{name} {value}" for name, value in versions.items()))
    print()
    print(fit_table(report["fits"]))
    print(step_table(report["steps"]))


if __name__ == "__main__":
    main()
