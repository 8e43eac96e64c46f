"""A user's first hour with potentials: fit, evaluate, look, relax, run."""

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from typer.testing import CliRunner

from atomprint.cli.app import app
from atomprint.potentials import LinearPotential, load_potential

MODEL = Path(__file__).parent.parent / "workflow" / "saved" / "models" / "format-1.atomprint"
SMALL = ("-s", "size=40", "--jobs", "1")


def run(*arguments, code=0):
    result = CliRunner().invoke(app, ["potential", *map(str, arguments)])
    assert result.exit_code == code, result.output + str(result.exception)
    return result.output


def copper(n, seed=0):
    rng, made = np.random.default_rng(seed), []
    for k in range(n):
        atoms = bulk("Cu", cubic=True, a=3.6 * rng.uniform(0.95, 1.05))
        atoms.rattle(rng.uniform(0.01, 0.1), seed=seed + k)
        atoms.calc = EMT()
        results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces(), "stress": atoms.get_stress()}
        atoms.calc = SinglePointCalculator(atoms, **results)
        made.append(atoms)
    return made


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with data and a potential that was fitted to them."""
    folder = tmp_path_factory.mktemp("potential")
    write(folder / "train.extxyz", copper(24))
    write(folder / "test.extxyz", copper(6, seed=70))
    write(folder / "start.cif", bulk("Cu", cubic=True, a=3.7))
    said = run("fit", folder / "train.extxyz", "--test", folder / "test.extxyz", "-o", folder / "out", *SMALL)
    assert "24 structures with 96 atoms of Cu: 24 energies (energy)" in said
    assert "test set" in said
    assert f"--model {folder / 'out'}" in said
    return folder


def test_a_fit_writes_all_that_is_to_be_known(place):
    assert {path.name for path in (place / "out").iterdir()} == {"potential.npz", "report.html", "results.json"}
    found = json.loads((place / "out" / "results.json").read_text())
    test = found["comparisons"][-1]
    assert test["title"] == "test set"
    assert test["errors"]["energy"]["mae"] < 5
    assert found["settings"]["test"].endswith("test.extxyz")
    with pytest.raises(AssertionError, match="is there already"):
        run("fit", place / "train.extxyz", "-o", place / "out", *SMALL)


def test_figures_are_the_same_with_the_loaded_model(place, tmp_path):
    said = run("evaluate", place / "test.extxyz", "-m", place / "out", "-o", tmp_path / "figures.json")
    assert "energy (meV/atom)" in said
    fitted = json.loads((place / "out" / "results.json").read_text())["comparisons"][-1]
    again = json.loads((tmp_path / "figures.json").read_text())
    assert again["errors"]["forces"]["rmse"] == pytest.approx(fitted["errors"]["forces"]["rmse"], rel=1e-9)
    run("evaluate", place / "test.extxyz", "-m", place / "out", "-o", tmp_path / "found.extxyz")
    found = read(tmp_path / "found.extxyz", ":")
    assert len(found) == 6
    assert {"known_forces", "predicted_forces"} <= set(found[0].arrays)
    assert np.shape(found[0].info["predicted_stress"]) == np.shape(found[0].info["known_stress"]) == (3, 3)
    run("evaluate", place / "test.extxyz", "-m", place / "out", "-o", tmp_path / "found.txt", code=1)


def test_data_are_not_replaced_by_predictions(place, tmp_path):
    data = tmp_path / "data.extxyz"
    data.write_bytes((place / "test.extxyz").read_bytes())
    said = run("evaluate", data, "-m", place / "out", "-o", data, code=1)
    assert "data.extxyz is there already; --force replaces it" in said.replace("\n", " ")
    assert data.read_bytes() == (place / "test.extxyz").read_bytes()


def test_gaussian_processes_are_fitted_too(place, tmp_path):
    small = ("-s", "n_sparse=10", "--cutoff", 4.0, "--jobs", 1)
    said = run("fit", place / "train.extxyz", "--model", "gap", "-o", tmp_path / "gap", *small)
    assert "cross-validation" in said
    assert "SparseGP" in run("info", tmp_path / "gap")
    assert load_potential(tmp_path / "gap" / "potential.npz").get_params()["r_cut"] == 4.0


def test_errors_name_options_in_place_of_arguments(place, tmp_path):
    frames = copper(4)
    for number, atoms in enumerate(frames):
        if number % 2:
            atoms.info["REF_energy"] = atoms.calc.results.pop("energy")
    write(tmp_path / "mixed.extxyz", frames)
    said = run("evaluate", tmp_path / "mixed.extxyz", "-m", place / "out", code=1)
    assert "--energy-key must be given, since no key has all energies" in said
    assert "--energy-key energy --energy-key REF_energy takes the first" in said.replace("\n", " ")
    keys = ("--energy-key", "energy", "--energy-key", "REF_energy")
    said = run("evaluate", tmp_path / "mixed.extxyz", "-m", place / "out", *keys)
    assert "4 energies (energy or REF_energy)" in said
    assert "energy is that of 'energy or REF_energy', and the potential was fitted to 'energy': is it the same?" in said


def test_info_says_what_a_model_is(place):
    said = run("info", place / "out")
    for words in ("fitted to", "cross-validation", "references", "checksum", "Cu"):
        assert words in said
    told = json.loads(run("info", place / "out", "--json"))
    assert told["training"]["keys"] == {"energy": "energy", "forces": "forces", "stress": "stress"}


def test_relaxed_structures_are_at_rest(place, tmp_path):
    out = tmp_path / "relaxed.extxyz"
    said = run("relax", place / "start.cif", "-m", place / "out", "-o", out)
    assert "start.cif" in said
    relaxed = read(out)
    assert np.abs(relaxed.get_forces()).max() < 1e-3
    assert np.abs(relaxed.get_stress()).max() < 1e-3
    assert relaxed.cell.lengths()[0] == pytest.approx(3.59, abs=0.03)  # of the model that made the data
    assert {"energy_std", "grade"} <= set(relaxed.info)
    run("relax", place / "start.cif", "-m", place / "out", "-o", out, code=1)  # it is there already
    fixed = tmp_path / "fixed.cif"
    run("relax", place / "start.cif", "-m", place / "out", "-o", fixed, "--fixed-cell")
    assert read(fixed).cell.lengths()[0] == pytest.approx(3.7)
    assert "without stresses" not in said


def test_cells_by_a_potential_that_knows_no_stress_are_told(place, tmp_path):
    potential = load_potential(place / "out" / "potential.npz")
    potential.model_.summary["labels"]["stress"] = 0
    potential.save(tmp_path / "few.npz")
    few = ("-m", tmp_path / "few.npz", "-o", tmp_path / "out.extxyz", "--force")
    words = "fitted to data without stresses: cells and pressures are not to be relied upon"
    assert words in run("relax", place / "start.cif", *few)
    assert words not in run("relax", place / "start.cif", *few, "--fixed-cell")
    assert words in run("md", place / "start.cif", *few, "--steps", 1, "--ensemble", "npt-berendsen")


def test_dynamics_go_on_from_where_they_ended(place, tmp_path):
    out = tmp_path / "run.extxyz"
    common = ("-m", place / "out", "-o", out, "--every", 5, "-T", 100, "--ensemble", "nve")
    run("md", place / "start.cif", *common, "--steps", 10)
    assert [int(frame.info["step"]) for frame in read(out, ":")] == [0, 5, 10]
    # A run that was killed while it wrote a frame.
    whole = out.read_text()
    out.write_text(whole + whole[: len(whole) // 3 - 40])
    said = run("md", place / "start.cif", *common, "--steps", 20, "--resume", "--timestep", 2, code=1)
    assert "--timestep must be 1, as of the steps in run.extxyz, got 2" in said
    said = run("md", place / "start.cif", *common, "--steps", 20, "--resume")
    frames = read(out, ":")
    assert [int(frame.info["step"]) for frame in frames] == [0, 5, 10, 15, 20]
    total = [frame.get_potential_energy() + frame.get_kinetic_energy() for frame in frames]
    assert np.ptp(total) < 2e-3
    assert "total energy" in said
    run("md", place / "start.cif", *common, "--steps", 20, "--resume", code=1)
    cold = run(
        "md", place / "start.cif", "-m", place / "out", "-o", out, "-T", 0, "--ensemble", "npt", "--force", code=1
    )
    assert "temperature must be > 0, got 0.0" in cold
    run(
        "md", place / "start.cif", "-m", place / "out", "-o", tmp_path / "npt.extxyz", "--ensemble", "npt", "--steps", 3
    )


def test_a_lone_atom_moves(place, tmp_path):
    write(tmp_path / "atom.xyz", Atoms("Cu"))
    assert "total energy" in run("md", tmp_path / "atom.xyz", "-m", place / "out", "--steps", 3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fit", "nothing.extxyz"), "no such file"),
        (("fit", "train.extxyz", "--forces-key", "dft_forces"), "no key 'dft_forces': there are"),
        (("fit", "train.extxyz", "--model", "nn"), "--model must be"),
        (("fit", "train.extxyz", "-s", "sise=3"), "size"),
        (("fit", "train.extxyz", "--reference", "Cu"), "--reference must be like Si=-0.81"),
        (("fit", "train.extxyz", "--reference", "Cu=1", "--reference", "Cu=2"), "each element once, got 'Cu' twice"),
        (("fit", "train.extxyz", "--max-force", "nan"), "atomprint: --max-force must be finite, got nan"),
        (("fit", "train.extxyz", "--test", "gold.extxyz"), "the test set has Au, which the training data do not have"),
        (("fit", "train.extxyz", "--test", "start.cif"), "start.cif: structures have no energies, forces or stresses"),
        (("fit", "empty.extxyz"), "empty.extxyz has no rows"),
        (("fit", "train.extxyz", "-o", "train.extxyz"), "'train.extxyz' is a file: give the name of a folder"),
        (("evaluate", "gold.extxyz", "-m", "out"), "gold.extxyz has Au, which the training data do not have"),
        (("relax", "start.cif", "gold.extxyz", "-m", "out"), "gold.extxyz has Au, which the training data do not have"),
        (("md", "gold.extxyz", "-m", "out"), "gold.extxyz has Au, which the training data do not have"),
        (("relax", "start.cif", "-m", "half.npz"), "'half.npz' is no .npz file, or damaged"),
        (("relax", "start.cif", "-m", "other.npz"), "'other.npz' is no potential of atomprint"),
        (("info", "model.atomprint"), "model.atomprint' is a model of a workflow and no potential"),
        (("evaluate", "test.extxyz", "-m", "elsewhere"), "no potential at"),
        (("relax", "start.cif", "-m", "test.extxyz"), "test.extxyz"),
        (("relax", "start.cif", "-m", "out", "-o", "x.nothing"), "--output must end in"),
        (("relax", "start.cif", "-m", "out", "-o", "nowhere/x.extxyz"), "there is no folder 'nowhere'"),
        (("md", "start.cif", "-m", "out", "-o", "nowhere/x.extxyz"), "there is no folder 'nowhere'"),
        (("md", "start.cif", "-m", "out", "--ensemble", "nph"), "ensemble"),
        (("md", "start.cif", "-m", "out", "--timestep", "0"), "timestep"),
        (("md", "start.cif", "-m", "out", "--ensemble", "npt", "--pressure", "nan"), "pressure must be finite"),
        (("info", "test.extxyz"), "test.extxyz"),
    ],
)
def test_mistakes_are_told_in_a_line(place, monkeypatch, arguments, words):
    monkeypatch.chdir(place)
    if not (place / "gold.extxyz").exists():
        gold = bulk("Au")
        gold.calc = EMT()
        gold.get_potential_energy()
        write(place / "gold.extxyz", gold)
        (place / "empty.extxyz").write_text("")
        (place / "half.npz").write_bytes((place / "out" / "potential.npz").read_bytes()[:5000])
        np.savez(place / "other.npz", x=np.zeros(3))
        shutil.copy(MODEL, place / "model.atomprint")
    result = CliRunner().invoke(app, ["potential", *arguments])
    assert result.exit_code == 1, result.output
    assert words in result.output
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_fit_that_needs_more_memory_than_is_left_says_so_before(place, tmp_path, monkeypatch):
    monkeypatch.setattr("atomprint.potentials.fitting.factors.available_memory", lambda: 10**5)
    said = run("fit", place / "train.extxyz", "-o", tmp_path / "big", *SMALL, code=1)
    assert "functions and 4 folds take" in said
    assert "100 kB are left" in said
    assert not (tmp_path / "big").exists()


@pytest.mark.parametrize("arguments", [("info", "out"), ("info", "out/potential.npz")])
def test_models_of_the_other_kind_say_what_takes_them(place, monkeypatch, arguments):
    monkeypatch.chdir(place)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert "atomprint potential takes" in result.output


def test_descriptors_of_others_are_named(place, monkeypatch):
    (place / "shop.py").write_text("from atomprint.descriptors import SOAP\nclass Own(SOAP):\n    pass\n")
    monkeypatch.syspath_prepend(place)
    from shop import Own

    own = Own(r_cut=4.0, n_max=2, l_max=1, cutoff_width=1.0, periodic=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        LinearPotential(own).fit(copper(6)).save(place / "own.npz")
    said = run("info", place / "own.npz", code=1)
    assert "holds a class of another package, 'shop.Own', whose code is run" in said
    assert "name it in trusted (--trust)" in said
    assert "LinearPotential with " in run("info", place / "own.npz", "--trust", "shop.Own")
