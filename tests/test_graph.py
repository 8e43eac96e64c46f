"""Graphs of neighbours, and statistics over them."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.neighborlist import neighbor_list

from atomprint.descriptors import NeighbourStatistics
from atomprint.graph import graph
from atomprint.structures import as_batch
from atomprint.testing import check_derivatives


def skewed():
    rng = np.random.default_rng(1)
    atoms = Atoms("NaClNaHO", positions=rng.normal(0, 6, (5, 3)), pbc=True)
    atoms.set_cell([[4.1, 0, 0], [0.7, 3.6, 0], [-0.5, 0.9, 3.9]])
    return atoms


@pytest.mark.parametrize("atoms", [molecule("CH3CH2OH"), bulk("Si"), skewed(), fcc111("Al", (2, 2, 2), vacuum=5)])
@pytest.mark.parametrize("r_cut", [1.2, 3.1, 5.3])
def test_agrees_with_ase(atoms, r_cut):
    found = graph(atoms, r_cut)
    i, j, d, D, S = neighbor_list("ijdDS", atoms, r_cut)
    order = np.lexsort((*S.T[::-1], j, i))
    np.testing.assert_array_equal(found.edges, [i[order], j[order]])
    np.testing.assert_array_equal(found.shifts, S[order])
    np.testing.assert_allclose(found.distances, d[order], atol=1e-12)
    np.testing.assert_allclose(found.vectors, D[order], atol=1e-12)
    np.testing.assert_array_equal(found.numbers, atoms.numbers)
    np.testing.assert_array_equal(found.positions, atoms.positions)
    np.testing.assert_array_equal(found.cell, atoms.cell.array)
    np.testing.assert_array_equal(found.pbc, atoms.pbc)


def test_edges_of_moved_copies_are_the_same():
    atoms = skewed()
    moved = atoms.copy()
    moved.positions += [100.0, -30.0, 7.0]
    np.testing.assert_array_equal(graph(moved, 3.0).edges, graph(atoms, 3.0).edges)
    wrapped = atoms.copy()
    wrapped.wrap()
    found, given = graph(wrapped, 3.0), graph(atoms, 3.0)
    np.testing.assert_array_equal(found.edges, given.edges)
    np.testing.assert_allclose(np.sort(found.distances), np.sort(given.distances))


def test_no_neighbours():
    found = graph(Atoms("H"), 3.0)
    assert found.edges.shape == (2, 0)
    assert found.vectors.shape == found.shifts.shape == (0, 3)
    assert repr(found) == "Graph(1 atoms, 0 edges, r_cut=3)"


def test_bad_input():
    for r_cut, error in ((0, ValueError), (-1.0, ValueError), (np.inf, ValueError), ("3", TypeError)):
        with pytest.raises(error, match="r_cut must be"):
            graph(molecule("H2O"), r_cut)
    with pytest.raises(ValueError, match="structure must be one structure, got 2"):
        graph([molecule("H2O"), molecule("NH3")], 3.0)
    with pytest.raises(ValueError, match="structure 0, atom 1: position must be finite"):
        graph(Atoms("H2", positions=[[0, 0, 0], [np.nan, 0, 0]]), 3.0)
    assert len(graph(as_batch(molecule("H2O"), periodic=False), 1.2).distances) == 4


@pytest.mark.parametrize("atoms", [molecule("CH3CH2OH"), bulk("NaCl", "cesiumchloride", 3.4), skewed()])
def test_networkx(atoms):
    networkx = pytest.importorskip("networkx")
    found = graph(atoms, 3.6)
    directed, undirected = found.to_networkx(), found.to_networkx(directed=False)
    assert isinstance(directed, networkx.MultiDiGraph)
    assert not undirected.is_directed()
    assert directed.number_of_edges() == len(found.distances) == 2 * undirected.number_of_edges()
    assert [number for _, number in directed.nodes(data="number")] == atoms.numbers.tolist()
    np.testing.assert_array_equal([d for *_, d in directed.edges(data="distance")], found.distances)
    degrees = np.bincount(found.edges[0], minlength=len(atoms))
    assert [degree for _, degree in undirected.degree()] == degrees.tolist()
    np.testing.assert_array_equal(directed.graph["cell"], atoms.cell.array)
    for i, j, data in directed.edges(data=True):
        vector = atoms.positions[j] + np.array(data["shift"]) @ atoms.cell.array - atoms.positions[i]
        np.testing.assert_allclose(data["vector"], vector, atol=1e-12)
    with pytest.raises(TypeError, match="directed must be True or False"):
        found.to_networkx(directed=1)


def test_isolated_molecules_are_components():
    networkx = pytest.importorskip("networkx")
    atoms = molecule("H2O")
    other = molecule("NH3")
    other.positions += 10
    whole = graph(atoms + other, 1.2).to_networkx(directed=False)
    assert [len(part) for part in networkx.connected_components(whole)] == [3, 4]


def test_pyg(monkeypatch):
    torch, geometric, data = ModuleType("torch"), ModuleType("torch_geometric"), ModuleType("torch_geometric.data")
    torch.as_tensor = lambda array, dtype=None: np.array(array, dtype=dtype)
    torch.get_default_dtype = lambda: np.float32
    data.Data = SimpleNamespace
    for name, module in (("torch", torch), ("torch_geometric", geometric), ("torch_geometric.data", data)):
        monkeypatch.setitem(sys.modules, name, module)
    check_pyg(graph(skewed(), 3.0), graph(skewed(), 3.0).to_pyg())


def test_pyg_itself():
    pytest.importorskip("torch_geometric")
    found = graph(skewed(), 3.0).to_pyg()
    found.validate(raise_on_error=True)
    check_pyg(graph(skewed(), 3.0), found)


def check_pyg(expected, found):
    arrays = {name: np.asarray(getattr(found, name)) for name in ("z", "pos", "edge_index", "edge_weight", "edge_vec")}
    arrays |= {name: np.asarray(getattr(found, name)) for name in ("edge_shift", "cell", "pbc")}
    assert {name: a.dtype.name for name, a in arrays.items()} == {
        **dict.fromkeys(("pos", "edge_weight", "edge_vec", "cell"), "float32"),
        **dict.fromkeys(("z", "edge_index", "edge_shift"), "int64"),
        "pbc": "bool",
    }
    np.testing.assert_array_equal(arrays["edge_index"], expected.edges[::-1])
    source, target = arrays["edge_index"]
    vectors = arrays["pos"][source] + arrays["edge_shift"] @ arrays["cell"][0] - arrays["pos"][target]
    np.testing.assert_allclose(arrays["edge_vec"], vectors, atol=1e-5)
    np.testing.assert_allclose(arrays["edge_weight"], expected.distances, rtol=1e-6)
    assert arrays["pbc"].shape == (1, 3)


def test_packages_that_are_absent(monkeypatch):
    for name in ("networkx", "torch"):
        monkeypatch.setitem(sys.modules, name, None)
    found = graph(molecule("H2O"), 2.0)
    with pytest.raises(ImportError, match="to_networkx needs networkx, which is not"):
        found.to_networkx()
    with pytest.raises(ImportError, match="to_pyg needs PyTorch Geometric"):
        found.to_pyg()


# Statistics --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cutoff_width", [None, 1.3])
@pytest.mark.parametrize("atoms", [molecule("CH3CH2OH"), skewed(), bulk("NaCl", "rocksalt", 5.6, cubic=True)])
def test_statistics_are_those_of_ase_neighbours(atoms, cutoff_width):
    species, r_cut = ["H", "C", "O", "Na", "Cl"], 3.3
    descriptor = NeighbourStatistics(r_cut, cutoff_width, species=species, periodic=bool(atoms.pbc.any()))
    found = dict(zip(descriptor.get_feature_names_out(), descriptor.create(atoms), strict=True))
    i, j, d = neighbor_list("ijd", atoms, r_cut)
    w = np.ones_like(d)
    if cutoff_width is not None:
        fading = d > r_cut - cutoff_width
        w[fading] = (1 + np.cos(np.pi * (d[fading] - r_cut + cutoff_width) / cutoff_width)) / 2

    def bonds(prefix, chosen):
        r, own = d[chosen], w[chosen]
        mean = np.average(r, weights=own) if len(r) else 0
        std = np.sqrt(np.average((r - mean) ** 2, weights=own)) if len(r) else 0
        return {f"{prefix}mean": mean, f"{prefix}std": std, f"{prefix}minimum": r.min() if len(r) else 0}

    counts = np.array([w[i == k].sum() for k in range(len(atoms))])
    expected = {"mean": counts.mean(), "std": counts.std(), "minimum": counts.min(), "maximum": counts.max()}
    expected = {f"NeighbourStatistics coordination {name}": value for name, value in expected.items()}
    expected |= bonds("NeighbourStatistics bond length ", np.full(len(d), True))
    symbols = np.array(atoms.get_chemical_symbols())
    for p, a in enumerate(species := ["H", "C", "O", "Na", "Cl"]):
        for b in species[p:]:
            for x, y in {(a, b), (b, a)}:
                pairs = (symbols[i] == x) & (symbols[j] == y)
                mean = w[pairs].sum() / max((symbols == x).sum(), 1)
                expected[f"NeighbourStatistics {a}-{b} coordination of {x} by {y}"] = mean
            expected |= bonds(f"NeighbourStatistics {a}-{b} bond length ", (symbols[i] == a) & (symbols[j] == b))
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-12, atol=1e-12, err_msg=name)


def test_errors_name_the_structure():
    statistics = NeighbourStatistics(r_cut=8.0, species=["Na"], periodic=True)
    for call in (statistics.create, statistics.derivatives):
        with pytest.raises(ValueError, match="structure 1: the cutoff reaches more than 5e7 periodic images"):
            call([bulk("Na"), Atoms("Na", cell=[0.02, 0.02, 0.02], pbc=True)])


def test_location():
    descriptor = NeighbourStatistics(species=["Na", "Cl"])
    names = descriptor.get_feature_names_out()
    assert descriptor.get_location(("Cl", "Na")) == descriptor.get_location((11, 17))
    assert [" Na-Cl " in name for name in names[descriptor.get_location(("Na", "Cl"))]] == [True] * 5
    assert len(names) == descriptor.get_number_of_features() == 7 + 4 + 5 + 4
    with pytest.raises(ValueError, match="no features for H-H"):
        descriptor.get_location(("H", "H"))


def test_features_are_continuous_at_the_cutoff():
    descriptor = NeighbourStatistics(r_cut=2.0, cutoff_width=0.5, species=["H"])
    near, beyond = (descriptor.create(Atoms("H3", positions=[[0, 0, 0], [1, 0, 0], [r, 0, 0]])) for r in (3 - 1e-8, 3))
    np.testing.assert_allclose(near, beyond, atol=1e-6)  # the standard deviation goes as the root of a weight


@pytest.mark.parametrize("cutoff_width", [None, 1.0])
def test_derivatives(cutoff_width):
    descriptor = NeighbourStatistics(3.3, cutoff_width, species=["H", "O", "Na", "Cl"], periodic=True)
    assert not check_derivatives(descriptor, skewed()).constant


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"r_cut": 0}, "r_cut must be > 0, got 0"),
        ({"cutoff_width": 5.0}, "cutoff_width must be <= r_cut = 3, got 5"),
        ({"species": ["Q"]}, "species must be chemical symbols"),
    ],
)
def test_bad_parameters(kwargs, message):
    with pytest.raises(ValueError, match=message):
        NeighbourStatistics(**kwargs)
