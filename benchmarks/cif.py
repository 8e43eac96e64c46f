"""Read CIFs with atomprint and with pymatgen, compare crystal by crystal, and time the former.

    python benchmarks/cif.py ../shared/data                     # tables and archives below a folder
    python benchmarks/cif.py ../shared/data --symmetric 2000    # some of them, written anew with their symmetry
    python benchmarks/cif.py ../shared/data --no-compare        # times alone

Two crystals agree if their cells do to 1e-4 and each atom has one of its element within 1e-3 Å; where that is not
so, pymatgen's StructureMatcher is asked. Times are of CPU, in one process and in each of two at once, per CIF, to ASE's
Atoms; the wall time of two is for a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import re
import tarfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from atomprint.formats.cif import crystal_of_cif


def sources(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the name and the CIF texts of each table with a column ``cif`` and each archive of CIFs."""
    for path in sorted(folder.rglob("*.csv.gz")):
        with gzip.open(path, "rt") as file:
            rows = csv.DictReader(file)
            if "cif" in (rows.fieldnames or ()):
                yield path.name.removesuffix(".csv.gz"), [row["cif"] for row in rows]
    for path in sorted(folder.rglob("*cif*.tar.*")):
        with tarfile.open(path, "r|*") as archive:
            members = (member for member in archive if member.isfile() and member.name.endswith(".cif"))
            yield path.name.split(".")[0], [archive.extractfile(member).read().decode() for member in members]  # type: ignore[union-attr]


def attempt(text: str) -> Atoms | str:
    try:
        return crystal_of_cif(text)
    except ValueError as error:
        return str(error)


def read_all(texts: list[str]) -> float:
    """Return the CPU time in µs for each of some texts."""
    start = time.process_time()
    for text in texts:
        attempt(text)
    return (time.process_time() - start) / len(texts) * 1e6


def verdict(text: str) -> str:
    """Return in a few words how the two programs agree on a text."""
    from pymatgen.io.cif import CifParser

    mine = attempt(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            (theirs,) = CifParser(io.StringIO(text)).parse_structures(primitive=False)
        except Exception as error:
            theirs = None
            problem = type(error).__name__
    if isinstance(mine, str):
        reason = re.sub(r"[-\d.]+", "N", mine.partition(" (data_")[0])[:70]
        return f"refused: {reason}" + (" (pymatgen, too)" if theirs is None else "")
    if theirs is None:
        return f"pymatgen fails ({problem})"
    if not theirs.is_ordered:
        return "pymatgen: disordered"
    if len(mine) != len(theirs):
        return f"{len(mine)} atoms, pymatgen {len(theirs)}"
    return "agree" if _same(mine, theirs) else "agree (StructureMatcher)" if _match(mine, theirs) else "DIFFER"


def _same(mine: Atoms, theirs: Any) -> bool:
    parameters = (*theirs.lattice.abc, *theirs.lattice.angles)
    if not np.allclose(mine.cell.cellpar(), parameters, rtol=1e-4, atol=1e-4):
        return False
    scaled, numbers = theirs.frac_coords, np.array(theirs.atomic_numbers)
    for number, place in zip(mine.numbers, mine.get_scaled_positions(), strict=True):
        steps = scaled[numbers == number] - place
        steps -= np.rint(steps)
        if not len(steps) or np.square(steps @ mine.cell.array).sum(axis=1).min() > 1e-6:
            return False
    return bool((np.sort(mine.numbers) == np.sort(numbers)).all())


def _match(mine: Atoms, theirs: Any) -> bool:
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.core import Structure

    return bool(StructureMatcher(primitive_cell=False).fit(Structure.from_ase_atoms(mine), theirs))


def with_symmetry(texts: list[str]) -> list[str]:
    """Return crystals as pymatgen writes them with their symmetry: asymmetric units and operations."""
    from pymatgen.core import Structure
    from pymatgen.io.cif import CifWriter

    written = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for text in texts:
            written.append(str(CifWriter(Structure.from_str(text, fmt="cif"), symprec=0.01)))
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--symmetric", type=int, default=0, metavar="N")
    parser.add_argument("--no-compare", action="store_true")
    options = parser.parse_args()
    total: Counter[str] = Counter()
    print(f"{'':36} {'CIFs':>6} {'µs, one':>8} {'each of two':>12} {'wall of two':>12}")
    for name, texts in sources(options.folder):
        sets = {name: texts}
        if options.symmetric:
            chosen = texts[:: max(1, len(texts) // options.symmetric)][: options.symmetric]
            sets = {f"{name}, with symmetry": with_symmetry(chosen)}
        for title, cifs in sets.items():
            one = sorted(read_all(cifs) for _ in range(3))[1]
            with ProcessPoolExecutor(2) as pool:
                list(pool.map(read_all, [cifs[:1]] * 2))  # imports
                start = time.perf_counter()
                two = np.mean(list(pool.map(read_all, [cifs[k : k + 250] for k in range(0, len(cifs), 250)])))
                wall = (time.perf_counter() - start) / len(cifs) * 1e6
                print(f"{title:36} {len(cifs):6} {one:8.0f} {two:12.0f} {wall:12.0f}", flush=True)
                if not options.no_compare:
                    counts = Counter(pool.map(verdict, cifs, chunksize=100))
                    total += counts
                    for what, count in counts.most_common():
                        print(f"    {count:6} {what}", flush=True)
    print(f"total {sum(total.values())}: " + "; ".join(f"{count} {what}" for what, count in total.most_common()))


if __name__ == "__main__":
    main()
