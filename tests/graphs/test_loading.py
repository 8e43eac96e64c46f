"""Batches: as arrays, as tensors, of streams, and by PyTorch's loader."""

import pickle
import sys

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from graphs.crystals import odd_crystals

from atomprint.datasets import load_dcdft, load_g2
from atomprint.graphs import GraphDataset, NeighbourGraph, stream_batches
from atomprint.structures import Batch, StructureError, as_batch
from atomprint.trajectories import Trajectory

MAKER = NeighbourGraph(r_cut=4.0)
NAMES = ("nodes", "edges", "edge_features", "owners", "y", "indices")


def same(one, other):
    for name in NAMES:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
        assert np.asarray(getattr(one, name)).dtype == np.asarray(getattr(other, name)).dtype, name


def test_batches_have_every_structure_once():
    crystals = odd_crystals()
    y = np.arange(len(crystals)) + 0.5
    dataset = GraphDataset(crystals, MAKER, y)
    batches = list(dataset.batches(4))
    assert [len(batch) for batch in batches] == [4, 4, 4, 1]
    for batch in batches:
        assert batch.nodes.dtype == batch.edge_features.dtype == batch.y.dtype == np.float32
        assert batch.edges.max() < len(batch.nodes) == len(batch.owners)
        np.testing.assert_array_equal(batch.y, batch.indices + 0.5)
        for k, index in enumerate(batch.indices):
            same_atoms = batch.owners == k
            assert same_atoms.sum() == len(crystals[index])
            np.testing.assert_array_equal(batch.graphs.structures.numbers[same_atoms], crystals[index].numbers)
    assert [len(batch) for batch in dataset.batches(4, drop_last=True)] == [4, 4, 4]
    shuffled = list(dataset.batches(4, shuffle=True, random_state=3))
    order = np.concatenate([batch.indices for batch in shuffled])
    assert sorted(order) == list(range(len(crystals)))
    assert order.tolist() != sorted(order)
    again = GraphDataset(crystals, MAKER, y, n_jobs=3).batches(4, shuffle=True, random_state=3)
    for one, other in zip(shuffled, again, strict=True):
        same(one, other)


def test_ready_graphs_batches_and_lists_give_the_same(tmp_path):
    crystals = odd_crystals()
    as_batch(crystals, periodic=None).save(tmp_path / "crystals.npz")
    y = np.arange(len(crystals))
    of_list = GraphDataset(crystals, MAKER, y)
    chosen = [5, 2, 2, 11]
    for structures in (
        MAKER.create(crystals),
        as_batch(crystals, periodic=None),
        Batch.load(tmp_path / "crystals.npz"),
    ):
        maker = MAKER if isinstance(structures, Batch) else None
        same(GraphDataset(structures, maker, y).batch(chosen), of_list.batch(chosen))
    assert of_list.batch(chosen).y.dtype == np.int64


def test_streams():
    frames = [bulk("Cu", a=a) for a in np.linspace(3.4, 3.8, 7)]
    found = list(stream_batches(iter(frames), MAKER, 3))
    assert [batch.indices.tolist() for batch in found] == [[0, 1, 2], [3, 4, 5], [6]]
    np.testing.assert_array_equal(found[1].edge_features, GraphDataset(frames, MAKER).batch([3, 4, 5]).edge_features)
    assert len(list(stream_batches(Trajectory(frames, time_step=1.0), MAKER, 3, n_jobs=2))) == 3
    for one in (bulk("Cu"), "frames.traj", 3):
        with pytest.raises(TypeError, match="structures must be an iterable of structures, got"):
            next(stream_batches(one, MAKER, 2))
    frames[5].positions[0] = np.nan
    with pytest.raises(StructureError, match="structure 5, atom 0: position must be finite"):
        list(stream_batches(iter(frames), MAKER, 3))
    read = []

    def slowly():
        for frame in frames:
            read.append(frame)
            yield frame

    next(stream_batches(slowly(), MAKER, 2))
    assert len(read) == 2


def test_data_sets():
    crystals, molecules = load_dcdft(), load_g2()
    name = next(iter(crystals.targets))
    dataset = GraphDataset(crystals, MAKER, y=name, nodes="one_hot")
    batch = dataset.batch([4, 7])
    np.testing.assert_allclose(batch.y, crystals.targets[name].values[[4, 7]], rtol=1e-6)
    assert batch.nodes.shape[1] == 103
    assert len(GraphDataset(molecules, NeighbourGraph(bonds=1.2), edges="distance").batch([0, 1])) == 2
    with pytest.raises(ValueError, match="y must be one of the targets"):
        GraphDataset(crystals, MAKER, y="gap")
    with pytest.raises(TypeError, match="y must be values, or the name of a target of a data set, got 'gap'"):
        GraphDataset([bulk("Cu")], MAKER, y="gap")


def test_targets_of_atoms_and_several_targets():
    crystals = [molecule("H2O"), molecule("CH4"), bulk("Si")]
    forces = [np.ones((len(atoms), 3)) * k for k, atoms in enumerate(crystals)]
    batch = GraphDataset(crystals, MAKER, forces, per_atom=True, dtype="float64").batch([2, 0])
    assert batch.y.tolist() == [[2.0] * 3] * 2 + [[0.0] * 3] * 3
    pandas = pytest.importorskip("pandas")
    for column in (pandas.Series([1.0, 2.0, 3.0], index=[5, 5, 6]), pandas.DataFrame({"gap": [1.0, 2.0, 3.0]})):
        assert GraphDataset(crystals, MAKER, column).batch([2, 0]).y.tolist() == [3.0, 1.0]
    batch = GraphDataset(crystals, MAKER, [[1, 2], [3, 4], [5, 6]]).batch([2, 0])
    assert batch.y.tolist() == [[5, 6], [1, 2]]
    assert batch.y.dtype == np.int64
    with pytest.raises(StructureError, match="y: structure 1 must have one value for each of 5 atoms, got 4"):
        GraphDataset(crystals, MAKER, [np.ones(3), np.ones(4), np.ones(2)], per_atom=True).batch([0, 1])
    with pytest.raises(StructureError, match=r"y: structure 1: shape must be .*per_atom=True is for values of atoms"):
        GraphDataset(crystals, MAKER, forces)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([1.0], "y must have one value for each of 2 structures, got 1"),
        ([1.0, np.nan], "y: structure 1 must be finite, got nan: leave out what is not known"),
        (["a", "b"], "y: structure 0 must be a number, got 'a'"),
        ([None, 1.0], "y: structure 0 must be finite, got None"),
        (3.0, "y must have one value for each of 2 structures, got 3.0"),
    ],
)
def test_bad_targets(y, message):
    with pytest.raises(ValueError, match=message):
        GraphDataset([bulk("Si"), bulk("Cu")], MAKER, y)


def test_bad_arguments():
    crystals = [bulk("Si"), molecule("H2O"), Atoms("Ar")]
    with pytest.raises(
        TypeError, match=r"give Graphs, or structures and the NeighbourGraph .* got structures and no graph"
    ):
        GraphDataset(crystals)
    with pytest.raises(TypeError, match=r"give Graphs, or structures .* got both"):
        GraphDataset(MAKER.create(crystals), MAKER)
    with pytest.raises(TypeError, match=r"graph must be a NeighbourGraph, got 3\.0"):
        GraphDataset(crystals, 3.0)
    with pytest.raises(ValueError, match="edges must be one of"):
        GraphDataset(crystals, MAKER, edges="lengths")
    with pytest.raises(TypeError, match=r"nodes: channels must be 'properties', 'one_hot', .*, got None"):
        GraphDataset(crystals, MAKER, nodes=None)
    with pytest.raises(TypeError, match="y must be a sequence, got a dict"):
        GraphDataset(crystals, MAKER, {"a": 1.0})
    with pytest.raises(ValueError, match="nodes: channels must be one of"):
        GraphDataset(crystals, MAKER, nodes="property")
    dataset = GraphDataset(crystals, NeighbourGraph(r_cut=4.0, min_neighbours=1))
    with pytest.raises(StructureError, match="structure 2, atom 0: must have at least 1 neighbour within 4 Å, got 0"):
        dataset.batch([1, 2])
    with pytest.raises(StructureError, match="structure 2, atom 0"):
        list(dataset.batches(2))
    with pytest.raises(ValueError, match="batch_size must be >= 1"):
        list(dataset.batches(0))
    with pytest.raises(ValueError, match="indices must name at least one structure"):
        dataset.batch([])
    with pytest.raises(IndexError):
        dataset.batch([3])
    assert len(dataset[-2]) == 1


def test_descriptors_as_nodes():
    from atomprint.descriptors import SOAP

    soap = SOAP(r_cut=3.0, n_max=2, l_max=1, species=["H", "O", "Si"])

    def rows(graphs):
        return np.concatenate(soap.create(graphs.structures))

    batch = GraphDataset([molecule("H2O"), molecule("H2")], MAKER, nodes=rows, dtype="float64").batch([1, 0])
    np.testing.assert_allclose(batch.nodes[2:], soap.create(molecule("H2O")), atol=1e-12)


def test_tensors_need_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"GraphBatch\.tensors needs torch, which is not installed: pip install"):
        GraphDataset([bulk("Si")], MAKER).batch([0]).tensors()


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_loader_of_torch(workers):
    torch = pytest.importorskip("torch")
    crystals = odd_crystals()
    dataset = GraphDataset(crystals, MAKER, np.arange(len(crystals)) * 0.5)
    kind = torch.utils.data.DataLoader
    method = "spawn" if workers else None
    loader = kind(
        dataset, batch_size=5, collate_fn=dataset.collate, num_workers=workers, multiprocessing_context=method
    )
    for found, wanted in zip(loader, dataset.batches(5), strict=True):
        assert isinstance(found.nodes, torch.Tensor)
        for name in NAMES:
            np.testing.assert_array_equal(getattr(found, name).numpy(), getattr(wanted, name))
    shuffled = kind(dataset, batch_size=5, shuffle=True, collate_fn=dataset.collate)
    assert sorted(torch.cat([batch.indices for batch in shuffled]).tolist()) == list(range(len(crystals)))


def test_single_items_are_collated_as_batches_are():
    torch = pytest.importorskip("torch")
    dataset = GraphDataset(odd_crystals(), MAKER, np.arange(13))
    found = dataset.collate([dataset[k] for k in (3, 1, 4)])
    wanted = dataset.batch([3, 1, 4])
    for name in NAMES:
        np.testing.assert_array_equal(getattr(found, name).numpy(), getattr(wanted, name))
    assert found.edges.dtype == torch.int64


def test_pickles():
    dataset = GraphDataset([bulk("Si"), molecule("H2O")], MAKER, [1.0, 2.0])
    same(pickle.loads(pickle.dumps(dataset)).batch([1, 0]), dataset.batch([1, 0]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y": [1e39, 2.0]}, r"y must be finite numbers of float32, got 1e\+39"),
        ({"nodes": lambda graphs: np.full((graphs.n_atoms, 1), np.nan)}, "nodes must be finite numbers of float32"),
        ({"edges": ["distance", lambda graphs: np.full((graphs.n_edges, 1), -1e39)]}, r"edges must be .*got -1e\+39"),
    ],
)
def test_numbers_that_a_batch_cannot_hold(arguments, message):
    crystals = [bulk("Si"), bulk("Cu")]
    with pytest.raises(ValueError, match=message):
        GraphDataset(crystals, MAKER, **arguments).batch([0, 1])
    if "y" in arguments:
        assert GraphDataset(crystals, MAKER, **arguments, dtype="float64").batch([0]).y.tolist() == [1e39]


def test_targets_keep_their_values():
    crystals = [bulk("Si"), bulk("Cu")]
    with pytest.raises(ValueError, match="y must have all values, got an array with a mask"):
        GraphDataset(crystals, MAKER, np.ma.masked_array([1.0, 2.0], [False, True]))
    assert GraphDataset(crystals, MAKER, np.ma.masked_array([1.0, 2.0])).batch([1]).y.tolist() == [2.0]
    large = np.array([2**63 + 2**40, 1], dtype=np.uint64)
    assert GraphDataset(crystals, MAKER, large, dtype="float64").batch([0]).y.tolist() == [2.0**63 + 2.0**40]
