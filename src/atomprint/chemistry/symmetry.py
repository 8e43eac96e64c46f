"""Symmetry of crystals, as spglib finds it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import numpy as np

from atomprint.structures import Batch


def spglib_cell(one: Batch) -> tuple[Any, Any, Any]:
    """Return the only structure as spglib takes it: lattice vectors, fractional coordinates, atomic numbers."""
    cell = one.cells[0]
    return cell, np.linalg.solve(cell.T, one.positions.T).T, one.numbers


def symmetry_dataset(spglib: Any, cell: tuple[Any, Any, Any], symprec: float) -> Any:
    """Return what spglib knows of a crystal, or None where it finds no symmetry at all."""
    try:
        return spglib.get_symmetry_dataset(cell, symprec=symprec)
    except spglib.error.SpglibError:  # what versions to come do instead of returning None
        return None


@contextmanager
def quiet_spglib() -> Iterator[None]:
    """Keep spglib from warning that errors will be raised one day, and from writing its doubts to standard error.

    One thread at a time: the filters of warnings and the environment are those of all.
    """
    with _ONE_AT_A_TIME:
        before = os.environ.get("SPGLIB_WARNING")
        os.environ["SPGLIB_WARNING"] = "OFF"
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Set OLD_ERROR_HANDLING", DeprecationWarning)
                yield
        finally:
            if before is None:
                os.environ.pop("SPGLIB_WARNING", None)
            else:
                os.environ["SPGLIB_WARNING"] = before


_ONE_AT_A_TIME = Lock()
