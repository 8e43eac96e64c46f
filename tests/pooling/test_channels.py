"""Channels of the elements: of densities, of centres, of compositions."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from sklearn.base import clone

from atomprint.descriptors import SOAP, CompositionChannels
from atomprint.elements import ElementEmbedding, PropertyChannels, channel_table, element_properties
from atomprint.learn import feature_groups, meanings_of
from atomprint.pooling import LocalFeatures, Pooling

PROPERTIES = ["period", "electronegativity"]
CHANNELS = [PropertyChannels(PROPERTIES, scale=0.5), ElementEmbedding(3), "species"]
STRUCTURES = [
    bulk("NaCl", "rocksalt", a=5.64),
    bulk("ZnS", "zincblende", a=5.41),
    Atoms("NaZn2", positions=[[0, 0, 0], [2.4, 0, 0], [0, 2.6, 1]], cell=[5, 5, 5], pbc=True),
]


def soap(pooling=None, **parameters):
    parameters = {"r_cut": 4.0, "n_max": 2, "l_max": 1, "compression": "mu2", "periodic": True} | parameters
    return SOAP(species=["Na", "S", "Cl", "Zn"], pooling=pooling, **parameters)


# ---------------------------------------------------------------------------------------------- PropertyChannels


def test_property_channels_are_standardised_properties():
    table = element_properties(range(1, 104), PROPERTIES)
    expected = 0.5 * (table - table.mean(axis=0)) / table.std(axis=0)
    made = PropertyChannels(PROPERTIES, scale=0.5).matrix(["Cl", "H"])
    np.testing.assert_allclose(made, np.column_stack([[1, 1], expected[[16, 0]]]), rtol=1e-12)
    assert PropertyChannels(PROPERTIES).names(["Cl"]) == ["constant", *PROPERTIES]
    np.testing.assert_allclose(PropertyChannels(PROPERTIES, 0.5, constant=False).matrix(["Cl", "H"]), made[:, 1:])


def test_property_channels_compare_by_their_parameters():
    assert clone(PropertyChannels(PROPERTIES)) == PropertyChannels(tuple(PROPERTIES))
    assert PropertyChannels(PROPERTIES) != PropertyChannels(PROPERTIES, scale=2)
    assert len({PropertyChannels(PROPERTIES), PropertyChannels(PROPERTIES)}) == 1


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"properties": ["colour"]}, ValueError, "properties must be one of"),
        ({"scale": 0}, ValueError, "scale must be > 0, got 0"),
        ({"constant": 1}, TypeError, "constant must be"),
    ],
)
def test_bad_property_channels(parameters, error, message):
    with pytest.raises(error, match=message):
        PropertyChannels(**parameters)


def test_a_table_of_several_channels():
    names, table = channel_table(CHANNELS, ["Na", "Zn"])
    assert names == ["constant", *PROPERTIES, "channel1", "channel2", "channel3", "Na", "Zn"]
    np.testing.assert_array_equal(table[:, -2:], np.eye(2))
    with pytest.raises(ValueError, match="several called channel1"):
        channel_table([ElementEmbedding(2), ElementEmbedding(1)], ["Na"])
    with pytest.raises(TypeError, match="channels must be 'species', an ElementEmbedding"):
        channel_table(["elements"], ["Na"])
    with pytest.raises(ValueError, match="at least one"):
        channel_table([], ["Na"])


def test_densities_of_properties_in_soap():
    # Power spectra are bilinear in the densities: channels that mix species give mixtures of the products of species.
    channels = PropertyChannels(PROPERTIES)
    by_channel = soap(compression="off", species_embedding=channels)
    by_matrix = soap(compression="off", species_embedding=channels.matrix(["Na", "S", "Cl", "Zn"]))
    np.testing.assert_allclose(by_channel.create(STRUCTURES[0]), by_matrix.create(STRUCTURES[0]), rtol=1e-12)
    names = by_channel.get_feature_names_out()
    assert names[0].startswith("SOAP constant-constant n=1")
    assert set(feature_groups(meanings_of(by_channel))["element channels"]) >= {
        "constant-period",
        "period-electronegativity",
    }


# ---------------------------------------------------------------------------------------------------- pooling


def local_features(seed=0, counts=(3, 1, 4)):
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return LocalFeatures(rng.normal(size=(sum(counts), 5)), offsets, rng.choice([1, 6, 8], size=sum(counts)))


@pytest.mark.parametrize("weighted", [False, True])
def test_pooling_by_channels_is_the_naive_loop(weighted):
    features = local_features()
    weights = [np.arange(1.0, n + 1) for n in np.diff(features.offsets)] if weighted else None
    pooling = Pooling(("mean", "sum", "covariance"), weights=weights, channels=CHANNELS, species=["H", "C", "O"])
    pooled = pooling.fit_transform(features)
    names, table = channel_table(CHANNELS, ["H", "C", "O"])
    assert pooled.shape == (3, len(names) * 3 * 5)
    for s, x in enumerate(features):
        own = features.numbers[features.offsets[s] : features.offsets[s + 1]]
        e = table[np.searchsorted([1, 6, 8], own)]
        w = np.ones(len(x)) if weights is None else weights[s]
        expected = []
        for k in range(len(names)):
            mean = sum(w[i] * e[i, k] * x[i] for i in range(len(x))) / w.sum()
            together = np.average(x, axis=0, weights=w) * np.average(e[:, k], weights=w)
            expected += [mean, mean * w.sum(), mean - together]
        np.testing.assert_allclose(pooled[s], np.concatenate(expected), atol=1e-12)


def test_covariance_is_that_of_numpy():
    features = local_features(counts=(5,))
    pooled = Pooling("covariance", channels=PropertyChannels(PROPERTIES, constant=False)).fit_transform(features)
    e = PropertyChannels(PROPERTIES, constant=False).matrix(features.numbers.tolist())
    joint = np.cov(np.column_stack([e, features.values]).T, bias=True)
    np.testing.assert_allclose(pooled[0].reshape(2, 5), joint[:2, 2:], atol=1e-12)


def test_mean_over_species_channels_is_the_sum_by_species_over_the_number_of_centres():
    structures = STRUCTURES
    by_channel = soap(Pooling("mean", channels="species")).create(structures)
    by_species = soap(Pooling("sum", by_species=True)).create(structures)
    np.testing.assert_allclose(by_channel, by_species / np.array([[2], [2], [3]]), atol=1e-12)


def test_a_plan_by_channels_pools_chunk_by_chunk_and_sparse():
    features = local_features(counts=(3, 1, 4, 2))
    plan = Pooling(("mean", "covariance"), channels=CHANNELS, species=["H", "C", "O"])._plan(
        features.offsets, features.numbers
    )
    whole = plan(features.values)
    for start, stop in [(0, 2), (1, 4), (0, 4)]:
        np.testing.assert_allclose(plan[start:stop](features[start:stop].values), whole[start:stop], rtol=1e-12)
    from scipy import sparse

    np.testing.assert_allclose(plan(sparse.csr_array(features.values)).toarray(), whole, rtol=1e-12)
    bad = features.values.copy()
    bad[5] = np.nan
    with pytest.raises(ValueError, match="structure 2: features must be finite"):
        plan(bad)


def test_names_of_pooled_channels():
    described = soap(Pooling("covariance", channels=[PropertyChannels(PROPERTIES, constant=False), "species"]))
    names = described.get_feature_names_out()
    assert len(names) == described.get_number_of_features() == described.create(STRUCTURES[0]).shape[0]
    assert names[0] == "period: covariance SOAP all n=1 n'=1 l=0"
    groups = feature_groups(meanings_of(described))
    assert set(groups["elements of centres"]) == {"Na", "S", "Cl", "Zn"}
    assert set(groups["channels of centres"]) == set(PROPERTIES)
    assert sum(
        len(columns) for way in ("elements", "channels") for columns in groups[f"{way} of centres"].values()
    ) == (len(names))


@pytest.mark.parametrize("wrt", ["positions", "strain"])
def test_derivatives_of_pooled_channels(wrt):
    described = soap(Pooling(("mean", "covariance"), channels=CHANNELS), cutoff_width=1.0)
    atoms = STRUCTURES[2]
    exact, values = described.derivatives(atoms, wrt=wrt, attach=True)
    numerical, _ = described.derivatives(atoms, wrt=wrt, attach=True, method="numerical")
    np.testing.assert_allclose(values, described.create(atoms), rtol=1e-12)
    np.testing.assert_allclose(exact, numerical, atol=1e-6 * np.abs(exact).max())
    weights = np.random.default_rng(0).normal(size=values.shape)
    gradient = described.vjp(atoms, weights, wrt=wrt, attach=True)
    np.testing.assert_allclose(getattr(gradient, wrt), exact @ weights, atol=1e-9 * np.abs(exact @ weights).max())
    if wrt == "positions":
        blocks = described.jacobian(atoms)
        np.testing.assert_allclose(blocks.contract(weights).positions, exact @ weights, atol=1e-9)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"method": "covariance"}, "method 'covariance' needs channels"),
        ({"method": "max", "channels": "species"}, "method must be one of"),
        ({"by_species": True, "channels": "species"}, "by_species must be False with channels"),
    ],
)
def test_bad_poolings(parameters, message):
    with pytest.raises(ValueError, match=message):
        Pooling(**parameters)


# ------------------------------------------------------------------------------------------------ compositions


def test_composition_channels_are_means_over_fractions():
    made = CompositionChannels(CHANNELS, species=["Ti", "O"])
    row = made.create("TiO2")
    names, table = channel_table(CHANNELS, ["O", "Ti"])
    np.testing.assert_allclose(row, (2 * table[0] + table[1]) / 3)
    assert made.get_feature_names_out().tolist() == [f"CompositionChannels {name}" for name in names]
    np.testing.assert_allclose(made.transform(["TiO2", "O2"])[0], row)
    assert set(feature_groups(meanings_of(made))) == {
        "descriptors", "elements", "element channels", "element properties"
    } - {"descriptors"}  # fmt: skip


def test_sums_of_composition_channels_count_atoms():
    made = CompositionChannels(species=["H", "O"], average=False)
    np.testing.assert_array_equal(made.create([molecule("H2O"), molecule("H2O2"), "O2"]), [[2, 1], [2, 2], [0, 2]])
    with pytest.raises(TypeError, match="average must be True or False"):
        CompositionChannels(average="no")


def test_composition_channels_learn_their_species():
    made = CompositionChannels().fit(["TiO2", molecule("H2O")])
    np.testing.assert_allclose(made.transform(["TiO2"]), [[0, 2 / 3, 1 / 3]])
    with pytest.raises(ValueError, match="composition 1: species must be one of H, O, Ti, got Na"):
        made.transform(["TiO2", "Na2O"])
    assert not hasattr(clone(made), "species_")
    with pytest.raises(TypeError, match="channels must be"):
        made.set_params(channels=3)
