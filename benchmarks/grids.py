"""Densities on grids, one thread, against the same in NumPy: each atom on the points of its own window alone.

python benchmarks/grids.py
"""

import time

import numpy as np
from ase.build import bulk

from atomprint.descriptors import DensityGrid

SHAPE = (64, 64, 64)


def windowed(atoms, sigma, cutoff=6.0):
    steps = atoms.cell.array / np.array(SHAPE)[:, None]
    inverse = np.linalg.inv(steps)
    numbers = sorted(set(atoms.numbers))
    out = np.zeros((len(numbers), *SHAPE), dtype=np.float32)
    reach = cutoff * sigma * np.linalg.norm(inverse, axis=0)
    for number, position in zip(atoms.numbers, atoms.positions, strict=True):
        place = position @ inverse
        near = [np.arange(int(np.ceil(a - b)), int(np.floor(a + b)) + 1) for a, b in zip(place, reach, strict=True)]
        i, j, k = np.meshgrid(*[n - a for n, a in zip(near, place, strict=True)], indexing="ij")
        d = i[..., None] * steps[0] + j[..., None] * steps[1] + k[..., None] * steps[2]
        values = (2 * np.pi * sigma**2) ** -1.5 * np.exp(-(d**2).sum(axis=-1) / (2 * sigma**2))
        np.add.at(out[numbers.index(number)], np.ix_(*[n % m for n, m in zip(near, SHAPE, strict=True)]), values)
    return out


def seconds(function, repeats):
    function()
    start = time.process_time()
    for _ in range(repeats):
        function()
    return (time.process_time() - start) / repeats


def main():
    print(f"{'structure':<22}{'sigma':>6}{'atomprint':>12}{'vjp':>10}{'NumPy':>10}{'ratio':>8}{'difference':>12}")
    for name, atoms in (
        ("NaCl, 216 atoms, cube", bulk("NaCl", "rocksalt", 5.64, cubic=True) * 3),
        ("NaCl, 432, skewed", bulk("NaCl", "rocksalt", 5.64) * 6),
    ):
        atoms.rattle(0.05, seed=0)
        for sigma in (0.3, 0.5):
            grid = DensityGrid(["Na", "Cl"], SHAPE, sigma=sigma)
            found = grid.create([atoms])
            wanted = windowed(atoms, sigma)
            difference = np.abs(grid.as_grids(found)[0] - wanted).max() / wanted.max()
            weights = np.random.default_rng(0).normal(size=found.shape).astype(np.float32)
            own = seconds(lambda grid=grid, atoms=atoms: grid.create([atoms]), 10)
            back = seconds(lambda grid=grid, atoms=atoms, weights=weights: grid.vjp([atoms], weights), 10)
            theirs = seconds(lambda atoms=atoms, sigma=sigma: windowed(atoms, sigma), 2)
            print(
                f"{name:<22}{sigma:>6}{1e3 * own:>9.2f} ms{1e3 * back:>7.2f} ms{1e3 * theirs:>7.0f} ms"
                f"{theirs / own:>8.0f}{difference:>12.1e}"
            )


if __name__ == "__main__":
    main()
