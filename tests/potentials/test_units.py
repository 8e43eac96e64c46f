"""Labels that are consistent, and all in another unit than eV and Å."""

import numpy as np
import pytest
from ase.build import bulk, molecule

from atomprint.potentials.labels.labelled import LabelledStructures
from atomprint.potentials.labels.units import other_units

ETHANOL = -97208.4  # kcal/mol, as published with MD17


def labelled(structures, energies, size):
    rng = np.random.default_rng(2)
    forces = [rng.normal(scale=size, size=(len(atoms), 3)) for atoms in structures]
    return LabelledStructures.of(structures, energies=energies, forces=forces)


@pytest.mark.parametrize(
    ("unit", "in_kcal"), [("kcal/mol", 1.0), ("kJ/mol", 4.184), ("Ha", 1 / 627.5095), ("Ry", 2 / 627.5095)]
)
def test_energies_of_all_electrons_tell_their_unit(unit, in_kcal):
    ethanol = [molecule("CH3CH2OH")] * 5
    (told,) = other_units(labelled(ethanol, (ETHANOL + np.arange(5.0)) * in_kcal, 1.0))
    assert f"in {unit}, and eV are expected" in told


def test_energies_in_ev_and_those_of_bonds_are_nothing_to_tell():
    ethanol = [molecule("CH3CH2OH")] * 5
    for energies in (ETHANOL * 0.0433641 + np.arange(5.0), np.arange(5.0) - 46, np.full(5, np.nan)):
        assert other_units(labelled(ethanol, energies, 1.5)) == []
    assert other_units(labelled([bulk("Si", cubic=True)] * 5, np.full(5, -43.0), 15.0)) == []


def test_forces_of_molecules_tell_theirs():
    (told,) = other_units(labelled([molecule("CH3CH2OH")] * 5, np.arange(5.0), 28.0))
    assert "much for molecules" in told
    assert "0.0433641" in told
