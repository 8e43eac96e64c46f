"""Graphs for NetworkX, SciPy and PyTorch Geometric."""

import pickle
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from ase.build import bulk, molecule
from graphs.crystals import odd_crystals, skewed, thin

from atomprint.graphs import NeighbourGraph, adjacency, incidence, line_graph, to_networkx, to_pyg

CRYSTALS = [molecule("CH3CH2OH"), bulk("NaCl", "cesiumchloride", 3.4), skewed(), thin()]


@pytest.mark.parametrize("atoms", CRYSTALS)
@pytest.mark.parametrize("nearest", [None, 4])
def test_networkx(atoms, nearest):
    networkx = pytest.importorskip("networkx")
    found = NeighbourGraph(r_cut=3.6, n_nearest=nearest).create(atoms)
    directed, undirected = to_networkx(found), to_networkx(found, directed=False)
    assert isinstance(directed, networkx.MultiDiGraph)
    assert not undirected.is_directed()
    assert directed.number_of_edges() == found.n_edges
    assert undirected.number_of_edges() == len(found.once())
    assert [number for _, number in directed.nodes(data="number")] == atoms.numbers.tolist()
    by_place = {key: d for *_, key, d in directed.edges(data="distance", keys=True)}
    np.testing.assert_array_equal([by_place[k] for k in range(found.n_edges)], found.distances)
    assert [degree for _, degree in directed.out_degree()] == found.degrees.tolist()
    if nearest is None:
        assert [degree for _, degree in undirected.degree()] == found.degrees.tolist()
    np.testing.assert_array_equal(directed.graph["cell"], atoms.cell.array)
    for i, j, data in directed.edges(data=True):
        vector = atoms.positions[j] + np.array(data["shift"]) @ atoms.cell.array - atoms.positions[i]
        np.testing.assert_allclose(data["vector"], vector, atol=1e-12)
    with pytest.raises(TypeError, match="directed must be True or False"):
        to_networkx(found, directed=1)


def test_many_structures_are_many_graphs():
    networkx = pytest.importorskip("networkx")
    found = to_networkx(NeighbourGraph(r_cut=3.0).create([molecule("H2O"), bulk("Si")]))
    assert [len(graph) for graph in found] == [3, 2]
    atoms, other = molecule("H2O"), molecule("NH3")
    other.positions += 10
    whole = to_networkx(NeighbourGraph(bonds=1.2).create(atoms + other), directed=False)
    assert [len(part) for part in networkx.connected_components(whole)] == [3, 4]


def test_matrices_are_those_of_networkx():
    networkx = pytest.importorskip("networkx")
    graphs = NeighbourGraph(r_cut=4.0).create(odd_crystals())
    together, weighted = adjacency(graphs), adjacency(graphs, graphs.distances)
    start = 0
    for graph in graphs:
        stop = start + graph.n_atoms
        theirs = networkx.to_scipy_sparse_array(to_networkx(graph), weight=None, format="csr")
        np.testing.assert_array_equal(adjacency(graph).toarray(), theirs.toarray())
        np.testing.assert_array_equal(together[start:stop, start:stop].toarray(), theirs.toarray())
        theirs = networkx.to_scipy_sparse_array(to_networkx(graph), weight="distance")
        np.testing.assert_allclose(weighted[start:stop, start:stop].toarray(), theirs.toarray(), atol=1e-12)
        start = stop
    assert together.sum() == graphs.n_edges


@pytest.mark.parametrize("atoms", CRYSTALS)
def test_incidence(atoms):
    networkx = pytest.importorskip("networkx")
    graph = NeighbourGraph(r_cut=3.6).create(atoms)
    oriented, plain = incidence(graph), incidence(graph, oriented=False)
    edges = [(*edge, k) for k, edge in enumerate(graph.edges.T.tolist())]
    theirs = networkx.incidence_matrix(to_networkx(graph), edgelist=edges, oriented=True).toarray()
    np.testing.assert_array_equal(oriented.toarray(), theirs)
    np.testing.assert_array_equal(plain.toarray().sum(axis=0), 2)
    once = incidence(graph, once=True)
    loops = np.diag(adjacency(graph).diagonal())
    laplacian = np.diag(graph.degrees) - adjacency(graph).toarray()
    np.testing.assert_array_equal((once @ once.T).toarray(), laplacian)
    unsigned = incidence(graph, oriented=False, once=True)
    expected = np.diag(graph.degrees) + adjacency(graph).toarray()
    np.testing.assert_array_equal((unsigned @ unsigned.T).toarray(), expected)
    assert (np.diag(loops) % 2 == 0).all()
    with pytest.raises(ValueError, match="weights must have shape"):
        adjacency(graph, [1.0])


def test_what_pyg_is_given(monkeypatch):
    torch, geometric, data = ModuleType("torch"), ModuleType("torch_geometric"), ModuleType("torch_geometric.data")
    torch.as_tensor = lambda array, dtype=None: np.array(array, dtype=dtype)
    torch.get_default_dtype = lambda: np.float32
    torch.isfinite = np.isfinite
    data.Data = SimpleNamespace
    for name, module in (("torch", torch), ("torch_geometric", geometric), ("torch_geometric.data", data)):
        monkeypatch.setitem(sys.modules, name, module)
    graph = NeighbourGraph(r_cut=3.0).create(skewed())
    check_pyg(graph, to_pyg(graph))
    with pytest.raises(ValueError, match="nodes must be finite numbers of float32, got inf"):
        to_pyg(graph, nodes=lambda graphs: np.full((graphs.n_atoms, 1), np.inf))


def check_pyg(expected, found):
    arrays = {name: np.asarray(getattr(found, name)) for name in ("z", "pos", "edge_index", "edge_weight", "edge_vec")}
    arrays |= {name: np.asarray(getattr(found, name)) for name in ("edge_shift", "cell", "pbc")}
    assert {name: a.dtype.name for name, a in arrays.items()} == {
        **dict.fromkeys(("pos", "edge_weight", "edge_vec", "cell"), "float32"),
        **dict.fromkeys(("z", "edge_index", "edge_shift"), "int64"),
        "pbc": "bool",
    }
    np.testing.assert_array_equal(arrays["z"], expected.structures.numbers)
    np.testing.assert_array_equal(arrays["edge_index"], expected.edges[::-1])
    source, target = arrays["edge_index"]
    vectors = arrays["pos"][source] + arrays["edge_shift"] @ arrays["cell"][0] - arrays["pos"][target]
    np.testing.assert_allclose(arrays["edge_vec"], vectors, atol=1e-5)
    np.testing.assert_allclose(arrays["edge_weight"], expected.distances, rtol=1e-6)
    assert arrays["pbc"].shape == (1, 3)


def test_pyg_itself():
    pytest.importorskip("torch_geometric")
    crystals = odd_crystals()
    graphs = NeighbourGraph(r_cut=4.0).create(crystals)
    made = to_pyg(graphs)
    assert len(made) == len(crystals)
    for graph, found in zip(graphs, made, strict=True):
        found.validate(raise_on_error=True)
        check_pyg(graph, found)
    assert to_pyg(NeighbourGraph(r_cut=4.0).create(skewed())).num_nodes == 5
    assert not made[0].is_undirected() or graphs[0].n_edges % 2 == 0


def test_batches_of_pyg_are_ours():
    """Its collation of single graphs is the arrays of all of them."""
    loader = pytest.importorskip("torch_geometric.loader")
    graphs = NeighbourGraph(r_cut=4.0).create(odd_crystals())
    y = np.arange(len(graphs)) * 1.5
    bonds = line_graph(graphs)
    made = to_pyg(graphs, y, nodes="one_hot", edges=["distance", "shift"], line_graph=bonds)
    [batch] = loader.DataLoader(made, batch_size=len(made))
    np.testing.assert_array_equal(batch.edge_index, graphs.edges[::-1])
    np.testing.assert_array_equal(batch.batch, graphs.owners)
    np.testing.assert_array_equal(batch.z, graphs.structures.numbers)
    np.testing.assert_array_equal(batch.x.argmax(dim=1) + 1, graphs.structures.numbers)
    np.testing.assert_array_equal(batch.edge_attr[:, 1:], graphs.shifts)
    np.testing.assert_array_equal(batch.y, y)
    np.testing.assert_array_equal(batch.angle_index, bonds.edges)
    np.testing.assert_allclose(batch.angle_cos, bonds.cosines, atol=1e-6)
    again = batch.to_data_list()
    for before, after in zip(made, again, strict=True):
        np.testing.assert_array_equal(before.edge_index, after.edge_index)
        np.testing.assert_array_equal(before.angle_index, after.angle_index)
    # Through a file or to a worker, and joined after that.
    sent = pickle.loads(pickle.dumps(made[:3]))
    [part] = loader.DataLoader(sent, batch_size=3)
    np.testing.assert_array_equal(part.angle_index, line_graph(graphs[:3]).edges)
    with pytest.raises(ValueError, match="line_graph must be that of these graphs"):
        to_pyg(graphs[:2], line_graph=bonds)
    with pytest.raises(ValueError, match="y must have one value for each of 2 structures, got 3"):
        to_pyg(graphs[:2], [1.0, 2.0, 3.0])


def test_packages_that_are_absent(monkeypatch):
    for name in ("networkx", "torch"):
        monkeypatch.setitem(sys.modules, name, None)
    found = NeighbourGraph(r_cut=2.0).create(molecule("H2O"))
    with pytest.raises(ImportError, match="to_networkx needs networkx, which is not"):
        to_networkx(found)
    with pytest.raises(ImportError, match="to_pyg needs torch, which is not installed"):
        to_pyg(found)
