import csv

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import write
from helpers.copies import copy_of, perovskite
from typer.testing import CliRunner

from atomprint.cli.app import app
from atomprint.similarity import distance, find_duplicates, fingerprints
from atomprint.similarity import near as near_module
from atomprint.similarity.near import Near
from atomprint.store import build_store
from atomprint.structures import StructureError, as_batch

TITANIA = Atoms("Ti2O4", cell=[4.59, 4.59, 2.96], pbc=True)  # rutile
TITANIA.set_scaled_positions(
    [(0, 0, 0), (0.5, 0.5, 0.5), (0.305, 0.305, 0), (0.695, 0.695, 0), (0.195, 0.805, 0.5), (0.805, 0.195, 0.5)]
)
FRAMES = bulk("NaCl", "rocksalt", 5.64, cubic=True)


def groups(structures, **options):
    return [group.rows.tolist() for group in find_duplicates(structures, **options).groups]


def rattled(atoms, size, n, seed=0):
    rng = np.random.default_rng(seed)
    frames = [atoms.copy() for _ in range(n)]
    for frame in frames:
        frame.positions += size * rng.normal(size=frame.positions.shape)
    return frames


def strained(atoms, strain):
    atoms = atoms.copy()
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    return atoms


# What counts as the same ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("atoms", [TITANIA, perovskite(shift=0.04), bulk("Si", cubic=True)], ids=["a", "b", "c"])
def test_settings_of_one_crystal(atoms):
    primitive = bulk("Si") if "Si" in atoms.symbols else atoms
    small = rattled(atoms, 0.003, 1)[0]
    others = [primitive, atoms.repeat((1, 2, 3)), small, strained(atoms, 1e-3 * np.eye(3))]
    others += [copy_of(atoms, seed) for seed in range(4)]
    apart = [strained(atoms, 0.05 * np.diag([1, 0, 0])), rattled(atoms.repeat(2), 0.2, 1)[0]]
    assert groups([atoms, *others, *apart]) == [list(range(9))]


@pytest.mark.parametrize("seed", range(3))
def test_the_distance_grows_with_what_is_changed(seed):
    step = np.random.default_rng(seed).normal(size=(3, 3))
    sizes = [0, 1e-3, 3e-3, 1e-2, 3e-2]
    found = [distance(TITANIA, strained(TITANIA, size * step)) for size in sizes]
    assert found[0] == 0
    assert found == sorted(found)
    assert found[1] < 0.05


def test_size_counts_unless_it_is_scaled():
    larger = strained(TITANIA, 0.04 * np.eye(3)).repeat((2, 1, 1))
    assert distance(TITANIA, larger) > 0.2
    assert distance(TITANIA, larger, scale=True) < 1e-9
    sheared = strained(larger, 0.05 * np.diag([1, -1, 0]))
    away = distance(TITANIA, sheared, scale=True)
    assert away > 0.1
    assert distance(sheared, TITANIA, scale=True) == pytest.approx(away)
    assert groups([TITANIA, larger]) == []
    assert groups([TITANIA, larger, sheared], scale=True) == [[0, 1]]


def test_what_cannot_be_the_same_is_infinitely_far():
    water = molecule("H2O")
    two = water + water
    two.positions[3:] += 10
    slab = TITANIA.copy()
    slab.pbc = (True, True, False)
    for one, other in [(TITANIA, bulk("Si")), (water, two), (TITANIA, slab), (molecule("CO"), molecule("CO2"))]:
        assert distance(one, other) == np.inf
        assert groups([one, other], tolerance=100) == []


def test_mirror_images_are_the_same():
    chiral = Atoms("CHFClBr", [[0, 0, 0], [0.6, 0.6, 0.6], [-0.8, -0.8, 0.8], [-1, 1, -1], [1.1, -1.1, -1.1]])
    mirrored = chiral.copy()
    mirrored.positions[:, 0] *= -1
    assert groups([chiral, mirrored]) == [[0, 1]]


def test_one_atom_alone():
    assert groups([Atoms("He"), Atoms("He", [[5, 5, 5]]), Atoms("Ne")], scale=True) == [[0, 1]]


# Groups -----------------------------------------------------------------------------------------------------------


def naive(structures, tolerance, scale):
    """Return groups by comparing each structure with each."""
    prints = fingerprints(structures)
    free, found = list(range(len(prints))), []
    while free:
        first = free[0]
        near = [i for i in free if prints[first].distance(prints[i], scale=scale) <= tolerance]
        found += [near] if len(near) > 1 else []
        free = [i for i in free if i not in near]
    return found


@pytest.mark.parametrize("size", [0.002, 0.01, 0.02, 0.1])
@pytest.mark.parametrize("scale", [False, True])
def test_groups_are_those_of_comparing_each_with_each(size, scale):
    frames = rattled(FRAMES, size, 40)
    frames += [copy_of(frames[i], i) for i in (3, 17)] + [molecule("CO"), molecule("CO2")]
    found = find_duplicates(frames, scale=scale)
    assert [group.rows.tolist() for group in found.groups] == naive(frames, 0.05, scale)
    assert len(found.first) == 44
    for group in found.groups:
        assert group.distances[0] == 0
        assert group.distances.max() <= 0.05
        assert (found.first[group.rows] == group.rows[0]).all()
    assert set(found.unique) == set(range(44)) - {i for group in found.groups for i in group.rows[1:]}


def test_a_chain_of_small_steps_is_not_one_group():
    frames = [strained(FRAMES, 0.002 * k * np.eye(3)) for k in range(12)]
    found = find_duplicates(frames)
    assert len(found) > 1
    assert all(distance(frames[a], frames[b]) > 0.05 for a in found.unique for b in found.unique if a < b)


@pytest.mark.parametrize("kept", [1, 1 << 28])
def test_pairs_are_all_of_them(kept, monkeypatch):
    monkeypatch.setattr(near_module, "_KEPT", kept)
    frames = rattled(FRAMES, 0.012, 30)
    prints = fingerprints(frames)
    wanted = [(a, b) for a in range(30) for b in range(a + 1, 30) if prints[a].distance(prints[b]) <= 0.05]
    found = Near(as_batch(frames), 0.05, False, 64, 1)
    assert list(map(tuple, found.pairs().tolist())) == wanted
    assert 0 < len(wanted) < 435


def test_few_are_compared_in_full(monkeypatch):
    compared = []
    monkeypatch.setattr(
        near_module,
        "differences",
        lambda prints, pairs, *rest, **more: compared.append(len(pairs)) or np.zeros(len(pairs)),
    )
    find_duplicates(rattled(FRAMES.repeat((2, 1, 1)), 0.1, 200))
    assert sum(compared) < 200  # of 19900 pairs
    compared.clear()
    find_duplicates([FRAMES] * 200)
    assert sum(compared) == 199


def test_polymorphs():
    crystals = [
        bulk("ZnS", "wurtzite", 3.82),
        bulk("ZnS", "zincblende", 5.41),
        copy_of(bulk("ZnS", "wurtzite", 3.82), 1),
    ]
    found = find_duplicates([*crystals, bulk("NaCl", "rocksalt", 5.64)])
    assert {formula: rows.tolist() for formula, rows in found.polymorphs.items()} == {"ZnS": [0, 1]}


def test_a_second_opinion():
    pytest.importorskip("pymatgen.analysis.structure_matcher")
    crystals = [TITANIA, copy_of(TITANIA, 1), bulk("ZnS", "zincblende", 5.41), bulk("ZnS", "wurtzite", 3.82)]
    assert groups([*crystals, molecule("CO"), molecule("CO")], verify=True) == [[0, 1], [4, 5]]
    # With a tolerance that takes all for the same it is asked for, and has its own.
    assert groups(crystals, tolerance=5) == [[0, 1], [2, 3]]
    assert groups(crystals, tolerance=5, verify=True) == [[0, 1]]


def test_what_is_wrong_is_said():
    wide = Atoms("NaCl", [[0, 0, 0], [0, 0, 2.8]], cell=[10, 10, 10], pbc=True)
    flat = Atoms("NaCl", [[0, 0, 0], [0, 0, 2.8]], cell=[[1000, 0, 0], [1000, 0.001, 0], [0, 0, 1000]], pbc=True)
    with pytest.raises(StructureError, match=r"structure 2: .*: the cell is too flat"):
        find_duplicates([bulk("Si"), wide, flat])
    long = Atoms("NaCl", [[0, 0, 0], [0, 5e4, 0]], cell=[5, 1e5, 5], pbc=True)
    with pytest.raises(StructureError, match=r"structure 0: neighbours are beyond 5e6 periodic images"):
        fingerprints([long])
    with pytest.raises(ValueError, match="tolerance must be > 0, got 0"):
        find_duplicates([TITANIA], tolerance=0)
    with pytest.raises(ValueError, match="n_neighbours must be >= 1, got 0"):
        fingerprints([TITANIA], n_neighbours=0)
    with pytest.raises(TypeError, match="scale must be True or False"):
        distance(TITANIA, TITANIA, scale="yes")


# The command ------------------------------------------------------------------------------------------------------


def run(*arguments, code=0):
    result = CliRunner().invoke(app, ["duplicates", *map(str, arguments)])
    assert result.exit_code == code, result.output + str(result.exception)
    return result.output


def test_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("a.cif", TITANIA)
    write("b.cif", copy_of(TITANIA, 1))
    write("more.extxyz", [bulk("ZnS", "zincblende", 5.41), TITANIA.repeat((1, 1, 2)), bulk("ZnS", "wurtzite", 3.82)])
    said = run("a.cif", "b.cif", "more.extxyz", "-o", "groups.csv")
    assert "5 structures, 3 of them different by more than 0.05 Å; 1 group of the same" in said
    with open("groups.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["group"], row["formula"], row["atoms"]) for row in rows] == [
        ("1", "TiO2", n) for n in ("6", "12", "12")
    ]
    assert [row["id"] for row in rows][:2] == ["a.cif", "b.cif"]
    assert float(rows[2]["distance"]) < 1e-3
    assert "1 formula of 3 structures with more than one" in run("more.extxyz", "--polymorphs")
    assert "3 structures, all different by more than 0.05 Å" in run("more.extxyz")


def test_the_command_takes_stores(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    monkeypatch.chdir(tmp_path)
    write("a.extxyz", [TITANIA, bulk("ZnS", "zincblende", 5.41), copy_of(TITANIA, 3)])
    build_store("a.store", "a.extxyz", "SOAP", {"r_cut": 3.0, "n_max": 2, "l_max": 1})
    write("b.cif", TITANIA)
    assert "4 structures, 2 of them different" in run("a.store", "b.cif", "-o", "groups.csv")
    with open("groups.csv", newline="") as file:
        assert [row["id"].split(":")[-1] for row in csv.DictReader(file)] == ["0", "2", "b.cif"]


def test_the_command_says_what_is_wrong(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "formulas.csv").write_text("formula,gap\nNaCl,5\n")
    assert "formulas.csv: there are formulas only" in run("formulas.csv", code=1)
    assert "none.cif" in run("none.cif", code=1)
    assert "--output must end in .csv, got 'groups.txt'" in run("formulas.csv", "-o", "groups.txt", code=1)
