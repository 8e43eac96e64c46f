"""Pretrained networks that run in PyTorch: features of atoms from the vectors to their neighbours, and derivatives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from atomprint.neighbours import Pairs, find_pairs
from atomprint.ragged import owners
from atomprint.structures import Batch, StructureError

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
Tensor: TypeAlias = Any
Pullback: TypeAlias = Callable[[Array], tuple[FloatArray, FloatArray]]
"""From cotangents of the rows, shape (n_atoms, n_features), to derivatives by positions and by strain."""


class Model(Protocol):
    """What an embedding asks for the features of atoms."""

    name: str
    layers: Mapping[str, int]
    """Number of features of each layer, by its name."""
    elements: frozenset[int] | None
    """Atomic numbers that it knows; None for all."""
    identity: str | None
    """What tells it from others, such as the SHA-256 of its weights; None if nobody knows."""
    package: str
    """What runs it, with its version."""
    of_crystals: bool
    """Whether it was trained on crystals alone."""
    differentiable: bool
    """Whether it has derivatives."""

    def rows(self, batch: Batch, dtype: np.dtype[Any], n_threads: int) -> Array:
        """Return the features of all atoms, shape (n_atoms, n_features)."""
        ...

    def linearised(self, batch: Batch, dtype: np.dtype[Any], n_threads: int) -> tuple[Array, Pullback]:
        """Return the features of all atoms, and what makes derivatives of cotangents."""
        ...


class Network(ABC):
    """A potential whose layers are asked for their features, a graph of several structures at a time.

    Parameters
    ----------
    name : str
        Of its weights.
    module : torch.nn.Module
        The network.
    layers : mapping of str to int
        Number of features of each layer, by its name.
    elements : frozenset of int
        Atomic numbers that it knows.
    cutoff : float
        Of its neighbours, in Å.
    identity : str
        SHA-256 of the weights.
    package : str
        What runs it, with its version.
    """

    of_crystals = True
    differentiable = True
    # Whether an atom without neighbours cannot be.
    needs_neighbours = False

    def __init__(
        self,
        name: str,
        module: Any,
        layers: Mapping[str, int],
        elements: frozenset[int],
        cutoff: float,
        identity: str,
        package: str,
    ) -> None:
        self.name = name
        self.layers = layers
        self.elements: frozenset[int] | None = elements
        self.cutoff = cutoff
        self.identity: str | None = identity
        self.package = package
        self._modules = {"float32": module.eval().requires_grad_(False)}

    @abstractmethod
    def _layers(self, module: Any, numbers: Tensor, graph: Graph, vectors: Tensor) -> list[Tensor]:
        """Return the features of all atoms in each layer, the last one the energies.

        Parameters
        ----------
        module : torch.nn.Module
            The network, in the precision asked for.
        numbers : Tensor of int64, shape (n_atoms,)
            Atomic numbers.
        graph : Graph
            Who is whose neighbour.
        vectors : Tensor, shape (n_bonds, 3)
            From the first atom of each bond to the second, in Å.
        """

    @abstractmethod
    def _in_double(self, module: Any) -> Any:
        """Return a copy of the network in double precision."""

    def rows(self, batch: Batch, dtype: np.dtype[Any], n_threads: int) -> Array:
        """Return the features of all atoms."""
        with _threads(n_threads):
            return np.asarray(self._forward(batch, dtype, derivatives=False)[0].numpy())

    def linearised(self, batch: Batch, dtype: np.dtype[Any], n_threads: int) -> tuple[Array, Pullback]:
        """Return the features of all atoms, and what makes derivatives of cotangents."""
        with _threads(n_threads):
            rows, graph, vectors = self._forward(batch, dtype, derivatives=True)
        atoms, structure = len(batch.numbers), owners(batch.offsets)[graph.first]
        values = vectors.detach().numpy().astype(np.float64)

        def pullback(cotangents: Array) -> tuple[FloatArray, FloatArray]:
            import torch

            weights = torch.from_numpy(np.ascontiguousarray(cotangents, dtype=dtype))
            with _threads(n_threads):
                (found,) = torch.autograd.grad(rows, vectors, weights, retain_graph=True, allow_unused=True)
            positions, strain = np.zeros((atoms, 3)), np.zeros((len(batch), 3, 3))
            if found is not None and len(values):
                slopes = found.numpy().astype(np.float64)
                np.add.at(positions, graph.second, slopes)
                np.subtract.at(positions, graph.first, slopes)
                np.add.at(strain, structure, slopes[:, :, None] * values[:, None, :])
            return positions, strain

        return np.asarray(rows.detach().numpy()), pullback

    def _forward(self, batch: Batch, dtype: np.dtype[Any], *, derivatives: bool) -> tuple[Tensor, Graph, Tensor]:
        import torch

        graph = Graph.of(batch, self.cutoff)
        if self.needs_neighbours:
            graph.check_neighbours(batch, self.name, self.cutoff)
        vectors = torch.from_numpy(graph.vectors.astype(dtype)).requires_grad_(derivatives)
        numbers = torch.from_numpy(batch.numbers.astype(np.int64))
        with nullcontext() if derivatives else torch.no_grad():
            layers = self._layers(self._module(dtype), numbers, graph, vectors)
            rows = torch.cat([layer.reshape(len(numbers), -1) for layer in layers], dim=1)
        return rows, graph, vectors

    def _module(self, dtype: np.dtype[Any]) -> Any:
        if dtype.name not in self._modules:
            self._modules[dtype.name] = self._in_double(self._modules["float32"])
        return self._modules[dtype.name]


class Graph:
    """Bonds of the atoms of several structures, each in both directions: those of one direction, then the others.

    Parameters
    ----------
    pairs : Pairs
        Pairs of neighbours, seen from both ends.
    offsets : ndarray of int64
        Where the atoms of each structure begin.

    Attributes
    ----------
    first, second : ndarray of int64, shape (n_bonds,)
        The atoms of each bond, counted through all structures.
    vectors : ndarray of float64, shape (n_bonds, 3)
        From the first atom to the second, in Å.
    """

    def __init__(self, pairs: Pairs, offsets: npt.NDArray[np.int64]) -> None:
        shifts = pairs.shifts
        x, y, z = shifts.T if len(shifts) else np.zeros((3, 0))
        # Of an atom and its own images, those half a space away.
        ahead = (x > 0) | ((x == 0) & ((y > 0) | ((y == 0) & (z > 0))))
        half = np.flatnonzero((pairs.first < pairs.second) | ((pairs.first == pairs.second) & ahead))
        start = offsets[pairs.structures[half]]
        first, second, vectors = start + pairs.first[half], start + pairs.second[half], pairs.vectors[half]
        self.first = np.concatenate([first, second])
        self.second = np.concatenate([second, first])
        self.vectors = np.concatenate([vectors, -vectors])

    @classmethod
    def of(cls, batch: Batch, cutoff: float) -> Graph:
        """Return the bonds of structures that are shorter than a cutoff."""
        return cls(find_pairs(batch, cutoff), batch.offsets)

    @property
    def opposite(self) -> npt.NDArray[np.int64]:
        """The bond of each in one of its two directions, counted among the first half."""
        return np.tile(np.arange(len(self.first) // 2), 2)

    def check_neighbours(self, batch: Batch, name: str, cutoff: float) -> None:
        """Raise ``StructureError`` if an atom has no bond."""
        lonely = np.bincount(self.first, minlength=len(batch.numbers)) == 0
        if lonely.any():
            structure, atom = batch.locate(int(np.argmax(lonely)))
            raise StructureError(structure, atom, f"must have a neighbour within {cutoff:g} Å: {name!r} needs one")

    def angles(self, cutoff: float) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return all ordered pairs of different bonds from the same atom that are both shorter than a cutoff."""
        short = np.flatnonzero(np.einsum("ij,ij->i", self.vectors, self.vectors) < cutoff**2)
        short = short[np.argsort(self.first[short], kind="stable")]
        counts = np.bincount(self.first[short])
        begins = np.cumsum(counts) - counts
        own = counts[self.first[short]]  # bonds of the same atom
        one = np.repeat(np.arange(len(short)), own)
        other = np.arange(len(one)) - np.repeat(np.cumsum(own) - own, own) + begins[self.first[short]][one]
        kept = one != other
        return short[one[kept]], short[other[kept]]


@contextmanager
def _threads(n: int) -> Iterator[None]:
    """Let PyTorch use so many threads within a ``with`` block."""
    import torch

    before = torch.get_num_threads()
    if before == n:
        yield
        return
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
