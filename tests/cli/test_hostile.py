"""Names that would be markup, commands to a terminal, formulas of a spreadsheet or a script, in all that is shown."""

import csv
import os
import re

import numpy as np
import pytest
from typer.testing import CliRunner

from atomprint.cli.app import app
from atomprint.cli.console import console

IDS = (
    "[red]x[/red]",
    "[/]",
    "[bold",
    "=cmd|' /C calc'!A0",
    "-1+1",
    "@SUM(A1)",
    "\x1b[31mred\x1b[0m",
    "<script>alert(1)</script>",
    "$\\frac{1}$",
    ":smile:",
    "a\nb",
    "\u202egnp.exe",
    "x" * 3000,
    "'; DROP TABLE x",
    "[link=http://example.com]x[/link]",
)
TARGET = "[/y] =<b>$x$"


def run(*arguments, code=0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output + repr(result.exception)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", result.output)
    return result.output


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(console, "width", 400)
    rng = np.random.default_rng(0)
    elements = ("Li", "Na", "K", "Rb", "Cs", "Be", "Mg", "Ca")
    rows = [
        (name, f"{elements[i % 8]}{1 + i // 8 + i % 3}O{1 + i % 4}", rng.normal() + i % 8)
        for i, name in enumerate(IDS * 3)
    ]
    path = tmp_path / "[red]data[bold].csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "formula", TARGET])
        writer.writerows((f"{name}{'' if i < len(IDS) else i}", *rest) for i, (name, *rest) in enumerate(rows))
    return path


def cells(path):
    with path.open(newline="", encoding="utf-8") as file:
        return [value for row in csv.reader(file) for value in row]


def test_names_are_text_wherever_they_come_out(data, tmp_path):
    run("init", data, "--target", TARGET, "-o", "recipe.toml")
    few = ["models={ridge={}}", "features={elements={type='ElementProperty', properties=['mass']}}", "n_jobs=1"]
    options = [word for entry in (*few, "evaluation.n_repeats=1") for word in ("-s", entry)]
    out = tmp_path / "[bold]out"
    shown = run("train", "recipe.toml", "-o", out, *options)
    assert "[/y] =<b>$x$" in shown
    assert "[bold]out" in shown.replace("\n", "")
    html = (out / "report.html").read_text(encoding="utf-8")
    assert "<script>" not in html
    assert "[/y] =&lt;b&gt;$x$" in html
    shown = run("predict", data, "-m", out, "-o", "[i]predictions.csv")
    assert "[red]x[/red]" in shown.replace("\n", "")
    assert r"\x1b[31mred" in shown
    run("evaluate", data, "-m", out)
    assert "[bold]out" in run("info", out).replace("\n", "")
    run("info", out, "--json")
    assert "[/y]" in run("report", out)
    run("data", "show", data)
    for path in (out / "predictions.csv", tmp_path / "[i]predictions.csv"):
        found = cells(path)
        assert "'=cmd|' /C calc'!A0" in found
        assert not [
            value for value in found if value[:1] in tuple("=@\t\r") or re.match(r"[+-](?![\d.]+(e[+-]?\d+)?$)", value)
        ]
    for arguments in (
        ["predict", "[/no].cif", "-m", out],
        ["train", "[/no].toml"],
        ["evaluate", "\x1b[2J.csv", "-m", out],
    ):
        assert run(*arguments, code=1).startswith("atomprint: ")


@pytest.mark.skipif(os.name == "nt", reason="names there are text")
def test_names_that_are_no_text(data, tmp_path):
    from ase.build import bulk
    from ase.io import write

    folder = tmp_path / "cifs"
    folder.mkdir()
    for i, metal in enumerate(("Cu", "Ag", "Au", "Al")):
        write(folder / "one.cif", bulk(metal, "fcc", a=4.0))
        (folder / "one.cif").rename(os.fsdecode(os.fsencode(folder) + b"/caf\xe9%d.cif" % i))
    few = ["-s", "r_cut=3.0", "-s", "n_max=2", "-s", "l_max=1", "-s", "average='inner'"]
    run("featurize", folder, "-d", "SOAP", *few, "-o", "table.csv")
    assert len(cells(tmp_path / "table.csv")) > 4


def test_faults_of_our_own_are_one_line(tmp_path, monkeypatch):
    def fault(*_args, **_options):
        raise KeyError("\x1b[31mx")

    monkeypatch.setattr("atomprint.workflow.saved.load.load_model", fault)
    (tmp_path / "m.atomprint").write_text("x")
    said = run("info", tmp_path / "m.atomprint", code=70)
    assert said.startswith("atomprint: a fault of atomprint itself, please report it: KeyError: ")
    assert said.count("\n") == 1
    monkeypatch.setenv("ATOMPRINT_TRACEBACK", "1")
    assert isinstance(CliRunner().invoke(app, ["info", str(tmp_path / "m.atomprint")]).exception, KeyError)
