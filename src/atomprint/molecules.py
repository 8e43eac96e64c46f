"""Molecules that are known by their bonds: SMILES, scaffolds, and geometries that are made of them."""

from atomprint.chemistry.smiles import Smiles, scaffold_of, smiles_of
from atomprint.descriptors.molecular.conformers import embed

__all__ = ["Smiles", "embed", "scaffold_of", "smiles_of"]
