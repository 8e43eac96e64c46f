"""Targets far from all others are found, and long tails are not taken for them."""

import numpy as np
import pytest
from ase.build import bulk

from atomprint.datasets import Dataset, Target
from atomprint.learn import Problem
from atomprint.learn.task.wild import far_values, wild_sentence, wild_targets

RNG = np.random.default_rng(0)
ZEROS = np.where(RNG.random(300) < 0.53, 0.0, RNG.gamma(2, 1.2, 300).round(2))
USUAL = {
    "gaps, half of them 0": ZEROS,
    "formation energies": RNG.normal(-1.2, 0.9, 300),
    "mostly negative": -RNG.gamma(1.5, 0.5, 300),
    "moduli": RNG.lognormal(4.5, 0.9, 300),
    "whole numbers": RNG.poisson(4, 300).astype(float),
    "few": RNG.normal(5, 1, 12),
    "two populations": np.concatenate([RNG.normal(0, 1, 200), RNG.normal(20, 1, 100)]),
    "years": RNG.integers(1990, 2020, 300).astype(float),
}


@pytest.mark.parametrize("name", USUAL)
@pytest.mark.parametrize("wild", [-99, -999, 9999, 99999, 1e30, -1e30, 1e300])
def test_placeholders(name, wild):
    y = USUAL[name].copy()
    assert far_values(y).tolist() == []
    if name == "moduli" and 0 < wild < 1e5:
        return  # of a tail that long
    y[7] = wild
    assert far_values(y).tolist() == [7]
    if len(y) > 50:
        y[::10] = wild  # of a tenth of all
        assert far_values(y).tolist() == sorted({7, *range(0, len(y), 10)})


@pytest.mark.parametrize("name", ["gaps, half of them 0", "formation energies", "mostly negative", "few", "years"])
def test_another_unit(name):
    y = USUAL[name].copy()
    row = int(np.argsort(np.abs(y))[len(y) * 4 // 5])
    y[row] *= 1000
    assert far_values(y).tolist() == [row]


def test_the_only_negative_value():
    y = ZEROS.copy()
    y[3] = -1
    assert far_values(y).tolist() == [3]
    y[3] = -0.001  # a small number below 0 is none
    assert far_values(y).tolist() == []
    assert far_values(USUAL["formation energies"].round(0)).tolist() == []  # -1 among others


def test_zeros_among_large_numbers():
    melting = RNG.normal(1500, 400, 200).clip(400)
    melting[[5, 60]] = 0
    assert far_values(melting).tolist() == [5, 60]
    assert far_values(-melting).tolist() == [5, 60]
    for usual in (
        ZEROS,
        USUAL["whole numbers"],
        RNG.lognormal(0, 1.5, 200).round(3),
        melting * RNG.choice([-1, 1], 200),
    ):
        assert 0 in usual or usual[0]
        assert far_values(usual).tolist() == []


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, n: rng.normal(size=n),
        lambda rng, n: rng.exponential(size=n),
        lambda rng, n: rng.lognormal(0, 1, n),
        lambda rng, n: rng.lognormal(0, 2, n),
        lambda rng, n: rng.standard_t(3, n),
        lambda rng, n: rng.exponential(size=n) * (rng.random(n) < 0.1),
        lambda rng, n: (rng.random(n) < 0.02).astype(float),
        lambda rng, n: rng.integers(0, 3, n).astype(float),
        lambda rng, n: np.full(n, 3.0),
    ],
)
def test_tails_are_not_wild(draw):
    rng = np.random.default_rng(1)
    assert np.mean([len(far_values(draw(rng, n))) > 0 for n in (100, 1000) for _ in range(50)]) <= 0.05


def test_few_different_values():
    y = np.array([0.0, 1.0, 0, 1, 1, 0, 1, 0, 1, -99])
    assert far_values(y).tolist() == [9]
    assert far_values(np.array([0.0] * 9 + [5000])).tolist() == []  # two values say nothing
    assert far_values(np.zeros(0)).tolist() == []
    assert far_values(np.array([1.0, 2.0])).tolist() == []
    half = np.array([0.0, 1, 0.5, 2, 3, 0.7, 1.2, 1.9] * 4 + [-99.0] * 20)
    assert far_values(half).tolist() == []  # no exception any more


def test_total_energies_of_small_and_large_cells():
    sizes = np.array([108] * 40 + [107] * 10 + [32, 4, 1, 500])
    y = -5.6 * sizes + RNG.normal(0, 0.02, len(sizes)) * sizes
    assert far_values(y).tolist() != []
    assert far_values(y, sizes).tolist() == []
    y[2] = 9999
    assert 2 in far_values(y, sizes)
    gaps = ZEROS[: len(sizes)].copy()
    gaps[-1] = 99
    assert far_values(gaps, sizes).tolist() == [len(sizes) - 1]


def problem(y, lines=None):
    structures = [bulk("Cu")] * len(y)
    target = Target(np.asarray(y, dtype=float), "eV", "Gap", "")
    ids = tuple(f"mp-{k}" for k in range(len(y)))
    return Problem.of(Dataset("own", "Own", structures, ids, {"gap": target}, "", "", lines=lines), "gap")


def test_words():
    y = ZEROS.copy()
    y[[5, 9]] = np.nan, -99
    given = problem(y, tuple(range(2, len(y) + 2)))
    (found,) = wild_targets(given)
    assert (found.id, found.row, found.line, found.value) == ("mp-9", 9, 11, -99.0)
    assert found.to_dict() == {"id": "mp-9", "row": 9, "line": 11, "value": -99.0}
    said = wild_sentence(given)
    assert said.startswith("1 value is far from all others of gap, which are 0 to ")
    assert "eV (median" in said
    assert "-99 (mp-9, line 11)." in said
    y[20:30] = 9999
    said = wild_sentence(problem(y))
    assert said.startswith("11 values are far")
    assert "-99 (mp-9), 9999 (mp-20)" in said
    assert "and 6 more" in said
    assert wild_sentence(problem(ZEROS)) == ""
