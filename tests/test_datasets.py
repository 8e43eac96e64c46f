import numpy as np
import pytest
from ase import Atoms

from atomprint.datasets import Dataset, Target, load_dcdft, load_g2


def test_g2_molecules_have_the_experimental_enthalpies():
    dataset = load_g2()
    assert len(dataset) == 148
    assert min(len(atoms) for atoms in dataset.structures) == 2  # no free atoms
    enthalpy = dict(zip(dataset.ids, dataset.targets["enthalpy"].values, strict=True))
    # Known standard enthalpies of formation at 298 K, kcal/mol (NIST): the unit is not kJ/mol, and not at 0 K,
    # where methane has -15.9.
    assert enthalpy["CH4"] == pytest.approx(-17.9, abs=0.1)
    assert enthalpy["H2O"] == pytest.approx(-57.8, abs=0.1)
    assert enthalpy["C6H6"] == pytest.approx(19.8, abs=0.2)
    assert dataset.targets["enthalpy"].unit == "kcal/mol"


def test_dcdft_crystals_have_volumes_and_bulk_moduli():
    dataset = load_dcdft()
    assert len(dataset) == 71
    assert all(len(set(atoms.numbers)) == 1 and atoms.pbc.all() for atoms in dataset.structures)
    silicon = dataset.ids.index("Si")
    assert dataset.targets["volume"].values[silicon] == pytest.approx(20.45, abs=0.01)
    assert dataset.targets["bulk_modulus"].values[silicon] == pytest.approx(88.5, abs=0.1)
    assert all(np.isfinite(target.values).all() for target in dataset.targets.values())


def test_dcdft_structures_give_their_volume_away():
    # The reason why the demo rescales them before it asks for the volume.
    dataset = load_dcdft()
    given = np.array([atoms.get_volume() / len(atoms) for atoms in dataset.structures])
    assert np.abs(given / dataset.targets["volume"].values - 1).max() < 0.04


def test_take_keeps_structures_ids_and_targets_together():
    dataset = load_dcdft()
    part = dataset.take([13, 2])
    assert part.ids == ("Si", "Li")
    assert [str(atoms.symbols[0]) for atoms in part.structures] == ["Si", "Li"]
    assert part.targets["volume"].values == pytest.approx(dataset.targets["volume"].values[[13, 2]])
    assert len(dataset) == 71


def make(ids: tuple[str, ...], values: list[float]) -> Dataset:
    target = Target(np.array(values), "eV", "Energy", "")
    return Dataset("x", "X", [Atoms("H"), Atoms("O")], ids, {"energy": target}, "", "")


def test_datasets_check_that_everything_has_the_same_length():
    with pytest.raises(ValueError, match="ids must name each of 2 structures, got 1"):
        make(("a",), [1.0, 2.0])
    with pytest.raises(ValueError, match="ids must be 2 different names"):
        make(("a", "a"), [1.0, 2.0])
    with pytest.raises(ValueError, match=r"target 'energy' must have one value for each of 2 structures"):
        make(("a", "b"), [1.0])
    assert make(("a", "b"), [1.0, np.nan]).targets["energy"].known.tolist() == [0]
