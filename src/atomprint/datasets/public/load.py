"""Any public data set by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from atomprint.datasets.dataset import Dataset
from atomprint.datasets.public import bundled, matbench, molecules, potentials
from atomprint.datasets.public.registry import entry

LOADERS: Mapping[str, Callable[..., Dataset]] = {
    name: loader
    for module in (bundled, matbench, molecules, potentials)
    for name, loader in vars(module).items()
    if name.startswith("load_")
}
"""The loaders that the registry names."""


def load(name: str, **options: Any) -> Dataset:
    """Return a public data set by its name in the registry.

    Parameters
    ----------
    name : str
        Such as ``"matbench_perovskites"``, ``"qm7"`` or ``"zuo2020_Ni"``; DeepChem's names are known too.
    **options
        What its loader takes besides, such as ``path`` or ``on_error``; data sets that come with ASE take nothing.

    Returns
    -------
    Dataset
        The data set.

    Raises
    ------
    ValueError
        If there is no such data set.
    """
    found = entry(name)
    return LOADERS[found.loader](**found.arguments, **options)
