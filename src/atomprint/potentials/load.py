"""Potentials from files."""

from __future__ import annotations

from atomprint.potentials.ace import LinearACE
from atomprint.potentials.base import Potential
from atomprint.potentials.fitted.files import read_state
from atomprint.potentials.fitted.model import Model
from atomprint.potentials.gap import SparseGP
from atomprint.potentials.linear import LinearPotential
from atomprint.potentials.sum import SumPotential
from atomprint.util.types import PathOrStr

POTENTIALS = (LinearACE, LinearPotential, SparseGP, SumPotential)
"""The classes that files may name, which are known by having been imported."""


def load_potential(path: PathOrStr) -> Potential:
    """Return the potential that :meth:`Potential.save` has written.

    Raises
    ------
    FileNotFoundError, PermissionError
        If there is no such file, or it may not be read.
    ValueError
        If it is no such file, is damaged, or is of a later version of atomprint.
    """
    state, checksum = read_state(path)
    try:
        potential = state["potential"]
        if not isinstance(potential, Potential):
            raise ValueError("there is no potential in it")
        potential.model_ = Model.from_state(state["model"])
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, MemoryError) as error:
        raise ValueError(f"{str(path)!r} cannot be read as a potential: {error}") from error
    potential.model_.summary["checksum"] = checksum
    return potential
