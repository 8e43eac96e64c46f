"""Potentials in use: the calculator of ASE, relaxation, dynamics and elastic constants."""
