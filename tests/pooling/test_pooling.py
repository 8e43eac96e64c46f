"""Pooling of local features, and the container that holds them."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.data import atomic_masses
from ase.spacegroup import crystal
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import atomprint.pooling
from atomprint.descriptors import ACSF, LMBTR, SOAP
from atomprint.pooling import LocalFeatures, Pooling
from atomprint.pooling.weights import RowWeights
from atomprint.structures import as_batch, counted_from

METHODS = ("mean", "sum", "max", "min", "std")


def example(seed=0, counts=(3, 1, 4, 3), n_features=5, dtype=np.float64):
    """Local features of structures of H, C and O, some of which lack an element."""
    rng = np.random.default_rng(seed)
    numbers = rng.choice([1, 6, 8], size=sum(counts)).astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    atoms = np.concatenate([np.arange(n) for n in counts])
    return LocalFeatures(rng.normal(size=(sum(counts), n_features)).astype(dtype), offsets, numbers, atoms)


def naive(x, method, weights):
    """One method on the rows of one group, from its definition."""
    if len(x) == 0 or sum(weights) == 0:
        return np.zeros(x.shape[1])
    if method == "sum":
        return sum(w * row for w, row in zip(weights, x, strict=True))
    if method in ("max", "min"):
        return getattr(np, method)(x, axis=0)
    mean = np.average(x, axis=0, weights=weights)
    return mean if method == "mean" else np.sqrt(np.average((x - mean) ** 2, axis=0, weights=weights))


def naive_pool(features, methods, weights=None, species=None):
    rows = []
    for s, x in enumerate(features):
        own = slice(features.offsets[s], features.offsets[s + 1])
        w = np.ones(len(x)) if weights is None else np.asarray(weights[s], dtype=float)
        groups = [np.full(len(x), True)]
        if species is not None:
            groups = [features.numbers[own] == z for z in species]
        rows.append(np.concatenate([naive(x[g], m, w[g]) for g in groups for m in methods]))
    return np.array(rows)


# -------------------------------------------------------------------------------- LocalFeatures


def test_local_features_are_a_sequence():
    features = example()
    assert len(features) == 4
    assert [x.shape for x in features] == [(3, 5), (1, 5), (4, 5), (3, 5)]
    assert features[2].base is features.values
    np.testing.assert_array_equal(features[-1], features.values[8:])
    with pytest.raises(IndexError):
        features[4]
    assert repr(features) == "LocalFeatures(4 structures, 11 centres, 5 features)"


def test_slices_of_local_features():
    features = example()
    part = LocalFeatures(**(vars(features) | {"structures": list("abcd"), "feature_names": list("vwxyz")}))[1:3]
    assert len(part) == 2
    np.testing.assert_array_equal(part.values, features.values[3:8])
    np.testing.assert_array_equal(part.offsets, [0, 1, 5])
    np.testing.assert_array_equal(part.numbers, features.numbers[3:8])
    np.testing.assert_array_equal(part.atoms, [0, 0, 1, 2, 3])
    assert part.structures == ["b", "c"]
    assert part.feature_names == list("vwxyz")
    assert len(features[3:1]) == 0
    with pytest.raises(ValueError, match="LocalFeatures can only be sliced with step 1, got -1"):
        features[::-1]


def test_local_features_from_arrays():
    features = example()
    same = LocalFeatures.from_arrays(list(features))
    np.testing.assert_array_equal(same.values, features.values)
    np.testing.assert_array_equal(same.offsets, features.offsets)
    assert same.numbers is None
    cube = np.arange(24.0).reshape(2, 3, 4)
    stacked = LocalFeatures.from_arrays(cube)
    np.testing.assert_array_equal(stacked[1], cube[1])
    assert np.shares_memory(stacked.values, cube)
    mixed = LocalFeatures.from_arrays([sparse.csr_array(np.eye(2)), np.ones((1, 2)), sparse.coo_array(np.eye(2))])
    assert isinstance(mixed.values, sparse.csr_array)
    assert mixed.values.indices.dtype == mixed.values.indptr.dtype == np.int32
    np.testing.assert_array_equal(mixed[2].toarray(), np.eye(2))
    numbered = LocalFeatures.from_arrays([[[1.0]], [[2.0], [3.0]]], numbers=[[8], [0, 1]])
    np.testing.assert_array_equal(numbered.numbers, [8, 0, 1])


@pytest.mark.parametrize(
    ("arrays", "numbers", "error", "message"),
    [
        ([], None, ValueError, "features must hold at least one structure, got none"),
        (np.empty((0, 2, 3)), None, ValueError, "features must hold at least one structure, got none"),
        ([np.ones((2, 3)), np.ones(3)], None, ValueError, r"structure 1: shape must be .* got \(3,\)"),
        ([np.ones((2, 3)), np.ones((2, 4))], None, ValueError, "structure 1: .* as in structure 0, 3, got 4"),
        ([[["a"]]], None, TypeError, "features must be real numbers"),
        ([np.ones((2, 3)) * 1j], None, TypeError, "features must be real numbers, got dtype complex128"),
        ("ab", None, TypeError, "features must be a list with one array for each structure, got 'ab'"),
        (sparse.eye_array(3), None, TypeError, "features must be a list with one array for each structure"),
        (3.0, None, TypeError, "features must be a list with one array for each structure, got 3.0"),
        (
            [np.ones((2, 3))],
            [[1], [1]],
            ValueError,
            "numbers must hold one array for each structure, got 2 for 1",
        ),
        ([np.ones((2, 3))], [[1]], ValueError, r"numbers: structure 0: shape must be \(2,\)"),
        (
            [np.ones((2, 3))],
            [[1.0, 1.0]],
            TypeError,
            "numbers: structure 0: must be integers, got dtype float64",
        ),
        (
            [np.ones((2, 3))],
            [[1, 119]],
            ValueError,
            r"structure 0, centre 1: atomic number must be in 0..118, got 119",
        ),
    ],
)
def test_bad_arrays(arrays, numbers, error, message):
    with pytest.raises(error, match=message):
        LocalFeatures.from_arrays(arrays, numbers)


def test_inconsistent_local_features():
    values = np.ones((3, 2))
    with pytest.raises(ValueError, match="offsets must rise from 0 to the number of rows, 3, got"):
        LocalFeatures(values, np.array([0, 2]))
    with pytest.raises(ValueError, match="offsets must rise from 0"):
        LocalFeatures(values, np.array([0, 2, 1, 3]))
    with pytest.raises(ValueError, match=r"numbers must have shape \(3,\), one for each row, got \(2,\)"):
        LocalFeatures(values, np.array([0, 3]), numbers=np.ones(2, dtype=int))


# -------------------------------------------------------------------------------- values


@pytest.mark.parametrize("method", METHODS)
def test_one_method(method):
    features = example()
    expected = naive_pool(features, [method])
    np.testing.assert_allclose(Pooling(method).fit_transform(features), expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(Pooling(method).transform(list(features)), expected, rtol=1e-12, atol=1e-14)


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=12),
    st.lists(st.sampled_from(METHODS), min_size=1, max_size=5, unique=True),
    st.booleans(),
    st.booleans(),
    st.integers(1, 64),
    st.integers(0, 2**32 - 1),
)
def test_every_combination_is_the_naive_loop(counts, methods, weighted, by_species, block, seed):
    features = example(seed, counts=counts, n_features=3)
    weights = None
    if weighted and not {"max", "min"} & set(methods):
        rng = np.random.default_rng(seed)
        weights = [rng.integers(0, 3, size=n) + (np.arange(n) == 0) for n in counts]
    species = [1, 6, 8, 9] if by_species else None
    pooling = Pooling(tuple(methods), weights=weights, by_species=by_species, species=species)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(atomprint.pooling.pooling, "_BLOCK_ENTRIES", block)
        pooled = pooling.transform(features)
    expected = naive_pool(features, methods, weights, species)
    np.testing.assert_allclose(pooled, expected, rtol=1e-12, atol=1e-13)
    assert pooled.shape[1] == pooling.n_features_out(3)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("by_species", [False, True])
def test_order_of_centres_does_not_matter(method, by_species):
    features = example()
    rng = np.random.default_rng(3)
    order = np.concatenate(
        [rng.permutation(np.arange(a, b)) for a, b in zip(features.offsets[:-1], features.offsets[1:], strict=True)]
    )
    shuffled = LocalFeatures(features.values[order], features.offsets, features.numbers[order])
    pooling = Pooling(method, by_species=by_species).fit(features)
    np.testing.assert_allclose(pooling.transform(shuffled), pooling.transform(features), rtol=1e-12, atol=1e-14)


def test_large_structures_are_pooled_piece_by_piece():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(5000, 40)) + 1e6
    for by_species in (False, True):
        features = LocalFeatures(values, np.array([0, 4990, 5000]), numbers=rng.choice([1, 8], size=5000))
        pooling = Pooling(METHODS, by_species=by_species)
        expected = naive_pool(features, METHODS, species=[1, 8] if by_species else None)
        # The mean of squares less the square of the mean would lose 12 digits of the deviation.
        np.testing.assert_allclose(pooling.fit_transform(features), expected, rtol=1e-9)


def test_dtypes():
    features = example(dtype=np.float32)
    pooled = Pooling(METHODS).transform(features)
    assert pooled.dtype == np.float32
    # Sums are in float64: only the rounding of the result is left.
    exact = Pooling(METHODS).transform([x.astype(np.float64) for x in features])
    np.testing.assert_array_equal(pooled, exact.astype(np.float32))
    assert Pooling().transform([np.array([[1], [2]])]).tolist() == [[1.5]]
    assert Pooling("max").transform([np.array([[True], [False]])]).dtype == np.float64


def test_many_float32_rows_do_not_lose_digits():
    values = np.full((200_000, 1), 0.1, dtype=np.float32)
    pooled = Pooling("sum").transform([values])
    assert pooled[0, 0] == np.float32(200_000 * np.float64(np.float32(0.1)))


def test_input_is_not_changed():
    features = example()
    before = features.values.copy()
    Pooling(METHODS, by_species=True).fit_transform(features)
    np.testing.assert_array_equal(features.values, before)


def test_no_features_at_all():
    assert Pooling(METHODS).transform([np.empty((2, 0))]).shape == (1, 0)


# -------------------------------------------------------------------------------- sparse


@pytest.mark.parametrize("methods", [("mean",), ("sum",), ("sum", "mean")])
@pytest.mark.parametrize("by_species", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_sparse_is_dense(methods, by_species, weighted):
    features = example(dtype=np.float32)
    features.values[features.values < 0.3] = 0
    weights = [[1e8, 0, 1e8], [1e-8], [1, 2, 0, 0], [0, 1, 1e-3]] if weighted else None
    pooling = Pooling(methods, weights=weights, by_species=by_species).fit(features)
    as_sparse = LocalFeatures(sparse.csr_array(features.values), features.offsets, features.numbers)
    pooled = pooling.transform(as_sparse)
    assert isinstance(pooled, sparse.csr_array)
    assert pooled.indices.dtype == pooled.indptr.dtype == np.int32
    assert pooled.dtype == np.float32
    # One rounding to float32.
    np.testing.assert_allclose(pooled.toarray(), pooling.transform(features), rtol=1.3e-7)


@pytest.mark.parametrize("method", ["max", "min", "std"])
def test_sparse_needs_a_linear_method(method):
    with pytest.raises(ValueError, match=f"method must be 'mean' or 'sum' for sparse features, got '{method}'"):
        Pooling(("mean", method)).transform([sparse.csr_array(np.eye(2))])


# -------------------------------------------------------------------------------- species


def test_by_species_layout_and_names():
    features = LocalFeatures.from_arrays(
        [[[1.0, 10.0], [3.0, 30.0], [5.0, 50.0]], [[7.0, 70.0]]], numbers=[[1, 8, 1], [8]]
    )
    pooling = Pooling(("mean", "max"), by_species=True).fit(features)
    assert pooling.species_ == (1, 8)
    np.testing.assert_array_equal(
        pooling.transform(features), [[3, 30, 5, 50, 3, 30, 3, 30], [0, 0, 0, 0, 7, 70, 7, 70]]
    )
    assert pooling.n_features_out(2) == 8
    assert pooling.get_feature_names_out(["a", "b"]).tolist() == [
        f"{symbol}: {method} {name}" for symbol in ("H", "O") for method in ("mean", "max") for name in ("a", "b")
    ]


def test_given_species_come_by_atomic_number():
    features = example()
    given_species = Pooling(by_species=True, species=["O", "C", "H"]).transform(features)
    np.testing.assert_array_equal(given_species, Pooling(by_species=True).fit_transform(features))


def test_an_absent_element_gives_zeros_even_for_min():
    features = LocalFeatures.from_arrays([[[5.0]]], numbers=[[1]])
    pooled = Pooling(METHODS, by_species=True, species=["H", "C"]).transform(features)
    assert pooled.tolist() == [[5, 5, 5, 5, 0, 0, 0, 0, 0, 0]]


def test_species_that_cannot_be_pooled():
    features = LocalFeatures.from_arrays([[[1.0]], [[1.0], [2.0]]], numbers=[[8], [6, 1]])
    with pytest.raises(ValueError, match="structure 1, centre 1: species must be one of C, O, got H"):
        Pooling(by_species=True, species=["C", "O"]).transform(features)
    with pytest.raises(ValueError, match="by_species=True needs the atomic numbers of the centres"):
        Pooling(by_species=True).fit(list(features))
    point = LocalFeatures.from_arrays([[[1.0]], [[1.0], [2.0]]], numbers=[[1], [1, 0]])
    with pytest.raises(ValueError, match=r"structure 1, centre 1: by_species=True needs .* got a Cartesian point"):
        Pooling(by_species=True).fit(point)
    with pytest.raises(NotFittedError, match="species is not known"):
        Pooling(by_species=True).transform(features)
    with pytest.raises(NotFittedError, match="species is not known"):
        Pooling(by_species=True).n_features_out(3)


# -------------------------------------------------------------------------------- weights


def test_weights_from_the_atoms():
    water = [molecule("H2O")]
    features = LocalFeatures.from_arrays([[[1.0], [2.0], [4.0]]], numbers=[water[0].numbers])
    assert Pooling(weights="atomic_number").transform(features).item() == pytest.approx((8 + 2 + 4) / 10)
    m = atomic_masses[[8, 1, 1]]
    assert Pooling(weights="mass").transform(features).item() == pytest.approx(m @ [1, 2, 4] / m.sum())
    assert Pooling("sum", weights="atomic_number").transform(features).item() == 14.0
    with pytest.raises(ValueError, match="weights='mass' needs the atomic numbers of the centres"):
        Pooling(weights="mass").transform(list(features))
    point = LocalFeatures.from_arrays([[[1.0]]], numbers=[[0]])
    with pytest.raises(ValueError, match="structure 0, centre 0: weights='atomic_number' needs centres that are atoms"):
        Pooling(weights="atomic_number").transform(point)


def spinel():
    """MgAl2O4: 8 Mg, 16 Al and 32 O in the cell."""
    sites = [(1 / 8,) * 3, (1 / 2,) * 3, (0.2624,) * 3]
    return crystal(["Mg", "Al", "O"], sites, spacegroup=227, setting=2, cellpar=[8.083] * 3 + [90] * 3)


def test_multiplicity_weighted_mean_over_one_site_of_each_kind_is_the_mean_over_all():
    atoms = spinel()
    assert np.bincount(atoms.numbers)[[12, 13, 8]].tolist() == [8, 16, 32]
    value = {12: 1.0, 13: 10.0, 8: 100.0}
    sites = np.array([int(np.flatnonzero(atoms.numbers == z)[0]) for z in (13, 8, 12)])
    numbers = atoms.numbers[sites]
    features = LocalFeatures(np.array([[value[z]] for z in numbers]), np.array([0, 3]), numbers, sites, [atoms])
    everything = np.mean([value[z] for z in atoms.numbers])
    assert Pooling(weights="multiplicity").transform(features).item() == pytest.approx(everything, rel=1e-14)
    alone = LocalFeatures(features.values, features.offsets, numbers, sites, atoms)
    assert Pooling(weights="multiplicity").transform(alone).item() == pytest.approx(everything, rel=1e-14)


def multiplicity_weights(structure, atoms=(0, 1, 2)):
    atoms = np.asarray(atoms)
    features = LocalFeatures(np.eye(len(atoms)), np.array([0, len(atoms)]), np.ones_like(atoms), atoms, [structure])
    return Pooling("sum", weights="multiplicity").transform(features)[0].tolist()


def test_where_multiplicities_come_from():
    atoms = Atoms("H3", [[0, 0, 0], [1, 0, 0], [2, 0, 0]])
    atoms.set_array("spacegroup_kinds", np.array([5, 2, 5]))
    assert multiplicity_weights(atoms) == [2, 1, 2]
    assert multiplicity_weights(atoms, [2, 1]) == [2, 1]
    atoms.set_array("wyckoff_multiplicity", np.array([4, 8, 4]))
    assert multiplicity_weights(atoms) == [4, 8, 4]


class SymmetrizedStructure(SimpleNamespace):
    """What pymatgen's class of this name offers, as far as it matters here."""

    def __len__(self):
        return 3


def test_multiplicities_of_pymatgen_objects():
    assert multiplicity_weights(SymmetrizedStructure(site_properties={}, equivalent_indices=[[0, 2], [1]])) == [2, 1, 2]
    given_by_site = SymmetrizedStructure(site_properties={"wyckoff_multiplicity": [3, 1, 3]})
    assert multiplicity_weights(given_by_site) == [3, 1, 3]
    with pytest.raises(ValueError, match="structure 0: wyckoff_multiplicity must be > 0 for every site"):
        multiplicity_weights(SymmetrizedStructure(site_properties={"wyckoff_multiplicity": [3, None, 3]}))


def test_no_multiplicities():
    atoms = [spinel(), molecule("H2O")]
    rows = np.ones((2, 1))
    features = LocalFeatures(rows, np.array([0, 1, 2]), np.array([12, 8]), np.array([0, 0]), atoms)
    with pytest.raises(ValueError, match="structure 1: weights='multiplicity' needs an array"):
        Pooling(weights="multiplicity").transform(features)
    for structures in (None, atoms[:1], as_batch(atoms[1], periodic=False), "file.xyz"):
        features = LocalFeatures(rows, np.array([0, 1, 2]), np.array([12, 8]), np.array([0, 0]), structures)
        with pytest.raises(ValueError, match="weights='multiplicity' needs the structures themselves"):
            Pooling(weights="multiplicity").transform(features)


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        ([[1, 1]], ValueError, "weights must hold one array for each structure, got 1 for 2 structures"),
        (
            [[1, 1], [1, 1]],
            ValueError,
            r"weights: structure 1: shape must be \(1,\), one for each centre, got \(2,\)",
        ),
        (
            [[1, -1], [1]],
            ValueError,
            "weights: structure 0, centre 1: weight must be finite and >= 0, got -1.0",
        ),
        (
            [[1, 1], [np.nan]],
            ValueError,
            "weights: structure 1, centre 0: weight must be finite and >= 0, got nan",
        ),
        (
            [[1, 1], [np.inf]],
            ValueError,
            "weights: structure 1, centre 0: weight must be finite and >= 0, got inf",
        ),
        ([[1, 1], [0.0]], ValueError, "weights: structure 1: the sum must be > 0 and finite, got 0"),
        ([[1e308, 1e308], [1]], ValueError, "weights: structure 0: the sum must be > 0 and finite, got inf"),
        ([["a", "b"], [1]], TypeError, "weights: structure 0: must be numbers"),
        ([1, 2], ValueError, r"weights: structure 0: shape must be \(2,\)"),
    ],
)
def test_bad_weights(weights, error, message):
    with pytest.raises(error, match=message):
        Pooling(weights=weights).transform([np.ones((2, 3)), np.ones((1, 3))])


# -------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        (
            {"method": "median"},
            ValueError,
            "method must be one of 'mean', 'sum', 'max', 'min', 'std', got 'median'",
        ),
        ({"method": ("mean", "mode")}, ValueError, "method must be one of .*, got 'mode'"),
        ({"method": ()}, ValueError, r"method must name one or more different methods, got \(\)"),
        ({"method": ("max", "max")}, ValueError, "method must name one or more different methods"),
        ({"method": None}, TypeError, "method must be a string or a tuple of strings, got None"),
        ({"by_species": 1}, TypeError, "by_species must be True or False, got 1"),
        ({"species": ["Xx"]}, ValueError, "species must be chemical symbols or atomic numbers, got 'Xx'"),
        ({"weights": "charge"}, ValueError, "weights must be one of .*'multiplicity', got 'charge'"),
        ({"weights": 2.0}, TypeError, "weights must be None, one of .*, or a sequence .*, got 2.0"),
        ({"method": "max", "weights": "mass"}, ValueError, "weights must be None for method 'max'"),
        ({"method": ("mean", "min"), "weights": "mass"}, ValueError, "weights must be None for method 'min'"),
    ],
)
def test_bad_parameters(parameters, error, message):
    with pytest.raises(error, match=message):
        Pooling(**parameters)
    with pytest.raises(error, match=message):
        Pooling().set_params(**parameters).transform(example())


def test_a_structure_without_centres():
    with pytest.raises(ValueError, match="structure 1 must have at least one centre to pool over, got none"):
        Pooling().transform([np.ones((1, 2)), np.empty((0, 2))])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("method", ["mean", "sum", "std"])
def test_features_that_are_not_finite(method, value):
    features = example()
    features.values[9, 2] = value
    with pytest.raises(ValueError, match="structure 3: features must be finite"):
        Pooling(method).transform(features)
    if method != "std":
        as_sparse = LocalFeatures(sparse.csr_array(features.values), features.offsets)
        with pytest.raises(ValueError, match="structure 3: features must be finite"):
            Pooling(method).transform(as_sparse)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_a_sum_out_of_range(kind):
    with pytest.raises(ValueError, match="structure 1: features must be finite, and their sum within range"):
        Pooling("sum").transform([kind(np.ones((1, 1), np.float32)), kind(np.full((2, 1), 3e38, np.float32))])


def test_one_array_for_all_is_ambiguous():
    with pytest.raises(ValueError, match=r"features must be a list .*, got one array of shape \(3, 2\)"):
        Pooling().transform(np.ones((3, 2)))


# -------------------------------------------------------------------------------- scikit-learn


def test_parameters_clone_and_pickle():
    pooling = Pooling(("mean", "std"), by_species=True, species=["H"])
    assert pooling.get_params() == {
        "method": ("mean", "std"),
        "weights": None,
        "by_species": True,
        "species": ["H"],
        "channels": None,
    }
    assert clone(pooling).get_params() == pooling.get_params()
    assert repr(Pooling("max")) == "Pooling(method='max')"
    features = example()
    fitted = Pooling(by_species=True).fit(features)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.transform(features), fitted.transform(features))


def test_feature_names():
    features = example()
    with pytest.raises(NotFittedError, match="give input_features or call fit first"):
        Pooling().get_feature_names_out()
    assert Pooling("max").get_feature_names_out(["a", "b"]).tolist() == ["max a", "max b"]
    pooling = Pooling("max").fit(features)
    assert pooling.get_feature_names_out().tolist() == [f"max x{i}" for i in range(5)]
    named = LocalFeatures(features.values, features.offsets, feature_names=list("vwxyz"))
    assert pooling.fit(named).get_feature_names_out().tolist() == [f"max {name}" for name in "vwxyz"]
    assert pooling.fit(features).get_feature_names_out()[0] == "max x0"


def test_pandas_output():
    features = example()
    frame = Pooling(("mean", "max")).set_output(transform="pandas").fit_transform(features)
    assert frame.shape == (4, 10)
    assert frame.columns[-1] == "max x4"


def to_local(molecules):
    """Stand for a local descriptor."""
    return LocalFeatures.from_arrays(
        [np.column_stack([atoms.numbers, np.linalg.norm(atoms.positions, axis=1)]) for atoms in molecules],
        numbers=[atoms.numbers for atoms in molecules],
    )


def test_in_a_pipeline():
    molecules = [molecule(name) for name in ("H2O", "CO2", "CH4", "C2H6", "CH3OH", "H2O2", "CO", "H2", "CH3CH2OH")]
    y = np.array([len(atoms) for atoms in molecules], dtype=float)
    model = make_pipeline(FunctionTransformer(to_local), Pooling(by_species=True, species=["H", "C", "O"]), Ridge(1e-6))
    grid = GridSearchCV(model, {"pooling__method": ["mean", "sum", ("sum", "std")]}, cv=3)
    assert grid.fit(molecules, y).best_params_["pooling__method"] in ["mean", "sum", ("sum", "std")]
    # The number of atoms is the sum of atomic numbers of H, over 1, of C, over 6, and of O, over 8.
    counting = make_pipeline(FunctionTransformer(to_local), Pooling("sum"), Ridge(1e-6))
    assert np.isfinite(cross_val_score(counting, molecules, y, cv=3)).all()
    assert not model[1].__sklearn_tags__().requires_fit
    assert Pooling(by_species=True).__sklearn_tags__().requires_fit


# -------------------------------------------------------------------------------- in chunks


@pytest.mark.parametrize("by_species", [False, True])
@pytest.mark.parametrize("as_sparse", [False, True])
def test_a_plan_pools_chunk_by_chunk(by_species, as_sparse):
    features = example(counts=(3, 1, 4, 3, 2, 6))
    weights = [np.arange(1, n + 1) for n in np.diff(features.offsets)]
    pooling = Pooling(("sum", "mean"), weights=weights, by_species=by_species, species=["H", "C", "O"])
    plan = pooling._plan(features.offsets, features.numbers)
    assert len(plan) == 6
    whole = plan(features.values)
    for start, stop in [(0, 2), (2, 3), (3, 6), (0, 6)]:
        values = features[start:stop].values
        part = plan[start:stop](sparse.csr_array(values) if as_sparse else values)
        np.testing.assert_allclose(part.toarray() if as_sparse else part, whole[start:stop], rtol=1e-14)
    with pytest.raises(ValueError, match="structure 3: features must be finite"), counted_from(2):
        plan[2:4](np.concatenate([np.zeros((4, 1)), np.full((3, 1), np.nan)]))
    matrix = plan.row_weights().matrix(features.offsets)
    assert matrix.shape == (6 * (3 if by_species else 1) * 2, 19)
    np.testing.assert_allclose((matrix @ features.values).reshape(6, -1), whole, rtol=1e-14, atol=1e-15)


# -------------------------------------------------------------------------------- in the core

POOLINGS = [
    "mean",
    ("sum", "mean"),
    Pooling("mean", by_species=True),
    Pooling(("mean", "sum"), weights="mass", by_species=True),
    Pooling(("mean", "covariance"), channels="species"),
]


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("name", ["soap", "acsf", "lmbtr"])
def test_linear_poolings_in_the_core_are_their_matrix(name, pooling):
    # Enough atoms for several partial sums; a structure without one of the elements; centres of its own for each.
    rng = np.random.default_rng(0)
    large, small = bulk("NaCl", "rocksalt", 5.6, cubic=True).repeat(2), bulk("Na")
    large.positions += rng.normal(0, 0.1, large.positions.shape)
    structures, centers = [large, small], [None, [[0.3, 0.2, 0.1]] if pooling == "mean" else [0]]
    descriptor = {
        "soap": lambda **p: SOAP(r_cut=3.0, n_max=2, l_max=2, species=["Na", "Cl"], periodic=True, **p),
        "acsf": lambda **p: ACSF(r_cut=3.0, g2_params=[[1, 1]], species=["Na", "Cl"], periodic=True, **p),
        "lmbtr": lambda **p: LMBTR(
            geometry={"function": "distance"},
            grid={"min": 1, "max": 4, "n": 5, "sigma": 0.3},
            weighting={"function": "exp", "r_cut": 3.5, "threshold": 1e-2},
            species=["Na", "Cl"],
            periodic=True,
            **p,
        ),
    }[name]
    pooled, plain = descriptor(pooling=pooling), descriptor()
    plan = pooled._call(structures, centers=centers).plan
    matrix = plan.row_weights().matrix(np.array([0, 64, 65]))
    rows = np.concatenate(plain.create(structures, centers))
    found = pooled.create(structures, centers)
    np.testing.assert_allclose(found, (matrix @ rows).reshape(2, -1), rtol=1e-11, atol=1e-11 * np.abs(rows).max())
    weights = rng.normal(size=found.shape)
    gradient = pooled.vjp(structures, weights, centers, return_descriptor=True)
    np.testing.assert_array_equal(gradient.descriptor, found)
    back = matrix.T @ weights.reshape(matrix.shape[0], -1)
    expected = plain.vjp(structures, [back[:64], back[64:]], centers)
    for a, b in zip(gradient.positions, expected.positions, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-11 * max(1, np.abs(b).max()))
    np.testing.assert_allclose(gradient.strain, expected.strain, atol=1e-11 * np.abs(expected.strain).max())
    again = pooled.vjp(structures, weights, centers, return_descriptor=True, n_jobs=2)
    np.testing.assert_array_equal(again.descriptor, found)
    np.testing.assert_array_equal(again.positions[0], gradient.positions[0])


def test_sums_in_the_core_that_are_too_large():
    weights = [np.ones(2), np.full(2, 8e307)]
    soap = SOAP(r_cut=3.0, n_max=2, l_max=1, species=["H"], pooling=Pooling("sum", weights=weights))
    hydrogen = Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.7]])
    with pytest.raises(ValueError, match="structure 1: features must be finite, and their sum within range"):
        soap.create([hydrogen, hydrogen])


# -------------------------------------------------------------------------------- weights by element, by a function


def _environments():
    salts = [bulk("NaCl", "rocksalt", 5.64), bulk("NaCl", "cesiumchloride", 3.5)]
    return salts, SOAP(r_cut=4.0, n_max=2, l_max=1, species=["Na", "Cl"], periodic=True)


@pytest.mark.parametrize("method", ["mean", "sum", "std"])
@pytest.mark.parametrize(
    "weights",
    [
        {"Na": 3, "Cl": 0.5},
        {11: 3, 17: 0.5, "K": 7},
        lambda atoms: np.where(atoms.numbers == 11, 3, 0.5),
        lambda atoms: [3, 0.5],
    ],
)
def test_weights_of_elements_and_functions(method, weights):
    salts, soap = _environments()
    expected = Pooling(method, weights=[[3, 0.5]] * 2).fit_transform(soap.transform(salts))
    pooling = Pooling(method, weights=weights)
    np.testing.assert_allclose(pooling.fit_transform(soap.transform(salts)), expected, rtol=1e-12)
    whole = clone(soap).set_params(pooling=pooling)
    np.testing.assert_allclose(whole.create(salts), expected, rtol=1e-12)
    np.testing.assert_allclose(whole.create(salts[1]), expected[1], rtol=1e-12)
    np.testing.assert_allclose(whole.create(salts, centers=[[1, 0]] * 2), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"Na": 1}, "weights: structure 0, centre 1: must be an element that has a weight, Na, got Cl"),
        ({"Na": 0, "Cl": 0}, "weights: structure 0: the sum must be > 0"),
        (
            lambda atoms: atoms.positions,
            r"weights: structure 0 must be a number for each of 2 atoms, got shape \(2, 3\)",
        ),
        (lambda atoms: None, "weights: structure 0 must be a number for each of 2 atoms"),
        (lambda atoms: [1, np.nan], "weights: structure 0, centre 1: weight must be finite and >= 0, got nan"),
    ],
)
def test_weights_that_do_not_fit(weights, message):
    salts, soap = _environments()
    with pytest.raises(ValueError, match=message):
        soap.set_params(pooling=Pooling(weights=weights)).create(salts)


def test_weights_of_atoms_need_atoms():
    salts, soap = _environments()
    with pytest.raises(ValueError, match="structure 0, centre 0: weights of atoms need centres that are atoms"):
        soap.set_params(pooling=Pooling(weights=lambda atoms: [1, 1])).create(salts, centers=[[[0.0, 0, 0]]] * 2)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_rounding_is_dropped_and_overflow_is_not(kind):
    weights = RowWeights(np.array([0, 1, 2]), np.array([0, 0]), np.array([3.0, -1.0]), 1)
    pooled = weights.pool(kind(np.array([[1.7e308, 0.1, 1.0], [1.0, 0.3, 1.0]])), np.array([0, 2]))
    dense = pooled.toarray() if sparse.issparse(pooled) else pooled
    assert not np.isfinite(dense[0, 0])  # which is refused by whoever asked
    assert dense[0, 1:].tolist() == [0.0, 2.0]


@pytest.mark.parametrize("n_channels", [2, 4, 5, 8])
def test_channels_that_are_fewer_or_more_than_species(n_channels):
    rng = np.random.default_rng(5)
    numbers = 20 + rng.permutation(64) % 5
    alloy = Atoms(numbers, positions=2.8 * np.indices((4, 4, 4)).reshape(3, -1).T + rng.normal(0, 0.1, (64, 3)))
    options = {"r_cut": 4.0, "n_max": 2, "l_max": 3, "species_embedding": rng.normal(size=(5, n_channels))}
    soap, pooling = SOAP(species=np.arange(20, 25), **options), Pooling("sum", by_species=True)
    expected = pooling.fit_transform(soap.transform([alloy]))
    found = SOAP(species=np.arange(20, 25), **options, pooling=pooling).create([alloy])
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())
