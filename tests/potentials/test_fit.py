"""From labelled structures to a potential, to predictions, to a file and back."""

import re
import signal
import subprocess
import sys
import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from ase.filters import FrechetCellFilter
from ase.io import write
from ase.optimize import LBFGS
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score

from atomprint.descriptors import (
    ACE,
    ACSF,
    MBTR,
    SOAP,
    CoulombMatrix,
    EwaldSumMatrix,
    LearnedEmbedding,
    NeighbourStatistics,
    PowderDiffraction,
    SineMatrix,
)
from atomprint.potentials import (
    LabelledStructures,
    LinearACE,
    LinearPotential,
    Solver,
    SumPotential,
    fit,
    load_potential,
    read_labels,
)
from atomprint.potentials.fitting import factors
from atomprint.potentials.linear import PreparedDescriptor
from atomprint.structures import as_batch
from atomprint.util import registry

SMALL = {"r_cut": 5.0, "n_max": 4, "l_max": 2, "periodic": True}


def argon(n, seed=0, stress=True):
    """Return cells of four atoms with the energies, forces and stresses of a Lennard-Jones calculator."""
    rng, made = np.random.default_rng(seed), []
    for k in range(n):
        atoms = bulk("Ar", cubic=True, a=5.2 + 0.25 * rng.random())
        atoms.rattle(0.08, seed=seed + k)
        atoms.calc = LennardJones(sigma=3.4, epsilon=0.0104, rc=5.0, smooth=True)
        results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
        if stress:
            results["stress"] = atoms.get_stress()
        atoms.calc = SinglePointCalculator(atoms, **results)
        made.append(atoms)
    return made


@pytest.fixture(scope="module")
def fitted():
    return LinearPotential(SOAP(**SMALL)).fit(argon(24))


def test_structures_without_labels_say_nothing_of_how_near_atoms_come():
    close = Atoms("Ar2", [[0, 0, 0], [1.5, 0, 0]], cell=[12, 12, 12], pbc=True)
    potential = LinearPotential(SOAP(**SMALL)).fit([*argon(8), close])
    assert potential.model_.known.shortest[0, 0] > 3
    assert len(potential.labels_) == 9


def test_the_whole_chain(fitted, tmp_path):
    held = argon(8, seed=100)
    found = fitted.predict(held, uncertainty=True)
    truth = np.array([atoms.get_potential_energy() for atoms in held])
    assert np.abs(found.energies - truth).max() < 1e-3
    forces = np.array([atoms.get_forces() for atoms in held])
    assert np.abs(np.array(found.forces) - forces).mean() < 0.1 * np.abs(forces).mean()
    stresses = np.array([atoms.get_stress(voigt=False) for atoms in held])
    assert np.abs(found.stresses - stresses).mean() < 0.1 * np.abs(stresses).mean()
    assert all(np.isclose(e.sum(), total) for e, total in zip(found.atom_energies, found.energies, strict=True))
    assert (found.energies_std > 0).all()
    assert found.stresses_std.shape == (8, 3, 3)
    fitted.save(tmp_path / "argon.npz")
    again = load_potential(tmp_path / "argon.npz")
    assert type(again) is LinearPotential
    assert again.get_params()["descriptor__l_max"] == 2
    for name, value in vars(again.predict(held, uncertainty=True)).items():
        np.testing.assert_array_equal(value, getattr(found, name), err_msg=name)
    assert fitted.score(held) > 0.98


def test_one_structure_has_no_axis(fitted):
    one = argon(1, seed=5)[0]
    found = fitted.predict(one, uncertainty=True)
    several = fitted.predict([one], uncertainty=True)
    for name, value in vars(found).items():
        np.testing.assert_array_equal(value, getattr(several, name)[0])
    assert np.shape(found.energies) == ()
    assert found.forces.shape == (4, 3)


@pytest.mark.filterwarnings("ignore:atoms are nearer than in any of the training data")
@pytest.mark.filterwarnings(
    "ignore:.* of structures that were left out are predicted with errors"
)  # of labels at random
@pytest.mark.parametrize(
    "descriptor",
    [SOAP(**SMALL), ACSF(r_cut=5.0, g2_params=[(0.5, 3.0), (0.5, 4.0)], g4_params=[(0.1, 1, 1)], periodic=True)],
)
def test_rows_forces_and_stresses_are_derivatives(descriptor):
    rng = np.random.default_rng(0)
    atoms = bulk("NaCl", "rocksalt", a=5.2)
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.05 * rng.standard_normal((3, 3))), scale_atoms=True)
    atoms.rattle(0.1, seed=1)
    potential = LinearPotential(descriptor, solver=Solver(regularisation=1.0, power=1.0, sigma_energy=0.01))
    frames = [atoms.copy() for _ in range(6)]
    for k, frame in enumerate(frames):
        frame.rattle(0.1, seed=k)
    labels = LabelledStructures.of(
        frames, energies=rng.standard_normal(6), forces=rng.standard_normal((12, 3)), stresses=rng.random((6, 6))
    )
    potential.fit(labels)
    found = potential.predict(atoms)
    h = 1e-4

    def slope(move, strain):
        energies = []
        for k in (-2, -1, 1, 2):
            moved = atoms.copy()
            moved.positions += k * h * move
            moved.set_cell(moved.cell.array @ (np.eye(3) + k * h * strain), scale_atoms=True)
            energies.append(potential.predict(moved).energies)
        return np.dot([1, -8, 8, -1], energies) / (12 * h)

    move, strain = rng.standard_normal((2, 3)), rng.standard_normal((3, 3))
    strain += strain.T
    assert slope(move, np.zeros((3, 3))) == pytest.approx(-(found.forces * move).sum(), rel=1e-6)
    assert slope(0, strain) == pytest.approx((found.stresses * strain).sum() * atoms.get_volume(), rel=1e-6)
    # Rows times coefficients are what is predicted.
    model, batch = potential.model_, labels.structures[:2]
    for term, own in zip(model.terms.terms, model.terms.columns, strict=True):
        rows = np.full((26, term.n_functions + 2), np.nan)[:, 1:-1]
        term.rows(batch, rows)
        energies, gradient, strain = term.predictor(model.coefficients[own]).evaluate(batch)
        line = rows @ model.coefficients[own]
        np.testing.assert_allclose(line[[0, 13]], energies.reshape(2, 2).sum(1), atol=1e-10)
        np.testing.assert_allclose(line[1:7], -gradient[:2].ravel(), atol=1e-10)
        np.testing.assert_allclose(line[-6:], strain[1][[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]], atol=1e-10)


def test_descriptors_of_whole_structures_are_terms_too():
    water = []
    for k in range(10):
        atoms = molecule("H2O")
        atoms.rattle(0.05, seed=k)
        atoms.calc = LennardJones(sigma=0.9, epsilon=0.01, rc=8)
        atoms.calc = SinglePointCalculator(atoms, energy=atoms.get_potential_energy(), forces=atoms.get_forces())
        water.append(atoms)
    descriptor = MBTR(
        geometry={"function": "distance"}, grid={"min": 0.5, "max": 2.5, "n": 20, "sigma": 0.1}, normalization="none"
    )
    # Without a word on stresses, which molecules do not have.
    potential = LinearPotential(descriptor, repulsion=False).fit(water)
    found = potential.predict(water)
    assert np.isnan(found.stresses).all()
    spread = np.std([atoms.get_potential_energy() for atoms in water])
    assert np.abs(found.energies - [atoms.get_potential_energy() for atoms in water]).mean() < 0.2 * spread


def test_parameters_are_scikit_learns(fitted):
    twin = clone(fitted)
    assert not hasattr(twin, "model_")
    assert twin.get_params()["repulsion"] is True
    with pytest.raises(TypeError, match="solver must be a Solver or None, got int"):
        LinearPotential(SOAP(**SMALL), solver=3)
    with pytest.raises(TypeError, match="descriptor must be a Descriptor of atomprint, got str"):
        LinearPotential("SOAP")


def test_scikit_learn_splits_lists_of_structures_and_labels():
    frames = argon(9)
    potential = LinearPotential(SOAP(**SMALL), solver=Solver(n_folds=2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scores = cross_val_score(potential, frames, cv=3)
        np.testing.assert_array_equal(cross_val_score(potential, read_labels(frames), cv=3), scores)
        search = GridSearchCV(potential, {"solver__n_folds": [2, 3]}, cv=2).fit(frames)
    assert (scores > 0.8).all()
    assert search.best_estimator_.predict(frames[0]).forces.shape == (4, 3)


def test_what_they_are_is_seen_at_a_glance(fitted):
    frames = argon(2)
    assert repr(fitted.predict(frames)).startswith("Prediction(2 structures, largest force ")
    said = repr(fitted.predict(frames[0], uncertainty=True))
    assert re.fullmatch(r"Prediction\(energy -?\d\S* ± \S+ eV, largest force \S+ eV/Å, grade \S+\)", said)
    assert repr(fitted.cross_validation_) == "CrossValidation(24 structures in 4 folds)"
    assert repr(fitted.model_) == f"Model({fitted.model_.terms.n_functions} functions of Ar, cutoff 8.72 Å)"
    assert repr(fitted.calculator()) == f"PotentialCalculator({fitted!r})"


def test_labels_that_are_missing_are_left_out():
    frames = argon(16)
    whole = LabelledStructures.of(
        frames,
        energies=[atoms.get_potential_energy() for atoms in frames],
        forces=[atoms.get_forces() for atoms in frames],
        stresses=[atoms.get_stress() for atoms in frames],
    )
    part = whole.pick(np.arange(16))
    part.energies[3], part.forces[8:10], part.stresses[5] = np.nan, np.nan, np.nan
    one = LinearPotential(SOAP(**SMALL), repulsion=False).fit(part)
    assert np.isfinite(one.model_.coefficients).all()
    # A weight of zero is the same as no label.
    weights = np.ones((16, 3))
    weights[3, 0] = weights[5, 2] = 0
    forces = whole.pick(np.arange(16))
    forces.forces[8:10] = np.nan
    two = LinearPotential(SOAP(**SMALL), repulsion=False).fit(forces, weights=weights)
    np.testing.assert_allclose(one.predict(frames).energies, two.predict(frames).energies, atol=1e-5)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of stresses that are not known, and of a small fit
def test_what_has_no_weight_counts_nowhere():
    frames = [*argon(14), Atoms("Ar", cell=[20.0] * 3, pbc=True)]
    energies = np.array([*(atoms.get_potential_energy() for atoms in frames[:-1]), 7.0])  # no energy of an atom
    energies[2] -= 500.0  # nor is this one of a crystal
    forces = [*(atoms.get_forces() for atoms in frames[:-1]), np.zeros((1, 3))]
    labels = LabelledStructures.of(frames, energies=energies, forces=forces)
    bare = LabelledStructures.of(
        frames, energies=[None if k in (2, 14) else energy for k, energy in enumerate(energies)], forces=forces
    )
    weights = np.ones((15, 3))
    weights[[2, 14], 0] = 0
    one = LinearACE(size=10).fit(labels, weights=weights)
    two = LinearACE(size=10).fit(bare)
    assert one.model_.references == two.model_.references
    assert one.model_.summary["holes"] == two.model_.summary["holes"]
    assert one.model_.summary["cross_validation"].keys() == two.model_.summary["cross_validation"].keys()
    assert max(found["mae"] for found in one.model_.summary["cross_validation"].values()) < 1
    with pytest.raises(ValueError, match="none is known and has a weight"):
        LinearACE(size=10).fit(labels, weights=np.zeros(15))


def test_structures_without_labels_do_not_say_how_dense_atoms_may_be():
    frames = argon(12)
    dense = frames[0].copy()
    dense.set_cell(0.6 * dense.cell, scale_atoms=True)
    known = {"energies": [atoms.get_potential_energy() for atoms in frames], "forces": [a.get_forces() for a in frames]}
    fixed = LinearACE(size=10, solver=Solver(sigma_energy=0.002, regularisation=0.03, power=1.0))
    limits = []
    for structures, more in ((frames, []), ([*frames, dense], [None])):
        labels = {name: [*values, *more] for name, values in known.items()}
        with pytest.warns(UserWarning, match="no structure has a stress"):
            model = clone(fixed).fit(LabelledStructures.of(structures, **labels)).model_
        limits.append(model.terms.terms[0].limits)
    assert limits[0] == limits[1]
    dense.numbers[0] = 36
    more = LabelledStructures.of([*frames, dense], energies=[*known["energies"], None])
    kr, stress = "no structure with Kr has a label that is used", "no structure has a stress"
    with pytest.warns(UserWarning, match=stress), pytest.warns(UserWarning, match=kr):
        clone(fixed).fit(more)


@pytest.mark.parametrize("kind", ["energies", "forces"])
def test_one_kind_of_label_is_enough(kind):
    frames = argon(16)
    labels = {"energies": [a.get_potential_energy() for a in frames], "forces": [a.get_forces() for a in frames]}
    with pytest.warns(UserWarning, match="no structure has a stress"):
        potential = LinearPotential(SOAP(**SMALL), repulsion=False).fit(
            LabelledStructures.of(frames, **{kind: labels[kind]})
        )
    found = potential.predict(frames)
    # Forces alone say nothing of how the energy changes with the cell.
    one = np.concatenate(found.forces) if kind == "forces" else found.energies
    assert np.corrcoef(np.ravel(one), np.ravel(labels[kind]))[0, 1] > 0.98


def test_weights_go_by_type_of_configuration(fitted):
    frames = argon(12)
    labels = LabelledStructures.of(
        frames, energies=[a.get_potential_energy() for a in frames], config_types=["a", "b"] * 6
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = LinearPotential(SOAP(**SMALL), repulsion=False).fit(labels, weights={"a": (2, 1, 1)})
        two = LinearPotential(SOAP(**SMALL), repulsion=False).fit(labels, weights=np.array([2.0, 1.0] * 6))
    np.testing.assert_array_equal(one.model_.coefficients, two.model_.coefficients)
    with pytest.raises(ValueError, match="weights: there is no type of configuration 'c', only 'a', 'b'"):
        LinearPotential(SOAP(**SMALL), repulsion=False).fit(labels, weights={"c": 1})
    bare = LabelledStructures.of(frames, energies=labels.energies)
    with pytest.raises(
        ValueError, match=r"types of configuration are named \('liquid'\), but structures have none: con"
    ):
        LinearPotential(SOAP(**SMALL), repulsion=False).fit(bare, weights={"liquid": 2})
    with pytest.raises(ValueError, match=r"weights must have shape \(12,\) or \(12, 3\), got \(3,\)"):
        LinearPotential(SOAP(**SMALL), repulsion=False).fit(labels, weights=[1, 2, 3])


DISTANCES = {
    "geometry": {"function": "distance"},
    "grid": {"min": 0, "max": 6, "n": 20, "sigma": 0.2},
    "weighting": {"function": "inverse_square", "r_cut": 5.0},
}


@pytest.mark.parametrize(
    "descriptor", [SOAP(5.0, 3, 2), MBTR(species=["Ar", "Kr"], periodic=False, **DISTANCES)], ids=["by atom", "as one"]
)
def test_energies_of_atoms_are_linear_too(descriptor):
    trimers = [Atoms("ArKr2", [[0, 0, 0], [0, 0, 3], [0, 2 + k, 2]]) for k in range(3)]
    batch = as_batch(trimers, periodic=None)
    term = PreparedDescriptor(descriptor.fit(trimers), (18, 36))
    atoms, sums = np.full((9, term.n_functions), np.nan), np.empty((3, term.n_functions))
    term.atoms(batch, atoms)
    term.sums(batch, sums)
    np.testing.assert_allclose(np.add.reduceat(atoms, batch.offsets[:-1]), sums, atol=1e-12)
    coefficients = np.random.default_rng(0).normal(size=term.n_functions)
    np.testing.assert_allclose(term.predictor(coefficients).evaluate(batch)[0], atoms @ coefficients, atol=1e-10)


@pytest.mark.parametrize(
    ("descriptor", "reach"),
    [
        (SOAP(5.0, 4, 2), 5.0 + 3.717),
        (SOAP(5.0, 4, 2, cutoff_width=1.0), 5.0),
        (ACSF(r_cut=4.0, species=["Ar"], g2_params=[[1, 1]]), 4.0),
        (MBTR(species=["Ar"], periodic=False, **DISTANCES), 5.0),
    ],
)
def test_cutoffs_are_those_beyond_which_atoms_do_not_matter(descriptor, reach):
    term = PreparedDescriptor(descriptor.fit([Atoms("Ar")]), (18,))
    assert term.cutoff == pytest.approx(reach, abs=1e-3)
    far, near = (term_sums(term, term.cutoff + beyond) for beyond in (1e-6, -0.3))
    np.testing.assert_array_equal(far, term_sums(term, 40.0))
    assert (near != far).any()


def term_sums(term, distance):
    out = np.empty((1, term.n_functions))
    term.sums(as_batch(Atoms("Ar2", [[0, 0, 0], [0, 0, distance]]), periodic=None), out)
    return out


def test_moving_atoms_are_the_same_atoms(fitted):
    atoms = argon(1, seed=7)[0]
    kept = fitted.prepare(atoms)
    atoms.rattle(0.05, seed=1)
    energies, gradient, strain = kept.evaluate(atoms.positions, atoms.cell.array[None])
    found = fitted.predict(atoms)
    np.testing.assert_allclose(energies.sum(), found.energies, rtol=1e-12)
    np.testing.assert_allclose(-gradient, found.forces, atol=1e-12)
    np.testing.assert_allclose(strain[0] / atoms.get_volume(), found.stresses, atol=1e-12)


def test_unknown_species_are_named(fitted):
    atoms = argon(1)[0]
    atoms.numbers[1] = 11
    with pytest.raises(ValueError, match="structure 0, atom 1: species must be among Ar, got Na"):
        fitted.predict(atoms)


def test_near_atoms_are_told(fitted):
    with pytest.warns(UserWarning, match="nearer than in any of the training data"):
        fitted.predict(bulk("Ar", cubic=True, a=4.0))


def test_an_unfitted_potential_says_so(tmp_path):
    with pytest.raises(ValueError, match="LinearPotential: call fit first"):
        LinearPotential(SOAP(**SMALL)).save(tmp_path / "none.npz")


def test_the_calculator_relaxes_positions_and_cell(fitted):
    atoms = bulk("Ar", cubic=True, a=5.4)
    atoms.rattle(0.05, seed=2)
    with pytest.raises(ValueError, match="call fit first"):
        LinearPotential(SOAP(**SMALL)).calculator()
    atoms.calc = fitted.calculator(uncertainty=True)
    found = fitted.predict(atoms, uncertainty=True)
    assert atoms.get_potential_energy() == pytest.approx(found.energies)
    np.testing.assert_allclose(atoms.get_forces(), found.forces, atol=1e-12)
    np.testing.assert_allclose(atoms.get_stress(voigt=False), found.stresses, atol=1e-12)
    assert atoms.get_potential_energies().sum() == pytest.approx(found.energies)
    assert atoms.calc.results["energy_std"] == pytest.approx(found.energies_std)
    assert atoms.calc.results["grade"] == pytest.approx(found.grades)
    LBFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-3, steps=60)
    assert np.abs(atoms.get_forces()).max() < 1e-3
    assert np.abs(atoms.get_stress()).max() < 1e-4
    atoms.positions[2, 1] = np.nan
    with pytest.raises(ValueError, match="atom 2: position must be finite"):
        atoms.get_forces()


def test_sums_of_potentials_are_fitted_together(tmp_path):
    parts = [
        LinearPotential(SOAP(**SMALL), repulsion=False),
        LinearPotential(ACSF(r_cut=5.0, g2_params=[(0.5, 3.8)], periodic=True)),
    ]
    frames = argon(16)
    both = SumPotential(parts, repulsion=False).fit(frames)
    assert both.model_.terms.n_functions == both.model_.terms.terms[0].n_functions + 2 + 1  # G1, G2, a constant
    both.save(tmp_path / "sum.npz")
    again = load_potential(tmp_path / "sum.npz")
    np.testing.assert_array_equal(again.predict(frames).energies, both.predict(frames).energies)
    with pytest.raises(TypeError, match="potentials must be potentials, got int"):
        SumPotential([3])


def test_contradicting_labels_are_told():
    frames = argon(16)
    forces = [-atoms.get_forces() for atoms in frames]
    labels = LabelledStructures.of(frames, energies=[atoms.get_potential_energy() for atoms in frames], forces=forces)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        potential = LinearPotential(SOAP(**SMALL), repulsion=False).fit(labels)
    assert any("opposite signs" in str(one.message) for one in caught)
    assert any("opposite signs" in one for one in potential.model_.summary["warnings"])


def test_a_committee_spreads_where_little_is_known(fitted):
    members = fitted.committee(20)
    near, far = bulk("Ar", cubic=True, a=5.35), bulk("Ar", cubic=True, a=4.9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spread = [np.std([member.predict(atoms).energies for member in members]) for atoms in (near, far)]
        expected = fitted.predict([near, far], uncertainty=True)
    assert spread[1] > 3 * spread[0]
    assert expected.grades[1] > 1 > expected.grades[0]
    assert spread[1] == pytest.approx(expected.energies_std[1], rel=0.5)


@pytest.mark.slow
def test_intervals_hold_what_they_say_of_few_data():
    solver = Solver(sigma_energy=0.002, regularisation=0.03, power=1.0)
    within, said = [], []
    for seed in range(5):
        found = LinearPotential(SOAP(**SMALL), repulsion=False, solver=solver).fit(argon(24, seed=1000 * seed))
        held = argon(24, seed=1000 * seed + 500)
        expected = found.predict(held, uncertainty=True)
        errors = expected.energies - [atoms.get_potential_energy() for atoms in held]
        of_forces = np.array(expected.forces) - [atoms.get_forces() for atoms in held]
        within.append([np.mean(abs(errors) < 1.645 * expected.energies_std)])
        within[-1].append(np.mean(abs(of_forces) < 1.645 * np.array(expected.forces_std)))
        said.append([found.model_.summary["coverage"][kind] for kind in ("energies", "forces")])
        assert (expected.grades > 1).mean() < 0.3
    assert 0.85 < np.min(np.mean(within, axis=0)) < np.max(np.mean(within, axis=0)) < 0.95
    assert 0.85 < np.min(np.mean(said, axis=0)) < np.max(np.mean(said, axis=0)) < 0.95


def test_the_order_of_structures_changes_nothing():
    frames = argon(12)
    shuffled = np.random.default_rng(0).permutation(12)
    one, other = (LinearPotential(SOAP(**SMALL), repulsion=False) for _ in range(2))
    one.fit(frames, weights=np.linspace(1, 2, 12))
    other.fit([frames[k] for k in shuffled], weights=np.linspace(1, 2, 12)[shuffled])
    np.testing.assert_array_equal(one.model_.coefficients, other.model_.coefficients)
    assert one.model_.uncertainty.calibrations == other.model_.uncertainty.calibrations
    for name in ("folds", "energies", "stresses"):
        np.testing.assert_array_equal(
            getattr(one.cross_validation_, name)[shuffled], getattr(other.cross_validation_, name)
        )
    forces = one.cross_validation_.forces.reshape(12, -1)[shuffled]
    np.testing.assert_array_equal(forces, other.cross_validation_.forces.reshape(12, -1))


@pytest.mark.filterwarnings("ignore:.* There are too few data")
@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_structures_are_fitted_too(n):
    frames = argon(n)
    found = LinearPotential(SOAP(**SMALL), repulsion=False).fit(frames).predict(frames, uncertainty=True)
    assert np.abs(found.energies - [atoms.get_potential_energy() for atoms in frames]).max() < 0.01
    assert np.isfinite(found.energies_std).all()


def test_a_fold_may_have_no_label_of_a_kind():
    frames = argon(40)
    folds = Solver().folds([""] * 40, np.arange(40))
    forces = [atoms.get_forces() if fold else None for atoms, fold in zip(frames, folds, strict=True)]
    labels = LabelledStructures.of(frames, energies=[a.get_potential_energy() for a in frames], forces=forces)
    with pytest.warns(UserWarning, match="no structure has a stress"):
        potential = LinearPotential(SOAP(**SMALL), repulsion=False).fit(labels)
    assert potential.score(frames) > 0.9


def test_checkpoints_are_removed_at_the_end(tmp_path, fitted):
    path = tmp_path / "argon.checkpoint"
    told = []
    again = LinearPotential(SOAP(**SMALL)).fit(argon(24), checkpoint=path, progress=lambda *step: told.append(step))
    assert not path.exists()
    np.testing.assert_array_equal(again.model_.coefficients, fitted.model_.coefficients)
    assert told[0][0].startswith("memory: at most ")
    assert [step for step in told if step[0] == "rows"][-1][1:] == (24, 24)


@pytest.mark.slow
def test_a_fit_that_is_killed_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(factors, "_ROWS", 64)
    write(tmp_path / "argon.extxyz", argon(24))
    code = """
import os, signal, sys
from atomprint.descriptors import SOAP
from atomprint.potentials import LinearPotential
from atomprint.potentials import fit
from atomprint.potentials.fitting import factors
from atomprint.potentials.linear import PreparedDescriptor
from atomprint.structures import as_batch
factors._ROWS, factors._SECONDS, factors._SHARE = 64, 0.0, 0.0
def progress(step, done, total):
    if step == "rows" and done >= 12:
        os.kill(os.getpid(), signal.SIGKILL)
LinearPotential(SOAP(r_cut=5.0, n_max=4, l_max=2, periodic=True), repulsion=False).fit(
    sys.argv[1], checkpoint=sys.argv[2], progress=progress
)
"""
    path = tmp_path / "argon.checkpoint"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "argon.extxyz"), str(path)], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert path.exists()
    told = []
    potential = LinearPotential(SOAP(**SMALL), repulsion=False).fit(
        tmp_path / "argon.extxyz", checkpoint=path, progress=lambda *step: told.append(step)
    )
    # What was done is not done again, and the rest is cut as before.
    assert 0 < next(step for step in told if step[0] == "rows")[1] <= 12
    expected = LinearPotential(SOAP(**SMALL), repulsion=False).fit(tmp_path / "argon.extxyz")
    frames = argon(4, seed=50)
    np.testing.assert_array_equal(potential.predict(frames).energies, expected.predict(frames).energies)
    assert not path.exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sparse": True}, "descriptor must have sparse=False"),
        ({"centers": [0]}, "descriptor must have centers=None"),
        (
            {"pooling": "mean"},
            "descriptor must have pooling=None or pooling='sum', as energies are sums over all atoms",
        ),
        ({"average": "inner"}, "descriptor must have average='off'"),
    ],
)
def test_descriptors_that_are_no_sums_over_atoms_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        LinearPotential(SOAP(**SMALL, **given))
    grid = {"geometry": {"function": "distance"}, "grid": {"min": 0.5, "max": 2.5, "n": 20, "sigma": 0.1}}
    with pytest.raises(ValueError, match="descriptor must have normalization='none'"):
        LinearPotential(MBTR(**grid, normalization="n_atoms"))
    matrices = CoulombMatrix(), SineMatrix(), EwaldSumMatrix()
    for descriptor in (*matrices, NeighbourStatistics(r_cut=4.0), PowderDiffraction()):
        with pytest.raises(ValueError, match=f"a sum over all atoms, .* got {type(descriptor).__name__}"):
            LinearPotential(descriptor)


def test_a_checkpoint_of_another_version_is_not_gone_on_with(tmp_path, monkeypatch):
    monkeypatch.setattr(factors, "_SECONDS", 0.0)
    monkeypatch.setattr(factors, "_SHARE", 0.0)
    monkeypatch.setattr(factors, "_ROWS", 64)

    def stop(step, done, total):
        if step == "rows" and done >= 6:
            raise KeyboardInterrupt

    path = tmp_path / "argon.checkpoint"
    with pytest.raises(KeyboardInterrupt):
        LinearPotential(SOAP(**SMALL)).fit(argon(12), checkpoint=path, progress=stop)
    with monkeypatch.context() as other:
        other.setattr(fit, "versions", lambda: {"atomprint": "0.0"})
        with pytest.raises(ValueError, match=r"is of another fit, .* or by other versions of programs"):
            LinearPotential(SOAP(**SMALL)).fit(argon(12), checkpoint=path)
    with monkeypatch.context() as other:
        other.setitem(registry._KNOWN, "SOAP", registry.KNOWN["SOAP"]._replace(version=99))
        with pytest.raises(ValueError, match="is of another fit"):
            LinearPotential(SOAP(**SMALL)).fit(argon(12), checkpoint=path)
    LinearPotential(SOAP(**SMALL)).fit(argon(12), checkpoint=path)
    assert not path.exists()


def test_a_checkpoint_that_cannot_be_is_told_before_the_work(tmp_path):
    for path in (tmp_path, tmp_path / "none" / "fit.checkpoint"):
        with pytest.raises(ValueError, match="checkpoint must be a file in a folder that is there"):
            LinearPotential(SOAP(**SMALL)).fit(argon(2), checkpoint=path)
    other = tmp_path / "notes.txt"
    other.write_text("of somebody")
    with pytest.raises(ValueError, match=r"checkpoint: remove it, or give another name: .*notes.txt' is no .npz file"):
        LinearPotential(SOAP(**SMALL)).fit(argon(2), checkpoint=other)
    assert other.read_text() == "of somebody"


def test_isolated_atoms_alone_are_fitted_to_their_energies():
    alone = LabelledStructures.of([Atoms("Ar"), Atoms("Ne")], energies=[-3.0, -2.0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        potential = LinearPotential(SOAP(r_cut=4.0, n_max=2, l_max=1), repulsion=False).fit(alone)
    np.testing.assert_allclose(potential.predict([Atoms("Ne"), Atoms("Ar")]).energies, [-2.0, -3.0])


@pytest.mark.filterwarnings("ignore:the potential has holes")
@pytest.mark.filterwarnings("ignore:.* There are too few data")
def test_energies_of_atoms_that_are_given_stay_as_they_are():
    made = []
    for k in range(8):
        atoms = bulk("Cu", cubic=True, a=3.7 + 0.02 * k)
        atoms.symbols[: k % 4] = "Au"
        atoms.rattle(0.05, seed=k)
        atoms.calc = EMT()
        energy = atoms.get_potential_energy() + np.where(atoms.numbers == 29, -7.0, -30.0).sum()
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=atoms.get_forces(), stress=atoms.get_stress())
        made.append(atoms)
    fitted = LinearACE(10, r_cut=4.0, references={"Cu": -7.0}, solver=Solver(n_folds=2)).fit(made)
    assert fitted.predict(Atoms("Cu")).energies == -7.0
    assert fitted.model_.summary["references"]["kind"] == "fitted"


def test_scores_take_the_keys_of_labels():
    frames = argon(8)
    for atoms in frames:
        atoms.info |= {"dft_energy": atoms.get_potential_energy(), "other_energy": 1.0}
        atoms.info["virial"] = np.eye(3)  # whose sign nobody knows: no score asks for it
        atoms.arrays["forces"] = atoms.get_forces()
        atoms.calc = None
    potential = LinearPotential(SOAP(**SMALL), solver=Solver(n_folds=2))
    with pytest.warns(UserWarning, match="no structure has a stress"):
        potential.fit(frames, energy_key="dft_energy", stress_key="")
    assert potential.score(frames, energy_key="dft_energy") > 0.9
    with pytest.raises(ValueError, match="energy_key must be given"):
        potential.score(frames)


def test_weights_of_a_type_are_one_or_three():
    with pytest.raises(ValueError, match=r"weights: one number or three must be given for '', got \[1, 2\]"):
        LinearPotential(SOAP(**SMALL)).fit(argon(4), weights={"": [1, 2]})


@pytest.mark.filterwarnings("ignore::UserWarning")  # a potential of eight structures is poor
@pytest.mark.parametrize("with_ace", [True, False])
def test_an_embedding_that_was_learnt_is_in_the_file(with_ace, tmp_path):
    frames = argon(8)
    for k, atoms in enumerate(frames):
        atoms.symbols[: k % 3] = "Kr"
        atoms.calc = SinglePointCalculator(atoms, **atoms.calc.results)
    learnt = LearnedEmbedding(n_channels=2).fit(frames, np.arange(8.0))
    few = {"r_cut": 5.0, "n_max": 2, "l_max": 1, "species_embedding": learnt}
    made = LinearACE(ace=ACE(**few, n_functions=10)) if with_ace else LinearPotential(SOAP(**few))
    made.set_params(solver=Solver(n_folds=2), repulsion=False).fit(frames)
    found = made.predict(frames[0])
    made.save(tmp_path / "it.npz")
    np.testing.assert_array_equal(load_potential(tmp_path / "it.npz").predict(frames[0]).forces, found.forces)
    assert made.model_.summary["coverage"]["forces"] > 0.5
    assert np.isnan(made.model_.summary["coverage"]["energies"])  # 4 errors tell nothing of the other 4
