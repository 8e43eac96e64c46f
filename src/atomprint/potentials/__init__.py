"""Interatomic potentials: fitted to energies, forces and stresses, and run."""

from typing import TYPE_CHECKING

from atomprint.util.door import door

if TYPE_CHECKING:
    from atomprint.potentials.ace import LinearACE
    from atomprint.potentials.base import CrossValidation, Potential, Prediction, SumPotential
    from atomprint.potentials.calculator import PotentialCalculator
    from atomprint.potentials.elasticity import elastic_constants
    from atomprint.potentials.gap import SparseGP
    from atomprint.potentials.labels import LabelledStructures
    from atomprint.potentials.linear import LinearPotential
    from atomprint.potentials.load import load_potential
    from atomprint.potentials.reading import read_labels
    from atomprint.potentials.references import ReferenceEnergies, find_references
    from atomprint.potentials.repulsion import Repulsion
    from atomprint.potentials.solver import Solver
    from atomprint.potentials.terms import PreparedTerm, Term

__getattr__, __dir__ = door(__name__)

__all__ = [
    "CrossValidation",
    "LabelledStructures",
    "LinearACE",
    "LinearPotential",
    "Potential",
    "PotentialCalculator",
    "Prediction",
    "PreparedTerm",
    "ReferenceEnergies",
    "Repulsion",
    "Solver",
    "SparseGP",
    "SumPotential",
    "Term",
    "elastic_constants",
    "find_references",
    "load_potential",
    "read_labels",
]
