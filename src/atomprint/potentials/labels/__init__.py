"""Energies, forces and stresses of a data set: found, checked, and taken to reference energies."""
