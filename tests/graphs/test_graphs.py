"""Edges, against ASE's and pymatgen's; parts of many graphs."""

from collections import Counter

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list
from graphs.crystals import odd_crystals, skewed, thin

from atomprint.graphs import Graphs, NeighbourGraph
from atomprint.neighbours import find_neighbours
from atomprint.structures import StructureError, as_batch
from atomprint.util.memory import NotEnoughMemoryError


def edges_of(graph):
    """Return the edges of one structure as a multiset of atom, neighbour and image."""
    return Counter((*edge, *shift) for edge, shift in zip(graph.edges.T.tolist(), graph.shifts.tolist(), strict=True))


def of_ase(atoms, r_cut):
    i, j, d, D, S = neighbor_list("ijdDS", atoms, r_cut)
    order = np.lexsort((*S.T[::-1], j, i))
    return i[order], j[order], d[order], D[order], S[order]


@pytest.mark.parametrize("r_cut", [1.2, 3.1, 6.3])
def test_edges_within_a_cutoff_are_those_of_ase(r_cut):
    crystals = odd_crystals()
    together = NeighbourGraph(r_cut=r_cut).create(crystals, n_jobs=2)
    assert len(together) == len(crystals)
    for atoms, found in zip(crystals, together, strict=True):
        i, j, d, D, S = of_ase(atoms, r_cut)
        np.testing.assert_array_equal(found.edges, [i, j])
        np.testing.assert_array_equal(found.shifts, S)
        np.testing.assert_allclose(found.distances, d, atol=1e-12)
        np.testing.assert_allclose(found.vectors, D, atol=1e-12)
        np.testing.assert_allclose(found.directions * d[:, None], D, atol=1e-12)
        np.testing.assert_array_equal(found.structures.numbers, atoms.numbers)
        np.testing.assert_array_equal(found.structures.cells[0], atoms.cell.array)
        np.testing.assert_array_equal(found.degrees, np.bincount(i, minlength=len(atoms)))


@pytest.mark.parametrize("atoms", [skewed(), thin(), bulk("Si"), bulk("NaCl", "cesiumchloride", 3.4)])
@pytest.mark.parametrize("r_cut", [3.3, 5.65])
def test_edges_are_those_of_pymatgen(atoms, r_cut):
    structure = pytest.importorskip("pymatgen.io.ase").AseAtomsAdaptor.get_structure(atoms)
    i, j, images, d = structure.get_neighbor_list(r_cut)
    found = NeighbourGraph(r_cut=r_cut).create(structure)
    theirs = Counter(zip(i.tolist(), j.tolist(), *images.astype(int).T.tolist(), strict=True))
    assert edges_of(found) == theirs
    np.testing.assert_allclose(np.sort(found.distances), np.sort(d), atol=1e-7)


@pytest.mark.parametrize("bonds", [1.1, 1.3])
def test_bonds_by_radii_are_those_of_ase(bonds):
    crystals = [molecule("CH3CH2OH"), molecule("C6H6"), bulk("NaCl", "rocksalt", 5.64), thin()]
    for atoms, found in zip(crystals, NeighbourGraph(bonds=bonds).create(crystals), strict=True):
        i, j, S = neighbor_list("ijS", atoms, bonds * covalent_radii[atoms.numbers])
        assert edges_of(found) == Counter(zip(i.tolist(), j.tolist(), *S.T.tolist(), strict=True))
    assert NeighbourGraph(bonds=1.2).create(molecule("CH3CH2OH")).n_edges == 2 * 8
    # A cutoff beside it holds, too.
    short = NeighbourGraph(bonds=1.3, r_cut=1.2).create(molecule("CH3CH2OH"))
    assert short.distances.max() < 1.2
    assert short.n_edges == 2 * 6


@pytest.mark.parametrize("r_cut", [None, 9.0])
@pytest.mark.parametrize("n", [1, 4, 12])
def test_nearest_are_the_first_of_all_by_distance(n, r_cut):
    crystals = [*odd_crystals(), Atoms("H"), Atoms("He2", positions=[[0, 0, 0], [0, 0, 60]])]
    kept = NeighbourGraph(n_nearest=n, r_cut=r_cut).create(crystals, n_jobs=2)
    cut = NeighbourGraph(n_nearest=n, r_cut=r_cut, ties="cut").create(crystals)
    for atoms, all_tied, exact in zip(crystals, kept, cut, strict=True):
        i, j, d, _, S = of_ase(atoms, r_cut or (61.0 if not atoms.pbc.any() else 20.0))
        edges: Counter = Counter()
        for atom in range(len(atoms)):
            own = np.flatnonzero(i == atom)
            limit = np.sort(d[own])[: n + 1][min(n, len(own)) - 1] + 1e-3 if len(own) else 0.0
            edges.update((atom, int(j[e]), *S[e].tolist()) for e in own if d[e] <= limit)
            np.testing.assert_allclose(np.sort(exact.distances[exact.edges[0] == atom]), np.sort(d[own])[:n], atol=1e-3)
        assert edges_of(all_tied) == edges
        assert edges_of(exact) <= edges
        assert exact.degrees.tolist() == np.minimum(n, np.bincount(i, minlength=len(atoms))).tolist()


def test_ties_do_not_depend_on_order_or_rounding():
    copper = bulk("Cu", cubic=True) * (2, 1, 1)
    graph = NeighbourGraph(n_nearest=10)
    assert graph.create(copper).degrees.tolist() == [12] * 8
    rng = np.random.default_rng(0)
    shaken = copper.copy()
    shaken.positions = shaken.positions.round(4) + rng.normal(0, 1e-6, (8, 3)) + [90.0, -40.0, 7.0]
    assert graph.create(shaken).degrees.tolist() == [12] * 8
    assert NeighbourGraph(n_nearest=10, tolerance=1e-9).create(shaken).degrees.tolist() == [10] * 8
    # Which of those that are as far are taken is the same, too.
    cut = NeighbourGraph(n_nearest=10, ties="cut")
    moved = copper.copy()
    moved.positions += rng.normal(0, 1e-6, (8, 3))
    np.testing.assert_array_equal(cut.create(moved).edges, cut.create(copper).edges)
    np.testing.assert_array_equal(cut.create(moved).shifts, cut.create(copper).shifts)


def test_multigraphs_of_small_cells():
    # Each atom of a simple cubic crystal is six times its own neighbour; in bcc as CsCl eight edges join two atoms.
    found = NeighbourGraph(r_cut=3.4).create(Atoms("Po", cell=[3.3, 3.3, 3.3], pbc=True))
    assert found.edges.tolist() == [[0] * 6, [0] * 6]
    assert sorted(map(tuple, np.abs(found.shifts).tolist())) == [(0, 0, 1)] * 2 + [(0, 1, 0)] * 2 + [(1, 0, 0)] * 2
    found = NeighbourGraph(r_cut=3.0).create(bulk("NaCl", "cesiumchloride", 3.4))
    assert Counter(map(tuple, found.edges.T.tolist())) == {(0, 1): 8, (1, 0): 8}
    # A supercell has the same neighbours.
    large = NeighbourGraph(r_cut=6.3).create(skewed() * (2, 1, 3))
    assert large.n_edges == 6 * NeighbourGraph(r_cut=6.3).create(skewed()).n_edges


def test_opposites_and_once():
    for graph in NeighbourGraph(r_cut=5.0).create(odd_crystals()):
        back = graph.opposites()
        assert back.min(initial=0) >= 0
        np.testing.assert_array_equal(back[back], np.arange(graph.n_edges))
        np.testing.assert_array_equal(graph.edges[:, back], graph.edges[::-1])
        np.testing.assert_array_equal(graph.shifts[back], -graph.shifts)
        once = graph.once()
        assert sorted([*once, *back[once]]) == list(range(graph.n_edges))
    line = NeighbourGraph(n_nearest=1).create(Atoms("H3", positions=[[0, 0, 0], [1, 0, 0], [3, 0, 0]]))
    assert line.edges.T.tolist() == [[0, 1], [1, 0], [2, 1]]
    assert line.opposites().tolist() == [1, 0, -1]
    assert line.once().tolist() == [0, 2]


def test_parts_are_graphs_of_their_structures():
    crystals = odd_crystals()
    maker = NeighbourGraph(r_cut=4.0)
    graphs = maker.create(crystals)
    chosen = [3, 0, 0, -1, 5]
    for found, wanted in (
        (graphs.pick(chosen), maker.create([crystals[k] for k in chosen])),
        (graphs[2:6], maker.create(crystals[2:6])),
        (graphs[-1], maker.create(crystals[-1])),
        (graphs[:], graphs),
    ):
        assert len(found) == len(wanted)
        assert found.structures.single == wanted.structures.single
        for name in ("edges", "shifts", "vectors", "distances", "offsets", "owners", "degrees"):
            np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name), err_msg=name)
        np.testing.assert_array_equal(found.structures.positions, wanted.structures.positions)
    assert len(graphs[4:2]) == 0
    assert len(graphs.pick([])) == 0
    with pytest.raises(IndexError, match=r"structure must be in -13\.\.12, got 13"):
        graphs[13]


def test_no_neighbours():
    found = NeighbourGraph(r_cut=3.0).create(Atoms("H"))
    assert found.edges.shape == (2, 0)
    assert found.vectors.shape == found.shifts.shape == (0, 3)
    assert repr(found) == "Graphs(1 atoms, 0 edges)"
    assert repr(NeighbourGraph(r_cut=3.0).create([Atoms("H")] * 2)) == "Graphs(2 structures, 2 atoms, 0 edges)"
    assert found.opposites().shape == found.once().shape == (0,)


def test_threads_give_the_same():
    crystals = odd_crystals() * 3
    for maker in (
        NeighbourGraph(r_cut=5.0),
        NeighbourGraph(n_nearest=7),
        NeighbourGraph(n_nearest=5, r_cut=6, bonds=2),
    ):
        one, four = maker.create(crystals), maker.create(crystals, n_jobs=4)
        for name in ("edges", "shifts", "vectors", "offsets"):
            np.testing.assert_array_equal(getattr(one, name), getattr(four, name))


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({}, ValueError, "one of r_cut, n_nearest and bonds must be given"),
        ({"r_cut": 0}, ValueError, "r_cut must be > 0, got 0"),
        ({"r_cut": "3"}, TypeError, "r_cut must be a number"),
        ({"n_nearest": 0}, ValueError, "n_nearest must be >= 1, got 0"),
        ({"n_nearest": 2.5}, TypeError, "n_nearest must be an integer"),
        ({"bonds": -1}, ValueError, "bonds must be > 0"),
        ({"r_cut": 3, "ties": "keeps"}, ValueError, "ties must be one of 'keep', 'cut', got 'keeps': did you mean"),
        ({"r_cut": 3, "tolerance": -1}, ValueError, "tolerance must be >= 0"),
        ({"n_nearest": 3, "min_neighbours": 4}, ValueError, "min_neighbours must be <= 3, got 4"),
        ({"r_cut": 3, "n_jobs": 0}, ValueError, "n_jobs must not be 0"),
        ({"r_cutt": 3}, TypeError, "Invalid parameter 'r_cutt' of NeighbourGraph: did you mean 'r_cut'"),
    ],
)
def test_bad_parameters(parameters, error, message):
    with pytest.raises(error, match=message):
        NeighbourGraph(**parameters)


def test_structures_that_are_of_no_use_are_named():
    lonely = molecule("H2O") + Atoms("Ar", positions=[[9.0, 9.0, 9.0]])
    with pytest.raises(StructureError, match="structure 1, atom 3: must have at least 1 neighbour within 3 Å, got 0"):
        NeighbourGraph(r_cut=3.0, min_neighbours=1).create([molecule("H2O"), lonely])
    with pytest.raises(StructureError, match="structure 0, atom 0: must have at least 12 neighbours, got 2"):
        NeighbourGraph(n_nearest=12, min_neighbours=12).create([molecule("H2O")])
    with pytest.raises(ValueError, match="structure 0, atom 1: position must be finite"):
        NeighbourGraph(r_cut=3.0).create(Atoms("H2", positions=[[0, 0, 0], [np.nan, 0, 0]]))
    with pytest.raises(ValueError, match="structures must hold at least one structure, got an empty list"):
        NeighbourGraph(r_cut=3.0).create([])
    with pytest.raises(ValueError, match="structure 1: the cutoff reaches more than 5e7 periodic images"):
        NeighbourGraph(r_cut=900.0).create([molecule("H2O"), bulk("Si")])
    with pytest.raises(StructureError, match="structure 0, atom 1: bonds needs covalent radii, which Rf has none of"):
        NeighbourGraph(bonds=1.2).create(Atoms([1, 104], positions=[[0, 0, 0], [2, 0, 0]]))


def test_more_pairs_than_memory_are_refused_before_they_are_made(monkeypatch):
    monkeypatch.setattr("atomprint.neighbours.available_memory", lambda: 15_000)
    batch = as_batch(bulk("Si"), periodic=None)
    assert len(find_neighbours(batch, 5.0)) <= 100
    with pytest.raises(NotEnoughMemoryError, match="r_cut = 12 is too large: there are more than 100 pairs of atoms"):
        find_neighbours(batch, 12.0)


def test_parameters_are_those_of_an_estimator():
    from sklearn.base import clone

    maker = NeighbourGraph(r_cut=8.0, n_nearest=12)
    assert clone(maker).get_params() == maker.get_params()
    with pytest.raises(ValueError, match="r_cut must be > 0"):
        maker.set_params(r_cut=-2.0)
    assert maker.r_cut == 8.0
    assert isinstance(maker.create(bulk("Si")), Graphs)
