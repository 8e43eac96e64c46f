"""The methods of a run: text for a paper, and BibTeX of what was used and of nothing else."""

import json
import re

import pytest
from typer.testing import CliRunner

from atomprint.cli.app import app
from atomprint.learn import MODELS
from atomprint.report.references import _OF, _published, bibtex
from atomprint.util.registry import KNOWN
from atomprint.workflow import Recipe, train


def keys_of(text):
    return re.findall(r"^@\w+\{(\w+),", text, re.M)


def test_publications():
    published = _published()
    cited = {key for keys in _OF.values() for key in keys}
    assert cited == set(published)
    packages = {"numpy", "scipy", "scikit-learn", "ase", "optuna", "shap", "pymatgen", "spglib", "intervals"}
    assert set(_OF) <= packages | set(KNOWN) | set(MODELS)
    for key, entry in published.items():
        assert entry.count("{") == entry.count("}"), key
        assert re.search(r"^  author = \{.+\},$", entry, re.M), key
        assert re.search(rf"^  year = \{{{key[-4:]}\}},$", entry, re.M), key
        doi = re.search(r"^  doi = \{(.*)\},$", entry, re.M)
        assert doi is None or re.fullmatch(r"10\.\d{4,}/\S+", doi[1]), key


def test_data_are_cited_by_their_sources():
    source = "A & B, J. C 1, 2 (1997), doi:10.1000/xyz_1; D, E 3, 4 (2003); as given by F"
    text = bibtex([], {"atomprint": "1.2.3"}, source)
    assert keys_of(text) == ["atomprint", "data1", "data2"]
    assert "version 1.2.3" in text
    assert "note = {A \\& B" in text
    assert "doi = {10.1000/xyz_1}" in text
    assert "year = {2003}" in text


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("methods") / "run"
    table = {
        "data": {"name": "g2", "sample": 40},
        "features": {"matrix": {"type": "CoulombMatrix"}},
        "models": {"ridge": {}, "some": {"type": "ensemble", "members": ["krr", {"type": "extra_trees"}]}},
        "evaluation": {"learning_curve": False, "n_repeats": 0},
        "n_jobs": 1,
    }
    table["models"]["some"]["members"][1]["n_estimators"] = 5
    run = train(Recipe.from_dict(table))
    run.write(folder)
    return folder, run


def test_methods_of_a_run(folder):
    pytest.importorskip("matplotlib")
    path, run = folder
    result = CliRunner().invoke(app, ["report", str(path), "--methods"])
    assert result.exit_code == 0, result.output
    keys = set(keys_of(result.output))
    assert {
        "atomprint",
        "harris2020",
        "pedregosa2011",
        "larsen2017",
        "rupp2012",
        "geurts2006",
        "lei2018",
        "rasmussen2006",
    } <= keys
    assert not {"bartok2013", "chen2016", "breiman2001"} & keys
    assert "data1" in keys
    for row in run.study.rows:
        assert f"{row.evaluation.cross_validation['mae']} kcal/mol" in result.output
        assert f"{row.evaluation.test.metrics['mae']} kcal/mol" in result.output
    for words in ("**Split.** Drawn at random", "40 structures", "seed 0", run.study.split.description):
        assert words in result.output


def test_runs_without_methods(folder, tmp_path):
    path = folder[0]
    for name in ("results.json", "run.json"):
        (tmp_path / name).write_bytes((path / name).read_bytes())
    record = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    del record["methods"]
    (tmp_path / "run.json").write_text(json.dumps(record), encoding="utf-8")
    result = CliRunner().invoke(app, ["report", str(tmp_path), "--methods"])
    assert result.exit_code == 1
    assert "train again" in result.output
