"""One call of a descriptor, read and checked: what the hooks of all descriptors are given, and what they fill."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from atomprint import _core
from atomprint.descriptors.engine.centers import NO_CENTERS, CenterBatch
from atomprint.neighbours import Pairs, find_around
from atomprint.pooling.pooling import Plan, Pooling
from atomprint.ragged import offsets_of, places
from atomprint.structures import Batch
from atomprint.util.memo import Memo

Array = npt.NDArray[Any]
Rows = Array | _core.SparseRows64 | _core.SparseRows32 | _core.ZeroRows64 | _core.ZeroRows32
"""What features are written to: dense rows, such as are zeros already, or a sparse matrix to which rows are added."""
FloatArray = npt.NDArray[np.float64]
Offsets = npt.NDArray[np.int64]


class Selection(NamedTuple):
    """Atoms to differentiate by, and where their derivatives go.

    The derivative of row ``r`` of structure ``s`` by its selected atom ``k`` has the output row
    ``row_offsets[s] + r * counts[s] + k``.

    Parameters
    ----------
    slots : ndarray of int64, shape (n_atoms,)
        Index ``k`` of every atom among the selected ones of its structure, -1 for those left out.
    counts : ndarray of int64, shape (n_structures,)
        Number of selected atoms.
    row_offsets : ndarray of int64, shape (n_structures + 1,)
        Structure ``s`` owns the output rows ``row_offsets[s]`` to ``row_offsets[s + 1]``.
    """

    slots: Offsets
    counts: Offsets
    row_offsets: Offsets


class Derivatives(NamedTuple):
    """Arrays that a hook fills: derivatives, which are zeros when it gets them, and features; None is not asked for.

    Parameters
    ----------
    positions : ndarray, shape (n_out, 3, n_features), or None
        By positions of atoms, in 1/Å, with rows as :class:`Selection` says. Contracted with cotangents: float64 of
        shape (n_atoms, 3), never None.
    strain : ndarray, shape (n_rows, 3, 3, n_features), or None
        By the strain e that takes atoms, lattice vectors and centres from r to (1 + e) r. Contracted: float64 of shape
        (n_structures, 3, 3).
    features : ndarray, shape (n_rows, n_features), or None
        What ``_compute`` writes; not zeros yet.
    """

    positions: Array | None
    strain: Array | None
    features: Array | None


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """What a descriptor's calls have in common, settled for the parameters that it has.

    Parameters
    ----------
    species : tuple of int
        Ascending atomic numbers; empty for descriptors without ``species``.
    index_of_number : ndarray of int32, shape (119,), or None
        Index of each atomic number among the species, -1 for others; None for descriptors without ``species``.
    n_features : int
        Number of features of a row, before pooling.
    dtype : dtype
        Of the features.
    sparse : bool
        Whether users are given sparse arrays; those of the hooks are dense, but for what ``_compute`` may be given.
    averages : bool
        Whether ``_compute`` writes one row for each structure although there are centres.
    reduction : Pooling or None
        What makes one row for each structure.
    n_threads : int or None
        Number of threads where a call asks for none; None: it depends on the machine.
    memo : Memo
        What else follows from the parameters.
    """

    species: tuple[int, ...]
    index_of_number: npt.NDArray[np.int32] | None
    n_features: int
    dtype: np.dtype[Any]
    sparse: bool
    averages: bool
    reduction: Pooling | None
    n_threads: int | None
    memo: Memo


@dataclass(slots=True, eq=False)  # not frozen, which would take twice the time
class Call:
    """What one call computes, sliceable by structures: all that the hooks of a descriptor need to know of it.

    Parameters
    ----------
    batch : Batch
        The structures.
    prepared : Prepared
        What all calls of the descriptor have in common: number, type and form of the features.
    centers : CenterBatch
        The centres, without structures for descriptors that have none.
    options : object
        What the hook ``_options`` returned, sliceable by structures, or None.
    plan : Plan, optional
        Makes one row for each structure out of those that ``_compute`` writes. Only hooks that a descriptor names in
        ``_pools`` see it, where it is linear, and apply it themselves.
    slots : ndarray of int64, shape (n_atoms,), optional
        Atoms to differentiate by, see :class:`Selection`; None for all.
    attach : bool
        Whether centres that are atoms move with them.
    n_threads : int
        Number of threads to use.
    progress : str, optional
        Name under which progress is shown on standard error; None: it is not.
    """

    batch: Batch
    prepared: Prepared
    centers: CenterBatch = NO_CENTERS
    options: Any = None
    plan: Plan | None = None
    slots: Offsets | None = None
    attach: bool = True
    n_threads: int = 1
    progress: str | None = None
    _selection: Selection | None = field(default=None, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.batch)

    def __getitem__(self, structures: slice) -> Call:
        """Return a run of consecutive structures; arrays are views."""
        start, stop, _ = structures.indices(len(self))
        if (start, stop) == (0, len(self)):
            return self
        atoms = slice(self.batch.offsets[start], self.batch.offsets[stop])
        return replace(
            self,
            batch=self.batch[start:stop],
            centers=self.centers[start:stop] if self.has_centers else self.centers,
            options=None if self.options is None else self.options[start:stop],
            plan=None if self.plan is None else self.plan[start:stop],
            slots=None if self.slots is None else self.slots[atoms],
        )

    def run(self, start: int, stop: int) -> Call:
        """Return the only structure with the centres ``start`` to ``stop`` alone, and their rows unpooled."""
        return replace(self, centers=self.centers.run(start, stop), plan=None)

    def moved(self, displacements: FloatArray, deformations: FloatArray) -> Call:
        """Return copies of the only structure with moved atoms, all but the ``options``, which may depend on places.

        Parameters
        ----------
        displacements : ndarray, shape (n_copies, n_atoms, 3)
            Of the atoms, in Å, and of the centres that are atoms, if these are attached.
        deformations : ndarray, shape (n_copies, 3, 3)
            F, which then takes every atom, lattice vector and centre from r to F r.
        """
        batch, n, transposed = self.batch, len(displacements), deformations.swapaxes(1, 2)
        copies = Batch(
            np.tile(batch.numbers, n),
            ((batch.positions + displacements) @ transposed).reshape(-1, 3),
            np.arange(n + 1) * len(batch.numbers),
            batch.cells[0] @ transposed,
            np.repeat(batch.pbc, n, axis=0),
        )
        centers = self.centers
        return replace(
            self,
            batch=copies,
            centers=centers.moved(displacements, deformations, self.attach) if self.has_centers else centers,
            options=None,
            plan=None if self.plan is None else self.plan.repeat(n),
            slots=None,
            progress=None,
        )

    def pairs(self, r_cut: float) -> Pairs:
        """Return the pairs of a centre and an atom within a cutoff, for descriptors that are written in Python.

        The centre is ``first``, by its index among those of its structure. An atom on its own centre is a pair, too.
        """
        return find_around(self.batch, self.centers.points, self.centers.offsets, r_cut, self.n_threads)

    def core(self) -> tuple[_core.Batch, _core.Centers]:
        """Return what the compiled functions of a descriptor with centres take first."""
        return self.batch.core(), self.centers.core(None if self.plan is None else self.plan.row_weights().core())

    @property
    def species(self) -> npt.NDArray[np.int32]:
        """Index of every atom's species among those of the descriptor; none for descriptors without ``species``."""
        table = self.prepared.index_of_number
        return np.empty(0, dtype=np.int32) if table is None else table[self.batch.numbers]

    @property
    def n_features(self) -> int:
        """Number of features of a row, before pooling."""
        return self.prepared.n_features

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the features."""
        return self.prepared.dtype

    @property
    def sparse(self) -> bool:
        """Whether users are given sparse arrays; those of the hooks are dense."""
        return self.prepared.sparse

    @property
    def averages(self) -> bool:
        """Whether ``_compute`` writes one row for each structure although there are centres."""
        return self.prepared.averages

    @property
    def has_centers(self) -> bool:
        """Whether the descriptor has centres."""
        return len(self.centers.offsets) > 0

    @property
    def per_structure(self) -> bool:
        """Whether the result has one row for each structure, and so no axis for the centres."""
        return self.plan is not None or self.prepared.averages or len(self.centers.offsets) == 0

    @property
    def computed(self) -> Offsets:
        """Structure ``s`` owns the rows ``computed[s]`` to ``computed[s + 1]`` that ``_compute`` writes."""
        return np.arange(len(self) + 1) if self.averages or not self.has_centers else self.centers.offsets

    @property
    def rows(self) -> Offsets:
        """Structure ``s`` owns the rows ``rows[s]`` to ``rows[s + 1]`` of the result."""
        return np.arange(len(self) + 1) if self.per_structure else self.centers.offsets

    @property
    def n_rows(self) -> int:
        """Number of rows of the result."""
        return len(self) if self.per_structure else len(self.centers.points)

    @property
    def shape_of_one(self) -> tuple[int, ...]:
        """Shape of the rows of the only structure, as ``row_shapes`` has it for many."""
        return () if self.per_structure else (len(self.centers.points),)

    @property
    def row_shapes(self) -> Offsets:
        """Shape of the rows of each structure: (n_centers,), or () where there is one row."""
        if self.per_structure:
            return np.empty((len(self), 0), dtype=np.int64)
        return (self.centers.offsets[1:] - self.centers.offsets[:-1])[:, None]

    @property
    def n_features_out(self) -> int:
        """Number of features of a row of the result."""
        return self.n_features * (1 if self.plan is None else self.plan.n_rows)

    @property
    def selection(self) -> Selection:
        """The selected atoms, with output rows for the rows of this very call."""
        if self._selection is None:
            if self.slots is None:
                slots, counts = places(self.batch.offsets), self.batch.n_atoms
            else:
                slots, counts = self.slots, np.diff(offsets_of(self.slots >= 0)[self.batch.offsets])
            found = Selection(slots, counts, offsets_of(np.diff(self.rows) * counts))
            self._selection = found  # needed several times, and not cheap in small calls
            return found
        return self._selection


class Hooks(Protocol):
    """What computes features and derivatives: a descriptor, or what is put around one. See :class:`Descriptor`."""

    @property
    def _pools(self) -> Collection[str]: ...

    @property
    def _writes_sparse(self) -> bool: ...

    @property
    def _has_gaps(self) -> bool: ...

    @property
    def _spreads_nan(self) -> bool: ...

    def _options(self, batch: Batch) -> Any: ...

    def _cancelling(self) -> Offsets | None: ...

    def _compute(self, call: Call, out: Rows) -> None: ...

    def _jacobian(self, call: Call, out: Derivatives) -> None: ...

    def _vjp(self, call: Call, cotangents: Array, out: Derivatives) -> None: ...
