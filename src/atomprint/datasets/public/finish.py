"""What all loaders of public data sets share: rows that fail, folds without them, and the data set at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from atomprint.datasets.dataset import Dataset
from atomprint.datasets.failures import Failure, Failures
from atomprint.datasets.public.archives import DataFileError
from atomprint.datasets.public.entry import Entry, TargetInfo
from atomprint.datasets.target import Target
from atomprint.util.types import FloatArray, Indices, Items

FoldIndices = tuple[tuple[Indices, Indices], ...]


def check_rest(failures: Failures, n_read: int) -> None:
    """Raise if no row could be read: that is not a data set with some failures."""
    if not n_read:
        first = f", the first because of: {failures[0].reason}" if failures else ""
        raise DataFileError(f"{failures.place}: none of {len(failures)} rows could be read{first}")


def folds_of_kept(folds: FoldIndices, kept: Indices, n_rows: int) -> FoldIndices:
    """Return folds of all rows as folds of those that were kept, by their new indices."""
    position = np.full(n_rows, -1, dtype=np.intp)
    position[kept] = np.arange(len(kept))
    return tuple(
        (position[fit][position[fit] >= 0], position[predict][position[predict] >= 0]) for fit, predict in folds
    )


def entry_dataset(
    entry: Entry,
    ids: Sequence[str],
    values: Mapping[str, FloatArray],
    *,
    structures: Items = None,
    compositions: Sequence[str] | None = None,
    groups: Mapping[str, npt.NDArray[np.str_]] | None = None,
    folds: FoldIndices = (),
    failures: Sequence[Failure] = (),
    more: Mapping[str, TargetInfo] | None = None,
) -> Dataset:
    """Return the data set of an entry of the registry.

    Parameters
    ----------
    entry : Entry
        What is known of it; ``more`` has targets that only some forms of its files have.
    ids, values, structures, compositions, groups, folds, failures
        As in :class:`~atomprint.datasets.Dataset`; ``values`` of each target.
    """
    known = {**entry.targets, **(more or {})}
    return Dataset(
        name=entry.name,
        title=entry.title,
        structures=structures,
        compositions=compositions,
        ids=tuple(ids),
        targets={
            name: Target(column, info.unit, info.title, info.definition, info.classes)
            for name, column in values.items()
            for info in (known[name],)
        },
        description=entry.description,
        source=entry.citation,
        groups=groups or {},
        folds=folds,
        licence=entry.licence,
        failures=tuple(failures),
    )
