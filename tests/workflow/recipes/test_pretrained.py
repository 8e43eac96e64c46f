"""Embeddings of pretrained potentials in recipes: where they are asked for, what is said of them, what is refused."""

import numpy as np
import pytest
from ase.build import bulk, molecule
from helpers.toy_potential import ToyPotential
from typer.testing import CliRunner

from atomprint.cli.app import app
from atomprint.datasets import Dataset, Target
from atomprint.descriptors.pretrained.own import OwnModel
from atomprint.descriptors.pretrained.weights import WEIGHTS, Weights
from atomprint.learn import Problem
from atomprint.workflow import Recipe, load_model, train
from atomprint.workflow.recipes.completion import complete
from atomprint.workflow.recipes.plan import Plan
from atomprint.workflow.saved.container import ModelFileError


class Wide(ToyPotential):
    """A potential in NumPy with layers as wide as those of known weights."""

    def __init__(self, weights):
        super().__init__(weights.elements, weights.sha256)
        self.layers, self.name = dict(weights.layers), weights.name
        self._mix = np.random.default_rng(0).normal(size=(6, sum(weights.layers.values()) - 1))

    def __call__(self, batch):
        rows = super().__call__(batch)
        return np.column_stack([np.tanh(rows[:, :6] @ self._mix), rows[:, 6]])


@pytest.fixture(autouse=True)
def packages(monkeypatch, tmp_path):
    """Have all weights there, in NumPy."""

    def model_of(given, trusted):
        return OwnModel(given if callable(given) else Wide(WEIGHTS[given]))

    monkeypatch.setattr("atomprint.descriptors.pretrained.embedding.model_of", model_of)
    monkeypatch.setattr(Weights, "path", lambda self: tmp_path)
    monkeypatch.setenv("ATOMPRINT_CACHE", str(tmp_path / "cache"))


def crystals(n=40):
    rng = np.random.default_rng(1)
    found = []
    for _ in range(n):
        atoms = bulk("NaCl", "rocksalt", 5 + rng.random(), cubic=True)[:4]
        atoms.set_chemical_symbols(rng.choice(["Na", "Cl", "O", "Ti"], 4))
        atoms.positions += rng.normal(0, 0.1, (4, 3))
        found.append(atoms)
    return found


def dataset(target="gap", unit="eV", structures=None, name="mine"):
    structures = crystals() if structures is None else structures
    values = np.array([np.linalg.det(atoms.cell.array) / len(atoms) + atoms.numbers.mean() for atoms in structures])
    ids = tuple(str(k) for k in range(len(structures)))
    return Dataset(name, name, structures, ids, {target: Target(values, unit, target, "")}, "", "")


@pytest.fixture
def frames(tmp_path):
    from ase.io import write

    structures = crystals()
    for atoms, value in zip(structures, dataset(structures=structures).targets["gap"].values, strict=True):
        atoms.info["gap"] = value
    write(tmp_path / "data.extxyz", structures)
    return tmp_path / "data.extxyz"


def test_auto_takes_them_where_they_are_asked_for(frames):
    assert "PretrainedEmbedding" not in Plan.of(Recipe.auto(frames, "gap")).recipe.to_toml()
    recipe = Recipe.auto(frames, "gap", ['pretrained=["sevennet-0", "chgnet-0.3.0"]'])
    assert recipe.to_dict()["pretrained"] == ["sevennet-0", "chgnet-0.3.0"]
    plan = Plan.of(recipe)
    features, models = (plan.recipe.to_dict()[name] for name in ("features", "models"))
    assert features["chgnet_0_3_0"] == {
        "type": "PretrainedEmbedding",
        "model": "chgnet-0.3.0",
        "pooling": ["mean", "std"],
    }
    assert features["all"]["join"] == ["soap", "sevennet_0", "chgnet_0_3_0"]
    members = models["ensemble"]["members"]
    assert {"type": "kernel_ridge", "blocks": ["sevennet_0", "chgnet_0_3_0"]}.items() <= members[-1].items()
    assert all(member["blocks"] == ["soap"] for member in members[:-1])
    assert "pretrained" not in plan.recipe.to_dict()
    assert Recipe.from_dict(plan.recipe.to_dict()).to_toml() == plan.recipe.to_toml()
    said = " ".join(plan.reasons)
    assert "asked for, are seen by kernel ridge" in said
    assert "embeddings of SevenNet-0 (11 July 2024)" in said
    assert "licence: BSD of Lawrence Berkeley" in said
    assert "Warning" not in said


def test_many_samples_get_a_network(monkeypatch):
    monkeypatch.setattr("atomprint.workflow.recipes.pretrained.ENOUGH_FOR_NETWORKS", 30)
    data = dataset()
    recipe, _ = complete(Recipe.from_dict({"data": {"name": "x"}, "pretrained": ["sevennet-0"]}), data)
    *_, kernel, network = recipe.to_dict()["models"]["ensemble"]["members"]
    assert (kernel["type"], network["type"]) in [("kernel_ridge", "resnet"), ("kernel_ridge", "mlp")]


def test_a_recipe_with_features_of_its_own():
    given = {
        "data": {"name": "x"},
        "pretrained": ["sevennet-0"],
        "features": {
            "elements": {"type": "CompositionChannels", "channels": "species"},
            "packing": {"type": "NeighbourStatistics", "r_cut": 4.0},
            "both": {"join": ["elements", "packing"], "only_joined": True},
        },
        "models": {"kernel_ridge": {"alphas": [1e-3]}, "extra_trees": {"blocks": ["packing"]}},
    }
    tables = complete(Recipe.from_dict(given), dataset())[0].to_dict()
    assert tables["features"]["both"]["join"] == ["elements", "packing", "sevennet_0"]
    assert tables["models"]["kernel_ridge"] == {"blocks": ["elements", "packing"], "alphas": [1e-3]}
    assert tables["models"]["extra_trees"] == {"blocks": ["packing"]}
    assert tables["models"]["embeddings"]["blocks"] == ["sevennet_0"]
    del given["features"]["both"]
    with pytest.raises(ValueError, match=r"pretrained needs features that are one set, got elements, packing: join"):
        complete(Recipe.from_dict(given), dataset())


@pytest.mark.parametrize(
    ("names", "structures", "message"),
    [
        (["7net-omni"], None, "pretrained must be one of 'sevennet-0', .* got '7net-omni'"),
        (["sevennet-0", "sevennet-0"], None, "must be different from each other"),
        (["sevennet-0"], [molecule("H2O"), molecule("CO2")] * 10, "is for crystals, .* the data have molecules"),
    ],
)
def test_what_is_refused(names, structures, message):
    recipe = Recipe.from_dict({"data": {"name": "x"}, "pretrained": names})
    with pytest.raises(ValueError, match=message):
        complete(recipe, dataset(structures=structures))


@pytest.mark.parametrize(
    ("target", "unit", "name", "said"),
    [
        ("e_form", "eV/atom", "mine", "Warning: the target reads like the energy that CHGNet 0.3.0 was trained with"),
        ("E0", "eV/atom", "mine", "Warning: the target reads like the energy"),
        ("hull distance", "eV", "mine", "Warning: the target reads like the energy"),
        ("total_magnetization", "µB", "mine", "Warning: the target reads like the magnetic moments"),
        (
            "gap",
            "eV",
            "matbench_mp_gap",
            "has seen these crystals of the Materials Project in its training, though not",
        ),
        ("gap", "eV", "mine", None),
    ],
)
def test_what_weights_have_seen_is_said(target, unit, name, said):
    from atomprint.descriptors import PretrainedEmbedding
    from atomprint.workflow.saved.pretrained import seen_in_training

    problem = Problem.of(dataset(target, unit, name=name), target)
    sentences = seen_in_training(PretrainedEmbedding("chgnet-0.3.0"), problem)
    assert len(sentences) == (1 if said is None else 2)
    assert said is None or said in sentences[-1]


def test_a_benchmark_of_what_they_remember_is_refused():
    from atomprint.descriptors import PretrainedEmbedding
    from atomprint.workflow.saved.pretrained import check_benchmark

    problem = Problem.of(dataset("e_form", "eV/atom"), "e_form")
    for model, who in (
        ("sevennet-0", r"SevenNet-0 \(11 July 2024\) has"),
        (ToyPotential(), r"ToyPotential\(\) may have"),
    ):
        embedding = PretrainedEmbedding(model)
        with pytest.raises(
            ValueError, match=f"{who} been trained with the energy of the crystals of matbench_mp_e_form"
        ):
            check_benchmark([embedding], "matbench_mp_e_form", problem)
        check_benchmark([embedding], "matbench_perovskites", problem)
        check_benchmark([embedding], "matbench_mp_gap", Problem.of(dataset(), "gap"))


def test_a_run_its_card_and_its_model(tmp_path, monkeypatch):
    table = {"features": {"net": {"type": "PretrainedEmbedding", "model": "sevennet-0", "pooling": "mean"}}}
    table |= {
        "models": {"ridge": {}},
        "evaluation": {"learning_curve": False, "n_repeats": 1},
        "n_jobs": 1,
        "split": {"n_folds": 0},
    }
    run = train(
        Recipe.from_dict(
            {"data": {"name": "dcdft", "target": "bulk_modulus", "sample": 30, "on_error": "skip"}, **table}
        )
    )
    files = run.write(tmp_path / "run")
    assert "trained on MPtrj" in files["model-card.md"].read_text(encoding="utf-8")
    model = load_model(files["model.atomprint"])
    structures = crystals(3)
    np.testing.assert_allclose(model.predict(structures).values, run.model.predict(structures).values, rtol=1e-5)
    assert any("licence: MIT" in note for note in model.card.notes)
    other = Wide(WEIGHTS["sevennet-0"])
    other.identity = "f" * 64
    monkeypatch.setattr("atomprint.descriptors.pretrained.embedding.model_of", lambda given, trusted: OwnModel(other))
    with pytest.raises(ValueError, match=r"has the weights f+, but this was fitted with 7052"):
        model.predict(structures)


def test_a_model_that_reads_a_checkpoint_of_somebody_has_to_be_trusted(tmp_path, monkeypatch):
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline

    from atomprint.descriptors import PretrainedEmbedding
    from atomprint.workflow import TrainedModel

    monkeypatch.setattr(
        "atomprint.descriptors.pretrained.embedding.model_of", lambda *_: OwnModel(Wide(WEIGHTS["sevennet-0"]))
    )
    path = tmp_path / "mine.pth"
    path.write_bytes(b"weights")
    data = dataset()
    folder = tmp_path / "elsewhere"
    embedding = PretrainedEmbedding(str(path), trusted="ab" * 32, pooling="mean", cache=str(folder))
    pipeline = make_pipeline(embedding, Ridge()).fit(data.structures, data.targets["gap"].values)
    saved = TrainedModel.of(pipeline, Problem.of(data, "gap")).save(tmp_path / "model.atomprint")
    with pytest.raises(ModelFileError, match=r"reads the checkpoint '.*mine.pth' with the SHA-256 (ab)+, a file of"):
        load_model(saved)
    loaded = load_model(saved, trusted=["ab" * 32])
    assert loaded.pipeline[0].cache is True
    assert len(loaded.predict(data.structures[:2])) == 2


def test_commands(frames, tmp_path):
    runner = CliRunner()
    recipe = tmp_path / "recipe.toml"
    done = runner.invoke(app, ["init", str(frames), "-t", "gap", "--pretrained", "sevennet-0", "-o", str(recipe)])
    assert done.exit_code == 0, done.output
    assert "SevenNet-0" in " ".join(done.output.split())
    assert "[features.sevennet_0]" in recipe.read_text(encoding="utf-8")
    done = runner.invoke(
        app, ["train", str(frames), "--pretrained", "7net-0", "-t", "gap", "-o", str(tmp_path / "run")]
    )
    assert done.exit_code == 1
    assert "pretrained must be one of" in " ".join(done.output.split())
