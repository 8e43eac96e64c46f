"""The picture of the README: a cell of an alloy, fingerprints of its atoms, forces of a potential that never saw it.

Run with ``python examples/picture.py overview.png``; it needs Matplotlib, takes some seconds, and writes the file.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.visualize.plot import plot_atoms
from matplotlib.figure import Figure

from atomprint.descriptors import SOAP
from atomprint.potentials import LinearACE


def cells(n: int, repeat: tuple[int, int, int]) -> list[Atoms]:
    """Return cells of copper and gold with moved atoms, labelled by effective medium theory."""
    random = np.random.default_rng(0)
    made = []
    for k in range(n):
        atoms = bulk("Cu", cubic=True, a=random.uniform(3.6, 4.2)) * repeat
        atoms.symbols[random.random(len(atoms)) < random.uniform(0.2, 0.8)] = "Au"
        atoms.rattle(0.08, seed=k)
        atoms.calc = EMT()
        atoms.get_stress()
        made.append(atoms)
    return made


def main(path: str | Path, n_cells: int = 60) -> float:
    """Draw the picture, and return the mean absolute error of the forces in eV/Å."""
    alloy = cells(1, repeat=(2, 2, 2))[0]
    fingerprints = SOAP(species=["Cu", "Au"], r_cut=4.5, n_max=5, l_max=4).create(alloy)
    potential = LinearACE(r_cut=5.0, size=250).fit(cells(n_cells, repeat=(2, 1, 1))[1:])
    true, found = alloy.get_forces(), potential.predict(alloy).forces
    error = float(np.abs(found - true).mean())
    draw(alloy, fingerprints, true, found, error).savefig(path, dpi=150)
    return error


def draw(alloy: Atoms, fingerprints: np.ndarray, true: np.ndarray, found: np.ndarray, error: float) -> Figure:
    looks = {"font.size": 8, "axes.titlesize": 9, "axes.spines.top": False, "axes.spines.right": False}
    with plt.rc_context(looks):
        figure, axes = plt.subplots(1, 3, figsize=(7.2, 2.2), width_ratios=(0.9, 1.3, 1), layout="constrained")
        left, middle, right = axes
        plot_atoms(alloy, left, radii=0.9, rotation="-80x,20y,5z")
        left.set(title="structures", xticks=[], yticks=[])
        left.spines[:].set_visible(False)
        middle.imshow(np.arcsinh(fingerprints), aspect="auto", cmap="Blues", interpolation="nearest")
        middle.set(title="descriptors", xlabel="feature", ylabel="atom")
        low, high = true.min(), true.max()
        right.plot([low, high], [low, high], color="#8a949e", lw=0.8)
        right.plot(true.ravel(), found.ravel(), "o", ms=2.5, color="#1f5f99")
        right.set(title=f"models: forces to {error:.2g} eV/Å", xlabel="by the formula, eV/Å", ylabel="potential")
    plt.close(figure)
    return figure


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "overview.png")
