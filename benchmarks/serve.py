"""What `atomprint serve` takes over the loopback: latency, requests a second, a flood, memory.

python benchmarks/serve.py [--model FILE] [--requests 500] [--clients 8]

Without a model it serves 300 trees on SOAP of rocksalt crystals. Wall times are those of the client; on a machine that
others use too the CPU time of the server, beside them, is what counts.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
from ase.build import bulk
from ase.io import write

CELLS = {"NaCl": 5.64, "KCl": 6.29, "MgO": 4.21, "LiF": 4.03, "CaO": 4.81, "NaF": 4.62, "KBr": 6.6, "LiCl": 5.13}
FLOOD = 150
TICK = os.sysconf("SC_CLK_TCK")


def crystals(n: int, seed: int) -> list:
    rng = np.random.default_rng(seed)
    names = rng.choice(list(CELLS), n)
    return [bulk(name, "rocksalt", CELLS[name] * rng.uniform(0.95, 1.05), cubic=True) for name in names]


def make_model(path: Path) -> None:
    from sklearn.ensemble import ExtraTreesRegressor

    from atomprint.datasets import Dataset, Target
    from atomprint.descriptors import SOAP
    from atomprint.learn import Problem
    from atomprint.workflow import TrainedModel, assemble

    structures = crystals(300, 0)
    target = Target(np.array([atoms.get_volume() for atoms in structures]), "Å^3", "Volume", "Of the cell.")
    ids = tuple(map(str, range(len(structures))))
    data = Dataset("salts", "Rocksalt crystals", structures, ids, {"volume": target}, "", "", None)
    problem = Problem.of(data, "volume")
    soap = SOAP(r_cut=5.0, n_max=6, l_max=4, periodic=True, average="inner")
    pipeline = assemble(soap, ExtraTreesRegressor(300, random_state=0)).fit(structures, problem.y)
    TrainedModel.of(pipeline, problem).save(path)


def bodies(n: int) -> list[bytes]:
    """Return requests, each with a CIF that the model has not seen."""
    found = []
    for atoms in crystals(n, 1):
        out = BytesIO()
        write(out, atoms, format="cif")
        found.append(json.dumps({"structures": [out.getvalue().decode()]}).encode())
    return found


def client(port: int, requests: list[bytes]) -> list[float]:
    """Return the seconds that each request took on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    times = []
    for body in requests:
        started = time.perf_counter()
        connection.request("POST", "/v1/predict", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        times.append(time.perf_counter() - started)
        assert answer.status == 200, content
    connection.close()
    return times


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def memory(pid: int) -> float:
    return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = given.model or Path(folder) / "volume.atomprint"
        if given.model is None:
            make_model(model)
        command = [sys.executable, "-m", "atomprint.cli", "serve", str(model), "--port", "0"]
        server = subprocess.Popen(
            [*command, "--workers", str(given.workers)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        try:
            port = next(int(found[1]) for line in server.stdout if (found := re.search(r"127\.0\.0\.1:(\d+)", line)))
            measure(server.pid, port, given)
        finally:
            server.terminate()
            server.wait(timeout=60)


def measure(pid: int, port: int, given: argparse.Namespace) -> None:
    requests = bodies(given.requests)
    (first,) = client(port, requests[:1])
    before = cpu(pid)
    times = np.array(client(port, requests))
    each = (cpu(pid) - before) / len(times)
    p50, p99 = 1e3 * np.quantile(times, [0.5, 0.99])
    print(f"first request        {1e3 * first:8.1f} ms")
    print(f"one client           {p50:8.1f} ms median, {p99:.1f} ms p99, {1e3 * each:.1f} ms of CPU")
    before, started = cpu(pid), time.perf_counter()
    with ThreadPoolExecutor(given.clients) as pool:
        list(pool.map(lambda k: client(port, requests[k :: given.clients]), range(given.clients)))
    wall, used = time.perf_counter() - started, cpu(pid) - before
    print(
        f"{given.clients} clients            {len(requests) / wall:8.0f} requests/s, "
        f"{len(requests) / used:.0f} a second of CPU ({given.workers} worker)"
    )
    answers = flood(port, requests[0])
    counts = ", ".join(f"{n} times {status}" for status, n in sorted(answers.items()))
    print(f"{FLOOD} clients at once  {counts}")
    client(port, requests[:1])  # it is there as before
    print(f"peak memory          {memory(pid):8.0f} MB")


def flood(port: int, body: bytes) -> Counter:
    """Return the answers to more clients than there are places in the queue, who do not wait for each other."""

    def ask(_: int) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", "/v1/predict", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status

    with ThreadPoolExecutor(FLOOD) as pool:
        return Counter(pool.map(ask, range(2 * FLOOD)))


if __name__ == "__main__":
    main()
