"""Try readers, models and the command line with inputs that were spoilt, for as long as is wanted.

``python tests/fuzz/run.py --seconds 3600 --seed 1`` prints what failed, with a file that reproduces it. Every input
follows from the seed, the target and its number, so that any of them can be made again:
``python tests/fuzz/run.py --only cif --seed 1 --first 4711 --count 1``.

An input may be read, or refused with a ``ValueError`` that people understand. It fails if there is any other error, a
crash, more than 10 seconds of the processor or 4 GiB of memory, a message in the words of Python, rows that are neither
read nor listed as left out, or other values for the same data in another writing.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # child processes have no threads of their parents
        os.environ[_name] = "1"

import numpy as np
from helpers.forks import fork

from fuzz import targets

SECONDS, MEMORY = 10, 4 * 2**30
_PATIENCE = 120  # seconds without a word from a child process
_AT_ONCE = 200  # inputs for one child process


class Failure(NamedTuple):
    """An input that failed."""

    target: str
    number: int
    what: str  # in one line
    where: str  # traceback
    file: Path


def make(name: str, seed: int, number: int) -> bytes:
    """Return an input by its number."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode()), number])
    return targets.TARGETS[name].make(rng)


def try_one(name: str, seed: int, number: int, folder: Path) -> tuple[str, str] | None:
    """Return what failed and where, or None."""
    path = folder / f"input{targets.TARGETS[name].ending}"
    try:
        path.write_bytes(make(name, seed, number))
        targets.run(name, path)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}", traceback.format_exc()
    return None


def _child(name: str, seed: int, numbers: range, write: int) -> None:
    """Try inputs one after the other; write a byte for each to a pipe, or a line about what failed."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    soft = MEMORY + _size()
    resource.setrlimit(resource.RLIMIT_AS, (soft, soft))

    def late(*_: object) -> None:
        raise TimeoutError(f"it takes more than {SECONDS} s")

    signal.signal(signal.SIGVTALRM, late)  # time of the processor: the machine may be busy with other things
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    with tempfile.TemporaryDirectory() as folder:
        for _number in numbers:
            signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
            found = try_one(name, seed, _number, Path(folder))
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            text = "" if found is None else "\x01".join(found)
            os.write(write, text.replace("\x00", "").encode("utf-8", "replace")[:60_000] + b"\x00")


def _size() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def try_many(name: str, seed: int, numbers: range) -> Iterator[tuple[int, str, str]]:
    """Yield the inputs that failed: number, what, where. They run in child processes, whose crashes are failures."""
    targets.prepare(name)
    while len(numbers):
        read, write = os.pipe()
        pid = fork()
        if pid == 0:
            try:
                os.close(read)
                _child(name, seed, numbers, write)
            finally:
                os._exit(0)
        os.close(write)
        done, rest = 0, b""
        import select

        while True:
            ready, _, _ = select.select([read], [], [], _PATIENCE)
            if not ready:  # in compiled code, where no alarm is heard
                os.kill(pid, signal.SIGKILL)
                break
            got = os.read(read, 65536)
            if not got:
                break
            rest += got
            *whole, rest = rest.split(b"\x00")
            for text in whole:
                if text:
                    what, _, where = text.decode().partition("\x01")
                    yield numbers[done], what, where
                done += 1
        os.close(read)
        _, status = os.waitpid(pid, 0)
        if done < len(numbers):
            code = os.waitstatus_to_exitcode(status)
            what = "hangs in compiled code" if code == -signal.SIGKILL else f"ends the process with {code}"
            yield numbers[done], what, ""
            done += 1
        numbers = numbers[done:]


def fuzz(
    names: list[str], seed: int, first: int, count: int | None, seconds: float | None, save: Path
) -> tuple[Counter[str], list[Failure]]:
    """Try inputs of several targets in turn; return how many of each, and the first failure of each kind."""
    start, tried, failures, kinds = time.monotonic(), Counter[str](), list[Failure](), Counter[tuple[str, str]]()
    place = dict.fromkeys(names, first)
    while names:
        for name in list(names):
            n = max(1, _AT_ONCE // targets.TARGETS[name].cost)
            share = None if count is None else first + max(1, count // targets.TARGETS[name].cost)
            stop = place[name] + n if share is None else min(place[name] + n, share)
            for number, what, where in try_many(name, seed, range(place[name], stop)):
                lines = [line.strip() for line in where.splitlines() if "/atomprint/" in line]
                kind = (name, what.partition(":")[0] + (lines[-1] if lines else what[:60]))
                kinds[kind] += 1
                if kinds[kind] > 1:
                    continue
                save.mkdir(parents=True, exist_ok=True)
                file = save / f"{name}-{seed}-{number}{targets.TARGETS[name].ending}"
                file.write_bytes(make(name, seed, number))
                failures.append(Failure(name, number, what, where, file))
                print(f"FAILED {name} {number}: {what}\n  {lines[-1] if lines else ''}\n  {file}", flush=True)
            tried[name] += stop - place[name]
            place[name] = stop
            if share is not None and stop >= share:
                names.remove(name)
            if seconds is not None and time.monotonic() - start > seconds:
                names = []
                break
    for (name, what), n in kinds.most_common():
        print(f"{n:7} {name}: {what[:150]}")
    return tried, failures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, help="how long; default: until --count is reached, else 60")
    parser.add_argument("--count", type=int, help="how many inputs for each target; fewer for slow ones")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--only", action="append", choices=list(targets.TARGETS), help="target; may be repeated")
    parser.add_argument("--save", type=Path, default=Path("fuzz-failures"), help="folder for inputs that failed")
    asked = parser.parse_args()
    seconds = 60.0 if asked.seconds is None and asked.count is None else asked.seconds
    names = asked.only or list(targets.TARGETS)
    tried, failures = fuzz(list(names), asked.seed, asked.first, asked.count, seconds, asked.save)
    each = ", ".join(f"{name} {n}" for name, n in tried.items())
    print(f"{sum(tried.values())} inputs, {len(failures)} kinds of failures: {each}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
