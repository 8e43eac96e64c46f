"""Statistics of neighbours."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.neighborlist import neighbor_list

from atomprint.descriptors import NeighbourStatistics
from atomprint.testing import check_derivatives


def skewed():
    rng = np.random.default_rng(1)
    atoms = Atoms("NaClNaHO", positions=rng.normal(0, 6, (5, 3)), pbc=True)
    atoms.set_cell([[4.1, 0, 0], [0.7, 3.6, 0], [-0.5, 0.9, 3.9]])
    return atoms


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
