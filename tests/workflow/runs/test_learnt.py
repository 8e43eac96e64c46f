"""Features that are learnt from targets: in each training part alone, saved with the model, refused where absurd."""

import csv
import io
import tomllib
from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write
from sklearn.base import clone

from atomprint.datasets import Dataset, Target
from atomprint.descriptors import SOAP, CompositionChannels, LearnedEmbedding
from atomprint.learn import make_model
from atomprint.learn.evaluation.evaluate import evaluate, fit_estimator
from atomprint.learn.evaluation.explain import explain
from atomprint.learn.splits.split import SplitSettings
from atomprint.learn.task.features import Features
from atomprint.learn.task.problem import Problem
from atomprint.util.estimators import unwrap
from atomprint.workflow import Recipe, load_model, train
from atomprint.workflow.recipes.features import build_features, read_features
from atomprint.workflow.runs.describe import compute_features, drop_failures

METALS, ANIONS = ("Li", "Na", "K", "Rb", "Ag", "Ca", "Sr"), ("F", "Cl", "Br", "O", "S")
SOAPS = {"r_cut": 4.0, "n_max": 2, "l_max": 1, "pooling": "mean"}
LEARNT = {"type": "LearnedEmbedding", "n_channels": 3}
SECTIONS = {
    "shares": {"type": "CompositionChannels", "channels": "species"},
    "sites": {"type": "SOAP", **SOAPS, "periodic": True, "species_embedding": LEARNT},
    "all": {"join": ["shares", "sites"], "weights": {"sites": 2.0}, "only_joined": True},
}


def salts(n=60, noise=0.05):
    rng = np.random.default_rng(0)
    strength = {symbol: rng.normal() for symbol in METALS + ANIONS}
    structures, y = [], []
    for _ in range(n):
        metal, anion, a = rng.choice(METALS), rng.choice(ANIONS), 5 + rng.random()
        structures.append(bulk(metal + anion, "rocksalt", a=a))
        y.append(strength[metal] * strength[anion] + 5 / a + noise * rng.normal())
    ids = tuple(f"s{i}" for i in range(n))
    target = Target(np.array(y), "eV", "y", "y")
    return Dataset("salts", "Salts", structures, ids, {"y": target}, "", "", None, licence="")


def features_of(dataset, sections=SECTIONS):
    (given,) = build_features(read_features(sections), dataset, "structure", 1)
    return compute_features(given, Problem.of(dataset, "y"))


def with_targets(dataset, y, **changes):
    return replace(dataset, targets={"y": replace(dataset.targets["y"], values=y, **changes)})


@pytest.fixture(scope="module")
def tested():
    dataset = salts()
    problem = Problem.of(dataset, "y")
    split = SplitSettings(test_size=0.2, n_folds=3).divide(problem, 0)
    features, transformer = features_of(dataset)
    return dataset, problem, split, features, transformer


MODEL = make_model("ridge", "regression")


def test_each_part_learns_channels_from_the_targets_that_are_fitted(tested):
    dataset, problem, split, features, _ = tested
    found = evaluate(MODEL, features, problem, split)
    shares = CompositionChannels("species").fit_transform(dataset.structures)
    for (_, fit, predict), (_, fold) in zip(split.parts(), found.parts(), strict=True):
        learnt = LearnedEmbedding(3).fit([dataset.structures[i] for i in fit], problem.y[fit])
        soap = SOAP(**SOAPS, periodic=True, species_embedding=learnt).fit(dataset.structures)
        table = np.concatenate([shares, 2.0 * soap.transform(dataset.structures)], axis=1)
        expected = clone(MODEL).fit(table[fit], problem.y[fit]).predict(table[predict])
        assert fold.y_pred == pytest.approx(expected, abs=1e-10)


def test_targets_of_samples_to_predict_change_nothing(tested):
    dataset, problem, split, features, _ = tested
    found = evaluate(MODEL, features, problem, split)
    for part, (_, _, predict) in enumerate(split.parts()):
        y = problem.y.copy()
        y[predict] = np.random.default_rng(part).normal(size=len(predict))
        other = with_targets(dataset, y)
        table = features_of(other)[0]
        again = evaluate(MODEL, table, Problem.of(other, "y"), split)
        np.testing.assert_array_equal(again.parts()[part][1].y_pred, found.parts()[part][1].y_pred)
        assert (table.values != features.values).any()


def test_the_table_of_all_is_what_the_transformer_makes_that_is_saved(tested):
    dataset, problem, _, features, transformer = tested
    np.testing.assert_array_equal(features.values, transformer.transform(dataset.structures))
    np.testing.assert_array_equal(features.take(np.arange(len(problem))), features.values)
    assert features.learnt.columns.tolist() == list(range(*features.blocks["sites"]))


def test_importance_sees_the_features_that_the_models_saw(tested):
    _, problem, split, features, _ = tested
    found = evaluate(MODEL, features, problem, split, keep_fold_estimators=True)
    importance, _ = explain(found, features, problem, split, n_repeats=3)
    means = {group.label: group.mean for group in importance.groups["descriptors"]}
    assert means["sites"] > 0.1  # with channels of other parts the model would be wrong before anything is scrambled
    fit = split.train
    wrong = mean_error(found.estimator, features.values[split.test], problem.y[split.test])
    right = mean_error(found.estimator, features.take(split.test, fit), problem.y[split.test])
    assert right < wrong


def mean_error(model, X, y):
    return np.abs(model.predict(X) - y).mean()


def test_a_run_saves_what_was_learnt_and_predicts_new_structures(tmp_path):
    dataset = salts()
    with (tmp_path / "salts.csv").open("w") as file:
        table = csv.writer(file)
        table.writerow(["cif", "y"])
        for atoms, y in zip(dataset.structures, dataset.targets["y"].values, strict=True):
            text = io.BytesIO()
            write(text, atoms, format="cif")
            table.writerow([text.getvalue().decode(), y])
    recipe = Recipe.from_dict(
        {
            "data": {"path": str(tmp_path / "salts.csv"), "structure": "cif", "target": "y"},
            "features": SECTIONS,
            "models": {"kernel_ridge": {}},
            "split": {"n_folds": 2},
            "evaluation": {"learning_curve": False, "n_repeats": 1},
        }
    )
    run = train(recipe)
    assert Recipe.from_dict(tomllib.loads(run.recipe.to_toml())) == run.recipe
    run.model.save(tmp_path / "model.atomprint")
    loaded = load_model(tmp_path / "model.atomprint")
    new = [bulk("NaBr", "rocksalt", a=5.7), bulk("SrS", "rocksalt", a=5.4)]
    learnt = LearnedEmbedding(3).fit(run.study.problem.dataset.structures, run.study.problem.y)
    features = dict(loaded.pipeline[0].transformer_list)
    np.testing.assert_array_equal(features["sites"].species_embedding.table_, learnt.table_)
    np.testing.assert_array_equal(loaded.predict(new).values, run.model.predict(new).values)


def test_structures_that_cannot_be_described_are_found_without_targets():
    dataset = salts(20)
    far = bulk("NaCl", "rocksalt", a=5.6)
    far.positions[0] = np.nan
    dataset.structures[7] = far
    sets = build_features(read_features(SECTIONS), dataset, "structure", 1)
    smaller, failures = drop_failures(dataset, sets, lambda *_: None)
    assert [failure.row for failure in failures] == [7]
    assert len(smaller) == 19


def test_classes_are_learnt_from_if_there_are_two():
    dataset = salts()
    y = dataset.targets["y"].values
    two = with_targets(dataset, (y > np.median(y)).astype(float), classes=("low", "high"), unit="")
    features, _ = features_of(two)
    assert features.learnt is not None
    three = with_targets(dataset, np.digitize(y, np.quantile(y, [0.3, 0.7])).astype(float), classes=("a", "b", "c"))
    with pytest.raises(
        ValueError, match=r"features\.all: a LearnedEmbedding learns from numbers or two classes, got 3"
    ):
        features_of(three)


def test_kernels_and_targets_of_atoms_are_refused():
    dataset = salts(10)
    local = {name: value for name, value in SECTIONS["sites"].items() if name != "pooling"}
    with pytest.raises(ValueError, match=r"features\.same: a LearnedEmbedding is for features, not for kernels"):
        features_of(dataset, {"same": {"type": "AverageKernel", "descriptor": local}})
    of_atoms = with_targets(dataset, np.array([np.ones(2)] * 9 + [None], dtype=object), level="atom")
    (given,) = build_features(read_features({"sites": local}), dataset, "atom", 1)
    with pytest.raises(ValueError, match="must be one of structures, not of atoms"):
        compute_features(given, Problem.of(of_atoms, "y"))
    sparse = {"sites": {**SECTIONS["sites"], "sparse": True}}
    with pytest.raises(ValueError, match="sparse must be False"):
        features_of(dataset, sparse)


class Leak:
    """A feature that is the target of samples that it was learnt from, and noise for others."""

    columns = np.array([1])

    def __init__(self, y):
        self.y = y

    def values(self, samples):
        found = np.random.default_rng(0).normal(size=(len(self.y), 1))
        found[samples, 0] = self.y[samples]
        return found


def test_inner_folds_of_an_ensemble_learn_features_anew():
    dataset = salts()
    problem = Problem.of(dataset, "y")
    honest = problem.y + 0.3 * np.random.default_rng(1).normal(size=len(problem))
    table = np.column_stack([honest, problem.y])
    blocks = {"honest": (0, 1), "leak": (1, 2)}
    features = Features("f", "F", "", table, ["a", "b"], 0.0, {}, blocks=blocks, learnt=Leak(problem.y))
    members = [{"type": "ridge", "name": name, "blocks": [name]} for name in blocks]
    model = make_model("ensemble", "regression", members=members, combine="weights", n_folds=3, random_state=0)
    split = SplitSettings(test_size=0.2, n_folds=3).divide(problem, 0)
    fitted = unwrap(fit_estimator(model, features, problem, split, split.train))[1]
    assert fitted.weights_["honest"] > 0.8
    assert "learnt_anew" not in vars(fitted)
    naive = unwrap(fit_estimator(model, replace(features, learnt=None), problem, split, split.train))[1]
    assert naive.weights_["honest"] < 0.2


def test_the_transformer_of_a_training_part_makes_what_its_model_was_fitted_to(tested):
    dataset, _, split, features, everything = tested
    rows = np.arange(len(dataset.structures))
    own = features.learnt.fitted(split.train).transform(dataset.structures)
    np.testing.assert_allclose(own, features.take(rows, split.train), atol=1e-12)
    assert np.abs(everything.transform(dataset.structures) - own).max() > 1e-3
