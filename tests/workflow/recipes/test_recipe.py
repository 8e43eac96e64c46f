import re
import tomllib
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk, molecule
from sklearn.base import BaseEstimator

from atomprint.datasets import Dataset, Target
from atomprint.learn.models.search import Search
from atomprint.workflow.recipes.data import DataSection
from atomprint.workflow.recipes.features import build_features, make_object, named_classes, read_features
from atomprint.workflow.recipes.models import ModelSection
from atomprint.workflow.recipes.recipe import Recipe

TEXT = """
title = "Test"
seed = 3

[data]
path = "data.csv"
target = "gap"

[features.soap]
type = "SOAP"
r_cut = 4.0
species_embedding = { type = "ElementEmbedding", n_channels = 3 }

[features.composition]
type = "ElementProperty"

[features.both]
join = ["soap", "composition"]

[models.ridge]

[models.forest]
type = "random_forest"
n_estimators = 10
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_recipes_are_read_with_defaults(file):
    recipe = Recipe.read(file)
    assert recipe.data.path == str(file.parent / "data.csv")
    assert recipe.data.target == "gap"
    assert recipe.seed == 3
    assert recipe.models["forest"] == ModelSection("forest", "random_forest", {"n_estimators": 10})
    assert recipe.to_dict()["models"]["forest"] == {"type": "random_forest", "n_estimators": 10}
    assert recipe.split.method == "random"


def test_a_resolved_recipe_reads_as_itself(file, tmp_path):
    recipe = Recipe.read(file)
    other = tmp_path / "resolved.toml"
    other.write_text(recipe.to_toml(), encoding="utf-8")
    assert Recipe.read(other) == recipe
    assert tomllib.loads(recipe.to_toml())["evaluation"]["level"] == 0.9  # defaults are written down, too


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("models.forest.n_estimators=500", lambda r: r.models["forest"].parameters["n_estimators"] == 500),
        ("seed=7", lambda r: r.seed == 7),
        ("data.target=other gap", lambda r: r.data.target == "other gap"),
        ('split.method="stratified"', lambda r: r.split.method == "stratified"),
        ("split.test_size=0", lambda r: r.split.test_size == 0),
        ("models.lasso.alpha=0.1", lambda r: r.to_dict()["models"]["lasso"] == {"alpha": 0.1}),
        ("data.path=/elsewhere.csv", lambda r: r.data.path == "/elsewhere.csv"),
    ],
)
def test_entries_can_be_replaced(file, change, found):
    assert found(Recipe.read(file, [change]))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seed = 3", "sed = 3", r"recipe.toml: sed is not an entry of a recipe: .*: did you mean 'seed'\?"),
        ("seed = 3", 'seed = "3"', "seed must be an integer, got '3'"),
        ("seed = 3", "seed = true", "seed must be an integer, got True"),
        ("seed = 3", "seed = -1", "seed must be >= 0, got -1"),
        ("seed = 3", "n_jobs = 0", "n_jobs must"),
        ("seed = 3", "seed = ", "not a TOML file"),
        ('target = "gap"', 'targt = "gap"', r"data.targt is not an entry of a recipe: .*: did you mean 'target'\?"),
        ('target = "gap"', 'on_error = "ignore"', "data.on_error must be one of 'raise', 'skip', got 'ignore'"),
        ('target = "gap"', "groups = [1]", r"data.groups must be a list of strings, got \[1\]"),
        ('path = "data.csv"', "", "data must have a name .* or a path"),
        ('join = ["soap", "composition"]', 'join = ["soap"]', "features.both.join must be a list of at least two"),
        (
            'join = ["soap", "composition"]',
            'join = ["soap", "acsf"]',
            "features.both.join must be one of 'soap', 'composition', got 'acsf'",
        ),
        ('join = ["soap", "composition"]', 'join = ["soap", "composition"]\nr_cut = 1', "takes no parameters .* r_cut"),
        ('type = "SOAP"', "", "features.soap must have either a type"),
        ('type = "SOAP"', 'type = ["SOAP"]', r"recipe.toml: features.soap.type must be a string, got \['SOAP'\]"),
        ("[models.ridge]", "[models.mine]\ntype = ['ridge']", r"models.mine.type must be a string, got \['ridge'\]"),
        ("[models.ridge]", "[models.ridge]\ntitle = 3", "models.ridge.title must be a string, got 3"),
        ("[models.ridge]", "[split]\ntest_size = -0.1", "split.test_size must be >= 0"),
        ("[models.ridge]", "[split]\nmethod = 3", "split.method must be a string, got 3"),
        ("[models.ridge]", "[evaluation]\nlevel = 1.0", "evaluation.level must be between 0 and 1, got 1.0"),
        ("[models.ridge]", "[search]\nmethod = 'all'", "search.method must be one of"),
        ("[models.ridge]", "[models]\nridge = 1", 'models must be "auto" or hold tables'),
    ],
)
def test_mistakes_are_named(tmp_path, old, new, message):
    path = tmp_path / "recipe.toml"
    assert old in TEXT
    path.write_text(TEXT.replace(old, new), encoding="utf-8")
    with pytest.raises((ValueError, TypeError), match=message):
        Recipe.read(path)


def test_sections_that_are_missing_are_named(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text("seed = 1\n", encoding="utf-8")
    with pytest.raises(ValueError, match="data is missing: a recipe needs"):
        Recipe.read(path)
    path.write_text(TEXT.partition("[features")[0] + "[features]\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"features must have at least one entry, .* or be left out"):
        Recipe.read(path)
    with pytest.raises(FileNotFoundError, match=r"no such file: .* atomprint init writes one"):
        Recipe.read(tmp_path / "other.toml")


@pytest.mark.parametrize("change", ["models.forest", "=1", "a..b=1"])
def test_overrides_that_are_none(file, change):
    with pytest.raises(ValueError, match="an override must look like"):
        Recipe.read(file, [change])


def test_crystals_are_rescaled_where_their_volume_must_not_be_seen():
    known = DataSection(name="dcdft", target="volume").load()
    found = DataSection(name="dcdft", target="volume", volume_per_atom=20.0).load()
    np.testing.assert_allclose([atoms.get_volume() / len(atoms) for atoms in found.structures], 20)
    for before, after in zip(known.structures, found.structures, strict=True):
        np.testing.assert_allclose(after.get_scaled_positions(), before.get_scaled_positions(), atol=1e-12)
    np.testing.assert_array_equal(found.targets["volume"].values, known.targets["volume"].values)
    with pytest.raises(ValueError, match=r"data.volume_per_atom is for crystals, got .* without a cell"):
        DataSection(name="g2", volume_per_atom=20.0).load()
    with pytest.raises(ValueError, match=r"data.volume_per_atom must be > 0, got 0"):
        DataSection(name="dcdft", volume_per_atom=0.0)


def test_titles_of_features_are_for_people(file):
    recipe = Recipe.read(file, ["features.composition.title=Elements", "features.both.description=All of it"])
    dataset = DataSection(name="dcdft").load()
    soap, elements, both = build_features(recipe.features, dataset, "structure", 1)
    assert (soap.title, elements.title, both.title) == ("soap", "Elements", "both")
    assert soap.description.startswith("Smooth overlap of atomic positions")
    assert soap.description.endswith("(r_cut 4.0; species_embedding element embedding)")
    assert both.description == "All of it"
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    with pytest.raises(TypeError, match=r"features.soap.title must be a string, got 3"):
        Recipe.read(file, ["features.soap.title=3"])


@pytest.mark.parametrize(
    ("pooling", "words"),
    [
        ("mean", "pooling mean"),
        ({"type": "Pooling", "method": "mean", "by_species": True}, "pooling by mean, by species"),
        ({"type": "Pooling", "method": "mean", "by_species": False}, "pooling by mean"),
    ],
)
def test_parameters_in_words_tell_what_is_switched_on(pooling, words):
    features = {"soap": {"type": "SOAP", "r_cut": 4.0, "pooling": pooling}}
    recipe = Recipe.from_dict({"data": {"name": "dcdft"}, "features": features})
    (soap,) = build_features(recipe.features, DataSection(name="dcdft").load(), "structure", 1)
    assert soap.description.endswith(f"(r_cut 4.0; {words})")


ACCURACY = sorted((Path(__file__).parents[3] / "benchmarks" / "accuracy").glob("*.toml"))
MATBENCH = sorted(Path(str(files("atomprint.workflow.recipes"))).glob("matbench_*.toml"))


@pytest.mark.parametrize("path", [*ACCURACY, *MATBENCH], ids=lambda path: path.stem)
def test_recipes_of_the_accuracy_page_are_sound(path):
    """Their data are not here, but features and models can be made of every entry."""
    if path.stem.endswith("_pretrained"):
        pytest.importorskip("sevenn")
        pytest.importorskip("chgnet")
    recipe = Recipe.read(path)
    structures = [molecule("H2O"), molecule("CH4")] if recipe.data.name == "qm7" else [bulk("NaCl", "rocksalt", a=5.6)]
    ids = tuple(f"s{i}" for i in range(len(structures)))
    target = Target(np.arange(float(len(structures))), "eV", "E", "made up")
    dataset = Dataset("toy", "Toy", structures, ids, {"y": target}, "Some", "Nobody", None, licence="CC0")
    sections = {key: section.suited_to(dataset) for key, section in recipe.features.items()}
    sets = build_features(sections, dataset, "structure", 1)
    assert [len(made.transformer.fit(structures).get_feature_names_out()) > 4 for made in sets] == [True]
    kind = "classification" if path.stem.endswith("is_metal") else "regression"
    for section in recipe.models.values():
        made = section.build(kind, pairwise=False, search=recipe.search, n_jobs=1, threshold=recipe.target.threshold)
        assert hasattr(made, "fit")
        assert len(getattr(made, "members", [1])) == len(section.parameters.get("members", [1]))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"type": "SOPA"},
            r"features.mine.type must be one of 'ACE', 'ACSF', .* import path such as .*: did you mean 'SOAP'\?",
        ),
        ({"type": "Descriptor"}, "must be one of 'ACE', 'ACSF'"),
        ({"type": "TimeSeries"}, "must describe the structures .* got 'TimeSeries', which describes windows of"),
        ({"type": "VolumeStatistics"}, "got 'VolumeStatistics', which describes volumes: give its rows to a model of"),
        ({"type": "nowhere.Mine"}, "features.mine.type 'nowhere.Mine' cannot be imported: No module named 'nowhere'"),
        ({"type": "sklearn.base.clone"}, "features.mine.type 'sklearn.base.clone' must be a class with get_params"),
        (
            {"type": "sklearn.svm.SVR"},
            "mine.type must be a class with fit and transform, got 'sklearn.svm.SVR'",
        ),
        ({"type": "sklearn.base.BaseEstimator", "r": 1}, "features.mine.r is not a parameter of BaseEstimator"),
        ({"type": "SOAP", "centers": {"type": "nowhere.Mine"}}, "features.mine.centers.type 'nowhere.Mine' cannot be"),
        ({"type": "sklearn.preprocessing.StandardScaler"}, "StandardScaler needs structures, but data set 'toy' has"),
    ],
)
def test_types_that_cannot_be_had_are_named(entry, message):
    dataset = Dataset("toy", "Toy", None, ("a",), {"y": Target(np.ones(1), "", "", "")}, "", "", ("H2O",), licence="")
    with pytest.raises(ValueError, match=message):
        build_features(read_features({"mine": entry}), dataset, "structure", 1)


class _TwoArgumentsError(ValueError):
    def __init__(self, what, why):
        super().__init__(f"{what}: {why}")


class RefusesToBeMade(BaseEstimator):
    def __init__(self):
        raise _TwoArgumentsError("sorry", "not today")

    def fit(self, X, y=None):
        return self

    predict = fit


def test_errors_of_classes_of_others_are_told_whatever_they_are_made_from():
    dataset = Dataset("toy", "Toy", None, ("a",), {"y": Target(np.ones(1), "", "", "")}, "", "", ("H2O",), licence="")
    path = f"{__name__}.RefusesToBeMade"
    with pytest.raises(ValueError, match=r"features.mine: sorry: not today"):
        build_features(read_features({"mine": {"type": path}}), dataset, "structure", 1)
    with pytest.raises(ValueError, match=r"models.mine: sorry: not today"):
        ModelSection.read("mine", {"type": path}).build("regression", pairwise=False, search=Search("none"), n_jobs=1)
    with pytest.raises(ValueError, match=r"features.mine.centers.type must be one of .*, got \['SOAP'\]"):
        build_features(read_features({"mine": {"type": "SOAP", "centers": {"type": ["SOAP"]}}}), dataset, "atom", 1)


def test_classes_of_others_that_a_recipe_names():
    models = {"svm": {}, "mine": {"type": "ensemble", "members": ["ridge", "sklearn.svm.SVR", {"type": "dummy"}]}}
    features = {"soap": {"type": "SOAP", "centers": {"type": "sklearn.svm.NuSVR"}}, "all": {"join": ["a.b"]}}
    assert list(named_classes([features, models])) == ["sklearn.svm._classes.NuSVR", "sklearn.svm._classes.SVR"]


@pytest.mark.parametrize(
    ("sections", "where"),
    [
        ({"models": {"ridge": {}}}, "models.ridge"),
        ({"features": {"soap": {"type": "SOAP"}}}, "features.soap"),
        ({"split": {"n_folds": 3}}, "split"),
        ({"data": {"path": "x.csv"}}, "data"),
    ],
)
def test_tables_in_place_of_sections_are_refused_with_the_way(sections, where):
    with pytest.raises(TypeError, match=rf"{where} must be a section: Recipe.from_dict makes them of tables, got \{{"):
        Recipe(**{"data": DataSection(path="x.csv"), **sections})


@pytest.mark.parametrize(
    ("table", "hint"),
    [
        ({"type": "soap"}, "got 'soap': did you mean 'SOAP'?"),
        ({"type": "coulomb_matrix"}, "did you mean 'CoulombMatrix'?"),
        ({"type": "SOAP", "rcut": 5.0}, "did you mean 'r_cut'?"),
        ({"type": "SOAP", "r_cut": 5.0, "nmax": 4}, "did you mean 'n_max'?"),
        ({"type": "SOAP", "r_cut": "5"}, "r_cut must be a number, got '5': leave out the quotation marks"),
        ({"type": "MBTR", "normalisation": "l2"}, "did you mean 'normalization'?"),
    ],
)
def test_what_was_meant(table, hint):
    with pytest.raises((ValueError, TypeError), match=re.escape(hint)):
        make_object(table, "features.first", 1)
