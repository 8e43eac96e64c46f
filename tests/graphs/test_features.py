"""Features of edges and nodes, against formulas and the layers of PyTorch Geometric."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from graphs.crystals import skewed, thin
from scipy.integrate import trapezoid

from atomprint.elements import ElementEmbedding, element_properties
from atomprint.graphs import BesselDistances, ElementFeatures, GaussianDistances, NeighbourGraph
from atomprint.graphs.edge_features import edge_features
from atomprint.graphs.node_features import node_features

GRAPHS = NeighbourGraph(r_cut=5.0).create([skewed(), molecule("H2O"), thin()])


def test_gaussians():
    found = GaussianDistances(r_max=6.0, n=4, r_min=1.5, sigma=0.7)(GRAPHS)
    for k, center in enumerate([1.5, 3.0, 4.5, 6.0]):
        expected = np.exp(-((GRAPHS.distances - center) ** 2) / (2 * 0.7**2))
        np.testing.assert_allclose(found[:, k], expected, rtol=1e-12, atol=1e-20)
    assert GaussianDistances(r_max=6.0, n=4, r_min=1.5).names[1] == "distance 3 Å"
    default = GaussianDistances(r_max=5.0, n=11)
    np.testing.assert_array_equal(default(GRAPHS), GaussianDistances(r_max=5.0, n=11, sigma=0.5)(GRAPHS))


def test_gaussians_are_not_so_small_that_processors_are_slow():
    found = GaussianDistances(r_max=8.0, n=41)(GRAPHS).astype(np.float32)
    assert (found == 0).any()
    assert found[found > 0].min() >= 9e-21


def test_gaussians_are_those_of_schnet():
    torch = pytest.importorskip("torch")
    layer = pytest.importorskip("torch_geometric.nn.models.schnet").GaussianSmearing(0.0, 5.0, 11)
    theirs = layer(torch.as_tensor(GRAPHS.distances))
    np.testing.assert_allclose(GaussianDistances(r_max=5.0, n=11)(GRAPHS), theirs.numpy(), atol=1e-6)


def test_waves_are_orthonormal_and_end_at_the_cutoff():
    r = np.linspace(1e-9, 4.0, 20001)
    waves = BesselDistances(4.0, n=5)(_at(r)) * r[:, None]
    overlap = trapezoid(waves[:, :, None] * waves[:, None, :], r, axis=0)
    np.testing.assert_allclose(overlap, np.eye(5), atol=1e-6)
    near = BesselDistances(4.0, n=5, power=5)(_at(np.array([3.999, 4.0, 7.0])))
    np.testing.assert_allclose(near, 0.0, atol=1e-6)


def test_waves_are_those_of_dimenet():
    torch = pytest.importorskip("torch")
    layer = pytest.importorskip("torch_geometric.nn.models.dimenet").BesselBasisLayer(6, 5.0, envelope_exponent=5)
    theirs = layer(torch.as_tensor(GRAPHS.distances)).detach().numpy()
    ours = BesselDistances(5.0, n=6, power=6)(GRAPHS)  # their exponent counts the 1 / r
    np.testing.assert_allclose(ours, np.sqrt(2 / 5) / 5 * theirs, atol=1e-6)


def _at(r):
    """Return something that has distances as graphs have them."""
    from dataclasses import replace

    return replace(GRAPHS, distances=r)


def test_edges_by_name():
    n = GRAPHS.n_edges
    found = edge_features(["gaussian", "bessel", "distance", "direction", "shift"], GRAPHS)
    assert found.shape == (n, 41 + 8 + 1 + 3 + 3)
    np.testing.assert_array_equal(found[:, :41], GaussianDistances(5.0)(GRAPHS))
    np.testing.assert_array_equal(found[:, 41:49], BesselDistances(5.0)(GRAPHS))
    np.testing.assert_array_equal(found[:, 49], GRAPHS.distances)
    np.testing.assert_allclose(np.linalg.norm(found[:, 50:53], axis=1), 1.0)
    np.testing.assert_array_equal(found[:, 53:], GRAPHS.shifts)
    with pytest.raises(
        ValueError, match=r"edges must be one of 'gaussian', .*, got 'gausian': did you mean 'gaussian'"
    ):
        edge_features("gausian", GRAPHS)
    with pytest.raises(ValueError, match="edges='gaussian' needs graphs with an r_cut: take GaussianDistances"):
        edge_features("gaussian", NeighbourGraph(n_nearest=3).create(skewed()))
    with pytest.raises(
        ValueError, match=rf"edges must give numbers of shape \({n}, n_features\), got float64 of \({n},\)"
    ):
        edge_features(lambda graphs: graphs.distances, GRAPHS)


def test_nodes():
    numbers = GRAPHS.structures.numbers
    found = node_features("properties", GRAPHS)
    names = ElementFeatures().names
    table = element_properties(range(1, 104), names)
    table = (table - table.mean(axis=0)) / table.std(axis=0)
    np.testing.assert_allclose(found, table[numbers - 1], rtol=1e-12)
    one_hot = node_features("one_hot", GRAPHS)
    assert one_hot.shape == (len(numbers), 103)
    np.testing.assert_array_equal(one_hot.argmax(axis=1) + 1, numbers)
    np.testing.assert_array_equal(one_hot.sum(axis=1), 1)
    both = ElementFeatures(["one_hot", "properties", ElementEmbedding(4)], species=[1, 6, 8, "Na", "Cl"])
    assert both(GRAPHS).shape == (len(numbers), 5 + 8 + 4)
    assert both.names[:6] == ["H", "C", "O", "Na", "Cl", "period"]
    with pytest.raises(ValueError, match="structure 1, atom 0: element must be one of species Na, Cl, got O"):
        ElementFeatures("one_hot", species=["Na", "Cl"])(
            NeighbourGraph(r_cut=3.0).create([bulk("Na"), molecule("H2O")])
        )
    with pytest.raises(ValueError, match="element must be one of hydrogen to lawrencium, got Rf"):
        ElementFeatures()(NeighbourGraph(r_cut=3.0).create(Atoms([104])))
    with pytest.raises(ValueError, match="channels must be one of 'properties', 'one_hot', got 'onehot': did you mean"):
        ElementFeatures("onehot")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GaussianDistances(r_max=0), "r_max must be > 0"),
        (lambda: GaussianDistances(r_max=1.0, r_min=2.0), "r_max must be > 2"),
        (lambda: GaussianDistances(n=1), "n must be >= 2"),
        (lambda: GaussianDistances(sigma=0), "sigma must be > 0"),
        (lambda: BesselDistances(r_max=-1), "r_max must be > 0"),
        (lambda: BesselDistances(power=0), "power must be >= 1"),
    ],
)
def test_bad_parameters(make, message):
    with pytest.raises(ValueError, match=message):
        make()
