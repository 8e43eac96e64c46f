import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from atomprint.chemistry.formula import parse_formula
from atomprint.datasets import Dataset, Target
from atomprint.learn.evaluation.breakdown import break_down, chemistry
from atomprint.learn.task.problem import Problem
from atomprint.structures import as_batch


def problem(structures=None, compositions=None, y=None, classes=()):
    n = len(structures if structures is not None else compositions)
    target = Target(np.arange(n, dtype=float) if y is None else np.asarray(y, dtype=float), "eV", "E", "", classes)
    ids = tuple(f"s{i}" for i in range(n))
    return Problem.of(Dataset("made-up", "", structures, ids, {"y": target}, "", "", compositions=compositions), "y")


FORMULAS = [
    "NaCl",
    "Fe2O3",
    "CaTiO3",
    "Cu",
    "NaCl",
    "BiOCl",
    "CuZn",
    "C2H6O",
    "GaN",
    "CdSe",
    "WC",
    "NaH",
    "GaAs",
    "MgB2",
]


def test_errors_are_those_of_a_naive_count():
    made = problem(compositions=FORMULAS)
    rng = np.random.default_rng(0)
    indices = rng.permutation(len(FORMULAS))[:10]
    guess = made.y[indices] + rng.normal(size=10)
    found = break_down(made, indices, guess)
    assert list(found.tables) == ["element", "chemistry", "number of elements"]
    for row in found.tables["element"]:
        errors = [g - made.y[i] for i, g in zip(indices, guess, strict=True) if row.label in parse_formula(FORMULAS[i])]
        assert row.n == len(errors) > 0
        assert row.error == pytest.approx(np.mean(np.abs(errors)))
        assert row.bias == pytest.approx(np.mean(errors))
    for row in found.tables["number of elements"]:
        own = [k for k, i in enumerate(indices) if len(parse_formula(FORMULAS[i])) == int(row.label)]
        assert row.n == len(own)
        assert row.error == pytest.approx(np.mean(np.abs(guess - made.y[indices])[own]))
    for name in ("chemistry", "number of elements"):
        rows = found.tables[name]
        assert sum(row.n for row in rows) == 10
        total = sum(row.n * row.error for row in rows) / 10
        assert total == pytest.approx(np.mean(np.abs(guess - made.y[indices])))
    counts = [row.n for row in found.tables["chemistry"]]
    assert counts == sorted(counts, reverse=True)
    assert all(row.few for rows in found.tables.values() for row in rows)
    json.dumps(found.to_dict(), allow_nan=False)


def test_elements_are_in_the_order_of_the_periodic_table():
    found = break_down(problem(compositions=["NaCl", "LiF", "CsI"]), [0, 1, 2], [0, 1, 2])
    assert [row.label for row in found.tables["element"]] == ["Li", "F", "Na", "Cl", "I", "Cs"]
    assert [row.error for row in found.tables["element"]] == [0] * 6


def test_wrong_classes_are_counted():
    made = problem(compositions=["NaCl", "NaCl", "KCl", "KCl"], y=[0, 1, 1, 2], classes=("a", "b", "c"))
    rows = break_down(made, [0, 1, 2, 3], [0, 1, 2, 0]).tables["element"]
    assert {row.label: (row.n, row.error, row.bias) for row in rows} == {
        "Na": (2, 0.0, None),
        "K": (2, 1.0, None),
        "Cl": (4, 0.5, None),
    }


@pytest.mark.parametrize(
    ("formula", "kind"),
    [
        ("Fe", "element"),
        ("O2", "element"),
        ("CH4", "organic"),
        ("C2H3NaO2", "organic"),
        ("BiOCl", "oxyhalide"),
        ("CaTiO3", "oxide"),
        ("CaCO3", "oxide"),
        ("Na2SO4", "oxide"),
        ("H2O", "oxide"),
        ("CsPbI3", "halide"),
        ("GaN", "nitride"),
        ("ZnGeN2", "nitride"),
        ("Cu2ZnSnS4", "chalcogenide"),
        ("Bi2Te3", "chalcogenide"),
        ("CS2", "chalcogenide"),
        ("SiC", "carbide"),
        ("NaBH4", "hydride"),
        ("GaAs", "pnictide"),
        ("MgB2", "boride"),
        ("Mg2Si", "silicide or germanide"),
        ("Ni3Al", "intermetallic"),
    ],
)
def test_chemistry(formula, kind):
    assert chemistry(problem(compositions=[formula]).dataset.contains).tolist() == [kind]


def test_few_samples_are_flagged():
    made = problem(compositions=["NaCl"] * 10 + ["KCl"] * 9)
    rows = {row.label: row for row in break_down(made, np.arange(19), np.zeros(19)).tables["element"]}
    assert (rows["Na"].few, rows["K"].few) == (False, True)
    assert rows["K"].to_dict()["few"] is True


def test_sizes():
    structures = [molecule(name) for name in ("H2O", "CO2", "CH4", "C2H6", "H2O")]
    for kind in (structures, as_batch(structures, periodic=None)):
        rows = break_down(problem(kind), [0, 2, 3, 4], [1, 2, 3, 4]).tables["number of atoms"]
        assert [(row.label, row.n, row.error) for row in rows] == [("3", 2, 0.5), ("5", 1, 0.0), ("8", 1, 0.0)]


def test_many_sizes_are_binned():
    structures = [Atoms(f"H{n}", positions=np.arange(3 * n).reshape(n, 3)) for n in range(1, 41)]
    rows = break_down(problem(structures), np.arange(40), np.arange(40) + 1).tables["number of atoms"]
    assert [row.label for row in rows] == [f"{n} to {n + 4}" for n in range(1, 41, 5)]
    assert all((row.n, row.error, row.bias) == (5, 1.0, 1.0) for row in rows)
    skewed = [structures[0]] * 100 + structures[1:12]
    labels = [row.label for row in break_down(problem(skewed), np.arange(111), np.zeros(111)).tables["number of atoms"]]
    assert labels == ["1", "2 to 12"]


@pytest.mark.parametrize("as_one", [False, True])
def test_atoms_are_grouped_by_their_own_element(as_one):
    structures = [molecule("H2O"), molecule("CH3OH"), molecule("CO2")]
    values = np.empty(3, dtype=object)
    values[:] = [np.zeros(len(atoms)) for atoms in structures]
    target = Target(values, "ppm", "Shift", "", level="atom")
    kinds = as_batch(structures, periodic=None) if as_one else structures
    made = Problem.of(Dataset("nmr", "", kinds, ("a", "b", "c"), {"y": target}, "", ""), "y")
    numbers = np.concatenate([atoms.numbers for atoms in structures])
    indices = np.random.default_rng(0).permutation(len(made))
    found = break_down(made, indices, numbers[indices].astype(float)).tables
    assert [(row.label, row.n, row.error) for row in found["element"]] == [("H", 6, 1.0), ("C", 2, 6.0), ("O", 4, 8.0)]
    assert {row.label: row.n for row in found["chemistry"]} == {"oxide": 6, "organic": 6}
    assert {row.label: row.n for row in found["number of atoms"]} == {"3": 6, "6": 6}


@pytest.mark.parametrize(
    ("indices", "guess", "message"),
    [
        ([], [], r"indices must have shape \(n_predicted,\) with at least one sample, got \(0,\)"),
        ([0, 1], [1.0], r"y_pred must have one value for each of 2 indices, got shape \(1,\)"),
        ([0], [np.nan], "y_pred must be finite, got nan"),
    ],
)
def test_bad_input(indices, guess, message):
    with pytest.raises(ValueError, match=message):
        break_down(problem(compositions=["NaCl", "KCl"]), indices, guess)
