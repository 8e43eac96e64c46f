"""Units and signs that do not belong together are told by what forces alone say."""

import numpy as np
import pytest
from ase.build import bulk

from atomprint.potentials import LabelledStructures
from atomprint.potentials.checks import inconsistencies

HARTREE = 27.211386


@pytest.fixture
def made():
    """Return labels of crystals, and energies and stresses as a fit to forces finds them: with errors and a shift."""
    rng = np.random.default_rng(0)
    structures = [bulk("Cu", cubic=True, a=3.5 + 0.01 * k) for k in range(20)]
    energies = rng.normal(scale=0.4, size=20) - 14
    forces = rng.normal(size=(80, 3))
    stresses = rng.normal(scale=0.05, size=(20, 3, 3))
    stresses = stresses + stresses.swapaxes(1, 2)
    found = energies * 0.95 + rng.normal(scale=0.02, size=20) + 100
    return structures, energies, forces, stresses, found, stresses + rng.normal(scale=0.01, size=(20, 3, 3))


@pytest.mark.parametrize(
    ("of_energy", "of_stress", "expected"),
    [
        (1, 1, []),
        (-1, 1, ["opposite signs (energies are -1."]),
        (1 / HARTREE, 1, ["as if they were in Ha and the forces in eV/Å"]),
        (51.422067, 1, ["as if they were in eV and the forces in Ha/bohr"]),
        (23.06, 1, ["as if they were in kcal/mol and the forces in eV/Å"]),
        (1 / 23.06, 1, ["as if they were in eV and the forces in kcal/mol/Å"]),
        (1, 160.2, ["as if they were in GPa"]),
        (1, -1602, ["of the opposite sign, as if they were in kbar"]),
        (1, -1, ["stress_convention turns the sign"]),
    ],
)
def test_other_units_and_signs_are_told(made, of_energy, of_stress, expected):
    structures, energies, forces, stresses, found, found_stresses = made
    labels = LabelledStructures.of(
        structures, energies=energies * of_energy, forces=forces, stresses=stresses * of_stress
    )
    said = inconsistencies(labels, found, found_stresses)
    assert len(said) == bool(expected)
    assert all(words in sentence for words, sentence in zip(expected, said, strict=True))


def test_what_forces_do_not_explain_is_not_judged(made):
    structures, energies, forces, stresses, found, _ = made
    rng = np.random.default_rng(1)
    labels = LabelledStructures.of(structures, energies=energies, forces=forces, stresses=stresses)
    assert inconsistencies(labels, rng.permutation(found), rng.normal(size=(20, 3, 3))) == []
    few = labels.pick(range(4))
    assert inconsistencies(few, -found[:4], stresses[:4]) == []
