"""One call of a descriptor, read and checked: which structures, which rows, which atoms."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from atomprint.pooling.pooling import Plan
from atomprint.structures import Batch

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


@dataclass(frozen=True, slots=True)
class Task:
    """What one call computes, sliceable by structures.

    Parameters
    ----------
    batch : Batch
        The structures.
    options : object
        What ``_compute`` needs besides the batch, sliceable by structures, or None.
    computed : ndarray of int64, shape (n_structures + 1,)
        Structure ``s`` owns the rows ``computed[s]`` to ``computed[s + 1]`` that ``_compute`` writes.
    per_structure : bool
        Whether the result has one row for each structure, and so no axis for the centres.
    plan : Plan, optional
        Makes these rows one for each structure.
    slots : ndarray of int64, shape (n_atoms,), optional
        Atoms to differentiate by, see :class:`Selection`.
    """

    batch: Batch
    options: Any
    computed: Offsets
    per_structure: bool
    plan: Plan | None = None
    slots: Offsets | None = None

    def __len__(self) -> int:
        return len(self.batch)

    def __getitem__(self, structures: slice) -> Task:
        """Return a run of consecutive structures; arrays are views."""
        start, stop, _ = structures.indices(len(self))
        if (start, stop) == (0, len(self)):
            return self
        atoms = slice(self.batch.offsets[start], self.batch.offsets[stop])
        return Task(
            self.batch[start:stop],
            None if self.options is None else self.options[start:stop],
            self.computed[start : stop + 1] - self.computed[start],
            self.per_structure,
            None if self.plan is None else self.plan[start:stop],
            None if self.slots is None else self.slots[atoms],
        )

    def centres(self, start: int, stop: int) -> Task:
        """Return the only structure with the centres ``start`` to ``stop`` alone, and their rows unpooled."""
        options = self.options.run(start, stop)
        return replace(self, options=options, computed=options.offsets, per_structure=False, plan=None)

    @property
    def rows(self) -> Offsets:
        """Structure ``s`` owns the rows ``rows[s]`` to ``rows[s + 1]`` of the result."""
        return self.computed if self.plan is None else np.arange(len(self) + 1)

    @property
    def row_shapes(self) -> npt.NDArray[np.int64]:
        """Shape of the rows of each structure: (n_centers,), or () where there is one row."""
        if self.per_structure:
            return np.empty((len(self), 0), dtype=np.int64)
        return (self.computed[1:] - self.computed[:-1])[:, None]

    @property
    def selection(self) -> Selection:
        """The selected atoms, with output rows for the rows of this very task."""
        assert self.slots is not None
        chosen = np.concatenate([[0], np.cumsum(self.slots >= 0)])
        counts = np.diff(chosen[self.batch.offsets])
        return Selection(self.slots, counts, np.concatenate([[0], np.cumsum(np.diff(self.rows) * counts)]))
