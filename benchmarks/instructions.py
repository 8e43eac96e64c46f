"""Count the instructions of small fixed workloads, which no noise changes, and compare with those that are kept.

    python benchmarks/instructions.py                   # compare; ends with 1 if a row needs over 3 % more
    python benchmarks/instructions.py --write           # keep what is counted now, after a change that is meant
    python benchmarks/instructions.py --rows 'soap-*'   # some of them

Needs Linux on x86-64, GCC and valgrind. Everything runs in one Python under ``valgrind --tool=callgrind`` with
``ATOMPRINT_ISA=avx2`` and one thread; each workload runs once before it is counted, so that what is prepared once does
not count. Counts hold for one compiler, one Python and one NumPy: those of ``instructions.json`` are named in it, and
``--requirements`` prints them for pip.
"""

from __future__ import annotations

import argparse
import ctypes
import fnmatch
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

KEPT = Path(__file__).with_suffix(".json")
TOLERANCE = 0.03
PACKAGES = ("numpy", "scipy", "ase", "nanobind")
ENVIRONMENT = {
    "ATOMPRINT_ISA": "avx2",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONWARNINGS": "ignore",
}
# What callgrind is told from within: to begin, and to write what it counted since, under a name.
HELPER = """
#include <valgrind/callgrind.h>
void begin(void) { CALLGRIND_START_INSTRUMENTATION; CALLGRIND_ZERO_STATS; }
void end(const char *name) { CALLGRIND_DUMP_STATS_AT(name); CALLGRIND_STOP_INSTRUMENTATION; }
"""


def workloads() -> dict[str, Callable[[], Callable[[], Any]]]:
    """Return what is counted, by name: functions that make the function to run."""
    import numpy as np
    from ase import Atoms
    from ase.collections import g2
    from structures import FUNCTIONS, MBTR_ANGLES, MBTR_PAIRS, MOLECULES, NACL, SI, organic_molecules, rattled

    from atomprint.descriptors import ACE, ACSF, LMBTR, MBTR, SOAP, CoulombMatrix, EwaldSumMatrix, SineMatrix
    from atomprint.elements import ElementEmbedding
    from atomprint.neighbours import pairs
    from atomprint.structures import read_batch

    molecules = organic_molecules()[:20]
    water = g2["H2O"]
    nacl = rattled("NaCl", "rocksalt", 5.64, 2, seed=0)
    si = rattled("Si", "diamond", 5.43, 2, seed=1)
    corners = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    perovskites = [
        Atoms(f"{a}{b}O3", scaled_positions=corners, cell=[3.9, 3.9, 3.9], pbc=True)
        for a in ("Sr", "Ba", "Ca", "La")
        for b in ("Ti", "Zr")
    ]
    many = [*range(1, 61)]
    embedded = {"species": many, "species_embedding": ElementEmbedding(8)}
    mean = {"pooling": "mean"}
    made: dict[str, tuple[Any, Any]] = {
        "soap-one-molecule": (SOAP(**MOLECULES), water),
        "soap-one-molecule-60": (SOAP(**MOLECULES | {"species": many}), water),
        "soap-one-molecule-embedded": (SOAP(**MOLECULES | embedded), water),
        "soap-molecules": (SOAP(**MOLECULES), molecules),
        "soap-molecules-outer": (SOAP(**MOLECULES, average="outer"), molecules),
        "soap-molecules-inner": (SOAP(**MOLECULES, average="inner"), molecules),
        "soap-molecules-mean": (SOAP(**MOLECULES, **mean), molecules),
        "soap-molecules-sparse-20": (SOAP(**MOLECULES | {"species": many[:20]}, sparse=True), molecules[:5]),
        "soap-nacl": (SOAP(**NACL), nacl),
        "soap-nacl-float32": (SOAP(**NACL, dtype="float32"), nacl),
        "soap-si": (SOAP(**SI), si),
        "soap-si-float32": (SOAP(**SI, dtype="float32"), si),
        "soap-perovskites-embedded": (SOAP(**NACL | embedded | {"r_cut": 5.0}, average="outer"), perovskites),
        "ace-si": (ACE(r_cut=5.0, n_functions=300, species=["Si"]), si),
        "ace-nacl": (ACE(r_cut=5.0, n_functions=300, species=["Na", "Cl"]), nacl),
        "acsf-molecules": (ACSF(**FUNCTIONS), molecules),
        "mbtr-one-molecule": (MBTR(**MBTR_PAIRS), water),
        "mbtr-pairs": (MBTR(**MBTR_PAIRS), molecules),
        "mbtr-angles": (MBTR(**MBTR_ANGLES), molecules[:10]),
        "lmbtr-angles": (LMBTR(**MBTR_ANGLES), molecules[:5]),
        "coulomb": (CoulombMatrix(n_atoms_max=14), molecules),
        "sine": (SineMatrix(n_atoms_max=5), perovskites),
        "ewald": (EwaldSumMatrix(n_atoms_max=5), perovskites),
    }
    no_vjp = {"soap-molecules-sparse-20", "soap-si-float32"}
    rows: dict[str, Callable[[], Callable[[], Any]]] = {}
    for name, (descriptor, structures) in made.items():
        rows[name] = lambda d=descriptor, s=structures: lambda: d.create(s)  # type: ignore[misc]
        if name in no_vjp:
            continue

        def vjp(d: Any = descriptor, s: Any = structures) -> Callable[[], Any]:
            features = d.create(s)
            weights = [np.ones_like(x) for x in features] if isinstance(features, list) else np.ones_like(features)
            return lambda: d.vjp(s, weights)

        rows[f"{name}-vjp"] = vjp
    rows["soap-nacl-pairs"] = lambda: (
        lambda: [block.values for block in SOAP(**NACL).jacobian(nacl, centers=[0, 1, 2, 3]).blocks]
    )
    rows["soap-molecules-dense"] = lambda: lambda: SOAP(**MOLECULES).derivatives(molecules[:3])
    rows["read-atoms"] = lambda: lambda: read_batch(molecules)
    rows["neighbours-nacl"] = lambda: lambda: pairs(nacl, 6.0)
    return rows


def run(patterns: list[str], helper: str) -> None:
    """Run the workloads, within valgrind."""
    library = ctypes.CDLL(helper)
    for name, make in workloads().items():
        if any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
            workload = make()
            workload()
            library.begin()
            workload()
            library.end(name.encode())
            print(name)


def count(patterns: list[str]) -> dict[str, int]:
    """Return the instructions of each workload."""
    with tempfile.TemporaryDirectory() as folder:
        source, helper = Path(folder, "helper.c"), Path(folder, "helper.so")
        source.write_text(HELPER)
        subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-o", helper, source], check=True)
        valgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/out"]
        own = [sys.executable, __file__, "--helper", str(helper), "--rows", *patterns]
        fixed = ["setarch", "-R"] if shutil.which("setarch") else []  # addresses, which decide how sets are ordered
        done = subprocess.run([*fixed, *valgrind, *own], env=os.environ | ENVIRONMENT, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr)
        found = {}
        for path in Path(folder).glob("out.*"):
            text = path.read_text()
            name = re.search(r"^desc: Trigger: Client Request: (\S+)", text, re.MULTILINE)
            total = re.search(r"^(?:summary|totals): (\d+)", text, re.MULTILINE)
            if name and total:
                found[name[1]] = int(total[1])
        return {name: found[name] for name in done.stdout.split()}


def environment() -> dict[str, str]:
    """Return what the counts depend on besides the code."""
    compiler = subprocess.run(["gcc", "-dumpfullversion"], check=True, capture_output=True, text=True).stdout.strip()
    python = ".".join(platform.python_version_tuple()[:2])
    return {"gcc": compiler, "python": python, **{name: version(name) for name in PACKAGES}}


def compare(kept: dict[str, Any], found: dict[str, int]) -> bool:
    """Print what has changed; return whether something needs more."""
    slower = False
    for name, now in found.items():
        before = kept["counts"].get(name)
        change = now / before - 1 if before else 0.0
        word = "new" if before is None else "" if abs(change) <= TOLERANCE else "SLOWER" if change > 0 else "faster"
        slower |= word == "SLOWER"
        then = "–" if before is None else f"{before / 1e6:.3f}"
        print(f"{name:32}{then:>10}{now / 1e6:10.3f} M {100 * change:+7.2f} %  {word}")
    return slower


def main() -> None:
    """Count, and compare or keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", default=["*"], metavar="NAME", help="names or patterns such as 'soap-*'")
    parser.add_argument("--write", action="store_true", help=f"keep the counts in {KEPT.name}")
    parser.add_argument(
        "--requirements", action="store_true", help="print what to install for the counts that are kept"
    )
    parser.add_argument("--helper", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.helper:
        run(options.rows, options.helper)
        return
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {"environment": environment(), "counts": {}}
    if options.requirements:
        print(*(f"{name}=={kept['environment'][name]}" for name in PACKAGES))
        return
    here = environment()
    if here != kept["environment"] and not options.write:
        raise SystemExit(f"the counts of {KEPT.name} are for {kept['environment']}, and this is {here}")
    found = count(options.rows)
    slower = compare(kept, found)
    if options.write:
        counts = {**(kept["counts"] if options.rows != ["*"] else {}), **found}
        KEPT.write_text(json.dumps({"environment": here, "counts": counts}, indent=1) + "\n")
    elif slower:
        raise SystemExit(
            f"Some workloads need over {100 * TOLERANCE:g} % more instructions. If that is what it takes, keep the new "
            f"counts: python benchmarks/instructions.py --write"
        )


if __name__ == "__main__":
    main()
