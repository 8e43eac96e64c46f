"""recipe = "auto": what is chosen for each form of data, why, and the whole path once."""

import json
import tomllib

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import write
from helpers.synthetic import make_problem
from typer.testing import CliRunner

from atomprint.cli.app import app
from atomprint.datasets import Dataset, Target, inspect_file
from atomprint.descriptors import SOAP
from atomprint.learn import Problem
from atomprint.learn.splits.split import make_split
from atomprint.workflow import Recipe, auto_recipe, train
from atomprint.workflow.recipes import auto, auto_models
from atomprint.workflow.recipes.completion import complete
from atomprint.workflow.recipes.data_traits import Form, is_extensive
from atomprint.workflow.recipes.features import build_features, read_features
from atomprint.workflow.recipes.template import recipe_for

MOLECULES = ("H2O", "CH4", "NH3", "CH3OH", "C2H6", "C6H6", "CO2", "HCN", "C2H4", "CH3CH2OH", "N2H4", "H2CO")


def run(*arguments, code=0):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output + str(result.exception)
    return " ".join(result.output.split())


def dataset(structures, values, compositions=None, **target):
    options = {"unit": "", "title": "Property", "definition": "Made up.", **target}
    n = len(compositions if structures is None else structures)
    return Dataset(
        name="made",
        title="Made up",
        structures=structures,
        compositions=compositions,
        ids=tuple(map(str, range(n))),
        targets={"y": Target(np.asarray(values), **options)},
        description="",
        source="",
    )


def molecules(n=60, seed=0):
    rng = np.random.default_rng(seed)
    made = [molecule(MOLECULES[i % len(MOLECULES)]) for i in range(n)]
    for atoms in made:
        atoms.rattle(0.05, rng=rng)
    return made


def salts(n=60, seed=0):
    rng = np.random.default_rng(seed)
    names = ("NaCl", "KCl", "NaF", "KF")
    return [bulk(names[i % 4], "rocksalt", a=5 + 0.5 * rng.random()) for i in range(n)]


def energies(structures, seed=0):
    """Return sums over atoms, with a little noise: an extensive property."""
    rng = np.random.default_rng(seed)
    return np.array([-(atoms.numbers**1.2).sum() + 0.1 * rng.normal() for atoms in structures])


def per_atom(structures, seed=0):
    rng = np.random.default_rng(seed)
    values = np.empty(len(structures), dtype=object)
    values[:] = [rng.normal(size=len(atoms)) for atoms in structures]
    return values


def test_compositions_are_described_by_properties_and_shares_of_elements():
    problem = make_problem(compositions=True, n=30)
    chosen = auto_recipe(problem.dataset, "target")
    assert [entry.get("type") for entry in chosen.features.values()] == [
        "ElementProperty",
        "CompositionChannels",
        "OxidationStates",
        None,
    ]
    assert chosen.features["composition"]["join"] == ["properties", "fractions", "charges"]
    assert members(chosen.models) == ["kernel_ridge", "extra_trees"]
    assert any("no structures" in reason for reason in chosen.reasons)


def test_crystals_of_many_elements_are_described_by_what_there_is_where_and_which_is_where():
    chosen = auto_recipe(make_problem(n=40).dataset, "target")
    assert chosen.features["all"]["join"] == ["properties", "composition", "charges", "sites", "roles"]
    kernel_ridge, trees = chosen.models["ensemble"]["members"]
    assert trees["blocks"] == ["properties", "composition", "charges", "sites"]
    assert kernel_ridge["blocks"] == ["composition", "charges", "sites", "roles"]
    assert chosen.features["roles"]["pooling"]["method"] == "covariance"
    assert kernel_ridge["kernels"] == ["matern52"]
    assert any("40 crystals of 21 elements with 5 atoms each, 200 in all" in reason for reason in chosen.reasons)


def test_crystals_of_many_elements_have_learnt_channels_if_there_is_enough_to_learn_from():
    many = tuple(Atoms(numbers=range(1, 41)).symbols)
    for changes, learnt in (
        ({}, True),
        ({"n_samples": 499, "n_structures": 499}, False),
        ({"kind": "classification", "n_classes": 2}, False),
        ({"n_samples": 10**6, "n_structures": 10**6}, False),
    ):
        chosen = auto.recipe_for_form(form(**{"n_samples": 500, "n_structures": 500, "elements": many, **changes}))
        assert ("channels" in chosen.features) == learnt
        assert ("channels" in chosen.features["all"]["join"]) == learnt
        assert any("each training part learns its own" in reason for reason in chosen.reasons) == learnt
    embedding = auto.recipe_for_form(form(elements=many)).features["channels"]["species_embedding"]
    assert embedding["type"] == "LearnedEmbedding"


def test_crystals_of_few_elements_are_averaged_with_each_pair_of_elements_by_itself():
    structures = salts(36)  # of four compositions
    chosen = auto_recipe(dataset(structures, np.random.default_rng(0).normal(size=36)), "y")
    soap = chosen.features["soap"]
    assert list(chosen.features) == ["soap"]
    assert soap["pooling"] == ["mean", "std"]
    assert soap["periodic"] is True
    assert "compression" not in soap
    assert "species_embedding" not in soap


def test_slabs_repeat_in_some_directions():
    structures = salts(12)
    for atoms in structures:
        atoms.pbc = (True, True, False)
    given = dataset(structures, np.arange(12.0))
    chosen = auto_recipe(given, "y")
    sets = build_features(read_features(chosen.features), given, "structure", 1)
    assert chosen.features["soap"]["periodic"] is True
    assert np.isfinite(sets[0].transformer.fit_transform(structures)).all()


@pytest.mark.parametrize("extensive", [True, False])
def test_extensive_targets_of_molecules_are_summed(extensive):
    structures = molecules()
    values = energies(structures) / [1 if extensive else len(atoms) for atoms in structures]
    given = dataset(structures, values)
    chosen = auto_recipe(given, "y")
    assert chosen.features["soap"]["pooling"] == ("sum" if extensive else "mean")
    assert ("counts" in chosen.features) == extensive
    assert chosen.features["soap"]["periodic"] is False
    assert any("grows with size" in reason for reason in chosen.reasons) == extensive
    assert (chosen.features["soap"]["sigma"] < 0.3) == extensive


def test_geometries_of_few_molecules_are_averaged_over_the_atoms_of_each_element():
    rng = np.random.default_rng(0)
    structures = [molecule(name) for name in ("CH3CH2OH", "CH3OH") for _ in range(10)]
    for atoms in structures:
        atoms.rattle(0.05, rng=rng)
    given = dataset(structures, rng.normal(size=20))
    chosen = auto_recipe(given, "y")
    pooling = chosen.features["soap"]["pooling"]
    assert pooling == {"type": "Pooling", "method": "mean", "by_species": True}
    assert any("many geometries of few molecules" in reason for reason in chosen.reasons)
    (soap,) = build_features(read_features(chosen.features), given, "structure", 1)
    table = soap.transformer.fit_transform(structures)
    rows = SOAP(**{k: v for k, v in chosen.features["soap"].items() if k not in ("type", "pooling")}).fit_transform(
        structures
    )
    pairs = zip(rows, structures, strict=True)
    means = [[local[atoms.numbers == z].mean(axis=0) for z in (1, 6, 8)] for local, atoms in pairs]
    np.testing.assert_allclose(table, np.reshape(means, (20, -1)), atol=1e-9)
    few = auto_recipe(dataset(structures[:18], np.arange(18.0)), "y")
    assert few.features["soap"]["pooling"] == "mean"


def cells(n=20):
    return [bulk("NaCl", "rocksalt", a=5 + i / 40) * (1 + i % 3, 1, 1) for i in range(n)]


def test_cells_of_few_compounds_are_averaged_over_the_atoms_of_each_element_in_several_resolutions():
    given = dataset(cells(), np.random.default_rng(0).normal(size=20))
    chosen = auto_recipe(given, "y")
    *resolutions, joined = chosen.features.values()
    assert joined["join"] == ["fine", "medium", "coarse"]
    assert [entry["n_max"] for entry in resolutions] == [8, 6, 4]
    for entry in resolutions:
        assert entry["pooling"] == {"type": "Pooling", "method": "mean", "by_species": True}
        assert entry["periodic"] is True
    assert any("many geometries of few compounds" in reason for reason in chosen.reasons)
    assert any("3 resolutions, from fine to coarse" in reason for reason in chosen.reasons)
    ensemble = chosen.models["ensemble"]
    assert [(entry["type"], entry["blocks"]) for entry in ensemble["members"]] == [
        ("kernel_ridge", [name]) for name in joined["join"]
    ]
    assert {min(entry["alphas"]) for entry in ensemble["members"]} == {1e-12}


@pytest.mark.parametrize(("n", "kernels", "network"), [(149, 3, False), (150, 3, True), (499, 3, True), (500, 1, True)])
def test_resolutions_are_for_few_cells_and_other_models_see_the_finest(n, kernels, network, networks):
    models = auto.recipe_for_form(form(conformers=True, n_samples=n, n_structures=n)).models
    assert members(models) == ["kernel_ridge"] * kernels + ["resnet"] * (network and networks)
    if kernels > 1:
        seen = [entry["blocks"] for entry in models["ensemble"]["members"]]
        assert seen == [["fine"], ["medium"], ["coarse"], ["fine"]][: len(seen)]


def test_no_resolution_is_coarser_than_the_coarsest():
    eight = ("H", "C", "N", "O", "F", "S", "Cl", "Br")
    coarse = auto.recipe_for_form(form(conformers=True, elements=eight, n_samples=400, n_structures=400))
    n_max = [entry["n_max"] for entry in coarse.features.values() if "n_max" in entry]
    assert n_max == sorted(set(n_max), reverse=True)
    classes = auto.recipe_for_form(form(conformers=True, kind="classification", n_classes=2, n_samples=400))
    assert list(classes.features) == ["soap"]


def test_trees_in_two_parts_join_where_many_targets_are_the_smallest_one(networks):
    given = dataset(None, np.r_[np.zeros(200), np.ones(400).cumsum()], tuple(["NaCl", "KF"] * 300))
    assert Form.of(given, "y").at_floor
    entries = auto_recipe(given, "y").models["ensemble"]["members"]
    assert [entry["type"] for entry in entries][1:3] == ["extra_trees", "two_part"]
    # Of the targets, only those of training parts are looked at: all of them must be such.
    assert not Form.of(given, "y", [np.arange(150, 450), np.arange(200, 500)]).at_floor
    recipe = Recipe.from_dict({"data": {"path": "unused", "target": "y"}, "split": {"test_size": 0.5, "n_folds": 0}})
    train = recipe.split.divide(Problem.of(given, "y"), recipe.seed).train
    hidden = np.full(600, -1.0)  # the smallest one for all of the test part, never for training
    hidden[train] = np.arange(300)
    full, _ = complete(recipe, dataset(None, hidden, given.compositions))
    assert "two_part" not in members({k: v.parameters for k, v in full.models.items()})


def test_targets_above_the_smallest_one_need_no_second_part():
    assert not Form.of(dataset(None, np.arange(60.0), ("NaCl", "KF") * 30), "y").at_floor
    few = Form.of(dataset(None, np.arange(5.0), ("NaCl", "KF", "LiF", "KCl", "NaF")), "y")
    assert not few.at_floor
    assert "smallest" not in few.sentence()


def test_counts_are_the_numbers_of_atoms_of_each_element():
    structures = molecules(12)
    given = dataset(structures, energies(structures))
    chosen = auto_recipe(given, "y")
    (joined,) = build_features(read_features(chosen.features), given, "structure", 1)
    table = joined.transformer.fit_transform(structures)
    names = joined.transformer.get_feature_names_out()
    table = table[:, [name.startswith("counts__") and name.endswith("=0") for name in names]]
    truth = np.array([[(atoms.numbers == z).sum() for z in (1, 6, 7, 8)] for atoms in structures])
    np.testing.assert_allclose(table * auto._COARSE, truth, atol=1e-6)


def test_extensive_is_told_by_folds_together():
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 10, (60, 3)) + 1.0
    y = counts @ [1.0, -2.0, 4.0] + 0.1 * rng.normal(size=60)
    assert is_extensive(counts, y)
    assert not is_extensive(counts, rng.normal(size=60))
    assert not is_extensive(counts, y / counts.sum(axis=1))
    assert not is_extensive(counts[:9], y[:9])  # too few to tell
    shares = rng.dirichlet([1, 1, 1], 60)
    assert not is_extensive(5 * shares, y)  # all of one size
    # Two sizes only, which a fold may hold one of.
    sizes = np.repeat([[20.0], [108.0]], [3, 28], axis=0)
    assert is_extensive(sizes, -4 * sizes[:, 0] + rng.normal(size=31))


def test_targets_of_test_samples_are_not_looked_at():
    structures = molecules(40)
    values = energies(structures)
    recipe = Recipe.from_dict({"data": {"path": "unused"}, "split": {"n_folds": 3}})
    reference, why = complete(recipe, dataset(structures, values))
    assert reference.features["soap"].parameters["pooling"] == "sum"
    given = dataset(structures, values)
    split = make_split(Problem.of(given, "y"), "random", test_size=0.2, n_folds=3, seed=0)
    other = values.copy()
    other[split.test] = np.random.default_rng(1).normal(size=len(split.test)) * 1e6
    completed, _ = complete(recipe, dataset(structures, other))
    assert completed == reference
    assert not Form.of(dataset(structures, other), "y").extensive  # all of them would have told otherwise
    assert any("grows with size" in sentence for sentence in why["features"])


def test_targets_of_atoms_are_described_atom_by_atom():
    structures = molecules(30)
    given = dataset(structures, per_atom(structures), level="atom")
    chosen = auto_recipe(given, "y")
    assert list(chosen.features) == ["soap"]
    assert "pooling" not in chosen.features["soap"]
    assert any(f"for {sum(map(len, structures)):,} atoms" in reason for reason in chosen.reasons)


def test_near_neighbours_of_atoms_count_most_among_many_elements():
    many = tuple(Atoms(numbers=range(1, 41)).symbols)
    for elements, near in ((many, True), (("Na", "Cl"), False)):
        chosen = auto.recipe_for_form(form(level="atom", elements=elements))
        assert ("weighting" in chosen.features["soap"]) == near
        assert (chosen.features["soap"]["sigma"] < 0.5) == near
        assert any("Near neighbours count most" in reason for reason in chosen.reasons) == near


def test_crystals_among_molecules_leave_the_composition():
    structures = [*salts(10), *molecules(10)]
    chosen = auto_recipe(dataset(structures, np.arange(20.0)), "y")
    assert {entry.get("type") for entry in chosen.features.values()} == {
        "ElementProperty",
        "CompositionChannels",
        "OxidationStates",
        None,
    }
    assert any("no descriptor of structures treats alike" in reason for reason in chosen.reasons)


def test_atoms_of_crystals_and_molecules_together_need_features():
    structures = [*salts(10), *molecules(10)]
    with pytest.raises(ValueError, match="features must be given: some structures repeat"):
        auto_recipe(dataset(structures, per_atom(structures), level="atom"), "y")


def test_classes_have_models_for_classes():
    problem = make_problem("classification", n=40)
    assert list(auto_recipe(problem.dataset, "target").models) == ["extra_trees", "ridge"]


def form(**changes):
    known = {
        "inputs": "crystals",
        "n_samples": 1000,
        "n_structures": 1000,
        "elements": ("H", "C", "O"),
        "level": "structure",
        "kind": "regression",
        "n_classes": 0,
        "atoms": (5, 5.0, 5),
        "extensive": False,
    }
    return Form(**(known | changes))


def members(models):
    """Return the types of the models, or those that an ensemble has."""
    return [entry["type"] for entry in models["ensemble"]["members"]] if "ensemble" in models else list(models)


@pytest.fixture(params=[True, False], ids=["with JAX", "without JAX"])
def networks(request, monkeypatch):
    """Whether the packages are there that networks need."""
    monkeypatch.setattr(auto_models, "installed", lambda *modules: request.param)
    return request.param


@pytest.mark.parametrize(
    ("n", "models"),
    [
        (149, ["kernel_ridge", "extra_trees"]),
        (150, ["kernel_ridge", "extra_trees", "resnet"]),
        (500, ["kernel_ridge", "resnet"]),
        (5000, ["kernel_ridge", "resnet"]),
        (50_000, ["kernel_ridge", "extra_trees", "resnet"]),
    ],
)
def test_models_depend_on_the_number_of_samples(n, models, networks):
    found = members(auto.recipe_for_form(form(n_samples=n, n_structures=n)).models)
    assert found == [model for model in models if networks or model != "resnet"]


@pytest.mark.parametrize(
    ("n", "models"),
    [
        (499, ["kernel_ridge", "extra_trees"]),
        (500, ["kernel_ridge", "extra_trees", "resnet"]),
        (20_000, ["kernel_ridge", "extra_trees", "resnet"]),
        (20_001, ["extra_trees", "resnet"]),
    ],
)
def test_models_of_compositions_depend_on_the_number_of_samples(n, models, networks):
    chosen = auto.recipe_for_form(form(inputs="compositions", n_samples=n, n_structures=0))
    assert members(chosen.models) == [model for model in models if networks or model != "resnet"]
    assert any("a residual network, which learns" in reason for reason in chosen.reasons) == (networks and n >= 500)
    assert any("pip install 'atomprint[neural]'" in reason for reason in chosen.reasons) == (not networks and n >= 500)


def test_networks_see_of_many_features_how_samples_differ_most(networks):
    many = tuple(Atoms(numbers=range(1, 81)).symbols)
    chosen = auto.recipe_for_form(form(n_samples=6000, n_structures=6000, elements=many)).models["ensemble"]["members"]
    found = {entry["type"]: entry for entry in chosen}
    assert found["extra_trees"]["blocks"] == ["properties", "composition", "charges", "sites"]
    assert "roles" in found["kernel_ridge"]["blocks"]
    assert ("resnet" in found) == networks
    if networks:
        assert found["resnet"] == {
            "type": "resnet",
            "projection": {"blocks": ["roles", "channels"], "n_components": 200},
        }
        few = auto.recipe_for_form(form(n_samples=1500, n_structures=1500, elements=many)).models["ensemble"]["members"]
        assert few[-1]["projection"]["n_components"] == 50
        assert few[-1]["width"] < 512
        soap = auto.recipe_for_form(form(n_samples=1500, n_structures=1500)).models["ensemble"]["members"]
        assert soap[-1] == {"type": "resnet", "width": few[-1]["width"]}
        large = auto.recipe_for_form(form(n_samples=10**6, n_structures=10**6, elements=many))
        assert "projection" not in large.models["ensemble"]["members"][-1]


def test_what_grows_with_size_is_left_to_kernel_ridge():
    found = auto.recipe_for_form(form(inputs="molecules", atoms=(3, 9.0, 20), extensive=True))
    assert list(found.models) == ["kernel_ridge"]
    assert not any("network" in reason for reason in found.reasons)


def test_weights_of_few_samples_come_from_several_folds():
    forms = [form(inputs="compositions", n_samples=n, n_structures=0) for n in (200, 1500, 1501, 4000)]
    chosen = [auto.recipe_for_form(given) for given in forms]
    assert [given.models["ensemble"]["n_folds"] for given in chosen] == [5, 3, 1, 1]
    assert any("a quarter of the training part is held out" in reason for reason in chosen[-1].reasons)


def test_models_of_classes_depend_on_the_number_of_samples():
    forms = [form(kind="classification", n_classes=2, n_samples=n, n_structures=n) for n in (200, 5000, 50_000)]
    assert [list(auto.recipe_for_form(given).models) for given in forms] == [
        ["extra_trees", "ridge"],
        ["extra_trees", "hist_gradient_boosting"],
        ["extra_trees"],
    ]
    many = tuple(Atoms(numbers=range(1, 81)).symbols)
    chosen = auto.recipe_for_form(form(kind="classification", n_classes=2, elements=many)).models
    assert all("roles" not in entry["blocks"] for entry in chosen.values())


def test_dear_parts_of_the_evaluation_are_left_out_for_many_samples():
    found = [auto.recipe_for_form(form(n_samples=n, n_structures=n)).evaluation for n in (300, 5000, 19_000)]
    assert [given["learning_curve"] for given in found] == [True, False, False]
    assert [given["n_repeats"] for given in found] == [5, 2, 1]


def test_tables_of_features_fit_into_memory():
    elements = ("H", "C", "N", "O", "F", "S", "Cl", "Br")
    fine = auto.recipe_for_form(form(elements=elements[:1], n_samples=500, n_structures=500)).features["soap"]
    coarse = auto.recipe_for_form(form(elements=elements, n_samples=2**20, n_structures=2**20)).features["soap"]
    assert (fine["n_max"], fine["l_max"]) == (8, 6)
    assert coarse["n_max"] < 4
    many = tuple(Atoms(numbers=range(1, 81)).symbols)
    assert "roles" in auto.recipe_for_form(form(elements=many)).features
    large = auto.recipe_for_form(form(elements=many, n_samples=10**6, n_structures=10**6))
    assert "roles" not in large.features
    assert any("would not fit into memory" in reason for reason in large.reasons)


def test_what_is_given_stays():
    given = make_problem(n=30).dataset
    table = {"data": {"path": "unused"}, "models": {"ridge": {}}, "evaluation": {"n_repeats": 3}}
    recipe, why = complete(Recipe.from_dict(table), given)
    assert recipe.to_dict()["models"] == {"ridge": {}}
    assert recipe.evaluation.n_repeats == 3
    assert recipe.evaluation.learning_curve is True
    assert set(why) == {"data", "split", "features", "evaluation"}
    table = {"data": {"path": "unused"}, "features": {"c": {"type": "ElementProperty"}}, "models": "auto"}
    recipe, why = complete(Recipe.from_dict(table), given)
    assert recipe.models["ensemble"].parameters["members"] == ["kernel_ridge", "extra_trees"]
    assert list(recipe.features) == ["c"]
    assert "features" not in why
    table["features"] = {"k": {"type": "AverageKernel", "descriptor": {"type": "SOAP"}}}
    recipe, why = complete(Recipe.from_dict(table), given)
    assert recipe.to_dict()["models"] == {"kernel_ridge": {}}
    assert why["models"] == ("Kernel ridge takes kernels between structures.",)
    table["features"] = {"c": {"type": "ElementProperty"}}
    table["models"] = {"ridge": {}}
    recipe, why = complete(Recipe.from_dict(table), given)
    assert (recipe.evaluation.learning_curve, recipe.evaluation.n_repeats, why) == (True, 5, {})


def test_a_recipe_that_leaves_things_open_says_so(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text('features = "auto"\nmodels = "auto"\n[data]\npath = "data.csv"\n')
    recipe = Recipe.read(path)
    assert not recipe.features
    assert not recipe.models
    written = tomllib.loads(recipe.to_toml(["A reason\nof two lines."]))
    assert (written["features"], written["models"]) == ("auto", "auto")
    path.write_text(recipe.to_toml(["A reason\nof two lines."]))
    assert Recipe.read(path) == recipe
    path.write_text('features = "best"\n[data]\npath = "data.csv"\n')
    with pytest.raises(TypeError, match='features must be "auto" or hold tables'):
        Recipe.read(path)


# ---------------------------------------------------------------------------------------------------------------------
# Files


@pytest.fixture
def table(tmp_path, monkeypatch):
    """A file with columns as people have them; the formation energy is to be predicted."""
    import pandas as pd

    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    n, names = 40, ("NaCl", "KBr", "LiF", "MgO", "CaO", "Al2O3", "SiO2", "TiO2", "ZnS", "GaAs")
    frame = pd.DataFrame(
        {
            "material_id": [f"m-{i}" for i in range(n)],
            "formula": [names[i % len(names)] for i in range(n)],
            "formation_energy_per_atom": rng.normal(size=n),
            "is_metal": rng.random(n) > 0.5,
            "phase": rng.choice(["alpha", "beta"], n),
            "remark": [f"remark {i}" for i in range(n)],
            "serial": range(n),
            "temperature": 300.0,
            "spacegroup.number": rng.integers(1, 230, n),
            "volume": rng.random(n),
        }
    )
    frame.to_csv(tmp_path / "table.csv")  # with a column without a name
    return tmp_path / "table.csv"


def test_columns_are_ranked(table):
    found = inspect_file(table)
    assert found.targets == ("formation_energy_per_atom", "is_metal", "phase", "volume", "spacegroup.number")
    assert found.units["formation_energy_per_atom"] == "eV/atom"
    assert "is_metal" not in found.units


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("gap expt", "eV"),
        ("band_gap", "eV"),
        ("Band gap (meV)", "meV"),
        ("gap_eV", "eV"),
        ("K_VRH", "GPa"),
        ("energy_kcal_mol", "kcal/mol"),
        ("e_above_hull", "eV/atom"),
        ("formationEnergy", "eV/atom"),
        ("something", ""),
        ("log10(K_VRH)", ""),
        ("log_k", ""),
        ("moment (µB/atom)", "µB/atom"),
    ],
)
def test_units_are_guessed_from_names(tmp_path, name, unit):
    import pandas as pd

    path = tmp_path / "table.csv"
    pd.DataFrame({"formula": ["NaCl", "KBr"], name: [1.0, 2.5]}).to_csv(path, index=False)
    found = inspect_file(path)
    assert found.targets == (name,)
    assert found.units.get(name, "") == unit


def test_values_of_atoms_are_offered(tmp_path):
    structures = molecules(20)
    for atoms, values in zip(structures, per_atom(structures), strict=True):
        atoms.set_array("shielding", values)
        atoms.info["dipole_vector"] = [0.0, 1.0, 2.0]
    write(tmp_path / "a.extxyz", structures)
    assert inspect_file(tmp_path / "a.extxyz").targets == ("shielding",)
    text, _ = recipe_for(tmp_path / "a.extxyz", None, relative_to=tmp_path)
    recipe = tomllib.loads(text)
    assert recipe["data"]["target"] == "shielding"
    assert "pooling" not in recipe["features"]["soap"]


def test_one_structure_is_no_data_to_learn_from(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("new.cif", bulk("Cu"))
    assert "a model learns from many" in run("init", "new.cif", code=1)
    assert "atomprint predict new.cif" in run("train", "new.cif", code=1)


def test_init_writes_reasons_and_what_train_would_choose(table):
    assert "guessed from the name 'formation_energy_per_atom'; change unit in [data]" in run("init", table.name)
    text = (table.parent / "recipe.toml").read_text()
    recipe = Recipe.read(table.parent / "recipe.toml")
    assert recipe.data.target == "formation_energy_per_atom"
    assert "# There are no structures" in text
    given = Recipe.auto(table)
    completed, _ = complete(given, given.data.load(given.seed))
    assert recipe.features == completed.features
    assert recipe.models == completed.models
    assert recipe.evaluation == completed.evaluation


def test_recipes_of_structures_read_as_they_were_chosen(tmp_path):
    problem = make_problem(n=25)
    path = tmp_path / "crystals.extxyz"
    for atoms, value in zip(problem.dataset.structures, problem.y, strict=True):
        atoms.info["gap"] = value
    write(path, problem.dataset.structures)
    text, _ = recipe_for(path, None, relative_to=tmp_path)
    found = tomllib.loads(text)
    chosen = auto_recipe(problem.dataset, "target")
    assert found["features"] == chosen.features
    assert found["models"] == chosen.models


@pytest.mark.slow
def test_from_a_file_to_a_report(table, tmp_path):
    import pandas as pd

    quick = ("-s", "split.n_folds=2", "-s", "evaluation.learning_curve=false", "-s", "evaluation.n_repeats=1")
    output = run("train", table.name, "--target", "volume", *quick, "--jobs", "1", "-o", "out")
    assert "40 compositions of" in output
    assert "Unit:" not in output  # a volume may be in any
    folder = tmp_path / "out"
    assert "Why this recipe" in (folder / "report.html").read_text()
    reasons = json.loads((folder / "run.json").read_text())["reasons"]
    assert json.loads((folder / "results.json").read_text())["reasons"] == reasons
    text = (folder / "recipe.toml").read_text()
    assert text.startswith(f"# {reasons[0]}"[:60])
    again = Recipe.read(folder / "recipe.toml")
    assert again.features
    assert again.models
    first = pd.read_csv(folder / "predictions.csv")
    second = train(again)
    assert not second.reasons  # nothing was left open
    assert "Why this recipe" not in second.report.html()
    second.write(tmp_path / "again")
    pd.testing.assert_frame_equal(first, pd.read_csv(tmp_path / "again" / "predictions.csv"))


def crystals_of_many_elements():
    problem = make_problem(n=24)
    return problem.dataset.structures, problem.y


def mixture():
    structures = [*salts(12), *molecules(12)]
    return structures, 1.5 * np.arange(24.0)


def molecules_with_energies():
    structures = molecules(24)
    return structures, energies(structures)


def cells_of_one_compound():
    structures = cells(24)
    return structures, np.random.default_rng(0).normal(size=24)


def molecules_with_classes():
    structures = molecules(24)
    return structures, np.where([len(atoms) > 5 for atoms in structures], "large", "small")


def molecules_with_values_of_atoms():
    structures = molecules(12)
    return structures, per_atom(structures)


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(crystals_of_many_elements, marks=pytest.mark.slow),
        mixture,
        molecules_with_energies,
        cells_of_one_compound,
        molecules_with_classes,
        pytest.param(molecules_with_values_of_atoms, marks=pytest.mark.slow),
    ],
)
def test_what_is_chosen_can_be_carried_out(made, tmp_path):
    structures, values = made()
    for atoms, value in zip(structures, values, strict=True):
        if np.ndim(value):
            atoms.set_array("y", value)
        else:
            atoms.info["y"] = value
    write(tmp_path / "data.extxyz", structures)
    quick = ["split.n_folds=2", "evaluation.learning_curve=false", "evaluation.n_repeats=1", "n_jobs=1"]
    recipe = Recipe.auto(tmp_path / "data.extxyz", overrides=quick)
    assert recipe.data.target == "y"
    done = train(recipe)
    trial, model = done.study.best()
    assert np.isfinite(np.asarray(trial.evaluations[model].test.y_pred, dtype=float)).all()
    assert Recipe.from_dict(tomllib.loads(done.recipe.to_toml())) == done.recipe
