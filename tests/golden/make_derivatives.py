"""Write ``derivatives.npz``: DScribe's analytical derivatives of SOAP, for random molecules.

Run it in the environment of ``make_golden.py``. DScribe 2.1.2 has analytical derivatives for the GTO basis
without periodicity, averaging, weighting and mu compressions only. Each is compared with central differences of
DScribe's own features before it is written.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from dscribe.descriptors import SOAP

HERE = Path(__file__).resolve().parent
KEPT = 60  # features of a case


def random_molecule(rng: np.random.Generator, symbols: str) -> Atoms:
    """Place atoms at random, none closer than 0.9 Å to another."""
    placed: list[np.ndarray] = []
    while len(placed) < len(symbols):
        trial = rng.uniform(0.0, 3.2, 3)
        if all(np.linalg.norm(trial - other) > 0.9 for other in placed):
            placed.append(trial)
    return Atoms(list(symbols), positions=placed)


def central_differences(soap: SOAP, atoms: Atoms, centers: Any, attach: bool, h: float = 1e-4) -> np.ndarray:
    """Differentiate DScribe's features with respect to all atoms, (n_centers, n_atoms, 3, n_features)."""
    places = list(range(len(atoms))) if centers is None else centers
    points = np.array([atoms.positions[c] if np.ndim(c) == 0 else c for c in places], dtype=float)
    result = []
    for atom in range(len(atoms)):
        for axis in range(3):
            sides = []
            for sign in (1.0, -1.0):
                moved, at = atoms.copy(), points.copy()
                moved.positions[atom, axis] += sign * h
                if attach:
                    for k, c in enumerate(places):
                        if np.ndim(c) == 0 and c == atom:
                            at[k, axis] += sign * h
                sides.append(soap.create(moved, centers=at))
            result.append((sides[0] - sides[1]) / (2 * h))
    return np.moveaxis(np.array(result).reshape(len(atoms), 3, len(points), -1), 2, 0)


def main() -> None:
    """Compute, check and write."""
    rng = np.random.default_rng(20261122)
    cases, arrays = [], {}
    points = [[0.4, 0.2, -0.3], [1.5, 1.6, 1.7]]
    for name, symbols, kwargs, centers, attach in (
        ("all-fixed", "CHNOH", {"n_max": 3, "l_max": 2}, None, False),
        ("all-attached", "CHNOH", {"n_max": 4, "l_max": 3}, None, True),
        ("some-attached", "OCOHH", {"n_max": 8, "l_max": 6}, [0, 3], True),
        ("points", "NNOC", {"n_max": 5, "l_max": 5, "sigma": 0.6}, points, False),
        ("crossover", "CHHO", {"n_max": 6, "l_max": 4, "compression": {"mode": "crossover"}}, [2, 0], False),
        ("narrow", "HOHC", {"n_max": 6, "l_max": 8, "sigma": 0.4, "r_cut": 3.0}, [1], True),
    ):
        atoms = random_molecule(rng, symbols)
        kwargs = {"species": ["H", "C", "N", "O"], "r_cut": 4.5, **kwargs}
        soap = SOAP(**kwargs)
        values = soap.derivatives(atoms, centers=centers, method="analytical", attach=attach, return_descriptor=False)
        check = central_differences(soap, atoms, centers, attach)
        error = np.abs(values - check).max() / np.abs(values).max()
        print(f"{name}: shape {values.shape}, differs from central differences by {error:.0e}")
        if not error < 1e-6:
            raise SystemExit(f"{name}: DScribe's derivatives disagree with its features")
        # Features that are not zero, so that each kept number says something.
        alive = np.flatnonzero(np.abs(values).max(axis=(0, 1, 2)) > 1e-6 * np.abs(values).max())
        kept = np.sort(rng.choice(alive, min(KEPT, len(alive)), replace=False))
        cases.append(
            {
                "name": name,
                "kwargs": kwargs,
                "symbols": symbols,
                "centers": centers,
                "attach": attach,
                "shape": values.shape,
            }
        )
        arrays |= {
            f"{name}/positions": atoms.positions,
            f"{name}/features": kept,
            f"{name}/values": values[..., kept],
        }
    np.savez_compressed(HERE / "derivatives.npz", index=json.dumps(cases), **arrays)


if __name__ == "__main__":
    main()
