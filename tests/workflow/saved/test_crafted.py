"""Model files that were made by hand to run something, to crash the process, or to take all memory: all are refused."""

import io
import json
import re
import struct
import sys
import warnings
import zipfile
import zlib
from importlib import import_module
from unittest.mock import patch

import numpy as np
import pytest
from ase.build import molecule
from helpers import attacks
from scipy import sparse
from sklearn.base import is_classifier
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeRegressor

from atomprint.datasets import Dataset, Target
from atomprint.descriptors import SOAP
from atomprint.kernels import AverageKernel
from atomprint.learn.task.problem import Problem
from atomprint.workflow import ModelFileError, TrainedModel, assemble, load_model
from atomprint.workflow.saved import container, persist
from atomprint.workflow.saved.bounds import check_booster, check_parts
from atomprint.workflow.saved.container import read_container, write_container
from atomprint.workflow.saved.schema import load_npy, load_npz

N = 30
SPACE = SOAP(r_cut=3.0, n_max=2, l_max=1, average="inner")


@pytest.fixture(scope="module")
def structures():
    rng, made = np.random.default_rng(0), []
    for _ in range(N):
        made.append(molecule("H2O"))
        made[-1].positions += rng.normal(0, 0.05, (3, 3))
    return made


@pytest.fixture(scope="module")
def save(structures, tmp_path_factory):
    """Return a function that fits a model and writes its file; the same model once only."""
    files = {}

    def make(estimator, *, sparse=False):
        key = (repr(estimator), sparse)
        if key not in files:
            classes = ("a", "b", "c") if is_classifier(estimator) else ()
            y = np.arange(N) % 3 if classes else np.sin(np.arange(N))
            features = SPACE.__class__(**SPACE.get_params() | {"sparse": sparse})
            data = Dataset(
                "d", "D", structures, tuple(map(str, range(N))), {"y": Target(y, "", "y", "y", classes)}, "", ""
            )
            pipeline = assemble(features, estimator).fit(structures, y)
            model = TrainedModel.of(pipeline, Problem.of(data, "y"))
            # Trees as skops writes them: atomprint keeps them elsewhere, but a file may have them there.
            with patch("atomprint.workflow.saved.persist.take_trees", return_value=({}, {})):
                files[key] = model.save(tmp_path_factory.mktemp("models") / "model.atomprint")
        return files[key]

    return make


def rewritten(path, tmp_path, members):
    """Write a model file again with other members and right checksums."""
    card, old = read_container(path)
    for key in ("format", "format_version", "members"):
        card.pop(key)
    crafted = tmp_path / "crafted.atomprint"
    write_container(crafted, card, {name: data for name, data in {**old, **members}.items() if data is not None})
    return crafted


def unpacked(path):
    """Return the schema of a model file, and the members beside it."""
    _, members = read_container(path)
    with zipfile.ZipFile(io.BytesIO(members["pipeline.skops"])) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    return json.loads(files.pop("schema.json")), files


def packed(path, tmp_path, schema, files, **options):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **options) as archive:
        archive.writestr("schema.json", schema if isinstance(schema, str | bytes) else json.dumps(schema))
        for name, data in files.items():
            archive.writestr(name, data)
    return rewritten(path, tmp_path, {"pipeline.skops": buffer.getvalue()})


def nodes(state, loader=None, name=None):
    """Yield the nodes of a schema."""
    if isinstance(state, dict):
        if state.get("__loader__") and loader in (None, state["__loader__"]) and name in (None, state["__class__"]):
            yield state
        for part in state.values():
            yield from nodes(part, loader, name)
    elif isinstance(state, list):
        for part in state:
            yield from nodes(part, loader, name)


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def refused(path, match="."):
    with pytest.raises(ModelFileError, match=match) as caught:
        load_model(path)
    words = str(caught.value)
    assert "\n" not in words
    assert not re.search(r"\w+Error\b|Traceback|object at 0x", words), words  # for people


# What would run something ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", attacks.ATTACKS)
def test_nothing_of_an_attacker_runs(name, save, tmp_path):
    schema = attacks.model_with(attacks.ATTACKS[name]())
    path = rewritten(save(Ridge()), tmp_path, {"pipeline.skops": attacks.archive_of(schema, attacks.files())})
    with attacks.trap() as done:
        refused(path)
        assert not done()
        assert attacks.MODULE not in sys.modules


def test_the_trap_catches():
    with attacks.trap() as done:
        assert not done()
        import_module(attacks.MODULE)
        assert done() == "imported"
    with attacks.trap() as done:
        np.random.seed(3)  # noqa: NPY002  # what one of them does
        assert done() == "seeded"


def test_what_is_trusted_is_a_class_and_no_more(save, tmp_path):
    for name in (
        "a function",
        "a partial",
        "an operator that calls",
        "a type that is a function",
        "a dict with a factory",
    ):
        schema = attacks.model_with(attacks.ATTACKS[name]())
        path = rewritten(save(Ridge()), tmp_path, {"pipeline.skops": attacks.archive_of(schema, attacks.files())})
        with attacks.trap() as done, pytest.raises(ModelFileError):
            load_model(path, trusted=[f"{attacks.MODULE}.Loss"])
        assert not done()
    with attacks.trap() as done, pytest.raises(ModelFileError, match="trusted"):
        load_model(path, trusted=["functools.partial", "builtins.eval"])


# What would crash the process --------------------------------------------------------------------------------------


def edit_nodes(field, at, to):
    """Return a change of one field of the nodes of the first tree."""

    def change(schema, files):
        name = next(n for n, data in sorted(files.items()) if (load_npy(data).dtype.names or ()))
        nodes = load_npy(files[name]).copy()
        nodes[field][at] = to
        files[name] = npy(nodes)

    return change


def argument(name, to):
    """Return a change of a number in the state of the first node that has it."""

    def change(schema, files):
        for state in nodes(schema, "DictNode"):
            if name in state["content"] and state["content"][name]["__loader__"] == "JsonNode":
                state["content"][name]["content"] = json.dumps(to)
                return
        raise AssertionError(name)

    return change


def replace_array(name, to):
    """Return a change of the array that is called so in the first node that has it."""

    def change(schema, files):
        for state in nodes(schema, "DictNode"):
            found = state["content"].get(name)
            if found is not None and found["__loader__"] == "NdArrayNode":
                files[found["file"]] = npy(to(load_npy(files[found["file"]])))
                return
        raise AssertionError(name)

    return change


def of_tree(place, to):
    def change(schema, files):
        arguments = next(nodes(schema, "TreeNode"))["__reduce__"]["args"]["content"]
        arguments[place]["content"] = json.dumps(to)

    return change


def classes_of_tree(to):
    def change(schema, files):
        files[next(nodes(schema, "TreeNode"))["__reduce__"]["args"]["content"][1]["file"]] = npy(to)

    return change


def sparse_part(name, at, to):
    def change(schema, files):
        found = next(nodes(schema, "SparseMatrixNode"), None)
        if found is None:  # skops before 0.15 keeps the parts
            parts = next(nodes(schema, "ObjectNode", "csr_array"))["content"]["content"]
            if name == "shape":
                parts["_shape"]["content"][at]["content"] = json.dumps(to)
                return
            array = load_npy(files[parts[name]["file"]]).copy()
            array[at] = to
            files[parts[name]["file"]] = npy(array)
            return
        file = found["file"]
        parts = load_npz(files[file])
        parts[name] = parts[name].copy()
        parts[name][at] = to
        buffer = io.BytesIO()
        np.savez(buffer, **parts)
        files[file] = buffer.getvalue()

    return change


FOREST = RandomForestRegressor(3, random_state=0)
HISTOGRAM = HistGradientBoostingRegressor(max_iter=3, min_samples_leaf=3)
BOOSTING = GradientBoostingRegressor(n_estimators=3, random_state=0)
TREES = {
    "child far outside": edit_nodes("left_child", 0, 2**40),
    "child before the first": edit_nodes("right_child", 0, -7),
    "child that is its parent": edit_nodes("left_child", 0, 0),
    "children in a circle": edit_nodes("left_child", 1, 0),
    "child of two parents": edit_nodes("left_child", 0, 2),
    "one child": edit_nodes("right_child", 0, -1),
    "negative feature": edit_nodes("feature", 0, -3),
    "feature outside": edit_nodes("feature", 0, 20),
    "feature far outside": edit_nodes("feature", 0, 2**50),
    "threshold nan": edit_nodes("threshold", 0, np.nan),
    "no samples": edit_nodes("n_node_samples", 0, -5),
    "more nodes than there are": argument("node_count", 10**6),
    "fewer nodes than there are": argument("node_count", 1),
    "negative count": argument("node_count", -1),
    "other depth": argument("max_depth", 10**9),
    "negative depth": argument("max_depth", -2),
    "features of a tree": of_tree(0, 10**6),
    "negative features": of_tree(0, -1),
    "text for features": of_tree(0, "many"),
    "outputs": of_tree(2, 1000),
    "no outputs": of_tree(2, 0),
    "outputs null": of_tree(2, None),
    "classes": classes_of_tree(np.array([10**6])),
    "no classes": classes_of_tree(np.array([0])),
    "classes without numbers": classes_of_tree(np.array([], dtype=np.int64)),
    "features of the model": argument("n_features_in_", 10**6),
    "features of the model null": argument("n_features_in_", None),
    "values of another shape": replace_array("values", lambda a: a[:1]),
    "values nan": replace_array("values", lambda a: a * np.nan),
    "values empty": replace_array("values", lambda a: a[:0]),
    "values complex": replace_array("values", lambda a: a.astype(complex)),
    "values as text": replace_array("values", lambda a: a.astype(str)),
    "nodes without fields": replace_array("nodes", lambda a: np.zeros(len(a))),
    "no nodes": replace_array("nodes", lambda a: a[:0]),
    "nodes twice": replace_array("nodes", lambda a: np.concatenate([a, a])),
    "nodes in two axes": replace_array("nodes", lambda a: a[None]),
}
HISTOGRAMS = {
    "child far outside": edit_nodes("left", 0, 2**32 - 1),
    "child outside": edit_nodes("right", 0, 10**6),
    "child that is its parent": edit_nodes("left", 0, 0),
    "feature outside": edit_nodes("feature_idx", 0, 20),
    "negative feature": edit_nodes("feature_idx", 0, -1),
    "classes for a feature": edit_nodes("is_categorical", 0, 1),
    "no leaf": edit_nodes("is_leaf", slice(None), 0),
    "threshold nan": edit_nodes("num_threshold", 0, np.nan),
    "value inf": edit_nodes("value", 0, np.inf),
    "nodes without fields": replace_array("nodes", lambda a: np.zeros(len(a))),
    "nodes twice": replace_array("nodes", lambda a: np.concatenate([a, a])),
    "features of the model": argument("n_features_in_", 10**6),
    "trees of a step": argument("n_trees_per_iteration_", 7),
}
NEIGHBOURS = {
    "fewer samples": replace_array("_fit_X", lambda a: a[:3]),
    "fewer features": replace_array("_fit_X", lambda a: a[:, :3]),
    "one axis": replace_array("_fit_X", lambda a: a[0]),
    "integers": replace_array("_fit_X", lambda a: a.astype(int)),
    "nan": replace_array("_fit_X", lambda a: a * np.nan),
    "fewer targets": replace_array("_y", lambda a: a[:3]),
    "features of the model": argument("n_features_in_", 10**6),
    "samples of the model": argument("n_samples_fit_", 10**6),
    "another metric": argument("effective_metric_", "nonsense"),
    "another method": argument("_fit_method", "magic"),
    "leaves": argument("leaf_size", -4),
}
VECTORS = {
    "fewer vectors": replace_array("support_vectors_", lambda a: a[:1]),
    "fewer features": replace_array("support_vectors_", lambda a: a[:, :3]),
    "one axis": replace_array("support_vectors_", lambda a: a[0]),
    "fewer weights": replace_array("_dual_coef_", lambda a: a[:, :1]),
    "more weights": replace_array("_dual_coef_", lambda a: np.hstack([a, a])),
    "no intercept": replace_array("_intercept_", lambda a: a[:0]),
    "more counts": replace_array("_n_support", lambda a: np.full(50, 1000, dtype=a.dtype)),
    "probabilities": replace_array("_probA", lambda a: np.ones(1000)),
    "features of the model": argument("n_features_in_", 10**6),
}
SPARSE = {
    "column outside": sparse_part("indices", 0, 10**6),
    "negative column": sparse_part("indices", 0, -5),
    "row outside": sparse_part("indptr", -1, 10**6),
    "rows backwards": sparse_part("indptr", 1, -1),
    "shape": sparse_part("shape", 1, 3),
    "negative shape": sparse_part("shape", 0, -3),
}
CRASHES = [
    *((FOREST, change) for change in TREES.items()),
    *((BOOSTING, change) for change in list(TREES.items())[:11]),
    *((HISTOGRAM, change) for change in HISTOGRAMS.items()),
    *((KNeighborsRegressor(3, algorithm="kd_tree"), change) for change in NEIGHBOURS.items()),
    *((KNeighborsRegressor(3, algorithm="brute"), change) for change in list(NEIGHBOURS.items())[:3]),
    *((SVR(), change) for change in VECTORS.items()),
    *((SVC(), change) for change in VECTORS.items()),
]


@pytest.mark.parametrize(
    ("estimator", "change"), CRASHES, ids=[f"{type(e).__name__}-{name}" for e, (name, _) in CRASHES]
)
def test_indices_that_lead_outside_are_refused(estimator, change, save, tmp_path):
    path = save(estimator)
    schema, files = unpacked(path)
    change[1](schema, files)
    refused(packed(path, tmp_path, schema, files))


@pytest.mark.parametrize("name", SPARSE)
def test_sparse_matrices_that_lead_outside_are_refused(name, save, tmp_path):
    path = save(KNeighborsRegressor(3, algorithm="brute"), sparse=True)
    load_model(path)
    schema, files = unpacked(path)
    SPARSE[name](schema, files)
    refused(packed(path, tmp_path, schema, files))


@pytest.mark.parametrize("name", ["offsets", "values", "squares"])
def test_centres_of_a_kernel_fit_together(name, structures, tmp_path):
    kernel = make_pipeline(SOAP(r_cut=3.0, n_max=2, l_max=1), AverageKernel(metric="rbf", gamma=0.1))
    y = np.sin(np.arange(N))
    data = Dataset("d", "D", structures, tuple(map(str, range(N))), {"y": Target(y, "", "y", "y")}, "", "")
    pipeline = assemble(kernel, KernelRidge(kernel="precomputed")).fit(structures, y)
    path = TrainedModel.of(pipeline, Problem.of(data, "y")).save(tmp_path / "m.atomprint")
    load_model(path)
    schema, files = unpacked(path)
    found = next(nodes(schema, "ObjectNode", "Centers:1"))["content"]
    arrays = [state["file"] for state in nodes(found, "NdArrayNode")]
    shapes = {file: load_npy(files[file]) for file in arrays}
    wanted = {"offsets": lambda a: a.dtype.kind == "i", "values": lambda a: a.ndim == 2, "squares": lambda a: True}[
        name
    ]
    file = next(file for file, array in reversed(shapes.items()) if wanted(array))
    array = shapes[file].copy()
    if name == "offsets":
        array[1] = 10**9
    files[file] = npy(array if name == "offsets" else array[:-9])
    refused(packed(path, tmp_path, schema, files), "do not belong to structures")


def test_classes_of_neighbours_are_known(save, tmp_path):
    path = save(KNeighborsClassifier(3))
    schema, files = unpacked(path)
    replace_array("_y", lambda a: a + 10**6)(schema, files)
    refused(packed(path, tmp_path, schema, files), "its targets must be among 3 classes")


def test_other_generators_of_random_numbers_are_refused(save, tmp_path):
    path = save(HISTOGRAM)
    schema, files = unpacked(path)
    for name in ("seed", "Philox", "set_state", None, 3):
        for state in nodes(schema, "RandomGeneratorNode"):
            state["content"]["bit_generator"]["content"]["bit_generator"]["content"] = json.dumps(name)
        refused(packed(path, tmp_path, schema, files), "a bit generator must be one of MT19937, PCG64")


@pytest.mark.parametrize(
    "estimator",
    [
        FOREST,
        BOOSTING,
        HISTOGRAM,
        ExtraTreesRegressor(3, max_leaf_nodes=5, random_state=0),
        DecisionTreeRegressor(max_depth=1),
        RandomForestClassifier(3, random_state=0),
        HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=3),
        KNeighborsRegressor(3, algorithm="kd_tree"),
        KNeighborsRegressor(3, algorithm="ball_tree", metric="manhattan"),
        KNeighborsClassifier(3, algorithm="brute"),
        SVR(),
        SVC(),
    ],
    ids=lambda e: type(e).__name__,
)
def test_true_models_pass(estimator, save, structures):
    loaded = load_model(save(estimator))
    assert np.isfinite(loaded.predict(structures).values).all()


def booster():
    xgboost = import_module("xgboost")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 5))
    return xgboost.XGBRegressor(n_estimators=3, max_depth=3).fit(X, X.sum(axis=1)).get_booster()


def at(*path):
    def set_to(model, to):
        for key in path[:-1]:
            model = model[key]
        model[path[-1]] = to

    return set_to


TREE = ("learner", "gradient_booster", "model", "trees", 0)
PARAMETERS = ("learner", "learner_model_param")
BOOSTERS = [
    (at(*TREE, "left_children", 0), 2**31 - 1),
    (at(*TREE, "left_children", 0), 2**40),
    (at(*TREE, "left_children", 0), -5),
    (at(*TREE, "left_children", 0), 0),
    (at(*TREE, "right_children", 1), 1.5),
    (at(*TREE, "right_children", 0), None),
    (at(*TREE, "split_indices", 0), 10**6),
    (at(*TREE, "split_indices", 0), -1),
    (at(*TREE, "split_type", 0), 1),
    (at(*TREE, "split_conditions", 0), None),
    (at(*TREE, "split_conditions", 0), float("nan")),
    (at(*TREE, "split_conditions"), []),
    (at(*TREE, "left_children"), []),
    (at(*TREE, "left_children"), 3),
    (at(*TREE, "parents", 1), 2),
    (at(*TREE, "categories"), [3]),
    (at(*TREE, "default_left"), [1]),
    (at(*TREE, "tree_param", "num_nodes"), "1000000000"),
    (at(*TREE, "tree_param", "num_nodes"), "-1"),
    (at(*TREE, "tree_param", "size_leaf_vector"), "1000"),
    (at(*TREE, "tree_param"), {}),
    (at(*TREE), {}),
    (at(*TREE), None),
    (at(*PARAMETERS, "num_feature"), "0"),
    (at(*PARAMETERS, "num_feature"), "1"),
    (at(*PARAMETERS, "num_class"), "100000000000"),
    (at(*PARAMETERS, "num_target"), "99999999"),
    (at(*PARAMETERS), None),
    (at("learner", "gradient_booster", "model", "tree_info", 0), 7),
    (at("learner", "gradient_booster", "model", "tree_info"), []),
    (at("learner", "gradient_booster", "model", "iteration_indptr"), [0, 10**6]),
    (at("learner", "gradient_booster", "model", "gbtree_model_param", "num_trees"), "50"),
    (at("learner", "gradient_booster", "name"), "gblinear"),
    (at("learner", "gradient_booster"), []),
    (at("learner"), None),
]


@pytest.mark.parametrize(("change", "to"), BOOSTERS)
def test_boosters_that_lead_outside_are_refused(change, to):
    model = json.loads(bytes(booster().save_raw("json")))
    check_booster(json.dumps(model).encode())
    change(model, to)
    with pytest.raises(ModelFileError, match="a model of XGBoost cannot be loaded: "):
        check_booster(json.dumps(model).encode())


def test_what_is_no_booster_is_refused():
    for data in (
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"learner": 1, "learner": 2}',
        b"[" * 100_000,
        bytes(booster().save_raw("ubj")),
    ):
        with pytest.raises(ModelFileError, match="a model of XGBoost cannot be loaded"):
            check_booster(data)


def test_boosters_with_dropouts_pass():
    xgboost = import_module("xgboost")
    X = np.random.default_rng(0).normal(size=(40, 5))
    for more in ({"booster": "dart"}, {"num_parallel_tree": 2}, {"objective": "reg:absoluteerror"}):
        model = xgboost.XGBRegressor(n_estimators=3, max_depth=3, **more).fit(X, X[:, 0])
        data = check_booster(bytes(model.get_booster().save_raw("json")))
        again = xgboost.XGBRegressor()
        again.load_model(bytearray(data))
        np.testing.assert_array_equal(again.predict(X), model.predict(X))
    y = (X[:, 0] > 0) + (X[:, 1] > 0)
    check_booster(bytes(xgboost.XGBClassifier(n_estimators=3).fit(X, y).get_booster().save_raw("json")))


def test_parameters_that_no_constructor_would_take_are_refused(save, tmp_path):
    path = save(Ridge())
    schema, files = unpacked(path)
    for name, to in (
        ("n_max", 10**9),
        ("n_max", "many"),
        ("l_max", -1),
        ("r_cut", None),
        ("sigma", "0"),
        ("r_cut", 1e300),
    ):
        changed = json.loads(json.dumps(schema))
        argument(name, to)(changed, files)
        refused(packed(path, tmp_path, changed, files))


# What would take all memory or time ---------------------------------------------------------------------------------


def header(descr, shape, data=b""):
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


@pytest.mark.parametrize(
    "data",
    [
        header("<f8", (10**15,)),
        header("<f8", (10**9, 10**9, 10**9)),
        header("|S0", (10**18,)),
        header("<f8", (-1,)),
        header("<f8", (0, 10**18)),
        header("|O", (1,), b"cposix\nsystem\n"),
        header("<f8", ("a",)),
        header("<f8", (1,), b"\0" * 9),
        header([("a", "|O")], (1,), b"\0" * 8),
        header("<f8", (1,), b"\0" * 7),
        header("junk", (1,)),
        b"",
        b"\x93NUMPY",
        b"\x93NUMPY\x09\x00" + b"\0" * 100,
    ],
    ids=range(14),
)
def test_arrays_that_claim_too_much_are_refused(data):
    with pytest.raises(ModelFileError, match=r"^an array "):
        load_npy(data)


def bomb(path, name, size):
    """Write an archive with a member that says it holds much, and is small."""
    squeezed = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = squeezed.compress(b"\0" * 1000) + squeezed.flush()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), data)
    raw = path.read_bytes()
    old = struct.pack("<LL", len(data), len(data))
    assert raw.count(old) == 2
    path.write_bytes(raw.replace(old, struct.pack("<LL", len(data), size)))


def test_archives_that_claim_too_much_are_refused(save, tmp_path, monkeypatch):
    bomb(tmp_path / "bomb", "card.json", 2**32 - 2)
    refused(tmp_path / "bomb", "claims to hold 4294967294 bytes")
    monkeypatch.setattr(container, "_ALWAYS", 1000)
    monkeypatch.setattr(container, "_TIMES", 2)
    zeros = io.BytesIO()
    np.savez_compressed(zeros, a=np.zeros(10**6))
    with pytest.raises(ModelFileError, match="claims to hold 8000128 bytes"):
        load_npz(zeros.getvalue())
    path = save(Ridge(2.0))  # the limits are small: it is stored as it is
    load_model(path)
    schema, files = unpacked(path)
    schema["content"]["content"]["memory"]["content"] = json.dumps("x" * 10**5)
    monkeypatch.setattr(container, "_TIMES", 10**6)
    inner = packed(path, tmp_path, schema, files, compression=zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(container, "_TIMES", 2)
    refused(inner)


def test_models_of_zeros_are_not_taken_for_bombs(tmp_path, monkeypatch):
    monkeypatch.setattr(container, "_ALWAYS", 1000)
    write_container(tmp_path / "zeros", {"a": 1}, {"zeros": bytes(10**6)})
    assert read_container(tmp_path / "zeros")[1] == {"zeros": bytes(10**6)}


def test_what_nothing_uses_is_refused(save, tmp_path):
    path = save(Ridge())
    schema, files = unpacked(path)
    refused(rewritten(path, tmp_path, {"extra.txt": b"x"}), "'extra.txt', which nothing")
    refused(packed(path, tmp_path, schema, {**files, "extra.npy": npy(np.ones(2))}), "'extra.npy', which nothing")
    refused(packed(path, tmp_path, {**schema, "more": 1}, files), "'more', which nothing")
    refused(packed(path, tmp_path, json.dumps(schema)[:-1] + ', "__class__": "X"}', files), "given twice")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a name is there twice
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for _ in range(2):
                archive.writestr("schema.json", json.dumps(schema))
    refused(rewritten(path, tmp_path, {"pipeline.skops": buffer.getvalue()}), "two of its members have one name")
    refused(packed(path, tmp_path, schema, files, compression=zipfile.ZIP_LZMA), "packed in a way")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "3", '"a"', "{}", "[" * 50_000, '{"a":' * 50_000, "nan", "\x00", "1" * 5000]
)
def test_schemas_that_are_none_are_refused(text, save, tmp_path):
    path = save(Ridge())
    refused(packed(path, tmp_path, text, {}), "pipeline.skops cannot be read")


@pytest.mark.parametrize("to", [None, 0, -1, "x", [], {}, True, [[]], {"a": 1}, 1e308])
def test_wrong_types_anywhere_are_refused(to, save, tmp_path):
    """Put something else in each place of schema, card and domain in turn: a model or an error of its own."""
    path = save(DecisionTreeRegressor(max_depth=1))
    schema, files = unpacked(path)
    text = json.dumps(schema)
    rng = np.random.default_rng(abs(hash(str(to))) % 2**32)

    def places(state, keys=()):
        for key, part in state.items() if isinstance(state, dict) else enumerate(state):
            yield (*keys, key)
            if isinstance(part, dict | list):
                yield from places(part, (*keys, key))

    found = list(places(schema))
    for n in rng.choice(len(found), 40, replace=False):
        changed = json.loads(text)
        at(*found[n])(changed, to)
        try:
            load_model(packed(path, tmp_path, changed, files))
        except ModelFileError as error:
            assert not re.search(r"\w+Error\(", str(error)), found[n]  # noqa: PT017
    card, members = read_container(path)
    for key in ("format", "format_version", "members"):
        card.pop(key)
    text = json.dumps(card)
    for keys in places(card):
        changed = json.loads(text)
        if keys[0] in ("pipeline", "recipe") or (keys[:2] == ("features", "names") and len(keys) == 3 and keys[2]):
            continue
        at(*keys)(changed, to)
        try:
            write_container(tmp_path / "crafted.atomprint", changed, members)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of versions
                loaded = load_model(tmp_path / "crafted.atomprint")
            json.dumps(loaded.info(), allow_nan=False)
            repr(loaded)
        except ModelFileError as error:
            assert not re.search(r"\w+Error\(", str(error)), keys  # noqa: PT017


def test_one_tree_in_many_places_is_looked_at_in_all(save):
    model = load_model(save(FOREST))
    tree = model.pipeline[-1].estimators_[1].tree_
    check_parts({"a": [({"b": np.array([tree], dtype=object)},)]})
    matrix = sparse.csr_array(np.eye(3))
    matrix.indices[0] = 7
    with pytest.raises(ModelFileError, match="csr_array does not fit together"):
        check_parts(({"a": [matrix]},))


def test_classes_with_compiled_code_that_is_not_checked_must_be_named():
    known = persist._known()
    assert "sklearn.linear_model._ridge.Ridge" in known
    for name in ("sklearn.cluster._kmeans.KMeans", "sklearn.neighbors._kde.KernelDensity"):
        assert name not in known
    assert not any(name.startswith(("sklearn.cluster", "sklearn.manifold", "sklearn.mixture")) for name in known)
