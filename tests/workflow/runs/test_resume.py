"""Runs that are stopped go on with the same numbers, and never leave parts of two runs."""

import json
import os
import shutil
import signal

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write
from helpers.forks import forked
from typer.testing import CliRunner

from atomprint.cli.app import app
from atomprint.learn.evaluation import evaluate
from atomprint.util.files import WholeFolder
from atomprint.util.store import Store
from atomprint.workflow import Recipe, load_model, train

METALS = ("Cu", "Ag", "Au", "Al", "Ni", "Pd")
posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng, crystals = np.random.default_rng(0), []
    for number in range(30):
        a = 3.5 + rng.random()
        crystals.append(bulk(METALS[number % len(METALS)], "fcc", a=a))
        crystals[-1].info["y"] = a + 0.01 * rng.normal()
    write("data.extxyz", crystals)
    (tmp_path / "recipe.toml").write_text(
        """
seed = 1
n_jobs = 1
[data]
path = "data.extxyz"
target = "y"
[split]
n_folds = 2
[features.composition]
type = "ElementProperty"
properties = ["mass", "period"]
[models.ridge]
[models.decision_tree]
[models.random_forest]
n_estimators = 5
[evaluation]
n_repeats = 2
"""
    )
    return tmp_path / "recipe.toml"


def figures(run):
    """Return all numbers of a run but times."""
    text = json.dumps([study.to_dict() for study in run.report.studies])
    return [line for line in json.dumps(json.loads(text), indent=1).split("\n") if '"seconds' not in line]


def counted(monkeypatch):
    fits = []
    original = evaluate.fit_estimator

    def count(*args, **kwargs):
        fits.append(args)
        return original(*args, **kwargs)

    for module in ("evaluation.evaluate", "evaluation.nested_choice", "evaluation.curve", "study.run"):
        monkeypatch.setattr(f"atomprint.learn.{module}.fit_estimator", count)
    return fits


@posix
@pytest.mark.parametrize("changes", [[], ["split.test_size=0"]], ids=["test part", "folds alone"])
@pytest.mark.usefixtures("plots_not_drawn")
def test_a_killed_run_goes_on_with_the_same_numbers(recipe, tmp_path, monkeypatch, changes):
    given = Recipe.read(recipe, changes)
    with monkeypatch.context() as patch:
        fits = counted(patch)
        whole = train(given)
        of_all = len(fits)
    kept = tmp_path / "kept"
    kept.mkdir()
    ends = []
    for at in (1, 4, 9):

        def child(at=at):
            original = Store._write

            def write(self, *args):
                original(self, *args)
                if len(list(kept.iterdir())) >= at:
                    os.kill(os.getpid(), signal.SIGKILL)

            monkeypatch.setattr(Store, "_write", write)
            train(given, keep=kept)

        assert forked(child) == -signal.SIGKILL
        with monkeypatch.context() as patch:
            fits = counted(patch)
            shutil.copytree(kept, tmp_path / "copy")
            again = train(given, keep=tmp_path / "copy")
            shutil.rmtree(tmp_path / "copy")
        ends.append(len(fits))
        assert figures(again) == figures(whole)
        structures = given.data.load().structures[:3]
        np.testing.assert_array_equal(again.model.predict(structures).values, whole.model.predict(structures).values)
    assert of_all > ends[0] > ends[1] > ends[2]


@pytest.mark.usefixtures("plots_not_drawn")
def test_only_what_depends_on_a_change_is_done_again(recipe, tmp_path, monkeypatch):
    kept = tmp_path / "kept"
    kept.mkdir()
    train(Recipe.read(recipe), keep=kept)
    for changes, few in (
        ([], True),
        (["models.random_forest.n_estimators=6"], True),
        (["seed=2"], False),
        (["features.composition.properties=['mass']"], False),
    ):
        given = Recipe.read(recipe, changes)
        fits = counted(monkeypatch)
        again = train(given, keep=kept)
        n_fits = len(fits)
        monkeypatch.undo()
        monkeypatch.chdir(tmp_path)
        assert (n_fits < 12) == few, (changes, n_fits)
        assert figures(again) == figures(train(given)), changes


def command(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.usefixtures("plots_not_drawn")
def test_the_command_line_refuses_and_replaces(recipe, tmp_path):
    one = ["-s", "models={ridge={}}", "-s", "evaluation.learning_curve=false"]
    assert command("train", recipe, "-o", "out", *one).exit_code == 0
    first = (tmp_path / "out" / "run.json").read_bytes()
    result = command("train", recipe, "-o", "out", *one)
    assert result.exit_code == 1
    assert "there already" in result.output
    assert result.output.count("\n") == 1
    assert (tmp_path / "out" / "run.json").read_bytes() == first
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with WholeFolder("out", force=True):
        result = command("train", recipe, "-o", "out", "--force", *one)
    assert result.exit_code == 1
    assert "somebody else is writing" in result.output
    assert command("train", recipe, "-o", "out", "--force", *one).exit_code == 0
    assert (tmp_path / "out" / "run.json").read_bytes() != first
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"
    load_model(tmp_path / "out" / "model.atomprint")
    assert {path.name for path in tmp_path.iterdir()} == {"data.extxyz", "recipe.toml", "out"}


@pytest.mark.usefixtures("plots_not_drawn")
def test_a_full_disk_costs_one_line_and_no_fit(recipe, tmp_path, monkeypatch):
    fits = counted(monkeypatch)

    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("atomprint.workflow.saved.container.Path.write_bytes", full)
        result = command("train", recipe, "-o", "out")
    assert result.exit_code == 1
    assert result.output.splitlines()[-1].startswith("atomprint: No space left on device: ")
    assert "model.atomprint" in result.output
    assert not (tmp_path / "out").exists()
    n_fits = len(fits)
    assert command("train", recipe, "-o", "out").exit_code == 0
    assert len(fits) - n_fits < n_fits / 3
    assert not (tmp_path / ".out.partial").exists()


def test_whoever_stops_it_is_told_how_it_goes_on(recipe, monkeypatch):
    def stop(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("atomprint.workflow.runs.train.carry_out", stop)
    result = command("train", recipe, "-o", "out")
    assert result.exit_code == 130
    assert "stopped; what was finished is kept, and the same command goes on from there" in result.output
