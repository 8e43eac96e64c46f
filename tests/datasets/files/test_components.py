"""Components of vectors and tensors are told from other numbers."""

import json

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.io import write

from atomprint.datasets import Dataset, Target, inspect_file, read_dataset
from atomprint.formats.components import vector_in_name, vector_of
from atomprint.formats.source import Row
from atomprint.learn import Problem
from atomprint.learn.study.caveats import of_targets
from atomprint.workflow import Recipe
from atomprint.workflow.recipes.completion import complete

RNG = np.random.default_rng(0)


def of_structure(name, *shapes):
    return vector_of(name, [Row({name.partition("[")[0]: np.zeros(shape)}) for shape in shapes])


def of_atoms(name, *shapes):
    return vector_of(name, [Row(arrays={name.partition("[")[0]: np.zeros(shape)}) for shape in shapes])


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        *(
            (f"{name}[0]", (3,))
            for name in ("dipole", "mu", "P", "magnetic moment", "electric_field", "energy_gradient")
        ),
        *((f"{name}[4]", (6,)) for name in ("stress", "virial", "REF_stress", "polarizability")),
        *((f"{name}[2][1]", (3, 3)) for name in ("stress", "virial", "dielectric_tensor", "lattice", "M")),
        ("virial[1]", (9,)),
        ("born_charges[0][0]", (3, 3)),
    ],
)
def test_vectors_of_structures(name, shape):
    assert of_structure(name, shape) == name.partition("[")[0]


@pytest.mark.parametrize("name", ["forces", "force", "magmoms", "velocities", "momenta", "positions", "REF_force"])
def test_vectors_of_atoms(name):
    assert of_atoms(f"{name}[1]", (8, 3), (5, 3)) == name
    assert of_structure(f"{name}[1]", (8, 3), (5, 3)) == name  # in JSON


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        *((f"{name}[0]", (3,)) for name in ("eigenvalues", "principal_moments", "rotational_constants", "angles")),
        *((f"{name}[1]", (3,)) for name in ("frequencies", "gaps", "moduli", "forces_norm", "energies")),
        *((f"{name}[3]", (6,)) for name in ("levels", "features", "frequencies")),
        ("dos[7]", (50,)),
        ("pairs[0]", (2,)),
    ],
)
def test_what_does_not_turn(name, shape):
    assert of_structure(name, shape) == ""


def test_numbers_of_atoms_are_no_vectors():
    assert of_atoms("magmoms[0]", (3,), (5,)) == ""  # collinear moments, also of three atoms
    assert of_structure("charges[0]", (3,), (5,)) == ""
    assert of_structure("forces[0]", (9,), (15,)) == "forces"  # one after the other


@pytest.mark.parametrize(
    "name",
    [
        "dipole_x", "Dipole X", "dipole (z)", "mu_y", "fx", "f_z", "force_x (eV/Å)", "stress_xx", "stressXY",
        "virial_0", "sxx", "polarization.z", "magnetic_moment_z", "eps_xx", "forces_1", "total_dipole_moment_y",
        "sigma_zz", "velocity-x",
    ],
)  # fmt: skip
def test_columns_that_tell_it(name):
    assert vector_in_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "dipole", "dipole_moment", "dipole_norm", "force", "max_force", "stress", "pressure", "flux", "matrix",
        "index", "gap", "energy", "formation_energy_per_atom", "bulk_modulus", "epsx", "C11", "c_44", "moment", "y",
        "my", "x_fraction", "n", "complex", "dielectric_constant", "refractive_index", "eigenvalue_0", "energy_0",
        "dipole_a", "spin", "entropy",
    ],
)  # fmt: skip
def test_columns_that_are_numbers(name):
    assert vector_in_name(name) == ""


@pytest.fixture
def frames(tmp_path):
    structures = []
    for k in range(30):
        atoms = bulk("NaCl", "rocksalt", a=5.4 + 0.02 * k, cubic=True)
        atoms.arrays["force"] = RNG.normal(size=(8, 3))
        atoms.info |= {"energy": float(k), "dipole": RNG.normal(size=3), "virial": RNG.normal(size=(3, 3))}
        atoms.info["levels"] = RNG.normal(size=4)
        structures.append(atoms)
    path = tmp_path / "frames.extxyz"
    write(path, structures)
    return path


@pytest.mark.parametrize("target", ["force[0]", "dipole[2]", "virial[1][0]"])
def test_components_are_refused(frames, target):
    dataset = read_dataset(frames, targets=target)  # reading is free
    assert dataset.targets[target].vector == target.partition("[")[0]
    recipe = Recipe.auto(frames, target)
    with pytest.raises(
        ValueError, match=r"is a component of '\w+', which turns with the structure.*predict the length"
    ):
        complete(recipe, dataset)
    assert "turns with the structure" in next(of_targets(Problem.of(dataset, target)))


def test_lengths_and_other_numbers_are_not(frames):
    for target in ("force.norm", "dipole.norm", "levels[1]", "energy"):
        dataset = read_dataset(frames, targets=target)
        recipe, _ = complete(Recipe.auto(frames, target), dataset)
        assert recipe.data.target == target
        assert not list(of_targets(Problem.of(dataset, target)))
    raw = read_dataset(frames, targets={"norm": "force.norm", **{f"f{k}": f"force[{k}]" for k in range(3)}}).targets
    parts = np.array([np.concatenate(raw[f"f{k}"].values) for k in range(3)])
    np.testing.assert_allclose(np.concatenate(raw["norm"].values), np.linalg.norm(parts, axis=0))
    with pytest.raises(ValueError, match=r"'levels.norm' does not exist: 'levels' has shape \(4,\)"):
        read_dataset(frames, targets="levels.norm")
    with pytest.raises(ValueError, match=r"a target is one number: ask for 'dipole.norm'"):
        read_dataset(frames, targets="dipole")
    with pytest.raises(ValueError, match=r"lengths of vectors are asked for by name.norm"):
        read_dataset(frames, targets="force")


def test_columns_of_tables_and_data_sets(tmp_path):
    rows = "".join(f"NaCl,{k % 7},{k * 0.3}\n" for k in range(30))
    (tmp_path / "t.csv").write_text(f"formula,dipole_x,gap\n{rows}")
    assert inspect_file(tmp_path / "t.csv").targets == ("gap", "dipole_x")  # the last guess
    with pytest.raises(ValueError, match="'dipole_x' is a component of 'dipole'"):
        complete(Recipe.auto(tmp_path / "t.csv", "dipole_x"), read_dataset(tmp_path / "t.csv", targets="dipole_x"))
    target = Target(RNG.normal(size=20), "D", "Dipole moment", "")
    dataset = Dataset("m", "M", [molecule("H2O")] * 20, tuple(map(str, range(20))), {"mu_z": target}, "", "")
    with pytest.raises(ValueError, match="'mu_z' is a component of 'mu'"):
        complete(Recipe.from_dict({"data": {"path": "m", "target": "mu_z"}}), dataset)


def test_classes_and_features_of_ones_own_are_free(frames):
    dataset = read_dataset(frames, targets="dipole[0]")
    own = {
        "data": {"path": str(frames), "target": "dipole[0]"},
        "features": {"own": {"type": "sklearn.decomposition.PCA"}},
    }
    complete(Recipe.from_dict(own), dataset)  # they may turn, too
    (frames.parent / "records.json").write_text(
        json.dumps([{"formula": "NaCl", "dipole_x": w} for w in ("up", "down") * 9])
    )
    signs = read_dataset(frames.parent / "records.json", targets="dipole_x")
    assert signs.targets["dipole_x"].vector == ""


def test_the_vector_or_tensor_is_named_without_its_axes():
    given = {"dipole_x": "dipole", "stress_xx": "stress", "stressXY": "stress", "electric field z": "electric field"}
    assert {name: vector_in_name(name) for name in given} == given
