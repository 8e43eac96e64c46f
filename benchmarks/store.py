"""Stores: from CIF to features on the disk, memory, room, and kills.

``python benchmarks/store.py`` measures all but the million, with structures of the shared data; CPU seconds of all
processes, on one core. ``--million`` builds a store of a million rows once (1.0 GB of CIF, 5 GB of store), and may be
stopped and started again; ``--kills 100`` kills a build so many times.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

DATA = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
DATA = Path(os.environ.get("ATOMPRINT_SHARED_DATA", DATA))
# 1200 columns: 4 channels in pairs (10), 6 radial functions each (diagonal pairs halved), degrees 0 to 3.
SOAP = ("-d", "SOAP", "-s", "r_cut=5", "-s", "n_max=6", "-s", "l_max=3")
SOAP += ("-s", 'species_embedding={type="ElementEmbedding", n_channels=4}')
SPECIES = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr "
)
SPECIES += "Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os "
SPECIES += "Ir Pt Au Hg Tl Pb Bi Ac Th Pa U Np Pu"


def cifs() -> Iterator[tuple[str, str, str]]:
    """Yield ids, CIFs and gaps of the shared data."""
    csv.field_size_limit(2**31 - 1)
    for name in ("val", "test"):
        with gzip.open(DATA / "mp" / f"mp_20_biternary_{name}.csv.gz", "rt", newline="") as file:
            for row in csv.DictReader(file):
                yield row["material_id"], row["cif"], row["band_gap"]


def write_source(path: Path, n: int) -> None:
    """Write a table of n CIFs: those of the shared data, again and again with cells that differ a little."""
    known = list(cifs())
    rng = np.random.default_rng(0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "cif", "gap"])
        for number in range(n):
            id_, cif, gap = known[number % len(known)]
            if number >= len(known):
                factor = 1 + 0.02 * rng.random()
                lines = cif.split("\n")
                for at, line in enumerate(lines):
                    if line.startswith("_cell_length_"):
                        tag, value = line.split()
                        lines[at] = f"{tag}   {float(value) * factor:.8f}"
                    elif line.startswith("_cell_volume"):
                        lines[at] = "_cell_volume ?"
                cif = "\n".join(lines)
            writer.writerow([f"{id_}-{number}", cif, gap])


def command(store: Path, source: Path, *more: str) -> list[str]:
    own = ["atomprint.cli", "store", "build", str(store), str(source), *SOAP, "--species", SPECIES, "-j", "1"]
    return [sys.executable, "-m", *own, *more]


def built(store: Path, source: Path, *more: str) -> tuple[float, float]:
    """Build a store; return CPU seconds of all processes, and the largest memory of one of them in MB."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command(store, source, *more), check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, after.ru_maxrss / 1e3


def size(store: Path) -> int:
    return sum(path.stat().st_size for path in store.rglob("*") if path.is_file())


def files(store: Path) -> dict[str, bytes]:
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in store.rglob("*") if path.is_file()}


def speed(folder: Path, n: int) -> None:
    """Measure the way from CIF to the store, and how it is read."""
    from atomprint.store import FeatureStore

    source = folder / "cifs.csv"
    write_source(source, n)
    for name, more in (("processes", ()), ("threads", ("--threads",))):
        shutil.rmtree(folder / "s", ignore_errors=True)
        seconds, memory = built(folder / "s", source, *more)
        print(f"{n} CIFs to 1200 x float32, {name}: {n / seconds:,.0f} structures per CPU second, {memory:.0f} MB")
    print(f"room: {size(folder / 's') / n:,.0f} bytes a structure, 4800 of them features")
    seconds, _ = built(folder / "s", source)
    print(f"the same again: {seconds:.1f} CPU s, {n / seconds:,.0f} structures per CPU second read and compared")
    begin = time.process_time()
    store = FeatureStore.open(folder / "s")
    print(f"open: {1e3 * (time.process_time() - begin):.0f} ms")
    rows = np.random.default_rng(0).integers(0, len(store), 500)
    store.features(rows)
    begin = time.process_time()
    store.features(rows)
    print(f"500 random rows: {1e3 * (time.process_time() - begin):.1f} ms")
    begin = time.process_time()
    for block in store.blocks():
        float(block.features.sum())
    print(f"scan: {len(store) * 4800 / (time.process_time() - begin) / 1e6:,.0f} MB/s")
    begin = time.process_time()
    n_structures = sum(len(block.structures) for block in store.blocks())
    print(f"structures: {n_structures / (time.process_time() - begin):,.0f} per CPU second")


def memory(folder: Path, sizes: tuple[int, ...]) -> None:
    """Measure the largest memory of a build, of both processes."""
    for n in sizes:
        source = folder / f"{n}.csv"
        write_source(source, n)
        shutil.rmtree(folder / "m", ignore_errors=True)
        print(f"{n} rows: {peak_of_all(command(folder / 'm', source)):.0f} MB at most, both processes together")
        source.unlink()


def peak_of_all(words: list[str]) -> float:
    """Run a command; return the largest sum of the memory of its processes, in MB, looked at every 50 ms."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, sum(map(resident, family(process.pid))))
        time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"{words} ended with {process.returncode}")
    return peak


def family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for task in Path(f"/proc/{pid}/task").iterdir():
            children += (task / "children").read_text().split()
    except OSError:
        return []
    return [pid, *{int(child) for child in children}]


def resident(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6
    except (OSError, IndexError):
        return 0.0


def kills(folder: Path, count: int, n: int) -> None:
    """Kill builds at random moments, most of them while they write, and compare the stores with an undisturbed one."""
    source = folder / "k.csv"
    write_source(source, n)
    more = ("--block", "16")
    begin = time.monotonic()
    built(folder / "whole", source, *more)
    whole = time.monotonic() - begin
    expected = files(folder / "whole")
    rng = random.Random(0)
    done = stores = within = 0
    while done < count:
        stores += 1
        shutil.rmtree(folder / "s", ignore_errors=True)
        while done < count:
            process = subprocess.Popen(command(folder / "s", source, *more), stdout=subprocess.DEVNULL)
            # The start alone takes a second or so: moments after it are those in which something happens.
            try:
                process.wait(whole * (0.3 + 0.6 * rng.random()))
                break
            except subprocess.TimeoutExpired:
                if rng.random() < 0.9:
                    await_write(folder / "s", process)
                if process.poll() is not None:
                    break
                victims = family(process.pid)
                victim = rng.choice(victims) if len(victims) > 1 and rng.random() < 0.3 else process.pid
                os.kill(victim, 9)
                within += any((folder / "s").glob(".partial-*/shard/*"))  # what a write has left behind
                done += 1
                if victim == process.pid:
                    process.wait()
                else:
                    process.wait()
                    break
        built(folder / "s", source, *more)
        if files(folder / "s") != expected:
            raise SystemExit(f"after {done} kills the store is not that of an undisturbed run")
        print(f"{stores} stores, {done} kills, {within} within a write", file=sys.stderr, flush=True)
    print(
        f"{done} kills (-9) of {stores} builds, {within} of them within a write: every store is that of an undisturbed "
        f"run, byte for byte ({len(expected)} files)"
    )


def await_write(store: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until a build is about to write a shard, or has come to its end; a second at most."""
    until = time.monotonic() + 1
    while time.monotonic() < until and process.poll() is None:
        if any(store.glob(".partial-*/shard/*")):
            return


def million(folder: Path, n: int) -> None:
    """Build a store of a million rows, in as many goes as it takes."""
    source = folder / f"{n}.csv"
    if not source.exists():
        write_source(source.with_suffix(".tmp"), n)
        source.with_suffix(".tmp").rename(source)
    peak = peak_of_all(command(folder / "million", source))
    there = folder / "million"
    print(f"{n} rows: {peak:.0f} MB at most, {size(there) / n:,.0f} bytes a structure")
    about = json.loads((there / "store.json").read_text())
    print(f"{len(list((there / 'shards').iterdir()))} shards of {about['block']} rows")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=14_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--memory", type=int, nargs="*", default=[10_000, 30_000])
    parser.add_argument("--million", type=int, nargs="?", const=1_000_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--only", choices=("speed", "memory", "kills", "million"))
    asked = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        folder = Path(name)
        if asked.only in (None, "speed"):
            speed(folder, asked.rows)
        if asked.only in (None, "memory"):
            memory(folder, tuple(asked.memory))
        if asked.only in (None, "kills"):
            kills(folder, asked.kills, 640)
        if asked.million:
            million(asked.folder or folder, asked.million)


if __name__ == "__main__":
    main()
