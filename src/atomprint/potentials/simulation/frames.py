"""Frames of a run in extended xyz: each is whole or not there, and a run goes on from the last."""

from __future__ import annotations

import os
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any

from ase import Atoms

from atomprint.util.types import PathOrStr


def append_frame(path: PathOrStr, atoms: Atoms, step: int, picoseconds: float) -> None:
    """Append atoms with their velocities and results to a file, in one write.

    Parameters
    ----------
    path : path
        Is made if it is not there.
    atoms : Atoms
        With a calculator.
    step : int
        How many steps have been made.
    picoseconds : float
        Since the beginning.
    """
    from ase.io import write

    frame: Any = atoms.copy()
    frame.calc = atoms.calc
    frame.info |= {"step": step, "time_ps": picoseconds}
    text = StringIO()
    write(text, frame, format="extxyz")
    with open(path, "ab", buffering=0) as file:
        left = memoryview(text.getvalue().encode())
        while left:
            left = left[file.write(left) :]


def last_frame(path: PathOrStr) -> tuple[Atoms, int]:
    """Return the last whole frame of a run and its step; cut off what is there of one in which the run was killed.

    Parameters
    ----------
    path : path
        Written by :func:`~atomprint.potentials.dynamics`.

    Returns
    -------
    atoms : Atoms
        With velocities.
    step : int
        How many steps had been made: ``done`` of the run that goes on.

    Raises
    ------
    ValueError
        If the file has no such frame.
    """
    from ase.io import read

    path, last, end = Path(path), b"", 0
    with path.open("rb") as file:
        while (head := file.readline()).strip().isdigit():
            lines = list(islice(file, int(head) + 1))
            if len(lines) <= int(head) or not lines[-1].endswith(b"\n"):
                break
            last, end = b"".join([head, *lines]), file.tell()
    atoms: Any = read(StringIO(last.decode()), format="extxyz") if last else None
    if atoms is None or "step" not in atoms.info or "momenta" not in atoms.arrays:
        raise ValueError(f"{path.name} is not of a run of dynamics: its last frame has no step or momenta")
    if end < path.stat().st_size:
        os.truncate(path, end)
    return atoms, int(atoms.info["step"])
