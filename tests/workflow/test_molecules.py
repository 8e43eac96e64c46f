"""Molecules by their bonds, from a file to a saved model, a split, a store and a service."""

import json

import numpy as np
import pytest
from ase import Atoms
from helpers.molecules import nci

from atomprint.chemistry.smiles import Smiles, scaffold_of
from atomprint.datasets import Dataset, Target, read_dataset
from atomprint.descriptors import MorganFingerprint
from atomprint.learn import Problem, make_split
from atomprint.learn.splits.groups import group_labels
from atomprint.learn.splits.leakage import find_leakage
from atomprint.workflow import Recipe, load_model
from atomprint.workflow.recipes.auto import auto_recipe
from atomprint.workflow.recipes.own_data import describe_data
from atomprint.workflow.runs.featurize import featurize
from atomprint.workflow.runs.train import train

Chem = pytest.importorskip("rdkit.Chem")
from rdkit.Chem import Crippen  # noqa: E402
from rdkit.Chem.Scaffolds import MurckoScaffold  # noqa: E402

SMILES = nci(120)


def dataset(smiles=SMILES):
    values = np.array([Crippen.MolLogP(Chem.MolFromSmiles(text)) for text in smiles])
    items, ids = list(map(Smiles, smiles)), tuple(map(str, range(len(smiles))))
    return Dataset("nci", "NCI", None, ids, {"logp": Target(values, "", "logP", "")}, "", "", items)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("molecules") / "nci.csv"
    data = dataset()
    lines = (f'"{text}",{value}' for text, value in zip(data.items, data.targets["logp"].values, strict=True))
    path.write_text("\n".join(["smiles,logp", *lines]) + "\n")
    return path


@pytest.fixture(scope="module")
def run(table, tmp_path_factory):
    recipe = Recipe.from_dict(
        {
            "data": {"path": str(table), "target": "logp"},
            "features": {"fragments": {"type": "MorganFingerprint", "counts": True, "n_bits": 256}},
            "models": {"ridge": {}},
            "split": {"method": "group", "group_by": "scaffold", "n_folds": 2},
            "evaluation": {"learning_curve": False, "n_repeats": 1},
        }
    )
    done = train(recipe)
    folder = tmp_path_factory.mktemp("run")
    done.write(folder)
    return done, folder


def test_a_table_of_smiles_needs_no_choices(table):
    described = describe_data(table)
    assert (described.section.smiles, described.section.target) == ("smiles", "logp")
    chosen = auto_recipe(dataset(), "logp")
    assert chosen.features["fragments"] == {"type": "MorganFingerprint", "counts": True}
    assert "120 molecules, known by their bonds, of" in chosen.why["data"][0]
    assert "described by their bonds" in chosen.why["features"][0]
    recipe = Recipe.of(described, ())
    assert Recipe.from_dict(recipe.to_dict()) == recipe


def test_models_of_molecules(run, tmp_path):
    done, folder = run
    assert done.study.best()[0].evaluations["ridge"].cross_validation["r2"].mean.value > 0.3
    model = load_model(folder / "model.atomprint")
    assert model.info()["inputs"] == "molecules"
    names = model.feature_names
    assert any(name.endswith("[CH3]") or " [CH3] " in name for name in names)
    known = model.predict(SMILES[:5])
    again = Chem.MolToSmiles(Chem.MolFromSmiles(SMILES[3]), doRandom=True)
    same = model.predict([again, SMILES[3], Atoms("H2", info={"smiles": SMILES[3]})])
    np.testing.assert_allclose(same.values, known.values[3], rtol=1e-5)  # fingerprints are of float32
    turned = model.predict(["F/C=C/F", "C(\\F)=C/F"])  # stereo is written as paths are
    assert turned.values[0] == turned.values[1]
    rows = model.predict(["CCO", "O=C=O", "[Ti]"]).to_dict()["rows"]
    assert [row["id"] for row in rows] == ["CCO", "O=C=O", "[Ti]"]
    assert [row["in_domain"] for row in rows][2] is False
    assert model.predict(SMILES[7]).to_dict()["rows"][0]["in_training"] is True
    with pytest.raises(ValueError, match=r"structure 1 \('CC\('\) cannot be predicted: 'CC\(' is no molecule: syntax"):
        model.predict(["CCO", "CC("])
    skipped = model.predict(["CCO", "CC("], on_error="skip")
    assert np.isnan(skipped.values).tolist() == [False, True]
    path = tmp_path / "new.csv"
    path.write_text("drug,name\nCCO,a\nCO,b\n")
    assert model.predict(path, structure="drug").values[0] == pytest.approx(model.predict("CCO").values[0], rel=1e-5)
    path.write_text("formula\nH2O\nCO2\n")
    with pytest.raises(ValueError, match="the model needs molecules, data set 'new' has only compositions"):
        model.predict(path)
    with pytest.raises(ValueError, match="its bonds are not known"):
        model.predict(Atoms("H2"))


def test_reports_and_importance_tell_fragments(run):
    _, folder = run
    page = (folder / "report.html").read_text()
    assert "molecules" in page
    assert "fragments" in page
    assert "MorganFingerprint" in json.dumps(json.loads((folder / "results.json").read_text()))
    assert "molecules" in (folder / "model-card.md").read_text()


def test_descriptors_of_structures_are_refused(table):
    recipe = Recipe.from_dict(
        {"data": {"path": str(table), "target": "logp"}, "features": {"soap": {"type": "SOAP", "r_cut": 4.0}}}
    )
    with pytest.raises(
        ValueError, match=r"features.soap: SOAP needs structures, but data set 'nci' has molecules only; .*Morg"
    ):
        train(recipe)


def test_features_in_a_file(table, tmp_path):
    found = featurize(table, "MorganFingerprint", ["n_bits=64", "counts=true"])
    expected = MorganFingerprint(n_bits=64, counts=True).create(SMILES)
    np.testing.assert_array_equal(found.values, expected)


def test_scaffolds_are_those_of_rdkit():
    problem = Problem.of(dataset(), "logp")
    labels = group_labels(problem, "scaffold")
    for text, label in zip(SMILES, labels, strict=True):
        mol = Chem.MolFromSmiles(text)
        expected = Chem.MolToSmiles(MurckoScaffold.GetScaffoldForMol(mol), isomericSmiles=False)
        assert scaffold_of(text) == expected
        assert label == (expected or f"no rings: {Chem.MolToSmiles(mol)}")
    split = make_split(problem, "group", group_by="scaffold", n_folds=3)
    assert set(labels[split.train]).isdisjoint(labels[split.test])
    for fit, predict in split.folds:
        assert set(labels[fit]).isdisjoint(labels[predict])
    assert "same scaffold" in split.description


def test_scaffolds_by_hand():
    assert scaffold_of("CCc1ccccc1C(=O)NC1CC1") == "O=C(NC1CC1)c1ccccc1"
    assert scaffold_of("CCO") == ""
    assert scaffold_of("C[C@H]1CCO1") == "C1COC1"
    formulas = Dataset("f", "", None, ("0", "1"), {"y": Target(np.arange(2.0), "", "", "")}, "", "", ["NaCl", "KCl"])
    with pytest.raises(ValueError, match="group_by 'scaffold' needs molecules: 'f' has only compositions"):
        group_labels(Problem.of(formulas, "y"), "scaffold")


def test_the_same_molecule_in_two_parts_is_told():
    twice = [*SMILES[:40], *(Chem.MolToSmiles(Chem.MolFromSmiles(text), doRandom=True) for text in SMILES[:40])]
    problem = Problem.of(dataset(twice), "logp")
    found = find_leakage(problem, make_split(problem, n_folds=0, seed=1))
    (part,) = found.parts
    assert part.n_structure > 5
    assert any("they are the same molecule" in sentence for sentence in found.sentences())


def test_a_store_of_molecules(table, tmp_path):
    pytest.importorskip("pyarrow")
    from atomprint.store import FeatureStore, build_store

    text = table.read_text() + "CC(,1\n"
    path = tmp_path / "x.csv"
    path.write_text(text)
    built = build_store(tmp_path / "s", path, "MorganFingerprint", {"n_bits": 128, "counts": True}, block=32)
    assert (built.n_rows, built.n_failed) == (len(SMILES), 1)
    store = FeatureStore.open(tmp_path / "s")
    features = store.features()
    features = features.toarray() if hasattr(features, "toarray") else features
    np.testing.assert_array_equal(features, MorganFingerprint(n_bits=128, counts=True).create(SMILES))
    assert store.table(["smiles"]).column("smiles").to_pylist() == SMILES
    hits = store.search(SMILES[5], 1)
    assert hits.distances[0] == 0
    assert "no molecule" in store.failures().column("reason").to_pylist()[0]


def test_data_sets_hand_over_their_molecules(table):
    data = read_dataset(table, targets="logp")
    np.testing.assert_array_equal(MorganFingerprint().create(data), MorganFingerprint().create(SMILES))


def test_a_service_of_molecules(run):
    pytest.importorskip("fastapi")
    pytest.importorskip("prometheus_client")
    pytest.importorskip("python_multipart")
    from fastapi.testclient import TestClient

    from atomprint.service import Settings, create_app

    model = load_model(run[1] / "model.atomprint")
    client = TestClient(create_app({"logp": run[1] / "model.atomprint"}, Settings()), base_url="http://localhost")
    given = ["CCO", {"smiles": "c1ccccc1"}, "c1ccccc1O", "CC(", {"smiles": "CC("}]
    found = client.post("/v1/predict", json={"structures": given}).json()
    rows = found["models"][0]["rows"]
    assert [row["value"] for row in rows] == pytest.approx(model.predict(["CCO", "c1ccccc1", "c1ccccc1O"]).values)
    assert len(found["failures"]) == 2
    assert "is no molecule" in found["failures"][1]["reason"]


def test_twins_without_rings_stay_together():
    smiles = ["C[C@H](O)F", "C[C@@H](O)F", "CC(O)F", "C[13CH](O)F", "F/C=C/F", "F/C=C\\F", "CCO"]
    data = dataset(smiles)
    labels = group_labels(Problem.of(data, "logp"), "scaffold")
    assert [labels.tolist().index(label) for label in labels] == [0, 0, 0, 0, 4, 4, 6]


def test_molecules_and_formulas_are_not_mixed():
    with pytest.raises(ValueError, match="compositions must all be Smiles or none, got 'CO' in row 1"):
        Dataset("some", "", None, ("a", "b"), {}, "", "", [Smiles("CO"), "CO"])
    formulas = Dataset("some", "", None, ("a", "b"), {}, "", "", np.array(["CO", "H2O"]))
    assert (formulas.kind, formulas.formulas) == ("compositions", ("CO", "H2O"))
