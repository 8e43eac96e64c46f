"""Systems of DeePMD-kit: a folder with the types of its atoms, and arrays of frames in folders ``set.*``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ase import Atoms
from ase.data import atomic_numbers

from atomprint.formats.source import Row

_TYPES = "type.raw"


def is_deepmd(path: Path) -> bool:
    """Return whether a folder is a system of DeePMD-kit."""
    return (path / _TYPES).is_file()


def read_deepmd(path: Path) -> Iterator[Row]:
    """Yield a row for each frame, with ``"energy"`` (eV), ``"force"`` (eV/Å) and ``"virial"`` (eV), if they are there.

    Raises
    ------
    ValueError
        If a file is missing, or has another number of atoms or frames than the others; the message names it.
    """
    numbers, of_types = _numbers(path)
    n = len(numbers)
    sets = sorted(found for found in path.glob("set.*") if found.is_dir())
    if not sets:
        raise ValueError(f"{path.name} has {_TYPES}, but no folder set.000 with frames")
    frame = 0
    for folder in sets:
        arrays = {name: _array(folder / f"{name}.npy") for name in ("coord", "box", "energy", "force", "virial")}
        positions = arrays.pop("coord")
        if positions is None:
            raise ValueError(f"{path.name}/{folder.name} has no coord.npy")
        for name, size in (("coord", 3 * n), ("box", 9), ("energy", 1), ("force", 3 * n), ("virial", 9)):
            array = positions if name == "coord" else arrays[name]
            if array is not None and (len(array) != len(positions) or array.size != size * len(positions)):
                raise ValueError(
                    f"{path.name}/{folder.name}/{name}.npy must have shape ({len(positions)}, {size}) for {n} atoms, "
                    f"got {array.shape}"
                )
        box, forces = arrays["box"], arrays["force"]
        of_frames = _numbers_of_frames(folder, of_types, len(positions), n)
        periodic = box is not None and not (path / "nopbc").exists()
        for k in range(len(positions)):
            cell = box[k].reshape(3, 3) if box is not None and periodic else None
            own = np.array(numbers) if of_frames is None else of_frames[k]
            there = own > 0  # the others fill up
            atoms = Atoms(own[there], positions[k].reshape(n, 3)[there], cell=cell, pbc=periodic)
            fields: dict[str, Any] = {}
            if (energies := arrays["energy"]) is not None:
                fields["energy"] = float(energies[k].reshape(()))
            if (virials := arrays["virial"]) is not None:
                fields["virial"] = virials[k].reshape(3, 3)
            yield Row(
                fields, atoms, {} if forces is None else {"force": forces[k].reshape(n, 3)[there]}, id=f"frame {frame}"
            )
            frame += 1


def _numbers(path: Path) -> tuple[list[int], npt.NDArray[np.int64]]:
    """Return the atomic numbers of a system, and those of all types."""
    try:
        types = [int(word) for word in (path / _TYPES).read_text(encoding="utf-8").split()]
        names = (path / "type_map.raw").read_text(encoding="utf-8").split()
    except FileNotFoundError as error:
        raise ValueError(f"{path.name} has no type_map.raw, which tells the elements of {_TYPES}") from error
    except (OSError, ValueError) as error:
        raise ValueError(f"{path.name}: {_TYPES} must be whole numbers: {error}") from error
    for name in names:
        if name not in atomic_numbers:
            raise ValueError(f"{path.name}/type_map.raw must name elements, got {name!r}")
    if not types or not all(0 <= kind < len(names) for kind in types):
        raise ValueError(f"{path.name}/{_TYPES} must have numbers of type_map.raw, 0 to {len(names) - 1}")
    of_types = [int(atomic_numbers[name]) for name in names]
    return [of_types[kind] for kind in types], np.array(of_types, dtype=np.int64)


def _numbers_of_frames(
    folder: Path, of_types: npt.NDArray[np.int64], n_frames: int, n_atoms: int
) -> npt.NDArray[np.int64] | None:
    """Return the atomic numbers of each frame, 0 where there is no atom; None where they are those of the system."""
    kinds = _array(folder / "real_atom_types.npy")
    if kinds is None:
        return None
    if kinds.shape != (n_frames, n_atoms):
        raise ValueError(
            f"{folder.parent.name}/{folder.name}/real_atom_types.npy must have shape {(n_frames, n_atoms)}, "
            f"got {kinds.shape}"
        )
    if not np.isin(kinds, np.arange(-1, len(of_types))).all():
        raise ValueError(
            f"{folder.parent.name}/{folder.name}/real_atom_types.npy must have numbers of type_map.raw, "
            f"0 to {len(of_types) - 1}, and -1 where there is no atom"
        )
    return np.append(of_types, 0)[kinds.astype(np.int64)]


def _array(path: Path) -> npt.NDArray[np.float64] | None:
    if not path.is_file():
        return None
    try:
        return np.asarray(np.load(path, allow_pickle=False), dtype=np.float64)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path.parent.name}/{path.name} cannot be read: {error}") from error
