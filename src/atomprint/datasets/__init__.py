"""Data sets: structures with the properties that models learn, their units and where they come from."""

from typing import TYPE_CHECKING

from atomprint.util.door import door

if TYPE_CHECKING:
    from atomprint.datasets.dataset import Dataset
    from atomprint.datasets.failures import Failure
    from atomprint.datasets.files.inspect import FileContents, inspect_file
    from atomprint.datasets.files.read import read_dataset
    from atomprint.datasets.public.archives import DataFileError, extract_archive
    from atomprint.datasets.public.bundled import load_dcdft, load_g2
    from atomprint.datasets.public.cache import cache_folder, fetch
    from atomprint.datasets.public.entry import Entry, RemoteFile, TargetInfo
    from atomprint.datasets.public.load import load
    from atomprint.datasets.public.matbench import (
        load_bandgap,
        load_matbench,
        load_mp_formation_energy,
        load_mp_metallicity,
        load_perovskite,
    )
    from atomprint.datasets.public.molecules import load_hopv, load_qm7
    from atomprint.datasets.public.potentials import load_zuo2020
    from atomprint.datasets.public.registry import REGISTRY, entry
    from atomprint.datasets.target import Target

__getattr__, __dir__ = door(__name__)

__all__ = [
    "REGISTRY",
    "DataFileError",
    "Dataset",
    "Entry",
    "Failure",
    "FileContents",
    "RemoteFile",
    "Target",
    "TargetInfo",
    "cache_folder",
    "entry",
    "extract_archive",
    "fetch",
    "inspect_file",
    "load",
    "load_bandgap",
    "load_dcdft",
    "load_g2",
    "load_hopv",
    "load_matbench",
    "load_mp_formation_energy",
    "load_mp_metallicity",
    "load_perovskite",
    "load_qm7",
    "load_zuo2020",
    "read_dataset",
]
