"""What may stand in place of a list of structures, compositions or features, and what may not."""

import numpy as np
import pytest
from ase.build import bulk, molecule
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from atomprint.datasets import Dataset, load
from atomprint.descriptors import ACSF, SOAP, CompositionChannels, CoulombMatrix, ElementProperty, LearnedEmbedding
from atomprint.kernels import AverageKernel
from atomprint.neighbours import pairs
from atomprint.pooling import Pooling
from atomprint.sampling import CenterSampler
from atomprint.structures import as_batch

pd = pytest.importorskip("pandas")
pa = pytest.importorskip("pyarrow")

FORMULAS = ["NaCl", "Fe2O3", "SiO2"]
MOLECULES = [molecule("H2O"), molecule("CH4"), molecule("CO")]


def objects(items):
    """An array of objects, whatever NumPy would make of them."""
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def column(items):
    return objects(items)[:, None]


COLUMNS = {
    "tuple": tuple,
    "generator": lambda items: (item for item in items),
    "map": lambda items: map(items.__getitem__, range(len(items))),
    "array": objects,
    "array of one column": column,
    "frame": lambda items: pd.DataFrame({"composition": items}),
    "frame with an index": lambda items: pd.DataFrame({"x": items}, index=[5, 5, 2]),
    "frame of a frame": lambda items: pd.DataFrame({"x": items, "y": 1.0})[["x"]],
    "frame with levels": lambda items: pd.DataFrame({("a", "b"): items}),
    "series": pd.Series,
    "series with names": lambda items: pd.Series(items, index=["composition", "cart_coords", "z"]),
    "values of a dict": lambda items: dict(enumerate(items)).values(),
}
TEXT_COLUMNS = {
    "text": lambda items: pd.Series(items, dtype="string"),
    "categories": lambda items: pd.DataFrame({"formula": pd.Categorical(items)}),
    "index": pd.Index,
    "array of text": np.array,
    "text in one column": lambda items: np.array(items)[:, None],
    "array with names": lambda items: np.array([(item,) for item in items], dtype=[("formula", "U9")]),
    "Arrow array": pa.array,
    "Arrow table": lambda items: pa.table({"formula": items}),
    "Arrow batch": lambda items: pa.record_batch({"formula": items}),
}


@pytest.mark.parametrize("make", (COLUMNS | TEXT_COLUMNS).values(), ids=COLUMNS | TEXT_COLUMNS)
@pytest.mark.parametrize("descriptor", [ElementProperty(), CompositionChannels()], ids=lambda d: type(d).__name__)
def test_one_column_of_formulas(descriptor, make):
    expected = descriptor.fit_transform(FORMULAS)
    np.testing.assert_array_equal(descriptor.fit_transform(make(FORMULAS)), expected)
    np.testing.assert_array_equal(descriptor.create(make(FORMULAS)), expected)


@pytest.mark.parametrize("make", COLUMNS.values(), ids=COLUMNS)
@pytest.mark.parametrize(
    "descriptor",
    [
        CoulombMatrix(),
        SOAP(r_cut=3.0, n_max=2, l_max=1, average="inner"),
        ACSF(3.0, pooling=Pooling(weights=lambda atoms: atoms.numbers)),
        ACSF(3.0, pooling="mean", centers=CenterSampler("farthest", n=1)),
    ],
    ids=lambda d: type(d).__name__,
)
def test_one_column_of_structures(descriptor, make):
    expected = descriptor.fit_transform(MOLECULES)
    np.testing.assert_array_equal(descriptor.fit_transform(make(MOLECULES)), expected)
    np.testing.assert_array_equal(descriptor.create(make(MOLECULES)), expected)


@pytest.mark.parametrize("make", COLUMNS.values(), ids=COLUMNS)
def test_one_column_for_all_that_take_structures(make):
    assert (
        as_batch(make(MOLECULES), periodic=None).numbers.tolist() == as_batch(MOLECULES, periodic=None).numbers.tolist()
    )
    assert len(pairs(make(MOLECULES), 1.2).first) == len(pairs(MOLECULES, 1.2).first)
    assert [c.tolist() for c in CenterSampler()(make(MOLECULES))] == [[0, 1, 2], [0, 1, 2, 3, 4], [0, 1]]
    targets = [1.0, 2.0, 4.0]
    learnt = LearnedEmbedding(n_channels=2).fit(make(MOLECULES), targets)
    np.testing.assert_array_equal(learnt.table_, LearnedEmbedding(n_channels=2).fit(MOLECULES, targets).table_)


@pytest.mark.parametrize("make", COLUMNS.values(), ids=COLUMNS)
def test_one_column_of_features(make):
    rows = [np.arange(6.0).reshape(3, 2), np.ones((1, 2)), np.eye(2)]
    np.testing.assert_array_equal(Pooling("max").fit_transform(make(rows)), Pooling("max").fit_transform(rows))
    np.testing.assert_array_equal(AverageKernel().create(make(rows)), AverageKernel().create(rows))


@pytest.mark.parametrize("choice", ["formula", ["formula"], [0], slice(0, 1)])
def test_column_transformers(choice):
    table = pd.DataFrame({"formula": FORMULAS, "pressure": [1.0, 2.0, 4.0]})
    both = ColumnTransformer([("elements", ElementProperty(), choice), ("numbers", StandardScaler(), ["pressure"])])
    X = both.fit_transform(table)
    np.testing.assert_array_equal(X[:, :-1], ElementProperty().fit_transform(FORMULAS))
    np.testing.assert_array_equal(both.transform(table), X)


FRACTIONS = pd.DataFrame({"Fe": [0.5, 0.3], "Ni": [0.5, 0.7]})
TAKERS = {
    "ElementProperty.create": ElementProperty().create,
    "ElementProperty.fit": ElementProperty().fit,
    "ElementProperty.fit_transform": ElementProperty().fit_transform,
    "CompositionChannels": CompositionChannels().fit_transform,
    "LearnedEmbedding": lambda X: LearnedEmbedding().fit(X, [1.0, 2.0]),
    "CoulombMatrix": CoulombMatrix().fit_transform,
    "SOAP": SOAP(r_cut=3.0, n_max=2, l_max=1, species=["H"]).create,
    "SOAP.derivatives": SOAP(r_cut=3.0, n_max=2, l_max=1, species=["H"]).derivatives,
    "as_batch": as_batch,
    "CenterSampler": CenterSampler(),
    "Pooling": Pooling().fit_transform,
    "AverageKernel": AverageKernel().fit_transform,
}


@pytest.mark.parametrize("take", TAKERS.values(), ids=TAKERS)
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            FRACTIONS,
            r"must be one column, got a DataFrame with the columns 'Fe', 'Ni': choose one, as in table\['Fe'\]",
        ),
        (
            pd.DataFrame(np.ones((2, 9))),
            r"got a DataFrame with the columns 0, 1, 2, 3, 4, 5, …: choose one, as in table",
        ),
        (pd.DataFrame({"Fe": [0.5], "composition": ["Fe"]}), "the columns 'Fe', 'composition'"),
        (pd.DataFrame(index=[1, 2]), "must be one column, got a DataFrame with no columns"),
        (pa.table({"Fe": [0.5], "Ni": [0.5]}), "must be one column, got a Table with the columns 'Fe', 'Ni'"),
        (np.array([["Fe", "Ni"], ["Si", "C"]], dtype=object), r"must be one column, got an array of shape \(2, 2\)"),
        (np.array([(1.0, 2.0)], dtype=[("Fe", "f8"), ("Ni", "f8")]), "the columns 'Fe', 'Ni'"),
        ({"NaCl", "KCl"}, "must be a sequence, got a set, which has no order"),
        (frozenset(["NaCl"]), "must be a sequence, got a frozenset, which has no order"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_what_is_no_list(take, given, message):
    with pytest.raises((ValueError, TypeError), match=message):
        take(given)


@pytest.mark.parametrize("take", TAKERS.values(), ids=TAKERS)
@pytest.mark.parametrize("given", [None, 3, 2.5, b"NaCl", np.float64(3), np.array("NaCl"), object(), int])
def test_what_holds_nothing(take, given):
    with pytest.raises((ValueError, TypeError)):
        take(given)


@pytest.mark.parametrize("name", [name for name in TAKERS if "Element" not in name and "Composition" not in name])
def test_a_dict_in_place_of_a_list(name):
    if name == "LearnedEmbedding":
        pytest.skip("a dict is one composition")
    with pytest.raises(TypeError, match=r"must be a sequence, got a dict: give list\(….values\(\)\)"):
        TAKERS[name]({"first": MOLECULES[0]})


def test_missing_values_in_a_column():
    with pytest.raises(TypeError, match=r"composition 1 must be a formula, .*got nan, a missing value"):
        ElementProperty().create(pd.DataFrame({"formula": ["NaCl", np.nan]}))
    with pytest.raises(TypeError, match=r"composition 1 must be a formula, .*got NoneType"):
        ElementProperty().create(["NaCl", None])
    with pytest.raises(TypeError, match=r"structure 1 must be an ase.Atoms, .*got nan, a missing value"):
        CoulombMatrix(9).create(pd.Series([MOLECULES[0], np.nan]))


def test_data_sets():
    dataset = load("g2")[:5]
    for descriptor in (CoulombMatrix(), SOAP(r_cut=3.0, n_max=2, l_max=1, average="inner"), ElementProperty(["mass"])):
        expected = descriptor.fit_transform(list(dataset.structures))
        np.testing.assert_array_equal(descriptor.fit_transform(dataset), expected)
        np.testing.assert_array_equal(descriptor.create(dataset), expected)
    steps = make_pipeline(ACSF(3.0), Pooling("mean"))
    np.testing.assert_array_equal(steps.fit_transform(dataset), steps.fit_transform(list(dataset.structures)))
    assert len(CenterSampler()(dataset)) == 5


def test_data_sets_of_compositions():
    dataset = Dataset("salts", "", None, ("a", "b", "c"), {}, "", "", compositions=tuple(FORMULAS))
    np.testing.assert_array_equal(ElementProperty().fit_transform(dataset), ElementProperty().fit_transform(FORMULAS))
    with pytest.raises(ValueError, match="structures: data set 'salts' has compositions only"):
        CoulombMatrix().fit_transform(dataset)


def test_columns_in_data_sets():
    table = pd.DataFrame({"formula": FORMULAS, "x": 1.0})
    given = {"name": "", "title": "", "ids": ("a", "b", "c"), "targets": {}, "description": "", "source": ""}
    assert Dataset(structures=None, compositions=table[["formula"]], **given).compositions == FORMULAS
    assert Dataset(structures=pd.Series(MOLECULES), **given).n_atoms.tolist() == [3, 5, 2]
    with pytest.raises(ValueError, match="compositions must be one column, got a DataFrame with the columns"):
        Dataset(structures=None, compositions=table, **given)


def test_a_single_structure_stays_one():
    assert CoulombMatrix(3).create(MOLECULES[0]).shape == (9,)
    assert CoulombMatrix(3).create(MOLECULES[:1]).shape == (1, 9)
    assert ElementProperty(["mass"]).create("NaCl").shape == (6,)
    assert ElementProperty(["mass"]).create(np.str_("NaCl")).shape == (6,)
    assert ElementProperty(["mass"]).create(bulk("Cu")).shape == (6,)
