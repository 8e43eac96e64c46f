"""Symmetry functions: agreement with the formulas, invariances, and the rules for centres and parameters."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule, stack
from golden import naive
from sklearn.exceptions import NotFittedError

from atomprint.descriptors import ACSF
from atomprint.testing import check_derivatives

FUNCTIONS = {
    "r_cut": 3.9,
    "g2_params": [[1.0, 0.0], [0.3, 2.0]],
    "g3_params": [1.3, -8.0],
    "g4_params": [[0.01, 1, 1], [0.1, 4, -1], [0.0, 2, 0.4], [0.1, 2.5, 1]],
    "g5_params": [[0.01, 1, 1], [0.05, 33, -1], [0.0, 1, 0], [0.01, 1.1, -0.7]],
}
ORGANIC = ["H", "C", "N", "O"]


def rattled(atoms, seed=0):
    atoms = atoms.copy()
    atoms.positions += np.random.default_rng(seed).normal(0, 0.1, atoms.positions.shape)
    return atoms


def many_atoms(n=60):
    """Enough neighbours of each species to fill several vectors."""
    rng = np.random.default_rng(4)
    grid = np.stack(np.meshgrid(*[np.arange(4) * 1.5] * 3), axis=-1).reshape(-1, 3)[:n]
    return Atoms(rng.choice(ORGANIC, n), positions=grid + rng.normal(0, 0.15, grid.shape))


def formula(atoms, species, centers=None, periodic=False, **functions):
    points = atoms.positions if centers is None else np.asarray(centers, dtype=float)
    numbers = sorted(Atoms(species).numbers)
    pbc = atoms.pbc if periodic else [False] * 3
    return naive.acsf(atoms.numbers, atoms.positions, atoms.cell.array, pbc, points, species=numbers, **functions)


@pytest.mark.usefixtures("each_instruction_set")
@pytest.mark.parametrize("atoms", [molecule("CH3CONH2"), molecule("CO2"), many_atoms()], ids=["amide", "CO2", "many"])
def test_formula(atoms):
    wanted = formula(atoms, ORGANIC, **FUNCTIONS)
    for dtype, tolerance in (("float64", 1e-12), ("float32", 2e-6)):
        found = ACSF(species=ORGANIC, dtype=dtype, **FUNCTIONS).create(atoms)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())


def test_formula_in_crystals(crystals):
    for atoms in crystals:
        wanted = formula(atoms, ["Na", "Cl"], periodic=True, **FUNCTIONS)
        found = ACSF(species=["Cl", "Na"], periodic=True, **FUNCTIONS).create(atoms)
        np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-13)


def test_small_values_are_exact():
    """1 + lambda cos(theta) and the cutoff function keep their digits near zero, and atoms in line are no trouble."""
    a = 1e-4
    bent = Atoms("OHH", positions=[[0, 0, 0], [1, 0, 0], [-np.cos(a), np.sin(a), 0]])
    acsf = ACSF(r_cut=4.0, species=["H", "O"], g5_params=[[0, 3, 1], [0, 1.5, 1]])
    fade = 0.5 * (1 + np.cos(np.pi / 4))
    expected = [2.0 ** (1 - zeta) * (2 * np.sin(a / 2) ** 2) ** zeta * fade**2 for zeta in (3, 1.5)]
    np.testing.assert_allclose(acsf.create(bent, centers=[0])[0, acsf.get_location(("H", "H"))], expected, rtol=1e-8)
    far = Atoms("OH", positions=[[0, 0, 0], [4.0 - 1e-5, 0, 0]])
    expected = np.sin(np.pi / 8 * 1e-5) ** 2
    assert acsf.create(far, centers=[0])[0, 0] == pytest.approx(expected, rel=1e-9)


def test_extreme_parameters_give_finite_numbers():
    functions = {
        "r_cut": 5.0,
        "g2_params": [[1e6, 1e6], [1e6, 0]],
        "g3_params": [1e6, -1e6],
        "g4_params": [[1e6, 1e6, 1], [0, 1e6, -1], [0, 12345.5, 1]],
        "g5_params": [[1e6, 1, 1]],
    }
    for dtype in ("float64", "float32"):
        acsf, atoms = ACSF(species=ORGANIC, dtype=dtype, **functions), molecule("CH3CONH2")
        X = acsf.create(atoms)
        gradient, jacobian = acsf.vjp(atoms, np.ones_like(X)), acsf.jacobian(atoms)
        for array in (X, *gradient[:2], *(block.values for block in jacobian.blocks)):
            assert np.isfinite(array).all()
        np.testing.assert_allclose(X, formula(atoms, ORGANIC, **functions), atol=1e-8 if dtype == "float64" else 1e-2)


# Where the incumbent is wrong -----------------------------------------------------------------------------------------


def test_atoms_outside_the_cell(crystals):
    acsf = ACSF(species=["Na", "Cl"], periodic=True, **FUNCTIONS)
    for atoms in crystals:
        moved = atoms.copy()
        moved.positions += np.array([[3, -2, 5], [-4, 1, 0]]) @ atoms.cell.array
        np.testing.assert_allclose(acsf.create(moved), acsf.create(atoms), rtol=1e-10, atol=1e-13)
        point = atoms.positions[:1] + 0.3
        np.testing.assert_allclose(
            acsf.create(atoms, centers=point + [7, -3, 2] @ atoms.cell.array),
            acsf.create(atoms, centers=point),
            rtol=1e-10,
            atol=1e-13,
        )


def test_pairs_at_the_cutoff():
    """Two, or all three, atoms exactly at the cutoff, wherever they are in space."""
    for shift in (0.0, 0.1, 1 / 3, 1e3 + 0.7):
        pair = Atoms("H2", positions=[[shift, 0, 0], [shift + 3.0, 0, 0]])
        assert not ACSF(r_cut=3.0, species=["H"], g2_params=[[1, 3]], g5_params=[[0, 1, 1]]).create(pair).any()
        right = Atoms("H3", positions=np.array([[0, 0, 0], [1.5, 0, 0], [0, 1.5, 0]]) + shift)
        G4, G5 = ACSF(r_cut=1.5 * np.sqrt(2), species=["H"], g4_params=[[0, 1, 1]], g5_params=[[0, 1, 1]]).create(
            right, centers=[0]
        )[0, 1:]
        assert G5 > 0.01
        assert abs(G4) < 1e-12


def test_coincident_atoms_are_an_error():
    acsf = ACSF(species=["H"], **FUNCTIONS)
    with pytest.raises(ValueError, match=r"structure 0, atoms 1 and 2: .*coincide"):
        acsf.create(Atoms("H3", positions=[[0, 0, 0], [1, 0, 0], [1, 0, 0]]))


def test_an_atom_on_a_point_is_the_centre():
    atoms = molecule("CH3CONH2")
    acsf = ACSF(species=ORGANIC, **FUNCTIONS)
    wanted = acsf.create(atoms)
    np.testing.assert_allclose(acsf.create(atoms, centers=atoms.positions), wanted, rtol=1e-12)
    np.testing.assert_allclose(acsf.create(atoms, centers=atoms.positions + 5e-6), wanted, rtol=1e-3, atol=1e-3)
    # A point beside it has it as a neighbour.
    beside = atoms.positions[:1] + np.array([0, 0, 2e-5])
    np.testing.assert_allclose(
        acsf.create(atoms, centers=beside), formula(atoms, ORGANIC, centers=beside, **FUNCTIONS), rtol=1e-9, atol=1e-12
    )


def test_points(crystals):
    points = [[0.3, 0.2, 1.1], [2.0, -1.0, 0.4]]
    for atoms in crystals:
        found = ACSF(species=["Na", "Cl"], periodic=True, **FUNCTIONS).create(atoms, centers=points)
        wanted = formula(atoms, ["Na", "Cl"], points, True, **FUNCTIONS)
        np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-13)


# Invariances ----------------------------------------------------------------------------------------------------------


def test_rotation_and_permutation():
    atoms = rattled(molecule("CH3CONH2"))
    acsf = ACSF(species=ORGANIC, **FUNCTIONS)
    wanted = acsf.create(atoms)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]  # may be a reflection
    turned = atoms.copy()
    turned.positions = atoms.positions @ turn + 4.0
    np.testing.assert_allclose(acsf.create(turned), wanted, rtol=1e-9, atol=1e-13)
    order = np.random.default_rng(2).permutation(len(atoms))
    np.testing.assert_allclose(acsf.create(atoms[order]), wanted[order], rtol=1e-11, atol=1e-13)


def test_supercell(crystals):
    acsf = ACSF(species=["Na", "Cl"], periodic=True, **FUNCTIONS)
    for atoms in crystals:
        wanted = acsf.create(atoms)
        found = acsf.create(atoms.repeat((2, 1, 3)))
        np.testing.assert_allclose(found, np.tile(wanted, (6, 1)), rtol=1e-9, atol=1e-12)


def test_partly_periodic():
    cell = rattled(bulk("NaCl", "rocksalt", 5.6))
    acsf = ACSF(species=["Na", "Cl"], periodic=True, **FUNCTIONS)
    double = stack(cell, cell, axis=2)
    cell.pbc = double.pbc = [True, True, False]
    points = cell.positions.mean(axis=0)[None]
    assert not np.allclose(acsf.create(cell, centers=points), acsf.create(double, centers=points))
    np.testing.assert_allclose(
        acsf.create(double), formula(double, ["Na", "Cl"], periodic=True, **FUNCTIONS), rtol=1e-9
    )


# Derivatives ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("each_instruction_set")
@pytest.mark.parametrize("kind", ["g2_params", "g3_params", "g4_params", "g5_params"])
def test_derivatives(kind):
    functions = {"r_cut": FUNCTIONS["r_cut"], kind: FUNCTIONS[kind]}
    crystal = rattled(bulk("NaCl", "zincblende", 5.0))
    for atoms, acsf in (
        (rattled(molecule("CH3OH")), ACSF(species=ORGANIC, **functions)),
        (crystal, ACSF(species=["Na", "Cl"], periodic=True, **functions)),
    ):
        check_derivatives(acsf, atoms)
        check_derivatives(acsf, atoms, centers=[[0.3, 0.2, 1.1]])


def test_derivatives_with_many_neighbours():
    acsf, atoms = ACSF(species=ORGANIC, **FUNCTIONS), many_atoms()
    weights = np.random.default_rng(0).normal(size=(60, acsf.get_number_of_features()))
    gradient, jacobian = acsf.vjp(atoms, weights), acsf.jacobian(atoms)
    for a, b in zip(jacobian.contract(weights)[:2], gradient[:2], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12 * np.abs(b).max())
    threaded = acsf.vjp(atoms, weights, n_jobs=2, return_descriptor=True)
    np.testing.assert_array_equal(threaded.positions, gradient.positions)
    np.testing.assert_array_equal(threaded.descriptor, acsf.create(atoms))


def test_atoms_in_line_have_derivatives():
    for name in ("CO2", "C2H2"):
        atoms = molecule(name)
        check_derivatives(ACSF(species=ORGANIC, **FUNCTIONS), atoms)


# Parameters, names and places -----------------------------------------------------------------------------------------


def test_names_and_places():
    acsf = ACSF(3.0, [[1, 2]], [0.5], [[0.1, 2, -1]], [[0.2, 1, 1]], species=["O", "H"])
    names = list(acsf.get_feature_names_out())
    assert names[:3] == ["ACSF H G1", "ACSF H G2 eta=1 R_s=2", "ACSF H G3 kappa=0.5"]
    assert names[6:8] == ["ACSF H-H G4 eta=0.1 zeta=2 lambda=-1", "ACSF H-H G5 eta=0.2 zeta=1 lambda=1"]
    assert acsf.get_number_of_features() == len(names) == 12
    assert acsf.get_location("O") == acsf.get_location(8) == acsf.get_location(["O"]) == slice(3, 6)
    assert acsf.get_location(("O", "H")) == acsf.get_location((1, 8)) == slice(8, 10)
    for wrong, message in (("C", "no features for C"), (("H", "C"), "no features"), (3.5, "one or"), ((), "one or")):
        with pytest.raises(ValueError, match=message):
            acsf.get_location(wrong)
    with pytest.raises(ValueError, match="no features for H-H"):
        ACSF(3.0, species=["H"]).get_location(("H", "H"))


def test_species_are_learnt():
    acsf = ACSF(3.0, g2_params=[[1, 0]])
    with pytest.raises(NotFittedError, match="ACSF: species is not known"):
        acsf.create(molecule("H2O"))
    acsf.fit([molecule("H2O"), molecule("CO2")])
    assert acsf.transform([molecule("H2O")]).values.shape == (3, 6)
    with pytest.raises(ValueError, match="structure 0, atom 0: species must be one of H, C, O, got N"):
        acsf.create(molecule("NH3"))


def test_the_callers_arrays_are_not_changed():
    params = np.array([[1.0, 2.0]])
    acsf = ACSF(3.0, g2_params=params, species=["H", "O"])
    assert acsf.g2_params is params
    acsf.create(molecule("H2O"))
    np.testing.assert_array_equal(params, [[1.0, 2.0]])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"r_cut": 0}, ValueError, "r_cut must be > 0, got 0"),
        ({"r_cut": None}, TypeError, "r_cut must be a number, got None"),
        ({"g2_params": [1, 2]}, ValueError, r"g2_params must be None or numbers of shape \(n, 2\) for eta, R_s"),
        ({"g2_params": [[1, 2, 3]]}, ValueError, r"got shape \(1, 3\)"),
        ({"g2_params": [[1, 2], [1]]}, ValueError, "g2_params must be None or numbers"),
        ({"g2_params": "eta"}, TypeError, "g2_params must be None or numbers"),
        ({"g2_params": [[-1, 2]]}, ValueError, "g2_params: eta of row 0 must be >= 0, got -1"),
        ({"g2_params": [[1, np.nan]]}, ValueError, "g2_params: R_s of row 0 must be finite, got nan"),
        ({"g3_params": [[1]]}, ValueError, r"g3_params must be None or numbers of shape \(n,\) for kappa, got shape"),
        ({"g3_params": [np.inf]}, ValueError, "g3_params: kappa of row 0 must be finite, got inf"),
        ({"g4_params": [1, 1, 1]}, ValueError, r"g4_params must be None or numbers of shape \(n, 3\)"),
        ({"g4_params": [[1, 1, 1], [-1, 1, 1]]}, ValueError, "g4_params: eta of row 1 must be >= 0, got -1"),
        ({"g4_params": [[1, 0.5, 1]]}, ValueError, r"g4_params: zeta of row 0 must be >= 1, got 0\.5"),
        ({"g4_params": [[1, 1, -2]]}, ValueError, "g4_params: lambda of row 0 must be >= -1, got -2"),
        ({"g5_params": [[1, 1, 1.5]]}, ValueError, r"g5_params: lambda of row 0 must be <= 1, got 1\.5"),
        ({"g3_params": [1e9]}, ValueError, r"g3_params: kappa of row 0 must be <= 1e\+06, got 1000000000"),
        ({"species": ["Hy"]}, ValueError, "species must be chemical symbols"),
        ({"periodic": 1}, TypeError, "periodic must be True, False or 'auto', got 1"),
        ({"dtype": "int8"}, ValueError, "dtype must be"),
        ({"pooling": "maen"}, ValueError, "maen"),
    ],
)
def test_bad_parameters(arguments, error, message):
    with pytest.raises(error, match=message):
        ACSF(**{"r_cut": 3.0, "species": ["H"], **arguments})


def test_float32_with_thousands_of_neighbours():
    crystal = bulk("Cu", "fcc", 3.6, cubic=True)
    crystal.rattle(0.05, seed=0)
    options = {
        "species": ["Cu"],
        "g2_params": [[0.05, 1.0], [1.0, 3.0]],
        "g3_params": [1.0],
        "g4_params": [[0.001, 1, 1], [0.01, 2, -1]],
        "g5_params": [[0.001, 1, 1]],
    }
    exact = ACSF(17.0, **options, periodic=True)  # 1700 neighbours, 1.4 million pairs
    rounded = ACSF(17.0, **options, periodic=True, dtype="float32")
    X = exact.create(crystal, centers=[0])
    np.testing.assert_allclose(rounded.create(crystal, centers=[0]), X, rtol=5e-7)
    weights = 1 / X
    g = exact.vjp(crystal, weights, centers=[0])
    h = rounded.vjp(crystal, weights.astype(np.float32), centers=[0])
    np.testing.assert_allclose(h.positions, g.positions, atol=2e-5 * np.abs(g.positions).max())
    np.testing.assert_allclose(h.strain, g.strain, atol=2e-6 * np.abs(g.strain).max())
