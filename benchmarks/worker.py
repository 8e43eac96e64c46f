"""One program under test, in its own environment, driven over a pipe.

``compare.py`` starts this script once for each program (with the Python of the environment that has it) and
sends requests, one JSON object a line; each gets one JSON object back. Structures and features travel through
``.npz`` and ``.npy`` files. The script imports only the program that it is asked for.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import sys
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from typing import Any

import numpy as np
from ase import Atoms

Features = list[np.ndarray]
DISTRIBUTIONS = {"pyace": "python-ace", "quippy": "quippy-ase"}  # of modules with other names


def load_structures(path: str) -> list[Atoms]:
    """Structures from a file of flat arrays."""
    with np.load(path) as data:
        ends = np.cumsum(data["counts"])
        arrays = [data[name] for name in ("numbers", "positions", "cells", "pbc")]
    numbers, positions, cells, pbc = arrays
    starts = np.concatenate([[0], ends[:-1]])
    return [
        Atoms(numbers[a:b], positions=positions[a:b], cell=cell, pbc=p)
        for a, b, cell, p in zip(starts, ends, cells, pbc, strict=True)
    ]


def dense(output: Any) -> Features:
    """Turn the output of ``create`` into a list of arrays."""
    return list(output) if isinstance(output, list) else [np.asarray(output)]


class Descriptor:
    """atomprint or DScribe: the same classes, the same arguments."""

    def __init__(self, module: str, name: str, kwargs: dict[str, Any]) -> None:
        descriptors = import_module(f"{module}.descriptors")
        self.descriptor = getattr(descriptors, name)(**kwargs)

    def call(self, structures: list[Atoms], n_jobs: int, task: str) -> Callable[[], Any]:
        """Make what is timed."""
        method = getattr(self.descriptor, task)
        if task == "derivatives":
            return lambda: method(structures, method="analytical", return_descriptor=False, n_jobs=n_jobs)
        if task == "vjp":
            features = self.descriptor.create(structures)
            if isinstance(features, list):
                cotangents: Any = [np.ones_like(rows) for rows in features]
            else:
                cotangents = np.ones_like(features)
            return lambda: method(structures, cotangents, n_jobs=n_jobs)
        if task == "jacobian":  # with its numbers, as others give them
            return lambda: [block.values for block in method(structures, n_jobs=n_jobs).blocks]
        return lambda: method(structures, n_jobs=n_jobs)


class Kernel:
    """A kernel of atomprint or DScribe: the same classes, the same arguments."""

    def __init__(self, module: str, name: str, kwargs: dict[str, Any]) -> None:
        self.soap = Descriptor(module, "SOAP", kwargs["soap"]).descriptor
        self.kernel = getattr(import_module(f"{module}.kernels"), name)(**kwargs["kernel"])

    def call(self, structures: list[Atoms], n_jobs: int, task: str) -> Callable[[], Any]:
        """Make what is timed: the kernel between all structures, from features of unit length."""
        features = [x / np.linalg.norm(x, axis=1)[:, None] for x in self.soap.create(structures)]
        return lambda: self.kernel.create(features)


class Featomic:
    """SoapPowerSpectrum with the Gaussian basis, as it comes out or as one dense array."""

    def __init__(self, kwargs: dict[str, Any], densify: bool) -> None:
        from featomic import SoapPowerSpectrum

        # The radius of its basis has to be its cutoff, so it sees fewer neighbours than the other two.
        radial = {"type": "Gto", "max_radial": kwargs["n_max"] - 1}
        self.calculator = SoapPowerSpectrum(
            cutoff={"radius": kwargs["r_cut"], "smoothing": {"type": "Step"}},
            density={"type": "Gaussian", "width": kwargs["sigma"]},
            basis={"type": "TensorProduct", "max_angular": kwargs["l_max"], "radial": radial},
        )
        self.densify = densify

    def call(self, structures: list[Atoms], n_jobs: int, task: str) -> Callable[[], Any]:
        """Make what is timed; the number of threads is fixed when the process starts."""
        if task == "derivatives":
            return lambda: self.calculator.compute(structures, gradients=["positions"])
        if not self.densify:
            return lambda: self.calculator.compute(structures)

        def run() -> Any:
            blocks = self.calculator.compute(structures).keys_to_samples("center_type")
            return blocks.keys_to_properties(["neighbor_1_type", "neighbor_2_type"]).block().values

        return run


class Worker:
    """State of one process: the structures and the calculation that the next requests are about."""

    def __init__(self) -> None:
        self.run: Callable[[], Any] = lambda: None
        self.engine = ""
        self.workload: Any = None

    def info(self, module: str) -> dict[str, Any]:
        """Versions, or why the program cannot be used."""
        try:
            package = "atomprint" if module == "before" else module
            import_module(f"{package}.descriptors" if package in ("atomprint", "dscribe") else package)
            versions = {name: version(DISTRIBUTIONS.get(name, name)) for name in (package, "numpy", "ase")}
        except Exception as error:  # whatever goes wrong there, the others can still be measured
            return {"error": f"{type(error).__name__}: {error}"}
        return {"python": platform.python_version(), **versions}

    def prepare(
        self,
        engine: str,
        descriptor: str,
        kwargs: dict[str, Any],
        structures: str,
        repeats: int = 1,
        n_jobs: int = 1,
        task: str = "create",
    ) -> dict[str, Any]:
        """Set up a calculation and run it once, so that what follows is warm."""
        batch = load_structures(structures) * repeats
        program: Descriptor | Featomic | Kernel
        if engine.startswith("featomic"):
            program = Featomic(kwargs, densify=engine.endswith("dense"))
        elif task == "kernel":
            program = Kernel(engine, descriptor, kwargs)
        else:
            program = Descriptor(engine, descriptor, kwargs)
        self.run = program.call(batch, n_jobs, task)
        start = time.perf_counter()
        self.run()
        return {"seconds": time.perf_counter() - start}

    def time(self, at_least: float) -> dict[str, Any]:
        """Mean time of a call, over as many calls as fill `at_least` seconds."""
        return {"seconds": mean_time(self.run, at_least, "wall")}

    def wait(self, name: str) -> dict[str, Any]:
        """Set up a row of ``waits.py``; n is None where the program cannot do it."""
        from waits import ROWS

        self.workload = ROWS[name].make("atomprint" if self.engine == "before" else self.engine)
        if self.workload is None:
            return {"n": None}
        for run in (self.workload.run, self.workload.over):
            if run is not None:
                run()
        return {"n": self.workload.n}

    def time_wait(self, at_least: float, clock: str) -> dict[str, Any]:
        """Mean time of a call, and of the call that it is divided by."""
        found: dict[str, Any] = {}
        for key, run in (("seconds", self.workload.run), ("over", self.workload.over)):
            found[key] = None if run is None else mean_time(run, at_least, clock)
        return found

    def wait_memory(self, name: str) -> dict[str, Any]:
        """Measure the peak memory of one call, with its result."""
        from waits import ROWS

        workload = ROWS[name].make("atomprint" if self.engine == "before" else self.engine)
        if workload is None:
            return {"bytes": None, "n": 1}
        before = current_memory()
        reset_peak()
        workload.run()
        return {"bytes": peak_memory() - before, "n": workload.n}

    def fit(self, **arguments: Any) -> dict[str, Any]:
        """Fit a potential, see ``potential_own.py`` and ``potential_peers.py``."""
        if self.engine == "atomprint":
            import potential_own

            return potential_own.fit(**arguments)
        from potential_peers import FITS

        return FITS[self.engine](**arguments)

    def split_structures(self, **arguments: Any) -> dict[str, Any]:
        """Write structures to train and to test on, see ``potential_own.py``."""
        import potential_own

        return potential_own.split(**arguments)

    def doubt(self, **arguments: Any) -> dict[str, Any]:
        """Look at expected errors, see ``potential_own.py``."""
        import potential_own

        return potential_own.doubt(**arguments)

    def holes(self, **arguments: Any) -> dict[str, Any]:
        """Look for holes, see ``potential_own.py``."""
        import potential_own

        return potential_own.holes(**arguments)

    def step(self, **arguments: Any) -> dict[str, Any]:
        """Set up a step with a potential, and run it so often that what follows is warm."""
        if self.engine == "atomprint":
            import potential_own

            self.run, n_atoms = potential_own.step(**arguments)
        else:
            from potential_peers import STEPS

            self.run, n_atoms = STEPS[self.engine](**arguments)
        for _ in range(3):
            self.run()
        return {"n": n_atoms}

    def time_step(self, at_least: float) -> dict[str, Any]:
        """Mean CPU time of a step."""
        return {"seconds": mean_time(self.run, at_least, "cpu")}

    def features(self, path: str) -> dict[str, Any]:
        """Write all features, one after the other, and tell their shapes."""
        arrays = dense(self.run())
        np.save(path, np.concatenate([a.ravel() for a in arrays]))
        return {"bytes": sum(a.nbytes for a in arrays), "n_arrays": len(arrays)}

    def memory(self, **kwargs: Any) -> dict[str, Any]:
        """Measure the peak memory of a call in this fresh process, beyond its use before and its result."""
        # Warm up with one copy of the structures, then measure the whole batch.
        self.prepare(**{**kwargs, "repeats": 1})
        repeats, n_jobs = kwargs["repeats"], kwargs["n_jobs"]
        batch = load_structures(kwargs["structures"]) * repeats
        program = Descriptor(kwargs["engine"], kwargs["descriptor"], kwargs["kwargs"])
        run = program.call(batch, n_jobs, kwargs.get("task", "create"))
        before = current_memory()
        reset = reset_peak()
        result = run()
        beyond = peak_memory() - before
        # Derivatives come as tuples of arrays.
        arrays = dense(result) if not isinstance(result, tuple) else [a for a in result if a is not None]
        size = sum(a.nbytes for a in arrays)
        return {"result_bytes": size, "beyond_result_bytes": beyond - size, "peak_was_reset": reset}

    def machine(self, n_bytes: int) -> dict[str, Any]:
        """Store bandwidth (bytes/s) into a warm buffer of this size, and peak flop/s of matrix products."""
        buffer = np.zeros(max(n_bytes // 8, 1))
        out: dict[str, Any] = {"store_bandwidth": 8 * len(buffer) / fastest(lambda: buffer.fill(1.0))}
        for dtype in (np.float64, np.float32):
            a = np.full((512, 512), 1.5, dtype=dtype)
            c = np.empty_like(a)
            out[f"peak_{np.dtype(dtype).name}"] = 2 * 512**3 / fastest(lambda a=a, c=c: np.matmul(a, a, out=c))
        return out


def mean_time(run: Callable[[], Any], at_least: float, clock: str) -> float:
    """Mean time of a call, over as many calls as fill `at_least` seconds, of CPU or on the wall."""
    now = time.process_time if clock == "cpu" else time.perf_counter
    total, calls = 0.0, 0
    while calls == 0 or (total < at_least and calls < 10000):
        start = now()
        result = run()
        total += now() - start
        calls += 1
        del result
    return total / calls


def fastest(function: Callable[[], Any], rounds: int = 7, at_least: float = 0.01) -> float:
    """Shortest mean time of a call over a few rounds, each of `at_least` seconds or one call."""
    function()
    best = np.inf
    for _ in range(rounds):
        calls, start = 0, time.perf_counter()
        while calls == 0 or time.perf_counter() - start < at_least:
            function()
            calls += 1
        best = min(best, (time.perf_counter() - start) / calls)
    return float(best)


def status_bytes(key: str) -> int | None:
    """Look up a line of Linux's table of this process."""
    try:
        with open("/proc/self/status") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))
    except (OSError, StopIteration):
        return None


def current_memory() -> int:
    """Resident bytes; where the system does not tell, the peak up to now."""
    return status_bytes("VmRSS:") or peak_memory()


def peak_memory() -> int:
    """Largest number of resident bytes up to now."""
    peak = status_bytes("VmHWM:")
    if peak is not None:
        return peak
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def reset_peak() -> bool:
    """Let the peak start again from the current use, where the system allows it."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        return False
    return True


def main() -> None:
    """Answer requests until the pipe is closed."""
    warnings.simplefilter("ignore")
    # Programs may print: the pipe is for answers only.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = Worker()
    worker.engine = sys.argv[1]
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(worker, request.pop("do"))(**request)
        except Exception as error:  # reported to, and judged by, the other side
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
