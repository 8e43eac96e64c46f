"""What users wait for besides the kernels: small calls, reading, many elements, sparse and large results, derivatives.

Each row is a function that prepares a workload for a program and returns what is timed; it runs in a process of its
own (``worker.py``). Rows compare atomprint with itself before (``before.json``, or measured in turn from the source
folder of an older version that ``--base-path`` names), with the floor, with the aim and with the peers that can do the
same. Times are of CPU, the fastest of the rounds, but for rows of threads.
"""

from __future__ import annotations

import gzip
import json
import resource
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.collections import g2
from ase.io import write
from harness import PEERS, number, ratio, table
from structures import (
    FUNCTIONS,
    MBTR_ANGLES,
    MBTR_PAIRS,
    MOLECULES,
    NACL,
    SI,
    first_molecules,
    organic_molecules,
    rattled,
)

SCALES = {"ns": 1e9, "µs": 1e6, "ms": 1e3, "s": 1.0}

Run = Callable[[], Any]


@dataclass(frozen=True)
class Workload:
    """What is timed.

    Attributes
    ----------
    run : callable
        One call.
    n : float
        The time is divided by this: centres, structures, pairs.
    over : callable or None
        Where the row is a ratio: another call, by whose time that of ``run`` is divided (or the other way round).
    """

    run: Run
    n: float = 1.0
    over: Run | None = None


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes
    ----------
    name, unit : str
        A unit begins with that of the time, or is "x" for a ratio, or "MB".
    make : callable
        Given the name of a program, prepares its workload; None where it cannot do this.
    aim : float or None
        What is wanted; at least that much if ``more`` is better.
    floor : float or None
        Least time that the machine needs: flops counted at peak plus bytes out at store speed, on one core with
        132 GF/s and 20 GB/s.
    kind : {"cpu", "wall", "memory", "import"}
        What is measured.
    more : bool
        Whether more is better.
    peers : tuple of str
        Other programs that may be able to do it.
    """

    name: str
    unit: str
    make: Callable[[str], Workload | None]
    aim: float | None = None
    floor: float | None = None
    kind: str = "cpu"
    more: bool = False
    peers: tuple[str, ...] = ()


ROWS: dict[str, Row] = {}
NAMED = ("dscribe", "mdescriptor")  # with descriptors by our names


def row(name: str, unit: str, **of_row: Any) -> Callable[[Callable[[str], Workload | None]], None]:
    """Add the decorated function as a row."""

    def add(make: Callable[[str], Workload | None]) -> None:
        ROWS[name] = Row(name, unit, make, **of_row)

    return add


# Programs --------------------------------------------------------------------------------------------------------


def descriptor(program: str, name: str, kwargs: dict[str, Any]) -> Any:
    """Return a descriptor of a program that has it by DScribe's names, else None."""
    if program == "atomprint":
        from atomprint import descriptors

        return getattr(descriptors, name)(**kwargs)
    if "compression" in kwargs:
        return None
    if program == "dscribe":
        from dscribe import descriptors as dscribes

        return getattr(dscribes, name)(**kwargs)
    if program == "mdescriptor" and name == "SOAP":
        from ase.data import atomic_numbers
        from mdescriptor.descriptors import SOAP

        known = ("r_cut", "n_max", "l_max", "sigma")
        species = [atomic_numbers[one] if isinstance(one, str) else one for one in kwargs["species"]]
        average = kwargs.get("average", "off")
        return Named(SOAP(species=species, average=average, **{key: kwargs[key] for key in known}))
    return None


class Named:
    """A descriptor whose method is called otherwise."""

    def __init__(self, found: Any) -> None:
        self.found = found

    def create(self, structures: Any) -> Any:
        """Compute."""
        return self.found.compute(structures if isinstance(structures, list) else [structures])


def created(name: str, kwargs: dict[str, Any], structures: Any, n: float = 1.0) -> Callable[[str], Workload | None]:
    """Return the maker of a row that calls ``create``, of all programs."""

    def make(program: str) -> Workload | None:
        made = descriptor(program, name, kwargs)
        return made and Workload(lambda: made.create(structures), n)

    return make


def own(call: Callable[[Any], Workload]) -> Callable[[str], Workload | None]:
    """Return the maker of a row that only atomprint has; versions that lack a method leave it empty."""

    def make(program: str) -> Workload | None:
        if program != "atomprint":
            return None
        from atomprint import descriptors

        try:
            return call(descriptors)
        except (AttributeError, TypeError):
            return None

    return make


def ones(features: Any) -> Any:
    """Return cotangents of 1."""
    return [np.ones_like(x) for x in features] if isinstance(features, list) else np.ones_like(features)


def numbers_of(jacobian: Any) -> list[Any]:
    """Return all numbers of a pair Jacobian, which may compute them when it is asked."""
    return [block.values for block in jacobian.blocks]


def vjp_of(made: Any, structures: Any) -> Run:
    """Return a call of ``vjp``."""
    weights = ones(made.create(structures))
    return lambda: made.vjp(structures, weights)


# Structures ------------------------------------------------------------------------------------------------------

ETHANOL = g2["CH3CH2OH"]
CORNERS = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
MANY = [*range(1, 61)]
A_SITES = [11, 19, 20, 37, 38, 39, 47, 48, 50, 55, 56, *range(57, 72), 81, 82, 83]
B_SITES = [*range(12, 15), *range(21, 32), *range(40, 47), *range(72, 80)]


@cache
def perovskites(n: int = 120) -> list[Atoms]:
    """Return cubic perovskites of many elements."""
    pairs = [(a, b) for a in A_SITES for b in B_SITES]
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(pairs), n, replace=n > len(pairs))
    return [
        Atoms([*pairs[k], 8, 8, 8], scaled_positions=CORNERS, cell=[3.8 + 0.4 * rng.random()] * 3, pbc=True)
        for k in chosen
    ]


def nacl(repeat: int = 3) -> Atoms:
    """Return rattled rocksalt."""
    return rattled("NaCl", "rocksalt", 5.64, repeat, seed=0)


def silicon() -> Atoms:
    """Return rattled silicon."""
    return rattled("Si", "diamond", 5.43, 3, seed=1)


def centres(structures: Sequence[Atoms]) -> int:
    """Count atoms."""
    return sum(map(len, structures))


# Small calls -----------------------------------------------------------------------------------------------------

SMALL = {"species": ["H", "C", "N", "O"], "r_cut": 5.0, "n_max": 4, "l_max": 3}
SIXTY = SMALL | {"species": MANY}


def _embedded() -> dict[str, Any]:
    from atomprint.elements import ElementEmbedding

    return SIXTY | {"species_embedding": ElementEmbedding(8)}


row("one-molecule-soap", "µs a call", peers=NAMED, aim=18, floor=9)(created("SOAP", SMALL, ETHANOL))
row("one-molecule-mbtr", "µs a call", peers=NAMED, aim=25, floor=9)(created("MBTR", MBTR_PAIRS, ETHANOL))
row("one-molecule-vjp", "µs a call", aim=30, floor=17)(own(lambda d: Workload(vjp_of(d.SOAP(**SMALL), ETHANOL))))
row("one-molecule-60-species", "µs a call", aim=18, floor=10)(created("SOAP", SIXTY, ETHANOL))
row("one-molecule-60-vjp", "µs a call", aim=30, floor=17)(own(lambda d: Workload(vjp_of(d.SOAP(**SIXTY), ETHANOL))))
row("one-molecule-embedding", "µs a call", aim=18, floor=10)(
    own(lambda d: Workload(partial(d.SOAP(**_embedded()).create, ETHANOL)))
)
row("one-molecule-embedding-vjp", "µs a call", aim=30, floor=17)(
    own(lambda d: Workload(vjp_of(d.SOAP(**_embedded()), ETHANOL)))
)


@row("md-step-soap", "µs a call", aim=24)
@own
def _(d: Any) -> Workload:
    prepared = d.SOAP(**SMALL).prepare(ETHANOL)
    return Workload(lambda: prepared.create(ETHANOL.positions))


@row("md-step-vjp", "µs a call", aim=32)
@own
def _(d: Any) -> Workload:
    soap = d.SOAP(**SMALL)
    prepared, weights = soap.prepare(ETHANOL), ones(soap.create(ETHANOL))
    return Workload(lambda: prepared.vjp(ETHANOL.positions, weights))


# Many elements ---------------------------------------------------------------------------------------------------

for _n in (4, 20, 60):
    _species = {"species": ["H", "C", "N", "O"]} if _n == 4 else {"species": MANY[:_n]}
    row(f"sparse-{_n}-species", "µs a centre", peers=("dscribe",), aim=60, floor=9)(
        created("SOAP", MOLECULES | _species | {"sparse": True}, first_molecules(), centres(first_molecules()))
    )


@row("perovskites-embedded", "µs a centre", aim=5.5, floor=2)
@own
def _(d: Any) -> Workload:
    from atomprint.elements import ElementEmbedding

    crystals = perovskites()
    species = sorted({int(z) for atoms in crystals for z in atoms.numbers})
    options = NACL | {"species": species, "r_cut": 5.0}
    soap = d.SOAP(**options, average="outer", species_embedding=ElementEmbedding(8))
    return Workload(lambda: soap.create(crystals), centres(crystals))


@row("averages-86-elements", "MB for 1000 crystals", aim=70, floor=7, kind="memory")
@own
def _(d: Any) -> Workload:
    crystals = perovskites(500)
    soap = d.SOAP(species=[*range(1, 87)], r_cut=4.0, n_max=3, l_max=6, periodic=True, average="outer", sparse=True)
    return Workload(lambda: soap.create(crystals), len(crystals) / 1000)


# Large results ---------------------------------------------------------------------------------------------------


def _large() -> list[Atoms]:
    return organic_molecules() * 18  # 330 MB


@row("create-330-MB", "µs a centre", aim=None, floor=1.2)
@own
def _(d: Any) -> Workload:
    soap, structures = d.SOAP(**MOLECULES, pooling=None), _large()
    return Workload(lambda: soap.create(structures), centres(structures))


@row("create-330-MB-out", "µs a centre", aim=2.8, floor=1.2)
@own
def _(d: Any) -> Workload:
    soap, structures = d.SOAP(**MOLECULES), _large()
    out = np.empty((centres(structures), soap.get_number_of_features()))
    soap.create(structures[:2], out=out[: centres(structures[:2])])
    return Workload(lambda: soap.create(structures, out=out), centres(structures))


@row("create-330-MB-stream", "µs a centre", aim=2.3, floor=1.2)
@own
def _(d: Any) -> Workload:
    soap, structures = d.SOAP(**MOLECULES), _large()
    stream = soap.iter_create
    return Workload(lambda: sum(1 for _ in stream(structures)), centres(structures))


# Derivatives -----------------------------------------------------------------------------------------------------


def _over_value(kwargs: dict[str, Any], structures: Any) -> Callable[[str], Workload | None]:
    def make(d: Any) -> Workload:
        soap = d.SOAP(**kwargs)
        return Workload(vjp_of(soap, structures), over=lambda: soap.create(structures))

    return own(make)


row("vjp-over-value-molecules", "x value", aim=2.0, floor=2)(_over_value(MOLECULES, organic_molecules()))
row("vjp-over-value-nacl", "x value", aim=2.2, floor=2)(_over_value(NACL, nacl()))
row("vjp-over-value-si", "x value", aim=2.2, floor=2)(_over_value(SI, silicon()))
row("vjp-over-value-molecules-outer", "x value", aim=2.2, floor=2)(
    _over_value(MOLECULES | {"average": "outer"}, organic_molecules())
)
row("vjp-over-value-molecules-inner", "x value", aim=2.2, floor=2)(
    _over_value(MOLECULES | {"average": "inner"}, organic_molecules())
)
row("vjp-over-value-molecules-mean", "x value", aim=2.2, floor=2)(
    _over_value(MOLECULES | {"pooling": "mean"}, organic_molecules())
)


@row("value-and-vjp-molecules", "x value", aim=2.2)
@own
def _(d: Any) -> Workload:
    soap, structures = d.SOAP(**MOLECULES), organic_molecules()
    weights, linear = ones(soap.create(structures)), np.ones(soap.get_number_of_features())

    def value_and_vjp() -> Any:
        if hasattr(soap, "value_and_vjp"):
            return soap.value_and_vjp(structures, linear)
        return soap.vjp(structures, weights, return_descriptor=True)

    return Workload(value_and_vjp, over=lambda: soap.create(structures))


@row("pair-jacobian-nacl", "µs a centre", aim=120, floor=83)
@own
def _(d: Any) -> Workload:
    soap, crystal, some = d.SOAP(**NACL), nacl(), list(range(20))
    return Workload(lambda: numbers_of(soap.jacobian(crystal, centers=some)), len(some))


@row("pair-jacobian-nacl-contracted", "µs a centre", aim=120)
@own
def _(d: Any) -> Workload:
    soap, crystal, some = d.SOAP(**NACL), nacl(), list(range(20))
    weights = ones(soap.create(crystal, centers=some))

    def run() -> Any:
        jacobian = soap.jacobian(crystal, centers=some)
        return getattr(jacobian, "contract", getattr(jacobian, "vjp", None))(weights)

    return Workload(run, len(some))


@row("pair-jacobian-lmbtr", "µs a centre", aim=100, floor=54)
@own
def _(d: Any) -> Workload:
    made, structures = d.LMBTR(**MBTR_ANGLES), organic_molecules()[30:45]
    return Workload(lambda: numbers_of(made.jacobian(structures)), centres(structures))


@row("dense-derivatives", "µs a centre", floor=53)
@own
def _(d: Any) -> Workload:
    soap, structures = d.SOAP(**MOLECULES), organic_molecules()[40:60]
    return Workload(lambda: soap.derivatives(structures, return_descriptor=False), centres(structures))


@row("dense-derivatives-last-alive", "µs a centre", floor=53)
@own
def _(d: Any) -> Workload:
    soap, structures, kept = d.SOAP(**MOLECULES), organic_molecules()[40:60], {}

    def run() -> None:
        kept["last"] = soap.derivatives(structures, return_descriptor=False)

    return Workload(run, centres(structures))


# float32 and sizes of the basis ----------------------------------------------------------------------------------


def _single(kwargs: dict[str, Any], structures: Any) -> Callable[[str], Workload | None]:
    def make(d: Any) -> Workload:
        double, single = d.SOAP(**kwargs), d.SOAP(**kwargs, dtype="float32")
        return Workload(lambda: double.create(structures), over=lambda: single.create(structures))

    return own(make)


row("float32-molecules", "x float64", aim=1.7, more=True)(_single(MOLECULES, organic_molecules()))
row("float32-nacl", "x float64", aim=1.7, more=True)(_single(NACL, nacl()))
row("float32-si", "x float64", aim=1.7, more=True)(_single(SI, silicon()))
for _n in (8, 9, 10, 13, 14):
    row(f"n-max-{_n}", "µs a centre", peers=NAMED)(
        created("SOAP", MOLECULES | {"n_max": _n}, organic_molecules(), centres(organic_molecules()))
    )

# The kernels themselves ------------------------------------------------------------------------------------------

row("value-molecules", "µs a centre", peers=NAMED)(
    created("SOAP", MOLECULES, organic_molecules(), centres(organic_molecules()))
)
row("value-nacl", "µs a centre", peers=NAMED)(created("SOAP", NACL, [nacl()], len(nacl())))
row("value-si", "µs a centre", peers=NAMED)(created("SOAP", SI, [silicon()], len(silicon())))


@row("neighbours-nacl", "ns a pair", peers=("vesin", "matscipy"))
def _(program: str) -> Workload | None:
    crystal, cutoff = nacl(8), 6.0
    n = centres([crystal]) * 4 / 3 * np.pi * cutoff**3 * len(crystal) / crystal.get_volume()
    if program == "atomprint":
        from atomprint.neighbours import pairs

        return Workload(lambda: pairs(crystal, cutoff), n)
    if program == "vesin":
        import vesin

        return Workload(lambda: vesin.ase_neighbor_list("ijSDd", crystal, cutoff), n)
    if program == "matscipy":
        from matscipy.neighbours import neighbour_list

        return Workload(lambda: neighbour_list("ijSDd", crystal, cutoff), n)
    return None


@row("expansion-nacl", "ns a neighbour", peers=("sphericart",))
def _(program: str) -> Workload | None:
    """Sphericart computes harmonics alone; of atomprint it is all that a neighbour costs, of everything."""
    crystal = nacl()
    reach = NACL["r_cut"] + NACL["sigma"] * np.sqrt(-2 * np.log(1e-3))
    n = len(crystal) * 4 / 3 * np.pi * reach**3 * len(crystal) / crystal.get_volume()
    if program == "atomprint":
        soap = descriptor(program, "SOAP", NACL)
        return Workload(lambda: soap.create(crystal), n)
    if program == "sphericart":
        import sphericart

        harmonics = sphericart.SphericalHarmonics(NACL["l_max"])
        vectors = np.random.default_rng(0).normal(size=(int(n), 3))
        return Workload(lambda: harmonics.compute(vectors), n)
    return None


# Reading ---------------------------------------------------------------------------------------------------------


@row("read-atoms", "µs an atom", aim=0.1)
@own
def _(d: Any) -> Workload:
    from atomprint.structures import as_batch

    structures = organic_molecules() * 10
    return Workload(lambda: as_batch(structures, periodic=None), centres(structures))


@row("read-cif", "µs a crystal", floor=10)
@own
def _(d: Any) -> Workload:
    from atomprint.formats.cif import crystal_of_cif

    texts = []
    with tempfile.TemporaryDirectory() as folder:
        for k, atoms in enumerate(perovskites(60)):
            path = Path(folder, f"{k}.cif")
            write(path, atoms)
            texts.append(path.read_text())
    return Workload(lambda: [crystal_of_cif(text) for text in texts], len(texts))


FOLDER = tempfile.TemporaryDirectory()


@row("read-json", "µs a crystal", floor=10)
@own
def _(d: Any) -> Workload:
    from atomprint.datasets import read_dataset

    crystals = perovskites(400)
    data = [[_as_pymatgen(atoms), float(k)] for k, atoms in enumerate(crystals)]
    path = Path(FOLDER.name, "crystals.json.gz")
    with gzip.open(path, "wt") as file:
        json.dump({"index": list(range(len(data))), "columns": ["structure", "energy"], "data": data}, file)
    return Workload(lambda: read_dataset(path), len(crystals))


def _as_pymatgen(atoms: Atoms) -> dict[str, Any]:
    """Return a crystal as pymatgen writes it."""
    lattice = {"matrix": atoms.cell.tolist()}
    sites = [
        {
            "species": [{"element": symbol, "occu": 1}],
            "abc": place.tolist(),
            "xyz": position.tolist(),
            "label": symbol,
            "properties": {},
        }
        for symbol, place, position in zip(
            atoms.get_chemical_symbols(), atoms.get_scaled_positions(), atoms.positions, strict=True
        )
    ]
    return {
        "@module": "pymatgen.core.structure",
        "@class": "Structure",
        "charge": None,
        "lattice": lattice,
        "sites": sites,
    }


# Threads: batches of more than 50 ms -----------------------------------------------------------------------------


def _two_threads(name: str, kwargs: dict[str, Any], structures: Sequence[Atoms]) -> Callable[[str], Workload | None]:
    def make(d: Any) -> Workload:
        made, batch = getattr(d, name)(**kwargs), list(structures)
        return Workload(lambda: made.create(batch, n_jobs=1), over=lambda: made.create(batch, n_jobs=2))

    return own(make)


_THREADS: dict[str, tuple[str, dict[str, Any], Sequence[Atoms]]] = {
    "coulomb": ("CoulombMatrix", {"n_atoms_max": 14}, organic_molecules() * 200),
    "sine": ("SineMatrix", {"n_atoms_max": 5}, perovskites(120) * 60),
    "ewald": ("EwaldSumMatrix", {"n_atoms_max": 5}, perovskites(120) * 20),
    "mbtr": ("MBTR", MBTR_PAIRS, organic_molecules() * 40),
    "acsf": ("ACSF", FUNCTIONS, organic_molecules() * 40),
    "soap": ("SOAP", MOLECULES | {"average": "outer"}, organic_molecules() * 20),
}
for _name, _case in _THREADS.items():
    row(f"two-threads-{_name}", "x one", aim=1.8, floor=2, kind="wall", more=True)(_two_threads(*_case))

# Import ----------------------------------------------------------------------------------------------------------

_REFERENCE = "import numpy, ase"
IMPORTS = {
    "import-descriptors": "from atomprint.descriptors import SOAP",
    "import-pooling": "import atomprint.pooling",
    "import-structures": "import atomprint.structures",
}
for _name in IMPORTS:
    row(_name, "x numpy + ase", aim=3, floor=1, kind="import")(lambda program: None)


def import_ratio(python: str, code: str, environment: dict[str, str], rounds: int) -> float:
    """Return the CPU time of a new Python that imports something over that of one with NumPy and ASE."""

    def seconds(text: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([python, "-c", text], check=True, env=environment)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    for text in (_REFERENCE, code):
        seconds(text)
    times = [(seconds(code), seconds(_REFERENCE)) for _ in range(max(rounds, 5))]
    return min(a for a, _ in times) / min(b for _, b in times)


# How it is measured ----------------------------------------------------------------------------------------------


def measure(setup: Any, case: Row) -> dict[str, Any]:
    """Measure a row for all programs, in turn; values are in the unit of the row."""
    result: dict[str, Any] = {"unit": case.unit, "aim": case.aim, "floor": case.floor, "more": case.more}
    labels = [one for one in ("before", "atomprint", *case.peers) if setup.has(one)]
    if case.kind == "import":
        values = {
            label: import_ratio(setup.pythons[label], IMPORTS[case.name], setup.environment(label), setup.rounds)
            for label in labels
            if label in ("before", "atomprint")
        }
    elif case.kind == "memory":
        values = {label: value for label in labels if (value := _memory(setup, case, label)) is not None}
    else:
        values = _race(setup, case, labels)
    if "before" not in values and case.name in setup.before:
        values["before"] = setup.before[case.name]
    return result | {"values": values}


def _memory(setup: Any, case: Row, label: str) -> float | None:
    with setup.process(label) as process:
        answer = setup.attempt(process, "wait_memory", name=case.name)
        return answer["bytes"] / answer["n"] / 1e6 if answer and answer["bytes"] is not None else None


def _race(setup: Any, case: Row, labels: Sequence[str]) -> dict[str, float]:
    processes, times = {}, {}
    try:
        for label in labels:
            process = setup.start(label, 2 if case.kind == "wall" else 1)
            answer = setup.attempt(process, "wait", name=case.name)
            if answer is None or answer["n"] is None:
                process.close()
            else:
                processes[label] = process
                times[label] = [answer["n"]]
        for _ in range(setup.rounds):
            for label, process in processes.items():
                times[label].append(process.ask("time_wait", at_least=setup.at_least, clock=case.kind))
    finally:
        for process in processes.values():
            process.close()
    values = {}
    for label, (n, *rounds) in times.items():
        best = min(one["seconds"] for one in rounds)
        if rounds[0]["over"] is not None:
            values[label] = float(np.median([one["seconds"] / one["over"] for one in rounds]))
        else:
            values[label] = SCALES[case.unit.split()[0]] * best / n
    return values


def tables(results: dict[str, dict[str, Any]]) -> str:
    """Lay out the table, from the numbers in the JSON file."""
    rows = []
    for name, result in results.items():
        values, more = result["values"], result["more"]
        now, before = values.get("atomprint"), values.get("before")
        gain = ratio(now, before) if more else ratio(before, now)
        aim = "–" if result["aim"] is None else f"{'≥' if more else '≤'} {number(result['aim'])}"
        missed = (
            now is not None and result["aim"] is not None and (now < result["aim"] if more else now > result["aim"])
        )
        peers = ", ".join(f"{one} {number(values[one])}" for one in PEERS if one in values)
        rows.append(
            [
                f"{name} ({result['unit']})",
                number(before),
                number(now),
                number(gain, "x"),
                aim + (" missed" if missed else ""),
                number(result["floor"]),
                number(ratio(now, result["floor"]), "x"),
                peers or "–",
            ]
        )
    return table("What users wait for", ["case", "before", "now", "gain", "aim", "floor", "to floor", "peers"], rows)
