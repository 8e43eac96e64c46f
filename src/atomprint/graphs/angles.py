"""Pairs of edges that share an atom: the line graph, and the angles between bonds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atomprint.graphs.graphs import Graphs, IndexArray
from atomprint.ragged import offsets_of
from atomprint.util.memory import NotEnoughMemoryError, available_memory, size_of
from atomprint.util.types import FloatArray
from atomprint.util.validation import check_bool, check_choice, check_length

_BYTES = 150  # for each pair of edges, with what is made on the way


@dataclass(frozen=True, eq=False)
class LineGraph:
    """Pairs of edges that share an atom, sorted by the first edge and the second.

    Parameters
    ----------
    edges : ndarray of int64, shape (2, n_angles)
        Indices of the two edges among those of the graphs.
    cosines : ndarray of float64, shape (n_angles,)
        Of the angle at the atom that they share.
    offsets : ndarray of int64, shape (n_structures + 1,)
        Structure ``s`` owns the pairs ``offsets[s]`` to ``offsets[s + 1]``.
    kind : {"chain", "center"}
        Whether the second edge begins where the first ends, or where it begins.
    """

    edges: IndexArray
    cosines: FloatArray
    offsets: IndexArray
    kind: str

    def __repr__(self) -> str:
        return f"LineGraph({len(self.cosines):,} angles)"

    @property
    def angles(self) -> FloatArray:
        """The angles in radians, shape (n_angles,)."""
        return np.arccos(self.cosines)

    def triplets(self, graphs: Graphs) -> npt.NDArray[np.int64]:
        """Return the three atoms of each angle, shape (3, n_angles): an end, the atom in the middle, the other end.

        Parameters
        ----------
        graphs : Graphs
            Those that this is the line graph of.

        Raises
        ------
        ValueError
            If it is that of others.
        """
        self.check_of(graphs)
        one, other = graphs.edges[:, self.edges[0]], graphs.edges[:, self.edges[1]]
        ends = one if self.kind == "chain" else one[::-1]
        return np.stack([*ends, other[1]])

    def check_of(self, graphs: Graphs) -> None:
        """Raise ``ValueError`` unless this is the line graph of these graphs: edges share atoms, at these angles."""
        fits = len(self.offsets) == len(graphs) + 1 and self.edges.max(initial=-1) < graphs.n_edges
        if fits:
            shared = graphs.edges[1 if self.kind == "chain" else 0, self.edges[0]]
            fits = bool((shared == graphs.edges[0, self.edges[1]]).all())
        if not fits or not np.allclose(
            self.cosines, _cosines(graphs, self.edges[0], self.edges[1], self.kind), rtol=0, atol=1e-9
        ):
            raise ValueError("line_graph must be that of these graphs, got that of others")


def line_graph(
    graphs: Graphs, kind: str = "chain", *, r_cut: float | None = None, backtracking: bool = False
) -> LineGraph:
    """Return the graph whose nodes are edges: pairs of edges that share an atom, and the angles between them.

    Parameters
    ----------
    graphs : Graphs
        The graphs.
    kind : {"chain", "center"}
        ``"chain"``: from each edge to those that begin at its neighbour (i → j → k), as the line graph of graph
        theory; ``"center"``: from each edge to the others that begin at the same atom (j ← i → k), of which
        each pair is there in both orders.
    r_cut : float, optional
        Only edges shorter than this, in Å, are taken.
    backtracking : bool
        With ``"chain"``: whether an edge is followed by the same one seen from its other end.

    Returns
    -------
    LineGraph

    Raises
    ------
    NotEnoughMemoryError
        If the pairs do not fit into memory.
    """
    check_choice("kind", kind, ("chain", "center"))
    if check_bool("backtracking", backtracking) and kind == "center":
        raise ValueError("backtracking must be False with kind='center', got True")
    short: IndexArray = np.arange(graphs.n_edges)
    if r_cut is not None:
        short = np.flatnonzero(graphs.distances < check_length("r_cut", r_cut))
    first, second = graphs.edges[:, short]
    counts = np.bincount(first, minlength=graphs.n_atoms)  # of edges that begin at each atom, one after the other
    shared = second if kind == "chain" else first
    n = int(counts[shared].sum())
    free = available_memory()
    if free is not None and n * _BYTES > free:
        raise NotEnoughMemoryError(
            f"the line graph has {n:,} angles, which take {size_of(n * _BYTES)}, and {size_of(free)} of memory are "
            "left: r_cut takes those of short edges alone"
        )
    own = counts[shared]
    one = np.repeat(np.arange(len(short)), own)
    begins = np.cumsum(counts) - counts
    other = np.arange(n) - np.repeat(np.cumsum(own) - own, own) + begins[shared][one]
    one, other = short[one], short[other]
    if not backtracking:
        kept = (one if kind == "center" else graphs.opposites()[one]) != other
        one, other = one[kept], other[kept]
    cosines = _cosines(graphs, one, other, kind)
    structures = np.searchsorted(graphs.offsets, one, side="right") - 1
    offsets = offsets_of(np.bincount(structures, minlength=len(graphs)))
    return LineGraph(np.stack([one, other]), cosines, offsets, kind)


def _cosines(graphs: Graphs, one: IndexArray, other: IndexArray, kind: str) -> FloatArray:
    """Return the cosines of the angles at the atoms that edges share."""
    directions = graphs.directions
    cosines = np.einsum("ij,ij->i", directions[one], directions[other])
    return np.clip(-cosines if kind == "chain" else cosines, -1.0, 1.0)
