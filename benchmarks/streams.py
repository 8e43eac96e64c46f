"""Memory and time of streams: one run of ``iter_create`` for each length, in a process of its own.

``python benchmarks/streams.py`` describes up to 200000 small crystals (perovskites from a generator: 5 atoms, of 40
elements) and prints how much memory the process took at most, how long a structure took, and how long it took to make.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
from ase import Atoms

from atomprint.descriptors import SOAP, SineMatrix
from atomprint.elements import ElementEmbedding
from atomprint.util.memory import peak_memory

LARGE = ["Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Y", "La", "Pb", "Bi", "Tl", "In", "Ag", "Cd", "Sn"]
SMALL = ["Ti", "Zr", "Hf", "V", "Nb", "Ta", "Cr", "Mo", "W", "Mn", "Fe", "Co", "Ni", "Al", "Ga", "Si", "Ge", "Sb"]
PLACES = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
ANIONS = ["O", "F", "S", "N"]

DESCRIPTORS = {
    "soap averaged": lambda: SOAP(
        5.0, 6, 4, species=LARGE + SMALL + ANIONS, average="outer", periodic=True, species_embedding=ElementEmbedding(4)
    ),
    "soap of centres": lambda: SOAP(
        5.0, 6, 4, species=LARGE + SMALL + ANIONS, periodic=True, species_embedding=ElementEmbedding(4)
    ),
    "sine matrix": lambda: SineMatrix(5),
}


def perovskites(n: int) -> Iterator[Atoms]:
    """Yield so many crystals, none of which is kept."""
    rng = np.random.default_rng(0)
    for a, b, x in itertools.islice(itertools.cycle(itertools.product(LARGE, SMALL, ANIONS)), n):
        length = rng.uniform(3.7, 4.3)
        positions = length * PLACES + rng.normal(0, 0.03, (5, 3))
        yield Atoms([a, b, x, x, x], positions, cell=np.eye(3) * length, pbc=True)


def run(name: str, n: int, chunk: int | None) -> None:
    """Describe so many crystals, and print what it took."""
    descriptor = DESCRIPTORS[name]()
    list(descriptor.iter_create(perovskites(10)))  # what is made once
    before, start = peak_memory() or 0.0, time.process_time()
    for _ in perovskites(n):
        pass
    making, start, rows, sums = time.process_time() - start, time.process_time(), 0, 0.0
    for piece in descriptor.iter_create(perovskites(n), chunk=chunk):
        values = getattr(piece, "values", piece)
        rows += len(values)
        sums += float(values[:, 0].sum())
    took, peak = time.process_time() - start, peak_memory() or 0.0
    dense = rows * descriptor.get_number_of_features() * 8 / 1e6
    print(
        f"{name:16} {n:8} structures, {dense:8.0f} MB of features: peak {1e3 * peak:6.0f} MB, "
        f"{1e3 * (peak - before):4.0f} more than before; "
        f"{1e6 * took / n:4.0f} us each, {1e6 * making / n:3.0f} of them made",
        flush=True,
    )


def main() -> None:
    """Run each length in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", type=int, nargs="+", default=[2_000, 20_000, 200_000])
    parser.add_argument("--descriptors", nargs="+", choices=DESCRIPTORS, default=list(DESCRIPTORS))
    parser.add_argument("--chunk", type=int, help="structures of a piece; default: by bytes")
    parser.add_argument("--here", action="store_true", help="in this process, not in one for each run")
    given = parser.parse_args()
    for name, n in itertools.product(given.descriptors, given.lengths):
        if given.here:
            run(name, n, given.chunk)
            continue
        chunk = [] if given.chunk is None else ["--chunk", str(given.chunk)]
        subprocess.run(
            [sys.executable, __file__, "--here", "--descriptors", name, "--lengths", str(n), *chunk], check=True
        )


if __name__ == "__main__":
    main()
