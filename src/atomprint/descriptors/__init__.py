"""Descriptors: fixed-size fingerprints of atoms, molecules and crystals."""

from atomprint.descriptors.base import Descriptor
from atomprint.descriptors.local import LocalDescriptor
from atomprint.descriptors.matrices import CoulombMatrix, EwaldSumMatrix, SineMatrix
from atomprint.descriptors.soap import SOAP

__all__ = ["SOAP", "CoulombMatrix", "Descriptor", "EwaldSumMatrix", "LocalDescriptor", "SineMatrix"]
