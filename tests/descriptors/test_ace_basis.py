"""The basis of ACE: against group theory, and against a naive evaluation from the definitions."""

from collections import defaultdict
from itertools import combinations_with_replacement, product
from pathlib import Path

import numpy as np
import pytest
from scipy.special import sph_harm_y
from scipy.stats import special_ortho_group

from atomprint.descriptors.ace_basis.functions import _Writer, ace_basis
from atomprint.descriptors.ace_basis.radial import FAMILIES, PairRange, Radial, family_functions, radial_tables

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


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


def test_products_of_high_degrees_have_all_their_functions():
    factors = tuple((0, n, 13) for n in range(4))
    writer = _Writer(1, 4, 13)
    writer.add(factors, 0.0)
    assert writer.basis().n_functions == round(by_characters([13] * 4, [1] * 4)) == 27


@pytest.mark.parametrize("family", ["ChebExpCos", "ChebPow", "ChebLinear", "SBessel"])
def test_radial_functions_of_pace_are_those_of_python_ace(family):
    with np.load(GOLDEN / "pace_radial.npz") as golden:
        values, slopes = golden[f"{family}_values"], golden[f"{family}_slopes"]
        radial = Radial(family, values.shape[1], float(golden["r_cut"]), float(golden[f"{family}_parameter"]))
        ours = family_functions(radial, PairRange(2.0, (0.1, 0.2)))(golden["r"])
    # They are tabulated there as cubic splines, of 1e-4 Å.
    np.testing.assert_allclose(ours[0], values, atol=1e-9)
    np.testing.assert_allclose(ours[1], slopes, atol=1e-7)


def own_functions(r):
    return np.exp(-np.outer(r, np.arange(1, 6)) / 2)


@pytest.mark.parametrize("family", [*FAMILIES, own_functions])
def test_radial_tables_hold_the_functions_and_meet_the_cutoff_and_the_inner_switch_smoothly(family):
    radial = Radial(family, 5, 4.0, 2.0)
    ranges = (PairRange(2.0, (0.8, 1.3)), PairRange(1.2, (0.4, 0.8)))
    tables = radial_tables(radial, ranges, 1e-8)
    n_cells, step = tables.shape[1], 4.0 / tables.shape[1]
    for pair, table in zip(ranges, tables, strict=True):
        # Value, slope and curvature at the end of a cell are those at the start of the next.
        start, end = (
            np.stack([table[:, 0], table[:, 1], 2 * table[:, 2]]),
            [
                np.einsum("cpn,p->cn", table, weight)
                for weight in (np.ones(6), range(6), [p * (p - 1) for p in range(6)])
            ],
        )
        np.testing.assert_allclose(np.array(end)[:, :-1], start[:, 1:], atol=1e-12)
        np.testing.assert_allclose(np.array(end)[:, -1], 0, atol=1e-14)  # at the cutoff
        assert not start[:, : int(pair.inner[0] / step) + 1].any()
        # Between, the first n functions span the first n of the family with cutoff, and nothing else.
        cells = np.arange(int(np.ceil(pair.inner[1] / step)), n_cells)
        r = (cells + 0.3) * step
        found = np.einsum("cpn,p->cn", table[cells], 0.3 ** np.arange(6))
        x = 1 - (r / 4.0) ** 2
        if family == "chebyshev":
            u, last = 1 / (1 + (r / pair.r0) ** 2), 1 / (1 + (4.0 / pair.r0) ** 2)
            exact = np.polynomial.chebyshev.chebvander(2 * (u - last) / (1 - last) - 1, 4) * x[:, None] ** 3
        elif family == "bessel":
            exact = np.sin(np.outer(r, np.arange(1, 6)) * np.pi / 4.0) / r[:, None] * x[:, None] ** 2
        elif callable(family):
            exact = family(r) * x[:, None] ** 3
        else:
            power = {"ChebExpCos": 1, "ChebPow": 1, "ChebLinear": 3, "SBessel": 0}[family]
            exact = family_functions(radial, pair)(r)[0] * x[:, None] ** power
        for n in range(1, 6):
            fitted = exact[:, :n] @ np.linalg.lstsq(exact[:, :n], found[:, n - 1], rcond=None)[0]
            np.testing.assert_allclose(fitted, found[:, n - 1], atol=2e-8 * np.abs(found).max())
            assert (
                n == 1
                or np.abs(
                    exact[:, : n - 1] @ np.linalg.lstsq(exact[:, : n - 1], found[:, n - 1])[0] - found[:, n - 1]
                ).max()
                > 1e-3
            )


def test_radial_functions_are_orthonormal_with_weight_r():
    tables = radial_tables(Radial("chebyshev", 6, 5.0), (PairRange(2.2, (0.8, 1.4)),), 1e-8)
    t = (np.arange(8) + 0.5) / 8
    values = np.einsum("cpn,tp->ctn", tables[0], t[:, None] ** np.arange(6)).reshape(-1, 6)
    r = (np.arange(len(values)) + 0.5) / len(values) * 5.0
    weight = np.where(r > 0.8, r, 0)
    np.testing.assert_allclose((values * (weight / weight.sum())[:, None]).T @ values, np.eye(6), atol=1e-4)


@pytest.mark.parametrize(
    ("family", "message"),
    [
        (
            lambda r: np.exp(-r),
            r"radial must be a function from distances \(n,\) to finite values \(n, n_max\) with n_m",
        ),
        (lambda r: np.full((len(r), 3), np.nan), "finite values"),
        (lambda r: np.ones((len(r), 3)), "depend on each other: use a smaller n_max"),
        (lambda r: np.sign(np.sin(40 * np.outer(r, [1, 2, 3]))), "cannot be tabulated to a relative error of 1e-08"),
    ],
)
def test_own_radial_functions_that_do_not_serve_are_refused(family, message):
    with pytest.raises(ValueError, match=message):
        radial_tables(Radial(family, 3, 4.0), (PairRange(2.0, (0.8, 1.3)),), 1e-8)
