"""Graphs of crystals, beside pymatgen, ASE, NetworkX and PyTorch Geometric on the same structures and one thread.

::

    pip install 'atomprint[data,graph,pymatgen,pyg]'
    export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
    python benchmarks/graphs.py crystals.csv.gz

The file is any that atomprint reads as a data set of crystals. Times are processor time for a structure, of the fastest
of several runs; what is read or converted once does not count. Edges of both sides are compared before they are timed.
``radius_graph`` of PyTorch Geometric knows no periodic images, and is not here.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list
from pymatgen.io.ase import AseAtomsAdaptor

from atomprint.datasets import read_dataset
from atomprint.graphs import GraphDataset, Graphs, NeighbourGraph, line_graph, to_networkx, to_pyg
from atomprint.util.extras import installed


def seconds(function: Callable[[], Any], runs: int) -> float:
    """Return the processor time of the fastest of several runs."""
    best = float("inf")
    for _ in range(runs):
        start = time.process_time()
        function()
        best = min(best, time.process_time() - start)
    return best


class Table:
    """Rows of ms for a structure, printed as they are measured."""

    def __init__(self, n: int, runs: int) -> None:
        self.n, self.runs = n, runs
        print(f"{'':44}{'atomprint':>12}{'others':>12}{'ratio':>8}")

    def row(self, name: str, own: Callable[[], Any], other: Callable[[], Any]) -> None:
        """Measure one."""
        ours, theirs = seconds(own, self.runs), seconds(other, 1)
        a, b = 1e3 * ours / self.n, 1e3 * theirs / self.n
        print(f"{name:44}{a:>12.4f}{b:>12.3f}{b / a:>8.3g}", flush=True)


def check(graphs: Graphs, lists: list[tuple[Any, ...]]) -> None:
    """Raise unless others have as many edges of each structure, as long; but for those at the cutoff itself."""
    for s, (graph, (*_, distances)) in enumerate(zip(graphs, lists, strict=True)):
        inside = np.sort(distances[distances < (graphs.r_cut or np.inf) - 1e-6])
        own = np.sort(graph.distances[graph.distances < (graphs.r_cut or np.inf) - 1e-6])
        if len(inside) != len(own) or not np.allclose(inside, own, atol=1e-6):
            raise AssertionError(f"edges of structure {s} differ: {len(own)} and {len(inside)}")


def within(table: Table, frames: list[Atoms], given: list[Any], r_cut: float) -> None:
    """Compare and time all edges within a cutoff."""
    maker = NeighbourGraph(r_cut=r_cut)

    def of_pymatgen() -> list[Any]:
        return [structure.get_neighbor_list(r_cut) for structure in given]

    graphs = maker.create(frames)
    check(graphs, of_pymatgen())
    check(graphs, [neighbor_list("ijd", atoms, r_cut) for atoms in frames])
    name = f"all within {r_cut:g} Å, {graphs.n_edges / len(frames):.0f} edges"
    table.row(f"{name}: pymatgen", lambda: maker.create(frames), of_pymatgen)
    table.row(f"{name}: ASE", lambda: maker.create(frames), lambda: [neighbor_list("ijdS", a, r_cut) for a in frames])


def main() -> None:
    """Measure both sides and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("-n", type=int, default=200, help="how many crystals")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    structures = read_dataset(options.data, targets=()).structures
    frames = [Atoms(a.numbers, a.positions, cell=a.cell, pbc=True) for a in list(structures)[: options.n]]
    given = [AseAtomsAdaptor.get_structure(atoms) for atoms in frames]
    n = len(frames)
    print(f"{n} crystals, {sum(map(len, frames)) / n:.1f} atoms on average; ms of one thread for a crystal")
    table = Table(n, options.runs)
    for r_cut in (5.0, 8.0):
        within(table, frames, given, r_cut)
    nearest = NeighbourGraph(r_cut=8.0, n_nearest=12, ties="cut")

    def of_pymatgen() -> list[list[Any]]:  # as CGCNN's own program does it
        return [[sorted(sites, key=lambda x: x[1])[:12] for sites in s.get_all_neighbors(8.0)] for s in given]

    wanted = [np.sort([x[1] for sites in crystal for x in sites]) for crystal in of_pymatgen()]
    for graph, distances in zip(nearest.create(frames), wanted, strict=True):
        if not np.allclose(np.sort(graph.distances), distances, atol=2e-3):  # ties within 1e-3 Å
            raise AssertionError("the nearest differ")
    table.row("12 nearest within 8 Å: pymatgen", lambda: nearest.create(frames), of_pymatgen)

    bonds = NeighbourGraph(bonds=1.2).create(frames)
    networkx = __import__("networkx")
    directed = to_networkx(bonds)
    backtracking = lambda: line_graph(bonds, backtracking=True)  # noqa: E731
    if len(backtracking().cosines) != sum(networkx.line_graph(one).number_of_edges() for one in directed):
        raise AssertionError("the line graphs differ")
    table.row("line graph, with angles: NetworkX", backtracking, lambda: [networkx.line_graph(one) for one in directed])
    if installed("torch_geometric"):
        from torch_geometric.loader import DataLoader

        edges = nearest.create(frames)
        listed = to_pyg(edges, np.zeros(n), nodes="properties", edges="gaussian")
        dataset = GraphDataset(edges, y=np.zeros(n))
        table.row(
            "batches of 64, with Gaussians: PyG, ready ones",
            lambda: [batch.tensors() for batch in dataset.batches(64, shuffle=True)],
            lambda: list(DataLoader(listed, 64, shuffle=True)),
        )


if __name__ == "__main__":
    main()
