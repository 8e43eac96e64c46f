"""What pooling costs: a mean over centres inside the descriptor against its own average, and against no pooling at all.

    python benchmarks/pooling.py [--rounds 15]

One thread. The variants take turns in every round; medians of the rounds, in ms of processor time, and ratios to
``average="outer"`` (SOAP) or to the rows of all centres (ACSF, LMBTR), which have no average of their own.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.collections import g2
from ase.spacegroup import crystal

from atomprint.descriptors import ACSF, LMBTR, SOAP
from atomprint.pooling import Pooling


def structures() -> dict[str, list[Atoms]]:
    """Return supercells, molecules and small cells."""
    salt = bulk("NaCl", "rocksalt", 5.64, cubic=True).repeat(3)
    salt.rattle(0.05, seed=0)
    perovskites = [
        crystal([a, "Ti", "O"], [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0)], spacegroup=221, cellpar=[x] * 3 + [90] * 3)
        for a in ("Ca", "Sr", "Ba")
        for x in np.linspace(3.8, 4.1, 20)
    ]
    for k, atoms in enumerate(perovskites):
        atoms.rattle(0.05, seed=k)
    return {"NaCl 216": [salt], "g2": [g2[name] for name in g2.names], "perovskites": perovskites}


def descriptors(species: list[str], periodic: bool) -> Mapping[str, Mapping[str, Any]]:
    """Return for each descriptor its variants by name, the one to compare with first."""
    common = {"species": species, "periodic": periodic}
    soap = common | {"r_cut": 5.0, "n_max": 6, "l_max": 5}
    acsf = common | {
        "r_cut": 5.0,
        "g2_params": [[eta, 0.0] for eta in (0.05, 0.5, 1.0, 2.0)],
        "g4_params": [[0.05, zeta, sign] for zeta in (1, 4) for sign in (-1, 1)],
    }
    lmbtr = common | {
        "geometry": {"function": "distance"},
        "grid": {"min": 0, "max": 6, "n": 60, "sigma": 0.1},
        "weighting": {"function": "exp", "r_cut": 5.0, "threshold": 1e-3},
    }
    pooled = {
        "mean": "mean",
        "by_species": Pooling("mean", by_species=True),
        "channels": Pooling(("mean", "covariance"), channels="species"),
    }
    return {
        "SOAP": {"outer": SOAP(**soap, average="outer"), "rows": SOAP(**soap)}
        | {name: SOAP(**soap, pooling=pooling) for name, pooling in pooled.items()},
        "ACSF": {"rows": ACSF(**acsf)} | {name: ACSF(**acsf, pooling=pooling) for name, pooling in pooled.items()},
        "LMBTR": {"rows": LMBTR(**lmbtr)} | {name: LMBTR(**lmbtr, pooling=pooling) for name, pooling in pooled.items()},
    }


def medians(calls: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Return the median time of each call in ms, the calls taking turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            start = time.process_time()
            call()
            times[name].append(time.process_time() - start)
    return {name: 1e3 * float(np.median(taken[1:])) for name, taken in times.items()}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    for label, atoms in structures().items():
        species = sorted({symbol for each in atoms for symbol in each.get_chemical_symbols()})
        if label == "g2":  # of 162 molecules those of the usual elements
            species = ["H", "C", "N", "O", "F"]
            atoms = [each for each in atoms if set(each.get_chemical_symbols()) <= set(species)]
        for kind, variants in descriptors(species, bool(atoms[0].pbc.any())).items():
            creates, gradients = {}, {}
            for name, descriptor in variants.items():
                found = descriptor.create(atoms)
                weights = [np.ones_like(each) for each in found] if isinstance(found, list) else np.ones_like(found)
                creates[name] = partial(descriptor.create, atoms)
                gradients[name] = partial(descriptor.vjp, atoms, weights)
            for job, calls in (("create", creates), ("vjp", gradients)):
                taken = medians(calls, rounds)
                first = next(iter(taken.values()))
                cells = [f"{name} {value:8.2f} ({value / first:4.2f})" for name, value in taken.items()]
                print(f"{label:12s} {kind:6s} {job:7s} {'  '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
