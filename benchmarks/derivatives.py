"""Derivatives: dense, for pairs, and contracted (vjp), against the peers and against the features alone."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ase import Atoms
from features import LOCAL
from harness import Contestant, Setup, WorkerError, number, race, ratio, table
from structures import (
    FUNCTIONS,
    MBTR_ANGLES,
    MBTR_NACL_ANGLES,
    MBTR_NACL_PAIRS,
    MBTR_PAIRS,
    MOLECULES,
    NACL,
    SI,
    VALLE_OGANOV,
    all_molecules,
    first_molecules,
    organic_molecules,
    rattled,
    rattled_cells,
    rattled_nacl,
    rattled_si,
    small_crystals,
)

MEMORY_TARGET_MB = 300.0


@dataclass(frozen=True)
class DerivativeCase:
    """One kind of derivative of one descriptor on one set of structures.

    Attributes
    ----------
    name : str
        For the table and ``--cases``.
    task : {"derivatives", "jacobian", "vjp"}
        Which method of atomprint; "vjp" is for positions and strain together.
    descriptor, kwargs, structures
        As for features.
    rival : str or None
        What it is compared with: "dscribe" or "featomic", whose derivatives these are, or None for the
        features of atomprint itself.
    target : float
        How many times faster than a rival atomprint is meant to be, at least; against its own features, how many
        times slower at most.
    """

    name: str
    task: str
    descriptor: str
    kwargs: dict[str, Any]
    structures: Callable[[], list[Atoms]]
    rival: str | None
    target: float


def large_nacl() -> list[Atoms]:
    """Make rattled rocksalt, 10648 atoms."""
    return [rattled("NaCl", "rocksalt", 5.64, 11, seed=0)]


# featomic counts neighbours up to r_cut, so these count the same pairs.
SAME_PAIRS = {"cutoff_width": 0.5}
L2 = {"normalization": "l2"}

CASES = [
    DerivativeCase("dense-molecules", "derivatives", "SOAP", MOLECULES, first_molecules, "dscribe", 20.0),
    DerivativeCase("pairs-molecules", "jacobian", "SOAP", MOLECULES, first_molecules, "featomic", 10.0),
    DerivativeCase("pairs-nacl", "jacobian", "SOAP", NACL, rattled_nacl, "featomic", 10.0),
    DerivativeCase("pairs-nacl-same", "jacobian", "SOAP", NACL | SAME_PAIRS, rattled_nacl, "featomic", 10.0),
    DerivativeCase("vjp-molecules", "vjp", "SOAP", MOLECULES, organic_molecules, None, 4.0),
    DerivativeCase("vjp-nacl", "vjp", "SOAP", NACL, rattled_nacl, None, 4.0),
    DerivativeCase("vjp-si", "vjp", "SOAP", SI, rattled_si, None, 4.0),
    DerivativeCase("vjp-nacl-outer", "vjp", "SOAP", NACL | {"average": "outer"}, rattled_nacl, None, 4.0),
    DerivativeCase("vjp-nacl-inner", "vjp", "SOAP", NACL | {"average": "inner"}, rattled_nacl, None, 4.0),
    DerivativeCase("vjp-acsf", "vjp", "ACSF", FUNCTIONS, organic_molecules, None, 5.0),
    DerivativeCase("vjp-coulomb", "vjp", "CoulombMatrix", {"n_atoms_max": 14}, all_molecules, None, 4.0),
    DerivativeCase("vjp-sine", "vjp", "SineMatrix", {"n_atoms_max": 8}, small_crystals, None, 4.0),
    DerivativeCase("vjp-ewald", "vjp", "EwaldSumMatrix", {"n_atoms_max": 8}, small_crystals, None, 4.0),
    DerivativeCase("vjp-mbtr-pairs", "vjp", "MBTR", MBTR_PAIRS, organic_molecules, None, 5.0),
    DerivativeCase("vjp-mbtr-angles", "vjp", "MBTR", MBTR_ANGLES, organic_molecules, None, 5.0),
    DerivativeCase("vjp-mbtr-angles-l2", "vjp", "MBTR", MBTR_ANGLES | L2, organic_molecules, None, 5.0),
    DerivativeCase("vjp-mbtr-nacl-pairs", "vjp", "MBTR", MBTR_NACL_PAIRS, rattled_cells, None, 5.0),
    DerivativeCase("vjp-mbtr-nacl-angles", "vjp", "MBTR", MBTR_NACL_ANGLES | L2, rattled_cells, None, 5.0),
    DerivativeCase("vjp-valle-oganov", "vjp", "ValleOganov", VALLE_OGANOV, rattled_cells, None, 5.0),
    DerivativeCase("vjp-lmbtr-angles", "vjp", "LMBTR", MBTR_ANGLES, first_molecules, None, 5.0),
]


def measure(setup: Setup, case: DerivativeCase) -> dict[str, Any]:
    """Time one kind of derivative and its rival in turn."""
    structures = case.structures()
    path = setup.save(case.name, structures)
    contestants = [Contestant("atomprint", "atomprint", {}, task=case.task)]
    if case.rival is None:
        contestants.append(Contestant("features", "atomprint", {}))
    elif setup.has(case.rival):
        contestants.append(Contestant(case.rival, case.rival, {}, task="derivatives"))
    times, _ = race(setup, case, path, [one for one in contestants if setup.has(one.engine)])
    local = case.descriptor in LOCAL
    result = {
        "unit": "centre" if local else "structure",
        "n_units": sum(map(len, structures)) if local else len(structures),
        "task": case.task,
        "rival": case.rival or "features",
        "target": case.target,
        "seconds": times,
    }
    if case.name == "vjp-nacl" and setup.has("atomprint"):
        try:
            with setup.process("atomprint") as process:
                result["memory"] = process.ask(
                    "memory",
                    engine="atomprint",
                    descriptor=case.descriptor,
                    kwargs=case.kwargs,
                    structures=setup.save("large", large_nacl()),
                    repeats=1,
                    n_jobs=2,
                    task="vjp",
                )
        except WorkerError as error:
            print(f"{case.name}: memory: {error}", file=sys.stderr)
    return result


def tables(results: dict[str, dict[str, Any]]) -> str:
    """Lay out the table, from the numbers in the JSON file."""
    faster, slower, memory = [], [], []
    for name, result in results.items():

        def micro(label: str, result: dict[str, Any] = result) -> float | None:
            seconds = result["seconds"].get(label)
            return 1e6 * statistics.median(seconds) / result["n_units"] if seconds else None

        ours, rival = micro("atomprint"), micro(result["rival"])
        row = [f"{name} (µs/{result['unit']})", *map(number, (ours, rival))]
        if result["rival"] == "features":
            slower.append([*row, number(ratio(ours, rival), "x"), number(result["target"], "x")])
        else:
            faster.append([*row, result["rival"], number(ratio(rival, ours), "x"), number(result["target"], "x")])
        if "memory" in result:
            used = result["memory"]
            memory.append([name, f"{used['beyond_result_bytes'] / 1e6:.0f}", number(MEMORY_TARGET_MB)])
    parts = [
        table("Derivatives, one thread", ["case", "atomprint", "peer", "which", "ratio", "at least"], faster),
        table(
            "Contracted derivatives (positions and strain), one thread",
            ["case", "vjp", "features", "ratio", "at most"],
            slower,
        ),
        table(
            "Memory of vjp on 10648 atoms beyond features' weights and gradients, 2 threads (MB)",
            ["case", "beyond", "target"],
            memory,
        ),
    ]
    return "\n".join(part for part in parts if part)
