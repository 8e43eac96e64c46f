"""Holes: pseudo-structures close them without harm to the fit, and what is left is found and told."""

import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from atomprint.descriptors import SOAP
from atomprint.neighbours import find_pairs
from atomprint.potentials import LabelledStructures, LinearACE, LinearPotential, Repulsion
from atomprint.potentials.short_range import dense
from atomprint.potentials.short_range.dense import compressed, crystals, other_crystals
from atomprint.potentials.short_range.inequalities import Inequalities
from atomprint.potentials.short_range.level import Level
from atomprint.potentials.short_range.pseudo import PseudoData
from atomprint.potentials.short_range.scan import scan_holes
from atomprint.potentials.terms.sums import Offsets
from atomprint.structures import as_batch

CORE = Repulsion.fit(bulk("NaCl", "rocksalt", 5.2))
LEVEL = Level({11: -1.0, 17: -2.0}, -0.1)


class Pit:
    """So many eV for each atom of dense crystals, and for each of a dimer that is near."""

    def __init__(self, depth):
        self.depth = depth

    def evaluate(self, batch, n_jobs=1):
        volumes = np.abs(np.linalg.det(batch.cells)) / batch.n_atoms
        deep = np.where(volumes < 8, self.depth, 0.0)
        found = find_pairs(batch, 1.2)
        deep[np.unique(found.structures[(batch.n_atoms == 2)[found.structures]])] = self.depth
        return np.repeat(deep, batch.n_atoms), np.zeros((len(batch.numbers), 3)), np.zeros((len(batch), 3, 3))


def nearest_shares(batch, near):
    found = find_pairs(batch, 6.0)
    start = batch.offsets[found.structures]
    ends = zip(batch.numbers[start + found.first].tolist(), batch.numbers[start + found.second].tolist(), strict=True)
    shares = np.full(len(batch), np.inf)
    np.minimum.at(shares, found.structures, found.distances / np.array([near[pair] for pair in ends]))
    return shares


@pytest.mark.parametrize("make", [crystals, other_crystals])
@pytest.mark.parametrize("periodic", [True, False])
def test_dense_crystals_are_as_dense_as_is_asked_for(make, periodic):
    batch = make(CORE.species, CORE.near, 60, (0.6, 1.1), 3, periodic)
    shares = nearest_shares(batch, CORE.near)
    assert len(batch) == 60
    assert shares.min() >= 0.6 - 1e-9
    assert shares.max() <= 1.1 + 1e-9
    assert batch.pbc.all() == batch.pbc.any() == periodic
    assert len({tuple(np.unique(atoms.numbers)) for atoms in batch}) == 3
    again = make(CORE.species, CORE.near, 60, (0.6, 1.1), 3, periodic)
    np.testing.assert_array_equal(again.positions, batch.positions)


def test_structures_of_data_are_made_denser():
    salt = bulk("NaCl", "rocksalt", 5.2)
    slab = salt.repeat((1, 1, 2))
    slab.pbc = [True, True, False]
    data = as_batch([salt, slab, Atoms("Na")], periodic=None)
    batch = compressed(data, CORE.near, 60, (0.6, 1.1), 3)
    shares = nearest_shares(batch, CORE.near)
    assert len(batch) > 50
    assert shares.min() >= 0.6 - 1e-9
    assert shares.max() <= 1.1 + 1e-9
    assert {tuple(pbc) for pbc in batch.pbc.tolist()} == {(True, True, True), (True, True, False)}
    assert len({tuple(np.unique(atoms.numbers)) for atoms in batch}) == 3
    assert len(compressed(as_batch(Atoms("Na"), periodic=False), CORE.near, 60, (0.6, 1.1), 3)) == 0


def test_few_large_structures_of_data_are_made_denser(monkeypatch):
    monkeypatch.setattr(dense, "_MOST_DRAWN", 100)
    data = as_batch([bulk("NaCl", "rocksalt", 5.2).repeat((2, 2, 3))], periodic=None)
    assert 0 < len(compressed(data, CORE.near, 60, (0.6, 1.1), 3)) <= 4


def test_pseudo_structures_rise_as_they_get_denser():
    alone = Offsets({11: -0.5, 17: -1.5})
    pseudo = PseudoData(CORE, alone, LEVEL, as_batch([bulk("NaCl", "rocksalt", a) for a in (5.2, 5.6, 6.0)]))
    dense, clusters = pseudo.dense(100, 1), pseudo.clusters(30, 1)
    for batch, demands, base in (
        (dense, pseudo.of_dense(dense), LEVEL.lowest_of(dense)),
        (clusters, pseudo.of_clusters(clusters), np.add.reduceat(alone.of(clusters), clusters.offsets[:-1])),
    ):
        known = np.add.reduceat(CORE.evaluate(batch)[0] + alone.of(batch), batch.offsets[:-1])
        shares = nearest_shares(batch, CORE.near)
        for one in demands:
            each = (one.energies + known - base) / batch.n_atoms
            assert (each > -1e-4).all()  # tables of the repulsion are not exact
            assert np.median(each[shares < 0.7]) > 10 * np.median(each[shares > 1.1])
            assert (one.energies >= one.least).all()
        assert (demands[0].sigmas >= batch.n_atoms).all()
    assert not np.isfinite(PseudoData(CORE, alone, None, dense).of_dense(dense)[0].least).any()


def test_inequalities_are_least_squares_with_those_rows_that_are_not_fulfilled():
    rng = np.random.default_rng(0)
    a, y = rng.normal(size=(60, 20)), rng.normal(size=60)
    triangle = np.linalg.qr(np.column_stack([a, y]), mode="r")
    free = np.linalg.lstsq(a, y, rcond=None)[0]
    rows, sigmas = rng.normal(size=(50, 20)), rng.uniform(0.01, 1, 50)
    targets = rows @ free + rng.normal(size=50)
    fit = Inequalities(triangle)
    np.testing.assert_allclose(fit.coefficients, free)
    for part in (slice(0, 30), slice(30, 50)):
        fit.add(rows[part], targets[part], sigmas[part])
        x = fit.solve()
    short = np.maximum(targets - rows @ x, 0)
    assert 5 < (short > 0).sum() < 45
    np.testing.assert_allclose(a.T @ (a @ x - y), rows.T @ (short / sigmas**2), atol=1e-8 * abs(a.T @ y).max())
    held = fit.rows()
    np.testing.assert_allclose(
        np.linalg.lstsq(np.vstack([a, held[:, :-1]]), np.append(y, held[:, -1]), rcond=None)[0], x
    )
    assert fit.converged
    fit.keep(0)
    np.testing.assert_allclose(fit.solve(), free)


def test_inequalities_tell_when_steps_run_out(monkeypatch):
    monkeypatch.setattr("atomprint.potentials.short_range.inequalities._STEPS", 1)
    rng = np.random.default_rng(0)
    fit = Inequalities(np.linalg.qr(rng.normal(size=(60, 21)), mode="r"))
    fit.add(rng.normal(size=(50, 20)), rng.normal(size=50), np.full(50, 0.01))
    fit.solve()
    assert not fit.converged


def test_closing_removes_holes(monkeypatch):
    frames = []
    for k in range(20):
        atoms = bulk("CuAu", "cesiumchloride", a=3.0 + 0.03 * (k % 4), cubic=True).repeat((2, 1, 1))
        atoms.rattle(0.12, seed=k)
        atoms.calc = EMT()
        frames.append(atoms)
    labels = LabelledStructures.of(
        frames,
        energies=[a.get_potential_energy() for a in frames],
        forces=[a.get_forces() for a in frames],
        stresses=[a.get_stress(voigt=False) for a in frames],
    )

    def fitted():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return LinearACE(size=100, r_cut=4.0).fit(labels)

    # What that costs structures that are left out, of so few, is another matter.
    monkeypatch.setattr("atomprint.potentials.short_range.closing._COST", 1e6)
    closed = fitted()
    monkeypatch.setattr("atomprint.potentials.fit.close_holes", lambda *arguments, **options: [])
    left = fitted()
    found = [potential.model_.summary["holes"] for potential in (left, closed)]
    assert len(found[0]["holes"]) > 5
    assert found[1] == {"n_crystals": 200, "holes": [], "falling": []}


def test_holes_are_found_and_told():
    sound = scan_holes([CORE], CORE, LEVEL)
    assert sound.warning is None
    assert sound.n_crystals == 200
    found = scan_holes([CORE, Pit(-300.0)], CORE, LEVEL)
    assert 0 < len(found.holes) < 200
    assert "of 200 crystals that are denser than the data lie below all of them in energy, such as" in found.warning
    assert "Na-Cl attract each other at" in found.warning
    assert scan_holes([CORE, Pit(-300.0)], CORE, None).n_crystals == 0  # without energies in the data nothing is known


def test_a_fit_has_no_holes_and_is_no_worse():
    frames = []
    for k in range(10):
        atoms = bulk("Ar", cubic=True, a=5.1 + 0.03 * k)
        atoms.rattle(0.1, seed=k)
        atoms.calc = LennardJones(sigma=3.4, epsilon=0.0104, rc=5.0, smooth=True)
        frames.append(atoms)
    labels = LabelledStructures.of(
        frames, energies=[a.get_potential_energy() for a in frames], forces=[a.get_forces() for a in frames]
    )
    soap = SOAP(r_cut=5.0, n_max=3, l_max=2, periodic=True)
    errors = []
    for repulsion in (False, True):
        with pytest.warns(UserWarning, match="no structure has a stress"):
            potential = LinearPotential(soap, repulsion=repulsion).fit(labels)
        found = np.concatenate(potential.predict(frames).forces)
        errors.append(np.sqrt(np.mean((found - labels.forces) ** 2)))
    assert errors[1] < 1.1 * errors[0]
    assert potential.model_.summary["holes"] == {"n_crystals": 200, "holes": [], "falling": []}
