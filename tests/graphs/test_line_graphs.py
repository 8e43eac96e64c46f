"""Line graphs, against those of NetworkX, ASE's angles and loops."""

import numpy as np
import pytest
from ase.build import bulk, molecule
from graphs.crystals import odd_crystals, skewed, thin

from atomprint.graphs import NeighbourGraph, line_graph, to_networkx
from atomprint.util.memory import NotEnoughMemoryError


@pytest.mark.parametrize("atoms", [molecule("CH3OH"), bulk("Si"), thin(), bulk("NaCl", "cesiumchloride", 3.4)])
def test_chains_are_the_line_graph_of_networkx(atoms):
    networkx = pytest.importorskip("networkx")
    graph = NeighbourGraph(r_cut=3.0).create(atoms)
    found = line_graph(graph, backtracking=True)
    theirs = networkx.line_graph(to_networkx(graph))
    # Nodes are (i, j, key), where the key is the place of the edge.
    wanted = sorted((a[2], b[2]) for a, b in theirs.edges())
    assert list(map(tuple, found.edges.T.tolist())) == wanted


@pytest.mark.parametrize("kind", ["chain", "center"])
@pytest.mark.parametrize("r_cut", [None, 2.7])
def test_pairs_are_those_of_loops(kind, r_cut):
    graphs = NeighbourGraph(r_cut=3.2).create(odd_crystals())
    found = line_graph(graphs, kind, r_cut=r_cut)
    assert found.kind == kind
    for s, graph in enumerate(graphs):
        (i, j), S, short = graph.edges, graph.shifts, graph.distances < (r_cut or np.inf)
        wanted, cosines, atoms = [], [], []
        for e in range(graph.n_edges):
            for f in range(graph.n_edges):
                back = i[e] == j[f] and j[e] == i[f] and (S[e] == -S[f]).all()
                joined = i[f] == (j if kind == "chain" else i)[e] and not (back if kind == "chain" else e == f)
                if joined and short[e] and short[f]:
                    wanted.append((e, f))
                    a, b = graph.vectors[e] * (-1 if kind == "chain" else 1), graph.vectors[f]
                    cosines.append(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
                    atoms.append((i[e], j[e], j[f]) if kind == "chain" else (j[e], i[e], j[f]))
        own = slice(*found.offsets[s : s + 2])
        first = graphs.offsets[s]
        assert list(map(tuple, (found.edges[:, own] - first).T.tolist())) == wanted
        np.testing.assert_allclose(found.cosines[own], cosines, atol=1e-12)
        triplets = found.triplets(graphs)[:, own] - graphs.structures.offsets[s]
        np.testing.assert_array_equal(triplets.T, np.reshape(atoms, (-1, 3)))


def test_angles_are_those_of_ase():
    water = molecule("H2O")
    found = line_graph(NeighbourGraph(bonds=1.2).create(water), "center")
    assert np.degrees(found.angles) == pytest.approx([water.get_angle(1, 0, 2)] * 2)
    tetrahedral = line_graph(NeighbourGraph(r_cut=2.5).create(bulk("Si")), "center")
    assert np.degrees(tetrahedral.angles) == pytest.approx([109.47122] * 24)
    chain = line_graph(NeighbourGraph(r_cut=2.5).create(bulk("Si")))
    assert np.degrees(chain.angles) == pytest.approx([109.47122] * 24)
    assert repr(chain) == "LineGraph(24 angles)"


def test_bad_choices(monkeypatch):
    graph = NeighbourGraph(r_cut=3.0).create(skewed())
    with pytest.raises(ValueError, match="kind must be one of 'chain', 'center', got 'centre': did you mean 'center'"):
        line_graph(graph, "centre")
    with pytest.raises(ValueError, match="backtracking must be False with kind='center'"):
        line_graph(graph, "center", backtracking=True)
    with pytest.raises(ValueError, match="r_cut must be > 0"):
        line_graph(graph, r_cut=0.0)
    monkeypatch.setattr("atomprint.graphs.angles.available_memory", lambda: 1000)
    with pytest.raises(NotEnoughMemoryError, match=r"the line graph has \d+ angles"):
        line_graph(graph)


def test_line_graphs_of_others_are_refused():
    near, far = (NeighbourGraph(r_cut=r_cut).create([bulk("Si"), bulk("NaCl", "rocksalt", 5.64)]) for r_cut in (3, 5))
    turned = NeighbourGraph(r_cut=3).create([bulk("NaCl", "rocksalt", 5.64), bulk("Si")])
    angles = line_graph(near)
    assert angles.triplets(near).shape == (3, len(angles.cosines))
    for other in (far, turned, near[0]):
        with pytest.raises(ValueError, match="line_graph must be that of these graphs, got that of others"):
            angles.triplets(other)
