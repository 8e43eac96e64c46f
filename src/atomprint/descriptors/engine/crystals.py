"""Descriptors of crystals: their cell repeats, whatever is said of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from atomprint.descriptors.engine.contract import Descriptor
from atomprint.structures import Batch, Structures, Warn, checked, read_checked, warn_user


class OfCrystals(Descriptor):
    """A descriptor for which the cell repeats along all three vectors, whatever ``pbc`` says."""

    def _periodic(self) -> bool:
        return True

    def _read(self, structures: Structures, n_threads: int = 1, warn: Warn = warn_user) -> Batch:
        batch, _ = read_checked(structures, self._periodic(), warn, n_threads)
        if not batch.pbc.all():
            # Checked again, as atoms that do not coincide in a molecule may do so in a crystal.
            batch = checked(replace(batch, pbc=np.ones_like(batch.pbc)), True, n_threads=n_threads)
        self._check_batch(batch)
        return batch
