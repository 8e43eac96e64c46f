"""Coordination numbers, order of alloys and symmetry, against pymatgen, ASE and what is known."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.neighborlist import neighbor_list
from helpers.invariance import changed
from helpers.minerals import minerals

from atomprint.descriptors import CoordinationNumbers, SpaceGroup, WarrenCowley
from atomprint.descriptors.structural.voronoi import voronoi_faces
from atomprint.structures import StructureError, as_batch
from atomprint.testing import check_derivatives

MINERALS = minerals()
STORED = Path(__file__).resolve().parents[2] / "golden" / "structural.npz"
SPECIES = ["Na", "Cl", "Sr", "Ti", "O"]


@pytest.mark.parametrize("name", MINERALS)
def test_solid_angles_are_those_of_pymatgen(name):
    with np.load(STORED) as stored:
        expected = stored[f"{name} voronoi"]
    atoms = MINERALS[name]
    numbers = CoordinationNumbers("solid_angle", species=atoms.symbols.species()).create(atoms)
    np.testing.assert_allclose(numbers[:, 0], expected[:, 0], rtol=1e-4)  # of faces that its tolerance keeps
    np.testing.assert_allclose(numbers[:, 1:].sum(axis=1), numbers[:, 0])
    faces = voronoi_faces(as_batch(atoms))
    np.testing.assert_allclose(np.bincount(faces.first, faces.angles), 4 * np.pi, rtol=1e-9)


def test_numbers_that_chemists_know():
    for name, expected in (("copper", 12), ("salt", 6), ("iron", 14), ("magnesium", 12)):
        numbers = CoordinationNumbers(species=MINERALS[name].symbols.species()).create(MINERALS[name])
        np.testing.assert_allclose(numbers[:, 0], expected)
    perovskite = CoordinationNumbers(species=["Sr", "Ti", "O"]).create(MINERALS["perovskite"])
    titanium = MINERALS["perovskite"].symbols.indices()["Ti"][0]
    names = [name.split()[1] for name in CoordinationNumbers(species=["Sr", "Ti", "O"]).get_feature_names_out()[1:]]
    assert dict(zip(names, perovskite[titanium, 1:].round(6).tolist(), strict=True))["O"] == 6
    water = CoordinationNumbers(species=["H", "O"]).create(molecule("H2O"))
    np.testing.assert_allclose(water[:, 0], [2, 1, 1])
    gaps = Atoms("Cu2", cell=[30, 30, 30], positions=[[0, 0, 0], [9, 9, 9]], pbc=True)  # a Voronoi cell in thin air
    assert CoordinationNumbers("solid_angle", species=["Cu"]).create(gaps)[0, 0] > 4


def test_cutoff_from_the_neighbours_of_ase():
    atoms = MINERALS["shaken perovskite"]
    i, j, d = neighbor_list("ijd", atoms, 3.5)
    weights = np.where(d < 2.5, 1, (1 + np.cos(np.pi * (d - 2.5))) / 2)
    numbers = CoordinationNumbers("cutoff", 3.5, 1.0, SPECIES).create(atoms)
    np.testing.assert_allclose(numbers[:, 0], np.bincount(i, weights))
    hard = CoordinationNumbers("cutoff", 3.5, species=SPECIES).create(atoms)
    np.testing.assert_array_equal(hard[:, 0], np.bincount(i))
    names = CoordinationNumbers("cutoff", 3.5, species=SPECIES).get_feature_names_out().tolist()
    oxygen = np.array(atoms.get_chemical_symbols())[j] == "O"
    np.testing.assert_array_equal(hard[:, names.index("CoordinationNumbers O cutoff")], np.bincount(i, oxygen))


@pytest.mark.parametrize(
    "descriptor",
    [
        CoordinationNumbers(species=SPECIES),
        CoordinationNumbers("cutoff", 3.4, 1.5, SPECIES),
        WarrenCowley([2.4, 3.9], 1.0, SPECIES),
    ],
)
def test_derivatives(descriptor):
    report = check_derivatives(descriptor, [MINERALS["shaken salt"], MINERALS["shaken perovskite"]])
    assert not report.constant


@pytest.mark.parametrize(
    "descriptor",
    [
        CoordinationNumbers(pooling=("mean", "std")),
        CoordinationNumbers("solid_angle", pooling=("mean", "max")),
        WarrenCowley([3.0, 4.2]),
    ],
)
def test_the_choice_of_the_cell_does_not_matter(descriptor):
    structures = [MINERALS[name] for name in ("salt", "perovskite", "quartz", "shaken salt")]
    expected = descriptor.fit_transform(structures)
    for name, other in changed(structures):
        np.testing.assert_allclose(descriptor.transform(other), expected, atol=1e-6, err_msg=name)


def test_order_of_alloys():
    names = WarrenCowley([2.7, 3.2], species=["Ni", "Al"]).get_feature_names_out().tolist()
    ordered = WarrenCowley([2.7, 3.2], species=["Ni", "Al"]).create(bulk("NiAl", "cesiumchloride", a=2.89))
    found = dict(zip(names, ordered.round(9).tolist(), strict=True))
    assert found["WarrenCowley Al-Ni of Al by Ni to 2.7"] == found["WarrenCowley Al-Ni of Ni by Al to 2.7"] == -1
    assert found["WarrenCowley Al-Al of Al by Al to 2.7"] == 1
    assert found["WarrenCowley Al-Ni of Al by Ni to 3.2"] == 1
    gold = bulk("Cu", "fcc", 3.75, cubic=True)
    gold.symbols[0] = "Au"  # Cu3Au: J. M. Cowley (1950), alpha = -1/3 of unlike neighbours
    alpha = WarrenCowley([3.0], species=["Cu", "Au"])
    values = dict(zip(alpha.get_feature_names_out().tolist(), alpha.create(gold).tolist(), strict=True))
    assert values["WarrenCowley Cu-Au of Au by Cu to 3"] == pytest.approx(-1 / 3)
    assert values["WarrenCowley Cu-Au of Cu by Au to 3"] == pytest.approx(-1 / 3)
    rng = np.random.default_rng(0)
    random = bulk("Cu", "fcc", 3.75, cubic=True) * (7, 7, 7)
    random.numbers[rng.permutation(len(random))[: len(random) // 2]] = 79
    np.testing.assert_allclose(alpha.create(random), 0, atol=0.03)
    assert not alpha.create(Atoms("Cu", cell=[9, 9, 9], pbc=True)).any()


@pytest.mark.parametrize("name", MINERALS)
def test_symmetry_is_that_of_matminer(name):
    pytest.importorskip("spglib")
    with np.load(STORED) as stored:
        number, system, centric, _ = stored[f"{name} symmetry"].tolist()
    found = SpaceGroup().create(MINERALS[name])
    names = [name.removeprefix("SpaceGroup ") for name in SpaceGroup().get_feature_names_out()]
    values = dict(zip(names, found.tolist(), strict=True))
    assert values["number"] == int(number)
    assert values[system] == 1
    assert sum(values[name] for name in names[1:8]) == 1
    assert bool(values["centrosymmetric"]) == (centric == "True")


def test_symmetry_and_shape_do_not_depend_on_the_cell():
    pytest.importorskip("spglib")
    structures = [MINERALS[name] for name in ("salt", "perovskite", "quartz", "shaken salt", "magnesium")]
    expected = SpaceGroup().create(structures)
    for name, other in changed(structures):
        np.testing.assert_allclose(SpaceGroup().create(other), expected, atol=1e-4, err_msg=name)
    names = SpaceGroup().get_feature_names_out().tolist()
    magnesium = dict(zip(names, expected[-1].tolist(), strict=True))
    assert magnesium["SpaceGroup c/a"] == pytest.approx(5.211 / 3.209)
    assert magnesium["SpaceGroup atoms in primitive cell"] == 2
    assert magnesium["SpaceGroup distinct sites"] == 1
    assert magnesium["SpaceGroup point group operations"] == 24


@pytest.mark.parametrize("symprec", [1.0, 2.0, 5.0])
def test_a_tolerance_longer_than_bonds_is_survived(symprec):
    """find_primitive of spglib ends the process there."""
    pytest.importorskip("spglib")
    found = 0
    for structure in (MINERALS["salt"], MINERALS["copper"], MINERALS["copper"] * (2, 1, 1)):
        with suppress(StructureError):  # or spglib finds none
            assert SpaceGroup(symprec=symprec).create(structure)[0] == 225
            found += 1
    assert found


@pytest.mark.parametrize(
    ("cls", "given", "message"),
    [
        (CoordinationNumbers, {"definition": "cutoff"}, "r_cut must be given with definition='cutoff', got None"),
        (CoordinationNumbers, {"r_cut": 3.0}, r"r_cut must be None with definition='covalent', got 3.0"),
        (
            CoordinationNumbers,
            {"definition": "cutoff", "r_cut": 3.0, "cutoff_width": 4.0},
            "cutoff_width must be <= r_cut",
        ),
        (CoordinationNumbers, {"cutoff_width": 1.0}, "cutoff_width must be None without r_cut"),
        (WarrenCowley, {"shells": (3.0, 2.0)}, "shells must be at least one radius, ascending"),
        (WarrenCowley, {"shells": (3.0, 3.1)}, "shells must be at least width = 0.2 apart"),
        (SpaceGroup, {"symprec": 0}, "symprec must be > 0, got 0"),
    ],
)
def test_refused(cls, given, message):
    with pytest.raises((ValueError, TypeError), match=message):
        cls(**given)


def test_what_has_no_derivatives_says_so():
    with pytest.raises(ValueError, match="definition must not be 'solid_angle' for derivatives"):
        CoordinationNumbers("solid_angle", species=["Cu"]).derivatives(MINERALS["copper"])
    with pytest.raises(ValueError, match="SpaceGroup has none, as symmetry comes and goes suddenly"):
        SpaceGroup().derivatives(MINERALS["copper"])


def test_points_and_molecules_are_refused_where_they_mean_nothing():
    with pytest.raises(StructureError, match="centers must be atoms with definition='covalent', got a point"):
        CoordinationNumbers(species=["Cu"]).create(MINERALS["copper"], centers=[[0.0, 0, 0]])
    with pytest.raises(StructureError, match="needs a cell"):
        CoordinationNumbers("solid_angle", species=["H", "O"]).create(molecule("H2O"))
    slab = bulk("Cu", cubic=True)
    slab.pbc = (True, True, False)
    with pytest.raises(StructureError, match="must repeat along three vectors for definition='solid_angle'"):
        CoordinationNumbers("solid_angle", species=["Cu"]).create(slab)
