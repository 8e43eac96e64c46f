"""Ideal crystals and molecules, and other ways to write the same ones: what predictions must not depend on."""

from collections.abc import Callable, Iterator

import numpy as np
from ase import Atoms
from ase.build import bulk, make_supercell, molecule

Change = Callable[[Atoms, np.random.Generator], Atoms]

METALS = ("Li", "Na", "Mg")
NON_METALS = ("F", "Cl", "O")
# Many are the same, and round, so that shells of neighbours lie exactly at cutoffs.
LENGTHS = (4.0, 4.5, 5.0, 5.5, 6.0, 5.64, 4.21)


def perovskite(a: str, b: str, x: str, length: float) -> Atoms:
    places = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    return Atoms([a, b, x, x, x], scaled_positions=places, cell=[length] * 3, pbc=True)


def rutile(a: str, x: str, length: float, u: float = 0.305) -> Atoms:
    places = [(0, 0, 0), (0.5, 0.5, 0.5), (u, u, 0), (-u, -u, 0), (0.5 + u, 0.5 - u, 0.5), (0.5 - u, 0.5 + u, 0.5)]
    return Atoms([a, a, x, x, x, x], scaled_positions=places, cell=[length, length, 0.65 * length], pbc=True)


def _binary(name: str, **options: bool) -> Callable[[str, str, float], Atoms]:
    return lambda a, x, length: bulk(a + x, name, a=length, **options)


def _element(name: str, **options: bool) -> Callable[[str, str, float], Atoms]:
    return lambda a, x, length: bulk(a, name, a=length, **options)


FAMILIES: dict[str, Callable[[str, str, float], Atoms]] = {
    "rocksalt": _binary("rocksalt", cubic=True),
    "zincblende": _binary("zincblende", cubic=True),
    "fluorite": lambda a, x, length: bulk(f"{a}{x}2", "fluorite", a=length, cubic=True),
    "cesium chloride": _binary("cesiumchloride"),
    "perovskite": lambda a, x, length: perovskite(a, "Ti", x, length),
    "fcc": _element("fcc", cubic=True),
    "bcc": _element("bcc", cubic=True),
    "hcp": lambda a, x, length: bulk(a, "hcp", a=length, c=np.sqrt(8 / 3) * length),
    "diamond": _element("diamond", cubic=True),
    "wurtzite": lambda a, x, length: bulk(a + x, "wurtzite", a=length, c=np.sqrt(8 / 3) * length),
    "rutile": rutile,
}
MOLECULES = ("C6H6", "CH4", "C2H6", "CO2", "H2O", "NH3", "C2H4", "C2H2", "N2", "O2", "H2", "CH3OH", "H2CO", "C3H6_D3h")
MOLECULES += (
    "cyclobutene",
    "cyclobutane",
    "isobutane",
    "C4H4NH",
    "C4H4O",
    "C5H5N",
    "HCN",
    "N2H4",
    "H2O2",
    "trans-butane",
)


def crystals(names: tuple[str, ...] = tuple(FAMILIES), n: int = 30, seed: int = 0) -> list[Atoms]:
    """Return ideal crystals of families in turn."""
    rng = np.random.default_rng(seed)
    return [
        FAMILIES[names[k % len(names)]](rng.choice(METALS), rng.choice(NON_METALS), float(rng.choice(LENGTHS)))
        for k in range(n)
    ]


def molecules(n: int = 30, seed: int = 0) -> list[Atoms]:
    """Return molecules with their symmetry, some a little larger or smaller."""
    rng, made = np.random.default_rng(seed), []
    for k in range(n):
        made.append(molecule(MOLECULES[k % len(MOLECULES)]))
        made[-1].positions *= 1 + 0.01 * (k // len(MOLECULES)) + 0.001 * rng.integers(3)
    return made


def rotated(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    atoms = atoms.copy()
    matrix, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    matrix *= np.sign(np.linalg.det(matrix))
    atoms.positions = atoms.positions @ matrix.T
    atoms.cell = atoms.cell.array @ matrix.T
    return atoms


def translated(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    atoms = atoms.copy()
    atoms.positions += rng.uniform(-10, 10, 3)
    if atoms.pbc.any():
        atoms.wrap()
    return atoms


def permuted(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    return atoms[rng.permutation(len(atoms))]


def doubled(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    return atoms * tuple(np.roll([2, 1, 1], rng.integers(3)))


def tripled(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    """Return three cells in a slanted one: a third is no number of the computer."""
    return make_supercell(atoms, [[1, 1, 0], [-1, 2, 0], [0, 0, 1]])


def other_cell(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    """Return the same crystal in another cell of the same size."""
    changed = atoms.copy()
    i, j = rng.permutation(3)[:2]
    matrix = np.eye(3)
    matrix[i, j] = rng.choice([-1, 1])
    changed.set_cell(matrix @ atoms.cell.array, scale_atoms=False)
    changed.wrap()
    return changed


CHANGES: dict[str, Change] = {"rotated": rotated, "translated": translated, "permuted": permuted}
CHANGES_OF_CRYSTALS: dict[str, Change] = CHANGES | {"doubled": doubled, "tripled": tripled, "other cell": other_cell}


def changed(structures: list[Atoms], seed: int = 1) -> Iterator[tuple[str, list[Atoms]]]:
    """Yield all structures in each other way to write them that there is, and in all of these at once."""
    rng = np.random.default_rng(seed)
    changes = CHANGES_OF_CRYSTALS if structures[0].pbc.any() else CHANGES
    for name, change in changes.items():
        yield name, [change(atoms, rng) for atoms in structures]
    everything = structures
    for change in changes.values():
        everything = [change(atoms, rng) for atoms in everything]
    yield "all of these", everything
