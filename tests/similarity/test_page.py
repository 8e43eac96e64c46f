"""The code of the page on similarity runs, and gives what the page says."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write
from typer.testing import CliRunner

from atomprint.cli.app import app

PAGE = Path(__file__).parents[2] / "docs" / "similarity.md"


def test_the_page(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    rutile = Atoms("Ti2O4", cell=[4.59, 4.59, 2.96], pbc=True)
    places = [
        (0, 0, 0),
        (0.5, 0.5, 0.5),
        (0.305, 0.305, 0),
        (0.695, 0.695, 0),
        (0.195, 0.805, 0.5),
        (0.805, 0.195, 0.5),
    ]
    rutile.set_scaled_positions(places)
    write("rutile.cif", rutile)
    write("new.cif", bulk("KBr", "rocksalt", 6.6))
    salts = [bulk(name, "rocksalt", a) for name in ("NaCl", "KCl", "KBr", "NaF") for a in (5.2, 5.6, 6.4)]
    for number, atoms in enumerate(salts):
        atoms.info["gap"] = float(number)
    write("salts.extxyz", salts)

    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert [group.rows.tolist() for group in names["found"].groups] == [[0, 2]]
    assert names["found"].unique.tolist() == [0, 1, 3]
    assert {formula: rows.tolist() for formula, rows in names["found"].polymorphs.items()} == {"ZnS": [1, 3]}
    distance = names["distance"]
    assert distance(names["rutile"], names["rattled"]) == pytest.approx(0.02, abs=0.006)
    zinc = distance(bulk("ZnS", "zincblende", 5.41), bulk("ZnS", "wurtzite", 3.82))
    assert zinc == pytest.approx(1.14, abs=0.006)
    assert distance(names["rutile"], names["larger"]) == pytest.approx(0.27, abs=0.006)
    assert distance(names["rutile"], names["larger"], scale=True) < 1e-6
    hits = names["hits"]
    assert hits.exact
    assert hits.table(["formula"]).column("formula")[0].as_py() == "NaCl"
    assert np.all(np.diff(hits.distances) >= 0)
    assert Path("map.png").stat().st_size > 5000

    # The commands on the store, but for the one that needs extras.
    lines = [
        line
        for text in re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[1:]
        for line in text.splitlines()
    ]
    for line in lines:
        program, *arguments = shlex.split(line, comments=True)
        assert program == "atomprint"
        if "umap" not in arguments:
            result = CliRunner().invoke(app, arguments)
            assert result.exit_code == 0, result.output
