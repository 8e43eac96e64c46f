"""The methods of a run: text for a paper, and BibTeX of what was used and of nothing else."""

import json
import re

import pytest
from typer.testing import CliRunner

from atomprint.cli.app import app
from atomprint.datasets.public.bundled import load_dcdft, load_g2
from atomprint.datasets.public.registry import REGISTRY
from atomprint.descriptors.pretrained.weights import WEIGHTS
from atomprint.learn import MODELS
from atomprint.report.methods import _types
from atomprint.report.naming import best_made_of
from atomprint.report.references import _OF, _published, bibtex
from atomprint.util.registry import KNOWN
from atomprint.workflow import Recipe, train

SOURCES = sorted({*(entry.citation for entry in REGISTRY.values()), load_g2().source, load_dcdft().source})


def keys_of(text):
    return re.findall(r"^@\w+\{(\w+),", text, re.M)


def test_publications():
    published = _published()
    cited = {key for keys in _OF.values() for key in keys}
    of_data = {key for source in SOURCES for key in keys_of(bibtex([], {"atomprint": "1"}, source))}
    assert cited | of_data >= set(published)
    assert cited <= set(published)
    packages = {"numpy", "scipy", "scikit-learn", "ase", "matplotlib", "optuna", "shap", "pymatgen", "spglib", "jax"}
    packages |= {"torch", "rdkit"}
    assert set(_OF) <= packages | set(KNOWN) | set(MODELS) | set(WEIGHTS) | {"intervals"}
    assert set(WEIGHTS) <= set(_OF)
    for key, entry in published.items():
        assert entry.count("{") == entry.count("}"), key
        assert re.search(r"^  author = \{.+\},$", entry, re.M), key
        assert re.search(rf"^  year = \{{{key[-4:]}\}},$", entry, re.M), key
        doi = re.search(r"^  doi = \{(.*)\},$", entry, re.M)
        assert doi is None or re.fullmatch(r"10\.\d{4,}/\S+", doi[1]), key
    dois = [doi for entry in published.values() for doi in re.findall(r"^  doi = \{(.*)\},$", entry, re.M)]
    assert len(set(dois)) == len(dois)


@pytest.mark.parametrize("source", SOURCES)
def test_public_data_are_cited_by_whole_entries(source):
    """Each publication in the source of a public data set has an entry with the first author and the year in it."""
    cited = [part for part in source.split("; ") if re.search(r"\(\d{4}\)", part)]
    entries = bibtex([], {"atomprint": "1"}, source).split("\n\n")[1:]
    published = [entry for entry in entries if not entry.startswith("@misc")]
    assert len(published) == len(cited)
    for text, entry in zip(cited, published, strict=True):
        # The year of a reference to a journal, not that of a date in words before it
        assert re.search(r"\((\d{4})\)", text)[1] == re.search(r"year = \{(\d+)\}", entry)[1]
        first = re.search(r"author = \{(?:\w\. )?([\w ]+?)(?:,| and)", entry)[1]
        assert first in text
        title = re.search(r"title = \{(.*)\},", entry)[1]
        assert len(title) > 20
        if volume := re.search(r"volume = \{(\w+)\}", entry):
            assert volume[1] in text


def test_data_are_cited_by_their_sources():
    source = "A & B, J. C 1, 2 (1997), doi:10.1000/xyz_1; D, E 3, 4 (2003); as given by F; https://a.org/b."
    text = bibtex([], {"atomprint": "1.2.3"}, source)
    assert keys_of(text) == ["atomprint", "data1", "data2", "data4"]
    assert "version 1.2.3" in text
    assert "note = {A \\& B" in text
    assert "doi = {10.1000/xyz_1}" in text
    assert "year = {2003}" in text
    assert "url = {https://a.org/b}" in text


def test_weights_are_cited_with_what_they_were_trained_on():
    table = {"net": {"type": "PretrainedEmbedding", "model": "sevennet-0"}, "other": {"type": "SOAP"}}
    assert keys_of(bibtex(_types(table), {"atomprint": "1"})) == ["atomprint", "park2024", "deng2023", "bartok2013"]


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
    assert {"curtiss1997", "staroverov2003"} <= keys
    assert len(keys_of(result.output)) == len(keys)
    for row in run.study.rows:
        assert f"{row.evaluation.cross_validation['mae']} kcal/mol" in result.output
        assert f"{row.evaluation.test.metrics['mae']} kcal/mol" in result.output
    made_of = best_made_of(run.study)
    assert re.search(r"weighted mean of \w+ \(\d\.\d\d\)|alpha = ", made_of)
    for words in ("**Split.** Drawn at random", "40 structures", "seed 0", run.study.split.description, made_of):
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
