"""Write ``mbtr.npz``: DScribe's MBTR, LMBTR and Valle-Oganov fingerprints for random structures and all options.

Run it in the environment of ``make_golden.py``; every value is compared with the formulas in ``naive_mbtr.py`` before
it is written. This leaves out what DScribe 2.1.2 gets wrong or cannot do: atoms outside a periodic cell; periodic
structures with ``periodic=False`` (it takes nearest images); ``"l2"`` of features that are all zero (NaN); LMBTR with
any other weighting than ``"exp"`` with ``"scale"`` (a ``KeyError`` or ``ValueError``). Its angles near 0 and 180
degrees are off by up to 1e-6 degrees, as an arc cosine is, which the tails of their Gaussians show (see ``floor``).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import naive_mbtr  # noqa: E402
from make_golden import SEED, Recipe, make_structures, write  # noqa: E402

GRIDS = {
    "atomic_number": {"min": 0, "max": 18, "n": 19, "sigma": 0.4},
    "distance": {"min": 0, "max": 5, "n": 20, "sigma": 0.3},
    "inverse_distance": {"min": 0, "max": 1, "n": 20, "sigma": 0.03},
    "angle": {"min": 0, "max": 180, "n": 20, "sigma": 12.0},
    "cosine": {"min": -1, "max": 1, "n": 20, "sigma": 0.02},
}
WEIGHTINGS = {
    1: [{"function": "unity"}],
    2: [
        {"function": "unity"},
        {"function": "exp", "scale": 0.8, "threshold": 1e-2},
        {"function": "exp", "r_cut": 4.5, "threshold": 1e-3},
        {"function": "inverse_square", "r_cut": 4.0},
    ],
    3: [
        {"function": "unity"},
        {"function": "exp", "scale": 0.5, "threshold": 1e-2},
        {"function": "exp", "r_cut": 4.5, "threshold": 1e-3},
        {"function": "smooth_cutoff", "r_cut": 4.0},
        {"function": "smooth_cutoff", "r_cut": 3.5, "sharpness": 3.5},
    ],
}
SPECIES = {"molecules": ["H", "C", "N", "O"], "crystals": ["O", "Na", "Cl"]}
STRUCTURES = {"molecules": ["molecule_3", "molecule_2"], "crystals": ["crystal_3", "crystal_2", "left_handed"]}


def recipes() -> list[Recipe]:
    """All options."""
    out = []
    for kind, names in STRUCTURES.items():
        periodic = kind == "crystals"
        for function, grid in GRIDS.items():
            order = naive_mbtr.ORDERS[function]
            for w, weighting in enumerate(WEIGHTINGS[order]):
                if periodic and weighting["function"] == "unity" and order > 1:
                    continue
                use: dict[str, Any] = {
                    "geometry": {"function": function},
                    "grid": grid,
                    "weighting": weighting,
                    "species": SPECIES[kind],
                    "periodic": periodic,
                }
                rules = ["none", "l2", "n_atoms"] + ["valle_oganov"] * (periodic and order > 1)
                for normalization in rules if w == len(WEIGHTINGS[order]) - 1 else rules[w % 2 :: 3]:
                    options = {"normalization": normalization, "normalize_gaussians": normalization != "l2"}
                    out.append(Recipe(f"mbtr-{function}-{w}-{normalization}-{kind}", "MBTR", use | options, names))
                if weighting["function"] == "exp" and "scale" in weighting:
                    centers = [[[0.1, 0.2, 0.3], [1.0, 0.4, 0.6]], [[0.7, 0.9, 0.2]]]
                    for label, given in (("all", None), ("some", [[2, 0], [1]]), ("points", centers)):
                        options = {"normalization": "l2" if label == "some" else "none"}
                        out.append(Recipe(f"lmbtr-{function}-{label}-{kind}", "LMBTR", use | options, names[:2], given))
    for function, sigma in (("distance", 0.2), ("angle", 14.0)):
        use = {"species": SPECIES["crystals"], "function": function, "n": 20, "sigma": sigma, "r_cut": 4.5}
        out.append(Recipe(f"valle-oganov-{function}", "ValleOganov", use, STRUCTURES["crystals"]))
    return out


def formula(recipe: Recipe, atoms: Atoms, centers: list[Any] | None) -> np.ndarray:
    """The features from the formulas in ``naive_mbtr.py``."""
    kwargs = dict(recipe.kwargs)
    kwargs["species"] = sorted(chemical_symbols.index(s) for s in kwargs["species"])
    if recipe.descriptor == "MBTR":
        return naive_mbtr.mbtr(atoms, **kwargs)
    if recipe.descriptor == "ValleOganov":
        return naive_mbtr.valle_oganov(atoms, **kwargs)
    places = range(len(atoms)) if centers is None else centers
    return np.array([naive_mbtr.lmbtr(atoms, place, **kwargs) for place in places])


def main() -> None:
    """Write the file next to this script."""
    rng = np.random.default_rng(SEED)
    write(HERE / "mbtr.npz", recipes(), make_structures(rng), rng, formula)


if __name__ == "__main__":
    main()
