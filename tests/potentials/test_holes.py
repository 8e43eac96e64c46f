"""Holes: pseudo-structures close them without harm to the fit, and what is left is found and told."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.lj import LennardJones

from atomprint.descriptors import SOAP
from atomprint.neighbours import find_pairs
from atomprint.potentials import LabelledStructures, LinearPotential, Repulsion
from atomprint.potentials.short_range.dense import crystals, other_crystals
from atomprint.potentials.short_range.level import Level
from atomprint.potentials.short_range.scan import scan_holes

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


def test_pseudo_structures_rise_as_they_get_denser():
    pseudo = CORE.pseudo_structures(100, 1)
    each = pseudo.energies / pseudo.structures.n_atoms
    shares = nearest_shares(pseudo.structures, CORE.near)
    assert (each >= 0).all()
    assert np.median(each[shares < 0.7]) > 10 * np.median(each[shares > 1.1])
    assert (pseudo.sigmas >= pseudo.structures.n_atoms).all()


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
