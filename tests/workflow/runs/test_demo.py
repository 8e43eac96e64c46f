import csv
import json
import subprocess
import sys

import numpy as np
import pytest

from atomprint import cli
from atomprint.cli.console import console
from atomprint.workflow.runs.demo import run_demo


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    steps = []
    report, files = run_demo(folder, n_jobs=1, seed=1, quick=True, progress=lambda *step: steps.append(step))
    return report, files, steps


def test_progress_counts_up_to_the_end(demo):
    _, _, steps = demo
    assert [done for _, done, _ in steps] == list(range(len(steps)))
    assert steps[-1][1] == steps[-1][2]


def test_four_files_and_nothing_else(demo):
    _, files, _ = demo
    assert sorted(files) == ["model-card.md", "predictions.csv", "report.html", "results.json"]
    folder = files["report.html"].parent
    assert sorted(item.name for item in folder.iterdir()) == sorted(files)


def test_results_hold_every_figure_of_every_fold(demo):
    report, files, _ = demo
    results = json.loads(files["results.json"].read_text(encoding="utf-8"))
    assert results["settings"]["seed"] == 1
    assert {"python", "atomprint", "numpy", "scikit-learn", "ase"} <= set(results["versions"])
    assert [(s["dataset"]["name"], s["target"]["name"], s["target"]["unit"]) for s in results["studies"]] == [
        ("g2", "enthalpy", "kcal/mol"),
        ("dcdft", "volume", "Å³/atom"),
        ("dcdft", "bulk_modulus", "GPa"),
    ]
    for study in results["studies"]:
        folds = [name for fold in study["split"]["folds"] for name in fold]
        assert study["split"]["train"] is None  # the same as those of the folds
        assert len(folds) == len(set(folds)) == 40 - len(study["split"]["test"])
        assert not set(folds) & set(study["split"]["test"])
        assert study["caveats"][0].startswith("Little data: 40 samples")
        assert set(study["baseline"]) == {"cross_validation", "folds", "test"}
        assert [fold["name"] for fold in study["baseline"]["folds"]] == ["fold 1", "fold 2", "fold 3"]
        assert len(study["trials"]) == 4
        for trial in study["trials"]:
            assert trial["features"]["shape"][0] == 40
            assert set(trial["models"]) == {"kernel_ridge", "random_forest"}
            for model in trial["models"].values():
                folds = [fold["mae"] for fold in model["folds"]]
                assert model["cross_validation"]["mae"]["mean"] == pytest.approx(np.mean(folds))
                assert model["cross_validation"]["mae"]["std"] == pytest.approx(np.std(folds, ddof=1))
            assert trial["importance"]["groups"]
            assert trial["top_features"]["model"] == "random_forest"
            assert len(trial["top_features"]["features"]) in (7, 10)
    soap = results["studies"][0]["trials"][2]
    assert soap["features"]["parameters"]["class"] == "SOAP"
    assert set(soap["importance"]["groups"]) == {"elements", "species pairs", "radial channels", "angular channels"}
    assert report.studies[0].best()[1] in ("kernel_ridge", "random_forest")


def test_predictions_give_the_metrics_back(demo):
    _, files, _ = demo
    with files["predictions.csv"].open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    results = json.loads(files["results.json"].read_text(encoding="utf-8"))
    assert len(rows) == 3 * 40 * (4 * 2 + 1)
    for study in results["studies"]:
        for trial in study["trials"]:
            chosen = [
                abs(float(row["true"]) - float(row["predicted"]))
                for row in rows
                if (row["target"], row["features"], row["model"], row["part"])
                == (study["target"]["name"], trial["features"]["key"], "kernel_ridge", "test")
            ]
            assert np.mean(chosen) == pytest.approx(trial["models"]["kernel_ridge"]["test"]["mae"])


def test_report_is_complete(demo):
    _, files, _ = demo
    html = files["report.html"].read_text(encoding="utf-8")
    for words in ("Coulomb matrix", "Sine matrix", "SOAP", "Kernel ridge", "Random forest", "Baseline"):
        assert words in html
    assert html.count("Little data: 40 samples") >= 3
    assert html.count("Worst predictions") == 3
    assert html.count("<svg") == 0  # plots are images, with words for those who cannot see them
    assert html.count("<img") == html.count('alt="')


def test_results_do_not_depend_on_the_number_of_threads(demo, tmp_path, monkeypatch):
    report, _, _ = demo
    monkeypatch.setattr("atomprint.workflow.runs.demo.Report.write", lambda self, folder: {})
    again, _ = run_demo(tmp_path, n_jobs=2, seed=1, quick=True)
    for study, repeated in zip(report.studies, again.studies, strict=True):
        assert list(study.predictions()) == list(repeated.predictions())
        for trial, other in zip(study.trials, repeated.trials, strict=True):
            assert trial.importance.groups == other.importance.groups


# The command line -------------------------------------------------------------------------------------------------


def run(arguments, capsys):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["atomprint", *arguments])
        with pytest.raises(SystemExit) as stop:
            cli.main()
    captured = capsys.readouterr()
    return stop.value.code or 0, captured.out, captured.err


def test_demo_command_shows_a_table_and_the_path(demo, tmp_path, capsys, monkeypatch):
    report, files, _ = demo
    asked = {}

    def prepared(output, **options):
        asked.update(options, output=output)
        return report, files

    monkeypatch.setattr("atomprint.workflow.runs.demo.run_demo", prepared)
    monkeypatch.setattr(console, "width", 160)
    arguments = ["demo", "--output", str(tmp_path), "--jobs", "2", "--seed", "1", "--quick"]
    monkeypatch.setitem(sys.modules, "shap", None)
    code, out, _ = run(arguments, capsys)
    assert code == 0
    asked.pop("progress")
    assert asked == {"output": tmp_path, "n_jobs": 2, "seed": 1, "quick": True, "force": False}
    assert "G2 molecules: enthalpy of formation" in out
    assert "Coulomb matrix" in out
    assert str(files["report.html"]) in out.replace("\n", "")
    told = " ".join(out.split())
    assert "shap (explanations by SHAP)" in told
    assert told.endswith("To add one: pip install 'atomprint[NAME]'")


def test_version_and_help(capsys):
    assert run(["--version"], capsys)[1].startswith("atomprint ")
    code, out, _ = run(["demo", "--help"], capsys)
    assert code == 0
    assert "--output" in out


@pytest.mark.parametrize(("arguments", "words"), [(["--jobs", "0"], "must not be 0"), (["--seed", "-1"], "--seed")])
def test_bad_options_are_named(arguments, words, tmp_path, capsys):
    code, _, err = run(["demo", "--output", str(tmp_path), *arguments], capsys)
    assert code == 2
    assert words in err


def test_output_that_cannot_be_made(tmp_path, capsys):
    (tmp_path / "file").touch()
    code, _, err = run(["demo", "--output", str(tmp_path / "file" / "folder")], capsys)
    assert code == 1
    assert err.startswith("atomprint: ")


def test_a_missing_extra_is_named_before_the_work(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, _, err = run(["demo", "--output", str(tmp_path / "new")], capsys)
    assert code == 1
    assert err == (
        "atomprint: this needs matplotlib, which is not installed: pip install 'atomprint[report]' (in a clone of "
        "atomprint: pip install '.[report]')\n"
    )
    assert not (tmp_path / "new").exists()


def test_import_loads_nothing_heavy():
    code = (
        "import sys, atomprint, atomprint.cli; "
        "print([m for m in ('numpy', 'sklearn', 'matplotlib', 'typer', 'ase') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
