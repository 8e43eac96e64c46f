"""The basis of the atomic cluster expansion: couplings, choice of functions and their program, radial functions."""

from atomprint.descriptors.ace_basis.functions import AceBasis, ace_basis
from atomprint.descriptors.ace_basis.radial import FAMILIES, TABLE_ERROR, PairRange, Radial, radial_tables

__all__ = ["FAMILIES", "TABLE_ERROR", "AceBasis", "PairRange", "Radial", "ace_basis", "radial_tables"]
