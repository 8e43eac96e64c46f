"""Data sets for interatomic potentials: energies and forces of cells of one element."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from atomprint.datasets.dataset import Dataset
from atomprint.datasets.failures import Failure, Failures, check_on_error
from atomprint.datasets.public.archives import AGAIN, DataFileError, damage_reported
from atomprint.datasets.public.cache import fetch_file, find_file
from atomprint.datasets.public.finish import FoldIndices, check_rest, entry_dataset
from atomprint.datasets.public.registry import ZUO2020_ROWS, entry
from atomprint.formats.opening import open_binary
from atomprint.formats.pymatgen_dict import read_pymatgen_dict
from atomprint.formats.xyz import Frame, read_xyz_frame, split_xyz
from atomprint.util.progress import Progress, silent
from atomprint.util.types import PathOrStr

_PARTS = {"train": "training", "test": "test"}


def load_zuo2020(
    element: str,
    part: str = "all",
    *,
    path: PathOrStr | None = None,
    cache: PathOrStr | None = None,
    offline: bool | None = None,
    on_error: str = "raise",
    progress: Progress = silent,
) -> Dataset:
    """Return energies and forces of one element from Zuo et al., J. Phys. Chem. A 124, 731 (2020).

    Parameters
    ----------
    element : {"Ni", "Cu", "Li", "Mo", "Si", "Ge"}
        The element.
    part : {"all", "train", "test"}
        Which structures; with ``"all"`` the official fold is to fit the training part and to predict the test part.
    path : path, optional
        A folder with copies that you have: ``training.json`` and ``test.json`` as in the original (also as
        ``zuo2020_Ni_training.json``), or extended xyz files ``zuo2020_Ni_train.extxyz``, which may be compressed
        (``.xz``, ``.gz``). For one part it may be the file itself. By default the original is downloaded once; no hash
        of it is published.
    cache, offline, progress
        As in :func:`~atomprint.datasets.load_matbench`.
    on_error : {"raise", "skip"}
        What to do with a structure that cannot be read.

    Returns
    -------
    Dataset
        Structures are ``ase.Atoms`` that know their energy in eV and forces in eV/Å: ``atoms.get_potential_energy()``,
        ``atoms.get_forces()``. Targets ``"energy"`` (eV, of the whole cell) and ``"energy_per_atom"`` (eV/atom). The
        original also says for each structure what ``"kind"`` it is of, which is a group. Its stress is left out.

    Raises
    ------
    ValueError
        If there is no such element or part, or a structure cannot be read.
    DataFileError
        If a file is missing, damaged or not of these formats.
    """
    check_on_error(on_error)
    if element not in ZUO2020_ROWS:
        raise ValueError(f"element must be one of {', '.join(ZUO2020_ROWS)}, got {element!r}")
    if part not in ("all", *_PARTS):
        raise ValueError(f'part must be "all", "train" or "test", got {part!r}')
    found = entry(f"zuo2020_{element}")
    files = dict(zip(_PARTS, found.files, strict=True))
    structures, ids, kinds = list[Atoms](), list[str](), list[str]()
    failures, counts = list[Failure](), list[int]()
    for name in _PARTS if part == "all" else (part,):
        if path is None:
            place = fetch_file(files[name], cache=cache, offline=offline, progress=progress)
        else:
            if part == "all" and Path(path).expanduser().is_file():
                raise ValueError(f'path must be a folder for part="all", got the file {path}')
            stem = f"zuo2020_{element}_{name}.extxyz"
            place = find_file(path, (f"{stem}.xz", f"{stem}.gz", stem, files[name].name, f"{_PARTS[name]}.json"))
        failed = Failures(str(place), on_error)
        for row, (item, read) in enumerate(_items(place)):
            try:
                atoms, kind = read(item)
                _check(atoms, element)
            except (ValueError, KeyError, TypeError) as error:
                reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
                failed.add(row, f"{name}-{row + 1:03d}", "structure", reason)
                continue
            structures.append(atoms)
            ids.append(f"{element}-{name}-{row + 1:03d}")
            kinds.append(kind)
        check_rest(failed, len(structures) - sum(counts[-1:]))
        failures.extend(failed)
        counts.append(len(structures))
    energies = np.array([atoms.get_potential_energy() for atoms in structures], dtype=np.float64)
    n_atoms = np.array([len(atoms) for atoms in structures], dtype=np.float64)
    folds: FoldIndices = ((np.arange(counts[0]), np.arange(*counts)),) if part == "all" else ()
    return entry_dataset(
        found,
        ids,
        {"energy": energies, "energy_per_atom": energies / n_atoms},
        structures=structures,
        groups={"kind": np.array(kinds, dtype=np.str_)} if any(kinds) else {},
        folds=folds,
        failures=failures,
    )


def _items(place: Path) -> list[tuple[Any, Callable[[Any], tuple[Atoms, str]]]]:
    """Return the structures of a file as they are in it, each with what reads it."""
    with damage_reported(place), open_binary(place) as file:
        content = file.read()
    if ".extxyz" in place.name or ".xyz" in place.name:
        try:
            return [(frame, _from_frame) for frame in split_xyz(content.decode().splitlines(keepends=True))]
        except ValueError as error:
            raise DataFileError(f"{place} is truncated or damaged ({error}): {AGAIN}") from error
    try:
        data = json.loads(content)
    except ValueError as error:
        raise DataFileError(f"{place} is truncated or damaged ({error}): {AGAIN}") from error
    if not isinstance(data, list):
        raise DataFileError(f"{place} must be a list of structures, got {type(data).__name__}")
    return [(item, _from_record) for item in data]


def _from_frame(frame: Frame) -> tuple[Atoms, str]:
    """Read a frame of extended xyz, whose forces may be called force."""
    read_atoms = read_xyz_frame(frame)
    results = {} if read_atoms.calc is None else read_atoms.calc.results
    arrays = read_atoms.arrays
    if "energy" not in results:
        raise ValueError("energy is missing")
    forces = results.get("forces", arrays.get("force", arrays.get("forces")))
    if forces is None:
        raise ValueError("forces are missing")
    bare = Atoms(read_atoms.numbers, read_atoms.positions, cell=read_atoms.cell, pbc=read_atoms.pbc)
    return _with(bare, results["energy"], forces), ""


def _from_record(record: Mapping[str, Any]) -> tuple[Atoms, str]:
    """Read a record of the original: a dictionary of pymatgen, energy and forces."""
    numbers, positions, cell, pbc = read_pymatgen_dict(record["structure"], periodic=True)
    outputs = record["outputs"]
    atoms = Atoms(numbers, positions, cell=cell, pbc=pbc)
    return _with(atoms, outputs["energy"], outputs["forces"]), str(record.get("group", ""))


def _with(atoms: Atoms, energy: Any, forces: Any) -> Atoms:
    values, total = np.array(forces, dtype=np.float64), float(energy)
    if values.shape != (len(atoms), 3):
        raise ValueError(f"forces must have shape ({len(atoms)}, 3), got {values.shape}")
    if not (np.isfinite(values).all() and np.isfinite(total)):
        raise ValueError("energy and forces must be finite")
    atoms.calc = SinglePointCalculator(atoms, energy=total, forces=values)
    return atoms


def _check(atoms: Atoms, element: str) -> None:
    others = sorted({str(symbol) for symbol in atoms.symbols} - {element})
    if others:
        raise ValueError(f"all atoms must be {element}, got {', '.join(others)} too")
