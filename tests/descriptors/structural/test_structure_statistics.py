"""Statistics of crystals against matminer's, ASE's neighbours, and what must not matter."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list
from helpers.invariance import changed, crystals
from helpers.minerals import minerals

from atomprint.chemistry.charges import likely_charges
from atomprint.chemistry.radii import ionic_radius, metallic_radius
from atomprint.descriptors import EwaldSumMatrix, StructureStatistics
from atomprint.structures import StructureError
from atomprint.testing import check_derivatives

MINERALS = minerals()
STORED = Path(__file__).resolve().parents[2] / "golden" / "structural.npz"


def named(descriptor, atoms):
    names = [name.removeprefix("StructureStatistics ") for name in descriptor.get_feature_names_out()]
    return dict(zip(names, descriptor.create(atoms).tolist(), strict=True))


@pytest.mark.parametrize("name", MINERALS)
def test_density_and_electrostatics_are_those_of_matminer(name):
    with np.load(STORED) as stored:
        (density, volume), ewald = stored[f"{name} density"], stored[f"{name} ewald"]
    found = named(StructureStatistics(accuracy=1e-12), MINERALS[name])
    assert found["density"] == pytest.approx(density, rel=1e-4)  # of other masses
    assert found["volume per atom"] == pytest.approx(volume, rel=1e-12)
    assert found["Ewald energy"] == pytest.approx(float(ewald), rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("name", MINERALS)
def test_bonds_are_those_that_ase_finds(name):
    atoms, found = MINERALS[name], named(StructureStatistics(), MINERALS[name])
    cations = {"Na", "Si", "Ti", "Sr"}
    i, j, d, vectors = neighbor_list("ijdD", atoms, 5.6)
    x = d / (covalent_radii[atoms.numbers[i]] + covalent_radii[atoms.numbers[j]])
    w = np.where(x < 1.15, 1, np.where(x < 1.35, (1 + np.cos(np.pi * (x - 1.15) / 0.2)) / 2, 0))
    symbols = np.array(atoms.get_chemical_symbols())
    w[np.isin(symbols[i], list(cations)) & np.isin(symbols[j], list(cations))] = 0
    coordination = np.bincount(i, w)
    assert found["coordination mean"] == pytest.approx(coordination.mean())
    assert found["coordination std"] == pytest.approx(coordination.std(), abs=1e-9)
    assert found["coordination minimum"] == pytest.approx(coordination.min())
    assert found["coordination maximum"] == pytest.approx(coordination.max())
    for key, values in (("bond length", d), ("relative bond length", x)):
        mean = np.average(values, weights=w)
        assert found[f"{key} mean"] == pytest.approx(mean)
        std = np.sqrt(np.average((values - mean) ** 2, weights=w))
        assert found[f"{key} std"] == pytest.approx(std, abs=1e-7)
    assert found["relative bond length minimum"] == pytest.approx(x[w > 0].min())
    assert found["bonds between unlike elements"] == pytest.approx(np.average(symbols[i] != symbols[j], weights=w))
    unit = vectors / d[:, None]
    tensor = np.einsum("p,pa,pb->ab", w, unit, unit) / w.sum()
    anisotropy = np.sqrt(1.5) * np.linalg.norm(tensor - np.eye(3) / 3)
    assert found["bond anisotropy"] == pytest.approx(anisotropy, abs=1e-7)
    packed = 4 / 3 * np.pi * (covalent_radii[atoms.numbers] ** 3).sum() / atoms.get_volume()
    assert found["packing fraction"] == pytest.approx(packed)


def test_shares_of_the_energy_are_those_of_the_matrix_of_charges():
    atoms, charges = MINERALS["perovskite"], {"Sr": 2.0, "Ti": 3.6, "O": -2.1}
    matrix = EwaldSumMatrix(accuracy=1e-12).get_matrix(atoms) * 14.399645351950548
    q = np.array([charges[symbol] for symbol in atoms.symbols]) / atoms.numbers
    energies = q * (matrix @ q) / 2 + q * np.diag(matrix) * q / 2
    found = named(StructureStatistics(charges, accuracy=1e-12), atoms)
    assert found["Ewald energy"] == pytest.approx(energies.mean())
    assert found["Ewald energy std"] == pytest.approx(energies.std())
    assert found["mean absolute charge"] == pytest.approx((2 + 3.6 + 3 * 2.1) / 5)


def test_numbers_that_chemists_know():
    salt, copper = named(StructureStatistics(), MINERALS["salt"]), named(StructureStatistics(), MINERALS["copper"])
    assert salt["coordination mean"] == pytest.approx(6)
    assert salt["Ewald energy"] == pytest.approx(-1.7475646 * 14.399645 / (2 * 2.82), rel=1e-6)  # Madelung's constant
    assert salt["ionic radius ratio"] == pytest.approx(1.16 / 1.67)
    assert copper["coordination mean"] == pytest.approx(12)
    assert copper["bond length mean"] == pytest.approx(3.615 / np.sqrt(2))
    assert {copper[name] for name in ("Ewald energy", "mean absolute charge", "ionic radius ratio")} == {0}
    cesium = named(StructureStatistics(), bulk("CsCl", "cesiumchloride", 4.12))
    assert cesium["coordination mean"] == pytest.approx(8)  # cations do not bond, however large
    layer = Atoms("BN", [[0, 0, 0], [1.45, 0, 0]], cell=[[2.175, 1.2557, 0], [2.175, -1.2557, 0], [0, 0, 20]], pbc=True)
    assert named(StructureStatistics(), layer)["bond anisotropy"] == pytest.approx(0.5, abs=1e-4)
    chain = Atoms("C", cell=[1.3, 15, 15], pbc=True)
    assert named(StructureStatistics(), chain)["bond anisotropy"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("formula", "charges"),
    [
        ({22: 1, 8: 2}, (4, -2)),
        ({38: 1, 22: 1, 8: 3}, (2, 4, -2)),
        ({26: 3, 8: 4}, (8 / 3, -2)),  # of mixed valence
        ({26: 2, 8: 3}, (3, -2)),
        ({29: 1}, (0,)),
        ({28: 1, 13: 1}, (0, 0)),
        ({2: 1, 10: 1}, (0, 0)),
    ],
)
def test_likely_charges(formula, charges):
    assert likely_charges(tuple(formula), tuple(formula.values())) == pytest.approx(charges)


def test_radii():
    assert ionic_radius(26, 2) == 0.92
    assert ionic_radius(26, 8 / 3) == 0.785
    assert ionic_radius(7, -2.0) == 1.32
    assert ionic_radius(1, -1) == ionic_radius(1, 0) == pytest.approx(0.31)
    assert metallic_radius(29) == 1.28
    assert metallic_radius(8) == pytest.approx(0.66)


def test_the_choice_of_the_cell_does_not_matter():
    structures = [*MINERALS.values(), *crystals(n=22)]
    statistics = StructureStatistics(accuracy=1e-12)
    expected = statistics.create(structures)
    assert np.isfinite(expected).all()
    for name, other in changed(structures):
        np.testing.assert_allclose(statistics.create(other), expected, rtol=1e-7, atol=2e-7, err_msg=name)


@pytest.mark.parametrize("name", ["shaken salt", "shaken perovskite"])
def test_derivatives(name):
    report = check_derivatives(StructureStatistics(accuracy=1e-13), MINERALS[name])
    assert not report.constant


def test_parts_change_nothing(monkeypatch):
    structures = [*MINERALS.values(), MINERALS["salt"] * (3, 2, 2)]
    statistics = StructureStatistics()
    expected = statistics.create(structures)
    slopes = statistics.vjp(structures, np.ones_like(expected))
    monkeypatch.setattr("atomprint.descriptors.structural.structure_statistics._ENTRIES", 100)
    np.testing.assert_allclose(statistics.create(structures, n_jobs=2), expected, rtol=1e-12, atol=1e-12)
    again = statistics.vjp(structures, np.ones_like(expected))
    for found, wanted in zip(again.positions, slopes.positions, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-9)


def test_what_does_not_fit_into_memory_is_refused(monkeypatch):
    monkeypatch.setattr("atomprint.descriptors.structural.structure_statistics.available_memory", lambda: 10_000)
    salt = MINERALS["salt"]
    rule = "structure 2: needs 41 kB for the Ewald energy of 32 atoms, and 10 kB are left; charges of 0 leave it out"
    with pytest.raises(StructureError, match=rule):
        StructureStatistics().create([MINERALS["copper"], salt, salt * (2, 2, 1)])
    assert StructureStatistics({"Na": 0, "Cl": 0}).create(salt * (2, 2, 1))[0] == pytest.approx(2.164, abs=1e-3)


def test_atoms_without_bonds_have_zeros():
    found = named(StructureStatistics(), Atoms("Ar", cell=[9, 9, 9], pbc=True))
    assert found["coordination mean"] == found["bond length mean"] == found["bond anisotropy"] == 0
    assert found["density"] > 0


def test_refused():
    with pytest.raises(
        StructureError, match="structure 1, atom 0: charges must have one of each element, got none of Na"
    ):
        StructureStatistics({"Cu": 1}).create([MINERALS["copper"], MINERALS["salt"]])
    with pytest.raises(StructureError, match=r"atom 0: must be of an element up to lawrencium \(103\), got Rf"):
        StructureStatistics().create(Atoms("Rf", cell=[3, 3, 3], pbc=True))
    with pytest.raises(ValueError, match="accuracy must be < 1, got 1"):
        StructureStatistics(accuracy=1.0)
