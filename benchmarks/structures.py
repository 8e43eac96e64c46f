"""The structures that everything is measured on, and the usual options for them."""

from __future__ import annotations

from typing import Any

from ase import Atoms
from ase.build import bulk
from ase.collections import g2


def organic_molecules() -> list[Atoms]:
    """Take the 85 G2 molecules made of H, C, N and O only."""
    return [g2[name] for name in g2.names if set(g2[name].get_chemical_symbols()) <= set("HCNO")]


def first_molecules() -> list[Atoms]:
    """Take the first 20 G2 molecules made of H, C, N and O only."""
    return organic_molecules()[:20]


def all_molecules() -> list[Atoms]:
    """Take all 162 G2 molecules."""
    return [g2[name] for name in g2.names]


def rattled(name: str, structure: str, a: float, repeat: int, seed: int) -> Atoms:
    """Make a cubic supercell and displace its atoms by 0.05 Å (normal distribution)."""
    atoms = bulk(name, structure, a=a, cubic=True).repeat(repeat)
    atoms.rattle(0.05, seed=seed)
    atoms.wrap()
    return atoms


def rattled_nacl() -> list[Atoms]:
    """Make rattled rocksalt, 216 atoms."""
    return [rattled("NaCl", "rocksalt", 5.64, 3, seed=0)]


def rattled_si() -> list[Atoms]:
    """Make rattled silicon, 216 atoms."""
    return [rattled("Si", "diamond", 5.43, 3, seed=1)]


def small_crystals() -> list[Atoms]:
    """Make ten crystals with 8 atoms: rocksalt, diamond and zincblende."""
    prototypes = [
        ("NaCl", "rocksalt", 5.64),
        ("MgO", "rocksalt", 4.21),
        ("Si", "diamond", 5.43),
        ("GaAs", "zincblende", 5.65),
        ("C", "diamond", 3.57),
    ]
    return [rattled(*prototypes[i % 5], repeat=1, seed=i) for i in range(10)]


def rattled_cells() -> list[Atoms]:
    """Make five rattled cells of rocksalt, 8 atoms each."""
    return [rattled("NaCl", "rocksalt", 5.64, 1, seed=i) for i in range(5)]


MOLECULES: dict[str, Any] = {
    "species": ["H", "C", "N", "O"],
    "r_cut": 5.0,
    "n_max": 8,
    "l_max": 6,
    "sigma": 1.0,
}
NACL: dict[str, Any] = {
    "species": ["Na", "Cl"],
    "r_cut": 6.0,
    "n_max": 8,
    "l_max": 6,
    "sigma": 1.0,
    "periodic": True,
}
SI: dict[str, Any] = {
    "species": ["Si"],
    "r_cut": 5.0,
    "n_max": 10,
    "l_max": 9,
    "sigma": 1.0,
    "periodic": True,
}
FUNCTIONS: dict[str, Any] = {
    "species": ["H", "C", "N", "O"],
    "r_cut": 6.0,
    "g2_params": [[1, 1], [1, 2], [1, 3]],
    "g4_params": [[1, 1, 1], [1, 2, 1], [1, 1, -1], [1, 2, -1]],
}
_DECAY = {"function": "exp", "scale": 0.5, "threshold": 1e-3}
MBTR_PAIRS: dict[str, Any] = {
    "species": ["H", "C", "N", "O"],
    "geometry": {"function": "inverse_distance"},
    "grid": {"min": 0, "max": 1, "n": 100, "sigma": 0.02},
    "weighting": _DECAY,
}
MBTR_ANGLES: dict[str, Any] = {
    "species": ["H", "C", "N", "O"],
    "geometry": {"function": "angle"},
    "grid": {"min": 0, "max": 180, "n": 100, "sigma": 5.0},
    "weighting": _DECAY,
}
MBTR_NACL_PAIRS: dict[str, Any] = {**MBTR_PAIRS, "species": ["Na", "Cl"], "periodic": True}
MBTR_NACL_ANGLES: dict[str, Any] = {**MBTR_ANGLES, "species": ["Na", "Cl"], "periodic": True}
VALLE_OGANOV: dict[str, Any] = {"species": ["Na", "Cl"], "function": "angle", "n": 100, "sigma": 5.0, "r_cut": 6.0}
