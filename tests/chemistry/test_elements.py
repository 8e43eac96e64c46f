"""Element properties and embeddings."""

import numpy as np
import pytest
from ase.data import covalent_radii
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone

from atomprint.elements import (
    DEFAULT_PROPERTIES,
    N_ELEMENTS,
    ElementEmbedding,
    element_embedding,
    element_properties,
)

ALL = range(1, N_ELEMENTS + 1)


@pytest.mark.parametrize(
    ("symbol", "period", "group", "valence"),
    [
        ("H", 1, 1, (1, 0, 0, 0)),
        ("He", 1, 18, (2, 0, 0, 0)),
        ("C", 2, 14, (2, 2, 0, 0)),
        ("Ne", 2, 18, (2, 6, 0, 0)),
        ("K", 4, 1, (1, 0, 0, 0)),
        ("Sc", 4, 3, (2, 0, 1, 0)),
        ("Cu", 4, 11, (2, 0, 9, 0)),
        ("Ga", 4, 13, (2, 1, 0, 0)),
        ("La", 6, 3, (2, 0, 0, 1)),
        ("Yb", 6, 3, (2, 0, 0, 14)),
        ("Lu", 6, 3, (2, 0, 1, 0)),
        ("Pb", 6, 14, (2, 2, 0, 0)),
        ("U", 7, 3, (2, 0, 0, 4)),
        ("Lr", 7, 3, (2, 0, 1, 0)),
    ],
)
def test_place_in_the_periodic_table(symbol, period, group, valence):
    names = ["period", "group", "valence_s", "valence_p", "valence_d", "valence_f"]
    np.testing.assert_array_equal(element_properties([symbol], names), [[period, group, *valence]])


def test_valence_electrons_of_all_elements_add_up_to_the_electrons_outside_filled_shells():
    table = element_properties(ALL, ["valence_s", "valence_p", "valence_d", "valence_f"])
    assert (table >= 0).all()
    assert (table <= [2, 6, 10, 14]).all()
    counts = [int((column == top).sum()) for column, top in zip(table.T, [2, 6, 10, 14], strict=True)]
    # Full s: all but the 7 of group 1; full p: Ne to Rn; full d: Zn, Cd, Hg; full f: Yb, No.
    assert counts == [N_ELEMENTS - 7, 5, 3, 2]


def test_tabulated_values():
    names = ["electronegativity", "covalent_radius", "ionization_energy", "mass", "atomic_number"]
    np.testing.assert_array_equal(
        element_properties(["O", "H", 79], names),
        [
            [3.44, 0.66, 13.618, 15.999, 8],
            [2.20, 0.31, 13.598, 1.008, 1],
            [2.40, 1.36, 9.226, 196.966569, 79],
        ],
    )
    # Interpolated between Nd (1.14) and Sm (1.17).
    assert element_properties(["Pm"], ["electronegativity"]).item() == pytest.approx(1.155)
    radii = element_properties(ALL, ["covalent_radius"])[:, 0]
    np.testing.assert_array_equal(radii[:96], covalent_radii[1:97])
    assert (radii[96:] > 1.6).all()
    assert np.isfinite(element_properties(ALL)).all()


def test_closed_shells_are_hard_to_ionize():
    energy = dict(zip(ALL, element_properties(ALL, ["ionization_energy"])[:, 0], strict=True))
    for noble in (2, 10, 18, 36, 54, 86):
        assert energy[noble] == max(energy[z] for z in range(max(1, noble - 7), noble + 2))


@pytest.mark.parametrize("n_channels", [2, 3, 4, 8, 16, N_ELEMENTS])
def test_rows_are_of_unit_length_and_distinct(n_channels):
    rows = element_embedding(ALL, n_channels)
    assert rows.shape == (N_ELEMENTS, n_channels)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, rtol=1e-14)
    distances = np.linalg.norm(rows[:, None] - rows, axis=2) + 2 * np.eye(N_ELEMENTS)
    assert distances.min() > 1e-5


def test_one_channel_ignores_species():
    np.testing.assert_allclose(element_embedding(["H", "O", "U"], 1), np.ones((3, 1)), rtol=1e-14)


def test_all_channels_keep_the_kernel():
    rows = element_embedding(ALL, N_ELEMENTS)
    x = element_properties(ALL)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    kernel = np.exp(-((x[:, None] - x) ** 2).mean(axis=2) / (2 * 0.7**2))
    np.testing.assert_allclose(rows @ rows.T, kernel, atol=1e-10)


def test_more_channels_keep_more_of_the_kernel():
    exact = element_embedding(ALL, N_ELEMENTS)
    errors = []
    for n_channels in (2, 4, 8, 16, 32):
        rows = element_embedding(ALL, n_channels)
        errors.append(np.abs(rows @ rows.T - exact @ exact.T).mean())
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.01


@pytest.mark.parametrize(
    ("element", "near", "far"), [("Cl", "Br", "Na"), ("Na", "K", "O"), ("Fe", "Co", "C"), ("La", "Ce", "N")]
)
def test_similar_elements_have_similar_rows(element, near, far):
    a, b, c = element_embedding([element, near, far], 8)
    assert a @ b > 0.8
    assert a @ c < 0.4


@given(st.lists(st.integers(1, N_ELEMENTS), min_size=1, max_size=8), st.integers(1, 12))
def test_an_elements_row_depends_on_nothing_else(species, n_channels):
    embedding = ElementEmbedding(n_channels)
    rows = embedding.matrix(species)
    for z, row in zip(species, rows, strict=True):
        np.testing.assert_array_equal(row, embedding.matrix([z])[0])


def test_symbols_and_numbers_are_the_same():
    np.testing.assert_array_equal(element_embedding(["O", "H"], 4), element_embedding([8, 1], 4))


def test_result_is_the_callers_own():
    embedding = ElementEmbedding(2)
    embedding.matrix(["H"])[:] = 7
    assert np.abs(embedding.matrix(["H"])).max() <= 1


def test_parameters_equality_and_repr():
    embedding = ElementEmbedding(n_channels=4)
    assert repr(embedding) == "ElementEmbedding(n_channels=4)"
    copy = clone(embedding)
    assert copy is not embedding
    assert copy == embedding
    assert hash(copy) == hash(embedding)
    assert ElementEmbedding(4, list(DEFAULT_PROPERTIES)) == embedding
    assert ElementEmbedding(5) != embedding
    assert embedding != "ElementEmbedding"
    assert copy.set_params(n_channels=2).matrix(["H"]).shape == (1, 2)


def test_a_choice_of_properties():
    a, b, c = element_embedding(["C", "Si", "O"], 2, properties=["group"])
    np.testing.assert_allclose(a, b, atol=1e-12)
    assert np.linalg.norm(a - c) > 1e-3


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"n_channels": 0}, ValueError, "n_channels must be >= 1, got 0"),
        ({"n_channels": 104}, ValueError, "n_channels must be <= 103, the number of elements, got 104"),
        ({"n_channels": 2.0}, TypeError, "n_channels must be an integer, got 2.0"),
        ({"length_scale": 0.0}, ValueError, "length_scale must be > 0, got 0.0"),
        ({"length_scale": float("nan")}, ValueError, "length_scale must be finite, got nan"),
        ({"properties": "period"}, TypeError, "properties must be a sequence of names, got 'period'"),
        ({"properties": []}, ValueError, "properties must name at least one, got none"),
        ({"properties": ["taste"]}, ValueError, "properties must be one of 'atomic_number', .*, got 'taste'"),
        ({"properties": ["mass", "mass"]}, ValueError, "properties must be different from each other"),
    ],
)
def test_bad_parameters(parameters, error, message):
    with pytest.raises(error, match=message):
        ElementEmbedding(**parameters)


@pytest.mark.parametrize(
    ("species", "error", "message"),
    [
        (["Rf"], ValueError, r"species must be elements up to Lr \(103\), got Rf"),
        (["Xx"], ValueError, "species must be chemical symbols or atomic numbers, got 'Xx'"),
        ([0], ValueError, "species must be atomic numbers in 1..118, got 0"),
        ([], ValueError, "species must name at least one element, got none"),
        ("CO", TypeError, "species must be a sequence"),
    ],
)
def test_bad_species(species, error, message):
    with pytest.raises(error, match=message):
        ElementEmbedding().matrix(species)
    with pytest.raises(error, match=message):
        element_properties(species)


def test_elements_too_unlike_for_the_channels():
    with pytest.raises(ValueError, match=r"length_scale must be larger for n_channels=2 to hold .* got 0\.01"):
        ElementEmbedding(2, length_scale=0.01).matrix(["H"])
