"""Descriptors of structures as tables with names, in files that other programs read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from atomprint.datasets import Dataset, Failure, read_dataset
from atomprint.util.extras import require
from atomprint.util.files import written_atomically
from atomprint.util.progress import Progress, silent
from atomprint.workflow.recipes.features import DescriptorSection
from atomprint.workflow.recipes.sections import parsed
from atomprint.workflow.runs.describe import drop_failures, inputs_of

FORMATS = (".parquet", ".csv", ".csv.gz", ".npz")


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Features with the names of rows and columns.

    Parameters
    ----------
    values : ndarray, shape (n_rows, n_features)
        A row for each structure, or for each atom where the descriptor is local.
    ids : tuple of str
        Names of the rows; those of atoms are ``"<structure>/<atom>"``.
    names : tuple of str
        Names of the features.
    failures : tuple of Failure
        Structures that were left out.
    """

    values: npt.NDArray[Any]
    ids: tuple[str, ...]
    names: tuple[str, ...]
    failures: tuple[Failure, ...]


def featurize(
    path: str | Path,
    descriptor: str = "SOAP",
    parameters: Iterable[str] = (),
    *,
    structure: str | None = None,
    formula: str | None = None,
    on_error: str = "raise",
    n_jobs: int = 1,
    progress: Progress = silent,
) -> FeatureTable:
    """Compute a descriptor of all structures in a file or folder.

    Parameters
    ----------
    path : path
        Anything that :func:`~atomprint.datasets.read_dataset` reads.
    descriptor : str
        Name of a class of :mod:`atomprint.descriptors`.
    parameters : iterable of str
        Its parameters, such as ``"r_cut=5.0"``; values are TOML, or else text.
    structure, formula : str, optional
        Columns or keys, where the file has several.
    on_error : {"raise", "skip"}
        Whether to leave out structures that cannot be read or described.
    n_jobs : int
        Number of threads; -1 means all cores.
    progress : Progress
        Called as each step begins.

    Returns
    -------
    FeatureTable
    """
    table: dict[str, Any] = {}
    for text in parameters:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"a parameter must look like r_cut=5.0, got {text!r}")
        table[name.strip()] = parsed(value)
    progress("Reading structures", 0, None)
    dataset = read_dataset(path, targets=(), structure=structure, formula=formula, on_error=on_error)
    given = DescriptorSection("descriptor", descriptor, table).suited_to(dataset).build(dataset, n_jobs)
    if given.pairwise:
        raise ValueError(f"descriptor must not be a kernel, got {descriptor!r}")
    progress(f"Computing {descriptor}", 0, None)
    try:
        values = given.transformer.fit_transform(inputs_of(dataset))
    except (ValueError, TypeError):
        if on_error == "raise":
            raise
        dataset, failures = drop_failures(dataset, [given], progress)
        if not failures:
            raise
        values = given.transformer.fit_transform(inputs_of(dataset))
    rows, ids = _rows(values, dataset)
    return FeatureTable(rows, ids, tuple(given.transformer.get_feature_names_out()), dataset.failures)


def _rows(values: Any, dataset: Dataset) -> tuple[npt.NDArray[Any], tuple[str, ...]]:
    """Return a plain array of rows, and their names."""
    if hasattr(values, "toarray"):
        values = values.toarray()
    if isinstance(values, np.ndarray) and values.ndim == 2:
        return values, dataset.ids
    ids = tuple(f"{name}/{atom}" for name, rows in zip(dataset.ids, values, strict=True) for atom in range(len(rows)))
    return np.concatenate([np.asarray(rows) for rows in values]), ids


def write_features(path: str | Path, features: FeatureTable) -> None:
    """Write features to a file, complete before it gets its name.

    Parameters
    ----------
    path : path
        ``.parquet``, ``.csv`` and ``.csv.gz`` have a column ``id`` and one for each feature; ``.npz`` has the arrays
        ``values``, ``ids`` and ``names``.
    features : FeatureTable
        What to write.
    """
    path = Path(path)
    suffix = next((s for s in sorted(FORMATS, key=len, reverse=True) if path.name.endswith(s)), None)
    if suffix is None:
        raise ValueError(f"the file must end in one of {', '.join(FORMATS)}, got {path.name!r}")
    with written_atomically(path) as temporary:
        if suffix == ".npz":
            with temporary.open("wb") as file:
                np.savez_compressed(
                    file, values=features.values, ids=np.array(features.ids), names=np.array(features.names)
                )
            return
        frame = require("pandas", "data").DataFrame(features.values, columns=list(features.names))
        frame.insert(0, "id", features.ids)
        if suffix == ".parquet":
            require("pyarrow", "data")
            frame.to_parquet(temporary, index=False)
        else:
            frame.to_csv(temporary, index=False, compression="gzip" if suffix == ".csv.gz" else None)
