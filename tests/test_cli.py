"""The command line as a new user would use it."""

import json
import tomllib

import numpy as np
import pandas as pd
import pytest
from ase.build import bulk
from ase.io import write
from typer.testing import CliRunner

from atomprint.cli.app import app

METALS = ("Cu", "Ag", "Au", "Al", "Ni", "Pd", "Pt", "Rh", "Ir", "Pb")


def run(*arguments, code=0):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output + str(result.exception)
    return result.output


def cif(atoms, folder):
    path = folder / "one.cif"
    write(path, atoms)
    return path.read_text()


@pytest.fixture
def crystals(tmp_path, monkeypatch):
    """A CSV file with a CIF column, as a user might have it."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rows = []
    for number in range(40):
        a = 3.5 + rng.random()
        atoms = bulk(METALS[number % len(METALS)], "fcc", a=a)
        rows.append({"name": f"m-{number}", "cif": cif(atoms, tmp_path), "volume": a**3 / 4 + 0.01 * rng.normal()})
    path = tmp_path / "crystals.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    write(tmp_path / "new.cif", bulk("Cu", "fcc", a=3.6))
    return path


def test_the_path_of_a_new_user(crystals, tmp_path):
    assert "Wrote recipe.toml" in run("init", crystals.name, "--target", "volume")
    recipe = tomllib.loads((tmp_path / "recipe.toml").read_text())
    assert recipe["data"]["structure"] == "cif"
    quick = ("-s", "models.random_forest.n_estimators=10", "-s", "evaluation.n_repeats=1", "-s", "split.n_folds=2")
    output = run("train", *quick, "--jobs", "1")
    assert "random forest" in output.lower()
    folder = tmp_path / "atomprint-run"
    for name in ("report.html", "results.json", "predictions.csv", "model.atomprint", "recipe.toml", "run.json"):
        assert (folder / name).stat().st_size > 0
    assert not list(folder.glob(".*"))  # no temporary files
    output = run("predict", "new.cif", "-o", "out.csv")
    found = pd.read_csv(tmp_path / "out.csv")
    assert len(found) == 1
    assert 8 < found.iloc[0]["volume"] < 20
    assert "volume" in run("info")
    assert "MAE" in run("evaluate", crystals.name, "--structure", "cif")
    assert "Volume" in run("report", "atomprint-run")


def test_the_same_recipe_gives_the_same_numbers(crystals, tmp_path):
    run("init", crystals.name, "--target", "volume")
    quick = ("-s", "models.random_forest.n_estimators=10", "-s", "evaluation.n_repeats=1", "-s", "split.n_folds=2")
    run("train", *quick, "-o", "a")
    run("train", *quick, "-o", "b", "--jobs", "1")

    def results(folder):
        found = json.loads((tmp_path / folder / "results.json").read_text())
        for study in found["studies"]:
            for evaluation in [study["baseline"], *(m for t in study["trials"] for m in t["models"].values())]:
                yield (
                    evaluation["cross_validation"],
                    {k: v for k, v in evaluation["test"].items() if "seconds" not in k},
                )

    assert list(results("a")) == list(results("b"))
    assert (tmp_path / "a" / "predictions.csv").read_text() == (tmp_path / "b" / "predictions.csv").read_text()


def test_init_without_data_can_be_trained_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("init")
    text = (tmp_path / "recipe.toml").read_text()
    assert tomllib.loads(text)["data"]["name"] == "dcdft"
    run("init", code=1)  # does not replace what is there
    assert (tmp_path / "recipe.toml").read_text() == text


def test_mistakes_end_in_one_line(crystals, tmp_path):
    assert "no such file" in run("train", "other.toml", code=1)
    assert "no column or key 'gap'" in run("init", crystals.name, "--target", "gap", code=1)
    assert "no model at" in run("predict", "new.cif", code=1)
    run("init", crystals.name, "--target", "volume")
    assert "split.test_size must be >= 0" in run("train", "-s", "split.test_size=-1", code=1)
    assert "models.forest" in run("train", "-s", "models.forest.type=woods", code=1)
    assert "features.sites: r_cut must be > 0" in run("train", "-s", "features.sites.r_cut=-1", code=1)


def test_rows_that_cannot_be_used_are_listed(crystals, tmp_path):
    frame = pd.read_csv(crystals)
    frame.loc[3, "cif"] = "no cif"
    frame.to_csv(crystals, index=False)
    run("init", crystals.name, "--target", "volume")
    quick = ("-s", "models.random_forest.n_estimators=5", "-s", "evaluation.n_repeats=1", "-s", "split.n_folds=2")
    assert "row 3" in run("train", *quick, code=1)
    run("train", *quick, "-s", "data.on_error=skip")
    failures = json.loads((tmp_path / "atomprint-run" / "run.json").read_text())["failures"]
    assert [f["row"] for f in failures] == [3]


def test_features_as_a_table(crystals, tmp_path):
    run("featurize", crystals.name, "-o", "out.csv", "-d", "ElementProperty", "-s", "properties=['mass']")
    found = pd.read_csv(tmp_path / "out.csv")
    assert len(found) == 40
    assert found["ElementProperty mass mean"].iloc[0] == pytest.approx(63.546, abs=0.01)
    run("featurize", "new.cif", "-o", "out.npz", "-s", "r_cut=4", "-s", "n_max=2", "-s", "l_max=1")
    with np.load(tmp_path / "out.npz") as file:
        assert file["values"].shape == (1, len(file["names"]))


def test_data_sets_are_listed_and_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("ATOMPRINT_DATA", str(tmp_path))
    assert "matbench_perovskites" in run("data", "list")
    assert "71" in run("data", "show", "dcdft")


def test_without_network_a_missing_file_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("ATOMPRINT_DATA", str(tmp_path))
    monkeypatch.setenv("ATOMPRINT_OFFLINE", "0")  # restored afterwards
    output = run("--offline", "data", "fetch", "matbench_expt_gap", code=1)
    assert "matbench_expt_gap.json.gz is not in" in output
    assert "downloads are off" in output
