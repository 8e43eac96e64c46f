"""The same structure written in another way has the same rows, of all descriptors but for those that say otherwise."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from helpers.invariance import CHANGES, CHANGES_OF_CRYSTALS, crystals
from helpers.registry import DEPENDS_ON_PLACE, NEEDS_CELL, REGISTRY, VARIANTS, some_structures

from atomprint.descriptors import DensityGrid

ALL = REGISTRY | VARIANTS
# What depends on the size of the cell, by its definition, or on directions in space.
OF_THE_CELL = {"sine", "ewald", "valle-oganov"}
OF_DIRECTIONS = {name for name, descriptor in ALL.items() if isinstance(descriptor, DensityGrid)}
CHOSEN = [name for name in ALL if name not in DEPENDS_ON_PLACE | OF_DIRECTIONS]


def rows(descriptor, structures):
    """Return a row for each structure; of rows of atoms the mean, the least and the largest."""
    found = descriptor.create(structures)
    if isinstance(found, np.ndarray) and found.ndim == 2:
        return found
    return np.array([np.concatenate([x.mean(axis=0), x.min(axis=0), x.max(axis=0)]) for x in found])


@pytest.mark.parametrize("name", CHOSEN)
def test_the_same_structure_has_the_same_rows(name):
    descriptor, structures, rng = ALL[name], some_structures(name), np.random.default_rng(1)
    expected = rows(descriptor, structures)
    assert np.abs(expected).max() > 0
    of_crystals = name in NEEDS_CELL and name not in OF_THE_CELL
    for what, change in (CHANGES_OF_CRYSTALS if of_crystals else CHANGES).items():
        found = rows(descriptor, [change(atoms, rng) for atoms in structures])
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7 * np.abs(expected).max(), err_msg=what)


# Ideal crystals, where neighbours are equally far, in another cell that is repeated.
SPECIES = ("Na", "Mg", "Li", "F", "Cl", "O")
OF_IDEAL_CRYSTALS = [name for name in CHOSEN if name in NEEDS_CELL - OF_THE_CELL]


@pytest.mark.parametrize("name", [name for name in OF_IDEAL_CRYSTALS if "structural" in type(ALL[name]).__module__])
def test_ideal_crystals_in_primitive_cells_and_others(name):
    descriptor, rng = ALL[name], np.random.default_rng(2)
    structures = crystals(("rocksalt", "fluorite", "cesium chloride", "fcc", "hcp", "diamond"), 6)
    for atoms in structures:
        for symbol, stand_in in (("Li", "Na"), ("Mg", "Na"), ("F", "Cl")):  # elements that the descriptors know
            atoms.symbols[atoms.symbols == symbol] = stand_in
    expected = rows(descriptor, structures)
    for what in ("rotated", "doubled", "tripled", "other cell"):
        found = rows(descriptor, [CHANGES_OF_CRYSTALS[what](atoms, rng) for atoms in structures])
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=2e-7 * np.abs(expected).max(), err_msg=what)


def test_a_grid_of_a_supercell_is_that_of_the_cell_repeated():
    for atoms in (bulk("NaCl", "rocksalt", 5.64), some_structures("grid")[1]):
        shape = np.array([6, 5, 8])
        for repeats in ((2, 1, 1), (1, 2, 3)):
            small, large = (DensityGrid(["Na", "Cl"], tuple(n), sigma=0.7) for n in (shape, shape * repeats))
            image = small.as_grids(small.create([atoms]))[0]
            found = large.as_grids(large.create([atoms * repeats]))[0]
            np.testing.assert_allclose(found, np.tile(image, (1, *repeats)), atol=1e-6 * image.max())


def test_a_box_around_an_atom_does_not_depend_on_the_cell():
    grid, rng = (
        DensityGrid(["Na", "Cl"], box=(5.0, 4.0, 6.0), resolution=0.5, sigma=0.5, center=0),
        np.random.default_rng(0),
    )
    atoms = some_structures("grid")[0]
    expected = grid.create([atoms])
    for what in ("translated", "doubled", "tripled", "other cell"):
        changed = CHANGES_OF_CRYSTALS[what](atoms, rng)
        if what != "translated":
            assert (changed.numbers[0], len(changed)) == (atoms.numbers[0], len(changed))
        np.testing.assert_allclose(grid.create([changed]), expected, atol=1e-5 * expected.max(), err_msg=what)
    turned = Atoms(atoms, cell=np.roll(atoms.cell.array, 1, axis=1), positions=np.roll(atoms.positions, 1, axis=1))
    found = DensityGrid(["Na", "Cl"], box=(6.0, 5.0, 4.0), resolution=0.5, sigma=0.5, center=0)
    image = np.moveaxis(grid.as_grids(expected)[0], 3, 1)  # x, y, z became y, z, x
    np.testing.assert_allclose(found.as_grids(found.create([turned]))[0], image, atol=1e-5 * expected.max())
