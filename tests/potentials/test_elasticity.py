"""Elastic constants against what is known of crystals of pairs, and of clamped atoms."""

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.units import GPa

from atomprint.potentials import elastic_constants


def test_a_crystal_of_pairs_obeys_cauchy():
    calc = LennardJones(sigma=2.3, epsilon=0.5, rc=6.0, smooth=True)

    def energy(a):
        atoms = bulk("Ar", a=a)
        atoms.calc = calc
        return atoms.get_potential_energy()

    grid = np.linspace(3.4, 3.7, 13)
    a = grid[np.argmin([energy(x) for x in grid])]
    for _ in range(4):  # Newton
        h = 1e-3
        a -= h * (energy(a + h) - energy(a - h)) / (2 * (energy(a + h) - 2 * energy(a) + energy(a - h)))
    atoms = bulk("Ar", a=a)
    atoms.calc = calc
    found = elastic_constants(atoms, strain=1e-3)
    assert found[0, 1] == pytest.approx(found[3, 3], rel=1e-3)
    np.testing.assert_allclose(found, found.T)
    np.testing.assert_allclose(found[:3, 3:], 0, atol=1e-4 * found[0, 0])
    # The bulk modulus is that of the energy under pressure: V d2E/dV2 = (4 / (9 a)) d2E/da2 for a cell of a^3 / 4.
    h = 1e-2
    curvature = (energy(a + h) - 2 * energy(a) + energy(a - h)) / h**2
    assert (found[0, 0] + 2 * found[0, 1]) / 3 == pytest.approx(4 * curvature / (9 * a) / GPa, rel=5e-3)


def test_clamped_atoms_are_stiffer():
    atoms = bulk("Cu", "diamond", a=5.0)
    atoms.calc = EMT()
    free, clamped = (elastic_constants(atoms, relax=relax) for relax in (True, False))
    assert clamped[3, 3] > free[3, 3] + 1
    assert clamped[0, 0] == pytest.approx(free[0, 0], rel=1e-2)  # nothing relaxes along the axes of diamond
    assert atoms.cell[0, 1] == 2.5


def test_what_cannot_be_strained_is_refused():
    atoms = bulk("Cu")
    with pytest.raises(ValueError, match="must have a calculator"):
        elastic_constants(atoms)
    water = molecule("H2O")
    water.calc = EMT()
    with pytest.raises(ValueError, match="must repeat in three directions"):
        elastic_constants(water)
    atoms.calc = EMT()
    with pytest.raises(ValueError, match="strain must be > 0"):
        elastic_constants(atoms, strain=0.0)
