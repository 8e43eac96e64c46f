"""Descriptors: fixed-size fingerprints of atoms, molecules and crystals."""

from atomprint.descriptors.acsf import ACSF
from atomprint.descriptors.base import Descriptor
from atomprint.descriptors.composition import ElementProperty
from atomprint.descriptors.composition_channels import CompositionChannels
from atomprint.descriptors.derivatives import Gradient
from atomprint.descriptors.learned_embedding import LearnedEmbedding
from atomprint.descriptors.local import LocalDescriptor
from atomprint.descriptors.matrices import CoulombMatrix, EwaldSumMatrix, SineMatrix
from atomprint.descriptors.mbtr import LMBTR, MBTR, ValleOganov
from atomprint.descriptors.neighbours import NeighbourStatistics
from atomprint.descriptors.oxidation import OxidationStates
from atomprint.descriptors.pairs import PairBlock, PairJacobian
from atomprint.descriptors.soap import SOAP

__all__ = [
    "ACSF",
    "LMBTR",
    "MBTR",
    "SOAP",
    "CompositionChannels",
    "CoulombMatrix",
    "Descriptor",
    "ElementProperty",
    "EwaldSumMatrix",
    "Gradient",
    "LearnedEmbedding",
    "LocalDescriptor",
    "NeighbourStatistics",
    "OxidationStates",
    "PairBlock",
    "PairJacobian",
    "SineMatrix",
    "ValleOganov",
]
