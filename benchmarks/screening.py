"""How many candidates are screened a second, from CIFs in a table and from a store.

    OMP_NUM_THREADS=1 python benchmarks/screening.py

CPU time of one thread, the least of some rounds, with models that are loaded already: 300 extremely randomised trees on
``ElementProperty`` and on SOAP, trained with 1000 crystals of the public data beside the repository
(``../shared/data``). *screen* is all of ``screen(model, source)``: reading, features, prediction, domain, ranking.
Figures are printed as Markdown.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from harness import table
from sklearn.ensemble import ExtraTreesRegressor

from atomprint.datasets import Dataset, Target, read_dataset
from atomprint.descriptors import SOAP, ElementProperty
from atomprint.elements import ElementEmbedding
from atomprint.learn import Problem
from atomprint.screening import screen
from atomprint.store import build_store
from atomprint.workflow import TrainedModel, assemble, load_model

SHARED = Path(os.environ.get("ATOMPRINT_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
TRAINING, CANDIDATES = (SHARED / "mp" / f"mp_20_biternary_{part}.csv.gz" for part in ("val", "test"))


def seconds(work: Any) -> tuple[float, Any]:
    """Return the CPU time of some work, and its result."""
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


def models(folder: Path) -> dict[str, Path]:
    """Train models of the volume of an atom, and return their files."""
    found = read_dataset(TRAINING, targets=(), on_error="skip", limit=1000)
    y = np.array([atoms.get_volume() / len(atoms) for atoms in found.structures])
    ids = tuple(map(str, range(len(y))))
    data = Dataset("mp", "Crystals", found.structures, ids, {"volume": Target(y, "Å^3", "volume", "")}, "", "", None)
    embedding = ElementEmbedding(n_channels=4)
    features = {
        "ElementProperty": ElementProperty(missing="impute"),
        "SOAP": SOAP(
            r_cut=5.0, n_max=4, l_max=4, periodic=True, pooling="mean", species_embedding=embedding, dtype="float32"
        ),
    }
    made = {}
    for name, descriptor in features.items():
        trees = ExtraTreesRegressor(300, max_features=0.1, random_state=0)
        pipeline = assemble(descriptor, trees).fit(found.structures, y)
        made[name] = folder / f"{name}.atomprint"
        TrainedModel.of(pipeline, Problem.of(data, "volume")).save(made[name])
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = []
    with tempfile.TemporaryDirectory() as own:
        folder = Path(own)
        files = models(folder)
        store = folder / "candidates.store"
        parameters = {"r_cut": 5.0, "species_embedding": {"type": "ElementEmbedding", "n_channels": 4}}
        build_store(store, CANDIDATES, "SOAP", {**parameters, "n_max": 4, "l_max": 4}, limit=given.candidates)
        for name, path in files.items():
            loading, model = seconds(lambda path=path: load_model(path))
            for what, source in (("CIFs in a table", CANDIDATES), ("a store", store)):
                screen(model, source, limit=100, n_jobs=1)
                spent = []
                for _ in range(given.rounds):
                    took, found = seconds(
                        lambda model=model, source=source: screen(model, source, limit=given.candidates, n_jobs=1)
                    )
                    spent.append(took / found.n)
                rows.append([f"{name}, 300 trees", what, f"{1 / min(spent):,.0f}", f"{loading:.1f} s"])
    print(f"Load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    print(table("Screening", ("model", "from", "candidates a CPU second", "loading the model"), rows))


if __name__ == "__main__":
    main()
