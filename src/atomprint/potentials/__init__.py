"""Interatomic potentials: fitted to energies, forces and stresses, and run."""

from typing import TYPE_CHECKING

from atomprint.util.door import door

if TYPE_CHECKING:
    from atomprint.potentials.ace import LinearACE
    from atomprint.potentials.base import Potential
    from atomprint.potentials.fitted.prediction import CrossValidation, Prediction
    from atomprint.potentials.fitting.solver import Solver
    from atomprint.potentials.gap import SparseGP
    from atomprint.potentials.labels.labelled import LabelledStructures
    from atomprint.potentials.labels.reading import read_labels
    from atomprint.potentials.labels.references import ReferenceEnergies, find_references
    from atomprint.potentials.linear import LinearPotential
    from atomprint.potentials.load import load_potential
    from atomprint.potentials.short_range.repulsion import Repulsion
    from atomprint.potentials.simulation.calculator import PotentialCalculator
    from atomprint.potentials.simulation.dynamics import Moment, dynamics
    from atomprint.potentials.simulation.elasticity import elastic_constants
    from atomprint.potentials.simulation.frames import last_frame
    from atomprint.potentials.simulation.relaxation import Relaxed, relax
    from atomprint.potentials.sum import SumPotential
    from atomprint.potentials.terms.term import PreparedTerm, Term

__getattr__, __dir__ = door(__name__)

__all__ = [
    "CrossValidation",
    "LabelledStructures",
    "LinearACE",
    "LinearPotential",
    "Moment",
    "Potential",
    "PotentialCalculator",
    "Prediction",
    "PreparedTerm",
    "ReferenceEnergies",
    "Relaxed",
    "Repulsion",
    "Solver",
    "SparseGP",
    "SumPotential",
    "Term",
    "dynamics",
    "elastic_constants",
    "find_references",
    "last_frame",
    "load_potential",
    "read_labels",
    "relax",
]
