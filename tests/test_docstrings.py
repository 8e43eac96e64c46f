"""The examples in docstrings run, and show what they say; they find a table, a saved model and a structure to read."""

import csv
import doctest
import pkgutil
from importlib import import_module

import pytest
from ase.build import bulk
from ase.io import write
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

import atomprint
from atomprint.datasets import read_dataset
from atomprint.descriptors import ElementProperty
from atomprint.learn import Problem
from atomprint.workflow import TrainedModel

NAMES = ["atomprint", *(module.name for module in pkgutil.walk_packages(atomprint.__path__, "atomprint."))]
EXAMPLES = {
    test.name: test
    for name in NAMES
    if name.rpartition(".")[2] not in ("__main__", "_core")
    for test in doctest.DocTestFinder(exclude_empty=True).find(import_module(name))
    if test.examples
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    rows = [("cif", "band_gap")]
    for symbols, a, gap in (("NaCl", 5.64, 5.0), ("KCl", 6.29, 5.1), ("MgO", 4.21, 4.5), ("LiF", 4.03, 8.7)):
        write(folder / "new.cif", bulk(symbols, "rocksalt", a))
        rows.append(((folder / "new.cif").read_text(), gap))
    with (folder / "mine.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    problem = Problem.of(read_dataset(folder / "mine.csv", targets={"gap": "band_gap"}, units={"gap": "eV"}), "gap")
    pipeline = make_pipeline(ElementProperty(["mass"]), Ridge()).fit(problem.dataset.structures, problem.y)
    TrainedModel.of(pipeline, problem).save(folder / "gaps.atomprint")
    return folder


def test_there_are_examples():
    assert sum(len(test.examples) for test in EXAMPLES.values()) >= 80


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    out = []
    doctest.DocTestRunner(optionflags=options).run(EXAMPLES[name], out=out.append)
    assert not out, "".join(out)
