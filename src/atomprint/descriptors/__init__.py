"""Descriptors: fixed-size fingerprints of atoms, molecules and crystals."""

from atomprint.descriptors.base import Descriptor

__all__ = ["Descriptor"]
