"""Linear ACE potentials: fitted, used, saved, and smooth."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT

from atomprint.descriptors import ACE
from atomprint.potentials import LinearACE, LinearPotential, load_potential
from atomprint.potentials.ace import ClusterExpansion, PreparedExpansion
from atomprint.potentials.terms.cutoff import typical_cutoff
from atomprint.potentials.terms.term import VOIGT, Training
from atomprint.structures import StructureError, as_batch
from atomprint.util.registry import KNOWN

pytestmark = pytest.mark.filterwarnings("ignore:the potential has holes", "ignore:atoms are nearer than in any")


def crystals():
    """Small cells of two elements, labelled by a calculator that is cheap."""
    found = []
    for k in range(14):
        atoms = bulk("Cu", cubic=True, a=3.55 + 0.03 * (k % 5))
        if k % 2:
            atoms.symbols[:2] = "Au"
            atoms.set_cell(atoms.cell * 1.06, scale_atoms=True)
        atoms.rattle(0.08, seed=k)
        atoms.calc = EMT()
        atoms.info["energy"] = atoms.get_potential_energy()
        atoms.arrays["forces"], atoms.info["stress"] = atoms.get_forces(), atoms.get_stress()
        found.append(atoms)
    return found


@pytest.fixture(scope="module")
def potential():
    return LinearACE(size=50, r_cut=4.2).fit(crystals())


def energy(potential, atoms):
    return float(potential.predict(atoms).energies)


def others():
    """Structures that the fit has not seen: molecules, triclinic and small cells, slabs, single atoms."""
    rng = np.random.default_rng(4)
    triclinic = Atoms("CuAuCu", cell=[[2.9, 0, 0], [1.1, 2.9, 0.2], [-0.5, 0.7, 6.5]], pbc=True)
    triclinic.set_scaled_positions(rng.uniform(0, 1, (3, 3)) * 0.1 + [[0, 0, 0], [0.3, 0.4, 0.3], [0.6, 0.1, 0.65]])
    slab = bulk("Cu", cubic=True)
    slab.pbc = [True, False, True]
    trimer = Atoms("CuAuCu", [[0, 0, 0], [2.5, 0.3, 0], [0.7, 2.4, 0.4]])
    return {"trimer": trimer, "triclinic": triclinic, "one atom": bulk("Cu"), "slab": slab, "isolated": Atoms("Au")}


@pytest.mark.parametrize("name", others())
def test_forces_and_stresses_are_finite_differences(potential, name):
    atoms = others()[name]
    found = potential.predict(atoms)
    rng = np.random.default_rng(1)
    direction, strain = rng.normal(size=(len(atoms), 3)), rng.normal(size=(3, 3))
    strain += strain.T
    step, moved = 2e-5, np.zeros((2, 2))
    for k, sign in enumerate((1, -1)):
        one, other = atoms.copy(), atoms.copy()
        one.positions += sign * step * direction
        map_ = np.eye(3) + sign * step * strain
        other.set_cell(other.cell @ map_)
        other.positions = other.positions @ map_
        moved[k] = energy(potential, one), energy(potential, other)
    by_positions, by_strain = (moved[0] - moved[1]) / (2 * step)
    np.testing.assert_allclose(-(found.forces * direction).sum(), by_positions, atol=1e-6)
    if atoms.pbc.all():
        np.testing.assert_allclose((found.stresses * strain).sum() * atoms.get_volume(), by_strain, atol=1e-6)
        assert abs(by_strain) > 1e-3


def test_energy_and_forces_are_smooth_as_an_atom_passes_the_cutoff(potential):
    end = potential.model_.cutoff
    r = np.linspace(end - 0.02, end + 0.01, 31)
    found = potential.predict([Atoms("CuAu", [[0, 0, 0], [x, 0, 0]]) for x in r])
    forces = np.array([f[1, 0] for f in found.forces])
    apart = found.energies[-1]
    assert (found.energies[r >= end] == apart).all()
    assert (forces[r >= end] == 0).all()
    # Three powers of what is left to the cutoff in the energy, two in forces.
    assert abs(found.energies - apart).max() < 1e-4
    assert abs(forces).max() < 1e-2
    assert abs(np.diff(forces)).max() < 1e-3
    middle = (found.energies[2:] - found.energies[:-2]) / (r[2:] - r[:-2])
    np.testing.assert_allclose(-middle, forces[1:-1], atol=1e-5)


@pytest.mark.parametrize("pair", ["Cu2", "CuAu", "Au2"])
def test_the_core_takes_over_below_the_distances_of_the_data(potential, pair):
    core = potential.model_.core
    z = tuple(sorted(Atoms(pair).numbers))
    shortest = core.shortest[core.species.index(z[0]), core.species.index(z[1])]
    distances = np.linspace(0.2, 0.85, 40) * shortest
    dimers = [Atoms(pair, [[0, 0, 0], [0, 0, r]]) for r in distances]
    with pytest.warns(UserWarning, match=r"training data have at least 2\.\d+ Å"):
        found = potential.predict(dimers)
    assert (np.diff(found.energies) < 0).all()  # repulsive all the way
    nearest = as_batch(dimers[:1], periodic=None)
    energies, _, _ = core.evaluate(nearest)
    alone = sum(potential.model_.reference_energies[int(n)] for n in Atoms(pair).numbers)
    assert found.energies[0] == pytest.approx(energies.sum() + alone, rel=0.02)


def test_rows_times_coefficients_are_the_prediction(potential):
    model = potential.model_
    term, coefficients = model.terms.terms[0], model.coefficients[: model.terms.terms[0].n_functions]
    batch = as_batch([others()["triclinic"], others()["trimer"]], periodic=None)
    out = np.empty((14 + 18, term.n_functions))
    term.rows(batch, out)
    energies, gradient, strain = term.predictor(coefficients).evaluate(batch)
    got, first = out @ coefficients, 0
    for s in range(2):
        own = slice(batch.offsets[s], batch.offsets[s + 1])
        np.testing.assert_allclose(got[first], energies[own].sum(), atol=1e-9)
        np.testing.assert_allclose(got[first + 1 : first + 10], -gradient[own].ravel(), atol=1e-9)
        np.testing.assert_allclose(got[first + 10 : first + 16], [strain[s, a, b] for a, b in VOIGT], atol=1e-9)
        first += 16


def test_it_fits(potential):
    unseen = crystals()[3]
    found = potential.predict(unseen, uncertainty=True)
    assert abs(found.energies - unseen.info["energy"]) < 0.02
    assert abs(found.forces - unseen.arrays["forces"]).max() < 0.1
    assert potential.score(crystals()) > 0.99


def test_reference_energies_are_those_of_atoms_alone(potential):
    for z, energy in potential.model_.reference_energies.items():
        assert potential.predict(Atoms([z], [(0, 0, 0)])).energies == pytest.approx(energy, abs=1e-10)
    assert potential.model_.reference_energies != potential.model_.references  # the fit adds to those it guessed


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_file_gives_the_same_potential(potential, tmp_path, dtype):
    source = LinearACE(size=50, r_cut=4.2, dtype=dtype).set_params(n_jobs=1)
    source.model_ = potential.model_
    source.save(tmp_path / "model.npz")
    loaded = load_potential(tmp_path / "model.npz")
    atoms = others()["triclinic"]
    assert loaded.get_params()["size"] == 50
    np.testing.assert_array_equal(loaded.predict(atoms).forces, potential.predict(atoms).forces)


def test_a_file_holds_the_channels(monkeypatch):
    batch = as_batch(bulk("CuAu", "rocksalt", a=4.5))
    term = ClusterExpansion(30, 4.0, None).prepare(Training(batch, (29, 79)))
    one, other = np.empty((2, len(batch), term.n_functions))
    term.sums(batch, one)
    state = term.state()
    before = state["channels"].copy()
    # As another LAPACK would have it.
    monkeypatch.setattr("atomprint.descriptors.ace.differences", lambda species: before * (1 + 1e-15))
    again = PreparedExpansion.from_state(state)
    np.testing.assert_array_equal(again.ace._channels()[0], before)
    np.testing.assert_array_equal(again.state()["channels"], before)
    again.sums(batch, other)
    np.testing.assert_array_equal(one, other)
    for wrong in (before[:1], -before):
        with pytest.raises(ValueError, match="channels must be those of the species"):
            PreparedExpansion.from_state(state | {"channels": wrong})


def test_rows_of_atoms_are_their_energies(potential):
    atoms = others()
    batch = as_batch(list(atoms.values()), periodic=None)
    terms, coefficients = potential.model_.terms, potential.model_.coefficients
    rows, sums = np.full((len(batch.numbers), terms.n_functions), np.nan), np.empty((len(batch), terms.n_functions))
    terms.atoms(batch, rows)
    terms.sums(batch, sums)
    energies = sum(part.evaluate(batch)[0] for part in terms.predictors(coefficients))
    np.testing.assert_allclose(rows @ coefficients, energies, atol=1e-9)
    np.testing.assert_allclose(np.add.reduceat(rows, batch.offsets[:-1]), sums, rtol=1e-12, atol=1e-12)


def test_molecules_have_more_functions_and_angles():
    batch = as_batch([molecule("CH3OH")] * 20, periodic=False)
    term = ClusterExpansion("medium", None, None).prepare(Training(batch, (1, 6, 8)))
    assert (term.ace.l_max, term.ace.weight_l, term.cutoff) == (5, 0.6, 4.5)
    assert 1400 < term.n_functions < 1600  # nine for each atom are less than others have
    many = as_batch([molecule("CH3OH")] * 200, periodic=False)
    assert 3200 < ClusterExpansion("medium", None, None).prepare(Training(many, (1, 6, 8))).n_functions < 4000


def test_single_precision_differs_by_little(potential):
    model = potential.model_
    coefficients = model.coefficients[: model.terms.terms[0].n_functions]
    batch = as_batch(crystals())
    half = ClusterExpansion(50, 4.2, None, "float32").prepare(Training(batch, model.species, model.core.inner))
    one = model.terms.terms[0].predictor(coefficients).evaluate(batch)
    other = half.predictor(coefficients).evaluate(batch)
    # Terms that cancel are what single precision is lost to: its error goes by the sum of their sizes.
    rows = np.empty((int((7 + 3 * batch.n_atoms).sum()), len(coefficients)))
    model.terms.terms[0].rows(batch, rows)
    scale = (abs(rows) @ abs(coefficients)).max()
    for exact, found in zip(one, other, strict=True):
        assert 0 < abs(found - exact).max() < 1e-7 * scale


def test_sizes_and_cutoffs_follow_the_data():
    n = {}
    for size in ("small", "medium", 80):
        for symbols in ("Cu", "CuAu"):
            batch = as_batch(bulk(symbols, "fcc" if symbols == "Cu" else "rocksalt", a=4.0))
            species = tuple(np.unique(batch.numbers).tolist())
            term = ClusterExpansion(size, 4.0, None).prepare(Training(batch, species))
            n[size, symbols] = term.n_functions / len(species)
    assert 300 < n["small", "Cu"] < 500
    assert 1300 < n["medium", "Cu"] < 1700
    assert 600 < n["medium", "CuAu"] <= 750
    assert 60 < n[80, "Cu"] < 100
    assert typical_cutoff(as_batch(bulk("Cu")), 30) == pytest.approx(4.5, abs=0.2)
    assert typical_cutoff(as_batch(bulk("Si")), 30) == pytest.approx(5.2, abs=0.3)
    assert typical_cutoff(as_batch(molecule("C2H6"), periodic=False), 30) == 4.5


def test_an_ace_may_be_given():
    ace = ACE(r_cut=3.9, n_max=4, l_max=2, max_order=3, n_functions=30, species=["H"])
    potential = LinearACE(ace=ace).fit(crystals()[::2])
    # Bounded where atoms are dense, whoever takes the functions.
    same = LinearPotential(ace).fit(crystals()[::2])
    assert len(same.model_.terms.terms[0].limits) == 1
    np.testing.assert_array_equal(same.model_.coefficients, potential.model_.coefficients)
    with pytest.raises(ValueError, match="descriptor: an ACE must have a row for each atom: pooling must be None"):
        LinearPotential(ACE(pooling="sum"))
    assert potential.model_.terms.terms[0].cutoff == 3.9
    assert potential.model_.species == (29,)
    assert ace.species == ["H"]


@pytest.mark.parametrize(
    ("parameters", "error", "rule"),
    [
        ({"size": "huge"}, ValueError, "size must be one of"),
        ({"size": 0}, ValueError, "size must be"),
        ({"r_cut": -1.0}, ValueError, "r_cut must be"),
        ({"dtype": "float16"}, ValueError, "dtype must be one of"),
        ({"ace": 5}, TypeError, "ace must be an ACE or None, got int"),
        ({"ace": ACE(), "r_cut": 4.0}, ValueError, "r_cut and ace cannot be combined"),
        ({"ace": ACE(pooling="mean")}, ValueError, "pooling must be None"),
    ],
)
def test_parameters_are_checked(parameters, error, rule):
    with pytest.raises(error, match=rule):
        LinearACE(**parameters)


def test_species_that_are_not_known_are_named(potential):
    with pytest.raises(StructureError, match="got O"):
        potential.predict(molecule("H2O"))


def test_files_know_the_names():
    assert {"LinearACE", "PreparedExpansion"} <= set(KNOWN)


def test_too_many_functions_are_named_by_the_argument():
    with pytest.raises(ValueError, match="size must be <= 30000, got 10000000"):
        LinearACE(10**7)
