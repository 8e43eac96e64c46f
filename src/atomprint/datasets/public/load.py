"""Any public data set by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from atomprint.datasets.dataset import Dataset
from atomprint.datasets.public.bundled import load_dcdft, load_g2
from atomprint.datasets.public.matbench import (
    load_bandgap,
    load_matbench,
    load_mp_formation_energy,
    load_mp_metallicity,
    load_perovskite,
)
from atomprint.datasets.public.molecules import load_hopv, load_qm7
from atomprint.datasets.public.potentials import load_zuo2020
from atomprint.datasets.public.registry import entry

LOADERS: Mapping[str, Callable[..., Dataset]] = {
    loader.__name__: loader
    for loader in (
        load_bandgap,
        load_dcdft,
        load_g2,
        load_hopv,
        load_matbench,
        load_mp_formation_energy,
        load_mp_metallicity,
        load_perovskite,
        load_qm7,
        load_zuo2020,
    )
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
