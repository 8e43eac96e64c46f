"""Programs in processes of their own that take turns, and the tables of what they needed."""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

HERE = Path(__file__).resolve().parent
BEFORE = HERE / "before.json"
PEERS = ("dscribe", "mdescriptor", "featomic", "vesin", "matscipy", "sphericart")
THREAD_VARIABLES = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "RAYON", "NUMBA")


class WorkerError(RuntimeError):
    """A program could not do what was asked."""


class Process:
    """A worker with one program in it, which the system ends after so many CPU seconds."""

    def __init__(
        self,
        python: str,
        engine: str,
        threads: int = 1,
        environment: dict[str, str] | None = None,
        cpu_seconds: float | None = None,
    ) -> None:
        environment = (environment or dict(os.environ)) | {
            f"{name}_NUM_THREADS": str(threads) for name in THREAD_VARIABLES
        }
        environment["PYTHONWARNINGS"] = "ignore"
        environment["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen={str(threads > 1).lower()}"
        self.engine = engine
        self.module = engine.partition("-")[0]
        self.pipe = subprocess.Popen(
            [python, str(HERE / "worker.py"), self.module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
            preexec_fn=None if cpu_seconds is None else lambda: _limit(cpu_seconds),
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


def _limit(cpu_seconds: float) -> None:
    """End this process, and each that it starts, after so much CPU time."""
    import resource

    resource.setrlimit(resource.RLIMIT_CPU, (int(cpu_seconds), int(cpu_seconds) + 10))


class Setup:
    """Which programs there are, where, and how long to measure."""

    def __init__(self, options: argparse.Namespace, folder: Path, peers: Sequence[str] = PEERS) -> None:
        self.folder = folder
        self.rounds: int = options.rounds or (3 if options.quick else 9)
        self.at_least = 0.02 if options.quick else 0.1
        self.batch_seconds: float = options.batch_seconds or (0.12 if options.quick else 0.3)
        self.batch_bytes = options.batch_mb * 1e6
        self.pythons = {"atomprint": options.python}
        self.base_path: str | None = options.base_path
        self.before: dict[str, float] = json.loads(BEFORE.read_text())["values"] if BEFORE.exists() else {}
        if options.base_path:
            self.pythons["before"] = options.python
        if options.peers_python:
            self.pythons |= dict.fromkeys(peers, options.peers_python)
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
        process = self.start(engine, threads)
        try:
            yield process
        finally:
            process.close()

    def start(self, engine: str, threads: int = 1, cpu_seconds: float | None = None) -> Process:
        """Start a worker."""
        module = engine.partition("-")[0]
        return Process(self.pythons[module], engine, threads, self.environment(module), cpu_seconds)

    def environment(self, module: str) -> dict[str, str]:
        """Return the variables of a program: an older atomprint is found by its folder."""
        return dict(os.environ) | ({"PYTHONPATH": self.base_path} if module == "before" and self.base_path else {})

    def attempt(self, process: Process, do: str, **arguments: Any) -> dict[str, Any] | None:
        """Ask for what a program may be unable to do."""
        try:
            return process.ask(do, **arguments)
        except WorkerError as error:
            print(f"left out: {error}", file=sys.stderr)
            return None

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
    task: str = "create"


def race(
    setup: Setup, case: Any, structures: str, contestants: Sequence[Contestant]
) -> tuple[dict[str, list[float]], dict[str, np.ndarray]]:
    """Time the contestants in turn, round after round, on a case with a name, a descriptor and its kwargs.

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
            process = setup.start(one.engine, one.n_jobs)
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
                    task=one.task,
                )
                if one.task in ("create", "kernel") and one.repeats == 1 and not one.engine.startswith("featomic"):
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


def ratio(a: float | None, b: float | None) -> float | None:
    """Divide where there are two numbers."""
    return a / b if a is not None and b is not None else None
