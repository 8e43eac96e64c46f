"""Well-known crystals, and two without symmetry, for comparison with values of other programs."""

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal


def minerals() -> dict[str, Atoms]:
    """Return crystals by name; their coordinates are exact in all digits that they are given with."""
    quartz = crystal(
        ["Si", "O"],
        [(0.4697, 0, 1 / 3), (0.4135, 0.2669, 0.7858)],
        spacegroup=152,
        cellpar=[4.916, 4.916, 5.4054, 90, 90, 120],
    )
    rutile = crystal(
        ["Ti", "O"], [(0, 0, 0), (0.3053, 0.3053, 0)], spacegroup=136, cellpar=[4.594, 4.594, 2.959, 90, 90, 90]
    )
    perovskite = crystal(
        ["Sr", "Ti", "O"], [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0)], spacegroup=221, cellpar=[3.905] * 3 + [90] * 3
    )
    found = {
        "copper": bulk("Cu", "fcc", 3.615),
        "iron": bulk("Fe", "bcc", 2.866),
        "magnesium": bulk("Mg", "hcp", 3.209, 5.211),
        "salt": bulk("NaCl", "rocksalt", 5.64, cubic=True),
        "quartz": quartz,
        "rutile": rutile,
        "perovskite": perovskite,
        "shaken salt": bulk("NaCl", "rocksalt", 5.64, cubic=True),
        "shaken perovskite": perovskite.copy(),
    }
    rng = np.random.default_rng(0)
    for name in ("shaken salt", "shaken perovskite"):
        atoms = found[name]
        atoms.set_cell(atoms.cell.array + rng.normal(0, 0.15, (3, 3)).round(3), scale_atoms=True)
        atoms.positions = (atoms.positions + rng.normal(0, 0.15, atoms.positions.shape)).round(4)
    return {name: Atoms(a.numbers, a.positions, cell=a.cell, pbc=True) for name, a in found.items()}
