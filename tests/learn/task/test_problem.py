"""What is known of a target before any model."""

import numpy as np
import pytest

from atomprint.datasets import Dataset, Target
from atomprint.learn.task.problem import Problem, lower_limit, share_at_lowest


@pytest.mark.parametrize(
    ("name", "smallest", "least"),
    [
        ("band_gap", 0.1, 0.0),
        ("gap expt", 0.0, 0.0),
        ("Gap (HSE)", 0.3, 0.0),
        ("homo_lumo_gap", 1.0, 0.0),
        ("bulk_modulus", 5.0, 0.0),
        ("e_above_hull", 0.0, 0.0),
        ("anything", 0.0, 0.0),  # ends exactly at 0
        ("anything", 0.1, None),
        ("band_gap", -0.1, None),  # measured from somewhere else
        ("log10_gap", 0.1, None),
        ("gap_correction", 0.1, None),
        ("volume change", 0.0, None),
        ("formation_energy_per_atom", 0.2, None),
        ("energy_density", 0.2, None),
    ],
)
def test_a_target_that_is_never_negative_is_known(name, smallest, least):
    found = lower_limit((name,), smallest)
    assert (None if found is None else found.value) == least


def test_a_single_value_of_zero_is_no_end():
    y = np.array([0.0, 0.3, 1.2, 0.7])  # such as energies relative to the lowest
    assert share_at_lowest(y) == 0
    assert lower_limit(("energy",), 0.0, share_at_lowest(y)) is None
    assert lower_limit(("energy_above_hull",), 0.0, share_at_lowest(y)).why.startswith("by its name (hull) it is")
    many = np.array([0.0, 0.0, 1.2, 0.7])
    assert (
        lower_limit(("x",), 0.0, share_at_lowest(many)).why == "no training value is negative, and 50 % are exactly 0"
    )
    assert lower_limit(("gap",), -0.1, 0.0) is None
    assert lower_limit(("anything",), 0.0).value == 0  # of a file that does not know how many


def test_samples_of_one_class_are_no_problem():
    target = Target(np.zeros(3), "", "State", "", ("1",))
    dataset = Dataset("d", "D", ["NaCl", "KCl", "MgO"], ("a", "b", "c"), {"state": target}, "", "")
    with pytest.raises(ValueError, match="'state' of 'd' must have at least 2 classes, got only '1' for all 3 samples"):
        Problem.of(dataset, "state")
