"""Files with forces are known for what they are: labels of potentials."""

import numpy as np
import pandas as pd
import pytest
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from atomprint.datasets import inspect_file, read_dataset
from atomprint.descriptors import SOAP, CoulombMatrix, ElementProperty
from atomprint.workflow.recipes.own_data import describe_data
from atomprint.workflow.recipes.template import recipe_for


@pytest.fixture
def trained_on(tmp_path):
    """Return a function that writes a file of twelve crystals with some labels."""

    def write_file(*labels, info=()):
        frames = []
        for seed in range(12):
            atoms = bulk("Cu", "fcc", a=3.5 + 0.01 * seed, cubic=True)
            values = {"energy": -14.0 + 0.1 * seed, "forces": np.full((4, 3), 0.1), "stress": np.full(6, 0.01 * seed)}
            atoms.calc = SinglePointCalculator(atoms, **{label: values[label] for label in labels})
            atoms.info.update({key: np.eye(3) if key == "virial" else seed for key in info})
            frames.append(atoms)
        write(tmp_path / "train.extxyz", frames)
        return tmp_path / "train.extxyz"

    return write_file


def told(path):
    return [(label.kind, label.key, label.unit) for label in read_dataset(path, targets=()).labels]


def test_a_data_set_says_which_labels_its_file_has(trained_on):
    path = trained_on("energy", "forces", "stress", info=["REF_energy", "virial", "band_gap", "energy_kcal_mol"])
    assert told(path) == [
        ("energy", "REF_energy", "eV"),
        ("energy", "energy_kcal_mol", "kcal/mol"),
        ("energy", "energy", "eV"),
        ("forces", "forces", "eV/Å"),
        ("stress", "stress", "eV/Å^3"),
        ("virial", "virial", "eV"),
    ]
    shown = str(read_dataset(path, targets=()).summary())
    assert "labels for potentials: energies ('REF_energy', eV), " in shown
    assert inspect_file(path).labels == read_dataset(path, targets=()).labels


def test_a_file_without_structures_has_no_labels(tmp_path):
    (tmp_path / "t.csv").write_text("formula,energy\nNaCl,-3\nTiO2,-4\n")
    assert told(tmp_path / "t.csv") == []


def test_a_recipe_names_the_command_for_potentials(trained_on, tmp_path):
    text, notes = recipe_for(trained_on("energy", "forces"), None, relative_to=tmp_path)
    assert any("fitted by atomprint potential fit" in note for note in notes)
    assert "# The file has energies ('energy', eV), forces ('forces', eV/Å)" in text


def test_energies_alone_are_a_property_like_others(trained_on, tmp_path):
    text, notes = recipe_for(trained_on("energy"), None, relative_to=tmp_path)
    assert not any("potential" in note for note in notes)
    assert "potential" not in text


def test_forces_alone_are_no_property_but_labels(trained_on):
    with pytest.raises(ValueError, match=r"no property to predict.*The file has forces .*atomprint potential fit"):
        describe_data(trained_on("forces"))


@pytest.mark.parametrize(
    ("descriptor", "items"),
    [
        (SOAP(r_cut=3.0, n_max=1, l_max=1), [molecule("H2O"), molecule("H2")]),
        (CoulombMatrix(), [molecule("H2O"), molecule("H2")]),
        (ElementProperty(), ["H2O", "H2"]),
    ],
)
@pytest.mark.parametrize(
    "y", [pd.Series([0.1, 0.2], name="dipole_x"), pd.DataFrame({"gap": [1, 2], "force[0]": [0.1, 0.2]})]
)
def test_descriptors_refuse_components_of_vectors(descriptor, items, y):
    with pytest.raises(ValueError, match=r"y: '(dipole_x|force\[0\])' is a component of .*atomprint potential fit"):
        descriptor.fit(items, y)
    descriptor.fit(items, pd.Series([0.1, 0.2], name="energy"))
    descriptor.fit(items, y.to_numpy())
