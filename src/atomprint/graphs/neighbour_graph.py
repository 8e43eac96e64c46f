"""Which atoms are neighbours: within a cutoff, by covalent radii, or the nearest."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from ase.data import chemical_symbols

from atomprint.chemistry.elements import N_ELEMENTS
from atomprint.chemistry.radii import COVALENT
from atomprint.graphs.graphs import Graphs
from atomprint.neighbours import Pairs, find_neighbours
from atomprint.ragged import offsets_of
from atomprint.structures import Batch, StructureError, Structures, as_batch
from atomprint.util.parameters import CheckedParameters
from atomprint.util.types import FloatArray
from atomprint.util.validation import check_choice, check_integer, check_length, check_n_jobs, check_real

_RADII = np.array([np.nan, *(COVALENT[z] for z in range(1, N_ELEMENTS + 1))])
_FIRST_REACH, _GROWTH = 4.0, 1.5  # Å: where the nearest are looked for first, and how that grows


class NeighbourGraph(CheckedParameters):
    """Graphs of structures, with an edge from each atom to each of its neighbours.

    Parameters
    ----------
    r_cut : float, optional
        Neighbours are closer than this, in Å; pairs exactly at it do not count. Periodic images are atoms of their own,
        so that the cell may be smaller.
    n_nearest : int, optional
        Only the nearest atoms, so many for each, are neighbours: of those within ``r_cut`` or, without it, however far
        they are. An atom may then be no neighbour of its neighbour.
    bonds : float, optional
        Neighbours are closer than this times the sum of their covalent radii, too; 1.1 to 1.3 is usual.
    ties : {"keep", "cut"}
        Whether atoms that are as far as the last of the nearest are neighbours, too, so that graphs do not depend on
        the order of atoms; or of these only as many, the first by atom and image, that each atom has ``n_nearest``.
    tolerance : float
        In Å: distances that differ by no more are equal, for ``ties``. Numbers of files have few digits.
    min_neighbours : int
        An atom with fewer neighbours is an error that names it. 0 for none, 1 refuses isolated atoms.
    n_jobs : int
        Number of threads; -1 means all cores.

    Raises
    ------
    ValueError, TypeError
        If a parameter is not usable, or none says what a neighbour is.

    Notes
    -----
    CGCNN and many after it take the 12 nearest within 8 Å [1]_ and cut ties, so that what a crystal is depends on the
    order of its atoms and on rounding.

    References
    ----------
    .. [1] T. Xie, J. C. Grossman, "Crystal graph convolutional neural networks for an accurate and interpretable
       prediction
       of material properties", Phys. Rev. Lett. 120, 145301 (2018).

    Examples
    --------
    >>> from ase.build import bulk, molecule
    >>> NeighbourGraph(r_cut=3.0).create(bulk("NaCl", "rocksalt", 5.64))
    Graphs(2 atoms, 12 edges)
    >>> NeighbourGraph(bonds=1.2).create([molecule("H2O"), bulk("Si")])
    Graphs(2 structures, 5 atoms, 12 edges)
    """

    def __init__(
        self,
        r_cut: float | None = None,
        n_nearest: int | None = None,
        bonds: float | None = None,
        ties: str = "keep",
        tolerance: float = 1e-3,
        min_neighbours: int = 0,
        n_jobs: int = 1,
    ) -> None:
        self._initialise(locals())

    def _validate(self) -> None:
        if self.r_cut is not None:
            check_length("r_cut", self.r_cut)
        if self.n_nearest is not None:
            check_integer("n_nearest", self.n_nearest, 1)
        if self.bonds is not None:
            check_real("bonds", self.bonds, above=0, at_most=10)
        if self.r_cut is None and self.n_nearest is None and self.bonds is None:
            raise ValueError("one of r_cut, n_nearest and bonds must be given, got none")
        check_choice("ties", self.ties, ("keep", "cut"))
        check_real("tolerance", self.tolerance, at_least=0)
        most = None if self.n_nearest is None else self.n_nearest
        check_integer("min_neighbours", self.min_neighbours, 0, most)
        check_n_jobs(self.n_jobs)

    def create(self, structures: Structures, n_jobs: int | None = None) -> Graphs:
        """Return the graphs of structures.

        Parameters
        ----------
        structures : structure or sequence of structures
            ``ase.Atoms``, pymatgen ``Structure`` or ``Molecule``, files that ASE reads, or a
            :class:`~atomprint.structures.Batch`. Periodic boundary conditions are kept where a structure has them.
        n_jobs : int, optional
            Number of threads; that of the constructor by default.

        Returns
        -------
        Graphs

        Raises
        ------
        ValueError, TypeError
            If a structure is not usable, an atom has fewer than ``min_neighbours`` neighbours or no covalent radius
            where one is needed, or the cutoff reaches too many images of a small cell.
        NotEnoughMemoryError
            If the edges do not fit into memory.
        """
        self._validate()
        batch = as_batch(structures, periodic=None)
        n_threads = check_n_jobs(self.n_jobs if n_jobs is None else n_jobs)
        radii = self._radii(batch)
        reach = self.r_cut
        if radii is not None:
            bond = 2 * float(radii.max())
            reach = bond if reach is None else min(reach, bond)
        found = self._nearest(batch, n_threads) if reach is None else self._search(batch, reach, radii, n_threads)
        graphs = _graphs(batch, found, reach)
        self._check_degrees(graphs)
        return graphs

    def _radii(self, batch: Batch) -> FloatArray | None:
        if self.bonds is None:
            return None
        unknown = batch.numbers > N_ELEMENTS
        if unknown.any():
            flat = int(np.argmax(unknown))
            symbol = chemical_symbols[batch.numbers[flat]]
            raise StructureError(*batch.locate(flat), f"bonds needs covalent radii, which {symbol} has none of")
        return np.asarray(self.bonds * _RADII[batch.numbers])

    def _search(self, batch: Batch, reach: float, radii: FloatArray | None, n_threads: int) -> Pairs:
        return find_neighbours(
            batch, reach, n_threads, radii=radii, n_nearest=self.n_nearest, keep_ties=self.ties == "keep",
            tolerance=float(self.tolerance),
        )  # fmt: skip

    def _nearest(self, batch: Batch, n_threads: int) -> Pairs:
        """Return the nearest atoms however far they are: in spheres that grow until all are in them."""
        wanted = int(self.n_nearest or 0)
        left, reach, parts = np.arange(len(batch)), _FIRST_REACH, []
        while len(left):
            part = batch.pick(left)
            found = self._search(part, reach, None, n_threads)
            first = part.offsets[found.structures] + found.first
            counts = np.bincount(first, minlength=len(part.numbers))
            farthest = np.zeros(len(part.numbers))
            np.maximum.at(farthest, first, found.distances)
            # All other atoms of a molecule; or so many, and nothing beyond the sphere that is as far as the last.
            all_others = np.where(part.pbc.any(axis=1), np.iinfo(np.int64).max, part.n_atoms - 1)
            complete = counts >= np.repeat(all_others, part.n_atoms)
            complete |= (counts >= wanted) & (farthest + self.tolerance < reach * (1 - 1e-9))
            done = np.logical_and.reduceat(complete, part.offsets[:-1])
            kept = done[found.structures]
            parts.append(_renamed(found, kept, left))
            left, reach = left[~done], reach * _GROWTH
        if len(parts) == 1:
            return parts[0]
        columns = [np.concatenate([getattr(part, name) for part in parts]) for name in Pairs.__slots__]
        order = np.argsort(columns[0], kind="stable")
        return Pairs(*(column[order] for column in columns))

    def _check_degrees(self, graphs: Graphs) -> None:
        if not self.min_neighbours:
            return
        few = graphs.degrees < self.min_neighbours
        if few.any():
            flat = int(np.argmax(few))
            within = "" if graphs.r_cut is None else f" within {graphs.r_cut:g} Å"
            rule = f"must have at least {self.min_neighbours} neighbour{'s' * (self.min_neighbours > 1)}{within}"
            raise StructureError(*graphs.structures.locate(flat), f"{rule}, got {graphs.degrees[flat]}")


def _renamed(pairs: Pairs, kept: npt.NDArray[np.bool_], structures: npt.NDArray[np.int64]) -> Pairs:
    """Return some pairs, of structures that have other indices among all."""
    columns = {name: getattr(pairs, name)[kept] for name in Pairs.__slots__}
    return Pairs(**columns | {"structures": structures[columns["structures"]]})


def _graphs(batch: Batch, pairs: Pairs, r_cut: float | None) -> Graphs:
    starts = batch.offsets[pairs.structures]
    edges = np.stack([starts + pairs.first, starts + pairs.second])
    offsets = offsets_of(np.bincount(pairs.structures, minlength=len(batch)))
    return Graphs(batch, edges, pairs.shifts, pairs.vectors, pairs.distances, offsets, r_cut)
