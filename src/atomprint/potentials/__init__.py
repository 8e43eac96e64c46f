"""Interatomic potentials: fitted to energies, forces and stresses, and run."""

from typing import TYPE_CHECKING

from atomprint.util.door import door

if TYPE_CHECKING:
    from atomprint.potentials.labels import LabelledStructures, read_labels
    from atomprint.potentials.references import ReferenceEnergies, find_references
    from atomprint.potentials.repulsion import Repulsion
    from atomprint.potentials.terms import Core, PreparedTerm, Term

__getattr__, __dir__ = door(__name__)

__all__ = [
    "Core",
    "LabelledStructures",
    "PreparedTerm",
    "ReferenceEnergies",
    "Repulsion",
    "Term",
    "find_references",
    "read_labels",
]
