"""Steinhardt's order parameters against published values, SciPy's harmonics and freud."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from helpers.invariance import changed
from helpers.minerals import minerals
from scipy.special import sph_harm_y

from atomprint.descriptors import SteinhardtParameters
from atomprint.descriptors.structural.harmonics import harmonics_and_gradients, real_harmonics
from atomprint.structures import StructureError
from atomprint.testing import check_derivatives

STORED = Path(__file__).resolve().parents[2] / "golden" / "steinhardt.npz"
MINERALS = minerals()
IDEAL = np.sqrt(8 / 3)


def icosahedron():
    golden = (1 + np.sqrt(5)) / 2
    corners = [np.roll((0, a, b * golden), k) for k in range(3) for a in (-1, 1) for b in (-1, 1)]
    return Atoms("Cu13", np.array([(0.0, 0.0, 0.0), *corners]) * 2.5 / np.sqrt(1 + golden**2))


# W. Mickel et al., J. Chem. Phys. 138, 044501 (2013), table I, and Steinhardt, Nelson and Ronchetti (1983).
@pytest.mark.parametrize(
    ("atoms", "n", "expected"),
    [
        (bulk("Cu", "fcc", 3.6), 12, (0.19094, 0.57452, -0.15932, -0.01316)),
        (bulk("Mg", "hcp", 3.2, 3.2 * IDEAL), 12, (0.09722, 0.48476, 0.13410, -0.01244)),
        (bulk("Fe", "bcc", 2.87), 8, (0.50918, 0.62854, -0.15932, 0.01316)),
        (bulk("Fe", "bcc", 2.87), 14, (0.03637, 0.51069, 0.15932, 0.01316)),
        (bulk("Po", "sc", 3.3), 6, (0.76376, 0.35355, 0.15932, 0.01316)),
        (icosahedron(), 12, (0.0, 0.66332, 0.0, -0.16975)),
    ],
)
def test_published_values(atoms, n, expected):
    steinhardt = SteinhardtParameters(r_cut=5.0, n_nearest=n)
    np.testing.assert_allclose(steinhardt.create(atoms, centers=[0])[0], expected, atol=6e-6)


@pytest.mark.parametrize("name", ["fcc", "bcc", "salt"])
@pytest.mark.parametrize("averaged", [False, True])
def test_values_of_freud(name, averaged):
    nearest = {"fcc": {"r_cut": 3.1}, "bcc": {"r_cut": 5.0, "n_nearest": 8}, "salt": {"r_cut": 3.5}}[name]
    with np.load(STORED) as stored:
        stored_values = {key.removeprefix(f"{name} "): stored[key] for key in stored.files if key.startswith(name)}
    atoms = Atoms(stored_values["numbers"], stored_values["positions"], cell=stored_values["cell"], pbc=True)
    steinhardt = SteinhardtParameters((2, 3, 4, 6, 8), (2, 4, 6), averaged=averaged, **nearest)
    expected = np.column_stack([stored_values[f"q {averaged}"], stored_values[f"w {averaged}"]])
    found = steinhardt.create(atoms)
    # It computes in single precision, which is not enough for the quotient where q is small.
    small = np.column_stack([found[:, :5] < 0, found[:, [0, 2, 3]] < 0.05])
    np.testing.assert_allclose(np.where(small, expected, found), expected, atol=1e-4)
    assert small.mean() < 0.2


@pytest.mark.parametrize("degree", range(9))
def test_harmonics_are_those_of_scipy(degree):
    vectors = np.random.default_rng(degree).normal(size=(50, 3))
    vectors[0] = (0, 0, 2)
    lengths = np.linalg.norm(vectors, axis=1)
    theta, phi = np.arccos(vectors[:, 2] / lengths), np.arctan2(vectors[:, 1], vectors[:, 0])
    found, gradients = harmonics_and_gradients(vectors / lengths[:, None], degree)
    np.testing.assert_array_equal(real_harmonics(vectors / lengths[:, None], degree), found)
    for m in range(degree + 1):
        of_scipy = (-1) ** m * sph_harm_y(degree, m, theta, phi) * (np.sqrt(2) if m else 1)
        np.testing.assert_allclose(found[:, degree + m], of_scipy.real, atol=1e-13)
        if m:
            np.testing.assert_allclose(found[:, degree - m], of_scipy.imag, atol=1e-13)
    h = 1e-5
    for axis in range(3):
        sides = []
        for sign in (1, -1):
            moved = vectors + sign * h * np.eye(3)[axis]
            sides.append(real_harmonics(moved / np.linalg.norm(moved, axis=1)[:, None], degree))
        slope = (sides[0] - sides[1]) / (2 * h)
        np.testing.assert_allclose(gradients[:, axis] / lengths[:, None], slope, atol=1e-6)


OPTIONS = {
    "smooth": {"r_cut": 3.4, "cutoff_width": 1.0},
    "hard": {"r_cut": 3.2},
    "nearest": {"r_cut": 6.0, "n_nearest": 7},
}


@pytest.mark.parametrize("averaged", [False, True])
@pytest.mark.parametrize("option", OPTIONS)
def test_derivatives(option, averaged):
    steinhardt = SteinhardtParameters((2, 3, 6), (2, 4), averaged=averaged, **OPTIONS[option])
    report = check_derivatives(steinhardt, MINERALS["shaken salt"], attach=(True, False))
    assert not report.constant
    points = [np.array([[1.0, 0.7, 0.2], [2.2, 2.0, 1.9]])]
    check_derivatives(steinhardt, [MINERALS["shaken salt"]], centers=points, attach=False)


def test_a_smooth_cutoff_is_continuous():
    atoms = Atoms("Cu3", [[0, 0, 0], [2.0, 0, 0], [0, 3.0, 0]])
    steinhardt = SteinhardtParameters((4,), None, r_cut=3.0, cutoff_width=0.5)
    values = []
    for shift in (-1e-6, 1e-6):
        atoms.positions[2, 1] = 3.0 + shift
        values.append(steinhardt.create(atoms, centers=[0])[0, 0])
    assert values == pytest.approx([1.0, 1.0], abs=1e-9)  # of a single bond


@pytest.mark.parametrize("averaged", [False, True])
def test_neither_cell_nor_direction_matters(averaged):
    structures = [MINERALS[name] for name in ("iron", "quartz", "shaken salt")]
    steinhardt = SteinhardtParameters(r_cut=3.3, averaged=averaged, pooling=("mean", "std", "max"))
    expected = steinhardt.create(structures)
    for name, other in changed(structures):
        np.testing.assert_allclose(steinhardt.create(other), expected, atol=1e-7, err_msg=name)


def test_equally_distant_neighbours_share_what_is_left():
    crystal = bulk("Fe", "bcc", 2.87)
    twelve = SteinhardtParameters(r_cut=5.0, n_nearest=12)
    expected = twelve.create(crystal)
    for _, (other,) in changed([crystal]):
        np.testing.assert_allclose(twelve.create(other), np.tile(expected, (len(other), 1)), atol=1e-9)


def test_an_atom_alone_has_zeros_and_too_few_neighbours_are_refused():
    alone = Atoms("H", [[0, 0, 0]])
    assert not SteinhardtParameters(r_cut=3.0, averaged=True).create(alone).any()
    rule = "structure 1, atom 0: must have n_nearest = 2 neighbours within r_cut = 1.3, got 1"
    with pytest.raises(StructureError, match=rule):
        SteinhardtParameters(r_cut=1.3, n_nearest=2).create([bulk("Cu", a=1.7), molecule("H2")])


def test_large_structures_are_taken_in_parts_of_the_same_values(monkeypatch):
    atoms = bulk("Cu", cubic=True) * (3, 3, 3)
    atoms.rattle(0.1, seed=0)
    for averaged in (False, True):
        steinhardt = SteinhardtParameters(r_cut=3.3, averaged=averaged)
        expected = steinhardt.create([atoms, bulk("Cu")])
        monkeypatch.setattr("atomprint.descriptors.structural.steinhardt._PART_BYTES", 2**18)
        for found, wanted in zip(steinhardt.create([atoms, bulk("Cu")], n_jobs=2), expected, strict=True):
            np.testing.assert_allclose(found, wanted, atol=1e-13)
        monkeypatch.undo()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"q": None, "w": None}, "q must be given where w is None"),
        ({"w": (3,)}, "w must have even degrees, as others are zero, got 3"),
        ({"q": (4, 4)}, "q must be different from each other"),
        ({"q": (21,)}, r"q\[0\] must be <= 20, got 21"),
        ({"cutoff_width": 5.0}, "cutoff_width must be <= r_cut = 3.5, got 5"),
        ({"n_nearest": 4, "cutoff_width": 1.0}, "cutoff_width must be None with n_nearest, got 1"),
    ],
)
def test_refused(given, message):
    with pytest.raises((ValueError, TypeError), match=message):
        SteinhardtParameters(**given)
