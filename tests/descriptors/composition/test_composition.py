"""Formulas, and features of compositions."""

import pickle
import re
import sys
import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.data import chemical_symbols
from golden.cases import HERE
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from atomprint.chemistry.formula import parse_formula
from atomprint.descriptors import ElementProperty
from atomprint.elements import ground_states
from atomprint.structures import as_batch

# Formulas ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("H2O", {"H": 2, "O": 1}),
        ("CO", {"C": 1, "O": 1}),
        ("Co", {"Co": 1}),
        ("Ca(OH)2", {"Ca": 1, "O": 2, "H": 2}),
        ("K4[Fe(CN)6]", {"K": 4, "Fe": 1, "C": 6, "N": 6}),
        ("{[(H)2]3}4", {"H": 24}),
        ("La0.7Sr0.3MnO3", {"La": 0.7, "Sr": 0.3, "Mn": 1, "O": 3}),
        ("Mg(Al0.5Fe0.5)2O4", {"Mg": 1, "Al": 1, "Fe": 1, "O": 4}),
        ("Fe1/2Ni1/2", {"Fe": 0.5, "Ni": 0.5}),
        ("(Li2O)1/4", {"Li": 0.5, "O": 0.25}),
        ("CuSO4·5H2O", {"Cu": 1, "S": 1, "O": 9, "H": 10}),
        ("CuSO4.5H2O", {"Cu": 1, "S": 1, "O": 9, "H": 10}),
        ("CuSO4 * 5 H2O", {"Cu": 1, "S": 1, "O": 9, "H": 10}),
        ("CuSO4•5(H2O)", {"Cu": 1, "S": 1, "O": 9, "H": 10}),
        ("CuSO4.5(H2O)", {"Cu": 1, "S": 1, "O": 9, "H": 10}),
        ("CuSO₄·5H₂O", {"Cu": 1, "S": 1, "O": 9, "H": 10}),
        ("CaSO4.0.5H2O", {"Ca": 1, "S": 1, "O": 4.5, "H": 1}),
        ("CaSO4·1/2H2O", {"Ca": 1, "S": 1, "O": 4.5, "H": 1}),
        ("3CdSO4·8H2O", {"Cd": 3, "S": 3, "O": 20, "H": 16}),
        ("MgO.Al2O3", {"Mg": 1, "O": 4, "Al": 2}),
        ("MgSO4.H2O", {"Mg": 1, "S": 1, "O": 5, "H": 2}),
        ("Na0.5H2O", {"Na": 0.5, "H": 2, "O": 1}),
        ("Na1.5H2O", {"Na": 1.5, "H": 2, "O": 1}),
        ("10.5H2O", {"H": 21, "O": 10.5}),
        ("V2O10.5H2O", {"V": 2, "O": 15, "H": 10}),
        ("Na2CO3.10H2O.0.5H2O", {"Na": 2, "C": 1, "O": 13.5, "H": 21}),
        ("CO2.5", {"C": 1, "O": 2.5}),
        ("D2O", {"H": 2, "O": 1}),
        ("Fe0Ni", {"Ni": 1}),
        ("CH3CH2OH", {"C": 2, "H": 6, "O": 1}),
    ],
)
def test_formulas(formula, expected):
    assert parse_formula(formula) == pytest.approx(expected, rel=1e-14)


CHARGE = "charges are not part of a composition"


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("", "a symbol or a bracket must follow, got its end"),
        ("  ", "a symbol or a bracket must follow, got its end"),
        ("5", "a symbol or a bracket must follow, got its end"),
        ("5.5", "a symbol or a bracket must follow, got its end"),
        ("Na+", f"{CHARGE}.*got '\\+' at position 2"),
        ("Fe3+", f"{CHARGE}.*position 3"),
        ("SO4^2-", CHARGE),
        ("SO4²⁻", CHARGE),
        ("[Fe(CN)6]4-", CHARGE),
        ("SO4−2", CHARGE),
        ("Fe-2", CHARGE),
        ("Fe(", r"'\(' is not closed, got '\(' at position 2"),
        ("Fe(O2]", "']' closes no bracket"),
        ("Fe)2", r"'\)' closes no bracket, got '\)' at position 2"),
        ("Fe()2", "there must be something in brackets"),
        ("(Fe.O)", r"'\(' is not closed"),
        ("Fe·", "a symbol or a bracket must follow, got its end"),
        ("·Fe", "a symbol or a bracket must follow, got '·' at position 0"),
        ("Fe··O", "a symbol or a bracket must follow"),
        ("Fe2 3", "a number must follow a symbol or a bracket"),
        ("Fe1/0", "a quotient must not divide by 0"),
        ("Fe1e5", "this must be a chemical symbol.*got 'e'"),
        ("Fe9999999999999", "an amount must be at most 1e12"),
        ("LixCoO2", "this must be a chemical symbol.*got 'x' at position 2"),
        ("NACL", "this must be a chemical symbol.*got 'A' at position 1"),
        ("X2", "this must be a chemical symbol"),
        ("water", "this must be a chemical symbol.*got 'w' at position 0"),
        ("Fe0", "there must be some of an element"),
        ("Na１", "a number must follow"),
    ],
)
def test_what_is_no_formula(formula, message):
    with pytest.raises(ValueError, match=message) as error:
        parse_formula(formula)
    assert repr(formula) in str(error.value)


def test_a_formula_is_a_string():
    with pytest.raises(TypeError, match="formula must be a string, got 3"):
        parse_formula(3)


symbols = st.sampled_from(chemical_symbols[1:])
amounts = st.one_of(st.just(""), st.integers(1, 99).map(str), st.decimals("0.01", "50", places=2).map(str))
groups = st.recursive(
    st.tuples(symbols, amounts),
    lambda inner: st.tuples(st.lists(inner, min_size=1, max_size=4), st.sampled_from(["()", "[]", "{}"]), amounts),
    max_leaves=8,
)


def written(group):
    """A formula, and what it means."""
    if len(group) == 2:
        symbol, amount = group
        return symbol + amount, {symbol: float(amount or 1)}
    members, brackets, amount = group
    parts = [written(member) for member in members]
    total = {}
    for _, counts in parts:
        for symbol, n in counts.items():
            total[symbol] = total.get(symbol, 0) + n * float(amount or 1)
    return brackets[0] + "".join(text for text, _ in parts) + brackets[1] + amount, total


@settings(max_examples=200)
@given(st.lists(groups, min_size=1, max_size=4), st.sampled_from(["", " "]))
def test_any_formula_is_read_as_it_was_written(members, blank):
    texts = [written(member) for member in members]
    expected = {}
    for _, counts in texts:
        for symbol, n in counts.items():
            expected[symbol] = expected.get(symbol, 0) + n
    formula = blank.join(text for text, _ in texts)
    assume("H2O" not in formula)  # after a decimal point that is water
    assume(re.search(r"[a-z]\s*\([IV]+\)", formula, re.IGNORECASE) is None)  # behind an element, oxidation states
    assert parse_formula(formula) == pytest.approx(expected, rel=1e-12)
    joined = "·".join(["2" + formula, "1/2" + formula])
    assert parse_formula(joined) == pytest.approx({s: 2.5 * n for s, n in expected.items()}, rel=1e-12)


@settings(max_examples=300)
@given(st.text(alphabet="HeCOxX0123456789./·()[]+-^ ₂²", max_size=12))
def test_any_text_is_read_or_refused(text):
    try:
        found = parse_formula(text)
    except ValueError as error:
        assert "formula" in str(error)  # noqa: PT017
    else:
        assert found
        assert all(0 < n < np.inf for n in found.values())


# Features ----------------------------------------------------------------------------------------------------------


def test_statistics():
    table = {"size": {"H": 1.0, "O": 4.0, "C": 3.0}}
    names = ["minimum", "maximum", "range", "mean", "deviation", "mode"]
    features = ElementProperty(properties=["size"], tables=table)
    # 2/3 and 1/3: mean 2, deviation 2/3 * 1 + 1/3 * 2.
    np.testing.assert_allclose(features.create("H2O"), [1, 4, 3, 2, 4 / 3, 1])
    np.testing.assert_allclose(features.create("CO"), [3, 4, 1, 3.5, 0.5, 3])
    np.testing.assert_allclose(features.create("O3"), [4, 4, 0, 4, 0, 4])
    # Fractions that are equal but for rounding.
    assert features.create({"O": 0.1 + 0.2, "H": 0.3})[5] == features.create({"O": 0.3, "H": 0.1 + 0.2})[5] == 1
    assert [name.split()[-1] for name in features.get_feature_names_out()] == names
    some = ElementProperty(properties=["size"], tables=table, statistics=["range", "mean"])
    np.testing.assert_allclose(some.create(["H2O", "CO"]), [[3, 2], [1, 3.5]])


def test_agrees_with_matminer_where_the_element_data_agree():
    pytest.importorskip("pymatgen")
    magpie = {
        "Number": "atomic_number",
        "AtomicWeight": "mass",
        "MeltingT": "melting_point",
        "Column": "group",
        "Row": "period",
        "CovalentRadius": "covalent_radius",
        "Electronegativity": "electronegativity",
        **{f"N{shell}Valence": f"{shell}_electrons" for shell in "spdf"},
        "NValence": "valence_electrons",
        **{f"N{shell}Unfilled": f"{shell}_unfilled" for shell in "spdf"},
        "NUnfilled": "unfilled",
    }
    # The rest of the Magpie set: other numbers (Mendeleev), or results of a certain database.
    others = {"MendeleevNumber", "GSvolume_pa", "GSbandgap", "GSmagmom", "SpaceGroupNumber"}
    with np.load(HERE / "magpie.npz") as data:
        assert set(data["properties"]) == {*magpie, *others}
        assert list(data["statistics"]) == ["minimum", "maximum", "range", "mean", "avg_dev", "mode"]
        formulas, n_compared = [str(formula) for formula in data["formulas"]], 0
        for k, name in enumerate(data["properties"]):
            if name in others:
                continue
            ours = ElementProperty(properties=[magpie[name]], missing="nan")
            scale = 100 if name == "CovalentRadius" else 1  # in pm
            own = ours._table()[:, 0] * scale
            same = np.isclose(own, data["elements"][:, k], rtol=1e-9)
            assert same.sum() >= {"AtomicWeight": 54, "MeltingT": 75}.get(name, 81), name
            if name in ("Number", "Column", "Row") or name.startswith("N"):
                assert same.all()
            for formula, row in zip(formulas, data["features"], strict=True):
                elements = [chemical_symbols.index(symbol) - 1 for symbol in parse_formula(formula)]
                if same[elements].all():
                    expected = row[6 * k : 6 * k + 6]
                    found = ours.create(formula) * scale
                    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9, err_msg=f"{formula} {name}")
                    n_compared += 1
    assert n_compared > 400


def test_magpie_preset():
    pytest.importorskip("pymatgen")
    features = ElementProperty("magpie")
    assert features.get_number_of_features() == len(features.get_feature_names_out()) == 18 * 6
    assert np.isfinite(features.create(["LiCoO2", "K4[Fe(CN)6].3H2O"])).all()
    every = ["boiling_point", "molar_volume", "thermal_conductivity", "electron_affinity"]
    radii = ["atomic_radius", "van_der_waals_radius"]
    values = ElementProperty([*every, *radii], statistics=["mean"]).create("Fe")
    np.testing.assert_allclose(values, [3134, 7.09, 80, 0.151, 1.4, 2.04], rtol=0.05)


def test_ground_states_are_those_of_pymatgen():
    core = pytest.importorskip("pymatgen.core")
    closed = [0, 2, 10, 18, 36, 54, 86]
    for z, shells in enumerate(ground_states(), start=1):
        below = max(n for n in closed if n < z)
        inner = {shell[:2] for shell in core.Element.from_Z(below).full_electronic_structure} if below else set()
        expected = dict.fromkeys("spdf", 0)
        for n, shell, count in core.Element.from_Z(z).full_electronic_structure:
            if (n, shell) not in inner:
                expected[shell] += count
        assert dict(zip("spdf", shells, strict=True)) == expected, chemical_symbols[z]


@pytest.mark.parametrize("symbol", ["Eu", "Pm"])
def test_missing_values(symbol):
    formulas = ["NaCl", f"{symbol}2O3"]
    with pytest.raises(ValueError, match=f"composition 1: electronegativity of {symbol} is not known: choose missing="):
        ElementProperty().create(formulas)
    with_nan = ElementProperty(["electronegativity", "mass"], missing="nan").create(formulas)
    assert np.isnan(with_nan[1, :6]).all()
    assert np.isfinite(with_nan[1, 6:]).all()
    assert np.isfinite(with_nan[0]).all()
    imputed = ElementProperty(["electronegativity", "mass"], missing="impute")
    mean = np.nanmean(imputed._table()[:, 0])
    values = imputed.create(formulas)
    np.testing.assert_allclose(values[1, 3], 0.4 * mean + 0.6 * 3.44)
    np.testing.assert_array_equal(values[:, 6:], with_nan[:, 6:])
    own = ElementProperty(["size"], tables={"size": {"O": 1.0, symbol: np.nan}})
    with pytest.raises(ValueError, match=f"composition 0: size of {symbol} is not known"):
        own.create(f"{symbol}2O3")
    with pytest.raises(ValueError, match="size is known for no element"):
        ElementProperty(["size"], tables={"size": {"H": np.nan}}, missing="impute").create("H")


def test_kinds_of_compositions():
    core = pytest.importorskip("pymatgen.core")
    features = ElementProperty()
    expected = features.create("NaCl")
    crystal = bulk("NaCl", "rocksalt", 5.64, cubic=True)
    lattice = core.Lattice(crystal.cell.array)
    structure = core.Structure(lattice, crystal.symbols, crystal.get_scaled_positions())
    ordered = structure.copy()
    ordered.add_oxidation_state_by_element({"Na": 1, "Cl": -1})
    half = core.Structure(lattice, [{"Na": 0.5, "Li": 0.5}, "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    kinds = [
        "NaCl",
        crystal,
        structure,
        structure.composition,
        ordered,
        ordered.composition,
        {"Na": 2, "Cl": 2.0},
        {11: 0.5, np.int64(17): 0.5},
        {"Na": 1, "Cl": 1, "O": 0},
        core.Molecule(["Na", "Cl"], [[0, 0, 0], [0, 0, 2.4]]),
    ]
    for kind in kinds:
        np.testing.assert_allclose(features.create(kind), expected, rtol=1e-13)
        np.testing.assert_allclose(features.transform(kind), expected[None], rtol=1e-13)
    np.testing.assert_allclose(features.create(kinds), np.tile(expected, (len(kinds), 1)), rtol=1e-13)
    np.testing.assert_allclose(features.create(half), features.create("Li0.5Na0.5Cl"), rtol=1e-13)
    molecules = [molecule("H2O"), molecule("CH4")]
    np.testing.assert_allclose(
        features.create(as_batch(molecules, periodic=False)), features.create(["H2O", "CH4"]), rtol=1e-13
    )
    np.testing.assert_allclose(
        features.create(as_batch(molecules[0], periodic=False)), features.create("H2O"), rtol=1e-13
    )
    np.testing.assert_allclose(features.create(name for name in ("H2O", "CH4")), features.create(["H2O", "CH4"]))
    np.testing.assert_array_equal(features.create(np.array(["H2O", "CH4"])), features.create(["H2O", "CH4"]))


@pytest.mark.parametrize(
    ("compositions", "error", "message"),
    [
        ([], ValueError, "at least one composition, got none"),
        (3, TypeError, "compositions must be a formula.*got int"),
        (["H2O", 3], TypeError, "composition 1 must be a formula.*got int"),
        (["H2O", "Na+"], ValueError, r"composition 1: formula 'Na\+': charges"),
        (["H2O", {"Q": 1}], ValueError, "composition 1: keys must be chemical symbols or atomic numbers, got 'Q'"),
        ([{0: 1}], ValueError, "composition 0: keys must be"),
        ([{"H": -1}], ValueError, "composition 0: the amount of H must be finite and >= 0, got -1"),
        ([{"H": np.nan}], ValueError, "the amount of H must be finite"),
        ([{"H": "2"}], ValueError, "the amount of H must be finite"),
        ([{"H": 0.0}], ValueError, "composition 0: there must be some of an element"),
        ([{}], ValueError, "composition 0: there must be some of an element"),
        ([Atoms()], ValueError, "composition 0: there must be some of an element"),
        ([Atoms("X")], ValueError, r"composition 0: atomic numbers must be in 1\.\.118, got 0"),
        (["H2O", "Og"], ValueError, "composition 1: elements must be H to Lr, got Og"),
    ],
)
def test_bad_compositions(compositions, error, message):
    features = ElementProperty()
    for call in (features.create, features.fit, features.transform):
        with pytest.raises(error, match=message):
            call(compositions)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"properties": "all"}, "properties must be one of 'default', 'magpie', got 'all'"),
        ({"properties": ["weight"]}, "properties must be one of .*got 'weight'"),
        ({"properties": []}, "properties must name at least one"),
        ({"properties": 3}, "properties must be a sequence of names, got 3"),
        ({"properties": ["mass", "mass"]}, "properties must be different from each other"),
        ({"statistics": ["median"]}, "statistics must be one of .*got 'median'"),
        ({"missing": "zero"}, "missing must be one of 'raise', 'nan', 'impute', got 'zero'"),
        ({"tables": 3}, "tables must be None or a dict of dicts"),
        ({"tables": {"size": {"Q": 1.0}}}, "tables: size: keys must be symbols of elements up to Lr, got 'Q'"),
        ({"tables": {"size": {"H": np.inf}}}, "tables: size of H must be a finite number"),
    ],
)
def test_bad_parameters(kwargs, message):
    for call in (lambda: ElementProperty(**kwargs), lambda: ElementProperty().set_params(**kwargs)):
        with pytest.raises((TypeError, ValueError), match=message):
            call()


def test_without_pymatgen(monkeypatch):
    from atomprint.descriptors.composition import element_property as composition

    monkeypatch.setitem(sys.modules, "pymatgen.core", None)
    composition._known_table.cache_clear()
    assert np.isfinite(ElementProperty().create("Fe2O3")).all()
    with pytest.raises(ImportError, match=r"melting_point comes from pymatgen.*pip install 'atomprint\[pymatgen\]'"):
        ElementProperty(["melting_point"]).create("Fe2O3")


def test_scikit_learn():
    pd = pytest.importorskip("pandas")
    formulas, y = ["H2O", "CH4", "NH3", "CO2", "SiO2", "TiO2"], np.arange(6.0)
    model = make_pipeline(ElementProperty(), StandardScaler(), Ridge(alpha=1e-6))
    assert model.fit(formulas, y).predict(formulas).shape == (6,)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(formulas), model.predict(formulas))
    features = ElementProperty(["mass"], statistics=("mean",)).set_output(transform="pandas")
    frame = features.fit_transform(formulas)
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == ["ElementProperty mass mean"]
    copy = clone(features).set_params(missing="nan")
    assert copy.get_params()["missing"] == "nan"
    assert features.missing == "raise"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        repr(copy)
