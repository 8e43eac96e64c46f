"""The tasks of Matbench: structures or compositions with one property, and the official folds."""

from __future__ import annotations

import numpy as np

from atomprint.datasets.dataset import Dataset
from atomprint.datasets.failures import check_on_error
from atomprint.datasets.public.cache import fetch, find_file
from atomprint.datasets.public.entry import Entry
from atomprint.datasets.public.finish import FoldIndices, entry_dataset, folds_of_kept
from atomprint.datasets.public.matbench_file import TaskRows, read_task
from atomprint.datasets.public.registry import entry
from atomprint.structures import Batch
from atomprint.util.progress import Progress, silent
from atomprint.util.types import FloatArray, PathOrStr

FOLD_SEED = 18012019
"""Seed of the five shuffled folds of Matbench v0.1."""


def load_matbench(
    task: str,
    *,
    path: PathOrStr | None = None,
    cache: PathOrStr | None = None,
    offline: bool | None = None,
    on_error: str = "raise",
    progress: Progress = silent,
) -> Dataset:
    """Return one of the 13 tasks of Matbench v0.1.

    Parameters
    ----------
    task : str
        Its name, such as ``"matbench_perovskites"``; the prefix may be left out.
    path : path, optional
        A copy that you have: the file, or the folder with a file of the usual name. Its hash is not checked. By
        default the public file is downloaded once; see :func:`~atomprint.datasets.fetch`.
    cache : path, optional
        Folder for downloads, and for the arrays read from them, which load faster the next time.
    offline : bool, optional
        If true, nothing is downloaded; by default as ``ATOMPRINT_OFFLINE`` says.
    on_error : {"raise", "skip"}
        What to do with a row that cannot be read: raise, or leave it out and list it in ``failures``.
    progress : Progress
        Called with what is done, how much of it is done, and how much there is or None.

    Returns
    -------
    Dataset
        Structures are a :class:`~atomprint.structures.Batch`; the file is read as a stream, in memory for the arrays
        alone. The official folds are there if the number of rows is the official one.

    Raises
    ------
    ValueError
        If there is no such task, or a row cannot be read.
    DataFileError
        If the file is missing, damaged or not of this format.
    """
    check_on_error(on_error)
    found = entry(task if task.startswith("matbench_") else f"matbench_{task}")
    file = found.files[0].name
    if path is None:
        (place,) = fetch(found.name, cache=cache, offline=offline, progress=progress)
    else:
        short = found.name.removeprefix("matbench_")
        names = (file, file.removesuffix(".gz"), f"{short}.json.gz", f"{short}.compositions.json.bz2")
        place = find_file(path, names)
    return _dataset(found, read_task(place, found, cache, on_error, progress))


def load_bandgap(
    *,
    path: PathOrStr | None = None,
    cache: PathOrStr | None = None,
    offline: bool | None = None,
    on_error: str = "raise",
    progress: Progress = silent,
) -> Dataset:
    """Return 4604 compositions with experimental band gaps in eV (target ``"gap"``); see :func:`load_matbench`."""
    return load_matbench("expt_gap", path=path, cache=cache, offline=offline, on_error=on_error, progress=progress)


def load_perovskite(
    *,
    path: PathOrStr | None = None,
    cache: PathOrStr | None = None,
    offline: bool | None = None,
    on_error: str = "raise",
    progress: Progress = silent,
) -> Dataset:
    """Return 18928 cubic perovskites with their formation energies; see :func:`load_matbench`.

    Target ``"e_form"`` is in eV for the cell of 5 atoms, not for one atom.
    """
    return load_matbench("perovskites", path=path, cache=cache, offline=offline, on_error=on_error, progress=progress)


def load_mp_formation_energy(
    *,
    path: PathOrStr | None = None,
    cache: PathOrStr | None = None,
    offline: bool | None = None,
    on_error: str = "raise",
    progress: Progress = silent,
) -> Dataset:
    """Return 132752 crystals with formation energies in eV/atom (target ``"e_form"``); see :func:`load_matbench`."""
    return load_matbench("mp_e_form", path=path, cache=cache, offline=offline, on_error=on_error, progress=progress)


def load_mp_metallicity(
    *,
    path: PathOrStr | None = None,
    cache: PathOrStr | None = None,
    offline: bool | None = None,
    on_error: str = "raise",
    progress: Progress = silent,
) -> Dataset:
    """Return 106113 crystals, metals or not (target ``"is_metal"``); see :func:`load_matbench`."""
    return load_matbench("mp_is_metal", path=path, cache=cache, offline=offline, on_error=on_error, progress=progress)


def official_folds(values: FloatArray, classification: bool) -> FoldIndices:
    """Return the five folds of Matbench v0.1 for these rows in their order: indices to fit, and to predict.

    Source: Dunn et al., npj Comput. Mater. 6, 138 (2020): shuffled folds, stratified for classes, with one seed.
    """
    from sklearn.model_selection import KFold, StratifiedKFold

    folds = (StratifiedKFold if classification else KFold)(5, shuffle=True, random_state=FOLD_SEED)
    y = values.astype(np.intp) if classification else values
    return tuple((np.asarray(fit), np.asarray(predict)) for fit, predict in folds.split(np.zeros(len(y)), y))


def _dataset(found: Entry, table: TaskRows) -> Dataset:
    ((name, info),) = found.targets.items()
    n = len(table.values)
    task = found.name.replace("_", "-").replace("matbench-", "mb-", 1)
    ids = table.ids or tuple(f"{task}-{row + 1:0{len(str(n))}d}" for row in range(n))
    known = n == found.rows and bool(np.isfinite(table.values).all())
    folds = official_folds(table.values, bool(info.classes)) if known else ()
    return entry_dataset(
        found,
        [ids[row] for row in table.kept],
        {name: table.values[table.kept]},
        structures=table.inputs if isinstance(table.inputs, Batch) else None,
        compositions=None if isinstance(table.inputs, Batch) else table.inputs,
        groups={key: labels[table.kept] for key, labels in table.groups.items()},
        folds=folds_of_kept(folds, table.kept, n),
        failures=table.failures,
    )
