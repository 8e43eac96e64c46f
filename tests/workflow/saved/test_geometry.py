"""Volumes per atom, distances and numbers of neighbours: measured, usual, unusual."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, make_supercell, molecule
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list

from atomprint.structures import as_batch
from atomprint.workflow.saved import geometry
from atomprint.workflow.saved.geometry import Packing, geometries

HALIDES = {"LiF": 4.02, "LiCl": 5.13, "NaF": 4.62, "NaCl": 5.64, "KCl": 6.29, "KBr": 6.60, "RbI": 7.34, "MgO": 4.21}


def measured(*structures):
    return geometries(as_batch(list(structures), periodic=None))


def rocksalts(strains=(0.98, 1.0, 1.02)):
    return [bulk(name, "rocksalt", a=f * a) for name, a in HALIDES.items() for f in strains]


def scaled(atoms, factor):
    atoms = atoms.copy()
    atoms.set_cell(factor * atoms.cell, scale_atoms=True)
    return atoms


def rotated(atoms):
    atoms = atoms.copy()
    atoms.rotate(37, (1, 2, 3), rotate_cell=True)
    return atoms


def test_rocksalt_by_hand():
    (found,) = measured(bulk("NaCl", "rocksalt", a=5.64))
    np.testing.assert_allclose(found.contacts.distances, 2.82)
    assert found.contacts.first.tolist() == [11, 17]
    assert found.contacts.second.tolist() == [17, 11]
    # 6 of the other element; those of Na at 3.99 Å, 1.20 of 3.32 Å, partly.
    far = 1.4 - np.array([3.988 / (2 * covalent_radii[11])])
    part = (far / 0.25) ** 2 * (3 - 2 * far / 0.25)
    assert found.coordination == pytest.approx(6 + 12 * part[0] / 2, rel=1e-3)


def test_distances_against_ase():
    rng = np.random.default_rng(0)
    for _ in range(5):
        cell = 5 * np.eye(3) + rng.normal(size=(3, 3))
        atoms = Atoms("NaCl2O3", positions=rng.random((6, 3)) @ cell, cell=cell, pbc=rng.random(3) < 0.6)
        (found,) = measured(atoms)
        first, second, distance = neighbor_list("ijd", atoms, 6.5)
        ratio = distance / (covalent_radii[atoms.numbers[first]] + covalent_radii[atoms.numbers[second]])
        nearest = [np.flatnonzero(first == i)[np.argmin(ratio[first == i])] for i in range(6)]
        np.testing.assert_allclose(found.contacts.distances, distance[nearest])
        assert found.contacts.second.tolist() == atoms.numbers[second[nearest]].tolist()


def summary(found):
    """Return what has limits, with covalent radii in place of those that are learnt."""
    ratios = geometry._ratios(found.contacts, geometry._radii())
    return [found.volume, ratios.min(), ratios.max(), ratios.mean(), found.coordination, found.filling, found.lopsided]


def test_what_changes_nothing():
    rng = np.random.default_rng(1)
    for atoms in (bulk("Cs", "bcc", a=6.05), *rocksalts()[:4], fcc111("Cu", (1, 1, 3), vacuum=8), molecule("C6H6")):
        atoms.positions += 0.05 * rng.normal(size=atoms.positions.shape)
        same = [rotated(atoms), atoms[rng.permutation(len(atoms))]]
        if atoms.pbc.all():
            same += [atoms.repeat((2, 1, 3)), make_supercell(atoms, [[1, 1, 0], [0, 1, 1], [0, 0, 1]])]
        one, *others = measured(atoms, *same)
        for other in others:
            assert other.n_repeats == one.n_repeats
            np.testing.assert_allclose(summary(other), summary(one), rtol=1e-9, atol=1e-12)


def by_pairs(atoms, cutoff=6.5):
    """Return mean number of neighbours, filling of a crystal and how lopsided it is, pair by pair."""
    first, second, distance, vectors = neighbor_list("ijdD", atoms, cutoff)
    sums = covalent_radii[atoms.numbers[first]] + covalent_radii[atoms.numbers[second]]
    ratio, n = distance / sums, len(atoms)
    w = np.clip((np.minimum(1.4, cutoff / sums) - ratio) / 0.25, 0, 1)
    coordination = (w * w * (3 - 2 * w)).sum() / n
    around = 1 + ((1 - (distance / cutoff) ** 2) ** 2).sum() / n
    v = ratio**-6.0 * np.clip((np.minimum(1.8, cutoff / sums) - ratio) / 0.4, 0, 1)
    pull = 1e-3 + np.bincount(first, v, n)
    side = np.stack([np.bincount(first, v * x / distance, n) for x in vectors.T], axis=1)
    filling = 32 / 105 * np.pi * cutoff**3 / (abs(np.linalg.det(atoms.cell.array)) / n) / around
    return coordination, filling, (np.linalg.norm(side, axis=1) / pull).mean()


def test_what_is_around_against_pairs_one_by_one():
    large = bulk("NaCl", "rocksalt", a=5.64, cubic=True).repeat(2)
    slab, caesium = fcc111("Cu", (1, 1, 3), vacuum=8, periodic=True), bulk("Cs", "bcc", a=6.05, cubic=True)
    for atoms in (large, slab, caesium):  # the reach of caesium is cut off
        atoms.positions += 0.1 * np.random.default_rng(0).normal(size=atoms.positions.shape)
        (found,) = measured(atoms)
        np.testing.assert_allclose([found.coordination, found.filling, found.lopsided], by_pairs(atoms), rtol=1e-12)


def test_of_neighbours_as_near_the_lightest_counts():
    chain = Atoms("FNF", [[0, 0, 0], [0, 0, 1.0], [0, 0, 2.0]])
    chain.numbers[[0, 2]] = 9, 35
    chain.positions[2, 2] = 1 + (covalent_radii[7] + covalent_radii[35]) / (covalent_radii[7] + covalent_radii[9])
    for order in ([0, 1, 2], [2, 1, 0]):
        for angle in (0, 17, 71):
            turned = chain[order]
            turned.rotate(angle, (1, 2, 3))
            assert measured(turned)[0].contacts.second[1] == 9


def test_tiny_cells():
    tiny, usual = measured(scaled(bulk("Cu"), 1e-3), bulk("Cu"))
    assert tiny.contacts.distances[0] == pytest.approx(1e-3 * usual.contacts.distances[0])
    assert summary(usual) == summary(measured(bulk("Cu"))[0])


def test_atoms_alone():
    (alone,) = measured(Atoms("He"))
    assert np.isnan(alone.contacts.distances[0])
    assert (alone.contacts.second[0], alone.coordination, alone.n_repeats) == (0, 0.0, 0)
    packing = Packing.fit(measured(*[molecule(name) for name in ("H2", "O2", "N2", "CO", "LiF", "HCl")]))
    said = packing.unusual(measured(Atoms("N"))[0])
    assert any("shortest distance of N above 6.5 Å" in sentence for sentence in said)
    assert Packing.fit([alone] * 6).unusual(alone) == []


def test_usual_and_unusual_crystals():
    crystals = rocksalts()
    packing = Packing.fit(measured(*crystals))
    assert not any(map(packing.unusual, measured(*crystals)))
    new = {name: bulk(name, "rocksalt", a=a) for name, a in {"NaBr": 5.97, "KI": 7.07, "RbCl": 6.58}.items()}
    assert not any(map(packing.unusual, measured(*new.values())))
    for factor in (0.7, 0.8, 1.3, 2, 3, 10):
        assert all(map(packing.unusual, measured(*[scaled(c, factor) for c in crystals])))
    (dense,) = map(packing.unusual, measured(scaled(new["NaBr"], 0.6)))
    assert dense[0].startswith(
        "volume per atom 5.74 Å^3, 0.294 of what its elements take up; usual in the training set: "
    )
    assert dense[1].startswith("shortest distance 1.79 Å, between Na and Br, 0.6")
    rattled = new["NaBr"].repeat(2)
    rattled.positions += np.random.default_rng(0).normal(size=rattled.positions.shape)
    assert "shortest distance" in " ".join(packing.unusual(measured(rattled)[0]))


def test_volumes_are_compared_with_those_of_the_elements():
    # Between the volumes of LiF and RbI everything is usual, but not for each of them.
    crystals = rocksalts()
    packing = Packing.fit(measured(*crystals))
    said = [packing.unusual(one)[0] for one in measured(*[scaled(c, 0.75) for c in crystals])]
    assert any(sentence.endswith("Å^3") for sentence in said)
    (found,) = measured(bulk("RbI", "rocksalt", a=7.34 * 0.75))
    assert packing.unusual(found)[0].startswith("volume per atom 20.9 Å^3, 0.4")
    assert "of what its elements take up" in packing.unusual(found)[0]


def test_slabs_and_molecules_are_no_crystals():
    packing = Packing.fit(measured(*[bulk(name) for name in ("Cu", "Ag", "Au", "Ni", "Pd", "Pt", "Al")]))
    slab = fcc111("Cu", (1, 1, 4), vacuum=6)
    said = packing.unusual(measured(slab)[0])
    assert said[0] == "repeats in 2 directions, structures of the training set in 3"
    slab.pbc = True
    assert packing.unusual(measured(slab)[0])[0].startswith("volume per atom")
    assert packing.unusual(measured(Atoms("Cu2", [[0, 0, 0], [0, 0, 2.2]]))[0])


def test_limits_hold_for_new_samples_of_the_same_origin():
    rng = np.random.default_rng(0)

    def drawn(n):
        names = rng.choice(list(HALIDES), n)
        return [bulk(name, "rocksalt", a=HALIDES[name] * rng.normal(1, 0.03)) for name in names]

    for n in (20, 60, 200):
        shares = []
        for _ in range(3):
            packing = Packing.fit(measured(*drawn(n)))
            shares.append(np.mean([bool(packing.unusual(one)) for one in measured(*drawn(100))]))
        assert np.mean(shares) <= 0.06


def test_few_structures_and_unknown_elements():
    assert Packing.fit(measured(*rocksalts()[:4])) is None
    packing = Packing.fit(measured(*rocksalts()))
    assert not packing.unusual(measured(bulk("CaO", "rocksalt", a=4.81))[0])  # the elements are said elsewhere
    one_kind = Packing.fit(measured(*[bulk("Cu")] * 6))  # all the same: room is left
    assert not one_kind.unusual(measured(scaled(bulk("Cu"), 1.01))[0])
    assert one_kind.unusual(measured(scaled(bulk("Cu"), 1.05))[0])


def test_limits_as_arrays():
    packing = Packing.fit(measured(*rocksalts()))
    again = Packing.from_arrays(vars(packing))
    odd = measured(scaled(bulk("NaCl", "rocksalt", a=5.64), 3))[0]
    assert again.unusual(odd) == packing.unusual(odd)
    with pytest.raises(KeyError):
        Packing.from_arrays({"n_repeats": packing.n_repeats})
    with pytest.raises(ValueError, match="wrong shapes"):
        Packing.from_arrays(vars(packing) | {"lower": np.zeros(2)})


def test_limits_of_measures_that_vary_on_their_own_hold_together(monkeypatch):
    """Three structures in a hundred are beyond any of the limits, of the training set and of others."""
    rng, shares, crystals = np.random.default_rng(3), [], measured(*rocksalts())
    monkeypatch.setattr(geometry, "_values", lambda *_: rng.standard_t(6, size=8))
    for n in (120, 600):
        for _ in range(4):
            packing, novelty, outside = Packing.fit_and_judge([crystals[0]] * n)
            new = np.array([packing.measured(crystals[0]) for _ in range(500)])
            assert (outside == (novelty > 1)).all()
            shares.append((outside.mean(), packing.outside(new).any(axis=1).mean()))
    left_out, fresh = np.mean(shares, axis=0)
    assert left_out == pytest.approx(0.03, abs=0.006)
    assert fresh == pytest.approx(0.03, abs=0.01)


def test_groups_are_left_out_together():
    crystals = measured(*[bulk("NaCl", "rocksalt", a=a) for a in np.linspace(5.2, 6.2, 8) for _ in range(20)])
    _, _, alone = Packing.fit_and_judge(crystals)
    packing, novelty, _ = Packing.fit_and_judge(crystals, np.repeat(np.arange(8), 20))
    assert not alone.any()
    assert not packing.outside(np.array([packing.measured(one) for one in crystals])).any()
    novelty = novelty.reshape(8, 20).mean(axis=1)
    assert novelty[[0, -1]].min() > 1.2 * novelty[1:-1].max()  # the others do not reach as far
