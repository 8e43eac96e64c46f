"""Trained models: saved, loaded, asked for predictions, and refused where they must not be trusted."""

import importlib
import inspect
import io
import json
import os
import subprocess
import sys
import warnings
import zipfile
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import sklearn
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import write
from helpers.registry import DEPENDS_ON_PLACE, REGISTRY, some_structures
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingRegressor,
)
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.impute import SimpleImputer
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LassoCV, LogisticRegression, Ridge, RidgeCV
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeRegressor

from atomprint.datasets import Dataset, Target
from atomprint.descriptors import ACSF, SOAP, CompositionChannels, ElementProperty, LearnedEmbedding
from atomprint.kernels import AverageKernel, REMatchKernel
from atomprint.learn import EnsembleRegressor
from atomprint.learn.models import make as learn_models
from atomprint.learn.task.blocks import with_blocks
from atomprint.learn.task.problem import Problem
from atomprint.pooling import CenterSampler, Pooling
from atomprint.structures import as_batch
from atomprint.util import registry
from atomprint.util.registry import KNOWN, path_of
from atomprint.workflow import (
    Card,
    Domain,
    LocalUnion,
    ModelFileError,
    PredictionInterval,
    TrainedModel,
    Training,
    VersionWarning,
    assemble,
    load_model,
)
from atomprint.workflow.saved import container as container_module
from atomprint.workflow.saved import persist
from atomprint.workflow.saved.assess import assess
from atomprint.workflow.saved.container import read_container, write_container
from atomprint.workflow.saved.contents import Content

SMALL = {"r_cut": 3.0, "n_max": 2, "l_max": 1}


def water(rng, n=40):
    """Return molecules of water with different bond lengths and angles."""
    structures = []
    for _ in range(n):
        atoms = molecule("H2O")
        atoms.positions += rng.normal(0, 0.05, (3, 3))
        structures.append(atoms)
    return structures


def problem_of(structures, values=None, *, classes=(), level="structure", compositions=None):
    n = len(structures if structures is not None else compositions)
    if values is None:
        values = np.random.default_rng(1).normal(size=n)
    target = Target(values, "" if classes else "eV", "A property", "Made up.", classes, level)
    ids = tuple(f"s{i}" for i in range(n))
    data = Dataset("made-up", "Made up", structures, ids, {"property": target}, "", "", compositions)
    return Problem.of(data, "property")


def atom_values(structures, seed=2):
    rng = np.random.default_rng(seed)
    values = np.empty(len(structures), dtype=object)
    for i, atoms in enumerate(structures):
        values[i] = rng.normal(size=len(atoms))
    return values


def round_trip(model, path, trusted=()):
    return load_model(model.save(path / "model.atomprint", trusted=trusted), trusted=trusted)


def trained(features, model, problem, **options):
    """Fit features and model to a problem, and join them."""
    items = problem.dataset.structures if problem.dataset.structures is not None else problem.dataset.compositions
    pipeline = assemble(features, model, problem.target.level)
    y = problem.y.astype(int) if problem.target.classes else problem.y
    return TrainedModel.of(pipeline.fit(items, y), problem, **options)


@pytest.fixture(scope="module")
def structures():
    return water(np.random.default_rng(0))


@pytest.fixture(scope="module")
def problem(structures):
    return problem_of(structures, np.array([atoms.get_distance(0, 1) for atoms in structures]))


@pytest.fixture(scope="module")
def model(problem):
    interval = PredictionInterval(0.9, 0.25, method="by hand", coverage=0.88)
    made = trained(SOAP(**SMALL, average="inner"), Ridge(1e-6), problem, created="2026-01-02T03:04:05", seed=3)
    return TrainedModel(made.pipeline, replace(made.card, interval=interval, recipe="[model]\n"), made.domain)


@pytest.fixture
def saved(model, tmp_path):
    return model.save(tmp_path / "model.atomprint")


# What is saved is what is loaded -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REGISTRY)
def test_every_descriptor_makes_the_round_trip(name, tmp_path):
    structures = some_structures(name)
    descriptor = clone(REGISTRY[name])
    local = getattr(descriptor, "transform", None) is not None and hasattr(
        descriptor.fit_transform(structures), "offsets"
    )
    values = atom_values(structures) if local else None
    model = trained(descriptor, Ridge(), problem_of(structures, values, level="atom" if local else "structure"))
    own = ["helpers.toy_potential.ToyPotential"] if name.startswith("pretrained") else []  # the callable of these
    loaded = round_trip(model, tmp_path, own)
    assert loaded.feature_names == list(descriptor.get_feature_names_out())
    before, after = model.predict(structures), loaded.predict(structures)
    np.testing.assert_array_equal(after.values, before.values)
    expected = model.pipeline.predict(structures)
    np.testing.assert_allclose(before.values, expected, rtol=1e-12, atol=1e-12)
    assert len(after) == (sum(map(len, structures)) if local else len(structures))
    if name not in DEPENDS_ON_PLACE:
        alone = np.concatenate([loaded.predict(atoms).values for atoms in structures])
        np.testing.assert_allclose(alone, before.values, rtol=1e-6, atol=1e-9)


FEATURES = {
    "learnt species": SOAP(**SMALL, average="outer"),
    "float32": SOAP(**SMALL, average="inner", dtype="float32"),
    "sparse": SOAP(**SMALL, average="inner", sparse=True),
    "pooling object": SOAP(**SMALL, pooling=Pooling(("mean", "std"), by_species=True)),
    "sampler": SOAP(**SMALL, pooling="max", centers=CenterSampler("farthest", n=2, random_state=1)),
    "generator": SOAP(**SMALL, pooling="mean", centers=CenterSampler(species=["O"])),
    "learned embedding": SOAP(**SMALL, average="inner", species_embedding=LearnedEmbedding(2)),
    "embedding": SOAP(species=["H", "O"], **SMALL, average="inner", species_embedding=np.array([[1.0], [2.0]])),
    "numpy numbers": SOAP(species=np.array([1, 8]), r_cut=np.float64(3), n_max=np.int64(2), l_max=1, average="inner"),
    "elements": ElementProperty(missing="impute"),
    "own tables": ElementProperty(["mine"], ["mean", "range"], tables={"mine": {"H": 1.0, "O": 2.5}}),
    "union": FeatureUnion([("soap", SOAP(**SMALL, average="inner")), ("elements", ElementProperty(["mass"]))]),
    "scaled elements": make_pipeline(ElementProperty(["mass"]), StandardScaler()),
    "pooling step": make_pipeline(SOAP(**SMALL), Pooling(("mean", "max"))),
    "average kernel": make_pipeline(SOAP(**SMALL), AverageKernel(metric="rbf", gamma=0.1)),
    "sparse kernel": make_pipeline(SOAP(**SMALL, sparse=True), AverageKernel()),
    "rematch kernel": make_pipeline(SOAP(**SMALL), REMatchKernel(metric="rbf", gamma=0.1, alpha=0.5)),
}


@pytest.mark.parametrize("name", FEATURES)
def test_all_kinds_of_features_make_the_round_trip(name, structures, problem, tmp_path):
    regressor = KernelRidge(kernel="precomputed", alpha=0.1) if "kernel" in name else Ridge()
    model = trained(clone(FEATURES[name]), regressor, problem)
    loaded = round_trip(model, tmp_path)
    before, after = model.predict(structures), loaded.predict(structures)
    # A kernel multiplies matrices by other routines where both are the same object.
    np.testing.assert_allclose(after.values, before.values, rtol=1e-10 if "kernel" in name else 0)
    np.testing.assert_allclose(before.values, model.pipeline.predict(structures), rtol=1e-9)
    assert np.isfinite(after.distance).all()
    np.testing.assert_allclose(after.distance, before.distance, atol=1e-6)
    assert after.in_domain.all()
    assert loaded.info() == model.info()


def test_pooling_and_kernels_may_be_steps_of_their_own(structures, problem, tmp_path):
    y = problem.y
    for middle, last in ((Pooling("mean"), Ridge()), (AverageKernel(), KernelRidge(kernel="precomputed"))):
        pipeline = Pipeline([("features", SOAP(**SMALL)), ("middle", middle), ("model", last)]).fit(structures, y)
        model = TrainedModel.of(pipeline, problem)
        assert model.n_steps == 2
        loaded = round_trip(model, tmp_path)
        assert np.isfinite(loaded.predict(structures).distance).all()


def boosting(name):
    return getattr(import_module("xgboost"), name)(n_estimators=5, max_depth=2, random_state=0, n_jobs=1)


# Those that need a package which is not always there are made in their tests.
REGRESSORS = {
    "dummy": DummyRegressor(),
    "ridge": make_pipeline(SimpleImputer(), StandardScaler(), RidgeCV()),
    "lasso": LassoCV(alphas=[0.1, 0.01], cv=KFold(3)),
    "neighbours": KNeighborsRegressor(3, weights="distance"),
    "ball tree": KNeighborsRegressor(3, algorithm="ball_tree", p=1),
    "svm": make_pipeline(StandardScaler(), TransformedTargetRegressor(SVR(), transformer=StandardScaler())),
    "tree": DecisionTreeRegressor(random_state=0),
    "forest": RandomForestRegressor(5, random_state=0),
    "extra trees": ExtraTreesRegressor(5, random_state=0),
    "boosting": GradientBoostingRegressor(n_estimators=5, random_state=0),
    "histogram boosting": HistGradientBoostingRegressor(max_iter=5),
    "gaussian process": GaussianProcessRegressor(1.0 * RBF() + WhiteKernel(), optimizer=None),
    "perceptron": MLPRegressor(hidden_layer_sizes=(4,), max_iter=2000, solver="adam", random_state=0, tol=0.1),
    "search": GridSearchCV(Ridge(), {"alpha": [0.1, 1.0]}, cv=3),
    "search in pipeline": make_pipeline(StandardScaler(), GridSearchCV(Ridge(), {"alpha": [0.1, 1.0]}, cv=3)),
    "xgboost": lambda: boosting("XGBRegressor"),
    "xgboost, nested": lambda: TransformedTargetRegressor(boosting("XGBRegressor"), transformer=StandardScaler()),
    "xgboost in an ensemble": lambda: EnsembleRegressor([("a", boosting("XGBRegressor")), ("b", Ridge())], "mean"),
    "seeds": learn_models.make_model("mlp", n_seeds=2, random_state=0, hidden_layer_sizes=(4,), tol=0.5),
    "residual network": lambda: learn_models.make_model("resnet", random_state=0, width=4, n_epochs=2),
    "xgboost, stacked": lambda: StackingRegressor([("a", boosting("XGBRegressor")), ("b", Ridge())], Ridge(), cv=3),
}
CLASSIFIERS = {
    "dummy": DummyClassifier(),
    "logistic": LogisticRegression(),
    "neighbours": KNeighborsClassifier(3),
    "forest": RandomForestClassifier(5, random_state=0),
    "svm": SVC(),
    "calibrated": CalibratedClassifierCV(SVC(), cv=3, ensemble=False),
    "histogram boosting": HistGradientBoostingClassifier(max_iter=5),
    "residual network": lambda: learn_models.make_model(
        "resnet", "classification", random_state=0, width=4, n_epochs=2
    ),
    "xgboost": lambda: boosting("XGBClassifier"),
    "xgboost, calibrated": lambda: CalibratedClassifierCV(boosting("XGBClassifier"), cv=3),
}


def new(estimator):
    return estimator() if callable(estimator) else clone(estimator)


@pytest.mark.parametrize("name", REGRESSORS)
def test_all_kinds_of_regressors_make_the_round_trip(name, structures, problem, tmp_path):
    items = structures[:20]
    features = SOAP(**SMALL, average="inner").fit(items)
    fitted = new(REGRESSORS[name]).fit(features.transform(items), problem.y[:20])
    model = TrainedModel.of(assemble(features, fitted), problem, np.arange(20))
    loaded = round_trip(model, tmp_path)
    np.testing.assert_array_equal(loaded.predict(structures).values, model.predict(structures).values)
    np.testing.assert_allclose(
        loaded.predict(structures).values, fitted.predict(features.transform(structures)), rtol=1e-9, atol=1e-12
    )
    assert loaded.info() == model.info()
    assert not any(hasattr(step, "best_estimator_") for _, step in loaded.pipeline.steps)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_all_kinds_of_classifiers_make_the_round_trip(name, structures, tmp_path):
    y = (np.arange(len(structures)) % 2).astype(float)
    problem = problem_of(structures, y, classes=("even", "odd"))
    model = trained(SOAP(**SMALL, average="inner"), new(CLASSIFIERS[name]), problem)
    loaded = round_trip(model, tmp_path)
    before, after = model.predict(structures), loaded.predict(structures)
    np.testing.assert_array_equal(after.values, before.values)
    np.testing.assert_array_equal(before.values, model.pipeline.predict(structures))
    assert set(after.labels) <= {"even", "odd"}
    if name == "svm":
        assert after.probabilities is None
    else:
        np.testing.assert_array_equal(after.probabilities, before.probabilities)
        np.testing.assert_allclose(after.probabilities.sum(axis=1), 1, rtol=1e-6)


def test_learnt_channels_of_the_elements_make_the_round_trip(structures, problem, tmp_path):
    pytest.importorskip("jax")
    features = CompositionChannels().fit(structures)
    network = learn_models.make_model("resnet", random_state=0, width=4, n_epochs=2, elements="all", n_channels=3)
    model = trained(features, with_blocks(network, {"all": (0, features.get_number_of_features())}), problem)
    loaded = round_trip(model, tmp_path)
    np.testing.assert_array_equal(loaded.predict(structures).values, model.predict(structures).values)


def named_models():
    for name, spec in learn_models.MODELS.items():
        for kind in getattr(spec, "kinds", ("regression",)):
            yield name, kind


@pytest.mark.parametrize(("name", "kind"), list(named_models()))
def test_every_model_name_makes_the_round_trip(name, kind, structures, problem, tmp_path):
    options = {"kind": kind} if "kind" in inspect.signature(learn_models.make_model).parameters else {}
    quick = {"ensemble": {"n_folds": 1}, "resnet": {"n_epochs": 2}}.get(name, {})
    fitted = learn_models.make_model(name, **options, random_state=0, **quick)
    if kind == "classification":
        problem = problem_of(structures, (np.arange(len(structures)) % 2).astype(float), classes=("a", "b"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of fits to few samples, which are not what is tested
        model = trained(SOAP(**SMALL, average="inner"), fitted, problem)
    loaded = round_trip(model, tmp_path)
    np.testing.assert_array_equal(loaded.predict(structures).values, model.predict(structures).values)


def test_only_xgboosts_own_format_is_used_for_it(structures, problem, tmp_path):
    model = trained(SOAP(**SMALL, average="inner"), new(REGRESSORS["xgboost"]), problem)
    before = model.predict(structures).values
    path = model.save(tmp_path / "m.atomprint")
    card, members = read_container(path)
    assert {"xgboost-0.json", "pipeline.skops", "domain.npz"} == set(members)
    with zipfile.ZipFile(io.BytesIO(members["pipeline.skops"])) as archive:
        assert b"Booster" not in archive.read("schema.json")
    xgboost = import_module("xgboost")
    booster = xgboost.Booster()
    booster.load_model(bytearray(members["xgboost-0.json"]))  # anyone can
    assert card["versions"]["xgboost"] == xgboost.__version__
    np.testing.assert_array_equal(model.predict(structures).values, before)  # saving left it as it was
    loaded = load_model(path).pipeline[-1]
    original = model.pipeline[-1].get_params()
    np.testing.assert_equal(loaded.get_params(), original)


def test_same_model_same_bytes(problem, tmp_path):
    files = []
    for name in ("a", "b"):
        made = trained(SOAP(**SMALL, average="inner"), RandomForestRegressor(3, random_state=0), problem)
        files.append(made.save(tmp_path / name).read_bytes())
    assert files[0] == files[1]


def test_there_is_no_pickle_in_the_file(saved):
    _, members = read_container(saved)
    with zipfile.ZipFile(io.BytesIO(members["pipeline.skops"])) as archive:
        names = archive.namelist()
    assert {name.rpartition(".")[2] for name in names} <= {"json", "npy", "npz"}
    assert not any(b"pickle" in data for data in members.values())


def test_loaded_in_another_process(saved, structures, model, tmp_path):
    write(tmp_path / "new.xyz", structures[0])
    code = (
        "import sys; from atomprint.workflow import load_model; "
        "p = load_model(sys.argv[1]).predict(sys.argv[2]); print(p.ids[0], p.values[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(saved), str(tmp_path / "new.xyz")], capture_output=True, text=True, check=True
    )
    name, value = done.stdout.split()
    assert name == "new.xyz"
    assert float(value) == pytest.approx(model.predict(structures[0]).values[0], abs=1e-6)


# What a person can read ---------------------------------------------------------------------------------------------


def test_card(saved, model, structures):
    with zipfile.ZipFile(saved) as archive:
        card = json.loads(archive.read("card.json"))
    assert card["target"] == "property"
    assert card["unit"] == "eV"
    assert card["training"]["dataset"] == "made-up"
    assert card["training"]["n_samples"] == len(structures)
    assert card["training"]["target_range"][0] < card["training"]["target_range"][1]
    assert card["pipeline"]["features"]["class"] == "SOAP"
    assert card["pipeline"]["features"]["r_cut"] == 3.0
    assert card["features"]["names"] == list(model.pipeline[0].get_feature_names_out())
    assert card["versions"]["scikit-learn"] == sklearn.__version__
    assert card["created"] == "2026-01-02T03:04:05"
    assert card["recipe"] == "[model]\n"
    assert card["seed"] == 3
    assert card["interval"]["half_width"] == 0.25
    assert card["domain"]["elements"] == ["H", "O"]
    assert card["domain"]["n_atoms"] == [3, 3]
    json.dumps(model.info(), allow_nan=False)
    assert load_model(saved).card == model.card
    assert "'property' in eV" in repr(model)


def test_digest_tells_training_sets_apart(problem):
    def digest(samples):
        return trained(ElementProperty(["mass"]), DummyRegressor(), problem, samples=samples).card.training.ids_sha256

    assert digest(np.arange(10)) == digest(np.arange(10)) != digest(np.arange(1, 11))


def test_interval_of_a_study():
    def metric(value):
        return SimpleNamespace(value=value)

    given = SimpleNamespace(level=0.9, half_width=metric(0.5), coverage=metric(0.91), thresholds={}, method="conformal")
    assert PredictionInterval.of(given) == PredictionInterval(0.9, 0.5, {}, "conformal", 0.91)
    given.half_width = metric(None)
    assert PredictionInterval.of(given) is None
    given.thresholds = {"a": metric(0.2), "b": metric(None)}
    assert PredictionInterval.of(given) == PredictionInterval(0.9, None, {"a": 0.2}, "conformal", 0.91)
    assert PredictionInterval.of(None) is None
    with pytest.raises(ValueError, match="level must be between 0 and 1, got 90"):
        PredictionInterval(90)
    with pytest.raises(ValueError, match="half_width must be >= 0"):
        PredictionInterval(0.9, -1.0)


# Predictions --------------------------------------------------------------------------------------------------------


def test_predictions(model, structures):
    predictions = model.predict(structures)
    np.testing.assert_allclose(predictions.upper - predictions.values, 0.25)
    np.testing.assert_allclose(predictions.values - predictions.lower, 0.25)
    assert predictions.level == 0.9
    assert predictions.unit == "eV"
    assert predictions.in_domain.all()
    assert not any(predictions.warnings)
    table = predictions.to_pandas()
    assert list(table.columns) == [
        "id",
        "property",
        "lower",
        "upper",
        "in_domain",
        "distance",
        "in_training",
        "warnings",
    ]
    assert not table.isna().any().any()
    assert len(json.dumps(predictions.to_dict(), allow_nan=False)) > 0
    assert repr(predictions) == "Predictions(40 of 'property')"
    with pytest.raises(ValueError, match="'property' is a number"):
        _ = predictions.labels


def test_classes(structures):
    problem = problem_of(structures, (np.arange(40) % 2).astype(float), classes=("even", "odd", "never"))
    model = trained(SOAP(**SMALL, average="inner"), LogisticRegression(), problem)
    model = TrainedModel(
        model.pipeline, replace(model.card, interval=PredictionInterval(0.9, None, {"odd": 0.99})), model.domain
    )
    predictions = model.predict([structures[0], Atoms("He")], on_error="skip")
    assert predictions.probabilities.shape == (2, 3)
    assert predictions.probabilities[0, 2] == 0  # not among the training samples
    assert predictions.labels[1] is None
    assert np.isnan(predictions.probabilities[1]).all()
    assert predictions.sets.tolist() == [[True, False, True], [False, False, False]]
    assert predictions.lower is None
    table = predictions.to_pandas()
    assert table["set"].tolist() == ["even, never", ""]
    row = predictions.to_dict()["rows"][1]
    assert row["value"] is None
    assert row["probabilities"] == {"even": None, "odd": None, "never": None}


def test_names_of_classes_as_labels(structures):
    names = np.array(["even", "odd"])[np.arange(40) % 2]
    pipeline = assemble(ElementProperty(["mass"]), DummyClassifier()).fit(structures, names)
    problem = problem_of(structures, (np.arange(40) % 2).astype(float), classes=("odd", "even"))
    assert TrainedModel.of(pipeline, problem).predict(structures[0]).labels[0] in names
    other = problem_of(structures, (np.arange(40) % 2).astype(float), classes=("a", "b"))
    with pytest.raises(ValueError, match="its classes must be among"):
        TrainedModel.of(pipeline, other)


def test_atoms(structures, tmp_path):
    rng = np.random.default_rng(5)
    items = [*structures[:10], *(molecule("H2O2") for _ in range(3))]
    values = atom_values(items)
    values[0][1] = np.nan  # not known
    values[2] = None
    problem = problem_of(items, values, level="atom")
    features = LocalUnion([("soap", SOAP(**SMALL)), ("acsf", ACSF(r_cut=3.0, g2_params=[[1.0, 0.0]]))]).fit(items)
    local = features.transform([items[s] for s in range(len(items))])
    rows = np.array([local.offsets[s] + a for s, a in zip(problem.structures, problem.atoms, strict=True)])
    fitted = make_pipeline(StandardScaler(), Ridge()).fit(local.values[rows], problem.y)
    model = TrainedModel.of(assemble(features, fitted, "atom"), problem)
    assert model.card.training.n_samples == len(problem)
    assert model.card.training.n_structures == len(items) - 1
    loaded = round_trip(model, tmp_path)
    bad = Atoms("Xe")
    predictions = loaded.predict([items[12], bad, items[0]], on_error="skip")
    assert predictions.structures.tolist() == [0, 0, 0, 0, 1, 2, 2, 2]
    assert predictions.atoms.tolist() == [0, 1, 2, 3, -1, 0, 1, 2]
    assert predictions.ids[:2] == ("0/0", "0/1")
    assert predictions.ids[4] == "1"
    assert np.isnan(predictions.values).tolist() == [False] * 4 + [True] + [False] * 3
    np.testing.assert_allclose(predictions.of_structure(2), fitted.predict(local.values[:3]), rtol=1e-9)
    np.testing.assert_allclose(loaded.pipeline.predict(items[:1]), predictions.of_structure(2), rtol=1e-9)
    assert predictions.to_pandas()["atom"].tolist() == predictions.atoms.tolist()
    assert all(name.startswith(("soap__SOAP", "acsf__ACSF")) for name in loaded.feature_names)
    far = items[0].copy()
    far.positions[1] += rng.normal(size=3)
    assert not loaded.predict(far).in_domain.all()


def test_only_some_atoms(structures):
    items = structures[:6]
    values = atom_values(items)
    for of_one in values:
        of_one[0] = np.nan  # oxygen
    problem = problem_of(items, values, level="atom")
    features = SOAP(**SMALL, centers=CenterSampler(species=["H"])).fit(items)
    fitted = Ridge().fit(features.transform(items).values, problem.y)
    model = TrainedModel.of(assemble(features, fitted, "atom"), problem)
    assert model.predict(items[0]).atoms.tolist() == [1, 2]
    predictions = model.predict([items[0], Atoms("O")], on_error="skip")
    assert predictions.atoms.tolist() == [1, 2, -1]
    assert "none of its atoms is a centre" in predictions.failures[0].reason
    with_oxygen = problem_of(items, atom_values(items), level="atom")
    with pytest.raises(ValueError, match="atom 0 of a training structure is not a centre"):
        TrainedModel.of(assemble(features, fitted, "atom"), with_oxygen)


def test_features_at_hand_are_taken(structures, problem):
    features = SOAP(**SMALL, average="inner").fit(structures)
    X = features.transform(structures)
    pipeline = assemble(features, Ridge().fit(X[5:], problem.y[5:]))
    computed = TrainedModel.of(pipeline, problem, np.arange(5, 40))
    given = TrainedModel.of(pipeline, problem, np.arange(5, 40), table=X)
    np.testing.assert_allclose(given.domain.quantiles, computed.domain.quantiles, rtol=1e-9)
    assert given.card == computed.card


def test_a_model_of_atoms_needs_features_of_atoms(structures):
    problem = problem_of(structures, atom_values(structures), level="atom")
    features = SOAP(**SMALL, average="inner").fit(structures)
    pipeline = Pipeline([("features", features), ("model", DummyRegressor().fit(np.zeros((1, 1)), [0]))])
    with pytest.raises(TypeError, match="must begin with a descriptor that gives LocalFeatures"):
        TrainedModel.of(pipeline, problem)
    with pytest.raises(TypeError, match="features of atoms must be LocalFeatures"):
        assemble(features, Ridge(), "atom").fit(structures, problem.y)
    with pytest.raises(ValueError, match="is an average or a pooling missing, or level='atom'"):
        TrainedModel.of(assemble(SOAP(**SMALL).fit(structures), DummyRegressor()), problem_of(structures))
    with pytest.raises(ValueError, match="level must be one of"):
        assemble(features, Ridge(), "molecule")


def test_local_union_refuses_what_does_not_match(structures):
    other = LocalUnion([("a", SOAP(**SMALL)), ("b", SOAP(**SMALL, centers=CenterSampler(species=["H"])))])
    with pytest.raises(ValueError, match="'b' must have the same centres as 'a'"):
        other.fit(structures).transform(structures)
    pooled = LocalUnion([("a", SOAP(**SMALL, average="inner"))])
    with pytest.raises(TypeError, match="'a' must give features of atoms"):
        pooled.fit(structures).transform(structures)
    sparse = LocalUnion([("a", SOAP(**SMALL, sparse=True)), ("b", SOAP(**SMALL))]).fit(structures).transform(structures)
    dense = LocalUnion([("a", SOAP(**SMALL)), ("b", SOAP(**SMALL))]).fit(structures).transform(structures)
    np.testing.assert_allclose(sparse.values.toarray(), dense.values)


def test_compositions(tmp_path):
    formulas = ["NaCl", "KCl", "MgO", "CaO", "SrO", "NaBr", "KBr", "LiF"]
    model = trained(ElementProperty(), Ridge(), problem_of(None, np.arange(8.0), compositions=formulas))
    loaded = round_trip(model, tmp_path)
    assert loaded.info()["inputs"] == "compositions"
    assert loaded.domain.n_atoms is None
    predictions = loaded.predict(["NaCl", "Na2Cl2", bulk("NaCl", "rocksalt", 5.6), {"Na": 1, "Cl": 1}, "XeF2"])
    np.testing.assert_allclose(predictions.values[:4], predictions.values[0])
    assert predictions.ids == ("NaCl", "Na2Cl2", "2", "3", "XeF2")
    assert predictions.warnings[4][0].startswith("contains Xe, which is not in the training set (Li, O, F, ")
    assert loaded.predict("NaCl").values[0] == predictions.values[0]
    write(tmp_path / "salt.cif", bulk("NaCl", "rocksalt", 5.6))
    assert loaded.predict(tmp_path / "salt.cif").values[0] == pytest.approx(predictions.values[0])
    bad = loaded.predict(["NaCl", "Na(", "KCl"], on_error="skip")
    assert np.isnan(bad.values).tolist() == [False, True, False]
    pymatgen = pytest.importorskip("pymatgen.core")
    given = [pymatgen.Composition("NaCl"), pymatgen.Structure(4 * np.eye(3), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3])]
    np.testing.assert_allclose(loaded.predict(given).values, predictions.values[0])
    assert len(loaded.predict(given[0])) == 1


def test_other_elements_fail_alone(model, structures):
    xenon = structures[0].copy()
    xenon.symbols[0] = "Xe"
    given = [*structures[:20], xenon, *structures[20:], Atoms("Ar"), Atoms()]
    predictions = model.predict(given, on_error="skip")
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(predictions.values)), [20, 41, 42])
    good = np.delete(np.arange(43), [20, 41, 42])
    np.testing.assert_allclose(predictions.values[good], model.predict(structures).values, rtol=1e-9)
    assert [failure.row for failure in predictions.failures] == [20, 41, 42]
    assert predictions.failures[0].reason == "atom 0: species must be one of H, O, got Xe"
    assert predictions.failures[2].reason == "must have at least one atom, got none"
    assert predictions.warnings[20] == (f"not predicted: {predictions.failures[0].reason}",)
    assert not predictions.in_domain[20]
    assert repr(predictions) == "Predictions(43 of 'property', 3 failed)"
    with pytest.raises(
        ValueError, match=r"structure 20 \('20'\) cannot be predicted: atom 0: species must be one of H"
    ):
        model.predict(given)
    with pytest.raises(ValueError, match="on_error must be one of 'raise', 'skip', got 'ignore'"):
        model.predict(given, on_error="ignore")
    assert np.isnan(model.predict(xenon, on_error="skip").values).all()


def test_predictions_are_never_nan(structures, problem):
    class Broken(DummyRegressor):
        def predict(self, X):
            return np.full(len(X), np.inf)

    model = trained(ElementProperty(["mass"]), Broken(), problem)
    with pytest.raises(ValueError, match="the prediction is not a finite number"):
        model.predict(structures)
    assert len(model.predict(structures[:3], on_error="skip").failures) == 3


def test_tables(model, tmp_path):
    formulas = ["NaCl", "KBr", "MgO", "CaO", "LiF", "NaF", "KCl", "BaO"]
    of_formulas = trained(ElementProperty(), Ridge(), problem_of(None, np.arange(8.0), compositions=formulas))
    path = tmp_path / "new.csv"
    path.write_text("id;Alloy\na;NaBr\nb;KF\n")
    found = of_formulas.predict(path)
    assert list(found.ids) == ["a", "b"]
    np.testing.assert_array_equal(found.values, of_formulas.predict(["NaBr", "KF"]).values)
    with pytest.raises(ValueError, match="the model needs structures, data set 'new' has only compositions"):
        model.predict(path)
    path.write_text("id;formula\nbad;Na(\na;NaBr\n;Qq\nb;KF\n")
    with pytest.raises(ValueError, match=r"structure 0 \('bad'\) cannot be predicted: formula 'Na\('"):
        of_formulas.predict(path)
    some = of_formulas.predict(path, on_error="skip")
    assert list(some.ids) == ["bad", "a", "2", "b"]
    assert [failure.row for failure in some.failures] == [0, 2]
    np.testing.assert_allclose(some.values[[1, 3]], found.values, rtol=1e-9)


def test_files(model, structures, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    write(folder / "a.xyz", structures[0])
    write(folder / "b.xyz", structures[1:3])
    (folder / "c.xyz").write_text("not a structure")
    (folder / ".hidden").write_text("")
    expected = model.predict(structures[:3]).values
    one = model.predict(str(folder / "a.xyz"))
    assert one.ids == ("a.xyz",)
    np.testing.assert_allclose(one.values, expected[:1], atol=1e-5)
    both = model.predict([folder / "a.xyz", folder / "b.xyz", structures[0]])
    assert both.ids == ("a.xyz", "b.xyz#0", "b.xyz#1", "3")
    np.testing.assert_allclose(both.values, [*expected, expected[0]], atol=1e-5)
    everything = model.predict(folder, on_error="skip")
    assert everything.ids == ("a", "b#0", "b#1", "c")  # the names that training gives them
    assert np.isnan(everything.values[3])
    assert "'not a structure'" in everything.failures[0].reason
    with pytest.raises(ValueError, match=r"structure 3 \('c'\) cannot be predicted: line 1 must be the number of"):
        model.predict(folder)
    with pytest.raises(FileNotFoundError, match=r"no such file or folder: 'nowhere.cif'"):
        model.predict("nowhere.cif")
    missing = model.predict([folder / "a.xyz", "nowhere.cif"], on_error="skip")
    assert "no" in missing.failures[0].reason
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty has no structure files"):
        model.predict(tmp_path / "empty")
    with pytest.raises(ValueError, match="at least one structure or composition, got none"):
        model.predict([])


def test_cif_file(tmp_path):
    crystals = [bulk("NaCl", "rocksalt", a) for a in np.linspace(5, 6, 8)]
    problem = problem_of(crystals, np.linspace(0, 1, 8))
    model = round_trip(trained(SOAP(**SMALL, periodic=True, average="inner"), Ridge(), problem), tmp_path)
    write(tmp_path / "new.cif", crystals[3])
    predictions = model.predict(str(tmp_path / "new.cif"))
    assert predictions.ids == ("new.cif",)
    assert predictions.values[0] == pytest.approx(model.predict(crystals[3]).values[0], abs=1e-6)


def test_other_kinds_of_input(model, problem, structures):
    expected = model.predict(structures).values
    np.testing.assert_allclose(model.predict(as_batch(structures, periodic=None)).values, expected, rtol=1e-9)
    np.testing.assert_array_equal(model.predict(iter(structures)).values, expected)
    of_data = model.predict(problem.dataset)
    assert of_data.ids == problem.dataset.ids
    np.testing.assert_array_equal(of_data.values, expected)
    with pytest.raises(ValueError, match="data set 'made-up' has only compositions"):
        model.predict(problem_of(None, compositions=["H2O"] * 3).dataset)
    pymatgen = pytest.importorskip("pymatgen.core")
    one = pymatgen.Molecule(structures[0].get_chemical_symbols(), structures[0].positions)
    assert model.predict(one).values[0] == pytest.approx(expected[0])


def test_chunks_threads_and_progress(model, structures, monkeypatch):
    expected = model.predict(structures)
    monkeypatch.setattr("atomprint.workflow.saved.model._CHUNK", 7)
    seen = []
    in_parts = model.predict(structures, n_jobs=2, progress=lambda _, done, total: seen.append((done, total)))
    np.testing.assert_allclose(in_parts.values, expected.values, rtol=1e-12)
    np.testing.assert_allclose(in_parts.distance, expected.distance, atol=1e-9)
    assert seen == [(7, 40), (14, 40), (21, 40), (28, 40), (35, 40), (40, 40)]
    assert model.pipeline[0].n_jobs == 1
    with pytest.raises(ValueError, match="n_jobs must not be 0"):
        model.predict(structures, n_jobs=0)
    given = [*structures[:9], Atoms("Xe")]
    with pytest.raises(ValueError, match="structure 9 "):
        model.predict(given)


def test_one_bad_structure_of_many_costs_no_computation(model, structures, monkeypatch):
    sizes, kind = [], type(model.pipeline[0])
    compute = kind._compute
    monkeypatch.setattr(kind, "_compute", lambda self, call, out: (sizes.append(len(call)), compute(self, call, out)))
    given = [structures[i % 40] for i in range(100)]
    given.insert(63, Atoms("Xe"))
    predictions = model.predict(given, on_error="skip")
    assert [failure.row for failure in predictions.failures] == [63]
    assert sizes == [63, 37]
    np.testing.assert_allclose(predictions.values[:40], model.predict(structures).values, rtol=1e-12)


# Training domain ----------------------------------------------------------------------------------------------------


def test_samples_of_the_same_origin_are_inside_and_others_are_not():
    rng = np.random.default_rng(0)
    content = [content_of("H")]
    for n_features in (3, 200):  # without and with reduction
        mix = rng.normal(size=(8, n_features))

        def draw(n, mix=mix):
            return rng.normal(size=(n, len(mix))) @ mix + 0.05 * rng.normal(size=(n, mix.shape[1]))

        domain = Domain.fit(draw(400), content)
        new = assess(domain, draw(2000), content, np.zeros(2000, dtype=int))
        # 99 % by distance, and 99 % by ranges.
        assert 0.95 < new.in_domain.mean() < 0.998
        far = assess(domain, 10 * draw(50) + 20, content, np.zeros(50, dtype=int))
        assert not far.in_domain.any()
        # In a direction in which the training set hardly varies.
        if n_features > len(mix):
            beside = draw(50) + 8 * rng.normal(size=(50, n_features))
            assert not assess(domain, beside, content, np.zeros(50, dtype=int)).in_domain.any()


def content_of(*symbols, n_atoms=3):
    return Content(frozenset(Atoms(symbols).numbers.tolist()), n_atoms)


def test_distances_against_brute_force():
    rng = np.random.default_rng(3)
    X, new = rng.normal(size=(30, 4)) * [1, 10, 100, 0.1], rng.normal(size=(6, 4)) * [1, 10, 100, 0.1]
    content = [content_of("H")]
    found = assess(Domain.fit(X, content), new, content, np.zeros(6, dtype=int)).distance
    difference = (new[:, None] - X[None]) / X.std(axis=0)
    expected = np.sort(np.sqrt((difference**2).sum(axis=2)), axis=1)[:, :5].mean(axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_kernel_distance_is_that_between_mean_features(structures, problem):
    features, y = make_pipeline(SOAP(**SMALL), AverageKernel()), problem.y
    model = trained(features, KernelRidge(kernel="precomputed"), problem)
    means = SOAP(species=["H", "O"], **SMALL, pooling="mean").create(structures)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    apart = np.sqrt(((means[:, None] - means[None]) ** 2).sum(axis=2))
    expected = np.sort(apart, axis=1)[:, 1:6].mean(axis=1)  # without itself
    assert model.domain.threshold == pytest.approx(np.quantile(expected, 0.99, method="higher"), rel=1e-4)
    new = molecule("H2O2")
    assert not model.predict(new).in_domain[0]
    everything = features.fit_transform(structures)
    pipeline = assemble(
        features.fit(structures[:20]), KernelRidge(kernel="precomputed").fit(everything[:20, :20], y[:20])
    )
    given, computed = (TrainedModel.of(pipeline, problem, np.arange(20), table=t) for t in (everything, None))
    assert given.domain.threshold == pytest.approx(computed.domain.threshold, rel=1e-5)
    plain = make_pipeline(SOAP(**SMALL), AverageKernel(normalize_kernel=False))
    unknown = trained(plain, KernelRidge(kernel="precomputed"), problem).predict(new)
    assert np.isnan(unknown.distance).all()


def test_words_about_what_is_unusual(model, problem, structures):
    stretched = structures[0].copy()
    stretched.positions[1:] *= 1.6
    predictions = model.predict([stretched, molecule("H2O2"), structures[0]])
    assert predictions.in_domain.tolist() == [False, False, True]
    shortest, mean, far, ranges = predictions.warnings[0]
    assert shortest.startswith("shortest distance 1.48 Å, between O and H, 1.5")
    assert mean.startswith("nearest neighbours are on average at 1.5")
    assert far.startswith("farther from the training set than 99% of its own samples are from the rest of it: distance")
    assert "features are outside the ranges of the training set" in ranges
    assert "most of all SOAP" in ranges
    assert "has 4 atoms; structures of the training set have 3" in predictions.warnings[1]
    two = trained(ElementProperty(["mass"]), Ridge(), problem).predict(["LiF", "H2O"])
    assert two.warnings[0][0] == "contains Li, F, which are not in the training set (H, O)"
    assert two.warnings[1] == ()


def test_features_that_never_varied():
    X = np.ones((20, 3))
    X[:, 0] = np.linspace(0, 1, 20)
    content = [content_of("H")]
    domain = Domain.fit(X, content)
    new = np.array([[0.5, 1.0, 1.0], [0.5, 1.0 + 1e-13, 1.0], [0.5, 2.0, 1.0]])
    found = assess(domain, new, content, np.zeros(3, dtype=int), ["a", "b", "c"])
    assert found.in_domain.tolist() == [True, True, False]
    assert found.warnings[2][0].startswith("farther from the training set")
    same = Domain.fit(np.ones((20, 80)), content)
    assert assess(same, np.ones((1, 80)), content, np.zeros(1, dtype=int)).in_domain.all()
    assert not assess(same, np.full((1, 80), 1.1), content, np.zeros(1, dtype=int)).in_domain.any()


def test_missing_features_and_few_samples():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 4))
    X[::3, 1] = np.nan
    X[:, 2] = np.nan
    content = [content_of("H")]
    found = assess(Domain.fit(X, content), X, content, np.zeros(30, dtype=int))
    assert np.isfinite(found.distance).all()
    assert found.in_domain.all()
    few = Domain.fit(X[:3], content)
    assert np.isnan(assess(few, X, content, np.zeros(30, dtype=int)).distance).all()
    assert few.to_dict()["threshold"] is None
    again = Domain.from_arrays(few.to_arrays())
    assert again.space is None
    assert again.elements == (1,)
    with pytest.raises(ValueError, match="at least one structure"):
        Domain.fit(X, [])


def test_large_training_sets_are_sampled():
    rng = np.random.default_rng(0)
    domain = Domain.fit(rng.normal(size=(6000, 60)), [content_of("H")])
    assert domain.n_samples == 5000
    assert domain.space.reference.shape == (5000, 51)


def test_atoms_of_one_structure_are_left_out_together():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 8)
    X = rng.normal(size=(40, 5))[groups] + 1e-3 * rng.normal(size=(320, 5))
    content = [content_of("H")]
    together, alone = Domain.fit(X, content, groups), Domain.fit(X, content)
    assert together.quantiles[50] > 100 * alone.quantiles[50]


# Files that must not be loaded --------------------------------------------------------------------------------------


def test_every_truncation_is_found(saved):
    data = saved.read_bytes()
    for n in [0, 3, 30, *np.linspace(100, len(data) - 1, 12, dtype=int)]:
        saved.write_bytes(data[:n])
        with pytest.raises(ModelFileError, match=r"damaged or truncated|damaged or was changed|is not a saved model"):
            load_model(saved)


def test_changed_bytes_are_found(saved):
    data = saved.read_bytes()
    rng = np.random.default_rng(0)
    found = 0
    for place in rng.choice(len(data), 40, replace=False):
        changed = bytearray(data)
        changed[place] ^= 0xFF
        saved.write_bytes(changed)
        try:
            load_model(saved)
        except ModelFileError:
            found += 1
    # What is left is in fields of the archive that mean nothing, such as times.
    assert found >= 36


def rewrite(path, change, *, comment=None):
    """Write the archive again after a change of its members, with right or wrong checksums."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
        old = archive.comment
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        archive.comment = old if comment is None else comment


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda m: m.update({"card.json": m["card.json"].replace(b'"eV"', b'"meV"')}),
            "checksum of card.json is wrong",
        ),
        (lambda m: m.update({"domain.npz": m["domain.npz"][:-1] + b"x"}), "checksum of domain.npz is wrong"),
        (lambda m: m.update({"domain.npz": m["domain.npz"] + b"x"}), "size of domain.npz is wrong"),
        (lambda m: m.pop("pipeline.skops"), "its members are not those that its card lists"),
        (lambda m: m.update({"extra.pkl": b"x"}), "its members are not those that its card lists"),
        (lambda m: m.pop("card.json"), "it has no card.json"),
        (lambda m: m.update({"card.json": b"{"}), "card.json is not JSON"),
        (lambda m: m.update({"card.json": b"[]"}), "does not say 'atomprint model'"),
    ],
)
def test_changed_members_are_found(saved, change, message):
    rewrite(saved, change)
    with pytest.raises(ModelFileError, match=message):
        load_model(saved)


def test_other_files_are_refused(tmp_path, saved):
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ModelFileError, match="not a ZIP archive"):
        load_model(tmp_path / "text")
    with zipfile.ZipFile(tmp_path / "zip", "w") as archive:
        archive.writestr("a", "b")
    with pytest.raises(ModelFileError, match=r"it has no card.json"):
        load_model(tmp_path / "zip")
    np.savez(tmp_path / "arrays.npz", a=np.ones(2))
    with pytest.raises(ModelFileError, match=r"it has no card.json"):
        load_model(tmp_path / "arrays.npz")
    with pytest.raises(FileNotFoundError, match="no such file"):
        load_model(tmp_path / "nothing")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        load_model(tmp_path)


def resave(path, **changes):
    """Write a model file again with a changed card or members, and right checksums."""
    card, members = read_container(path)
    for key in ("format", "format_version", "members"):
        card.pop(key)
    members |= changes.pop("members", {})
    write_container(path, {**card, **changes}, members)
    return card


class Evil:
    """What a malicious file would hold: a type whose construction runs something."""

    ran = False

    def __setstate__(self, state):
        type(self).ran = True


def test_unknown_types_are_refused_before_anything_runs(saved, structures):
    from skops import io as skops

    pipeline = Pipeline([("features", SOAP(**SMALL, average="inner").fit(structures)), ("model", Ridge())])
    pipeline.steps[1][1].evil = Evil()
    resave(saved, members={"pipeline.skops": skops.dumps(pipeline)})
    Evil.ran = False
    with pytest.raises(ModelFileError, match=r"types that are not trusted, and was not loaded: .*Evil"):
        load_model(saved)
    assert not Evil.ran


@pytest.mark.parametrize(
    "function",
    [os.system, eval, subprocess.run, importlib.import_module, SOAP.create, np.load, "atomprint.cli.import_module"],
)
def test_functions_are_refused(saved, function, structures):
    from skops import io as skops

    named = isinstance(function, str)  # a name that a module of ours merely imports
    inner = FunctionTransformer(importlib.import_module if named else function)
    pipeline = Pipeline([("features", inner), ("model", Ridge())])
    data = skops.dumps(pipeline)
    if named:
        buffer = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(data)) as given, zipfile.ZipFile(buffer, "w") as archive:
            for name in given.namelist():
                archive.writestr(name, given.read(name).replace(b'"importlib"', b'"atomprint.cli"'))
        data = buffer.getvalue()
    resave(saved, members={"pipeline.skops": data})
    with pytest.raises(ModelFileError, match="types that are not trusted, and was not loaded"):
        load_model(saved)


def schema_of(path):
    _, members = read_container(path)
    with zipfile.ZipFile(io.BytesIO(members["pipeline.skops"])) as archive:
        return archive.read("schema.json").decode()


def with_schema(path, schema):
    """Write a model file again with another schema."""
    _, members = read_container(path)
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(members["pipeline.skops"])) as given, zipfile.ZipFile(buffer, "w") as archive:
        for name in given.namelist():
            archive.writestr(name, schema if name == "schema.json" else given.read(name))
    resave(path, members={"pipeline.skops": buffer.getvalue()})


def test_files_hold_public_names_with_versions(saved, monkeypatch, structures, model):
    schema = schema_of(saved)
    assert '"__class__": "SOAP:1", "__module__": "atomprint"' in schema
    assert "atomprint.descriptors" not in schema
    moved = type("MovedSOAP", (SOAP,), {"__module__": __name__, "__init__": SOAP.__init__})
    monkeypatch.setitem(registry._KNOWN, "SOAP", KNOWN["SOAP"]._replace(cls=moved))
    monkeypatch.setitem(globals(), "MovedSOAP", moved)
    loaded = load_model(saved)
    assert type(loaded.pipeline[0]) is moved
    np.testing.assert_array_equal(loaded.predict(structures).values, model.predict(structures).values)


def test_other_numbers_and_unknown_names_are_refused(saved, monkeypatch):
    schema = schema_of(saved)
    known = KNOWN["SOAP"]._replace(version=1, versions={})
    with monkeypatch.context() as patch:
        patch.setitem(registry._KNOWN, "SOAP", known._replace(version=2))
        with pytest.raises(ModelFileError, match=r"SOAP with the numbers of its version 1, .* has version 2"):
            load_model(saved)
    for dtype in ("float64", "float32"):  # the numbers of some may be others
        with monkeypatch.context() as patch:
            patch.setitem(registry._KNOWN, "SOAP", known._replace(versions={("dtype", dtype): 3}))
            if dtype == "float32":
                load_model(saved)
                continue
            with pytest.raises(ModelFileError, match=r"SOAP with the numbers of its version 1, .* has version 3"):
                load_model(saved)
    for old, new, message in (
        ("SOAP:1", "SOAP:2", "SOAP with the numbers of its version 2, .* version 1, .* update atomprint"),
        ("SOAP:1", "SOUP:1", "holds 'SOUP', which this atomprint does not know"),
        ("SOAP:1", "SOAP", "cannot be read"),
        ("SOAP:1", "SOAP:x", "cannot be read"),
        (
            '"SOAP:1", "__module__": "atomprint"',
            '"SOAP", "__module__": "atomprint.descriptors.soap"',
            "not trusted, .*SOAP",
        ),
    ):
        with_schema(saved, schema.replace(old, new))
        with pytest.raises(ModelFileError, match=message):
            load_model(saved)
    opened = schema.replace('"SOAP:1", "__module__": "atomprint"', '"SOAP", "__module__": "atomprint.descriptors.soap"')
    unused = f"SOAP:{KNOWN['SOAP'].version}"
    with_schema(saved, f'{{"unused": {{"__class__": "{unused}", "__module__": "atomprint"}}, ' + opened[1:])
    with pytest.raises(ModelFileError, match=r"not trusted, .*SOAP"):
        load_model(saved)


@pytest.mark.parametrize(
    ("dtype", "version"),
    [("float64", 1), (np.float64, 1), ("float32", 2), (np.float32, 2), (np.dtype("float32"), 2)],
)
def test_single_precision_has_other_numbers_however_it_is_written(dtype, version):
    from skops.io import dumps

    data = persist._public(dumps(SOAP(r_cut=3.0, n_max=2, l_max=1, dtype=dtype)))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert f'"SOAP:{version}"' in archive.read("schema.json").decode()


def test_what_could_not_be_loaded_is_not_saved(structures, problem, tmp_path):
    model = trained(
        make_pipeline(SOAP(**SMALL), AverageKernel(metric=lambda x, y: float(x @ y))),
        KernelRidge(kernel="precomputed"),
        problem,
    )
    with pytest.raises(TypeError, match="cannot be saved"):
        model.save(tmp_path / "m.atomprint")
    assert list(tmp_path.iterdir()) == []


class Foreign(Ridge):
    """A model of another package."""


def test_types_of_other_packages_must_be_named(structures, problem, tmp_path):
    model = trained(SOAP(**SMALL, average="inner"), Foreign(), problem)
    name = f"{Foreign.__module__}.Foreign"
    with pytest.raises(TypeError, match=r"it holds .*Foreign"):
        model.save(tmp_path / "m.atomprint")
    path = model.save(tmp_path / "m.atomprint", trusted=[name])
    with pytest.raises(ModelFileError, match="not trusted"):
        load_model(path)
    loaded = load_model(path, trusted=[name])
    np.testing.assert_array_equal(loaded.predict(structures).values, model.predict(structures).values)


def test_trusted_names_are_what_they_say():
    for name in (*persist._PARTS, *(path_of(known.cls) for known in KNOWN.values())):
        module, _, attribute = name.rpartition(".")
        try:
            found = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError):  # in another version of a package
            continue
        assert inspect.isclass(found), name
        assert found.__module__.startswith(module.partition(".")[0]), name


def test_other_pipelines_are_refused(saved, structures):
    from skops import io as skops

    for wrong, message in (
        (Ridge(), "must hold a Pipeline"),
        (Pipeline([("model", Ridge())]), "must hold a Pipeline"),
        (assemble(SOAP(species=["H", "O", "C"], **SMALL, average="inner"), Ridge()), "the card names 20 features"),
        (assemble(SOAP(species=["H", "N"], **SMALL, average="inner"), Ridge()), "feature 6 is .SOAP H-O .* here"),
        (assemble(ElementProperty(), DummyClassifier().fit([[0], [1]], [0, 1])), "it predicts classes"),
    ):
        resave(saved, members={"pipeline.skops": persist._public(skops.dumps(wrong))})
        with pytest.raises(ModelFileError, match=message if "card names" not in message else "features"):
            load_model(saved)
    resave(saved, members={"pipeline.skops": b"no archive"})
    with pytest.raises(ModelFileError, match=r"pipeline.skops cannot be read"):
        load_model(saved)


def test_cards_that_do_not_fit_are_refused(saved):
    card = resave(saved)
    names = card["features"]["names"]
    for changes, message in (
        ({"features": card["features"] | {"names": ["x", *names[1:]]}}, "feature 0 is 'x' there and .SOAP H-H"),
        ({"features": card["features"] | {"n": 3}}, "the card names 3 features"),
        ({"features": card["features"] | {"n_steps": 7}}, "n_steps must be <= 1"),
        ({"features": card["features"], "classes": ["a", "b"], "metric": "f1"}, "it predicts numbers"),
        ({"classes": [], "metric": "f1"}, "metric must be one of 'mae', .*, got 'f1'"),
        ({"metric": "mae", "level": "galaxy"}, "level must be one of"),
        ({"level": "structure", "training": {}}, "card of the model is not complete"),
        ({"versions": None}, "is not complete"),
    ):
        resave(saved, **changes)
        with pytest.raises(ModelFileError, match=message):
            load_model(saved)


def test_domains_that_do_not_fit_are_refused(saved, model):
    arrays = model.domain.to_arrays()
    for changed, message in (
        ({key: value for key, value in arrays.items() if key != "elements"}, "not complete"),
        (arrays | {"space_scale": np.ones(3)}, "wrong shapes"),
        (arrays | {"elements": np.array([900])}, "elements that do not exist"),
        (arrays | {"quantiles": np.array([None, {}], dtype=object)}, "allow_pickle=False"),
    ):
        buffer = io.BytesIO()
        np.savez(buffer, **changed)
        resave(saved, members={"domain.npz": buffer.getvalue()})
        with pytest.raises(ModelFileError, match=message):
            load_model(saved)


def test_versions(saved, model, structures):
    card = resave(saved)
    major, minor = (int(part) for part in sklearn.__version__.split(".")[:2])
    resave(saved, versions=card["versions"] | {"scikit-learn": f"{major}.{minor - 1}.0"})
    with pytest.warns(VersionWarning, match=r"saved with scikit-learn .* \(here .*predictions may differ"):
        loaded = load_model(saved)
    np.testing.assert_array_equal(loaded.predict(structures).values, model.predict(structures).values)
    resave(saved, versions=card["versions"] | {"scikit-learn": f"{major}.{minor}.99"})
    load_model(saved)  # without a warning
    resave(saved, versions=card["versions"] | {"numpy": "1.26.0"})
    assert load_model(saved).info()["versions"]["numpy"] == "1.26.0"  # what it was fitted with
    resave(saved, versions=card["versions"] | {"scikit-learn": "77.0.0"})
    with pytest.raises(ModelFileError, match=r"with scikit-learn 77.0.0, which scikit-learn .* cannot be expected"):
        load_model(saved)
    resave(saved, versions=card["versions"] | {"atomprint": "77.0.0"})
    load_model(saved)  # its format and its numbers are of this version
    resave(saved, versions=card["versions"] | {"scikit-learn": "what"})
    with pytest.raises(ModelFileError, match="must be a version, got 'what'"):
        load_model(saved)


def test_format_of_the_future(saved, monkeypatch):
    card, members = read_container(saved)
    monkeypatch.setattr(container_module, "FORMAT_VERSION", 2)
    for key in ("format", "format_version", "members"):
        card.pop(key)
    write_container(saved, card, members)
    monkeypatch.undo()
    with pytest.raises(ModelFileError, match="format version 2, this atomprint reads up to 1: update atomprint"):
        load_model(saved)


@pytest.mark.filterwarnings("ignore::atomprint.workflow.VersionWarning")  # scikit-learn may be a newer one
@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parent / "models").glob("*.atomprint")), ids=lambda path: path.stem
)
def test_files_of_earlier_versions_are_read_for_ever(path):
    # If this fails, do not make the file anew: the models of users are like it. Read it, or raise the version of the
    # class whose numbers are others, so that it is refused in words.
    given = json.loads(path.with_suffix(".json").read_text())
    loaded = load_model(path)
    found = loaded.predict([Atoms(**structure) for structure in given["structures"]])
    np.testing.assert_allclose(found.values, given["values"], rtol=1e-7)
    np.testing.assert_allclose(found.distance, given["distance"], rtol=1e-5)
    assert found.in_domain.tolist() == given["in_domain"]
    assert loaded.n_features == given["n_features"]
    assert read_container(path)[0]["format_version"] == int(path.stem.removeprefix("format-"))
    assert path.stat().st_size < 60_000


def test_a_missing_package_is_named(problem, tmp_path, monkeypatch):
    boosted = trained(ElementProperty(["mass"]), new(REGRESSORS["xgboost"]), problem).save(tmp_path / "x")
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(ImportError, match=r"pip install 'atomprint\[xgboost\]'"):
        load_model(boosted)


# Files that are not written -----------------------------------------------------------------------------------------


def test_folders_that_cannot_be_written_to(model, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        model.save(tmp_path / "nowhere" / "m.atomprint")
    with pytest.raises(IsADirectoryError, match="is a folder: give the name of a file"):
        model.save(tmp_path)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["write_bytes", "replace"])
def test_a_failure_leaves_the_old_file_whole(model, saved, structures, monkeypatch, error, step):
    before = saved.read_bytes()

    def fail(*_args):
        raise error

    monkeypatch.setattr(Path, step, fail)
    other = TrainedModel(model.pipeline, replace(model.card, created="later"), model.domain)
    with pytest.raises(type(error)):
        other.save(saved)
    monkeypatch.undo()
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]
    other.save(saved)
    assert load_model(saved).card.created == "later"


def test_cards_and_models_check_their_parts(model):
    training = Training("d", "D", 1, 1, "")
    with pytest.raises(ValueError, match="two or more different names"):
        Card(target="t", title="T", unit="", training=training, classes=("a", "a"))
    with pytest.raises(TypeError, match="pipeline must be a Pipeline"):
        TrainedModel(Ridge(), model.card, model.domain)
    with pytest.raises(ValueError, match="it predicts numbers, but target 'property' is for classification"):
        TrainedModel(model.pipeline, replace(model.card, classes=("a", "b"), metric="f1"), model.domain)
    with pytest.raises(ValueError, match="domain: it has 2 features, the pipeline 20"):
        TrainedModel(
            model.pipeline, model.card, Domain.fit(np.random.default_rng(0).normal(size=(9, 2)), [content_of("H")])
        )
    with pytest.raises(ValueError, match="at least one sample"):
        TrainedModel.of(model.pipeline, problem_of(water(np.random.default_rng(0), 3)), [])


def test_features_that_are_known_are_not_made_again_also_of_several_descriptors(structures, problem):
    union = FeatureUnion([("soap", SOAP(**SMALL, average="inner")), ("elements", ElementProperty(["mass"]))])
    table = union.fit_transform(structures)
    model = TrainedModel.of(assemble(union, Ridge().fit(table, problem.y)), problem)
    np.testing.assert_allclose(model.predict(structures, features=table).values, model.predict(structures).values)
    moved = model.predict(structures, features=np.zeros_like(table)).values
    np.testing.assert_allclose(moved, model.pipeline[-1].intercept_)
    with pytest.raises(ValueError, match="structure 0"):
        model.predict([molecule("SiH4")], features=table[:1])  # no element of the descriptor
