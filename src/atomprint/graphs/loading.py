"""Batches of graphs for networks: as NumPy arrays, as tensors, and what PyTorch's loaders take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from atomprint.graphs.edge_features import check_edge_features, edge_features
from atomprint.graphs.graphs import Graphs, IndexArray, joined
from atomprint.graphs.neighbour_graph import NeighbourGraph
from atomprint.graphs.node_features import check_node_features, node_features
from atomprint.graphs.targets import Targets
from atomprint.ragged import offsets_of
from atomprint.structures import Batch, StructureError, Structures, counted_from, is_structure, read_batch
from atomprint.util.extras import require
from atomprint.util.items import items_of
from atomprint.util.lazy import pick_items
from atomprint.util.overlap import in_order
from atomprint.util.types import Array
from atomprint.util.validation import check_bool, check_dtype, check_integer, check_n_jobs


@dataclass(frozen=True, eq=False)
class GraphBatch:
    """Some structures as one graph, with what a network asks of it. Arrays are of NumPy, or tensors.

    Parameters
    ----------
    nodes : array, shape (n_atoms, n_node_features)
        Features of atoms.
    edges : array of int64, shape (2, n_edges)
        The atom and its neighbour, counted through all structures of the batch.
    edge_features : array, shape (n_edges, n_edge_features)
        Features of edges.
    owners : array of int64, shape (n_atoms,)
        The structure of each atom, from 0.
    y : array or None
        Targets: a row for each structure, or for each atom.
    indices : array of int64, shape (n_structures,)
        Which structures these are, among all.
    graphs : Graphs
        Atoms, vectors, distances, shifts: arrays of NumPy in double precision.
    """

    nodes: Any
    edges: Any
    edge_features: Any
    owners: Any
    y: Any
    indices: Any
    graphs: Graphs

    def __len__(self) -> int:
        return len(self.indices)

    def __repr__(self) -> str:
        shapes = f"nodes {tuple(self.nodes.shape)}, edge_features {tuple(self.edge_features.shape)}"
        return f"GraphBatch({len(self)} structures, {shapes})"

    def tensors(self, device: Any = None) -> GraphBatch:
        """Return the batch with PyTorch's tensors, which share memory with arrays on the CPU.

        Parameters
        ----------
        device : str or torch.device, optional
            Where they are to be.

        Raises
        ------
        ImportError
            If PyTorch is not installed.
        """
        torch = require("torch", "torch", "GraphBatch.tensors")
        names = ("nodes", "edges", "edge_features", "owners", "y", "indices")
        arrays = {name: getattr(self, name) for name in names}
        moved = {name: torch.as_tensor(value, device=device) for name, value in arrays.items() if value is not None}
        return replace(self, **moved)


class GraphDataset:
    """Structures, features and targets, from which batches are made.

    It is a data set of PyTorch, too, without needing it: ``torch.utils.data.DataLoader(dataset, batch_size=64,
    shuffle=True, collate_fn=dataset.collate)`` gives batches of tensors, also from several workers.

    Parameters
    ----------
    structures : Graphs, or sequence of structures
        Graphs that are ready. Or structures, of which graphs are made whenever they are in a batch: a list, a
        :class:`~atomprint.structures.Batch` (also one that stays in its file), a :class:`~atomprint.datasets.Dataset`;
        only those of a batch are read.
    graph : NeighbourGraph, optional
        What makes graphs of structures; with them and only with them.
    y : array-like or str, optional
        Targets, a number or a row of numbers for each structure; or the name of a target of a data set.
    nodes : "properties", "one_hot", :class:`ElementFeatures`, or callable
        Features of atoms. A callable is given :class:`Graphs` and returns an array of shape (n_atoms, n_features): the
        place for rows of a descriptor.
    edges : {"gaussian", "bessel", "distance", "direction", "shift"}, callable, or list of these
        Features of edges, side by side: Gaussians or waves of the distance up to ``r_cut``
        (:class:`GaussianDistances` and :class:`BesselDistances` have parameters), the distance in Å, unit vectors,
        lattice shifts. A callable is given :class:`Graphs` and returns an array of shape (n_edges, n_features).
    per_atom : bool
        Whether ``y`` has for each structure an array of the values of its atoms. A target of a data set knows.
    dtype : {"float32", "float64"}
        Of features, and of targets that are no integers.
    n_jobs : int
        Number of threads that make batches; -1 means all cores.

    Raises
    ------
    ValueError, TypeError
        If an argument is not usable.

    Examples
    --------
    >>> from ase.build import bulk, molecule
    >>> from atomprint.graphs import NeighbourGraph
    >>> dataset = GraphDataset([bulk("Si"), molecule("H2O")], NeighbourGraph(r_cut=4.0), y=[1.2, 7.0])
    >>> [batch] = dataset.batches(2)
    >>> batch
    GraphBatch(2 structures, nodes (5, 8), edge_features (38, 41))
    """

    def __init__(
        self,
        structures: Any,
        graph: NeighbourGraph | None = None,
        y: Any = None,
        *,
        nodes: Any = "properties",
        edges: Any = "gaussian",
        per_atom: bool = False,
        dtype: str = "float32",
        n_jobs: int = 1,
    ) -> None:
        if isinstance(structures, Graphs) == (graph is not None):
            got = "both" if graph is not None else "structures and no graph"
            raise TypeError(f"give Graphs, or structures and the NeighbourGraph that makes graphs of them, got {got}")
        if graph is not None and not isinstance(graph, NeighbourGraph):
            raise TypeError(f"graph must be a NeighbourGraph, got {graph!r}")
        self.graph = graph
        self.structures = structures if isinstance(structures, Graphs) else _items(structures)
        self.nodes, self.edges = check_node_features(nodes), edges
        check_edge_features(edges)
        self.dtype = check_dtype(dtype)
        self.n_jobs = n_jobs
        check_n_jobs(n_jobs)
        self._y = Targets.of(structures, y, per_atom, len(self))

    def __len__(self) -> int:
        return len(self.structures)

    def __repr__(self) -> str:
        return f"GraphDataset({len(self):,} structures)"

    def __getitem__(self, index: int) -> GraphBatch:
        """Return a batch of one structure."""
        n = len(self)
        if not -n <= index < n:
            raise IndexError(f"structure must be in {-n}..{n - 1}, got {index}")
        return self.batch([index % n])

    def __getitems__(self, indices: Sequence[int]) -> list[GraphBatch]:
        """Return a batch of several structures, in a list: PyTorch asks for it, and has ``collate`` join the list."""
        return [self.batch(indices)]

    def batch(self, indices: npt.ArrayLike) -> GraphBatch:
        """Return a batch of the structures with these indices, in this order.

        Parameters
        ----------
        indices : array-like of int, shape (n,)
            At least one.

        Raises
        ------
        ValueError, TypeError
            If a structure is not usable; the message names it by its index among all.
        """
        given = np.asarray(indices)
        if given.ndim != 1 or len(given) == 0:
            raise ValueError(f"indices must name at least one structure, got {indices!r}")
        chosen: IndexArray = np.arange(len(self))[given]
        try:
            graphs = self._graphs(chosen)
            nodes = _of_type("nodes", node_features(self.nodes, graphs), self.dtype)
            edges = _of_type("edges", edge_features(self.edges, graphs), self.dtype)
            y = None if self._y is None else self._y.pick(chosen, graphs.structures.offsets)
        except StructureError as error:
            error.index = int(chosen[error.index])
            raise
        if y is not None and y.dtype.kind == "f":
            y = _of_type("y", y, self.dtype)
        return GraphBatch(nodes, graphs.edges, edges, graphs.owners, y, chosen, graphs)

    def batches(
        self,
        batch_size: int,
        *,
        shuffle: bool = False,
        random_state: int | np.random.Generator | None = None,
        drop_last: bool = False,
    ) -> Iterator[GraphBatch]:
        """Yield batches of all structures.

        Parameters
        ----------
        batch_size : int
            Number of structures of each batch; the last may have fewer.
        shuffle : bool
            Whether the order is random. Call it again for each epoch: a generator gives another order each time, a
            number the same.
        random_state : int or numpy.random.Generator, optional
            Of the order.
        drop_last : bool
            Whether a last batch with fewer structures is left out.

        Yields
        ------
        GraphBatch
            With ``n_jobs`` threads the next ones are made meanwhile.
        """
        size = check_integer("batch_size", batch_size, 1)
        n = len(self)
        order = np.random.default_rng(random_state).permutation(n) if check_bool("shuffle", shuffle) else np.arange(n)
        stop = n - n % size if check_bool("drop_last", drop_last) else n
        parts = (order[k : k + size] for k in range(0, stop, size))
        yield from in_order(self.batch, parts, check_n_jobs(self.n_jobs))

    def collate(self, batches: Sequence[GraphBatch]) -> GraphBatch:
        """Return batches as one, of tensors: the ``collate_fn`` of PyTorch's loader.

        Raises
        ------
        ImportError
            If PyTorch is not installed.
        """
        return join_batches(batches).tensors()

    def _graphs(self, indices: IndexArray) -> Graphs:
        if isinstance(self.structures, Graphs):
            return self.structures.pick(indices)
        assert self.graph is not None
        if isinstance(self.structures, Batch):
            return self.graph.create(self.structures.pick(indices), n_jobs=1)
        return self.graph.create(list(pick_items(self.structures, indices)), n_jobs=1)


def _of_type(name: str, values: Array, dtype: Any) -> Array:
    """Return numbers in the precision of a batch, or raise where one is nan, infinite or beyond it."""
    with np.errstate(over="ignore"):
        found = values.astype(dtype)
    if not np.isfinite(found).all():
        bad = values[~np.isfinite(found)].flat[0]
        raise ValueError(f"{name} must be finite numbers of {np.dtype(dtype)}, got {bad}")
    return found


def join_batches(batches: Sequence[GraphBatch]) -> GraphBatch:
    """Return several batches of arrays as one."""
    if len(batches) == 1:
        return batches[0]
    graphs = joined([batch.graphs for batch in batches])
    ys = [batch.y for batch in batches if batch.y is not None]
    structures = offsets_of([len(batch) for batch in batches])[:-1]
    return GraphBatch(
        np.concatenate([batch.nodes for batch in batches]),
        graphs.edges,
        np.concatenate([batch.edge_features for batch in batches]),
        np.concatenate([batch.owners + first for batch, first in zip(batches, structures, strict=True)]),
        np.concatenate(ys) if ys else None,
        np.concatenate([batch.indices for batch in batches]),
        graphs,
    )


def stream_batches(
    structures: Iterable[Structures],
    graph: NeighbourGraph,
    batch_size: int,
    *,
    nodes: Any = "properties",
    edges: Any = "gaussian",
    dtype: str = "float32",
    n_jobs: int = 1,
) -> Iterator[GraphBatch]:
    """Yield batches of structures that come one after the other, such as frames of a trajectory.

    Parameters
    ----------
    structures : iterable of structures
        Read once, and no further ahead than threads need.
    graph : NeighbourGraph
        What makes graphs of them.
    batch_size : int
        Number of structures of each batch; the last may have fewer.
    nodes, edges, dtype
        As for :class:`GraphDataset`.
    n_jobs : int
        Number of threads that make batches; -1 means all cores.

    Yields
    ------
    GraphBatch
        ``indices`` count from the first structure.

    Raises
    ------
    ValueError, TypeError
        If an argument or a structure is not usable; the message tells the index of the structure.
    """
    size, n_threads = check_integer("batch_size", batch_size, 1), check_n_jobs(n_jobs)
    if is_structure(structures) or isinstance(structures, str | PathLike) or not isinstance(structures, Iterable):
        raise TypeError(f"structures must be an iterable of structures, got {structures!r:.60}")
    GraphDataset([], graph, nodes=nodes, edges=edges, dtype=dtype)

    def made(part: tuple[int, list[Any]]) -> GraphBatch:
        first, items = part
        with counted_from(first):
            found = GraphDataset(items, graph, nodes=nodes, edges=edges, dtype=dtype).batch(np.arange(len(items)))
        return replace(found, indices=found.indices + first)

    yield from in_order(made, _parts(iter(structures), size), n_threads)


def _parts(items: Iterator[Any], size: int) -> Iterator[tuple[int, list[Any]]]:
    first = 0
    while part := list(islice(items, size)):
        yield first, part
        first += len(part)


def _items(structures: Any) -> Any:
    """Return structures as something with a length that is asked for some of them."""
    found = structures if isinstance(structures, Batch) else items_of("structures", structures)
    if isinstance(found, Batch):
        return found
    if is_structure(found) or isinstance(found, str) or not hasattr(found, "__getitem__"):
        return read_batch(found)
    return found
