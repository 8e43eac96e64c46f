"""Graphs for PyTorch Geometric."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from atomprint.graphs.angles import LineGraph
from atomprint.graphs.edge_features import edge_features
from atomprint.graphs.graphs import Graphs
from atomprint.graphs.node_features import node_features
from atomprint.graphs.targets import Targets
from atomprint.util.extras import require
from atomprint.util.types import Array

_SHOWN = {"x": "nodes", "edge_attr": "edges"}  # what arguments are called


def to_pyg(
    graphs: Graphs, y: Any = None, *, nodes: Any = None, edges: Any = None, line_graph: LineGraph | None = None
) -> Any:
    """Return the graphs for PyTorch Geometric.

    Parameters
    ----------
    graphs : Graphs
        The graphs.
    y : array-like, optional
        Targets, as for :class:`GraphDataset`.
    nodes, edges : optional
        Features of atoms and edges, as for :class:`GraphDataset`; none by default.
    line_graph : LineGraph, optional
        As :func:`line_graph` makes it of these graphs.

    Returns
    -------
    torch_geometric.data.Data, or list of these
        One for a single structure, else a list, as :class:`torch_geometric.loader.DataLoader` takes it. With ``z``
        (n_atoms,), ``pos`` (n_atoms, 3), ``edge_index`` (2, n_edges), ``edge_weight`` (distances, n_edges),
        ``edge_vec`` (n_edges, 3), ``edge_shift`` (n_edges, 3), ``cell`` (1, 3, 3) and ``pbc`` (1, 3); ``x``,
        ``edge_attr`` and ``y`` where they are asked for; of a line graph ``angle_index`` (2, n_angles), which
        counts edges also in batches, and ``angle_cos`` (n_angles,). As is usual there, messages flow from the
        neighbour (the first row of ``edge_index``) to the atom (the second); vectors go from the atom to the
        neighbour, as here. Real numbers have torch's default type.

    Raises
    ------
    ImportError
        If PyTorch Geometric is not installed.
    ValueError, TypeError
        If features or targets are not usable.
    """
    torch = require("torch", "pyg", "to_pyg")
    data = require("torch_geometric.data", "pyg", "to_pyg")

    def tensor(array: Array, name: str = "") -> Any:
        real = array.dtype.kind == "f"
        made = torch.as_tensor(np.array(array), dtype=torch.get_default_dtype() if real else None)
        finite = np.asarray(torch.isfinite(made)) if real else np.ones(1, dtype=bool)
        if not finite.all():
            raise ValueError(f"{name} must be finite numbers of {made.dtype}, got {array[~finite][0]}")
        return made

    batch, n = graphs.structures, len(graphs)
    atoms, bonds = batch.offsets, graphs.offsets
    targets = Targets.of(None, y, False, n)
    by_atom = {"z": batch.numbers.astype(np.int64), "pos": batch.positions}
    if nodes is not None:
        by_atom["x"] = node_features(nodes, graphs)
    by_edge = {"edge_weight": graphs.distances, "edge_vec": graphs.vectors, "edge_shift": graphs.shifts}
    if edges is not None:
        by_edge["edge_attr"] = edge_features(edges, graphs)
    made, kind = [], data.Data
    if line_graph is not None:
        line_graph.check_of(graphs)
        kind = _angle_data()
    for s, ((a, b), (e, f)) in enumerate(zip(pairwise(atoms.tolist()), pairwise(bonds.tolist()), strict=True)):
        given = {name: tensor(array[a:b], _SHOWN.get(name, name)) for name, array in by_atom.items()}
        given["edge_index"] = tensor(graphs.edges[::-1, e:f] - a)
        given |= {name: tensor(array[e:f], _SHOWN.get(name, name)) for name, array in by_edge.items()}
        given |= {"cell": tensor(batch.cells[s : s + 1]), "pbc": tensor(batch.pbc[s : s + 1])}
        if targets is not None:
            given["y"] = tensor(targets.pick(np.array([s]), atoms[s : s + 2]), "y")
        if line_graph is not None:
            own = slice(*line_graph.offsets[s : s + 2])
            given["angle_index"] = tensor(line_graph.edges[:, own] - e)
            given["angle_cos"] = tensor(line_graph.cosines[own])
        made.append(kind(**given))
    return made[0] if batch.single else made


def _angle_data() -> Any:
    """Return the class of graphs with angles, which is made when it is first asked for, as it needs the package."""
    if "AngleData" not in globals():
        from torch_geometric.data import Data

        class AngleData(Data):
            """A graph whose ``angle_index`` counts edges."""

            def __inc__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
                return self.num_edges if key == "angle_index" else super().__inc__(key, value, *args, **kwargs)

        AngleData.__qualname__ = "AngleData"  # so that pickle finds it, through __getattr__
        globals()["AngleData"] = AngleData
    return globals()["AngleData"]


def __getattr__(name: str) -> Any:
    if name == "AngleData":
        return _angle_data()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
