"""Structures as graphs: atoms are nodes, neighbours edges; for networks and other programs."""

from typing import TYPE_CHECKING

from atomprint.util.door import door

if TYPE_CHECKING:
    from atomprint.graphs.angles import LineGraph, line_graph
    from atomprint.graphs.edge_features import BesselDistances, GaussianDistances
    from atomprint.graphs.exports import adjacency, incidence, to_networkx
    from atomprint.graphs.graphs import Graphs
    from atomprint.graphs.loading import GraphBatch, GraphDataset, stream_batches
    from atomprint.graphs.neighbour_graph import NeighbourGraph
    from atomprint.graphs.node_features import ElementFeatures
    from atomprint.graphs.pyg import to_pyg

__getattr__, __dir__ = door(__name__)

__all__ = [
    "BesselDistances",
    "ElementFeatures",
    "GaussianDistances",
    "GraphBatch",
    "GraphDataset",
    "Graphs",
    "LineGraph",
    "NeighbourGraph",
    "adjacency",
    "incidence",
    "line_graph",
    "stream_batches",
    "to_networkx",
    "to_pyg",
]
