"""Potentials in use: relaxation, dynamics in every ensemble, runs that explode or are killed, phonons."""

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.filters import FrechetCellFilter, StrainFilter
from ase.io import read
from ase.optimize import FIRE, LBFGS, BFGSLineSearch, GPMin
from ase.phonons import Phonons

from atomprint.potentials import LinearACE, dynamics, last_frame, relax
from atomprint.potentials.simulation.dynamics import ENSEMBLES

from .test_ace import crystals

pytestmark = pytest.mark.filterwarnings("ignore:the potential has holes", "ignore:atoms are nearer than in any")


@pytest.fixture(scope="module")
def potential():
    return LinearACE(size=30, r_cut=4.0).fit(crystals()[:8])


@pytest.fixture
def atoms():
    return bulk("Cu", cubic=True, a=3.6)


@pytest.mark.parametrize("ensemble", ENSEMBLES)
def test_every_ensemble_runs_and_goes_on(potential, atoms, tmp_path, ensemble):
    place = tmp_path / "run.extxyz"
    options = {"temperature": 300.0, "ensemble": ensemble, "every": 5, "write": place}
    dynamics(potential, atoms, steps=10, **options)
    place.write_bytes(place.read_bytes() + place.read_bytes()[:300])  # killed as the next was written
    again, done = last_frame(place)
    assert done == 10
    moments = dynamics(potential, again, steps=20, done=done, look_every=5, **options)
    assert [int(frame.info["step"]) for frame in read(place, ":")] == [0, 5, 10, 15, 20]
    assert [moment.step for moment in moments] == [15, 20]
    assert 50 < moments[-1].temperature < 700
    assert (again.get_volume() == atoms.get_volume()) == (not ensemble.startswith("npt"))


def test_a_barostat_finds_the_volume(potential, atoms):
    wanted = relax(potential, atoms).atoms.get_volume()
    atoms.set_cell(atoms.cell * 1.02, scale_atoms=True)
    volumes = []
    for k in range(10):
        dynamics(potential, atoms, steps=100 * k + 100, done=100 * k, timestep=4, temperature=20, ensemble="npt")
        volumes.append(atoms.get_volume())
    assert min(volumes) < wanted * 1.005
    assert np.mean(volumes[2:]) == pytest.approx(wanted, rel=0.03)


def test_a_run_that_explodes_stops_and_says_where(potential, atoms, tmp_path):
    place = tmp_path / "run.extxyz"
    with pytest.raises(
        RuntimeError, match=r"the run has gone wild at step \d+, after the last frame of .*run.extxyz: "
    ):
        dynamics(potential, atoms, steps=500, timestep=100, temperature=2000, ensemble="nve", write=place, every=1)
    assert np.isfinite(read(place, -1).get_forces()).all()
    assert last_frame(place)[1] == len(read(place, ":")) - 1


def test_a_run_that_gets_hot_stops(potential, atoms):
    atoms.set_momenta(np.random.default_rng(0).normal(0, 60, (4, 3)))
    with pytest.raises(RuntimeError, match=r"at step 3: atoms have .* K, where 300 K were asked for"):
        dynamics(potential, atoms, steps=10, done=2, timestep=0.01, ensemble="nve")


def test_files_that_cannot_be_written_are_found_before_the_work(potential, atoms, tmp_path):
    before = atoms.positions.copy()
    with pytest.raises(IsADirectoryError, match="is a folder"):
        dynamics(potential, atoms, steps=10, write=tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        dynamics(potential, atoms, steps=10, write=tmp_path / "nowhere" / "run.extxyz")
    np.testing.assert_array_equal(atoms.positions, before)
    assert not any(tmp_path.iterdir())
    (tmp_path / "other.extxyz").write_text("1\n\nCu 0 0 0\n")
    with pytest.raises(ValueError, match="is not of a run of dynamics"):
        last_frame(tmp_path / "other.extxyz")


@pytest.mark.parametrize("options", [{"n_jobs": 0}, {"uncertainty": "yes"}])
def test_calculators_refuse_what_they_cannot_use_at_once(potential, options):
    with pytest.raises((ValueError, TypeError), match=next(iter(options))):
        potential.calculator(**options)


def test_a_pressure_that_would_not_be_applied_is_refused(potential, atoms):
    for structure, cell in ((atoms, False), (atoms.repeat(1)[:1], True)):
        if cell:
            structure.pbc, structure.cell[:] = False, 0
        with pytest.raises(ValueError, match="pressure is for structures whose cell relaxes, got 5 GPa"):
            relax(potential, structure, cell=cell, pressure=5)
    with pytest.raises(ValueError, match="pressure is for ensembles with a barostat, got 5 GPa for 'nvt'"):
        next(iter(dynamics(potential, atoms, ensemble="nvt", pressure=5, steps=2)))


@pytest.mark.parametrize("optimiser", [LBFGS, FIRE, BFGSLineSearch, GPMin])
def test_any_optimiser_of_ase_arrives(potential, atoms, optimiser):
    wanted = relax(potential, atoms, cell=False).atoms.get_potential_energy()
    atoms.rattle(0.1, seed=2)
    atoms.calc = potential.calculator()
    with optimiser(atoms, logfile=None) as run:
        assert run.run(fmax=0.01, steps=200)
    assert atoms.get_potential_energy() == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize("of_cells", [FrechetCellFilter, StrainFilter])
def test_cells_relax_under_pressure(potential, atoms, of_cells):
    atoms.calc = potential.calculator()
    moves = of_cells(atoms, scalar_pressure=0.03) if of_cells is FrechetCellFilter else of_cells(atoms)
    with FIRE(moves, logfile=None) as run:
        assert run.run(fmax=0.005, steps=300)
    pressure = -np.trace(atoms.get_stress(voigt=False)) / 3
    assert pressure == pytest.approx(0.03 if of_cells is FrechetCellFilter else 0, abs=1e-3)


def test_phonons_are_sound(potential, tmp_path):
    atoms = relax(potential, bulk("Cu", a=3.6), fmax=1e-5).atoms
    phonons = Phonons(atoms, potential.calculator(), supercell=(2, 2, 2), delta=0.01, name=str(tmp_path / "phonons"))
    phonons.run()
    phonons.read(acoustic=True)
    still, edge = (np.real(phonons.band_structure([q])[0]) / units.invcm for q in ([0, 0, 0], [0.5, 0.5, 0]))
    assert abs(still).max() < 5  # 1/cm: all move together
    assert (edge > 60).all()
    assert edge[0] == pytest.approx(edge[1], abs=0.1)  # two transverse ones
