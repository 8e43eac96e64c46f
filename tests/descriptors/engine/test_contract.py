"""What every descriptor promises, checked over a registry of all of them."""

import pickle
import threading
import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from helpers.registry import DEPENDS_ON_PLACE, HAS_NO_DERIVATIVES, NEEDS_CELL, REGISTRY, SMALL, some_structures
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.dummy import DummyRegressor
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks

from atomprint import _core
from atomprint.descriptors import SOAP, CoulombMatrix, EwaldSumMatrix
from atomprint.pooling import LocalFeatures, Pooling


@pytest.fixture(params=REGISTRY)
def name(request):
    return request.param


@pytest.fixture
def descriptor(name):
    return REGISTRY[name]


def rows(X) -> list[np.ndarray]:
    """Return the result for each structure as a dense array."""
    return [x.toarray() if sparse.issparse(x) else np.asarray(x) for x in X]


def index_types(X) -> set[str]:
    """Return the types of the indices of all sparse arrays in a result."""
    if isinstance(X, list | tuple):
        return set().union(*map(index_types, X))
    if isinstance(X, LocalFeatures):
        return index_types([X.values, *X])
    return {part.dtype.name for part in ((X.indices, X.indptr) if X.format == "csr" else X.coords)}


def test_shapes_names_and_dtypes(name, descriptor):
    structures = some_structures(name)
    X = descriptor.create(structures)
    assert len(X) == len(structures)
    names = descriptor.get_feature_names_out()
    assert len(names) == len(set(names)) == descriptor.get_number_of_features()
    for x in rows(X):
        assert x.shape[-1] == len(names)
        assert x.dtype == np.float64
        assert np.isfinite(x).all()
        assert np.abs(x).max() > 0
    single = clone(descriptor).set_params(dtype="float32")
    for x, y in zip(rows(X), rows(single.create(structures)), strict=True):
        assert y.dtype == np.float32
        np.testing.assert_allclose(x, y, atol=3e-6 * np.abs(x).max())


def test_single_structure_has_no_leading_axis(name, descriptor):
    atoms = some_structures(name)[0]
    alone, listed = descriptor.create(atoms), descriptor.create([atoms])
    assert listed.shape == (1, *alone.shape)
    np.testing.assert_array_equal(listed[0], alone)


def test_list_is_the_same_as_one_by_one(name, descriptor):
    structures = some_structures(name)
    if name in DEPENDS_ON_PLACE:
        structures = structures[:1]
    for x, atoms in zip(rows(descriptor.create(structures)), structures, strict=True):
        np.testing.assert_array_equal(x, descriptor.create(atoms))


def test_threads_change_nothing(name, descriptor):
    structures = some_structures(name) * 7
    for x, y in zip(rows(descriptor.create(structures)), rows(descriptor.create(structures, n_jobs=3)), strict=True):
        np.testing.assert_array_equal(x, y)


def test_two_python_threads_may_share_a_descriptor(name, descriptor):
    structures = some_structures(name) * 5
    expected = rows(descriptor.create(structures))
    results = {}
    threads = [
        threading.Thread(target=lambda k=k: results.update({k: rows(descriptor.create(structures))})) for k in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(4):
        for x, y in zip(results[k], expected, strict=True):
            np.testing.assert_array_equal(x, y)


def test_sparse_is_the_same(name, descriptor):
    structures = some_structures(name)
    given = clone(descriptor).set_params(sparse=True)
    X = given.create(structures)
    for x, y in zip(rows(X), rows(descriptor.create(structures)), strict=True):
        np.testing.assert_array_equal(x, y)
    assert index_types([X, given.create(structures[0]), given.create(structures[:1] * 2)]) == {"int32"}
    assert index_types(given.fit(structures).transform(structures)) == {"int32"}
    if name not in HAS_NO_DERIVATIVES:
        assert index_types([given.derivatives(structures[:k], wrt=("positions", "strain")) for k in (1, 3)]) == {
            "int32"
        }


def test_sparse_does_not_depend_on_threads_nor_on_progress(name, descriptor, capsys):
    structures = some_structures(name) * 7
    given = clone(descriptor).set_params(sparse=True)
    expected = given.create(structures)
    for options in ({"n_jobs": 3}, {"verbose": True}):
        found = given.create(structures, **options)
        pairs = zip(found, expected, strict=True) if isinstance(expected, list) else [(found, expected)]
        for x, y in pairs:
            assert (x.shape, x.nnz) == (y.shape, np.count_nonzero(y.toarray()))
            np.testing.assert_array_equal(x.toarray(), y.toarray())
            if x.format == "csr":
                assert x.has_canonical_format
                np.testing.assert_array_equal(x.indices, y.indices)


def test_structures_are_not_changed(name, descriptor):
    structures = some_structures(name)
    copies = [atoms.copy() for atoms in structures]
    descriptor.create(structures)
    assert structures == copies


def test_one_atom(name, descriptor):
    atoms = Atoms("Na", cell=[3.5, 3.6, 3.7], pbc=True)
    X = descriptor.create(atoms)
    assert np.isfinite(X).all()


@pytest.mark.parametrize(
    ("structures", "message"),
    [
        ([], "at least one structure"),
        (Atoms(cell=[1, 1, 1], pbc=True), "structure 0 must have at least one atom"),
        (Atoms("H2", positions=[[0, 0, 0], [np.nan, 0, 0]], cell=[4, 4, 4]), "structure 0, atom 1: position must be"),
        (Atoms("H2", positions=[[1, 0, 0], [1, 0, 0]], cell=[4, 4, 4]), "structure 0, atoms 0 and 1: .*coincide"),
    ],
)
def test_bad_structures_are_errors(name, descriptor, structures, message):
    for call in (descriptor.create, descriptor.transform):
        with pytest.raises(ValueError, match=message):
            call(structures)
    with pytest.raises(TypeError, match="int"):
        descriptor.create(3)
    if name in NEEDS_CELL:
        with pytest.raises(ValueError, match=r"structure 1: .*needs a cell, got none"):
            descriptor.create([bulk("C"), molecule("H2O")])
        with pytest.raises(ValueError, match=r"structure 0: .*volume"):
            descriptor.create(Atoms("H", cell=[[1, 0, 0], [2, 0, 0], [0, 0, 1]], pbc=True))


def test_bad_threads(descriptor):
    with pytest.raises(ValueError, match="n_jobs must not be 0"):
        descriptor.create(bulk("C"), n_jobs=0)
    with pytest.raises(TypeError, match=r"n_jobs must be an integer, got 1\.5"):
        descriptor.create(bulk("C"), n_jobs=1.5)


# scikit-learn ----------------------------------------------------------------------------------------------------


with warnings.catch_warnings():
    # It says that it leaves out all checks that feed numbers; those that need no data are named below.
    warnings.simplefilter("ignore", SkipTestWarning)
    scikit_learn_checks = estimator_checks.parametrize_with_checks([*REGISTRY.values(), Pooling()])


@scikit_learn_checks
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    "check",
    [
        "check_estimator_cloneable",
        "check_estimator_repr",
        "check_estimator_tags_renamed",
        "check_get_params_invariance",
        "check_mixin_order",
        "check_no_attributes_set_in_init",
        "check_set_params",
        "check_valid_tag_types",
    ],
)
def test_scikit_learn_checks_without_data(name, descriptor, check):
    function = getattr(estimator_checks, check, None)
    if function is None:
        pytest.skip(f"this scikit-learn has no {check}")
    if check == "check_set_params":
        # It sets every parameter to nonsense and accepts TypeError and ValueError, warning where others remain.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            function(name, clone(descriptor))
    else:
        function(name, clone(descriptor))


def test_clone_and_pickle(name, descriptor):
    structures = some_structures(name)
    expected = rows(descriptor.create(structures))
    for copy in (clone(descriptor), pickle.loads(pickle.dumps(descriptor))):
        for x, y in zip(rows(copy.create(structures)), expected, strict=True):
            np.testing.assert_array_equal(x, y)


def test_set_params_is_checked_and_undone(descriptor):
    copy = clone(descriptor)
    before = copy.get_params()
    with pytest.raises((TypeError, ValueError)):
        copy.set_params(n_jobs=4, dtype="int8")
    with pytest.raises(ValueError, match="Invalid parameter"):
        copy.set_params(n_jobs=4, foo=1)
    for key, value in copy.get_params().items():
        assert value is before[key] or value == before[key]


def test_scikit_learn_told_to_make_data_frames():
    pd = pytest.importorskip("pandas")
    structures = [molecule(m) for m in ("H2O", "NH3", "CO2", "CH4")]
    with config_context(transform_output="pandas"):
        model = make_pipeline(SOAP(**SMALL), Pooling("mean"), Ridge()).fit(structures, np.arange(4.0))
        assert isinstance(model[:-1].transform(structures), pd.DataFrame)
        assert isinstance(SOAP(**SMALL, average="inner").fit_transform(structures), pd.DataFrame)


def test_transform_has_a_leading_axis_for_a_bare_structure(name, descriptor):
    atoms = some_structures(name)[0]
    X = descriptor.transform(atoms)
    assert len(X) == 1
    np.testing.assert_array_equal(X[0], descriptor.create(atoms))


def test_fit_checks_its_structures():
    with pytest.raises(ValueError, match="structure 0, atom 0: species must be one of H, got O"):
        SOAP(species=["H"], r_cut=3.0).fit([molecule("H2O")])
    with pytest.raises(ValueError, match="structure 0: n_atoms_max must be >= its number of atoms, 3, got 2"):
        CoulombMatrix(n_atoms_max=2).fit([molecule("H2O")])
    for descriptor in (CoulombMatrix(n_atoms_max=2), SOAP(species=["H"], r_cut=3.0)):
        with pytest.raises(TypeError, match="got NoneType"):
            descriptor.fit(None)


def test_the_order_of_arguments_is_that_of_dscribe():
    atoms = [molecule("H2O"), molecule("NH3")]
    soap = SOAP(**SMALL)
    for x, y in zip(
        soap.create(atoms, [[0], [0]], 2, False, False), soap.create(atoms, centers=[[0], [0]]), strict=True
    ):
        np.testing.assert_array_equal(x, y)
    matrix = CoulombMatrix(4)
    np.testing.assert_array_equal(matrix.create(atoms, -1, True, False), matrix.create(atoms))
    crystal = bulk("NaCl", "rocksalt", 5.64)
    ewald = EwaldSumMatrix(2)
    np.testing.assert_array_equal(
        ewald.create(crystal, 1e-6, 2, None, None, None, 1), ewald.create(crystal, accuracy=1e-6, w=2)
    )


def test_pipeline(name, descriptor):
    structures = some_structures(name) * 4
    y = np.arange(len(structures), dtype=float)
    if isinstance(descriptor.transform(structures), LocalFeatures):
        model = make_pipeline(clone(descriptor), Pooling("mean"), StandardScaler(), Ridge())
    else:
        model = make_pipeline(clone(descriptor), StandardScaler(), Ridge())
    model.fit(structures, y)
    assert model.predict(structures).shape == y.shape
    assert len(model[:-1].get_feature_names_out()) == model[-1].n_features_in_
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(structures), model.predict(structures))


def test_set_output(name, descriptor):
    pd = pytest.importorskip("pandas")
    structures = some_structures(name)
    copy = clone(descriptor).set_output(transform="pandas").fit(structures)
    X = copy.transform(structures)
    if isinstance(descriptor.transform(structures), LocalFeatures):
        assert isinstance(X, LocalFeatures)  # rows are centres: no table of structures
    else:
        assert isinstance(X, pd.DataFrame)
        assert list(X.columns) == list(copy.get_feature_names_out())


@pytest.mark.parametrize(
    ("template", "grid"),
    [
        (SOAP(r_cut=3.0, n_max=3, l_max=2, sigma=0.4, average="outer"), {"r_cut": [2.5, 3.0], "n_max": [2, 3]}),
        (SOAP(r_cut=3.0, n_max=3, l_max=2, pooling="mean"), {"pooling": ["mean", "sum"], "l_max": [1, 2]}),
        (CoulombMatrix(), {"permutation": ["sorted_l2", "eigenspectrum"]}),
    ],
)
def test_grid_search_with_what_fit_learns(template, grid):
    structures = [molecule(m) for m in ("H2O", "NH3", "CH4", "CO2", "CH3OH", "H2O2", "HCN", "N2H4")]
    y = np.array([len(atoms) for atoms in structures], dtype=float)
    model = make_pipeline(clone(template), Ridge())
    # Folds in which a structure has a species (or size) that the training part lacks fail, so all see all.
    step = model.steps[0][0]
    search = GridSearchCV(
        model,
        {f"{step}__{key}": values for key, values in grid.items()},
        cv=[(range(8), range(8))],
        error_score="raise",
    )
    search.fit(structures, y)
    assert search.best_estimator_.predict(structures).shape == (8,)


def test_what_is_learnt_in_fit():
    soap = SOAP(r_cut=3.0, n_max=2, l_max=1)
    with pytest.raises(NotFittedError, match="SOAP: species is not known: give it to the constructor or call fit"):
        soap.create(molecule("H2O"))
    soap.fit([molecule("H2O"), molecule("CO2")])
    assert soap.species_ == (1, 6, 8)
    assert soap.species is None
    with pytest.raises(ValueError, match="structure 0, atom 0: species must be one of H, C, O, got N"):
        soap.transform([molecule("NH3")])
    matrix = CoulombMatrix()
    with pytest.raises(NotFittedError, match="n_atoms_max"):
        matrix.create(molecule("H2O"))
    matrix.fit([molecule("H2O"), molecule("CH4")])
    assert matrix.transform([molecule("H2O")]).shape == (1, 25)


def test_import_is_fast():
    import subprocess
    import sys

    code = "import sys, atomprint; print([m for m in ('matplotlib', 'pandas', 'sklearn', 'torch') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_pooled_descriptor_in_a_model():
    structures = [molecule(m) for m in ("H2O", "NH3", "CH4", "CO2")]
    model = make_pipeline(SOAP(**SMALL), Pooling(("mean", "max")), DummyRegressor())
    assert model.fit(structures, [1.0, 2.0, 3.0, 4.0]).predict(structures).tolist() == [2.5] * 4


def test_the_core_refuses_a_centre_on_an_atom_that_its_structure_lacks():
    call = SOAP(**SMALL)._call([molecule("H2O"), molecule("NH3")])
    batch, points = call.batch, call.centers.points
    for atoms in ([0, 1, 3, 0, 1, 2, 3], [0, 1, 10**6, 0, 1, 2, 3]):
        centers = _core.Centers(points, np.array(atoms), batch.offsets)
        with pytest.raises(ValueError, match="the atom of a centre must be one of its structure"):
            _core.neighbour_pairs(batch.core(), centers, 2.0, False, None, 0, False, 0.0, 1000, 1)


@pytest.mark.parametrize(
    "given",
    [
        {"compression": "off"},
        {"compression": "mu1nu1"},
        {"compression": "crossover", "average": "inner"},
        {"average": "outer"},
        {"pooling": ("mean", "sum")},
        {"pooling": ("mean", "std")},
        {"compression": "mu2"},
        {"species_embedding": np.ones((14, 3))},
    ],
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_zeros_of_many_species_are_not_written(given, dtype, monkeypatch):
    atoms = [molecule(name) for name in ("CH3CH2OH", "H2O", "SO2", "NaCl")]
    many = ["H", "He", "Li", "C", "N", "O", "F", "Ne", "Na", "S", "Cl", "K", "Ca", "Fe"]
    soap = SOAP(**SMALL | {"species": many}, **given, dtype=dtype)
    wanted = rows(soap.create(atoms))
    monkeypatch.setattr("atomprint.descriptors.engine.parts._LARGE_BYTES", 1)
    for x, y in zip(rows(soap.create(atoms, n_jobs=2)), wanted, strict=True):
        np.testing.assert_array_equal(x, y)


def test_zeros_of_many_species_in_all_that_have_gaps(name, descriptor, monkeypatch):
    structures = some_structures(name)
    wanted = rows(descriptor.create(structures))
    monkeypatch.setattr("atomprint.descriptors.engine.parts._LARGE_BYTES", 1)
    monkeypatch.setattr("atomprint.descriptors.engine.parts._MANY_SPECIES", 1)
    for x, y in zip(rows(descriptor.create(structures)), wanted, strict=True):
        np.testing.assert_array_equal(x, y)
