"""Pages for those who come from other packages: what they say of numbers is true where these are installed.

``ATOMPRINT_PEERS_PYTHON`` names the Python of an environment with one or more of them. Blocks ``py`` are the other
package's and are run there; blocks ``python3`` are its, too, but need a network or what cannot be had.
"""

import os
import re
import subprocess

import numpy as np
import pytest
from ase import Atoms
from ase.units import Bohr
from helpers.pages import ROOT, blocks

from atomprint.descriptors import CoulombMatrix

PEERS = os.environ.get("ATOMPRINT_PEERS_PYTHON")


def page(name):
    return (ROOT / "docs" / f"coming-from-{name}.md").read_text(encoding="utf-8")


def theirs(name, module, tmp_path, *, more="", **wanted):
    """Run what is the other package's on a page, and return arrays: names and the expressions that give them."""
    if not PEERS or subprocess.run([PEERS, "-c", f"import {module}"], capture_output=True).returncode:
        pytest.skip(f"needs ATOMPRINT_PEERS_PYTHON, an environment with {module}")
    code = [text for language, text in blocks(page(name)) if language == "py"]
    saved = ", ".join(f"{key}={expression}" for key, expression in wanted.items())
    script = "\n".join([*code, more, "import numpy", f"numpy.savez('found.npz', {saved})"])
    subprocess.run([PEERS, "-W", "ignore", "-c", script], cwd=tmp_path, check=True, capture_output=True, timeout=300)
    with np.load(tmp_path / "found.npz") as found:
        return dict(found)


def ours(name):
    names = {}
    for language, text in blocks(page(name)):
        if language == "python":
            exec(compile(text, name, "exec"), names)
    return names


def test_matminer(tmp_path):
    found = theirs(
        "matminer",
        "matminer",
        tmp_path,
        electronegativity="electronegativity",
        matrix="matrix",
        eigenvalues="eigenvalues",
        rest="[float(density), volume, mean, least]",
    )
    own = ours("matminer")
    electronegativity = own["electronegativity"].to_numpy()
    np.testing.assert_allclose(electronegativity[:2], found["electronegativity"][:2], rtol=1e-6)
    assert found["electronegativity"][2, 1] == 2.33  # of lead
    assert electronegativity[2, 0] == 1.8
    np.testing.assert_allclose(own["in_bohr"], found["matrix"], rtol=1e-4)
    np.testing.assert_allclose(own["as_there"], np.sort(found["eigenvalues"]), rtol=1e-4)
    coordination = own["of_sites"].create(own["salt"])
    names = own["names"]
    where = [names.index(f"{kind} CoordinationNumbers solid angle") for kind in ("mean", "min")]
    np.testing.assert_allclose([own["density"], own["volume"], *coordination[where]], found["rest"], rtol=1e-3)


def test_deepchem(tmp_path):
    found = theirs(
        "deepchem",
        "deepchem",
        tmp_path,
        matrix="matrix[0] if matrix.ndim == 3 else matrix",
        eigenvalues="eigenvalues.ravel()",
        positions="water.GetConformer().GetPositions()",
    )
    water = Atoms("OH2", found["positions"])
    matrix = CoulombMatrix(n_atoms_max=3, permutation="none").create(water).reshape(3, 3)
    in_bohr = matrix * np.where(np.eye(3), 1, Bohr)
    np.testing.assert_allclose(in_bohr, found["matrix"], rtol=1e-6)
    np.testing.assert_allclose(np.linalg.eigvalsh(in_bohr)[::-1], found["eigenvalues"], rtol=1e-4)


def test_quippy(tmp_path):
    found = theirs("quippy", "quippy", tmp_path, X="X", kernel="kernel")
    kernel = ours("quippy")["kernel"]
    assert found["X"].shape[1] == 253  # and the constant
    np.testing.assert_allclose(np.linalg.norm(found["X"], axis=1), 1, rtol=1e-6)
    different = ~np.eye(len(kernel), dtype=bool)
    assert np.corrcoef(kernel[different], found["kernel"][different])[0, 1] > 0.9
    assert not np.allclose(kernel, found["kernel"], atol=1e-4)


def test_dscribe(tmp_path):
    code = """
import numpy
from ase.build import molecule
from dscribe.descriptors import ACSF, SOAP, CoulombMatrix
water, co2 = molecule("H2O"), molecule("CO2")
try:
    CoulombMatrix(n_atoms_max=3).derivatives(water, include=[])
    refused = False
except ValueError:
    refused = True
sparse = type(SOAP(species=["H", "O"], r_cut=3.0, n_max=2, l_max=1, sparse=True).create(water)).__module__
g4 = [ACSF(species=["C", "O"], r_cut=6.0, g4_params=[[0.1, zeta, 3]]).create(co2) for zeta in (1, 1.5)]
random = CoulombMatrix(n_atoms_max=8, permutation="random", sigma=30.0, seed=4)
calls = [random.create(molecule("C2H6")) for _ in range(4)]
"""
    found = theirs(
        "dscribe",
        "dscribe",
        tmp_path,
        more=code,
        refused="refused",
        sparse="sparse",
        g4="g4",
        calls="calls",
    )
    assert found["refused"]
    assert str(found["sparse"]).startswith("sparse.")
    assert found["g4"][0].min() < 0
    assert np.isnan(found["g4"][1]).any()
    assert any(not np.array_equal(call, found["calls"][0]) for call in found["calls"])


@pytest.mark.parametrize("name", ["dscribe", "matminer", "deepchem", "quippy", "modnet"])
def test_pages_show_both_sides(name):
    text = page(name)
    assert "{code-cell}" in text
    assert name == "dscribe" or re.search(r"^```(py|python3)$", text, re.M)
    assert name == "dscribe" or re.search(r"^## What \w+ has and we do not$", text, re.M)
