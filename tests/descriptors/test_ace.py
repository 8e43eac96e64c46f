"""ACE: values against a naive evaluation from the definitions, its parameters, names and channels."""

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list
from scipy.special import sph_harm_y

from atomprint.chemistry.elements import ElementEmbedding
from atomprint.descriptors import ACE, LearnedEmbedding
from atomprint.descriptors.ace import differences
from atomprint.learn import feature_groups, meanings_of
from atomprint.testing import check_derivatives


def clebsch_gordan(l1, l2):
    """<l1 m1 l2 m2 | L M> as (L, M) -> matrix over m1, m2, from ladder operators and orthogonality alone."""

    def lowered(state):
        result = np.zeros_like(state)
        for i, m1 in enumerate(range(-l1, l1 + 1)):
            for j, m2 in enumerate(range(-l2, l2 + 1)):
                if m1 > -l1:
                    result[i - 1, j] += np.sqrt(l1 * (l1 + 1) - m1 * (m1 - 1)) * state[i, j]
                if m2 > -l2:
                    result[i, j - 1] += np.sqrt(l2 * (l2 + 1) - m2 * (m2 - 1)) * state[i, j]
        return result

    states = {}
    for l in range(l1 + l2, abs(l1 - l2) - 1, -1):
        # The highest state is the one with M = L that is orthogonal to those of larger L.
        places = [(l1 + m1, l2 + l - m1) for m1 in range(-l1, l1 + 1) if abs(l - m1) <= l2]
        above = np.array([[states[k, l][place] for place in places] for k in range(l + 1, l1 + l2 + 1)])
        vector = np.linalg.svd(above.reshape(-1, len(places)))[2][-1]
        state = np.zeros((2 * l1 + 1, 2 * l2 + 1))
        for place, value in zip(places, vector, strict=True):
            state[place] = value
        for m in range(l, -l - 1, -1):
            states[l, m] = state
            state = lowered(state) / np.sqrt(max(l * (l + 1) - m * (m - 1), 1))
    return states


def radial(ace, r, r0, inner):
    """Chebyshev polynomials with cutoff and switch, orthonormalised by integrals of r R R."""

    def functions(r):
        p = 2.0 if ace.radial_parameter is None else ace.radial_parameter
        u, last = 1 / (1 + (r / r0) ** p), 1 / (1 + (ace.r_cut / r0) ** p)
        x = np.clip((r - inner[0]) / (inner[1] - inner[0]), 0, 1)
        switch = x**5 * (126 - 420 * x + 540 * x**2 - 315 * x**3 + 70 * x**4)
        envelope = np.where(r < ace.r_cut, (1 - (r / ace.r_cut) ** 2) ** 3, 0) * switch
        return np.polynomial.chebyshev.chebvander(2 * (u - last) / (1 - last) - 1, ace.n_max - 1) * envelope[:, None]

    grid = inner[0] + (np.arange(20_000) + 0.5) / 20_000 * (ace.r_cut - inner[0])
    gram = (functions(grid) * grid[:, None]).T @ functions(grid) / grid.sum()
    return np.linalg.solve(np.linalg.cholesky(gram), functions(r).T).T


def naive(ace, atoms, weights, r0=None, inner=None):
    """All features, but for their signs: sums over neighbours and magnetic quantum numbers, one after the other."""
    basis = ace.basis()
    numbers = sorted(set(atoms.numbers))
    i, j, d, vectors = neighbor_list("ijdD", atoms, ace.r_cut)
    coupled = {(l1, l2): clebsch_gordan(l1, l2) for l1 in range(ace.l_max + 1) for l2 in range(ace.l_max + 1)}
    rows = []
    for centre in range(len(atoms)):
        a = {}
        for k in np.flatnonzero(i == centre):
            z = atoms.numbers[j[k]]
            length = round((covalent_radii[atoms.numbers[centre]] + covalent_radii[z]) / 0.05) * 0.05
            values = radial(ace, d[[k]], r0 or 1.75 * length, inner or (0.35 * length, 0.65 * length))[0]
            x, y, z_ = vectors[k] / d[k]
            for l in range(ace.l_max + 1):
                for m in range(-l, l + 1):
                    harmonic = np.sqrt(4 * np.pi) * sph_harm_y(l, m, np.arccos(z_), np.arctan2(y, x))
                    for c in range(len(weights)):
                        for n in range(ace.n_max):
                            a[c, n, l, m] = a.get((c, n, l, m), 0) + weights[c][numbers.index(z)] * values[n] * harmonic

        def tensor(factors, places, l, a=a):
            if not places:
                return {0: 1.0}
            if len(places) == 1:
                return {m: a.get((*factors[places[0]], m), 0) for m in range(-l, l + 1)}
            (c1, n1, l1), (c2, n2, l2) = (factors[k] for k in places)
            return {
                m: sum(
                    coupled[l1, l2][l, m][l1 + m1, l2 + m2] * a.get((c1, n1, l1, m1), 0) * a.get((c2, n2, l2, m2), 0)
                    for m1 in range(-l1, l1 + 1)
                    for m2 in range(-l2, l2 + 1)
                )
                for m in range(-l, l + 1)
            }

        row = []
        for factors, (left, right, l) in zip(basis.factors, basis.couplings, strict=True):
            p, q = tensor(factors, left, l), tensor(factors, right, l)
            row.append(abs(sum((-1) ** m * p[m] * q[-m] for m in p)) / np.sqrt(2 * l + 1))
        rows.append(row)
    return np.array(rows)


WATER = molecule("H2O")
WATER.rattle(0.1, seed=1)
SALT = bulk("NaCl", "zincblende", a=4.2)
SALT.rattle(0.2, seed=2)


@pytest.mark.parametrize(
    ("ace", "atoms", "weights", "lengths"),
    [
        (ACE(3.0, 3, 2, max_degree=(2, 4, 4, 4), channels="full", species=["H", "O"]), WATER, np.eye(2), {}),
        (ACE(4.5, 2, 2, max_degree=(1, 3, 3, 3), species=["Na", "Cl"]), SALT, [[1, 1], [1, -1]], {}),
        (
            ACE(4.0, 2, 3, max_degree=(1, 3, 4, 5), species=["Na", "Cl"], species_embedding=[[0.5], [-2.0]], r0=2.0,
                inner=(1.0, 2.2), radial_parameter=3),
            SALT,
            [[0.5, -2.0]],
            {"r0": 2.0, "inner": (1.0, 2.2)},
        ),
    ],
    ids=["full", "mixed", "embedded"],
)  # fmt: skip
def test_values_are_those_of_the_definition(ace, atoms, weights, lengths):
    expected = naive(ace, atoms, weights, **lengths)
    # The tables have an error of 1e-8 of the largest radial function; four are multiplied. Some vanish for three atoms.
    scale = np.maximum(expected.max(axis=0), 1e-3)
    np.testing.assert_allclose(np.abs(ace.create(atoms)) / scale, expected / scale, atol=5e-7)
    assert np.median(expected.max(axis=0)) > 0.1


def test_derivatives_in_cells_smaller_than_the_cutoff_and_around_points():
    cell = bulk("NaCl", "rocksalt", a=4.1)
    cell.set_cell(cell.cell @ [[1, 0.1, 0], [0, 1.05, -0.1], [0.05, 0, 0.95]], scale_atoms=True)
    cell.rattle(0.1, seed=3)
    ace = ACE(4.4, 3, 2, n_functions=60, species=["Na", "Cl"], periodic=True)
    check_derivatives(ace, [cell])
    check_derivatives(ace, [cell], centers=[[[0.3, 0.9, 1.4]]])


def test_features_and_two_derivatives_are_continuous_where_an_atom_passes_the_cutoff_and_the_inner_switch():
    ace = ACE(4.0, 4, 2, n_functions=60, species=["O"], inner=(0.8, 1.2))
    trimer = molecule("O3")

    def features(distance):
        trimer.positions = [[0, 0, 0], [1.3, 0.2, 0.1], [0.0, distance * 0.6, distance * 0.8]]
        return ace.create(trimer, centers=[0])[0]

    def third(place, h):
        return np.abs(np.diff([features(place + k * h) for k in (-1.5, -0.5, 0.5, 1.5)], n=3, axis=0)).max()

    for place in (4.0, 1.2, 0.8):
        # Third differences go with the third power of the step; with the second, if the second derivative jumped.
        assert third(place, 2e-3) > 6 * third(place, 1e-3) > 0
    assert not np.abs(features(4.0) - features(5.0)).any()
    assert not np.abs(features(0.78) - features(0.1)).any()


def test_atoms_almost_at_one_place_give_finite_features_and_derivatives():
    ace = ACE(4.0, 3, 2, n_functions=60, species=["O"])
    pair = molecule("O2")
    pair.positions[:] = [[0, 0, 0], [0, 0, 1e-4]]
    features = ace.create(pair)
    assert not features.any()
    gradient = ace.vjp(pair, np.ones_like(features))
    assert np.isfinite(gradient.positions).all()


def test_mixed_channels_span_what_full_ones_do_where_differences_cost_nothing():
    settings = {"r_cut": 3.0, "n_max": 2, "l_max": 1, "max_degree": (1, 2, 2, 2), "species": ["H", "O"]}
    rng = np.random.default_rng(4)
    clouds, n = [], 150
    for _ in range(n):
        cloud = molecule("CH3CH2OH")
        cloud.symbols[:] = "O"
        cloud.symbols[2:5] = "H"
        cloud.positions = rng.uniform(-1.5, 1.5, (9, 3))
        clouds.append(cloud)
    full = np.concatenate(ACE(**settings, channels="full", r0=1.0, inner=(0.1, 0.3)).create(clouds, centers=[[2]] * n))
    mixed = np.concatenate(ACE(**settings, penalty=0, r0=1.0, inner=(0.1, 0.3)).create(clouds, centers=[[2]] * n))
    assert full.shape == mixed.shape
    scale = np.abs(full).max(axis=0)
    assert full.shape[1] < n / 2
    fitted = mixed @ np.linalg.lstsq(mixed, full, rcond=None)[0]
    np.testing.assert_allclose(fitted / scale, full / scale, atol=1e-8)


def test_differences_are_orthogonal_and_there_for_any_species():
    for species in ([14], [15, 49], [1, 6, 7, 8], [24, 25, 26, 27, 28], list(range(1, 21)), [92, 104, 110]):
        channels = differences(species)
        np.testing.assert_allclose(channels @ channels.T, len(species) * np.eye(len(species)), atol=1e-9)
        np.testing.assert_allclose(channels[0], 1)


def test_names_say_channels_radial_indices_degrees_and_couplings_and_tell_all_apart():
    ace = ACE(3.0, 3, 2, n_functions=150, species=["O", "H"], channels="full")
    names = ace.get_feature_names_out().tolist()
    assert len(set(names)) == len(names) == ace.get_number_of_features()
    assert names[0] == "ACE H n=1 l=0"
    assert "ACE H-O n=1,2 l=1,1" in names
    assert "ACE H-H-O-O n=1,2,1,1 l=0,0,0,0 12-34 L=0" in names
    groups = feature_groups(meanings_of(ace))
    assert {"elements", "body orders", "species pairs", "species triples", "species quadruples"} <= set(groups)
    assert [names[k] for k in groups["body orders"]["2-body"]] == [
        f"ACE {z} n={n} l=0" for z in "HO" for n in (1, 2, 3)
    ]
    place = ace.get_location(["O", "H", "H"])
    assert all(name.startswith("ACE H-H-O n") for name in names[place])
    assert not any(name.startswith("ACE H-H-O n") for name in names[: place.start] + names[place.stop :])
    with pytest.raises(ValueError, match="features belong to channels, not to species, unless channels='full'"):
        ACE(3.0, 3, 2, species=["O", "H"]).get_location(["O"])


def test_about_as_many_functions_as_are_asked_for():
    for species, wanted in ((["Si"], 100), (["Si"], 800), (["In", "P"], 300), (["H", "C", "N", "O"], 200)):
        assert 0.75 * wanted < ACE(4.0, n_functions=wanted, species=species).get_number_of_features() < 1.3 * wanted


def test_an_embedding_is_learnt_with_targets():
    ace = ACE(3.0, 3, 2, n_functions=60, species_embedding=LearnedEmbedding(n_channels=2), pooling="mean")
    structures = [molecule(name) for name in ("H2O", "CH4", "NH3", "CO2", "CH3OH", "H2O2")]
    ace.fit(structures, np.arange(6.0))
    assert ace.transform(structures).shape == (6, ace.get_number_of_features())
    embedded = ACE(3.0, 3, 2, n_functions=60, species_embedding=ElementEmbedding(2), species=["H", "O"])
    assert embedded.get_feature_names_out()[0] == "ACE channel1 n=1 l=0"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"r_cut": 0}, "r_cut must be > 0, got 0"),
        ({"n_max": 0}, "n_max must be >= 1, got 0"),
        ({"l_max": -1}, "l_max must be >= 0, got -1"),
        ({"max_order": 5}, "max_order must be <= 4, got 5"),
        ({"max_degree": (3, 3)}, "max_degree must be 4 numbers, one for each order up to max_order, got "),
        ({"max_degree": (3, 3, 3, -1)}, "max_degree of order 4 must be >= 0, got -1"),
        ({"max_degree": (3, 3, 3, 3), "n_functions": 50}, "max_degree and n_functions cannot be combined"),
        ({"max_degree": (30, 30, 30, 30)}, "max_degree must leave at most 30000 functions, got more with"),
        ({"n_functions": 0}, "n_functions must be >= 1, got 0"),
        ({"weight_l": 0}, "weight_l must be > 0, got 0"),
        ({"channels": "both"}, "channels must be one of 'mixed', 'full', got 'both'"),
        ({"penalty": -1}, "penalty must be >= 0, got -1"),
        ({"radial": "cheby"}, "radial must be .*'chebyshev'.* got 'cheby'"),
        ({"radial": "bessel", "radial_parameter": 2}, "radial_parameter must be left out unless radial is one of "),
        ({"radial_parameter": 0.5}, "radial_parameter must be >= 1, got 0.5"),
        ({"r0": -1.0}, "r0 must be > 0, got -1"),
        ({"r0": {"H-O": 0}}, "r0 of H-O must be > 0, got 0"),
        ({"r0": {"H": 1.0}}, "r0: keys must be pairs of elements such as 'In-P', got 'H'"),
        ({"r0": {"H-Xx": 1.0}}, "r0: .*'Xx'"),
        ({"r0": {"H-O": 1.0, (8, 1): 1.5}}, "r0 must be one for each pair, got 1.0 and 1.5 of H-O"),
        ({"inner": 1.0}, "inner must be two distances, got 1.0"),
        ({"inner": (1.0, 0.5)}, "inner must be two ascending distances, got 1 and 0.5"),
        ({"inner": {"H-O": (1.0, 6.0)}}, "inner of H-O must end before r_cut = 5, got 6"),
        ({"species_embedding": [[1.0]]}, r"species_embedding must be numbers of shape \(n_species, n_channels\)"),
        ({"radial": lambda r: r}, r"radial must be a function from distances \(n,\) to finite values"),
    ],
)
def test_parameters_that_cannot_be_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        ACE(**({"species": ["H", "O"]} | parameters)).create(WATER)
