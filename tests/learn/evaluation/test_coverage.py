import json

import numpy as np
import pytest
from ase.build import bulk
from helpers.problems import features_of
from sklearn.linear_model import LinearRegression, LogisticRegression

from atomprint.datasets import Dataset, Target
from atomprint.learn import Problem, conformal, evaluate, make_split
from atomprint.learn.evaluation.coverage import coverage_by_group

N = 400


def problem_with(y, classes=(), groups=None, structures=None, formulas=None):
    formulas = None if structures is not None else [f"{'Na' if i % 4 else 'K'}{i + 1}Cl" for i in range(len(y))]
    ids = tuple(f"s{i}" for i in range(len(y)))
    groups = {name: np.array(labels) for name, labels in (groups or {}).items()}
    target = Target(np.asarray(y, dtype=float), "" if classes else "eV", "Energy", "made up", tuple(classes))
    return Problem.of(Dataset("toy", "Toy", structures, ids, {"e": target}, "", "", formulas, groups=groups), "e")


def found_for(problem, X, model=None, with_features=True, **options):
    split = make_split(problem, **options)
    features = features_of(X)
    evaluation = evaluate(LinearRegression() if model is None else model, features, problem, split)
    return conformal(evaluation, problem, split, 0.9, features if with_features else None)


@pytest.mark.parametrize("test_size", [0, 0.5])
def test_shares_are_those_of_a_count_by_hand(test_size):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 3))
    problem = problem_with(X[:, 0] + 0.1 * rng.normal(size=N), groups={"source": ["a", "b"] * (N // 2)})
    found = found_for(problem, X, test_size=test_size)
    tables = coverage_by_group(found, problem).tables
    judged = found.parts == "test" if test_size else np.ones(N, dtype=bool)
    truth = problem.y[found.indices]
    inside = (found.lower <= truth) & (truth <= found.upper)
    sodium = np.array([i % 4 > 0 for i in found.indices]) & judged
    row = {row.label: row for row in tables["element"]}["Na"]
    assert row.n == sodium.sum()
    assert row.coverage == pytest.approx(inside[sodium].mean())
    assert row.mean_width == pytest.approx((found.upper - found.lower)[sodium].mean())
    assert [row.label for row in tables["source"]] == ["a", "b"]
    assert "number of atoms" not in tables  # of formulas
    if not test_size:
        assert sum(row.n for row in tables["prediction"]) == N
        assert tables["prediction"][0].label.endswith(" eV")
        overall = sum(row.n * row.coverage for row in tables["prediction"]) / N
        assert overall == pytest.approx(found.coverage.value)
        assert ("distance" in tables) == (found.widths is not None)


def test_groups_that_fall_short_are_named():
    rng = np.random.default_rng(1)
    hard = rng.uniform(size=N) < 0.2
    y = rng.normal(size=N) * np.where(hard, 8.0, 0.2)
    problem = problem_with(y, groups={"lattice": np.where(hard, "spinel", "rutile").tolist()})
    found = found_for(problem, rng.normal(size=(N, 2)), with_features=False, test_size=0)
    coverage = coverage_by_group(found, problem)
    (kind, row), *_ = coverage.short()
    assert (kind, row.label) == ("lattice", "spinel")
    assert row.coverage < 0.8
    assert "hold less than 80 % of their true values: lattice spinel" in coverage.sentence()
    assert "lattice" in json.dumps(coverage.to_dict(), allow_nan=False)
    # Where nothing falls short that is said, too.
    problem = problem_with(rng.normal(size=N))
    fine = found_for(problem, rng.normal(size=(N, 2)), with_features=False, test_size=0)
    assert "none holds less than 80 %" in coverage_by_group(fine, problem).sentence()


def test_symmetry_is_found_for_crystals_and_known_labels_are_taken():
    pytest.importorskip("spglib")
    rng = np.random.default_rng(2)
    structures = [
        bulk("NaCl", "rocksalt", a=a) if a < 5.6 else bulk("Na", "hcp", a=a, c=1.7 * a) for a in rng.uniform(5, 6, 160)
    ]
    y = rng.normal(size=160)
    tables = coverage_by_group(
        found_for(problem_with(y, structures=structures), rng.normal(size=(160, 2)), with_features=False, test_size=0),
        problem_with(y, structures=structures),
    ).tables
    assert [row.label for row in tables["crystal system"]] == ["hexagonal", "cubic"]
    assert {row.label for row in tables["space group"]} == {"194", "225"}
    known = problem_with(y, structures=structures, groups={"space group": ["1", "62"] * 80})
    found = found_for(known, rng.normal(size=(160, 2)), with_features=False, test_size=0)
    assert [row.label for row in coverage_by_group(found, known).tables["crystal system"]] == [
        "triclinic",
        "orthorhombic",
    ]


def test_classes_have_coverage_by_group_too():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(N, 2))
    problem = problem_with((X[:, 0] + 0.5 * rng.normal(size=N) > 0).astype(int), ("no", "yes"))
    found = found_for(problem, X, LogisticRegression(), test_size=0)
    tables = coverage_by_group(found, problem).tables
    row = tables["element"][0]
    assert 1 <= row.mean_width <= 2
    assert row.constant is None
    assert "prediction" not in tables


def test_nothing_to_group():
    rng = np.random.default_rng(4)
    problem = problem_with(rng.normal(size=20))
    assert coverage_by_group(found_for(problem, rng.normal(size=(20, 1)), n_folds=0), problem) is None
    small = coverage_by_group(found_for(problem, rng.normal(size=(20, 1)), test_size=0), problem)
    assert small.sentence() == "No group has the 50 samples that would say something."
