"""Structures as graphs: an edge for every pair of atoms within a cutoff."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from atomprint.neighbours import find_pairs
from atomprint.structures import Structures, as_batch
from atomprint.util.extras import require
from atomprint.util.validation import check_bool, check_real

__all__ = ["Graph", "graph"]


@dataclass(frozen=True, eq=False)
class Graph:
    """Atoms as nodes, and pairs of neighbours as edges.

    Every pair is there twice, once from each end; sorted by centre, neighbour and shift.

    Parameters
    ----------
    numbers : ndarray of int32, shape (n_atoms,)
        Atomic numbers.
    positions : ndarray of float64, shape (n_atoms, 3)
        In Å, as given.
    cell : ndarray of float64, shape (3, 3)
        Lattice vectors as rows, in Å.
    pbc : ndarray of bool, shape (3,)
        Along which of them the structure repeats.
    edges : ndarray of int64, shape (2, n_edges)
        Indices of the centre and of its neighbour.
    distances : ndarray of float64, shape (n_edges,)
        In Å.
    vectors : ndarray of float64, shape (n_edges, 3)
        From the centre to the neighbour, in Å: ``positions[neighbour] + shift @ cell - positions[centre]``.
    shifts : ndarray of int64, shape (n_edges, 3)
        The periodic image of the neighbour, in lattice vectors.
    r_cut : float
        The cutoff in Å.
    """

    numbers: npt.NDArray[np.int32]
    positions: npt.NDArray[np.float64]
    cell: npt.NDArray[np.float64]
    pbc: npt.NDArray[np.bool_]
    edges: npt.NDArray[np.int64]
    distances: npt.NDArray[np.float64]
    vectors: npt.NDArray[np.float64]
    shifts: npt.NDArray[np.int64]
    r_cut: float

    def __repr__(self) -> str:
        return f"Graph({len(self.numbers)} atoms, {self.edges.shape[1]} edges, r_cut={self.r_cut:g})"

    def to_networkx(self, directed: bool = True) -> Any:
        """Return the graph for NetworkX.

        Parameters
        ----------
        directed : bool
            Whether edges go from each centre to its neighbours; else every pair is one undirected edge.

        Returns
        -------
        networkx.MultiDiGraph or networkx.MultiGraph
            Nodes have ``number`` and ``position``, edges ``distance``, ``vector`` (as seen from the first of its
            nodes in :attr:`edges`) and ``shift``; several edges may join the same two atoms of a crystal.

        Raises
        ------
        ImportError
            If NetworkX is not installed.
        """
        check_bool("directed", directed)
        networkx = require("networkx", "graph", "to_networkx")
        found: Any = networkx.MultiDiGraph() if directed else networkx.MultiGraph()
        found.graph.update(cell=self.cell, pbc=self.pbc, r_cut=self.r_cut)
        for k, (number, position) in enumerate(zip(self.numbers.tolist(), self.positions, strict=True)):
            found.add_node(k, number=number, position=position)
        chosen = np.arange(len(self.distances)) if directed else self._once()
        for e in chosen.tolist():
            i, j = self.edges[:, e].tolist()
            shift = tuple(self.shifts[e].tolist())
            found.add_edge(i, j, distance=float(self.distances[e]), vector=self.vectors[e], shift=shift)
        return found

    def to_pyg(self) -> Any:
        """Return the graph for PyTorch Geometric.

        Returns
        -------
        torch_geometric.data.Data
            With ``z`` (n_atoms,), ``pos`` (n_atoms, 3), ``edge_index`` (2, n_edges), ``edge_weight`` (distances,
            n_edges), ``edge_vec`` (n_edges, 3), ``edge_shift`` (n_edges, 3), ``cell`` (1, 3, 3) and ``pbc`` (1, 3).
            As is usual there, messages flow from the neighbour (the first row of ``edge_index``) to the centre (the
            second); vectors go from centre to neighbour, as here. Real numbers have torch's default type.

        Raises
        ------
        ImportError
            If PyTorch Geometric is not installed.
        """
        try:
            import torch
            from torch_geometric.data import Data
        except ImportError as error:
            raise ImportError("to_pyg needs PyTorch Geometric: pip install torch torch_geometric") from error

        def real(array: npt.NDArray[np.float64]) -> Any:
            return torch.as_tensor(array.copy(), dtype=torch.get_default_dtype())

        return Data(
            z=torch.as_tensor(self.numbers.astype(np.int64)),
            pos=real(self.positions),
            edge_index=torch.as_tensor(self.edges[::-1].copy()),
            edge_weight=real(self.distances),
            edge_vec=real(self.vectors),
            edge_shift=torch.as_tensor(self.shifts.copy()),
            cell=real(self.cell[None]),
            pbc=torch.as_tensor(self.pbc[None].copy()),
        )

    def _once(self) -> npt.NDArray[np.int64]:
        """Return the edges without those that are others seen from their end."""
        i, j = self.edges
        first = np.take_along_axis(self.shifts, np.argmax(self.shifts != 0, axis=1)[:, None], axis=1)[:, 0]
        return np.flatnonzero((i < j) | ((i == j) & (first > 0)))


def graph(structure: Structures, r_cut: float) -> Graph:
    """Return the graph of the pairs of atoms that are closer than a cutoff.

    Parameters
    ----------
    structure : structure
        One structure: ``ase.Atoms``, pymatgen ``Structure`` or ``Molecule``, a file that ASE reads, or a
        :class:`~atomprint.structures.Batch` of one. Periodic boundary conditions are kept where it has them.
    r_cut : float
        Cutoff in Å; pairs exactly at it do not count.

    Returns
    -------
    Graph

    Raises
    ------
    ValueError, TypeError
        If the structure or the cutoff is not usable, or there is more than one structure.

    Examples
    --------
    >>> from ase.build import bulk
    >>> graph(bulk("NaCl", "rocksalt", 5.64), r_cut=3.0)
    Graph(2 atoms, 12 edges, r_cut=3)
    """
    cutoff = check_real("r_cut", r_cut, above=0)
    batch = as_batch(structure, periodic=None)
    if len(batch) != 1:
        raise ValueError(f"structure must be one structure, got {len(batch)}: call graph for each")
    found = find_pairs(batch, cutoff)
    return Graph(
        batch.numbers,
        batch.positions,
        batch.cells[0],
        batch.pbc[0],
        np.stack([found.first, found.second]),
        found.distances,
        found.vectors,
        found.shifts,
        cutoff,
    )
