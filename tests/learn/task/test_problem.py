"""What is known of a target before any model."""

import pytest

from atomprint.learn.task.problem import least_possible


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
    assert least_possible((name,), smallest) == least
