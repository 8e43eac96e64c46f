"""Potentials as calculators of ASE: right, consistent with predictions, and of use to what ASE does with them."""

import pickle
import warnings

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.calculator import PropertyNotImplementedError
from ase.filters import FrechetCellFilter
from ase.io import read, write
from ase.md.langevin import Langevin
from ase.md.nose_hoover_chain import IsotropicMTKNPT
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS

from atomprint.potentials import LinearACE, Repulsion, Solver
from atomprint.structures import StructureError, as_batch

from .test_ace import crystals

pytestmark = pytest.mark.filterwarnings("ignore:the potential has holes", "ignore:atoms are nearer than in any")


@pytest.fixture(scope="module")
def potential():
    return LinearACE(size=30, r_cut=4.0).fit(crystals()[:8])


@pytest.fixture
def atoms(potential):
    atoms = bulk("Cu", cubic=True, a=3.6)
    atoms.rattle(0.05, seed=3)
    atoms.calc = potential.calculator()
    return atoms


def test_it_says_what_predictions_say(potential, atoms):
    for scale in (1.0, 1.01, 0.98):
        atoms.set_cell(atoms.cell * scale, scale_atoms=True)
        atoms.rattle(0.02, seed=1)
        found = potential.predict(atoms)
        np.testing.assert_allclose(atoms.get_potential_energy(), found.energies, rtol=1e-12)
        assert atoms.get_potential_energy(force_consistent=True) == atoms.get_potential_energy()
        np.testing.assert_allclose(atoms.get_forces(), found.forces, atol=1e-11)
        np.testing.assert_allclose(atoms.get_potential_energies(), found.atom_energies, atol=1e-11)
        np.testing.assert_allclose(atoms.get_stress(voigt=False), found.stresses, atol=1e-12)


def test_results_are_computed_once_and_are_copies(potential, atoms, monkeypatch):
    calls = []
    whole = type(atoms.calc).calculate
    monkeypatch.setattr(type(atoms.calc), "calculate", lambda *args: calls.append(1) or whole(*args))
    forces = atoms.get_forces()
    forces[:] = 0
    atoms.get_stress(), atoms.get_potential_energy()
    assert abs(atoms.get_forces()).max() > 0.01
    assert len(calls) == 1
    assert atoms.calc.check_state(atoms) == []
    assert not atoms.calc.calculation_required(atoms, ["forces"])
    atoms.positions[0, 0] += 0.01
    assert atoms.calc.check_state(atoms) == ["positions"]
    assert atoms.calc.get_property("forces", atoms, allow_calculation=False) is None
    atoms.get_forces()
    np.testing.assert_array_equal(atoms.calc.atoms.positions, atoms.positions)
    np.testing.assert_array_equal(atoms.calc.get_property("forces"), atoms.get_forces())
    assert len(calls) == 2


def test_other_atoms_may_come(potential, atoms):
    atoms.get_forces()
    other = Atoms("AuCu", [[0, 0, 0], [2.4, 0, 0.5]])
    other.calc = atoms.calc
    np.testing.assert_allclose(other.get_potential_energy(), potential.predict(other).energies)
    with pytest.raises(PropertyNotImplementedError, match="stress is not there: these atoms have no cell"):
        other.get_stress()
    other.symbols[0] = "O"
    with pytest.raises(StructureError, match="got O"):
        other.get_forces()
    np.testing.assert_allclose(atoms.get_forces(), potential.predict(atoms).forces, atol=1e-11)


def test_nothing_is_said_of_what_is_not_there(potential, atoms):
    with pytest.raises(PropertyNotImplementedError, match="nothing was calculated yet"):
        atoms.calc.get_property("energy")
    with pytest.raises(PropertyNotImplementedError, match="dipole"):
        atoms.get_dipole_moment()
    for _ in range(2):  # when they are made ready, and later
        there = atoms.positions[2, 1]
        atoms.positions[2, 1] = np.nan
        with pytest.raises(ValueError, match="atom 2: position must be finite"):
            atoms.get_forces()
        atoms.positions[2, 1] = there
        assert np.isfinite(atoms.get_forces()).all()


@pytest.mark.parametrize("drift", [1e9, np.inf])
def test_atoms_that_are_too_far_away_are_refused(atoms, drift):
    atoms.get_forces()
    atoms.positions += drift  # all together, which changes no neighbours
    with pytest.raises(ValueError, match="atom 0: position must be finite and within 1e7 Å"):
        atoms.get_forces()


def test_atoms_on_top_of_each_other_are_an_error(atoms):
    atoms.get_forces()
    for _ in range(2):
        atoms.positions[1] = atoms.positions[0]
        with pytest.raises(StructureError, match="atoms 0 and 1: atoms must not coincide"):
            atoms.get_forces()
        atoms.positions[1, 0] += 1.0
        assert np.isfinite(atoms.get_forces()).all()


@pytest.mark.filterwarnings("default")
def test_atoms_that_come_too_near_are_told_once(potential):
    known = potential.model_.known.shortest[0, 0]
    atoms = Atoms("Cu2", [[0, 0, 0], [known + 0.1, 0, 0]], calculator=potential.calculator())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        atoms.get_forces()
    atoms.positions[1, 0] = known - 0.2
    with pytest.warns(UserWarning, match="Cu and Cu are .* apart, training data have at least"):
        atoms.get_forces()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        atoms.positions[1, 0] -= 0.1
        atoms.get_forces()


def test_uncertainty_is_there_on_request(potential, atoms):
    atoms.calc = potential.calculator(uncertainty=True)
    atoms.get_potential_energy()
    assert atoms.calc.results["energy_std"] > 0
    assert atoms.calc.results["grade"] > 0


def test_relaxation_of_positions_and_cell(atoms):
    with BFGS(FrechetCellFilter(atoms), logfile=None) as run:
        assert run.run(fmax=0.02, steps=60)
    assert abs(atoms.get_stress()).max() < 2e-3
    assert 3.5 < (4 * atoms.get_volume() / len(atoms)) ** (1 / 3) < 3.8


@pytest.mark.parametrize("name", ["NVE", "NVT", "NPT"])
def test_molecular_dynamics(atoms, name):
    rng = np.random.default_rng(0)
    atoms.set_velocities(rng.normal(0, 2.0, (len(atoms), 3)) * units.Ang / (1000 * units.fs))
    if name == "NVE":
        run = VelocityVerlet(atoms, 2 * units.fs)
    elif name == "NVT":
        run = Langevin(atoms, 2 * units.fs, temperature_K=300, friction=0.02, rng=rng, fixcm=False)
    else:
        run = IsotropicMTKNPT(atoms, 2 * units.fs, temperature_K=300, pressure_au=0, tdamp=50, pdamp=500)
    before = atoms.get_total_energy()
    run.run(40)
    assert np.isfinite(atoms.positions).all()
    if name == "NVE":
        assert abs(atoms.get_total_energy() - before) < 2e-3 * len(atoms)
        assert abs(atoms.get_kinetic_energy()) > 0.01


def test_it_can_be_pickled_and_written(potential, atoms, tmp_path):
    forces = atoms.get_forces()
    again = pickle.loads(pickle.dumps(atoms.calc))
    atoms.calc = again
    np.testing.assert_array_equal(atoms.get_forces(), forces)
    write(tmp_path / "out.extxyz", atoms)
    np.testing.assert_allclose(read(tmp_path / "out.extxyz").get_forces(), forces, atol=1e-7)


def test_the_core_is_tabulated():
    core = Repulsion.fit([molecule("H2O"), bulk("Cu"), bulk("AuCu", "rocksalt", 5.4)], species=["H", "O", "Cu", "Au"])
    rng = np.random.default_rng(0)
    close = [Atoms("CuAuHO", rng.uniform(0, 1.4, (4, 3)) + np.diag([1, 1, 1, 0])[:, :3] * k) for k in range(3)]
    batch = as_batch(close, periodic=False)
    for got, wanted in zip(core.table().evaluate(batch), core.evaluate(batch), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-7, atol=1e-7)
        assert abs(wanted).max() > 1


def test_another_fit_does_not_change_it(atoms):
    changing = LinearACE(size=10, r_cut=4.0, solver=Solver(n_folds=2)).fit(crystals()[:6])
    atoms.calc = changing.calculator(uncertainty=True)
    energy, results = atoms.get_potential_energy(), dict(atoms.calc.results)
    changing.set_params(references={"Cu": -100.0}).fit(crystals()[:4])
    atoms.calc.reset()
    atoms.calc = pickle.loads(pickle.dumps(atoms.calc))
    assert atoms.get_potential_energy() == energy
    assert atoms.calc.results["energy_std"] == results["energy_std"]
