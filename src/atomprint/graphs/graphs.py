"""Graphs of one structure or of many, as flat arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from operator import index as as_index

import numpy as np
import numpy.typing as npt

from atomprint.ragged import offsets_of, owners, pick
from atomprint.structures import Batch
from atomprint.util.types import FloatArray

IndexArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Graphs:
    """Atoms as nodes, and neighbours as edges, of one structure or of many that are not connected.

    Edges go from an atom to a neighbour, and are sorted by the first atom, the second and the shift. In a crystal
    several edges may join the same two atoms, one for each image of the second, and an atom may be a neighbour of its
    own images. ``len`` is the number of structures; ``graphs[3]`` is the graph of one, a slice that of several, and a
    loop has each in turn.

    Parameters
    ----------
    structures : Batch
        The atoms, in Å. ``structures.single`` says whether there is one bare structure.
    edges : ndarray of int64, shape (2, n_edges)
        The atom and its neighbour, counted through all structures.
    shifts : ndarray of int64, shape (n_edges, 3)
        The periodic image of the neighbour, in lattice vectors.
    vectors : ndarray of float64, shape (n_edges, 3)
        From the atom to its neighbour, in Å: ``positions[neighbour] + shift @ cell - positions[atom]``.
    distances : ndarray of float64, shape (n_edges,)
        Their lengths, in Å.
    offsets : ndarray of int64, shape (n_structures + 1,)
        Structure ``s`` owns the edges ``offsets[s]`` to ``offsets[s + 1]``.
    r_cut : float or None
        No edge is longer, in Å; None if there is no such limit.
    """

    structures: Batch
    edges: IndexArray
    shifts: IndexArray
    vectors: FloatArray
    distances: FloatArray
    offsets: IndexArray
    r_cut: float | None

    def __len__(self) -> int:
        return len(self.structures)

    def __repr__(self) -> str:
        n = "" if len(self) == 1 else f"{len(self):,} structures, "
        return f"Graphs({n}{self.n_atoms:,} atoms, {self.n_edges:,} edges)"

    @property
    def n_atoms(self) -> int:
        """Number of atoms of all structures."""
        return len(self.structures.numbers)

    @property
    def n_edges(self) -> int:
        """Number of edges of all structures."""
        return len(self.distances)

    @property
    def owners(self) -> IndexArray:
        """The structure of each atom, shape (n_atoms,)."""
        return owners(self.structures.offsets)

    @property
    def degrees(self) -> IndexArray:
        """Number of neighbours of each atom, shape (n_atoms,)."""
        return np.bincount(self.edges[0], minlength=self.n_atoms)

    @property
    def directions(self) -> FloatArray:
        """Unit vectors from atoms to their neighbours, shape (n_edges, 3)."""
        return self.vectors / self.distances[:, None]

    def __getitem__(self, key: int | slice) -> Graphs:
        """Return the graph of one structure, or of a run of consecutive ones; arrays but ``edges`` are views."""
        if not isinstance(key, slice):
            s = as_index(key)
            if not -len(self) <= s < len(self):
                raise IndexError(f"structure must be in {-len(self)}..{len(self) - 1}, got {s}")
            s %= len(self)
            part = self[s : s + 1]
            numbers, positions, offsets, cells, pbc = part.structures._fields()
            return part._of(Batch(numbers, positions, offsets, cells, pbc, single=True))
        structures = self.structures[key]
        start, stop, _ = key.indices(len(self))
        stop = max(start, stop)
        rows = slice(self.offsets[start], self.offsets[stop])
        return Graphs(
            structures,
            self.edges[:, rows] - self.structures.offsets[start],
            self.shifts[rows],
            self.vectors[rows],
            self.distances[rows],
            self.offsets[start : stop + 1] - self.offsets[start],
            self.r_cut,
        )

    def __iter__(self) -> Iterator[Graphs]:
        return (self[s] for s in range(len(self)))

    def pick(self, structures: npt.ArrayLike) -> Graphs:
        """Return the graphs of the structures with these indices, in this order, as often as each is named."""
        chosen = np.asarray(structures)
        chosen = np.arange(len(self))[chosen.astype(np.int64) if chosen.size == 0 else chosen]
        batch = self.structures.pick(chosen)
        rows, offsets = pick(self.offsets, chosen)
        moved = np.repeat(batch.offsets[:-1] - self.structures.offsets[chosen], np.diff(offsets))
        return Graphs(
            batch,
            self.edges[:, rows] + moved,
            self.shifts[rows],
            self.vectors[rows],
            self.distances[rows],
            offsets,
            self.r_cut,
        )

    def opposites(self) -> IndexArray:
        """Return the same edge as seen from its other end, shape (n_edges,); -1 where it is not there.

        Where only the nearest of each atom are neighbours, an atom need not be one of its neighbour.
        """
        n, there = self.n_edges, np.column_stack([self.edges.T, self.shifts])
        back = np.column_stack([self.edges[1], self.edges[0], -self.shifts])
        keys = np.concatenate([there, back])
        # Each edge beside what would be its opposite: equal keys, the edge first as sorting is stable.
        order = np.lexsort(keys.T[::-1])
        same = (keys[order[1:]] == keys[order[:-1]]).all(axis=1) & (order[:-1] < n) & (order[1:] >= n)
        found = np.full(n, -1)
        found[order[1:][same] - n] = order[:-1][same]
        return found

    def once(self) -> IndexArray:
        """Return which edges to take so that no pair of an atom and an image is there from both ends, ascending."""
        i, j = self.edges
        first = np.take_along_axis(self.shifts, np.argmax(self.shifts != 0, axis=1)[:, None], axis=1)[:, 0]
        ahead = (i < j) | ((i == j) & (first > 0))
        return np.flatnonzero(ahead | (self.opposites() < 0))

    def _of(self, structures: Batch) -> Graphs:
        """Return the same graph of other structures."""
        return Graphs(structures, self.edges, self.shifts, self.vectors, self.distances, self.offsets, self.r_cut)


def joined(graphs: list[Graphs]) -> Graphs:
    """Return the graphs of all structures in one."""
    from atomprint.structures import joined as joined_batches

    if len(graphs) == 1:
        return graphs[0]
    batch = joined_batches(*(part.structures for part in graphs))
    starts = offsets_of([part.n_atoms for part in graphs])
    cuts = {part.r_cut for part in graphs}
    return Graphs(
        batch,
        np.concatenate([part.edges + start for part, start in zip(graphs, starts[:-1], strict=True)], axis=1),
        np.concatenate([part.shifts for part in graphs]),
        np.concatenate([part.vectors for part in graphs]),
        np.concatenate([part.distances for part in graphs]),
        offsets_of(np.concatenate([np.diff(part.offsets) for part in graphs])),
        cuts.pop() if len(cuts) == 1 else None,
    )
