"""Features: time, distance to the limit, float32, threads and memory."""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list
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
    rattled_cells,
    rattled_nacl,
    rattled_si,
    small_crystals,
)

LOCAL = ("SOAP", "ACSF", "LMBTR")  # with a row for each centre


@dataclass(frozen=True)
class Case:
    """One descriptor on one set of structures.

    Attributes
    ----------
    name : str
        For the table and ``--cases``.
    descriptor : str
        Name of the class in atomprint and DScribe.
    kwargs : dict
        Arguments of its constructor.
    structures : callable
        Makes the structures.
    target : float or None
        How many times faster than DScribe atomprint is meant to be, at least.
    featomic : bool
        featomic has the same calculation.
    """

    name: str
    descriptor: str
    kwargs: dict[str, Any]
    structures: Callable[[], list[Atoms]]
    target: float | None = None
    featomic: bool = False

    @property
    def unit(self) -> str:
        """What times are divided by."""
        return "centre" if self.descriptor in LOCAL else "structure"

    def n_units(self, structures: Sequence[Atoms]) -> int:
        """Count centres or structures."""
        return sum(map(len, structures)) if self.unit == "centre" else len(structures)


CASES = [
    Case("soap-molecules-gto", "SOAP", MOLECULES, organic_molecules, 6.0, featomic=True),
    Case("soap-molecules-polynomial", "SOAP", {**MOLECULES, "rbf": "polynomial"}, organic_molecules, 20.0),
    Case("soap-nacl-gto", "SOAP", NACL, rattled_nacl, 15.0, featomic=True),
    Case("soap-si-gto", "SOAP", SI, rattled_si, 15.0, featomic=True),
    Case("soap-molecules-outer", "SOAP", {**MOLECULES, "average": "outer"}, organic_molecules),
    Case("soap-molecules-inner", "SOAP", {**MOLECULES, "average": "inner"}, organic_molecules),
    Case("soap-nacl-outer", "SOAP", {**NACL, "average": "outer"}, rattled_nacl),
    Case("soap-nacl-inner", "SOAP", {**NACL, "average": "inner"}, rattled_nacl),
    Case("acsf-molecules", "ACSF", FUNCTIONS, organic_molecules, 5.0),
    Case("coulomb-molecules", "CoulombMatrix", {"n_atoms_max": 14}, all_molecules, 8.0),
    Case("sine-crystals", "SineMatrix", {"n_atoms_max": 8}, small_crystals, 20.0),
    Case("ewald-crystals", "EwaldSumMatrix", {"n_atoms_max": 8}, small_crystals, 20.0),
    Case("mbtr-pairs-molecules", "MBTR", MBTR_PAIRS, organic_molecules, 10.0),
    Case("mbtr-angles-molecules", "MBTR", MBTR_ANGLES, organic_molecules, 20.0),
    Case("mbtr-pairs-nacl", "MBTR", MBTR_NACL_PAIRS, rattled_cells, 20.0),
    Case("mbtr-angles-nacl", "MBTR", MBTR_NACL_ANGLES, rattled_cells, 20.0),
    Case("valle-oganov-nacl", "ValleOganov", VALLE_OGANOV, rattled_cells, 20.0),
    Case("lmbtr-angles-molecules", "LMBTR", MBTR_ANGLES, first_molecules),
]
FLOAT32_TARGET = 1.5
THREADS_TARGET = 1.8
MEMORY_TARGET_MB = 50.0
LONGEST_BATCH_SECONDS = 10.0  # DScribe is left out of the comparison of threads where a batch takes it longer


def soap_work(case: Case, structures: Sequence[Atoms]) -> dict[str, float]:
    """Count the floating-point operations of SOAP from the neighbours.

    Expansion: one multiply-add for each pair, radial function and harmonic. Power spectrum: one multiply-add
    for each product c_nlm c_n'lm over the species present around the centre. Radial functions and harmonics
    themselves are left out.
    """
    k = case.kwargs
    cutoff = k["r_cut"] + k["sigma"] * math.sqrt(-2.0 * math.log(1e-3))
    n, harmonics = k["n_max"], (k["l_max"] + 1) ** 2
    n_pairs = products = 0
    for atoms in structures:
        atoms = atoms.copy()
        atoms.pbc = atoms.pbc & k.get("periodic", False)
        i, j = neighbor_list("ij", atoms, cutoff)
        n_pairs += len(i) + len(atoms)
        around = np.zeros((len(atoms), 120), dtype=bool)
        around[i, atoms.numbers[j]] = True
        around[np.arange(len(atoms)), atoms.numbers] = True
        present = around.sum(axis=1)
        if k.get("average") == "inner":
            present = np.array([len(set(atoms.numbers))])
        products += int((present * n * (n + 1) // 2 + present * (present - 1) // 2 * n * n).sum())
    return {"pairs": n_pairs, "flops": 2.0 * harmonics * (n_pairs * n + products)}


def acsf_work(case: Case, structures: Sequence[Atoms]) -> dict[str, float]:
    """Estimate the floating-point work of symmetry functions.

    20 operations for each neighbour and function of one neighbour; for each two neighbours 40 for distance, angle
    and cutoff, 20 for an exponential and 6 for each function of two.
    """
    k, flops = case.kwargs, 0.0
    angular = [*k.get("g4_params", ()), *k.get("g5_params", ())]
    per_pair = 40 + 20 * len({eta for eta, _, _ in angular}) + 6 * len(angular) if angular else 0
    for atoms in structures:
        n = np.bincount(neighbor_list("i", atoms, k["r_cut"]), minlength=len(atoms))
        n_radial = 1 + len(k.get("g2_params", ())) + len(k.get("g3_params", ()))
        flops += float((20 * n_radial * n + per_pair * n * (n - 1) / 2).sum())
    return {"flops": flops}


def matrix_work(case: Case, structures: Sequence[Atoms]) -> dict[str, float]:
    """Estimate the floating-point work of the matrices.

    For each pair of atoms: 20 operations (Coulomb), 60 (sine), 30 for each real-space term and 4 for each of
    half the wave vectors (Ewald). Sorting is left out.
    """
    flops = 0.0
    for atoms in structures:
        size = len(atoms)
        pairs = size * (size + 1) / 2
        if case.descriptor == "CoulombMatrix":
            flops += 20 * pairs
        elif case.descriptor == "SineMatrix":
            flops += 60 * pairs
        else:
            volume, log_accuracy = atoms.get_volume(), -math.log(1e-5)
            a = math.sqrt(math.pi) * (size / volume**2) ** (1.0 / 6.0)
            r_cut, g_cut = math.sqrt(log_accuracy) / a, 2.0 * a * math.sqrt(log_accuracy)
            terms = len(neighbor_list("i", atoms, r_cut)) / 2
            waves = 4.0 / 3.0 * math.pi * g_cut**3 * volume / (2.0 * math.pi) ** 3
            flops += 30 * terms + waves / 2 * (4 * pairs + 20 * size)
    return {"flops": flops}


def broadened_work(case: Case, structures: Sequence[Atoms]) -> dict[str, float]:
    """Estimate the floating-point work of MBTR: ten multiply-adds for each grid point within 8.3 sigma of a term."""
    k = case.kwargs
    pairs = k.get("geometry", k)["function"] in ("distance", "inverse_distance")
    if "grid" in k:
        width, length, n = k["grid"]["sigma"], k["grid"]["max"] - k["grid"]["min"], k["grid"]["n"]
    else:
        width, length, n = k["sigma"], 180.0, k["n"]
    reach = min(16.6 * width / length, 1.0) * n
    weighting = k.get("weighting")
    decays = weighting is not None and weighting["function"] == "exp"
    terms = 0
    for atoms in structures:
        atoms = atoms.copy()
        atoms.pbc = atoms.pbc & (k.get("periodic", False) or case.descriptor == "ValleOganov")
        order = 1 if pairs else 2
        cutoff = -math.log(weighting["threshold"]) / weighting["scale"] / order if decays else k["r_cut"]
        i, vectors = neighbor_list("iD", atoms, cutoff)
        if pairs:
            terms += len(i) // 2
            continue
        for atom in range(len(atoms)):
            own = vectors[i == atom]
            r, third = np.linalg.norm(own, axis=1), np.linalg.norm(own[:, None] - own, axis=-1)
            counted = (r[:, None] + r + third < 2 * cutoff) if decays else np.ones_like(third, dtype=bool)
            terms += int(np.triu(counted, 1).sum())
    terms *= 3 if case.descriptor == "LMBTR" else 1  # each atom of a triple is a centre
    return {"terms": terms, "flops": 20.0 * reach * terms}


def work_of(case: Case, structures: Sequence[Atoms]) -> dict[str, float]:
    """Count or estimate the work of a case."""
    other = matrix_work if case.descriptor.endswith("Matrix") else broadened_work
    return {"SOAP": soap_work, "ACSF": acsf_work}.get(case.descriptor, other)(case, structures)


def add_limits(results: dict[str, dict[str, Any]]) -> None:
    """Add to every case the time to write the result at the store bandwidth and to compute it at peak."""
    machines = [result["machine"] for result in results.values() if "machine" in result]
    for result in results.values():
        for dtype, suffix, size in (("float64", "", 1.0), ("float32", "_float32", 0.5)):
            if "machine" in result:
                # Noise only slows down, so the best peak of the whole run counts.
                peak = max(machine[f"peak_{dtype}"] for machine in machines)
                write = size * result["output_bytes"] / result["machine"]["store_bandwidth"]
                result[f"limit_seconds{suffix}"] = write + result["work"]["flops"] / peak


def deviation(a: np.ndarray, b: np.ndarray) -> float:
    """Compute the largest difference relative to the largest value; infinite where the shapes differ."""
    return float(np.abs(a - b).max() / np.abs(b).max()) if a.shape == b.shape else math.inf


def measure(setup: Setup, case: Case) -> dict[str, Any]:
    """Measure all figures of one case."""
    structures = case.structures()
    path = setup.save(case.name, structures)
    units = case.n_units(structures)
    result: dict[str, Any] = {
        "unit": case.unit,
        "n_structures": len(structures),
        "n_units": units,
        "descriptor": case.descriptor,
        "kwargs": case.kwargs,
        "target": case.target,
        "work": work_of(case, structures),
    }

    contestants = [Contestant("atomprint", "atomprint", {})]
    if case.descriptor in LOCAL:
        contestants.append(Contestant("atomprint-float32", "atomprint", {"dtype": "float32"}))
    contestants.append(Contestant("dscribe", "dscribe", {}))
    if case.featomic:
        contestants += [Contestant(name, name, {}) for name in ("featomic", "featomic-dense")]
    contestants = [one for one in contestants if setup.has(one.engine.partition("-")[0])]
    times, features = race(setup, case, path, contestants)
    result["seconds"] = times
    result["deviation"] = {
        f"{a}/{b}": deviation(features[a], features[b])
        for a, b in (("atomprint", "dscribe"), ("atomprint-float32", "atomprint"))
        if a in features and b in features
    }
    base = next((label for label in ("atomprint", "dscribe") if label in features), None)
    if base is None:
        return result
    result["output_bytes"] = 8 * features[base].size
    module = "atomprint" if setup.has("atomprint") else "dscribe"
    with setup.process(module) as process:
        before = process.ask("machine", n_bytes=result["output_bytes"])

    # Threads: the same structures again and again, until one thread takes long enough.
    once = statistics.median(times[base])
    repeats = max(1, math.ceil(setup.batch_seconds / once))
    repeats = min(repeats, max(1, int(setup.batch_bytes / result["output_bytes"])))
    contestants = [
        Contestant(f"{name}-{jobs}", name, {}, jobs, repeats)
        for name in ("atomprint", "dscribe")
        for jobs in (1, 2)
        if setup.has(name) and (name, jobs) != ("dscribe", 1)
    ]
    if "dscribe" in times and repeats * statistics.median(times["dscribe"]) > LONGEST_BATCH_SECONDS:
        contestants = [one for one in contestants if one.engine != "dscribe"]
    rounds, setup.rounds = setup.rounds, max(3, setup.rounds // 2)
    times, _ = race(setup, case, path, contestants)
    setup.rounds = rounds
    result["threads"] = {"repeats": repeats, "seconds": times}
    with setup.process(module) as process:  # again: other work only slows down, so the best counts
        after = process.ask("machine", n_bytes=result["output_bytes"])
    result["machine"] = {key: max(before[key], after[key]) for key in before}
    if setup.has("atomprint"):
        try:
            with setup.process("atomprint") as process:
                result["memory"] = process.ask(
                    "memory",
                    engine="atomprint",
                    descriptor=case.descriptor,
                    kwargs=case.kwargs,
                    structures=path,
                    repeats=repeats,
                    n_jobs=2,
                )
        except WorkerError as error:
            print(f"{case.name}: memory: {error}", file=sys.stderr)
    return result


def tables(results: dict[str, dict[str, Any]]) -> str:
    """Lay out all tables, from the numbers in the JSON file."""

    def micro(result: dict[str, Any], label: str, reduce: Callable[[list[float]], float]) -> float | None:
        seconds = result["seconds"].get(label)
        return 1e6 * reduce(seconds) / result["n_units"] if seconds else None

    main, least, half, threads, memory = [], [], [], [], []
    for name, result in results.items():
        head = f"{name} (µs/{result['unit']})"
        programs = ("atomprint", "dscribe", "featomic", "featomic-dense")
        ours, dscribe, featomic, featomic_dense = (micro(result, p, statistics.median) for p in programs)
        limit = 1e6 * result["limit_seconds"] / result["n_units"] if "limit_seconds" in result else None
        agreement = result["deviation"].get("atomprint/dscribe")
        main.append(
            [
                head,
                *map(number, (ours, dscribe, featomic, featomic_dense)),
                number(ratio(dscribe, ours), "x"),
                number(result["target"], "x"),
                number(ratio(featomic, ours), "x"),
                number(limit),
                number(ratio(ours, limit), "x"),
                "–" if agreement is None else f"{agreement:.0e}",
            ]
        )
        least.append([head, *(number(micro(result, p, min)) for p in programs)])
        single = micro(result, "atomprint-float32", statistics.median)
        if single is not None:
            limit32 = 1e6 * result["limit_seconds_float32"] / result["n_units"]
            half.append(
                [
                    head,
                    number(ours),
                    number(single),
                    number(ratio(ours, single), "x"),
                    number(FLOAT32_TARGET, "x"),
                    number(ratio(single, limit32), "x"),
                    f"{result['deviation'].get('atomprint-float32/atomprint', math.nan):.0e}",
                ]
            )
        batch = result.get("threads", {"seconds": {}})
        one, two, peer = (
            statistics.median(batch["seconds"][key]) if batch["seconds"].get(key) else None
            for key in ("atomprint-1", "atomprint-2", "dscribe-2")
        )
        if "repeats" in batch:
            threads.append(
                [
                    f"{name} x {batch['repeats']}",
                    *(number(None if t is None else 1e3 * t) for t in (one, two, peer)),
                    number(ratio(one, two), "x"),
                    number(THREADS_TARGET, "x") if one is not None and one > 0.1 else "–",
                    number(ratio(peer, two), "x"),
                ]
            )
        if "memory" in result:
            used = result["memory"]
            memory.append(
                [
                    f"{name} x {batch['repeats']}",
                    *(f"{used[key] / 1e6:.1f}" for key in ("result_bytes", "beyond_result_bytes")),
                    number(MEMORY_TARGET_MB),
                ]
            )
    ours_and_peers = ["atomprint", "DScribe", "featomic", "featomic dense"]
    parts = [
        table(
            "One thread, float64 (medians)",
            [
                "case",
                *ours_and_peers,
                "DScribe ratio",
                "target",
                "featomic ratio",
                "limit",
                "to limit",
                "deviation",
            ],
            main,
        ),
        table("One thread, float64 (fastest rounds)", ["case", *ours_and_peers], least),
        table(
            "float32",
            ["case", "float64", "float32", "ratio", "target", "to limit", "deviation"],
            half,
        ),
        table(
            "Threads (ms for the batch)",
            ["case", "1 thread", "2 threads", "ratio", "target", "DScribe n_jobs=2", "DScribe ratio"],
            [[r[0], r[1], r[2], r[4], r[5], r[3], r[6]] for r in threads],
        ),
        table("Memory, 2 threads (MB)", ["case", "result", "beyond it", "target"], memory),
    ]
    return "\n".join(part for part in parts if part)
