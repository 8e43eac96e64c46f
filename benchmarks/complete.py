"""A complete run: tables of CIFs to one table of features in float32, and where each second goes.

    python benchmarks/complete.py ../shared/data/mp/mp_20_biternary_*.csv.gz

Any file of structures will do. They are read one by one, described by an averaged SOAP of all their elements, and
written row by row to an .npy file, with memory that does not grow with their number. Seconds are of CPU; what is not
listed, such as starting Python, is no part of the run. Tables of CIFs are then read once more, step by step.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import gemmi
import numpy as np
from ase import Atoms
from numpy.lib import format as npy

from atomprint.chemistry.elements import ElementEmbedding
from atomprint.descriptors import SOAP
from atomprint.formats.cif.blocks import read_blocks
from atomprint.formats.cif.crystal import crystal_of_block
from atomprint.formats.tables import read_table
from atomprint.structures import iter_structures

ELEMENTS = list(range(1, 95))


class Clock:
    """Adds up the CPU time of kinds of work that take turns."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._kind, self._since = "", time.process_time()

    def turn_to(self, kind: str) -> str:
        """Count from now on for another kind of work, and return the last."""
        now, last = time.process_time(), self._kind
        self.seconds[last] += now - self._since
        self._kind, self._since = kind, now
        return last


def read(paths: Iterable[Path], clock: Clock) -> Iterator[Atoms]:
    """Yield the structures of some files, and count the time for them."""
    for path in paths:
        structures = iter_structures(path)
        while True:
            last = clock.turn_to("read")
            structure = next(structures, None)
            clock.turn_to(last)
            if structure is None:
                break
            yield structure


def read_in_steps(paths: Iterable[Path], clock: Clock) -> int:
    """Read tables of CIFs again, count the time for each step, and return the number of crystals."""
    n = 0
    for path in paths:
        clock.turn_to("the table")
        for row in read_table(path):
            clock.turn_to("gemmi")
            gemmi.cif.read_string(row.fields["cif"])
            clock.turn_to("gemmi, and blocks of what it found")
            (block,) = read_blocks(row.fields["cif"])
            clock.turn_to("the crystal, judged")
            atoms = crystal_of_block(block, False)
            clock.turn_to("of that Atoms")
            Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell.array, pbc=True)
            clock.turn_to("the table")
            n += 1
    clock.turn_to("")
    return n


class Table:
    """Rows of numbers that are written to an .npy file as they come."""

    def __init__(self, path: Path, n_columns: int) -> None:
        self._file, self._n_columns, self.n_rows = path.open("wb"), n_columns, 0
        self._write_head()

    def _write_head(self) -> None:
        self._file.seek(0)
        # With room for any number of rows, which is known when all are written.
        shape = (self.n_rows, self._n_columns)
        npy.write_array_header_1_0(self._file, {"descr": "<f4", "fortran_order": False, "shape": shape})

    def write(self, rows: np.ndarray) -> None:
        """Add rows at the end."""
        self._file.write(np.ascontiguousarray(rows, dtype="<f4").data)
        self.n_rows += len(rows)

    def close(self) -> None:
        """Say how many rows there are, and end the file."""
        self._write_head()
        self._file.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="+", type=Path, help="files of structures")
    parser.add_argument("--jobs", type=int, default=1, help="number of threads")
    parser.add_argument("--output", type=Path, help="the .npy file; by default one that is removed again")
    arguments = parser.parse_args()
    soap = SOAP(
        species=ELEMENTS,
        r_cut=5.0,
        n_max=3,
        l_max=6,
        average="outer",
        species_embedding=ElementEmbedding(6),
        dtype="float32",
        n_jobs=arguments.jobs,
    )
    n_features = soap.get_number_of_features()
    at_start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    clock, wall = Clock(), time.perf_counter()
    n_atoms = 0

    def counted(structures: Iterator[Atoms]) -> Iterator[Atoms]:
        nonlocal n_atoms
        for structure in structures:
            n_atoms += len(structure)
            yield structure

    with tempfile.TemporaryDirectory() as folder:
        table = Table(arguments.output or Path(folder) / "features.npy", n_features)
        clock.turn_to("compute")
        for rows in soap.iter_create(counted(read(arguments.paths, clock))):
            clock.turn_to("write")
            table.write(rows)
            clock.turn_to("compute")
        clock.turn_to("write")
        table.close()
        clock.turn_to("")
    wall = time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    n, total = table.n_rows, sum(clock.seconds.values())
    print(f"{n} structures, {n_atoms} atoms, {n_features} features, {n * n_features * 4 / 2**20:.0f} MB")
    for kind in ("read", "compute", "write"):
        seconds = clock.seconds[kind]
        print(f"{kind:8} {seconds:6.2f} s  {100 * seconds / total:3.0f} %  {seconds / n * 1e6:6.1f} µs a structure")
    print(f"{'all':8} {total:6.2f} s, {n / total:.0f} structures a second of CPU; {wall:.2f} s on the clock")
    if all(path.name.endswith((".csv", ".csv.gz")) for path in arguments.paths):
        steps = Clock()
        n_read = read_in_steps(arguments.paths, steps)
        spent = (f"{kind} {steps.seconds[kind] / n_read * 1e6:.1f}" for kind in steps.seconds if kind)
        print(f"reading, step by step, µs: {', '.join(spent)}")
    unit = 1024 if sys.platform == "darwin" else 1
    print(f"memory {peak / unit / 1024:.0f} MB at its peak, {at_start / unit / 1024:.0f} before the run")


if __name__ == "__main__":
    main()
