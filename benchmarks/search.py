"""How fast and how right duplicates are found, and the rows of a store nearest to a structure.

    OMP_NUM_THREADS=1 python benchmarks/search.py
    OMP_NUM_THREADS=1 python benchmarks/search.py --only search --rows 100000 1000000 --folder /tmp/search-benchmark

Times are CPU times of one thread. *same*: fingerprints and their distances on pairs of crystals with one formula, from
the public data beside the repository (``../shared/data``), judged by pymatgen's ``StructureMatcher``. *duplicates*:
frames of one formula. *search*: a store whose rows are mixed from those of real crystals, each of two of them and a
little noise, so that there are many; what is found is compared with a comparison of all features of all rows. Figures
are printed as Markdown.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from harness import table

from atomprint.datasets import read_dataset
from atomprint.similarity import find_duplicates, fingerprints
from atomprint.store import FeatureStore, build_store
from atomprint.store.shard import ShardContent, write_shard
from atomprint.structures import Batch

SHARED = Path(os.environ.get("ATOMPRINT_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
CRYSTALS = (
    "mp/mp_20_biternary_val.csv.gz",
    "mp/mp_20_biternary_test.csv.gz",
    "mp/mpts_52_val.csv.gz",
    "oqmd_abx3/OQMD_cif.tar.xz",
    "matbench/matbench_perovskites.json.gz",
)
PARAMETERS = {"r_cut": 5.0, "n_max": 4, "l_max": 4, "species_embedding": {"type": "ElementEmbedding", "n_channels": 4}}


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the CPU time of some work, and its result."""
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


def crystals(files: tuple[str, ...] = CRYSTALS, limit: int | None = None) -> Iterator[tuple[str, Atoms]]:
    """Yield formulas and crystals of the public data."""
    for name in files:
        if (SHARED / name).exists():
            targets: tuple[str, ...] = ()
            data = read_dataset(SHARED / name, targets=targets, on_error="skip", limit=limit)
            yield from zip(data.formulas, data.structures, strict=True)


def same(n_pairs: int) -> list[list[str]]:
    """Compare distances of fingerprints with what StructureMatcher says."""
    found = list(crystals())
    if not found:
        return [["no public data", str(SHARED)]]
    groups = defaultdict(list)
    for row, (formula, atoms) in enumerate(found):
        if len(atoms) <= 60:
            groups[formula].append(row)
    pairs = [pair for rows in groups.values() for pair in combinations(rows, 2)]
    chosen = [pairs[k] for k in np.random.default_rng(0).permutation(len(pairs))[:n_pairs]]
    rows = sorted({row for pair in chosen for row in pair})
    spent, made = seconds(lambda: fingerprints([found[row][1] for row in rows]))
    prints = dict(zip(rows, made, strict=True))
    out = [["fingerprint of a crystal", f"{1e6 * spent / len(rows):.0f} µs"]]
    for scale in (True, False):
        out += judged(found, prints, chosen, scale)
    return out


def judged(found: list[tuple[str, Atoms]], prints: dict[int, Any], pairs: list[Any], scale: bool) -> list[list[str]]:
    """Return times and agreement of distances and StructureMatcher."""
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.core import Structure
    from sklearn.metrics import roc_auc_score

    def distances() -> list[float]:
        return [prints[a].distance(prints[b], scale=scale) for a, b in pairs]

    distances()  # once, so that lengths are known
    spent, away = seconds(distances)
    matcher = StructureMatcher(scale=scale)
    theirs = {}
    for row in prints:
        atoms = found[row][1]
        theirs[row] = Structure(atoms.cell.array, atoms.numbers, atoms.get_scaled_positions())
    judge, matches = seconds(lambda: [matcher.fit(theirs[a], theirs[b]) for a, b in pairs])
    how = "of one size" if scale else "as they are"
    auc = roc_auc_score(matches, -np.minimum(away, 1e6))
    return [
        [f"distance of a pair, {how}", f"{1e6 * spent / len(pairs):.1f} µs"],
        [f"StructureMatcher, {how}", f"{1e3 * judge / len(pairs):.1f} ms"],
        [f"AUC for {sum(matches)} matches of {len(pairs)} pairs, {how}", f"{auc:.4f}"],
    ]


def frames(atoms: Atoms, n: int, size: float) -> Batch:
    """Return frames of one formula, each atom moved at random."""
    rng = np.random.default_rng(0)
    places = atoms.positions + size * rng.normal(size=(n, len(atoms), 3))
    numbers = np.tile(atoms.numbers, n).astype(np.int32)
    cells = np.ascontiguousarray(np.broadcast_to(atoms.cell.array, (n, 3, 3)))
    offsets = np.arange(n + 1) * len(atoms)
    return Batch(numbers, places.reshape(-1, 3), offsets, cells, np.ones((n, 3), dtype=bool))


def duplicates(n: int) -> list[list[str]]:
    """Find groups among frames."""
    small = bulk("NaCl", "rocksalt", 5.64, cubic=True)
    out = []
    for atoms, size in (
        (small, 0.1),
        (small, 0.01),
        (small.repeat(2), 0.1),
        (small.repeat(2), 0.03),
        (small.repeat(2), 0),
    ):
        batch = frames(atoms, n, size)
        spent, found = seconds(lambda batch=batch: find_duplicates(batch))
        what = f"{n:,} frames of {len(atoms)} atoms, moved by {size:g} Å"
        out.append([what, f"{spent:.1f} s, {len(found.unique):,} different"])
    return out


def mixed_store(folder: Path, n_rows: int) -> FeatureStore:
    """Return a store of rows mixed from those of real crystals."""
    seed = folder / "seed.store"
    sources = [SHARED / name for name in CRYSTALS if (SHARED / name).exists() and "oqmd" not in name]
    build_store(seed, sources, "SOAP", PARAMETERS, limit=6000)
    real = FeatureStore.open(seed)
    path = folder / f"{n_rows}.store"
    if not path.exists():
        (path / "shards").mkdir(parents=True)
        shutil.copy(seed / "store.json", path)
        x = np.asarray(real.features())
        rng = np.random.default_rng(0)
        scale = x.std(axis=0)
        n_block = 4096
        table = real.shards[0].table()
        for first in range(0, n_rows, n_block):
            n = min(n_block, n_rows - first)
            one, other = rng.integers(len(x), size=(2, n))
            share = rng.random((n, 1), dtype=np.float32) ** 2
            rows = (1 - share) * x[one] + share * x[other]
            rows += 0.02 * scale * rng.standard_normal(rows.shape, dtype=np.float32)
            picked = table.take(np.arange(n) % table.num_rows)
            columns = {name: picked.column(name).combine_chunks() for name in picked.column_names}
            write_shard(path, f"{first:032d}", ShardContent(rows.astype(np.float32), columns, "mixed", first, {}))
    return FeatureStore.open(path)


def search(folder: Path, n_rows: int, n_queries: int) -> list[list[str]]:
    """Search in a store, and compare with a comparison of all features."""
    store = mixed_store(folder, n_rows)
    shutil.rmtree(store.folder / "search", ignore_errors=True)
    built, searcher = seconds(store.searcher)
    rng = np.random.default_rng(1)
    queries = rng.choice(len(store), n_queries, replace=False)
    spent, found, exact = [], [], 0
    for row in queries.tolist():
        took, hits = seconds(lambda row=row: store.search(row, 10))
        spent.append(1e3 * took)
        found.append(hits.rows.tolist())
        exact += hits.exact
    best = nearest(store, searcher.index.basis.metric, queries, 10)
    recall = np.mean([len(set(mine) & set(theirs)) / 10 for mine, theirs in zip(found, best, strict=True)])
    size = searcher.index.components.nbytes / 2**20
    what = f"{n_rows:,} rows of {store.n_features} features"
    return [
        [f"{what}: index", f"{built:.1f} s, {size:.0f} MiB"],
        [f"{what}: 10 nearest", f"median {np.median(spent):.1f} ms, 95 % below {np.percentile(spent, 95):.1f} ms"],
        [f"{what}: recall@10 of {n_queries} queries", f"{recall:.4f}, {exact} of them certain"],
    ]


def nearest(store: FeatureStore, metric: Any, queries: Any, k: int) -> list[list[int]]:
    """Return the nearest rows by all features of all rows, a block of rows at a time."""
    asked = metric.apply(store.features(np.sort(queries)))[np.argsort(np.argsort(queries))]
    away = np.empty((len(queries), len(store)), dtype=np.float64)
    for block in store.blocks():
        x = metric.apply(block.features)
        own = slice(block.rows.start, block.rows.stop)
        away[:, own] = (asked**2).sum(axis=1)[:, None] - 2 * asked @ x.T + (x**2).sum(axis=1)
    away[np.arange(len(queries)), queries] = np.inf
    return np.argsort(away, axis=1)[:, :k].tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=("same", "duplicates", "search"))
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000])
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--folder", type=Path, help="Where stores are kept for the next time.")
    given = parser.parse_args()
    parts = given.only or ("same", "duplicates", "search")
    warnings.simplefilter("ignore")
    rows: list[list[str]] = []
    if "same" in parts:
        rows += same(given.pairs)
    if "duplicates" in parts:
        rows += duplicates(given.frames)
    if "search" in parts:
        with tempfile.TemporaryDirectory() as own:
            for n_rows in given.rows:
                rows += search(given.folder or Path(own), n_rows, given.queries)
                print(f"{n_rows} rows done", file=sys.stderr)
    print(table("Duplicates and search", ("what", "found"), rows))


if __name__ == "__main__":
    main()
