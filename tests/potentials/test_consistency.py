"""Units and signs that do not belong together are told by what forces alone say."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from atomprint.potentials import LabelledStructures, LinearACE
from atomprint.potentials.labels.consistency import Found, _scale, inconsistencies
from atomprint.potentials.labels.shears import other_order

HARTREE = 27.211386


def noisy(rng, values, scale):
    return values + rng.normal(scale=scale, size=values.shape)


@pytest.fixture
def made():
    """Return true values of crystals, and what a fit to forces finds of them: with errors and a shift."""
    rng = np.random.default_rng(0)
    structures = [bulk("Cu", cubic=True, a=3.5 + 0.01 * k) for k in range(20)]
    energies = rng.normal(scale=0.4, size=20) - 14
    forces = rng.normal(size=(80, 3))
    stresses = rng.normal(scale=0.05, size=(20, 3, 3))
    stresses = stresses + stresses.swapaxes(1, 2)
    by_forces = Found(noisy(rng, energies * 0.95, 0.02) + 100, forces, noisy(rng, stresses, 0.01))
    return structures, energies, forces, stresses, by_forces


def said(made, of_energy=1.0, of_force=1.0, of_stress=1.0, left_out=None, by_forces=None):
    """Return what is said of labels in other units, where a fit to all of them follows the forces."""
    structures, energies, forces, stresses, found = made
    labels = LabelledStructures.of(
        structures, energies=energies * of_energy, forces=forces * of_force, stresses=stresses * of_stress
    )
    rng = np.random.default_rng(2)
    if left_out is None:
        left_out = Found(*(noisy(rng, values, 0.01) for values in (energies, forces * of_force, stresses)))
    return inconsistencies(labels, left_out, [by_forces or found], [] if by_forces else [found])


@pytest.mark.parametrize(
    ("of_energy", "of_stress", "expected"),
    [
        (-1, 1, "opposite signs (energies are -1."),
        (1 / HARTREE, 1, "as of energies in Ha and forces in eV/Å"),
        (51.422067, 1, "as of energies in eV and forces in Ha/bohr"),
        (23.06, 1, "as of energies in kcal/mol and forces in eV/Å"),
        (1 / 23.06, 1, "energies in eV and forces in kcal/mol/Å"),
        (1, 160.2, "as of stresses in GPa and forces in eV/Å"),
        (1, -1602, "of the opposite sign, as of stresses in kbar"),
        (1, -1, "stress_convention turns the sign"),
    ],
)
def test_other_units_and_signs_are_told(made, of_energy, of_stress, expected):
    found = said(made, of_energy=of_energy, of_stress=of_stress)
    assert len(found) == 1
    assert expected in found[0]


def test_labels_that_one_fit_predicts_belong_together(made):
    assert said(made) == []
    _, energies, forces, stresses, _ = made
    # However wrong a fit to the forces alone is, as of few structures.
    wrong = Found(-energies, forces, -stresses)
    assert said(made, left_out=Found(energies, forces, stresses), by_forces=wrong) == []


def test_other_units_that_many_functions_follow_in_part_are_told(made):
    _, energies, forces, stresses, _ = made
    rng = np.random.default_rng(4)
    far = Found(noisy(rng, 23.06 * energies, 4.0), noisy(rng, forces, 0.4), stresses)  # 0.8 of both is explained
    (sentence,) = said(made, of_energy=23.06, left_out=far)
    assert "as of energies in kcal/mol and forces in eV/Å" in sentence
    near = Found(noisy(rng, energies, 0.2), noisy(rng, forces, 0.4), stresses)
    assert said(made, left_out=near) == []


@pytest.mark.parametrize(("of_stress", "words"), [(-1, "opposite signs"), (160.2, "stresses in GPa")])
def test_stresses_that_a_fit_to_all_follows_are_told_where_the_rest_says_them(made, of_stress, words):
    structures, energies, forces, stresses, _ = made
    labels = LabelledStructures.of(structures, energies=energies, forces=forces, stresses=stresses * of_stress)
    rng = np.random.default_rng(3)
    all_of_them = Found(energies, forces, stresses * of_stress)
    without = Found(energies, forces, noisy(rng, stresses, 0.01))
    near = Found(energies, forces, noisy(rng, stresses, 0.02))
    (sentence,) = inconsistencies(labels, all_of_them, [all_of_them], [without, near])
    assert words in sentence
    # Nothing is known of stresses if fits differ in them, nor by fits that do not follow their own labels.
    far = Found(energies, forces, noisy(rng, stresses, 0.3))
    assert inconsistencies(labels, all_of_them, [all_of_them], [without, far]) == []
    weak = without._replace(forces=0.5 * forces)
    assert inconsistencies(labels, all_of_them, [all_of_them], [weak, near]) == []


def test_stresses_that_draw_all_else_away_are_told(made):
    _, energies, forces, stresses, _ = made
    followed = Found(energies * 160.2, forces * 160.2, stresses * 160.2)
    (sentence,) = said(made, of_stress=160.2, left_out=followed)
    assert "stresses in GPa" in sentence


def test_what_nothing_explains_is_told_without_a_guess(made):
    structures, energies, forces, stresses, _ = made
    rng = np.random.default_rng(1)
    wild = Found(rng.permutation(energies), rng.permutation(forces), rng.permutation(stresses))
    (sentence,) = said(made, left_out=wild, by_forces=wild)
    assert "times their own spread. There are too few data, or" in sentence
    few = LabelledStructures.of(structures, energies=energies).pick(range(3))
    assert inconsistencies(few, Found(-energies[:3], forces[:12], stresses[:3])) == []


@pytest.mark.parametrize(
    ("n", "slope", "noise", "told"),
    [
        (8, 0.3, 0.15, False),  # as often by chance
        (40, 0.5, 0.35, False),  # a poor fit may have such a scale
        (40, 0.6, 0.05, True),
        (40, 0.07, 0.2, True),
        (40, -1.0, 0.2, True),
    ],
)
def test_scales_need_data_and_those_near_one_good_fits(n, slope, noise, told):
    expected = np.random.default_rng(1).normal(size=n)
    found = _scale(expected, slope * noisy(np.random.default_rng(2), expected, noise))
    assert found == (pytest.approx(slope, rel=0.2) if told else 0.0)


@pytest.mark.parametrize(
    ("order", "told"),
    [((5, 3, 4), "in the order xy, yz, xz (that of VASP)"), ((5, 4, 3), "in the order xy, xz, yz:"), ((3, 4, 5), "")],
)
def test_another_order_of_shears_is_told(made, order, told):
    structures, _, _, stresses, by_forces = made
    six = stresses[:, [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    labels = LabelledStructures.of(structures, stresses=six[:, [0, 1, 2, *order]])
    found = other_order(labels, by_forces.stresses)
    assert told in found
    assert bool(told) == bool(found)
    rng = np.random.default_rng(3)
    assert not other_order(labels, rng.normal(scale=0.1, size=(20, 3, 3)))  # of a fit that knows nothing
    assert not other_order(labels.pick(np.arange(5)), by_forces.stresses[:5])


def test_the_order_of_vasp_is_told_by_a_fit():
    frames, six = [], []
    for k in range(20):
        atoms = bulk("Cu", cubic=True)
        rng = np.random.default_rng(k)
        atoms.set_cell(atoms.cell @ (np.eye(3) + rng.normal(scale=0.03, size=(3, 3))), scale_atoms=True)
        atoms.rattle(0.1, seed=k)
        atoms.calc = EMT()
        frames.append(atoms)
        six.append(atoms.get_stress()[[0, 1, 2, 5, 3, 4]])
    given = {"energies": [a.get_potential_energy() for a in frames], "forces": [a.get_forces() for a in frames]}
    with pytest.warns(UserWarning, match=r"in the order xy, yz, xz \(that of VASP\): six numbers must be xx"):
        LinearACE(size=40).fit(LabelledStructures.of(frames, stresses=six, **given))
