"""The examples run, and show what they promise."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def load(name):
    spec = spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_molecules(capsys):
    example = load("molecules")
    structures = example.molecules()
    assert example.coulomb_matrices(structures).shape == (3, 9)
    environments, stacked = example.oxygen_environments(structures)
    assert [features.shape for features in environments] == [(1, 3696), (2, 3696), (2, 3696)]
    assert stacked.shape == (5, 3696)
    assert [array.shape for array in example.derivatives(structures)] == [
        (1, 3, 3, 3696),
        (2, 3, 3, 3696),
        (2, 3, 3, 3696),
    ]
    forces, difference = example.forces(structures)
    np.testing.assert_allclose(forces[0, 2], difference, rtol=1e-6)
    np.testing.assert_allclose(forces.sum(axis=0), 0, atol=1e-9 * np.abs(forces).max())
    out = capsys.readouterr().out
    assert "Two threads give the same: True" in out
    assert "[False, False, False, True, True]" in out


def test_crystals(tmp_path, capsys):
    example = load("crystals")
    X, names = example.features(list(example.crystals().values()))
    assert X.shape == (3, 1500)
    assert len(names) == 1500
    forces, stress, difference = example.forces_and_stress(example.crystals()["NaCl"])
    np.testing.assert_allclose(stress[0, 0], difference, rtol=1e-6)
    np.testing.assert_allclose(stress, stress.T, atol=1e-9 * np.abs(stress).max())
    np.testing.assert_allclose(forces.sum(axis=0), 0, atol=1e-9 * np.abs(forces).max())
    result = example.main(tmp_path)
    out = capsys.readouterr().out
    assert "R² needs at least 2 test samples, got 1" in out
    assert "nan" not in out
    assert result.test.metrics["r2"].value is None
    assert out.count("  SOAP ") == 10
    assert (tmp_path / "crystals_parity.png").stat().st_size > 5000


def test_potential(tmp_path):
    from ase.io import read

    load("potential").main(tmp_path)
    frames = read(tmp_path / "train.extxyz", ":")
    assert len(frames) == 80
    assert {"energy", "forces", "stress"} <= set(frames[0].calc.results)
    assert {frame.info["config_type"] for frame in frames} == {"copper", "gold", "alloy"}
    assert read(tmp_path / "alloy.cif").get_chemical_formula() == "Au3Cu"


@pytest.mark.slow
def test_melting(tmp_path, capsys):
    sizes = {"n_cells": 2, "n_windows": 1, "n_steps": 75, "n_temperatures": 7, "n_settle": 60}
    found = load("melting").main(tmp_path, **sizes)
    assert found["accuracy"] >= 0.75  # crystals and liquids of other runs, hardly settled
    assert found["liquid"][0] < 0.5 < found["liquid"][-1]
    assert found["energies"].shape == found["temperatures"].shape
    assert "K, says the classifier" in capsys.readouterr().out
    assert (tmp_path / "melting.png").stat().st_size > 5000


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.py")))
def test_examples_are_scripts_with_a_main(name):
    assert callable(load(name).main)
