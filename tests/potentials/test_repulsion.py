"""The repulsive core: its curve, its derivatives, and how it takes its ranges from data."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from atomprint.potentials import Repulsion
from atomprint.potentials.short_range.repulsion import INNER_RANGE, ZBL_RANGE, zbl
from atomprint.structures import StructureError, as_batch


@pytest.fixture(scope="module")
def core():
    rattled = bulk("GaAs", "zincblende", 5.6, cubic=True)
    rattled.rattle(0.1, seed=1)
    return Repulsion.fit([rattled, bulk("GaAs", "zincblende", 5.3)])


@pytest.fixture(scope="module")
def dense():
    """Return a triclinic cell smaller than the core reaches, and a molecule, both of atoms that are too close."""
    cell = Atoms("GaAs", [[0, 0, 0], [0.9, 0.8, 0.9]], cell=[[1.9, 0.1, 0], [0.2, 2.1, 0.3], [0, 0.1, 1.8]], pbc=True)
    return [cell, Atoms("GaAs2", [[0, 0, 0], [1.1, 0, 0.2], [0.1, 1.4, 0]])]


def test_zbl_is_the_formula():
    r, z1, z2 = 1.3, 14, 49
    x = r * (z1**0.23 + z2**0.23) / (0.8854 * 0.529177)
    phi = 0.18175 * np.exp(-3.1998 * x) + 0.50986 * np.exp(-0.94229 * x)
    phi += 0.28022 * np.exp(-0.4029 * x) + 0.02817 * np.exp(-0.20162 * x)
    energy, slope = zbl(z1, z2, r)
    assert energy == pytest.approx(14.399645 * z1 * z2 / r * phi, rel=1e-3)  # the length has been rounded
    assert slope == pytest.approx((zbl(z1, z2, r + 1e-5)[0] - zbl(z1, z2, r - 1e-5)[0]) / 2e-5, rel=1e-8)
    # The repulsion tends to that of bare nuclei.
    assert zbl(z1, z2, 1e-7)[0] * 1e-7 == pytest.approx(14.399645 * z1 * z2, rel=1e-5)


def test_it_falls_to_zero_with_two_continuous_derivatives(core):
    start, end = core.zbl_ranges[0, 1]
    r = np.linspace(0.3, end + 0.5, 4000)
    energy, slope = core.curve("Ga", "As", r)
    assert (slope <= 0).all()
    assert not energy[r >= end].any()
    np.testing.assert_array_equal(energy[r <= start], zbl(31, 33, r[r <= start])[0])
    for at in (start, end):
        near = core.curve(31, "As", [at - 1e-4, at, at + 1e-4])[1]
        assert near[2] - near[1] == pytest.approx(near[1] - near[0], rel=1e-2, abs=1e-5)


def test_forces_and_strain_are_derivatives(core, dense):
    energies, gradient, strain = core.evaluate(dense)
    batch = as_batch(dense, periodic=None)
    total = np.add.reduceat(energies, batch.offsets[:-1])
    assert (total > 10).all()
    rng = np.random.default_rng(0)
    step = rng.normal(size=batch.positions.shape)
    for h in (1e-4, 1e-5):
        up, down = (core.evaluate(batch.moved(batch.positions + s * step, batch.cells))[0].sum() for s in (h, -h))
        assert (gradient * step).sum() == pytest.approx((up - down) / (2 * h), rel=1e-6)
    bend = rng.normal(size=(3, 3))
    for h in (1e-5, 1e-6):
        up, down = (
            core.evaluate(
                batch.moved(batch.positions @ (np.eye(3) + s * bend).T, batch.cells @ (np.eye(3) + s * bend).T)
            )[0]
            for s in (h, -h)
        )
        change = np.add.reduceat(up - down, batch.offsets[:-1]) / (2 * h)
        np.testing.assert_allclose((strain * bend).sum(axis=(1, 2)), change, rtol=1e-5)
    np.testing.assert_allclose(strain, strain.swapaxes(1, 2), rtol=1e-12)
    np.testing.assert_allclose(gradient[batch.offsets[1] :].sum(axis=0), 0, atol=1e-9)


def test_ranges_are_those_of_the_shortest_distances(core):
    rattled = bulk("GaAs", "zincblende", 5.6, cubic=True)
    rattled.rattle(0.1, seed=1)
    assert core.species == (31, 33)
    nearest = 5.3 * 3**0.5 / 4
    assert (
        core.shortest[0, 1]
        == core.shortest[1, 0]
        == pytest.approx(min(nearest, rattled.get_all_distances(mic=True)[0, 4:].min()), abs=0.2)
    )
    # Two atoms of gallium come no nearer than 3.5 Å: the radii stand for them.
    np.testing.assert_allclose(core.inner_ranges[0, 0], 1.3 * 2 * 1.22 * np.array(INNER_RANGE))
    assert core.inner[33, 31] == core.inner[31, 33] == tuple(core.inner_ranges[1, 0])
    np.testing.assert_allclose(core.zbl_ranges[0, 1], core.shortest[0, 1] * np.array(ZBL_RANGE))


def test_atoms_on_top_of_each_other_do_not_stand_for_the_shortest_distance():
    core = Repulsion.fit([bulk("Cu"), Atoms("Cu2", [[0, 0, 0], [0.05, 0, 0]])])
    assert core.shortest[0, 0] == pytest.approx(0.05)
    np.testing.assert_allclose(core.inner_ranges[0, 0], 0.3 * 2 * 1.32 * np.array(INNER_RANGE))


def test_species_that_never_meet_have_ranges_all_the_same():
    core = Repulsion.fit([molecule("H2O"), bulk("NaCl", "rocksalt", 5.64)])
    hydrogen, chlorine = core.species.index(1), core.species.index(17)
    assert np.isinf(core.shortest[hydrogen, chlorine])
    assert np.isfinite(core.zbl_ranges).all()
    assert core.inner_ranges[hydrogen, chlorine, 0] < 1.3 * (0.31 + 1.02)
    wider = Repulsion.fit(molecule("H2O"), species=["O", "H", "Na"])
    assert wider.species == (1, 8, 11)


def test_atoms_nearer_than_any_in_the_data_are_told_once_for_each_pair(core):
    nearest = core.shortest[0, 1]
    with np.errstate(all="raise"):
        assert core.closer(bulk("GaAs", "zincblende", 5.3)) == []
    with pytest.warns(UserWarning, match=r"nearer than in any .* structure 1, atoms 0 and 1: Ga and As are 0\.900 Å"):
        assert core.warn_closer(
            [Atoms("GaAs", [[0, 0, 0], [nearest - 0.05, 0, 0]]), Atoms("GaAs", [[0, 0, 0], [0.9, 0, 0]])]
        )
    assert "none within" in core.closer(Atoms("Ga2", [[0, 0, 0], [2.0, 0, 0]]))[0]


def test_another_species_is_refused(core):
    with pytest.raises(StructureError, match="structure 1, atom 0: species must be among Ga, As, got Si"):
        core.evaluate([bulk("GaAs", "zincblende", 5.6), bulk("Si")])
    with pytest.raises(ValueError, match="species must be among Ga, As, got Si"):
        core.curve("Ga", "Si", 2.0)


def test_it_comes_back_from_its_state(core, dense):
    again = Repulsion.from_state(core.state())
    for one, other in zip(again.evaluate(dense), core.evaluate(dense), strict=True):
        np.testing.assert_array_equal(one, other)
    spoilt = core.state() | {"zbl_ranges": core.zbl_ranges[..., ::-1]}
    with pytest.raises(ValueError, match="zbl_ranges must be finite and ascend"):
        Repulsion.from_state(spoilt)
