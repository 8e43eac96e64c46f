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
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.collections import g2
from ase.neighborlist import neighbor_list

HERE = Path(__file__).resolve().parent
THREAD_VARIABLES = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "RAYON", "NUMBA")


# --- what is measured ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One descriptor on one set of structures.

    Attributes
    ----------
    name : str
        For the table and ``--cases``.
    descriptor : str
        Name of the class in atomprint and DScribe.
    kwargs : dict
        Arguments of its constructor.
    structures : callable
        Makes the structures.
    target : float or None
        How many times faster than DScribe atomprint is meant to be, at least.
    featomic : bool
        featomic has the same calculation.
    """

    name: str
    descriptor: str
    kwargs: dict[str, Any]
    structures: Callable[[], list[Atoms]]
    target: float | None = None
    featomic: bool = False

    @property
    def unit(self) -> str:
        """What times are divided by."""
        return "centre" if self.descriptor == "SOAP" else "structure"

    def n_units(self, structures: Sequence[Atoms]) -> int:
        """Count centres or structures."""
        return sum(map(len, structures)) if self.unit == "centre" else len(structures)


def organic_molecules() -> list[Atoms]:
    """Take the 85 G2 molecules made of H, C, N and O only."""
    return [g2[name] for name in g2.names if set(g2[name].get_chemical_symbols()) <= set("HCNO")]


def all_molecules() -> list[Atoms]:
    """Take all 162 G2 molecules."""
    return [g2[name] for name in g2.names]


def rattled(name: str, structure: str, a: float, repeat: int, seed: int) -> Atoms:
    """Make a cubic supercell and displace its atoms by 0.05 Å (normal distribution)."""
    atoms = bulk(name, structure, a=a, cubic=True).repeat(repeat)
    atoms.rattle(0.05, seed=seed)
    atoms.wrap()
    return atoms


def rattled_nacl() -> list[Atoms]:
    """Make rattled rocksalt, 216 atoms."""
    return [rattled("NaCl", "rocksalt", 5.64, 3, seed=0)]


def rattled_si() -> list[Atoms]:
    """Make rattled silicon, 216 atoms."""
    return [rattled("Si", "diamond", 5.43, 3, seed=1)]


def small_crystals() -> list[Atoms]:
    """Make ten crystals with 8 atoms: rocksalt, diamond and zincblende."""
    prototypes = [
        ("NaCl", "rocksalt", 5.64),
        ("MgO", "rocksalt", 4.21),
        ("Si", "diamond", 5.43),
        ("GaAs", "zincblende", 5.65),
        ("C", "diamond", 3.57),
    ]
    return [rattled(*prototypes[i % 5], repeat=1, seed=i) for i in range(10)]


MOLECULES: dict[str, Any] = {
    "species": ["H", "C", "N", "O"],
    "r_cut": 5.0,
    "n_max": 8,
    "l_max": 6,
    "sigma": 1.0,
}
NACL: dict[str, Any] = {
    "species": ["Na", "Cl"],
    "r_cut": 6.0,
    "n_max": 8,
    "l_max": 6,
    "sigma": 1.0,
    "periodic": True,
}
SI: dict[str, Any] = {
    "species": ["Si"],
    "r_cut": 5.0,
    "n_max": 10,
    "l_max": 9,
    "sigma": 1.0,
    "periodic": True,
}

CASES = [
    Case("soap-molecules-gto", "SOAP", MOLECULES, organic_molecules, 6.0, featomic=True),
    Case("soap-molecules-polynomial", "SOAP", {**MOLECULES, "rbf": "polynomial"}, organic_molecules, 20.0),
    Case("soap-nacl-gto", "SOAP", NACL, rattled_nacl, 15.0, featomic=True),
    Case("soap-si-gto", "SOAP", SI, rattled_si, 15.0, featomic=True),
    Case("soap-molecules-outer", "SOAP", {**MOLECULES, "average": "outer"}, organic_molecules),
    Case("soap-molecules-inner", "SOAP", {**MOLECULES, "average": "inner"}, organic_molecules),
    Case("soap-nacl-outer", "SOAP", {**NACL, "average": "outer"}, rattled_nacl),
    Case("soap-nacl-inner", "SOAP", {**NACL, "average": "inner"}, rattled_nacl),
    Case("coulomb-molecules", "CoulombMatrix", {"n_atoms_max": 14}, all_molecules, 8.0),
    Case("sine-crystals", "SineMatrix", {"n_atoms_max": 8}, small_crystals, 20.0),
    Case("ewald-crystals", "EwaldSumMatrix", {"n_atoms_max": 8}, small_crystals, 20.0),
]
FLOAT32_TARGET = 1.5
THREADS_TARGET = 1.8
MEMORY_TARGET_MB = 50.0


# --- the limit -------------------------------------------------------------------------------------------


def soap_work(case: Case, structures: Sequence[Atoms]) -> dict[str, float]:
    """Count the floating-point operations of SOAP from the neighbours.

    Expansion: one multiply-add for each pair, radial function and harmonic. Power spectrum: one multiply-add
    for each product c_nlm c_n'lm over the species present around the centre. Radial functions and harmonics
    themselves are left out.
    """
    k = case.kwargs
    cutoff = k["r_cut"] + k["sigma"] * math.sqrt(-2.0 * math.log(1e-3))
    n, harmonics = k["n_max"], (k["l_max"] + 1) ** 2
    n_pairs = products = 0
    for atoms in structures:
        atoms = atoms.copy()
        atoms.pbc = atoms.pbc & k.get("periodic", False)
        i, j = neighbor_list("ij", atoms, cutoff)
        n_pairs += len(i) + len(atoms)
        around = np.zeros((len(atoms), 120), dtype=bool)
        around[i, atoms.numbers[j]] = True
        around[np.arange(len(atoms)), atoms.numbers] = True
        present = around.sum(axis=1)
        if k.get("average") == "inner":
            present = np.array([len(set(atoms.numbers))])
        products += int((present * n * (n + 1) // 2 + present * (present - 1) // 2 * n * n).sum())
    return {"pairs": n_pairs, "flops": 2.0 * harmonics * (n_pairs * n + products)}


def matrix_work(case: Case, structures: Sequence[Atoms]) -> dict[str, float]:
    """Estimate the floating-point work of the matrices.

    For each pair of atoms: 20 operations (Coulomb), 60 (sine), 30 for each real-space term and 4 for each of
    half the wave vectors (Ewald). Sorting is left out.
    """
    flops = 0.0
    for atoms in structures:
        size = len(atoms)
        pairs = size * (size + 1) / 2
        if case.descriptor == "CoulombMatrix":
            flops += 20 * pairs
        elif case.descriptor == "SineMatrix":
            flops += 60 * pairs
        else:
            volume, log_accuracy = atoms.get_volume(), -math.log(1e-5)
            a = math.sqrt(math.pi) * (size / volume**2) ** (1.0 / 6.0)
            r_cut, g_cut = math.sqrt(log_accuracy) / a, 2.0 * a * math.sqrt(log_accuracy)
            terms = len(neighbor_list("i", atoms, r_cut)) / 2
            waves = 4.0 / 3.0 * math.pi * g_cut**3 * volume / (2.0 * math.pi) ** 3
            flops += 30 * terms + waves / 2 * (4 * pairs + 20 * size)
    return {"flops": flops}


def add_limits(results: dict[str, dict[str, Any]]) -> None:
    """Add to every case the time to write the result at the store bandwidth and to compute it at peak."""
    machines = [result["machine"] for result in results.values() if "machine" in result]
    for result in results.values():
        for dtype, suffix, size in (("float64", "", 1.0), ("float32", "_float32", 0.5)):
            if "machine" in result:
                # Noise only slows down, so the best peak of the whole run counts.
                peak = max(machine[f"peak_{dtype}"] for machine in machines)
                write = size * result["output_bytes"] / result["machine"]["store_bandwidth"]
                result[f"limit_seconds{suffix}"] = write + result["work"]["flops"] / peak


# --- processes -------------------------------------------------------------------------------------------


class WorkerError(RuntimeError):
    """A program could not do what was asked."""


class Process:
    """A worker with one program in it."""

    def __init__(self, python: str, engine: str, threads: int = 1) -> None:
        environment = os.environ | {f"{name}_NUM_THREADS": str(threads) for name in THREAD_VARIABLES}
        environment["PYTHONWARNINGS"] = "ignore"
        self.engine = engine
        self.module = engine.partition("-")[0]
        self.pipe = subprocess.Popen(
            [python, str(HERE / "worker.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send a request and wait for the answer."""
        assert self.pipe.stdin is not None
        assert self.pipe.stdout is not None
        print(json.dumps({"do": do, **arguments}), file=self.pipe.stdin, flush=True)
        line = self.pipe.stdout.readline()
        if not line:
            raise WorkerError(f"{self.engine}: the process ended with code {self.pipe.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(f"{self.engine}: {answer['error']}")
        return answer

    def close(self) -> None:
        """End the process."""
        if self.pipe.stdin is not None:
            self.pipe.stdin.close()
        try:
            self.pipe.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.pipe.kill()
            self.pipe.wait()


class Setup:
    """Which programs there are, where, and how long to measure."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.folder = folder
        self.rounds: int = options.rounds or (3 if options.quick else 9)
        self.at_least = 0.02 if options.quick else 0.1
        self.batch_seconds: float = options.batch_seconds or (0.12 if options.quick else 0.3)
        self.batch_bytes = options.batch_mb * 1e6
        self.pythons = {"atomprint": options.python}
        if options.peers_python:
            self.pythons |= {"dscribe": options.peers_python, "featomic": options.peers_python}
        self.versions: dict[str, dict[str, str]] = {}
        for module in list(self.pythons):
            try:
                with self.process(module) as process:
                    self.versions[module] = process.ask("info", module=module)
            except (WorkerError, OSError) as error:
                print(f"left out: {error}", file=sys.stderr)
                del self.pythons[module]

    def has(self, module: str) -> bool:
        """Tell whether the program can be used."""
        return module in self.pythons

    @contextmanager
    def process(self, engine: str, threads: int = 1) -> Iterator[Process]:
        """Start a worker that ends with the block."""
        process = Process(self.pythons[engine.partition("-")[0]], engine, threads)
        try:
            yield process
        finally:
            process.close()

    def save(self, name: str, structures: Sequence[Atoms]) -> str:
        """Write structures for the workers."""
        path = self.folder / f"{name}.npz"
        np.savez(
            path,
            counts=[len(atoms) for atoms in structures],
            numbers=np.concatenate([atoms.numbers for atoms in structures]),
            positions=np.concatenate([atoms.positions for atoms in structures]),
            cells=np.array([atoms.cell.array for atoms in structures]),
            pbc=np.array([atoms.pbc for atoms in structures]),
        )
        return str(path)


@dataclass(frozen=True)
class Contestant:
    """A way to compute a case: label in the results, program, options that differ."""

    label: str
    engine: str
    options: dict[str, Any]
    n_jobs: int = 1
    repeats: int = 1


def race(
    setup: Setup, case: Case, structures: str, contestants: Sequence[Contestant]
) -> tuple[dict[str, list[float]], dict[str, np.ndarray]]:
    """Time the contestants in turn, round after round.

    Returns
    -------
    times : dict of list of float
        Seconds of a call in each round, for every contestant that could run.
    features : dict of array
        All features of the first copy of the structures, flat (not for featomic, which has another basis).
    """
    times: dict[str, list[float]] = {}
    features: dict[str, np.ndarray] = {}
    processes: dict[str, Process] = {}
    try:
        for one in contestants:
            process = Process(setup.pythons[one.engine.partition("-")[0]], one.engine, one.n_jobs)
            processes[one.label] = process
            try:
                process.ask(
                    "prepare",
                    engine=one.engine,
                    descriptor=case.descriptor,
                    kwargs={**case.kwargs, **one.options},
                    structures=structures,
                    repeats=one.repeats,
                    n_jobs=one.n_jobs,
                )
                if one.repeats == 1 and not one.engine.startswith("featomic"):
                    path = setup.folder / f"{one.label}.npy"
                    process.ask("features", path=str(path))
                    features[one.label] = np.load(path)
                    path.unlink()
            except WorkerError as error:
                print(f"{case.name}: left out: {error}", file=sys.stderr)
                processes.pop(one.label).close()
                continue
            times[one.label] = []
        for _ in range(setup.rounds):
            for label, seconds in times.items():
                seconds.append(processes[label].ask("time", at_least=setup.at_least)["seconds"])
    finally:
        for process in processes.values():
            process.close()
    return times, features


def deviation(a: np.ndarray, b: np.ndarray) -> float:
    """Compute the largest difference relative to the largest value; infinite where the shapes differ."""
    return float(np.abs(a - b).max() / np.abs(b).max()) if a.shape == b.shape else math.inf


def measure(setup: Setup, case: Case) -> dict[str, Any]:
    """Measure all figures of one case."""
    structures = case.structures()
    path = setup.save(case.name, structures)
    units = case.n_units(structures)
    soap = case.descriptor == "SOAP"
    result: dict[str, Any] = {
        "unit": case.unit,
        "n_structures": len(structures),
        "n_units": units,
        "descriptor": case.descriptor,
        "kwargs": case.kwargs,
        "target": case.target,
        "work": (soap_work if soap else matrix_work)(case, structures),
    }

    contestants = [Contestant("atomprint", "atomprint", {})]
    if soap:
        contestants.append(Contestant("atomprint-float32", "atomprint", {"dtype": "float32"}))
    contestants.append(Contestant("dscribe", "dscribe", {}))
    if case.featomic:
        contestants += [Contestant(name, name, {}) for name in ("featomic", "featomic-dense")]
    contestants = [one for one in contestants if setup.has(one.engine.partition("-")[0])]
    times, features = race(setup, case, path, contestants)
    result["seconds"] = times
    result["deviation"] = {
        f"{a}/{b}": deviation(features[a], features[b])
        for a, b in (("atomprint", "dscribe"), ("atomprint-float32", "atomprint"))
        if a in features and b in features
    }
    base = next((label for label in ("atomprint", "dscribe") if label in features), None)
    if base is None:
        return result
    result["output_bytes"] = 8 * features[base].size
    module = "atomprint" if setup.has("atomprint") else "dscribe"
    with setup.process(module) as process:
        before = process.ask("machine", n_bytes=result["output_bytes"])

    # Threads: the same structures again and again, until one thread takes long enough.
    once = statistics.median(times[base])
    repeats = max(1, math.ceil(setup.batch_seconds / once))
    repeats = min(repeats, max(1, int(setup.batch_bytes / result["output_bytes"])))
    contestants = [
        Contestant(f"{name}-{jobs}", name, {}, jobs, repeats)
        for name in ("atomprint", "dscribe")
        for jobs in (1, 2)
        if setup.has(name) and (name, jobs) != ("dscribe", 1)
    ]
    rounds, setup.rounds = setup.rounds, max(3, setup.rounds // 2)
    times, _ = race(setup, case, path, contestants)
    setup.rounds = rounds
    result["threads"] = {"repeats": repeats, "seconds": times}
    with setup.process(module) as process:  # again: other work only slows down, so the best counts
        after = process.ask("machine", n_bytes=result["output_bytes"])
    result["machine"] = {key: max(before[key], after[key]) for key in before}
    if setup.has("atomprint"):
        try:
            with setup.process("atomprint") as process:
                result["memory"] = process.ask(
                    "memory",
                    engine="atomprint",
                    descriptor=case.descriptor,
                    kwargs=case.kwargs,
                    structures=path,
                    repeats=repeats,
                    n_jobs=2,
                )
        except WorkerError as error:
            print(f"{case.name}: memory: {error}", file=sys.stderr)
    return result


# --- tables ----------------------------------------------------------------------------------------------


def number(value: float | None, unit: str = "") -> str:
    """Write three significant digits, or a dash."""
    if value is None:
        return "–"
    digits = max(0, 2 - math.floor(math.log10(abs(value)))) if 0.0 < abs(value) < 1e4 else 0
    return f"{value:.{digits}f}{unit}"


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a Markdown table with aligned columns."""
    if not rows:
        return ""
    lines = [list(header), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    rule = ["-" * w if i == 0 else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    text = []
    for line in (lines[0], rule, *lines[1:]):
        cells = [c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))]
        text.append("| " + " | ".join(cells) + " |")
    return "\n".join([f"### {title}", "", *text, ""])


def tables(results: dict[str, dict[str, Any]]) -> str:
    """Lay out all tables, from the numbers in the JSON file."""

    def micro(result: dict[str, Any], label: str, reduce: Callable[[list[float]], float]) -> float | None:
        seconds = result["seconds"].get(label)
        return 1e6 * reduce(seconds) / result["n_units"] if seconds else None

    def ratio(a: float | None, b: float | None) -> float | None:
        return a / b if a is not None and b is not None else None

    main, least, half, threads, memory = [], [], [], [], []
    for name, result in results.items():
        head = f"{name} (µs/{result['unit']})"
        programs = ("atomprint", "dscribe", "featomic", "featomic-dense")
        ours, dscribe, featomic, featomic_dense = (micro(result, p, statistics.median) for p in programs)
        limit = 1e6 * result["limit_seconds"] / result["n_units"] if "limit_seconds" in result else None
        agreement = result["deviation"].get("atomprint/dscribe")
        main.append(
            [
                head,
                *map(number, (ours, dscribe, featomic, featomic_dense)),
                number(ratio(dscribe, ours), "x"),
                number(result["target"], "x"),
                number(ratio(featomic, ours), "x"),
                number(limit),
                number(ratio(ours, limit), "x"),
                "–" if agreement is None else f"{agreement:.0e}",
            ]
        )
        least.append([head, *(number(micro(result, p, min)) for p in programs)])
        single = micro(result, "atomprint-float32", statistics.median)
        if single is not None:
            limit32 = 1e6 * result["limit_seconds_float32"] / result["n_units"]
            half.append(
                [
                    head,
                    number(ours),
                    number(single),
                    number(ratio(ours, single), "x"),
                    number(FLOAT32_TARGET, "x"),
                    number(ratio(single, limit32), "x"),
                    f"{result['deviation'].get('atomprint-float32/atomprint', math.nan):.0e}",
                ]
            )
        batch = result.get("threads", {"seconds": {}})
        one, two, peer = (
            statistics.median(batch["seconds"][key]) if batch["seconds"].get(key) else None
            for key in ("atomprint-1", "atomprint-2", "dscribe-2")
        )
        if "repeats" in batch:
            threads.append(
                [
                    f"{name} x {batch['repeats']}",
                    *(number(None if t is None else 1e3 * t) for t in (one, two, peer)),
                    number(ratio(one, two), "x"),
                    number(THREADS_TARGET, "x") if one is not None and one > 0.1 else "–",
                    number(ratio(peer, two), "x"),
                ]
            )
        if "memory" in result:
            used = result["memory"]
            memory.append(
                [
                    f"{name} x {batch['repeats']}",
                    *(f"{used[key] / 1e6:.1f}" for key in ("result_bytes", "beyond_result_bytes")),
                    number(MEMORY_TARGET_MB),
                ]
            )
    ours_and_peers = ["atomprint", "DScribe", "featomic", "featomic dense"]
    parts = [
        table(
            "One thread, float64 (medians)",
            [
                "case",
                *ours_and_peers,
                "DScribe ratio",
                "target",
                "featomic ratio",
                "limit",
                "to limit",
                "deviation",
            ],
            main,
        ),
        table("One thread, float64 (fastest rounds)", ["case", *ours_and_peers], least),
        table(
            "float32",
            ["case", "float64", "float32", "ratio", "target", "to limit", "deviation"],
            half,
        ),
        table(
            "Threads (ms for the batch)",
            ["case", "1 thread", "2 threads", "ratio", "target", "DScribe n_jobs=2", "DScribe ratio"],
            [[r[0], r[1], r[2], r[4], r[5], r[3], r[6]] for r in threads],
        ),
        table("Memory, 2 threads (MB)", ["case", "result", "beyond it", "target"], memory),
    ]
    return "\n".join(part for part in parts if part)


def processor() -> str:
    """Find the name of the processor, where the system tells."""
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--peers-python",
        default=os.environ.get("ATOMPRINT_PEERS_PYTHON"),
        help="Python of the environment with DScribe and featomic (default: $ATOMPRINT_PEERS_PYTHON)",
    )
    parser.add_argument("--python", default=sys.executable, help="Python that has atomprint (default: this one)")
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
    chosen = [case for case in CASES if any(fnmatch.fnmatch(case.name, p) for p in options.cases)]
    if options.list:
        print("\n".join(case.name for case in chosen))
        return
    if not chosen:
        raise SystemExit(f"no case is called {' or '.join(options.cases)}; --list shows the names")
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        setup = Setup(options, Path(folder))
        if not setup.pythons:
            raise SystemExit("neither atomprint nor a peer can be used")
        for case in chosen:
            print(f"measuring {case.name} ...", file=sys.stderr, flush=True)
            results[case.name] = measure(setup, case)
    add_limits(results)
    report = {
        "machine": {"processor": processor(), "cores": os.cpu_count(), "system": platform.system()},
        "versions": setup.versions,
        "rounds": setup.rounds,
        "cases": results,
    }
    if options.output:
        options.output.write_text(json.dumps(report, indent=1) + "\n")
    print(f"{report['machine']['processor']}, {os.cpu_count()} cores")
    for module, versions in setup.versions.items():
        print(f"- {module}: " + ", ".join(f"{name} {value}" for name, value in versions.items()))
    print()
    print(tables(results))


if __name__ == "__main__":
    main()
