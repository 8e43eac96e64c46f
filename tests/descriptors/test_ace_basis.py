"""The basis of ACE: against group theory, and against a naive evaluation from the definitions."""

from collections import defaultdict
from itertools import combinations_with_replacement, product

import numpy as np
import pytest
from scipy.special import sph_harm_y
from scipy.stats import special_ortho_group

from atomprint.descriptors.ace_basis.functions import ace_basis


def real_harmonics(l, vectors):
    """Real harmonics with mean square 1, m = -l .. l: sines, then cosines."""
    x, y, z = vectors.T
    theta, phi = np.arccos(z / np.linalg.norm(vectors, axis=1)), np.arctan2(y, x)
    columns = []
    for m in range(-l, l + 1):
        y_lm = sph_harm_y(l, abs(m), theta, phi) * (-1) ** m
        columns.append(y_lm.real if m == 0 else np.sqrt(2) * (y_lm.imag if m < 0 else y_lm.real))
    return np.sqrt(4 * np.pi) * np.array(columns).T


def evaluate(basis, a):
    """Run the program, term by term."""
    d = [
        sum(basis.product_c[t] * a[basis.product_a[t]] * a[basis.product_b[t]] for t in range(start, stop))
        for start, stop in zip(basis.product_first[:-1], basis.product_first[1:], strict=True)
    ]
    x = np.concatenate([[1.0], a, d])
    terms = basis.function_c * x[basis.function_p] * x[basis.function_q]
    return np.add.reduceat(terms, basis.function_first[:-1])


def expansion(basis, vectors, radial):
    """A of made radial functions: radial (n_neighbours, n_channels, n_max)."""
    harmonics = np.concatenate([real_harmonics(l, vectors) for l in range(basis.l_max + 1)], axis=1)
    return np.einsum("jcn,jm->cnm", radial, harmonics).ravel()


SETTINGS = {
    "one channel": (1, 3, 3, (2, 6, 6, 6)),
    "two channels": (2, 2, 2, (1, 3, 3, 3), 1.0, ((0, 0), (0, 0), (0, 0.5), (0, 0.5))),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_neither_rotations_nor_the_inversion_change_the_functions(name):
    basis = ace_basis(*SETTINGS[name])
    rng = np.random.default_rng(1)
    vectors, radial = rng.normal(size=(7, 3)), rng.normal(size=(7, basis.n_channels, basis.n_max))
    values = evaluate(basis, expansion(basis, vectors, radial))
    turn = special_ortho_group.rvs(3, random_state=2)
    np.testing.assert_allclose(evaluate(basis, expansion(basis, vectors @ turn, radial)), values, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(evaluate(basis, expansion(basis, -vectors, radial)), values, rtol=1e-12, atol=1e-12)
    assert np.abs(values).min() > 1e-8


def by_characters(ls, times):
    """How often the product of symmetric powers of representations of O(3) holds the trivial one: an integral."""
    theta = np.pi * (np.arange(200) + 0.5) / 200
    value = (1 - np.cos(theta)) / np.pi * (np.pi / 200)
    for l, n in zip(ls, times, strict=True):
        p = [None] + [sum(np.cos(m * k * theta) for m in range(-l, l + 1)) for k in range(1, 5)]
        power = {
            1: p[1],
            2: (p[1] ** 2 + p[2]) / 2,
            3: (p[1] ** 3 + 3 * p[1] * p[2] + 2 * p[3]) / 6,
            4: (p[1] ** 4 + 6 * p[1] ** 2 * p[2] + 3 * p[2] ** 2 + 8 * p[1] * p[3] + 6 * p[4]) / 24,
        }
        value = value * power[n]
    return 0 if np.dot(ls, times) % 2 else value.sum()


@pytest.mark.parametrize("name", SETTINGS)
def test_there_are_as_many_functions_of_every_multiset_as_group_theory_says_and_they_are_independent(name):
    n_channels, n_max, l_max, most, *rest = SETTINGS[name]
    weight_l, penalties = rest or (1.0, ((0,),) * 4)
    basis = ace_basis(*SETTINGS[name])
    found = defaultdict(list)
    for k, factors in enumerate(basis.factors):
        found[tuple(sorted(factors))].append(k)
    labels = list(product(range(n_channels), range(n_max), range(l_max + 1)))
    wanted = 0
    for order in range(1, 5):
        for factors in combinations_with_replacement(labels, order):
            degree = sum(n + weight_l * l + penalties[order - 1][c] for c, n, l in factors)
            if degree > most[order - 1]:
                continue
            different = sorted(set(factors))
            n = by_characters([label[2] for label in different], [factors.count(label) for label in different])
            assert len(found[factors]) == pytest.approx(n, abs=1e-9)
            np.testing.assert_allclose(basis.degree[found[factors]], degree)
            wanted += round(n)
    assert basis.n_functions == wanted

    rng = np.random.default_rng(3)
    values = np.array([evaluate(basis, rng.normal(size=basis.n_a)) for _ in range(20)])
    for own in found.values():
        singular = np.linalg.svd(values[:, own] / np.linalg.norm(values[:, own], axis=0), compute_uv=False)
        assert (singular > 1e-3).all()
