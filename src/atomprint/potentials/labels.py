"""What a data set says of its structures: energies, forces, stresses, and what kind of configuration each is."""

from __future__ import annotations

from dataclasses import dataclass

from atomprint.structures import Batch
from atomprint.util.types import FloatArray


@dataclass(frozen=True)
class LabelledStructures:
    """Structures with their labels; NaN where there is none, or where it is masked.

    Parameters
    ----------
    structures : Batch
        The structures, checked.
    energies : ndarray, shape (n_structures,)
        Total energies in eV.
    forces : ndarray, shape (n_atoms, 3)
        In eV/Å.
    stresses : ndarray, shape (n_structures, 3, 3)
        In eV/Å^3, positive in tension: dE/dstrain / volume.
    config_types : tuple of str
        Of each structure; all ``""`` where the data do not say.
    keys : dict of str to str
        Under which key each kind of label was found: ``energy``, ``forces``, ``stress``, ``config_type``.
    """

    structures: Batch
    energies: FloatArray
    forces: FloatArray
    stresses: FloatArray
    config_types: tuple[str, ...]
    keys: dict[str, str]

    def __len__(self) -> int:
        return len(self.structures)
