"""The command line as a new user would use it."""

import json
import tomllib
from io import StringIO

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read, write
from rich.console import Console
from typer.testing import CliRunner

from atomprint.cli.app import app
from atomprint.cli.console import table

QUICK = (
    "models={extra_trees={n_estimators=10}, ridge={}}",
    "evaluation.n_repeats=1",
    "split.n_folds=2",
)
METALS = ("Cu", "Ag", "Au", "Al", "Ni", "Pd", "Pt", "Rh", "Ir", "Pb")


def run(*arguments, code=0):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output + str(result.exception)
    return result.output


def sets(entries):
    return [word for entry in entries for word in ("-s", entry)]


def cif(atoms, folder):
    path = folder / "one.cif"
    write(path, atoms)
    return path.read_text()


@pytest.fixture
def crystals(tmp_path, monkeypatch):
    """A CSV file with a CIF column, as a user might have it."""
    import pandas as pd

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


def test_tables_do_not_break_names_letter_by_letter():
    console = Console(width=80, file=StringIO())
    figures = ["-0.133 ± 0.106\n-0.0271", "108.7 ± 12.74\n106.28", "100.0 %", "1.4 s\n10.5 s"]
    rows = [["SOAP × element properties", "Random forest", *figures], ["Mean", "Baseline", *figures]]
    console.print(table(["features", "model", "R²\nfolds", "MAE\nfolds", "inside", "time"], rows, 2))
    words = console.file.getvalue().split()
    for word in ("properties", "Random", "forest", "Baseline", "0.106", "106.28", "10.5"):
        assert word in words


def test_the_path_of_a_new_user(crystals, tmp_path):
    import pandas as pd

    assert "Wrote recipe.toml" in run("init", crystals.name, "--target", "volume")
    recipe = tomllib.loads((tmp_path / "recipe.toml").read_text())
    assert recipe["data"]["structure"] == "cif"
    output = run("train", *sets(QUICK), "--jobs", "1")
    assert "extremely" in output.lower()
    (baseline,) = [line for line in output.splitlines() if line.strip().startswith("Baseline")]
    assert baseline.split()[-5:-4] == ["0"], baseline  # its R²: before "88 %" and "0.0 s"
    assert [line.split()[0] for line in output.strip().splitlines()[-3:]] == ["best", "report", "next"]
    assert output.strip().endswith("atomprint predict structures.cif")
    folder = tmp_path / "atomprint-run"
    for name in ("report.html", "results.json", "predictions.csv", "model.atomprint", "recipe.toml", "run.json"):
        assert (folder / name).stat().st_size > 0
    assert not list(folder.glob(".*"))  # no temporary files
    output = run("predict", "new.cif", "-o", "out.csv")
    found = pd.read_csv(tmp_path / "out.csv")
    assert len(found) == 1
    assert 8 < found.iloc[0]["volume"] < 20
    card = run("info")
    assert len(card.splitlines()) == 10
    assert "Volume: a number" in card
    assert "not below 0" in card  # no volume is negative
    assert "atomprint predict structures.cif" in card
    everything = json.loads(run("info", "--json"))
    assert everything["target"] == "volume"
    assert "[features" in everything["recipe"]
    output = " ".join(run("evaluate", crystals.name, "--structure", "cif").split())
    assert "MAE" in output
    assert "Warning: these are 40 samples that the model was fitted to" in output
    pd.read_csv(crystals).iloc[1:].to_csv(tmp_path / "fewer.csv", index=False)
    assert "Warning: these are 39 samples" in " ".join(run("evaluate", "fewer.csv", "--structure", "cif").split())
    others = pd.read_csv(crystals)
    larger = [read(StringIO(text), format="cif") for text in others["cif"]]
    for atoms in larger:  # other structures under the same names
        atoms.set_cell(1.5 * atoms.cell, scale_atoms=True)
    others["cif"] = [cif(atoms, tmp_path) for atoms in larger]
    others.to_csv(tmp_path / "others.csv", index=False)
    assert "Warning" not in run("evaluate", "others.csv", "--structure", "cif")
    others.loc[:9, "cif"] = pd.read_csv(crystals)["cif"][:10]
    others.to_csv(tmp_path / "mixed.csv", index=False)
    output = " ".join(run("evaluate", "mixed.csv", "--structure", "cif", "-o", "figures.json").split())
    assert "Warning: 10 of 40 samples have the structure of a sample that the model was fitted to" in output
    assert "30 not in training" in output
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["n_seen"] == 10
    assert figures["unseen"]["mae"] > figures["metrics"]["mae"]
    output = run("report", "atomprint-run")
    assert "Volume" in output
    assert "±" in output
    assert "differ" not in output


@pytest.mark.usefixtures("plots_not_drawn")
def test_the_same_recipe_gives_the_same_numbers(crystals, tmp_path):
    run("init", crystals.name, "--target", "volume")
    run("train", *sets(QUICK), "-o", "a")
    run("train", *sets(QUICK), "-o", "b", "--jobs", "1")

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


@pytest.mark.usefixtures("plots_not_drawn")
def test_cross_validation_alone_shows_the_choice_with_coverage_time_and_memory(crystals, tmp_path):
    import pandas as pd

    run("init", crystals.name, "--target", "volume")
    table = run(
        "train", *sets(QUICK), "-s", "split.test_size=0", "-s", "evaluation.learning_curve=false", "--jobs", "1"
    )
    output = " ".join(table.split())
    for words in (
        "chosen",
        "Truth inside: share of true values in the 90 % intervals",
        "In bold, to judge by",
        "for information only",
        "Peak memory of",
    ):
        assert words in output
    folder = tmp_path / "atomprint-run"
    (study,) = json.loads((folder / "results.json").read_text())["studies"]
    record = json.loads((folder / "run.json").read_text())
    own = study["chosen"]["cross_validation"]["mae"]
    (line,) = [line for line in table.splitlines() if "chosen " in line and "±" in line]
    shown = float(line.partition("±")[0].split()[-1])
    assert shown == pytest.approx(own["mean"], abs=0.5 * own["std"])
    assert own["mean"] == np.mean([fold["mae"] for fold in study["chosen"]["folds"]])
    assert [row["role"] for row in study["rows"]].count("result") == 1
    assert study["rows"] == record["rows"]
    assert 0.01 < record["peak_memory_gb"] < 100
    (chosen,) = [row for row in record["rows"] if row["role"] == "result"]
    with (folder / "predictions.csv").open() as file:
        frame = pd.read_csv(file)
    frame = frame[frame["model"] == "chosen"]
    inside = (frame["lower"] <= frame["true"]) & (frame["true"] <= frame["upper"])
    assert chosen["coverage"] == pytest.approx(inside.mean())
    assert chosen["coverage_by_part"] == pytest.approx(inside.groupby(frame["part"]).mean().to_dict())
    assert "chosen in training" in " ".join(run("report", "atomprint-run").split())
    card = (folder / "model-card.md").read_text()
    assert "are of models fitted to 20 samples" in card
    assert "The saved model was fitted anew to all 40 samples." in card


def test_predictions_are_sorted_and_cut(crystals, tmp_path):
    import pandas as pd

    run(
        "train",
        crystals.name,
        "--target",
        "volume",
        *sets(QUICK),
        "--jobs",
        "1",
        "-s",
        "evaluation.learning_curve=false",
    )
    frames = {}
    for name, options in {
        "all": (),
        "top": ("--top", 5),
        "least": ("--sort", "volume", "--top", 5),
        "far": ("--sort", "-distance"),
    }.items():
        run("predict", crystals.name, *options, "-o", f"{name}.csv")
        frames[name] = pd.read_csv(tmp_path / f"{name}.csv")
    volumes = frames["all"]["volume"].sort_values()
    assert frames["top"]["volume"].tolist() == volumes[::-1][:5].tolist()
    assert frames["least"]["volume"].tolist() == volumes[:5].tolist()
    assert frames["far"]["distance"].is_monotonic_decreasing
    assert set(frames["far"]["id"]) == set(frames["all"]["id"])
    assert (frames["all"]["lower"] >= 0).all()
    assert "did you mean 'distance'?" in run("predict", crystals.name, "--sort", "distanc", code=1)


def test_reports_of_different_data_say_where_these_differ(crystals, tmp_path):
    import pandas as pd

    options = [*sets(QUICK), "--jobs", "1", "-s", "evaluation.learning_curve=false"]
    pd.read_csv(crystals).iloc[:30].to_csv(tmp_path / "fewer.csv", index=False)
    run("train", crystals.name, "--target", "volume", *options, "-o", "a")
    run("train", "fewer.csv", "--target", "volume", *options, "-o", "b")
    output = " ".join(run("report", "a", "b").split())
    assert "figures do not compare" in output
    assert "b and a differ: data: Fewer (Own data, fewer.csv), 30 samples, not Crystals" in output
    results = json.loads((tmp_path / "a" / "results.json").read_text())
    spread = results["studies"][0]["trials"][0]["models"]["extra_trees"]["cross_validation"]["mae"]["std"]
    assert spread > 0
    (tmp_path / "a" / "results.json").write_text('{"studies": [{}]}')
    assert "is not as atomprint train writes it" in run("report", "a", code=1)
    assert "no such file: nowhere" in run("report", "nowhere", code=1)


def test_without_a_terminal_finished_steps_are_lines(crystals):
    output = run("train", crystals.name, "--target", "volume", *sets(QUICK), "--jobs", "1")
    lines = [line for line in output.splitlines() if line.startswith("[")]
    steps = [line.partition("] ")[2] for line in lines]
    assert steps[0].startswith("Reading data (")
    assert steps[-1].startswith("Report (")
    assert any("Extremely" in step for step in steps)
    assert all("s)" in step for step in steps)
    assert any("about" in step and step.endswith("left") for step in steps)
    assert "about" not in steps[-1]


def test_lines_of_progress_tell_time_and_what_is_left(monkeypatch):
    from atomprint.cli import console as cli

    now = [0.0]
    out = StringIO()
    monkeypatch.setattr(cli, "monotonic", lambda: now[0])
    monkeypatch.setattr(cli, "console", Console(file=out, width=80))
    with cli.progress_bar() as progress:
        for done, seconds in enumerate((10.0, 20.0, 30.0)):
            progress(f"step [{done}]", done, 3)
            now[0] += seconds
        progress("Done", 3, 3)
        for row in range(100):
            progress("rows", row, 100)
            now[0] += 1.0
    lines = out.getvalue().splitlines()
    assert lines[0] == "[   10 s] step [0] (10 s); about 20 s left"
    assert lines[1] == "[   30 s] step [1] (20 s); about 15 s left"
    assert lines[2] == "[   60 s] step [2] (30 s)"
    rows = [line for line in lines if "rows: " in line]
    assert len(rows) == 9  # now and then, not a hundred times
    assert rows[0] == "[   70 s] rows: 10 of 100; about 90 s left"
    assert lines[-1] == "[  3 min] rows (2 min)"


def test_progress_counts_every_step_to_the_end(crystals, tmp_path):
    from atomprint.workflow import Recipe, train

    run("init", crystals.name, "--target", "volume")
    quick = [
        *QUICK,
        "n_jobs=1",
        "features.composition={type='ElementProperty', properties=['mass']}",
        "evaluation.learning_curve=false",
    ]
    for changes in (["split.test_size=0"], ["evaluation.learning_curve=true"], ["split.n_folds=0"]):
        told = []
        train(Recipe.read(tmp_path / "recipe.toml", [*quick, *changes]), lambda *step, told=told: told.append(step))
        (total,) = {total for words, _, total in told if total and not words.startswith("Features")}
        counted = [done for words, done, n in told if n == total and not words.startswith("Features")]
        assert counted == list(range(total + 1))
        assert told[-1] == ("Done", total, total)


def test_runs_that_fail_leave_no_empty_folder(crystals, tmp_path):
    run("init", crystals.name, "--target", "volume")
    run("train", "-o", "new/results", "-s", "models.forest.type=woods", code=1)
    assert not (tmp_path / "new").exists()
    kept = tmp_path / "old"
    kept.mkdir()
    run("train", "-o", "old", "-s", "models.forest.type=woods", code=1)
    assert kept.is_dir()  # it was there before
    run("train", "-o", "old/results", "-s", "models.forest.type=woods", code=1)
    assert list(kept.iterdir()) == []
    run("benchmark", "matbench_expt_gap", "--data", "missing.json.gz", "-o", "none", code=1)
    assert not (tmp_path / "none").exists()


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


@pytest.mark.usefixtures("plots_not_drawn")
def test_rows_that_cannot_be_used_are_listed(crystals, tmp_path):
    import pandas as pd

    frame = pd.read_csv(crystals)
    frame.loc[3, "cif"] = "no cif"
    frame.to_csv(crystals, index=False)
    run("init", crystals.name, "--target", "volume")
    assert "row 3" in run("train", *sets(QUICK), code=1)
    run("train", *sets(QUICK), "-s", "data.on_error=skip")
    failures = json.loads((tmp_path / "atomprint-run" / "run.json").read_text())["failures"]
    assert [f["row"] for f in failures] == [3]


def test_features_as_a_table(crystals, tmp_path):
    import pandas as pd

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


@pytest.mark.parametrize(
    "command",
    [
        ("init", "nowhere.csv"),
        ("init", "nowhere"),
        ("train", "nowhere.toml"),
        ("train", "nowhere.csv"),
        ("featurize", "nowhere.cif", "-o", "x.csv"),
        ("data", "show", "nowhere.csv"),
        ("report", "nowhere"),
        ("info", "nowhere"),
        ("predict", "nowhere.csv", "-m", "nowhere"),
        ("benchmark", "matbench_perovskites", "--data", "nowhere.json"),
    ],
)
def test_a_file_that_is_not_there_is_no_such_file(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "no such file" in run(*command, code=1)


def test_a_file_that_is_not_there_is_no_formula(tmp_path, monkeypatch):
    import pandas as pd

    monkeypatch.chdir(tmp_path)
    formulas = [f"{metal}{n}O" for metal in METALS for n in (1, 2, 3)]
    pd.DataFrame({"formula": formulas, "gap": np.arange(30) % 7}).to_csv("gaps.csv", index=False)
    run(
        "train",
        "gaps.csv",
        "-s",
        "models={ridge={}}",
        "-s",
        "evaluation={learning_curve=false, n_repeats=1}",
        "-j",
        "1",
    )
    assert "no such file" in run("predict", "nowhere.csv", code=1)
    assert "no such file" in run("predict", "./Cu2O", code=1)
    assert "no such file" in run("predict", "Cu2O", "nowhere.cif", code=1)
    assert "Cu2O" in run("predict", "Cu2O")


@pytest.mark.parametrize(
    ("values", "metric", "said"),
    [("number", "rmse", "RMSE "), ("number", "mae", "MAE "), ("class", "f1", "F1 "), ("class", "pr_auc", "PR-AUC ")],
)
def test_info_says_the_figure_that_was_asked_for(values, metric, said, tmp_path, monkeypatch):
    import pandas as pd

    monkeypatch.chdir(tmp_path)
    formulas = [f"{metal}{n}O" for metal in METALS for n in (1, 2, 3)]
    y = np.arange(30) % 7
    pd.DataFrame({"formula": formulas, "y": np.where(y > 3, "yes", "no") if values == "class" else y}).to_csv("y.csv")
    changes = (
        "models={ridge={}}",
        'features={shares={type="ElementProperty", missing="impute"}}',
        f'evaluation={{learning_curve=false, n_repeats=1, metric="{metric}"}}',
    )
    run("train", "y.csv", "-t", "y", "-j", "1", *(part for change in changes for part in ("-s", change)))
    head = "score" if values == "class" else "error"
    assert f"{head}  {said}" in run("info")
    assert json.loads(run("info", "--json"))["metric"] == metric


def test_typos_get_suggestions(crystals):
    for command, meant in (
        (("featurize", "new.cif", "-o", "x.csv", "-d", "soap"), "SOAP"),
        (("featurize", "new.cif", "-o", "x.csv", "-s", "rcut=4"), "r_cut"),
        (("featurize", "new.cif", "-o", "x.csv", "-s", "nmax=4"), "n_max"),
        (("train", crystals.name, "-t", "volum"), "volume"),
        (("train", crystals.name, "-t", "volume", "-s", "models={rigde={}}"), "ridge"),
        (("train", crystals.name, "-t", "volume", "-s", "models={ridge={alphs=1}}"), "alphas"),
        (("train", crystals.name, "-t", "volume", "-s", "evaluation={n_repeat=1}"), "n_repeats"),
    ):
        assert f"did you mean {meant!r}?" in run(*command, code=1)
