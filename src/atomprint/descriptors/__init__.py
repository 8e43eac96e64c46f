"""Descriptors: fixed-size fingerprints of atoms, molecules and crystals."""

from atomprint.descriptors.ace import ACE
from atomprint.descriptors.acsf import ACSF
from atomprint.descriptors.composition.channels import CompositionChannels
from atomprint.descriptors.composition.element_property import ElementProperty
from atomprint.descriptors.composition.oxidation import OxidationStates
from atomprint.descriptors.density_grid import DensityGrid
from atomprint.descriptors.engine.arguments import Gradient
from atomprint.descriptors.engine.call import Call, Derivatives
from atomprint.descriptors.engine.contract import Descriptor
from atomprint.descriptors.engine.evaluator import Evaluator
from atomprint.descriptors.engine.local import LocalDescriptor
from atomprint.descriptors.engine.pairs import PairBlock, PairJacobian
from atomprint.descriptors.learned_embedding import LearnedEmbedding
from atomprint.descriptors.matrices import CoulombMatrix, EwaldSumMatrix, SineMatrix
from atomprint.descriptors.mbtr import LMBTR, MBTR, ValleOganov
from atomprint.descriptors.molecular.conformers import ConformerAverage
from atomprint.descriptors.molecular.fingerprints import MACCSKeys, MorganFingerprint
from atomprint.descriptors.molecular.rdkit_descriptors import RDKitDescriptors
from atomprint.descriptors.neighbours import NeighbourStatistics
from atomprint.descriptors.pretrained.embedding import PretrainedEmbedding
from atomprint.descriptors.soap import SOAP
from atomprint.descriptors.structural.coordination import CoordinationNumbers
from atomprint.descriptors.structural.diffraction import PowderDiffraction
from atomprint.descriptors.structural.distributions import AngularDistribution, RadialDistribution
from atomprint.descriptors.structural.space_group import SpaceGroup
from atomprint.descriptors.structural.steinhardt import SteinhardtParameters
from atomprint.descriptors.structural.structure_statistics import StructureStatistics
from atomprint.descriptors.structural.warren_cowley import WarrenCowley

__all__ = [
    "ACE",
    "ACSF",
    "LMBTR",
    "MBTR",
    "SOAP",
    "AngularDistribution",
    "Call",
    "CompositionChannels",
    "ConformerAverage",
    "CoordinationNumbers",
    "CoulombMatrix",
    "DensityGrid",
    "Derivatives",
    "Descriptor",
    "ElementProperty",
    "Evaluator",
    "EwaldSumMatrix",
    "Gradient",
    "LearnedEmbedding",
    "LocalDescriptor",
    "MACCSKeys",
    "MorganFingerprint",
    "NeighbourStatistics",
    "OxidationStates",
    "PairBlock",
    "PairJacobian",
    "PowderDiffraction",
    "PretrainedEmbedding",
    "RDKitDescriptors",
    "RadialDistribution",
    "SineMatrix",
    "SpaceGroup",
    "SteinhardtParameters",
    "StructureStatistics",
    "ValleOganov",
    "WarrenCowley",
]
