"""Kernels between structures, against DScribe."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

import numpy as np
from harness import Contestant, Setup, number, race, ratio, table
from structures import MOLECULES, organic_molecules

N_MOLECULES = 40


@dataclass(frozen=True)
class KernelCase:
    """One kernel on the features of the first G2 molecules made of H, C, N and O only.

    Attributes
    ----------
    name : str
        For the table and ``--cases``.
    descriptor : str
        Name of the kernel's class in atomprint and DScribe.
    kwargs : dict
        Arguments of the kernel, and of SOAP, whose features are scaled to unit length; both are not timed.
    target : float or None
        How many times faster than DScribe atomprint is meant to be, at least.
    """

    name: str
    descriptor: str
    kwargs: dict[str, Any]
    target: float | None = None


def case(name: str, descriptor: str, kernel: dict[str, Any], target: float | None = None, **soap: Any) -> KernelCase:
    """Put together a case."""
    return KernelCase(name, descriptor, {"kernel": kernel, "soap": {**MOLECULES, **soap}}, target)


LINEAR, RBF, SMALL = {"metric": "linear"}, {"metric": "rbf", "gamma": 1.0}, {"n_max": 4, "l_max": 4}
CASES = [
    case("rematch-linear", "REMatchKernel", LINEAR, 20.0),
    case("rematch-linear-small", "REMatchKernel", LINEAR, 20.0, **SMALL),
    case("rematch-rbf", "REMatchKernel", RBF, 20.0),
    case("average-linear", "AverageKernel", LINEAR),
    case("average-rbf", "AverageKernel", RBF),
]


def measure(setup: Setup, case: KernelCase) -> dict[str, Any]:
    """Time one kernel of both programs in turn."""
    path = setup.save(case.name, organic_molecules()[:N_MOLECULES])
    contestants = [Contestant(name, name, {}, task="kernel") for name in ("atomprint", "dscribe") if setup.has(name)]
    times, matrices = race(setup, case, path, contestants)
    deviation = None
    if len(matrices) == 2:
        deviation = float(np.abs(matrices["atomprint"] - matrices["dscribe"]).max())
    return {"seconds": times, "target": case.target, "deviation": deviation}


def tables(results: dict[str, dict[str, Any]]) -> str:
    """Lay out the table, from the numbers in the JSON file."""
    rows = []
    for name, result in results.items():

        def milli(label: str, result: dict[str, Any] = result) -> float | None:
            seconds = result["seconds"].get(label)
            return 1e3 * statistics.median(seconds) if seconds else None

        ours, rival = milli("atomprint"), milli("dscribe")
        deviation = "–" if result["deviation"] is None else f"{result['deviation']:.0e}"
        row = [name, *map(number, (ours, rival)), number(ratio(rival, ours), "x"), number(result["target"], "x")]
        rows.append([*row, deviation])
    header = ["case", "atomprint", "DScribe", "ratio", "at least", "deviation"]
    return table(f"Kernels between {N_MOLECULES} molecules, one thread (ms)", header, rows)
