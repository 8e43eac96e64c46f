"""Distributions, patterns and statistics of crystals, beside matminer and pymatgen on the same structures.

The peers need an environment of their own::

    python -m venv peers
    peers/bin/pip install matminer==0.10.1 spglib ase
    export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
    python benchmarks/representations.py crystals.csv.gz --peers-python peers/bin/python

The file is any that atomprint reads as a data set of crystals. Times are processor time of one thread per structure,
of the fastest of several runs; what is read or converted once does not count.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.io import read, write

N_MANY = 10_000


def seconds(function: Callable[[], Any], runs: int = 3) -> float:
    """Return the processor time of the fastest of several runs."""
    best = float("inf")
    for _ in range(runs):
        start = time.process_time()
        function()
        best = min(best, time.process_time() - start)
    return best


def has_lengths(atoms: Atoms) -> bool:
    """Return whether scattering lengths of all elements are known, by both sides."""
    return not {"Po", "At", "Rn", "Fr", "Ac", "Pu"} & set(atoms.get_chemical_symbols())


def own(frames: Sequence[Atoms]) -> dict[str, Callable[[], Any]]:
    """Return what atomprint does in each case."""
    from atomprint.descriptors import (
        CoordinationNumbers,
        PowderDiffraction,
        RadialDistribution,
        SpaceGroup,
        SteinhardtParameters,
        StructureStatistics,
    )

    elements = sorted({int(z) for atoms in frames for z in atoms.numbers})
    species = {"species": elements}
    return {
        "X-ray pattern": lambda: PowderDiffraction().create(frames),
        "neutron pattern": lambda: PowderDiffraction("neutron", debye_waller=0.0).create(frames),
        "radial distribution": lambda: RadialDistribution(r_cut=10.0, n=100, partial=False, **species).create(frames),
        "Steinhardt q4, q6": lambda: SteinhardtParameters(r_cut=4.0, w=None).create(frames),
        "coordination by Voronoi cells": lambda: CoordinationNumbers("solid_angle", **species).create(frames),
        "density": lambda: StructureStatistics().create(frames),
        "Ewald energy": lambda: StructureStatistics().create(frames),
        "space group": lambda: SpaceGroup().create(frames),
    }


def peers(frames: Sequence[Atoms]) -> dict[str, Callable[[], Any]]:
    """Return what others do in each case, with structures that are theirs already."""
    from matminer.featurizers.structure import DensityFeatures, EwaldEnergy, GlobalSymmetryFeatures, XRDPowderPattern
    from matminer.featurizers.structure.rdf import RadialDistributionFunction
    from pymatgen.analysis.diffraction.neutron import NDCalculator
    from pymatgen.analysis.local_env import LocalStructOrderParams, VoronoiNN
    from pymatgen.io.ase import AseAtomsAdaptor

    given = [AseAtomsAdaptor.get_structure(atoms) for atoms in frames]
    charged = [structure.copy() for structure in given]
    for structure in charged:
        structure.add_oxidation_state_by_guess(max_sites=-1)
    orders = LocalStructOrderParams(["q4", "q6"])

    def order() -> None:
        for structure in given:
            neighbours = structure.get_all_neighbors(4.0)
            for site, around in enumerate(neighbours):
                sites = [structure[site], *around]
                orders.get_order_parameters(sites, 0, indices_neighs=list(range(1, len(sites))))

    def cells() -> None:
        for structure in given:
            for site in range(len(structure)):
                VoronoiNN().get_voronoi_polyhedra(structure, site)

    def each(featurizer: Any, structures: Sequence[Any] = given) -> Callable[[], Any]:
        return lambda: [featurizer.featurize(structure) for structure in structures]

    return {
        "X-ray pattern": each(XRDPowderPattern()),
        "neutron pattern": lambda: [NDCalculator().get_pattern(structure) for structure in given],
        "radial distribution": each(RadialDistributionFunction(cutoff=10.0, bin_size=0.1)),
        "Steinhardt q4, q6": order,
        "coordination by Voronoi cells": cells,
        "density": each(DensityFeatures()),
        "Ewald energy": each(EwaldEnergy(), charged),
        "space group": each(GlobalSymmetryFeatures()),
    }


def measured(file: str, side: Callable[[Sequence[Atoms]], dict[str, Callable[[], Any]]], runs: int) -> dict[str, Any]:
    """Return the seconds of each case, or what went wrong."""
    frames = read(file, index=":")
    assert isinstance(frames, list)
    found: dict[str, Any] = {}
    for name, function in side(frames).items():
        try:
            function()  # what is loaded once does not count
            found[name] = seconds(function, runs)
        except Exception as error:  # of a peer that cannot do it with these structures
            found[name] = f"{type(error).__name__}: {error}"
    return found


def main() -> None:
    """Measure both sides and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--peers-python", default=os.environ.get("ATOMPRINT_PEERS_PYTHON"))
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--most-atoms", type=int, default=40)
    parser.add_argument("-n", type=int, default=200, help="how many crystals are compared")
    options = parser.parse_args()
    if options.peer:
        print(json.dumps(measured(options.data, peers, 1)))
        return
    from atomprint.datasets import read_dataset
    from atomprint.descriptors import StructureStatistics

    structures = read_dataset(options.data, targets=()).structures
    frames = [atoms for atoms in structures if len(atoms) <= options.most_atoms and has_lengths(atoms)][: options.n]
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "frames.extxyz")
        write(file, [Atoms(a.numbers, a.positions, cell=a.cell, pbc=True) for a in frames])
        ours = measured(file, own, 3)
        theirs: dict[str, Any] = {}
        if options.peers_python:
            command = [options.peers_python, "-W", "ignore", __file__, file, "--peer"]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            theirs = json.loads(done.stdout.splitlines()[-1])
    n = len(frames)
    print(f"{n} crystals, {sum(map(len, frames)) / n:.1f} atoms on average; ms of one thread for a crystal")
    print(f"{'':32}{'atomprint':>12}{'others':>12}{'ratio':>8}")
    for name in {**ours, **theirs}:
        a, b = ours.get(name), theirs.get(name)
        texts = [f"{1e3 * x / n:.3f}" if isinstance(x, float) else "" for x in (a, b)]
        ratio = f"{b / a:.0f}" if isinstance(a, float) and isinstance(b, float) else ""
        print(f"{name:32}{texts[0]:>12}{texts[1]:>12}{ratio:>8}")
        for error in (x for x in (a, b) if isinstance(x, str)):
            print(f"    {error}", file=sys.stderr)
    many = (list(structures) * (N_MANY // len(structures) + 1))[:N_MANY]
    took = seconds(lambda: StructureStatistics().create(many), 1)
    print(f"StructureStatistics of {len(many)} crystals: {took:.2f} s of processor time")


if __name__ == "__main__":
    main()
