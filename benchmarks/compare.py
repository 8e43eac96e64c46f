"""Compare atomprint with DScribe and featomic: same input, one run, interleaved rounds.

Every program runs in a process of its own (``worker.py``), DScribe and featomic in their own environment
(see ``README.md``). In each round all programs take their turn, so that whatever else the machine does hits
all alike; the tables show medians over rounds. They are printed as Markdown; all raw numbers go to a file.

    python benchmarks/compare.py --peers-python peers/bin/python --output result.json
    python benchmarks/compare.py --peers-python peers/bin/python --quick --cases 'soap-*'
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import derivatives
import features
import kernels
import waits
from harness import BEFORE, Setup


def processor() -> str:
    """Find the name of the processor, where the system tells."""
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def keep_before(rows: dict[str, dict[str, Any]]) -> None:
    """Keep what the older version needed, for the runs that do not measure it."""
    values = json.loads(BEFORE.read_text())["values"] if BEFORE.exists() else {}
    values |= {name: row["values"]["before"] for name, row in rows.items() if "before" in row["values"]}
    BEFORE.write_text(json.dumps({"processor": processor(), "values": values}, indent=1) + "\n")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--peers-python",
        default=os.environ.get("ATOMPRINT_PEERS_PYTHON"),
        help="Python of the environment with DScribe and featomic (default: $ATOMPRINT_PEERS_PYTHON)",
    )
    parser.add_argument("--python", default=sys.executable, help="Python that has atomprint (default: this one)")
    parser.add_argument("--base-path", help="src folder of an older atomprint that is built, for the column 'before'")
    parser.add_argument("--write-before", action="store_true", help="keep what --base-path gives in before.json")
    parser.add_argument("--cases", nargs="+", default=["*"], metavar="NAME", help="names or patterns such as 'soap-*'")
    parser.add_argument("--list", action="store_true", help="print the names of the cases and stop")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--rounds", type=int, help="rounds in which the programs take turns")
    parser.add_argument("--batch-seconds", type=float, help="time on one thread of the batch for two threads")
    parser.add_argument("--batch-mb", type=float, default=250.0, help="largest result of that batch (default 250)")
    parser.add_argument("--output", type=Path, help="JSON file for all raw numbers")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    options = arguments()
    parts: list[tuple[Any, list[Any]]] = [
        (waits, list(waits.ROWS.values())),
        (features, features.CASES),
        (derivatives, derivatives.CASES),
        (kernels, kernels.CASES),
    ]
    chosen = [
        (part, case)
        for part, cases in parts
        for case in cases
        if any(fnmatch.fnmatch(case.name, pattern) for pattern in options.cases)
    ]
    if options.list:
        print("\n".join(case.name for _, case in chosen))
        return
    if not chosen:
        raise SystemExit(f"no case is called {' or '.join(options.cases)}; --list shows the names")
    results: dict[Any, dict[str, dict[str, Any]]] = {part: {} for part, _ in parts}
    with tempfile.TemporaryDirectory() as folder:
        setup = Setup(options, Path(folder))
        if not setup.pythons:
            raise SystemExit("neither atomprint nor a peer can be used")
        start = time.monotonic()
        report: dict[str, Any] = {
            "machine": {"processor": processor(), "cores": os.cpu_count(), "system": platform.system()},
            "versions": setup.versions,
            "rounds": setup.rounds,
            "cases": results[features],
            "derivatives": results[derivatives],
            "kernels": results[kernels],
            "waits": results[waits],
        }
        for part, case in chosen:
            print(f"measuring {case.name} ...", file=sys.stderr, flush=True)
            results[part][case.name] = part.measure(setup, case)
            report["seconds"] = time.monotonic() - start
            if options.output:  # as it goes: a long run may be stopped
                options.output.write_text(json.dumps(report, indent=1) + "\n")
            if options.write_before:
                keep_before(results[waits])
    features.add_limits(results[features])
    print(f"{report['machine']['processor']}, {os.cpu_count()} cores")
    for module, versions in setup.versions.items():
        print(f"- {module}: " + ", ".join(f"{name} {value}" for name, value in versions.items()))
    print()
    for part, of_part in results.items():
        print(part.tables(of_part))


if __name__ == "__main__":
    main()
