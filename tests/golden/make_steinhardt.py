"""Write ``steinhardt.npz``: order parameters of rattled crystals by freud.

Run it in an environment of its own, from the folder ``tests``::

    python -m venv peers
    peers/bin/pip install freud-analysis ase
    peers/bin/python -m golden.make_steinhardt
"""

from pathlib import Path

import freud
import numpy as np
from ase.build import bulk

DEGREES = (2, 3, 4, 6, 8)
EVEN = (2, 4, 6)
CRYSTALS = {
    "fcc": (bulk("Cu", "fcc", 3.6, cubic=True) * (3, 3, 3), {"r_max": 3.1}),
    "bcc": (bulk("Fe", "bcc", 2.9, cubic=True) * (4, 4, 4), {"num_neighbors": 8}),
    "salt": (bulk("NaCl", "rocksalt", 5.6, cubic=True) * (2, 2, 2), {"r_max": 3.5}),
}


def main() -> None:
    """Compute everything and write the file."""
    found = {}
    for seed, (name, (atoms, query)) in enumerate(CRYSTALS.items()):
        atoms.rattle(0.12, seed=seed)
        atoms.wrap()
        box = freud.box.Box.from_matrix(atoms.cell.array.T)
        # freud's box is centred at the origin.
        system = freud.AABBQuery(box, box.wrap(atoms.positions - atoms.cell.array.sum(axis=0) / 2))
        neighbours = dict(query, exclude_ii=True)
        found[f"{name} numbers"], found[f"{name} positions"] = atoms.numbers, atoms.positions
        found[f"{name} cell"] = atoms.cell.array
        for average in (False, True):
            q = freud.order.Steinhardt(list(DEGREES), average=average)
            w = freud.order.Steinhardt(list(EVEN), average=average, wl=True, wl_normalize=True)
            for kind, order in (("q", q), ("w", w)):
                order.compute(system, neighbors=neighbours)
                found[f"{name} {kind} {average}"] = order.particle_order.astype(np.float32)
    np.savez_compressed(Path(__file__).resolve().parent / "steinhardt.npz", **found)


if __name__ == "__main__":
    main()
