"""The pages on descriptors and models of one's own: their code runs, exactly as it is printed."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from typer.testing import CliRunner

from atomprint.cli.app import app
from atomprint.testing import check_derivatives, instruction_sets

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture
def run_page(tmp_path, monkeypatch):
    """Return a function that carries out a page: it writes the files, runs the code and the commands, in order."""
    pytest.importorskip("matplotlib")  # for the reports of its runs
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)

    def run(name):
        names, output = {}, []
        for language, text in re.findall(r"```(\w+)\n(.*?)```", (DOCS / name).read_text(encoding="utf-8"), re.S):
            first, _, rest = text.partition("\n")
            if first.startswith("# "):
                (tmp_path / first.removeprefix("# ")).write_text(rest, encoding="utf-8")
            elif language == "python":
                exec(compile(text, name, "exec"), names)
            else:
                output += [_command(line, monkeypatch) for line in text.splitlines()]
        return names, output

    monkeypatch.syspath_prepend(tmp_path)
    yield run
    for module in set(sys.modules) - before:
        if getattr(sys.modules[module], "__file__", None) and str(tmp_path) in sys.modules[module].__file__:
            del sys.modules[module]


def _command(line, monkeypatch):
    if line.startswith("export "):
        assert line == "export PYTHONPATH=."
        return ""
    program, *arguments = shlex.split(line)
    assert program == "atomprint"
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output + str(result.exception)
    return result.output


def test_a_descriptor_of_ones_own(run_page, tmp_path, capsys):
    names, (_, _, predicted, told) = run_page("own-descriptor.md")
    assert len((tmp_path / "bond_counts.py").read_text().splitlines()) < 120
    X, dX, molecule = names["X"], names["dX"], names["ethanol"]
    assert X.shape == (9, 18)
    assert dX.shape == (9, 9, 3, 18)
    np.testing.assert_array_equal(names["oxygen"][0], X[2])
    counts = names["counts"]
    strained = [molecule.copy() for _ in range(2)]
    for sign, atoms in zip((1, -1), strained, strict=True):
        atoms.positions[:, 0] *= 1 + sign * 1e-5
    low, high = (counts.create(atoms).sum() for atoms in reversed(strained))
    assert names["gradient"][0, 0] == pytest.approx((high - low) / 2e-5, rel=1e-6)
    # Every neighbour once: with the last three members of the basis, which are left out, it counts 1 in all.
    distances = molecule.get_distances(0, range(9))
    shares = 1 - sum(_binomial(k, 8, (distances / 3) ** 2) for k in (6, 7, 8))
    assert X[0].sum() == pytest.approx(shares[distances < 3].sum())
    salt = bulk("NaCl", "rocksalt", 5.6)  # a cell smaller than the cutoff
    salt.rattle(0.05, seed=1)
    periodic = type(counts)(species=["Na", "Cl"], r_cut=4.3, periodic=True, pooling="mean")
    check_derivatives(periodic, salt)
    check_derivatives(periodic, salt, centers=[[0.3, 0.2, 9.0], [1.0, -4.0, 2.0]])
    out = capsys.readouterr().out
    assert "derivatives agree" in out
    assert "(2, 36) mean BondCounts H k=0" in out
    assert "'radial shells': ['0–1 Å', '1–2 Å', '2–3 Å']" in out
    study = json.loads((tmp_path / "run" / "results.json").read_text())["studies"][0]
    ways = study["trials"][0]["importance"]["groups"]
    assert {"elements", "radial shells"} <= set(ways)
    assert "bond_counts.BondCounts" not in predicted
    assert "BondCounts" in told
    value = names["model"].predict("new.xyz").values[0]
    assert f"{value:.4g}" in predicted
    refused = CliRunner().invoke(app, ["predict", "new.xyz", "--model", "run"])
    assert refused.exit_code == 1
    assert "bond_counts.BondCounts" in refused.output


def _binomial(k, m, u):
    from scipy.special import comb

    return comb(m, k) * u**k * (1 - u) ** (m - k)


def test_a_model_of_ones_own(run_page, tmp_path):
    names, (_, _, predicted) = run_page("own-model.md")
    for value in names["model"].predict(["C2H6O", "CH4"]).values:
        assert f"{value:.4g}" in predicted
    study = json.loads((tmp_path / "run" / "results.json").read_text())["studies"][0]
    assert "element properties" in study["trials"][0]["importance"]["groups"]
    assert "Smoother" in (tmp_path / "run" / "model-card.md").read_text()


# Built in place of kernels.cpp: the kernels that all descriptors share are compiled for the first instruction set,
# and stand in for those of the others, which other tests try.
_SHARED_KERNELS = """\
#ifndef __AVX2__
#include "kernels/shared.cpp"
#else
#include "kernels/kernels.hpp"
#define NAME(isa) #isa
#define NAME_OF(isa) NAME(isa)
namespace atomprint::v2 {
extern const Kernels kernels;
}
namespace atomprint::ATOMPRINT_ISA {
extern const Kernels kernels;
const Kernels kernels = [] {
    Kernels shared = v2::kernels;
    shared.instruction_set = NAME_OF(ATOMPRINT_ISA);
    return shared;
}();
}
#endif
"""
# What the descriptors that are left out read of the core when they are imported.
_WITHOUT_OTHERS = """\
from unittest.mock import MagicMock
from atomprint import _core
_core.__getattr__ = lambda name: MagicMock()
"""


def _reduced(cmake):
    """Return a CMakeLists that builds the last of the local descriptors and what it rests on, and nothing else, sooner.

    That part is found by folder and name, and nothing in the text that the page says to change is touched but the names
    of the other descriptors.
    """
    cmake, changes = re.subn(r"foreach\(name [\w ]+\)", "foreach(name shells)", cmake)
    assert changes == 1
    kept = {"core", "bind/module", "bind/sparse", "bind/structures"}
    cmake = re.sub(r"^  cpp/((\w+)/\w+)\.cpp\n", lambda m: m[0] if {m[1], m[2]} & kept else "", cmake, flags=re.M)
    cmake = re.sub(r"set_source_files_properties\(cpp/learn/.*?\)\n", "", cmake, flags=re.S)
    bound = "cpp/bind/module.cpp cpp/bind/shells.cpp cpp/bind/sparse.cpp cpp/bind/structures.cpp"
    return f"""{cmake.replace(" cpp/kernels/gap.cpp", "").replace("-O3", "-O0")}
set_target_properties(nanobind-static _core PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 0)
set_source_files_properties({bound} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
"""


@pytest.mark.slow
def test_a_descriptor_of_ones_own_in_cpp(tmp_path):
    pytest.importorskip("nanobind")
    if shutil.which("cmake") is None or shutil.which("ninja") is None:
        pytest.skip("needs cmake and ninja")
    root, page = DOCS.parent, (DOCS / "own-cpp-descriptor.md").read_text(encoding="utf-8")
    for folder in ("cpp", "src"):
        shutil.copytree(root / folder, tmp_path / folder, ignore=shutil.ignore_patterns("_core*.so", "__pycache__"))
    files = re.findall(r"^`([\w/.]+)`\n```\w+\n(.*?)```", page, re.S | re.M)
    assert len(files) == 5
    for name, text in files:
        assert not (tmp_path / name).exists()
        (tmp_path / name).write_text(text, encoding="utf-8")
    kernels = tmp_path / "cpp" / "kernels"
    (kernels / "kernels.cpp").rename(kernels / "shared.cpp")
    (kernels / "kernels.cpp").write_text(_SHARED_KERNELS, encoding="utf-8")
    cmake = (root / "CMakeLists.txt").read_text(encoding="utf-8")
    (line,) = re.findall(r"foreach\(name [\w ]+\)", page)
    (before,) = re.findall(r"foreach\(name [\w ]+\)", cmake)
    assert set(line.split()) - set(before.split()) == {"shells"}
    (tmp_path / "CMakeLists.txt").write_text(_reduced(cmake), encoding="utf-8")
    options = [f"-DPython_EXECUTABLE={sys.executable}", "-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_CXX_FLAGS_DEBUG="]
    for command in (
        ["cmake", "-S", tmp_path, "-B", tmp_path / "build", "-G", "Ninja", *options],
        ["cmake", "--build", tmp_path / "build"],
        ["cmake", "--install", tmp_path / "build", "--prefix", tmp_path / "src"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "warning:" not in done.stdout
    (check,) = re.findall(r"## Check it\n+```python\n(.*?)```", page, re.S)
    paths = {**os.environ, "PYTHONPATH": str(tmp_path / "src")}
    command = [sys.executable, "-c", _WITHOUT_OTHERS + check]
    done = subprocess.run(command, capture_output=True, text=True, env=paths, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("derivatives agree") == 2 * len(instruction_sets())


def test_atoms_that_move(run_page):
    names, _ = run_page("moving-atoms.md")
    ethanol, soap = names["ethanol"], names["soap"]
    assert np.array_equal(names["features"], soap.create(Atoms(ethanol.numbers, names["positions"])))
    kinetic = ethanol.get_kinetic_energy()
    assert kinetic > 1e-3 * names["before"]
    np.testing.assert_allclose(names["after"], names["before"], atol=0.02 * kinetic)


def test_stores(run_page):
    pytest.importorskip("pyarrow")
    names, _ = run_page("store.md")
    assert len(names["store"]) == 6


def test_many_structures(run_page, tmp_path):
    names, _ = run_page("many-structures.md")
    soap, crystal = names["soap"], names["crystal"]
    wanted = soap.create(list(names["crystals"]())).sum(axis=0)
    np.testing.assert_allclose(names["total"], wanted, rtol=1e-12)
    table = [bulk("NaCl", "rocksalt", 5.5 + 0.1 * k) for k in range(6)]
    assert np.array_equal(np.load(tmp_path / "table.npy"), soap.create(table).astype(np.float32))
    assert names["gradients"].positions.shape == (3, 2, 3)
    value = np.tanh(soap.create(crystal) @ names["weights"][0])
    np.testing.assert_allclose(names["energy"], value, rtol=1e-12)
    slope = (1 - value**2) * names["gradients"].strain[0]
    np.testing.assert_allclose(names["gradient"].strain[1], slope, atol=1e-9 * np.abs(slope).max())
    linear = names["same_for_a_linear_model"].strain[0]
    np.testing.assert_allclose(linear, names["gradients"].strain[0], atol=1e-9 * np.abs(linear).max())
