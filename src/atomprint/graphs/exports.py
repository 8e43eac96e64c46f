"""Graphs for NetworkX and SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from atomprint.graphs.graphs import Graphs
from atomprint.util.extras import require
from atomprint.util.validation import check_bool


def adjacency(graphs: Graphs, weights: npt.ArrayLike | None = None) -> Any:
    """Return the adjacency matrix of all structures, in blocks along the diagonal.

    Parameters
    ----------
    graphs : Graphs
        The graphs.
    weights : array-like, shape (n_edges,), optional
        Of the edges, such as ``graphs.distances``. Left out, edges are counted.

    Returns
    -------
    scipy.sparse.csr_array, shape (n_atoms, n_atoms)
        Row i, column j: the sum over the edges from atom i to its neighbour j, of which there may be several.
    """
    from scipy.sparse import coo_array

    values = np.ones(graphs.n_edges, dtype=np.int64) if weights is None else np.asarray(weights)
    if values.shape != (graphs.n_edges,):
        raise ValueError(f"weights must have shape ({graphs.n_edges},), one for each edge, got {values.shape}")
    return coo_array((values, tuple(graphs.edges)), shape=(graphs.n_atoms, graphs.n_atoms)).tocsr()


def incidence(graphs: Graphs, *, oriented: bool = True, once: bool = False) -> Any:
    """Return which atoms are the ends of each edge.

    Parameters
    ----------
    graphs : Graphs
        The graphs.
    oriented : bool
        Whether the atom has -1 and its neighbour 1; else both have 1. An atom that is its own neighbour has 0 with
        orientation, and 2 without.
    once : bool
        Whether only the edges ``graphs.once()`` have columns.

    Returns
    -------
    scipy.sparse.csc_array, shape (n_atoms, n_edges)
        With ``once`` and orientation the Laplacian is ``incidence @ incidence.T``.
    """
    from scipy.sparse import coo_array

    begin = -1 if check_bool("oriented", oriented) else 1
    edges = graphs.edges[:, graphs.once()] if check_bool("once", once) else graphs.edges
    n = edges.shape[1]
    values, columns = np.repeat([begin, 1], n), np.tile(np.arange(n), 2)
    found = coo_array((values, (edges.ravel(), columns)), shape=(graphs.n_atoms, n)).tocsc()
    found.eliminate_zeros()
    return found


def to_networkx(graphs: Graphs, *, directed: bool = True) -> Any:
    """Return the graphs for NetworkX.

    Parameters
    ----------
    graphs : Graphs
        The graphs.
    directed : bool
        Whether edges go from each atom to its neighbours; else every pair is one undirected edge.

    Returns
    -------
    networkx.MultiDiGraph or networkx.MultiGraph, or list of these
        One for a single structure, else a list. Nodes have ``number`` and ``position``, edges ``distance``,
        ``vector`` (as seen from the first of its nodes in :attr:`edges`) and ``shift``; the key of an edge is its
        place among the edges of the structure.

    Raises
    ------
    ImportError
        If NetworkX is not installed.
    """
    check_bool("directed", directed)
    networkx = require("networkx", "graph", "to_networkx")
    found = [_of_networkx(networkx, graph, directed) for graph in graphs]
    return found[0] if graphs.structures.single else found


def _of_networkx(networkx: Any, graph: Graphs, directed: bool) -> Any:
    found: Any = networkx.MultiDiGraph() if directed else networkx.MultiGraph()
    batch = graph.structures
    found.graph.update(cell=batch.cells[0], pbc=batch.pbc[0], r_cut=graph.r_cut)
    for k, (number, position) in enumerate(zip(batch.numbers.tolist(), batch.positions, strict=True)):
        found.add_node(k, number=number, position=position)
    chosen = np.arange(graph.n_edges) if directed else graph.once()
    ends, distances = graph.edges[:, chosen].T.tolist(), graph.distances[chosen].tolist()
    for e, (i, j), distance, shift in zip(chosen.tolist(), ends, distances, graph.shifts[chosen].tolist(), strict=True):
        found.add_edge(i, j, key=e, distance=distance, vector=graph.vectors[e], shift=tuple(shift))
    return found
