"""Oxidation states: features against enumeration of all states, known compounds, and other tables."""

from __future__ import annotations

import itertools
from importlib.metadata import version

import numpy as np
import pytest
from ase.build import bulk, molecule
from numpy.testing import assert_allclose
from sklearn.base import clone

from atomprint.chemistry.formula import parse_formula
from atomprint.chemistry.oxidation_states import COMMON, OBSERVED
from atomprint.descriptors import OxidationStates
from atomprint.elements import element_properties

FORMULAS = ["NaCl", "Fe3O4", "TiO2", "YBa2Cu3O7", "MoS2", "GaAs", "KMnO4", "Sb2Te3", "AgCuAuO", "LaFeAsO0.9F0.1", "CO2"]


def values(formula, tables=("common",)):
    features = OxidationStates(tables)
    names = [name.removeprefix("OxidationStates ") for name in features.get_feature_names_out()]
    return dict(zip(names, features.create(formula), strict=True))


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize(("name", "table"), [("common", COMMON), ("observed", OBSERVED)])
def test_the_states_are_the_best_of_all_combinations(formula, name, table):
    amounts = parse_formula(formula)
    x = element_properties(list(amounts), ["electronegativity"])[:, 0]
    f = np.array(list(amounts.values())) / sum(amounts.values())
    numbers = element_properties(list(amounts), ["atomic_number"])[:, 0].astype(int)
    q = np.array(list(itertools.product(*(table[z] for z in numbers))), dtype=float)
    net, ionicity = q @ f, (q * f) @ (f @ x - x)
    best = np.argmax(ionicity - 10 * np.abs(net))
    found = values(formula, (name,))
    assert_allclose(found[f"{name} ionicity"], ionicity[best], atol=1e-9)
    assert_allclose(found[f"{name} net charge"], net[best], atol=1e-9)
    assert_allclose(found[f"{name} lowest charge"], net.min(), atol=1e-9)
    assert_allclose(found[f"{name} highest charge"], net.max(), atol=1e-9)
    assert_allclose(found[f"{name} smallest net charge"], np.abs(net).min(), atol=1e-9)
    assert_allclose(found[f"{name} mean absolute charge"], np.abs(q[best]) @ f, atol=1e-9)
    assert_allclose(found[f"{name} maximum charge"], q[best].max())


@pytest.mark.parametrize(
    ("formula", "highest", "lowest", "left"),
    [
        ("NaCl", 1, -1, 0),
        ("TiO2", 4, -2, 0),
        ("KMnO4", 7, -2, 0),
        ("GaN", 3, -3, 0),
        ("NiO", 2, -2, 8),  # d8
        ("ZnS", 2, -2, 10),  # d10
        ("SnO", 2, -2, 2),  # a lone pair
        ("Nd2O3", 3, -2, 3),  # f3
        ("Cr2O3", 3, -2, 3),  # d3
    ],
)
def test_compounds_of_the_textbook(formula, highest, lowest, left):
    found = values(formula)
    assert found["common net charge"] == pytest.approx(0, abs=1e-12)
    assert found["common maximum charge"] == highest
    assert found["common minimum charge"] == lowest
    assert found["common maximum electrons left"] == left
    in_p = "in p block" if formula.startswith("Sn") else "outside p block"
    amounts = parse_formula(formula)
    cation = next(iter(amounts))
    assert found[f"common electrons left {in_p}"] == pytest.approx(left * amounts[cation] / sum(amounts.values()))


def test_formulas_electrons_and_ionic_character():
    found = values("Fe4O6")
    assert (found["atoms in formula"], found["number of elements"]) == (5, 2)
    assert found["odd electrons"] == 0
    assert values("NO")["odd electrons"] == 1
    assert values("VO2")["odd electrons"] == 1
    strange = values("Fe0.331123O0.668877")
    assert (strange["atoms in formula"], strange["odd electrons"]) == (0, 0.5)
    ionic = 1 - np.exp(-((3.16 - 0.93) ** 2) / 4)
    assert values("NaCl")["maximum ionic character"] == pytest.approx(ionic)
    assert values("NaCl")["mean ionic character"] == pytest.approx(ionic / 4)


def test_tables_agree_with_pymatgen():
    periodic_table = pytest.importorskip("pymatgen.core.periodic_table")
    if version("pymatgen") < "2026":
        pytest.skip("older tables are others")
    for z in range(1, 104):
        element = periodic_table.Element.from_Z(z)
        assert set(COMMON.get(z, ())) == set(element.common_oxidation_states)
        assert set(OBSERVED.get(z, ())) == set(element.icsd_oxidation_states or element.common_oxidation_states)


def test_elements_and_alloys_are_neutral():
    for item in (bulk("Fe"), "Ar", "He"):
        found = values(item)
        assert all(found[f"common {name}"] == 0 for name in ("net charge", "ionicity", "highest charge"))
        assert found["common electronegativity of cations mean"] == found["common electronegativity of anions mean"]
    assert np.isfinite(OxidationStates().create(["ArNe", "XeF2", "CsAu", "AgCuAuFe0.32Ni1.1PdPtOSeTeSbAs"])).all()


def test_order_repeats_and_kinds_of_input_do_not_matter():
    features = OxidationStates()
    assert_allclose(features.create("OTi2Fe3"), features.create("Fe3Ti2O"), rtol=1e-12)
    assert_allclose(features.create(molecule("H2O")), features.create("H2O"), rtol=1e-12)
    assert_allclose(features.create(["Al2O3", "Al4O6", {"Al": 1, "O": 1.5}]), [features.create("Al2O3")] * 3, rtol=1e-9)
    many = features.transform(["NaCl", "TiO2", "NaCl"])
    assert many.shape == (3, features.get_number_of_features()) == (3, len(features.get_feature_names_out()))
    assert_allclose(many[0], many[2])


def test_wrong_parameters_and_compositions():
    for tables in ([], ["common", "common"], ["commonest"]):
        with pytest.raises(ValueError, match="tables"):
            OxidationStates(tables)
    with pytest.raises(TypeError, match="tables must be a sequence of names, got 'common'"):
        OxidationStates("common")
    with pytest.raises(ValueError, match="composition 1"):
        OxidationStates().create(["NaCl", "NaQ"])
    features = clone(OxidationStates())
    with pytest.raises(ValueError, match="tables"):
        features.set_params(tables=["no"])
    assert features.tables == ("common", "observed")
